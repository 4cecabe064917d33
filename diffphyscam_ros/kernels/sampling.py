# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Looking up textures and lat-long environments inside the CPU shading kernels.

Equal to ``render/textures.py`` and ``render/lighting.py``. Coordinates may be garbage (NaN from
broken meshes): the integer texel index is clamped, so nothing outside the arrays is ever read.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
HALF_PI = np.float32(math.pi / 2.0)
PI = np.float32(math.pi)
TINY = np.float32(1e-20)

# atan(t) = t·P(t²) on [0, 1] to 8e-8 rad, a least-squares fit at Chebyshev nodes.
_A0 = np.float32(0.9999999530549982)
_A1 = np.float32(-0.33332215338434035)
_A2 = np.float32(0.19972139523789995)
_A3 = np.float32(-0.14030513180562035)
_A4 = np.float32(0.09939846287513639)
_A5 = np.float32(-0.059802278067231394)
_A6 = np.float32(0.024451263592307662)
_A7 = np.float32(-0.0047434255991987044)

# Series of 2/ln 2 · artanh(t) / t in t².
_L1 = np.float32(2.0 / math.log(2.0))
_L3 = np.float32(2.0 / (3.0 * math.log(2.0)))
_L5 = np.float32(2.0 / (5.0 * math.log(2.0)))
_L7 = np.float32(2.0 / (7.0 * math.log(2.0)))
_L9 = np.float32(2.0 / (9.0 * math.log(2.0)))


@kernel(fastmath=True, inline=True)
def arc_tangent(y, x):
    """Return atan2(y, x) in float32, without branches so that loops over it vectorize."""
    ax, ay = abs(x), abs(y)
    high = max(max(ax, ay), TINY)
    low = min(ax, ay)
    t = low / high
    s = t * t
    angle = _A6 + s * _A7
    angle = _A5 + s * angle
    angle = _A4 + s * angle
    angle = _A3 + s * angle
    angle = _A2 + s * angle
    angle = _A1 + s * angle
    angle = t * (_A0 + s * angle)
    angle = HALF_PI - angle if ay > ax else angle
    angle = PI - angle if x < ZERO else angle
    return -angle if y < ZERO else angle


@kernel(fastmath=True, inline=True)
def floor(x):
    """Return the largest whole number not above x as float32, for |x| < 2³¹, without a call."""
    whole = np.float32(np.int32(x))
    return whole - ONE if x < whole else whole


@kernel(fastmath=True, inline=True)
def binary_logarithm(x):
    """Return log2 of a positive float32 to 1e-6, from its exponent and a series."""
    bits = np.float32(x).view(np.int32)
    exponent = (bits >> 23) - 127
    mantissa = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32)
    # log2(m) = 2/ln 2 · artanh(t), t = (m − 1)/(m + 1) ≤ 1/3: the series converges quickly.
    t = (mantissa - ONE) / (mantissa + ONE)
    s = t * t
    series = _L1 + s * (_L3 + s * (_L5 + s * (_L7 + s * _L9)))
    return np.float32(exponent) + t * series


@kernel(fastmath=True, inline=True)
def bilinear(atlas, offset, width, height, u, v):
    """Return the colour at (u, v) of one repeating picture inside the atlas.

    :param atlas: (N, 3) float32, pictures one after the other, row by row.
    :param offset: index of the picture's first texel.
    """
    x = (u - floor(u)) * np.float32(width) - HALF
    y = (v - floor(v)) * np.float32(height) - HALF
    left, top = floor(x), floor(y)
    dx, dy = x - left, y - top
    x0 = min(max(np.int32(left), np.int32(-1)), width - 1)
    y0 = min(max(np.int32(top), np.int32(-1)), height - 1)
    x1 = x0 + 1 if x0 + 1 < width else 0
    y1 = y0 + 1 if y0 + 1 < height else 0
    x0 = x0 if x0 >= 0 else width - 1
    y0 = y0 if y0 >= 0 else height - 1
    a = np.uint64(offset + y0 * width + x0)
    b = np.uint64(offset + y0 * width + x1)
    c = np.uint64(offset + y1 * width + x0)
    d = np.uint64(offset + y1 * width + x1)
    wd = dx * dy
    wc = dy - wd
    wb = dx - wd
    wa = ONE - dx - wc
    return (
        wa * atlas[a, 0] + wb * atlas[b, 0] + wc * atlas[c, 0] + wd * atlas[d, 0],
        wa * atlas[a, 1] + wb * atlas[b, 1] + wc * atlas[c, 1] + wd * atlas[d, 1],
        wa * atlas[a, 2] + wb * atlas[b, 2] + wc * atlas[c, 2] + wd * atlas[d, 2],
    )


