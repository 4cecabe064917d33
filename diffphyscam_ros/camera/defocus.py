# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus: every pixel spreads its light over its own circle of confusion (CAMERA_MODEL.md 2)."""

from __future__ import annotations

from functools import partial

import torch

from diffphyscam_ros.camera.circle_of_confusion import circle_of_confusion
from diffphyscam_ros.camera.defocus_cascade import scatter_gaussian_cascade
from diffphyscam_ros.camera.defocus_disk import scatter_disk_cascade, scatter_disk_occluded
from diffphyscam_ros.camera.defocus_exact import (
    scatter_disk_exact,
    scatter_gaussian_exact,
    scatter_polygon_exact,
)
from diffphyscam_ros.camera.defocus_nested import scatter_gaussian_occluded
from diffphyscam_ros.camera.defocus_occlusion import Scatter, scatter_exact_occluded
from diffphyscam_ros.kernels.blur_levels import LARGEST_COC
from diffphyscam_ros.kernels.disk_rings import shape

__all__ = ['circle_of_confusion', 'defocus']

PSFS = ('gaussian', 'disk', 'polygon')
METHODS = ('cascade', 'exact')

_LEAST = 1e-30  # S(1) is positive, but may underflow


def defocus(
    image: torch.Tensor,
    coc: torch.Tensor,
    psf: str = 'gaussian',
    method: str = 'cascade',
    normalize: bool = True,
    occlusion: bool = False,
    blades: int = 6,
    rotation: float = 0.0,
) -> torch.Tensor:
    """Spread the light of every source pixel over the point spread of its own blur.

    With S the scatter, which is linear in the picture, the result is S(image) / S(1): every
    pixel is a mean of the pixels that reach it, and a constant picture stays constant whatever
    the blur. Where the blur is uniform S(1) = 1, the result is the scatter itself, and the sum
    of the picture is kept (borders mirror what would leave the frame). Where the blur changes
    abruptly the scatter alone is brighter on the sharper side and darker on the other, as two
    surfaces that shine through each other would be; the division takes these bands away.

    With ``occlusion`` surfaces hide what is behind them: the light that reaches a pixel is
    collected from front to back until the aperture is full. A blurred background does not tint
    a sharp foreground, nor take light from its edge; the rim of a blurred foreground is partly
    transparent, and shows there a continuation of what is visible beside it. Where no surface
    hides another the result is that of the plain scatter but for small differences where the
    blur changes steeply. docs/defocus.md says what it cannot know.

    :param image: (..., H, W, C) linear light, floating point; half precision is computed in
        float32.
    :param coc: (..., H, W) signed blur diameters c in px, finite: below 0 in front of the
        focus, above 0 behind it, as ``circle_of_confusion(…, signed=True)`` gives them. Leading
        dimensions broadcast against the picture's. Where neither ``occlusion`` nor a polygon
        with an odd number of blades asks for it the sign has no meaning.
    :param psf: ``'gaussian'``: σ = c/6 px, the variance of the discrete spread is exactly σ²
        per axis. Nothing is added for the pixel's own area (1/12), because the pixels of the
        picture have been averaged over theirs already. ``'disk'``: a uniform disk of diameter
        c, antialiased by area, variance c²/16 + 1/12 once c is a few px; up to c = 1 it lies
        inside its pixel and changes nothing. ``'polygon'``: a regular polygon with the area of
        that disk.
    :param method: ``'cascade'``: O(pixels × levels) in time and memory; on photographs its
        PSNR against ``'exact'``, which scatters tap by tap, is above 60 dB for the Gaussian and
        50 dB for the disk.
    :param normalize: False for S(image) alone, the reference's operation, which keeps the sum
        of every picture. Not together with ``occlusion``.
    :param occlusion: whether near surfaces hide far ones.
    :param blades: n ≥ 3 corners of the polygon.
    :param rotation: of one corner from the x axis, clockwise in the picture, rad, for points
        behind the focus; in front of it the polygon is turned by π.
    :return: the shape (broadcast with coc's leading dimensions) and dtype of the picture.
    :raises ValueError: for wrong shapes, dtypes, devices, names, or a c that is not finite.

    Differentiable in picture and coc, with a continuous value everywhere; in c the slope of the
    cascade is piecewise continuous. At c = 0 the picture is unchanged and its slope is zero.
    """
    scatter = _scatter(psf, method, occlusion, blades, rotation)
    if occlusion and not normalize:
        raise ValueError(
            'normalize = False, occlusion = True: what is hidden sends no light, so that no sum '
            'is kept; choose one of them'
        )
    leading = _check(image, coc)
    work = torch.promote_types(torch.promote_types(image.dtype, coc.dtype), torch.float32)
    planes = image.to(work).movedim(-1, -3).expand(*leading, *image.movedim(-1, -3).shape[-3:])
    blur = coc.to(work).unsqueeze(-3).expand(*leading, 1, *coc.shape[-2:])
    if planes.numel() == 0:
        return planes.movedim(-3, -1).to(image.dtype)
    batch, spread = planes.reshape(-1, *planes.shape[-3:]), blur.reshape(-1, *blur.shape[-3:])
    if normalize and not occlusion:
        out = scatter(torch.cat((batch, torch.ones_like(spread)), dim=1), spread)
        out = out[:, :-1] / out[:, -1:].clamp(min=_LEAST)
    else:
        out = scatter(batch, spread)
    return out.reshape(planes.shape).movedim(-3, -1).contiguous().to(image.dtype)


