# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Adding up the sub-frames of an exposure, row by row."""

from __future__ import annotations

from numba import prange

from diffphyscam_ros.kernels.runtime import kernel


@kernel(parallel=True)
def add_rows(picture, weights, first, last, total):  # type: ignore[no-untyped-def]
    """Add weights[row]·picture[row] to total[row] for first <= row < last.

    :param picture: (H, W, C) float32.
    :param weights: (H,) float64.
    :param total: (H, W, C) float64.
    """
    width, channels = picture.shape[1], picture.shape[2]
    for row in prange(first, last):
        weight = weights[row]
        if weight != 0.0:
            for column in range(width):
                for channel in range(channels):
                    total[row, column, channel] += weight * picture[row, column, channel]
