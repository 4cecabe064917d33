# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Vertices in the optical frame on the CPU, with a hand-written gradient.

Equal to :func:`diffphyscam_ros.render.interpolation.to_camera`, without a matrix for each vertex.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.transform_adjoint import transform_adjoint


class _ToCamera(torch.autograd.Function):
    """Points that the visibility has computed, as a function of vertices and poses."""

    @staticmethod
    def forward(
        ctx: Any,
        vertices: torch.Tensor,
        mesh_to_camera: torch.Tensor,
        points: npt.NDArray[np.float32],
        blocks: npt.NDArray[np.int64],
    ) -> torch.Tensor:
        ctx.save_for_backward(vertices, mesh_to_camera)
        ctx.blocks = blocks
        return torch.from_numpy(points)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_camera: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        vertices, mesh_to_camera = ctx.saved_tensors
        wants_vertices, wants_poses = ctx.needs_input_grad[:2]
        to_vertices = torch.empty_like(vertices) if wants_vertices else torch.empty(0, 3)
        partial = np.empty((len(ctx.blocks), 3, 4))
        transform_adjoint(
            vertices.detach().numpy(),
            to_camera.contiguous().numpy(),
            ctx.blocks,
            np.ascontiguousarray(mesh_to_camera.detach()[:, :3].numpy()),
            to_vertices.numpy(),
            wants_vertices,
            partial,
        )
        to_poses = np.zeros(mesh_to_camera.shape)
        np.add.at(to_poses[:, :3], ctx.blocks[:, 0], partial)  # in the order of the blocks
        return (
            to_vertices if wants_vertices else None,
            torch.from_numpy(to_poses) if wants_poses else None,
            None,
            None,
        )


def to_camera_fused(
    vertices: torch.Tensor,
    mesh_to_camera: torch.Tensor,
    points: npt.NDArray[np.float32],
    blocks: npt.NDArray[np.int64],
) -> torch.Tensor:
    """Return the vertices (V, 3) in the optical frame, differentiably.

    :param vertices: (V, 3) float32 in mesh frames.
    :param mesh_to_camera: (I, 4, 4) float64.
    :param points: (V, 3) the result, which the visibility has computed; becomes the tensor.
    :param blocks: (K, 3) rows (instance, first vertex, end), of the geometry.
    """
    return _ToCamera.apply(vertices, mesh_to_camera, points, blocks)  # type: ignore[no-any-return, no-untyped-call]
