# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shading by the CPU kernel: a frame's tensors as the arrays that it takes. Without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels import shade as shade_kernel
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.frame_tables import normal_matrices
from diffphyscam_ros.kernels.schedule import spread_order
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.geometry import Geometry
from diffphyscam_ros.render.lighting import Illumination, turned_irradiance_fast
from diffphyscam_ros.render.materials import Materials
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.reflectance import environment_table
from diffphyscam_ros.render.shading import Shaded

ALL_SEEN = np.full((1, 1), 255, np.uint8)
NO_ALPHA = np.zeros(0, np.float32)
NO_PLACES = np.zeros((0, 2), np.float32)


def geometry_arrays(
    geometry: Geometry, camera: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[Any], ...]:
    """Return the kernel's argument ``geometry``; ``camera``: (V, 3) in the optical frame."""
    return (
        geometry.faces.numpy(),
        geometry.face_instance.numpy(),
        camera,
        geometry.normals.detach().numpy(),
        geometry.uvs.detach().numpy(),
        geometry.colors.detach().numpy(),
    )


def material_arrays(materials: Materials) -> tuple[npt.NDArray[Any], ...]:
    """Return the kernel's argument ``materials``."""
    return (
        materials.factors.detach().numpy(),
        materials.flags.numpy(),
        materials.atlas.detach().numpy(),
        materials.levels.numpy(),
        materials.counts.numpy(),
    )


def visibility_arrays(
    illumination: Illumination,
) -> tuple[npt.NDArray[np.uint8], bool, npt.NDArray[np.uint8], bool]:
    """Return the kernel's argument ``visibility``."""
    lights, sky = illumination.light_visibility, illumination.sky_visibility
    return (
        ALL_SEEN if lights is None else lights.numpy(),
        lights is not None,
        ALL_SEEN[0] if sky is None else sky.numpy(),
        sky is not None,
    )


def environment_arrays(
    illumination: Illumination, irradiance: torch.Tensor | None = None
) -> tuple[npt.NDArray[Any], ...]:
    """Return the kernel's argument ``environment``, black where there is none.

    :param irradiance: (31, 3) in the optical frame where it is known already.
    """
    maps = illumination.maps
    if maps is None:
        black = np.zeros((2, 3), np.float32)
        none = np.zeros((31, 3), np.float32)
        return none, black, np.array([2, 1, 1]), black[:1], np.array([1, 1])
    return (
        turned_irradiance_fast(maps, illumination.turn, illumination.intensity)
        if irradiance is None
        else irradiance.detach().numpy(),
        maps.glossy.detach().reshape(-1, 3).numpy(),
        np.array(maps.glossy.shape[:3]),
        maps.picture.detach().reshape(-1, 3).numpy(),
        np.array(maps.picture.shape[:2]),
    )


def shade_fused(
    triangles: torch.Tensor,
    frame: Frame,
    camera: npt.NDArray[np.float32],
    buffers: BufferPool,
    places: npt.NDArray[np.float32] | None = None,
) -> Shaded:
    """Turn triangle numbers into a picture, as :func:`diffphyscam_ros.render.shading.shade` does.

    :param triangles: (H·W,) int32, see there.
    :param camera: (V, 3) vertices in the optical frame.
    :param buffers: lends the memory of the picture.
    :param places: (H·W, 2), see there.
    """
    view, illumination = frame.view, frame.illumination
    pixels = view.width * view.height
    color, depth = buffers.take(pixels, 3), buffers.take(pixels)
    normal, instance = buffers.take(pixels, 3), buffers.take(pixels).view(np.int32)
    alpha = buffers.take(pixels) if frame.layered else NO_ALPHA
    background = illumination.background
    poses = frame.mesh_to_camera.detach().numpy()
    rotate = np.empty((len(poses), 3, 3), np.float32)
    normal_matrices(poses, rotate)
    shade_kernel.shade(
        triangles.numpy(),
        view.width,
        view.height,
        view.pinhole(),
        geometry_arrays(frame.geometry, camera),
        rotate,
        material_arrays(frame.materials),
        illumination.lights.detach().numpy(),
        visibility_arrays(illumination),
        illumination.maps is not None,
        environment_arrays(illumination),
        environment_table().numpy(),
        np.ascontiguousarray(illumination.turn.detach().numpy()),
        np.float32(illumination.intensity.detach()),
        background is None and illumination.maps is not None,
        np.zeros(3, np.float32) if background is None else background.numpy(),
        spread_order(-(-view.height // shade_kernel.ROWS_PER_TASK)),
        NO_PLACES if places is None else places,
        places is not None,
        color,
        depth,
        normal,
        instance,
        alpha,
        frame.layered,
    )
    shape = (view.height, view.width)
    radiance = Radiance(
        color=torch.from_numpy(color).reshape(*shape, 3),
        depth=torch.from_numpy(depth).reshape(shape),
        normal=torch.from_numpy(normal).reshape(*shape, 3),
        instance=torch.from_numpy(instance).reshape(shape),
    )
    return Shaded(radiance, torch.from_numpy(alpha).reshape(shape) if frame.layered else None)
