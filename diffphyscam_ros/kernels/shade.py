# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Triangle numbers to light, on the CPU in one pass: interpolation, textures, GGX, environment.

Equal to the torch path in ``render/shading.py`` within 1e-4. Hit pixels are gathered into blocks;
the arithmetic on a block vectorizes (see ``kernels/surface.py``), the look-ups do not.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import HALF, ONE, TWO, ZERO, arc_tangent, latlong
from diffphyscam_ros.kernels.surface import (
    AIM_X,
    AIM_Y,
    AIM_Z,
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    COLUMN,
    DEPTH,
    METALLIC,
    N_DOT_V,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    OUT_B,
    OUT_G,
    OUT_R,
    RAY_X,
    RAY_Y,
    ROUGHNESS,
    ROW,
    SCRATCH,
    SPECULAR_B,
    SPECULAR_G,
    SPECULAR_R,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
    gather_surface,
)

ROWS_PER_TASK = 8

INVERSE_PI = np.float32(1.0 / math.pi)
INVERSE_TWO_PI = np.float32(0.5 / math.pi)
DIELECTRIC = np.float32(0.04)
MIN_ROUGHNESS = np.float32(0.045)
MIN_N_DOT_V = np.float32(1e-4)
MIN_SQUARE = np.float32(1e-20)
SMALL_SMOOTHNESS = np.float32(1e-8)
MIRRORED_0 = np.float32(0.02805336)
MIRRORED_1 = np.float32(-0.07738066)
MIRRORED_2 = np.float32(0.07500745)
MIRRORED_3 = np.float32(-0.02570756)
# The light tables' columns: kind (0 directional, 1 point), direction to the light or its
# position in the optical frame, irradiance or intensity.
POINT = np.float32(0.5)


@kernel(fastmath=True)
def _face_viewer(s):
    """Fill VIEW and N_DOT_V."""
    for i in range(BLOCK):
        x, y = s[RAY_X + i], s[RAY_Y + i]
        scale = -ONE / math.sqrt(x * x + y * y + ONE)
        x, y, z = x * scale, y * scale, scale
        s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i] = x, y, z
        cosine = s[NORMAL_X + i] * x + s[NORMAL_Y + i] * y + s[NORMAL_Z + i] * z
        s[N_DOT_V + i] = max(cosine, MIN_N_DOT_V)


@kernel(fastmath=True)
def _add_light(s, kind, lx, ly, lz, red, green, blue):
    """Add one light's reflection by the metallic-roughness model (glTF 2.0, appendix B)."""
    for i in range(BLOCK):
        x, y, z = lx, ly, lz
        power = ONE
        if kind > POINT:
            d = s[DEPTH + i]
            x, y, z = lx - s[RAY_X + i] * d, ly - s[RAY_Y + i] * d, lz - d
            power = ONE / max(x * x + y * y + z * z, MIN_SQUARE)
            scale = math.sqrt(power)
            x, y, z = x * scale, y * scale, z * scale
        n_dot_l = s[NORMAL_X + i] * x + s[NORMAL_Y + i] * y + s[NORMAL_Z + i] * z
        n_dot_l = max(n_dot_l, ZERO)
        v_dot_l = s[VIEW_X + i] * x + s[VIEW_Y + i] * y + s[VIEW_Z + i] * z
        n_dot_v = s[N_DOT_V + i]
        v_dot_h = math.sqrt(max(HALF + HALF * v_dot_l, np.float32(1e-8)))
        n_dot_h = min((n_dot_l + n_dot_v) / (TWO * v_dot_h), ONE)
        rough = min(max(s[ROUGHNESS + i], MIN_ROUGHNESS), ONE)
        a2 = rough * rough
        a2 = a2 * a2
        t = n_dot_h * n_dot_h * (a2 - ONE) + ONE
        shadow_l = n_dot_l + math.sqrt(a2 + (ONE - a2) * n_dot_l * n_dot_l)
        shadow_v = n_dot_v + math.sqrt(a2 + (ONE - a2) * n_dot_v * n_dot_v)
        lobe = a2 * INVERSE_PI / (t * t * shadow_l * shadow_v)
        grazing = ONE - v_dot_h
        square = grazing * grazing
        grazing = square * square * grazing
        metal = s[METALLIC + i]
        diffuse = (ONE - metal) * INVERSE_PI
        base_r, base_g, base_b = s[BASE_R + i], s[BASE_G + i], s[BASE_B + i]
        f_r = DIELECTRIC + (base_r - DIELECTRIC) * metal
        f_g = DIELECTRIC + (base_g - DIELECTRIC) * metal
        f_b = DIELECTRIC + (base_b - DIELECTRIC) * metal
        f_r += (ONE - f_r) * grazing
        f_g += (ONE - f_g) * grazing
        f_b += (ONE - f_b) * grazing
        power *= n_dot_l
        s[OUT_R + i] += red * power * ((ONE - f_r) * base_r * diffuse + f_r * lobe)
        s[OUT_G + i] += green * power * ((ONE - f_g) * base_g * diffuse + f_g * lobe)
        s[OUT_B + i] += blue * power * ((ONE - f_b) * base_b * diffuse + f_b * lobe)


