# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The shaft between a tile's points and a light.

It has seven planes; whatever is outside one of them hides the light from none of the points
(after Haines and Wallace 1991, "Shaft culling").

A plane (a, b, c, d) keeps a·x + b·y + c·z + d ≥ 0.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.shadow_points import TILE, X, Y, Z
from diffphyscam_ros.kernels.shadow_tree import WIDTH

PLANES = 7
ROUNDING = 2.0**-21  # of float32 sums, four times over
ZERO, ONE = np.float32(0.0), np.float32(1.0)
CLOSE = 2.0**-20  # of the distance to the camera: nearer to a surface nothing casts a shadow on it


@kernel(inline=True)
def _set(planes, k, a, b, c, d):
    planes[k, 0], planes[k, 1], planes[k, 2], planes[k, 3] = a, b, c, d


# Points are finite, so that loops over them may forget about NaN, and about the order of sums.
FINITE = {'contract', 'reassoc', 'nnan', 'nsz'}


@kernel(fastmath=FINITE)
def spread(s, x, y, z):
    """Return the least and the greatest of x·X + y·Y + z·Z over all TILE places."""
    x, y, z = np.float32(x), np.float32(y), np.float32(z)
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for i in range(TILE):
        value = x * s[X + i] + y * s[Y + i] + z * s[Z + i]
        low, high = min(low, value), max(high, value)
    return low, high


@kernel(fastmath=FINITE)
def _slopes(s, ax, ay, az, wx, wy, wz, lx, ly, lz):
    """Return the least and the greatest slope along a of the ways from the points to the light."""
    ax, ay, az = np.float32(ax), np.float32(ay), np.float32(az)
    wx, wy, wz = np.float32(wx), np.float32(wy), np.float32(wz)
    lx, ly, lz = np.float32(lx), np.float32(ly), np.float32(lz)
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for i in range(TILE):
        x, y, z = s[X + i] - lx, s[Y + i] - ly, s[Z + i] - lz
        slope = -(ax * x + ay * y + az * z) / (wx * x + wy * y + wz * z)
        low, high = min(low, slope), max(high, slope)
    room = np.float32(4.0 * ROUNDING) * (ONE + max(abs(low), abs(high)))
    return low - room, high + room


@kernel()
def _across(wx, wy, wz, nx, ny, nz):
    """Return two unit vectors across w, the first along the surface: a sheet fits best so."""
    ux, uy, uz = wy * nz - wz * ny, wz * nx - wx * nz, wx * ny - wy * nx
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    if length < 1e-3:
        if abs(wx) < 0.6:
            ux, uy, uz = 0.0, wz, -wy
        else:
            ux, uy, uz = -wz, 0.0, wx
        length = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / length, uy / length, uz / length
    return ux, uy, uz, wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux


@kernel()
def enclose(planes, s, lx, ly, lz, near, nx, ny, nz, close):
    """Enclose all segments from points to a light.

    :param planes: (PLANES, 4) float64, out, relative to the tile's origin.
    :param s: (FLOATS,) float32 scratch with X, Y, Z in all places.
    :param lx, ly, lz: unit direction to the light; its position, if ``near``.
    :param nx, ny, nz: a unit vector, about the points' normal.
    :param close: metres; triangles wholly below it over the points do not matter.
    """
    wx, wy, wz = lx, ly, lz
    if near:
        # The origin is one of the points.
        length = math.sqrt(wx * wx + wy * wy + wz * wz)
        if length > 0.0:
            wx, wy, wz = wx / length, wy / length, wz / length
        else:
            wx, wy, wz = nx, ny, nz
    ux, uy, uz, vx, vy, vz = _across(wx, wy, wz, nx, ny, nz)
    w_low, w_high = spread(s, wx, wy, wz)
    n_low, n_high = spread(s, nx, ny, nz)
    room = 0.5 * close
    _set(planes, 4, wx, wy, wz, room - w_low)
    toward = nx * lx + ny * ly + nz * lz
    if toward >= (n_high if near else 0.0):
        _set(planes, 5, nx, ny, nz, -n_low - close)
    else:
        _set(planes, 5, 0.0, 0.0, 0.0, 1.0)
    if near:
        lw = wx * lx + wy * ly + wz * lz
        _set(planes, 6, -wx, -wy, -wz, max(lw, w_high) + room)
        if lw - w_high > 0.25 * (lw - w_low):
            _pyramid(planes, 0, s, ux, uy, uz, wx, wy, wz, lx, ly, lz)
            _pyramid(planes, 2, s, vx, vy, vz, wx, wy, wz, lx, ly, lz)
            return
    else:
        _set(planes, 6, 0.0, 0.0, 0.0, 1.0)
    low, high = spread(s, ux, uy, uz)
    if near:
        # The light is among the points: a box around it and them.
        here = ux * lx + uy * ly + uz * lz
        low, high = min(low, here), max(high, here)
    _set(planes, 0, ux, uy, uz, room - low)
    _set(planes, 1, -ux, -uy, -uz, room + high)
    low, high = spread(s, vx, vy, vz)
    if near:
        here = vx * lx + vy * ly + vz * lz
        low, high = min(low, here), max(high, here)
    _set(planes, 2, vx, vy, vz, room - low)
    _set(planes, 3, -vx, -vy, -vz, room + high)


