# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The loops of the Gaussian defocus backwards: each is the transpose of one in defocus_rows.

A filter with mirrored borders is its own transpose. Doubling is four times the transpose of
halving, and the other way round, but for the last pixel of an odd length, which the halving
mirrors and the doubling leaves out.

Pictures are (H, 4, W): the gradient by the three colours and by the weight of a level. Work is
divided by rows, and every sum is formed in the same order whoever forms it.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.defocus_rows import (
    EIGHTH,
    mirrored,
    ONE,
    QUARTER,
    RADIUS,
    RING,
    THREE_EIGHTHS,
    THREE_QUARTERS,
    TILE,
    ZERO,
)
from diffphyscam_ros.kernels.runtime import kernel

BASE, RISE, TOP, FALL, END = range(5)
"""Of a level: where its weight begins to rise, how steeply, where it begins to fall, … its end."""
_TWO = np.float32(2.0)


@kernel(parallel=True, fastmath=True)
def descend(given, out, shares, planes, variance, hats, taps, rings, sums, half):  # type: ignore[no-untyped-def]
    """Run the filters at full resolution as one pipeline, from the picture to its levels.

    Stage k holds rows of Y_k = B_k(Y_{k−1}), where Y_0 is the gradient by what was divided; it
    runs two rows behind stage k − 1.

    :param given: (H, W, 3) gradient by the normalised picture ``out``.
    :param shares: (H, W) what the picture was multiplied by to normalise it.
    :param hats: (K, 5) and taps (K, 3) of the K levels at full resolution.
    :param rings: (bands, at least K, RING, 4, W) scratch.
    :param sums: (H, 4, W) gradient by the colours and by the variance, out, from these levels.
    :param half: (H/2, 4, W/2) the gradient that the halved levels begin with, out, or no rows.
    """
    height, width = variance.shape
    stages, bands = hats.shape[0], rings.shape[0]
    pairs, last = (height + 1) // 2, stages - 1
    more = 1 if half.shape[0] > 0 else 0  # rows beyond its own that a band needs for halving
    for band in prange(bands):
        begin = 2 * (band * pairs // bands)
        end = min(2 * ((band + 1) * pairs // bands), height)
        ring = rings[band]
        line = np.empty(width + 4, np.float32)
        lag = RADIUS * last
        for step in range(begin - lag - more, end + lag + more):
            for stage in range(stages):
                y = step - RADIUS * stage
                reach = RADIUS * (last - stage) + more
                if y < max(0, begin - reach) or y >= min(height, end + reach):
                    continue
                slot = y & (RING - 1)
                if stage == 0:
                    for x in range(width):
                        share = shares[y, x]
                        red, green, blue = given[y, x, 0], given[y, x, 1], given[y, x, 2]
                        mean = red * out[y, x, 0] + green * out[y, x, 1] + blue * out[y, x, 2]
                        ring[0, slot, 0, x] = red * share
                        ring[0, slot, 1, x] = green * share
                        ring[0, slot, 2, x] = blue * share
                        ring[0, slot, 3, x] = -mean * share
                else:
                    _filter_stage(ring, stage, y, height, taps[stage], line)
                if begin <= y < end:
                    base, rise, top, fall, limit = (
                        hats[stage, 0],
                        hats[stage, 1],
                        hats[stage, 2],
                        hats[stage, 3],
                        hats[stage, 4],
                    )
                    if stage == 0:
                        for channel in range(4):
                            for x in range(width):
                                sums[y, channel, x] = ZERO
                    for x in range(width):
                        v = variance[y, x]
                        inside = min((v - base) * rise, ONE - (v - top) * fall)
                        weight = min(max(ZERO, inside), ONE)
                        up = rise if v > base else ZERO
                        down = -fall if v <= limit else ZERO
                        slope = up if v <= top else down
                        red, green = ring[stage, slot, 0, x], ring[stage, slot, 1, x]
                        blue, shade = ring[stage, slot, 2, x], ring[stage, slot, 3, x]
                        light = planes[y, 0, x] * red + planes[y, 1, x] * green
                        light += planes[y, 2, x] * blue + shade
                        sums[y, 0, x] += weight * red
                        sums[y, 1, x] += weight * green
                        sums[y, 2, x] += weight * blue
                        sums[y, 3, x] += slope * light
                if stage == last and more:
                    row = y // 2 - 1
                    if not y & 1 and begin <= 2 * row < end:
                        _halve_ring(ring, stage, row, height, line, half)
                    if y == height - 1 and 2 * (pairs - 1) >= begin:
                        _halve_ring(ring, stage, pairs - 1, height, line, half)


@kernel(fastmath=True)
def _filter_stage(ring, stage, y, height, taps, line):  # type: ignore[no-untyped-def]
    """Set row y of a stage to that of the stage before, filtered in both directions."""
    width = ring.shape[3]
    t0, t1, t2 = taps[0], taps[1], taps[2]
    mask, before = RING - 1, stage - 1
    a, b = mirrored(y - 2, height) & mask, mirrored(y - 1, height) & mask
    c = y & mask
    d, e = mirrored(y + 1, height) & mask, mirrored(y + 2, height) & mask
    for channel in range(4):
        for x in range(width):
            beside = ring[before, b, channel, x] + ring[before, d, channel, x]
            beyond = ring[before, a, channel, x] + ring[before, e, channel, x]
            line[2 + x] = t0 * ring[before, c, channel, x] + t1 * beside + t2 * beyond
        line[1] = line[2]
        line[0] = line[2 + mirrored(-2, width)]
        line[width + 2] = line[2 + mirrored(width, width)]
        line[width + 3] = line[2 + mirrored(width + 1, width)]
        for x in range(width):
            beside, beyond = line[1 + x] + line[3 + x], line[x] + line[4 + x]
            ring[stage, c, channel, x] = t0 * line[2 + x] + t1 * beside + t2 * beyond


@kernel(fastmath=True)
def _undouble_line(line, width, target):  # type: ignore[no-untyped-def]
    """Set target to the transpose of doubling a line, whose pixels are at 1 … width."""
    half = target.shape[0]
    line[0] = line[1]
    line[width + 1] = line[width] if width % 2 == 0 else ZERO
    line[width + 2] = ZERO
    for x in range(half):
        inner, outer = line[2 * x + 1] + line[2 * x + 2], line[2 * x] + line[2 * x + 3]
        target[x] = THREE_QUARTERS * inner + QUARTER * outer


@kernel()
def _undoubled_rows(row, height):  # type: ignore[no-untyped-def]
    """Return the four rows that doubling makes of a row, and the weights of the last two."""
    outside = height % 2 == 1 and 2 * row + 1 >= height
    third = ZERO if outside else THREE_QUARTERS
    fourth = ZERO if outside else QUARTER
    above, here = mirrored(2 * row - 1, height), 2 * row
    return above, here, min(2 * row + 1, height - 1), min(2 * row + 2, height - 1), third, fourth


@kernel(fastmath=True)
def _halve_ring(ring, stage, row, height, line, half):  # type: ignore[no-untyped-def]
    """Set a row of the halved picture from rows of a stage: the transpose of doubling."""
    width = ring.shape[3]
    a, b, c, d, third, fourth = _undoubled_rows(row, height)
    a, b, c, d = a & (RING - 1), b & (RING - 1), c & (RING - 1), d & (RING - 1)
    for channel in range(4):
        for x in range(width):
            outer = QUARTER * ring[stage, a, channel, x] + fourth * ring[stage, d, channel, x]
            inner = THREE_QUARTERS * ring[stage, b, channel, x]
            line[1 + x] = outer + inner + third * ring[stage, c, channel, x]
        _undouble_line(line, width, half[row, channel])


@kernel(fastmath=True)
def undouble(source, target):  # type: ignore[no-untyped-def]
    """Set target (H/2, 4, W/2) to the transpose of doubling."""
    height, width = source.shape[0], source.shape[2]
    line = np.empty(width + 4, np.float32)
    for row in range(target.shape[0]):
        a, b, c, d, third, fourth = _undoubled_rows(row, height)
        for channel in range(4):
            ra, rb, rc, rd = (
                source[a, channel],
                source[b, channel],
                source[c, channel],
                source[d, channel],
            )
            for x in range(width):
                outer, inner = QUARTER * ra[x] + fourth * rd[x], THREE_QUARTERS * rb[x]
                line[1 + x] = outer + inner + third * rc[x]
            _undouble_line(line, width, target[row, channel])


@kernel(fastmath=True)
def filter_picture(source, centre, side, target):  # type: ignore[no-untyped-def]
    """Set target to the picture filtered by (side, centre, side) in both directions."""
    height, width = source.shape[0], source.shape[2]
    line = np.empty(width + 2, np.float32)
    for y in range(height):
        a, b, c = source[mirrored(y - 1, height)], source[y], source[mirrored(y + 1, height)]
        for channel in range(4):
            above, here, below = a[channel], b[channel], c[channel]
            for x in range(width):
                line[1 + x] = centre * here[x] + side * (above[x] + below[x])
            line[0] = line[1]
            line[width + 1] = line[width]
            out = target[y, channel]
            for x in range(width):
                out[x] = centre * line[1 + x] + side * (line[x] + line[2 + x])


@kernel()
def _unhalved(index, length):  # type: ignore[no-untyped-def]
    """Return which two cells a pixel was halved into, and with which weights."""
    near, far = index // 2, mirrored(index // 2 - 1 + 2 * (index % 2), (length + 1) // 2)
    if length == 1:
        return near, far, ONE, ZERO
    own, other = THREE_EIGHTHS, EIGHTH
    if length % 2 == 1 and index == length - 1:
        own = THREE_QUARTERS
    if length % 2 == 1 and index == length - 2:
        other = QUARTER
    return near, far, own, other


@kernel(fastmath=True)
def _unhalve_line(line, begin, end, width, target):  # type: ignore[no-untyped-def]
    """Set target[2 · begin : 2 · end], within width, to the transpose of halving a line.

    The cells of the line are at 1 …; those before begin and after end − 1 are read, too.
    """
    half = (width + 1) // 2
    if begin == 0:
        line[0] = line[1]
    if end == half:
        line[half + 1] = line[half]
    for i in range(end - begin):
        x = begin + i
        own = THREE_EIGHTHS * line[1 + x]
        target[2 * x] = own + EIGHTH * line[x]
        target[2 * x + 1] = own + EIGHTH * line[2 + x]
    if width % 2 == 1 and end == half:
        for x in range(max(width - 2, 0), width):
            near, far, own, other = _unhalved(x, width)
            target[x] = own * line[1 + near] + other * line[1 + far]


@kernel(fastmath=True)
def unhalve(source, target):  # type: ignore[no-untyped-def]
    """Set target to the transpose of halving into source (H/2, 4, W/2)."""
    height, width, half = target.shape[0], target.shape[2], source.shape[2]
    line = np.empty(half + 2, np.float32)
    grown = np.empty(2 * half, np.float32)
    for y in range(height):
        near, far, own, other = _unhalved(y, height)
        for channel in range(4):
            here, beside, out = source[near, channel], source[far, channel], target[y, channel]
            for x in range(half):
                line[1 + x] = own * here[x] + other * beside[x]
            _unhalve_line(line, 0, half, width, grown)
            for x in range(width):
                out[x] = grown[x]


@kernel(parallel=True, fastmath=True)
def gather(sums, halved, planes, coc, scale, variance, low, high, hats, chunk, by_image, by_coc):  # type: ignore[no-untyped-def]
    """Add what the halved levels say to the sums, and write the gradients.

    :param sums: (H, 4, W) from the levels at full resolution.
    :param halved: (K, H/2, 4, W/2) gradient by the light of the halved levels.
    :param scale: σ per c.
    :param hats: (K, 5) of these levels.
    :param by_image: (H, W, 3), out.
    :param by_coc: (H, W), out.
    """
    height, width = variance.shape
    half = (width + 1) // 2
    for part in prange(-(-height // chunk)):
        line = np.empty(half + 2, np.float32)
        grown = np.empty((4, 2 * half), np.float32)
        for y in range(part * chunk, min(part * chunk + chunk, height)):
            near, far, own, other = _unhalved(y, height)
            for level in range(halved.shape[0]):
                base, rise, top, fall, limit = (
                    hats[level, 0],
                    hats[level, 1],
                    hats[level, 2],
                    hats[level, 3],
                    hats[level, 4],
                )
                first, last = width, 0
                for tile in range(low.shape[1]):
                    if high[y, tile] > base and low[y, tile] <= limit:
                        first, last = min(first, tile * TILE), min(tile * TILE + TILE, width)
                if last == 0:
                    continue
                begin, end = first // 2, (last + 1) // 2
                start, stop = max(begin - 1, 0), min(end + 1, half)
                for channel in range(4):
                    for i in range(stop - start):
                        x = start + i
                        line[1 + x] = (
                            own * halved[level, near, channel, x]
                            + other * halved[level, far, channel, x]
                        )
                    _unhalve_line(line, begin, end, width, grown[channel])
                for i in range(last - first):
                    x = first + i
                    v = variance[y, x]
                    inside = min((v - base) * rise, ONE - (v - top) * fall)
                    weight = min(max(ZERO, inside), ONE)
                    up = rise if v > base else ZERO
                    down = -fall if v <= limit else ZERO
                    slope = up if v <= top else down
                    light = planes[y, 0, x] * grown[0, x] + planes[y, 1, x] * grown[1, x]
                    light += planes[y, 2, x] * grown[2, x] + grown[3, x]
                    sums[y, 0, x] += weight * grown[0, x]
                    sums[y, 1, x] += weight * grown[1, x]
                    sums[y, 2, x] += weight * grown[2, x]
                    sums[y, 3, x] += slope * light
            for x in range(width):
                by_image[y, x, 0] = sums[y, 0, x]
                by_image[y, x, 1] = sums[y, 1, x]
                by_image[y, x, 2] = sums[y, 2, x]
                by_coc[y, x] = _TWO * scale * scale * coc[y, x] * sums[y, 3, x]
