# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The geometry of a lens with its vignetting, on the CPU with its adjoint.

Equals ``camera.distortion.distort`` or ``camera.aberration.distort_colours`` followed by
vignetting. The gradient by the picture is a scatter: every band of the source collects what the
rows of the result that look at it have to give, always in the same order, so that nothing
depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from numba import prange
import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.lens_map import find_places, Look, NUMBERS
from diffphyscam_ros.kernels.lens_map_adjoint import pull_row
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.warp import Places, warp, warp_colours

F32, U64 = np.float32, np.uint64
Floats = npt.NDArray[np.float32]

_BAND = 32  # rows of the source that are collected together
_CHUNK = 8  # rows a thread takes at a time
_ZERO, _ONE = F32(0.0), F32(1.0)
_NO_PICTURE = np.empty((0, 0), np.float32)
_POOL = BufferPool(24)
_warp: Any = warp
_warp_colours: Any = warp_colours


@kernel(parallel=True, fastmath={'contract'})
def _scatter(given, by_far, look, far, mask, first, count, width, out, out_depth):  # type: ignore[no-untyped-def]
    """Collect the gradient by some channels of the source, and by its depth.

    :param given: (H', W', 3) by the result; by_far (H', W') by its depth, or no rows.
    :param look: where the colours look, and far where the depth does.
    :param first: and count: which channels; all three, or one.
    :param out: (H, W, 3), out_depth (H, W): out; the other channels stay.
    """
    rows, columns = mask.shape
    height = out.shape[0]
    for band in prange(-(-height // _BAND)):
        top, bottom = band * _BAND, min(band * _BAND + _BAND, height)
        low, high = top * width, bottom * width
        total = np.zeros(4 * (bottom - top) * width, np.float32)
        if by_far.shape[0] > 0:
            out_depth[top:bottom] = _ZERO
        for row in range(rows):
            if look.lowest[row] >= high or look.highest[row] + 2 * width <= low:
                continue
            for i in range(columns):
                place = look.corner[row, i]
                if place >= high or place + width < low or look.nearest[row, i] < 0:
                    continue
                light = mask[row, i]
                a, b = look.right[row, i], look.down[row, i]
                red = light * given[row, i, first]
                green, blue = _ZERO, _ZERO
                if count == 3:
                    green, blue = light * given[row, i, 1], light * given[row, i, 2]
                if place >= low:
                    at = U64(4 * (place - low))
                    left, right = (_ONE - a) * (_ONE - b), a * (_ONE - b)
                    total[at] += left * red
                    total[at + U64(1)] += left * green
                    total[at + U64(2)] += left * blue
                    total[at + U64(4)] += right * red
                    total[at + U64(5)] += right * green
                    total[at + U64(6)] += right * blue
                if place + width < high:
                    at = U64(4 * (place + width - low))
                    left, right = (_ONE - a) * b, a * b
                    total[at] += left * red
                    total[at + U64(1)] += left * green
                    total[at + U64(2)] += left * blue
                    total[at + U64(4)] += right * red
                    total[at + U64(5)] += right * green
                    total[at + U64(6)] += right * blue
        if by_far.shape[0] > 0:
            for row in range(rows):
                if far.lowest[row] >= high or far.highest[row] + 2 * width <= low:
                    continue
                for i in range(columns):
                    place = far.nearest[row, i]
                    if place >= low and place < high:
                        out_depth[place // width, place % width] += by_far[row, i]
        for y in range(top, bottom):
            for x in range(width):
                at = 4 * ((y - top) * width + x)
                out[y, x, first] = total[at]
                if count == 3:
                    out[y, x, 1], out[y, x, 2] = total[at + 1], total[at + 2]


@kernel(parallel=True, fastmath={'contract'})
def _pull(image, given, look, mask, numbers, kind, first, last, keep, by_mask, sums):  # type: ignore[no-untyped-def]
    """Pull the gradient by some channels back to the mask and to the numbers of the lens.

    :param first: and last: the range of channels.
    :param keep: add to by_mask instead of setting it.
    :param by_mask: (H', W'), or no rows.
    :param sums: (H', 18), out, or no rows.
    """
    rows, columns = mask.shape
    source = image.reshape(-1)
    below = U64(3 * image.shape[1])
    for chunk in prange(-(-rows // _CHUNK)):
        by_u, by_v = np.empty(columns, np.float32), np.empty(columns, np.float32)
        seen = np.empty(columns, np.float32)
        points = np.empty((2, columns), np.float32)
        for row in range(chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, rows)):
            for i in range(columns):
                across, down, value = _ZERO, _ZERO, _ZERO
                a, b, held = look.right[row, i], look.down[row, i], look.held[row, i]
                for channel in range(first, last):
                    p = U64(3) * U64(look.corner[row, i]) + U64(channel)
                    q = p + below
                    upper, lower = source[p], source[q]
                    upper_step, lower_step = source[p + U64(3)] - upper, source[q + U64(3)] - lower
                    force = given[row, i, channel]
                    step = upper_step + b * (lower_step - upper_step)
                    drop = lower - upper + a * (lower_step - upper_step)
                    across += force * step
                    down += force * drop
                    value += force * (upper + a * step + b * (lower - upper))
                light = mask[row, i]
                by_u[i] = _ZERO if held & 1 else light * across
                by_v[i] = _ZERO if held & 2 else light * down
                seen[i] = value if look.nearest[row, i] >= 0 else _ZERO
            if by_mask.shape[0] > 0:
                for i in range(columns):
                    by_mask[row, i] = seen[i] + (by_mask[row, i] if keep else _ZERO)
            if sums.shape[0] == 0:
                continue
            sums[row] = 0.0
            pull_row(numbers, kind, row, look, by_u, by_v, points, sums[row])


@lru_cache(maxsize=6)
def _places(numbers: bytes, *lens: Any) -> Look:
    """Return the places of a lens, which stay while nobody changes it."""
    return find_places(np.frombuffer(numbers, np.float64), *lens)


class _Warp(torch.autograd.Function):
    """The kernels with their adjoint."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any, image, depth, mask, numbers, kind, limit, border, depth_numbers
    ) -> Any:
        height, width = image.shape[:2]
        rows, columns = mask.shape
        lens = kind, limit, rows, columns, height, width, border
        looks = [_places(one.numpy().tobytes(), *lens) for one in numbers]
        far = looks[0]
        if depth is not None and depth_numbers is not None:
            far = _places(depth_numbers.numpy().tobytes(), *lens)
        ctx.looks, ctx.far, ctx.kind = looks, far, kind
        ctx.moves = depth is not None
        ctx.save_for_backward(image, mask, numbers)
        out = _POOL.take(rows, columns, 3)
        given_depth = depth.numpy() if ctx.moves else _NO_PICTURE
        out_depth = _POOL.take(rows, columns) if ctx.moves else _NO_PICTURE
        places = [Places(p.corner, p.right, p.down, p.nearest, p.quick) for p in looks]
        light, shading = image.numpy(), mask.numpy()
        if len(places) == 1:
            _warp(light, given_depth, places[0], shading, out, out_depth)
        else:
            _warp_colours(light, given_depth, *places, far.nearest, shading, out, out_depth)
        return torch.from_numpy(out), torch.from_numpy(out_depth) if ctx.moves else None

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        image, mask, numbers = ctx.saved_tensors
        height, width = image.shape[:2]
        by_light = given[0].contiguous().numpy()
        by_far = given[1].contiguous().numpy() if ctx.moves else _NO_PICTURE
        channels = 3 if len(ctx.looks) == 1 else 1
        by_image = by_depth = by_mask = by_numbers = None
        if ctx.needs_input_grad[0] or (ctx.moves and ctx.needs_input_grad[1]):
            by_image = torch.from_numpy(_POOL.take(height, width, 3))
            by_depth = torch.from_numpy(_POOL.take(height, width)) if ctx.moves else None
            there = by_depth.numpy() if by_depth is not None else _NO_PICTURE
            for i, look in enumerate(ctx.looks):
                far = by_far if i == 0 else _NO_PICTURE  # once
                where = look, ctx.far, mask.numpy(), i, channels, width
                _scatter(by_light, far, *where, by_image.numpy(), there)
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
            by_numbers = torch.empty(numbers.shape, dtype=torch.float64)
            shade = _POOL.take(*mask.shape) if ctx.needs_input_grad[2] else _NO_PICTURE
            rows = mask.shape[0] if ctx.needs_input_grad[3] else 0
            sums = torch.empty(rows, NUMBERS, dtype=torch.float64)
            for i, look in enumerate(ctx.looks):
                lens = numbers[i].numpy(), ctx.kind, i, i + channels, i > 0
                _pull(image.numpy(), by_light, look, mask.numpy(), *lens, shade, sums.numpy())
                by_numbers[i] = sums.sum(0)
            by_mask = torch.from_numpy(shade) if ctx.needs_input_grad[2] else None
        return by_image, by_depth, by_mask, by_numbers, None, None, None, None


def warp_picture(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    mask: torch.Tensor,
    numbers: torch.Tensor,
    kind: int,
    limit: float,
    border: bool = False,
    depth_numbers: torch.Tensor | None = None,
) -> Sequence[torch.Tensor | None]:
    """Sample colour bilinearly and depth at the nearest pixel, and vignette on the way.

    Differentiable in image, depth, mask and numbers; the depth only in the depth.

    :param image: (H, W, 3) float32 on the CPU, at least 2 x 2 pixels; finite.
    :param depth: (H, W) float32, or None.
    :param mask: (H', W') float32 vignetting, whose size is that of the result.
    :param numbers: (1, 18) or (3, 18) float64, of all colours or of each: see ``lens_map``.
    :param kind: of the lens model, and the radius ``limit`` beyond which it has no inverse.
    :param border: whether positions outside the source are held to its border.
    :param depth_numbers: (18,) for the depth; None: as for the first colour.
    :return: the picture (H', W', 3) and its depth (H', W') or None.
    """
    light = image.contiguous(), None if depth is None else depth.contiguous(), mask.contiguous()
    lens = numbers.contiguous(), kind, limit, border, depth_numbers
    return _Warp.apply(*light, *lens)  # type: ignore[no-any-return, no-untyped-call]
