# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Quantum efficiencies and white balance from a grey patch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from photometry_frames import Filming
import pytest
import torch

from diffphyscam_ros.calibration.colour import estimate_colour
from diffphyscam_ros.calibration.types import RecordedFrame
from diffphyscam_ros.camera import CameraSettings, SENSOR_STAGES, SensorModel

SETTINGS = CameraSettings(2.0, 0.01, 100.0, 0.0036)
TRUTH = SensorModel(
    image_width=96,
    image_height=64,
    aggregator_gain=1e14,
    quantum_efficiency=(0.45, 0.62, 0.38),
    response_gains=(1 / 1.1e6, 1 / 1.2e6, 1 / 1.3e6),
    shot_noise_gain=(1.0,) * 3,
    read_noise=(6.0,) * 3,
    read_noise_fixed=False,
    prnu=(0.01,) * 3,
    black_level=0.04,
    bit_depth=12,
    settings=SETTINGS,
)
NOMINAL = replace(TRUTH, quantum_efficiency=(0.62, 0.62, 0.62))
PATCH = (21, 11, 30, 40)


def card(
    truth: SensorModel, encoding: str, frames: int = 4, level: float = 1.5, seed: int = 0
) -> Iterator[RecordedFrame]:
    """Film a grey card before a green wall."""
    filming = Filming(truth, encoding, seed, SENSOR_STAGES[:-1])
    scene = torch.full((64, 96, 3), 0.1)
    scene[..., 1] = 0.5
    x, y, width, height = PATCH
    scene[y - 2 : y + height + 2, x - 2 : x + width + 2] = level
    yield from filming.film(scene, SETTINGS, '', frames)


@pytest.mark.parametrize('encoding', ['rgb16', 'bayer_grbg16'])
@pytest.mark.parametrize('kind', ['linear', 'table'])
def test_efficiencies_up_to_green(encoding: str, kind: str) -> None:
    """Within 3 standard deviations and 1 %, green as nominal; and grey becomes grey."""
    table = tuple(np.linspace(0, 1, 256) ** 0.6) if kind == 'table' else (0.0, 1.0)
    pattern = encoding[6:10] if encoding.startswith('bayer') else 'none'
    change = {'response_type': kind, 'response_table': table, 'bayer_pattern': pattern}
    truth, nominal = replace(TRUTH, **change), replace(NOMINAL, **change)
    result = estimate_colour(card(truth, encoding), nominal, PATCH)
    efficiency, balance = result.estimates
    value, std = np.array(efficiency.value), np.array(efficiency.std)
    assert value[1] == 0.62
    assert np.allclose(value, TRUTH.quantum_efficiency, rtol=0.01)
    assert (np.abs(value - TRUTH.quantum_efficiency)[[0, 2]] < 3 * std[[0, 2]]).all()
    response = np.array(TRUTH.response_gains) * TRUTH.quantum_efficiency
    assert np.allclose(balance.value, response[1] / response, rtol=0.01)


def test_flat_frames_are_grey_all_over() -> None:
    """Without a patch the role says it."""
    filming = Filming(TRUTH, 'rgb16', 0, SENSOR_STAGES[:-1])
    frames = filming.film(torch.full((64, 96, 3), 1.5), SETTINGS, 'flat', 3)
    result = estimate_colour(frames, NOMINAL)
    assert np.allclose(result.estimates[0].value, TRUTH.quantum_efficiency, rtol=0.01)


@pytest.mark.parametrize(
    ('encoding', 'level', 'patch', 'why'),
    [
        ('rgb16', 4.0, PATCH, 'saturated patch'),
        ('rgb16', 0.001, PATCH, 'too dark'),
        ('mono16', 1.5, PATCH, 'without colour'),
        ('rgb16', 1.5, None, 'of no known role'),
    ],
)
def test_bad_patches_are_refused(
    encoding: str, level: float, patch: tuple[int, int, int, int] | None, why: str
) -> None:
    """Named, with what to film."""
    result = estimate_colour(card(TRUTH, encoding, 2, level), NOMINAL, patch)
    assert all(e.verdict == 'not estimated' for e in result.estimates)
    assert why in result.messages[0]
    assert 'grey card' in result.messages[0]
