# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The analogue-to-digital converter: values of a number of bits."""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.arrays import picture


def quantize(value: torch.Tensor, bit_depth: int) -> torch.Tensor:
    """Round digital values in [0, 1] to multiples of 1 / (2ⁿ − 1), halves to the even one.

    Rounding is flat almost everywhere: its gradient is passed as if it were not there
    (straight-through).

    :param value: (..., H, W, C), floating point.
    :param bit_depth: n, 1 to 16, or 0 to leave the values alone.
    :raises ValueError: for another number of bits.
    """
    value = picture(value, 'value')
    if not 0 <= bit_depth <= 16:
        raise ValueError(f'bit_depth = {bit_depth}: must be 1 to 16, or 0 for none')
    if bit_depth == 0:
        return value
    levels = 2**bit_depth - 1
    rounded = (value.detach() * levels).round() / levels
    # The difference is exactly 0: the values are those that were rounded.
    return rounded + (value - value.detach())
