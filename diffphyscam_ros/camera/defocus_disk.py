# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Disk defocus over a pyramid: O(pixels) whatever the blur, differentiable.

Disks up to some 16 px wide are laid over the pixels as they are; light of larger ones goes to
halved pictures, where they are small again (see ``kernels.disk_rings``).
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.defocus_cascade import double, halve, reflected
from diffphyscam_ros.kernels.disk_rings import ADDED, REACH, RINGS, rise, scales_needed


def scatter_disk_cascade(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Scatter every pixel over a disk of diameter c.

    Where a halved pixel unites light of several c, it has the mean of their c².

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) px, finite and ≥ 0, same dtype. Differentiable in both.
    """
    squares = coc.square()
    count = scales_needed(float(squares.detach().max()))
    sizes: list[tuple[int, int]] = [(image.shape[-2], image.shape[-1])]
    for _ in range(count - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))

    spread: torch.Tensor | None = None
    for scale in reversed(range(count)):
        weight = _weight(squares, scale)
        light, square = image * weight, squares * weight
        for _ in range(scale):
            light, square, weight = halve(light), halve(square), halve(weight)
        square = torch.where(weight > 0, square / torch.where(weight > 0, weight, 1.0), 0.0)
        factor = 4.0**-scale
        own = _spread(light, square * factor + ADDED * (factor - 1.0))
        spread = own if spread is None else own + double(spread, *sizes[scale])
    assert spread is not None  # there is always at least one scale
    return spread


def _weight(squares: torch.Tensor, scale: int) -> torch.Tensor:
    """Return the share of light that a scale takes, linear in c² between scales."""
    fall, end = rise(scale + 1)
    weight = (1.0 - (squares - fall) / (end - fall)).clamp(0.0, 1.0)
    if scale > 0:
        begin, top = rise(scale)
        weight = torch.minimum(weight, ((squares - begin) / (top - begin)).clamp(0.0, 1.0))
    return weight


def _spread(light: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
    """Lay a disk of diameter √square, at least one pixel, over the place of every pixel."""
    rim = (square.clamp(min=1.0).sqrt() + 1.0) / 2.0
    widest = float(rim.detach().max())
    rings = [ring for ring in RINGS if ring.distance < widest]
    shares = [(rim - ring.distance).clamp(0.0, 1.0) for ring in rings]
    total = torch.zeros_like(rim)
    for ring, share in zip(rings, shares, strict=True):
        total = total + len(ring.taps) * share
    light = light / total
    height, width = light.shape[-2:]
    rows = reflected(height, REACH, REACH, light.device)
    columns = reflected(width, REACH, REACH, light.device)
    out = torch.zeros_like(light)
    for ring, share in zip(rings, shares, strict=True):
        around = (light * share).index_select(-2, rows).index_select(-1, columns)
        for dy, dx in ring.taps:
            top, left = REACH + dy, REACH + dx
            out += around[..., top : top + height, left : left + width]
    return out
