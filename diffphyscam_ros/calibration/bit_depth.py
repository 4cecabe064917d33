# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How many bits the values of 16 bit pictures use."""

from __future__ import annotations

from collections.abc import Sequence

from diffphyscam_ros.calibration.encodings import Pixels

DEPTHS = (10, 12, 14)
SATURATED = 1e-4
"""Share of a frame that must sit at 2^n - 1 for it to count as full scale."""


def recognised_bit_depth(pictures: Sequence[Pixels]) -> int:
    """Return 10, 12 or 14 for values that saturate there, else 0: all 16 bits.

    Only saturation tells: dark pictures of 16 bits have small values too. So no value may be
    greater than 2^n - 1, and in one picture at least ``SATURATED`` of the values must be it.
    """
    highest = max((int(picture.max()) for picture in pictures), default=0)
    depth = next((n for n in DEPTHS if highest == 2**n - 1), 0)
    if depth and any(float((picture == highest).mean()) >= SATURATED for picture in pictures):
        return depth
    return 0
