# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How much of the sky each pixel's surface sees: sums over directions, and their smoothing.

Pixels look into few directions each, their neighbours into others (interleaved sampling, Keller
and Heidrich 2001); what neighbours on the same surface saw is then added up. All arrays have
``BORDER`` pixels without a surface around the picture, so that no loop asks where it ends.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

BORDER = 2  # px
STRIDE = 4  # px between pixels that look into the same directions
NX, NY, NZ, PX, PY, PZ, FIELDS = 0, 1, 2, 3, 4, 5, 6

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


@kernel(parallel=True)
def find_surfaces(triangles, faces, camera, pinhole, order, surfaces):
    """Find the point and the triangle's unit normal, turned to the viewer, at each pixel.

    :param triangles: (H, W) int32, negative where there is no surface: normal and point are 0.
    :param faces: (F, 3) int32; ``camera`` (V, 3) float32 vertices in the optical frame.
    :param pinhole: (4,) float64 fx, fy, cx, cy.
    :param order: int32 numbers of all rows, as they are worked on.
    :param surfaces: (FIELDS, H + 2·BORDER, W + 2·BORDER) float32, out, but for the border.
    """
    for task in prange(order.shape[0]):
        row = order[task]
        y = (row - pinhole[3]) / pinhole[1]
        for column in range(triangles.shape[1]):
            i, j = row + BORDER, column + BORDER
            triangle = triangles[row, column]
            nx, ny, nz, depth = 0.0, 0.0, 0.0, 0.0
            x = (column - pinhole[2]) / pinhole[0]
            if triangle >= 0:
                a, b, c = (
                    np.uint32(faces[triangle, 0]),
                    np.uint32(faces[triangle, 1]),
                    np.uint32(faces[triangle, 2]),
                )
                ax, ay, az = float(camera[a, 0]), float(camera[a, 1]), float(camera[a, 2])
                ux, uy, uz = camera[b, 0] - ax, camera[b, 1] - ay, camera[b, 2] - az
                vx, vy, vz = camera[c, 0] - ax, camera[c, 1] - ay, camera[c, 2] - az
                nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
                away = nx * x + ny * y + nz
                length = math.sqrt(nx * nx + ny * ny + nz * nz)
                if length == 0.0 or away == 0.0:
                    nx, ny, nz = 0.0, 0.0, 0.0
                else:
                    depth = (nx * ax + ny * ay + nz * az) / away
                    scale = -1.0 / length if away > 0.0 else 1.0 / length
                    nx, ny, nz = nx * scale, ny * scale, nz * scale
            surfaces[NX, i, j], surfaces[NY, i, j], surfaces[NZ, i, j] = nx, ny, nz
            surfaces[PX, i, j] = x * depth
            surfaces[PY, i, j] = y * depth
            surfaces[PZ, i, j] = depth


@kernel(parallel=True, fastmath={'contract'})
def add_directions(visible, directions, surfaces, left, top, sums):
    """Add up, over the directions that one in STRIDE x STRIDE pixels looks into.

    :param visible: (M, h, w) uint8, 0 where something is in the way or the surface turned away.
    :param directions: (M, 3) float32 unit vectors in the optical frame, of equal light.
    :param surfaces: of :func:`find_surfaces`.
    :param left, top: the first of these pixels.
    :param sums: (2, H + 2·BORDER, W + 2·BORDER) float32, out at these pixels: the sum of the
        cosines that are seen, and of all.
    """
    for row in prange(visible.shape[1]):
        i = top + row * STRIDE + BORDER
        for column in range(visible.shape[2]):
            j = left + column * STRIDE + BORDER
            nx, ny, nz = surfaces[NX, i, j], surfaces[NY, i, j], surfaces[NZ, i, j]
            seen, whole = ZERO, ZERO
            for k in range(visible.shape[0]):
                cosine = nx * directions[k, 0] + ny * directions[k, 1] + nz * directions[k, 2]
                cosine = max(cosine, ZERO)
                whole += cosine
                seen += cosine if visible[k, row, column] > 0 else ZERO
            sums[0, i, j], sums[1, i, j] = seen, whole


@kernel(parallel=True, fastmath={'contract'})
def share_of_sky(sums, surfaces, footprint, order, shares):
    """Add up what neighbours on the same surface have seen, and divide by all there is.

    In a window of 5 x 5 pixels, those at its border with half the weight, each of the STRIDE x
    STRIDE sets of directions has the same weight. A neighbour counts the less, the more its
    normal differs (cosine to the fourth), and not at all if it is more than a pixel's width off
    the plane.

    :param sums: of :func:`add_directions`, its border 0.
    :param surfaces: of :func:`find_surfaces`, its border 0.
    :param footprint: width of a pixel at a depth of 1 m.
    :param order: int32 numbers of all rows, as they are worked on.
    :param shares: (H, W) uint8, out: 255 = the whole sky, also where there is no surface.
    """
    width = shares.shape[1]
    footprint = np.float32(footprint)
    for task in prange(order.shape[0]):
        row = order[task]
        i = row + BORDER
        seen, whole = np.zeros(width, np.float32), np.zeros(width, np.float32)
        for down in range(-BORDER, BORDER + 1):
            for right in range(-BORDER, BORDER + 1):
                share = (HALF if abs(down) == BORDER else ONE) * (
                    HALF if abs(right) == BORDER else ONE
                )
                k, shift = i + down, BORDER + right
                for column in range(width):
                    j, m = np.uint32(column + BORDER), np.uint32(column + shift)
                    nx, ny, nz = surfaces[NX, i, j], surfaces[NY, i, j], surfaces[NZ, i, j]
                    alike = (
                        nx * surfaces[NX, k, m] + ny * surfaces[NY, k, m] + nz * surfaces[NZ, k, m]
                    )
                    off = (
                        nx * (surfaces[PX, k, m] - surfaces[PX, i, j])
                        + ny * (surfaces[PY, k, m] - surfaces[PY, i, j])
                        + nz * (surfaces[PZ, k, m] - surfaces[PZ, i, j])
                    )
                    alike = max(alike, ZERO)
                    near = abs(off) <= footprint * surfaces[PZ, i, j]
                    weight = share * alike * alike * alike * alike if near else ZERO
                    seen[column] += weight * sums[0, k, m]
                    whole[column] += weight * sums[1, k, m]
        for column in range(width):
            part = seen[column] / whole[column] if whole[column] > ZERO else ONE
            shares[row, column] = np.uint8(part * np.float32(255.0) + HALF)
