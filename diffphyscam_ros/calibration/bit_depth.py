# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How many bits the values of 16 bit pictures use, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffphyscam_ros.calibration.encodings import Pixels

DEPTHS = (10, 12, 14)
SATURATED = 1e-4
"""Share of a frame that must sit at 2^n - 1 for it to count as full scale."""

VALUES = 64
"""Different values that must be seen before empty low bits mean anything."""


def empty_low_bits(pictures: Sequence[Pixels]) -> int:
    """Return 2, 4 or 6 for values of 14, 12 or 10 bits that fill 16 from the left, else 0.

    All low bits must be zero in all pictures, which must have ``VALUES`` different values.
    """
    used = 0
    for picture in pictures:
        used |= int(np.bitwise_or.reduce(picture, axis=None))
    shift = next((16 - n for n in DEPTHS if used and not used & (2 ** (16 - n) - 1)), 0)
    if not shift:
        return 0
    seen: set[int] = set()
    for picture in pictures:
        seen.update(np.unique(picture[::4]).tolist())
        if len(seen) >= VALUES:
            return shift
    return 0


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
