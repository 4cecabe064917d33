# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus that knows which surface is in front: the definition, by direct scatter.

Of the rays that a lens gathers for one pixel every surface takes a share: what its pixels
scatter there, w. Pixels of one surface send their light through different parts of the
aperture, so that their shares add up; a surface behind another has what is left. Hence shares
are collected from front to back until the aperture is full, and no further.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffphyscam_ros.camera.defocus_hidden import hidden_layer
from diffphyscam_ros.kernels.depth_order import KNOTS, slots_between

_LEAST = 1e-30

Scatter = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Aperture:
    """The light collected for every pixel so far, and how much of the aperture is still free."""

    def __init__(self, image: torch.Tensor) -> None:
        """Begin with nothing, for pictures like this one (B, C, H, W)."""
        self.light = torch.zeros_like(image)
        self.free = torch.ones_like(image[:, :1])

    def add(self, light: torch.Tensor) -> None:
        """Lay a slot (B, C + 1, H, W), colours and their share, behind all before it."""
        share = light[:, -1:]
        visible = torch.where(share > self.free, self.free / share.clamp(min=_LEAST), 1.0)
        self.light = self.light + visible * light[:, :-1]
        self.free = (self.free - share).clamp(min=0.0)

    def picture(self) -> torch.Tensor:
        """Return the mean colour of the aperture's part that is not free."""
        return self.light / (1.0 - self.free).clamp(min=_LEAST)


def scatter_exact_occluded(
    image: torch.Tensor, coc: torch.Tensor, scatter: Scatter
) -> torch.Tensor:
    """Collect the light of every slot of depth, scattered directly, from front to back.

    :param image: (B, C, H, W); coc: (B, 1, H, W) signed px. Differentiable in both.
    :param scatter: of light (B, C + 1, H, W) with its blur.
    """
    colour, blur, presence = hidden_layer(image, coc)
    seen = torch.cat((image, torch.ones_like(coc)), dim=1)
    guessed = torch.cat((colour * presence, presence), dim=1)
    aperture = Aperture(image)
    for slot in slots_between(float(coc.detach().min()), float(coc.detach().max())):
        total: torch.Tensor | None = None
        for light, c in ((seen, coc), (guessed, blur)):
            weight = slot_weight(c, slot)
            if bool((weight * light[:, -1:] > 0).any()):
                own = scatter(light * weight, torch.where(weight > 0, c, 0.0))
                total = own if total is None else total + own
        if total is not None:
            aperture.add(total)
    return aperture.picture()


def slot_weight(coc: torch.Tensor, slot: int) -> torch.Tensor:
    """Return the share of a signed blur in a slot: 1 at its middle, 0 at its neighbours'."""
    weight = torch.ones_like(coc)
    if slot > 0:
        weight = (coc - KNOTS[slot - 1]) / (KNOTS[slot] - KNOTS[slot - 1])
    if slot + 1 < len(KNOTS):
        weight = torch.minimum(weight, (KNOTS[slot + 1] - coc) / (KNOTS[slot + 1] - KNOTS[slot]))
    return weight.clamp(0.0, 1.0)
