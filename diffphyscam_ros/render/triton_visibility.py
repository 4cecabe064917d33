# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Visibility on NVIDIA GPUs by Triton, which torch's builds for CUDA bring: nothing to build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffphyscam_ros.kernels.clip import list_clipped
from diffphyscam_ros.kernels.triton_rasterize import (
    CLIPPED,
    draw_listed,
    draw_small,
    project,
    read_keys,
)
from diffphyscam_ros.render.visibility import culled_signs, not_layered, Sight, View

MEDIUM = 4096  # px of the box around a triangle; above it many programs share its tiles
SHARES = 64  # programs for each triangle above that
MOST_PARTS = 6  # triangles that five planes can cut a triangle into


@dataclass(frozen=True)
class _Looked:
    """What one look at a scene needs, on the device."""

    faces: torch.Tensor
    face_instance: torch.Tensor
    signs: torch.Tensor
    camera: torch.Tensor
    projected: torch.Tensor
    view: View


class TritonVisibility:
    """The CPU's algorithm in Triton: its triangle numbers, bit by bit.

    Triangles that cross the near plane or the guard band are clipped on the CPU by the very
    function that the CPU's rasterizer clips with: they are few, and so they fit too.

    After a ``layered`` look, :meth:`triangles_behind` returns what lies behind, as on the CPU.
    """

    def __init__(self) -> None:
        """Start without scratch memory."""
        self._keys = torch.zeros(0, dtype=torch.int64)
        self._limits = self._keys
        self._looked: _Looked | None = None

    def triangles(self, sight: Sight, layered: bool = False) -> torch.Tensor:
        """See :class:`diffphyscam_ros.render.visibility.LayeredVisibility`."""
        geometry, view = sight.geometry, sight.view
        device, pixels = geometry.faces.device, view.width * view.height
        if self._keys.shape != (pixels,) or self._keys.device != device:
            self._keys = torch.zeros(pixels, dtype=torch.int64, device=device)
        vertices = geometry.vertices.detach().to(torch.float32).contiguous()
        count = len(vertices)
        looked = _Looked(
            geometry.faces.contiguous(),
            geometry.face_instance.contiguous(),
            torch.from_numpy(culled_signs(sight.mesh_to_camera, sight.double_sided)).to(
                device, torch.int32
            ),
            torch.empty(count, 3, dtype=torch.float32, device=device),
            torch.empty(count, 4, dtype=torch.int32, device=device),
            view,
        )
        if count > 0:
            lens = torch.from_numpy(np.append(view.pinhole(), view.near)).to(device)
            matrices = sight.mesh_to_camera[:, :3].contiguous().to(device)
            project(
                vertices,
                geometry.vertex_instance,
                matrices,
                lens,
                view.width,
                view.height,
                looked.camera,
                looked.projected,
            )
        self._looked, kept = None, None
        if layered:
            self._looked = looked
            self._limits = kept = torch.empty_like(self._keys)
        return self._draw(looked, None, kept)

    def triangles_behind(self, through: torch.Tensor) -> torch.Tensor:
        """See :class:`diffphyscam_ros.render.visibility.LayeredVisibility`."""
        if self._looked is None:
            raise not_layered()
        self._limits.masked_fill_(~through, 0)
        return self._draw(self._looked, self._limits, self._limits)

    def _draw(
        self, looked: _Looked, limits: torch.Tensor | None, kept: torch.Tensor | None
    ) -> torch.Tensor:
        """Enter all triangles below the limits; write the keys seen to ``kept``."""
        try:
            return self._entered(looked, limits, kept)
        except BaseException:  # Ctrl-C, too: the keys hold a part of this picture
            self._keys, self._looked = self._keys.new_zeros(0), None
            raise

    def _entered(
        self, looked: _Looked, limits: torch.Tensor | None, kept: torch.Tensor | None
    ) -> torch.Tensor:
        """Do the same, leaving keys behind when it is interrupted."""
        view, faces, keys = looked.view, looked.faces, self._keys
        size = view.width, view.height
        if len(faces) > 0:
            rest = torch.empty(len(faces), dtype=torch.uint8, device=faces.device)
            draw_small(
                faces,
                looked.face_instance,
                looked.signs,
                looked.projected,
                *size,
                keys,
                limits,
                rest,
            )
            numbers = rest.nonzero().squeeze(-1)
            if len(numbers) > 0:
                for corners, origin, shares in self._listed(looked, numbers, rest[numbers]):
                    signs = looked.signs[looked.face_instance[origin].long()]
                    draw_listed(corners, origin.int(), signs, *size, keys, limits, shares)
        triangles = torch.empty(len(keys), dtype=torch.int32, device=keys.device)
        read_keys(keys, limits, kept, triangles)
        return triangles

    @staticmethod
    def _listed(
        looked: _Looked, numbers: torch.Tensor, kinds: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
        """Return what no lane draws: corners (M, 3, 4), triangles (M,) and programs for each."""
        cut = kinds == CLIPPED
        whole, across = numbers[~cut], numbers[cut]
        corners, origins = looked.projected[looked.faces[whole].long()], whole
        if len(across) > 0:
            parts, parents = _clipped(looked.camera[looked.faces[across].long()], looked.view)
            corners = torch.cat([corners, parts.to(corners.device)])
            origins = torch.cat([origins, across[parents.to(across.device)]])
        edge = 256 * torch.tensor([looked.view.width, looked.view.height], device=corners.device)
        places = corners[..., :2].clamp_min(0).minimum(edge)
        sides = (places.amax(1) - places.amin(1)).double()
        large = sides.prod(-1) > MEDIUM * 256**2
        groups = ((~large, 1), (large, SHARES))
        split = [(corners[chosen], origins[chosen], shares) for chosen, shares in groups]
        return [one for one in split if len(one[1]) > 0]


def _clipped(camera: torch.Tensor, view: View) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip triangles (N, 3, 3) on the CPU.

    :returns: corners (M, 3, 4) int32 and the triangle (M,) int64 that each is a part of.
    """
    points = camera.reshape(-1, 3).cpu().numpy()
    parts = MOST_PARTS * len(camera)
    corners, origins = np.empty((parts, 3, 4), np.int32), np.empty(parts, np.int64)
    made = list_clipped(points, view.pinhole(), view.near, corners, origins)
    return torch.from_numpy(corners[:made]), torch.from_numpy(origins[:made])
