# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of the surface's geometry: weights, depth, normals, back to vertices and rays.

See ``kernels/surface.py`` for the forward pass; ``kernels/materials_adjoint.py`` has the rest.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    INVERSE_LENGTH,
    SMOOTH_X,
    SMOOTH_Y,
    SMOOTH_Z,
    TO_A_X,
    TO_A_Y,
    TO_A_Z,
    TO_B_X,
    TO_B_Y,
    TO_B_Z,
    TO_C_X,
    TO_C_Y,
    TO_C_Z,
    TO_DEPTH,
    TO_FACING_X,
    TO_FACING_Y,
    TO_FACING_Z,
    TO_MIXED_X,
    TO_MIXED_Y,
    TO_MIXED_Z,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_RAY_X,
    TO_RAY_Y,
    TO_U,
    TO_V,
    TO_WEIGHT_A,
    TO_WEIGHT_B,
    TO_WEIGHT_C,
)
from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.bands import add_three, touch
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    A_X,
    A_Y,
    A_Z,
    B_X,
    B_Y,
    B_Z,
    BLOCK,
    C_X,
    C_Y,
    C_Z,
    CORNER_A,
    CORNER_B,
    CORNER_C,
    FACING_X,
    FACING_Y,
    FACING_Z,
    ITEM,
    RAY_X,
    RAY_Y,
    WEIGHT_A,
    WEIGHT_B,
    WEIGHT_C,
)
from diffphyscam_ros.kernels.surface import HAS_NORMALS, SMALL


@kernel(fastmath=True)
def mix_normals_adjoint(
    s,
    n,
    count,
    flags,
    normals,
    rotate,
    band,
    to_rotate,
    to_normals,
    normal_flags,
    wants_normals,
    wants_rotate,
):
    """Carry TO_NORMAL, of the unit normals before bending, back to what they are made of.

    Adds to TO_WEIGHT and TO_FACING.

    :param to_rotate: (bands, I, 3, 3) float64, added to at ``band`` where ``wants_rotate``.
    :param to_normals: (bands, V, 3) float32 and its ``normal_flags``, where ``wants_normals``.
    """
    for i in range(BLOCK):
        tx, ty, tz = s[TO_NORMAL_X + i], s[TO_NORMAL_Y + i], s[TO_NORMAL_Z + i]
        nx, ny, nz = s[SMOOTH_X + i], s[SMOOTH_Y + i], s[SMOOTH_Z + i]
        along, inverse = tx * nx + ty * ny + tz * nz, s[INVERSE_LENGTH + i]
        s[TO_MIXED_X + i] = (tx - along * nx) * inverse
        s[TO_MIXED_Y + i] = (ty - along * ny) * inverse
        s[TO_MIXED_Z + i] = (tz - along * nz) * inverse
    for i in range(count):
        k = np.uint32(n[ITEM + i])
        if flags[k, HAS_NORMALS] == 0 or s[INVERSE_LENGTH + i] == ZERO:
            s[TO_FACING_X + i] += s[TO_NORMAL_X + i]
            s[TO_FACING_Y + i] += s[TO_NORMAL_Y + i]
            s[TO_FACING_Z + i] += s[TO_NORMAL_Z + i]
            continue
        a, b, c = (
            np.uint32(n[CORNER_A + i]),
            np.uint32(n[CORNER_B + i]),
            np.uint32(n[CORNER_C + i]),
        )
        wa, wb, wc = s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i]
        tx, ty, tz = s[TO_MIXED_X + i], s[TO_MIXED_Y + i], s[TO_MIXED_Z + i]
        if wants_rotate:
            x = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            y = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            z = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            to_rotate[band, k, 0, 0] += tx * x
            to_rotate[band, k, 0, 1] += tx * y
            to_rotate[band, k, 0, 2] += tx * z
            to_rotate[band, k, 1, 0] += ty * x
            to_rotate[band, k, 1, 1] += ty * y
            to_rotate[band, k, 1, 2] += ty * z
            to_rotate[band, k, 2, 0] += tz * x
            to_rotate[band, k, 2, 1] += tz * y
            to_rotate[band, k, 2, 2] += tz * z
        x = rotate[k, 0, 0] * tx + rotate[k, 1, 0] * ty + rotate[k, 2, 0] * tz
        y = rotate[k, 0, 1] * tx + rotate[k, 1, 1] * ty + rotate[k, 2, 1] * tz
        z = rotate[k, 0, 2] * tx + rotate[k, 1, 2] * ty + rotate[k, 2, 2] * tz
        s[TO_WEIGHT_A + i] += normals[a, 0] * x + normals[a, 1] * y + normals[a, 2] * z
        s[TO_WEIGHT_B + i] += normals[b, 0] * x + normals[b, 1] * y + normals[b, 2] * z
        s[TO_WEIGHT_C + i] += normals[c, 0] * x + normals[c, 1] * y + normals[c, 2] * z
        if wants_normals:
            add_three(to_normals, normal_flags, band, a, wa * x, wa * y, wa * z)
            add_three(to_normals, normal_flags, band, b, wb * x, wb * y, wb * z)
            add_three(to_normals, normal_flags, band, c, wc * x, wc * y, wc * z)


