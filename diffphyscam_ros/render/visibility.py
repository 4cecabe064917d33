# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Visibility backends: which triangle is seen at each pixel. All else is common to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numba
import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.frame_tables import are_mirrored
from diffphyscam_ros.kernels.rasterize import merge_keys, project_vertices, rasterize
from diffphyscam_ros.render.geometry import Geometry, on_cpu

MAX_WORKERS = 16  # each worker owns a buffer of 8 bytes for each pixel


@dataclass(frozen=True)
class View:
    """A pinhole in plain numbers (px) and the nearest z that is seen (m)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    near: float

    def pinhole(self) -> npt.NDArray[np.float64]:
        """Return (4,) fx, fy, cx, cy."""
        return np.array([self.fx, self.fy, self.cx, self.cy])


@dataclass(frozen=True)
class Sight:
    """What there is to see, and from where.

    :param mesh_to_camera: (I, 4, 4) float64 on the CPU, without gradient.
    :param double_sided: (I,); triangles of the others are not seen from behind.
    """

    geometry: Geometry
    mesh_to_camera: torch.Tensor
    double_sided: npt.NDArray[np.bool_]
    view: View

    def on_cpu(self) -> Sight:
        """Return the same with the geometry on the CPU."""
        return replace(self, geometry=on_cpu(self.geometry))


class Visibility(Protocol):
    """What a backend must do."""

    def triangles(self, sight: Sight) -> torch.Tensor:
        """Return the triangle seen at each pixel, (H·W,) int32, −1 where there is none.

        :returns: memory that the next call may write to again.
        """


@runtime_checkable
class LayeredVisibility(Protocol):
    """A backend that also knows what is behind."""

    def triangles(self, sight: Sight, layered: bool = False) -> torch.Tensor:
        """See :class:`Visibility`.

        :param layered: remember what is seen, so that :meth:`triangles_behind` can follow.
        """

    def triangles_behind(self, through: torch.Tensor) -> torch.Tensor:
        """Return what is seen behind the triangles of the last call.

        :param through: (H·W,) bool, the pixels asked for.
        :returns: (H·W,) int32, −1 where there is nothing more, −2 at the other pixels; memory that
            the next call may write to again.
        :raises RuntimeError: where the last look was not ``layered``.
        """


def not_layered() -> RuntimeError:
    """Return what :meth:`LayeredVisibility.triangles_behind` raises."""
    return RuntimeError('the last look was not layered: nothing is known to be behind it')


def culled_signs(
    mesh_to_camera: torch.Tensor, double_sided: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return (I,): the sign of the area in the picture (v down) of triangles to leave out.

    Counter-clockwise triangles have a negative area there; a mirrored mesh turns them round.
    """
    mirrored = np.empty(len(mesh_to_camera), bool)
    are_mirrored(mesh_to_camera.numpy(), mirrored)
    return np.where(double_sided, 0, np.where(mirrored, -1, 1)).astype(np.int64)


class CpuVisibility:
    """Numba kernels; scratch memory is kept between frames.

    ``camera`` (V, 3) float32 holds the vertices in the optical frame after :meth:`triangles`; it
    and the result are valid until the next call.
    Not for use by two threads at once.
    """

    def __init__(self) -> None:
        """Start without scratch memory."""
        self._keys = np.zeros((0, 0), np.int64)
        self._projected = np.zeros((0, 4), np.int32)
        self._triangles = np.zeros(0, np.int32)
        self._camera = np.zeros((0, 3), np.float32)
        self._limits: npt.NDArray[np.int64] | None = None
        self._sight: Sight | None = None
        self.camera = self._camera

    def triangles(self, sight: Sight, layered: bool = False) -> torch.Tensor:
        """See :class:`LayeredVisibility`."""
        geometry, view = sight.geometry, sight.view
        vertices = geometry.vertices.detach().to(torch.float32).numpy()
        count, pixels = len(vertices), view.width * view.height
        if len(self._projected) < count:
            self._projected = np.empty((count, 4), np.int32)
            self._camera = np.empty((count, 3), np.float32)
        self.camera = self._camera[:count]
        workers = min(numba.get_num_threads(), MAX_WORKERS)
        if self._keys.shape != (workers, pixels):
            self._keys = np.zeros((workers, pixels), np.int64)

        project_vertices(
            vertices,
            geometry.vertex_blocks,
            np.ascontiguousarray(sight.mesh_to_camera[:, :3, :].numpy()),
            view.pinhole(),
            view.width,
            view.height,
            view.near,
            self.camera,
            self._projected[:count],
        )
        self._sight = sight
        self._limits = np.full(pixels, np.iinfo(np.int64).max) if layered else None
        return self._draw(sight, None, self._limits)

    def triangles_behind(self, through: torch.Tensor) -> torch.Tensor:
        """See :class:`LayeredVisibility`."""
        if self._limits is None or self._sight is None:
            raise not_layered()
        self._limits[~through.numpy()] = 0
        return self._draw(self._sight, self._limits, self._limits)

    def _draw(
        self,
        sight: Sight,
        limits: npt.NDArray[np.int64] | None,
        seen: npt.NDArray[np.int64] | None,
    ) -> torch.Tensor:
        """Enter all projected triangles below the limits; write the keys seen to ``seen``."""
        try:
            return self._entered(sight, limits, seen)
        except BaseException:  # Ctrl-C, too: the keys hold a part of this picture
            self._keys, self._limits = np.zeros((0, 0), np.int64), None
            raise

    def _entered(
        self,
        sight: Sight,
        limits: npt.NDArray[np.int64] | None,
        seen: npt.NDArray[np.int64] | None,
    ) -> torch.Tensor:
        """Do the same, leaving keys behind when it is interrupted."""
        geometry, view = sight.geometry, sight.view
        matrices = np.ascontiguousarray(sight.mesh_to_camera[:, :3, :].numpy())
        signs = culled_signs(sight.mesh_to_camera, sight.double_sided)
        rasterize(
            geometry.faces.numpy(),
            geometry.face_blocks,
            geometry.face_bounds,
            matrices,
            signs,
            self.camera,
            self._projected[: len(self.camera)],
            view.pinhole(),
            view.width,
            view.height,
            view.near,
            self._keys,
            limits,
        )
        pixels = view.width * view.height
        if len(self._triangles) != pixels:
            self._triangles = np.empty(pixels, np.int32)
        merge_keys(self._keys, seen, self._triangles)
        return torch.from_numpy(self._triangles)
