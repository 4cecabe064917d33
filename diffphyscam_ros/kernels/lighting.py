# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Light on a block of pixels: the metallic-roughness model of ``render/reflectance.py``.

Every function adds to the OUT fields of the scratch what one source of light contributes.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.arithmetic import clamp, HALF, INVERSE_PI, ONE, TWO, ZERO
from diffphyscam_ros.kernels.latlong import four_pixels
from diffphyscam_ros.kernels.rows import mix_fours
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    AIM_X,
    AIM_Y,
    AIM_Z,
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    DEPTH,
    IRRADIANCE,
    LEAN,
    LIT,
    METALLIC,
    N_DOT_V,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    OFFSET,
    OUT_B,
    OUT_G,
    OUT_R,
    PIXEL,
    PLACE_A,
    PLACE_B,
    POSITION,
    RAY_X,
    RAY_Y,
    ROUGHNESS,
    SEEN,
    SHARE,
    SHARE_A,
    SHARE_B,
    SPECULAR_B,
    SPECULAR_G,
    SPECULAR_R,
    SPLIT_BIAS,
    SPLIT_SCALE,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
)

DIELECTRIC = np.float32(0.04)
MIN_ROUGHNESS = np.float32(0.045)
MIN_N_DOT_V = np.float32(1e-4)
MIN_SQUARE = np.float32(1e-20)
SMALL_SEEN = np.float32(1e-6)
OCCLUSION_SLOPE = np.float32(-16.0)
MIRRORED_0 = np.float32(0.02805336)
MIRRORED_1 = np.float32(-0.07738066)
MIRRORED_2 = np.float32(0.07500745)
MIRRORED_3 = np.float32(-0.02570756)
# The light tables' columns are those of ``render/lights.py``.
POINT = np.float32(0.5)
SPOT = np.float32(1.5)
FULL = np.float32(1.0 / 255.0)


@kernel(fastmath=True)
def face_viewer(s):
    """Fill VIEW and N_DOT_V."""
    for i in range(BLOCK):
        x, y = s[RAY_X + i], s[RAY_Y + i]
        scale = -ONE / math.sqrt(x * x + y * y + ONE)
        x, y, z = x * scale, y * scale, scale
        s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i] = x, y, z
        cosine = s[NORMAL_X + i] * x + s[NORMAL_Y + i] * y + s[NORMAL_Z + i] * z
        s[N_DOT_V + i] = max(cosine, MIN_N_DOT_V)


@kernel(fastmath=True)
def read_light_visibility(s, n, count, visibility, light):
    """Fill LIT with the share of a light that reaches each pixel.

    :param visibility: (L, H·W) uint8.
    """
    for i in range(count):
        s[LIT + i] = FULL * np.float32(visibility[light, np.uint32(n[PIXEL + i])])


@kernel(fastmath=True)
def see_sky(s, n, count, visibility):
    """Multiply SEEN by the share of the environment that reaches each pixel.

    :param visibility: (H·W,) uint8.
    """
    for i in range(count):
        s[SEEN + i] *= FULL * np.float32(visibility[np.uint32(n[PIXEL + i])])


@kernel(fastmath=True)
def add_light(s, lights, light):
    """Add one light's reflection by the metallic-roughness model (glTF 2.0, appendix B).

    :param lights: (L, 14) float32, see ``render/lights.py``; ``light``: the row.
    """
    kind = lights[light, 0]
    lx, ly, lz = lights[light, 1], lights[light, 2], lights[light, 3]
    red, green, blue = lights[light, 4], lights[light, 5], lights[light, 6]
    ax, ay, az = lights[light, 7], lights[light, 8], lights[light, 9]
    scale_of_cone, offset_of_cone = lights[light, 10], lights[light, 11]
    for i in range(BLOCK):
        x, y, z = lx, ly, lz
        power = s[LIT + i]
        if kind > POINT:
            d = s[DEPTH + i]
            x, y, z = lx - s[RAY_X + i] * d, ly - s[RAY_Y + i] * d, lz - d
            inverse = ONE / max(x * x + y * y + z * z, MIN_SQUARE)
            scale = math.sqrt(inverse)
            x, y, z = x * scale, y * scale, z * scale
            power *= inverse
        if kind > SPOT:
            cosine = -(ax * x + ay * y + az * z)
            cone = min(max(cosine * scale_of_cone + offset_of_cone, ZERO), ONE)
            power *= cone * cone
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
def keep_irradiance(s, polynomial):
    """Copy the irradiance to where a loop over the block knows that nobody else writes.

    :param polynomial: (31, 3) float32 in the order of ``scene/irradiance.py``.
    """
    for channel in range(3):
        for number in range(31):
            s[IRRADIANCE + 31 * channel + number] = polynomial[number, channel]


