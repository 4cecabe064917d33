# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Corners of lone dark squares: where the lines through their sides meet.

Where four squares meet, blur is symmetric about the corner and a saddle is found without bias. A
lone corner moves inwards as blur rounds it: by half a pixel and more in photographs. The middle of
a blurred straight side stays where it is.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_ALONG = 13  # places on each side
_ACROSS = 25  # samples across it
_INSET = 0.18  # of a side, left out at both ends: there the corners are round


def refine_squares(
    grey: npt.NDArray[np.uint8], quads: npt.NDArray[np.float32], reach: Array
) -> Array:
    """Return the corners (n, 4, 2) of dark squares on light ground.

    :param quads: (n, 4, 2) px, in order around each.
    :param reach: (n,) px, how far on both sides of an edge nothing else is.
    :return: NaN where a side is not found.
    """
    corners = quads.astype(np.float64)
    for _ in range(2):  # the second time the samples lie along the sides as found
        corners = _intersections(*_sides(grey, corners, reach))
        if not np.isfinite(corners).any():
            break
    return corners


def _sides(grey: npt.NDArray[np.uint8], corners: Array, reach: Array) -> tuple[Array, Array]:
    """Return a point on each side and its direction, (n, 4, 2) each."""
    start, end = corners, np.roll(corners, -1, axis=1)
    along = end - start
    length = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    normal = np.stack([along[..., 1], -along[..., 0]], axis=-1) / length
    places = np.linspace(_INSET, 1.0 - _INSET, _ALONG)
    offsets = np.linspace(-1.0, 1.0, _ACROSS) * reach[:, None]  # (n, across)
    foot = start[..., None, :] + along[..., None, :] * places[:, None]  # (n, 4, along, 2)
    sample = foot[..., None, :] + (
        normal[:, :, None, None, :] * offsets[:, None, None, :, None]
    )  # (n, 4, along, across, 2)
    flat = np.nan_to_num(sample, nan=-1.0).astype(np.float32).reshape(-1, _ACROSS, 2)
    values = cv2.remap(
        grey, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    values = np.asarray(values, np.float64).reshape(sample.shape[:-1])
    # Which way is out depends on the order of the corners: the step of the median decides.
    slope = np.diff(values, axis=-1)
    slope *= np.sign(np.median(slope.sum(axis=-1), axis=(1, 2)))[:, None, None, None]
    slope = np.clip(slope, 0.0, None)
    strength = slope.sum(axis=-1)
    middle = (offsets[:, 1:] + offsets[:, :-1])[:, None, None, :] / 2.0
    shift = (slope * middle).sum(axis=-1) / np.maximum(strength, 1e-9)
    # The centre of gravity again, over a window that is centred on it.
    window = np.abs(middle - shift[..., None]) <= 0.7 * reach[:, None, None, None]
    near = slope * window
    shift = (near * middle).sum(axis=-1) / np.maximum(near.sum(axis=-1), 1e-9)
    shift = np.where(strength > 10.0, shift, np.nan)
    # A line through the places: least squares, once without those that stand out.
    for _ in range(2):
        weight = np.isfinite(shift).astype(np.float64)
        plain = np.nan_to_num(shift)
        total = np.maximum(weight.sum(axis=-1), 1e-9)
        mean_t = (weight * places).sum(axis=-1) / total
        mean_s = (weight * plain).sum(axis=-1) / total
        centred = places - mean_t[..., None]
        spread = np.maximum((weight * centred**2).sum(axis=-1), 1e-9)
        tilt = (weight * centred * (plain - mean_s[..., None])).sum(axis=-1) / spread
        error = np.abs(plain - mean_s[..., None] - tilt[..., None] * centred)
        limit = 3.0 * _median(error, weight > 0) + 0.05
        shift = np.where(error <= limit[..., None], shift, np.nan)
    point = start + along * mean_t[..., None] + normal * mean_s[..., None]
    point[total < _ALONG // 2] = np.nan
    return point, along + normal * tilt[..., None]


def _median(values: Array, counted: npt.NDArray[np.bool_]) -> Array:
    """Return the lower median along the last axis of those that count; inf where none does."""
    ordered = np.sort(np.where(counted, values, np.inf), axis=-1)
    middle = np.maximum(counted.sum(axis=-1) - 1, 0) // 2
    return np.asarray(np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0])


def _intersections(point: Array, direction: Array) -> Array:
    """Return where each side meets the one before it, (n, 4, 2)."""
    before, before_direction = np.roll(point, 1, axis=1), np.roll(direction, 1, axis=1)
    cross = (
        before_direction[..., 0] * direction[..., 1] - before_direction[..., 1] * direction[..., 0]
    )
    gap = point - before
    t = (gap[..., 0] * direction[..., 1] - gap[..., 1] * direction[..., 0]) / np.where(
        np.abs(cross) > 1e-9, cross, np.nan
    )
    return before + before_direction * t[..., None]
