# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How numbers, colours and pictures of different shapes meet in the stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffphyscam_ros.camera.intrinsics import Scalar

Colour = tuple[float, float, float] | torch.Tensor
"""One value for each channel: a tuple, or a tensor of shape (3,) or (B, 3)."""

LARGEST = 1e30
"""Electrons and signals are held below this: finite in float32, beyond any clamp to [0, 1]."""

BRIGHTEST = 1e9
"""Infinite radiance counts as this, so that it saturates and does not become NaN."""


def picture(image: torch.Tensor, name: str) -> torch.Tensor:
    """Return a floating-point picture, half precision widened to float32.

    :param image: (..., H, W, C) linear values.
    :raises ValueError: for integers (they are encoded, not linear) or fewer than 3 dimensions.
    """
    if not image.is_floating_point():
        raise ValueError(
            f'{name} has dtype {image.dtype}: must be floating point and linear; convert an '
            'encoded picture first (for 8 bit: divide by 255 and undo the sRGB curve)'
        )
    if image.ndim < 3:
        raise ValueError(f'{name} has shape {tuple(image.shape)}: must be (..., H, W, C)')
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image


def per_image(value: Scalar, image: torch.Tensor) -> torch.Tensor:
    """Return a () or (B,) quantity ready to multiply (B, H, W, C)."""
    tensor = torch.as_tensor(value, dtype=image.dtype, device=image.device)
    return tensor.reshape(-1, 1, 1, 1) if tensor.ndim == 1 else tensor


def per_channel(
    value: float | Sequence[float] | torch.Tensor, image: torch.Tensor
) -> torch.Tensor:
    """Return a (C,) or (B, C) quantity ready to multiply (B, H, W, C); (..., H, W, C) stays."""
    tensor = torch.as_tensor(value, dtype=image.dtype, device=image.device)
    return tensor.reshape(-1, 1, 1, tensor.shape[-1]) if tensor.ndim == 2 else tensor


def is_zero(value: float | Sequence[float] | torch.Tensor) -> bool:
    """Return whether a quantity is plainly zero: a tensor may carry a gradient, so it is not."""
    if isinstance(value, torch.Tensor):
        return False
    return not any(value) if isinstance(value, Sequence) else value == 0