@kernel()
def _pyramid(planes, k, s, ax, ay, az, wx, wy, wz, lx, ly, lz):
    """Set two planes through the light: a·(x − l) between low and high times w·(l − x)."""
    low, high = _slopes(s, ax, ay, az, wx, wy, wz, lx, ly, lz)
    px, py, pz = ax + low * wx, ay + low * wy, az + low * wz
    _set(planes, k, px, py, pz, -(px * lx + py * ly + pz * lz))
    px, py, pz = -ax - high * wx, -ay - high * wy, -az - high * wz
    _set(planes, k + 1, px, py, pz, -(px * lx + py * ly + pz * lz))


@kernel()
def carry_planes(planes, matrix, ox, oy, oz, reach, flat, sides):
    """Bring planes into a frame, with room for rounding, and into the order of a walk.

    :param planes: (PLANES, 4) float64 relative to the tile's origin (ox, oy, oz).
    :param matrix: (3, 4) float64, that frame to the optical frame.
    :param reach: (4,) float64: greatest absolute x, y, z in that frame; and greatest absolute
        coordinate of the same things in the optical frame.
    :param flat: (4·PLANES,) float32, out.
    :param sides: (3·PLANES,) int32, out: where in a node the corner is that is farthest inside.
    """
    for k in range(PLANES):
        a, b, c = planes[k, 0], planes[k, 1], planes[k, 2]
        d = planes[k, 3] - (a * ox + b * oy + c * oz)
        d += a * matrix[0, 3] + b * matrix[1, 3] + c * matrix[2, 3]
        p = a * matrix[0, 0] + b * matrix[1, 0] + c * matrix[2, 0]
        q = a * matrix[0, 1] + b * matrix[1, 1] + c * matrix[2, 1]
        r = a * matrix[0, 2] + b * matrix[1, 2] + c * matrix[2, 2]
        room = abs(p) * reach[0] + abs(q) * reach[1] + abs(r) * reach[2] + abs(d)
        size = abs(a) + abs(b) + abs(c)
        flat[4 * k], flat[4 * k + 1], flat[4 * k + 2] = p, q, r
        sides[3 * k] = 3 * WIDTH if p > 0.0 else 0
        sides[3 * k + 1] = 4 * WIDTH if q > 0.0 else WIDTH
        sides[3 * k + 2] = 5 * WIDTH if r > 0.0 else 2 * WIDTH
        flat[4 * k + 3] = d + ROUNDING * (room + size * reach[3])


@kernel(inline=True)
def _inside(flat, sides, nodes, start, plane, k):
    """Return how far a child's farthest corner is inside a plane."""
    return (
        flat[4 * plane] * nodes[np.uint64(start + sides[3 * plane] + k)]
        + flat[4 * plane + 1] * nodes[np.uint64(start + sides[3 * plane + 1] + k)]
        + flat[4 * plane + 2] * nodes[np.uint64(start + sides[3 * plane + 2] + k)]
        + flat[4 * plane + 3]
    )


@kernel(fastmath={'contract'})
def look(flat, sides, nodes, node):
    """Return as bits which of a node's boxes reach into the shaft.

    :param flat, sides: of :func:`carry_planes`.
    :param nodes: (nodes · 6 · WIDTH,) float32 boxes, see ``shadow_tree.build_tree``.
    """
    start = node * (6 * WIDTH)
    bits = np.int32(0)
    for k in range(WIDTH):
        inside = (
            (_inside(flat, sides, nodes, start, 0, k) >= ZERO)
            & (_inside(flat, sides, nodes, start, 1, k) >= ZERO)
            & (_inside(flat, sides, nodes, start, 2, k) >= ZERO)
            & (_inside(flat, sides, nodes, start, 3, k) >= ZERO)
            & (_inside(flat, sides, nodes, start, 4, k) >= ZERO)
            & (_inside(flat, sides, nodes, start, 5, k) >= ZERO)
            & (_inside(flat, sides, nodes, start, 6, k) >= ZERO)
        )
        bits |= np.int32(inside) << np.int32(k)
    return bits