@kernel(fastmath=True)
def add_diffuse_environment(s):
    """Add the diffuse reflection of the environment: irradiance of degree 6 in the normal."""
    for channel in range(3):
        base, out = BASE_R + channel * BLOCK, OUT_R + channel * BLOCK
        c = IRRADIANCE + 31 * channel
        for i in range(BLOCK):
            x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
            x2 = x * x
            x3, x4 = x2 * x, x2 * x2
            x5, x6 = x4 * x, x4 * x2
            # Rising powers of z, in each of them rising powers of y.
            light = s[c + 28] * x + s[c + 29] * y + s[c + 30] * z
            light = s[c + 25] * x2 + y * (s[c + 26] * x + y * s[c + 27]) + z * light
            part = s[c + 22] * x2 + y * (s[c + 23] * x + y * s[c + 24])
            light = s[c + 21] * x3 + y * part + z * light
            part = s[c + 18] * x2 + y * (s[c + 19] * x + y * s[c + 20])
            light = s[c + 16] * x4 + y * (s[c + 17] * x3 + y * part) + z * light
            part = s[c + 13] * x2 + y * (s[c + 14] * x + y * s[c + 15])
            part = s[c + 11] * x4 + y * (s[c + 12] * x3 + y * part)
            light = s[c + 10] * x5 + y * part + z * light
            part = s[c + 7] * x2 + y * (s[c + 8] * x + y * s[c + 9])
            part = s[c + 5] * x4 + y * (s[c + 6] * x3 + y * part)
            light = s[c + 3] * x6 + y * (s[c + 4] * x5 + y * part) + z * light
            light = max(light + s[c] * x + s[c + 1] * y + s[c + 2] * z, ZERO)
            n_v, metal, albedo = s[N_DOT_V + i], s[METALLIC + i], s[base + i]
            mirrored = MIRRORED_0 + n_v * (MIRRORED_1 + n_v * (MIRRORED_2 + n_v * MIRRORED_3))
            f0 = DIELECTRIC + (albedo - DIELECTRIC) * metal
            kept = (ONE - metal) * (ONE - f0) * (ONE - mirrored)
            s[out + i] += albedo * kept * light * INVERSE_PI * s[SEEN + i]


@kernel(fastmath=True)
def aim_reflection(s):
    """Fill AIM with where most of the mirrored light comes from, by LEAN."""
    for i in range(BLOCK):
        nx, ny, nz = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        vx, vy, vz = s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i]
        twice = TWO * (nx * vx + ny * vy + nz * vz)
        lean = s[LEAN + i]
        s[AIM_X + i] = nx + (twice * nx - vx - nx) * lean
        s[AIM_Y + i] = ny + (twice * ny - vy - ny) * lean
        s[AIM_Z + i] = nz + (twice * nz - vz - nz) * lean


@kernel(fastmath=True)
def place_in_table(s, n, side):
    """Fill PLACE_A and SHARE_A by n·v, PLACE_B and SHARE_B by roughness."""
    last = np.float32(side - 1)
    for i in range(BLOCK):
        a = min(math.sqrt(s[N_DOT_V + i]), ONE) * last
        b = min(max(s[ROUGHNESS + i], ZERO), ONE) * last
        row = np.int32(min(max(np.int32(a), np.int32(0)), np.int32(side - 2)))
        column = np.int32(min(max(np.int32(b), np.int32(0)), np.int32(side - 2)))
        n[PLACE_A + i], n[PLACE_B + i] = row, column
        s[SHARE_A + i], s[SHARE_B + i] = a - np.float32(row), b - np.float32(column)


