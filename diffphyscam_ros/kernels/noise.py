# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Normal deviates for the fused sensor kernel: the bits of camera/noise.py, row by row.

The hash gives the very same words as the torch reference; logarithm, sine and cosine are
polynomials without a branch or a division, so that the loops become SIMD; the deviates agree with
the reference to 2e-6.
"""

from __future__ import annotations

from collections.abc import Callable
import math

from numba import prange
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32 = np.float32
U32 = np.uint32

_HALF, _ONE, _TWO, _QUARTER = F32(0.5), F32(1.0), F32(2.0), F32(0.25)
_UNIT = F32(2.0**-23)
_LN2 = F32(math.log(2.0))
_ROOT_HALF_BITS = np.int32(0x3F3504F3)
_MULTIPLIER, _INCREMENT, _SIXTEEN, _NINE = U32(1664525), U32(1013904223), U32(16), U32(9)


def _polynomial(
    function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    low: float,
    high: float,
    degree: int,
) -> list[np.float32]:
    """Return the coefficients, lowest first, of an almost least-error polynomial (Chebyshev)."""
    fit = np.polynomial.Chebyshev.interpolate(function, degree, (low, high))
    return [F32(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef]


# ln(1 + z) / z for 1 + z in [√½, √2): to 6e-8.
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7 = _polynomial(
    lambda z: np.log1p(z) / z, math.sqrt(0.5) - 1.0, math.sqrt(2.0) - 1.0, 7
)
# sin(2π√t) / √t and cos(2π√t) for √t in [0, ¼]: to 7e-9 and 5e-8.
_S0, _S1, _S2, _S3, _S4 = _polynomial(
    lambda t: np.sin(2.0 * np.pi * np.sqrt(t)) / np.sqrt(t), 1e-12, 1.0 / 16.0, 4
)
_C0, _C1, _C2, _C3, _C4 = _polynomial(
    lambda t: np.cos(2.0 * np.pi * np.sqrt(t)), 0.0, 1.0 / 16.0, 4
)


@kernel(fastmath=FUSED)
def log_float32(value):  # type: ignore[no-untyped-def]
    """Return ln(value) of a normal positive float32, to 2e-7 relative."""
    bits = F32(value).view(np.int32)
    exponent = np.int32(np.int32(bits - _ROOT_HALF_BITS) >> np.int32(23))
    z = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - _ONE
    series = _L4 + z * (_L5 + z * (_L6 + z * _L7))
    series = _L0 + z * (_L1 + z * (_L2 + z * (_L3 + z * series)))
    return F32(exponent) * _LN2 + z * series


@kernel(fastmath=FUSED)
def _radius(word):  # type: ignore[no-untyped-def]
    uniform = (F32(np.int32(word >> _NINE)) + _HALF) * _UNIT
    return F32(math.sqrt(-_TWO * log_float32(uniform)))


@kernel(fastmath=FUSED)
def _half_turns(word):  # type: ignore[no-untyped-def]
    """Return an angle less a half turn, in turns: [−½, ½)."""
    return F32(np.int32(word >> _NINE)) * _UNIT - _HALF


@kernel(fastmath=FUSED)
def _cosine(turn):  # type: ignore[no-untyped-def]
    """Return the cosine of an angle that _half_turns gave: −sin(2πx), x = ¼ − |turn|."""
    x = _QUARTER - abs(turn)
    t = x * x
    return -x * (_S0 + t * (_S1 + t * (_S2 + t * (_S3 + t * _S4))))


@kernel(fastmath=FUSED)
def _sine(turn):  # type: ignore[no-untyped-def]
    """Return the sine of an angle that _half_turns gave: ∓cos(2πx), x = ¼ − |turn|."""
    x = _QUARTER - abs(turn)
    t = x * x
    size = _C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * _C4)))
    return size if turn < F32(0.0) else -size


@kernel()
def _constants(frame, seed, stream):  # type: ignore[no-untyped-def]
    """Return the three words of a picture that every pixel's hash begins with."""
    b = U32(U32(frame) * _MULTIPLIER + _INCREMENT)
    c = U32(U32(seed) * _MULTIPLIER + _INCREMENT)
    d = U32(U32(stream) * _MULTIPLIER + _INCREMENT)
    return b, c, d


@kernel()
def _hash(pixel, b, c, d):  # type: ignore[no-untyped-def]
    """Return the four words of pcg4d for a pixel's number."""
    x = U32(U32(pixel * _MULTIPLIER + _INCREMENT) + U32(b * d))
    y = U32(b + U32(c * x))
    z = U32(c + U32(x * y))
    w = U32(d + U32(y * z))
    x = U32(x ^ (x >> _SIXTEEN))
    y = U32(y ^ (y >> _SIXTEEN))
    z = U32(z ^ (z >> _SIXTEEN))
    w = U32(w ^ (w >> _SIXTEEN))
    x = U32(x + U32(y * w))
    y = U32(y + U32(z * x))
    z = U32(z + U32(x * y))
    return x, y, z, U32(w + U32(y * z))


@kernel(fastmath=FUSED)
def fill_normals(start, frame, seed, stream, red, green, blue):  # type: ignore[no-untyped-def]
    """Set three lines to the deviates of the pixels start, start + 1, … of a picture."""
    b, c, d = _constants(frame, seed, stream)
    for i in range(red.size):
        x, y, z, w = _hash(U32(U32(start) + U32(i)), b, c, d)
        radius, turn = _radius(x), _half_turns(y)
        red[i] = radius * _cosine(turn)
        green[i] = radius * _sine(turn)
        blue[i] = _radius(z) * _cosine(_half_turns(w))


@kernel(fastmath=FUSED)
def fill_channel(start, channel, frame, seed, stream, line):  # type: ignore[no-untyped-def]
    """Set a line to the deviates of one channel of the pixels start, start + 2, and so on."""
    b, c, d = _constants(frame, seed, stream)
    if channel == 0:
        for i in range(line.size):
            x, y, _, _ = _hash(U32(U32(start) + U32(U32(2) * U32(i))), b, c, d)
            line[i] = _radius(x) * _cosine(_half_turns(y))
    elif channel == 1:
        for i in range(line.size):
            x, y, _, _ = _hash(U32(U32(start) + U32(U32(2) * U32(i))), b, c, d)
            line[i] = _radius(x) * _sine(_half_turns(y))
    else:
        for i in range(line.size):
            _, _, z, w = _hash(U32(U32(start) + U32(U32(2) * U32(i))), b, c, d)
            line[i] = _radius(z) * _cosine(_half_turns(w))


@kernel(parallel=True)
def normal_picture(frame, seed, stream, out):  # type: ignore[no-untyped-def]
    """Fill out (H, W, 3) float32 with the deviates of camera/noise.py's normal_deviates."""
    height, width = out.shape[0], out.shape[1]
    for row in prange(height):
        planes = np.empty((3, width), np.float32)
        red, green, blue = planes[0], planes[1], planes[2]
        fill_normals(row * width, frame, seed, stream, red, green, blue)
        for column in range(width):
            out[row, column, 0] = red[column]
            out[row, column, 1] = green[column]
            out[row, column, 2] = blue[column]
