# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""In which order strips of a picture are worked on, so that every thread gets equal shares."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt


@functools.lru_cache(maxsize=16)
def spread_order(count: int) -> npt.NDArray[np.int32]:
    """Return 0 … count − 1 in an order in which every run of neighbours is spread evenly.

    A parallel loop gives each thread one contiguous run. One half of a picture may be all sky:
    with strips in their natural order a thread would wait for the other. This is the order of the
    van der Corput sequence (digits in base 2, reversed).
    """
    number = np.arange(count, dtype=np.uint64)
    place = np.zeros(count)
    for bit in range(max(count - 1, 1).bit_length()):
        place += ((number >> np.uint64(bit)) & np.uint64(1)).astype(np.float64) * 0.5 ** (bit + 1)
    order = np.argsort(place, kind='stable').astype(np.int32)
    order.setflags(write=False)
    return order
