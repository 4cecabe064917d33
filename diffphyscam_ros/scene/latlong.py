# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The geometry of latitude-longitude pictures: pixels to directions and back.

The layout is that of :class:`diffphyscam_ros.scene.types.Environment`: row 0 looks up (+z),
the centre column along +x, columns to its right turn towards -y.
"""

from __future__ import annotations

import math

import torch


def latlong_directions(
    height: int, width: int, rotation: float | torch.Tensor = 0.0
) -> torch.Tensor:
    """Return the unit world directions (H, W, 3) of the pixel centres of a lat-long picture.

    :param rotation: radians about +z by which the picture is turned.
    """
    polar = (torch.arange(height, dtype=torch.float64) + 0.5) * (math.pi / height)
    azimuth = math.pi - (torch.arange(width, dtype=torch.float64) + 0.5) * (2 * math.pi / width)
    azimuth = azimuth + rotation
    sine, cosine = polar.sin()[:, None], polar.cos()[:, None]
    return torch.stack(
        [sine * azimuth.cos(), sine * azimuth.sin(), cosine.expand(height, width)], dim=-1
    ).to(torch.float32)


def latlong_solid_angles(height: int, width: int) -> torch.Tensor:
    """Return the solid angle of a pixel of each row (H,), in steradians; H·W of them make 4π."""
    edges = torch.linspace(0, math.pi, height + 1, dtype=torch.float64).cos()
    return ((edges[:-1] - edges[1:]) * (2 * math.pi / width)).to(torch.float32)


def latlong_pixels(
    directions: torch.Tensor, height: int, width: int, rotation: float | torch.Tensor = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (column, row) (...) where directions (..., 3) fall; pixel centres are integers.

    Differentiable but at the poles, where the azimuth is undefined (taken as 0, gradient 0).
    """
    x, y, z = directions.unbind(-1)
    across_square = x * x + y * y
    at_pole = across_square < 1e-20
    # Both where's keep 0 out of sqrt and atan2, whose gradients there are NaN.
    across = torch.where(at_pole, torch.ones_like(x), across_square).sqrt()
    across = torch.where(at_pole, torch.zeros_like(x), across)
    azimuth = torch.atan2(y, torch.where(at_pole, torch.ones_like(x), x)) - rotation
    column = (0.5 - azimuth / (2 * math.pi)) * width - 0.5
    row = torch.atan2(across, z) * (height / math.pi) - 0.5
    return column, row


def sample_latlong(
    pictures: torch.Tensor, column: torch.Tensor, row: torch.Tensor, layer: torch.Tensor
) -> torch.Tensor:
    """Sample (L, H, W, 3) bilinearly at (...): columns wrap round, rows stop at the poles.

    :param layer: (...) int64, the picture to sample.
    """
    height, width = pictures.shape[1:3]
    left, top = column.detach().floor(), row.detach().floor()
    dx, dy = (column - left)[..., None], (row - top)[..., None]
    x0 = left.long() % width
    x1 = (x0 + 1) % width
    y0 = top.long().clamp(0, height - 1)
    y1 = (top.long() + 1).clamp(0, height - 1)
    upper = pictures[layer, y0, x0] * (1 - dx) + pictures[layer, y0, x1] * dx
    lower = pictures[layer, y1, x0] * (1 - dx) + pictures[layer, y1, x1] * dx
    return upper * (1 - dy) + lower * dy
