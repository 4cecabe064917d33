# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Looking up mip-mapped textures in the atlas, in torch: differentiable in texels and uv.

The footprint of a pixel on the texture is an ellipse. Its width chooses the level of detail, and a
row of taps on its long axis, a texel of that level apart, fills its length (after Heckbert 1989,
"Fundamentals of texture mapping and image warping", and McCormack and others 1999, "Feline").
The weights are the parts of a box that lie in the taps' cells, so that nothing jumps as the
ellipse grows. The box is shorter than the ellipse: a texel of a level, averaged from finer ones
and interpolated, has three times the variance of a box as wide, and only what is missing is added.
Up to √3 times as long as wide nothing is: one tap; and to ``SLACK`` times that a wider one.

The ellipse passes no gradient, neither through the level nor through the taps' places in it.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

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


MOST_STRETCH = 8.0
"""Length of a footprint by its width; the level of what is longer is coarser."""

SLACK = 1.7
"""How much wider than the ellipse the filter gets before there are several taps: fewer are enough
then. Without it slanted edges are a little sharper, at almost twice the taps."""


@dataclass(frozen=True)
class Footprint:
    """How a pixel's surroundings are filtered.

    :param level: (P,) the finer of two levels, and ``share`` (P,) that of the coarser one.
    :param step: (2, P) change of uv from one tap to the next.
    :param stretch: (P,) length of the row of taps in steps, at least 1.
    """

    level: torch.Tensor
    share: torch.Tensor
    step: torch.Tensor
    stretch: torch.Tensor

    def reach(self) -> int:
        """Return how many taps the longest row has on either side of its middle."""
        if self.stretch.numel() == 0:
            return 0
        return math.ceil(0.5 * (float(self.stretch.max()) - 1.0) - 1e-6)

    def weight(self, tap: int) -> torch.Tensor:
        """Return (P,) the weight of one tap, numbered from the middle of the row."""
        inside = (0.5 * self.stretch + 0.5 - abs(tap)).clamp(0.0, 1.0)
        return (torch.ones_like(inside) if tap == 0 else inside) / self.stretch

    def part(self, chosen: torch.Tensor) -> Footprint:
        """Return that of some pixels."""
        level, share = self.level[chosen], self.share[chosen]
        return Footprint(level, share, self.step[:, chosen], self.stretch[chosen])


@torch.no_grad()
def find_footprint(
    materials: Materials, texture: torch.Tensor, uv_steps: torch.Tensor
) -> Footprint:
    """Return how to filter each point's texture.

    :param texture: (P,) numbers of textures, none negative.
    :param uv_steps: (2, 2, P), change of uv (second) for a pixel's step right and down (first).
    """
    last = materials.counts[texture].long() - 1
    size = materials.levels[texture, 0, 1:].T.to(uv_steps.dtype)
    (ux, vx), (uy, vy) = (uv_steps * size).clamp(-1e6, 1e6)
    # The axes of the ellipse are the singular values of these two columns.
    uu, uv, vv = ux * ux + uy * uy, ux * vx + uy * vy, vx * vx + vy * vy
    area, half = ux * vy - uy * vx, 0.5 * (uu - vv)
    root = (half * half + uv * uv).sqrt()
    long = 0.5 * (uu + vv) + root
    short = torch.maximum(area * area / long.clamp_min(1e-20), long / MOST_STRETCH**2)
    short = short.clamp_min(1.0)
    # In texels of a picture that is itself interpolated, which counts once a pixel covers several.
    long = long + 3.0 * (long - 1.0).clamp(0.0, 1.0)
    short = short * (long / (3.0 * short)).clamp(1.0, SLACK**2)
    detail = torch.minimum(0.5 * torch.log2(short), last.to(short.dtype))
    level = torch.minimum(detail.long().clamp_min(0), last)
    stretch = (long / short - 2.0).clamp_min(1.0).sqrt()
    # The coarsest level is of one colour.
    stretch = torch.where(detail >= last, 1.0, stretch)
    axis = torch.stack(
        [torch.where(half >= 0, root + half, uv), torch.where(half >= 0, uv, root - half)]
    )
    step = axis * (short / (axis * axis).sum(0).clamp_min(1e-20)).sqrt() / size
    return Footprint(level, detail - level, step, stretch)


def _sample_levels(
    materials: Materials, texture: torch.Tensor, footprint: Footprint, uv: torch.Tensor
) -> torch.Tensor:
    """Return the texels (4, P) of each point's texture at one tap, trilinear and repeating."""
    level, share = footprint.level, footprint.share
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


def sample_texture(
    materials: Materials, texture: torch.Tensor, uv: torch.Tensor, uv_steps: torch.Tensor
) -> torch.Tensor:
    """Return the texels (4, P) of each point's texture, filtered and repeating.

    :param texture: (P,) numbers of textures, none negative.
    :param uv: (2, P).
    :param uv_steps: (2, 2, P), change of uv (second) for a pixel's step right and down (first).
    """
    footprint = find_footprint(materials, texture, uv_steps)
    total = footprint.weight(0) * _sample_levels(materials, texture, footprint, uv)
    for distance in range(1, footprint.reach() + 1):
        weight = footprint.weight(distance)
        chosen = (weight > 0).nonzero().squeeze(-1)
        part, here = footprint.part(chosen), uv.index_select(1, chosen)
        for tap in (-distance, distance):
            texels = _sample_levels(materials, texture[chosen], part, here + tap * part.step)
            total = total.index_add(1, chosen, weight[chosen] * texels)
    return total
