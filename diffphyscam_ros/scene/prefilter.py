# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Glossy reflections of an environment: pictures filtered with GGX lobes."""

from __future__ import annotations

import functools
import math

import torch

from diffphyscam_ros.scene.latlong import latlong_pixels, sample_latlong

SHARPEST = 0.045
"""A lobe of less roughness is taken for a mirror's: it is 0.2 degrees wide."""


def blur_latlong(image: torch.Tensor, roughness: float) -> torch.Tensor:
    """Return a lat-long picture (H, 2H, 3) seen through the GGX lobe of a roughness in (0, 1].

    The lobe depends only on the angle between two directions, so along a row it is a circular
    convolution: an exact sum over all pixels costs one FFT along the rows and a small matrix
    product for each frequency. Every lobe is normalised, so a constant stays constant.
    """
    height, width = image.shape[:2]
    # While a picture is optimised it is filtered in every step, always by the same lobes.
    lobes = _kept_lobes if image.requires_grad else _lobe_spectrum
    kernel = lobes(height, width, roughness).to(image.device)
    spectrum = torch.fft.rfft(image.to(torch.float64), dim=1)  # (H in, W/2+1, 3)
    parts = torch.view_as_real(spectrum).permute(1, 0, 2, 3).flatten(2)  # (W/2+1, H in, 6)
    product = torch.bmm(kernel, parts).unflatten(2, (3, 2)).permute(1, 0, 2, 3)
    smooth = torch.fft.irfft(torch.view_as_complex(product.contiguous()), n=width, dim=1)
    # The transform's rounding may leave -1e-9 where there is no light.
    return smooth.to(image.dtype).clamp_min(0.0)


@torch.inference_mode(False)  # what is kept must serve gradients too
@torch.no_grad()
def _lobe_spectrum(height: int, width: int, roughness: float) -> torch.Tensor:
    """Return the lobes as (W/2+1, H out, H in) float64: for each frequency along the rows."""
    polar = (torch.arange(height, dtype=torch.float64) + 0.5) * (math.pi / height)
    turn = torch.arange(width, dtype=torch.float64) * (2 * math.pi / width)
    edges = torch.linspace(0, math.pi, height + 1, dtype=torch.float64).cos()
    area = (edges[:-1] - edges[1:]).to(torch.float32)
    cosine = (polar.cos()[:, None] * polar.cos()).to(torch.float32)
    sine = (polar.sin()[:, None] * polar.sin()).to(torch.float32)
    # (H out, H in, W): the cosine of the angle between two pixels.
    angle_cosine = cosine[..., None] + sine[..., None] * turn.cos().to(torch.float32)
    weight = _ggx_lobe(angle_cosine, roughness) * area[:, None]
    weight = weight / weight.sum(dim=(1, 2), keepdim=True)
    kernel = torch.fft.rfft(weight, dim=2).real  # even in the turn: no imaginary part
    return kernel.permute(2, 0, 1).to(torch.float64).contiguous()


@functools.lru_cache(maxsize=9)  # the levels of one size: 22 MiB at 64 rows, 150 MiB at 128
def _kept_lobes(height: int, width: int, roughness: float) -> torch.Tensor:
    """Return the same, and keep it."""
    return _lobe_spectrum(height, width, roughness)


def _ggx_lobe(angle_cosine: torch.Tensor, roughness: float) -> torch.Tensor:
    """Return D·V·(n·l), unnormalised: the weight of light at an angle from the mirror direction.

    Seen along the normal: with the view there, the half vector's cosine squared is (1 + cos) / 2.
    D is the GGX distribution, V the light's half of the separable Smith term (the view's is the
    same for all directions).
    """
    alpha_square = roughness**4
    half_square = 0.5 * (1.0 + angle_cosine)
    denominator = half_square * (alpha_square - 1.0) + 1.0
    cosine = angle_cosine.clamp_min(0.0)
    shadowing = cosine + (alpha_square + (1.0 - alpha_square) * cosine * cosine).sqrt()
    return cosine * alpha_square / (denominator**2 * shadowing)


def level_roughness(levels: int) -> list[float]:
    """Return the roughness of each level: 0, then ever the same factor from 0.045 to 1."""
    last = levels - 1
    return [0.0] + [SHARPEST ** (1.0 - level / last) for level in range(1, levels)]


def blur_position(roughness: torch.Tensor) -> torch.Tensor:
    """Return where between the first level (0) and the last (1) a roughness lies."""
    return 1.0 - roughness.clamp(SHARPEST, 1.0).log() * (1.0 / math.log(SHARPEST))


def prefilter_lookup(
    levels: torch.Tensor, directions: torch.Tensor, position: torch.Tensor
) -> torch.Tensor:
    """Return the mirrored radiance (..., 3) for unit directions (..., 3).

    Trilinear: between pixels, and linear between the levels.

    :param levels: (L, H, W, 3) from ``prefilter``.
    :param position: (...) from :func:`blur_position`, 0 … 1.
    """
    count, height, width = levels.shape[:3]
    place = position.clamp(0.0, 1.0) * (count - 1)
    low = place.detach().floor().clamp(max=count - 2)
    share = (place - low)[..., None]
    column, row = latlong_pixels(directions, height, width)
    near = sample_latlong(levels, column, row, low.long())
    far = sample_latlong(levels, column, row, low.long() + 1)
    return near * (1 - share) + far * share
