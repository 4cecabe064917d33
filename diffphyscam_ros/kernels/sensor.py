# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor's share of a frame, fused: distortion with vignetting, and exposure to response.

Each kernel equals the torch stages named in its docstring; physical_camera's fast path is the
only caller. Pictures are C-contiguous float32, finite; coefficients are float32 arrays (3,).
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.noise import fill_normals, log_float32
from diffphyscam_ros.kernels.runtime import kernel

F32 = np.float32

LINEAR, GAMMA, SIGMOID, NO_RESPONSE = 0, 1, 2, -1

_ZERO, _HALF, _ONE = F32(0.0), F32(0.5), F32(1.0)
_LARGEST = F32(1e30)
_LOG2E = F32(1.0 / math.log(2.0))
_KNEE = F32(0.05)
_KNEE_SQUARED = F32(0.05**2)
_E1, _E2, _E3, _E4, _E5, _E6 = (F32(math.log(2.0) ** k / math.factorial(k)) for k in range(1, 7))


@kernel()
def _exp2(value):  # type: ignore[no-untyped-def]
    """Return 2^value to 2e-7 relative, for values held to [−126, 126]."""
    value = min(max(value, F32(-126.0)), F32(126.0))
    whole = np.int32(math.floor(value + _HALF))
    f = value - F32(whole)
    fraction = _ONE + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * _E6)))))
    return fraction * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel()
def _held(value):  # type: ignore[no-untyped-def]
    return min(max(value, -_LARGEST), _LARGEST)


@kernel()
def _clamped(value, soft):  # type: ignore[no-untyped-def]
    """Clamp to [0, 1], or bend towards the ends as response.soft_clamp_to_unit does."""
    if soft:
        if value < _KNEE:
            return _KNEE_SQUARED / (_KNEE + _KNEE - value)
        if value > _ONE - _KNEE:
            return _ONE - _KNEE_SQUARED / (_KNEE + _KNEE - _ONE + value)
        return value
    return min(max(value, _ZERO), _ONE)


@kernel()
def _respond_row(plane, kind, iso, gain, bias, gamma, soft):  # type: ignore[no-untyped-def]
    """Apply response.respond to a row of electrons in place; one loop for each curve."""
    if kind == LINEAR:
        for i in range(plane.size):
            plane[i] = _clamped(gain * _held(iso * plane[i]) + bias, soft)
    elif kind == GAMMA:
        for i in range(plane.size):
            signal = _held(iso * plane[i])
            lit = signal > _ONE
            stops = log_float32(signal if lit else F32(2.0)) * _LOG2E
            stops = max(stops, F32(1e-30))
            curve = _exp2(gamma * log_float32(stops) * _LOG2E)
            plane[i] = _clamped(gain * (curve if lit else _ZERO) + bias, soft)
    elif kind == SIGMOID:
        for i in range(plane.size):
            value = gain * _held(iso * plane[i]) + bias
            plane[i] = _ONE / (_ONE + _exp2(-value * _LOG2E))


@kernel(parallel=True)
def digitise(  # type: ignore[no-untyped-def]
    image,
    pattern,
    scale,
    dark,
    shot,
    read,
    seed,
    frame,
    stream,
    kind,
    iso,
    gains,
    biases,
    gamma,
    soft,
    out,
):
    """Fuse exposure.expose, noise.add_noise and response.respond into one pass.

    :param image: (H, W, 3) irradiance.
    :param pattern: (H, W, 3) fixed pattern of unit deviation, looked at where read is not 0.
    :param scale: electrons for irradiance 1.
    :param dark: electrons at irradiance 0.
    :param shot: shot-noise gains; all 0 = none.
    :param read: read noise in electrons; all 0 = none.
    :param seed: with frame and stream, which shot noise.
    :param kind: LINEAR, GAMMA, SIGMOID or NO_RESPONSE (out then holds electrons).
    :param out: (H, W, 3).
    """
    height, width = image.shape[0], image.shape[1]
    noisy = shot[0] > 0 or shot[1] > 0 or shot[2] > 0
    patterned = read[0] > 0 or read[1] > 0 or read[2] > 0
    for row in prange(height):
        electrons = np.empty((3, width), np.float32)
        deviates = np.empty((3, width), np.float32)
        for column in range(width):
            for channel in range(3):
                value = image[row, column, channel] * scale[channel] + dark[channel]
                electrons[channel, column] = value
        if noisy:
            fill_normals(row * width, frame, seed, stream, deviates)
            for channel in range(3):
                gain = shot[channel]
                for column in range(width):
                    value = _held(electrons[channel, column])
                    root = F32(math.sqrt(max(value, _ZERO)))
                    electrons[channel, column] = value + gain * root * deviates[channel, column]
        if patterned:
            for column in range(width):
                for channel in range(3):
                    offset = read[channel] * pattern[row, column, channel]
                    electrons[channel, column] += offset
        for channel in range(3):
            _respond_row(
                electrons[channel], kind, iso, gains[channel], biases[channel], gamma, soft
            )
        for column in range(width):
            for channel in range(3):
                out[row, column, channel] = electrons[channel, column]


@kernel(parallel=True)
def shade(image, mask, out):  # type: ignore[no-untyped-def]
    """Multiply (H, W, 3) by the vignetting mask (H, W), as vignetting.vignette does."""
    height, width = mask.shape
    for row in prange(height):
        for column in range(width):
            factor = mask[row, column]
            for channel in range(3):
                out[row, column, channel] = image[row, column, channel] * factor


@kernel(parallel=True)
def warp(image, depth, position, nearest, mask, out, out_depth):  # type: ignore[no-untyped-def]
    """Sample colour bilinearly and depth at the nearest pixel, and vignette on the way.

    Equals distortion.distort followed by vignetting.vignette.

    :param image: (H, W, 3) of the source.
    :param depth: (H, W) of the source.
    :param position: (H', W', 2) source pixels (u, v), inside the picture.
    :param nearest: (H', W') int32 index of the nearest source pixel, −1 for none.
    :param mask: (H', W') vignetting; ones for none.
    """
    height, width = depth.shape
    rows, columns = nearest.shape
    flat = depth.reshape(-1)
    for row in prange(rows):
        for column in range(columns):
            index = nearest[row, column]
            if index < 0:
                out_depth[row, column] = _ZERO
                for channel in range(3):
                    out[row, column, channel] = _ZERO
                continue
            out_depth[row, column] = flat[index]
            u, v = position[row, column, 0], position[row, column, 1]
            left, top = np.int32(u), np.int32(v)
            right, below = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = u - F32(left), v - F32(top)
            factor = mask[row, column]
            for channel in range(3):
                p = image[top, left, channel]
                q = image[below, left, channel]
                upper = p + a * (image[top, right, channel] - p)
                lower = q + a * (image[below, right, channel] - q)
                out[row, column, channel] = factor * (upper + b * (lower - upper))
