# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows: which lights each pixel's surface sees, and how much of those that have a size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.schedule import spread_order
from diffphyscam_ros.kernels.shadow import find_shadows
from diffphyscam_ros.kernels.shadow_points import SIDE
from diffphyscam_ros.render.light_samples import sample_lights
from diffphyscam_ros.render.visibility import View


def light_visibility(
    view: View,
    triangles: npt.NDArray[np.int32],
    lights: npt.NDArray[np.float32],
    casters: tuple[npt.NDArray[Any], ...],
) -> npt.NDArray[np.uint8]:
    """Return (L, H·W) uint8, 255 where a light is seen, 0 where not.

    Found exactly: segments from surfaces to lights against triangles. Of a light with a size it
    is the share of ``light_samples.SAMPLES`` of its points. Surfaces turned away from a light do
    not see it.

    :param triangles: (H·W,) seen at each pixel; where it is negative nothing is said.
    :param lights: (L, 14), see ``render/lights.py``.
    :param casters: of :meth:`diffphyscam_ros.render.casters.CasterPacker.pack`.
    """
    rows, owner = sample_lights(lights)
    seen = np.full((len(rows), view.width * view.height), 255, np.uint8)
    order = spread_order(-(-view.height // SIDE))
    find_shadows(triangles, view.width, view.height, view.pinhole(), rows, order, casters, seen)
    if len(rows) > len(lights):
        parts = np.searchsorted(owner, np.arange(len(lights)))
        counts = np.bincount(owner)[:, None]
        total = np.add.reduceat(seen, parts, axis=0, dtype=np.uint32)
        seen = ((total + counts // 2) // counts).astype(np.uint8)
    return seen
