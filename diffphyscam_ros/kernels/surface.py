# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the surface is like at each hit pixel, step by step; ``kernels/gather.py`` takes them.

Equal to ``render/interpolation.py`` and the material look-up in ``render/shading.py``.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.arithmetic import ONE, TWO, ZERO
from diffphyscam_ros.kernels.rows import mix_threes
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    A_U,
    A_V,
    A_X,
    A_Y,
    A_Z,
    ACROSS_A,
    ACROSS_B,
    ACROSS_C,
    ALPHA,
    B_U,
    B_V,
    B_X,
    B_Y,
    B_Z,
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    C_U,
    C_V,
    C_X,
    C_Y,
    C_Z,
    CORNER_A,
    CORNER_B,
    CORNER_C,
    DEPTH,
    DOWN_A,
    DOWN_B,
    DOWN_C,
    FACING_X,
    FACING_Y,
    FACING_Z,
    FLIP,
    ITEM,
    METALLIC,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    OUT_B,
    OUT_G,
    OUT_R,
    RAY_X,
    RAY_Y,
    ROUGHNESS,
    RUN,
    TEXEL_B,
    TEXEL_G,
    TEXEL_R,
    TRIANGLE,
    U,
    U_ACROSS,
    U_DOWN,
    V,
    V_ACROSS,
    V_DOWN,
    WEIGHT_A,
    WEIGHT_B,
    WEIGHT_C,
)

# Columns of the material flags. Of Python's own numbers numba makes a function for each.
TEXTURE_BASE, TEXTURE_METAL, TEXTURE_NORMAL, HAS_NORMALS, HAS_COLORS = map(np.int64, range(5))
TEXTURE_EMISSIVE, TEXTURE_OCCLUSION, ALPHA_MODE = map(np.int64, range(5, 8))
MASK, BLEND = 1, 2
# Columns of the material factors; base colour 0 to 2, emissive 5 to 7.
FACTOR_METALLIC, FACTOR_ROUGHNESS, FACTOR_ALPHA, ALPHA_CUTOFF = 3, 4, 8, 9
OCCLUSION_STRENGTH, NORMAL_SCALE = 10, 11
# What the pixels of a block have, as bits.
USES_BASE, USES_METAL, USES_NORMAL, USES_EMISSIVE, USES_OCCLUSION, USES_ALPHA = 1, 2, 4, 8, 16, 32
USES_TEXTURE = USES_BASE | USES_METAL | USES_NORMAL | USES_EMISSIVE | USES_OCCLUSION

SMALL = np.float32(1e-30)
THIRD = np.float32(1.0 / 3.0)


@kernel(fastmath=True, inline=True)
def corners(n, i):
    """Return the numbers of a pixel's three vertices."""
    return np.uint32(n[CORNER_A + i]), np.uint32(n[CORNER_B + i]), np.uint32(n[CORNER_C + i])


@kernel(fastmath=True, inline=True)
def weights(s, i):
    """Return a pixel's barycentric weights."""
    return s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i]


@kernel(fastmath=True)
def locate(s, n, count, faces, face_instance, camera):
    """Fill ITEM, CORNER and the corners' coordinates from TRIANGLE.

    :returns: the number of runs, whose ends are in RUN: pixels of one instance after the other.
        What holds for an instance is read once for each. Ends are unsigned where they are used,
        or loops over a run would look for negative indices instead of vectorizing.
    """
    runs = 0
    latest = np.int32(-1)
    for i in range(count):
        face = np.uint32(n[TRIANGLE + i])
        a, b, c = np.uint32(faces[face, 0]), np.uint32(faces[face, 1]), np.uint32(faces[face, 2])
        item = face_instance[face]
        if item != latest and i > 0:
            n[RUN + runs] = i
            runs += 1
        latest = item
        n[ITEM + i] = item
        n[CORNER_A + i] = a
        n[CORNER_B + i] = b
        n[CORNER_C + i] = c
        s[A_X + i], s[A_Y + i], s[A_Z + i] = camera[a, 0], camera[a, 1], camera[a, 2]
        s[B_X + i], s[B_Y + i], s[B_Z + i] = camera[b, 0], camera[b, 1], camera[b, 2]
        s[C_X + i], s[C_Y + i], s[C_Z + i] = camera[c, 0], camera[c, 1], camera[c, 2]
    n[RUN + runs] = count
    return runs + 1


