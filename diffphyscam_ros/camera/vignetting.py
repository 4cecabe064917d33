# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 1: the corners are darker (CAMERA_MODEL.md eq. 1)."""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.arrays import per_image, picture
from diffphyscam_ros.camera.intrinsics import Intrinsics, Scalar


def cos4_falloff(intrinsics: Intrinsics, like: torch.Tensor) -> torch.Tensor:
    """Return cos⁴θ of the angle θ between each pixel's ray and the optical axis.

    tan θ is the distance from the principal point in units of the focal length, so the
    reference's "sensor width = 2 f tan(hFOV / 2)" is contained in the intrinsics.

    :param like: gives dtype and device.
    :return: (H, W, 1), or (B, H, W, 1) for batched intrinsics.
    """
    u = torch.arange(intrinsics.width, dtype=like.dtype, device=like.device)[:, None]
    v = torch.arange(intrinsics.height, dtype=like.dtype, device=like.device)[:, None, None]
    x = (u - per_image(intrinsics.cx, like)) / per_image(intrinsics.fx, like)
    y = (v - per_image(intrinsics.cy, like)) / per_image(intrinsics.fy, like)
    return (1 + x * x + y * y) ** -2


def vignette(radiance: torch.Tensor, intrinsics: Intrinsics, gain: Scalar) -> torch.Tensor:
    """Darken towards the corners: E = L·(1 − G + G·cos⁴θ) (CAMERA_MODEL.md eq. 1).

    :param radiance: (..., H, W, C).
    :param intrinsics: of this picture; differentiable in fx, fy, cx and cy.
    :param gain: G in [0, 1]; 0 = none, 1 = the full cos⁴ law.
    :return: irradiance, (..., H, W, C).
    :raises ValueError: where the picture and the intrinsics differ in size.
    """
    radiance = picture(radiance, 'radiance')
    height, width = radiance.shape[-3:-1]
    if (height, width) != (intrinsics.height, intrinsics.width):
        raise ValueError(
            f'radiance is {width}x{height} px, its intrinsics say '
            f'{intrinsics.width}x{intrinsics.height} px: they must agree'
        )
    strength = per_image(gain, radiance)
    return radiance * (1 - strength + strength * cos4_falloff(intrinsics, radiance))
