# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the surface is like at each hit pixel: the gathering half of the CPU shading kernel.

Works on blocks of ``BLOCK`` pixels whose values lie in one flat scratch array, a field after the
other. Because the distance between two fields is a constant, the compiler can prove that loops
over a block do not overlap and vectorizes the arithmetic half in ``kernels/shade.py``.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import ONE, TWO, ZERO, trilinear

BLOCK = 128

# Offsets of the fields in a block's scratch.
RAY_X, RAY_Y = 0 * BLOCK, 1 * BLOCK  # (x/z, y/z) of the pixel's ray
NORMAL_X, NORMAL_Y, NORMAL_Z = 2 * BLOCK, 3 * BLOCK, 4 * BLOCK  # optical frame, unit
DEPTH = 5 * BLOCK
BASE_R, BASE_G, BASE_B = 6 * BLOCK, 7 * BLOCK, 8 * BLOCK
METALLIC, ROUGHNESS = 9 * BLOCK, 10 * BLOCK
OUT_R, OUT_G, OUT_B = 11 * BLOCK, 12 * BLOCK, 13 * BLOCK
VIEW_X, VIEW_Y, VIEW_Z, N_DOT_V = 14 * BLOCK, 15 * BLOCK, 16 * BLOCK, 17 * BLOCK
SPECULAR_R, SPECULAR_G, SPECULAR_B = 18 * BLOCK, 19 * BLOCK, 20 * BLOCK
COLUMN, ROW = 21 * BLOCK, 22 * BLOCK
AIM_X, AIM_Y, AIM_Z = 23 * BLOCK, 24 * BLOCK, 25 * BLOCK
SCRATCH = 26 * BLOCK

# Columns of the material tables.
TEXTURE_BASE, TEXTURE_METAL, TEXTURE_NORMAL, HAS_NORMALS, HAS_COLORS = 0, 1, 2, 3, 4

SMALL = np.float32(1e-30)


@kernel(fastmath=True, inline=True)
def _triangle(faces, camera, face):
    """Return the corners' numbers and their nine optical-frame coordinates."""
    i0, i1, i2 = np.uint32(faces[face, 0]), np.uint32(faces[face, 1]), np.uint32(faces[face, 2])
    return (
        i0,
        i1,
        i2,
        camera[i0, 0],
        camera[i0, 1],
        camera[i0, 2],
        camera[i1, 0],
        camera[i1, 1],
        camera[i1, 2],
        camera[i2, 0],
        camera[i2, 1],
        camera[i2, 2],
    )


