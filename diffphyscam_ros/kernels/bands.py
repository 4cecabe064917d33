# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Adding up, without races and in a fixed order, what many pixels give to the same few rows.

The picture is cut into bands whose number does not depend on the threads. Each band adds to a
table of its own; the tables are then summed band by band. Every sum is thus formed in one order,
whoever forms it, and results are the same bit for bit on any number of threads. A band touches a
small part of its table (what is near in the picture is near on the mesh and in the texture), so
it marks which blocks of rows it has touched, and only those are read and cleared again.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.arithmetic import ZERO
from diffphyscam_ros.kernels.runtime import kernel

ROW_BITS = 6
"""A flag stands for 2^6 rows."""


@kernel(inline=True)
def touch(flags, band, row):
    """Mark a row of a band's table as touched.

    :param flags: (bands, blocks) uint8; ``row``: uint32.
    """
    flags[band, row >> np.uint32(ROW_BITS)] = np.uint8(1)


@kernel(fastmath=True, inline=True)
def add_three(table, flags, band, row, x, y, z):
    """Add to a row of three."""
    touch(flags, band, row)
    table[band, row, 0] += x
    table[band, row, 1] += y
    table[band, row, 2] += z


@kernel(parallel=True)
def sum_bands(tables, flags, total):
    """Set ``total`` to the sum of the bands' tables, and clear those.

    :param tables: (bands, N, C) float32, zero wherever ``flags`` is; all zero afterwards.
    :param flags: (bands, ⌈N / 64⌉) uint8; all zero afterwards.
    :param total: (N, C) float32, out.
    """
    rows, columns = total.shape
    for block in prange(flags.shape[1]):
        first = block << ROW_BITS
        count = min(rows - first, 1 << ROW_BITS)
        part = total[first : first + count]
        for i in range(count):
            for j in range(columns):
                part[i, j] = ZERO
        for band in range(flags.shape[0]):
            if flags[band, block] == 0:
                continue
            flags[band, block] = 0
            table = tables[band, first : first + count]
            for i in range(count):
                for j in range(columns):
                    part[i, j] += table[i, j]
                    table[i, j] = ZERO
