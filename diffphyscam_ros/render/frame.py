# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All that a picture is made from, packed and brought to the optical frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.cache import LatestPacked, needs_grad
from diffphyscam_ros.render.checks import (
    check_camera_pose,
    check_surroundings,
    instance_poses,
    pinhole_numbers,
    precision,
)
from diffphyscam_ros.render.geometry import Geometry, mesh_needs_grad, pack_geometry
from diffphyscam_ros.render.lighting import (
    EnvironmentMaps,
    Illumination,
    lighting_needs_grad,
    pack_environment,
)
from diffphyscam_ros.render.lights import light_numbers, light_tensors, pack_lights
from diffphyscam_ros.render.materials import (
    material_needs_grad,
    Materials,
    pack_materials,
)
from diffphyscam_ros.render.placing import place, place_fast
from diffphyscam_ros.render.topology import face_neighbours
from diffphyscam_ros.render.visibility import Sight, View
from diffphyscam_ros.scene.types import Scene


@dataclass(frozen=True)
class Arriving:
    """How much light reaches each pixel's surface, 255 = all; None = all of it everywhere.

    :param lights: (L, H·W) uint8, of each light.
    :param sky: (H·W,) uint8, of the environment.
    """

    lights: torch.Tensor | None = None
    sky: torch.Tensor | None = None


UNHINDERED = Arriving()


@dataclass(frozen=True)
class Frame:
    """One picture's scene, pinhole and pose, ready for visibility and shading.

    :param pinhole: (4,) fx, fy, cx, cy in px; ``view`` has the same as plain numbers.
    :param mesh_to_camera: (I, 4, 4) float64 on the CPU.
    :param double_sided: (I,) bool.
    :param layered: whether any material is masked or blended.
    :param differentiable: whether a gradient is asked of anything.
    :param dtype: of all that carries one; float32 where nothing does.
    """

    view: View
    pinhole: torch.Tensor
    geometry: Geometry
    materials: Materials
    mesh_to_camera: torch.Tensor
    double_sided: npt.NDArray[np.bool_]
    illumination: Illumination
    layered: bool
    differentiable: bool
    dtype: torch.dtype

    @property
    def sight(self) -> Sight:
        """What the visibility looks at."""
        poses = self.mesh_to_camera.detach()
        return Sight(self.geometry, poses, self.double_sided, self.view)

    def lit(self, arriving: Arriving) -> Frame:
        """Return the frame with the shares of its light that arrive."""
        return replace(
            self,
            illumination=replace(
                self.illumination, light_visibility=arriving.lights, sky_visibility=arriving.sky
            ),
        )


