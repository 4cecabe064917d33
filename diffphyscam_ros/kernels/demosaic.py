# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From the values of a mosaic to the pixels of a picture: camera/color.py with camera/demosaic.py.

The filters for all four places that a wanted colour may have are evaluated in every column, from
six sums that they share, and the columns' parity picks: no branch, so the loops become SIMD.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.pixels import write_row
from diffphyscam_ros.kernels.response import mix_lines
from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32 = np.float32

CROSS, HORIZONTAL, VERTICAL, DIAGONAL = range(4)

_CHUNK = 8  # rows a thread takes at a time
_ZERO, _ONE = F32(0.0), F32(1.0)

# Weights of: here, the 2 beside, the 2 above and below, the 2 two columns away, the 2 two rows
# away, the 4 corners. The same numbers as in camera/demosaic.py.
FILTERS = {
    'bilinear': np.array(
        [
            [0, 1 / 4, 1 / 4, 0, 0, 0],
            [0, 1 / 2, 0, 0, 0, 0],
            [0, 0, 1 / 2, 0, 0, 0],
            [0, 0, 0, 0, 0, 1 / 4],
        ],
        np.float32,
    ),
    'malvar': np.array(
        [
            [4 / 8, 2 / 8, 2 / 8, -1 / 8, -1 / 8, 0],
            [5 / 8, 4 / 8, 0, -1 / 8, 0.5 / 8, -1 / 8],
            [5 / 8, 0, 4 / 8, 0.5 / 8, -1 / 8, -1 / 8],
            [6 / 8, 0, 0, -1.5 / 8, -1.5 / 8, 2 / 8],
        ],
        np.float32,
    ),
}


@kernel()
def _reflected(index, length):  # type: ignore[no-untyped-def]
    """Return an index mirrored about the centres of the first and the last photosite."""
    if length == 1:
        return 0
    index = abs(index) % (2 * (length - 1))
    return min(index, 2 * (length - 1) - index)


