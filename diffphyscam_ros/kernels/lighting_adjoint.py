# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of ``kernels/lighting.py``: from the derivative by a block's colours to all inputs.

Each function computes anew what it needs of the forward pass and adds to the TO fields of the
scratch. Where a clamp holds a value, its derivative is 0, as in torch.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    TO_B,
    TO_BASE_B,
    TO_BASE_G,
    TO_BASE_R,
    TO_DEPTH,
    TO_G,
    TO_METALLIC,
    TO_N_DOT_V,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_R,
    TO_RAY_X,
    TO_RAY_Y,
    TO_ROUGHNESS,
    TO_VIEW_X,
    TO_VIEW_Y,
    TO_VIEW_Z,
)
from diffphyscam_ros.kernels.arithmetic import HALF, INVERSE_PI, ONE, TWO, ZERO
from diffphyscam_ros.kernels.lighting import (
    DIELECTRIC,
    MIN_N_DOT_V,
    MIN_ROUGHNESS,
    MIN_SQUARE,
    POINT,
    SPOT,
)
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    DEPTH,
    LIT,
    METALLIC,
    N_DOT_V,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    RAY_X,
    RAY_Y,
    ROUGHNESS,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
)

SMALL_HALF = np.float32(1e-8)
QUARTER = np.float32(0.25)
FOUR = np.float32(4.0)
FIVE = np.float32(5.0)


