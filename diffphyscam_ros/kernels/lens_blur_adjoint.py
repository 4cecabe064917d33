# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Circle of confusion of one float32 depth picture on the CPU, with its adjoint.

Equals ``camera.circle_of_confusion``: signed, and with the same exceptions where a gradient is
none or a surrogate.
"""

from __future__ import annotations

from typing import Any

from numba import prange
import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.circle_of_confusion import _circles
from diffphyscam_ros.kernels.runtime import kernel

F32 = np.float32

SCALE, INVERSE_FOCUS, FOCUS, DEAD_ZONE, LIMIT = range(5)
"""Places in the table: px·m, 1/m, m, m, px."""

_LARGEST = 1e30  # finite in float32, beyond any limit
_POOL = BufferPool(12)
_run_forward: Any = _circles


@kernel(parallel=True)
def _pull(depth, given, table, ramp, by_depth, sums):  # type: ignore[no-untyped-def]
    """Pull a gradient by c back to the depth and to the table, (H, 5) row by row.

    :param ramp: length over which the gradient to the dead zone is taken, m.
    """
    zero, one, half, far = F32(0.0), F32(1.0), F32(0.5), F32(np.inf)
    scale, inverse_focus, focus = table[0], table[1], table[2]
    dead_zone, limit = table[3], table[4]
    for y in prange(depth.shape[0]):
        by_scale, by_inverse, by_zone, by_limit = 0.0, 0.0, 0.0, 0.0
        for x in range(depth.shape[1]):
            d = depth[y, x]
            hit = d > zero and d < far
            inverse_depth = one / d if hit else zero
            offset = inverse_focus - inverse_depth
            c = scale * abs(offset)
            sign = -one if offset < zero else one
            force = sign * given[y, x]
            beyond = abs(d - focus) - dead_zone if hit else far
            value = zero if beyond <= zero else c
            if force == zero:
                by_depth[y, x] = zero
                continue
            cut = one if value > limit else (half if value == limit else zero)
            by_limit += force * cut
            force *= one - cut
            if beyond > zero and beyond < ramp:
                by_zone -= force * c / ramp
            if beyond <= zero or offset == zero:
                by_depth[y, x] = zero
                continue
            by_scale += force * abs(offset)
            push = force * sign * scale
            by_inverse += push
            by_depth[y, x] = push * inverse_depth * inverse_depth
        sums[y, 0], sums[y, 1], sums[y, 2] = by_scale, by_inverse, 0.0
        sums[y, 3], sums[y, 4] = by_zone, by_limit


_run_backward: Any = _pull


class _Circle(torch.autograd.Function):
    """The kernels with their adjoint."""

    @staticmethod
    def forward(ctx: Any, depth: torch.Tensor, table: torch.Tensor, ramp: float) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(depth, table)
        ctx.ramp = ramp
        out = torch.from_numpy(_POOL.take(*depth.shape))
        numbers = table.float().numpy()
        _run_forward(depth.numpy(), *numbers, F32(-1.0), out.numpy())
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        depth, table = ctx.saved_tensors
        by_depth = torch.from_numpy(_POOL.take(*depth.shape))
        sums = torch.empty(depth.shape[0], len(table), dtype=torch.float64)
        operands = [depth, given[0].contiguous(), table.float()]
        arrays = [part.numpy() for part in operands]
        _run_backward(*arrays, F32(ctx.ramp), by_depth.numpy(), sums.numpy())
        return by_depth, sums.sum(0), None


def signed_circle_of_confusion(
    depth: torch.Tensor,
    aperture: torch.Tensor,
    focal_length: torch.Tensor,
    focus_distance: torch.Tensor,
    pixel_size: torch.Tensor,
    gain: torch.Tensor,
    dead_zone: torch.Tensor,
    max_coc: torch.Tensor,
    ramp: float,
) -> torch.Tensor:
    """Return signed blur diameters in px; differentiable in every tensor.

    The settings are trusted: whoever calls has checked them.

    :param depth: (H, W) float32 on the CPU in m; 0, below 0, inf or NaN mean infinitely far.
    :param aperture: and all that follow: () float64.
    :param ramp: length over which the gradient to the dead zone is taken, m.
    :return: (H, W) float32, negative in front of the focus.
    """
    inverse_focus = 1.0 / focus_distance
    scale = gain * focal_length**2
    scale = scale / (aperture * pixel_size * (1.0 - focal_length * inverse_focus))
    parts = [scale.clamp(max=_LARGEST), inverse_focus, focus_distance.detach(), dead_zone, max_coc]
    table = torch.stack(parts)
    return _Circle.apply(depth.contiguous(), table, ramp)  # type: ignore[no-any-return, no-untyped-call]
