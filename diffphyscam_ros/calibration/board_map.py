# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How a board is pictured around each of its corners: which way its lines run and how they bend.

A homography and a polynomial on top of it, fitted to the corners of one view. A lens bends the
lines of a board, and over the window in which a corner is measured that displaces it: a line of
curvature κ (1/px) leaves its chord over 2h px by up to κh²/2.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_DEGREES = ((45, 5, 4), (24, 4, 3), (12, 3, 2))
"""Points, and columns and rows with points, from which on a polynomial of a degree is fitted."""

_STEP = 0.25  # of the distance of neighbours, for derivatives


@dataclass(frozen=True)
class BoardMap:
    """The lines of a board through each of some points.

    :param angle: (n, 2) rad in the picture, of the board's lines along its x and its y.
    :param bend: (n, 2) 1/px, their curvatures, positive to the left-hand normal (−sin, cos); 0
        where there are too few points to know.
    :param places: (n, 2) px, where the map has the points.
    :param scale: (n,) px per m of the board, of the distance of its lines in the direction in
        which they are nearest to each other in the picture.
    """

    angle: Array
    bend: Array
    places: Array
    scale: Array


def map_board(plane: Array, pixels: Array) -> BoardMap | None:
    """Return the map of a view, or None where the points span no plane.

    :param plane: (n, 2) of the points on the board; ``pixels`` (n, 2), a few of which may be
        wrong.
    """
    middle, scale = plane.mean(axis=0), float(np.abs(plane - plane.mean(axis=0)).max())
    if scale <= 0.0 or len(plane) < 4:
        return None
    unit = (plane - middle) / scale
    found, _ = cv2.findHomography(unit, pixels, cv2.LMEDS if len(unit) > 8 else 0)
    if found is None or not np.isfinite(found).all():
        return None
    homography = np.asarray(found, np.float64)
    degree = _degree(unit)
    coefficients = _polynomial(unit, pixels - _through(homography, unit), degree)

    def at(points: Array) -> Array:
        return _through(homography, points) + _powers(points, degree) @ coefficients

    step = _STEP * _spacing(unit)
    here = at(unit)
    angle, bend = np.empty((len(unit), 2)), np.empty((len(unit), 2))
    tangents = np.empty((2, len(unit), 2))
    for axis in (0, 1):
        aside = np.eye(2)[axis] * step
        after, before = at(unit + aside), at(unit - aside)
        along, second = (after - before) / 2.0, after - 2.0 * here + before
        tangents[axis] = along
        angle[:, axis] = np.arctan2(along[:, 1], along[:, 0])
        square = np.maximum((along**2).sum(axis=1), 1e-12)
        across = along[:, 0] * second[:, 1] - along[:, 1] * second[:, 0]
        bend[:, axis] = across / square**1.5 if degree else 0.0
    one, two = tangents / (step * scale)
    area = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    longest = np.maximum(np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1))
    return BoardMap(angle, bend, here, area / np.maximum(longest, 1e-12))


def _degree(unit: Array) -> int:
    """Return the degree of polynomial that so many points determine well; 0 = none."""
    spans = min(len(np.unique(unit[:, axis].round(6))) for axis in (0, 1))
    return next((d for n, lines, d in _DEGREES if len(unit) >= n and spans >= lines), 0)


def _spacing(unit: Array) -> float:
    """Return the distance of neighbouring lines of points."""
    gaps = np.concatenate([np.diff(np.unique(unit[:, axis].round(6))) for axis in (0, 1)])
    return float(np.median(gaps)) if len(gaps) else 1.0


def _through(homography: Array, points: Array) -> Array:
    seen = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return np.asarray(seen[:, :2] / seen[:, 2:], np.float64)


def _powers(points: Array, degree: int) -> Array:
    x, y = points.T
    terms = [x ** (k - j) * y**j for k in range(degree + 1) for j in range(k + 1)]
    return np.stack(terms, axis=1)


def _polynomial(unit: Array, miss: Array, degree: int) -> Array:
    """Return the coefficients of x and y, (terms, 2); points that stand out count little."""
    powers = _powers(unit, degree)
    if not degree:
        return np.zeros((1, 2))
    weight = np.ones(len(unit))
    for _ in range(4):
        left = powers * weight[:, None]
        coefficients = np.linalg.lstsq(left, miss * weight[:, None], rcond=1e-9)[0]
        size = np.linalg.norm(miss - powers @ coefficients, axis=1)
        limit = 2.5 * max(float(np.median(size)), 1e-3)
        weight = np.sqrt(np.minimum(1.0, limit / np.maximum(size, 1e-12)))
    return np.asarray(coefficients)