def _scatter(psf: str, method: str, occlusion: bool, blades: int, rotation: float) -> Scatter:
    """Return what spreads (B, C, H, W) by (B, 1, H, W); with occlusion the finished picture."""
    if psf not in PSFS or method not in METHODS:
        raise ValueError(
            f"psf = {psf!r}, method = {method!r}: psf must be 'gaussian', 'disk' or 'polygon' "
            "and method 'cascade' or 'exact'"
        )
    if psf == 'polygon' and not (blades == int(blades) and 3 <= blades <= 32):
        raise ValueError(f'blades = {blades}: must be a whole number from 3 to 32')
    if method == 'exact':
        direct: dict[str, Scatter] = {
            'gaussian': scatter_gaussian_exact,
            'disk': scatter_disk_exact,
            'polygon': partial(scatter_polygon_exact, blades=int(blades), rotation=rotation),
        }
        if not occlusion:
            return direct[psf]
        return partial(scatter_exact_occluded, scatter=direct[psf])
    if psf == 'gaussian':
        return scatter_gaussian_occluded if occlusion else scatter_gaussian_cascade
    outline = shape(int(blades), float(rotation)) if psf == 'polygon' else shape()
    return partial(scatter_disk_occluded if occlusion else scatter_disk_cascade, shape=outline)


def _check(image: torch.Tensor, coc: torch.Tensor) -> torch.Size:
    """Refuse what cannot be blurred; return the common leading dimensions."""
    described = (
        f'image {tuple(image.shape)} {image.dtype} on {image.device}, '
        f'coc {tuple(coc.shape)} {coc.dtype} on {coc.device}'
    )
    if image.ndim < 3 or coc.ndim < 2 or image.shape[-3:-1] != coc.shape[-2:]:
        raise ValueError(f'{described}: must be (..., H, W, C) and (..., H, W) of one size')
    if not (image.is_floating_point() and coc.is_floating_point()):
        raise ValueError(f'{described}: both must be floating point')
    if image.device != coc.device:
        raise ValueError(f'{described}: both must be on one device')
    try:
        leading = torch.broadcast_shapes(image.shape[:-3], coc.shape[:-2])
    except RuntimeError:
        raise ValueError(f'{described}: leading dimensions do not broadcast') from None
    if coc.numel():
        smallest, largest = (float(value) for value in torch.aminmax(coc.detach()))
        if not (smallest >= -LARGEST_COC and largest <= LARGEST_COC):
            raise ValueError(
                f'coc ranges over [{smallest}, {largest}] px: must be within ±{LARGEST_COC:g}; '
                'give circle_of_confusion a max_coc'
            )
    return leading
