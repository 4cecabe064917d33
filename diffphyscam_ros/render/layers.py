# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Masked and blended surfaces: layers of a picture, peeled off front to back.

After Everitt, "Interactive Order-Independent Transparency", NVIDIA 2001: each layer is what lies
strictly behind the last at pixels through which light still passes. A layer gives
(what passes those before) · alpha · (its colour), and lets 1 − alpha of the rest through.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.layers import add_layer
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.shading import CLOSED, Shaded

MAX_LAYERS = 8
THINNEST = 1.0 / 1024.0  # what passes is not followed below this share

Behind = Callable[[torch.Tensor], torch.Tensor]
Shade = Callable[[torch.Tensor], Shaded]


def stack_layers(
    first: torch.Tensor, shade: Shade, behind: Behind
) -> tuple[Radiance, torch.Tensor]:
    """Return the picture of all layers, in torch, and the triangles (H·W,) that stand for it.

    Differentiable in the layers' colours and alphas. Depth, normal, instance and the triangles are
    those of the first layer with alpha ≥ ½, or of the last where there is none.

    :param first: (H·W,) int32, the triangles seen first.
    :param shade: shades a layer.
    :param behind: returns the triangles behind the last layer at the pixels (H·W,) asked for, and
        ``CLOSED`` elsewhere.
    """
    triangles, passing, done = first, None, None
    for number in range(MAX_LAYERS):
        shaded = shade(triangles)
        layer, alpha = shaded.radiance, shaded.alpha
        shape = layer.depth.shape
        drawn = (triangles != CLOSED).reshape(shape)
        opacity = torch.ones_like(layer.depth) if alpha is None else alpha
        if number == MAX_LAYERS - 1:
            opacity = torch.ones_like(opacity)
        opacity = torch.where(drawn, opacity, torch.zeros_like(opacity))
        if passing is None or done is None:
            passing, done = torch.ones_like(opacity), torch.zeros_like(drawn)
            total, seen = torch.zeros_like(layer.color), layer
            stand_in = triangles.clone()
        total = total + (passing * opacity)[..., None] * layer.color
        passing = passing * (1.0 - opacity)
        more = drawn & (passing.detach() > THINNEST)
        taken = drawn & ~done & ((opacity.detach() >= 0.5) | ~more)
        done = done | taken
        seen = Radiance(
            color=total,
            depth=torch.where(taken, layer.depth, seen.depth),
            normal=torch.where(taken[..., None], layer.normal, seen.normal),
            instance=torch.where(taken, layer.instance, seen.instance),
        )
        stand_in = torch.where(taken.reshape(-1), triangles, stand_in)
        if not bool(more.any()):
            break
        triangles = behind(more.reshape(-1))
    return seen, stand_in


def stack_layers_fused(
    first: torch.Tensor, shade: Shade, behind: Behind, buffers: BufferPool
) -> tuple[Radiance, torch.Tensor]:
    """Do what :func:`stack_layers` does by the CPU kernel.

    :param buffers: lends the memory of the picture.
    """
    pixels = len(first)
    color, normal = buffers.take(pixels, 3), buffers.take(pixels, 3)
    depth, instance = buffers.take(pixels), buffers.take(pixels).view(np.int32)
    passing = buffers.take(pixels)
    color.fill(0.0)
    passing.fill(1.0)
    stand_in, through = np.empty(pixels, np.int32), np.empty(pixels, np.bool_)
    triangles = first
    for number in range(MAX_LAYERS):
        shaded = shade(triangles)
        layer, alpha = shaded.radiance, shaded.alpha
        if alpha is None:
            raise ValueError('a layer without alpha cannot be stacked: shade it as layered')
        shape = layer.depth.shape
        add_layer(
            (
                triangles.numpy(),
                layer.color.reshape(-1, 3).numpy(),
                alpha.reshape(-1).numpy(),
                layer.depth.reshape(-1).numpy(),
                layer.normal.reshape(-1, 3).numpy(),
                layer.instance.reshape(-1).numpy(),
            ),
            (stand_in, color, depth, normal, instance),
            passing,
            np.float32(THINNEST),
            number == MAX_LAYERS - 1,
            through,
        )
        if not through.any():
            break
        triangles = behind(torch.from_numpy(through))
    seen = Radiance(
        color=torch.from_numpy(color).reshape(*shape, 3),
        depth=torch.from_numpy(depth).reshape(shape),
        normal=torch.from_numpy(normal).reshape(*shape, 3),
        instance=torch.from_numpy(instance).reshape(shape),
    )
    return seen, torch.from_numpy(stand_in)
