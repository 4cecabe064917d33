# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The renderer: scene + pinhole + pose → radiance, depth, normals, instance ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.kernels import shade as shade_kernel
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.schedule import spread_order
from diffphyscam_ros.render.antialias import antialias, antialias_fused, find_silhouettes
from diffphyscam_ros.render.cache import LatestPacked, needs_grad
from diffphyscam_ros.render.cuda_visibility import cuda_problem, CudaVisibility
from diffphyscam_ros.render.errors import DeviceError
from diffphyscam_ros.render.geometry import Geometry, mesh_needs_grad, pack_geometry
from diffphyscam_ros.render.interpolation import normal_matrices, to_camera
from diffphyscam_ros.render.lighting import (
    environment_turn,
    EnvironmentMaps,
    irradiance_polynomial,
    lighting_needs_grad,
    pack_environment,
    pack_lights,
)
from diffphyscam_ros.render.materials import (
    material_needs_grad,
    Materials,
    pack_materials,
    used_textures,
)
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.reflectance import split_sum_table
from diffphyscam_ros.render.shading import Illumination, shade
from diffphyscam_ros.render.topology import face_neighbours
from diffphyscam_ros.render.visibility import CpuVisibility, View, Visibility
from diffphyscam_ros.scene.types import Scene

KEPT_BUFFERS = 32  # seven for each picture that somebody still holds
PINHOLE = ('fx', 'fy', 'cx', 'cy')


