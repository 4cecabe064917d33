# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Lateral chromatic aberration: every colour has its own magnification.

A point at the distance r from the principal point, in units of the focal length, appears in
channel c at r·(scale[c] + curve[c]·r²). Together with lens distortion it is one change of place
and the picture is interpolated once: the colour moves what the distortion has placed.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.arrays import Colour, picture
from diffphyscam_ros.camera.distortion import (
    distortion_map,
    margins,
    ray_grid,
    rim_of,
    sample_bilinear,
    sample_nearest,
    source_padding,
    source_pixels,
)
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.lens_models import Coefficients

_CHANNELS = 3
_FOLD = -4.0 / 27.0  # the cubic turns back where curve·r²/scale³ is below this
_NEWTON_STEPS = 60  # enough at the fold, where each halves the error; elsewhere 5 suffice


def is_achromatic(scale: Colour, curve: Colour) -> bool:
    """Return whether all colours plainly coincide (a tensor may carry a gradient: it is no)."""
    if isinstance(scale, torch.Tensor) or isinstance(curve, torch.Tensor):
        return False
    return all(number == 1 for number in scale) and not any(curve)


def _shrinkage(bend: torch.Tensor) -> torch.Tensor:
    """Return φ of φ·(1 + bend·φ²) = 1, NaN where the cubic turns back before it gets there.

    Newton's method; the last step carries the gradient (implicit function theorem).
    """
    with torch.no_grad():
        there = bend >= _FOLD
        held = torch.where(there, bend, 0.0)
        # From above the root where the cubic bends up, from below where it bends down: monotone.
        phi = torch.ones_like(held)
        for _ in range(_NEWTON_STEPS):
            slope = (1 + 3 * held * phi * phi).clamp(min=1e-12)
            step = (phi * (1 + held * phi * phi) - 1) / slope
            phi = (phi - step).clamp(0.0, 1.5)
            if bool((step.abs() < 1e-15).all()):
                break
        slope = (1 + 3 * held * phi * phi).clamp(min=1e-6)
    if bend.requires_grad:
        held = torch.where(there, bend, 0.0)
        change = (held - held.detach()) * phi**3 / slope  # 0, with the derivative of φ
        phi = phi - change
    return torch.where(there, phi, torch.nan)


