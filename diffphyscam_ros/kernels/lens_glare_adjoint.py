# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Glare of one float32 RGB picture on the CPU, with its adjoint to picture and share.

With P_k = F_k·H·P_{k−1} the octave k, H the halving and U the doubling, the halo is Σ U⋯U·P_k.
The filters are their own transposes, and U is that of H but for the size of a cell, whose powers
cancel. So the adjoint goes the other way through the same steps: the gradient is halved, and on
the way back to full resolution filtered, doubled and added to that of the octave before.
"""

from __future__ import annotations

import threading
from typing import Any

from numba import prange
import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels import glare_rows as rows
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.glare import _Glare, glare_fast
from diffphyscam_ros.kernels.glare_levels import octave_levels
from diffphyscam_ros.kernels.runtime import kernel

Floats = npt.NDArray[np.float32]

_POOL = BufferPool(12)
_local = threading.local()


class _GlareAdjoint(_Glare):
    """Pulls gradients back through the glare of one size; not for two threads at once."""

    def __init__(self, height: int, width: int, levels: tuple[int, ...]) -> None:
        """Take all buffers."""
        super().__init__(height, width, levels)
        self._halved = [np.empty_like(pair[0]) for pair in self._light]

    def _scattered(self, image: Floats) -> Floats:
        """Return the transposed sum of the octaves at the level 0, or 1: see ``_Glare``."""
        first = self.levels[0]
        if first == 0:
            rows.take_apart(image, self._halved[0])
        for level in range(1, self.levels[-1] + 1):
            steps, target = self._down[level - 1], self._halved[level]
            if level == 1 and first > 0:
                self._run(rows.halve_picture, rows.halve_picture_rows, 0, image, *steps, target)
            else:
                operands = (self._halved[level - 1], *steps, target)
                self._run(rows.halve, rows.halve_rows, level - 1, *operands)
        at = self.levels[-1]
        total = self._halved[at]
        for octave in range(len(self.levels) - 1, -1, -1):
            at, total = self._doubled(total, at, self.levels[octave])
            if octave < len(self.levels) - 1:
                total += self._halved[at]
            one, other = self._light[at]
            target = other if total is one else one
            taps = self._taps[octave]
            self._run(rows.filter_picture, rows.filter_rows, at, total, *taps, target)
            total = target
        return self._doubled(total, at, min(first, 1))[1]

    def _doubled(self, total: Floats, at: int, level: int) -> tuple[int, Floats]:
        """Return a level, and a picture of the level ``at`` doubled up to it."""
        while at > level:
            at -= 1
            target = self._light[at][0]
            operands = (total, *self._up[at], False, target)
            self._run(rows.double, rows.double_rows, at, *operands)
            total = target
        return at, total


@kernel(parallel=True)
def _correlate(given, image, out, sums):  # type: ignore[no-untyped-def]
    """Set each row's sum of given · (out − image)."""
    for row in prange(given.shape[0]):
        g, before, after = given[row].reshape(-1), image[row].reshape(-1), out[row].reshape(-1)
        total = 0.0
        for i in range(g.size):
            total += g[i] * (after[i] - before[i])
        sums[row] = total


class _Scatter(torch.autograd.Function):
    """The kernels with their adjoint."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, fraction: torch.Tensor, radius: float) -> Any:  # type: ignore[override]
        ctx.radius = radius
        out = _POOL.take(*image.shape)
        result = torch.from_numpy(glare_fast(image.numpy(), float(fraction), radius, out))
        ctx.save_for_backward(image, fraction, result)
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        image, fraction, out = ctx.saved_tensors
        forces = given[0].contiguous()
        by_image = by_fraction = None
        if ctx.needs_input_grad[0]:
            pulled = _POOL.take(*image.shape)
            size = image.shape[0], image.shape[1]
            worker = _worker(size, octave_levels(ctx.radius))
            worker(forces.numpy(), float(fraction), ctx.radius, pulled)
            by_image = torch.from_numpy(pulled)
        if ctx.needs_input_grad[1]:
            sums = torch.empty(image.shape[0], dtype=torch.float64)
            _correlate(forces.numpy(), image.numpy(), out.numpy(), sums.numpy())
            by_fraction = (sums.sum() / fraction).to(fraction.dtype)
        return by_image, by_fraction, None


def _worker(size: tuple[int, int], levels: tuple[int, ...]) -> _GlareAdjoint:
    """Return what does the work in this thread, with new buffers when the size changed."""
    kept: _GlareAdjoint | None = getattr(_local, 'worker', None)
    if kept is None or (kept.shape, kept.levels) != (size, levels):
        kept = _local.worker = _GlareAdjoint(*size, levels)
    return kept


def glare_picture(image: torch.Tensor, fraction: torch.Tensor, radius: float) -> torch.Tensor:
    """Scatter a share of the light widely; the equal of ``camera.glare``.

    :param image: (H, W, 3) float32 on the CPU, not empty, finite; differentiable.
    :param fraction: () in (0, 1]; differentiable. (At 0 nothing is known of the halo.)
    :param radius: σ of the narrowest Gaussian, px, ≥ 1.
    """
    return _Scatter.apply(image.contiguous(), fraction, radius)  # type: ignore[no-any-return, no-untyped-call]
