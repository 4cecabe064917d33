# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Electrons become digital values (CAMERA_MODEL.md eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffphyscam_ros.camera.arrays import (
    Colour,
    is_zero,
    LARGEST,
    per_channel,
    per_image,
    picture,
)
from diffphyscam_ros.camera.intrinsics import Scalar

KINDS = ('linear', 'gamma', 'sigmoid', 'table')

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


def clamp_to_unit(value: torch.Tensor, soft: bool) -> torch.Tensor:
    """Hold values to [0, 1], or press them into it where ``soft``."""
    return soft_clamp_to_unit(value) if soft else value.clamp(0.0, 1.0)


def respond(
    electrons: torch.Tensor,
    iso: Scalar,
    kind: str,
    gains: Colour,
    biases: Colour,
    gamma: Scalar = 1.0,
    soft_clamp: bool = False,
    table: Sequence[float] | torch.Tensor = (0.0, 1.0),
    black_level: Scalar = 0.0,
) -> torch.Tensor:
    """Apply the response curve, then clamp to [0, 1] (CAMERA_MODEL.md eq. 5).

    With the signal S·X: linear I = g·S·X + o; gamma I = g·(log2(S·X))^γ + o, where log2 is
    taken as 0 (and I = o) at and below S·X = 1; sigmoid I = 1 / (1 + exp(−(g·S·X + o))); table
    I = the table at g·S·X + o, between whose values it is straight. The value is b + (1 − b)·I,
    so that with b > 0 noise below darkness survives the clamp.

    :param electrons: X, (..., H, W, C).
    :param iso: S, 100 = unit gain.
    :param kind: 'linear', 'gamma', 'sigmoid' or 'table'.
    :param gains: g, one for each channel, or one for each photosite, (..., H, W, C).
    :param biases: o, likewise, digital values.
    :param gamma: γ > 0, used by 'gamma' alone.
    :param soft_clamp: keep a gradient in over- and underexposed pixels, for optimisation; the
        ends of a table then go on straight.
    :param table: n >= 2 values at even steps from 0 to 1, used by 'table' alone.
    :param black_level: b, digital value of darkness.
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
        value = torch.sigmoid(gain * signal + bias)
    elif kind == 'table':
        value = _look_up(table, (gain * signal + bias).clamp(-LARGEST, LARGEST), soft_clamp)
    else:
        raise ValueError(f'response kind {kind!r}: must be one of {", ".join(KINDS)}')
    if not is_zero(black_level):
        black = per_image(black_level, electrons)
        value = black + (1.0 - black) * value
    # A sigmoid is within (0, 1) as it is.
    return value if kind == 'sigmoid' else clamp_to_unit(value, soft_clamp)


def _look_up(
    table: Sequence[float] | torch.Tensor, value: torch.Tensor, straight_on: bool
) -> torch.Tensor:
    """Interpolate a table over [0, 1]; beyond its ends it is flat, or goes on straight."""
    values = torch.as_tensor(table, dtype=value.dtype, device=value.device)
    steps = values.shape[-1] - 1
    place = value * steps
    index = place.detach().clamp(0, steps).floor().clamp(max=steps - 1)
    part = place - index if straight_on else place.clamp(0, steps) - index
    first = index.long()
    if values.ndim == 1:
        return torch.lerp(values[first], values[first + 1], part)
    first = first.expand(len(values), *first.shape[-3:])
    flat = first.reshape(len(values), -1)
    low, high = values.gather(1, flat), values.gather(1, flat + 1)
    return torch.lerp(low.reshape(first.shape), high.reshape(first.shape), part)
