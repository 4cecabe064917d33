# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of disk and polygon defocus with occlusion: slots of depth, front to back.

A slot is (blur before, its own, after) in signed px: its hat. ``aperture`` is (H, 4, W): the
colours collected so far, and how much of the aperture is still free.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.defocus_rows import (
    double_row,
    EIGHTH,
    halve_line,
    LARGEST,
    mirrored,
    ONE,
    THREE_EIGHTHS,
    TINY,
    ZERO,
)
from diffphyscam_ros.kernels.defocus_rows import (
    TILE as SKIPPED,
)
from diffphyscam_ros.kernels.disk_rows import aim_row, gather_tile, TILE
from diffphyscam_ros.kernels.runtime import kernel


@kernel(parallel=True)
def load(image, coc, planes, signed, extremes):
    """Take picture and blur apart; a row with a c that is NaN or too large has extremes of NaN."""
    height, width = coc.shape
    for y in prange(height):
        low, high, bad = LARGEST, -LARGEST, 0
        for x in range(width):
            c = coc[y, x]
            planes[y, 0, x] = image[y, x, 0]
            planes[y, 1, x] = image[y, x, 1]
            planes[y, 2, x] = image[y, x, 2]
            signed[y, x] = c
            bad += 0 if abs(c) <= LARGEST else 1
            low = c if c < low else low
            high = c if c > high else high
        extremes[y, 0] = np.float32(np.nan) if bad else low
        extremes[y, 1] = np.float32(np.nan) if bad else high


@kernel(parallel=True, fastmath=True)
def find_ranges(signed, guess, ranges):
    """Set (H, tiles, 4): least and largest blur of what is seen and of what is guessed."""
    height, width = signed.shape
    for y in prange(height):
        presence, far = guess[y, 3], guess[y, 4]
        for tile in range(ranges.shape[1]):
            a, b, c, d = LARGEST, -LARGEST, LARGEST, -LARGEST
            for x in range(tile * SKIPPED, min(tile * SKIPPED + SKIPPED, width)):
                a, b = min(a, signed[y, x]), max(b, signed[y, x])
                there = presence[x] > ZERO
                c = min(c, far[x] if there else LARGEST)
                d = max(d, far[x] if there else -LARGEST)
            ranges[y, tile, 0], ranges[y, tile, 1] = a, b
            ranges[y, tile, 2], ranges[y, tile, 3] = c, d


@kernel(fastmath=True)
def take(planes, signed, guess, ranges, slot, line):
    """Set line (5, W), colours, weight, weight · c², to a slot's light; return its extent."""
    width = signed.shape[0]
    before, middle, after = slot[0], slot[1], slot[2]
    rise, fall = ONE / (middle - before), ONE / (after - middle)
    first, last = width, 0
    for tile in range(ranges.shape[0]):
        start, stop = tile * SKIPPED, min(tile * SKIPPED + SKIPPED, width)
        weight, square = line[3, start:stop], line[4, start:stop]
        if ranges[tile, 1] > before and ranges[tile, 0] < after:
            first, last = min(first, start), stop
            blur = signed[start:stop]
            for x in range(stop - start):
                c = blur[x]
                weight[x] = max(min((c - before) * rise, (after - c) * fall), ZERO)
                square[x] = weight[x] * c * c
            for channel in range(3):
                source, target = planes[channel, start:stop], line[channel, start:stop]
                for x in range(stop - start):
                    target[x] = weight[x] * source[x]
        else:
            line[:, start:stop] = ZERO
        if ranges[tile, 3] > before and ranges[tile, 2] < after:
            first, last = min(first, start), stop
            presence, blur = guess[3, start:stop], guess[4, start:stop]
            r, g, b = guess[0, start:stop], guess[1, start:stop], guess[2, start:stop]
            tr, tg, tb = line[0, start:stop], line[1, start:stop], line[2, start:stop]
            for x in range(stop - start):
                c = blur[x]
                share = max(min((c - before) * rise, (after - c) * fall), ZERO)
                tr[x] += share * r[x]
                tg[x] += share * g[x]
                tb[x] += share * b[x]
                share *= presence[x]
                weight[x] += share
                square[x] += share * c * c
    return first, last


