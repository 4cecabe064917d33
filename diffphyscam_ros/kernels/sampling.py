# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Looking up textures for a block of pixels.

Equal to ``render/textures.py``, where the filter is explained.
Which texels and with what weights is worked out for the whole block at once (it vectorizes); the
loads follow. Coordinates may be garbage (NaN from broken meshes): numbers of texels are clamped as
integers, so nothing outside the arrays is ever read.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.arithmetic import (
    binary_logarithm,
    clamp,
    floor,
    HALF,
    ONE,
    THREE,
    TINY,
    TWO,
    ZERO,
)
from diffphyscam_ros.kernels.rows import mix_fours
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    BLOCK,
    HEIGHT,
    ITEM,
    LANE,
    LANE_SHARE,
    LANE_STEP_U,
    LANE_STEP_V,
    LANE_STRETCH,
    LANE_TAP,
    LANE_U,
    LANE_V,
    LAST_LEVEL,
    LEVEL,
    OFFSET,
    PLACE_A,
    PLACE_B,
    PLACE_C,
    PLACE_D,
    RUN,
    SHARE,
    SHARE_A,
    SHARE_B,
    SHARE_C,
    SHARE_D,
    STEP_U,
    STEP_V,
    STRETCH,
    TEXEL_A,
    TEXEL_B,
    TEXEL_G,
    TEXEL_R,
    U,
    U_ACROSS,
    U_DOWN,
    V,
    V_ACROSS,
    V_DOWN,
    WIDTH,
)

FAR = np.float32(1e6)  # texels from a pixel to the next; more would overflow when squared
MOST_STRETCH = 8  # as in ``render/textures.py``; half of it is the most taps on either side
SLACK = 1.7
AT_ONCE = 16  # lanes; divides the block


@kernel(fastmath=True, inline=True)
def _within(x):
    """Return a change of texture coordinates that can be squared."""
    return min(max(x, -FAR), FAR)


@kernel(fastmath=True)
def choose_levels(s, n):
    """Fill LEVEL, SHARE, STEP and STRETCH from a pixel's footprint; the size is the finest's."""
    for i in range(BLOCK):
        width, height = np.float32(n[WIDTH + i]), np.float32(n[HEIGHT + i])
        ux, vx = _within(s[U_ACROSS + i] * width), _within(s[V_ACROSS + i] * height)
        uy, vy = _within(s[U_DOWN + i] * width), _within(s[V_DOWN + i] * height)
        # The footprint is an ellipse: its axes are the singular values of these two columns.
        uu, uv, vv = ux * ux + uy * uy, ux * vx + uy * vy, vx * vx + vy * vy
        area, half = ux * vy - uy * vx, HALF * (uu - vv)
        root = math.sqrt(half * half + uv * uv)
        long = HALF * (uu + vv) + root
        least = long * np.float32(1.0 / (MOST_STRETCH * MOST_STRETCH))
        short = max(max(area * area / max(long, TINY), least), ONE)
        long += THREE * min(max(long - ONE, ZERO), ONE)
        wider = max(long / (THREE * short), ONE)
        short *= min(wider, np.float32(SLACK * SLACK))
        last = np.float32(n[LAST_LEVEL + i])
        detail = min(HALF * binary_logarithm(short), last)
        level = clamp(np.int32(detail), 0, n[LAST_LEVEL + i])
        n[LEVEL + i] = level
        s[SHARE + i] = detail - np.float32(level)
        stretch = math.sqrt(max(long / short - TWO, ONE))
        # The coarsest level is of one colour.
        stretch = ONE if detail >= last else stretch
        s[STRETCH + i] = stretch
        x = root + half if half >= ZERO else uv
        y = uv if half >= ZERO else root - half
        step = math.sqrt(short / max(x * x + y * y, TINY))
        s[STEP_U + i], s[STEP_V + i] = x * step / width, y * step / height