@kernel(fastmath=True)
def _add_diffuse_environment(s, quadratic):
    """Add the diffuse reflection of the environment: irradiance as a quadratic in the normal.

    :param quadratic: (9, 3) float32, factors of 1, x, y, z, xy, yz, xz, x² − y², z².
    """
    for channel in range(3):
        base, out = BASE_R + channel * BLOCK, OUT_R + channel * BLOCK
        k0, k1, k2 = quadratic[0, channel], quadratic[1, channel], quadratic[2, channel]
        k3, k4, k5 = quadratic[3, channel], quadratic[4, channel], quadratic[5, channel]
        k6, k7, k8 = quadratic[6, channel], quadratic[7, channel], quadratic[8, channel]
        for i in range(BLOCK):
            x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
            light = k0 + k1 * x + k2 * y + k3 * z + k4 * x * y + k5 * y * z + k6 * x * z
            light = max(light + k7 * (x * x - y * y) + k8 * z * z, ZERO)
            c, metal, albedo = s[N_DOT_V + i], s[METALLIC + i], s[base + i]
            mirrored = MIRRORED_0 + c * (MIRRORED_1 + c * (MIRRORED_2 + c * MIRRORED_3))
            f0 = DIELECTRIC + (albedo - DIELECTRIC) * metal
            kept = (ONE - metal) * (ONE - f0) * (ONE - mirrored)
            s[out + i] += albedo * kept * light * INVERSE_PI


@kernel(fastmath=True)
def _latlong_pixels(s, turn, width, height):
    """Fill COLUMN, ROW with the pixels of a lat-long picture that AIM points at.

    :param turn: (3, 3) float32, optical frame to the environment's.
    """
    r00, r01, r02 = turn[0, 0], turn[0, 1], turn[0, 2]
    r10, r11, r12 = turn[1, 0], turn[1, 1], turn[1, 2]
    r20, r21, r22 = turn[2, 0], turn[2, 1], turn[2, 2]
    for i in range(BLOCK):
        x, y, z = s[AIM_X + i], s[AIM_Y + i], s[AIM_Z + i]
        ex, ey = r00 * x + r01 * y + r02 * z, r10 * x + r11 * y + r12 * z
        ez = r20 * x + r21 * y + r22 * z
        azimuth = arc_tangent(ey, ex)
        polar = arc_tangent(math.sqrt(ex * ex + ey * ey), ez)
        s[COLUMN + i] = (HALF - azimuth * INVERSE_TWO_PI) * width - HALF
        s[ROW + i] = polar * INVERSE_PI * height - HALF


@kernel(fastmath=True)
def _aim_reflection(s):
    """Fill AIM with the dominant direction of the mirrored light."""
    for i in range(BLOCK):
        nx, ny, nz = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        vx, vy, vz = s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i]
        twice = TWO * (nx * vx + ny * vy + nz * vz)
        rough = min(max(s[ROUGHNESS + i], ZERO), ONE)
        smooth = ONE - rough * rough
        lean = smooth * (math.sqrt(max(smooth, SMALL_SMOOTHNESS)) + ONE - smooth)
        s[AIM_X + i] = nx + (twice * nx - vx - nx) * lean
        s[AIM_Y + i] = ny + (twice * ny - vy - ny) * lean
        s[AIM_Z + i] = nz + (twice * nz - vz - nz) * lean


