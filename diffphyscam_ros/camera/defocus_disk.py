# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Disk defocus over a ladder of diameters: O(pixels × levels), differentiable."""

from __future__ import annotations

from functools import lru_cache
import math

import torch

from diffphyscam_ros.camera.defocus_cascade import reflected
from diffphyscam_ros.camera.defocus_exact import disk_coverage

_FINE_STEP, _GROWTH = 0.5, 1.06  # measured: see the docstring of scatter_disk_cascade


@lru_cache(maxsize=64)
def disk_diameters(largest: float) -> tuple[float, ...]:
    """Return the ladder of diameters from 1 px, which changes nothing, to one ≥ largest."""
    diameters = [1.0, 1.0 + _FINE_STEP]
    while diameters[-1] < largest:
        diameters.append(max(diameters[-1] + _FINE_STEP, diameters[-1] * _GROWTH))
    return tuple(diameters)


def scatter_disk_cascade(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Scatter every pixel over a disk of diameter c.

    The light of a pixel is split over the two nearest diameters of a ladder with weights
    linear in c², and each level is one convolution with its antialiased disk, by FFT. Rounding
    of the FFT is about 1e-7 of the brightest pixel, of either sign.

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) px, finite and ≥ 0, same dtype. Differentiable in both.
    """
    diameters = disk_diameters(float(coc.detach().max()))
    squares = coc.new_tensor(diameters).square()
    squared = coc.square().clamp(min=1.0)
    below = torch.bucketize(squared.detach(), squares, right=True) - 1
    below = below.clamp(max=len(diameters) - 2)
    fraction = (squared - squares[below]) / (squares[below + 1] - squares[below])
    first, last = int(below.min()), int(below.max()) + 1  # levels that nobody uses cost nothing

    height, width = image.shape[-2:]
    margin = math.ceil((diameters[last] - 1.0) / 2.0)
    rows = _mirrored(height, margin, image.device)
    columns = _mirrored(width, margin, image.device)
    out = torch.zeros_like(image)
    spectrum: torch.Tensor | None = None
    for k in range(first, last + 1):
        weight = torch.where(below == k, 1.0 - fraction, 0.0)
        light = image * (weight + torch.where(below == k - 1, fraction, 0.0))
        if k == 0:  # a disk of one pixel: no FFT, so that sharp stays exactly sharp
            out = light
            continue
        light = light.index_select(-2, rows).index_select(-1, columns)
        kernel = _disk_spectrum(diameters[k], len(rows), len(columns), image)
        part = torch.fft.rfft2(light) * kernel
        spectrum = part if spectrum is None else spectrum + part
    if spectrum is not None:
        blurred = torch.fft.irfft2(spectrum, s=(len(rows), len(columns)))
        out = out + blurred[..., margin : margin + height, margin : margin + width]
    return out


def _mirrored(length: int, margin: int, device: torch.device) -> torch.Tensor:
    """Return mirrored indices with a margin, lengthened to a size that an FFT likes."""
    size = length + 2 * margin
    while not _smooth(size):
        size += 1
    return reflected(length, margin, size - length - margin, device)


def _smooth(size: int) -> bool:
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    return size == 1


def _disk_spectrum(diameter: float, rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    """Return the real spectrum of the antialiased disk centred on pixel (0, 0)."""
    quarter = _quarter_disk(diameter)
    reach = len(quarter)
    kernel = torch.zeros(rows, columns, dtype=torch.float64)
    kernel[:reach, :reach] = quarter
    kernel[rows - reach + 1 :, :reach] = quarter[1:].flip(0)
    kernel[:, columns - reach + 1 :] = kernel[:, 1:reach].flip(1)
    return torch.fft.rfft2(kernel).real.to(dtype=like.dtype, device=like.device)


@lru_cache(maxsize=256)
def _quarter_disk(diameter: float) -> torch.Tensor:
    """Return the share of every pixel right of and below the centre, axes included."""
    step = torch.arange(math.ceil((diameter - 1.0) / 2.0) + 1, dtype=torch.float64)
    exact = torch.tensor(diameter, dtype=torch.float64)
    return disk_coverage(exact, step, step[:, None])