def colour_free_rays(rays: torch.Tensor, scale: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    """Return which point, without the aberration, appears at each normalised point.

    :param rays: (H, W, 2) or (B, H, W, 2), float64.
    :param scale: of one channel, () or (B,).
    :param curve: of one channel, () or (B,).
    :return: like rays, batched where anything is; NaN where that channel folds.
    """
    scale, curve = (
        number.reshape(-1, 1, 1) if number.ndim else number
        for number in (scale.to(rays), curve.to(rays))
    )
    bend = curve * rays.square().sum(-1) / scale**3
    return rays * (_shrinkage(bend) / scale)[..., None]


def chromatic_maps(
    source: Intrinsics,
    target: Intrinsics,
    model: str,
    coefficients: Coefficients,
    scale: Colour,
    curve: Colour,
    device: torch.device | str = 'cpu',
) -> list[torch.Tensor]:
    """Return where in the source picture each pixel of the target looks, for each channel.

    :return: red, green, blue: like ``distortion_map``, (H, W, 2) or (B, H, W, 2) float64 (u, v),
        NaN without a source. Differentiable in scale and curve, too.
    """
    return _maps(ray_grid(target, torch.device(device)), source, model, coefficients, scale, curve)


def _maps(
    rays: torch.Tensor,
    source: Intrinsics,
    model: str,
    coefficients: Coefficients,
    scale: Colour,
    curve: Colour,
) -> list[torch.Tensor]:
    scales, curves = (
        torch.as_tensor(numbers, dtype=torch.float64, device=rays.device)
        for numbers in (scale, curve)
    )
    if not bool((scales.detach() > 0).all()):
        raise ValueError(f'chromatic scale {scale!r}: must be > 0 in each channel')
    return [
        source_pixels(
            colour_free_rays(rays, scales[..., c], curves[..., c]), source, model, coefficients
        )
        for c in range(_CHANNELS)
    ]


def aberrate(
    image: torch.Tensor, intrinsics: Intrinsics, scale: Colour, curve: Colour
) -> torch.Tensor:
    """Move the colours of a picture apart, interpolating bilinearly.

    A point beyond the border that would appear inside has the colour of the nearest pixel at the
    border; where the picture is larger than needed, ``distort_colours`` takes it from there.

    :param image: (..., H, W, 3).
    :param intrinsics: of this picture; differentiable in fx, fy, cx and cy.
    :param scale: magnification of each channel, > 0; 1 = none.
    :param curve: its growth with r².
    :return: (..., H, W, 3); black where a channel folds (a strongly negative curve far outside).
    :raises ValueError: where the picture is no RGB or differs in size from its intrinsics, or
        for a scale that is not positive.
    """
    image = _colours(image, intrinsics)
    return _sampled(image, border_maps(intrinsics, scale, curve, image.device))


def border_maps(
    intrinsics: Intrinsics, scale: Colour, curve: Colour, device: torch.device | str = 'cpu'
) -> list[torch.Tensor]:
    """Return where ``aberrate`` looks: ``chromatic_maps`` within one picture, held to its border.

    :return: red, green, blue: (H, W, 2) or (B, H, W, 2) float64 (u, v), NaN where a channel folds.
    """
    size = [intrinsics.width - 1.0, intrinsics.height - 1.0]
    largest = torch.tensor(size, dtype=torch.float64, device=device)
    maps = chromatic_maps(intrinsics, intrinsics, 'plumb_bob', (), scale, curve, device)
    return [pixels.clamp(torch.zeros_like(largest), largest) for pixels in maps]


def distort_colours(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    source: Intrinsics,
    target: Intrinsics,
    model: str = 'plumb_bob',
    coefficients: Coefficients = (),
    scale: Colour = (1.0, 1.0, 1.0),
    curve: Colour = (0.0, 0.0, 0.0),
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Apply lens distortion and lateral chromatic aberration in one interpolation.

    Like ``distort``, followed by ``aberrate`` without its loss of sharpness and of the border.
    The depth is that of the colour-free picture: of a channel with scale 1 and curve 0.

    :return: image (..., H', W', 3) and depth (..., H', W'), or None for no depth.
    :raises ValueError: as ``distort`` and ``aberrate``.
    """
    image = _colours(image, source)
    maps = chromatic_maps(source, target, model, coefficients, scale, curve, image.device)
    if depth is not None:
        pixels = distortion_map(source, target, model, coefficients, image.device)
        depth = sample_nearest(depth, pixels)
    return _sampled(image, maps), depth


def chromatic_padding(
    target: Intrinsics, model: str, coefficients: Coefficients, scale: Colour, curve: Colour
) -> tuple[int, int, int, int]:
    """Return ``source_padding`` for a lens whose colours differ: the largest of all channels.

    :return: (left, top, right, bottom), px, ≥ 0.
    """
    rays = ray_grid(target, torch.device('cpu')).detach()
    plain = source_padding(target, model, coefficients)
    maps = _maps(rim_of(rays)[..., None, :], target, model, coefficients, scale, curve)
    if any(bool(pixels.isnan().any()) for pixels in maps):
        maps = _maps(rays, target, model, coefficients, scale, curve)
    sides = [plain, *(margins(pixels.detach(), target) for pixels in maps)]
    left, top, right, bottom = (max(side) for side in zip(*sides, strict=True))
    return left, top, right, bottom


def _colours(image: torch.Tensor, intrinsics: Intrinsics) -> torch.Tensor:
    image = picture(image, 'image')
    height, width, channels = image.shape[-3:]
    if (height, width, channels) != (intrinsics.height, intrinsics.width, _CHANNELS):
        raise ValueError(
            f'image is {width}x{height} px with {channels} channels: must be '
            f'{intrinsics.width}x{intrinsics.height} px, as its intrinsics say, with red, green '
            'and blue'
        )
    return image


def _sampled(image: torch.Tensor, maps: list[torch.Tensor]) -> torch.Tensor:
    planes = [sample_bilinear(image[..., c : c + 1], pixels) for c, pixels in enumerate(maps)]
    return torch.cat(torch.broadcast_tensors(*planes), dim=-1)
