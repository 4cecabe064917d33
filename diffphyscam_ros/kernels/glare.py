# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Glare of one float32 RGB picture on the CPU: the pyramid of ``camera.glare``, compiled."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels import glare_rows as rows
from diffphyscam_ros.kernels.glare_levels import (
    Axis,
    filter_taps,
    filter_variances,
    halvings,
    octave_levels,
    OCTAVES,
)

Floats = npt.NDArray[np.float32]

_BANDS = 8  # pieces of a large picture that threads take; more than threads, for balance
_SMALL = 12_000  # pixels: to wait for other threads costs more than a smaller level
_local = threading.local()


def glare_fast(image: Floats, fraction: float, radius: float, out: Floats | None = None) -> Floats:
    """Scatter a share of the light widely.

    Equal to ``camera.glare(image, fraction, radius)`` within float32 rounding. May be called from
    several threads at once: each keeps its own buffers, which are reused while the size and the
    order of magnitude of the radius stay.

    :param image: (H, W, 3) float32 contiguous linear light, finite.
    :param fraction: share of the light that is scattered, in [0, 1].
    :param radius: σ of the narrowest Gaussian, px, ≥ 1.
    :param out: (H, W, 3) float32 contiguous; may be the picture itself.
    :raises ValueError: for wrong shapes or dtypes, or a radius below 1.
    """
    for name, one in {'image': image, 'out': image if out is None else out}.items():
        if one.ndim != 3 or one.shape[2] != 3 or one.dtype != np.float32:
            raise ValueError(f'{name} {one.shape} {one.dtype}: must be (H, W, 3) float32')
        if one.shape != image.shape or not one.flags.c_contiguous:
            raise ValueError(f'{name} {one.shape}: must be contiguous, {image.shape}')
    if out is None:
        out = np.empty(image.shape, np.float32)
    if image.size:
        levels = octave_levels(radius)
        worker: _Glare | None = getattr(_local, 'worker', None)
        if worker is None or (worker.shape, worker.levels) != (image.shape[:2], levels):
            worker = _local.worker = _Glare(image.shape[0], image.shape[1], levels)
        worker(image, fraction, radius, out)
    return out


class _Glare:
    """Scatters the light of pictures of one size; not to be used from two threads at once.

    Step n is between the levels n − 1 and n; a level has two buffers, since a filter cannot
    work in place.
    """

    def __init__(self, height: int, width: int, levels: tuple[int, ...]) -> None:
        """Take all buffers."""
        self.shape = (height, width)
        self.levels = levels
        vertical, horizontal = halvings(height, levels[-1]), halvings(width, levels[-1])
        pairs = list(zip(vertical, horizontal, strict=True))
        self._down = [(*_down(y), *_down(x)) for y, x in pairs]
        self._up = [(*_up(y), *_up(x)) for y, x in pairs]
        sizes = [(height, width), *((y.size, x.size) for y, x in pairs)]
        self._scratch = [_scratch(*size) for size in sizes]
        if levels[0] > 0:  # the picture itself is never filtered
            sizes[0] = 0, 0
        self._light = [[np.empty((h, 3 * w), np.float32) for _ in range(2)] for h, w in sizes]
        self._radius = -1.0
        self._taps: list[tuple[Floats, Floats]] = []

    def __call__(self, image: Floats, fraction: float, radius: float, out: Floats) -> None:
        """Set out; see ``glare_fast``."""
        if radius != self._radius:
            self._taps = self._filters(radius)
            self._radius = radius
        image, out = image.reshape(len(image), -1), out.reshape(len(out), -1)
        total = self._scattered(image)
        keep, share = np.float32(1.0 - fraction), np.float32(fraction / OCTAVES)
        if self.levels[0] > 0:
            rows.blend_doubled(image, keep, total, share, *self._up[0], self._scratch[0], out)
        else:
            rows.blend(image, keep, total, share, self._scratch[0], out)

    def _filters(self, radius: float) -> list[tuple[Floats, Floats]]:
        """Return the filters of each octave, down and across."""
        along = []
        for size in self.shape:
            sizes = [size, *(axis.size for axis in halvings(size, self.levels[-1]))]
            variances = filter_variances(size, self.levels, radius**2)
            along.append(
                [
                    _taps(variance if sizes[level] > 1 else 0.0)
                    for level, variance in zip(self.levels, variances, strict=True)
                ]
            )
        return list(zip(*along, strict=True))

    def _scattered(self, image: Floats) -> Floats:
        """Return the sum of the octaves at the level 0, or 1 where the first is further up."""
        at = 0
        octaves: list[list[Floats]] = [[] for _ in self._light]  # those of each level
        if self.levels[0] == 0:
            rows.take_apart(image, self._light[0][0])
        for level, taps in zip(self.levels, self._taps, strict=True):
            while at < level:
                at += 1
                self._halve(at, image)
            source, target = self._light[at]
            self._run(rows.filter_picture, rows.filter_rows, at, source, *taps, target)
            octaves[at].append(target)
            self._light[at].reverse()
        total = octaves[at][0]
        for level in range(at - 1, min(self.levels[0], 1) - 1, -1):
            there = octaves[level]
            target = there[0] if there else self._light[level][0]
            operands = (total, *self._up[level], bool(there), target)
            self._run(rows.double, rows.double_rows, level, *operands)
            for other in there[1:]:
                target += other
            total = target
        return total

    def _halve(self, level: int, image: Floats) -> None:
        """Make a level from the one before it."""
        target, steps = self._light[level][0], self._down[level - 1]
        if level == 1 and self.levels[0] > 0:
            self._run(rows.halve_picture, rows.halve_picture_rows, 0, image, *steps, target)
        else:
            source = self._light[level - 1][0]
            self._run(rows.halve, rows.halve_rows, level - 1, source, *steps, target)

    def _run(self, parallel: Any, serial: Any, level: int, *operands: Any) -> None:
        """Compute a picture in bands, or a small one without the wait for other threads."""
        scratch = self._scratch[level]
        if len(scratch) > 1:
            parallel(*operands, scratch)
        else:
            serial(*operands, scratch[0], 0, len(operands[-1]))


def _scratch(height: int, width: int) -> Floats:
    """Return lines for all bands of a level; enough also for the longest filter."""
    bands = _BANDS if height * width > _SMALL else 1
    return np.empty((bands, 2, 3 * width + 64), np.float32)


def _taps(variance: float) -> Floats:
    """Return half a filter; of a single cell, where the variance says nothing, one tap."""
    taps = filter_taps(variance) if variance > 0 else np.ones(1)
    return taps.astype(np.float32)


def _down(axis: Axis) -> tuple[Any, Any]:
    return axis.down_index, axis.down_weight.astype(np.float32)


def _up(axis: Axis) -> tuple[Any, Any]:
    return axis.up_index, axis.up_weight.astype(np.float32)
