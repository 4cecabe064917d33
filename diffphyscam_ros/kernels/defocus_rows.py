# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of defocus: loading, splitting into levels, halving, filtering, doubling.

``kernels.defocus_gaussian`` and ``kernels.defocus_disk`` put them in order. Pictures are
(H, C, W): planes in each row, so that the inner loops run over contiguous floats. The light of a
level has its own weight as the plane after the three colours: what normalisation divides by.

``hat`` says which light a level takes: the blur at which its weight begins to rise, the slope,
the blur at which it begins to fall, the slope down. It never exceeds 1.

Only what touches every pixel at full resolution runs in parallel. On a busy computer a
parallel region costs the wait for its slowest thread, more than a halved Gaussian level is worth.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.blur_levels import LARGEST_COC
from diffphyscam_ros.kernels.runtime import kernel

TILE = 128  # columns that are skipped together where none has light in a level
RING = 8  # rows a pipeline stage remembers: a power of two, at least the 5 a filter reads
RADIUS = 2  # of the filters at full resolution
LARGEST = np.float32(LARGEST_COC)
TINY = np.float32(1e-30)  # keeps 0 / 0 away
EIGHTH, QUARTER = np.float32(0.125), np.float32(0.25)
THREE_EIGHTHS, THREE_QUARTERS = np.float32(0.375), np.float32(0.75)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