@kernel(fastmath=True)
def mix_uvs_adjoint(s, n, count, uvs, band, to_uvs, uv_flags, wanted):
    """Carry TO_U and TO_V back to TO_WEIGHT and the uvs.

    :param to_uvs: (bands, V, 2) float32 and its ``uv_flags``, used where ``wanted``.
    """
    for i in range(count):
        a, b, c = (
            np.uint32(n[CORNER_A + i]),
            np.uint32(n[CORNER_B + i]),
            np.uint32(n[CORNER_C + i]),
        )
        u, v = s[TO_U + i], s[TO_V + i]
        s[TO_WEIGHT_A + i] += u * uvs[a, 0] + v * uvs[a, 1]
        s[TO_WEIGHT_B + i] += u * uvs[b, 0] + v * uvs[b, 1]
        s[TO_WEIGHT_C + i] += u * uvs[c, 0] + v * uvs[c, 1]
        if wanted:
            wa, wb, wc = s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i]
            touch(uv_flags, band, a)
            touch(uv_flags, band, b)
            touch(uv_flags, band, c)
            to_uvs[band, a, 0] += wa * u
            to_uvs[band, a, 1] += wa * v
            to_uvs[band, b, 0] += wb * u
            to_uvs[band, b, 1] += wb * v
            to_uvs[band, c, 0] += wc * u
            to_uvs[band, c, 1] += wc * v


