# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Find a calibration target in a picture, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_map import map_board
from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.circle_centres import true_centres
from diffphyscam_ros.calibration.grey import to_byte_grey, to_grey
from diffphyscam_ros.calibration.markers import find_markers, marker_bits
from diffphyscam_ros.calibration.saddle_fit import fit_saddles
from diffphyscam_ros.calibration.strays import without_strays
from diffphyscam_ros.calibration.tag_edges import refine_squares
from diffphyscam_ros.calibration.targets import CIRCLE_RADIUS, GRIDS, Target
from diffphyscam_ros.calibration.view_quality import measure_quality

VERSION = 6
"""Changes whenever the same picture may give other corners: detections in caches are then old."""

LONG_SIDE = 1200
"""Chessboards and markers are first looked for in a picture of at most this many pixels."""

SADDLES = ('chessboard', 'charuco', 'aprilgrid')
"""The kinds whose corners are where four squares meet."""

FEW_MARKERS = 6
"""Of fewer, a picture at a larger scale is searched too."""

LARGE_MARKER = 20.0
"""px, the side of a marker that tells a chessboard's corner alone."""

RUN_AWAY = 1.0
"""px from where its neighbours have it, and five times the median, from which a corner is lost."""

FEWEST_MARKED = 6
"""Corners that a view of a board with markers needs."""

Bytes = npt.NDArray[np.uint8]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Numbers (n,) and pixel positions (n, 2) of points."""


def detect_board(
    image: npt.NDArray[Any],
    target: Target,
    *,
    name: str = '',
    encoding: str = '',
    full_scale: float | None = None,
) -> BoardView | None:
    """Return the view of the target in a picture, or None where it is not found.

    Boards without markers must be whole in the picture; of the others the corners in sight
    are returned, at least 6 that span a plane.

    :param image: (H, W) or (H, W, 3) RGB; uint8 or uint16; Bayer mosaics as (H, W) with their
        encoding.
    :param encoding: as in ``RecordedFrame``.
    :param full_scale: the value of saturation; default: the largest of the type.
    :raises CalibrationError: for a picture of another type or shape.
    """
    grey = to_grey(image, encoding)
    size = (grey.shape[1], grey.shape[0])
    plain = to_byte_grey(grey)
    # Saddles are found in a small picture and then followed to the large one.
    small, scale = _smaller(plain) if target.kind in SADDLES else (plain, 1.0)
    found = _FINDERS[target.kind](small, target)
    if found is None:
        return None
    ids, points = found
    if scale < 1.0:
        start = _enlarged(points, scale)
        points = refine_saddles(plain, start, 1.5 / scale + 1.0)
        near = np.linalg.norm(points - start, axis=1) < 2.0 / scale
        if not near.all() and not target.has_markers:
            return None
        ids, points = ids[near], points[near]
        if not _spans_plane(ids, target):
            return None
    if target.has_markers:
        keep = without_strays(target.object_points()[ids, :2], points)
        ids, points = ids[keep], points[keep]
    if target.kind in SADDLES:
        ids, points = _fitted(grey, target, ids, points)
        if not _spans_plane(ids, target):
            return None
    full_scale = full_scale or float(np.iinfo(grey.dtype).max)
    view = BoardView.of(target, ids, points, size, name)
    quality = measure_quality(grey, view, target, full_scale)
    return BoardView.of(target, ids, points, size, name, quality)


def _smaller(grey: Bytes) -> tuple[Bytes, float]:
    """Return the picture to search in and its scale, at most 1."""
    scale = min(1.0, LONG_SIDE / max(grey.shape))
    if scale == 1.0:
        return grey, scale
    return np.asarray(
        cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ), scale


def _enlarged(points: npt.NDArray[Any], scale: float) -> npt.NDArray[np.float32]:
    """Return points of the smaller picture in the large one; pixel centres are whole."""
    return ((np.asarray(points, np.float64).reshape(-1, 2) + 0.5) / scale - 0.5).astype(np.float32)


def _fitted(
    grey: npt.NDArray[Any],
    target: Target,
    ids: npt.NDArray[np.int64],
    points: npt.NDArray[np.float64],
) -> Found:
    """Return corners at the saddles of a picture of the board, those that are none left out."""
    plane = target.object_points()[ids, :2]
    lines = map_board(plane, points)
    if lines is None:
        return ids, points
    # One that ran away begins again where its neighbours have it.
    away = np.linalg.norm(points - lines.places, axis=1)
    lost = away > max(RUN_AWAY, 5.0 * float(np.median(away)))
    start = np.where(lost[:, None], lines.places, points)
    found = fit_saddles(grey, start, lines, _clearance(target) * lines.scale)
    keep = found.good | ~lost
    return ids[keep], found.points[keep]


def _clearance(target: Target) -> float:
    """Return how far from a corner no other edge of the board is, most of it, m."""
    if target.kind == 'chessboard':
        return 0.45 * target.square_size
    if target.kind == 'charuco':
        return 0.45 * (target.square_size - target.marker_size)
    cells = marker_bits(target.dictionary) + 2 * target.border_bits
    border = target.border_bits / cells * target.marker_size
    return 0.85 * min(target.square_size - target.marker_size, border)


def refine_saddles(
    grey: Bytes, points: npt.NDArray[np.float32], reach: float
) -> npt.NDArray[np.float64]:
    """Return the points moved to where four squares meet.

    :param reach: px, half the side of the window that may be looked at; held to 2 to 11.
    """
    half = int(np.clip(reach, 2, 11))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)
    start = np.ascontiguousarray(points.reshape(-1, 1, 2), np.float32)
    moved = cv2.cornerSubPix(grey, start.copy(), (half, half), (-1, -1), stop)
    return np.asarray(moved, np.float64).reshape(-1, 2)


def _chessboard(grey: Bytes, target: Target) -> Found | None:
    """Find every inner corner of a chessboard."""
    shape = target.corner_grid
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH + cv2.CALIB_CB_NORMALIZE_IMAGE
    flags += cv2.CALIB_CB_FAST_CHECK  # pictures without a board would take ten times as long
    found, corners = cv2.findChessboardCorners(grey, shape, flags=flags)
    if not found and cv2.checkChessboard(grey, shape):
        # Slower, and better with blur and with squares that touch the rim.
        found, corners = cv2.findChessboardCornersSB(grey, shape)
    if not found or corners is None or len(corners) != target.corner_count:
        return None
    first = np.asarray(corners, np.float32).reshape(-1, 2)
    grid = first.reshape(shape[1], shape[0], 2)
    across = np.linalg.norm(np.diff(grid, axis=1), axis=-1).min()
    down = np.linalg.norm(np.diff(grid, axis=0), axis=-1).min()
    points = refine_saddles(grey, first, 0.4 * float(min(across, down)))
    return np.arange(len(points)), _one_way(points, shape)


def _one_way(points: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return a grid's points in the order that is not a mirror image of the board.

    Of a board seen from its front, x to y turns as in the picture: clockwise.
    """
    grid = points.reshape(shape[1], shape[0], 2)
    (ax, ay), (bx, by) = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    return points if ax * by - ay * bx > 0 else grid[:, ::-1].reshape(-1, 2)


