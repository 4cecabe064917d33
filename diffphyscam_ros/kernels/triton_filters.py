# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The small filters of the blur cascades on CUDA, rows and columns in one pass, with adjoints.

Each equals the torch operation of the same name in ``camera.defocus_cascade``: a filter of five
taps, halving with (1, 3, 3, 1) / 8 and doubling with (1, 3, 3, 1) / 4, at mirrored borders. A pass
reads what an output pixel is made of and writes nothing between; the adjoints gather likewise, so
that no sum depends on an order. TRITON_INTERPRET=1 runs them on the CPU, slowly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
import triton
import triton.language as tl

from diffphyscam_ros.kernels.triton_launch import on_device_of

FILTER, HALVE, DOUBLE, HALVE_ADJOINT, DOUBLE_ADJOINT = range(5)

Taps = tuple[float, float, float]

SIDES = {FILTER: 5, HALVE: 4, DOUBLE: 2, HALVE_ADJOINT: 3, DOUBLE_ADJOINT: 4}
"""How many pixels of a row an output pixel is made of."""

_BLOCK = 256
_NO_TAPS = (0.0, 0.0, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _mirrored(index, length):  # type: ignore[no-untyped-def]
    """Return an index from −4·length on within the row, the edge pixel twice."""
    index = (index + 4 * length) % (2 * length)
    return tl.minimum(index, 2 * length - 1 - index)


@triton.jit  # type: ignore[untyped-decorator]
def _halving(index, place, length):  # type: ignore[no-untyped-def]
    """Return the weight of a pixel in a halved one."""
    weight = tl.where(_mirrored(2 * place - 1, length) == index, 0.125, 0.0)
    weight += tl.where(_mirrored(2 * place, length) == index, 0.375, 0.0)
    weight += tl.where(_mirrored(2 * place + 1, length) == index, 0.375, 0.0)
    return weight + tl.where(_mirrored(2 * place + 2, length) == index, 0.125, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _beside(index, length):  # type: ignore[no-untyped-def]
    """Return the other pixel that a doubled one is made of."""
    return _mirrored(index // 2 + 2 * (index % 2) - 1, length)


@triton.jit  # type: ignore[untyped-decorator]
def _source(  # type: ignore[no-untyped-def]
    index, side: tl.constexpr, given, wanted, t0, t1, t2, MODE: tl.constexpr
):
    """Return one of the pixels that an output pixel of a row is made of, and its weight.

    :param given: length of the row that is read; wanted: of the row that is written.
    """
    if MODE == 0:
        if side == 2:
            weight = t0
        elif (side == 1) or (side == 3):
            weight = t1
        else:
            weight = t2
        return _mirrored(index + side - 2, given), weight + 0.0 * index
    elif MODE == 1:
        weight = 0.375 if (side == 1) or (side == 2) else 0.125
        return _mirrored(2 * index + side - 1, given), weight + 0.0 * index
    elif MODE == 2:
        if side == 0:
            return index // 2, 0.75 + 0.0 * index
        else:
            return _beside(index, given), 0.25 + 0.0 * index
    elif MODE == 3:
        place = index // 2 + side - 1
        there = (place >= 0) & (place < given)
        return tl.where(there, place, 0), tl.where(there, _halving(index, place, wanted), 0.0)
    else:
        place = 2 * index + side - 1
        there = (place >= 0) & (place < given)
        weight = tl.where(place // 2 == index, 0.75, 0.0)
        weight += tl.where(_beside(place, wanted) == index, 0.25, 0.0)
        return tl.where(there, place, 0), tl.where(there, weight, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _resample(  # type: ignore[no-untyped-def]
    x, out, rows_in, columns_in, rows, columns, t0, t1, t2,
    MODE: tl.constexpr, SIDES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write a block of pixels of one plane."""
    plane = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = pixel < rows * columns
    row, column = pixel // columns, pixel % columns
    x += plane * rows_in * columns_in
    total = tl.zeros((BLOCK,), tl.float32)
    for a in tl.static_range(SIDES):
        up, share = _source(row, a, rows_in, rows, t0, t1, t2, MODE)
        line = tl.zeros((BLOCK,), tl.float32)
        for b in tl.static_range(SIDES):
            left, weight = _source(column, b, columns_in, columns, t0, t1, t2, MODE)
            line += weight * tl.load(x + up * columns_in + left, mask=there, other=0.0)
        total += share * line
    tl.store(out + plane * rows * columns + pixel, total, mask=there)


def _launch(x: torch.Tensor, mode: int, rows: int, columns: int, taps: Taps) -> torch.Tensor:
    x = x.contiguous()
    out = x.new_empty(*x.shape[:2], rows, columns)
    if out.numel():
        grid = (triton.cdiv(rows * columns, _BLOCK), out.shape[0] * out.shape[1])
        sizes = (*x.shape[2:], rows, columns)
        with on_device_of(x):
            _resample[grid](x, out, *sizes, *taps, MODE=mode, SIDES=SIDES[mode], BLOCK=_BLOCK)
    return out


_ADJOINTS = {FILTER: FILTER, HALVE: HALVE_ADJOINT, DOUBLE: DOUBLE_ADJOINT}


class _Resample(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any, x: torch.Tensor, mode: int, rows: int, columns: int, taps: Taps
    ) -> torch.Tensor:
        ctx.rest = mode, x.shape[2], x.shape[3], taps
        return _launch(x, mode, rows, columns, taps)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        mode, rows, columns, taps = ctx.rest
        return _launch(given[0], _ADJOINTS[mode], rows, columns, taps), None, None, None, None


def filter_rows_and_columns(x: torch.Tensor, taps: Taps) -> torch.Tensor:
    """Convolve (B, C, H, W) float32 with (t₂, t₁, t₀, t₁, t₂) both ways; its own adjoint."""
    out = _Resample.apply(x, FILTER, x.shape[2], x.shape[3], taps)  # type: ignore[no-untyped-call]
    return out  # type: ignore[no-any-return]


def halve(x: torch.Tensor) -> torch.Tensor:
    """Average (B, C, H, W) float32 down by two; odd sizes round up."""
    rows, columns = (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2
    out = _Resample.apply(x, HALVE, rows, columns, _NO_TAPS)  # type: ignore[no-untyped-call]
    return out  # type: ignore[no-any-return]


def double(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate (B, C, H/2, W/2) float32 up by two, to the size that ``halve`` came from."""
    out = _Resample.apply(x, DOUBLE, height, width, _NO_TAPS)  # type: ignore[no-untyped-call]
    return out  # type: ignore[no-any-return]
