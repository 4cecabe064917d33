# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of the Gaussian defocus cascade. ``kernels.defocus`` puts them in order.

Pictures are (H, 3, W): three planes in each row, so that the inner loops run over contiguous
floats. ``hat`` is a row of ``kernels.defocus``'s table: where a level's weight begins to rise,
its slope, its top, its slope down.

Only what touches every pixel at full resolution runs in parallel: three regions a frame. On a
busy computer a region costs the wait for its slowest thread, more than a halved level is worth.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.blur_levels import SIGMA_PER_COC
from diffphyscam_ros.kernels.runtime import kernel

TILE = 128  # columns that are skipped together where none has light in a level
RING = 8  # rows a pipeline stage remembers: a power of two, at least the 5 a filter reads
RADIUS = 2  # of the filters at full resolution
LARGEST = np.float32(1e8)
SIGMA = np.float32(SIGMA_PER_COC)
EIGHTH, QUARTER = np.float32(0.125), np.float32(0.25)
THREE_EIGHTHS, THREE_QUARTERS = np.float32(0.375), np.float32(0.75)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@kernel()
def mirrored(index, length):
    """Return an index reflected at the borders, the edge pixel counted twice."""
    index = index % (2 * length)
    return min(index, 2 * length - 1 - index)


@kernel(parallel=True)
def load(image, coc, planes, variance, low, high):
    """Take the picture apart into planes, and c into σ² with its extremes in each tile.

    A tile with a c that is negative, NaN or too large has high = NaN. Not compiled with
    fastmath, which would assume that there is none.
    """
    height, width = coc.shape
    for y in prange(height):
        for x in range(width):
            planes[y, 0, x] = image[y, x, 0]
            planes[y, 1, x] = image[y, x, 1]
            planes[y, 2, x] = image[y, x, 2]
        for tile in range(low.shape[1]):
            smallest, largest, bad = LARGEST, ZERO, 0
            for x in range(tile * TILE, min(tile * TILE + TILE, width)):
                c = coc[y, x]
                sigma = c * SIGMA
                variance[y, x] = sigma * sigma
                bad += 0 if (c >= ZERO) and (c <= LARGEST) else 1
                smallest = c if c < smallest else smallest
                largest = c if c > largest else largest
            low[y, tile] = (smallest * SIGMA) * (smallest * SIGMA)
            high[y, tile] = np.float32(np.nan) if bad else (largest * SIGMA) * (largest * SIGMA)


