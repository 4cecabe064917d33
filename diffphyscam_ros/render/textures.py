# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Looking up mip-mapped textures in the atlas, in torch: differentiable in texels and uv.

The level of detail comes from the footprint of a pixel on the texture and passes no gradient.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.render.materials import Materials


def sample_level(
    materials: Materials, texture: torch.Tensor, level: torch.Tensor, uv: torch.Tensor
) -> torch.Tensor:
    """Return the colours (P, 3) of one level of each point's texture, bilinear and repeating.

    :param texture, level: (P,) integers.
    :param uv: (P, 2), (0, 0) is the top-left corner of the picture, not the centre of a texel.
    """
    offset, width, height = materials.levels[texture, level].long().unbind(-1)
    x = (uv[:, 0] - uv[:, 0].detach().floor()) * width - 0.5
    y = (uv[:, 1] - uv[:, 1].detach().floor()) * height - 0.5
    left, top = x.detach().floor(), y.detach().floor()
    dx, dy = x - left, y - top
    x0, y0 = left.long() % width, top.long() % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    total = torch.zeros(len(x), 3, device=uv.device, dtype=uv.dtype)
    corners = (
        (y0 * width + x0, (1 - dx) * (1 - dy)),
        (y0 * width + x1, dx * (1 - dy)),
        (y1 * width + x0, (1 - dx) * dy),
        (y1 * width + x1, dx * dy),
    )
    for texel, weight in corners:
        # index_select: its gradient is added up much faster than that of indexing.
        total = total + weight[:, None] * materials.atlas.index_select(0, offset + texel)
    return total


def sample_texture(
    materials: Materials, texture: torch.Tensor, uv: torch.Tensor, uv_steps: torch.Tensor
) -> torch.Tensor:
    """Return the colours (P, 3) of each point's texture, trilinear and repeating.

    :param texture: (P,) numbers of textures, none negative.
    :param uv: (P, 2).
    :param uv_steps: (P, 2, 2), change of uv (last) for a pixel's step right and down.
    """
    size = materials.levels[texture, 0, 1:].to(uv.dtype)
    steps = uv_steps.detach() * size[:, None, :]
    footprint = (steps * steps).sum(-1).amax(-1)
    last = materials.counts[texture].long() - 1
    detail = 0.5 * torch.log2(footprint.clamp_min(1.0))
    detail = torch.minimum(detail, last.to(detail.dtype))
    level = torch.minimum(detail.long().clamp_min(0), last)
    share = (detail - level)[:, None]
    fine = sample_level(materials, texture, level, uv)
    coarse = sample_level(materials, texture, torch.minimum(level + 1, last), uv)
    return fine + share * (coarse - fine)
