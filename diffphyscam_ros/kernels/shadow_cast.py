# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which points of a tile a triangle hides from a light, exactly.

The triangle's shadow is a volume behind four planes: its own, and one through each edge and the
light. Each is a linear function of the point, so that a triangle is tested against a whole tile
at a few instructions a point. The two triangles at an edge compute numbers of opposite sign to
the last bit, and both count zero as inside: no light comes through between them.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.shadow_points import PASSED, TILE, X, Y, Z

ZERO = np.float32(0.0)


@kernel(inline=True)
def _edge(ax, ay, az, bx, by, bz, lx, ly, lz, near):
    """Return the plane through an edge and the light, the triangle on its left side inside."""
    if near:
        px, py, pz = ax - lx, ay - ly, az - lz
        qx, qy, qz = bx - lx, by - ly, bz - lz
        nx, ny, nz = qy * pz - qz * py, qz * px - qx * pz, qx * py - qy * px
        return nx, ny, nz, -(nx * lx + ny * ly + nz * lz)
    dx, dy, dz = bx - ax, by - ay, bz - az
    nx, ny, nz = ly * dz - lz * dy, lz * dx - lx * dz, lx * dy - ly * dx
    d = lx * (ay * bz - az * by) + ly * (az * bx - ax * bz) + lz * (ax * by - ay * bx)
    return nx, ny, nz, d


# Not one liberty: fused products would not have opposite signs for the two sides of an edge.
@kernel()
def shadow_planes(volume, ax, ay, az, bx, by, bz, cx, cy, cz, lx, ly, lz, near, close):
    """Find the shadow of a triangle: four planes, of which all points in shadow are inside.

    :param volume: (16,) float32, out.
    :param ax, …, cz: corners, and ``lx, ly, lz`` the light as in ``shadow_shaft.enclose``,
        relative to the tile's origin, float64.
    :param close: metres behind the triangle that are not in its shadow yet.
    :returns: 0 where it has no shadow: none is cast edge on; −1 where the volume's planes, through
        the edges ab, bc, ca, have b and c swapped; else 1.
    """
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    if near:
        height = nx * (lx - ax) + ny * (ly - ay) + nz * (lz - az)
    else:
        height = nx * lx + ny * ly + nz * lz
    if height == 0.0:
        return 0
    if height < 0.0:
        bx, by, bz, cx, cy, cz = cx, cy, cz, bx, by, bz
        nx, ny, nz = -nx, -ny, -nz
    e = _edge(ax, ay, az, bx, by, bz, lx, ly, lz, near)
    f = _edge(bx, by, bz, cx, cy, cz, lx, ly, lz, near)
    g = _edge(cx, cy, cz, ax, ay, az, lx, ly, lz, near)
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    volume[0], volume[1], volume[2], volume[3] = e
    volume[4], volume[5], volume[6], volume[7] = f
    volume[8], volume[9], volume[10], volume[11] = g
    volume[12], volume[13], volume[14] = -nx, -ny, -nz
    volume[15] = nx * ax + ny * ay + nz * az - close * length
    return -1 if height < 0.0 else 1


@kernel(fastmath={'contract'})
def darken(s, volume):
    """Set PASSED to zero inside a shadow and return the number of places that still have light."""
    ex, ey, ez, ed = volume[0], volume[1], volume[2], volume[3]
    fx, fy, fz, fd = volume[4], volume[5], volume[6], volume[7]
    gx, gy, gz, gd = volume[8], volume[9], volume[10], volume[11]
    nx, ny, nz, nd = volume[12], volume[13], volume[14], volume[15]
    lit = np.int32(0)
    for i in range(TILE):
        x, y, z = s[X + i], s[Y + i], s[Z + i]
        e = ex * x + ey * y + ez * z + ed
        f = fx * x + fy * y + fz * z + fd
        g = gx * x + gy * y + gz * z + gd
        n = nx * x + ny * y + nz * z + nd
        hidden = (e >= ZERO) & (f >= ZERO) & (g >= ZERO) & (n > ZERO)
        passed = ZERO if hidden else s[PASSED + i]
        s[PASSED + i] = passed
        lit += np.int32(passed > ZERO)
    return lit
