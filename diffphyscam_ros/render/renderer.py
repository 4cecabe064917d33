# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The renderer: scene + pinhole + pose → radiance, depth, normals, instance ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.antialias import antialias, antialias_fused, find_silhouettes
from diffphyscam_ros.render.cuda_visibility import CudaVisibility
from diffphyscam_ros.render.device import choose_device
from diffphyscam_ros.render.frame import Frame, FramePacker
from diffphyscam_ros.render.fused_shading import shade_fused
from diffphyscam_ros.render.geometry import on_cpu
from diffphyscam_ros.render.interpolation import normal_matrices, to_camera
from diffphyscam_ros.render.layers import stack_layers, stack_layers_fused
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.shading import shade, Shaded
from diffphyscam_ros.render.visibility import CpuVisibility, Visibility
from diffphyscam_ros.scene.types import Scene

KEPT_BUFFERS = 32  # seven for each picture that somebody still holds


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
        self.device, self.device_reason = choose_device(device)
        self._cpu_visibility = CpuVisibility()
        self._visibility: Visibility = self._cpu_visibility
        if self.device.type == 'cuda':
            self._visibility = CudaVisibility(self.device)
        self._buffers = BufferPool(KEPT_BUFFERS)
        self._packer = FramePacker(self.device)

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
        frame = self._packer.frame(scene, intrinsics, camera_to_world, self.near)
        fused = self.device.type == 'cpu' and not frame.differentiable
        camera = None if fused else self._camera(frame)
        if frame.layered:
            radiance, triangles = self._draw_layers(frame, camera)
        else:
            triangles = self._visibility.triangles(
                frame.geometry, frame.mesh_to_camera.detach(), frame.double_sided, frame.view
            )
            radiance = self._shade(frame, triangles, camera).radiance
        return (
            self._smooth(scene, frame, triangles, camera, radiance) if self.antialias else radiance
        )

    def _draw_layers(
        self, frame: Frame, camera: torch.Tensor | None
    ) -> tuple[Radiance, torch.Tensor]:
        """Draw a frame through which one sees, and return the triangles that stand for it.

        The CPU finds its triangles on every device.
        """
        visibility, geometry = self._cpu_visibility, on_cpu(frame.geometry)
        seen_from = frame.mesh_to_camera.detach(), frame.double_sided, frame.view
        first = visibility.triangles(geometry, *seen_from, layered=True).to(self.device)

        def shade_layer(triangles: torch.Tensor) -> Shaded:
            return self._shade(frame, triangles, camera)

        def behind(through: npt.NDArray[np.bool_]) -> torch.Tensor:
            return visibility.triangles_behind(geometry, *seen_from, through)

        if camera is None:
            return stack_layers_fused(first, shade_layer, behind, self._buffers)
        return stack_layers(first, shade_layer, behind)

    def _camera(self, frame: Frame) -> torch.Tensor:
        """Return the vertices (V, 3) in the optical frame, differentiably."""
        return to_camera(frame.geometry, frame.mesh_to_camera.to(self.device, frame.dtype))

    def _shade(self, frame: Frame, triangles: torch.Tensor, camera: torch.Tensor | None) -> Shaded:
        """Shade the triangles seen, by the CPU kernel where ``camera`` is None, else in torch."""
        if camera is None:
            return shade_fused(triangles, frame, self._cpu_visibility.camera, self._buffers)
        return shade(
            triangles,
            frame.view.width,
            frame.view.height,
            frame.pinhole,
            frame.geometry,
            frame.materials,
            camera,
            normal_matrices(frame.mesh_to_camera.to(self.device, frame.dtype)),
            frame.illumination,
        )

    def _smooth(
        self,
        scene: Scene,
        frame: Frame,
        triangles: torch.Tensor,
        camera: torch.Tensor | None,
        radiance: Radiance,
    ) -> Radiance:
        """Smooth silhouettes, by the CPU kernel where ``camera`` is None, else in torch."""
        view = frame.view
        silhouettes = find_silhouettes(
            triangles.cpu().numpy(),
            radiance.depth.detach().cpu().float().reshape(-1).numpy(),
            frame.geometry.faces.cpu().numpy(),
            frame.geometry.face_instance.cpu().numpy(),
            self._packer.neighbours(scene, frame.geometry),
            self._cpu_visibility.camera
            if camera is None
            else camera.detach().cpu().float().numpy(),
            view,
            self._buffers,
        )
        flat = radiance.color.reshape(-1, 3)
        if camera is None:
            color = self._buffers.take(view.width * view.height, 3)
            antialias_fused(flat.numpy(), silhouettes, view, color)
            smooth = torch.from_numpy(color)
        else:
            smooth = antialias(
                flat, silhouettes, frame.geometry.faces, camera, frame.pinhole, view.width
            )
        return replace(radiance, color=smooth.reshape(radiance.color.shape))
