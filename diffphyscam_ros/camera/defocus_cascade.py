# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gaussian defocus as a cascade of blur levels: O(pixels) whatever the blur, differentiable.

The light I of every source pixel is split over the levels of a ladder of blurs (see
``kernels.blur_levels``) and the levels are nested,

    out = w₀·I + B₁(w₁·I + B₂(w₂·I + …)),

so that one small filter a level serves all of them; coarse levels live on halved pictures.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.triton_modules import filters_for
from diffphyscam_ros.kernels.blur_levels import LADDER, levels_needed, SIGMA_PER_COC

_ROWS, _COLUMNS = 2, 3  # dimensions of (B, C, H, W)


def scatter_gaussian_cascade(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Scatter every pixel over a Gaussian of σ = |c| / 6.

    Differentiable in both arguments. In coc the picture is continuous and piecewise smooth: its
    slope steps a little where σ² passes from one pair of levels to the next.

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) diameters in px, finite, of any sign, same dtype.
    :return: (B, C, H, W).
    """
    variance = (coc * SIGMA_PER_COC).square()
    ladder = Ladder(image, float(variance.detach().max()))
    blurred: torch.Tensor | None = None
    for k in reversed(range(ladder.count)):
        light = ladder.halved(image * ladder.weight(variance, k), k)
        blurred = light if blurred is None else light + ladder.step(blurred, k + 1)
    assert blurred is not None  # there are always at least two levels
    return blurred


class Ladder:
    """The levels that pictures of one size climb; see ``kernels.blur_levels``."""

    def __init__(self, image: torch.Tensor, largest_variance: float) -> None:
        """Take the levels that reach a variance in px²."""
        self.count = levels_needed(largest_variance)
        self._levels = LADDER[: self.count]
        self._sizes = [(image.shape[-2], image.shape[-1])]
        for _ in range(self._levels[-1].scale):
            self._sizes.append(((self._sizes[-1][0] + 1) // 2, (self._sizes[-1][1] + 1) // 2))

    def reached(self, variance: torch.Tensor, k: int) -> torch.Tensor:
        """Return the share of light that a level or a higher one takes."""
        if k == 0:
            return torch.ones_like(variance)
        if k == self.count:
            return torch.zeros_like(variance)
        low, high = self._levels[k - 1].variance, self._levels[k].variance
        return ((variance - low) / (high - low)).clamp(0.0, 1.0)

    def weight(self, variance: torch.Tensor, k: int) -> torch.Tensor:
        """Return the share of light that a level takes."""
        return self.reached(variance, k) - self.reached(variance, k + 1)

    def halved(self, x: torch.Tensor, k: int) -> torch.Tensor:
        """Return a picture of full resolution at the resolution of a level."""
        for _ in range(self._levels[k].scale):
            x = halve(x)
        return x

    def step(self, x: torch.Tensor, k: int) -> torch.Tensor:
        """Return a picture of level k as the level before it sees it."""
        taps = self._levels[k].taps
        if taps is not None:
            x = filter_rows_and_columns(x, taps)
        finer = self._levels[k - 1].scale
        return double(x, *self._sizes[finer]) if self._levels[k].scale > finer else x


def filter_rows_and_columns(x: torch.Tensor, taps: tuple[float, float, float]) -> torch.Tensor:
    """Convolve a picture (B, C, H, W) with (t₂, t₁, t₀, t₁, t₂), along rows and columns."""
    fast = filters_for(x)
    if fast is not None:
        return fast.filter_rows_and_columns(x, taps)
    return _filter(_filter(x, taps, _ROWS), taps, _COLUMNS)


def halve(x: torch.Tensor) -> torch.Tensor:
    """Average a picture (B, C, H, W) down by two; odd sizes round up."""
    fast = filters_for(x)
    if fast is not None:
        return fast.halve(x)
    return _halve(_halve(x, _ROWS), _COLUMNS)


def double(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate a picture (B, C, H/2, W/2) up by two, to the size that ``halve`` came from."""
    fast = filters_for(x)
    if fast is not None:
        return fast.double(x, height, width)
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
