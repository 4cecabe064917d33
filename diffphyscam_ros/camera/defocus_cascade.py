# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gaussian defocus as a cascade of blur levels: O(pixels) whatever the blur, differentiable.

The light I of every source pixel is split over the levels of a ladder of blurs (see
``kernels.blur_levels``) and the levels are nested,

    out = w₀·I + B₁(w₁·I + B₂(w₂·I + …)),

so that one small filter a level serves all of them; coarse levels live on halved pictures.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.kernels.blur_levels import LADDER, levels_needed, SIGMA_PER_COC

_ROWS, _COLUMNS = 2, 3  # dimensions of (B, C, H, W)


def scatter_gaussian_cascade(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Scatter every pixel over a Gaussian of σ = c / 6.

    Differentiable in both arguments. In coc the picture is continuous and piecewise smooth: its
    slope steps a little where σ² passes from one pair of levels to the next.

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) diameters in px, finite and ≥ 0, same dtype.
    :return: (B, C, H, W).
    """
    variance = (coc * SIGMA_PER_COC).square()
    levels = LADDER[: levels_needed(float(variance.detach().max()))]
    knots = variance.new_tensor([level.variance for level in levels])
    below = torch.bucketize(variance.detach(), knots, right=True) - 1
    below = below.clamp(max=len(levels) - 2)  # the top level is the upper end of the last pair
    lower, upper = knots[below], knots[below + 1]
    fraction = (variance - lower) / (upper - lower)

    sizes = [(image.shape[-2], image.shape[-1])]
    for _ in range(levels[-1].scale):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))

    blurred: torch.Tensor | None = None
    for k in reversed(range(len(levels))):
        weight = torch.where(below == k, 1.0 - fraction, 0.0)
        weight = weight + torch.where(below == k - 1, fraction, 0.0)
        light = image * weight
        for _ in range(levels[k].scale):
            light = halve(light)
        if blurred is None:
            blurred = light
        else:
            if levels[k + 1].scale > levels[k].scale:
                blurred = double(blurred, *sizes[levels[k].scale])
            blurred = light + blurred
        taps = levels[k].taps
        if taps is not None:
            blurred = _filter(_filter(blurred, taps, _ROWS), taps, _COLUMNS)
    assert blurred is not None  # there are always at least two levels
    return blurred


def halve(x: torch.Tensor) -> torch.Tensor:
    """Average a picture (B, C, H, W) down by two; odd sizes round up."""
    return _halve(_halve(x, _ROWS), _COLUMNS)


def double(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate a picture (B, C, H/2, W/2) up by two, to the size that ``halve`` came from."""
    return _double(_double(x, _ROWS, height), _COLUMNS, width)


def reflected(length: int, before: int, after: int, device: torch.device) -> torch.Tensor:
    """Return the indices −before … length+after−1 mirrored at the borders (edge pixel twice).

    Mirrored borders make a symmetric filter keep both a constant picture and the sum of any
    picture: light that leaves the frame is replaced by light that enters it.
    """
    index = torch.arange(-before, length + after, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)


def _extended(x: torch.Tensor, dim: int, before: int, after: int) -> torch.Tensor:
    return x.index_select(dim, reflected(x.shape[dim], before, after, x.device))


def _filter(x: torch.Tensor, taps: tuple[float, float, float], dim: int) -> torch.Tensor:
    """Convolve along one dimension with (t₂, t₁, t₀, t₁, t₂)."""
    length = x.shape[dim]
    radius = 2 if taps[2] else 1
    padded = _extended(x, dim, radius, radius)
    out = taps[0] * x
    for offset in range(1, radius + 1):
        left = padded.narrow(dim, radius - offset, length)
        right = padded.narrow(dim, radius + offset, length)
        out = out + taps[offset] * (left + right)
    return out


def _halve(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Average down by two with (1, 3, 3, 1) / 8; an odd length rounds up."""
    half = (x.shape[dim] + 1) // 2
    padded = _extended(x, dim, 1, 1 + x.shape[dim] % 2)
    even, odd = padded.unflatten(dim, (half + 1, 2)).unbind(dim + 1)
    outer = even.narrow(dim, 0, half) + odd.narrow(dim, 1, half)
    inner = odd.narrow(dim, 0, half) + even.narrow(dim, 1, half)
    return 0.125 * outer + 0.375 * inner


def _double(x: torch.Tensor, dim: int, length: int) -> torch.Tensor:
    """Interpolate up by two with (1, 3, 3, 1) / 4, to an even length or one less."""
    half = x.shape[dim]
    padded = _extended(x, dim, 1, 1)
    own = 0.75 * x
    even = own + 0.25 * padded.narrow(dim, 0, half)
    odd = own + 0.25 * padded.narrow(dim, 2, half)
    return torch.stack((even, odd), dim + 1).flatten(dim, dim + 1).narrow(dim, 0, length)
