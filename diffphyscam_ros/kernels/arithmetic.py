# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Numbers in float32, and functions of them that loops can vectorize: no calls, no branches."""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
THREE = np.float32(3.0)
HALF_PI = np.float32(math.pi / 2.0)
PI = np.float32(math.pi)
INVERSE_PI = np.float32(1.0 / math.pi)
INVERSE_TWO_PI = np.float32(0.5 / math.pi)
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
    exponent = np.int32((bits >> 23) - 127)
    mantissa = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32)
    # log2(m) = 2/ln 2 · artanh(t), t = (m − 1)/(m + 1) ≤ 1/3: the series converges quickly.
    t = (mantissa - ONE) / (mantissa + ONE)
    s = t * t
    series = _L1 + s * (_L3 + s * (_L5 + s * (_L7 + s * _L9)))
    return np.float32(exponent) + t * series


@kernel(fastmath=True, inline=True)
def clamp(x, low, high):
    """Return an int32 within limits."""
    return np.int32(min(max(np.int32(x), np.int32(low)), np.int32(high)))
