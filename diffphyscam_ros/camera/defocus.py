# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus: every pixel spreads its light over its own circle of confusion (CAMERA_MODEL.md 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffphyscam_ros.camera.circle_of_confusion import circle_of_confusion
from diffphyscam_ros.camera.defocus_cascade import scatter_gaussian_cascade
from diffphyscam_ros.camera.defocus_disk import scatter_disk_cascade
from diffphyscam_ros.camera.defocus_exact import scatter_disk_exact, scatter_gaussian_exact
from diffphyscam_ros.kernels.blur_levels import LARGEST_COC

__all__ = ['circle_of_confusion', 'defocus']

_LEAST = 1e-30  # S(1) is positive, but may underflow

Scatter = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_SCATTER: dict[tuple[str, str], Scatter] = {
    ('gaussian', 'cascade'): scatter_gaussian_cascade,
    ('gaussian', 'exact'): scatter_gaussian_exact,
    ('disk', 'cascade'): scatter_disk_cascade,
    ('disk', 'exact'): scatter_disk_exact,
}


def defocus(
    image: torch.Tensor,
    coc: torch.Tensor,
    psf: str = 'gaussian',
    method: str = 'cascade',
    normalize: bool = True,
) -> torch.Tensor:
    """Spread the light of every source pixel over the point spread of its own blur.

    With S the scatter, which is linear in the picture, the result is S(image) / S(1): every
    pixel is a mean of the pixels that reach it, and a constant picture stays constant whatever
    the blur. Where the blur is uniform S(1) = 1, the result is the scatter itself, and the sum
    of the picture is kept (borders mirror what would leave the frame). Where the blur changes
    abruptly the scatter alone is brighter on the sharper side and darker on the other, as two
    surfaces that shine through each other would be; the division takes these bands away.
    Occlusion is not part of this operation.

    :param image: (..., H, W, C) linear light, floating point; half precision is computed in
        float32.
    :param coc: (..., H, W) blur diameters c in px, finite and ≥ 0; leading dimensions
        broadcast against the picture's.
    :param psf: ``'gaussian'``: σ = c/6 px, the variance of the discrete spread is exactly σ²
        per axis. Nothing is added for the pixel's own area (1/12), because the pixels of the
        picture have been averaged over theirs already. ``'disk'``: a uniform disk of diameter
        c, antialiased by area, variance c²/16 + 1/12 once c is a few px; up to c = 1 it lies
        inside its pixel and changes nothing.
    :param method: ``'cascade'``: O(pixels × levels) in time and memory; on photographs its
        PSNR against ``'exact'``, which scatters tap by tap, is above 60 dB for the Gaussian and
        50 dB for the disk.
    :param normalize: False for S(image) alone, the reference's operation, which keeps the sum
        of every picture.
    :return: the shape (broadcast with coc's leading dimensions) and dtype of the picture.
    :raises ValueError: for wrong shapes, dtypes, devices, names, or a c that is not finite.

    Differentiable in picture and coc, with a continuous value everywhere; in c the slope of the
    cascade is piecewise continuous. At c = 0 the picture is unchanged and its slope is zero.
    """
    scatter = _SCATTER.get((psf, method))
    if scatter is None:
        raise ValueError(
            f"psf = {psf!r}, method = {method!r}: psf must be 'gaussian' or 'disk' and method "
            "'cascade' or 'exact'"
        )
    leading = _check(image, coc)
    work = torch.promote_types(torch.promote_types(image.dtype, coc.dtype), torch.float32)
    planes = image.to(work).movedim(-1, -3).expand(*leading, *image.movedim(-1, -3).shape[-3:])
    blur = coc.to(work).unsqueeze(-3).expand(*leading, 1, *coc.shape[-2:])
    if planes.numel() == 0:
        return planes.movedim(-3, -1).to(image.dtype)
    batch, spread = planes.reshape(-1, *planes.shape[-3:]), blur.reshape(-1, *blur.shape[-3:])
    if normalize:
        out = scatter(torch.cat((batch, torch.ones_like(spread)), dim=1), spread)
        out = out[:, :-1] / out[:, -1:].clamp(min=_LEAST)
    else:
        out = scatter(batch, spread)
    return out.reshape(planes.shape).movedim(-3, -1).contiguous().to(image.dtype)


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
        if not (smallest >= 0.0 and largest <= LARGEST_COC):
            raise ValueError(
                f'coc ranges over [{smallest}, {largest}] px: must be in [0, {LARGEST_COC:g}]; '
                'give circle_of_confusion a max_coc'
            )
    return leading
