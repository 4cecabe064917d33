# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows: which lights each pixel's surface sees, and how much of those that have a size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.schedule import spread_order
from diffphyscam_ros.kernels.shadow import find_shadows, SHADOWS
from diffphyscam_ros.kernels.shadow_points import SIDE
from diffphyscam_ros.render.casters import CasterPacker
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.light_samples import sample_lights
from diffphyscam_ros.scene.types import Scene


class Shadows:
    """Finds them on the CPU, exactly: segments from surfaces to lights against triangles.

    Trees over the meshes' triangles are kept while the meshes stay as they are; poses and lights
    may change with every picture. Not for use by two threads at once.
    """

    def __init__(self) -> None:
        """Start without trees."""
        self._casters = CasterPacker()

    def light_visibility(
        self,
        scene: Scene,
        frame: Frame,
        triangles: torch.Tensor,
        points: npt.NDArray[np.float32],
    ) -> torch.Tensor | None:
        """Return (L, H·W) uint8 on the frame's device, 255 where a light is seen, 0 where not.

        Of a light with a size it is the share of ``light_samples.SAMPLES`` of its points.
        None where no light casts shadows. Surfaces turned away from a light do not see it.
        Masked materials cast the shadow of the whole triangle, blended ones too where their
        alpha factor is at least ``casters.SOLID``, and none below.

        :param triangles: (H·W,) seen at each pixel; where it is negative nothing is said.
        :param points: (V, 3) vertices in the optical frame.
        """
        lights = frame.illumination.lights.detach().cpu().float().numpy()
        if not scene.instances or not (lights[:, SHADOWS] > 0.0).any():
            return None
        view = frame.view
        rows, owner = sample_lights(lights)
        seen = np.full((len(rows), view.width * view.height), 255, np.uint8)
        find_shadows(
            triangles.cpu().numpy(),
            view.width,
            view.height,
            view.pinhole(),
            rows,
            spread_order(-(-view.height // SIDE)),
            self._casters.pack(scene, frame, points),
            seen,
        )
        if len(rows) > len(lights):
            parts = np.searchsorted(owner, np.arange(len(lights)))
            counts = np.bincount(owner)[:, None]
            total = np.add.reduceat(seen, parts, axis=0, dtype=np.uint32)
            seen = ((total + counts // 2) // counts).astype(np.uint8)
        return torch.from_numpy(seen).to(frame.illumination.lights.device)
