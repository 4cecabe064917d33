# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The renderer: scene + pinhole + pose → radiance, depth, normals, instance ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.antialias import ALL_GIVE, find_silhouettes
from diffphyscam_ros.render.batches import batch_size, each_view
from diffphyscam_ros.render.device import (
    check_rasterizer,
    choose_device,
    choose_rasterizer,
    make_rasterizer,
    make_silhouette_finder,
)
from diffphyscam_ros.render.frame import Arriving, Frame, FramePacker, UNHINDERED
from diffphyscam_ros.render.gradient_tables import GradientTables
from diffphyscam_ros.render.layers import stack_layers, stack_layers_fused
from diffphyscam_ros.render.occlusion import Occlusion
from diffphyscam_ros.render.paths import GradientPath, KernelPath, Path, TorchPath
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.rims import roles_in_rims, shade_rims
from diffphyscam_ros.render.shading import Shaded
from diffphyscam_ros.render.visibility import CpuVisibility, LayeredVisibility, Visibility
from diffphyscam_ros.scene.types import Scene

if TYPE_CHECKING:
    from diffphyscam_ros.render.triton_silhouettes import SilhouetteFinder

KEPT_BUFFERS = 48  # eleven for each picture that somebody still holds, sixteen with gradients


@dataclass(frozen=True)
class _Drawn:
    """A picture before its silhouettes are smoothed.

    :param triangles: (H·W,) that stand for it.
    :param arriving: the light at what is seen first.
    :param roles: (H·W,) of its pixels in rims, see ``kernels/antialias.py``; None: all give.
    """

    radiance: Radiance
    path: Path
    triangles: torch.Tensor
    arriving: Arriving
    roles: torch.Tensor | None = None