@kernel(fastmath=True)
def _weigh_reflection(s, table):
    """Fill SPECULAR with the split-sum weight F0·scale + bias.

    :param table: (n, n, 2) float32, scale and bias at √(n·v) (rows) and roughness (columns).
    """
    side = np.int32(table.shape[0])
    last = np.float32(side - 1)
    for i in range(BLOCK):
        a = min(math.sqrt(s[N_DOT_V + i]), ONE) * last
        b = min(max(s[ROUGHNESS + i], ZERO), ONE) * last
        ia = min(max(np.int32(a), np.int32(0)), np.int32(side - 2))
        ib = min(max(np.int32(b), np.int32(0)), np.int32(side - 2))
        da, db = a - np.float32(ia), b - np.float32(ib)
        j, k = np.uint64(ia), np.uint64(ib)
        j1, k1 = np.uint64(ia + 1), np.uint64(ib + 1)
        w00, w01 = (ONE - da) * (ONE - db), (ONE - da) * db
        w10, w11 = da * (ONE - db), da * db
        scale = w00 * table[j, k, 0] + w01 * table[j, k1, 0]
        scale += w10 * table[j1, k, 0] + w11 * table[j1, k1, 0]
        bias = w00 * table[j, k, 1] + w01 * table[j, k1, 1]
        bias += w10 * table[j1, k, 1] + w11 * table[j1, k1, 1]
        metal = s[METALLIC + i]
        s[SPECULAR_R + i] = (DIELECTRIC + (s[BASE_R + i] - DIELECTRIC) * metal) * scale + bias
        s[SPECULAR_G + i] = (DIELECTRIC + (s[BASE_G + i] - DIELECTRIC) * metal) * scale + bias
        s[SPECULAR_B + i] = (DIELECTRIC + (s[BASE_B + i] - DIELECTRIC) * metal) * scale + bias


@kernel(fastmath=True)
def _add_mirrored_environment(s, count, glossy, intensity):
    """Add the prefiltered environment in the mirrored direction, linear between its levels."""
    levels = glossy.shape[0]
    last = np.float32(levels - 1)
    for i in range(count):
        position = min(max(s[ROUGHNESS + i], ZERO), ONE) * last
        level = min(max(np.int32(position), 0), levels - 2)
        share = position - np.float32(level)
        red, green, blue = latlong(glossy, level, s[COLUMN + i], s[ROW + i])
        r, g, b = latlong(glossy, level + 1, s[COLUMN + i], s[ROW + i])
        s[OUT_R + i] += intensity * s[SPECULAR_R + i] * (red + share * (r - red))
        s[OUT_G + i] += intensity * s[SPECULAR_G + i] * (green + share * (g - green))
        s[OUT_B + i] += intensity * s[SPECULAR_B + i] * (blue + share * (b - blue))


@kernel(fastmath=True)
def _show_environment(s, count, turn, picture, intensity):
    """Fill OUT with the environment seen along the rays."""
    width, height = np.float32(picture.shape[2]), np.float32(picture.shape[1])
    for i in range(BLOCK):
        s[AIM_X + i], s[AIM_Y + i], s[AIM_Z + i] = s[RAY_X + i], s[RAY_Y + i], ONE
    _latlong_pixels(s, turn, width, height)
    for i in range(count):
        red, green, blue = latlong(picture, 0, s[COLUMN + i], s[ROW + i])
        s[OUT_R + i] = intensity * red
        s[OUT_G + i] = intensity * green
        s[OUT_B + i] = intensity * blue


