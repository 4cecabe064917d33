# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From electrons to digital values, a line at a time: camera/response.py and quantization.py.

A line is a contiguous float32 array of photosites of one colour.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.noise import log_float32
from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32 = np.float32

LINEAR, GAMMA, SIGMOID, TABLE, NO_RESPONSE = 0, 1, 2, 3, -1

_ZERO, _HALF, _ONE = F32(0.0), F32(0.5), F32(1.0)
_LARGEST = F32(1e30)
_LOG2E = F32(1.0 / math.log(2.0))
_KNEE = F32(0.05)
_KNEE_SQUARED = F32(0.05**2)
_E1, _E2, _E3, _E4, _E5, _E6 = (F32(math.log(2.0) ** k / math.factorial(k)) for k in range(1, 7))


@kernel(fastmath=FUSED)
def exp2(value):  # type: ignore[no-untyped-def]
    """Return 2^value to 2e-7 relative, for values held to [−126, 126]."""
    value = min(max(value, F32(-126.0)), F32(126.0))
    whole = np.int32(math.floor(value + _HALF))
    f = value - F32(whole)
    fraction = _ONE + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * _E6)))))
    return fraction * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel()
def held(value):  # type: ignore[no-untyped-def]
    """Return a number that stays finite under what follows."""
    return min(max(value, -_LARGEST), _LARGEST)


@kernel()
def clamped(value, soft):  # type: ignore[no-untyped-def]
    """Clamp to [0, 1], or bend towards the ends as response.soft_clamp_to_unit does."""
    if soft:
        if value < _KNEE:
            return _KNEE_SQUARED / (_KNEE + _KNEE - value)
        if value > _ONE - _KNEE:
            return _ONE - _KNEE_SQUARED / (_KNEE + _KNEE - _ONE + value)
        return value
    return min(max(value, _ZERO), _ONE)


@kernel(fastmath=FUSED)
def respond_line(  # type: ignore[no-untyped-def]
    line, kind, iso, gain, bias, gamma, table, black, soft
):
    """Apply response.respond in place; one loop for each curve."""
    white = _ONE - black
    if kind == LINEAR:
        if not soft:
            for i in range(line.size):
                value = gain * held(iso * line[i]) + bias
                line[i] = min(max(black + white * value, _ZERO), _ONE)
        else:
            for i in range(line.size):
                value = gain * held(iso * line[i]) + bias
                line[i] = clamped(black + white * value, True)
    elif kind == GAMMA:
        for i in range(line.size):
            signal = held(iso * line[i])
            lit = signal > _ONE
            stops = log_float32(signal if lit else F32(2.0)) * _LOG2E
            stops = max(stops, F32(1e-30))
            curve = exp2(gamma * log_float32(stops) * _LOG2E)
            value = gain * (curve if lit else _ZERO) + bias
            line[i] = clamped(black + white * value, soft)
    elif kind == SIGMOID:
        for i in range(line.size):
            value = gain * held(iso * line[i]) + bias
            line[i] = black + white / (_ONE + exp2(-value * _LOG2E))
    elif kind == TABLE:
        last = table.size - 1
        steps = F32(last)
        for i in range(line.size):
            place = steps * held(gain * held(iso * line[i]) + bias)
            inside = min(max(place, _ZERO), steps)
            index = min(int(inside), last - 1)
            part = (place if soft else inside) - F32(index)
            low = table[index]
            value = low + part * (table[index + 1] - low)
            line[i] = clamped(black + white * value, soft)


@kernel()
def quantise_line(line, levels):  # type: ignore[no-untyped-def]
    """Round to multiples of 1 / levels in place, halves to the even one, as quantization does."""
    share = _ONE / levels
    for i in range(line.size):
        line[i] = np.rint(line[i] * levels) * share


@kernel(fastmath=FUSED)
def colour_lines(red, green, blue, black, gains, matrix, soft):  # type: ignore[no-untyped-def]
    """Balance and mix three lines of raw values in place, as color.correct_color does.

    :param gains: (3,) white balance.
    :param matrix: (9,) row by row.
    """
    share = _ONE / (_ONE - black)
    g0, g1, g2 = share * gains[0], share * gains[1], share * gains[2]
    b0, b1, b2 = black * g0, black * g1, black * g2
    mix_lines(red, green, blue, g0, g1, g2, b0, b1, b2, matrix, soft)


@kernel(fastmath=FUSED)
def mix_lines(  # type: ignore[no-untyped-def]
    red, green, blue, g0, g1, g2, b0, b1, b2, matrix, soft
):
    """Set colour to clamp(matrix · (g · colour − b)) in place."""
    m00, m01, m02 = matrix[0], matrix[1], matrix[2]
    m10, m11, m12 = matrix[3], matrix[4], matrix[5]
    m20, m21, m22 = matrix[6], matrix[7], matrix[8]
    for i in range(red.size):
        r, g, b = g0 * red[i] - b0, g1 * green[i] - b1, g2 * blue[i] - b2
        red[i] = m00 * r + m01 * g + m02 * b
        green[i] = m10 * r + m11 * g + m12 * b
        blue[i] = m20 * r + m21 * g + m22 * b
    clamp_line(red, soft)
    clamp_line(green, soft)
    clamp_line(blue, soft)


@kernel()
def clamp_line(line, soft):  # type: ignore[no-untyped-def]
    """Hold a line to [0, 1] in place."""
    if soft:
        for i in range(line.size):
            line[i] = clamped(line[i], True)
    else:
        for i in range(line.size):
            line[i] = min(max(line[i], _ZERO), _ONE)
