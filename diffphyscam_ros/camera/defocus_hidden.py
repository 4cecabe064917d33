# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What may lie hidden behind the visible surfaces: a guess, without which blurred rims are hard.

A lens looks around the edges of what is in front. A pinhole picture does not know what it sees
there; we continue the surfaces that are visible beside the edge. From a pyramid whose cells hold
the farthest surface seen in them, every pixel takes that of the smallest cell around it that
holds something clearly behind it.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import pad

from diffphyscam_ros.camera.defocus_cascade import double
from diffphyscam_ros.kernels.depth_order import GAP, GAP_SLOPE


def hidden_layer(
    image: torch.Tensor, coc: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Guess colour and depth of what lies behind each pixel.

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) signed blur in px, negative in front of the focus.
    :return: colour (B, C, H, W), signed blur (B, 1, H, W) and presence in [0, 1] (B, 1, H, W);
        where the presence is 0 the others are 0. Continuous in the blur.
    """
    cells = [_Cells(image, coc, coc)]
    for _ in range(levels_needed(float(coc.detach().abs().max()))):
        cells.append(cells[-1].united())
    behind = torch.zeros_like(torch.cat((cells[-1].colour, cells[-1].far, cells[-1].far), dim=1))
    for finer, cell in zip(reversed(cells[:-1]), reversed(cells[1:]), strict=True):
        presence = _behind(cell.far, cell.near)
        own = torch.cat((cell.colour, cell.far, torch.ones_like(presence)), dim=1)
        behind = presence * own + (1.0 - presence) * behind
        behind = double(behind, *finer.far.shape[-2:])
    weight = behind[:, -1:]
    known = weight > 0
    colour, far = behind[:, :-2], behind[:, -2:-1]
    scale = torch.where(known, 1.0 / torch.where(known, weight, 1.0), 0.0)
    colour, far = colour * scale, far * scale
    presence = torch.where(known, weight * _behind(far, coc), 0.0)
    there = presence > 0
    return torch.where(there, colour, 0.0), torch.where(there, far, 0.0), presence


def levels_needed(largest: float) -> int:
    """Return how often the picture is halved: the blur's radius has to fit into a cell."""
    return max(1, math.ceil(math.log2(max(largest, 2.0))))


def _behind(far: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """Return 0 where two signed blurs may be one surface, 1 where far is clearly behind near."""
    gap = GAP + GAP_SLOPE * near.abs()
    return (2.0 * ((far - near) / gap - 1.0)).clamp(0.0, 1.0)


class _Cells:
    """One level of the pyramid: the farthest surface in each cell, and the nearest blur."""

    def __init__(self, colour: torch.Tensor, far: torch.Tensor, near: torch.Tensor) -> None:
        self.colour = colour
        self.far = far
        self.near = near

    def united(self) -> _Cells:
        """Unite two by two cells: the mean of the farthest and of what is not in front of it."""
        colours, fars, nears = (_quarters(x) for x in (self.colour, self.far, self.near))
        farthest = torch.stack(fars).amax(0)
        gap = GAP + GAP_SLOPE * farthest.abs()
        weights = [(1.0 - (farthest - far) / gap).clamp(min=0.0) for far in fars]
        total = weights[0] + weights[1] + weights[2] + weights[3]
        colour = sum((w * c for w, c in zip(weights, colours, strict=True))) / total
        far = sum((w * f for w, f in zip(weights, fars, strict=True))) / total
        return _Cells(torch.as_tensor(colour), torch.as_tensor(far), torch.stack(nears).amin(0))


def _quarters(x: torch.Tensor) -> list[torch.Tensor]:
    """Return the four pixels of every cell; odd sizes repeat their last row and column."""
    x = pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode='replicate')
    return [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
