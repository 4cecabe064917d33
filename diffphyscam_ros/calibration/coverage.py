# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where in the picture and at which tilts a board was seen, and how sure K is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.projection import project, rays

Array = npt.NDArray[np.float64]

REGIONS = (
    ('top left', 'top', 'top right'),
    ('left', 'centre', 'right'),
    ('bottom left', 'bottom', 'bottom right'),
)
COLUMNS, ROWS = 12, 9  # of the maps

FEWEST_IN_REGION = 5  # corners, from at least two views
MOST_MISSING = 2  # regions without corners, before K counts as weak
SMALL_TILT = 10.0  # deg


@dataclass(frozen=True)
class Coverage:
    """What the views of a board cover.

    :param counts: (ROWS, COLUMNS) corners in each cell of the picture.
    :param missing: names of the ninths of the picture without corners.
    :param tilt: (v,) deg between each board's normal and the optical axis.
    :param normal_spread: deg, the largest angle between two boards.
    """

    counts: npt.NDArray[np.int64]
    missing: tuple[str, ...]
    tilt: Array
    normal_spread: float

    @property
    def weak(self) -> bool:
        """Whether K rests on too small a part of the picture or too few tilts."""
        return len(self.missing) > MOST_MISSING or self.normal_spread < 2 * SMALL_TILT

    def advice(self) -> tuple[str, ...]:
        """Return what to film to cover the rest, in plain sentences."""
        advice = []
        if self.missing:
            advice.append(
                f'no corners in these parts of the picture: {", ".join(self.missing)}; film the '
                'board there too, up to the rim'
            )
        if self.normal_spread < 2 * SMALL_TILT:
            advice.append(
                f'the boards differ by at most {self.normal_spread:.0f} deg in tilt; film it '
                'turned to the left, right, up and down by 20 to 45 deg'
            )
        return tuple(advice)


def measure_coverage(
    views: Sequence[BoardView], rotation: Array, image_size: tuple[int, int]
) -> Coverage:
    """Return the coverage of views with the rotations (v, 3, 3) of their boards."""
    pixels = np.concatenate([view.image_points for view in views])
    missing = []
    cells = [_cells(view.image_points, image_size, 3, 3) for view in views]
    for row, names in enumerate(REGIONS):
        for column, name in enumerate(names):
            inside = [int((cell == row * 3 + column).sum()) for cell in cells]
            if sum(inside) < FEWEST_IN_REGION or sum(count > 0 for count in inside) < 2:
                missing.append(name)
    normals = rotation[:, :, 2]
    tilt = np.degrees(np.arccos(np.clip(np.abs(normals[:, 2]), 0.0, 1.0)))
    cosines = np.clip(normals @ normals.T, -1.0, 1.0)
    counts = np.bincount(_cells(pixels, image_size, COLUMNS, ROWS), minlength=COLUMNS * ROWS)
    return Coverage(
        counts.reshape(ROWS, COLUMNS),
        tuple(missing),
        tilt,
        float(np.degrees(np.arccos(cosines.min()))),
    )


def _cells(
    pixels: Array, image_size: tuple[int, int], columns: int, rows: int
) -> npt.NDArray[np.int64]:
    unit = (pixels + 0.5) / image_size
    column = np.clip((unit[:, 0] * columns).astype(np.int64), 0, columns - 1)
    row = np.clip((unit[:, 1] * rows).astype(np.int64), 0, rows - 1)
    return row * columns + column


def cell_centres(image_size: tuple[int, int]) -> Array:
    """Return the pixels in the middle of the maps' cells, (ROWS * COLUMNS, 2)."""
    x = (np.arange(COLUMNS) + 0.5) / COLUMNS * image_size[0] - 0.5
    y = (np.arange(ROWS) + 0.5) / ROWS * image_size[1] - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def projection_uncertainty(
    model: str, camera: Array, covariance: Array, image_size: tuple[int, int]
) -> Array:
    """Return how uncertain the direction of each part of the picture is, (ROWS, COLUMNS), px.

    One standard deviation of where a fixed direction is seen, the worse of x and y. A turn of
    the whole camera does not count: no calibration can tell it, and no use of K feels it, since
    poses take it up. NaN where the lens model sees nothing.
    """
    pixels = cell_centres(image_size)
    flat = rays(model, camera, pixels)
    good = np.isfinite(flat).all(axis=1)
    result = np.full(len(pixels), np.nan)
    if good.sum() >= 4:
        points = np.concatenate([flat[good], np.ones((int(good.sum()), 1))], axis=1)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        _, by_camera, by_point = project(model, camera, points)
        # A small turn w moves a direction by w x X.
        turns = np.cross(np.eye(3)[None], points[:, None, :])
        by_turn = np.einsum('nij,nkj->nik', by_point, turns)
        moved = by_camera.reshape(-1, len(camera))
        turn = by_turn.reshape(-1, 3)
        moved = moved - turn @ np.linalg.lstsq(turn, moved, rcond=None)[0]
        variance = np.einsum('ij,jk,ik->i', moved, covariance, moved).reshape(-1, 2)
        result[good] = np.sqrt(np.maximum(variance, 0.0)).max(axis=1)
    return result.reshape(ROWS, COLUMNS)