@kernel(fastmath=FUSED)
def _balance(row, gains, shifts, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = gains[i] * row[i] - shifts[i]


@kernel(fastmath=FUSED)
def _balanced_sum(above, below, gains, shifts, out):  # type: ignore[no-untyped-def]
    """Set out to the sum of two rows of photosites of the same colours, balanced."""
    for i in range(out.size):
        out[i] = gains[i] * (above[i] + below[i]) - shifts[i] - shifts[i]


@kernel()
def _widen(line, width):  # type: ignore[no-untyped-def]
    """Fill two columns on either side of the photosites 2 … width + 1."""
    for i in range(2):
        line[i] = line[2 + _reflected(i - 2, width)]
        line[2 + width + i] = line[2 + _reflected(width + i, width)]


@kernel(fastmath=FUSED)
def _filter(here, near, far, weights, cross, lying, standing, corner):  # type: ignore[no-untyped-def]
    """Evaluate the four filters along a row.

    :param here: (W + 4,) balanced row; near: the rows above and below, summed; far: those two
        rows away.
    """
    width = cross.size
    c0, c1, c2, c3, c4 = weights[0, 0], weights[0, 1], weights[0, 2], weights[0, 3], weights[0, 4]
    h0, h1, h3, h4, h5 = weights[1, 0], weights[1, 1], weights[1, 3], weights[1, 4], weights[1, 5]
    v0, v2, v3, v4, v5 = weights[2, 0], weights[2, 2], weights[2, 3], weights[2, 4], weights[2, 5]
    d0, d3, d4, d5 = weights[3, 0], weights[3, 3], weights[3, 4], weights[3, 5]
    a, b, m = here[0:width], here[1 : 1 + width], here[2 : 2 + width]
    c, d = here[3 : 3 + width], here[4 : 4 + width]
    p, q, r = near[1 : 1 + width], near[2 : 2 + width], near[3 : 3 + width]
    s = far[2 : 2 + width]
    for i in range(width):
        own, beside, apart = m[i], b[i] + c[i], a[i] + d[i]
        upright, distant, corners = q[i], s[i], p[i] + r[i]
        cross[i] = c0 * own + c1 * beside + c2 * upright + c3 * apart + c4 * distant
        lying[i] = h0 * own + h1 * beside + h3 * apart + h4 * distant + h5 * corners
        standing[i] = v0 * own + v2 * upright + v3 * apart + v4 * distant + v5 * corners
        corner[i] = d0 * own + d3 * apart + d4 * distant + d5 * corners


@kernel()
def _pick(even, odd, out):  # type: ignore[no-untyped-def]
    """Take the even columns of one line and the odd ones of another."""
    for i in range(out.size):
        out[i] = odd[i] if i & 1 else even[i]


@kernel(parallel=True)
def develop_mosaic(raw, pattern, weights, black, gains, matrix, soft, target):  # type: ignore[no-untyped-def]
    """Balance, demosaic, mix and write a picture, as color.correct_color does.

    :param raw: (H, W) float32 values of the photosites.
    :param pattern: (2, 2) the channel of each photosite of the repeated tile.
    :param weights: one of FILTERS.
    :param black: black level in the values.
    :param gains: (3,) white balance.
    :param matrix: (9,) colour matrix, row by row.
    :param target: of (H, W, 3) or (H, W, 1), see kernels/pixels.py.
    """
    height, width = raw.shape
    # Of each kind of row, the gain and what is taken away, column by column.
    scales = np.empty((2, width), np.float32)
    shifts = np.empty((2, width), np.float32)
    for kind in range(2):
        for column in range(width):
            scales[kind, column] = gains[pattern[kind, column & 1]] / (_ONE - black)
            shifts[kind, column] = scales[kind, column] * black
    for chunk in prange((height + _CHUNK - 1) // _CHUNK):
        here = np.empty(width + 4, np.float32)
        near = np.empty(width + 4, np.float32)
        far = np.empty(width + 4, np.float32)
        found = np.empty((4, width), np.float32)
        lines = np.empty((3, width), np.float32)
        octets = np.empty((3, width), np.uint8)
        words = np.empty((3, width), np.uint16)
        for row in range(chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, height)):
            own, other = row & 1, 1 - (row & 1)
            if height == 1:
                other = 0  # a single row is its own neighbour
            centre = here[2 : 2 + width]
            _balance(raw[row], scales[own], shifts[own], centre)
            above, below = raw[_reflected(row - 1, height)], raw[_reflected(row + 1, height)]
            _balanced_sum(above, below, scales[other], shifts[other], near[2 : 2 + width])
            above, below = raw[_reflected(row - 2, height)], raw[_reflected(row + 2, height)]
            _balanced_sum(above, below, scales[own], shifts[own], far[2 : 2 + width])
            _widen(here, width)
            _widen(near, width)
            _widen(far, width)
            _filter(here, near, far, weights, found[0], found[1], found[2], found[3])
            # One parity of columns is green in this row, the other is red or blue.
            green = 0 if pattern[own, 0] == 1 else 1
            lit = pattern[own, 1 - green]  # red or blue, which this row has
            unlit = 2 - lit
            if green == 0:
                _pick(found[HORIZONTAL], centre, lines[lit])
                _pick(centre, found[CROSS], lines[1])
                _pick(found[VERTICAL], found[DIAGONAL], lines[unlit])
            else:
                _pick(centre, found[HORIZONTAL], lines[lit])
                _pick(found[CROSS], centre, lines[1])
                _pick(found[DIAGONAL], found[VERTICAL], lines[unlit])
            mix_lines(
                lines[0], lines[1], lines[2],
                _ONE, _ONE, _ONE, _ZERO, _ZERO, _ZERO, matrix, soft,
            )  # fmt: skip
            write_row(lines[0], lines[1], lines[2], octets, words, row, target)
