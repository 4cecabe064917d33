# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How sharp, how bright and how complete a picture of a board is, measured at its edges."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView, ViewQuality
from diffphyscam_ros.calibration.targets import CIRCLE_RADIUS, GRIDS, Target

BLURRED_EDGE = 6.0  # px, wider edges displace corners and hide markers
BLURRED_SHARE = 0.35  # of the distance between corners; small boards blur sooner
SATURATED_SHARE = 0.3  # of the white squares
LOW_CONTRAST = 0.06  # of full scale
FEW_CORNERS = 0.2  # of the board

_SAMPLES = 41  # along a line
_PLATEAU = 6  # of them on each side of the step
_LONGEST = 16.0  # px on each side, so that samples stay dense
_MOST_EDGES = 120  # measured in a view

Points = npt.NDArray[np.float64]


def measure_quality(
    grey: npt.NDArray[Any], view: BoardView, target: Target, full_scale: float
) -> ViewQuality:
    """Return the quality of a view.

    :param grey: the picture that the corners were found in, (H, W), in its own scale.
    """
    share = len(view) / target.corner_count
    start, end, direction, spacing = _crossings(view, target)
    edge_width, saturated, contrast = float('nan'), 0.0, 0.0
    white: Points = np.zeros(0)
    if len(start):
        unit, white, black, kept = _profiles(grey, start, end)
        lengths, direction = np.linalg.norm(end - start, axis=1)[kept], direction[kept]
        widths = [_width(unit[direction == d], lengths[direction == d]) for d in (0, 1)]
        edge_width = float(np.nanmax(widths)) if np.isfinite(widths).any() else edge_width
    if len(white):
        saturated = float((white >= 0.995 * full_scale).mean())
        contrast = float(np.median(white) - np.median(black)) / full_scale
    flags = []
    if edge_width > BLURRED_EDGE or edge_width > BLURRED_SHARE * spacing:
        flags.append('blurred')
    if saturated > SATURATED_SHARE:
        flags.append('saturated')
    if len(white) and contrast < LOW_CONTRAST:
        flags.append('low contrast')
    if share < FEW_CORNERS:
        flags.append('few corners')
    return ViewQuality(len(view), share, spacing, edge_width, contrast, saturated, tuple(flags))


def _crossings(
    view: BoardView, target: Target
) -> tuple[Points, Points, npt.NDArray[np.int64], float]:
    """Return lines across edges of the board, from (n, 2) to (n, 2), px.

    Also along which of the board's directions each edge runs (0 = x, 1 = y), and the median
    distance of neighbouring points.
    """
    columns = target.corner_grid[0]
    place = {int(number): index for index, number in enumerate(view.ids)}
    pairs = []
    paired = target.kind in GRIDS
    for number, index in place.items():
        column, row = number % columns, number // columns
        if column + 1 < columns and (not paired or column % 2 == 0) and number + 1 in place:
            pairs.append((index, place[number + 1], 0))
        if (not paired or row % 2 == 0) and number + columns in place:
            pairs.append((index, place[number + columns], 1))
    if not pairs:
        nothing = np.zeros((0, 2))
        return nothing, nothing, np.zeros(0, np.int64), float('nan')
    first, second, kinds = np.array(pairs).T
    a, b = view.image_points[first], view.image_points[second]
    along = b - a
    length = np.linalg.norm(along, axis=1)
    spacing = float(np.median(length))
    if 'circles' in target.kind:
        # From the middle of a circle across its rim, along the line to its neighbour.
        radius = CIRCLE_RADIUS * (1.0 if target.kind == 'circles' else 0.5)
        unit = along / length[:, None]
        half = np.minimum(radius * length, _LONGEST)[:, None]
        rim = a + along * radius
        start, end = rim - unit * half, rim + unit * half
        # the rim is crossed in the direction of the line, so the edge runs along the other one
        kinds = 1 - kinds
    else:
        reach = _reach(target)
        middle = (a + b) / 2.0
        normal = np.stack([-along[:, 1], along[:, 0]], axis=-1) / length[:, None]
        half = np.minimum(reach * length, _LONGEST)[:, None]
        start, end = middle - normal * half, middle + normal * half
    step = max(1, len(start) // _MOST_EDGES)
    return start[::step], end[::step], kinds[::step], spacing


def _reach(target: Target) -> float:
    """Return how far both sides of an edge stay plain, over the length of the edge."""
    if target.kind == 'chessboard':
        return 0.4
    if target.kind == 'charuco':
        return 0.8 * (1.0 - target.marker_size / target.square_size) / 2.0
    cells = 6 + 2 * target.border_bits
    gap = target.square_size / target.marker_size - 1.0
    return 0.8 * min(target.border_bits / cells, gap)


def _profiles(
    grey: npt.NDArray[Any], start: Points, end: Points
) -> tuple[Points, Points, Points, npt.NDArray[np.bool_]]:
    """Return the steps along lines: from 0 to 1 (k, samples), white and black (k,), and which.

    Lines that leave the picture or show no step are left out.
    """
    height, width = grey.shape
    t = np.linspace(0.0, 1.0, _SAMPLES)
    line = start[:, None] + (end - start)[:, None] * t[:, None]
    within = (line >= 0) & (line <= (width - 1, height - 1))
    kept = np.asarray(within.all(axis=(1, 2)))
    x, y = (np.where(kept[:, None], line[..., axis], 0.0).astype(np.float32) for axis in (0, 1))
    values = np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR), np.float64)
    head, tail = values[:, :_PLATEAU].mean(axis=1), values[:, -_PLATEAU:].mean(axis=1)
    values = np.where((head > tail)[:, None], values[:, ::-1], values)
    black, white = np.minimum(head, tail), np.maximum(head, tail)
    kept &= white - black > 0.01 * max(float(grey.max()), 1.0)
    black, white = black[kept], white[kept]
    unit = (values[kept] - black[:, None]) / (white - black)[:, None]
    return unit, white, black, kept


def _width(profiles: Points, lengths: Points) -> float:
    """Return the 10 % to 90 % width, px, of the median of steps laid over one another.

    The median over many edges, each shifted so that it crosses one half in the middle, keeps the
    shape of the step and loses the noise.
    """
    if not len(profiles):
        return float('nan')
    reach = float(np.median(lengths)) / 2.0
    offsets = np.linspace(-reach, reach, _SAMPLES)
    t = np.linspace(-0.5, 0.5, _SAMPLES)
    laid = []
    for profile, length in zip(profiles, lengths, strict=True):
        above = int(np.argmax(profile > 0.5))
        low, high = profile[above - 1], profile[above]
        middle = (
            t[above] if above == 0 else t[above - 1] + (0.5 - low) / (high - low) * (t[1] - t[0])
        )
        laid.append(np.interp(offsets, (t - middle) * length, profile))
    step = np.maximum.accumulate(np.median(laid, axis=0))
    step = step + np.arange(_SAMPLES) * 1e-9  # strictly rising
    return float(np.interp(0.9, step, offsets) - np.interp(0.1, step, offsets))
