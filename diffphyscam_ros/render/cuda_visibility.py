# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Visibility on NVIDIA GPUs by nvdiffrast (an optional extra; its licence is non-commercial)."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from diffphyscam_ros.render.errors import DeviceError
from diffphyscam_ros.render.interpolation import to_camera
from diffphyscam_ros.render.visibility import culled_signs, Sight, View

# nvdiffrast gives numbers above 2^24, which float32 cannot hold, as shifted bit patterns.
EXACT_NUMBERS = 16777216.0
SHIFTED_BITS = 0x4A800000


def nvdiffrast_problem() -> str | None:
    """Return why nvdiffrast cannot serve here, with the remedy, or None if it can."""
    try:
        importlib.import_module('nvdiffrast.torch')
    except ImportError as error:
        return (
            f'nvdiffrast cannot be imported ({error}). It is not installed with this package '
            'because its licence allows non-commercial use only: if that suits you, install it '
            'from its repository NVlabs/nvdiffrast (pip install of a checkout, '
            "--no-build-isolation), else use rasterizer='triton'"
        )
    return None


def clip_coordinates(camera: torch.Tensor, view: View) -> torch.Tensor:
    """Return homogeneous clip coordinates (V, 4) of points (V, 3) in the optical frame.

    nvdiffrast puts row 0 of its result at y = −1; with y growing downwards here, row 0 is the
    picture's top. Its pixel i covers [2i/W − 1, 2(i+1)/W − 1], and our pixel centres are at whole
    numbers, hence the half. z runs from −1 at the near plane to 1 at infinity.
    """
    x, y, z = camera.unbind(-1)
    clip_x = 2.0 / view.width * (view.fx * x + (view.cx + 0.5) * z) - z
    clip_y = 2.0 / view.height * (view.fy * y + (view.cy + 0.5) * z) - z
    return torch.stack([clip_x, clip_y, z - 2.0 * view.near, z], dim=-1)


def triangle_numbers(code: torch.Tensor) -> torch.Tensor:
    """Return int32 triangle numbers, −1 for none, from nvdiffrast's triangle_id + 1 in float32."""
    shifted = code.contiguous().view(torch.int32) - SHIFTED_BITS
    return torch.where(code <= EXACT_NUMBERS, code.to(torch.int32), shifted) - 1


class CudaVisibility:
    """nvdiffrast's CUDA rasterizer. Only the triangle numbers are taken from it."""

    def __init__(self, device: torch.device) -> None:
        """Make a rasterizer.

        :raises DeviceError: without nvdiffrast.
        """
        problem = nvdiffrast_problem()
        if problem is not None:
            raise DeviceError(problem)
        self._nvdiffrast: Any = importlib.import_module('nvdiffrast.torch')
        self._context = self._nvdiffrast.RasterizeCudaContext(device=device)

    def triangles(self, sight: Sight) -> torch.Tensor:
        """See :class:`diffphyscam_ros.render.visibility.Visibility`."""
        geometry, view = sight.geometry, sight.view
        device = geometry.faces.device
        nothing = torch.full((view.width * view.height,), -1, dtype=torch.int32, device=device)
        with torch.no_grad():
            matrices = sight.mesh_to_camera.to(device, torch.float32)
            camera = to_camera(geometry, matrices).to(torch.float32)
            usable = torch.isfinite(camera).all(-1)
            seen = usable & (camera[:, 2] > view.near)
            if not bool(seen.any()):
                return nothing
            # The nearest plane that cuts nothing off: depth resolution is proportional to it.
            nearest = float(camera[seen, 2].min()) * 0.99
            crossing = bool((usable & (camera[:, 2] <= view.near)).any())
            near = view.near if crossing else max(view.near, nearest)
            tight = View(view.width, view.height, view.fx, view.fy, view.cx, view.cy, near)

            corners = geometry.faces.long()
            kept = usable[corners].all(-1)
            signs = torch.from_numpy(culled_signs(sight.mesh_to_camera, sight.double_sided)).to(
                device
            )
            if bool((signs != 0).any()):
                kept &= self._facing(camera[corners], signs[geometry.face_instance.long()])
            numbers = kept.nonzero().squeeze(-1)
            if numbers.numel() == 0:
                return nothing
            camera = torch.where(usable[:, None], camera, torch.zeros_like(camera))
            result, _ = self._nvdiffrast.rasterize(
                self._context,
                clip_coordinates(camera, tight)[None].contiguous(),
                geometry.faces[numbers].contiguous(),
                resolution=(view.height, view.width),
                grad_db=False,
            )
            index = triangle_numbers(result[0, :, :, 3].reshape(-1))
            found = numbers[index.clamp_min(0).long()].to(torch.int32)
            return torch.where(index >= 0, found, nothing)

    @staticmethod
    def _facing(corners: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
        """Return which triangles (F, 3, 3) are not to be left out by their side (F,).

        The side is that on which the pinhole lies: it needs no projection, so it is right for
        triangles that reach behind the camera too.
        """
        edges = corners[:, 1:] - corners[:, :1]
        outward = torch.linalg.cross(edges[:, 0], edges[:, 1])
        # Positive where the triangle runs clockwise in the picture, seen from behind.
        side: torch.Tensor = (outward * corners[:, 0]).sum(-1)
        return torch.logical_not(side * signs > 0)
