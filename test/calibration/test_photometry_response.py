# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Responses from exposure sweeps of cameras whose truth is known, and from bad sweeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from photometry_frames import Filming, with_time
import pytest
import torch

from diffphyscam_ros.calibration.response import estimate_response
from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame, StageResult
from diffphyscam_ros.camera import CameraSettings, SENSOR_STAGES, SensorModel
from diffphyscam_ros.camera.response import respond

ISO, RANGE = 100.0, 9_000.0
SETTINGS = CameraSettings(2.0, 0.01, ISO, 0.0036)
TIMES = tuple(0.0005 * 2.0**k for k in range(8))
STAGES = SENSOR_STAGES[:-1]

X = np.linspace(0.0, 1.0, 256)
SRGB = tuple(np.where(X < 0.0031308, 12.92 * X, 1.055 * X ** (1 / 2.4) - 0.055).clip(0, 1))
FULL = 1.0 / (ISO * RANGE)
CURVES = {
    'linear': {'response_gains': (FULL,) * 3},
    'sigmoid': {'response_gains': (8 * FULL,) * 3, 'response_biases': (-3.0,) * 3},
    'gamma': {
        'response_gains': (0.98 / np.log2(1 / FULL) ** 6.2,) * 3,
        'response_gamma': 6.2,
    },
    'table': {'response_gains': (FULL,) * 3, 'response_table': SRGB},
}

BASE = SensorModel(
    image_width=96,
    image_height=64,
    aggregator_gain=1e14,
    shot_noise_gain=(1.0,) * 3,
    read_noise=(6.0,) * 3,
    read_noise_fixed=False,
    dsnu=(4.0,) * 3,
    prnu=(0.01,) * 3,
    dark_current=(100.0,) * 3,
    black_level=0.04,
    bit_depth=12,
)


def truth_of(kind: str, seed: int = 0) -> SensorModel:
    """Return a camera with a response of some kind."""
    return replace(BASE, response_type=kind, fixed_pattern_seed=seed, **CURVES[kind])


def nominal_of(truth: SensorModel) -> SensorModel:
    """Return what is known before: a linear response."""
    known = truth.response_type in ('gamma', 'sigmoid')
    return replace(
        truth,
        response_type='linear',
        response_gains=(FULL,) * 3,
        response_biases=(0.0,) * 3,
        response_gamma=1.0,
        response_table=(0.0, 1.0),
        black_level=truth.black_level if known else 0.0,
    )


def sweep(
    truth: SensorModel,
    seed: int = 0,
    times: Sequence[float] = TIMES,
    stated: Callable[[float], float | None] = lambda time: time,
    dark: bool = True,
    encoding: str = 'rgb16',
    automatic: bool | None = None,
) -> Iterator[RecordedFrame]:
    """Film patches of many brightnesses at rising exposure times."""
    filming = Filming(truth, encoding, seed, STAGES)
    rng = np.random.default_rng(seed)
    patches = np.exp(rng.uniform(-4.0, 0.5, (8, 12, 3)))
    light = 450_000.0 / (1e14 * 1000.0 * 36e-12 / 4.0)
    scene = torch.tensor(np.kron(patches, np.ones((8, 8, 1))) * light, dtype=torch.float32)
    for time in times:
        told = FrameSettings(stated(time), ISO, 2.0, source='metadata')
        settings = with_time(SETTINGS, time)
        yield from filming.film(scene, settings, 'sweep', 3, told, automatic=automatic)
    if dark:
        yield from filming.film(scene * 0.0, with_time(SETTINGS, 0.001), 'dark', 6)


def values_of(sensor: SensorModel, electrons: np.ndarray) -> np.ndarray:
    """Return the green digital values of electrons."""
    light = torch.tensor(electrons)[None, :, None].expand(1, -1, 3)
    value = respond(
        light,
        ISO,
        sensor.response_type,
        sensor.response_gains,
        sensor.response_biases,
        sensor.response_gamma,
        table=sensor.response_table,
        black_level=sensor.black_level,
    )
    return value[0, :, 1].numpy()


def curve_error(truth: SensorModel, found: SensorModel) -> float:
    """Return the rms difference of two responses, over the factor of exposure that is open."""
    electrons = np.geomspace(1.0, RANGE, 800)
    wanted = values_of(truth, electrons)
    seen = wanted < 0.985
    factors, best = np.linspace(-12.0, 12.0, 801), np.inf
    for _ in range(3):
        errors = [
            np.sqrt(np.mean((values_of(found, electrons * np.exp(f)) - wanted)[seen] ** 2))
            for f in factors
        ]
        middle, best = factors[int(np.argmin(errors))], min(errors)
        reach = factors[1] - factors[0]
        factors = np.linspace(middle - reach, middle + reach, 41)
    return float(best)


