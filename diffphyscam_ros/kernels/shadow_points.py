# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The points of surfaces that a tile of pixels shows, and how the shadow kernels keep them.

All values of a tile lie in one flat float64 array ``w`` (as the points are found) and one flat
float32 array ``s`` (as shadows are cast on them), a field after the other, so that loops over
them vectorize (see ``kernels/scratch.py``). Positions are relative to ``origin``, a point of the
tile in the optical frame: near it float32 is as good as float64.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

SIDE = 8  # px
TILE = SIDE * SIDE

AX, AY, AZ, BX, BY, BZ, CX, CY, CZ = (k * TILE for k in range(9))  # corners, optical frame
RAY_X, RAY_Y = 9 * TILE, 10 * TILE
PX, PY, PZ = 11 * TILE, 12 * TILE, 13 * TILE  # the point
NX, NY, NZ = 14 * TILE, 15 * TILE, 16 * TILE  # unit normal of the triangle, to the viewer
DOUBLES = 17 * TILE

X, Y, Z = 0 * TILE, 1 * TILE, 2 * TILE  # points that are to be lit, relative to the origin
PASSED = 3 * TILE  # share of the light that has not been stopped
AIM_X, AIM_Y, AIM_Z = 4 * TILE, 5 * TILE, 6 * TILE  # the places of the source that they look at
FLOATS = 7 * TILE

DEPTH_BINS = 16
LEAST_GAP = 3  # empty bins of depth between surfaces that do not go together


@kernel()
def find_points(w, pixels, triangles, faces, camera, pinhole, width, height, left, top):
    """Find the points that a tile shows.

    A point is the mean of its triangle's corners with the weights of the pixel's ray, none below
    zero: on the triangle itself, to rounding in float64, wherever the ray goes.

    :param w: (DOUBLES,) float64 scratch, out: P and N.
    :param pixels: (TILE,) int32, out: the pixel of each point.
    :param triangles: (H·W,) int32, negative where there is no surface.
    :param camera: (V, 3) float32 vertices in the optical frame.
    :param left, top: first column and row of the tile.
    :returns: the number of points.
    """
    count = 0
    for row in range(top, min(top + SIDE, height)):
        y = (row - pinhole[3]) / pinhole[1]
        for column in range(left, min(left + SIDE, width)):
            pixel = row * width + column
            triangle = triangles[pixel]
            if triangle < 0:
                continue
            a, b, c = (
                np.uint32(faces[triangle, 0]),
                np.uint32(faces[triangle, 1]),
                np.uint32(faces[triangle, 2]),
            )
            w[AX + count], w[AY + count], w[AZ + count] = camera[a, 0], camera[a, 1], camera[a, 2]
            w[BX + count], w[BY + count], w[BZ + count] = camera[b, 0], camera[b, 1], camera[b, 2]
            w[CX + count], w[CY + count], w[CZ + count] = camera[c, 0], camera[c, 1], camera[c, 2]
            w[RAY_X + count] = (column - pinhole[2]) / pinhole[0]
            w[RAY_Y + count] = y
            pixels[count] = pixel
            count += 1
    if count > 0:
        _meet_rays(w)
    return count


@kernel(fastmath={'contract'})
def _meet_rays(w):
    """Fill P and N from the corners and rays of all TILE places, used or not."""
    for i in range(TILE):
        ax, ay, az = w[AX + i], w[AY + i], w[AZ + i]
        bx, by, bz = w[BX + i], w[BY + i], w[BZ + i]
        cx, cy, cz = w[CX + i], w[CY + i], w[CZ + i]
        x, y = w[RAY_X + i], w[RAY_Y + i]
        p = x * (by * cz - bz * cy) + y * (bz * cx - bx * cz) + (bx * cy - by * cx)
        q = x * (cy * az - cz * ay) + y * (cz * ax - cx * az) + (cx * ay - cy * ax)
        r = x * (ay * bz - az * by) + y * (az * bx - ax * bz) + (ax * by - ay * bx)
        side = 1.0 if p + q + r > 0.0 else -1.0
        p, q, r = max(p * side, 0.0), max(q * side, 0.0), max(r * side, 0.0)
        total = p + q + r
        share = 1.0 / total if total > 0.0 else 0.0
        p = p * share if total > 0.0 else 1.0
        q, r = q * share, r * share
        w[PX + i] = p * ax + q * bx + r * cx
        w[PY + i] = p * ay + q * by + r * cy
        w[PZ + i] = p * az + q * bz + r * cz
        ux, uy, uz = bx - ax, by - ay, bz - az
        vx, vy, vz = cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        away = nx * x + ny * y + nz
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        scale = 1.0 / length if length > 0.0 else 0.0
        scale = -scale if away > 0.0 else scale
        w[NX + i], w[NY + i], w[NZ + i] = nx * scale, ny * scale, nz * scale


@kernel()
def part_by_depth(w, count, places):
    """Part a tile's points where there is a gap in depth: a shaft around both sides would be wide.

    :param w: (DOUBLES,) float64 with P of ``count`` points.
    :param places: (TILE,) int32, out: the numbers of the points, parts one after the other.
    :returns: bits, set at the end of each part: bit i says that one ends with ``places[i]``.
    """
    low, high = np.inf, 0.0
    for i in range(count):
        low, high = min(low, w[PZ + i]), max(high, w[PZ + i])
    scale = (DEPTH_BINS * 0.9999) / (high - low) if high > low else 0.0
    used = np.uint32(0)
    for i in range(count):
        used |= np.uint32(1) << np.uint32((w[PZ + i] - low) * scale)
    # Starts of parts: bins in use after at least LEAST_GAP that are not.
    before = (used << np.uint32(1)) | (used << np.uint32(2)) | (used << np.uint32(3))
    starts = used & ~before & ~np.uint32(1)
    if starts == 0 or not math.isfinite(scale):
        for i in range(count):
            places[i] = i
        return np.uint64(1) << np.uint64(count - 1)
    ends, filled, first_bin = np.uint64(0), 0, 0
    for b in range(1, DEPTH_BINS + 1):
        if b < DEPTH_BINS and (starts >> np.uint32(b)) & np.uint32(1) == 0:
            continue
        for i in range(count):
            mine = int((w[PZ + i] - low) * scale)
            if first_bin <= mine < b:
                places[filled] = i
                filled += 1
        ends |= np.uint64(1) << np.uint64(filled - 1)
        first_bin = b
    return ends
