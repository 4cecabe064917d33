# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of ``kernels/shade.py``: from derivatives by a picture to those by all its inputs.

Blocks of pixels are shaded anew, which is cheaper than to keep what lies between, and then walked
back. Derivatives of the large tables (vertices, texels, pixels of the environment) go to a table
for each band of the picture (``kernels/bands.py``), those of few numbers to a float64 sum each.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.adjoint_blocks import COLOR, fill_up, read_derivatives
from diffphyscam_ros.kernels.adjoint_scratch import (
    ADJOINT_FLOATS,
    TO_AIM_X,
    TO_AIM_Y,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_RAY_X,
    TO_RAY_Y,
    TO_SEEN,
)
from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.environment_adjoint import (
    aim_at_latlong_adjoint,
    aim_reflection_adjoint,
    mirrored_environment_adjoint,
    picture_adjoint,
    see_mirrored,
    uniform_environment_adjoint,
    weigh_reflection_adjoint,
)
from diffphyscam_ros.kernels.irradiance_adjoint import (
    add_diffuse_environment_adjoint,
    keep_slopes,
)
from diffphyscam_ros.kernels.latlong import aim_at_latlong
from diffphyscam_ros.kernels.lighting import (
    aim_reflection,
    face_viewer,
    FULL,
    read_light_visibility,
    see_sky,
    weigh_reflection,
)
from diffphyscam_ros.kernels.lighting_adjoint import (
    add_light_adjoint,
    face_viewer_adjoint,
)
from diffphyscam_ros.kernels.materials_adjoint import (
    base_color_adjoint,
    emissive_adjoint,
    map_normals_adjoint,
    metal_adjoint,
    occlusion_adjoint,
)
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling_adjoint import sample_textures_adjoint
from diffphyscam_ros.kernels.scratch import (
    AIM_X,
    AIM_Y,
    AIM_Z,
    BLOCK,
    FLIP,
    INTEGERS,
    LIT,
    PIXEL,
    RAY_X,
    RAY_Y,
    TRIANGLE,
)
from diffphyscam_ros.kernels.surface import (
    TEXTURE_BASE,
    TEXTURE_EMISSIVE,
    TEXTURE_METAL,
    TEXTURE_NORMAL,
    TEXTURE_OCCLUSION,
    USES_BASE,
    USES_EMISSIVE,
    USES_METAL,
    USES_NORMAL,
    USES_OCCLUSION,
    USES_TEXTURE,
)
from diffphyscam_ros.kernels.surface_adjoint import (
    corners_adjoint,
    intersect_adjoint,
    mix_normals_adjoint,
    mix_uvs_adjoint,
    rays_adjoint,
)
from diffphyscam_ros.kernels.surface_kept import recompute_surface

# Places in ``wants``.
SURFACE, CAMERA, NORMALS, UVS, COLORS, ATLAS, GLOSSY, PICTURE = range(8)
FACTORS, LIGHTS, IRRADIANCE, TURN, ROTATE, PINHOLE, INTENSITY = range(8, 15)


@kernel(fastmath=True)
def _light_adjoint(
    s,
    n,
    uses,
    lights,
    visibility,
    has_environment,
    environment,
    table,
    turn,
    intensity,
    wants,
    tables,
    sums,
    band,
):
    """Walk back from the colours to normals, materials, depth and rays, and to all light."""
    _, to_lights, to_irradiance, to_turn, _, _, to_intensity = sums
    light_visibility, has_light_visibility, sky_visibility, has_sky_visibility = visibility
    face_viewer(s)
    for i in range(BLOCK):
        s[LIT + i] = ONE
    for k in range(lights.shape[0]):
        if has_light_visibility:
            read_light_visibility(s, n, BLOCK, light_visibility, k)
        add_light_adjoint(s, lights, k, band, to_lights)
    if has_environment:
        irradiance, glossy, glossy_shape, _, _ = environment
        _, _, _, _, _, _, _, _, _, _, to_glossy, glossy_flags, _, _ = tables
        if has_sky_visibility:
            see_sky(s, n, BLOCK, sky_visibility)
        add_diffuse_environment_adjoint(s, irradiance, band, to_irradiance, wants[IRRADIANCE])
        partly = has_sky_visibility or (uses & USES_OCCLUSION) != 0
        weigh_reflection(s, n, BLOCK, table)
        see_mirrored(s, partly)
        levels, height, width = glossy_shape[0], glossy_shape[1], glossy_shape[2]
        if height * width == 1:
            uniform_environment_adjoint(
                s, glossy, intensity, band, to_glossy, glossy_flags, wants[GLOSSY]
            )
        else:
            aim_reflection(s)
            aim_at_latlong(s, n, turn, width, height)
            mirrored_environment_adjoint(
                s, n, glossy, height * width, levels, intensity, band, to_glossy,
                glossy_flags, wants[GLOSSY],
            )  # fmt: skip
            aim_at_latlong_adjoint(s, BLOCK, turn, width, height, band, to_turn)
            aim_reflection_adjoint(s)
        weigh_reflection_adjoint(s, n, table, intensity, partly, band, to_intensity)
        if has_sky_visibility:
            for i in range(BLOCK):
                s[TO_SEEN + i] *= FULL * np.float32(sky_visibility[np.uint32(n[PIXEL + i])])
    face_viewer_adjoint(s)


