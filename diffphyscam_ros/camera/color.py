# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a camera does to its raw values: black level, white balance, demosaic, colour matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffphyscam_ros.camera.arrays import Colour, per_channel, per_image, picture
from diffphyscam_ros.camera.demosaic import demosaic
from diffphyscam_ros.camera.intrinsics import Scalar
from diffphyscam_ros.camera.mosaic import photosites
from diffphyscam_ros.camera.response import clamp_to_unit

NO_GAINS = (1.0, 1.0, 1.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def is_neutral(
    black_level: Scalar, white_balance: Colour, color_matrix: Sequence[float] | torch.Tensor
) -> bool:
    """Return whether the colours of a picture without a mosaic are plainly left alone."""
    given = (black_level, white_balance, color_matrix)
    if any(isinstance(value, torch.Tensor) for value in given):
        return False
    return given == (0.0, NO_GAINS, IDENTITY)


def correct_color(
    raw: torch.Tensor,
    black_level: Scalar = 0.0,
    white_balance: Colour = NO_GAINS,
    color_matrix: Sequence[float] | torch.Tensor = IDENTITY,
    bayer_pattern: str = 'none',
    method: str = 'malvar',
    soft_clamp: bool = False,
) -> torch.Tensor:
    """Return the colours of raw values: M · demosaic(w · (raw − b) / (1 − b)), clamped to [0, 1].

    The gains come before the demosaic, as in cameras: for a linear filter of one colour it is the
    same, and those that look at the other colours want them balanced.

    :param raw: (..., H, W, 3), or (..., H, W, 1) where there is a mosaic; in [0, 1].
    :param black_level: b, digital value of darkness.
    :param white_balance: w, gains of red, green and blue.
    :param color_matrix: M, 9 numbers, row by row; its rows make red, green and blue.
    :param bayer_pattern: of the mosaic, or 'none'.
    :param method: of the demosaic, see there.
    :param soft_clamp: keep a gradient in over- and underexposed pixels, for optimisation.
    :return: (..., H, W, 3).
    :raises ValueError: for an unknown pattern or method.
    """
    raw = picture(raw, 'raw')
    black = per_image(black_level, raw)
    image = (raw - black) / (1.0 - black)
    gains = per_channel(white_balance, raw)
    if bayer_pattern == 'none':
        image = image * gains
    else:
        balanced = image * photosites(gains, raw, bayer_pattern)
        image = demosaic(balanced, bayer_pattern, method)
    matrix = torch.as_tensor(color_matrix, dtype=raw.dtype, device=raw.device)
    shape = (3, 3) if matrix.ndim == 1 else (-1, 1, 3, 3)
    return clamp_to_unit(image @ matrix.reshape(shape).mT, soft_clamp)