def applied(nominal: SensorModel, result: StageResult) -> SensorModel:
    """Return the sensor with what was found."""
    return replace(nominal, **{e.name: e.value for e in result.estimates if e.value is not None})


@pytest.mark.parametrize('kind', list(CURVES))
def test_the_kind_and_the_curve_are_found(kind: str) -> None:
    """The curve within 1 % rms of full scale, from the value of darkness to saturation."""
    truth = truth_of(kind)
    nominal = nominal_of(truth)
    result = estimate_response(sweep(truth), nominal)
    found = applied(nominal, result)
    assert found.response_type == kind
    assert curve_error(truth, found) < 0.01
    kinds = {e.name: e for e in result.estimates}
    assert kinds['response_type'].verdict == 'estimated'
    assert set(result.plots['held_out']) == set(CURVES)


def test_a_linear_response_keeps_its_black_level() -> None:
    """Within its standard deviation, and the gain is left to photon transfer."""
    truth = truth_of('linear', 3)
    result = estimate_response(sweep(truth, 3), nominal_of(truth))
    found = {e.name: e for e in result.estimates}
    black = found['black_level']
    assert abs(black.value - truth.black_level) < 3 * black.std < 0.001
    assert found['response_gains'].verdict == 'not estimated'
    assert 'photon transfer' in found['response_gains'].reason


def test_a_mosaic_and_no_dark_frames() -> None:
    """The value of darkness is then that of the curve."""
    truth = replace(truth_of('table'), bayer_pattern='rggb')
    nominal = nominal_of(truth)
    result = estimate_response(sweep(truth, encoding='bayer_rggb16', dark=False), nominal)
    assert any('no dark frames' in m for m in result.messages)
    assert curve_error(truth, applied(nominal, result)) < 0.015


def test_the_uncertainty_covers_the_sigmoid() -> None:
    """Over seeds, the bias lies within 3 standard deviations."""
    pulls = []
    for seed in range(3):
        truth = truth_of('sigmoid', seed)
        result = estimate_response(sweep(truth, seed), nominal_of(truth))
        bias = next(e for e in result.estimates if e.name == 'response_biases')
        pulls.append((bias.value[0] + 3.0) / bias.std[0])
    assert np.abs(pulls).max() < 3


def test_one_exposure_only_is_refused() -> None:
    """Then vignetting, light and response are one."""
    result = estimate_response(sweep(truth_of('linear'), times=(0.01,)), BASE)
    assert all(e.verdict == 'not estimated' for e in result.estimates)
    assert 'vignetting' in result.messages[0]
    assert 'five or more exposure times' in result.messages[0]


def test_a_small_range_of_exposures_is_refused() -> None:
    """A factor of 3."""
    result = estimate_response(sweep(truth_of('linear'), times=(0.01, 0.02, 0.03)), BASE)
    assert 'factor of 3.0' in result.messages[0]


def test_automatic_exposure_is_refused() -> None:
    """Said by the frames, or shown by a brightness that stays."""
    truth = truth_of('linear')
    said = estimate_response(sweep(truth, times=TIMES[:4], automatic=True, dark=False), BASE)
    assert 'automatic exposure or gain was running' in said.messages[0]
    filming = Filming(truth, 'rgb16', 0, STAGES)

    def kept() -> Iterator[RecordedFrame]:
        for time in TIMES[:5]:
            scene = torch.full((64, 96, 3), 4e-4 / time)
            yield from filming.film(scene, with_time(SETTINGS, time), 'sweep', 2)

    shown = estimate_response(kept(), BASE)
    assert 'does not follow the exposure time' in shown.messages[0]


def test_unknown_exposure_times_are_refused() -> None:
    """No settings, no response."""
    frames = list(sweep(truth_of('linear'), times=TIMES[:4], stated=lambda time: None))
    result = estimate_response(frames, BASE)
    assert 'exposure times of the frames are not known' in result.messages[0]


def test_a_wrong_exposure_time_is_named() -> None:
    """One of eight is 30 % longer than stated."""
    truth = truth_of('linear')
    result = estimate_response(
        sweep(truth, stated=lambda time: time / 1.3 if time == TIMES[4] else time),
        nominal_of(truth),
    )
    named = [m for m in result.messages if 'settings are wrong' in m]
    assert any('frames 12 to 14' in m for m in named)
    assert next(e for e in result.estimates if e.name == 'response_type').verdict == 'weak'


def test_a_full_well_below_full_scale_is_no_curve() -> None:
    """A plateau of the photosites is said, and the response stays linear."""
    truth = replace(truth_of('linear'), full_well=7000.0)
    result = estimate_response(sweep(truth), nominal_of(truth))
    assert any('full well' in m for m in result.messages)
    assert next(e.value for e in result.estimates if e.name == 'response_type') == 'linear'


def test_nothing_at_all() -> None:
    """No frames of that role."""
    result = estimate_response([], BASE)
    assert result.estimates[0].verdict == 'not estimated'