@kernel(fastmath=True)
def intersect_adjoint(s, held):
    """Carry TO_WEIGHT, TO_DEPTH and TO_FACING back to TO_A, TO_B, TO_C and TO_RAY.

    :param held: the weights are taken as constants.
    """
    for i in range(BLOCK):
        rx, ry = s[RAY_X + i], s[RAY_Y + i]
        x0, y0, z0 = s[A_X + i], s[A_Y + i], s[A_Z + i]
        x1, y1, z1 = s[B_X + i], s[B_Y + i], s[B_Z + i]
        x2, y2, z2 = s[C_X + i], s[C_Y + i], s[C_Z + i]
        ax, ay = x0 - rx * z0, y0 - ry * z0
        bx, by = x1 - rx * z1, y1 - ry * z1
        cx, cy = x2 - rx * z2, y2 - ry * z2
        w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
        total = w0 + w1 + w2
        usable = abs(total) > SMALL
        inverse = ONE / (total if usable else ONE)
        inverse = inverse if usable else ZERO
        u0, u1, u2 = w0 * inverse, w1 * inverse, w2 * inverse
        mass = max(u0, ZERO) + max(u1, ZERO) + max(u2, ZERO)
        # Where the weights are made to add up to 1, the total's own derivative cancels.
        scale = inverse / (mass if mass > ZERO else ONE)
        scale = scale if mass > ZERO and not held else ZERO
        p, q, r = s[WEIGHT_A + i], s[WEIGHT_B + i], s[WEIGHT_C + i]
        to_depth = s[TO_DEPTH + i]
        t0 = s[TO_WEIGHT_A + i] + to_depth * z0
        t1 = s[TO_WEIGHT_B + i] + to_depth * z1
        t2 = s[TO_WEIGHT_C + i] + to_depth * z2
        mean = t0 * p + t1 * q + t2 * r
        t0 = (t0 - mean) * scale if u0 >= ZERO else ZERO
        t1 = (t1 - mean) * scale if u1 >= ZERO else ZERO
        t2 = (t2 - mean) * scale if u2 >= ZERO else ZERO
        to_ax, to_ay = t2 * by - t1 * cy, t1 * cx - t2 * bx
        to_bx, to_by = t0 * cy - t2 * ay, t2 * ax - t0 * cx
        to_cx, to_cy = t1 * ay - t0 * by, t0 * bx - t1 * ax
        s[TO_RAY_X + i] -= to_ax * z0 + to_bx * z1 + to_cx * z2
        s[TO_RAY_Y + i] -= to_ay * z0 + to_by * z1 + to_cy * z2

        e1x, e1y, e1z = x1 - x0, y1 - y0, z1 - z0
        e2x, e2y, e2z = x2 - x0, y2 - y0, z2 - z0
        gx, gy, gz = e1y * e2z - e1z * e2y, e1z * e2x - e1x * e2z, e1x * e2y - e1y * e2x
        square = gx * gx + gy * gy + gz * gz
        length = (-ONE if total > ZERO else ONE) / math.sqrt(max(square, SMALL))
        length = length if square > SMALL else ZERO
        fx, fy, fz = s[FACING_X + i], s[FACING_Y + i], s[FACING_Z + i]
        tx, ty, tz = s[TO_FACING_X + i], s[TO_FACING_Y + i], s[TO_FACING_Z + i]
        along = tx * fx + ty * fy + tz * fz
        tx, ty = (tx - along * fx) * length, (ty - along * fy) * length
        tz = (tz - along * fz) * length
        d1x, d1y, d1z = e2y * tz - e2z * ty, e2z * tx - e2x * tz, e2x * ty - e2y * tx
        d2x, d2y, d2z = ty * e1z - tz * e1y, tz * e1x - tx * e1z, tx * e1y - ty * e1x

        s[TO_A_X + i] += to_ax - d1x - d2x
        s[TO_A_Y + i] += to_ay - d1y - d2y
        s[TO_A_Z + i] += to_depth * p - rx * to_ax - ry * to_ay - d1z - d2z
        s[TO_B_X + i] += to_bx + d1x
        s[TO_B_Y + i] += to_by + d1y
        s[TO_B_Z + i] += to_depth * q - rx * to_bx - ry * to_by + d1z
        s[TO_C_X + i] += to_cx + d2x
        s[TO_C_Y + i] += to_cy + d2y
        s[TO_C_Z + i] += to_depth * r - rx * to_cx - ry * to_cy + d2z


@kernel(fastmath=True)
def corners_adjoint(s, n, count, band, to_camera, camera_flags):
    """Add TO_A, TO_B and TO_C to the vertices.

    :param to_camera: (bands, V, 3) float32 and its ``camera_flags``.
    """
    for i in range(count):
        a, b, c = (
            np.uint32(n[CORNER_A + i]),
            np.uint32(n[CORNER_B + i]),
            np.uint32(n[CORNER_C + i]),
        )
        x, y, z = s[TO_A_X + i], s[TO_A_Y + i], s[TO_A_Z + i]
        add_three(to_camera, camera_flags, band, a, x, y, z)
        x, y, z = s[TO_B_X + i], s[TO_B_Y + i], s[TO_B_Z + i]
        add_three(to_camera, camera_flags, band, b, x, y, z)
        x, y, z = s[TO_C_X + i], s[TO_C_Y + i], s[TO_C_Z + i]
        add_three(to_camera, camera_flags, band, c, x, y, z)


@kernel(fastmath=True)
def rays_adjoint(s, step_x, step_y, band, to_pinhole):
    """Add TO_RAY to the pinhole's numbers; rays are ((u − cx)/fx, (v − cy)/fy, 1).

    :param to_pinhole: (bands, 4) float64, fx, fy, cx, cy.
    """
    fx, fy, cx, cy = ZERO, ZERO, ZERO, ZERO
    for i in range(BLOCK):
        x, y = s[TO_RAY_X + i], s[TO_RAY_Y + i]
        fx += x * s[RAY_X + i]
        fy += y * s[RAY_Y + i]
        cx += x
        cy += y
    to_pinhole[band, 0] -= fx * step_x
    to_pinhole[band, 1] -= fy * step_y
    to_pinhole[band, 2] -= cx * step_x
    to_pinhole[band, 3] -= cy * step_y