def _circles(grey: Bytes, target: Target) -> Found | None:
    """Find every circle, dark on light, by its centre of mass, perspective taken off."""
    parameters = cv2.SimpleBlobDetector_Params()  # type: ignore[attr-defined]
    parameters.minThreshold, parameters.maxThreshold, parameters.thresholdStep = 20, 230, 15
    parameters.minArea = 12.0
    parameters.maxArea = grey.size / (4.0 * target.corner_count) + 100.0
    parameters.minDistBetweenBlobs = 4.0
    blobs = cv2.SimpleBlobDetector_create(parameters)  # type: ignore[attr-defined]
    kind = (
        cv2.CALIB_CB_ASYMMETRIC_GRID
        if target.kind == 'asymmetric_circles'
        else cv2.CALIB_CB_SYMMETRIC_GRID
    )
    for flags in (kind, kind + cv2.CALIB_CB_CLUSTERING):
        found, centres = cv2.findCirclesGrid(
            grey, target.corner_grid, flags=flags, blobDetector=blobs
        )
        if found and centres is not None and len(centres) == target.corner_count:
            points = np.asarray(centres, np.float64).reshape(-1, 2)
            if target.kind == 'circles':
                points = _one_way(points, target.corner_grid)
            radius = CIRCLE_RADIUS * target.square_size
            plane = target.object_points()[:, :2]
            return np.arange(len(points)), true_centres(plane, points, radius)
    return None


def _markers(grey: Bytes, target: Target) -> dict[int, npt.NDArray[np.float32]]:
    """Return the markers in a picture; where they seem too small for it, in one twice as large."""
    small, scale = _smaller(grey)
    found = find_markers(small, target.dictionary, target.marker_count, target.border_bits)
    if len(found) < FEW_MARKERS and max(grey.shape) <= LONG_SIDE:
        scale = 2.0
        large = np.asarray(cv2.resize(grey, None, fx=2.0, fy=2.0), np.uint8)
        found = find_markers(large, target.dictionary, target.marker_count, target.border_bits)
    elif len(found) < FEW_MARKERS and scale < 1.0:
        scale = 1.0
        found = find_markers(grey, target.dictionary, target.marker_count, target.border_bits)
    return {number: _enlarged(quad, scale) for number, quad in found.items()}


