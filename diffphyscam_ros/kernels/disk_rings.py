# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The scales and the rings of the disk defocus, shared by torch and numba.

A disk is laid over the pixels with a rim one pixel wide: a pixel at distance ρ from the centre
takes clamp(c/2 + ½ − ρ, 0, 1), divided by the sum of them all. Pixels at one distance are a ring.

Large disks are spread at halved resolutions. Halving and doubling with (1, 3, 3, 1) add the
variance (4^s − 1)/2 px² up to scale s, and a disk of diameter c has c²/16 + 1/12 in its own px²,
so that the disk at scale s is drawn smaller, with c_s² = (c² + 28/3)/4^s − 28/3, and the variance
of the whole is that of the disk at full resolution. From one scale to the next the light passes
over with a weight linear in c², which keeps the variance in between.
"""

from __future__ import annotations

from dataclasses import dataclass
import itertools
import math

FULL_UNTIL, HALF_FROM = 15.5, 18.5
"""Diameters in px up to which, and from which, one scale does all. Larger ones make crisper rims
and take longer; with these a disk of 31 px, the usual limit, has its rim at half resolution."""

ADDED = 28.0 / 3.0  # px²: see above
SCALES = 25  # 15 px · 2^24 is above kernels.blur_levels.LARGEST_COC
REACH = math.ceil((HALF_FROM + 1.0) / 2.0) - 1
"""No light goes further than this many pixels of its own scale."""


@dataclass(frozen=True)
class Ring:
    """The pixels (dy, dx) at one distance ρ from the centre."""

    distance: float
    taps: tuple[tuple[int, int], ...]


def _rings() -> tuple[Ring, ...]:
    steps = range(-REACH, REACH + 1)
    taps = sorted(itertools.product(steps, steps), key=lambda tap: tap[0] ** 2 + tap[1] ** 2)
    rings = [
        Ring(math.sqrt(square), tuple(members))
        for square, members in itertools.groupby(taps, lambda tap: tap[0] ** 2 + tap[1] ** 2)
    ]
    return tuple(ring for ring in rings if ring.distance < (HALF_FROM + 1.0) / 2.0)


RINGS = _rings()
"""Every ring that a disk of diameter HALF_FROM touches, from the centre outwards."""


def scales_needed(largest_square: float) -> int:
    """Return how many scales, from full resolution on, serve c² up to this value."""
    count = 1
    while FULL_UNTIL**2 * 4.0 ** (count - 1) < largest_square:
        count += 1
    return count


def rise(scale: int) -> tuple[float, float]:
    """Return the c² at which a scale ≥ 1 begins to take light, and at which it takes all."""
    return FULL_UNTIL**2 * 4.0 ** (scale - 1), HALF_FROM**2 * 4.0 ** (scale - 1)
