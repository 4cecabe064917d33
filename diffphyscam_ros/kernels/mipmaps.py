# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pyramids of textures on the CPU and their adjoint, equal to ``mip_levels`` in ``render``.

A level halves the last, rounding down; a texel is the mean over those that its area meets, which
are two by two where the size is even and overlap where it is odd (``adaptive_avg_pool2d``).
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.runtime import kernel

PARALLEL = 64  # rows of a level from which on it is worth to wake other threads
QUARTER = np.float32(0.25)


@kernel(inline=True)
def _first(place, ours, theirs):
    """Return the first of ``theirs`` texels along an axis that a texel of ``ours`` meets."""
    return place * theirs // ours


@kernel(inline=True)
def _end(place, ours, theirs):
    """Return the end of the texels that a texel meets."""
    return ((place + 1) * theirs + ours - 1) // ours


@kernel(fastmath=True)
def _halve_row(atlas, source, width, height, target, columns, rows, y):
    """Fill a row of the coarser level at ``target`` from the finer one at ``source``."""
    if width == 2 * columns and height == 2 * rows:
        upper = source + 2 * y * width
        lower = upper + width
        out = target + y * columns
        for x in range(columns):
            left = 2 * x
            for c in range(4):
                value = atlas[upper + left, c] + atlas[upper + left + 1, c]
                value += atlas[lower + left, c] + atlas[lower + left + 1, c]
                atlas[out + x, c] = QUARTER * value
        return
    y0, y1 = _first(y, rows, height), _end(y, rows, height)
    for x in range(columns):
        x0, x1 = _first(x, columns, width), _end(x, columns, width)
        share = ONE / np.float32((y1 - y0) * (x1 - x0))
        for c in range(4):
            value = ZERO
            for v in range(y0, y1):
                for u in range(x0, x1):
                    value += atlas[source + v * width + u, c]
            atlas[target + y * columns + x, c] = share * value


@kernel(parallel=True, fastmath=True)
def build_pyramid(image, levels, atlas):
    """Write a picture and its halvings into the atlas.

    :param image: (H, W, C) float32, C = 3 or 4; without a fourth channel alpha is 1.
    :param levels: (L, 3) int64: offset in the atlas, width and height.
    :param atlas: (N, 4) float32, out at the levels' places.
    """
    first = levels[0, 0]
    height, width, channels = image.shape
    for y in prange(height):
        for x in range(width):
            place = first + y * width + x
            atlas[place, 0] = image[y, x, 0]
            atlas[place, 1] = image[y, x, 1]
            atlas[place, 2] = image[y, x, 2]
            atlas[place, 3] = image[y, x, 3] if channels == 4 else ONE
    for level in range(1, len(levels)):
        source, wide, high = levels[level - 1, 0], levels[level - 1, 1], levels[level - 1, 2]
        target, columns, rows = levels[level, 0], levels[level, 1], levels[level, 2]
        if rows >= PARALLEL:
            for y in prange(rows):
                _halve_row(atlas, source, wide, high, target, columns, rows, y)
        else:
            for y in range(rows):
                _halve_row(atlas, source, wide, high, target, columns, rows, y)


@kernel(fastmath=True)
def _spread_row(coarse, target, columns, rows, fine, source, width, height, y):
    """Add to a row of the finer level's derivatives its share of the coarser one's.

    :param fine: (·, C), its rows from ``source`` on; ``coarse`` (·, 4), from ``target`` on.
    """
    channels = fine.shape[1]
    if width == 2 * columns and height == 2 * rows:
        above = target + (y >> 1) * columns
        out = source + y * width
        for x in range(width):
            for c in range(channels):
                fine[out + x, c] += QUARTER * coarse[above + (x >> 1), c]
        return
    near_y = y * rows // height
    for x in range(width):
        near_x = x * columns // width
        for v in range(max(near_y - 1, 0), min(near_y + 2, rows)):
            y0, y1 = _first(v, rows, height), _end(v, rows, height)
            if y < y0 or y >= y1:
                continue
            for u in range(max(near_x - 1, 0), min(near_x + 2, columns)):
                x0, x1 = _first(u, columns, width), _end(u, columns, width)
                if x < x0 or x >= x1:
                    continue
                share = ONE / np.float32((y1 - y0) * (x1 - x0))
                for c in range(channels):
                    fine[source + y * width + x, c] += share * coarse[target + v * columns + u, c]


@kernel(parallel=True, fastmath=True)
def pyramid_adjoint(to_atlas, levels, coarse, to_image):
    """Walk back from the derivatives by all levels to those by the picture.

    :param to_atlas: (N, 4) float32, ``levels`` as in :func:`build_pyramid`.
    :param coarse: (texels of all levels but the first, 4) float32, scratch.
    :param to_image: (H·W, C) float32, out.
    """
    height, width = levels[0, 2], levels[0, 1]
    count, channels = len(levels), to_image.shape[1]
    first = levels[0, 0]
    base = first + width * height  # the coarser levels lie behind, one after the other
    for i in prange(len(coarse)):
        for c in range(4):
            coarse[i, c] = to_atlas[base + i, c]
    for level in range(count - 1, 1, -1):
        source, wide, high = levels[level - 1, 0], levels[level - 1, 1], levels[level - 1, 2]
        target, columns, rows = levels[level, 0], levels[level, 1], levels[level, 2]
        if rows >= PARALLEL:
            for y in prange(high):
                _spread_row(
                    coarse, target - base, columns, rows, coarse, source - base, wide, high, y
                )
        else:
            for y in range(high):
                _spread_row(
                    coarse, target - base, columns, rows, coarse, source - base, wide, high, y
                )
    for y in prange(height):
        for x in range(width):
            for c in range(channels):
                to_image[y * width + x, c] = to_atlas[first + y * width + x, c]
        if count > 1:
            _spread_row(
                coarse, levels[1, 0] - base, levels[1, 1], levels[1, 2], to_image, 0, width,
                height, y,
            )  # fmt: skip
