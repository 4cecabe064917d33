# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Noise: eq. 4, its statistics, and that it is a function of seed, frame and pixel alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera import add_noise
from diffphyscam_ros.camera.noise import normal_deviates, PATTERN_STREAM, SHOT_STREAM

SHAPE = (120, 160, 3)
COUNT = 120 * 160
SHOT, READ = (1e-3, 2e-3, 3e-3), (1e-5, 2e-5, 5e-5)


def noisy(electrons: torch.Tensor, frame: int = 0, seed: int = 5, pattern: int = 9, **gains):
    shot, read = gains.get('shot', SHOT), gains.get('read', READ)
    return add_noise(electrons, shot, read, seed, frame, pattern)


def pcg4d(*words: int) -> list[int]:
    """Transcribe the published hash on unsigned 32-bit NumPy integers."""
    x, y, z, w = (np.array([word], dtype=np.uint32) for word in words)
    with np.errstate(over='ignore'):
        m, c = np.uint32(1664525), np.uint32(1013904223)
        x, y, z, w = x * m + c, y * m + c, z * m + c, w * m + c
        for final in (False, True):
            x = x + y * w
            y = y + z * x
            z = z + x * y
            w = w + y * z
            if not final:
                s = np.uint32(16)
                x, y, z, w = x ^ (x >> s), y ^ (y >> s), z ^ (z >> s), w ^ (w >> s)
    return [int(v[0]) for v in (x, y, z, w)]


@pytest.mark.parametrize('seed', [0, 7, 2**32 - 1])
@pytest.mark.parametrize('frame', [0, 123456789])
def test_deviates_are_box_muller_of_the_published_hash(seed: int, frame: int) -> None:
    deviates = normal_deviates((4, 5, 3), seed, frame, dtype=torch.float64)
    for pixel in (0, 7, 19):
        words = [word >> 9 for word in pcg4d(pixel, frame, seed, SHOT_STREAM)]
        radius = math.sqrt(-2 * math.log((words[0] + 0.5) / 2**23))
        angle = 2 * math.pi * words[1] / 2**23
        last = math.sqrt(-2 * math.log((words[2] + 0.5) / 2**23))
        expected = [radius * math.cos(angle), radius * math.sin(angle)]
        expected.append(last * math.cos(2 * math.pi * words[3] / 2**23))
        np.testing.assert_allclose(deviates.reshape(-1, 3)[pixel], expected, rtol=1e-12)


def test_noise_follows_eq_4() -> None:
    electrons = torch.rand(4, 5, 3, dtype=torch.float64)
    first = normal_deviates((4, 5, 3), 5, 2, SHOT_STREAM, torch.float64).numpy()
    second = normal_deviates((4, 5, 3), 9, 0, PATTERN_STREAM, torch.float64).numpy()
    x = electrons.numpy()
    expected = x + np.array(SHOT) * np.sqrt(x) * first + np.array(READ) * second
    np.testing.assert_allclose(noisy(electrons, frame=2), expected, rtol=1e-12)


def test_deviates_are_standard_normal() -> None:
    x = normal_deviates((480, 640, 3), 1, 1).double().reshape(-1, 3)
    n = len(x)
    # Four standard errors of mean, variance, skewness and kurtosis of n normal deviates.
    assert (x.mean(0).abs() < 4 / n**0.5).all()
    assert ((x.var(0) - 1).abs() < 4 * (2 / n) ** 0.5).all()
    assert ((x**3).mean(0).abs() < 4 * (15 / n) ** 0.5).all()
    assert (((x**4).mean(0) - 3).abs() < 4 * (96 / n) ** 0.5).all()
    correlation = (x.T @ x / n)[~torch.eye(3, dtype=torch.bool)]
    assert (correlation.abs() < 4 / n**0.5).all()


@pytest.mark.parametrize('lag', [(0, 1), (1, 0), (0, 2), (0, 16), (3, 5)])
def test_neighbouring_pixels_are_independent(lag: tuple[int, int]) -> None:
    x = normal_deviates((480, 640, 3), 3, 4).double()
    a, b = x[lag[0] :, lag[1] :], x[: 480 - lag[0], : 640 - lag[1]]
    limit = 4.5 / a.numel() ** 0.5
    assert abs((a * b).mean()) < limit
    assert abs(((a**2 - 1) * (b**2 - 1)).mean() / 2) < limit


