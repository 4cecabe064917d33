# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Disk and polygon defocus over a pyramid: O(pixels) whatever the blur, differentiable.

Disks up to some 16 px wide are laid over the pixels as they are; light of larger ones goes to
halved pictures, where they are small again (see ``kernels.disk_rings``).
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.defocus_cascade import double, halve, reflected
from diffphyscam_ros.camera.defocus_hidden import hidden_layer
from diffphyscam_ros.camera.defocus_occlusion import Aperture, slot_weight
from diffphyscam_ros.kernels.depth_order import KNOTS, slots_between
from diffphyscam_ros.kernels.disk_rings import REACH, rise, scales_needed, Shape, slot_scale


def scatter_disk_cascade(image: torch.Tensor, coc: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Scatter every pixel over the shape of the aperture, of diameter |c|.

    Where a halved pixel unites light of several c, it has the mean of their c².

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) signed px, finite, same dtype. Differentiable in both.
    """
    if shape.even or not bool((coc < 0).any()):
        return _scatter(image, coc.square(), shape)
    behind = torch.where(coc > 0, 1.0, 0.0).to(image.dtype)
    far = _scatter(image * behind, (coc * behind).square(), shape)
    near = _scatter(image * (1.0 - behind), (coc * (1.0 - behind)).square(), shape.turned())
    return far + near


def scatter_disk_occluded(image: torch.Tensor, coc: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Collect the light of every slot of depth from front to back; see ``defocus_occlusion``.

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) signed px, finite, same dtype. Differentiable in both.
    """
    sizes = [(image.shape[-2], image.shape[-1])]
    colour, blur, presence = hidden_layer(image, coc)
    sources = []
    for light, c in (
        (torch.cat((image, torch.ones_like(coc)), dim=1), coc),
        (torch.cat((colour * presence, presence), dim=1), blur),
    ):
        sources.append((torch.cat((light, light[:, -1:] * c.square()), dim=1), c))
    aperture = Aperture(image)
    for slot in slots_between(float(coc.detach().min()), float(coc.detach().max())):
        scale = slot_scale(KNOTS[slot])
        while len(sizes) <= scale:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        light = sources[0][0] * slot_weight(sources[0][1], slot)
        light = light + sources[1][0] * slot_weight(sources[1][1], slot)
        if not bool((light[:, -2] > 0).any()):
            continue
        for _ in range(scale):
            light = halve(light)
        spread = _spread_scale(light, scale, shape if KNOTS[slot] >= 0 else shape.turned())
        for size in reversed(sizes[:scale]):
            spread = double(spread, *size)
        aperture.add(spread)
    return aperture.picture()


def _scatter(image: torch.Tensor, squares: torch.Tensor, shape: Shape) -> torch.Tensor:
    count = scales_needed(float(squares.detach().max()))
    sizes: list[tuple[int, int]] = [(image.shape[-2], image.shape[-1])]
    for _ in range(count - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))

    spread: torch.Tensor | None = None
    for scale in reversed(range(count)):
        weight = _weight(squares, scale)
        light = torch.cat((image * weight, weight, squares * weight), dim=1)
        for _ in range(scale):
            light = halve(light)
        own = _spread_scale(light, scale, shape)[:, :-1]
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


def _spread_scale(light: torch.Tensor, scale: int, shape: Shape) -> torch.Tensor:
    """Spread the light of one scale: colours, weight and weight · c² in px of full resolution.

    :return: colours and weight.
    """
    weight, square = light[:, -2:-1], light[:, -1:]
    square = torch.where(weight > 0, square / torch.where(weight > 0, weight, 1.0), 0.0)
    factor = 4.0**-scale
    return _spread(light[:, :-1], square * factor + shape.added * (factor - 1.0), shape)


def _spread(light: torch.Tensor, square: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Lay a disk of diameter √square, at least one pixel, over the place of every pixel."""
    rim = (square.clamp(min=1.0).sqrt() + 1.0) / 2.0
    widest = float(rim.detach().max())
    rings = [ring for ring in shape.rings if ring.distance < widest]
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
            top, left = REACH - dy, REACH - dx  # a target looks back to where light comes from
            out += around[..., top : top + height, left : left + width]
    return out
