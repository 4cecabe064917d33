# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of the materials: factors, textures, vertex colours and normal maps of a block.

Each function sets TO_TEXEL for one kind of texture, from which
:func:`diffphyscam_ros.kernels.sampling_adjoint.sample_textures_adjoint` goes on, and adds to the
factors. ``to_factors`` is (bands, I, 12) float64.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    BASE_TEXEL_A,
    BASE_TEXEL_B,
    BASE_TEXEL_G,
    BASE_TEXEL_R,
    EMISSIVE_TEXEL_B,
    EMISSIVE_TEXEL_G,
    EMISSIVE_TEXEL_R,
    METAL_TEXEL,
    NORMAL_TEXEL_B,
    NORMAL_TEXEL_G,
    NORMAL_TEXEL_R,
    OCCLUSION_TEXEL,
    ROUGH_TEXEL,
    SMOOTH_X,
    SMOOTH_Y,
    SMOOTH_Z,
    TO_A_X,
    TO_A_Y,
    TO_A_Z,
    TO_ALPHA,
    TO_B,
    TO_B_X,
    TO_B_Y,
    TO_B_Z,
    TO_BASE_B,
    TO_BASE_G,
    TO_BASE_R,
    TO_C_X,
    TO_C_Y,
    TO_C_Z,
    TO_G,
    TO_METALLIC,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_R,
    TO_ROUGHNESS,
    TO_SEEN,
    TO_TEXEL_A,
    TO_TEXEL_B,
    TO_TEXEL_G,
    TO_TEXEL_R,
    TO_WEIGHT_A,
    TO_WEIGHT_B,
    TO_WEIGHT_C,
)
from diffphyscam_ros.kernels.arithmetic import ONE, TWO, ZERO
from diffphyscam_ros.kernels.bands import add_three, touch
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    A_X,
    A_Y,
    A_Z,
    B_X,
    B_Y,
    B_Z,
    C_X,
    C_Y,
    C_Z,
    CORNER_A,
    CORNER_B,
    CORNER_C,
    ITEM,
    WEIGHT_A,
    WEIGHT_B,
    WEIGHT_C,
)
from diffphyscam_ros.kernels.surface import (
    ALPHA_MODE,
    BLEND,
    FACTOR_ALPHA,
    FACTOR_METALLIC,
    FACTOR_ROUGHNESS,
    HAS_COLORS,
    NORMAL_SCALE,
    OCCLUSION_STRENGTH,
    SMALL,
    TEXTURE_NORMAL,
)


@kernel(fastmath=True)
def emissive_adjoint(s, n, count, factors, band, to_factors):
    """Carry the colour's derivative back to the emitted light."""
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        r, g, b = s[TO_R + i], s[TO_G + i], s[TO_B + i]
        to_factors[band, item, 5] += r * s[EMISSIVE_TEXEL_R + i]
        to_factors[band, item, 6] += g * s[EMISSIVE_TEXEL_G + i]
        to_factors[band, item, 7] += b * s[EMISSIVE_TEXEL_B + i]
        s[TO_TEXEL_R + i], s[TO_TEXEL_G + i] = r * factors[item, 5], g * factors[item, 6]
        s[TO_TEXEL_B + i], s[TO_TEXEL_A + i] = b * factors[item, 7], ZERO


@kernel(fastmath=True)
def occlusion_adjoint(s, n, count, factors, band, to_factors):
    """Carry TO_SEEN, of the textures' share alone, back."""
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        to = s[TO_SEEN + i]
        to_factors[band, item, OCCLUSION_STRENGTH] += to * (s[OCCLUSION_TEXEL + i] - ONE)
        s[TO_TEXEL_R + i] = to * factors[item, OCCLUSION_STRENGTH]
        s[TO_TEXEL_G + i] = s[TO_TEXEL_B + i] = s[TO_TEXEL_A + i] = ZERO


@kernel(fastmath=True)
def metal_adjoint(s, n, count, factors, band, to_factors):
    """Carry TO_METALLIC and TO_ROUGHNESS back."""
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        metallic, roughness = s[TO_METALLIC + i], s[TO_ROUGHNESS + i]
        to_factors[band, item, FACTOR_METALLIC] += metallic * s[METAL_TEXEL + i]
        to_factors[band, item, FACTOR_ROUGHNESS] += roughness * s[ROUGH_TEXEL + i]
        s[TO_TEXEL_B + i] = metallic * factors[item, FACTOR_METALLIC]
        s[TO_TEXEL_G + i] = roughness * factors[item, FACTOR_ROUGHNESS]
        s[TO_TEXEL_R + i] = s[TO_TEXEL_A + i] = ZERO


