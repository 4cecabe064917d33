# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Triangle numbers to light, on the CPU in one pass: interpolation, textures, GGX, environment.

Equal to the torch path in ``render/shading.py`` within 1e-4. Hit pixels are gathered into blocks;
the arithmetic on a block vectorizes (see ``kernels/scratch.py``), the look-ups do not.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.gather import gather_surface
from diffphyscam_ros.kernels.latlong import aim_at_latlong, four_pixels
from diffphyscam_ros.kernels.lighting import (
    add_diffuse_environment,
    add_light,
    add_mirrored_environment,
    add_uniform_environment,
    aim_reflection,
    face_viewer,
    keep_irradiance,
    occlude_reflection,
    read_light_visibility,
    see_sky,
    weigh_reflection,
)
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    AIM_X,
    AIM_Y,
    AIM_Z,
    ALPHA,
    BLOCK,
    FLOATS,
    INTEGERS,
    LIT,
    OUT_B,
    OUT_G,
    OUT_R,
    PIXEL,
    RAY_X,
    RAY_Y,
    TRIANGLE,
)
from diffphyscam_ros.kernels.surface import USES_ALPHA, USES_OCCLUSION

ROWS_PER_TASK = 8
CLOSED = -2  # in place of a triangle's number: this pixel is not drawn to at all


@kernel(fastmath=True)
def _show_environment(s, n, count, turn, picture, width, height, intensity):
    """Fill OUT with the environment seen along the rays.

    :param picture: (h·w, 3) float32.
    """
    for i in range(BLOCK):
        s[AIM_X + i], s[AIM_Y + i], s[AIM_Z + i] = s[RAY_X + i], s[RAY_Y + i], ONE
    aim_at_latlong(s, n, turn, width, height)
    for i in range(count):
        red, green, blue = four_pixels(s, n, i, picture, 0)
        s[OUT_R + i] = intensity * red
        s[OUT_G + i] = intensity * green
        s[OUT_B + i] = intensity * blue


@kernel(fastmath=True)
def _write(s, n, count, color):
    for i in range(count):
        pixel = np.uint32(n[PIXEL + i])
        color[pixel, 0] = s[OUT_R + i]
        color[pixel, 1] = s[OUT_G + i]
        color[pixel, 2] = s[OUT_B + i]


@kernel(fastmath=True)
def _shade_block(
    s,
    n,
    count,
    step_x,
    step_y,
    geometry,
    rotate,
    materials,
    lights,
    visibility,
    has_environment,
    environment,
    table,
    turn,
    intensity,
    color,
    depth,
    normal,
    instance,
    alpha,
    has_alpha,
):
    """Shade the hit pixels of one block."""
    uses = gather_surface(
        s, n, count, step_x, step_y, geometry, rotate, materials, depth, normal, instance
    )
    light_visibility, has_light_visibility, sky_visibility, has_sky_visibility = visibility
    face_viewer(s)
    for i in range(BLOCK):
        s[LIT + i] = ONE
    for k in range(lights.shape[0]):
        if has_light_visibility:
            read_light_visibility(s, n, count, light_visibility, k)
        add_light(s, lights, k)
    if has_environment:
        _, glossy, glossy_shape, _, _ = environment
        if has_sky_visibility:
            see_sky(s, n, count, sky_visibility)
        add_diffuse_environment(s)
        weigh_reflection(s, n, count, table)
        if has_sky_visibility or (uses & USES_OCCLUSION) != 0:
            occlude_reflection(s)
        levels, height, width = glossy_shape[0], glossy_shape[1], glossy_shape[2]
        if height * width == 1:
            add_uniform_environment(
                s, intensity * glossy[0, 0], intensity * glossy[0, 1], intensity * glossy[0, 2]
            )
        else:
            aim_reflection(s)
            aim_at_latlong(s, n, turn, width, height)
            add_mirrored_environment(s, n, count, glossy, height * width, levels, intensity)
    _write(s, n, count, color)
    if has_alpha:
        for i in range(count):
            alpha[np.uint32(n[PIXEL + i])] = s[ALPHA + i] if (uses & USES_ALPHA) != 0 else ONE


