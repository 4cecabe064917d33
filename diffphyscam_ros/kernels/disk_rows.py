# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of the disk and polygon defocus. ``kernels.defocus_disk`` orders them.

Rows are (tiles, 9 · SPAN): each tile of ``TILE`` columns with ``PAD`` more on either side, three
colours and the weight, each already divided by the sum of its disk, then the rim c/2 + ½ that the
disk reaches (0 = no light), then running sums of the four from the left. ``rims`` is the largest
rim in each tile, with its sides, and the smallest of those with light: between them the pixels of
a row lie on some rim and are weighed one by one; inside all of them they are one difference of
running sums.

A target row collects from the source rows within reach: nobody else writes to it, and every
row is computed in the same order whoever computes it.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.defocus_rows import double_row, mirrored, TINY, weigh
from diffphyscam_ros.kernels.disk_rings import REACH
from diffphyscam_ros.kernels.disk_rings import WIDEST as WIDEST_RIM
from diffphyscam_ros.kernels.runtime import kernel

TILE, PAD = 128, 32
SPAN = TILE + 2 * PAD
RIM, SUM = 4 * SPAN, 5 * SPAN  # where the rims and the running sums begin in a tile
SHORT = 3  # px
LEFT_OUT = np.float32(5.0)
STEPS = 2048  # of the table of totals, per px
WIDEST = np.float32(WIDEST_RIM)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
HALF = np.float32(0.5)
assert REACH < PAD


@kernel(parallel=True, fastmath=True)
def aim_full(planes, squares, hat, totals, rows, rims):
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
        aim_row(light, 0, width, ONE, ZERO, totals, rows[y], rims[y])


@kernel(parallel=True, fastmath=True)
def aim(light, factor, offset, totals, rows, rims):
    """Turn the light of a halved scale, (H, 5, W) with the planes of ``split``, into rows."""
    for y in prange(light.shape[0]):
        aim_row(light[y], 0, light.shape[2], factor, offset, totals, rows[y], rims[y])


@kernel(fastmath=True)
def aim_row(light, first, last, factor, offset, totals, row, rims):
    """Set a row from colours, weight and weight · c²; the disk has factor · c² + offset.

    :param light: (5, W), with nothing before the column ``first`` and from ``last`` on.
    :param totals: sum of a disk by STEPS · (rim − 1).
    """
    width = light.shape[1]
    padded = np.zeros((5, row.shape[0] * TILE + 2 * PAD), np.float32)
    share, rim = np.empty(width, np.float32), padded[4, PAD : PAD + width]
    weight, blur = light[3], light[4]
    for x in range(first, last):
        square = factor * (blur[x] / max(weight[x], TINY)) + offset
        reach = min(HALF * np.float32(math.sqrt(max(square, ONE))) + HALF, WIDEST)
        at = (reach - ONE) * np.float32(STEPS)
        step = np.int32(at)
        low, high = totals[step], totals[step + 1]
        share[x] = ONE / (low + (at - np.float32(step)) * (high - low))
        rim[x] = reach if weight[x] > TINY else ZERO
    for channel in range(4):
        source, out = light[channel], padded[channel, PAD : PAD + width]
        for x in range(first, last):
            out[x] = source[x] * share[x]
    for x in range(PAD):
        left, right = PAD + mirrored(x - PAD, width), PAD + mirrored(width + x, width)
        for channel in range(5):
            padded[channel, x] = padded[channel, left]
            padded[channel, PAD + width + x] = padded[channel, right]
    for tile in range(row.shape[0]):
        start = tile * TILE
        rims[tile, 0] = ZERO
        if last + PAD <= start or first - PAD >= start + TILE:
            continue
        largest, least = ZERO, WIDEST
        for x in range(SPAN):
            reach = padded[4, start + x]
            largest = max(largest, reach)
            least = min(least, reach if reach > ZERO else WIDEST)
        rims[tile, 0], rims[tile, 1] = largest, least
        if largest == ZERO:
            continue
        target = row[tile]
        for channel in range(5):
            source = padded[channel, start : start + SPAN]
            for x in range(SPAN):
                target[channel * SPAN + x] = source[x]
        a, b, c, d = ZERO, ZERO, ZERO, ZERO
        for x in range(SPAN):
            target[SUM + x], target[SUM + SPAN + x] = a, b
            target[SUM + 2 * SPAN + x], target[SUM + 3 * SPAN + x] = c, d
            a += target[x]
            b += target[SPAN + x]
            c += target[2 * SPAN + x]
            d += target[3 * SPAN + x]


@kernel(parallel=True, fastmath=True)
def spread(rows, rims, distances, nearest, coarser, light, picture):
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
            gather_tile(rows, rims, distances, nearest, y, tile, gathered)
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


