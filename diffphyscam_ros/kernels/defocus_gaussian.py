# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The Gaussian cascade of ``camera.defocus_cascade`` on compiled loops.

The four filters at full resolution run as one pipeline over a ring of rows, so that the
picture passes through memory once; the halved levels are small and are done one by one.
"""

from __future__ import annotations

import itertools

import numba
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels import defocus_rows as rows
from diffphyscam_ros.kernels.blur_levels import FULL_LEVELS, LADDER, levels_needed, SIGMA_PER_COC

Floats = npt.NDArray[np.float32]

_CHUNK = 16  # rows a thread takes at a time
BAND = 64  # fewest rows of a band of the pipeline, which begins 8 rows early
_SHARP = 1e-7  # px²: below this variance everywhere the picture is returned as it is


class GaussianDefocus:
    """Blurs pictures of one size; not to be used from two threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that every blur needs."""
        self.shape = (height, width)
        self._planes = np.empty((height, 3, width), np.float32)
        self._half = np.empty((0, (height + 1) // 2, 4, (width + 1) // 2), np.float32)
        self._chains: list[list[Floats]] = []
        """For each level below full resolution, its light at scale 1, 2, … up to its own."""
        self._blur = rows.Blur(height, width)
        self._rings = np.empty((0, FULL_LEVELS, rows.RING, 4, width), np.float32)

    def __call__(
        self, image: Floats, coc: Floats, out: Floats, shares: Floats | None = None
    ) -> None:
        """Set out; see ``kernels.defocus.defocus_fast``.

        :param shares: (H, W) what each pixel was multiplied by to normalise it, out.
        """
        blur = self._blur
        rows.load(
            image, coc, np.float32(SIGMA_PER_COC), self._planes, blur.squares, blur.low, blur.high
        )
        largest = blur.largest()
        if largest < _SHARP:
            out[:] = image
            if shares is not None:
                shares[:] = 1.0
            return
        count = levels_needed(largest)
        full = min(count, FULL_LEVELS)
        coarse = self._lights(count - full)
        if coarse:
            targets, hats = self._half[: len(coarse)], HATS[full:count]
            rows.split(self._planes, blur.squares, blur.low, blur.high, hats, _CHUNK, targets)
            for chain in self._chains[: len(coarse)]:
                for source, target in itertools.pairwise(chain):
                    rows.halve(source, target)
        for i in range(len(coarse) - 1, -1, -1):
            taps = LADDER[full + i].taps
            if taps is not None:  # never so for i = 0, which the pipeline doubles
                centre, side = np.float32(taps[0]), np.float32(taps[1])
                rows.filter_into(coarse[i], centre, side, coarse[i - 1])
            elif i > 0:
                rows.double_into(coarse[i], coarse[i - 1])
        deepest = coarse[0] if coarse else _NOTHING
        rings = self._rings_of(max(1, min(2 * numba.get_num_threads(), coc.shape[0] // BAND)))
        shares = _NO_SHARES if shares is None else shares
        ladder = HATS[:full], TAPS[:full]
        rows.climb(self._planes, blur.squares, *ladder, deepest, rings, out, shares)

    def _rings_of(self, bands: int) -> Floats:
        """Return the rows that the pipeline of each band remembers."""
        if bands > len(self._rings):
            width = self.shape[1]
            self._rings = np.empty((bands, FULL_LEVELS, rows.RING, 4, width), np.float32)
        return self._rings[:bands]

    def _lights(self, count: int) -> list[Floats]:
        """Return the pictures of the first levels below full resolution, at their own scale."""
        if count > len(self._chains):
            self._half = np.empty((count, *self._half.shape[1:]), np.float32)
            self._chains = []
            for i in range(count):
                chain = [self._half[i]]
                for _ in range(LADDER[FULL_LEVELS + i].scale - 1):
                    height, _, width = chain[-1].shape
                    shape = (height + 1) // 2, 4, (width + 1) // 2
                    chain.append(np.empty(shape, np.float32))
                self._chains.append(chain)
        return [chain[-1] for chain in self._chains[:count]]


def _hats() -> Floats:
    """Return the hat of every level; that of the last is not used: no pixel reaches it."""
    variances = np.array([level.variance for level in LADDER])
    before = np.concatenate(([-1.0], variances[:-1]))  # the weight of the sharp level only falls
    after = np.concatenate((variances[1:], [np.inf]))
    columns = (before, 1.0 / (variances - before), variances, 1.0 / (after - variances))
    return np.stack(columns, axis=1).astype(np.float32)


HATS = _hats()
TAPS = np.array([level.taps or (1.0, 0.0, 0.0) for level in LADDER[:FULL_LEVELS]], np.float32)
_NOTHING = np.empty((0, 4, 0), np.float32)
_NO_SHARES = np.empty((0, 0), np.float32)