@kernel(parallel=True, fastmath=True)
def shade(
    triangles,
    width,
    height,
    pinhole,
    geometry,
    normal_matrices,
    materials,
    lights,
    visibility,
    has_environment,
    environment,
    table,
    turn,
    intensity,
    show_environment,
    background,
    order,
    places,
    placed,
    color,
    depth,
    normal,
    instance,
    alpha,
    has_alpha,
):
    """Shade the whole picture.

    :param triangles: (H·W,) int32 of the visibility, −1 where nothing was hit; pixels with −2
        (CLOSED) are left as they are in all outputs.
    :param pinhole: (4,) float64 fx, fy, cx, cy.
    :param geometry: faces (F, 3) int32, face_instance (F,) int32, camera (V, 3), normals, uvs,
        colors: float32, the last three with one row where no mesh has any.
    :param normal_matrices: (I, 3, 3) float32, mesh normals to the optical frame, any scale.
    :param materials: factors (I, 12) float32, flags (I, 8) int32, atlas (N, 4) float32,
        texture levels (T, L, 3) int32, level counts (T,) int32; see ``render/materials.py``.
    :param lights: (L, 14) float32 in the optical frame, see ``render/lights.py``.
    :param visibility: of lights (L, H·W) uint8 and whether that is to be used, of the environment
        (H·W,) uint8 and whether that is to be used; 255 = all of it arrives.
    :param environment: irradiance (31, 3), prefiltered pictures (L·h·w, 3) and their
        shape (L, h, w), the picture itself (H·W, 3) and its shape (H, W): float32 and int64.
    :param turn: (3, 3) float32, optical frame to the environment's.
    :param background: (3,) float32 where nothing is hit and the environment is not shown.
    :param order: int32 numbers of all strips of ``ROWS_PER_TASK`` rows, as they are worked on.
    :param places: (H·W, 2) float32, used where ``placed``: u and v in px at which each pixel looks
        at its triangle, instead of its own.
    :param color, depth, normal, instance: out, (H·W, 3), (H·W,), (H·W, 3), (H·W,).
    :param alpha: (H·W,) float32, out where ``has_alpha``: what the pixel keeps from those behind;
        1 where nothing was hit.
    """
    irradiance, _, _, picture, picture_shape = environment
    step_x, step_y = np.float32(1.0 / pinhole[0]), np.float32(1.0 / pinhole[1])
    cx, cy = np.float32(pinhole[2]), np.float32(pinhole[3])
    for task in prange(order.shape[0]):
        s, n = np.zeros(FLOATS, np.float32), np.zeros(INTEGERS, np.int32)
        keep_irradiance(s, irradiance)
        missed, empty = np.zeros(FLOATS, np.float32), np.zeros(INTEGERS, np.int32)
        count = 0
        misses = 0
        ray_y = ZERO
        first = order[task] * ROWS_PER_TASK
        column, row = width - 1, first - 1
        last = min(first + ROWS_PER_TASK, height) * width - 1
        for pixel in range(first * width, last + 1):
            column += 1
            if column == width:
                column = 0
                row += 1
                ray_y = (np.float32(row) - cy) * step_y
            triangle = triangles[pixel]
            if triangle >= 0:
                s[RAY_X + count] = (np.float32(column) - cx) * step_x
                s[RAY_Y + count] = ray_y
                if placed:
                    s[RAY_X + count] = (places[pixel, 0] - cx) * step_x
                    s[RAY_Y + count] = (places[pixel, 1] - cy) * step_y
                n[PIXEL + count] = pixel
                n[TRIANGLE + count] = triangle
                count += 1
            elif triangle != CLOSED:
                if has_alpha:
                    alpha[pixel] = ONE
                depth[pixel] = np.inf
                normal[pixel, 0] = normal[pixel, 1] = normal[pixel, 2] = ZERO
                instance[pixel] = 0
                if show_environment:
                    missed[RAY_X + misses] = (np.float32(column) - cx) * step_x
                    missed[RAY_Y + misses] = ray_y
                    empty[PIXEL + misses] = pixel
                    misses += 1
                else:
                    color[pixel, 0] = background[0]
                    color[pixel, 1] = background[1]
                    color[pixel, 2] = background[2]
            if count == BLOCK or (count > 0 and pixel == last):
                _shade_block(
                    s,
                    n,
                    count,
                    step_x,
                    step_y,
                    geometry,
                    normal_matrices,
                    materials,
                    lights,
                    visibility,
                    has_environment,
                    environment,
                    table,
                    turn,
                    intensity,
                    color,
                    depth,
                    normal,
                    instance,
                    alpha,
                    has_alpha,
                )
                count = 0
            if misses == BLOCK or (misses > 0 and pixel == last):
                _show_environment(
                    missed,
                    empty,
                    misses,
                    turn,
                    picture,
                    picture_shape[1],
                    picture_shape[0],
                    intensity,
                )
                _write(missed, empty, misses, color)
                misses = 0