@kernel(fastmath=True, inline=True)
def trilinear(atlas, levels, counts, texture, u, v, ux, vx, uy, vy):
    """Return the colour of a repeating, mip-mapped texture.

    :param levels: (T, L, 3) int32: offset, width, height of each level, the finest first.
    :param counts: (T,) int32, levels in use.
    :param ux, vx, uy, vy: change of (u, v) for a step of one pixel to the right and down.
    """
    width, height = np.float32(levels[texture, 0, 1]), np.float32(levels[texture, 0, 2])
    across = (ux * width) * (ux * width) + (vx * height) * (vx * height)
    down = (uy * width) * (uy * width) + (vy * height) * (vy * height)
    footprint = max(across, down)
    if not footprint > ONE:
        return _level(atlas, levels, texture, 0, u, v)
    last = counts[texture] - 1
    lod = min(HALF * binary_logarithm(footprint), np.float32(last))
    level = min(max(np.int32(lod), 0), last)
    share = lod - np.float32(level)
    r, g, b = _level(atlas, levels, texture, level, u, v)
    if level < last:
        r1, g1, b1 = _level(atlas, levels, texture, level + 1, u, v)
        r += share * (r1 - r)
        g += share * (g1 - g)
        b += share * (b1 - b)
    return r, g, b


@kernel(fastmath=True, inline=True)
def _level(atlas, levels, texture, level, u, v):
    """Return the colour of one level of a texture."""
    row, column = np.uint64(texture), np.uint64(level)
    return bilinear(
        atlas, levels[row, column, 0], levels[row, column, 1], levels[row, column, 2], u, v
    )


@kernel(fastmath=True, inline=True)
def latlong(pictures, index, column, row):
    """Return the radiance at pixel coordinates of one of several lat-long pictures.

    :param pictures: (L, H, W, 3) float32.

    Columns wrap, rows stop at the edge (``scene.environment.sample_wrapped``).
    """
    height, width = np.int32(pictures.shape[1]), np.int32(pictures.shape[2])
    left, top = floor(column), floor(row)
    dx, dy = column - left, row - top
    x0 = min(max(np.int32(left), np.int32(-1)), width - 1)
    x1 = x0 + 1 if x0 + 1 < width else 0
    x0 = x0 if x0 >= 0 else width - 1
    y0 = min(max(np.int32(top), np.int32(0)), height - 1)
    y1 = min(max(np.int32(top) + 1, 0), height - 1)
    k = np.uint64(index)
    left_column, right_column = np.uint64(x0), np.uint64(x1)
    upper, lower = np.uint64(y0), np.uint64(y1)
    wd = dx * dy
    wc = dy - wd
    wb = dx - wd
    wa = ONE - dx - wc
    return (
        wa * pictures[k, upper, left_column, 0]
        + wb * pictures[k, upper, right_column, 0]
        + wc * pictures[k, lower, left_column, 0]
        + wd * pictures[k, lower, right_column, 0],
        wa * pictures[k, upper, left_column, 1]
        + wb * pictures[k, upper, right_column, 1]
        + wc * pictures[k, lower, left_column, 1]
        + wd * pictures[k, lower, right_column, 1],
        wa * pictures[k, upper, left_column, 2]
        + wb * pictures[k, upper, right_column, 2]
        + wc * pictures[k, lower, left_column, 2]
        + wd * pictures[k, lower, right_column, 2],
    )
