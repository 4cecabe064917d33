# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Smoothing silhouettes by the CPU kernels, with a hand-written gradient.

Equal to :func:`diffphyscam_ros.render.antialias.antialias` in values and gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.antialias_adjoint import (
    blend_edges_adjoint,
    blend_rims_adjoint,
    edges_adjoint,
    meetings_adjoint,
    rims_adjoint,
)
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.antialias import antialias_fused, Silhouettes
from diffphyscam_ros.render.visibility import View


class _Smoothed(torch.autograd.Function):
    """A smoothed picture as a function of the picture, the rims, the vertices and the pinhole."""

    @staticmethod
    def forward(
        ctx: Any,
        color: torch.Tensor,
        rim_color: torch.Tensor | None,
        camera: torch.Tensor,
        pinhole: torch.Tensor,
        faces: torch.Tensor,
        silhouettes: Silhouettes,
        view: View,
        buffers: BufferPool,
    ) -> torch.Tensor:
        smoothed = buffers.take(view.width * view.height, 3)
        rims = None if rim_color is None else rim_color.detach().numpy()
        antialias_fused(color.detach().numpy(), silhouettes, rims, view, smoothed)
        ctx.save_for_backward(color, rim_color, camera, faces)
        ctx.silhouettes, ctx.view, ctx.buffers = silhouettes, view, buffers
        return torch.from_numpy(smoothed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_smoothed: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        color, rim_color, camera, faces = ctx.saved_tensors
        view, found = ctx.view, ctx.silhouettes
        wants_color, wants_rims, wants_camera, wants_pinhole = ctx.needs_input_grad[:4]
        given = to_smoothed.contiguous().numpy()
        rims = (found.rims.pairs.numpy(), found.rims.shares.numpy(), view.width)
        to_color, to_rims = ctx.buffers.take(view.width * view.height, 3), None
        if wants_color or wants_rims:
            blend_edges_adjoint(given, found.shares, view.width, view.height, to_color)
        if rim_color is not None and (wants_color or wants_rims):
            to_rims = ctx.buffers.take(*rim_color.shape)
            blend_rims_adjoint(given, *rims, to_color, to_rims)
        to_camera, to_pinhole = torch.zeros_like(camera), np.zeros(4)
        if wants_camera or wants_pinhole:
            surfaces = (faces.numpy(), camera.detach().numpy(), view.pinhole())
            sums = (to_camera.numpy(), to_pinhole)
            pictures, width = (given, color.detach().numpy()), view.width
            edges_adjoint(*pictures, found.shares, found.edges, width, *surfaces, *sums)
            if len(found.meetings) > 0:
                meetings_adjoint(*pictures, found.shares, found.meetings, width, *surfaces, *sums)
            if rim_color is not None:
                rims_adjoint(*pictures, rim_color.detach().numpy(), *rims, *surfaces, *sums)
        return (
            torch.from_numpy(to_color) if wants_color else None,
            torch.from_numpy(to_rims) if wants_rims else None,
            to_camera if wants_camera else None,
            torch.from_numpy(to_pinhole).float() if wants_pinhole else None,
            *(None,) * 4,
        )


def antialias_with_gradient(
    color: torch.Tensor,
    silhouettes: Silhouettes,
    rim_color: torch.Tensor | None,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    view: View,
    buffers: BufferPool,
) -> torch.Tensor:
    """Smooth a picture, differentiably in its colours and in the vertices of its silhouettes.

    :param color: (H·W, 3) float32 on the CPU.
    :param rim_color: (≥ R, 3) float32 of the silhouettes' R rims, None where there are none.
    :param faces: (F, 3) int32.
    :param camera: (V, 3) float32 vertices in the optical frame.
    :param pinhole: (4,) float32 fx, fy, cx, cy in px; ``view`` has the same as plain numbers.
    :param buffers: lends the memory.
    """
    return _Smoothed.apply(  # type: ignore[no-any-return, no-untyped-call]
        color, rim_color, camera, pinhole, faces, silhouettes, view, buffers
    )
