# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The calibration board against OpenCV's detector; the scenery repeats and replays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from diffphyscam_ros.scene import checkerboard, checkerboard_target, SceneError
from diffphyscam_ros.scene.procedural import brick, checkerboard_size, grid, noise, wood


def test_board_is_detected_where_it_says() -> None:
    mesh, material, corners = checkerboard_target(rows=6, columns=8, square_m=0.025)
    assert material.base_color_texture is not None
    picture = material.base_color_texture.image
    codes = (picture.mean(-1).clamp(0, 1) * 255).to(torch.uint8).numpy()
    found, pixels = cv2.findChessboardCornersSB(codes, (8, 6))
    assert found
    height, width = codes.shape
    size = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    np.testing.assert_allclose(size[:2].numpy(), [11 * 0.025, 9 * 0.025], rtol=1e-6)
    # Texel edges, not centres, are the board's edges: half a pixel between the conventions.
    metres = (pixels.reshape(-1, 2) + 0.5) / (width, height) * size[:2].numpy()
    metres = (metres - size[:2].numpy() / 2) * (1, -1)
    wanted = corners[:, :2].numpy()
    if np.abs(metres - wanted).max() > 0.01:
        metres = metres[::-1]  # the detector may start at the other end of a symmetric board
    assert np.abs(metres - wanted).max() < 1e-4


def test_board_colours_and_size() -> None:
    image = checkerboard(1, 1, quiet_zone=0.5, pixels_per_square=4).image
    assert image.shape == (12, 12, 3)
    assert image[0, 0, 0] > 0.8 and image[2, 2, 0] < 0.1 and image[2, 9, 0] > 0.8
    assert checkerboard_size(1, 1, 0.1, quiet_zone=0.5, pixels_per_square=4) == pytest.approx(
        (0.3, 0.3)
    )


@pytest.mark.parametrize('make', [brick, wood, noise])
def test_scenery_is_reflectance_and_replays(make: object) -> None:
    first, again, other = (make(seed=seed, size=64).image for seed in (4, 4, 5))  # type: ignore[operator]
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == (64, 64, 3) and first.dtype == torch.float32
    assert float(first.min()) >= 0 and float(first.max()) <= 1
    assert float(first.std()) > 0.02


def test_scenery_repeats_seamlessly() -> None:
    """The step over the edge is no larger than the steps inside."""
    for image in (wood(size=128).image, noise(size=128).image, grid(size=128).image):
        for axis in (0, 1):
            inside = image.diff(dim=axis).abs().amax()
            over = (image.select(axis, 0) - image.select(axis, -1)).abs().amax()
            assert float(over) <= float(inside) + 1e-6


def test_random_state_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    wood(size=32)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    'make',
    [
        lambda: checkerboard(0, 5),
        lambda: checkerboard_size(6, 8, 0.0),
        lambda: brick(rows=3),
        lambda: grid(line=1.5),
    ],
)
def test_refuses(make: object) -> None:
    with pytest.raises(SceneError):
        make()  # type: ignore[operator]