@kernel(fastmath=True)
def intersect(s, step_x, step_y):
    """Fill WEIGHT, ACROSS, DOWN, DEPTH and FACING.

    :param step_x, step_y: 1/fx and 1/fy, the ray's change from a pixel to the next.
    """
    for i in range(BLOCK):
        rx, ry = s[RAY_X + i], s[RAY_Y + i]
        x0, y0, z0 = s[A_X + i], s[A_Y + i], s[A_Z + i]
        x1, y1, z1 = s[B_X + i], s[B_Y + i], s[B_Z + i]
        x2, y2, z2 = s[C_X + i], s[C_Y + i], s[C_Z + i]
        # Corners relative to the pixel's ray: small numbers, so their cross products keep digits.
        ax, ay = x0 - rx * z0, y0 - ry * z0
        bx, by = x1 - rx * z1, y1 - ry * z1
        cx, cy = x2 - rx * z2, y2 - ry * z2
        w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
        total = w0 + w1 + w2
        usable = abs(total) > SMALL
        inverse = ONE / (total if usable else ONE)
        inverse = inverse if usable else ZERO
        # A pixel on an edge may lie outside by 1/512 px because corners are snapped.
        b0, b1, b2 = max(w0 * inverse, ZERO), max(w1 * inverse, ZERO), max(w2 * inverse, ZERO)
        mass = b0 + b1 + b2
        scale = ONE / (mass if mass > ZERO else ONE)
        b0 = b0 * scale if mass > ZERO else THIRD
        b1 = b1 * scale if mass > ZERO else THIRD
        b2 = b2 * scale if mass > ZERO else THIRD
        s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i] = b0, b1, b2
        s[DEPTH + i] = b0 * z0 + b1 * z1 + b2 * z2

        # The sign of the total tells which way the corners run round the ray.
        e1x, e1y, e1z = x1 - x0, y1 - y0, z1 - z0
        e2x, e2y, e2z = x2 - x0, y2 - y0, z2 - z0
        gx, gy, gz = e1y * e2z - e1z * e2y, e1z * e2x - e1x * e2z, e1x * e2y - e1y * e2x
        square = gx * gx + gy * gy + gz * gz
        scale = (-ONE if total > ZERO else ONE) / math.sqrt(max(square, SMALL))
        s[FACING_X + i] = gx * scale if square > SMALL else ZERO
        s[FACING_Y + i] = gy * scale if square > SMALL else ZERO
        s[FACING_Z + i] = gz * scale if square > SMALL else -ONE

        # Exact derivatives of the perspective-correct weights with respect to the ray.
        p0, p1, p2 = by * z2 - cy * z1, cy * z0 - ay * z2, ay * z1 - by * z0
        q0, q1, q2 = cx * z1 - bx * z2, ax * z2 - cx * z0, bx * z0 - ax * z1
        p, q = p0 + p1 + p2, q0 + q1 + q2
        sx, sy = inverse * step_x, inverse * step_y
        s[ACROSS_A + i] = (p0 - b0 * p) * sx
        s[ACROSS_B + i] = (p1 - b1 * p) * sx
        s[ACROSS_C + i] = (p2 - b2 * p) * sx
        s[DOWN_A + i] = (q0 - b0 * q) * sy
        s[DOWN_B + i] = (q1 - b1 * q) * sy
        s[DOWN_C + i] = (q2 - b2 * q) * sy


@kernel(fastmath=True)
def _color_vertices(s, n, start, end, colors):
    """Multiply BASE by the interpolated vertex colours."""
    for number in range(start, end):
        i = np.uint32(number)
        red, green, blue = mix_threes(colors, corners(n, i), weights(s, i))
        s[BASE_R + i] *= red
        s[BASE_G + i] *= green
        s[BASE_B + i] *= blue


