# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The ways from triangle numbers to a picture, all with one result: kernels, or readable torch."""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.antialias import (
    antialias,
    antialias_fused,
    DeviceSilhouettes,
    Silhouettes,
)
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.fused_antialias import antialias_with_gradient
from diffphyscam_ros.render.fused_geometry import to_camera_fused
from diffphyscam_ros.render.fused_gradients import shade_with_gradient
from diffphyscam_ros.render.fused_shading import shade_fused
from diffphyscam_ros.render.gradient_tables import GradientTables
from diffphyscam_ros.render.interpolation import normal_matrices, to_camera
from diffphyscam_ros.render.shading import shade, Shaded


class Path(Protocol):
    """What is done with one frame once the visibility has looked at it."""

    differentiable: bool

    def points(self) -> npt.NDArray[np.float32]:
        """Return the vertices (V, 3) in the optical frame."""

    def shade(
        self, triangles: torch.Tensor, lit: Frame, places: torch.Tensor | None = None
    ) -> Shaded:
        """Turn triangle numbers (H·W,) into a picture.

        :param lit: the path's frame with the light that arrives, and perhaps of another size.
        :param places: (H·W, 2) of :func:`diffphyscam_ros.render.shading.shade`.
        """

    def smooth(
        self, color: torch.Tensor, silhouettes: Silhouettes, rim_color: torch.Tensor | None
    ) -> torch.Tensor:
        """Return a picture (H·W, 3) with smooth silhouettes.

        :param rim_color: of the silhouettes' rims, None where there are none.
        """


class KernelPath:
    """CPU kernels, without gradients.

    :param points: (V, 3) float32 vertices in the optical frame, as the visibility has them.
    """

    differentiable = False

    def __init__(self, frame: Frame, points: npt.NDArray[np.float32], buffers: BufferPool) -> None:
        """See the class."""
        self._frame, self._points, self._buffers = frame, points, buffers

    def points(self) -> npt.NDArray[np.float32]:
        """See :class:`Path`."""
        return self._points

    def shade(
        self, triangles: torch.Tensor, lit: Frame, places: torch.Tensor | None = None
    ) -> Shaded:
        """See :class:`Path`."""
        at = None if places is None else places.numpy()
        return shade_fused(triangles, lit, self._points, self._buffers, at)

    def smooth(
        self, color: torch.Tensor, silhouettes: Silhouettes, rim_color: torch.Tensor | None
    ) -> torch.Tensor:
        """See :class:`Path`."""
        smoothed = self._buffers.take(*color.shape)
        rims = None if rim_color is None else rim_color.numpy()
        antialias_fused(color.numpy(), silhouettes, rims, self._frame.view, smoothed)
        return torch.from_numpy(smoothed)


class GradientPath:
    """CPU kernels with hand-written gradients, in float32.

    :param points: see :class:`KernelPath`; copied, since the visibility writes there again.
    """

    differentiable = True

    def __init__(
        self,
        frame: Frame,
        points: npt.NDArray[np.float32],
        buffers: BufferPool,
        tables: GradientTables,
    ) -> None:
        """See the class."""
        self._frame, self._buffers, self._tables = frame, buffers, tables
        kept = buffers.take(*points.shape)
        np.copyto(kept, points)
        geometry = frame.geometry
        self._camera = to_camera_fused(
            geometry.vertices, frame.mesh_to_camera, kept, geometry.vertex_blocks
        )

    def points(self) -> npt.NDArray[np.float32]:
        """See :class:`Path`."""
        return self._camera.detach().numpy()

    def shade(
        self, triangles: torch.Tensor, lit: Frame, places: torch.Tensor | None = None
    ) -> Shaded:
        """See :class:`Path`."""
        at = None if places is None else places.numpy()
        return shade_with_gradient(triangles, lit, self._camera, self._buffers, self._tables, at)

    def smooth(
        self, color: torch.Tensor, silhouettes: Silhouettes, rim_color: torch.Tensor | None
    ) -> torch.Tensor:
        """See :class:`Path`."""
        frame = self._frame
        return antialias_with_gradient(
            color,
            silhouettes,
            rim_color,
            frame.geometry.faces,
            self._camera,
            frame.pinhole,
            frame.view,
            self._buffers,
        )


class TorchPath:
    """The readable reference: any device, any precision, differentiable.

    :param device: where the frame's tensors are.
    """

    differentiable = True

    def __init__(self, frame: Frame, device: torch.device) -> None:
        """See the class."""
        self._frame = frame
        self._mesh_to_camera = frame.mesh_to_camera.to(device, frame.dtype)

    @functools.cached_property
    def camera(self) -> torch.Tensor:
        """The vertices (V, 3) in the optical frame, with their gradient."""
        return to_camera(self._frame.geometry, self._mesh_to_camera)

    def points(self) -> npt.NDArray[np.float32]:
        """See :class:`Path`."""
        return self.camera.detach().cpu().float().numpy()

    def shade(
        self, triangles: torch.Tensor, lit: Frame, places: torch.Tensor | None = None
    ) -> Shaded:
        """See :class:`Path`."""
        return shade(
            triangles,
            lit.view.width,
            lit.view.height,
            lit.pinhole,
            lit.geometry,
            lit.materials,
            self.camera,
            normal_matrices(self._mesh_to_camera),
            lit.illumination,
            places,
        )

    def smooth(
        self,
        color: torch.Tensor,
        silhouettes: Silhouettes | DeviceSilhouettes,
        rim_color: torch.Tensor | None,
    ) -> torch.Tensor:
        """See :class:`Path`."""
        frame = self._frame
        return antialias(
            color,
            silhouettes,
            rim_color,
            frame.geometry.faces,
            self.camera,
            frame.pinhole,
            frame.view.width,
        )
