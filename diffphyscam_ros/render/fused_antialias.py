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
    edges_adjoint,
    meetings_adjoint,
)
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.antialias import antialias_fused, Silhouettes
from diffphyscam_ros.render.visibility import View


class _Smoothed(torch.autograd.Function):
    """A smoothed picture as a function of the picture, the vertices and the pinhole."""

    @staticmethod
    def forward(
        ctx: Any,
        color: torch.Tensor,
        camera: torch.Tensor,
        pinhole: torch.Tensor,
        faces: torch.Tensor,
        silhouettes: Silhouettes,
        view: View,
        buffers: BufferPool,
    ) -> torch.Tensor:
        smoothed = buffers.take(view.width * view.height, 3)
        antialias_fused(color.detach().numpy(), silhouettes, view, smoothed)
        ctx.save_for_backward(color, camera, faces)
        ctx.silhouettes, ctx.view, ctx.buffers = silhouettes, view, buffers
        return torch.from_numpy(smoothed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_smoothed: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        color, camera, faces = ctx.saved_tensors
        view, crossing = ctx.view, ctx.silhouettes.crossing
        wants_color, wants_camera, wants_pinhole = ctx.needs_input_grad[:3]
        given = to_smoothed.contiguous().numpy()
        to_color = ctx.buffers.take(view.width * view.height, 3)
        if wants_color:
            blend_edges_adjoint(given, crossing, view.width, view.height, to_color)
        to_camera, to_pinhole = torch.zeros_like(camera), np.zeros(4)
        if wants_camera or wants_pinhole:
            surfaces = (faces.numpy(), camera.detach().numpy(), view.pinhole())
            sums = (to_camera.numpy(), to_pinhole)
            pictures = (given, color.detach().numpy(), crossing)
            edges, meetings = ctx.silhouettes.edges, ctx.silhouettes.meetings
            edges_adjoint(*pictures, edges, view.width, view.height, *surfaces, *sums)
            if len(meetings) > 0:
                meetings_adjoint(*pictures, meetings, view.width, *surfaces, *sums)
        return (
            torch.from_numpy(to_color) if wants_color else None,
            to_camera if wants_camera else None,
            torch.from_numpy(to_pinhole).float() if wants_pinhole else None,
            None,
            None,
            None,
            None,
        )


def antialias_with_gradient(
    color: torch.Tensor,
    silhouettes: Silhouettes,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    view: View,
    buffers: BufferPool,
) -> torch.Tensor:
    """Smooth a picture, differentiably in its colours and in the vertices of its silhouettes.

    :param color: (H·W, 3) float32 on the CPU.
    :param faces: (F, 3) int32.
    :param camera: (V, 3) float32 vertices in the optical frame.
    :param pinhole: (4,) float32 fx, fy, cx, cy in px; ``view`` has the same as plain numbers.
    :param buffers: lends the memory.
    """
    return _Smoothed.apply(  # type: ignore[no-any-return, no-untyped-call]
        color, camera, pinhole, faces, silhouettes, view, buffers
    )
