# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Glare: a small share of the light is scattered in the lens and falls far from its place.

It spreads over four Gaussians of σ = s, 2s, 4s and 8s px with equal energy: an octave of radius
receives as much light as the next, so the tails fall like 1/r², as those of measured lenses do.
Ordinary surfaces hardly change; a highlight far above white gets a halo.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.arrays import per_image, picture
from diffphyscam_ros.camera.defocus_cascade import reflected
from diffphyscam_ros.camera.intrinsics import Scalar
from diffphyscam_ros.kernels.glare_levels import (
    Axis,
    filter_radius,
    filter_variances,
    halvings,
    octave_levels,
    OCTAVES,
)

_ROWS, _COLUMNS = 2, 3  # dimensions of (N, C, H, W)


def glare(image: torch.Tensor, fraction: Scalar, radius: Scalar) -> torch.Tensor:
    """Scatter a share of the light widely: E' = (1 − g)·E + g·mean_k(G(2ᵏ·s) ∗ E), k = 0 … 3.

    Borders are mirrored, so both a constant picture and the sum of any picture stay. Computed on
    a pyramid (``kernels.glare_levels``): within 1 % of the peak of the exact Gaussians.
    Differentiable in all three; in the radius it is piecewise smooth: where s passes 1.75·2ⁿ px
    the pyramid changes.

    :param image: (..., H, W, C) linear light.
    :param fraction: g, share of the light that is scattered, in [0, 1].
    :param radius: s, σ of the narrowest Gaussian in px, ≥ 1.
    :return: (..., H, W, C); batched where fraction or radius is.
    :raises ValueError: for a radius below 1.
    """
    image = picture(image, 'image')
    share = per_image(fraction, image)
    sigma = torch.as_tensor(radius, dtype=image.dtype, device=image.device)
    if sigma.ndim == 0:
        return (1 - share) * image + share * _scattered(image, sigma)
    given = (
        image if image.ndim > 3 and image.shape[0] > 1 else image.reshape(-1, *image.shape[-3:])
    )
    pictures = given.expand(max(len(sigma), len(given)), *given.shape[1:])
    sigmas = sigma.expand(len(pictures))
    halo = torch.stack(
        [_scattered(one, width) for one, width in zip(pictures, sigmas, strict=True)]
    )
    return (1 - share) * image + share * halo


def _scattered(image: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Return the mean of the four Gaussians of one radius, () ."""
    height, width, channels = image.shape[-3:]
    if image.numel() == 0:
        return image
    levels = octave_levels(float(sigma.detach()))
    rows, columns = halvings(height, levels[-1]), halvings(width, levels[-1])
    vertical = filter_variances(height, levels, sigma.square())
    horizontal = filter_variances(width, levels, sigma.square())

    light = image.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    at, octaves = 0, []
    for octave, level in enumerate(levels):
        for below in range(at, level):
            light = _halve(light, rows[below], columns[below])
        light = _filter(light, vertical[octave], _ROWS)
        light = _filter(light, horizontal[octave], _COLUMNS)
        octaves.append(light)
        at = level
    total = octaves.pop()
    while at or octaves:
        while octaves and levels[len(octaves) - 1] == at:
            total = total + octaves.pop()
        if at:
            at -= 1
            total = _double(total, rows[at], columns[at])
    return (total / OCTAVES).permute(0, 2, 3, 1).reshape(image.shape)


def _halve(x: torch.Tensor, rows: Axis, columns: Axis) -> torch.Tensor:
    x = _gather(x, rows.down_index, rows.down_weight, _ROWS)
    return _gather(x, columns.down_index, columns.down_weight, _COLUMNS)


def _double(x: torch.Tensor, rows: Axis, columns: Axis) -> torch.Tensor:
    x = _gather(x, rows.up_index, rows.up_weight, _ROWS)
    return _gather(x, columns.up_index, columns.up_weight, _COLUMNS)


def _gather(x: torch.Tensor, index: object, weight: object, dim: int) -> torch.Tensor:
    """Return sums of weighted cells along a dimension: index and weight are (size, taps)."""
    indices = torch.as_tensor(index, device=x.device)
    weights = torch.as_tensor(weight, dtype=x.dtype, device=x.device)
    out = torch.zeros((), dtype=x.dtype, device=x.device)
    for tap in range(indices.shape[1]):
        factor = weights[:, tap, None] if dim == _ROWS else weights[:, tap]
        out = out + factor * x.index_select(dim, indices[:, tap])
    return out


def _filter(x: torch.Tensor, variance: torch.Tensor, dim: int) -> torch.Tensor:
    """Convolve with a sampled Gaussian along one dimension, the borders mirrored."""
    length = x.shape[dim]
    if length == 1:
        return x
    radius = filter_radius(float(variance.detach()))
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    taps = torch.softmax(-0.5 * offsets.square() / variance, dim=0)
    padded = x.index_select(dim, reflected(length, radius, radius, x.device))
    out = torch.zeros((), dtype=x.dtype, device=x.device)
    for tap in range(2 * radius + 1):
        out = out + taps[tap] * padded.narrow(dim, tap, length)
    return out
