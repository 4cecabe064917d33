# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What stands in the way of light: shadows, and the occlusion of the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.shadow import SHADOWS
from diffphyscam_ros.render.casters import CasterPacker
from diffphyscam_ros.render.frame import Arriving, Frame, UNHINDERED
from diffphyscam_ros.render.materials import Materials
from diffphyscam_ros.render.shadows import light_visibility
from diffphyscam_ros.render.sky import SkyOcclusion
from diffphyscam_ros.render.visibility import View
from diffphyscam_ros.scene.types import Scene


@dataclass(frozen=True)
class _Seen:
    """All that decides about the answer: where it is the same, so is the answer.

    :param meshes, materials: their identity stands for all meshes and materials, and their state.
    """

    view: View
    meshes: object
    materials: Materials
    arrays: tuple[npt.NDArray[Any], ...]

    def same(self, other: _Seen | None) -> bool:
        return (
            other is not None
            and self.view == other.view
            and self.meshes is other.meshes
            and self.materials is other.materials
            and len(self.arrays) == len(other.arrays)
            and all(map(np.array_equal, self.arrays, other.arrays))
        )


class Occlusion:
    """Finds what is hidden from which light, on the CPU; still pictures are looked at once.

    Trees over the meshes' triangles are kept while the meshes stay as they are; poses and lights
    may change with every picture. Not for use by two threads at once.
    """

    def __init__(self) -> None:
        """Start without trees."""
        self._casters = CasterPacker()
        self._sky = SkyOcclusion()
        self._seen: _Seen | None = None
        self._arriving = UNHINDERED

    def arriving(
        self,
        scene: Scene,
        frame: Frame,
        triangles: torch.Tensor,
        points: npt.NDArray[np.float32],
        shadows: bool,
        ambient_occlusion: bool,
    ) -> Arriving:
        """Return the shares of the light, on the frame's device.

        :param triangles: (H·W,) seen at each pixel; where it is negative nothing is said.
        :param points: (V, 3) vertices in the optical frame.
        :param shadows: look for those of lights whose ``shadows`` are on.
        :param ambient_occlusion: look for what hides the environment.
        """
        lights = frame.illumination.lights.detach().cpu().float().numpy()
        casting = shadows and bool((lights[:, SHADOWS] > 0.0).any())
        directions = self._sky.directions(frame) if ambient_occlusion else None
        if not scene.instances or not (casting or directions is not None):
            return UNHINDERED
        visible = triangles.cpu().numpy()
        seen = _Seen(
            frame.view,
            self._casters.scenery(scene),
            frame.materials,
            (
                visible,
                frame.mesh_to_camera.detach().numpy(),
                lights if casting else lights[:0],
                np.empty(0) if directions is None else directions,
            ),
        )
        if seen.same(self._seen):
            return self._arriving
        casters = self._casters.pack(scene, frame, points)
        device = frame.illumination.lights.device
        shares: list[torch.Tensor | None] = [None, None]
        if casting:
            of_lights = light_visibility(frame.view, visible, lights, casters)
            shares[0] = torch.from_numpy(of_lights).to(device)
        if directions is not None:
            of_sky = self._sky.visibility(frame.view, visible, directions, casters)
            shares[1] = torch.from_numpy(of_sky).to(device)
        self._arriving = Arriving(*shares)
        # The triangles' buffer is written again with the next picture.
        self._seen = _Seen(
            seen.view, seen.meshes, seen.materials, (visible.copy(), *seen.arrays[1:])
        )
        return self._arriving
