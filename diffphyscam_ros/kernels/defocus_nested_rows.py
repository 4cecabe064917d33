# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of Gaussian defocus with occlusion, see ``camera.defocus_nested``.

``far`` is (H, 5, W): what each pixel shows of all that is at or behind the focus, colours times
presence, presence, variance of its blur. In front there are two sources, the picture itself and
the guess of ``kernels.defocus_hidden``, each with a variance that is −1 where it has none.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.defocus_rows import (
    double_row,
    EIGHTH,
    filter_row,
    halve_line,
    LARGEST,
    mirrored,
    ONE,
    RADIUS,
    RING,
    THREE_EIGHTHS,
    TILE,
    TINY,
    weigh,
    ZERO,
)
from diffphyscam_ros.kernels.runtime import kernel

NONE = np.float32(-1.0)


@kernel(parallel=True, fastmath=True)
def prepare(planes, signed, guess, has_front, scale, first, far, near, ranges):
    """Sort the light of every pixel by the side of the focus.

    :param first: variance of the first level above the sharp one.
    :param near: (H, 2, W) variances in front of the focus, of picture and guess.
    :param ranges: (H, tiles, 6) least and largest variance of far and of near.
    """
    height, width = signed.shape
    for y in prange(height):
        red, green, blue = planes[y, 0], planes[y, 1], planes[y, 2]
        blur, out, own, other = signed[y], far[y], near[y, 0], near[y, 1]
        for x in range(width):
            v = (blur[x] * scale) * (blur[x] * scale)
            out[0, x], out[1, x], out[2, x] = red[x], green[x], blue[x]
            out[3, x] = ONE
            out[4, x] = v
            own[x] = other[x] = NONE
        if has_front:
            behind = guess[y]
            for x in range(width):
                front = blur[x] < ZERO
                v = out[4, x]
                deep = (behind[4, x] * scale) * (behind[4, x] * scale)
                guessed_front = behind[4, x] < ZERO
                own[x] = v if front else NONE
                other[x] = deep if guessed_front else NONE
                share = min(v / first, ONE) * (
                    ONE - min(deep / first, ONE) if guessed_front else ONE
                )
                out[0, x] = share * behind[0, x] if front else out[0, x]
                out[1, x] = share * behind[1, x] if front else out[1, x]
                out[2, x] = share * behind[2, x] if front else out[2, x]
                out[3, x] = share * behind[3, x] if front else out[3, x]
                out[4, x] = (ZERO if guessed_front else deep) if front else v
        for tile in range(ranges.shape[1]):
            start, stop = tile * TILE, min(tile * TILE + TILE, width)
            a, b, c, d, e, f = LARGEST, NONE, LARGEST, NONE, LARGEST, NONE
            for x in range(start, stop):
                a, b = min(a, out[4, x]), max(b, out[4, x])
                c, d = min(c, own[x]), max(d, own[x])
                e, f = min(e, other[x]), max(f, other[x])
            ranges[y, tile, 0], ranges[y, tile, 1] = a, b
            ranges[y, tile, 2], ranges[y, tile, 3] = c, d
            ranges[y, tile, 4], ranges[y, tile, 5] = e, f


