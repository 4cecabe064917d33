# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Automatic white balance neutralises coloured light, through the real camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import PhysicalCamera, SensorModel
from diffphyscam_ros.camera.auto_white_balance import (
    AutoWhiteBalance,
    BalanceState,
    gains_of_temperature,
    METHODS,
)

STAGES = ('exposure', 'response', 'quantization', 'color')
MODEL = replace(
    SensorModel.preset('generic_vga'), image_width=48, image_height=36, response_gains=(1e-6,) * 3
)
EVEN = replace(MODEL, quantum_efficiency=(0.5, 0.5, 0.5))
ILLUMINANTS = [(1.0, 1.0, 1.0), (1.0, 0.75, 0.4), (0.5, 0.8, 1.0), (0.7, 1.0, 0.7)]


def greys(seed=3):
    """Return a scene of greys, float64 so that no kernel has to start threads for it."""
    generator = torch.Generator().manual_seed(seed)
    patches = 0.08 + 0.5 * torch.rand(6, 8, 1, generator=generator, dtype=torch.float64)
    return patches.repeat_interleave(6, 0).repeat_interleave(6, 1).expand(-1, -1, 3).clone()


@pytest.fixture(autouse=True)
def one_thread():
    """Keep torch from starting threads for a few pixels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def balance(scene, control, model=EVEN, seconds=4.0, fps=30.0, delay=0):
    """Let the camera balance itself; return the gains of each frame and the last picture."""
    gains = (1.0, 1.0, 1.0)
    state, waiting, path, image = BalanceState(gains), [], [], None
    for _ in range(round(seconds * fps)):
        camera = PhysicalCamera(replace(model, white_balance=gains), stages=STAGES)
        image = camera(scene, None, model.settings).image
        waiting.append((image, gains))
        if len(waiting) > delay:
            seen, taken = waiting.pop(0)
            state = control.step(state, control.measure(seen, taken), taken, 1 / fps)
            gains = state.gains
        path.append(gains)
    return np.array(path), image, state


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('light', ILLUMINANTS)
def test_grey_becomes_grey(light, method):
    scene = greys() * torch.tensor(light, dtype=torch.float64)
    path, image, state = balance(scene, AutoWhiteBalance(method, speed=4.0))
    ratio = image.mean((0, 1)) / image.mean((0, 1))[1]
    assert float((ratio - 1.0).abs().max()) < 0.015
    assert state.settled and np.ptp(path[-10:], axis=0).max() == 0.0
    assert path[-1] == pytest.approx(light[1] / np.array(light), rel=0.02)


@pytest.mark.parametrize('delay', [0, 1, 3])
def test_late_pictures_do_not_make_it_swing(delay):
    scene = greys() * torch.tensor((1.0, 0.75, 0.4), dtype=torch.float64)
    path, _, state = balance(scene, AutoWhiteBalance(), delay=delay)
    moves = np.diff(path, axis=0)
    assert (moves[:, 0] <= 1e-9).all() and (moves[:, 2] >= -1e-9).all() and state.settled


def test_the_sensors_own_colours_are_balanced_too():
    uneven = replace(MODEL, quantum_efficiency=(0.4, 0.6, 0.3))
    _, image, _ = balance(greys(), AutoWhiteBalance(speed=4.0), uneven)
    mean = image.mean((0, 1))
    assert float((mean / mean[1] - 1.0).abs().max()) < 0.015


def test_robust_is_not_led_astray_by_a_coloured_object():
    light = torch.tensor((1.0, 0.8, 0.5), dtype=torch.float64)
    scene = greys()
    scene[:, :14] = torch.tensor((0.6, 0.08, 0.06), dtype=torch.float64)  # 30 % of it is red
    right = np.array((0.8 / 1.0, 1.0, 0.8 / 0.5))
    errors = {}
    for method in ('grey_world', 'robust'):
        path, _, _ = balance(scene * light, AutoWhiteBalance(method, speed=6.0))
        errors[method] = np.abs(path[-1] / right - 1.0).max()
    assert errors['robust'] < 0.05 < 0.3 < errors['grey_world']


def test_saturated_and_dark_pixels_do_not_count():
    control = AutoWhiteBalance('grey_world')
    picture = torch.full((36, 48, 3), 0.4)
    picture[..., 2] = 0.2
    right = control.measure(picture, (1.0, 1.0, 1.0))
    assert right == pytest.approx((1.0, 1.0, 2.0), rel=1e-5)
    picture[:10] = torch.tensor((1.0, 1.0, 0.7))
    picture[10:20] = 0.01
    assert control.measure(picture, (1.0, 1.0, 1.0)) == pytest.approx(right)
    assert control.measure(torch.ones(36, 48, 3), (1.0, 1.0, 1.0)) is None
    assert control.measure(torch.zeros(36, 48, 3), (1.0, 1.0, 1.0)) is None
    state = BalanceState((1.2, 1.0, 0.9), moving=True)
    assert control.step(state, None, state.gains, 0.1).gains == state.gains


def test_gains_are_limited_and_steady_within_the_dead_band():
    control = AutoWhiteBalance(gain_max=1.5)
    picture = torch.full((36, 48, 3), 0.4)
    picture[..., 2] = 0.1
    assert control.measure(picture, (1.0, 1.0, 1.0)) == pytest.approx((1.0, 1.0, 1.5))
    state = BalanceState((1.0, 1.0, 1.0))
    assert control.step(state, (1.01, 1.0, 1.015), state.gains, 0.1).gains == state.gains
    moved = control.step(state, (1.1, 1.0, 1.0), state.gains, 0.1)
    assert 1.0 < moved.gains[0] < 1.1 and moved.moving


# CIE 1931 chromaticities of standard illuminants (CIE 015:2018, table T.3).
@pytest.mark.parametrize(
    ('kelvin', 'x', 'y'),
    [(2856.0, 0.44757, 0.40745), (5003.0, 0.34567, 0.35850), (6504.0, 0.31271, 0.32902)],
)
def test_a_temperature_neutralises_its_illuminant(kelvin, x, y):
    to_srgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    light = to_srgb @ np.array([x / y, 1.0, (1 - x - y) / y])
    white = to_srgb @ np.array([0.31271 / 0.32902, 1.0, (1 - 0.31271 - 0.32902) / 0.32902])
    seen = np.array(gains_of_temperature(kelvin)) * light / white
    assert seen / seen[1] == pytest.approx(np.ones(3), abs=0.01)


def test_warmer_light_needs_more_blue_and_nothing_jumps():
    gains = np.array([gains_of_temperature(k) for k in np.linspace(1667, 25000, 2000)])
    assert (np.diff(gains[:, 0]) > 0).all() and (np.diff(gains[:, 2]) <= 0).all()
    fine = np.array([gains_of_temperature(k) for k in np.linspace(3400, 7100, 800)])
    assert np.abs(np.diff(fine, axis=0)).max() < 0.01
    for kelvin in (1000.0, 30_000.0, float('nan')):
        with pytest.raises(ValueError, match='1667'):
            gains_of_temperature(kelvin)


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'method': 'guess'}, 'grey_world, white_patch, robust'),
        ({'speed': 0.0}, 'speed'),
        ({'gain_min': 2.0, 'gain_max': 1.0}, 'gain_min = 2.0'),
    ],
)
def test_bad_values_are_refused_in_words(fields, words):
    with pytest.raises(ValueError, match=words):
        AutoWhiteBalance(**fields)
