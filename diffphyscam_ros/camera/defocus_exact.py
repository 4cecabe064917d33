# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus by direct scatter: the oracle that the fast forms are held against.

Every pixel is spread over its own point spread function, tap by tap: O(pixels × taps), slow,
and as accurate as the definition of the spread itself.
"""

from __future__ import annotations

import itertools
import math

import torch

from diffphyscam_ros.camera.defocus_cascade import reflected
from diffphyscam_ros.kernels.blur_levels import SIGMA_PER_COC
from diffphyscam_ros.kernels.disk_rings import side_distance, side_scale


def scatter_gaussian_exact(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Scatter every pixel over the discrete Gaussian of variance exactly σ² = (c / 6)².

    :param image: (B, C, H, W); coc: (B, 1, H, W) px, signed. Differentiable in both.
    """
    coc = coc.abs()
    variance = (coc * SIGMA_PER_COC).square()
    weights = discrete_gaussian(variance, _gaussian_radius(coc))  # (R+1, B, 1, H, W)
    radius = len(weights) - 1
    height, width = image.shape[-2:]
    canvas = _canvas(image, radius, radius)
    for dy in range(radius + 1):
        light = image * weights[dy]
        rows = _canvas(image, 0, radius)
        for dx in range(radius + 1):
            share = light * weights[dx]
            for start in {radius + dx, radius - dx}:
                rows[..., start : start + width] += share
        for start in {radius + dy, radius - dy}:
            canvas[..., start : start + height, :] += rows
    return _fold_borders(canvas, height, width)


