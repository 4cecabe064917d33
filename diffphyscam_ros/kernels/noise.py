# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Normal deviates for the fused sensor kernel: the bits of camera/noise.py, row by row.

The hash gives the very same words as the torch reference; logarithm, sine and cosine are series
short enough to be vectorised, and the deviates agree with the reference to 1e-5.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

F32 = np.float32
U32 = np.uint32

_HALF, _ONE, _TWO, _QUARTER = F32(0.5), F32(1.0), F32(2.0), F32(0.25)
_UNIT = F32(2.0**-23)
_LN2 = F32(math.log(2.0))
_SQRT2 = F32(math.sqrt(2.0))
_TURN = F32(2.0 * math.pi)
# atanh(s) = s + s³/3 + s⁵/5 + s⁷/7, |s| < 0.172: the next term is below 2e-8.
_A3, _A5, _A7 = F32(1 / 3), F32(1 / 5), F32(1 / 7)
# Taylor series, |x| <= π/2: the next terms are below 6e-8 and 7e-9.
_S3, _S5, _S7, _S9, _S11 = (F32((-1) ** k / math.factorial(2 * k + 1)) for k in range(1, 6))
_C2, _C4, _C6, _C8, _C10, _C12 = (F32((-1) ** k / math.factorial(2 * k)) for k in range(1, 7))


@kernel()
def log_float32(value):  # type: ignore[no-untyped-def]
    """Return ln(value) of a normal positive float32, to 1e-7 relative."""
    bits = F32(value).view(np.int32)
    exponent = np.int32((bits >> np.int32(23)) - np.int32(127))
    mantissa = np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x3F800000)).view(np.float32)
    large = mantissa > _SQRT2
    mantissa = mantissa * _HALF if large else mantissa
    power = F32(exponent) + (_ONE if large else F32(0.0))
    s = (mantissa - _ONE) / (mantissa + _ONE)
    t = s * s
    return power * _LN2 + _TWO * (s + s * t * (_A3 + t * (_A5 + t * _A7)))


@kernel()
def _normal_pair(first, second):  # type: ignore[no-untyped-def]
    """Turn two 32-bit words into two normal deviates (Box-Muller), as camera/noise.py does."""
    uniform = (F32(np.int32(first >> U32(9))) + _HALF) * _UNIT
    radius = F32(math.sqrt(-_TWO * log_float32(uniform)))
    half_turns = F32(np.int32(second >> U32(9))) * _UNIT - _HALF
    # cos θ = −sin(2πx) and sin θ = ∓cos(2πx), with |2πx| <= π/2.
    x = (_QUARTER - abs(half_turns)) * _TURN
    t = x * x
    sine = x + x * t * (_S3 + t * (_S5 + t * (_S7 + t * (_S9 + t * _S11))))
    cosine = _ONE + t * (_C2 + t * (_C4 + t * (_C6 + t * (_C8 + t * (_C10 + t * _C12)))))
    return -radius * sine, radius * cosine if half_turns < F32(0.0) else -radius * cosine


@kernel()
def fill_normals(start, frame, seed, stream, planes):  # type: ignore[no-untyped-def]
    """Fill planes (3, n) with the deviates of the pixels start, start + 1, … of a picture."""
    multiplier, increment, half = U32(1664525), U32(1013904223), U32(16)
    b = U32(U32(frame) * multiplier + increment)
    c = U32(U32(seed) * multiplier + increment)
    d = U32(U32(stream) * multiplier + increment)
    bd = U32(b * d)
    for i in range(planes.shape[1]):
        x = U32(U32(U32(start) + U32(i)) * multiplier + increment)
        x = U32(x + bd)
        y = U32(b + U32(c * x))
        z = U32(c + U32(x * y))
        w = U32(d + U32(y * z))
        x = U32(x ^ (x >> half))
        y = U32(y ^ (y >> half))
        z = U32(z ^ (z >> half))
        w = U32(w ^ (w >> half))
        x = U32(x + U32(y * w))
        y = U32(y + U32(z * x))
        z = U32(z + U32(x * y))
        w = U32(w + U32(y * z))
        planes[0, i], planes[1, i] = _normal_pair(x, y)
        planes[2, i], _ = _normal_pair(z, w)


@kernel(parallel=True)
def normal_picture(frame, seed, stream, out):  # type: ignore[no-untyped-def]
    """Fill out (H, W, 3) float32 with the deviates of camera/noise.py's normal_deviates."""
    height, width = out.shape[0], out.shape[1]
    for row in prange(height):
        planes = np.empty((3, width), np.float32)
        fill_normals(row * width, frame, seed, stream, planes)
        for column in range(width):
            for channel in range(3):
                out[row, column, channel] = planes[channel, column]