@kernel(fastmath=True, inline=True)
def _map_normal(nx, ny, nz, texel, e1, e2, du1, dv1, du2, dv2):
    """Turn a unit normal by a tangent-space texel (glTF: x along +u, y along −v of the image).

    :param texel: (r, g, b) in [0, 1].
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
    x, y, z = TWO * texel[0] - ONE, up * (TWO * texel[1] - ONE), TWO * texel[2] - ONE
    mx, my, mz = x * tx + y * bx + z * nx, x * ty + y * by + z * ny, x * tz + y * bz + z * nz
    square = mx * mx + my * my + mz * mz
    if not square > SMALL:
        return nx, ny, nz
    scale = ONE / math.sqrt(square)
    return mx * scale, my * scale, mz * scale


@kernel(fastmath=True)
def gather_surface(
    scratch,
    count,
    pixels,
    triangles,
    step_x,
    step_y,
    faces,
    face_instance,
    camera,
    normals,
    uvs,
    colors,
    rotate,
    factors,
    flags,
    atlas,
    texture_levels,
    texture_counts,
    depth,
    normal,
    instance,
):
    """Interpolate and look up everything shading needs for ``count`` hit pixels.

    Reads RAY_X and RAY_Y of the scratch; fills NORMAL, DEPTH, BASE, METALLIC, ROUGHNESS and, with
    the emitted light, OUT; writes the pictures ``depth`` (N,), ``normal`` (N, 3) and ``instance``
    (N,). Equal to ``render/interpolation.py`` and ``render/shading.py``.

    :param rotate: (I, 3, 3) float32, mesh normals to the optical frame, any scale.
    :param step_x, step_y: 1/fx and 1/fy, the ray's change from a pixel to the next.
    """
    last = -1
    i0 = i1 = i2 = np.uint32(0)
    x0 = y0 = z0 = x1 = y1 = z1 = x2 = y2 = z2 = ZERO
    item = np.int32(0)
    for i in range(count):
        face = triangles[i]
        if face != last:
            i0, i1, i2, x0, y0, z0, x1, y1, z1, x2, y2, z2 = _triangle(faces, camera, face)
            item = face_instance[face]
            last = face
        rx, ry = scratch[RAY_X + i], scratch[RAY_Y + i]

        # Corners relative to the pixel's ray: small numbers, so their cross products keep digits.
        ax, ay = x0 - rx * z0, y0 - ry * z0
        bx, by = x1 - rx * z1, y1 - ry * z1
        cx, cy = x2 - rx * z2, y2 - ry * z2
        w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
        total = w0 + w1 + w2
        inverse = ONE / total if abs(total) > SMALL else ZERO
        # A pixel on an edge may lie outside by 1/512 px because corners are snapped.
        b0, b1, b2 = max(w0 * inverse, ZERO), max(w1 * inverse, ZERO), max(w2 * inverse, ZERO)
        mass = b0 + b1 + b2
        if mass > ZERO:
            mass = ONE / mass
            b0, b1, b2 = b0 * mass, b1 * mass, b2 * mass
        else:
            b0 = b1 = b2 = ONE / np.float32(3.0)
        z = b0 * z0 + b1 * z1 + b2 * z2

        # Geometric normal towards the viewer (the rays' total is its sign), then shading normal.
        e1 = (x1 - x0, y1 - y0, z1 - z0)
        e2 = (x2 - x0, y2 - y0, z2 - z0)
        toward = -ONE if total > ZERO else ONE
        gx = toward * (e1[1] * e2[2] - e1[2] * e2[1])
        gy = toward * (e1[2] * e2[0] - e1[0] * e2[2])
        gz = toward * (e1[0] * e2[1] - e1[1] * e2[0])
        scale = ONE / math.sqrt(max(gx * gx + gy * gy + gz * gz, SMALL))
        gx, gy, gz = gx * scale, gy * scale, gz * scale
        nx, ny, nz = gx, gy, gz
        flip = ONE
        if flags[item, HAS_NORMALS] != 0:
            mx = b0 * normals[i0, 0] + b1 * normals[i1, 0] + b2 * normals[i2, 0]
            my = b0 * normals[i0, 1] + b1 * normals[i1, 1] + b2 * normals[i2, 1]
            mz = b0 * normals[i0, 2] + b1 * normals[i1, 2] + b2 * normals[i2, 2]
            k = np.uint64(item)
            ox = rotate[k, 0, 0] * mx + rotate[k, 0, 1] * my + rotate[k, 0, 2] * mz
            oy = rotate[k, 1, 0] * mx + rotate[k, 1, 1] * my + rotate[k, 1, 2] * mz
            oz = rotate[k, 2, 0] * mx + rotate[k, 2, 1] * my + rotate[k, 2, 2] * mz
            square = ox * ox + oy * oy + oz * oz
            if square > SMALL:
                scale = ONE / math.sqrt(square)
                nx, ny, nz = ox * scale, oy * scale, oz * scale
                if nx * gx + ny * gy + nz * gz < ZERO:
                    flip = -ONE

        red, green, blue = factors[item, 0], factors[item, 1], factors[item, 2]
        metallic, roughness = factors[item, 3], factors[item, 4]
        base_texture, metal_texture = flags[item, TEXTURE_BASE], flags[item, TEXTURE_METAL]
        normal_texture = flags[item, TEXTURE_NORMAL]
        if (base_texture & metal_texture & normal_texture) >= 0:
            u0, v0, u1, v1 = uvs[i0, 0], uvs[i0, 1], uvs[i1, 0], uvs[i1, 1]
            u2, v2 = uvs[i2, 0], uvs[i2, 1]
            u, v = b0 * u0 + b1 * u1 + b2 * u2, b0 * v0 + b1 * v1 + b2 * v2
            # Exact derivatives of the perspective-correct weights with respect to the ray.
            p0, p1, p2 = cy * -z1 + by * z2, ay * -z2 + cy * z0, by * -z0 + ay * z1
            q0, q1, q2 = cx * z1 - bx * z2, ax * z2 - cx * z0, bx * z0 - ax * z1
            p, q = p0 + p1 + p2, q0 + q1 + q2
            p0, p1, p2 = p0 - b0 * p, p1 - b1 * p, p2 - b2 * p
            q0, q1, q2 = q0 - b0 * q, q1 - b1 * q, q2 - b2 * q
            sx, sy = inverse * step_x, inverse * step_y
            ux, vx = (p0 * u0 + p1 * u1 + p2 * u2) * sx, (p0 * v0 + p1 * v1 + p2 * v2) * sx
            uy, vy = (q0 * u0 + q1 * u1 + q2 * u2) * sy, (q0 * v0 + q1 * v1 + q2 * v2) * sy
            if base_texture >= 0:
                r, g, b = trilinear(
                    atlas, texture_levels, texture_counts, base_texture, u, v, ux, vx, uy, vy
                )
                red, green, blue = red * r, green * g, blue * b
            if metal_texture >= 0:
                r, g, b = trilinear(
                    atlas, texture_levels, texture_counts, metal_texture, u, v, ux, vx, uy, vy
                )
                metallic, roughness = metallic * b, roughness * g
            if normal_texture >= 0:
                texel = trilinear(
                    atlas, texture_levels, texture_counts, normal_texture, u, v, ux, vx, uy, vy
                )
                nx, ny, nz = _map_normal(
                    nx, ny, nz, texel, e1, e2, u1 - u0, v1 - v0, u2 - u0, v2 - v0
                )
        if flags[item, HAS_COLORS] != 0:
            red *= b0 * colors[i0, 0] + b1 * colors[i1, 0] + b2 * colors[i2, 0]
            green *= b0 * colors[i0, 1] + b1 * colors[i1, 1] + b2 * colors[i2, 1]
            blue *= b0 * colors[i0, 2] + b1 * colors[i1, 2] + b2 * colors[i2, 2]
        nx, ny, nz = flip * nx, flip * ny, flip * nz

        pixel = pixels[i]
        depth[pixel] = z
        normal[pixel, 0] = nx
        normal[pixel, 1] = ny
        normal[pixel, 2] = nz
        instance[pixel] = item + 1
        scratch[NORMAL_X + i] = nx
        scratch[NORMAL_Y + i] = ny
        scratch[NORMAL_Z + i] = nz
        scratch[DEPTH + i] = z
        scratch[BASE_R + i] = red
        scratch[BASE_G + i] = green
        scratch[BASE_B + i] = blue
        scratch[METALLIC + i] = metallic
        scratch[ROUGHNESS + i] = roughness
        scratch[OUT_R + i] = factors[item, 5]
        scratch[OUT_G + i] = factors[item, 6]
        scratch[OUT_B + i] = factors[item, 7]