@kernel(fastmath=True)
def _surface_adjoint(
    s,
    n,
    count,
    uses,
    runs,
    step_x,
    step_y,
    held,
    geometry,
    rotate,
    materials,
    wants,
    tables,
    sums,
    band,
):  # fmt: skip
    """Walk back from normals, materials, depth and rays to vertices, textures and factors."""
    _, _, _, normals, uvs, colors = geometry
    factors, flags, atlas, levels, counts = materials
    to_factors, _, _, _, to_rotate, to_pinhole, _ = sums
    to_camera, camera_flags, to_normals, normal_flags, to_uvs, uv_flags = tables[:6]
    to_colors, color_flags, to_atlas, atlas_flags = tables[6:10]
    surface, wants_atlas = wants[SURFACE], wants[ATLAS]
    textured = surface or wants_atlas
    for i in range(BLOCK):
        s[TO_NORMAL_X + i] *= s[FLIP + i]
        s[TO_NORMAL_Y + i] *= s[FLIP + i]
        s[TO_NORMAL_Z + i] *= s[FLIP + i]
    if wants[FACTORS] or (uses & USES_EMISSIVE) != 0:
        emissive_adjoint(s, n, count, factors, band, to_factors)
    if textured and (uses & USES_EMISSIVE) != 0:
        sample_textures_adjoint(
            s, n, count, runs, flags, TEXTURE_EMISSIVE, atlas, levels, counts, band,
            to_atlas, atlas_flags, wants_atlas, surface,
        )  # fmt: skip
    if (uses & USES_OCCLUSION) != 0:
        occlusion_adjoint(s, n, count, factors, band, to_factors)
        if textured:
            sample_textures_adjoint(
                s, n, count, runs, flags, TEXTURE_OCCLUSION, atlas, levels, counts, band,
                to_atlas, atlas_flags, wants_atlas, surface,
            )  # fmt: skip
    if wants[FACTORS] or (uses & USES_METAL) != 0:
        metal_adjoint(s, n, count, factors, band, to_factors)
    if textured and (uses & USES_METAL) != 0:
        sample_textures_adjoint(
            s, n, count, runs, flags, TEXTURE_METAL, atlas, levels, counts, band,
            to_atlas, atlas_flags, wants_atlas, surface,
        )  # fmt: skip
    base_color_adjoint(
        s, n, count, factors, flags, colors, band, to_factors, to_colors, color_flags,
        wants[COLORS], wants[FACTORS],
    )  # fmt: skip
    if textured and (uses & USES_BASE) != 0:
        sample_textures_adjoint(
            s, n, count, runs, flags, TEXTURE_BASE, atlas, levels, counts, band,
            to_atlas, atlas_flags, wants_atlas, surface,
        )  # fmt: skip
    if (uses & USES_NORMAL) != 0:
        map_normals_adjoint(
            s, n, count, factors, flags, uvs, band, to_factors, to_uvs, uv_flags, wants[UVS]
        )
        if textured:
            sample_textures_adjoint(
                s, n, count, runs, flags, TEXTURE_NORMAL, atlas, levels, counts, band,
                to_atlas, atlas_flags, wants_atlas, surface,
            )  # fmt: skip
    if surface:
        mix_normals_adjoint(
            s, n, count, flags, normals, rotate, band, to_rotate, to_normals, normal_flags,
            wants[NORMALS], wants[ROTATE],
        )  # fmt: skip
        if (uses & USES_TEXTURE) != 0:
            mix_uvs_adjoint(s, n, count, uvs, band, to_uvs, uv_flags, wants[UVS])
        intersect_adjoint(s, held)
        rays_adjoint(s, step_x, step_y, band, to_pinhole)
        if wants[CAMERA]:
            corners_adjoint(s, n, count, band, to_camera, camera_flags)


