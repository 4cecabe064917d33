# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Vignetting laws and their multiplication with a picture, on the CPU with their adjoints.

Equal to ``camera.vignetting`` for the laws 'cos4' and 'radial'.
"""

from __future__ import annotations

from typing import Any

from numba import prange
import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.warp import shade

F32 = np.float32
COS4, RADIAL = 0, 1
_FX, _FY, _CX, _CY, _LAW = 0, 1, 2, 3, 4  # places in a table: the pinhole, then G or k₁, k₂, …
_ZERO, _ONE, _TWO = F32(0.0), F32(1.0), F32(2.0)
_SUMMED = {'contract', 'reassoc', 'nsz'}
_POOL = BufferPool(12)
_shade: Any = shade


@kernel(parallel=True)
def _law(numbers, kind, mask):  # type: ignore[no-untyped-def]
    """Set the factor of every pixel."""
    over_fx, cx = F32(1.0 / numbers[_FX]), F32(numbers[_CX])
    for row in prange(mask.shape[0]):
        y = F32((row - numbers[_CY]) / numbers[_FY])
        for i in range(mask.shape[1]):
            x = (F32(i) - cx) * over_fx
            s = x * x + y * y
            if kind == COS4:
                strength, cosine = F32(numbers[_LAW]), _ONE / (_ONE + s)
                mask[row, i] = _ONE - strength + strength * cosine * cosine
            else:
                value = _ZERO
                for k in range(numbers.size - 1, _LAW - 1, -1):
                    value = s * (value + F32(numbers[k]))
                mask[row, i] = max(_ONE + value, _ZERO)


@kernel(parallel=True, fastmath=_SUMMED)
def _pull_law(numbers, kind, given, sums):  # type: ignore[no-untyped-def]
    """Pull the gradient by the factors back to the numbers, (H, count) row by row."""
    over_fx, cx = F32(1.0 / numbers[_FX]), F32(numbers[_CX])
    over_fy = F32(1.0 / numbers[_FY])
    for row in prange(given.shape[0]):
        y = F32((row - numbers[_CY]) / numbers[_FY])
        by_square_x, by_square, by_x = _ZERO, _ZERO, _ZERO  # Σ f·x², Σ f, Σ f·x; f = dv/d(r²)
        by_law = _ZERO
        sums[row] = 0.0
        for i in range(given.shape[1]):
            x = (F32(i) - cx) * over_fx
            s = x * x + y * y
            force = given[row, i]
            if kind == COS4:
                cosine = _ONE / (_ONE + s)
                square = cosine * cosine
                by_law += force * (square - _ONE)
                slope = -_TWO * F32(numbers[_LAW]) * square * cosine * force
            else:
                value, rate = _ZERO, _ZERO  # k₁ + s·(k₂ + …) times s, and its slope
                for k in range(numbers.size - 1, _LAW - 1, -1):
                    rate = rate * s + value + F32(numbers[k])
                    value = s * (value + F32(numbers[k]))
                force = force if _ONE + value >= _ZERO else _ZERO
                power = force
                for k in range(_LAW, numbers.size):
                    power *= s
                    sums[row, k] += power
                slope = rate * force
            by_square_x += slope * x * x
            by_x += slope * x
            by_square += slope
        if kind == COS4:
            sums[row, _LAW] = by_law
        sums[row, _FX] = -_TWO * by_square_x * over_fx
        sums[row, _CX] = -_TWO * by_x * over_fx
        sums[row, _FY] = -_TWO * by_square * y * y * over_fy
        sums[row, _CY] = -_TWO * by_square * y * over_fy


class _Law(torch.autograd.Function):
    """The kernels with their adjoint."""

    @staticmethod
    def forward(ctx: Any, numbers: torch.Tensor, kind: int, rows: int, columns: int) -> Any:  # type: ignore[override]
        ctx.save_for_backward(numbers)
        ctx.kind = kind
        mask = _POOL.take(rows, columns)
        _law(numbers.numpy(), kind, mask)
        return torch.from_numpy(mask)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        (numbers,) = ctx.saved_tensors
        sums = torch.empty(given[0].shape[0], len(numbers), dtype=torch.float64)
        _pull_law(numbers.numpy(), ctx.kind, given[0].contiguous().numpy(), sums.numpy())
        return sums.sum(0), None, None, None


def falloff(numbers: torch.Tensor, kind: int, rows: int, columns: int) -> torch.Tensor:
    """Return the factor of a vignetting law at every pixel, (H, W); differentiable in numbers.

    :param numbers: float64: fx, fy, cx, cy, and G of 'cos4' or k₁, k₂, … of 'radial'.
    :param kind: COS4 or RADIAL.
    """
    return _Law.apply(numbers.contiguous(), kind, rows, columns)  # type: ignore[no-any-return, no-untyped-call]


@kernel(parallel=True, fastmath={'contract'})
def _pull_shade(image, mask, given, by_image, by_mask):  # type: ignore[no-untyped-def]
    """Pull the gradient by image · mask back to both; by_mask may have no rows."""
    for row in prange(mask.shape[0]):
        for i in range(mask.shape[1]):
            light = mask[row, i]
            red, green, blue = given[row, i, 0], given[row, i, 1], given[row, i, 2]
            by_image[row, i, 0] = red * light
            by_image[row, i, 1] = green * light
            by_image[row, i, 2] = blue * light
            if by_mask.shape[0] > 0:
                value = red * image[row, i, 0] + green * image[row, i, 1]
                by_mask[row, i] = value + blue * image[row, i, 2]


class _Shade(torch.autograd.Function):
    """The kernels with their adjoint."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(image, mask)
        out = _POOL.take(*image.shape)
        _shade(image.numpy(), mask.numpy(), out)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        image, mask = ctx.saved_tensors
        by_image = _POOL.take(*image.shape)
        by_mask = _POOL.take(*mask.shape) if ctx.needs_input_grad[1] else np.empty((0, 0), F32)
        forces = given[0].contiguous().numpy()
        _pull_shade(image.numpy(), mask.numpy(), forces, by_image, by_mask)
        shaded = torch.from_numpy(by_mask) if ctx.needs_input_grad[1] else None
        return torch.from_numpy(by_image), shaded


def shade_picture(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return image (H, W, 3) · mask (H, W), float32 on the CPU; differentiable in both."""
    return _Shade.apply(image.contiguous(), mask.contiguous())  # type: ignore[no-any-return, no-untyped-call]