@kernel(fastmath=True)
def base_color_adjoint(
    s,
    n,
    count,
    factors,
    flags,
    colors,
    band,
    to_factors,
    to_colors,
    color_flags,
    wants_colors,
    wants_factors,
):
    """Carry TO_BASE and, where it blends, TO_ALPHA back; adds to TO_WEIGHT.

    :param to_colors: (bands, V, 3) float32 and its ``color_flags``, where ``wants_colors``.
    """
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        r, g, b = s[TO_BASE_R + i], s[TO_BASE_G + i], s[TO_BASE_B + i]
        fr, fg, fb = factors[item, 0], factors[item, 1], factors[item, 2]
        tr, tg, tb = s[BASE_TEXEL_R + i], s[BASE_TEXEL_G + i], s[BASE_TEXEL_B + i]
        if flags[item, HAS_COLORS] != 0:
            p, q = np.uint32(n[CORNER_A + i]), np.uint32(n[CORNER_B + i])
            o = np.uint32(n[CORNER_C + i])
            wa, wb, wc = s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i]
            cr = wa * colors[p, 0] + wb * colors[q, 0] + wc * colors[o, 0]
            cg = wa * colors[p, 1] + wb * colors[q, 1] + wc * colors[o, 1]
            cb = wa * colors[p, 2] + wb * colors[q, 2] + wc * colors[o, 2]
            x, y, z = r * fr * tr, g * fg * tg, b * fb * tb
            s[TO_WEIGHT_A + i] += x * colors[p, 0] + y * colors[p, 1] + z * colors[p, 2]
            s[TO_WEIGHT_B + i] += x * colors[q, 0] + y * colors[q, 1] + z * colors[q, 2]
            s[TO_WEIGHT_C + i] += x * colors[o, 0] + y * colors[o, 1] + z * colors[o, 2]
            if wants_colors:
                add_three(to_colors, color_flags, band, p, wa * x, wa * y, wa * z)
                add_three(to_colors, color_flags, band, q, wb * x, wb * y, wb * z)
                add_three(to_colors, color_flags, band, o, wc * x, wc * y, wc * z)
            r, g, b = r * cr, g * cg, b * cb
        s[TO_TEXEL_R + i], s[TO_TEXEL_G + i], s[TO_TEXEL_B + i] = r * fr, g * fg, b * fb
        to = s[TO_ALPHA + i] if flags[item, ALPHA_MODE] == BLEND else ZERO
        if wants_factors:
            to_factors[band, item, 0] += r * tr
            to_factors[band, item, 1] += g * tg
            to_factors[band, item, 2] += b * tb
            to_factors[band, item, FACTOR_ALPHA] += to * s[BASE_TEXEL_A + i]
        s[TO_TEXEL_A + i] = to * factors[item, FACTOR_ALPHA]


