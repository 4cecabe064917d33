# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The order in which surfaces occlude each other, shared by torch and numba.

A signed circle of confusion (negative in front of the focus, positive behind it) is linear in
the inverse depth and grows with depth, so that it is also the order of surfaces along a ray.
Light is split over slots of that order with hat weights, and the slots are laid over each other
from front to back (see ``camera.defocus_occlusion``). Two surfaces whose blurs are a slot apart
or less are mixed as if neither hid the other.
"""

from __future__ import annotations

import bisect

_RATIO = 2.0**0.5
_STEPS = (0.0, 1.0, 2.0, 3.0)  # px; in proportion beyond
_LARGEST = 1e8  # px, not below kernels.blur_levels.LARGEST_COC


def _knots() -> tuple[float, ...]:
    positive = list(_STEPS)
    while positive[-1] < _LARGEST:
        positive.append(positive[-1] * _RATIO)
    return tuple(-c for c in reversed(positive[1:])) + tuple(positive)


KNOTS = _knots()
"""Signed blur in px at the middle of each slot, from front to back."""

GAP, GAP_SLOPE = 2.0, 0.3
"""Signed blurs that differ by less than GAP + GAP_SLOPE · |c| px may belong to one surface, and
share a slot; those that differ by half as much again do neither."""


def slots_between(smallest: float, largest: float) -> range:
    """Return the numbers of the slots that blurs in [smallest, largest] have a share in."""
    first = max(bisect.bisect_right(KNOTS, smallest) - 1, 0)
    last = min(bisect.bisect_left(KNOTS, largest), len(KNOTS) - 1)
    return range(first, last + 1)
