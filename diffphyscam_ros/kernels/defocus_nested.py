# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gaussian defocus with occlusion: ``camera.defocus_nested`` on compiled loops."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels import defocus_nested_rows as nested
from diffphyscam_ros.kernels import defocus_rows as rows
from diffphyscam_ros.kernels.blur_levels import (
    FULL_LEVELS,
    LADDER,
    LARGEST_COC,
    levels_needed,
    SIGMA_PER_COC,
)
from diffphyscam_ros.kernels.defocus_gaussian import BAND, HATS, TAPS
from diffphyscam_ros.kernels.defocus_hidden import HiddenLayer
from diffphyscam_ros.kernels.disk_slots import load

Floats = npt.NDArray[np.float32]

_CHUNK = 16  # rows a thread takes at a time
_SHARP = 1e-7  # px²: below this variance everywhere the picture is returned as it is


class NestedGaussianDefocus:
    """Blurs pictures of one size; not to be used from two threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that every blur needs."""
        self.shape = (height, width)
        self._planes = np.empty((height, 3, width), np.float32)
        self._signed = np.empty((height, width), np.float32)
        self._extremes = np.empty((height, 2), np.float32)
        self._far = np.empty((height, 5, width), np.float32)
        self._near = np.empty((height, 2, width), np.float32)
        self._ranges = np.empty((height, -(-width // rows.TILE), 6), np.float32)
        self._hidden = HiddenLayer(height, width)
        self._sides = (_Levels(height, width, 5), _Levels(height, width, 4))

    def __call__(self, image: Floats, coc: Floats, out: Floats) -> None:
        """Set out; see ``kernels.defocus.defocus_fast``."""
        planes, signed, near = self._planes, self._signed, self._near
        load(image, coc, planes, signed, self._extremes)
        low, high = float(self._extremes[:, 0].min()), float(self._extremes[:, 1].max())
        if not low <= high:
            raise ValueError(f'coc must be within ±{LARGEST_COC:g} px everywhere')
        largest = max(-low, high)
        variance = (largest * SIGMA_PER_COC) ** 2
        if variance < _SHARP:
            out[:] = image
            return
        front = low < 0.0
        guess = self._hidden(planes, signed, largest) if front else self._hidden.guess
        scale, first = np.float32(SIGMA_PER_COC), np.float32(LADDER[1].variance)
        nested.prepare(planes, signed, guess, front, scale, first, self._far, near, self._ranges)
        # + 1e-6: the squares of float32 may round up across a level
        count = levels_needed(variance * (1.0 + 1e-6))
        full = min(count, FULL_LEVELS)
        hats = HATS[: count + 1].copy()
        hats[count:, 1] = 0.0  # nothing reaches the level after the last
        source = planes, guess, self._far, near, self._ranges
        deepest = [_NOTHING, _NOTHING]
        if count > full:
            for side in range(1 + front):
                targets = self._sides[side].halved(count - full)
                nested.split(*source, hats[full:], side == 1, _CHUNK, targets)
                deepest[side] = self._sides[side].nest()
        bands = max(1, min(2 * numba.get_num_threads(), coc.shape[0] // BAND))
        nested.climb(
            planes,
            guess,
            self._far,
            near,
            self._ranges,
            hats[: full + 1],
            TAPS[:full],
            deepest[0],
            deepest[1],
            front,
            bands,
            out,
        )


class _Levels:
    """The halved levels of one side of the focus: 5 planes behind it, 4 in front."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self._shape = (height + 1) // 2, channels, (width + 1) // 2
        self._targets = np.empty((0, *self._shape), np.float32)
        self._chains: list[list[Floats]] = []
        self._lights: list[Floats] = []
        self._arrived: list[Floats] = []
        self._count = 0

    def halved(self, count: int) -> Floats:
        """Return where the light of this many levels is put, at half resolution."""
        self._count = count
        if count > len(self._chains):
            self._targets = np.empty((count, *self._shape), np.float32)
            self._chains = []
            for i in range(count):
                chain = [self._targets[i]]
                for _ in range(LADDER[FULL_LEVELS + i].scale - 1):
                    height, channels, width = chain[-1].shape
                    chain.append(
                        np.empty(((height + 1) // 2, channels, (width + 1) // 2), np.float32)
                    )
                self._chains.append(chain)
            sizes = [chain[-1].shape for chain in self._chains]
            self._lights = [np.empty((h, 4, w), np.float32) for h, _, w in sizes]
            self._arrived = [np.empty((h, 4, w), np.float32) for h, _, w in sizes]
        return self._targets[:count]

    def nest(self) -> Floats:
        """Return the lowest of the halved levels with all above it."""
        if self._shape[1] == 5:  # the share of all higher levels is the sum of theirs
            self._targets[self._count - 1, :, 4] = 0.0
            for i in range(self._count - 2, -1, -1):
                above = self._targets[i + 1]
                np.add(above[:, 3], above[:, 4], out=self._targets[i, :, 4])
        for i in range(self._count - 1, -1, -1):
            for source, target in itertools.pairwise(self._chains[i]):
                rows.halve(source, target)
            own, light = self._chains[i][-1], self._lights[i]
            light[:] = own[:, :4]
            if i + 1 == self._count:
                continue
            arrived = self._arrived[i]
            arrived[:] = 0.0
            taps = LADDER[FULL_LEVELS + i + 1].taps
            if taps is not None:
                rows.filter_into(
                    self._lights[i + 1], np.float32(taps[0]), np.float32(taps[1]), arrived
                )
            else:
                rows.double_into(self._lights[i + 1], arrived)
            if own.shape[1] == 5:
                nested.lay_over(arrived, np.ascontiguousarray(own[:, 4]), light)
            else:
                nested.lay_under(arrived, light)
        return self._lights[0]


_NOTHING = np.empty((0, 4, 0), np.float32)
