# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Corners of chessboards against where they truly are, in pictures of a lens that bends lines."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from diffphyscam_ros.calibration.board_map import map_board
from diffphyscam_ros.calibration.detect import detect_board
from diffphyscam_ros.calibration.projection import project, rays, rotations
from diffphyscam_ros.calibration.saddle_fit import _Model, fit_saddles
from diffphyscam_ros.calibration.targets import Target

BOARD = Target.parse('chessboard:8x6:0.03')
SIZE = (320, 240)
CAMERA = np.array([330.0, 331.0, 158.0, 121.0, -0.28, 0.09, 0.0006, -0.0004, 0.0])
FINER = 6  # samples of a pixel along each axis


def taken(turn: tuple[float, float, float], place: tuple[float, float, float]) -> tuple:
    """Return an exact picture of the board, each pixel the mean of its area, and its corners."""
    rotation = rotations(np.array([turn]))[0]
    points = BOARD.object_points()
    shift = np.array(place) - rotation @ points.mean(axis=0)
    width, height = SIZE
    u, v = np.meshgrid(np.arange(-1.0, width + 1), np.arange(-1.0, height + 1))
    ray = rays('plumb_bob', CAMERA, np.stack([u.ravel(), v.ravel()], axis=1))[:, :2]
    ray = ray.reshape(height + 2, width + 2, 2)
    right, down = (ray[1:-1, 2:] - ray[1:-1, :-2]) / 2, (ray[2:, 1:-1] - ray[:-2, 1:-1]) / 2
    steps = (np.arange(FINER) + 0.5) / FINER - 0.5
    normal, square = rotation[:, 2], BOARD.square_size
    mean = np.zeros((height, width))
    for a in steps:
        for b in steps:
            at = ray[1:-1, 1:-1] + a * right + b * down
            at = np.concatenate([at, np.ones((height, width, 1))], axis=2)
            plane = (at * (normal @ shift / (at @ normal))[..., None] - shift) @ rotation[:, :2]
            i, j = np.moveaxis(np.floor(plane / square + 1).astype(int), -1, 0)
            inside = (i >= 0) & (i <= 8) & (j >= 0) & (j <= 6)
            mean += np.where(inside, np.where((i + j) % 2 == 0, 0.04, 0.85), 0.5)
    return mean / FINER**2, project('plumb_bob', CAMERA, points @ rotation.T + shift)[0]


VIEWS = (
    ((0.3, 0.2, 0.1), (-0.07, -0.04, 0.46)),
    ((-0.4, 0.35, 0.2), (0.06, 0.03, 0.48)),
    ((0.2, -0.45, -0.15), (0.07, -0.04, 0.48)),
    ((0.4, 0.1, 0.2), (-0.06, 0.04, 0.48)),
    ((0.1, 0.2, 0.05), (0.01, 0.0, 0.42)),
)


def errors(blur: float, noise: float, shading: float) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the errors of corners and how far outwards they point, px."""
    random = np.random.default_rng(0)
    miss, outward = [], []
    for turn, place in VIEWS:
        picture, true = taken(turn, place)
        x = np.linspace(-1, 1, SIZE[0])
        picture = cv2.GaussianBlur(picture, (0, 0), blur) * (1.0 - shading * x**2)
        picture = picture + random.normal(0, noise, picture.shape)
        view = detect_board(np.clip(picture * 60000, 0, 65535).astype(np.uint16), BOARD)
        assert view is not None and len(view) == 48
        off = min(
            (view.image_points - one[view.ids] for one in (true, true[::-1])),
            key=lambda difference: float((difference**2).sum()),
        )
        miss.append(off)
        away = view.image_points - CAMERA[2:4]
        outward.append((off * away).sum(axis=1) / np.linalg.norm(away, axis=1))
    return np.concatenate(miss), np.concatenate(outward)


@pytest.mark.parametrize(('blur', 'noise', 'shading'), [(0.5, 0.01, 0.0), (1.0, 0.005, 0.5)])
def test_bent_lines_and_shading_do_not_displace_corners(blur, noise, shading):
    miss, outward = errors(blur, noise, shading)
    # cornerSubPix is 0.04 px off there, and 0.008 px outwards at the rim
    assert np.sqrt((miss**2).sum(axis=1).mean()) < 0.03
    assert abs(outward.mean()) < 0.003
    assert abs(np.quantile(outward, 0.5)) < 0.003


def test_a_corner_that_ran_away_is_found_where_its_neighbours_have_it():
    picture, true = taken(*VIEWS[0])
    grey = (cv2.GaussianBlur(picture, (0, 0), 0.8) * 60000).astype(np.uint16)
    start = true.copy()
    start[20] += (6.0, -5.0)
    lines = map_board(BOARD.object_points()[:, :2], start)
    assert np.linalg.norm(lines.places[20] - true[20]) < 0.5
    start[20] = lines.places[20]
    found = fit_saddles(grey, start, lines, 0.45 * BOARD.square_size * lines.scale)
    assert found.good.all()
    assert np.abs(found.points - true)[20].max() < 0.05
    assert np.abs(found.points - true).max() < 0.1


def test_lines_run_and_bend_as_the_lens_pictures_them():
    _, true = taken(*VIEWS[1])
    plane = BOARD.object_points()[:, :2]
    lines = map_board(plane, true)
    rotation = rotations(np.array([VIEWS[1][0]]))[0]
    shift = np.array(VIEWS[1][1]) - rotation @ BOARD.object_points().mean(axis=0)
    points, step = BOARD.object_points(), 1e-3
    for axis in (0, 1):
        aside = np.eye(3)[axis] * step
        after, before = (
            project('plumb_bob', CAMERA, (points + s * aside) @ rotation.T + shift)[0]
            for s in (1, -1)
        )
        along, second = (after - before) / 2, after - 2 * true + before
        angle = np.arctan2(along[:, 1], along[:, 0])
        assert np.abs(np.angle(np.exp(1j * (lines.angle[:, axis] - angle)))).max() < 2e-3
        size = np.linalg.norm(along, axis=1)
        bend = (along[:, 0] * second[:, 1] - along[:, 1] * second[:, 0]) / size**3
        assert np.abs(lines.bend[:, axis] - bend).max() < 0.2 * np.abs(bend).max()


def test_no_picture_of_a_corner_is_no_corner():
    noise = np.random.default_rng(1).integers(0, 255, (240, 320)).astype(np.uint8)
    _, true = taken(*VIEWS[4])
    lines = map_board(BOARD.object_points()[:, :2], true)
    found = fit_saddles(noise, true, lines, np.full(48, 8.0))
    assert not found.good.any()
    np.testing.assert_array_equal(found.points, true)
    small = fit_saddles(noise, true, lines, np.full(48, 2.0))
    assert not small.good.any()


def test_derivatives_of_the_picture():
    random = np.random.default_rng(0)
    model = _Model(random.uniform(-5, 5, (2, 40)), random.normal(0, 0.01, (3, 2)),
                   np.ones((3, 40)), 5)  # fmt: skip
    theta = random.normal(0, 0.1, (3, 10))
    theta += np.array([0, 0, 0.3, 1.7, 0, 0, 100, -50, 0, 0])
    lever = model(theta)[1]
    for k in range(10):
        step = 1e-5 * np.eye(10)[k]
        slope = (model(theta + step)[0] - model(theta - step)[0]) / 2e-5
        np.testing.assert_allclose(lever[..., k], slope, rtol=1e-6, atol=1e-5)
