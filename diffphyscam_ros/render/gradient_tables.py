# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Memory for adding up gradients: a table for each band of the picture, kept between steps."""

from __future__ import annotations

from dataclasses import dataclass
import threading

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.bands import ROW_BITS, sum_bands
from diffphyscam_ros.kernels.buffers import BufferPool

BANDS = 16
MOST_BYTES = 2**31
"""Of address space for one kind of table; only what is touched takes memory."""


@dataclass(frozen=True)
class GradientTable:
    """Sums of N rows for each band (``kernels/bands.py``), all zero between uses.

    :param values: (bands, N, C) float32.
    :param flags: (bands, ⌈N / 64⌉) uint8, which blocks of rows have been touched.
    """

    values: npt.NDArray[np.float32]
    flags: npt.NDArray[np.uint8]

    def collect(self, buffers: BufferPool) -> torch.Tensor:
        """Return the sum (N, C) over the bands and leave zeros behind.

        :param buffers: lends the memory of the result.
        """
        total = buffers.take(*self.values.shape[1:])
        sum_bands(self.values, self.flags, total)
        return torch.from_numpy(total)


def _new_table(bands: int, rows: int, columns: int) -> GradientTable:
    # The system hands out zeros page by page as they are touched.
    blocks = -(-rows // (1 << ROW_BITS))
    return GradientTable(
        np.zeros((bands, rows, columns), np.float32), np.zeros((bands, blocks), np.uint8)
    )


NO_TABLE = {columns: _new_table(1, 0, columns) for columns in (2, 3, 4)}
"""Stand in for what is not wanted."""


class GradientTables:
    """Keeps one table of each kind. Backward passes that share it must hold ``lock``."""

    def __init__(self) -> None:
        """Start without tables."""
        self.lock = threading.Lock()
        self._tables: dict[str, GradientTable] = {}

    def take(self, kind: str, bands: int, rows: int, columns: int) -> GradientTable:
        """Return the table of a kind, all zero."""
        table = self._tables.get(kind)
        if table is None or table.values.shape != (bands, rows, columns):
            self._tables[kind] = table = _new_table(bands, rows, columns)
        return table

    def forget(self) -> None:
        """Drop all tables, for example because one was left half filled."""
        self._tables.clear()


def band_count(largest: int, height: int) -> int:
    """Return how many bands to cut a picture into: the same on any number of threads.

    :param largest: number of values in the largest table.
    :param height: of the picture in px.
    """
    bands = BANDS
    while bands > 1 and (bands > height or 4 * bands * largest > MOST_BYTES):
        bands //= 2
    return bands
