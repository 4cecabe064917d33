# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Vignetting from flat fields of cameras whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from photometry_frames import Filming
import pytest
import torch

from diffphyscam_ros.calibration.types import RecordedFrame
from diffphyscam_ros.calibration.vignetting import estimate_vignetting
from diffphyscam_ros.camera import CameraSettings, SENSOR_STAGES, SensorModel
from diffphyscam_ros.camera.vignetting import vignette

SETTINGS = CameraSettings(2.0, 0.01, 100.0, 0.0006)
STAGES = ('vignetting', *SENSOR_STAGES[:-1])
BASE = SensorModel(
    image_width=128,
    image_height=96,
    aggregator_gain=1e14,
    response_gains=(1 / 1.2e6,) * 3,
    shot_noise_gain=(1.0,) * 3,
    read_noise=(6.0,) * 3,
    read_noise_fixed=False,
    dsnu=(4.0,) * 3,
    prnu=(0.01,) * 3,
    black_level=0.04,
    bit_depth=12,
    settings=SETTINGS,
)
_Y, _X = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 9), indexing='ij')
_BUMPS = 0.06 * np.random.default_rng(1).uniform(-1, 1, (7, 9))
_MAP = 1 - 0.3 * ((_Y - 0.1) ** 2 + 1.2 * (_X + 0.15) ** 2) + _BUMPS
LAWS = {
    'cos4': {'vignetting_gain': 0.6},
    'radial': {'vignetting_model': 'radial', 'vignetting_coefficients': (-0.35, 0.05)},
    'map': {
        'vignetting_model': 'map',
        'vignetting_map': tuple(_MAP.clip(0).ravel()),
        'vignetting_map_columns': 9,
    },
}


def flats(
    truth: SensorModel,
    seed: int = 0,
    frames: int = 6,
    tilt: tuple[float, float] = (0.0, 0.0),
    level: float = 8000.0,
    encoding: str = 'rgb16',
) -> Iterator[RecordedFrame]:
    """Film a lamp that grows by ``tilt`` from the centre to the right and bottom border."""
    filming = Filming(truth, encoding, seed, STAGES)
    light = level / (1e14 * 1000.0 * 36e-12 * 0.01 / 4.0)
    height, width = int(truth.image_height), int(truth.image_width)
    y, x = np.mgrid[:height, :width]
    plane = 1 + tilt[0] * (x / width * 2 - 1) + tilt[1] * (y / height * 2 - 1)
    lamp = torch.tensor(np.repeat((light * plane)[..., None], 3, axis=2), dtype=torch.float32)
    yield from filming.film(lamp, SETTINGS, 'flat', frames)


def falloff(sensor: SensorModel) -> np.ndarray:
    """Return the factor of a law over the picture, 1 at its brightest."""
    view = sensor.intrinsics(sensor.settings)
    white = torch.ones(view.height, view.width, 1, dtype=torch.float64)
    factor = vignette(
        white,
        view,
        sensor.vignetting_gain,
        sensor.vignetting_model,
        sensor.vignetting_coefficients,
        sensor.vignetting_map,
        sensor.vignetting_map_columns,
    ).numpy()
    return factor / factor.max()


@pytest.mark.parametrize('encoding', ['rgb16', 'bayer_rggb16'])
@pytest.mark.parametrize('law', list(LAWS))
def test_the_law_is_found_within_half_a_percent(law: str, encoding: str) -> None:
    """Its kind, its shape, and its numbers within their standard deviations."""
    pattern = encoding[6:10] if encoding.startswith('bayer') else 'none'
    nominal = replace(BASE, bayer_pattern=pattern)
    truth = replace(nominal, **LAWS[law])
    tilt = (0.0, 0.0) if law == 'map' else (0.04, -0.03)
    result = estimate_vignetting(flats(truth, tilt=tilt, encoding=encoding), nominal)
    fields = {e.name: e.value for e in result.estimates if e.value is not None}
    found = replace(nominal, **fields)
    assert found.vignetting_model == law
    assert np.abs(falloff(found) - falloff(truth)).max() < 0.005
    numbers = result.estimates[1]
    wanted = np.atleast_1d(getattr(truth, numbers.name))
    if law == 'map':
        wanted = wanted / wanted.max()
    pull = (np.atleast_1d(numbers.value) - wanted) / np.atleast_1d(numbers.std)
    assert np.mean(np.abs(pull) < 3) >= 0.95
    assert set(result.plots['held_out']) >= {'cos4', 'radial 2', 'map'}
    if law != 'map':
        assert np.allclose(result.plots['light'], tilt, atol=0.003)


def test_no_vignetting_is_no_vignetting() -> None:
    """The simplest law, with a gain of 0 within its uncertainty."""
    result = estimate_vignetting(flats(BASE), BASE)
    gain = result.estimates[1]
    assert result.estimates[0].value == 'cos4'
    assert gain.value < 3 * gain.std + 1e-6
    assert gain.std < 0.01


def test_an_uneven_lamp_is_named() -> None:
    """A slope of 10 % is taken for the lamp, and said to be confounded."""
    truth = replace(BASE, **LAWS['cos4'])
    result = estimate_vignetting(flats(truth, tilt=(0.1, 0.0)), BASE)
    assert any('cannot be told from a lens' in m for m in result.messages)
    assert result.estimates[1].value == pytest.approx(0.6, abs=0.01)


def test_the_response_is_undone() -> None:
    """Of a gamma camera the law is that of the light."""
    table = tuple(np.linspace(0, 1, 256) ** 0.6)
    curved = replace(BASE, response_type='table', response_table=table)
    truth = replace(curved, **LAWS['cos4'])
    result = estimate_vignetting(flats(truth), curved)
    assert result.estimates[1].value == pytest.approx(0.6, abs=0.01)
    wrong = estimate_vignetting(flats(truth), BASE)
    fields = {e.name: e.value for e in wrong.estimates if e.value is not None}
    error = np.abs(falloff(replace(BASE, **fields)) - falloff(truth)).max()
    assert error > 0.05


def test_saturated_flats_are_refused() -> None:
    """With the remedy."""
    result = estimate_vignetting(flats(BASE, level=20_000.0, frames=2), BASE)
    assert all(e.verdict == 'not estimated' for e in result.estimates)
    assert 'saturated' in result.messages[0]
    assert 'half of full scale' in result.messages[0]


def test_full_photosites_are_refused() -> None:
    """The centre is cut off below full scale, which would look like less vignetting."""
    truth = replace(BASE, full_well=7000.0, **LAWS['cos4'])
    result = estimate_vignetting(flats(truth), replace(BASE, full_well=7000.0))
    assert all(e.verdict == 'not estimated' for e in result.estimates)
    assert 'photosites are full' in result.messages[0]


def test_another_size_is_refused() -> None:
    """K belongs to a size."""
    result = estimate_vignetting(flats(BASE, frames=2), replace(BASE, image_width=640))
    assert '128x96' in result.messages[0]
    assert '640x96' in result.messages[0]


def test_no_flat_frames() -> None:
    """What to film is said."""
    result = estimate_vignetting([], BASE)
    assert 'no usable flat frames' in result.messages[0]
    boards = [replace(frame, role='board') for frame in flats(BASE, frames=2)]
    assert "role 'board'" in estimate_vignetting(boards, BASE).messages[0]
