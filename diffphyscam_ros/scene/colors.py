# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Between the sRGB encoding of picture files and linear light (IEC 61966-2-1)."""

from __future__ import annotations

import torch


def srgb_to_linear(encoded: torch.Tensor) -> torch.Tensor:
    """Decode sRGB values to linear light, differentiable.

    :param encoded: (...) sRGB values; 0..1 is the standard's range, above 1 the curve goes on.
    """
    # The power's argument is kept off zero: its gradient would be NaN through torch.where.
    curve = ((encoded.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= 0.04045, encoded / 12.92, curve)


def linear_to_srgb(linear: torch.Tensor) -> torch.Tensor:
    """Encode linear light as sRGB values, the inverse of :func:`srgb_to_linear`."""
    curve = 1.055 * linear.clamp_min(0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def linear_from_srgb_color(encoded: tuple[float, ...]) -> tuple[float, float, float]:
    """Decode one sRGB colour given as three (or more, the rest is left out) numbers."""
    red, green, blue = srgb_to_linear(torch.tensor(encoded[:3], dtype=torch.float64)).tolist()
    return red, green, blue