def _spans_plane(ids: npt.NDArray[np.int64], target: Target) -> bool:
    """Tell whether points suffice for a pose: enough, and not all in one row."""
    if len(ids) < FEWEST_MARKED:
        return False
    columns = target.corner_grid[0]
    return len(set(ids % columns)) > 1 and len(set(ids // columns)) > 1


def _grid(grey: Bytes, target: Target) -> Found | None:
    """Find the corners of the tags of an AprilGrid or a grid of ArUco markers."""
    found = _markers(grey, target)
    if not found:
        return None
    ids = np.array([n for marker in found for n in target.marker_corners(marker)], np.int64)
    quads = np.stack(list(found.values()))
    side = np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=-1).min(axis=1)
    gap = target.square_size / target.marker_size - 1.0
    # Beyond the gap are other tags; inside, the black border ends.
    cells = marker_bits(target.dictionary) + 2 * target.border_bits
    reach = min(gap, target.border_bits / cells) * side * 0.8
    if target.kind == 'arucogrid':
        points = refine_squares(grey, quads, reach).reshape(-1, 2)
    else:
        moved = zip(quads, reach, strict=True)
        points = np.concatenate([refine_saddles(grey, quad, float(half)) for quad, half in moved])
    # A corner that runs away has found something else.
    limit = np.repeat(np.maximum(reach, 2.0), 4)
    good = np.linalg.norm(points - quads.reshape(-1, 2), axis=1) < limit
    order = np.argsort(ids[good])
    ids, points = ids[good][order], points[good][order]
    return (ids, points) if _spans_plane(ids, target) else None


def _charuco(grey: Bytes, target: Target) -> Found | None:
    """Find the inner corners of a chessboard with markers in its white squares.

    Each marker tells, by its own perspective, where the corners of its square are; every corner
    is the mean of what its markers say, then moved to the saddle.
    """
    margin = (target.square_size - target.marker_size) / 2.0
    side, columns = target.marker_size, target.columns - 1
    inner = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    low, high = -margin, side + margin
    outer = np.array([[[low, low], [high, low], [high, high], [low, high]]], np.float32)
    guesses: dict[int, list[npt.NDArray[np.float32]]] = {}
    largest: dict[int, float] = {}
    for marker, quad in _markers(grey, target).items():
        view = cv2.getPerspectiveTransform(inner, quad)
        column, row = target.marker_cell(marker)
        corners = np.asarray(cv2.perspectiveTransform(outer, view))[0]
        for corner, (right, below) in zip(corners, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
            x, y = column - 1 + right, row - 1 + below
            if 0 <= x < columns and 0 <= y < target.rows - 1:
                guesses.setdefault(y * columns + x, []).append(corner)
                largest[y * columns + x] = max(largest.get(y * columns + x, 0.0), _side(quad))
    # One small marker alone points a few pixels past its corner.
    sure = [n for n, said in guesses.items() if len(said) > 1 or largest[n] >= LARGE_MARKER]
    if not sure:
        return None
    ids = np.array(sorted(sure), np.int64)
    start = np.stack([np.mean(guesses[number], axis=0) for number in ids]).astype(np.float32)
    height, width = grey.shape
    inside = (start > 2).all(axis=1) & (start < (width - 3, height - 3)).all(axis=1)
    ids, start = ids[inside], start[inside]
    if not _spans_plane(ids, target):
        return None
    reach = 0.8 * margin / target.square_size * _nearest_spacing(ids, start, columns)
    points = np.concatenate(
        [refine_saddles(grey, one, float(half)) for one, half in zip(start, reach, strict=True)]
    )
    good = np.linalg.norm(points - start, axis=1) < np.maximum(reach, 1.5)
    ids, points = ids[good], points[good]
    return (ids, points) if _spans_plane(ids, target) else None


def _side(quad: npt.NDArray[np.float32]) -> float:
    """Return the shortest side of a marker, px."""
    return float(np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1).min())


def _nearest_spacing(
    ids: npt.NDArray[np.int64], points: npt.NDArray[np.float32], columns: int
) -> npt.NDArray[np.float64]:
    """Return how far each point's nearest neighbour on the board is, px."""
    place = {int(number): index for index, number in enumerate(ids)}
    spacing = np.full(len(ids), np.inf)
    for number, index in place.items():
        near = [number + columns, number - columns]
        near += [number + 1] * ((number + 1) % columns != 0) + [number - 1] * (
            number % columns != 0
        )
        others = [place[n] for n in near if n in place]
        if others:
            spacing[index] = np.linalg.norm(points[others] - points[index], axis=1).min()
    typical = np.median(spacing[np.isfinite(spacing)]) if np.isfinite(spacing).any() else 10.0
    return np.where(np.isfinite(spacing), spacing, typical)


_FINDERS: dict[str, Callable[[Bytes, Target], Found | None]] = {
    'chessboard': _chessboard,
    'circles': _circles,
    'asymmetric_circles': _circles,
    'charuco': _charuco,
    **dict.fromkeys(GRIDS, _grid),
}
