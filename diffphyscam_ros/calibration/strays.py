# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Corners that do not lie where their neighbours on the board say."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NEIGHBOURS = 8
STRAY = 4.0  # times the median disagreement, and
STRAY_PIXELS = 0.75  # px more


def without_strays(board: Array, pixels: Array) -> npt.NDArray[np.bool_]:
    """Return which corners to keep.

    One perspective explains most of where corners are; what the lens adds to it is smooth, so
    that each corner's share is predicted from its nearest neighbours by an affine map. The worst
    is dropped first, since it spoils the predictions of its neighbours; at most a tenth goes.

    :param board: (n, 2) where the corners are on the board.
    :param pixels: (n, 2) where they were found.
    """
    keep = np.ones(len(board), bool)
    if len(board) <= NEIGHBOURS + 4:
        return keep
    size = float(np.abs(board).max())
    view, _ = cv2.findHomography(board / size, pixels, cv2.LMEDS)
    if view is None:
        return keep
    seen = np.column_stack([board / size, np.ones(len(board))]) @ np.asarray(view, np.float64).T
    pixels = pixels - seen[:, :2] / seen[:, 2:]
    while keep.sum() > NEIGHBOURS + 4 and (~keep).sum() <= len(board) // 10:
        index = np.flatnonzero(keep)
        error = _disagreement(board[index], pixels[index])
        worst = int(error.argmax())
        if error[worst] <= STRAY * np.median(error) + STRAY_PIXELS:
            break
        keep[index[worst]] = False
    return keep


def _disagreement(board: Array, pixels: Array) -> Array:
    """Return how far each point is from its prediction, px."""
    distance = np.linalg.norm(board[:, None] - board[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1, kind='stable')[:, :NEIGHBOURS]
    offset = board[near] - board[:, None]  # (n, 8, 2)
    offset /= np.abs(offset).max()
    design = np.concatenate([offset, np.ones((*offset.shape[:2], 1))], axis=-1)
    normal = design.transpose(0, 2, 1) @ design + 1e-6 * np.eye(3)
    fitted = np.linalg.solve(normal, design.transpose(0, 2, 1) @ pixels[near])
    return np.asarray(np.linalg.norm(fitted[:, 2] - pixels, axis=1), np.float64)
