# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The last pass over a picture: digital values to bytes, and their statistics, in one go."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

# The luma weights of ITU-R BT.601, which OpenCV and with it cv_bridge use for mono images.
RED, GREEN, BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@kernel(parallel=True)
def encode_rows(
    image: Any,
    out: Any,
    scale: Any,
    offset: Any,
    swap: bool,
    row_sum: Any,
    row_saturated: Any,
    row_black: Any,
) -> None:
    """Write clamped values times ``scale`` plus ``offset`` in the type of ``out``.

    :param image: (H, W, 3) float32; NaN is written as 0.
    :param out: (H, W, 3) colour, or (H, W, 1) for luma.
    :param offset: 0.5 where ``out`` holds integers: the conversion truncates.
    :param swap: write blue first.
    :param row_sum: (H,) float64, sum of the three channels.
    :param row_saturated: (H,) int64, pixels with a channel written as full scale.
    :param row_black: (H,) int64, pixels with all channels written as zero.
    """
    height, width = image.shape[0], image.shape[1]
    gray = out.shape[2] == 1
    first, last = (2, 0) if swap else (0, 2)
    zero, one = ZERO, ONE
    # What is written as zero, and as full scale.
    low = (one - offset) / scale if offset > zero else np.float32(1e-30)
    high = one - offset / scale
    for y in numba.prange(height):
        total: Any = 0.0
        saturated = 0
        black = 0
        for x in range(width):
            r, g, b = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            # Written so that NaN, which fails every comparison, becomes zero.
            r = min(r, one) if r > zero else zero
            g = min(g, one) if g > zero else zero
            b = min(b, one) if b > zero else zero
            total += r + g + b
            if r >= high or g >= high or b >= high:
                saturated += 1
            if r < low and g < low and b < low:
                black += 1
            if gray:
                out[y, x, 0] = (RED * r + GREEN * g + BLUE * b) * scale + offset
            else:
                out[y, x, first] = r * scale + offset
                out[y, x, 1] = g * scale + offset
                out[y, x, last] = b * scale + offset
        row_sum[y] = total
        row_saturated[y] = saturated
        row_black[y] = black


@kernel(parallel=True)
def encode_mosaic_rows(
    raw: Any,
    out: Any,
    scale: Any,
    offset: Any,
    row_sum: Any,
    row_saturated: Any,
    row_black: Any,
) -> None:
    """Write the clamped values of photosites times ``scale`` plus ``offset``: see encode_rows.

    :param raw: (H, W) float32; NaN is written as 0.
    :param out: (H, W, 1) of integers.
    :param row_sum: (H,) float64, sum of the values.
    :param row_saturated: (H,) int64, photosites written as full scale.
    :param row_black: (H,) int64, photosites written as zero.
    """
    height, width = raw.shape
    zero, one = ZERO, ONE
    low, high = (one - offset) / scale, one - offset / scale
    for y in numba.prange(height):
        total: Any = 0.0
        saturated = 0
        black = 0
        for x in range(width):
            value = raw[y, x]
            value = min(value, one) if value > zero else zero
            total += value
            if value >= high:
                saturated += 1
            if value < low:
                black += 1
            out[y, x, 0] = value * scale + offset
        row_sum[y] = total
        row_saturated[y] = saturated
        row_black[y] = black
