# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All textures of a scene with their mip levels as one table of texels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.mipmaps import build_pyramid, pyramid_adjoint

Layout = list[npt.NDArray[np.int64]]


def mip_levels(image: torch.Tensor) -> list[torch.Tensor]:
    """Return (H, W, C) and its halvings down to (1, 1, C), each the mean over its texels' area."""
    levels = [image]
    while levels[-1].shape[:2] != (1, 1):
        height, width = levels[-1].shape[:2]
        smaller = (max(height // 2, 1), max(width // 2, 1))
        picture = levels[-1].permute(2, 0, 1)
        levels.append(functional.adaptive_avg_pool2d(picture, smaller).permute(1, 2, 0))
    return levels


def atlas_layout(images: list[torch.Tensor]) -> Layout:
    """Return for each picture (L, 3): offset in the atlas, width and height of its levels.

    :raises ValueError: for a picture of the wrong shape, or too many texels.
    """
    layout, offset = [], 0
    for image in images:
        if image.ndim != 3 or image.shape[-1] not in (3, 4) or image.numel() == 0:
            raise ValueError(
                f'texture image has shape {tuple(image.shape)}: must be (H, W, 3) or (H, W, 4)'
            )
        height, width = image.shape[:2]
        rows = []
        while True:
            rows.append((offset, width, height))
            offset += height * width
            if height == width == 1:
                break
            height, width = max(height // 2, 1), max(width // 2, 1)
        layout.append(np.array(rows, np.int64))
    if offset > 2**31 - 1:
        raise ValueError(f'the textures hold {offset} texels: must be below 2^31')
    return layout


class _Atlas(torch.autograd.Function):
    """The atlas as a function of the pictures, by the CPU kernels."""

    @staticmethod
    def forward(
        ctx: Any, layout: Layout, buffers: BufferPool, *images: torch.Tensor
    ) -> torch.Tensor:
        ctx.layout, ctx.buffers = layout, buffers
        ctx.shapes = [image.shape for image in images]
        offset, width, height = layout[-1][-1].tolist()
        atlas = buffers.take(offset + width * height, 4)
        for image, levels in zip(images, layout, strict=True):
            build_pyramid(image.detach().contiguous().numpy(), levels, atlas)
        return torch.from_numpy(atlas)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_atlas: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given = to_atlas.contiguous().numpy()
        gradients: list[torch.Tensor | None] = []
        for index, (levels, shape) in enumerate(zip(ctx.layout, ctx.shapes, strict=True)):
            if not ctx.needs_input_grad[2 + index]:
                gradients.append(None)
                continue
            to_image = ctx.buffers.take(shape[0] * shape[1], shape[2])
            coarse = ctx.buffers.take(int((levels[1:, 1] * levels[1:, 2]).sum()), 4)
            pyramid_adjoint(given, levels, coarse, to_image)
            gradients.append(torch.from_numpy(to_image).reshape(shape))
        return None, None, *gradients


def atlas_in_torch(images: list[torch.Tensor]) -> torch.Tensor:
    """Return the atlas (N, 4), on any device and in any precision, differentiably."""
    texels = []
    for image in images:
        for level in mip_levels(image):
            texel = level.reshape(-1, level.shape[-1])
            texels.append(texel if texel.shape[1] == 4 else functional.pad(texel, (0, 1), value=1))
    return torch.cat(texels).contiguous()


def build_atlas(images: list[torch.Tensor], layout: Layout, buffers: BufferPool) -> torch.Tensor:
    """Return the atlas (N, 4), differentiably: texel by texel, row by row, level by level.

    :param images: (H, W, 3) or (H, W, 4) each, of one device and precision.
    :param layout: of :func:`atlas_layout`.
    :param buffers: lends the memory on the CPU.
    """
    if not images:
        return torch.ones(1, 4)
    if images[0].device.type == 'cpu' and images[0].dtype == torch.float32:
        return _Atlas.apply(layout, buffers, *images)  # type: ignore[no-any-return, no-untyped-call]
    return atlas_in_torch(images)
