# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Points on the rims of surfaces, shaded as a small picture of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from diffphyscam_ros.render.frame import Arriving, Frame
from diffphyscam_ros.render.materials import ALPHA_MODE, OPAQUE
from diffphyscam_ros.render.shading import CLOSED, Shaded

WIDTH = 128  # of the picture of rims, px
ROWS = 16  # its height is a multiple of this: enough bands, and the same buffers for each frame


@dataclass(frozen=True)
class Rims:
    """Where a surface reaches from its own pixel beyond the border to the next one.

    :param pairs: (R, 3) int32: the first pixel, the axis (0: to the right, 1: down), and the edge,
        3·face + edge, at which the surface ends.
    :param shares: (R,) float32, by how much the first pixel's surface reaches to the second,
        negative the other way round.
    :param places: (R, 2) float32, u and v of the rim in px.
    """

    pairs: torch.Tensor
    shares: torch.Tensor
    places: torch.Tensor

    @staticmethod
    def empty(count: int) -> Rims:
        """Return memory for a number of rims, on the CPU."""
        return Rims(
            torch.empty(count, 3, dtype=torch.int32), torch.empty(count), torch.empty(count, 2)
        )

    def pixels(self, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pixels (R,) that take the rims' colours, and those whose surfaces they are.

        :param width: of the picture, px.
        """
        first = self.pairs[:, 0].long()
        second = first + torch.where(self.pairs[:, 1] == 1, width, 1)
        forward = self.shares > 0
        return torch.where(forward, second, first), torch.where(forward, first, second)


def roles_in_rims(first: torch.Tensor, triangles: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Return which pixels of a layered picture take part in rims, (H·W,) uint8.

    What is behind a layer is not seen in its own colour, and what is not opaque may end elsewhere
    than its triangles do: those do without.

    :param first: (H·W,) the triangles that are seen first.
    :param triangles: (H·W,) those that stand for the picture.
    """
    takes = first == triangles
    opaque = frame.materials.flags[:, ALPHA_MODE] == OPAQUE
    faces = frame.geometry.face_instance
    if len(faces) == 0:
        return takes.to(torch.uint8)
    item = faces.index_select(0, first.clamp_min(0).long()).long()
    gives = takes & (first >= 0) & opaque.index_select(0, item)
    return takes.to(torch.uint8) + gives.to(torch.uint8)  # TAKES and GIVES


def shade_rims(
    rims: Rims,
    frame: Frame,
    arriving: Arriving,
    shade: Callable[[torch.Tensor, Frame, torch.Tensor], Shaded],
) -> torch.Tensor | None:
    """Return the colours (≥ R, 3) of rims, None where there are none.

    They are laid out as a picture. A rim is lit as its surface is at the pixel that sees it.

    :param arriving: the light in the picture of the frame.
    :param shade: of a :class:`diffphyscam_ros.render.paths.Path`.
    """
    count, device = len(rims.pairs), frame.pinhole.device
    if count == 0:
        return None
    height = ROWS * -(-count // (ROWS * WIDTH))
    triangles = torch.full((height * WIDTH,), CLOSED, dtype=torch.int32, device=device)
    triangles[:count] = (rims.pairs[:, 2] // 3).to(device)
    places = torch.zeros(height * WIDTH, 2, device=device)
    places[:count] = rims.places.to(device)
    seen = torch.zeros(height * WIDTH, dtype=torch.int64, device=device)
    seen[:count] = rims.pixels(frame.view.width)[1].to(device)
    lights, sky = arriving.lights, arriving.sky
    lit = frame.lit(
        Arriving(
            None if lights is None else lights.index_select(1, seen),
            None if sky is None else sky.index_select(0, seen),
        )
    )
    view = replace(frame.view, width=WIDTH, height=height)
    return shade(triangles, replace(lit, view=view), places).radiance.color.reshape(-1, 3)
