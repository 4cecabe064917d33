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
    """Return the texels (4, P) of one level of each point's texture, bilinear and repeating.

    :param texture, level: (P,) integers.
    :param uv: (2, P), (0, 0) is the top-left corner of the picture, not the centre of a texel.
    """
    offset, width, height = materials.levels[texture, level].long().unbind(-1)
    x = (uv[0] - uv[0].detach().floor()) * width - 0.5
    y = (uv[1] - uv[1].detach().floor()) * height - 0.5
    left, top = x.detach().floor(), y.detach().floor()
    dx, dy = x - left, y - top
    x0, y0 = left.long() % width, top.long() % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    upper, lower = offset + y0 * width, offset + y1 * width
    # All four in one go, by index_select: its gradient is added up faster than indexing's.
    places = torch.cat([upper + x0, upper + x1, lower + x0, lower + x1])
    texels = materials.atlas.index_select(0, places).T.contiguous().reshape(4, 4, -1)
    shares = torch.stack([(1 - dx) * (1 - dy), dx * (1 - dy), (1 - dx) * dy, dx * dy])
    return (texels * shares).sum(1)


def sample_texture(
    materials: Materials, texture: torch.Tensor, uv: torch.Tensor, uv_steps: torch.Tensor
) -> torch.Tensor:
    """Return the texels (4, P) of each point's texture, trilinear and repeating.

    :param texture: (P,) numbers of textures, none negative.
    :param uv: (2, P).
    :param uv_steps: (2, 2, P), change of uv (second) for a pixel's step right and down (first).
    """
    last = materials.counts[texture].long() - 1
    with torch.no_grad():
        size = materials.levels[texture, 0, 1:].T.to(uv.dtype)
        footprint = ((uv_steps * size) ** 2).sum(1).amax(0)
        detail = 0.5 * torch.log2(footprint.clamp_min(1.0))
        detail = torch.minimum(detail, last.to(detail.dtype))
        level = torch.minimum(detail.long().clamp_min(0), last)
        share = detail - level
    fine = sample_level(materials, texture, level, uv)
    blended = (share > 0).nonzero().squeeze(-1)
    if blended.numel() == 0:
        return fine
    if blended.numel() == share.numel():
        return fine + share * (sample_level(materials, texture, level + 1, uv) - fine)
    coarse = sample_level(
        materials, texture[blended], level[blended] + 1, uv.index_select(1, blended)
    )
    part = fine.index_select(1, blended)
    return fine.index_copy(1, blended, part + share[blended] * (coarse - part))