class Blur:
    """The blur of every pixel, squared, and its extremes in each tile of a row."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that ``load`` fills."""
        tiles = -(-width // TILE)
        self.squares = np.empty((height, width), np.float32)
        self.low = np.empty((height, tiles), np.float32)
        self.high = np.empty((height, tiles), np.float32)

    def largest(self) -> float:
        """Return the largest square.

        :raises ValueError: where load refused a c.
        """
        value = float(self.high.max())
        if not value >= 0.0:
            raise ValueError(f'coc must be within ±{LARGEST_COC:g} px everywhere')
        return value


@kernel()
def mirrored(index, length):
    """Return an index reflected at the borders, the edge pixel counted twice."""
    index = index % (2 * length)
    return min(index, 2 * length - 1 - index)


@kernel(parallel=True)
def load(image, coc, scale, planes, blur, low, high):
    """Take the picture apart into planes, and c into (scale · c)² with its extremes in each tile.

    A tile with a c that is NaN or too large has high = NaN. Not compiled with fastmath, which
    would assume that there is none.
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
                c = abs(coc[y, x])
                scaled = c * scale
                blur[y, x] = scaled * scaled
                bad += 0 if c <= LARGEST else 1
                smallest = c if c < smallest else smallest
                largest = c if c > largest else largest
            low[y, tile] = (smallest * scale) * (smallest * scale)
            high[y, tile] = np.float32(np.nan) if bad else (largest * scale) * (largest * scale)


@kernel(parallel=True, fastmath=True)
def split(planes, blur, low, high, hats, chunk, targets):
    """Put the light of several levels on the half-resolution grid: halve(w_k · (I, 1)).

    :param hats: (K, 4) of those levels.
    :param targets: (K, H/2, C, W/2): colours, weight, and weight · blur where C = 5.
    """
    height, width = blur.shape
    levels, half_height, channels, half_width = targets.shape
    for part in prange(-(-half_height // chunk) * levels):
        level, first = part % levels, part // levels * chunk
        last = min(first + chunk, half_height)
        hat = hats[level]
        ring = np.zeros((4, channels, 2 * half_width + 2), np.float32)
        spans = np.zeros((4, 2), np.int64)  # which columns of a ring's row have light
        line = np.empty(2 * half_width + 2, np.float32)
        for y in range(2 * first - 1, 2 * last + 1):
            slot = y & 3
            at = mirrored(y, height)
            ring[slot, :, 1 + spans[slot, 0] : 1 + spans[slot, 1]] = ZERO
            start, stop = take(planes[at], blur[at], low[at], high[at], hat, ring[slot])
            spans[slot, 0], spans[slot, 1] = start, stop
            if y < 2 * first + 2 or y & 1:
                continue
            start, stop = width, 0
            for k in range(4):
                if spans[k, 1] > spans[k, 0]:
                    start, stop = min(start, spans[k, 0]), max(stop, spans[k, 1])
            out = targets[level, y // 2 - 1]
            if stop <= start:
                out[:] = ZERO
                continue
            begin, end = max(start // 2 - 1, 0), min(stop // 2 + 1, half_width)
            out[:, :begin] = ZERO
            out[:, end:] = ZERO
            a, b, c, d = ring[(y - 3) & 3], ring[(y - 2) & 3], ring[(y - 1) & 3], ring[slot]
            for channel in range(channels):
                for x in range(2 * half_width + 2):
                    outer = a[channel, x] + d[channel, x]
                    inner = b[channel, x] + c[channel, x]
                    line[x] = EIGHTH * outer + THREE_EIGHTHS * inner
                line[0] = line[1]
                if end == half_width:
                    for x in range(width, 2 * half_width + 1):
                        line[1 + x] = line[1 + mirrored(x, width)]
                halve_into(line[2 * begin :], out[channel, begin:end])


@kernel(fastmath=True)
def take(planes, blur, low, high, hat, line):
    """Set line, from column 1 on, to the light that a level takes from a row; the rest stays 0.

    Returns the columns from the first tile with light to the last. What is between is computed in
    one piece: where a level has no light its weight is 0.
    """
    width = blur.shape[0]
    begin, end = hat[0], hat[2] + ONE / hat[3]  # no light in the level outside these
    first, last = width, 0
    for tile in range(low.shape[0]):
        if high[tile] > begin and low[tile] < end:
            first, last = min(first, tile * TILE), min(tile * TILE + TILE, width)
    if last == 0:
        return 0, 0
    weight, variance = line[3, 1 + first : 1 + last], blur[first:last]
    weigh(variance, hat, ONE, weight)
    for channel in range(3):
        source = planes[channel, first:last]
        target = line[channel, 1 + first : 1 + last]
        for x in range(last - first):
            target[x] = weight[x] * source[x]
    if line.shape[0] == 5:
        target = line[4, 1 + first : 1 + last]
        for x in range(last - first):
            target[x] = weight[x] * variance[x]
    return first, last


@kernel(fastmath=True)
def weigh(blur, hat, share, weight):
    """Set weight = share · w_k of a row of blurs."""
    base, rise, top, fall = hat[0], hat[1], hat[2], hat[3]
    for x in range(blur.shape[0]):
        v = blur[x]
        inside = min((v - base) * rise, ONE - (v - top) * fall)
        weight[x] = share * min(max(ZERO, inside), ONE)


@kernel(fastmath=True)
def halve_into(source, target):
    """Average an extended line down by two."""
    for x in range(target.shape[0]):
        outer = source[2 * x] + source[2 * x + 3]
        inner = source[2 * x + 1] + source[2 * x + 2]
        target[x] = EIGHTH * outer + THREE_EIGHTHS * inner


@kernel(fastmath=True)
def halve_line(source, width, target):
    """Average a line down by two; its pixels are at 1 … width, with room for those mirrored."""
    half = target.shape[0]
    source[0] = source[1]
    for x in range(width, 2 * half + 1):
        source[1 + x] = source[1 + mirrored(x, width)]
    halve_into(source, target)


@kernel(fastmath=True)
def halve(source, target):
    """Average a picture down by two in both directions."""
    height, width = source.shape[0], source.shape[2]
    line = np.empty(2 * target.shape[2] + 2, np.float32)
    for y in range(target.shape[0]):
        a, b = source[mirrored(2 * y - 1, height)], source[2 * y]
        c, d = source[mirrored(2 * y + 1, height)], source[mirrored(2 * y + 2, height)]
        for channel in range(source.shape[1]):
            ra, rb, rc, rd = a[channel], b[channel], c[channel], d[channel]
            for x in range(width):
                line[1 + x] = EIGHTH * (ra[x] + rd[x]) + THREE_EIGHTHS * (rb[x] + rc[x])
            halve_line(line, width, target[y, channel])


@kernel(fastmath=True)
def filter_into(source, centre, side, target):
    """Add the picture filtered by (side, centre, side) in both directions to target."""
    height, width = source.shape[0], source.shape[2]
    line = np.empty(width + 2, np.float32)
    for y in range(height):
        a, b, c = source[mirrored(y - 1, height)], source[y], source[mirrored(y + 1, height)]
        for channel in range(source.shape[1]):
            above, here, below = a[channel], b[channel], c[channel]
            for x in range(width):
                line[1 + x] = centre * here[x] + side * (above[x] + below[x])
            line[0] = line[1]
            line[width + 1] = line[width]
            left, right = line[0:width], line[2 : 2 + width]
            middle, out = line[1 : 1 + width], target[y, channel]
            for x in range(width):
                out[x] += centre * middle[x] + side * (left[x] + right[x])


@kernel(fastmath=True)
def double_row(source, y, line, target):
    """Add row y of a picture interpolated up by two to target (C, W); line is scratch."""
    half_height, half_width = source.shape[0], source.shape[2]
    width = target.shape[1]
    near = source[y // 2]
    far = source[mirrored(y // 2 - 1 + 2 * (y % 2), half_height)]
    for channel in range(target.shape[0]):
        out = target[channel]
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
    line = np.empty(source.shape[2] + 2, np.float32)
    for y in range(target.shape[0]):
        double_row(source, y, line, target[y])


@kernel(parallel=True, fastmath=True)
def climb(planes, variance, hats, taps, deepest, rings, out, shares):
    """Run the levels at full resolution as one pipeline, normalise, put the planes together.

    Stage k holds rows of X_k = w_k·(I, 1) + B_{k+1}(X_{k+1}); a filter reads two rows ahead, so
    stage k runs two rows behind stage k + 1. Every band starts early enough for its own rows.

    :param hats: (K, 4) and taps (K, 3) of the K levels at full resolution.
    :param deepest: (H/2, 4, W/2) what the halved levels add to the last stage, or empty.
    :param rings: (bands, at least K, RING, 4, W) scratch.
    :param shares: (H, W) what the light was multiplied by to normalise it, out; or without rows.
    """
    height, width = variance.shape
    stages, bands = hats.shape[0], rings.shape[0]
    for band in prange(bands):
        begin, end = band * height // bands, (band + 1) * height // bands
        ring = rings[band]
        line = np.empty(width + 2 * RADIUS, np.float32)
        lag = RADIUS * (stages - 1)
        for step in range(begin - lag, end + lag):
            for stage in range(stages - 1, -1, -1):
                y = step - RADIUS * (stages - 1 - stage)
                reach = RADIUS * stage
                if y < max(0, begin - reach) or y >= min(height, end + reach):
                    continue
                slot = y & (RING - 1)
                base, rise, top, fall = (
                    hats[stage, 0],
                    hats[stage, 1],
                    hats[stage, 2],
                    hats[stage, 3],
                )
                for x in range(width):
                    v = variance[y, x]
                    inside = min((v - base) * rise, ONE - (v - top) * fall)
                    ring[stage, slot, 3, x] = min(max(ZERO, inside), ONE)
                for channel in range(3):
                    for x in range(width):
                        light = ring[stage, slot, 3, x] * planes[y, channel, x]
                        ring[stage, slot, channel, x] = light
                if stage < stages - 1:
                    filter_stage(ring, stage, y, height, taps[stage + 1], line)
                elif deepest.shape[0] > 0:
                    double_row(deepest, y, line, ring[stage, slot])
                if stage == 0:
                    for x in range(width):
                        share = ONE / max(ring[0, slot, 3, x], TINY)
                        out[y, x, 0] = ring[0, slot, 0, x] * share
                        out[y, x, 1] = ring[0, slot, 1, x] * share
                        out[y, x, 2] = ring[0, slot, 2, x] * share
                    if shares.shape[0] > 0:
                        for x in range(width):
                            shares[y, x] = ONE / max(ring[0, slot, 3, x], TINY)


@kernel(fastmath=True)
def filter_stage(ring, stage, y, height, taps, line):
    """Add to row y of a stage that of the next, filtered with five taps in both directions.

    :param ring: (K, RING, 4, W), which is indexed as a whole: to cut rows out of it costs as much
        as the work on them.
    :param line: (W + 4,) scratch.
    """
    width = ring.shape[3]
    t0, t1, t2 = taps[0], taps[1], taps[2]
    mask, above = RING - 1, stage + 1
    a, b = mirrored(y - 2, height) & mask, mirrored(y - 1, height) & mask
    c = y & mask
    d, e = mirrored(y + 1, height) & mask, mirrored(y + 2, height) & mask
    for channel in range(4):
        for x in range(width):
            beside = ring[above, b, channel, x] + ring[above, d, channel, x]
            beyond = ring[above, a, channel, x] + ring[above, e, channel, x]
            line[2 + x] = t0 * ring[above, c, channel, x] + t1 * beside + t2 * beyond
        line[1] = line[2]
        line[0] = line[2 + mirrored(-2, width)]
        line[width + 2] = line[2 + mirrored(width, width)]
        line[width + 3] = line[2 + mirrored(width + 1, width)]
        for x in range(width):
            beside, beyond = line[1 + x] + line[3 + x], line[x] + line[4 + x]
            ring[stage, c, channel, x] += t0 * line[2 + x] + t1 * beside + t2 * beyond


@kernel(fastmath=True)
def filter_row(ring, y, height, taps, line, target):
    """Add row y of a ring of rows filtered with five taps in both directions to target."""
    width = target.shape[1]
    t0, t1, t2 = taps[0], taps[1], taps[2]
    mask = RING - 1
    a, b = ring[mirrored(y - 2, height) & mask], ring[mirrored(y - 1, height) & mask]
    c = ring[y & mask]
    d, e = ring[mirrored(y + 1, height) & mask], ring[mirrored(y + 2, height) & mask]
    for channel in range(4):
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
