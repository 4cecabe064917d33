# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What may lie behind the visible surfaces: ``camera.defocus_hidden`` on compiled loops."""

from __future__ import annotations

import math

from numba import prange
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.defocus_rows import double_into, double_row
from diffphyscam_ros.kernels.depth_order import GAP, GAP_SLOPE
from diffphyscam_ros.kernels.runtime import kernel

Floats = npt.NDArray[np.float32]

ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
TINY = np.float32(1e-30)
FLAT, SLOPE = np.float32(GAP), np.float32(GAP_SLOPE)


class HiddenLayer:
    """Guesses for pictures of one size; not to be used from two threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that every guess needs."""
        self.guess = np.empty((height, 5, width), np.float32)
        """Colours times presence, presence, signed blur."""
        self._size = (height, width)
        self._cells: list[Floats] = []
        self._behind: list[Floats] = []

    def __call__(self, planes: Floats, signed: Floats, largest: float) -> Floats:
        """Set ``guess``: presence is 0 where nothing clearly lies behind.

        :param planes: (H, 3, W); signed: (H, W) blur in px; largest: its largest magnitude.
        """
        count = max(1, math.ceil(math.log2(max(largest, 2.0))))
        while len(self._cells) < count:
            height, width = self._cells[-1].shape[::2] if self._cells else self._size
            shape = (height + 1) // 2, 5, (width + 1) // 2
            self._cells.append(np.empty(shape, np.float32))
            self._behind.append(np.empty(shape, np.float32))
        unite_pixels(planes, signed, self._cells[0])
        for finer, coarser in zip(self._cells[: count - 1], self._cells[1:count], strict=True):
            unite_cells(finer, coarser)
        self._behind[count - 1][:] = ZERO
        for level in range(count - 1, -1, -1):
            look_behind(self._cells[level], self._behind[level])
            if level:
                self._behind[level - 1][:] = ZERO
                double_into(self._behind[level], self._behind[level - 1])
        finish(self._behind[0], signed, self.guess)
        return self.guess


@kernel(fastmath=True, inline=True)
def clearly_behind(far, near):
    """Return 0 where two signed blurs may be one surface, 1 where far is clearly behind."""
    return min(max(TWO * ((far - near) / (FLAT + SLOPE * abs(near)) - ONE), ZERO), ONE)


@kernel(parallel=True, fastmath=True)
def unite_pixels(planes, signed, cells):
    """Set the cells of 2 × 2 pixels: colours of the farthest surface, its blur, the nearest."""
    height, width = signed.shape
    for y in prange(cells.shape[0]):
        top, bottom = 2 * y, min(2 * y + 1, height - 1)
        unite_row(
            planes[top],
            planes[bottom],
            signed[top],
            signed[bottom],
            signed[top],
            signed[bottom],
            width,
            cells[y],
        )


@kernel(fastmath=True)
def unite_cells(finer, cells):
    """Set cells from those half as large in the same way."""
    height, width = finer.shape[0], finer.shape[2]
    for y in range(cells.shape[0]):
        a, b = finer[2 * y], finer[min(2 * y + 1, height - 1)]
        unite_row(a, b, a[3], b[3], a[4], b[4], width, cells[y])


@kernel(fastmath=True)
def unite_row(top, bottom, far_top, far_bottom, near_top, near_bottom, width, out):
    """Unite two rows: the mean of the farthest and of what is not in front of it."""
    for x in range(out.shape[1]):
        i, j = 2 * x, min(2 * x + 1, width - 1)
        a, b, c, d = far_top[i], far_top[j], far_bottom[i], far_bottom[j]
        farthest = max(max(a, b), max(c, d))
        per_gap = ONE / (FLAT + SLOPE * abs(farthest))
        wa = max(ONE - (farthest - a) * per_gap, ZERO)
        wb = max(ONE - (farthest - b) * per_gap, ZERO)
        wc = max(ONE - (farthest - c) * per_gap, ZERO)
        wd = max(ONE - (farthest - d) * per_gap, ZERO)
        share = ONE / (wa + wb + wc + wd)
        wa, wb, wc, wd = wa * share, wb * share, wc * share, wd * share
        for channel in range(3):
            upper, lower = top[channel], bottom[channel]
            out[channel, x] = wa * upper[i] + wb * upper[j] + wc * lower[i] + wd * lower[j]
        out[3, x] = wa * a + wb * b + wc * c + wd * d
        out[4, x] = min(min(near_top[i], near_top[j]), min(near_bottom[i], near_bottom[j]))


@kernel(fastmath=True)
def look_behind(cells, behind):
    """Lay a cell's own farthest surface, if behind its nearest, over what larger cells know."""
    for y in range(cells.shape[0]):
        own, out = cells[y], behind[y]
        for x in range(cells.shape[2]):
            presence = clearly_behind(own[3, x], own[4, x])
            rest = ONE - presence
            out[0, x] = presence * own[0, x] + rest * out[0, x]
            out[1, x] = presence * own[1, x] + rest * out[1, x]
            out[2, x] = presence * own[2, x] + rest * out[2, x]
            out[3, x] = presence * own[3, x] + rest * out[3, x]
            out[4, x] = presence + rest * out[4, x]


@kernel(parallel=True, fastmath=True)
def finish(behind, signed, guess):
    """Set the guess of every pixel from the cells of 2 × 2."""
    height, width = signed.shape
    for y in prange(height):
        line = np.empty(width // 2 + 3, np.float32)
        out = guess[y]
        out[:] = ZERO
        double_row(behind, y, line, out)
        for x in range(width):
            weight = out[4, x]
            per = ONE / max(weight, TINY)
            far = out[3, x] * per
            presence = weight * clearly_behind(far, signed[y, x])
            share = presence * per
            out[0, x] *= share
            out[1, x] *= share
            out[2, x] *= share
            out[3, x] = presence
            out[4, x] = far if presence > ZERO else ZERO