@kernel(fastmath=True)
def _write(s, count, pixels, color):
    for i in range(count):
        pixel = pixels[i]
        color[pixel, 0] = s[OUT_R + i]
        color[pixel, 1] = s[OUT_G + i]
        color[pixel, 2] = s[OUT_B + i]


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
    has_environment,
    environment,
    table,
    turn,
    intensity,
    show_environment,
    background,
    color,
    depth,
    normal,
    instance,
):
    """Shade the whole picture.

    :param triangles: (H·W,) int32 of the visibility, −1 where nothing was hit.
    :param pinhole: (4,) float64 fx, fy, cx, cy.
    :param geometry: faces (F, 3) int32, face_instance (F,) int32, camera (V, 3), normals, uvs,
        colors: float32, the last three with one row where no mesh has any.
    :param normal_matrices: (I, 3, 3) float32, mesh normals to the optical frame, any scale.
    :param materials: factors (I, 8) float32, flags (I, 5) int32, atlas (N, 3) float32,
        texture levels (T, L, 3) int32, level counts (T,) int32; see ``render/materials.py``.
    :param lights: (L, 7) float32 in the optical frame.
    :param environment: irradiance quadratic (9, 3), prefiltered pictures (L, h, w, 3), the
        picture itself (1, H, W, 3): float32.
    :param turn: (3, 3) float32, optical frame to the environment's.
    :param background: (3,) float32 where nothing is hit and the environment is not shown.
    :param color, depth, normal, instance: out, (H·W, 3), (H·W,), (H·W, 3), (H·W,).
    """
    faces, face_instance, camera, normals, uvs, colors = geometry
    factors, flags, atlas, texture_levels, texture_counts = materials
    quadratic, glossy, picture = environment
    step_x, step_y = np.float32(1.0 / pinhole[0]), np.float32(1.0 / pinhole[1])
    wide = 1.0 / pinhole[0]
    tasks = (height + ROWS_PER_TASK - 1) // ROWS_PER_TASK
    for task in prange(tasks):
        s = np.zeros(SCRATCH, np.float32)
        missed = np.zeros(SCRATCH, np.float32)
        pixels = np.empty(BLOCK, np.int32)
        hits = np.empty(BLOCK, np.int32)
        empty = np.empty(BLOCK, np.int32)
        count = 0
        misses = 0
        ray_y = ZERO
        first = task * ROWS_PER_TASK
        column, row = width - 1, first - 1
        last = min(first + ROWS_PER_TASK, height) * width - 1
        for pixel in range(first * width, last + 1):
            column += 1
            if column == width:
                column = 0
                row += 1
                ray_y = np.float32((row - pinhole[3]) / pinhole[1])
            triangle = triangles[pixel]
            if triangle >= 0:
                s[RAY_X + count] = (column - pinhole[2]) * wide
                s[RAY_Y + count] = ray_y
                pixels[count] = pixel
                hits[count] = triangle
                count += 1
            else:
                depth[pixel] = np.inf
                normal[pixel, 0] = normal[pixel, 1] = normal[pixel, 2] = ZERO
                instance[pixel] = 0
                if show_environment:
                    missed[RAY_X + misses] = (column - pinhole[2]) * wide
                    missed[RAY_Y + misses] = ray_y
                    empty[misses] = pixel
                    misses += 1
                else:
                    color[pixel, 0] = background[0]
                    color[pixel, 1] = background[1]
                    color[pixel, 2] = background[2]
            if count == BLOCK or (count > 0 and pixel == last):
                gather_surface(
                    s,
                    count,
                    pixels,
                    hits,
                    step_x,
                    step_y,
                    faces,
                    face_instance,
                    camera,
                    normals,
                    uvs,
                    colors,
                    normal_matrices,
                    factors,
                    flags,
                    atlas,
                    texture_levels,
                    texture_counts,
                    depth,
                    normal,
                    instance,
                )
                _face_viewer(s)
                for k in range(lights.shape[0]):
                    _add_light(
                        s,
                        lights[k, 0],
                        lights[k, 1],
                        lights[k, 2],
                        lights[k, 3],
                        lights[k, 4],
                        lights[k, 5],
                        lights[k, 6],
                    )
                if has_environment:
                    _add_diffuse_environment(s, quadratic)
                    _aim_reflection(s)
                    _weigh_reflection(s, table)
                    _latlong_pixels(
                        s, turn, np.float32(glossy.shape[2]), np.float32(glossy.shape[1])
                    )
                    _add_mirrored_environment(s, count, glossy, intensity)
                _write(s, count, pixels, color)
                count = 0
            if misses == BLOCK or (misses > 0 and pixel == last):
                _show_environment(missed, misses, turn, picture, intensity)
                _write(missed, misses, empty, color)
                misses = 0