@kernel(fastmath=True)
def read_materials(s, n, runs, factors, flags, colors):
    """Fill BASE, METALLIC, ROUGHNESS, ALPHA and, with the emitted light, OUT; return the bits."""
    uses = 0
    start = np.uint32(0)
    for run in range(runs):
        end = np.uint32(n[RUN + run])
        item = np.uint32(n[ITEM + start])
        red, green, blue = factors[item, 0], factors[item, 1], factors[item, 2]
        metallic, roughness = factors[item, FACTOR_METALLIC], factors[item, FACTOR_ROUGHNESS]
        out_red, out_green, out_blue = factors[item, 5], factors[item, 6], factors[item, 7]
        alpha = factors[item, FACTOR_ALPHA]
        for number in range(start, end):
            i = np.uint32(number)
            s[BASE_R + i], s[BASE_G + i], s[BASE_B + i] = red, green, blue
            s[METALLIC + i], s[ROUGHNESS + i] = metallic, roughness
            s[OUT_R + i], s[OUT_G + i], s[OUT_B + i] = out_red, out_green, out_blue
            s[ALPHA + i] = alpha
        if flags[item, HAS_COLORS] != 0:
            _color_vertices(s, n, start, end, colors)
        uses |= USES_BASE if flags[item, TEXTURE_BASE] >= 0 else 0
        uses |= USES_METAL if flags[item, TEXTURE_METAL] >= 0 else 0
        uses |= USES_NORMAL if flags[item, TEXTURE_NORMAL] >= 0 else 0
        uses |= USES_EMISSIVE if flags[item, TEXTURE_EMISSIVE] >= 0 else 0
        uses |= USES_OCCLUSION if flags[item, TEXTURE_OCCLUSION] >= 0 else 0
        uses |= USES_ALPHA if flags[item, ALPHA_MODE] != 0 else 0
        start = end
    return uses


@kernel(fastmath=True)
def mix_normals(s, n, runs, flags, normals, rotate):
    """Fill NORMAL with the interpolated normals in the optical frame, of any length."""
    start = np.uint32(0)
    for run in range(runs):
        end = np.uint32(n[RUN + run])
        k = np.uint32(n[ITEM + start])
        if flags[k, HAS_NORMALS] == 0:
            for number in range(start, end):
                i = np.uint32(number)
                s[NORMAL_X + i] = s[FACING_X + i]
                s[NORMAL_Y + i] = s[FACING_Y + i]
                s[NORMAL_Z + i] = s[FACING_Z + i]
            start = end
            continue
        for number in range(start, end):
            i = np.uint32(number)
            x, y, z = mix_threes(normals, corners(n, i), weights(s, i))
            s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i] = x, y, z
        r00, r01, r02 = rotate[k, 0, 0], rotate[k, 0, 1], rotate[k, 0, 2]
        r10, r11, r12 = rotate[k, 1, 0], rotate[k, 1, 1], rotate[k, 1, 2]
        r20, r21, r22 = rotate[k, 2, 0], rotate[k, 2, 1], rotate[k, 2, 2]
        for number in range(start, end):
            i = np.uint32(number)
            x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
            s[NORMAL_X + i] = r00 * x + r01 * y + r02 * z
            s[NORMAL_Y + i] = r10 * x + r11 * y + r12 * z
            s[NORMAL_Z + i] = r20 * x + r21 * y + r22 * z
        start = end


@kernel(fastmath=True)
def finish_normals(s):
    """Make NORMAL unit, and FLIP the sign that turns it to the viewer's side."""
    for i in range(BLOCK):
        x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        gx, gy, gz = s[FACING_X + i], s[FACING_Y + i], s[FACING_Z + i]
        square = x * x + y * y + z * z
        scale = ONE / math.sqrt(max(square, SMALL))
        x = x * scale if square > SMALL else gx
        y = y * scale if square > SMALL else gy
        z = z * scale if square > SMALL else gz
        s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i] = x, y, z
        s[FLIP + i] = -ONE if x * gx + y * gy + z * gz < ZERO else ONE