@kernel(fastmath=True, inline=True)
def reach_of(stretch):
    """Return how many taps a row has on either side of its middle."""
    return clamp(np.int32(HALF * (stretch + ONE) - np.float32(1e-6)), 0, MOST_STRETCH // 2)


@kernel(fastmath=True, inline=True)
def share_of_tap(stretch, tap):
    """Return the weight of one tap of a row: the part of it that lies in its cell of one step."""
    inside = min(max(HALF * stretch - abs(tap) + HALF, ZERO), ONE)
    return (ONE if tap == ZERO else inside) / stretch


@kernel(fastmath=True, inline=True)
def four_texels(u, v, offset, width, height):
    """Return the numbers of the four texels around (u, v) of one repeating level, and weights."""
    x = (u - floor(u)) * np.float32(width) - HALF
    y = (v - floor(v)) * np.float32(height) - HALF
    left, top = floor(x), floor(y)
    dx, dy = x - left, y - top
    x0 = clamp(np.int32(left), -1, width - 1)
    y0 = clamp(np.int32(top), -1, height - 1)
    x1 = np.int32(x0 + 1)
    y1 = np.int32(y0 + 1)
    x1 = np.int32(0) if x1 == width else x1
    y1 = np.int32(0) if y1 == height else y1
    x0 = np.int32(width - 1) if x0 < 0 else x0
    y0 = np.int32(height - 1) if y0 < 0 else y0
    upper = np.int32(offset + np.int32(y0 * width))
    lower = np.int32(offset + np.int32(y1 * width))
    wd = dx * dy
    return (
        np.uint32(np.int32(upper + x0)),
        np.uint32(np.int32(upper + x1)),
        np.uint32(np.int32(lower + x0)),
        np.uint32(np.int32(lower + x1)),
        ONE - dx - dy + wd,
        dx - wd,
        dy - wd,
        wd,
    )


@kernel(fastmath=True)
def place_texels(s, n):
    """Fill PLACE and their SHARE: four texels of one repeating level around (U, V)."""
    for i in range(BLOCK):
        a, b, c, d, wa, wb, wc, wd = four_texels(
            s[U + i], s[V + i], n[OFFSET + i], n[WIDTH + i], n[HEIGHT + i]
        )
        n[PLACE_A + i], n[PLACE_B + i] = np.int32(a), np.int32(b)
        n[PLACE_C + i], n[PLACE_D + i] = np.int32(c), np.int32(d)
        s[SHARE_A + i], s[SHARE_B + i], s[SHARE_C + i], s[SHARE_D + i] = wa, wb, wc, wd


@kernel(fastmath=True, inline=True)
def texels_of(n, i):
    """Return the numbers of the four texels at PLACE."""
    return (
        np.uint32(n[PLACE_A + i]),
        np.uint32(n[PLACE_B + i]),
        np.uint32(n[PLACE_C + i]),
        np.uint32(n[PLACE_D + i]),
    )


@kernel(fastmath=True, inline=True)
def shares_of(s, i):
    """Return the weights of the four texels at PLACE."""
    return s[SHARE_A + i], s[SHARE_B + i], s[SHARE_C + i], s[SHARE_D + i]


@kernel(fastmath=True)
def _fetch_texels(s, n, count, atlas):
    """Fill TEXEL with the weighted mean of four texels."""
    for i in range(count):
        red, green, blue, alpha = mix_fours(atlas, texels_of(n, i), shares_of(s, i))
        s[TEXEL_R + i], s[TEXEL_G + i] = red, green
        s[TEXEL_B + i], s[TEXEL_A + i] = blue, alpha


@kernel(fastmath=True)
def _mix_texels(s, n, count, atlas):
    """Mix TEXEL with SHARE of the weighted mean of four texels of the next level."""
    for i in range(count):
        share = s[SHARE + i]
        if share == ZERO:
            continue
        red, green, blue, alpha = mix_fours(atlas, texels_of(n, i), shares_of(s, i))
        s[TEXEL_R + i] += share * (red - s[TEXEL_R + i])
        s[TEXEL_G + i] += share * (green - s[TEXEL_G + i])
        s[TEXEL_B + i] += share * (blue - s[TEXEL_B + i])
        s[TEXEL_A + i] += share * (alpha - s[TEXEL_A + i])


@kernel(fastmath=True)
def list_stretched(s, n, count):
    """List the pixels whose row has more than one tap in LANE; return their number and reach.

    Also fills LANE_U, LANE_V, LANE_STEP_U, LANE_STEP_V and LANE_STRETCH.
    """
    lanes = 0
    farthest = np.int32(0)
    for i in range(count):
        stretch = s[STRETCH + i]
        if stretch > ONE:
            reach = reach_of(stretch)
            n[LANE + lanes] = i
            s[LANE_U + lanes], s[LANE_V + lanes] = s[U + i], s[V + i]
            s[LANE_STEP_U + lanes], s[LANE_STEP_V + lanes] = s[STEP_U + i], s[STEP_V + i]
            s[LANE_STRETCH + lanes] = stretch
            farthest = max(farthest, reach)
            lanes += 1
    return lanes, farthest


@kernel(fastmath=True)
def open_lanes(s, n, lanes, flags, column, levels, step):
    """Fill OFFSET, WIDTH, HEIGHT and LANE_SHARE of one of two levels, by lane."""
    for lane in range(lanes):
        i = np.uint32(n[LANE + lane])
        texture = np.uint32(max(flags[np.uint32(n[ITEM + i]), column], 0))
        level = np.uint32(min(n[LEVEL + i] + step, n[LAST_LEVEL + i]))
        n[OFFSET + lane] = levels[texture, level, 0]
        n[WIDTH + lane] = levels[texture, level, 1]
        n[HEIGHT + lane] = levels[texture, level, 2]
        s[LANE_SHARE + lane] = s[SHARE + i] if step == 1 else ONE - s[SHARE + i]


@kernel(fastmath=True)
def place_lanes(s, n, lanes, tap):
    """Fill PLACE, LANE_TAP and four SHAREs of it for one tap of all lanes."""
    # Whole vectors, the last one with lanes that nobody asks for.
    for first in range(np.uint32(0), np.uint32(lanes), np.uint32(AT_ONCE)):
        for lane in range(AT_ONCE):
            j = np.uint32(first + np.uint32(lane))
            a, b, c, d, wa, wb, wc, wd = four_texels(
                s[LANE_U + j] + tap * s[LANE_STEP_U + j],
                s[LANE_V + j] + tap * s[LANE_STEP_V + j],
                n[OFFSET + j],
                n[WIDTH + j],
                n[HEIGHT + j],
            )
            share = s[LANE_SHARE + j] * share_of_tap(s[LANE_STRETCH + j], tap)
            n[PLACE_A + j], n[PLACE_B + j] = np.int32(a), np.int32(b)
            n[PLACE_C + j], n[PLACE_D + j] = np.int32(c), np.int32(d)
            s[LANE_TAP + j] = share
            s[SHARE_A + j], s[SHARE_B + j] = share * wa, share * wb
            s[SHARE_C + j], s[SHARE_D + j] = share * wc, share * wd


@kernel(fastmath=True)
def _add_taps(s, n, count, flags, column, atlas, levels):
    """Mix TEXEL, the middle of each row of taps, with the others; most rows have none."""
    lanes, farthest = list_stretched(s, n, count)
    for lane in range(lanes):
        i, middle = np.uint32(n[LANE + lane]), ONE / s[LANE_STRETCH + lane]
        s[TEXEL_R + i] *= middle
        s[TEXEL_G + i] *= middle
        s[TEXEL_B + i] *= middle
        s[TEXEL_A + i] *= middle
    for step in range(2):
        open_lanes(s, n, lanes, flags, column, levels, step)
        for number in range(-farthest, farthest + 1):
            if number == 0:
                continue
            tap = np.float32(number)
            place_lanes(s, n, lanes, tap)
            for lane in range(lanes):
                i = np.uint32(n[LANE + lane])
                red, green, blue, alpha = mix_fours(atlas, texels_of(n, lane), shares_of(s, lane))
                s[TEXEL_R + i] += red
                s[TEXEL_G + i] += green
                s[TEXEL_B + i] += blue
                s[TEXEL_A + i] += alpha


@kernel(fastmath=True)
def open_levels(s, n, count, runs, flags, column, levels, step):
    """Fill OFFSET, WIDTH and HEIGHT of one of two levels; return whether a second is used."""
    start = np.uint32(0)
    for run in range(runs):
        end = np.uint32(n[RUN + run])
        texture = np.uint32(max(flags[np.uint32(n[ITEM + start]), column], 0))
        for number in range(start, end):
            i = np.uint32(number)
            level = np.uint32(min(n[LEVEL + i] + step, n[LAST_LEVEL + i]))
            n[OFFSET + i] = levels[texture, level, 0]
            n[WIDTH + i] = levels[texture, level, 1]
            n[HEIGHT + i] = levels[texture, level, 2]
        start = end
    most = ZERO
    for i in range(count):
        most = max(most, s[SHARE + i])
    return most > ZERO


@kernel(fastmath=True)
def find_textures(s, n, count, runs, flags, column, levels, counts):
    """Choose the levels and taps of each pixel's texture; return whether there are several."""
    start = np.uint32(0)
    for run in range(runs):
        end = np.uint32(n[RUN + run])
        texture = np.uint32(max(flags[np.uint32(n[ITEM + start]), column], 0))
        width, height, last = levels[texture, 0, 1], levels[texture, 0, 2], counts[texture] - 1
        for number in range(start, end):
            i = np.uint32(number)
            n[WIDTH + i], n[HEIGHT + i], n[LAST_LEVEL + i] = width, height, last
        start = end
    choose_levels(s, n)
    most = ONE
    for i in range(count):
        most = max(most, s[STRETCH + i])
    return most > ONE


@kernel(fastmath=True)
def sample_textures(s, n, count, runs, flags, column, atlas, levels, counts):
    """Fill TEXEL with the filtered colour of each pixel's texture.

    Reads U, V and their changes. Pixels without a texture in this column get any colour.

    :param runs: number of runs, see ``surface.locate``.
    :param flags: (I, 8) int32, its ``column`` holding the texture's number.
    :param levels: (T, L, 3) int32: offset, width, height of each level, the finest first.
    :param counts: (T,) int32, levels in use.
    """
    stretched = find_textures(s, n, count, runs, flags, column, levels, counts)
    for step in range(2):
        mixed = open_levels(s, n, count, runs, flags, column, levels, step)
        if step == 1 and not mixed:
            break
        place_texels(s, n)
        if step == 0:
            _fetch_texels(s, n, count, atlas)
        else:
            _mix_texels(s, n, count, atlas)
    if stretched:
        _add_taps(s, n, count, flags, column, atlas, levels)