@kernel(fastmath=True)
def add_light_adjoint(s, lights, light, band, to_lights):
    """Carry the derivatives by TO_R, TO_G, TO_B back through one light's reflection.

    :param lights: (L, 14) float32; ``light``: the row.
    :param to_lights: (bands, L, 14) float64, added to at ``band``.
    """
    kind = lights[light, 0]
    lx, ly, lz = lights[light, 1], lights[light, 2], lights[light, 3]
    red, green, blue = lights[light, 4], lights[light, 5], lights[light, 6]
    ax, ay, az = lights[light, 7], lights[light, 8], lights[light, 9]
    scale_of_cone, offset_of_cone = lights[light, 10], lights[light, 11]
    sum_x, sum_y, sum_z = ZERO, ZERO, ZERO
    sum_r, sum_g, sum_b = ZERO, ZERO, ZERO
    sum_ax, sum_ay, sum_az, sum_scale, sum_offset = ZERO, ZERO, ZERO, ZERO, ZERO
    for i in range(BLOCK):
        x, y, z = lx, ly, lz
        px, py, pz = lx, ly, lz
        d, rx, ry = s[DEPTH + i], s[RAY_X + i], s[RAY_Y + i]
        lit = s[LIT + i]
        inverse, scale, cone, raw, cosine = ONE, ONE, ONE, ZERO, ZERO
        if kind > POINT:
            px, py, pz = lx - rx * d, ly - ry * d, lz - d
            inverse = ONE / max(px * px + py * py + pz * pz, MIN_SQUARE)
            scale = math.sqrt(inverse)
            x, y, z = px * scale, py * scale, pz * scale
        if kind > SPOT:
            cosine = -(ax * x + ay * y + az * z)
            raw = cosine * scale_of_cone + offset_of_cone
            cone = min(max(raw, ZERO), ONE)
        arriving = lit * inverse * cone * cone
        nx, ny, nz = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        vx, vy, vz = s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i]
        n_dot_l = max(nx * x + ny * y + nz * z, ZERO)
        v_dot_l = vx * x + vy * y + vz * z
        n_dot_v = s[N_DOT_V + i]
        half = HALF + HALF * v_dot_l
        v_dot_h = math.sqrt(max(half, SMALL_HALF))
        wide = ONE / (TWO * v_dot_h)
        high = (n_dot_l + n_dot_v) * wide
        n_dot_h = min(high, ONE)
        given = s[ROUGHNESS + i]
        rough = min(max(given, MIN_ROUGHNESS), ONE)
        a2 = rough * rough
        a2 = a2 * a2
        t = n_dot_h * n_dot_h * (a2 - ONE) + ONE
        root_l = math.sqrt(a2 + (ONE - a2) * n_dot_l * n_dot_l)
        root_v = math.sqrt(a2 + (ONE - a2) * n_dot_v * n_dot_v)
        shadow_l, shadow_v = n_dot_l + root_l, n_dot_v + root_v
        lobe = a2 * INVERSE_PI / (t * t * shadow_l * shadow_v)
        away = ONE - v_dot_h
        square = away * away
        grazing = square * square * away
        metal = s[METALLIC + i]
        diffuse = (ONE - metal) * INVERSE_PI
        base_r, base_g, base_b = s[BASE_R + i], s[BASE_G + i], s[BASE_B + i]
        z_r = DIELECTRIC + (base_r - DIELECTRIC) * metal
        z_g = DIELECTRIC + (base_g - DIELECTRIC) * metal
        z_b = DIELECTRIC + (base_b - DIELECTRIC) * metal
        f_r, f_g = z_r + (ONE - z_r) * grazing, z_g + (ONE - z_g) * grazing
        f_b = z_b + (ONE - z_b) * grazing
        shown_r = (ONE - f_r) * base_r * diffuse + f_r * lobe
        shown_g = (ONE - f_g) * base_g * diffuse + f_g * lobe
        shown_b = (ONE - f_b) * base_b * diffuse + f_b * lobe
        power = arriving * n_dot_l

        to_r, to_g, to_b = s[TO_R + i], s[TO_G + i], s[TO_B + i]
        sum_r += to_r * power * shown_r
        sum_g += to_g * power * shown_g
        sum_b += to_b * power * shown_b
        to_r, to_g, to_b = to_r * red, to_g * green, to_b * blue
        to_power = to_r * shown_r + to_g * shown_g + to_b * shown_b
        to_r, to_g, to_b = to_r * power, to_g * power, to_b * power
        to_lobe = to_r * f_r + to_g * f_g + to_b * f_b
        kept_r, kept_g = to_r * (ONE - f_r), to_g * (ONE - f_g)
        kept_b = to_b * (ONE - f_b)
        to_diffuse = kept_r * base_r + kept_g * base_g + kept_b * base_b
        to_fr = to_r * (lobe - base_r * diffuse)
        to_fg = to_g * (lobe - base_g * diffuse)
        to_fb = to_b * (lobe - base_b * diffuse)
        to_grazing = to_fr * (ONE - z_r) + to_fg * (ONE - z_g) + to_fb * (ONE - z_b)
        less = ONE - grazing
        to_zr, to_zg, to_zb = to_fr * less, to_fg * less, to_fb * less
        s[TO_BASE_R + i] += kept_r * diffuse + to_zr * metal
        s[TO_BASE_G + i] += kept_g * diffuse + to_zg * metal
        s[TO_BASE_B + i] += kept_b * diffuse + to_zb * metal
        s[TO_METALLIC + i] += (
            to_zr * (base_r - DIELECTRIC)
            + to_zg * (base_g - DIELECTRIC)
            + to_zb * (base_b - DIELECTRIC)
            - to_diffuse * INVERSE_PI
        )
        to_lobe *= lobe
        to_t = -TWO * to_lobe / t
        to_sl, to_sv = -to_lobe / shadow_l, -to_lobe / shadow_v
        half_l, half_v = to_sl / root_l, to_sv / root_v
        to_a2 = to_lobe / a2 + to_t * n_dot_h * n_dot_h
        to_a2 += HALF * half_l * (ONE - n_dot_l * n_dot_l)
        to_a2 += HALF * half_v * (ONE - n_dot_v * n_dot_v)
        to_l = to_sl + half_l * (ONE - a2) * n_dot_l + to_power * arriving
        to_v = to_sv + half_v * (ONE - a2) * n_dot_v
        to_h = to_t * TWO * n_dot_h * (a2 - ONE)
        to_h = to_h if high <= ONE else ZERO
        to_l += to_h * wide
        to_v += to_h * wide
        to_vh = -FIVE * square * square * to_grazing - to_h * n_dot_h / v_dot_h
        to_vl = to_vh * QUARTER / v_dot_h if half >= SMALL_HALF else ZERO
        to_l = to_l if n_dot_l > ZERO else ZERO
        free = given >= MIN_ROUGHNESS and given <= ONE
        s[TO_ROUGHNESS + i] += to_a2 * FOUR * rough * rough * rough if free else ZERO
        s[TO_N_DOT_V + i] += to_v
        s[TO_NORMAL_X + i] += to_l * x
        s[TO_NORMAL_Y + i] += to_l * y
        s[TO_NORMAL_Z + i] += to_l * z
        s[TO_VIEW_X + i] += to_vl * x
        s[TO_VIEW_Y + i] += to_vl * y
        s[TO_VIEW_Z + i] += to_vl * z
        to_x, to_y, to_z = to_l * nx + to_vl * vx, to_l * ny + to_vl * vy, to_l * nz + to_vl * vz
        if kind > SPOT:
            to_raw = to_power * n_dot_l * lit * inverse * TWO * cone
            to_raw = to_raw if raw >= ZERO and raw <= ONE else ZERO
            sum_scale += to_raw * cosine
            sum_offset += to_raw
            to_cosine = to_raw * scale_of_cone
            to_x, to_y, to_z = to_x - to_cosine * ax, to_y - to_cosine * ay, to_z - to_cosine * az
            sum_ax -= to_cosine * x
            sum_ay -= to_cosine * y
            sum_az -= to_cosine * z
        if kind > POINT:
            to_inverse = to_power * n_dot_l * lit * cone * cone
            along = to_x * x + to_y * y + to_z * z
            less = TWO * to_inverse * inverse * inverse
            to_x = (to_x - along * x) * scale - less * px
            to_y = (to_y - along * y) * scale - less * py
            to_z = (to_z - along * z) * scale - less * pz
            s[TO_RAY_X + i] -= to_x * d
            s[TO_RAY_Y + i] -= to_y * d
            s[TO_DEPTH + i] -= to_x * rx + to_y * ry + to_z
        sum_x += to_x
        sum_y += to_y
        sum_z += to_z
    to_lights[band, light, 1] += sum_x
    to_lights[band, light, 2] += sum_y
    to_lights[band, light, 3] += sum_z
    to_lights[band, light, 4] += sum_r
    to_lights[band, light, 5] += sum_g
    to_lights[band, light, 6] += sum_b
    to_lights[band, light, 7] += sum_ax
    to_lights[band, light, 8] += sum_ay
    to_lights[band, light, 9] += sum_az
    to_lights[band, light, 10] += sum_scale
    to_lights[band, light, 11] += sum_offset


@kernel(fastmath=True)
def face_viewer_adjoint(s):
    """Carry TO_N_DOT_V and TO_VIEW back to the normals and rays."""
    for i in range(BLOCK):
        rx, ry = s[RAY_X + i], s[RAY_Y + i]
        inverse = ONE / math.sqrt(rx * rx + ry * ry + ONE)
        x, y, z = s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i]
        nx, ny, nz = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        to = s[TO_N_DOT_V + i] if nx * x + ny * y + nz * z >= MIN_N_DOT_V else ZERO
        s[TO_NORMAL_X + i] += to * x
        s[TO_NORMAL_Y + i] += to * y
        s[TO_NORMAL_Z + i] += to * z
        to_x, to_y = s[TO_VIEW_X + i] + to * nx, s[TO_VIEW_Y + i] + to * ny
        to_z = s[TO_VIEW_Z + i] + to * nz
        along = to_x * x + to_y * y + to_z * z
        s[TO_RAY_X + i] -= (to_x - along * x) * inverse
        s[TO_RAY_Y + i] -= (to_y - along * y) * inverse