def scatter_disk_exact(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Scatter every pixel over a disk of diameter c, each tap the area it shares with a pixel.

    :param image: (B, C, H, W); coc: (B, 1, H, W) px, signed. Differentiable in both.
    """
    coc = coc.abs()
    radius = math.ceil(max(float(coc.detach().max()) - 1.0, 0.0) / 2.0)
    height, width = image.shape[-2:]
    canvas = _canvas(image, radius, radius)
    for dy in range(radius + 1):
        for dx in range(radius + 1):
            light = image * disk_coverage(coc, dx, dy)
            for top in {radius + dy, radius - dy}:
                for left in {radius + dx, radius - dx}:
                    canvas[..., top : top + height, left : left + width] += light
    return _fold_borders(canvas, height, width)


def scatter_polygon_exact(
    image: torch.Tensor, coc: torch.Tensor, blades: int, rotation: float
) -> torch.Tensor:
    """Scatter every pixel over a regular polygon with the area of the disk of diameter |c|.

    In front of the focus (c < 0) the polygon is turned by half a turn. Each tap is a mean over
    4 × 4 places in its pixel; up to |c| = 1 all light stays in its pixel.

    :param image: (B, C, H, W); coc: (B, 1, H, W) px, signed. Differentiable in both.
    """
    size, side = coc.abs(), torch.where(coc < 0, -1.0, 1.0).to(coc.dtype)
    corner = side_scale(blades) * math.cos(math.pi / blades)  # c/2 over a corner's distance
    radius = math.ceil(float(size.detach().max()) / 2.0 / corner + 0.5)
    height, width = image.shape[-2:]
    steps = range(-radius, radius + 1)
    taps = [tap for tap in itertools.product(steps, steps) if math.hypot(*tap) <= radius + 0.5]
    half, spill = size.clamp(min=1.0) / 2.0, (size - 1.0).clamp(0.0, 1.0)

    def share(dy: int, dx: int) -> torch.Tensor:
        covered = torch.zeros_like(size)
        for y, x in itertools.product((-0.375, -0.125, 0.125, 0.375), repeat=2):
            far, near = (
                side_distance(dx * way + x, dy * way + y, blades, rotation) for way in (1, -1)
            )
            distance = torch.where(side > 0, far, near)
            covered = covered + (4.0 * (half - distance) + 0.5).clamp(0.0, 1.0)
        return covered / 16.0 if dx == 0 and dy == 0 else covered * (spill / 16.0)

    total = torch.zeros_like(size)
    for dy, dx in taps:
        total = total + share(dy, dx)
    light = image / total
    canvas = _canvas(image, radius, radius)
    for dy, dx in taps:
        top, left = radius + dy, radius + dx
        canvas[..., top : top + height, left : left + width] += light * share(dy, dx)
    return _fold_borders(canvas, height, width)


def discrete_gaussian(variance: torch.Tensor, radius: int) -> torch.Tensor:
    """Return taps 0 … radius of the discrete Gaussian, (radius+1, *variance.shape).

    Lindeberg's T(n, t) = exp(−t)·Iₙ(t): its variance is exactly t, T(t₁) * T(t₂) = T(t₁+t₂),
    and it is the identity at t = 0 (Lindeberg, Scale-space for discrete signals, 1990). It is
    evaluated from its spectrum exp(t·(cos θ − 1)), which autograd can follow.
    """
    period = 2 * radius + 2
    k = torch.arange(radius + 2, device=variance.device, dtype=torch.float64)
    theta = 2.0 * math.pi * k / period
    share = torch.full_like(theta, 2.0 / period)  # ±θ together, but 0 and π alone
    share[0] = share[-1] = 1.0 / period
    n = torch.arange(radius + 1, device=variance.device, dtype=torch.float64)
    cosines = (share * torch.cos(n[:, None] * theta)).to(variance.dtype)
    spectrum = torch.exp(variance[..., None] * (torch.cos(theta) - 1.0).to(variance.dtype))
    taps = (spectrum @ cosines.T).movedim(-1, 0)
    return taps / (taps[0] + 2.0 * taps[1:].sum(0))


def disk_coverage(
    diameter: torch.Tensor, dx: torch.Tensor | int, dy: torch.Tensor | int
) -> torch.Tensor:
    """Return the share of a centred disk's area that lies in the unit pixel at (dx, dy).

    A disk that fits in the central pixel (diameter ≤ 1) leaves all of its light there.
    """
    radius = diameter.clamp(min=1.0) / 2.0
    x0, x1 = (dx - 0.5) / radius, (dx + 0.5) / radius
    y0, y1 = (dy - 0.5) / radius, (dy + 0.5) / radius
    area = _quadrant(x1, y1) - _quadrant(x0, y1) - _quadrant(x1, y0) + _quadrant(x0, y0)
    return area / math.pi


def _quadrant(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the signed area of the unit disk over [0, x] × [0, y]."""
    sign = torch.sign(x) * torch.sign(y)
    x, y = x.abs().clamp(max=1.0), y.abs().clamp(max=1.0)
    turn = _root(1.0 - y * y)  # right of it the circle is lower than y
    outside = turn * y + _under_circle(x) - _under_circle(turn)
    return sign * torch.where(x * x + y * y <= 1.0, x * y, outside)


def _under_circle(x: torch.Tensor) -> torch.Tensor:
    """Return the area below the unit circle over [0, x]."""
    height = _root(1.0 - x * x)
    return 0.5 * (x * height + torch.atan2(x, height))


def _root(x: torch.Tensor) -> torch.Tensor:
    """Return √x with a zero instead of an infinite slope at 0."""
    tiny = torch.finfo(x.dtype).eps ** 2
    return torch.where(x > tiny, x.clamp(min=tiny).sqrt(), 0.0)


def _gaussian_radius(coc: torch.Tensor) -> int:
    """Return a radius beyond which a Gaussian of the largest σ holds less than 1e-6."""
    return math.ceil(5.0 * float(coc.detach().max()) * SIGMA_PER_COC + 5.0)


def _canvas(image: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    height, width = image.shape[-2:]
    return image.new_zeros(*image.shape[:-2], height + 2 * rows, width + 2 * columns)


def _fold_borders(canvas: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Mirror the light that fell outside the frame back into it."""
    for dim, length in ((-2, height), (-1, width)):
        margin = (canvas.shape[dim] - length) // 2
        index = reflected(length, margin, margin, canvas.device)
        shape = list(canvas.shape)
        shape[dim] = length
        canvas = canvas.new_zeros(shape).index_add(dim, index, canvas)
    return canvas
