# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gaussian defocus of one float32 RGB picture on the CPU, with its adjoint.

The picture is linear in the light for given weights w_k of the levels, so the gradient by the
light is the cascade transposed: Y_0 is the given gradient, Y_k = B_kᵀ(Y_{k−1}), and a pixel
collects Σ w_k·Y_k. Its weights move with its own blur: Σ w_k'·(I·Y_k). The backward pass keeps
nothing of the forward pass but the picture and what it was divided by.
"""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels import defocus_adjoint_rows as backward
from diffphyscam_ros.kernels import defocus_rows as rows
from diffphyscam_ros.kernels.blur_levels import FULL_LEVELS, LADDER, levels_needed, SIGMA_PER_COC
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.defocus_gaussian import BAND, GaussianDefocus, HATS, TAPS

Floats = npt.NDArray[np.float32]

_CHUNK = 16  # rows a thread takes at a time
_NOTHING = np.empty((0, 4, 0), np.float32)
_POOL = BufferPool(24)
_local = threading.local()

_VARIANCES = np.array([level.variance for level in LADDER] + [np.inf], np.float32)
_SLOPES = np.concatenate((HATS, _VARIANCES[1:, None]), axis=1)


class GaussianDefocusAdjoint:
    """Pulls gradients back through blurs of one size; not to be used from two threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that every blur needs."""
        self.shape = (height, width)
        self._planes = np.empty((height, 3, width), np.float32)
        self._sums = np.empty((height, 4, width), np.float32)
        self._blur = rows.Blur(height, width)
        self._rings = np.empty((0, FULL_LEVELS, rows.RING, 4, width), np.float32)
        self._sizes = [(height, width)]
        self._halved = np.empty((0, *self._half(1)), np.float32)
        self._coarse: list[list[Floats]] = []
        """For each level below full resolution, its gradient at scale 1, 2, … up to its own."""

    def __call__(
        self,
        image: Floats,
        coc: Floats,
        out: Floats,
        shares: Floats,
        given: Floats,
        by_image: Floats,
        by_coc: Floats,
    ) -> None:
        """Set the gradients by the image and by c from that by the blurred picture.

        :param out: (H, W, 3) what ``GaussianDefocus`` made, and shares (H, W).
        :param given: (H, W, 3).
        """
        blur, planes = self._blur, self._planes
        scale = np.float32(SIGMA_PER_COC)
        rows.load(image, coc, scale, planes, blur.squares, blur.low, blur.high)
        count = levels_needed(blur.largest())
        full = min(count, FULL_LEVELS)
        coarse = self._pictures(count - full)
        first = coarse[0][-1] if coarse else _NOTHING
        bands = max(1, min(2 * numba.get_num_threads(), image.shape[0] // BAND))
        light = planes, blur.squares, _SLOPES[:full], TAPS[:full]
        backward.descend(given, out, shares, *light, self._ring(bands), self._sums, first)
        for i in range(1, len(coarse)):
            taps = LADDER[full + i].taps
            source, target = coarse[i - 1][-1], coarse[i][-1]
            if taps is None:
                backward.undouble(source, target)
            else:
                centre, side = np.float32(taps[0]), np.float32(taps[1])
                backward.filter_picture(source, centre, side, target)
        for chain in coarse:
            for i in range(len(chain) - 1, 0, -1):
                backward.unhalve(chain[i], chain[i - 1])
        where = blur.squares, blur.low, blur.high, _SLOPES[full:count]
        halved = self._halved[: count - full]
        backward.gather(self._sums, halved, planes, coc, scale, *where, _CHUNK, by_image, by_coc)

    def _half(self, scale: int) -> tuple[int, int, int]:
        """Return the shape of a picture of a scale."""
        while len(self._sizes) <= scale:
            height, width = self._sizes[-1]
            self._sizes.append(((height + 1) // 2, (width + 1) // 2))
        return self._sizes[scale][0], 4, self._sizes[scale][1]

    def _ring(self, bands: int) -> Floats:
        """Return the rows that the pipeline of each band remembers."""
        if bands > len(self._rings):
            shape = bands, FULL_LEVELS, rows.RING, 4, self.shape[1]
            self._rings = np.empty(shape, np.float32)
        return self._rings[:bands]

    def _pictures(self, count: int) -> list[list[Floats]]:
        """Return the pictures of the first levels below full resolution."""
        if count > len(self._coarse):
            self._halved = np.empty((count, *self._half(1)), np.float32)
            self._coarse = [
                [
                    self._halved[i],
                    *(
                        np.empty(self._half(scale), np.float32)
                        for scale in range(2, LADDER[FULL_LEVELS + i].scale + 1)
                    ),
                ]
                for i in range(count)
            ]
        return self._coarse[:count]


class _Defocus(torch.autograd.Function):
    """The kernels with their adjoint."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        size = image.shape[0], image.shape[1]
        out = torch.from_numpy(_POOL.take(*size, 3))
        shares = torch.from_numpy(_POOL.take(*size))
        worker = _worker('forward', GaussianDefocus, size)
        worker(image.numpy(), coc.numpy(), out.numpy(), shares.numpy())
        ctx.save_for_backward(image, coc, out, shares)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        kept = ctx.saved_tensors
        size = kept[1].shape
        worker = _worker('backward', GaussianDefocusAdjoint, (size[0], size[1]))
        by_image, by_coc = _POOL.take(*size, 3), _POOL.take(*size)
        worker(*(part.numpy() for part in kept), given[0].contiguous().numpy(), by_image, by_coc)
        return torch.from_numpy(by_image), torch.from_numpy(by_coc)


def _worker(role: str, kind: Any, size: tuple[int, int]) -> Any:
    """Return what does the work in this thread, with new buffers when the size changed."""
    kept = getattr(_local, role, None)
    if kept is None or kept.shape != size:
        kept = kind(*size)
        setattr(_local, role, kept)
    return kept


def defocus_gaussian(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Spread the light of every pixel over its own Gaussian, normalised.

    Equal to ``camera.defocus`` with its default arguments in values and gradients, within float32
    rounding.

    :param image: (H, W, 3) float32 on the CPU, finite; differentiable.
    :param coc: (H, W) float32, finite; differentiable.
    :return: (H, W, 3).
    :raises ValueError: for a c that is not finite or beyond ``LARGEST_COC``.
    """
    if image.numel() == 0:
        return image
    return _Defocus.apply(image.contiguous(), coc.contiguous())  # type: ignore[no-any-return, no-untyped-call]
