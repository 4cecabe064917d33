# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The edges between the squares of a board, each at its own depth, for the defocus stage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.edge_spread import Edge
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.targets import Target

CLEAR = 0.2
"""Of an edge, left out at each end: the corner's other edge is there."""

LEAST_REACH = 3.0
"""px, to the sides; smaller squares show no plain sides."""


def board_edges(
    view: BoardView,
    target: Target,
    rotation: npt.ArrayLike,
    translation: npt.ArrayLike,
    most: int = 24,
) -> list[Edge]:
    """Return edges of a chessboard or ChArUco board, evenly spread over it.

    Corners that defocus displaces little are good enough: an edge is found again where it is
    measured. Depth is that of the edge's middle along z.

    :param rotation: (3, 3), of the board in the camera's frame; ``translation`` (3,), m.
    :param most: edges returned.
    :raises CalibrationError: for a board without squares.
    """
    if target.kind not in ('chessboard', 'charuco'):
        raise CalibrationError(
            'target', target.kind, allowed='chessboard or charuco, whose squares have edges'
        )
    depth = view.object_points @ np.asarray(rotation, np.float64)[2] + float(
        np.asarray(translation, np.float64).ravel()[2]
    )
    columns = target.corner_grid[0]
    place = {int(number): index for index, number in enumerate(view.ids)}
    # beside an edge of a ChArUco board, half of the squares have a marker inside
    share = 0.4
    if target.kind == 'charuco':
        share = 0.8 * (1.0 - target.marker_size / target.square_size) / 2.0
    edges = []
    for number, index in place.items():
        for other, same_row in ((number + 1, True), (number + columns, False)):
            if other not in place or (same_row and other % columns == 0):
                continue
            a, b = view.image_points[index], view.image_points[place[other]]
            reach = share * float(np.linalg.norm(b - a))
            if reach < LEAST_REACH:
                continue
            start, end = a + CLEAR * (b - a), b - CLEAR * (b - a)
            middle = float(depth[index] + depth[place[other]]) / 2.0
            edges.append(
                Edge((float(start[0]), float(start[1])), (float(end[0]), float(end[1])), reach,
                     middle)
            )  # fmt: skip
    step = max(1, -(-len(edges) // most))
    return edges[::step]