@kernel(fastmath=True)
def mix_uvs(s, n, count, uvs):
    """Fill U, V and their changes to the right and down."""
    for i in range(count):
        a, b, c = corners(n, i)
        s[A_U + i], s[A_V + i] = uvs[a, 0], uvs[a, 1]
        s[B_U + i], s[B_V + i] = uvs[b, 0], uvs[b, 1]
        s[C_U + i], s[C_V + i] = uvs[c, 0], uvs[c, 1]
    for i in range(BLOCK):
        ua, va, ub, vb = s[A_U + i], s[A_V + i], s[B_U + i], s[B_V + i]
        uc, vc = s[C_U + i], s[C_V + i]
        p, q, r = s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i]
        s[U + i], s[V + i] = p * ua + q * ub + r * uc, p * va + q * vb + r * vc
        p, q, r = s[ACROSS_A + i], s[ACROSS_B + i], s[ACROSS_C + i]
        s[U_ACROSS + i], s[V_ACROSS + i] = p * ua + q * ub + r * uc, p * va + q * vb + r * vc
        p, q, r = s[DOWN_A + i], s[DOWN_B + i], s[DOWN_C + i]
        s[U_DOWN + i], s[V_DOWN + i] = p * ua + q * ub + r * uc, p * va + q * vb + r * vc


@kernel(fastmath=True, inline=True)
def _map_normal(nx, ny, nz, texel, bend, e1, e2, du1, dv1, du2, dv2):
    """Turn a unit normal by a tangent-space texel (glTF: x along +u, y along −v of the image).

    :param texel: (r, g, b) in [0, 1]; ``bend`` multiplies x and y.
    :param e1, e2: triangle edges in the optical frame; du1 … dv2: the same edges in uv.
    """
    determinant = du1 * dv2 - dv1 * du2
    # The sign alone matters: the tangent is normalised.
    sign = ONE if determinant > ZERO else -ONE
    tx = sign * (e1[0] * dv2 - e2[0] * dv1)
    ty = sign * (e1[1] * dv2 - e2[1] * dv1)
    tz = sign * (e1[2] * dv2 - e2[2] * dv1)
    along = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - along * nx, ty - along * ny, tz - along * nz
    square = tx * tx + ty * ty + tz * tz
    if not (abs(determinant) > ZERO and square > SMALL):
        return nx, ny, nz
    scale = ONE / math.sqrt(square)
    tx, ty, tz = tx * scale, ty * scale, tz * scale
    bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
    vx = sign * (e2[0] * du1 - e1[0] * du2)
    vy = sign * (e2[1] * du1 - e1[1] * du2)
    vz = sign * (e2[2] * du1 - e1[2] * du2)
    up = -ONE if bx * vx + by * vy + bz * vz > ZERO else ONE
    x, y = bend * (TWO * texel[0] - ONE), bend * up * (TWO * texel[1] - ONE)
    z = TWO * texel[2] - ONE
    mx, my, mz = x * tx + y * bx + z * nx, x * ty + y * by + z * ny, x * tz + y * bz + z * nz
    square = mx * mx + my * my + mz * mz
    if not square > SMALL:
        return nx, ny, nz
    scale = ONE / math.sqrt(square)
    return mx * scale, my * scale, mz * scale


@kernel(fastmath=True)
def map_normals(s, n, count, factors, flags, uvs):
    """Turn NORMAL by TEXEL where there is a normal texture."""
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        if flags[item, TEXTURE_NORMAL] < 0:
            continue
        a, b, c = corners(n, i)
        ua, va = uvs[a, 0], uvs[a, 1]
        x, y, z = s[A_X + i], s[A_Y + i], s[A_Z + i]
        nx, ny, nz = _map_normal(
            s[NORMAL_X + i],
            s[NORMAL_Y + i],
            s[NORMAL_Z + i],
            (s[TEXEL_R + i], s[TEXEL_G + i], s[TEXEL_B + i]),
            factors[item, NORMAL_SCALE],
            (s[B_X + i] - x, s[B_Y + i] - y, s[B_Z + i] - z),
            (s[C_X + i] - x, s[C_Y + i] - y, s[C_Z + i] - z),
            uvs[b, 0] - ua,
            uvs[b, 1] - va,
            uvs[c, 0] - ua,
            uvs[c, 1] - va,
        )
        s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i] = nx, ny, nz
