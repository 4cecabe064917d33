# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The area that two disks share, with gradients that are finite everywhere."""

from __future__ import annotations

import math
from typing import Any

import torch


def disk_overlap(radius: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """Return which part of the unit disk another disk covers, in [0, 1].

    Continuous, and differentiable with finite gradients also where the disks touch from inside
    or outside and where one hides the other: the derivatives are lengths of the lens' border
    (the arc of the other circle, the chord), not quotients.

    :param radius: (...) > 0 of the other disk.
    :param distance: (...) ≥ 0 of its centre from the unit disk's; broadcasts with radius.
    """
    radius, distance = torch.broadcast_tensors(radius, distance)
    return _DiskOverlap.apply(radius, distance)  # type: ignore[no-any-return, no-untyped-call]


class _DiskOverlap(torch.autograd.Function):
    """Both directions in torch operations; see ``disk_overlap``."""

    @staticmethod
    def forward(ctx: Any, radius: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(radius, distance)
        own, other, half_chord = _lens(radius, distance)
        # The two segments that make up the lens are sectors without the kite between them.
        area = own + radius * radius * other - distance * half_chord
        return (area / math.pi).clamp(0.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        radius, distance = ctx.saved_tensors
        _, other, half_chord = _lens(radius, distance)
        (gradient,) = gradients
        arc, chord = 2 * radius * other, 2 * half_chord
        return gradient * arc / math.pi, -gradient * chord / math.pi


def _lens(
    radius: torch.Tensor, distance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the half angles that the lens' corners make at both centres, and half their chord.

    Disks apart give 0, 0, 0; the one inside the other π for itself, 0 for the other.
    """
    apart = distance >= 1 + radius
    inside = distance <= (1 - radius).abs()  # the smaller one lies in the larger
    crossing = ~(apart | inside)
    d = torch.where(crossing, distance, 1.0)
    r = torch.where(crossing, radius, 1.0)
    # Heron's formula in factors: precise also for slivers.
    product = (1 + r - d) * (d + 1 - r) * (d - 1 + r) * (d + 1 + r)
    half_chord = product.clamp(min=0.0).sqrt() / (2 * d)
    own = torch.atan2(half_chord, (d * d + 1 - r * r) / (2 * d))
    other = torch.atan2(half_chord, (d * d + r * r - 1) / (2 * d))
    contained = inside & ~apart
    own = torch.where(crossing, own, torch.where(contained & (radius >= 1), math.pi, 0.0))
    other = torch.where(crossing, other, torch.where(contained & (radius < 1), math.pi, 0.0))
    return own, other, torch.where(crossing, half_chord, 0.0)
