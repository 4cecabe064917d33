# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The disk and polygon pyramid of ``camera.defocus_disk`` on compiled loops."""

from __future__ import annotations

from functools import lru_cache
import itertools

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels import defocus_rows as rows
from diffphyscam_ros.kernels import disk_rows as disks
from diffphyscam_ros.kernels.disk_rings import (
    HALF_FROM,
    REACH,
    rise,
    SCALES,
    scales_needed,
    Shape,
    shape,
    tap_distance,
    WIDEST,
)

Floats = npt.NDArray[np.float32]

_CHUNK = 16  # half rows a thread takes at a time
assert HALF_FROM < 2.0 * WIDEST - 1.0


class Outline:
    """What the loops want to know of the shape of an aperture."""

    def __init__(self, blades: int, rotation: float) -> None:
        """Take a regular polygon, or the disk for 0 blades."""
        self.shape: Shape = shape(blades, rotation)
        self.distances = _distances(blades, rotation)
        self.turned = np.ascontiguousarray(self.distances[..., ::-1])
        """The distances of what is in front of the focus."""
        self.nearest: Floats = self.distances.min(axis=(1, 2))
        rims = 1.0 + np.arange(disks.STEPS * (WIDEST - 1.0) + 2) / disks.STEPS
        totals = np.zeros_like(rims)
        for ring in self.shape.rings:
            totals += len(ring.taps) * np.clip(rims - ring.distance, 0.0, 1.0)
        self.totals: Floats = totals.astype(np.float32)


@lru_cache(maxsize=8)
def outline(blades: int = 0, rotation: float = 0.0) -> Outline:
    """Return an outline that has been used before, or a new one."""
    return Outline(blades, rotation)


def _distances(blades: int, rotation: float) -> Floats:
    """Return ρ of (dx, dy), (−dx, dy), (dx, −dy), (−dx, −dy), (R + 1, R + 1, 4), as far as needed.

    A target at (0, 0) sees the tap (dx, dy) of a source that is dx to the left and dy above.
    """
    found = np.array(
        [
            [
                [tap_distance(x, y, blades, rotation) for y in (dy, -dy) for x in (dx, -dx)]
                for dx in range(REACH + 1)
            ]
            for dy in range(REACH + 1)
        ]
    )
    reach = 1 + int(np.argwhere(found.min(axis=2) < WIDEST).max())
    return np.ascontiguousarray(found[:reach, :reach].astype(np.float32))


class DiskDefocus:
    """Blurs pictures of one size; not to be used from two threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that every blur needs."""
        self.shape = (height, width)
        self._planes = np.empty((height, 3, width), np.float32)
        self._scales = [Scale(height, width)]
        self._half = np.empty((0, (height + 1) // 2, 5, (width + 1) // 2), np.float32)
        self._chains: list[list[Floats]] = []
        """For each halved scale, its light at scale 1, 2, … up to its own."""
        self._blur = rows.Blur(height, width)
        self._far: Floats | None = None

    def __call__(self, image: Floats, coc: Floats, out: Floats, form: Outline) -> None:
        """Set out; see ``kernels.defocus.defocus_fast``."""
        blur, planes = self._blur, self._planes
        rows.load(image, coc, np.float32(1.0), planes, blur.squares, blur.low, blur.high)
        largest = blur.largest()
        if largest <= 1.0:
            out[:] = image
            return
        self._reserve(scales_needed(largest) - 1)
        if form.shape.even:
            self._scatter(scales_needed(largest) - 1, form.distances, form, out)
            return
        if self._far is None:
            self._far = np.empty_like(self._scales[0].light)
        for front in (False, True):  # each with its own side of the focus alone
            rows.load(image, coc, np.float32(1.0), planes, blur.squares, blur.low, blur.high)
            disks.leave_out(coc, not front, blur.squares)
            blur.low[:] = -disks.LEFT_OUT
            distances = form.turned if front else form.distances
            self._scatter(scales_needed(largest) - 1, distances, form, None)
            if not front:
                self._far[:] = self._scales[0].light
        disks.divide(self._far, self._scales[0].light, out)

    def _scatter(self, coarse: int, distances: Floats, form: Outline, out: Floats | None) -> None:
        """Set out to the picture, or where it is None the light of full resolution."""
        blur, planes = self._blur, self._planes
        if coarse:
            targets, hats = self._half[:coarse], _HATS[1 : 1 + coarse]
            rows.split(planes, blur.squares, blur.low, blur.high, hats, _CHUNK, targets)
        coarser = _NOTHING
        shared = distances, form.nearest
        for scale in range(coarse, 0, -1):
            chain, own = self._chains[scale - 1], self._scales[scale]
            for source, target in itertools.pairwise(chain):
                rows.halve(source, target)
            factor = 4.0**-scale
            offset = form.shape.added * (factor - 1.0)
            disks.aim(
                chain[-1], np.float32(factor), np.float32(offset), form.totals, own.rows, own.rims
            )
            disks.spread(own.rows, own.rims, *shared, coarser, own.light, _NO_PICTURE)
            coarser = own.light
        own = self._scales[0]
        disks.aim_full(planes, blur.squares, _HATS[0], form.totals, own.rows, own.rims)
        if out is None:
            disks.spread(own.rows, own.rims, *shared, coarser, own.light, _NO_PICTURE)
        else:
            disks.spread(own.rows, own.rims, *shared, coarser, _NOTHING, out)

    def _reserve(self, coarse: int) -> None:
        """Take the buffers of this many halved scales."""
        if coarse <= len(self._chains):
            return
        self._half = np.empty((coarse, *self._half.shape[1:]), np.float32)
        self._scales, self._chains = self._scales[:1], []
        for i in range(coarse):
            chain = [self._half[i]]
            for _ in range(i):
                height, _, width = chain[-1].shape
                chain.append(np.empty(((height + 1) // 2, 5, (width + 1) // 2), np.float32))
            self._chains.append(chain)
            self._scales.append(Scale(chain[-1].shape[0], chain[-1].shape[2]))


class Scale:
    """Buffers of one scale: the rows that are spread, and what has been spread."""

    def __init__(self, height: int, width: int) -> None:
        tiles = -(-width // disks.TILE)
        self.rows = np.zeros((height, tiles, 9 * disks.SPAN), np.float32)
        self.rims = np.empty((height, tiles, 2), np.float32)
        self.light = np.empty((height, 4, width), np.float32)


def _hats() -> Floats:
    """Return what light each scale takes, by c²."""
    hats = []
    for scale in range(SCALES):
        (begin, top), (fall, end) = rise(scale), rise(scale + 1)
        hats.append((begin, 1.0 / (top - begin), fall, 1.0 / (end - fall)))
    hats[0] = (-1.0, 1.0, *hats[0][2:])  # full resolution: all from c = 0 on
    return np.array(hats, np.float32)


_HATS = _hats()
_NOTHING = np.empty((0, 4, 0), np.float32)
_NO_PICTURE = np.empty((0, 0, 3), np.float32)