class Renderer:
    """Draws scenes through a pinhole.

    Meshes, materials and the environment are packed once and kept as long as they stay the same
    objects (and, by torch's version counter, unchanged); poses and lights are read every frame.
    What is returned is never written to again. Use a renderer from one thread at a time; several
    renderers may work at once.

    :param device: ``'cpu'``; ``'cuda'`` or ``'cuda:N'`` (needs nvdiffrast); ``'auto'`` = CUDA
        where it works, else the CPU, with the reason in ``device_reason``.
    :param antialias: smooth the edges of silhouettes in ``color`` (depth, normal and instance
        stay those at the pixel centres).
    :param near: metres; nothing nearer along z is seen.
    :raises DeviceError: where the device asked for cannot render; it names the remedy.

    >>> import torch
    >>> from diffphyscam_ros.render import Intrinsics, Renderer
    >>> from diffphyscam_ros.scene.types import Scene
    >>> radiance = Renderer('cpu')(Scene(), Intrinsics.from_fov(64, 48, 1.0), torch.eye(4))
    >>> radiance.depth.shape, float(radiance.depth.min())
    (torch.Size([48, 64]), inf)
    """

    def __init__(self, device: str = 'auto', antialias: bool = False, near: float = 1e-3) -> None:
        """See the class."""
        if not 0.0 < near < np.inf:
            raise ValueError(f'near = {near} m: must be positive and finite')
        self.antialias = antialias
        self.near = near
        self.device, self.device_reason = _choose_device(device)
        self._cpu_visibility = CpuVisibility()
        self._visibility: Visibility = self._cpu_visibility
        if self.device.type == 'cuda':
            self._visibility = CudaVisibility(self.device)
        self._buffers = BufferPool(KEPT_BUFFERS)
        self._geometry: LatestPacked[Geometry] = LatestPacked()
        self._materials: LatestPacked[Materials] = LatestPacked()
        self._environment: LatestPacked[EnvironmentMaps] = LatestPacked()
        self._neighbours: LatestPacked[npt.NDArray[np.int32]] = LatestPacked()

    def __call__(
        self, scene: Scene, intrinsics: Intrinsics, camera_to_world: torch.Tensor
    ) -> Radiance:
        """Draw one picture.

        Differentiable wherever a tensor of the scene, the pinhole or the pose requires grad, but
        for silhouettes without ``antialias`` (docs/rendering.md); the precision is then float64
        if one of those tensors is, else float32.

        :param camera_to_world: (4, 4) rigid, optical frame (x right, y down, z forward) to world.
        :raises ValueError: for a pose that is not rigid, batched intrinsics, or meshes, materials
            or lights whose arrays do not fit together.
        """
        _check_pose(camera_to_world)
        pinhole = _pinhole(intrinsics)
        poses = [instance.pose for instance in scene.instances]
        for instance in scene.instances:
            if instance.pose.shape != (4, 4):
                raise ValueError(
                    f'pose of instance {instance.name!r} has shape '
                    f'{tuple(instance.pose.shape)}: must be (4, 4)'
                )
        mesh_grad = any(mesh_needs_grad(instance.mesh) for instance in scene.instances)
        material_grad = any(material_needs_grad(instance.material) for instance in scene.instances)
        light_grad = lighting_needs_grad(scene)
        moved = [camera_to_world, *poses, *(getattr(intrinsics, name) for name in PINHOLE)]
        differentiable = torch.is_grad_enabled() and (
            mesh_grad or material_grad or light_grad or any(map(needs_grad, moved))
        )
        dtype = _precision(scene, moved) if differentiable else torch.float32

        # Poses are combined in float64: far from the origin float32 would shake.
        to_world = camera_to_world.to('cpu', torch.float64)
        world_to_camera = torch.linalg.inv(to_world)
        mesh_to_camera = world_to_camera @ (
            torch.stack([pose.to('cpu', torch.float64) for pose in poses])
            if poses
            else torch.zeros(0, 4, 4, dtype=torch.float64)
        )
        keep = dtype == torch.float32
        geometry = self._pack_geometry(scene, dtype, keep and not (differentiable and mesh_grad))
        materials = self._pack_materials(
            scene, dtype, keep and not (differentiable and material_grad)
        )
        maps = self._pack_environment(scene, dtype, keep and not (differentiable and light_grad))

        fx, fy, cx, cy = (float(value.detach()) for value in pinhole)
        view = View(intrinsics.width, intrinsics.height, fx, fy, cx, cy, self.near)
        double_sided = np.array([item.material.double_sided for item in scene.instances], bool)
        triangles = self._visibility.triangles(
            geometry, mesh_to_camera.detach(), double_sided, view
        )

        def here(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(self.device, dtype)

        world = scene.environment
        illumination = Illumination(
            lights=pack_lights(scene.lights, here(world_to_camera)),
            maps=maps,
            turn=here(environment_turn(world.rotation if world else 0.0, to_world)),
            intensity=float(world.intensity) if world else 0.0,
            background=None
            if scene.background is None
            else here(torch.as_tensor(scene.background)),
        )
        if differentiable or self.device.type != 'cpu':
            matrices = here(mesh_to_camera)
            camera = to_camera(geometry, matrices)
            numbers = torch.stack([here(value) for value in pinhole])
            radiance = shade(
                triangles,
                view.width,
                view.height,
                numbers,
                geometry,
                materials,
                camera,
                normal_matrices(matrices),
                illumination,
            )
            if not self.antialias:
                return radiance
            silhouettes = find_silhouettes(
                triangles.cpu().numpy(),
                radiance.depth.detach().cpu().float().reshape(-1).numpy(),
                geometry.faces.cpu().numpy(),
                geometry.face_instance.cpu().numpy(),
                self._find_neighbours(scene, geometry),
                camera.detach().cpu().float().numpy(),
                view,
                self._buffers,
            )
            smooth = antialias(
                radiance.color.reshape(-1, 3),
                silhouettes,
                geometry.faces,
                camera,
                numbers,
                view.width,
            )
            return replace(radiance, color=smooth.reshape(radiance.color.shape))
        radiance = self._shade_fused(
            triangles, view, geometry, materials, mesh_to_camera, illumination
        )
        if not self.antialias:
            return radiance
        silhouettes = find_silhouettes(
            triangles.numpy(),
            radiance.depth.reshape(-1).numpy(),
            geometry.faces.numpy(),
            geometry.face_instance.numpy(),
            self._find_neighbours(scene, geometry),
            self._cpu_visibility.camera,
            view,
            self._buffers,
        )
        color = self._buffers.take(view.width * view.height, 3)
        antialias_fused(radiance.color.reshape(-1, 3).numpy(), silhouettes, view, color)
        return replace(radiance, color=torch.from_numpy(color).reshape(radiance.color.shape))

    def _find_neighbours(self, scene: Scene, geometry: Geometry) -> npt.NDArray[np.int32]:
        def find() -> npt.NDArray[np.int32]:
            return face_neighbours(geometry)

        # Moving vertices keep their faces: while a mesh is optimised this is found once.
        return self._neighbours.get([i.mesh.faces for i in scene.instances], find)

    def _pack_geometry(self, scene: Scene, dtype: torch.dtype, keep: bool) -> Geometry:
        def pack() -> Geometry:
            return pack_geometry(scene.instances, self.device, dtype)

        return self._geometry.get([i.mesh for i in scene.instances], pack) if keep else pack()

    def _pack_materials(self, scene: Scene, dtype: torch.dtype, keep: bool) -> Materials:
        def pack() -> Materials:
            return pack_materials(scene.instances, self.device, dtype)

        sources = [i.material for i in scene.instances] + used_textures(scene.instances)
        # Whether a mesh has uvs, normals and colours decides too.
        return (
            self._materials.get([*sources, *(i.mesh for i in scene.instances)], pack)
            if keep
            else pack()
        )

    def _pack_environment(
        self, scene: Scene, dtype: torch.dtype, keep: bool
    ) -> EnvironmentMaps | None:
        if scene.environment is None:
            return None
        image = scene.environment.image

        def pack() -> EnvironmentMaps:
            return pack_environment(image, self.device, dtype)

        return self._environment.get([image], pack) if keep else pack()

    def _shade_fused(
        self,
        triangles: torch.Tensor,
        view: View,
        geometry: Geometry,
        materials: Materials,
        mesh_to_camera: torch.Tensor,
        illumination: Illumination,
    ) -> Radiance:
        """Shade by the CPU kernel."""
        pixels = view.width * view.height
        color = self._buffers.take(pixels, 3)
        depth = self._buffers.take(pixels)
        normal = self._buffers.take(pixels, 3)
        instance = self._buffers.take(pixels).view(np.int32)
        maps = illumination.maps
        if maps is None:
            black = np.zeros((2, 3), np.float32)
            environment = (
                np.zeros((9, 3), np.float32),
                black,
                np.array([2, 1, 1]),
                black[:1],
                np.array([1, 1]),
            )
        else:
            environment = (
                irradiance_polynomial(maps, illumination.turn, illumination.intensity).numpy(),
                maps.glossy.detach().reshape(-1, 3).numpy(),
                np.array(maps.glossy.shape[:3]),
                maps.picture.detach().reshape(-1, 3).numpy(),
                np.array(maps.picture.shape[:2]),
            )
        background = illumination.background
        shade_kernel.shade(
            triangles.numpy(),
            view.width,
            view.height,
            view.pinhole(),
            (
                geometry.faces.numpy(),
                geometry.face_instance.numpy(),
                self._cpu_visibility.camera,
                geometry.normals.detach().numpy(),
                geometry.uvs.detach().numpy(),
                geometry.colors.detach().numpy(),
            ),
            np.ascontiguousarray(
                normal_matrices(mesh_to_camera).detach().numpy().astype(np.float32)
            ),
            tuple(
                tensor.detach().numpy()
                for tensor in (
                    materials.factors,
                    materials.flags,
                    materials.atlas,
                    materials.levels,
                    materials.counts,
                )
            ),
            illumination.lights.detach().numpy(),
            maps is not None,
            environment,
            split_sum_table().numpy(),
            np.ascontiguousarray(illumination.turn.detach().numpy()),
            np.float32(illumination.intensity),
            background is None and maps is not None,
            np.zeros(3, np.float32) if background is None else background.numpy(),
            spread_order(-(-view.height // shade_kernel.ROWS_PER_TASK)),
            color,
            depth,
            normal,
            instance,
        )
        shape = (view.height, view.width)
        return Radiance(
            color=torch.from_numpy(color).reshape(*shape, 3),
            depth=torch.from_numpy(depth).reshape(shape),
            normal=torch.from_numpy(normal).reshape(*shape, 3),
            instance=torch.from_numpy(instance).reshape(shape),
        )


def _choose_device(name: str) -> tuple[torch.device, str]:
    """Return the device to use and why."""
    if name == 'auto':
        problem = cuda_problem(torch.device('cuda'))
        if problem is None:
            return torch.device('cuda', torch.cuda.current_device()), 'CUDA and nvdiffrast work'
        return torch.device('cpu'), problem
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ('cpu', 'cuda'):
        raise DeviceError(f"device {name!r} is unknown: use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if device.type == 'cuda':
        problem = cuda_problem(device)
        if problem is not None:
            raise DeviceError(problem)
    return device, 'as asked for'


def _check_pose(camera_to_world: torch.Tensor) -> None:
    if camera_to_world.shape != (4, 4):
        raise ValueError(
            f'camera_to_world has shape {tuple(camera_to_world.shape)}: must be (4, 4)'
        )
    rotation = camera_to_world.detach()[:3, :3].to('cpu', torch.float64).numpy()
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if not (error < 1e-3 and np.cross(rotation[0], rotation[1]) @ rotation[2] > 0.0):
        raise ValueError(
            f'camera_to_world has the rotation part {rotation.tolist()}: must be a rotation '
            '(orthonormal to 1e-3, determinant +1); put scale into the poses of the instances'
        )


def _pinhole(intrinsics: Intrinsics) -> list[torch.Tensor]:
    """Return fx, fy, cx, cy as scalars ()."""
    values = [torch.as_tensor(getattr(intrinsics, name)) for name in PINHOLE]
    for name, value in zip(PINHOLE, values, strict=True):
        if value.ndim != 0:
            raise ValueError(
                f'{name} has shape {tuple(value.shape)}: must be a number; render one pinhole '
                'at a time'
            )
    return values


def _precision(scene: Scene, moved: list[object]) -> torch.dtype:
    """Return float64 if a tensor that requires grad is float64, else float32."""
    found: list[object] = list(moved)
    for instance in scene.instances:
        found += list(vars(instance.mesh).values()) + list(vars(instance.material).values())
    found += [texture.image for texture in used_textures(scene.instances)]
    for light in scene.lights:
        found += list(vars(light).values())
    if scene.environment is not None:
        found.append(scene.environment.image)
    double = any(
        isinstance(value, torch.Tensor) and value.requires_grad and value.dtype == torch.float64
        for value in found
    )
    return torch.float64 if double else torch.float32
