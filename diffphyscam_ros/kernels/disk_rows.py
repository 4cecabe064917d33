# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of the disk defocus. ``kernels.defocus_disk`` puts them in order.

Rows are (tiles, 5 · SPAN): each tile of ``TILE`` columns with ``PAD`` more on either side, three
colours and the weight, each already divided by the sum of its disk, then the rim c/2 + ½ that the
disk reaches (0 = no light). ``high`` is the largest rim in each tile, with its sides.

A target row collects from the source rows within reach: nobody else writes to it, and every
row is computed in the same order whoever computes it.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.defocus_rows import double_row, mirrored, TINY, weigh
from diffphyscam_ros.kernels.disk_rings import HALF_FROM, REACH
from diffphyscam_ros.kernels.runtime import kernel

TILE, PAD = 64, REACH
SPAN = TILE + 2 * PAD
RIM = 4 * SPAN  # where the rims begin in a tile
WIDEST = np.float32((HALF_FROM + 1.0) / 2.0)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
HALF = np.float32(0.5)
DISTANCES = np.hypot(*np.indices((REACH + 1, REACH + 1))).astype(np.float32)


@kernel(parallel=True, fastmath=True)
def aim_full(planes, squares, hat, rings, rows, high):
    """Turn the picture into the rows of full resolution."""
    height, width = squares.shape
    for y in prange(height):
        light = np.empty((5, width), np.float32)
        weight, spread, blur = light[3], light[4], squares[y]
        weigh(blur, hat, ONE, weight)
        for x in range(width):
            spread[x] = weight[x] * blur[x]
        for channel in range(3):
            source, target = planes[y, channel], light[channel]
            for x in range(width):
                target[x] = weight[x] * source[x]
        aim_row(light, ONE, ZERO, rings, rows[y], high[y])


@kernel(parallel=True, fastmath=True)
def aim(light, factor, offset, rings, rows, high):
    """Turn the light of a halved scale, (H, 5, W) with the planes of ``split``, into rows."""
    for y in prange(light.shape[0]):
        aim_row(light[y], factor, offset, rings, rows[y], high[y])


@kernel(fastmath=True)
def aim_row(light, factor, offset, rings, row, high):
    """Set a row from colours, weight and weight · c²; the disk has factor · c² + offset.

    :param light: (5, W).
    :param rings: (K, 2) distance and number of taps.
    """
    width = light.shape[1]
    padded = np.zeros((5, row.shape[0] * TILE + 2 * PAD), np.float32)
    total = np.empty(TILE, np.float32)
    for start in range(0, width, TILE):
        stop = min(start + TILE, width)
        weight, blur = light[3, start:stop], light[4, start:stop]
        rim = padded[4, PAD + start : PAD + stop]
        largest = ZERO
        for x in range(stop - start):
            square = factor * (blur[x] / max(weight[x], TINY)) + offset
            reach = min(HALF * np.float32(math.sqrt(max(square, ONE))) + HALF, WIDEST)
            rim[x] = reach if weight[x] > TINY else ZERO
            largest = max(largest, rim[x])
            total[x] = ZERO
        for k in range(rings.shape[0]):
            distance, count = rings[k, 0], rings[k, 1]
            if distance >= largest:
                break
            for x in range(stop - start):
                total[x] += count * min(max(rim[x] - distance, ZERO), ONE)
        for x in range(stop - start):
            total[x] = ONE / max(total[x], ONE)
        for channel in range(4):
            source, out = light[channel, start:stop], padded[channel, PAD + start : PAD + stop]
            for x in range(stop - start):
                out[x] = source[x] * total[x]
    for x in range(PAD):
        left, right = PAD + mirrored(x - PAD, width), PAD + mirrored(width + x, width)
        for channel in range(5):
            padded[channel, x] = padded[channel, left]
            padded[channel, PAD + width + x] = padded[channel, right]
    for tile in range(row.shape[0]):
        start = tile * TILE
        for channel in range(5):
            source = padded[channel, start : start + SPAN]
            target = row[tile, channel * SPAN : channel * SPAN + SPAN]
            for x in range(SPAN):
                target[x] = source[x]
        largest = ZERO
        for x in range(SPAN):
            largest = max(largest, padded[4, start + x])
        high[tile] = largest


@kernel(parallel=True, fastmath=True)
def spread(rows, high, distances, coarser, light, picture):
    """Spread the rows of one scale, add what a coarser scale has spread.

    :param coarser: (H/2, 4, W/2) or empty.
    :param light: (H, 4, W) to be set, colours and weight; or empty: then
    :param picture: (H, W, 3) is set to colours divided by weight.
    """
    height, width = max(light.shape[0], picture.shape[0]), max(light.shape[2], picture.shape[1])
    for y in prange(height):
        total = np.empty((4, width), np.float32)
        line = np.empty(width // 2 + 3, np.float32)
        gathered = np.empty(4 * TILE, np.float32)
        for tile in range(rows.shape[1]):
            gathered[:] = ZERO
            for dy in range(REACH + 1):
                above, below = mirrored(y - dy, height), mirrored(y + dy, height)
                widest = max(high[above, tile], high[below, tile])
                for dx in range(REACH + 1):
                    distance = distances[dy, dx]
                    if distance >= widest:
                        break
                    share = (HALF if dx == 0 else ONE) * (HALF if dy == 0 else ONE)
                    gather(rows[above, tile], rows[below, tile], dx, distance, share, gathered)
            start, stop = tile * TILE, min(tile * TILE + TILE, width)
            for channel in range(4):
                for x in range(stop - start):
                    total[channel, start + x] = gathered[channel * TILE + x]
        if coarser.shape[0] > 0:
            double_row(coarser, y, line, total)
        if picture.shape[0] > 0:
            for x in range(width):
                share = ONE / max(total[3, x], TINY)
                picture[y, x, 0] = total[0, x] * share
                picture[y, x, 1] = total[1, x] * share
                picture[y, x, 2] = total[2, x] * share
        else:
            light[y] = total


@kernel(fastmath=True, inline=True)
def gather(above, below, dx, distance, share, total):
    """Add to a tile what two source rows send from dx columns left and right.

    One loop for four taps and four planes, all offsets between the planes known when this is
    compiled: otherwise it does not become SIMD.
    """
    a, b = above[PAD - dx :], above[PAD + dx :]
    c, d = below[PAD - dx :], below[PAD + dx :]
    for x in range(TILE):
        u = share * min(max(a[RIM + x] - distance, ZERO), ONE)
        v = share * min(max(b[RIM + x] - distance, ZERO), ONE)
        w = share * min(max(c[RIM + x] - distance, ZERO), ONE)
        z = share * min(max(d[RIM + x] - distance, ZERO), ONE)
        total[x] += u * a[x] + v * b[x] + w * c[x] + z * d[x]
        i, k = TILE + x, SPAN + x
        total[i] += u * a[k] + v * b[k] + w * c[k] + z * d[k]
        i, k = 2 * TILE + x, 2 * SPAN + x
        total[i] += u * a[k] + v * b[k] + w * c[k] + z * d[k]
        i, k = 3 * TILE + x, 3 * SPAN + x
        total[i] += u * a[k] + v * b[k] + w * c[k] + z * d[k]