class Renderer:
    """Draws scenes through a pinhole.

    Meshes, materials and the environment are packed once and kept as long as they stay the same
    objects (and, by torch's version counter, unchanged); poses and lights are read every frame.
    What is returned is never written to again. Use a renderer from one thread at a time; several
    renderers may work at once.

    :param device: ``'cpu'``; ``'cuda'`` or ``'cuda:N'``; ``'auto'`` = CUDA where it works, else
        the CPU, with the reason in ``device_reason``.
    :param antialias: smooth the edges of silhouettes in ``color`` (depth, normal and instance
        stay those at the pixel centres).
    :param near: metres; nothing nearer along z is seen.
    :param reference: shade in readable torch, which the CPU kernels are held to; slow.
    :param shadows: lights whose ``shadows`` are on cast them, soft ones if they have a size. No
        gradient passes through what is in shadow to what casts it.
    :param ambient_occlusion: what stands before the environment keeps its light away. No gradient
        passes through that either.
    :param rasterizer: on CUDA ``'triton'``, ``'nvdiffrast'``, or ``'auto'``: nvdiffrast where it
        is installed, else Triton. The CPU has its own.
    :raises DeviceError: where the device asked for cannot render; it names the remedy.

    >>> import torch
    >>> from diffphyscam_ros.render import Intrinsics, Renderer
    >>> from diffphyscam_ros.scene.types import Scene
    >>> radiance = Renderer('cpu')(Scene(), Intrinsics.from_fov(64, 48, 1.0), torch.eye(4))
    >>> radiance.depth.shape, float(radiance.depth.min())
    (torch.Size([48, 64]), inf)
    """

    def __init__(
        self,
        device: str = 'auto',
        antialias: bool = False,
        near: float = 1e-3,
        reference: bool = False,
        shadows: bool = True,
        ambient_occlusion: bool = False,
        rasterizer: str = 'auto',
    ) -> None:
        """See the class."""
        if not 0.0 < near < np.inf:
            raise ValueError(f'near = {near} m: must be positive and finite')
        self.antialias = antialias
        self.near = near
        self.reference = reference
        self.shadows = shadows
        self.ambient_occlusion = ambient_occlusion
        check_rasterizer(rasterizer)
        self.device, self.device_reason = choose_device(device)
        self._cpu_visibility = CpuVisibility()
        self._visibility: Visibility = self._cpu_visibility
        self._finder: SilhouetteFinder | None = None
        if self.device.type == 'cuda':
            self._finder = make_silhouette_finder()
            rasterizer = choose_rasterizer(self.device, rasterizer)
            self._visibility = make_rasterizer(self.device, rasterizer)
            self.device_reason += f'; rasterizer: {rasterizer}'
        self._buffers = BufferPool(KEPT_BUFFERS)
        self._tables = GradientTables()
        self._occlusion = Occlusion()
        self._packer = FramePacker(self.device)

    def __call__(
        self, scene: Scene, intrinsics: Intrinsics, camera_to_world: torch.Tensor
    ) -> Radiance:
        """Draw a picture, or one for each pose or pinhole of a batch.

        Differentiable wherever a tensor of the scene, the pinhole or the pose requires grad, but
        for silhouettes without ``antialias`` (docs/rendering.md); the precision is then float64
        if one of those tensors is, else float32.

        :param intrinsics: of one camera, or (B,) fields.
        :param camera_to_world: (4, 4) or (B, 4, 4) rigid, optical frame (x right, y down, z
            forward) to world.
        :return: (H, W, …), of a batch (B, H, W, …).
        :raises ValueError: for a pose that is not rigid, batches of different sizes, or meshes,
            materials or lights whose arrays do not fit together.
        """
        if torch.is_inference_mode_enabled():
            # What is packed now may be used for gradients later.
            with torch.inference_mode(False), torch.no_grad():
                return self(scene, intrinsics, camera_to_world)
        count = batch_size(intrinsics, camera_to_world)
        if count is not None:
            return each_view(
                lambda one, pose: self._draw(scene, one, pose), intrinsics, camera_to_world, count
            )
        return self._draw(scene, intrinsics, camera_to_world)

    def _draw(
        self, scene: Scene, intrinsics: Intrinsics, camera_to_world: torch.Tensor
    ) -> Radiance:
        """Draw one picture."""
        frame = self._packer.frame(scene, intrinsics, camera_to_world, self.near)
        if frame.layered:
            drawn = self._draw_layers(scene, frame)
        else:
            triangles = self._visibility.triangles(frame.sight)
            path = self._path(frame)
            arriving = self._arriving(scene, frame, path, triangles)
            radiance = path.shade(triangles, frame.lit(arriving)).radiance
            drawn = _Drawn(radiance, path, triangles, arriving)
        return self._smooth(scene, frame, drawn) if self.antialias else drawn.radiance

    def _path(self, frame: Frame) -> Path:
        """Choose how a frame is shaded that the visibility has just looked at."""
        if self.reference or self.device.type != 'cpu' or frame.dtype != torch.float32:
            return TorchPath(frame, self.device)
        points = self._cpu_visibility.camera
        if frame.differentiable:
            return GradientPath(frame, points, self._buffers, self._tables)
        return KernelPath(frame, points, self._buffers)

    def _arriving(
        self, scene: Scene, frame: Frame, path: Path, triangles: torch.Tensor
    ) -> Arriving:
        """Return how much light reaches what is seen at each pixel."""
        if not (self.shadows or self.ambient_occlusion):
            return UNHINDERED
        return self._occlusion.arriving(
            scene, frame, triangles, path.points(), self.shadows, self.ambient_occlusion
        )

    def _draw_layers(self, scene: Scene, frame: Frame) -> _Drawn:
        """Draw a frame through which one sees.

        The CPU finds them where the device's visibility does not know what is behind.
        """
        visibility, sight = self._visibility, frame.sight
        if not isinstance(visibility, LayeredVisibility):
            visibility, sight = self._cpu_visibility, sight.on_cpu()
        first = visibility.triangles(sight, layered=True).to(self.device)
        path = self._path(frame)
        seen_first = first.clone() if self.antialias else first  # what is behind is written there
        arriving: list[Arriving] = []

        def behind(through: torch.Tensor) -> torch.Tensor:
            asked = through.to(sight.geometry.faces.device)
            return visibility.triangles_behind(asked).to(self.device)

        def shade(triangles: torch.Tensor) -> Shaded:
            arriving.append(self._arriving(scene, frame, path, triangles))
            return path.shade(triangles, frame.lit(arriving[-1]))

        if path.differentiable:
            radiance, triangles = stack_layers(first, shade, behind)
        else:
            radiance, triangles = stack_layers_fused(first, shade, behind, self._buffers)
        roles = roles_in_rims(seen_first, triangles, frame) if self.antialias else None
        return _Drawn(radiance, path, triangles, arriving[0], roles)

    def _smooth(self, scene: Scene, frame: Frame, drawn: _Drawn) -> Radiance:
        """Smooth silhouettes."""
        radiance, path, triangles = drawn.radiance, drawn.path, drawn.triangles
        color, depth = radiance.color.reshape(-1, 3), radiance.depth.reshape(-1)
        neighbours = self._packer.neighbours(scene, frame.geometry)
        if self._finder is not None and isinstance(path, TorchPath):
            on_device = self._finder.find(
                triangles, depth, frame.geometry, neighbours, path.camera, frame.view, drawn.roles
            )
            rim_color = shade_rims(on_device.rims, frame, drawn.arriving, path.shade)
            smooth = path.smooth(color, on_device, rim_color)
        else:
            found = find_silhouettes(
                triangles.cpu().numpy(),
                depth.detach().cpu().float().numpy(),
                frame.geometry.faces.cpu().numpy(),
                frame.geometry.face_instance.cpu().numpy(),
                neighbours,
                path.points(),
                frame.view,
                self._buffers,
                ALL_GIVE if drawn.roles is None else drawn.roles.cpu().numpy(),
            )
            rim_color = shade_rims(found.rims, frame, drawn.arriving, path.shade)
            smooth = path.smooth(color, found, rim_color)
        return replace(radiance, color=smooth.reshape(radiance.color.shape))