@kernel(parallel=True, fastmath=True)
def split(planes, variance, low, high, hats, chunk, targets):
    """Put the light of several levels on the half-resolution grid: halve(w_k · I).

    :param hats: (K, 4) and targets (K, H/2, 3, W/2) of those levels.
    """
    height, width = variance.shape
    levels, half_height, half_width = targets.shape[0], targets.shape[1], targets.shape[3]
    for part in prange(-(-half_height // chunk) * levels):
        level, first = part % levels, part // levels * chunk
        hat = hats[level]
        begin, end = hat[0], hat[2] + ONE / hat[3]  # no light in the level outside these
        column = np.empty((3, 2 * half_width + 2), np.float32)
        weights = np.empty((4, TILE), np.float32)
        for y in range(first, min(first + chunk, half_height)):
            a, b = mirrored(2 * y - 1, height), 2 * y
            c, d = mirrored(2 * y + 1, height), mirrored(2 * y + 2, height)
            for tile in range(low.shape[1]):
                start, stop = tile * TILE, min(tile * TILE + TILE, width)
                least = min(min(low[a, tile], low[b, tile]), min(low[c, tile], low[d, tile]))
                most = max(max(high[a, tile], high[b, tile]), max(high[c, tile], high[d, tile]))
                if most <= begin or least >= end:
                    column[:, 1 + start : 1 + stop] = ZERO
                    continue
                weigh(variance[a, start:stop], hat, EIGHTH, weights[0])
                weigh(variance[b, start:stop], hat, THREE_EIGHTHS, weights[1])
                weigh(variance[c, start:stop], hat, THREE_EIGHTHS, weights[2])
                weigh(variance[d, start:stop], hat, EIGHTH, weights[3])
                for channel in range(3):
                    line = column[channel, 1 + start : 1 + stop]
                    ra, rb = planes[a, channel, start:stop], planes[b, channel, start:stop]
                    rc, rd = planes[c, channel, start:stop], planes[d, channel, start:stop]
                    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
                    for x in range(stop - start):
                        line[x] = wa[x] * ra[x] + wb[x] * rb[x] + wc[x] * rc[x] + wd[x] * rd[x]
            halve_row(column, width, targets[level, y])


@kernel(fastmath=True)
def weigh(variance, hat, share, weight):
    """Set weight = share · w_k of a row of variances."""
    base, rise, top, fall = hat[0], hat[1], hat[2], hat[3]
    for x in range(variance.shape[0]):
        v = variance[x]
        inside = min((v - base) * rise, ONE - (v - top) * fall)
        weight[x] = share * max(ZERO, inside)


@kernel(fastmath=True)
def halve_row(column, width, target):
    """Average a row down by two; column is (3, ≥ width + 2) with its first pixel at 1."""
    half = target.shape[1]
    for channel in range(3):
        source, out = column[channel], target[channel]
        source[0] = source[1]
        for x in range(width, 2 * half + 1):
            source[1 + x] = source[1 + mirrored(x, width)]
        for x in range(half):
            outer = source[2 * x] + source[2 * x + 3]
            inner = source[2 * x + 1] + source[2 * x + 2]
            out[x] = EIGHTH * outer + THREE_EIGHTHS * inner


@kernel(fastmath=True)
def halve(source, target):
    """Average a picture down by two in both directions."""
    height, width = source.shape[0], source.shape[2]
    column = np.empty((3, 2 * target.shape[2] + 2), np.float32)
    for y in range(target.shape[0]):
        a, b = source[mirrored(2 * y - 1, height)], source[2 * y]
        c, d = source[mirrored(2 * y + 1, height)], source[mirrored(2 * y + 2, height)]
        for channel in range(3):
            ra, rb, rc, rd, line = a[channel], b[channel], c[channel], d[channel], column[channel]
            for x in range(width):
                line[1 + x] = EIGHTH * (ra[x] + rd[x]) + THREE_EIGHTHS * (rb[x] + rc[x])
        halve_row(column, width, target[y])


@kernel(fastmath=True)
def filter_into(source, centre, side, target):
    """Add the picture filtered by (side, centre, side) in both directions to target."""
    height, width = source.shape[0], source.shape[2]
    column = np.empty((3, width + 2), np.float32)
    for y in range(height):
        a, b, c = source[mirrored(y - 1, height)], source[y], source[mirrored(y + 1, height)]
        for channel in range(3):
            above, here, below, line = a[channel], b[channel], c[channel], column[channel]
            for x in range(width):
                line[1 + x] = centre * here[x] + side * (above[x] + below[x])
            line[0] = line[1]
            line[width + 1] = line[width]
            left, right = line[0:width], line[2 : 2 + width]
            middle, out = line[1 : 1 + width], target[y, channel]
            for x in range(width):
                out[x] += centre * middle[x] + side * (left[x] + right[x])


@kernel(fastmath=True)
def double_row(source, y, column, target):
    """Add row y of a picture interpolated up by two to target (3, W); column is scratch."""
    half_height, half_width = source.shape[0], source.shape[2]
    width = target.shape[1]
    near = source[y // 2]
    far = source[mirrored(y // 2 - 1 + 2 * (y % 2), half_height)]
    for channel in range(3):
        line, out = column[channel], target[channel]
        for x in range(half_width):
            line[1 + x] = THREE_QUARTERS * near[channel, x] + QUARTER * far[channel, x]
        line[0] = line[1]
        line[half_width + 1] = line[half_width]
        for x in range(width // 2):
            own = THREE_QUARTERS * line[1 + x]
            out[2 * x] += own + QUARTER * line[x]
            out[2 * x + 1] += own + QUARTER * line[2 + x]
        if width % 2:
            x = width // 2
            out[2 * x] += THREE_QUARTERS * line[1 + x] + QUARTER * line[x]


@kernel(fastmath=True)
def double_into(source, target):
    """Add the picture interpolated up by two to target."""
    column = np.empty((3, source.shape[2] + 2), np.float32)
    for y in range(target.shape[0]):
        double_row(source, y, column, target[y])


@kernel(parallel=True, fastmath=True)
def climb(planes, variance, hats, taps, deepest, bands, out):
    """Run the levels at full resolution as one pipeline, and put the planes together again.

    Stage k holds rows of X_k = w_k·I + B_{k+1}(X_{k+1}); a filter reads two rows ahead, so
    stage k runs two rows behind stage k + 1. Every band starts early enough for its own rows.

    :param hats: (K, 4) and taps (K, 3) of the K levels at full resolution.
    :param deepest: (H/2, 3, W/2) what the halved levels add to the last stage, or empty.
    """
    height, width = variance.shape
    stages = hats.shape[0]
    for band in prange(bands):
        begin, end = band * height // bands, (band + 1) * height // bands
        ring = np.empty((stages, RING, 3, width), np.float32)
        column = np.empty((3, width + 2 * RADIUS), np.float32)
        weight = np.empty(width, np.float32)
        lag = RADIUS * (stages - 1)
        for step in range(begin - lag, end + lag):
            for stage in range(stages - 1, -1, -1):
                y = step - RADIUS * (stages - 1 - stage)
                reach = RADIUS * stage
                if y < max(0, begin - reach) or y >= min(height, end + reach):
                    continue
                row = ring[stage, y & (RING - 1)]
                weigh(variance[y], hats[stage], ONE, weight)
                for channel in range(3):
                    source, target = planes[y, channel], row[channel]
                    for x in range(width):
                        target[x] = weight[x] * source[x]
                if stage == stages - 1:
                    if deepest.shape[0] > 0:
                        double_row(deepest, y, column, row)
                else:
                    before = ring[stage + 1]
                    filter_row(before, y, height, taps[stage + 1], column, row)
                if stage == 0:
                    for x in range(width):
                        out[y, x, 0] = row[0, x]
                        out[y, x, 1] = row[1, x]
                        out[y, x, 2] = row[2, x]


@kernel(fastmath=True)
def filter_row(ring, y, height, taps, column, target):
    """Add row y of a ring of rows filtered with five taps in both directions to target."""
    width = target.shape[1]
    t0, t1, t2 = taps[0], taps[1], taps[2]
    mask = RING - 1
    a, b = ring[mirrored(y - 2, height) & mask], ring[mirrored(y - 1, height) & mask]
    c = ring[y & mask]
    d, e = ring[mirrored(y + 1, height) & mask], ring[mirrored(y + 2, height) & mask]
    for channel in range(3):
        line = column[channel]
        ra, rb, rc, rd, re = a[channel], b[channel], c[channel], d[channel], e[channel]
        for x in range(width):
            line[2 + x] = t0 * rc[x] + t1 * (rb[x] + rd[x]) + t2 * (ra[x] + re[x])
        line[1] = line[2]
        line[0] = line[2 + mirrored(-2, width)]
        line[width + 2] = line[2 + mirrored(width, width)]
        line[width + 3] = line[2 + mirrored(width + 1, width)]
        p, q, r, s = line[0:width], line[1 : 1 + width], line[3 : 3 + width], line[4 : 4 + width]
        m, out = line[2 : 2 + width], target[channel]
        for x in range(width):
            out[x] += t0 * m[x] + t1 * (q[x] + r[x]) + t2 * (p[x] + s[x])