class FramePacker:
    """Packs scenes into frames. Meshes, materials and the environment are kept while unchanged.

    :param device: of all tensors of a frame but ``mesh_to_camera``.
    """

    def __init__(self, device: torch.device) -> None:
        """Start with nothing kept."""
        self._device = device
        self._buffers = BufferPool()
        self._geometry: LatestPacked[Geometry] = LatestPacked()
        self._materials: LatestPacked[Materials] = LatestPacked()
        self._lights: tuple[list[object], torch.Tensor] | None = None
        self._environment: LatestPacked[EnvironmentMaps] = LatestPacked()
        self._neighbours: LatestPacked[npt.NDArray[np.int32]] = LatestPacked()

    def frame(
        self, scene: Scene, intrinsics: Intrinsics, camera_to_world: torch.Tensor, near: float
    ) -> Frame:
        """Check and pack.

        :raises ValueError: see :class:`diffphyscam_ros.render.renderer.Renderer`.
        """
        check_camera_pose(camera_to_world)
        in_world = instance_poses(scene)
        check_surroundings(scene)
        pinhole = pinhole_numbers(intrinsics)
        poses = [instance.pose for instance in scene.instances]
        moved: list[object] = [camera_to_world, *poses, *pinhole]
        mesh_grad = material_grad = differentiable = False
        if torch.is_grad_enabled():
            mesh_grad = any(mesh_needs_grad(instance.mesh) for instance in scene.instances)
            material_grad = any(material_needs_grad(item.material) for item in scene.instances)
            differentiable = mesh_grad or material_grad or lighting_needs_grad(scene)
            differentiable = differentiable or any(map(needs_grad, moved))
        dtype = precision(scene, moved) if differentiable else torch.float32

        world = scene.environment
        # Few numbers with many checks: on the CPU these wait for nothing.
        placed = (place if differentiable else place_fast)(
            camera_to_world.to('cpu', torch.float64),
            in_world,
            self._pack_lights(scene),
            world.rotation if world else 0.0,
        )

        def here(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(self._device, dtype)

        keep = dtype == torch.float32
        keep_light = keep and not (differentiable and world and needs_grad(world.image))
        illumination = Illumination(
            lights=here(placed.lights),
            maps=self._pack_environment(scene, dtype, keep_light),
            turn=here(placed.turn),
            intensity=here(torch.as_tensor(world.intensity if world else 0.0)),
            background=None
            if scene.background is None
            else here(torch.as_tensor(scene.background)),
        )
        fx, fy, cx, cy = (float(value.detach()) for value in pinhole)
        return Frame(
            view=View(intrinsics.width, intrinsics.height, fx, fy, cx, cy, near),
            pinhole=torch.stack([here(value) for value in pinhole]),
            geometry=self._pack_geometry(
                scene, dtype, keep and not (differentiable and mesh_grad)
            ),
            materials=self._pack_materials(
                scene, dtype, keep and not (differentiable and material_grad)
            ),
            mesh_to_camera=placed.mesh_to_camera,
            double_sided=np.array([i.material.double_sided for i in scene.instances], bool),
            illumination=illumination,
            layered=any(i.material.alpha_mode != 'opaque' for i in scene.instances),
            differentiable=differentiable,
            dtype=dtype,
        )

    def neighbours(self, scene: Scene, geometry: Geometry) -> npt.NDArray[np.int32]:
        """Return (F, 3) of :func:`diffphyscam_ros.render.topology.face_neighbours`."""

        def find() -> npt.NDArray[np.int32]:
            return face_neighbours(geometry)

        # Moving vertices keep their faces: while a mesh is optimised this is found once.
        return self._neighbours.get([i.mesh.faces for i in scene.instances], find)

    def _pack_lights(self, scene: Scene) -> torch.Tensor:
        if torch.is_grad_enabled() and any(map(needs_grad, light_tensors(scene.lights))):
            return pack_lights(scene.lights)
        numbers = light_numbers(scene.lights)
        if self._lights is None or self._lights[0] != numbers:
            self._lights = numbers, pack_lights(scene.lights)
        return self._lights[1]

    def _pack_geometry(self, scene: Scene, dtype: torch.dtype, keep: bool) -> Geometry:
        def pack() -> Geometry:
            return pack_geometry(scene.instances, self._device, dtype)

        return self._geometry.get([i.mesh for i in scene.instances], pack) if keep else pack()

    def _pack_materials(self, scene: Scene, dtype: torch.dtype, keep: bool) -> Materials:
        def pack() -> Materials:
            return pack_materials(scene.instances, self._device, dtype, self._buffers)

        if not keep:
            return pack()
        # Whether a mesh has uvs, normals and colours decides too.
        parts = [part for i in scene.instances for part in (i.material, i.mesh)]
        return self._materials.get(parts, pack)

    def _pack_environment(
        self, scene: Scene, dtype: torch.dtype, keep: bool
    ) -> EnvironmentMaps | None:
        if scene.environment is None:
            return None
        image = scene.environment.image

        def pack() -> EnvironmentMaps:
            return pack_environment(image, self._device, dtype)

        return self._environment.get([image], pack) if keep else pack()