@kernel(fastmath=True)
def _missed_adjoint(
    s, n, count, turn, environment, intensity, step_x, step_y, wants, tables, sums, band
):
    """Walk back from pixels that show the environment to its picture, the turn and the rays."""
    _, _, _, picture, shape = environment
    _, _, _, to_turn, _, to_pinhole, to_intensity = sums
    _, _, _, _, _, _, _, _, _, _, _, _, to_picture, picture_flags = tables
    for i in range(BLOCK):
        s[AIM_X + i], s[AIM_Y + i], s[AIM_Z + i] = s[RAY_X + i], s[RAY_Y + i], ONE
    aim_at_latlong(s, n, turn, shape[1], shape[0])
    picture_adjoint(
        s, n, count, picture, intensity, band, to_picture, picture_flags, wants[PICTURE],
        to_intensity,
    )  # fmt: skip
    aim_at_latlong_adjoint(s, count, turn, shape[1], shape[0], band, to_turn)
    for i in range(BLOCK):
        s[TO_RAY_X + i], s[TO_RAY_Y + i] = s[TO_AIM_X + i], s[TO_AIM_Y + i]
    rays_adjoint(s, step_x, step_y, band, to_pinhole)


@kernel(parallel=True, fastmath=True)
def shade_adjoint(
    triangles,
    width,
    height,
    pinhole,
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
    show_environment,
    order,
    places,
    placed,
    to_color,
    to_depth,
    to_normal,
    to_alpha,
    given,
    wants,
    tables,
    sums,
):
    """Carry derivatives by a picture back to everything that it was made from.

    The first arguments are those of :func:`diffphyscam_ros.kernels.shade.shade`, but for

    :param order: int32 numbers of all bands, as they are worked on; a band is rows.
    :param placed: each pixel looks at its place, which stays where it is on the triangle: no
        derivative passes through the weights of the corners.
    :param to_color, to_depth, to_normal, to_alpha: (H·W, 3), (H·W,), (H·W, 3), (H·W,) float32
        derivatives, read where ``given`` (4 bools in this order) says so.
    :param wants: 15 bools: anything of the surface at all; vertices, normals, uvs, colours; atlas;
        prefiltered environment; the environment's picture; and each of the ``sums``, which may be
        incomplete where they are not wanted.
    :param tables: of the seven from the vertices on, each (bands, N, C) float32 and its flags
        (bands, ⌈N / 64⌉) uint8; added to.
    :param sums: with bands first, float64: factors (I, 12), lights (L, 14), irradiance (31, 3),
        turn (3, 3), normal matrices (I, 3, 3), pinhole (4,), intensity (1,); added to.
    """
    step_x, step_y = np.float32(1.0 / pinhole[0]), np.float32(1.0 / pinhole[1])
    cx, cy = np.float32(pinhole[2]), np.float32(pinhole[3])
    bands = order.shape[0]
    # All that a pixel which shows the environment can pass anything to.
    beyond = wants[PICTURE] or wants[TURN] or wants[PINHOLE] or wants[INTENSITY]
    show_environment = show_environment and given[COLOR] and beyond
    for task in prange(bands):
        s, n = np.zeros(ADJOINT_FLOATS, np.float32), np.zeros(INTEGERS, np.int32)
        missed, empty = np.zeros(ADJOINT_FLOATS, np.float32), np.zeros(INTEGERS, np.int32)
        keep_slopes(s, environment[0])
        count = 0
        misses = 0
        band = order[task]
        last = (band + 1) * height // bands * width - 1
        row = band * height // bands - 1
        column = width - 1
        ray_y = ZERO
        for pixel in range((row + 1) * width, last + 1):
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
            elif triangle == -1 and show_environment:
                missed[RAY_X + misses] = (np.float32(column) - cx) * step_x
                missed[RAY_Y + misses] = ray_y
                empty[PIXEL + misses] = pixel
                misses += 1
            if count == BLOCK or (count > 0 and pixel == last):
                fill_up(s, n, count)
                read_derivatives(s, n, count, to_color, to_depth, to_normal, to_alpha, given)
                uses, runs = recompute_surface(s, n, step_x, step_y, geometry, rotate, materials)
                if given[COLOR]:
                    _light_adjoint(
                        s, n, uses, lights, visibility, has_environment, environment,
                        table, turn, intensity, wants, tables, sums, band,
                    )  # fmt: skip
                _surface_adjoint(
                    s, n, count, uses, runs, step_x, step_y, placed, geometry, rotate, materials,
                    wants, tables, sums, band,
                )  # fmt: skip
                count = 0
            if misses == BLOCK or (misses > 0 and pixel == last):
                fill_up(missed, empty, misses)
                read_derivatives(
                    missed, empty, misses, to_color, to_depth, to_normal, to_alpha, given
                )
                _missed_adjoint(
                    missed, empty, misses, turn, environment, intensity, step_x, step_y, wants,
                    tables, sums, band,
                )  # fmt: skip
                misses = 0
