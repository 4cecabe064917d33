# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Disk and polygon defocus with occlusion: ``camera.defocus_disk`` on compiled loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels import defocus_rows as rows
from diffphyscam_ros.kernels import disk_rows as disks
from diffphyscam_ros.kernels import disk_slots as slots
from diffphyscam_ros.kernels.blur_levels import LARGEST_COC
from diffphyscam_ros.kernels.defocus_disk import Outline, Scale
from diffphyscam_ros.kernels.defocus_hidden import HiddenLayer
from diffphyscam_ros.kernels.depth_order import KNOTS, slots_between
from diffphyscam_ros.kernels.disk_rings import slot_scale

Floats = npt.NDArray[np.float32]

_CHUNK = 16  # half rows a thread takes at a time
_BEYOND = 1e9  # px: after the last slot


class OccludedDiskDefocus:
    """Blurs pictures of one size; not to be used from two threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Take the buffers that every blur needs."""
        self.shape = (height, width)
        self._planes = np.empty((height, 3, width), np.float32)
        self._signed = np.empty((height, width), np.float32)
        self._extremes = np.empty((height, 2), np.float32)
        self._ranges = np.empty((height, -(-width // rows.TILE), 4), np.float32)
        self._aperture = np.empty((height, 4, width), np.float32)
        self._hidden = HiddenLayer(height, width)
        self._scales = [Scale(height, width)]
        self._halved: list[Floats] = []
        """The light of a slot at scale 1, 2, …."""

    def __call__(self, image: Floats, coc: Floats, out: Floats, form: Outline) -> None:
        """Set out; see ``kernels.defocus.defocus_fast``."""
        planes, signed = self._planes, self._signed
        slots.load(image, coc, planes, signed, self._extremes)
        low, high = float(self._extremes[:, 0].min()), float(self._extremes[:, 1].max())
        if not low <= high:
            raise ValueError(f'coc must be within ±{LARGEST_COC:g} px everywhere')
        if max(-low, high) <= 1.0:
            out[:] = image
            return
        guess = self._hidden(planes, signed, max(-low, high))
        ranges = self._ranges
        slots.find_ranges(signed, guess, ranges)
        slots.clear(self._aperture)
        source = planes, signed, guess, ranges
        for number in slots_between(low, high):
            slot = _SLOTS[number]
            seen = (ranges[..., 1] > slot[0]) & (ranges[..., 0] < slot[2])
            guessed = (ranges[..., 3] > slot[0]) & (ranges[..., 2] < slot[2])
            if not (seen | guessed).any():
                continue
            distances = form.distances if slot[1] >= 0.0 else form.turned
            scale = slot_scale(KNOTS[number])
            if scale:
                self._spread_halved(source, slot, scale, distances, form)
                slots.collect_doubled(self._scales[1].light, self._aperture)
            else:
                own = self._scales[0]
                slots.aim_slot(*source, slot, form.totals, own.rows, own.rims)
                slots.collect(own.rows, own.rims, distances, form.nearest, self._aperture)
        slots.finish(self._aperture, out)

    def _spread_halved(
        self,
        source: tuple[Floats, ...],
        slot: Floats,
        scale: int,
        distances: Floats,
        form: Outline,
    ) -> None:
        """Set the light of scale 1 to that of a slot, spread at its own scale."""
        while len(self._scales) <= scale:
            height, width = self._scales[-1].light.shape[::2]
            self._scales.append(Scale((height + 1) // 2, (width + 1) // 2))
            self._halved.append(np.empty(((height + 1) // 2, 5, (width + 1) // 2), np.float32))
        planes, signed, guess, ranges = source
        slots.split_slot(planes, signed, guess, ranges, slot, _CHUNK, self._halved[0])
        for i in range(1, scale):
            rows.halve(self._halved[i - 1], self._halved[i])
        own, factor = self._scales[scale], 4.0**-scale
        disks.aim(
            self._halved[scale - 1],
            np.float32(factor),
            np.float32(form.shape.added * (factor - 1.0)),
            form.totals,
            own.rows,
            own.rims,
        )
        disks.spread(own.rows, own.rims, distances, form.nearest, _NOTHING, own.light, _NO_PICTURE)
        for i in range(scale - 1, 0, -1):
            self._scales[i].light[:] = 0.0
            rows.double_into(self._scales[i + 1].light, self._scales[i].light)


_SLOTS = np.stack(
    (
        np.array((-_BEYOND, *KNOTS[:-1])),
        np.array(KNOTS),
        np.array((*KNOTS[1:], _BEYOND)),
    ),
    axis=1,
).astype(np.float32)
_NOTHING = np.empty((0, 4, 0), np.float32)
_NO_PICTURE = np.empty((0, 0, 3), np.float32)