@pytest.mark.parametrize('step', [1, 2, 8])
def test_frames_and_seeds_are_independent(step: int) -> None:
    x = normal_deviates((480, 640, 3), 3, 10).double()
    limit = 4.5 / x.numel() ** 0.5
    for other in (
        normal_deviates((480, 640, 3), 3, 10 + step),
        normal_deviates((480, 640, 3), 3 + step, 10),
        normal_deviates((480, 640, 3), 3, 10, PATTERN_STREAM),
    ):
        assert abs((x * other).mean()) < limit


def test_variance_grows_with_the_mean_as_photons_do() -> None:
    """The photon transfer line: variance over frames = n_s²·X for every channel."""
    frames, levels = 30, (0.001, 0.01, 0.1)
    for level in levels:
        stack = torch.stack(
            [noisy(torch.full(SHAPE, level, dtype=torch.float64), i) for i in range(frames)]
        )
        n = frames * COUNT
        variance = stack.var(0).mean((0, 1))
        expected = torch.tensor(SHOT, dtype=torch.float64) ** 2 * level
        assert ((variance / expected - 1).abs() < 4 * (2 / n) ** 0.5 * 1.05).all()
        error = (stack.mean((0, 1, 2)) - level).abs()
        pattern = torch.tensor(READ, dtype=torch.float64) / COUNT**0.5
        assert (error < 4 * ((expected / n).sqrt() + pattern)).all()


def test_fixed_pattern_stays_and_shot_noise_does_not() -> None:
    dark = torch.zeros(SHAPE, dtype=torch.float64)
    first, second = noisy(dark, 0), noisy(dark, 1, seed=6)
    assert torch.equal(first, second)
    spread = first.std((0, 1)) / torch.tensor(READ, dtype=torch.float64)
    assert ((spread - 1).abs() < 4 / (2 * COUNT) ** 0.5).all()
    assert not torch.equal(first, noisy(dark, 0, pattern=10))
    grey = torch.full(SHAPE, 0.1)
    assert not torch.equal(noisy(grey, 0), noisy(grey, 1))
    assert not torch.equal(noisy(grey, 0), noisy(grey, 0, seed=6))


def test_noise_replays_whatever_the_number_of_threads() -> None:
    grey = torch.full(SHAPE, 0.1)
    expected = noisy(grey, 77)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.equal(noisy(grey, 77), expected)
    finally:
        torch.set_num_threads(threads)
    torch.manual_seed(1)
    assert torch.equal(noisy(grey, 77), expected)


def test_a_batch_is_a_run_of_frames() -> None:
    batch = torch.rand(2, 3, 8, 6, 3)
    result = noisy(batch, frame=40).reshape(6, 8, 6, 3)
    for i, one in enumerate(batch.reshape(6, 8, 6, 3)):
        assert torch.equal(result[i], noisy(one, frame=40 + i))


def test_noise_gradients() -> None:
    def run(electrons, shot, read):
        return add_noise(electrons, shot, read, 1, 2, 3)

    electrons = (torch.rand(4, 3, 3, dtype=torch.float64) + 0.1).requires_grad_()
    gains = [torch.rand(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert gradcheck(run, (electrons, *gains))


def test_gradient_of_the_root_is_finite_in_the_dark() -> None:
    electrons = torch.tensor([0.0, -1.0, 1e-38, 1.0]).reshape(1, 4, 1).requires_grad_()
    result = add_noise(electrons, (0.1,), (0.1,), 1, 2, 3)
    result.sum().backward()
    assert result.isfinite().all() and electrons.grad.isfinite().all()
    assert (electrons.grad.flatten()[:2] == 1).all()


def test_zero_gains_that_require_grad_still_get_one() -> None:
    shot = torch.zeros(3, requires_grad=True)
    add_noise(torch.ones(4, 4, 3), shot, (0.0,) * 3, 1, 2, 3).sum().backward()
    assert (shot.grad != 0).all()
    assert torch.equal(
        add_noise(torch.ones(4, 4, 3), (0.0,) * 3, (0.0,) * 3, 1, 2, 3).sum(), torch.tensor(48.0)
    )
