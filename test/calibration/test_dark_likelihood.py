# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Noise that no variance of codes shows: below a step, bent by the response, cut off at 0."""

from __future__ import annotations

import numpy as np
import pytest

from diffphyscam_ros.calibration.dark_likelihood import _Model as Model
from diffphyscam_ros.calibration.dark_likelihood import DarkRun, fit_darkness
from diffphyscam_ros.calibration.fixed_patterns import fit_patterns
from diffphyscam_ros.calibration.picture_features import features_of, FrameFeatures
from diffphyscam_ros.calibration.roles import roles_of
from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame

FULL, LAST, STOPS, GAMMA = 10_000.0, 4095, np.log2(1e6), 6.2
TIMES = (0.0005, 0.005, 0.05)
READ, DSNU, RATE = 3.0, 2.0, 900.0


def code_of(kind: str, electrons: np.ndarray) -> np.ndarray:
    if kind == 'sigmoid':
        value = 1.0 / (1.0 + np.exp(4.0 - 8.0 * electrons / FULL))
    elif kind == 'gamma':
        value = (np.log2(np.maximum(100.0 * electrons, 1.0)) / STOPS) ** GAMMA
    else:
        value = electrons / FULL
    return np.rint(np.clip(value, 0.0, 1.0) * LAST).astype(np.int64)


def electrons_of(kind: str, value: np.ndarray) -> np.ndarray:
    if kind == 'sigmoid':
        inside = np.clip(value, 1e-5, 1.0 - 1e-5)
        return (np.log(inside / (1.0 - inside)) + 4.0) / 8.0 * FULL
    if kind == 'gamma':
        return np.exp2(value ** (1.0 / GAMMA) * STOPS) / 100.0
    return value * FULL


