# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The scales and the rings of the disk and polygon defocus, shared by torch and numba.

A disk is laid over the pixels with a rim one pixel wide: a pixel at distance ρ from the centre
takes clamp(c/2 + ½ − ρ, 0, 1), divided by the sum of them all. Pixels at one distance are a ring.
A polygon differs in what distance means alone: that from the centre to the side beyond which a
pixel lies, scaled so that polygon and disk of one c have one area. No pixel beside the centre is
nearer than 1, so that c ≤ 1 leaves all light in its pixel.

Large disks are spread at halved resolutions. Halving and doubling with (1, 3, 3, 1) add the
variance (4^s − 1)/2 px² up to scale s, and a disk of diameter c has c²/16 + 1/12 in its own px²,
so that the disk at scale s is drawn smaller, with c_s² = (c² + 28/3)/4^s − 28/3, and the variance
of the whole is that of the disk at full resolution (28/3 is a little less for a polygon). From
one scale to the next the light passes over with a weight linear in c², which keeps the variance
in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import itertools
import math

FULL_UNTIL, HALF_FROM = 26.0, 32.0
"""Diameters in px up to which, and from which, one scale does all. Larger ones make crisper rims
and take longer; with these a bright point is a crisp disk up to 26 px, a softer one above."""

SCALES = 24  # 26 px · 2^23 is above kernels.blur_levels.LARGEST_COC
WIDEST = 17.5
"""No light goes as far as this in px of its own scale."""
REACH = 27
"""No tap is more columns or rows away than this: what a triangle's corners take."""


@dataclass(frozen=True)
class Ring:
    """The pixels (dy, dx) at one distance ρ from the centre."""

    distance: float
    taps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Shape:
    """The shape of the aperture as a point behind the focus shows it.

    :param rings: every ring that light touches, from the centre outwards.
    :param added: what one pixel of halving adds to c², see the module.
    :param even: whether a point in front of the focus, for which the shape is turned by half a
        turn, shows the same.
    """

    rings: tuple[Ring, ...]
    added: float
    even: bool

    def turned(self) -> Shape:
        """Return the shape turned by half a turn."""
        if self.even:
            return self
        rings = (Ring(r.distance, tuple((-dy, -dx) for dy, dx in r.taps)) for r in self.rings)
        return Shape(tuple(rings), self.added, False)


@lru_cache(maxsize=16)
def shape(blades: int = 0, rotation: float = 0.0) -> Shape:
    """Return a regular polygon with so many sides, or the disk for 0.

    :param blades: 0, or ≥ 3.
    :param rotation: of one corner from the x axis, clockwise in the picture, rad.
    """
    steps = range(-REACH, REACH + 1)
    found: dict[float, list[tuple[int, int]]] = {}
    for dy, dx in itertools.product(steps, steps):
        distance = tap_distance(dx, dy, blades, rotation)
        if distance < WIDEST:
            found.setdefault(round(distance, 9), []).append((dy, dx))
    rings = tuple(Ring(distance, tuple(found[distance])) for distance in sorted(found))
    return Shape(rings, 28.0 / 3.0 / _spread_ratio(blades), blades % 2 == 0)


def tap_distance(dx: float, dy: float, blades: int, rotation: float) -> float:
    """Return ρ of one tap."""
    if dx == 0 and dy == 0:
        return 0.0
    if blades == 0:
        return math.hypot(dx, dy)
    return max(side_distance(dx, dy, blades, rotation), 1.0)


def side_distance(dx: float, dy: float, blades: int, rotation: float) -> float:
    """Return c/2 of the polygon on whose side a place lies."""
    angles = (rotation + math.pi * (2 * k + 1) / blades for k in range(blades))
    return side_scale(blades) * max(dx * math.cos(a) + dy * math.sin(a) for a in angles)


def side_scale(blades: int) -> float:
    """Return c/2 over the distance of a side from the centre, for the area of the disk of c."""
    return math.sqrt(blades * math.tan(math.pi / blades) / math.pi)


def _spread_ratio(blades: int) -> float:
    """Return the variance of a polygon over that of the disk of one area."""
    if blades == 0:
        return 1.0
    turn = 2.0 * math.pi / blades
    return 2.0 * math.pi * (2.0 + math.cos(turn)) / (3.0 * blades * math.sin(turn))


def scales_needed(largest_square: float) -> int:
    """Return how many scales, from full resolution on, serve c² up to this value."""
    count = 1
    while FULL_UNTIL**2 * 4.0 ** (count - 1) < largest_square:
        count += 1
    return count


def rise(scale: int) -> tuple[float, float]:
    """Return the c² at which a scale ≥ 1 begins to take light, and at which it takes all."""
    return FULL_UNTIL**2 * 4.0 ** (scale - 1), HALF_FROM**2 * 4.0 ** (scale - 1)


def slot_scale(knot: float) -> int:
    """Return the scale at which the light of a slot of depth is spread (kernels.depth_order).

    Slots take light up to the next knot, √2 times as wide: 24 px, the last at full resolution,
    up to 34; each halved resolution has two slots, 17 and 24 px in its own px.
    """
    scale, width = 0, abs(knot)
    while width > SLOT_FULL:
        width, scale = width / 2.0, scale + 1
    return scale


SLOT_FULL = 25.0  # px, between two knots
