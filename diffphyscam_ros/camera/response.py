# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 6: electrons become digital values (CAMERA_MODEL.md eq. 5)."""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.arrays import Colour, LARGEST, per_channel, per_image, picture
from diffphyscam_ros.camera.intrinsics import Scalar

KINDS = ('linear', 'gamma', 'sigmoid')

KNEE = 0.05
"""Width of the soft clamp's bend at either end of [0, 1], in digital values."""


def soft_clamp_to_unit(value: torch.Tensor) -> torch.Tensor:
    """Press values into (0, 1) with a gradient that never becomes zero.

    The identity on [k, 1 − k] with k = 0.05; beyond a distance d past the knee it approaches
    the end as k² / (k + d): once differentiable everywhere, and the slope decays only as 1/d².
    """
    below = KNEE**2 / (2 * KNEE - value.clamp(max=KNEE))
    above = 1 - KNEE**2 / (2 * KNEE - 1 + value.clamp(min=1 - KNEE))
    return torch.where(value < KNEE, below, torch.where(value > 1 - KNEE, above, value))


def respond(
    electrons: torch.Tensor,
    iso: Scalar,
    kind: str,
    gains: Colour,
    biases: Colour,
    gamma: Scalar = 1.0,
    soft_clamp: bool = False,
) -> torch.Tensor:
    """Apply the response curve, then clamp to [0, 1] (CAMERA_MODEL.md eq. 5).

    With the signal S·X: linear I = g·S·X + o; gamma I = g·(log2(S·X))^γ + o, where log2 is
    taken as 0 (and I = o) at and below S·X = 1; sigmoid I = 1 / (1 + exp(−(g·S·X + o))).

    :param electrons: X, (..., H, W, C).
    :param iso: S, 100 = unit gain.
    :param kind: 'linear', 'gamma' or 'sigmoid'.
    :param gains: g, one for each channel.
    :param biases: o, one for each channel, digital values.
    :param gamma: γ > 0, used by 'gamma' alone.
    :param soft_clamp: keep a gradient in over- and underexposed pixels, for optimisation.
    :return: digital values in [0, 1], (..., H, W, C).
    :raises ValueError: for an unknown kind.
    """
    electrons = picture(electrons, 'electrons')
    signal = (per_image(iso, electrons) * electrons).clamp(-LARGEST, LARGEST)
    gain, bias = per_channel(gains, electrons), per_channel(biases, electrons)
    if kind == 'linear':
        value = gain * signal + bias
    elif kind == 'gamma':
        lit = signal > 1
        # The unlit branch gets a harmless 2, so that its gradient is 0 and not NaN.
        stops = torch.log2(torch.where(lit, signal, 2.0))
        curve = stops ** per_image(gamma, electrons)
        value = gain * torch.where(lit, curve, 0.0) + bias
    elif kind == 'sigmoid':
        return torch.sigmoid(gain * signal + bias)
    else:
        raise ValueError(f'response kind {kind!r}: must be one of {", ".join(KINDS)}')
    return soft_clamp_to_unit(value) if soft_clamp else value.clamp(0.0, 1.0)