def dark(kind: str, seed: int, frames: int = 6) -> tuple[list[DarkRun], np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    offset = random.normal(0.0, DSNU, 6000)
    runs = []
    for time in TIMES:
        spread = (READ**2 + RATE * time) ** 0.5
        noise = spread * random.normal(size=(frames, len(offset)))
        runs.append(DarkRun(code_of(kind, RATE * time + offset + noise), time))
    limits = electrons_of(kind, (np.arange(1, LAST + 1) - 0.5) / LAST)
    edges = np.concatenate([[-np.inf], limits, [np.inf]])
    return runs, edges, electrons_of(kind, np.arange(LAST + 1) / LAST)


@pytest.mark.parametrize('kind', ['sigmoid', 'gamma', 'linear'])
def test_the_truth_is_found(kind: str) -> None:
    """Noise of 0.17 steps, dark values half of which are cut off at 0, a bend within the noise."""
    runs, edges, middle = dark(kind, 3)
    if kind == 'sigmoid':  # Sheppard's correction leaves more than a quarter too much
        left = runs[0].codes.var(axis=0, ddof=1).mean() - 1.0 / 12.0
        slope = 8.0 * 0.018 * 0.982 * LAST / FULL
        assert left**0.5 > 1.2 * READ * slope
    else:
        assert (runs[0].codes == 0).mean() > 0.3
    found = fit_darkness(runs, edges, middle, 0.002)
    assert found is not None
    assert found.rate is not None
    pairs = (found.read_noise, found.dsnu, found.rate)
    for (value, std), true in zip(pairs, (READ, DSNU, RATE), strict=True):
        assert abs(value - true) < 3.5 * std
        assert std < 0.03 * true


def test_the_gradient_is_that_of_the_likelihood() -> None:
    """Central differences in all five numbers."""
    runs, edges, middle = dark('gamma', 4, 2)
    model = Model(runs, edges, middle, 0.01)
    theta = model.start + np.array([0.1, 0.2, -0.1, 0.15, 0.005])
    step = 1e-5 * np.eye(5)
    numeric = [(model(theta + d)[0] - model(theta - d)[0]) / 2e-5 for d in step]
    assert np.allclose(model(theta)[1], numeric, rtol=1e-5, atol=1e-3)


def test_codes_that_never_change_tell_nothing() -> None:
    """Neither values nor errors."""
    runs = [DarkRun(np.full((4, 50), 7), time) for time in TIMES]
    _, edges, middle = dark('linear', 1)
    assert fit_darkness(runs, edges, middle, 0.01) is None


def test_full_photosites_keep_the_dark_current_of_shorter_frames() -> None:
    """One that is full in the longest dark frame, among 3600."""
    times, limit = np.array([0.01, 0.1, 1.0]), 0.9
    random = np.random.default_rng(2)
    rate = np.full((60, 60), 0.01)
    rate[20, 30] = 6.0
    pictures = [np.minimum(rate * t, 1.0) + random.normal(0, 1e-4, rate.shape) for t in times]
    found = fit_patterns(
        pictures, np.zeros(3), times, np.full(3, 1e-8), np.ones(3), 1e-4, True, limit
    )
    assert found.excess is not None
    assert found.excess.max() == pytest.approx(5.99, rel=0.01)


def test_a_long_dark_frame_is_dark_though_a_steep_response_brightens_it() -> None:
    """Beside flat frames that are far brighter and exposed no longer."""
    frames: list[FrameFeatures] = []
    shown = ((0.001, 0.5), (0.004, 0.8), (0.001, 0.01), (0.03, 0.05), (0.06, 0.09), (0.2, 0.14))
    for index, (time, level) in enumerate(shown):
        pixels = np.full((72, 96, 3), int(level * 65535), np.uint16)
        settings = FrameSettings(time, 100.0, 4.0, source='csv')
        taken = RecordedFrame(index, index, '/x', '', 'ab'[index > 1], pixels, 'rgb16', settings)
        frames.append(
            FrameFeatures(
                index, index, taken.bag, settings, '', False, False,
                features_of(taken, sharpness=False), None,
            )
        )  # fmt: skip
    assert list(roles_of(frames).values()) == ['flat'] * 2 + ['dark'] * 4


def test_codes_below_the_response_tell_that_they_are_below() -> None:
    """A response known from some code on only: what lies under it is cut off, not lost."""
    random = np.random.default_rng(5)
    offset = random.normal(0.0, DSNU, 6000)
    pedestal, runs = 82, []
    for time in TIMES:
        noise = (READ**2 + RATE * time) ** 0.5 * random.normal(size=(6, len(offset)))
        electrons = RATE * time + offset + noise
        runs.append(DarkRun(np.rint(pedestal + electrons * LAST / FULL).astype(np.int64), time))
    limits = (np.arange(1, LAST + 1) - 0.5 - pedestal) * FULL / LAST
    limits[:pedestal] = -np.inf
    edges = np.concatenate([[-np.inf], limits, [np.inf]])
    middle = np.maximum(np.arange(LAST + 1) - pedestal, 0) * FULL / LAST
    assert (runs[0].codes < pedestal).mean() > 0.3
    found = fit_darkness(runs, edges, middle, 1e-3)
    assert found is not None and found.rate is not None
    for (value, std), true in (
        (found.read_noise, READ),
        (found.dsnu, DSNU),
        (found.rate, RATE),
    ):
        assert abs(value - true) < 4.0 * std and abs(value / true - 1.0) < 0.04


@pytest.mark.parametrize('height', [np.inf, -np.inf])
def test_a_response_that_tells_nothing_of_the_dark_is_left_alone(height: float) -> None:
    runs, edges, middle = dark('linear', 1)
    flat = np.full_like(edges, height)
    flat[0], flat[-1] = -np.inf, np.inf
    assert fit_darkness(runs, flat, np.zeros_like(middle), 1e-3) is None


@pytest.mark.parametrize(('dsnu', 'read', 'frames'), [(20.0, 2.0, 60), (30.0, 1.0, 16)])
def test_a_fixed_pattern_far_above_the_noise_is_integrated(
    dsnu: float, read: float, frames: int
) -> None:
    random = np.random.default_rng(2)
    offset = random.normal(100.0, dsnu, 3000)
    codes = np.rint(offset + read * random.normal(size=(frames, len(offset)))).astype(np.int64)
    edges = np.concatenate([[-np.inf], np.arange(1, 301) - 0.5, [np.inf]])
    found = fit_darkness([DarkRun(codes, 0.01)], edges, np.arange(301.0), 1e-3)
    assert found is not None
    for (value, std), true in ((found.dsnu, float(offset.std())), (found.read_noise, read)):
        assert abs(value - true) < 4.0 * std


def test_a_fixed_pattern_that_cannot_be_integrated_is_refused() -> None:
    random = np.random.default_rng(2)
    offset = random.normal(1000.0, 200.0, 500)
    codes = np.rint(offset + 0.3 * random.normal(size=(64, 500))).astype(np.int64)
    edges = np.concatenate([[-np.inf], np.arange(1, 2001) - 0.5, [np.inf]])
    assert fit_darkness([DarkRun(codes, 0.01)], edges, np.arange(2001.0), 1e-3) is None