@kernel(parallel=True, fastmath=True)
def leave_out(coc, front, squares):
    """Take the light of one side of the focus away: no scale has a share in a c² below 0."""
    for y in prange(coc.shape[0]):
        for x in range(coc.shape[1]):
            if (coc[y, x] < ZERO) == front:
                squares[y, x] = -LEFT_OUT


@kernel(parallel=True, fastmath=True)
def divide(first, second, picture):
    """Set the picture (H, W, 3) to the colours of the sum of two lights by its weight."""
    for y in prange(picture.shape[0]):
        a, b = first[y], second[y]
        for x in range(picture.shape[1]):
            share = ONE / max(a[3, x] + b[3, x], TINY)
            picture[y, x, 0] = (a[0, x] + b[0, x]) * share
            picture[y, x, 1] = (a[1, x] + b[1, x]) * share
            picture[y, x, 2] = (a[2, x] + b[2, x]) * share


@kernel(fastmath=True)
def gather_tile(rows, rims, distances, nearest, y, tile, gathered):
    """Set a tile of a target row to what all source rows send; return whether any does.

    :param distances: (R + 1, R + 1, 4) ρ of the taps (dx, dy), (−dx, dy), (dx, −dy), (−dx, −dy):
        from above left, above right, below left, below right.
    :param nearest: (R + 1) the smallest of them for each dy.
    """
    height = rows.shape[0]
    gathered[:] = ZERO
    lit = False
    for dy in range(distances.shape[0]):
        above, below = mirrored(y - dy, height), mirrored(y + dy, height)
        high, low = rims[above, tile, 0], rims[below, tile, 0]
        widest = max(high, low)
        if widest <= nearest[dy]:
            continue
        lit = True
        up, down = rows[above, tile], rows[below, tile]
        # what rows without light hold is old, and finite
        half = HALF if dy == 0 else ONE
        up_share, down_share = half if high > ZERO else ZERO, half if low > ZERO else ZERO
        least = min(
            rims[above, tile, 1] if high > ZERO else WIDEST,
            rims[below, tile, 1] if low > ZERO else WIDEST,
        )
        inner = 0
        while inner < distances.shape[1] and largest_of(distances[dy, inner]) + ONE <= least:
            inner += 1
        if inner < SHORT:  # not worth it, and a difference of sums is rounded
            inner = 0
        else:
            add_run(up, inner, up_share, gathered)
            add_run(down, inner, down_share, gathered)
        for dx in range(inner, distances.shape[1]):
            ways = distances[dy, dx]
            if min(min(ways[0], ways[1]), min(ways[2], ways[3])) >= widest:
                continue
            once = HALF if dx == 0 else ONE
            gather(up, down, dx, ways, once * up_share, once * down_share, gathered)
    return lit


@kernel(inline=True)
def largest_of(ways):
    """Return the largest of four distances."""
    return max(max(ways[0], ways[1]), max(ways[2], ways[3]))


@kernel(fastmath=True, inline=True)
def add_run(row, inner, share, total):
    """Add to a tile the sum of a source row from dx = 1 − inner to inner − 1."""
    last, first = row[SUM + PAD + inner :], row[SUM + PAD - inner + 1 :]
    for channel in range(4):
        p, q, out = last[channel * SPAN :], first[channel * SPAN :], total[channel * TILE :]
        for x in range(TILE):
            out[x] += share * (p[x] - q[x])


@kernel(fastmath=True, inline=True)
def gather(above, below, dx, ways, up, low, total):
    """Add to a tile what two source rows send from dx columns left and right.

    ``up`` and ``low`` are what shares of the rows count.

    One loop for four taps and four planes, all offsets between the planes known when this is
    compiled: otherwise it does not become SIMD.
    """
    a, b = above[PAD - dx :], above[PAD + dx :]
    c, d = below[PAD - dx :], below[PAD + dx :]
    first, second, third, fourth = ways[0], ways[1], ways[2], ways[3]
    for x in range(TILE):
        u = up * min(max(a[RIM + x] - first, ZERO), ONE)
        v = up * min(max(b[RIM + x] - second, ZERO), ONE)
        w = low * min(max(c[RIM + x] - third, ZERO), ONE)
        z = low * min(max(d[RIM + x] - fourth, ZERO), ONE)
        total[x] += u * a[x] + v * b[x] + w * c[x] + z * d[x]
        i, k = TILE + x, SPAN + x
        total[i] += u * a[k] + v * b[k] + w * c[k] + z * d[k]
        i, k = 2 * TILE + x, 2 * SPAN + x
        total[i] += u * a[k] + v * b[k] + w * c[k] + z * d[k]
        i, k = 3 * TILE + x, 3 * SPAN + x
        total[i] += u * a[k] + v * b[k] + w * c[k] + z * d[k]
