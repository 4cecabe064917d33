# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Autofocus by depth and by contrast finds the plane, within the depth of field."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import circle_of_confusion, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.autofocus import AutoFocus, blur_per_dioptre, FocusState
from diffphyscam_ros.camera.contrast_autofocus import (
    ContrastSearch,
    ContrastWatch,
    focus_by_contrast,
    sharpness,
)

MODEL = replace(
    SensorModel.preset('generic_vga'),
    image_width=64,
    image_height=48,
    max_coc=31.0,
    psf='gaussian',
)
SETTINGS = replace(MODEL.settings, focal_length=0.012, aperture=2.0)
TEXTURE = torch.rand(48, 64, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
TEXTURE = (0.1 + 0.8 * TEXTURE).expand(-1, -1, 3)


@pytest.fixture(autouse=True)
def one_thread():
    """Keep torch from starting threads for a few pixels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def photographer(distance, stages=('defocus', 'exposure', 'response', 'color'), model=MODEL):
    """Return what photographs a wall at a distance with a given focus."""
    camera = PhysicalCamera(model, stages=stages)
    depth = torch.full((48, 64), distance, dtype=torch.float64)
    taken = []

    def photograph(focus_distance):
        settings = replace(SETTINGS, focus_distance=focus_distance)
        taken.append(focus_distance)
        return camera(TEXTURE, depth, settings, len(taken)).image

    return photograph, taken


def blur(distance, focus):
    """Return the blur diameter of a point, px."""
    depth = torch.full((1, 1), distance, dtype=torch.float64)
    parts = SETTINGS.aperture, SETTINGS.focal_length, focus, MODEL.pixel_size, MODEL.defocus_gain
    return float(circle_of_confusion(depth, *parts))


@pytest.mark.parametrize('measure', ['tenengrad', 'laplacian'])
@pytest.mark.parametrize('distance', [0.35, 1.0, 4.0])
def test_contrast_finds_the_plane(distance, measure):
    focus = AutoFocus(size=0.8, near_limit=0.25)
    photograph, taken = photographer(distance)
    found = focus_by_contrast(photograph, focus, MODEL, SETTINGS, measure)
    assert found.done and found.found and len(taken) == len(found.seen)
    assert blur(distance, found.distance) < 1.0
    assert len(taken) < 40


def test_contrast_finds_the_plane_in_noise():
    noisy = replace(MODEL, shot_noise_gain=(2.0,) * 3, read_noise_fixed=False)
    stages = ('defocus', 'exposure', 'noise', 'response', 'color')
    photograph, _ = photographer(0.8, stages, noisy)
    found = focus_by_contrast(photograph, AutoFocus(size=0.8, near_limit=0.3), noisy, SETTINGS)
    assert blur(0.8, found.distance) < 1.5


def test_a_search_closes_in_on_any_single_peak():
    focus = AutoFocus(near_limit=0.2)
    for peak in np.linspace(0.05, 4.95, 23):
        search = ContrastSearch.over(focus, MODEL, SETTINGS)
        while not search.done:
            search = search.add(1.0 / (0.1 + (search.dioptres - peak) ** 2))
        assert abs(search.best - peak) <= search.tolerance
        assert search.distance == pytest.approx(1.0 / search.best)


def test_without_contrast_nothing_is_found():
    search = ContrastSearch.over(AutoFocus(), MODEL, SETTINGS)
    while not search.done:
        search = search.add(0.3 if len(search.seen) % 2 else 0.29)
    assert not search.found
    sharp = replace(MODEL, defocus_gain=0.0)
    assert ContrastSearch.over(AutoFocus(), sharp, SETTINGS).tolerance > 0.0


@pytest.mark.parametrize('measure', ['tenengrad', 'laplacian'])
def test_sharpness_does_not_depend_on_brightness(measure):
    picture = TEXTURE.float()
    assert sharpness(0.5 * picture, measure) == pytest.approx(
        sharpness(picture, measure), rel=1e-4
    )
    as_bytes = (picture * 255).round().to(torch.uint8)
    assert sharpness(as_bytes, measure) == pytest.approx(sharpness(picture, measure), rel=0.01)
    soft = torch.nn.functional.avg_pool2d(picture.permute(2, 0, 1), 3, 1, 1).permute(1, 2, 0)
    assert sharpness(soft, measure) < 0.5 * sharpness(picture, measure)
    assert sharpness(picture[:2, :2], measure) == 0.0 == sharpness(torch.zeros(9, 9, 3), measure)
    with pytest.raises(ValueError, match='tenengrad, laplacian'):
        sharpness(picture, 'variance')


def test_sharpness_is_sobels_gradient():
    picture = TEXTURE.float()
    grey = picture[..., 0].numpy().astype(float)
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    total, count = 0.0, 0
    for y in range(1, 47):
        for x in range(1, 63):
            patch = grey[y - 1 : y + 2, x - 1 : x + 2]
            total += (patch * kernel).sum() ** 2 + (patch * kernel.T).sum() ** 2
            count += 1
    assert sharpness(picture) == pytest.approx(total / count / grey.mean() ** 2, rel=1e-5)


def test_a_watch_calls_only_after_several_pictures_that_agree():
    watch = ContrastWatch().add(1.0)
    for value in (0.95, 1.2, 0.5, 0.6, 1.0):
        watch = watch.add(value)
        assert not watch.lost
    for value in (0.5, 0.6, 1.6):
        watch = watch.add(value)
    assert watch.lost


# --- depth ------------------------------------------------------------------------------------


def test_depth_at_a_point_is_the_median():
    depth = torch.full((48, 64), 5.0)
    depth[:, :32] = 2.0
    depth[20:28, 40:48] = torch.nan
    assert AutoFocus().depth_at(depth) == 2.0  # half and half: the nearer one
    assert AutoFocus(point_x=0.9).depth_at(depth) == 5.0
    assert AutoFocus(point_x=44 / 64, point_y=0.5, size=0.1).depth_at(depth) is None
    assert AutoFocus(point_x=0.0, point_y=1.0, size=0.0).depth_at(depth) == 2.0
    for nothing in (0.0, math.inf, -1.0):
        assert AutoFocus().depth_at(torch.full((48, 64), nothing)) == math.inf
    spikes = torch.full((48, 64), 3.0)
    spikes[::3, ::3] = 0.01
    assert AutoFocus(size=1.0).depth_at(spikes) == 3.0


def test_limits():
    focus = AutoFocus(near_limit=0.001, far_limit=10.0)
    assert focus.limits(0.05) == (pytest.approx(0.055), 10.0)
    assert (
        focus.clamped(math.inf, 0.05) == 10.0 and focus.clamped(0.01, 0.05) == 0.055000000000000004
    )


def test_blur_per_dioptre_is_that_of_the_circle_of_confusion():
    change = blur(2.0, 2.5) / (1 / 2.0 - 1 / 2.5)
    assert change == pytest.approx(blur_per_dioptre(MODEL, SETTINGS), rel=0.01)


def test_continuous_focus_follows_in_dioptres_and_does_not_breathe():
    focus = AutoFocus(speed=8.0)

    def follow(distances, fps=30.0, start=1.0):
        state, path = FocusState(start), []
        for distance in distances:
            state = focus.step(state, distance, 1 / fps, MODEL, SETTINGS)
            path.append(state.dioptres)
        return np.array(path), state

    path, state = follow([0.5] * 60)
    assert path[-1] == pytest.approx(2.0, abs=0.05 / blur_per_dioptre(MODEL, SETTINGS))
    assert (np.diff(path) >= 0).all() and path.max() <= 2.0 and not state.moving
    slow, _ = follow([0.5] * 20, fps=10.0)
    assert slow[9] == pytest.approx(path[29], abs=0.01)
    half_pixel = 0.5 / blur_per_dioptre(MODEL, SETTINGS)
    wobble = [1.0 / (1.0 + half_pixel * (-1) ** n) for n in range(50)]
    still, _ = follow(wobble)
    assert np.ptp(still) == 0.0
    away, state = follow([math.inf] * 60)
    assert away[-1] == pytest.approx(0.0, abs=1e-2)
    assert FocusState(0.0).distance == math.inf


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'point_x': -0.1}, 'point_x'),
        ({'size': math.nan}, 'size'),
        ({'near_limit': 0.0}, 'near_limit'),
        ({'far_limit': 0.01}, 'far_limit'),
        ({'speed': 0.0}, 'speed'),
        ({'dead_band': math.inf}, 'dead_band'),
    ],
)
def test_bad_values_are_refused_in_words(fields, words):
    with pytest.raises(ValueError, match=words):
        AutoFocus(**fields)