@kernel(fastmath=True)
def weigh_reflection(s, n, count, table):
    """Fill SPLIT, LEAN and POSITION, and SPECULAR with the weight F0·scale + bias.

    :param table: (n, n, 4) float32, ``environment_table`` of ``render/reflectance.py``; its
        numbers are in the order of the fields.
    """
    side = np.uint32(table.shape[0])
    place_in_table(s, n, np.int32(side))
    for i in range(count):
        upper = np.uint32(np.uint32(n[PLACE_A + i]) * side + np.uint32(n[PLACE_B + i]))
        lower = np.uint32(upper + side)
        da, db = s[SHARE_A + i], s[SHARE_B + i]
        both = da * db
        scale, bias, lean, position = mix_fours(
            table,
            (upper, np.uint32(upper + 1), lower, np.uint32(lower + 1)),
            (ONE - da - db + both, db - both, da - both, both),
        )
        s[SPLIT_SCALE + i], s[SPLIT_BIAS + i] = scale, bias
        s[LEAN + i], s[POSITION + i] = lean, position
    for i in range(BLOCK):
        scale, bias, metal = s[SPLIT_SCALE + i], s[SPLIT_BIAS + i], s[METALLIC + i]
        s[SPECULAR_R + i] = (DIELECTRIC + (s[BASE_R + i] - DIELECTRIC) * metal) * scale + bias
        s[SPECULAR_G + i] = (DIELECTRIC + (s[BASE_G + i] - DIELECTRIC) * metal) * scale + bias
        s[SPECULAR_B + i] = (DIELECTRIC + (s[BASE_B + i] - DIELECTRIC) * metal) * scale + bias


@kernel(fastmath=True)
def occlude_reflection(s):
    """Weaken SPECULAR where not all of the environment is SEEN (Lagarde and de Rousiers 2014)."""
    for i in range(BLOCK):
        seen, rough = s[SEEN + i], min(max(s[ROUGHNESS + i], ZERO), ONE)
        exponent = math.pow(TWO, OCCLUSION_SLOPE * rough - ONE)
        base = max(s[N_DOT_V + i] + seen, SMALL_SEEN)
        share = min(max(math.pow(base, exponent) - ONE + seen, ZERO), ONE)
        s[SPECULAR_R + i] *= share
        s[SPECULAR_G + i] *= share
        s[SPECULAR_B + i] *= share


@kernel(fastmath=True)
def add_uniform_environment(s, red, green, blue):
    """Add the mirrored part of an environment of one colour."""
    for i in range(BLOCK):
        s[OUT_R + i] += s[SPECULAR_R + i] * red
        s[OUT_G + i] += s[SPECULAR_G + i] * green
        s[OUT_B + i] += s[SPECULAR_B + i] * blue


@kernel(fastmath=True)
def add_mirrored_environment(s, n, count, glossy, size, levels, intensity):
    """Add the prefiltered environment in the mirrored direction, linear between its levels.

    :param glossy: (L·h·w, 3) float32; ``size``: h·w.
    """
    last, top, pixels = np.float32(levels - 1), np.int32(levels - 2), np.int32(size)
    for i in range(BLOCK):
        position = min(max(s[POSITION + i], ZERO), ONE) * last
        level = clamp(np.int32(position), 0, top)
        s[SHARE + i] = position - np.float32(level)
        n[OFFSET + i] = np.int32(level * pixels)
    for i in range(count):
        share, first = s[SHARE + i], n[OFFSET + i]
        red, green, blue = four_pixels(s, n, i, glossy, first)
        r, g, b = four_pixels(s, n, i, glossy, first + pixels)
        s[OUT_R + i] += intensity * s[SPECULAR_R + i] * (red + share * (r - red))
        s[OUT_G + i] += intensity * s[SPECULAR_G + i] * (green + share * (g - green))
        s[OUT_B + i] += intensity * s[SPECULAR_B + i] * (blue + share * (b - blue))
