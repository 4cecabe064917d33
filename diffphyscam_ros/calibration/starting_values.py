# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A first camera and first poses, near enough for least squares to find the rest."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.bundle import Fit, fit_bundle, Observations
from diffphyscam_ros.calibration.projection import rays
from diffphyscam_ros.camera.lens_models import COEFFICIENTS

Array = npt.NDArray[np.float64]

FOCALS = (0.9, 0.65, 1.3, 0.45, 2.0, 0.3, 3.5)
"""Focal lengths tried, over the width of the picture, the usual ones first."""

GOOD_ENOUGH = 0.5
"""px, the median error of a rough fit from which no other start can be better."""

_VIEWS_TRIED = 15


def pose_from_rays(points: Array, flat: Array) -> tuple[Array, Array] | None:
    """Return rotation and translation of a board from where it is seen, or None.

    :param points: (n, 3), m, z = 0.
    :param flat: (n, 2), x/z and y/z.
    """
    good = np.isfinite(flat).all(axis=1)
    if good.sum() < 4:
        return None
    centre = points[good, :2].mean(axis=0)
    size = float(np.abs(points[good, :2] - centre).max())
    found, _ = cv2.findHomography((points[good, :2] - centre) / size, flat[good], 0)
    if found is None:
        return None
    h = np.array(found, np.float64)
    if h[2, 2] < 0:
        h = -h
    columns = h[:, :2]
    lengths = np.linalg.norm(columns, axis=0)
    scale = float(np.sqrt(max(float(lengths[0] * lengths[1]), 1e-12)))
    first, second = columns[:, 0] / scale, columns[:, 1] / scale
    u, _, vt = np.linalg.svd(np.stack([first, second, np.cross(first, second)], axis=1))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    # at the centre of the points, in units of their size
    translation = h[:, 2] / scale * size - rotation[:, :2] @ centre
    return rotation, translation


def poses(views: Sequence[BoardView], model: str, camera: Array) -> tuple[Array, Array] | None:
    """Return rotations (v, 3, 3) and translations (v, 3) for a camera, or None."""
    found = [pose_from_rays(v.object_points, rays(model, camera, v.image_points)) for v in views]
    if any(pose is None for pose in found):
        return None
    both = [pose for pose in found if pose is not None]
    return np.stack([r for r, _ in both]), np.stack([t for _, t in both])


def first_fit(views: Sequence[BoardView], model: str, image_size: tuple[int, int]) -> Fit | None:
    """Return a rough fit: of some views, with square pixels and the first coefficient free.

    Several focal lengths are tried until one fits; the best is kept.

    :return: None where no view has a pose.
    """
    chosen = spread(views, _VIEWS_TRIED)
    seen = Observations.of(chosen)
    width, height = image_size
    best: Fit | None = None
    for ratio in FOCALS:
        camera = np.zeros(4 + len(COEFFICIENTS[model]))
        camera[:4] = ratio * width, ratio * width, (width - 1) / 2, (height - 1) / 2
        start = poses(chosen, model, camera)
        if start is None:
            continue
        free = np.zeros(len(camera), bool)
        free[:2] = free[4] = True
        try:
            fit = fit_bundle(seen, model, camera, *start, free, robust=True, steps=15)
        except np.linalg.LinAlgError:
            continue
        if best is None or _quality(fit) < _quality(best):
            best = fit
        if _quality(best) < GOOD_ENOUGH:
            break
    return best


def _quality(fit: Fit) -> float:
    return float(np.median(np.linalg.norm(fit.residuals, axis=1)))


def spread(views: Sequence[BoardView], most: int) -> list[BoardView]:
    """Return at most that many views, those with the largest boards among even steps."""
    if len(views) <= most:
        return list(views)
    pieces = np.array_split(np.arange(len(views)), most)
    return [max((views[int(i)] for i in piece), key=_extent) for piece in pieces]


def _extent(view: BoardView) -> float:
    low, high = view.image_points.min(axis=0), view.image_points.max(axis=0)
    return float(np.prod(high - low))