@kernel(fastmath=True)
def map_normals_adjoint(
    s, n, count, factors, flags, uvs, band, to_factors, to_uvs, uv_flags, wants_uvs
):
    """Carry TO_NORMAL from bent normals back to smooth ones, texels, edges and uvs.

    Replaces TO_NORMAL; adds to TO_A, TO_B, TO_C. Where the map leaves a normal as it is, so does
    its adjoint.
    """
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        s[TO_TEXEL_R + i] = s[TO_TEXEL_G + i] = s[TO_TEXEL_B + i] = s[TO_TEXEL_A + i] = ZERO
        if flags[item, TEXTURE_NORMAL] < 0:
            continue
        a, b, c = (
            np.uint32(n[CORNER_A + i]),
            np.uint32(n[CORNER_B + i]),
            np.uint32(n[CORNER_C + i]),
        )
        du1, dv1 = uvs[b, 0] - uvs[a, 0], uvs[b, 1] - uvs[a, 1]
        du2, dv2 = uvs[c, 0] - uvs[a, 0], uvs[c, 1] - uvs[a, 1]
        nx, ny, nz = s[SMOOTH_X + i], s[SMOOTH_Y + i], s[SMOOTH_Z + i]
        ox, oy, oz = s[A_X + i], s[A_Y + i], s[A_Z + i]
        e1x, e1y, e1z = s[B_X + i] - ox, s[B_Y + i] - oy, s[B_Z + i] - oz
        e2x, e2y, e2z = s[C_X + i] - ox, s[C_Y + i] - oy, s[C_Z + i] - oz
        determinant = du1 * dv2 - dv1 * du2
        sign = ONE if determinant > ZERO else -ONE
        wx, wy = sign * (e1x * dv2 - e2x * dv1), sign * (e1y * dv2 - e2y * dv1)
        wz = sign * (e1z * dv2 - e2z * dv1)
        along = wx * nx + wy * ny + wz * nz
        px, py, pz = wx - along * nx, wy - along * ny, wz - along * nz
        square = px * px + py * py + pz * pz
        if not (abs(determinant) > ZERO and square > SMALL):
            continue
        shrink = ONE / math.sqrt(square)
        tx, ty, tz = px * shrink, py * shrink, pz * shrink
        bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
        vx, vy, vz = e2x * du1 - e1x * du2, e2y * du1 - e1y * du2, e2z * du1 - e1z * du2
        up = -ONE if sign * (bx * vx + by * vy + bz * vz) > ZERO else ONE
        bend = factors[item, NORMAL_SCALE]
        x, y = TWO * s[NORMAL_TEXEL_R + i] - ONE, up * (TWO * s[NORMAL_TEXEL_G + i] - ONE)
        z = TWO * s[NORMAL_TEXEL_B + i] - ONE
        fx, fy = bend * x, bend * y
        mx, my, mz = fx * tx + fy * bx + z * nx, fx * ty + fy * by + z * ny, (
            fx * tz + fy * bz + z * nz
        )  # fmt: skip
        square = mx * mx + my * my + mz * mz
        if not square > SMALL:
            continue
        inverse = ONE / math.sqrt(square)
        mx, my, mz = mx * inverse, my * inverse, mz * inverse
        gx, gy, gz = s[TO_NORMAL_X + i], s[TO_NORMAL_Y + i], s[TO_NORMAL_Z + i]
        along_m = gx * mx + gy * my + gz * mz
        gx, gy = (gx - along_m * mx) * inverse, (gy - along_m * my) * inverse
        gz = (gz - along_m * mz) * inverse
        to_x, to_y = gx * tx + gy * ty + gz * tz, gx * bx + gy * by + gz * bz
        s[TO_TEXEL_R + i] = TWO * bend * to_x
        s[TO_TEXEL_G + i] = TWO * bend * up * to_y
        s[TO_TEXEL_B + i] = TWO * (gx * nx + gy * ny + gz * nz)
        to_factors[band, item, NORMAL_SCALE] += x * to_x + y * to_y
        # To the tangent t and to the normal n, through b = n × t as well.
        qx, qy, qz = fy * gx, fy * gy, fy * gz
        kx, ky, kz = fx * gx + qy * nz - qz * ny, fx * gy + qz * nx - qx * nz, (
            fx * gz + qx * ny - qy * nx
        )  # fmt: skip
        hx, hy, hz = z * gx + ty * qz - tz * qy, z * gy + tz * qx - tx * qz, (
            z * gz + tx * qy - ty * qx
        )  # fmt: skip
        along_t = kx * tx + ky * ty + kz * tz
        kx, ky = (kx - along_t * tx) * shrink, (ky - along_t * ty) * shrink
        kz = (kz - along_t * tz) * shrink
        along_n = kx * nx + ky * ny + kz * nz
        s[TO_NORMAL_X + i] = hx - along * kx - along_n * wx
        s[TO_NORMAL_Y + i] = hy - along * ky - along_n * wy
        s[TO_NORMAL_Z + i] = hz - along * kz - along_n * wz
        kx, ky, kz = sign * (kx - along_n * nx), sign * (ky - along_n * ny), (
            sign * (kz - along_n * nz)
        )  # fmt: skip
        s[TO_B_X + i] += dv2 * kx
        s[TO_B_Y + i] += dv2 * ky
        s[TO_B_Z + i] += dv2 * kz
        s[TO_C_X + i] -= dv1 * kx
        s[TO_C_Y + i] -= dv1 * ky
        s[TO_C_Z + i] -= dv1 * kz
        s[TO_A_X + i] += (dv1 - dv2) * kx
        s[TO_A_Y + i] += (dv1 - dv2) * ky
        s[TO_A_Z + i] += (dv1 - dv2) * kz
        if wants_uvs:
            to_c = e1x * kx + e1y * ky + e1z * kz
            to_b = -(e2x * kx + e2y * ky + e2z * kz)
            touch(uv_flags, band, a)
            touch(uv_flags, band, b)
            touch(uv_flags, band, c)
            to_uvs[band, a, 1] -= to_b + to_c
            to_uvs[band, b, 1] += to_b
            to_uvs[band, c, 1] += to_c