@kernel(parallel=True, fastmath=True)
def aim_slot(planes, signed, guess, ranges, slot, totals, rows, rims):
    """Turn the light of a slot into the rows of full resolution."""
    height, width = signed.shape
    for y in prange(height):
        line = np.empty((5, width), np.float32)
        first, last = take(planes[y], signed[y], guess[y], ranges[y], slot, line)
        if first < last:
            aim_row(line, first, last, ONE, ZERO, totals, rows[y], rims[y])
        else:
            rims[y] = ZERO


@kernel(parallel=True, fastmath=True)
def split_slot(planes, signed, guess, ranges, slot, chunk, target):
    """Put the light of a slot on the half-resolution grid, (H/2, 5, W/2)."""
    height, width = signed.shape
    half_height, channels, half_width = target.shape
    for part in prange(-(-half_height // chunk)):
        first, last = part * chunk, min(part * chunk + chunk, half_height)
        line = np.zeros((channels, 2 * half_width + 2), np.float32)
        own = np.empty((channels, width), np.float32)
        ring = np.zeros((4, channels, half_width), np.float32)
        for y in range(2 * first - 1, 2 * last + 1):
            at, place = mirrored(y, height), y & 3
            first_lit, last_lit = take(planes[at], signed[at], guess[at], ranges[at], slot, own)
            if first_lit < last_lit:
                for channel in range(channels):
                    line[channel, 1 : 1 + width] = own[channel]
                    halve_line(line[channel], width, ring[place, channel])
            else:
                ring[place] = ZERO
            if y < 2 * first + 2 or y & 1:
                continue
            a, b, c, d = ring[(y - 3) & 3], ring[(y - 2) & 3], ring[(y - 1) & 3], ring[place]
            for channel in range(channels):
                out = target[y // 2 - 1, channel]
                ra, rb, rc, rd = a[channel], b[channel], c[channel], d[channel]
                for x in range(half_width):
                    out[x] = EIGHTH * (ra[x] + rd[x]) + THREE_EIGHTHS * (rb[x] + rc[x])


@kernel(parallel=True, fastmath=True)
def collect(rows, rims, distances, nearest, aperture):
    """Spread the rows of a slot of full resolution, and lay it behind all before it."""
    height, width = aperture.shape[0], aperture.shape[2]
    for y in prange(height):
        gathered = np.empty(4 * TILE, np.float32)
        for tile in range(rows.shape[1]):
            if gather_tile(rows, rims, distances, nearest, y, tile, gathered):
                start, stop = tile * TILE, min(tile * TILE + TILE, width)
                size = stop - start
                own = aperture[y, :, start:stop]
                lay_behind(
                    gathered[:size],
                    gathered[TILE : TILE + size],
                    gathered[2 * TILE : 2 * TILE + size],
                    gathered[3 * TILE : 3 * TILE + size],
                    own[0],
                    own[1],
                    own[2],
                    own[3],
                )


@kernel(parallel=True, fastmath=True)
def collect_doubled(light, aperture):
    """Lay a slot that has been spread at half resolution, (H/2, 4, W/2), behind all before it."""
    height, width = aperture.shape[0], aperture.shape[2]
    for y in prange(height):
        total = np.zeros((4, width), np.float32)
        line = np.empty(width // 2 + 3, np.float32)
        double_row(light, y, line, total)
        own = aperture[y]
        lay_behind(total[0], total[1], total[2], total[3], own[0], own[1], own[2], own[3])


@kernel(fastmath=True)
def lay_behind(red, green, blue, share, own_red, own_green, own_blue, free):
    """Give to a slot what of its share is still free."""
    for x in range(share.shape[0]):
        s = max(share[x], TINY)
        visible = min(s, free[x]) / s
        own_red[x] += visible * red[x]
        own_green[x] += visible * green[x]
        own_blue[x] += visible * blue[x]
        free[x] = max(free[x] - s, ZERO)


@kernel(parallel=True, fastmath=True)
def clear(aperture):
    """Free the whole aperture."""
    for y in prange(aperture.shape[0]):
        aperture[y, :3] = ZERO
        aperture[y, 3] = ONE


@kernel(parallel=True, fastmath=True)
def finish(aperture, out):
    """Set the picture (H, W, 3) to the mean colour of what is not free."""
    for y in prange(out.shape[0]):
        red, green, blue, free = aperture[y, 0], aperture[y, 1], aperture[y, 2], aperture[y, 3]
        for x in range(out.shape[1]):
            share = ONE / max(ONE - free[x], TINY)
            out[y, x, 0] = red[x] * share
            out[y, x, 1] = green[x] * share
            out[y, x, 2] = blue[x] * share
