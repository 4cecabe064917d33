# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The end of every row: three lines of digital values become pixels, and are counted.

A picture leaves as one of three types; the two arrays that are not meant have no rows. So every
kernel that ends here is compiled once and not for each type.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32 = np.float32

FLOATS, BYTES, WORDS = 0, 1, 2

# The luma weights of ITU-R BT.601, which OpenCV and with it cv_bridge use for mono images.
_RED, _GREEN, _BLUE = F32(0.299), F32(0.587), F32(0.114)
_ZERO, _HALF, _ONE = F32(0.0), F32(0.5), F32(1.0)
_BYTE, _WORD = F32(255.0), F32(65535.0)
_ADDED = {'contract', 'reassoc', 'nsz'}


class Target(NamedTuple):
    """Where a kernel writes a picture.

    :param kind: FLOATS, BYTES or WORDS: values times 1, 255 or 65535, rounded.
    :param floats: (H, W · C) float32 of the picture if that is its kind, else (0, 0).
    :param octets: (H, W · C) uint8, likewise.
    :param words: (H, W · C) uint16, likewise.
    :param single: one channel, the luma of the three.
    :param blue_first: the channels are blue, green, red.
    :param sums: (H,) float64: per row the sum of the channels' values, or (0,) to count nothing.
    :param counts: (H, 2) int64: pixels with a channel at full scale, and all channels at 0.
    """

    kind: int
    floats: npt.NDArray[np.float32]
    octets: npt.NDArray[np.uint8]
    words: npt.NDArray[np.uint16]
    single: bool
    blue_first: bool
    sums: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


_NO_FLOATS = np.empty((0, 0), np.float32)
_NO_OCTETS = np.empty((0, 0), np.uint8)
_NO_WORDS = np.empty((0, 0), np.uint16)
_NO_SUMS = np.empty(0, np.float64)
_NO_COUNTS = np.empty((0, 2), np.int64)


def target_of(
    pixels: npt.NDArray[Any],
    blue_first: bool = False,
    sums: npt.NDArray[np.float64] = _NO_SUMS,
    counts: npt.NDArray[np.int64] = _NO_COUNTS,
) -> Target:
    """Return a picture (H, W, 3) or (H, W, 1), float32, uint8 or uint16, as kernels take it.

    :raises ValueError: for another shape or type, or a picture that is not contiguous.
    """
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.flags.c_contiguous:
        raise ValueError(f'pixels {pixels.shape}: must be contiguous (H, W, 3) or (H, W, 1)')
    rows = pixels.reshape(pixels.shape[0], -1)
    if pixels.dtype == np.float32:
        kind, arrays = FLOATS, (rows, _NO_OCTETS, _NO_WORDS)
    elif pixels.dtype == np.uint8:
        kind, arrays = BYTES, (_NO_FLOATS, rows, _NO_WORDS)
    elif pixels.dtype == np.uint16:
        kind, arrays = WORDS, (_NO_FLOATS, _NO_OCTETS, rows)
    else:
        raise ValueError(f'pixels of {pixels.dtype}: must be float32, uint8 or uint16')
    return Target(kind, *arrays, pixels.shape[2] == 1, blue_first, sums, counts)


@kernel(fastmath=_ADDED)
def _count(red, green, blue, full_scale):  # type: ignore[no-untyped-def]
    """Return the sum of all values, and how many pixels will be saturated, and black."""
    low, high = _HALF / full_scale, _ONE - _HALF / full_scale
    if full_scale == _ONE:
        low, high = F32(1e-30), _ONE
    total, saturated, black = _ZERO, np.int32(0), np.int32(0)
    for i in range(red.size):
        r, g, b = red[i], green[i], blue[i]
        total += r + g + b
        most = max(max(r, g), b)
        saturated += np.int32(most >= high)
        black += np.int32(most < low)
    return total, saturated, black


@kernel()
def _hold(line):  # type: ignore[no-untyped-def]
    """Hold a line to [0, 1] in place; NaN, which fails every comparison, becomes 0."""
    for i in range(line.size):
        value = line[i]
        value = value if value > _ZERO else _ZERO
        line[i] = min(value, _ONE)


@kernel(fastmath=FUSED)
def _luma(red, green, blue):  # type: ignore[no-untyped-def]
    for i in range(red.size):
        red[i] = _RED * red[i] + _GREEN * green[i] + _BLUE * blue[i]


@kernel(fastmath=FUSED)
def _round(line, scale, whole):  # type: ignore[no-untyped-def]
    for i in range(line.size):
        whole[i] = np.int32(line[i] * scale + _HALF)


@kernel()
def interleave(first, second, third, out):  # type: ignore[no-untyped-def]
    """Set a row (3 · W,) of pixels from three lines."""
    for i in range(first.size):
        out[3 * i] = first[i]
        out[3 * i + 1] = second[i]
        out[3 * i + 2] = third[i]


@kernel()
def _store(red, green, blue, single, blue_first, out):  # type: ignore[no-untyped-def]
    if single:
        out[:] = red
    elif blue_first:
        interleave(blue, green, red, out)
    else:
        interleave(red, green, blue, out)


@kernel()
def write_row(red, green, blue, octets, words, row, target):  # type: ignore[no-untyped-def]
    """Write three lines as a row of the target; their contents are lost.

    :param octets: (3, W) uint8 of scratch.
    :param words: (3, W) uint16 of scratch.
    """
    kind, single, blue_first = target.kind, target.single, target.blue_first
    counted = target.sums.size > 0
    scale = _BYTE if kind == BYTES else (_WORD if kind == WORDS else _ONE)
    if kind != FLOATS or counted:
        _hold(red)
        _hold(green)
        _hold(blue)
    if counted:
        total, saturated, black = _count(red, green, blue, scale)
        target.sums[row] = total
        target.counts[row, 0] = saturated
        target.counts[row, 1] = black
    if single:
        _luma(red, green, blue)
    if kind == FLOATS:
        _store(red, green, blue, single, blue_first, target.floats[row])
    elif kind == BYTES:
        _round(red, scale, octets[0])
        if not single:
            _round(green, scale, octets[1])
            _round(blue, scale, octets[2])
        _store(octets[0], octets[1], octets[2], single, blue_first, target.octets[row])
    else:
        _round(red, scale, words[0])
        if not single:
            _round(green, scale, words[1])
            _round(blue, scale, words[2])
        _store(words[0], words[1], words[2], single, blue_first, target.words[row])
