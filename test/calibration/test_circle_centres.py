# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Circles seen at a slant: the middle of the ellipse is not the centre."""

from __future__ import annotations

from board_pictures import photographed
import numpy as np
import pytest

from diffphyscam_ros.calibration.circle_centres import true_centres
from diffphyscam_ros.calibration.detect import detect_board
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.projection import rotations
from diffphyscam_ros.calibration.targets import Target


def test_centres_of_ellipses_become_those_of_circles():
    board = Target.parse('circles:7x5:0.03')
    plane, radius = board.object_points()[:, :2], 0.009
    view = np.array([[900.0, 80.0, 60.0], [-50.0, 700.0, 90.0], [1.2, -0.9, 1.0]])

    def through(points):
        seen = np.column_stack([points, np.ones(len(points))]) @ view.T
        return seen[:, :2] / seen[:, 2:]

    angle = np.linspace(0, 2 * np.pi, 9000, endpoint=False)
    rim = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middles = []
    for centre in plane:
        outline = through(centre + rim)
        # of an ellipse, opposite extremes are symmetric about its middle
        middles.append((outline.max(axis=0) + outline.min(axis=0)) / 2)
    middles, true = np.array(middles), through(plane)
    assert np.linalg.norm(middles - true, axis=1).max() > 0.1
    assert np.linalg.norm(true_centres(plane, middles, radius) - true, axis=1).max() < 1e-3


@pytest.mark.parametrize('text', ['circles:7x5:0.03', 'asymmetric_circles:4x9:0.02'])
def test_circles_of_a_tilted_board(text):
    board = Target.parse(text)
    rotation = rotations(np.array([[0.75, -0.35, 0.1]]))[0]
    place = np.array([0.0, 0.0, 0.3]) - rotation @ board.object_points().mean(axis=0)
    picture, true = photographed(board, rotation, place, noise=0.5)
    view = detect_board(picture, board)
    assert view is not None
    off = np.linalg.norm(view.image_points - true[view.ids], axis=1)
    assert np.median(off) < 0.03  # 0.24 and 0.11 without


def test_the_size_that_was_stated_is_the_one_refused():
    with pytest.raises(CalibrationError, match=r'marker size.*30'):
        Target.parse('arucogrid:6x4:30:0.25:DICT_6X6_250')
