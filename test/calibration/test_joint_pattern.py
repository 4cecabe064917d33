# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The print of a target as a function: against drawings of it, and its gradients."""

from __future__ import annotations

from board_pictures import drawn
import cv2
import numpy as np
import pytest
import torch

from diffphyscam_ros.calibration.joint_pattern import BoardPattern
from diffphyscam_ros.calibration.targets import Target

TARGETS = (
    'chessboard:6x4:0.024',
    'charuco:5x4:0.04:0.028:DICT_4X4_100',
    'aprilgrid:3x2:0.04:0.25',
    'arucogrid:3x2:0.042:0.5:DICT_5X5_100',
    'circles:5x4:0.03',
)
PER_MM = 10.0


@pytest.mark.parametrize('text', TARGETS)
@pytest.mark.parametrize('box', [0.0, 0.8])
def test_it_is_the_blurred_drawing(text: str, box: float) -> None:
    target = Target.parse(text)
    picture, place = drawn(target, PER_MM)
    sigma = 0.7  # mm
    blurred = cv2.GaussianBlur(picture.astype(np.float32) / 255.0, (0, 0), sigma * PER_MM)
    if box:
        width = round(2 * box * PER_MM) + 1
        blurred = cv2.blur(blurred, (width, width))
    random = np.random.default_rng(3)
    points = target.object_points()[:, :2]
    where = random.uniform(points.min(axis=0) - 0.008, points.max(axis=0) + 0.008, (3000, 2))
    pixels = (np.column_stack([where, np.ones(len(where))]) @ place.T)[:, :2].astype(np.float32)
    expected = cv2.remap(blurred, pixels[:, None], None, cv2.INTER_LINEAR)[:, 0]
    spread = torch.full((len(where), 2), sigma * 1e-3, dtype=torch.float64)
    half = torch.full_like(spread, max(box, 1e-3) * 1e-3)
    paper = BoardPattern(target).paper(
        torch.from_numpy(where), spread, half, torch.zeros(len(where), dtype=torch.float64)
    )
    error = np.abs(paper.numpy() - expected)
    # the drawing's edges are rounded to pixels of 0.1 mm; circles count as straight edges
    assert error.mean() < 0.008 and error.max() < 0.08


def test_a_slanted_gaussian_counts_to_first_order() -> None:
    """At a saddle of a chessboard the exact value is that of two normal variables."""
    target = Target.parse('chessboard:6x4:0.03')
    place = torch.from_numpy(target.object_points()[8:9, :2].copy())
    spread = torch.full((1, 2), 1e-3, dtype=torch.float64)
    box = torch.full_like(spread, 1e-6)
    for correlation in (-0.3, 0.2):
        mixed = torch.tensor([correlation * 1e-6], dtype=torch.float64)
        paper = float(BoardPattern(target).paper(place, spread, box, mixed))
        exact = 0.5 + np.arcsin(correlation) / np.pi
        assert min(abs(paper - exact), abs(1.0 - paper - exact)) < 2e-3


@pytest.mark.parametrize('text', ['chessboard:6x4:0.024', TARGETS[1], 'circles:5x4:0.03'])
def test_it_has_gradients(text: str) -> None:
    target = Target.parse(text)
    random = np.random.default_rng(1)
    corners = target.object_points()[[3, 8, 9], :2]
    # in units that make all derivatives about 1
    place = torch.from_numpy(corners * 1e3 + random.uniform(-9, 9, (3, 2))).requires_grad_(True)
    spread = torch.full((3, 2), 1.1, dtype=torch.float64, requires_grad=True)
    box = torch.full((3, 2), 0.6, dtype=torch.float64, requires_grad=True)
    mixed = torch.full((3,), 0.2, dtype=torch.float64, requires_grad=True)
    pattern = BoardPattern(target)

    def paper(*parts: torch.Tensor) -> torch.Tensor:
        x, s, h, m = parts
        return pattern.paper(x * 1e-3, s * 1e-3, h * 1e-3, m * 1e-6)

    assert torch.autograd.gradcheck(paper, (place, spread, box, mixed))