@kernel(parallel=True, fastmath=True)
def split(planes, guess, far, near, ranges, hats, front, chunk, targets):
    """Put the light of several levels on the half-resolution grid.

    :param front: whether that in front of the focus, or that behind it.
    :param targets: (K, H/2, C ≥ 4, W/2): colours and share are set.
    """
    height, width = near.shape[0], near.shape[2]
    levels, half_height, _, half_width = targets.shape
    channels = 4
    for part in prange(-(-half_height // chunk) * levels):
        level, first = part % levels, part // levels * chunk
        last = min(first + chunk, half_height)
        line = np.zeros((channels, 2 * half_width + 2), np.float32)
        ring = np.zeros((4, channels, half_width), np.float32)
        marks = np.zeros(4, np.uint8)
        weight = np.empty(width, np.float32)
        own = np.empty((channels, width), np.float32)
        for y in range(2 * first - 1, 2 * last + 1):
            at, slot = mirrored(y, height), y & 3
            if front:
                lit = take_front(
                    planes[at], guess[at], near[at], ranges[at], hats[level], weight, own
                )
            else:
                lit = take_far(far[at], ranges[at], hats[level], weight, own)
            marks[slot] = lit
            if lit:
                for channel in range(channels):
                    line[channel, 1 : 1 + width] = own[channel]
                    halve_line(line[channel], width, ring[slot, channel])
            else:
                ring[slot] = ZERO
            if y < 2 * first + 2 or y & 1:
                continue
            if not (marks[0] or marks[1] or marks[2] or marks[3]):
                targets[level, y // 2 - 1] = ZERO
                continue
            a, b, c, d = ring[(y - 3) & 3], ring[(y - 2) & 3], ring[(y - 1) & 3], ring[slot]
            for channel in range(channels):
                out = targets[level, y // 2 - 1, channel]
                ra, rb, rc, rd = a[channel], b[channel], c[channel], d[channel]
                for x in range(half_width):
                    out[x] = EIGHTH * (ra[x] + rd[x]) + THREE_EIGHTHS * (rb[x] + rc[x])


@kernel(fastmath=True)
def take_far(far, ranges, hat, weight, line):
    """Set line (4, W) to the light of a level behind the focus; return if any."""
    width = weight.shape[0]
    begin, end = hat[0], hat[2] + ONE / hat[3]
    lit = False
    for tile in range(ranges.shape[0]):
        start, stop = tile * TILE, min(tile * TILE + TILE, width)
        if ranges[tile, 1] <= begin or ranges[tile, 0] >= end:
            line[:, start:stop] = ZERO
            continue
        lit = True
        share = weight[start:stop]
        weigh(far[4, start:stop], hat, ONE, share)
        for channel in range(4):
            source, target = far[channel, start:stop], line[channel, start:stop]
            for x in range(stop - start):
                target[x] = share[x] * source[x]
    return lit


@kernel(fastmath=True)
def reach(far, hat, out):
    """Set out to the share of the light behind the focus that is at a level or above it."""
    variance, presence = far[4], far[3]
    base, rise = hat[0], hat[1]
    for x in range(out.shape[0]):
        out[x] = presence[x] * min(max((variance[x] - base) * rise, ZERO), ONE)


@kernel(fastmath=True)
def take_front(planes, guess, near, ranges, hat, weight, line):
    """Set line (4, W) to the light of a level in front of the focus; return if any."""
    width = weight.shape[0]
    begin, end = hat[0], hat[2] + ONE / hat[3]
    lit = False
    for tile in range(ranges.shape[0]):
        start, stop = tile * TILE, min(tile * TILE + TILE, width)
        if ranges[tile, 3] > begin and ranges[tile, 2] < end:
            lit = True
            share = line[3, start:stop]
            weigh(near[0, start:stop], hat, ONE, share)
            for channel in range(3):
                source, target = planes[channel, start:stop], line[channel, start:stop]
                for x in range(stop - start):
                    target[x] = share[x] * source[x]
        else:
            line[:, start:stop] = ZERO
        if ranges[tile, 5] > begin and ranges[tile, 4] < end:
            lit = True
            share = weight[start:stop]
            weigh(near[1, start:stop], hat, ONE, share)
            for channel in range(4):
                source, target = guess[channel, start:stop], line[channel, start:stop]
                for x in range(stop - start):
                    target[x] += share[x] * source[x]
    return lit


@kernel(fastmath=True)
def lay_over(arrived, beyond, light):
    """Behind the focus: add to a level (H, 4, W) what arrives; ``beyond`` is its share."""
    for y in range(light.shape[0]):
        mask_row(arrived[y], beyond[y], light[y])


@kernel(fastmath=True)
def lay_under(arrived, light):
    """In front of the focus: put a level (H, 4, W) behind what arrives."""
    for y in range(light.shape[0]):
        cover_row(arrived[y], light[y])


@kernel(fastmath=True)
def mask_row(arrived, beyond, light):
    """Do it for a row: light += arrived, brought to the share ``beyond``."""
    a, b, c, d = arrived[0], arrived[1], arrived[2], arrived[3]
    p, q, r, s = light[0], light[1], light[2], light[3]
    for x in range(beyond.shape[0]):
        factor = beyond[x] / max(d[x], TINY)
        p[x] += factor * a[x]
        q[x] += factor * b[x]
        r[x] += factor * c[x]
        s[x] += beyond[x]


@kernel(fastmath=True)
def cover_row(arrived, light):
    """Do it for a row: light = arrived + as much of light as that leaves free."""
    a, b, c, d = arrived[0], arrived[1], arrived[2], arrived[3]
    p, q, r, s = light[0], light[1], light[2], light[3]
    for x in range(light.shape[1]):
        share = max(s[x], TINY)
        factor = min(share, max(ONE - d[x], ZERO)) / share
        p[x] = a[x] + factor * p[x]
        q[x] = b[x] + factor * q[x]
        r[x] = c[x] + factor * r[x]
        s[x] = d[x] + factor * s[x]


@kernel(parallel=True, fastmath=True)
def climb(
    planes, guess, far, near, ranges, hats, taps, deep_far, deep_front, has_front, bands, out
):
    """Run the levels at full resolution of both sides as one pipeline, and put them together.

    See ``defocus_rows.climb``. :param hats: (K + 1, 4), those of the stages and the next.
    """
    height, width = near.shape[0], near.shape[2]
    stages = hats.shape[0] - 1
    for band in prange(bands):
        begin, end = band * height // bands, (band + 1) * height // bands
        ring = np.empty((stages, RING, 4, width), np.float32)
        front = np.zeros((stages, RING, 4, width), np.float32)
        lit = np.zeros((stages, RING), np.uint8)
        line = np.empty(width + 2 * RADIUS, np.float32)
        arrived = np.empty((4, width), np.float32)
        beyond = np.empty(width, np.float32)
        lag = RADIUS * (stages - 1)
        for step in range(begin - lag, end + lag):
            for stage in range(stages - 1, -1, -1):
                y = step - RADIUS * (stages - 1 - stage)
                margin = RADIUS * stage
                if y < max(0, begin - margin) or y >= min(height, end + margin):
                    continue
                at = y & (RING - 1)
                last = stage == stages - 1
                row, source = ring[stage, at], far[y]
                weight = row[3]
                weigh(source[4], hats[stage], ONE, weight)
                for x in range(width):
                    row[0, x] = weight[x] * source[0, x]
                    row[1, x] = weight[x] * source[1, x]
                    row[2, x] = weight[x] * source[2, x]
                    weight[x] *= source[3, x]
                if stage == 0 and has_front:
                    add_sharp(planes[y], near[y, 0], hats[1], row)
                if not last or deep_far.shape[0] > 0:
                    arrived[:] = ZERO
                    if last:
                        double_row(deep_far, y, line, arrived)
                    else:
                        filter_row(ring[stage + 1], y, height, taps[stage + 1], line, arrived)
                    reach(source, hats[stage + 1], beyond)
                    mask_row(arrived, beyond, row)
                if has_front:
                    row = front[stage, at]
                    some = False
                    if stage > 0:
                        some = take_front(
                            planes[y], guess[y], near[y], ranges[y], hats[stage], beyond, row
                        )
                    else:
                        row[:] = ZERO
                    if last:
                        if deep_front.shape[0] > 0:
                            some = True
                            arrived[:] = ZERO
                            double_row(deep_front, y, line, arrived)
                            cover_row(arrived, row)
                    else:
                        around = False
                        for dy in range(-RADIUS, RADIUS + 1):
                            around = (
                                around or lit[stage + 1, mirrored(y + dy, height) & (RING - 1)]
                            )
                        if around:
                            some = True
                            arrived[:] = ZERO
                            filter_row(front[stage + 1], y, height, taps[stage + 1], line, arrived)
                            cover_row(arrived, row)
                    lit[stage, at] = some
                    if stage == 0 and some:
                        cover_row(row, ring[0, at])
                if stage == 0:
                    row = ring[0, at]
                    for x in range(width):
                        share = ONE / max(row[3, x], TINY)
                        out[y, x, 0] = row[0, x] * share
                        out[y, x, 1] = row[1, x] * share
                        out[y, x, 2] = row[2, x] * share


@kernel(fastmath=True)
def add_sharp(planes, variance, hat, row):
    """Add what is in front of the focus, but sharp: the share that no level above takes."""
    rise = hat[1]
    for x in range(variance.shape[0]):
        v = variance[x]
        share = max(ONE - v * rise, ZERO) if v >= ZERO else ZERO
        row[0, x] += share * planes[0, x]
        row[1, x] += share * planes[1, x]
        row[2, x] += share * planes[2, x]
        row[3, x] += share
