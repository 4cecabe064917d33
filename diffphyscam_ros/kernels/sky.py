# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How much of the sky each pixel's surface sees: who looks, and sums over neighbours.

One pixel in each cell of CELL x CELL looks, into few directions, the cells around it into others
(interleaved sampling, Keller and Heidrich 2001); each pixel adds up what cells around it saw whose
surface is its own. Arrays of cells have ``BORDER`` cells without a surface around them, so that no
loop asks where they end.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

CELL = 2  # px, of which one looks
BORDER = 2  # cells
STRIDE = 4  # cells between those that look into the same directions
NX, NY, NZ, PX, PY, PZ, SEEN, WHOLE = range(8)  # fields; a pixel has the first FIELDS
FIELDS, CELL_FIELDS = 6, 8
NOBODY = -1  # in place of the pixel that looks

ZERO, QUARTER, HALF, ONE = map(np.float32, (0.0, 0.25, 0.5, 1.0))
LEAST = np.float32(0.03)  # weight of what is on another surface


@kernel(parallel=True)
def find_surfaces(triangles, faces, camera, pinhole, order, surfaces):
    """Find the point and the triangle's unit normal, turned to the viewer, at each pixel.

    :param triangles: (H, W) int32, negative where there is no surface: normal and point are 0.
    :param faces: (F, 3) int32; ``camera`` (V, 3) float32 vertices in the optical frame.
    :param pinhole: (4,) float64 fx, fy, cx, cy.
    :param order: int32 numbers of all rows, as they are worked on.
    :param surfaces: (FIELDS, H, W) float32, out.
    """
    for task in prange(order.shape[0]):
        row = order[task]
        y = (row - pinhole[3]) / pinhole[1]
        for column in range(triangles.shape[1]):
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
            surfaces[NX, row, column] = nx
            surfaces[NY, row, column] = ny
            surfaces[NZ, row, column] = nz
            surfaces[PX, row, column] = x * depth
            surfaces[PY, row, column] = y * depth
            surfaces[PZ, row, column] = depth


@kernel(parallel=True)
def choose_pixels(triangles, surfaces, pixels, cells):
    """Choose the pixel of each cell that looks, and take over its surface.

    Which of the four comes first differs from cell to cell, so that lines thinner than a cell are
    met by half of them; another one does where that has no surface.

    :param triangles, surfaces: of :func:`find_surfaces`.
    :param pixels: (h, w) int32, out: row · W + column, or ``NOBODY``.
    :param cells: (CELL_FIELDS, h + 2·BORDER, w + 2·BORDER) float32, out, but for the border.
    """
    height, width = triangles.shape
    for top in prange(pixels.shape[0]):
        for left in range(pixels.shape[1]):
            i, j = top + BORDER, left + BORDER
            down, right = (top + (left >> 1)) & 1, (left + (top >> 1)) & 1
            chosen = NOBODY
            for turn in range(CELL * CELL):
                row = CELL * top + (down ^ (turn >> 1))
                column = CELL * left + (right ^ (turn & 1))
                if chosen < 0 and row < height and column < width and triangles[row, column] >= 0:
                    chosen = row * width + column
                    for k in range(FIELDS):
                        cells[k, i, j] = surfaces[k, row, column]
            pixels[top, left] = chosen
            cells[SEEN, i, j] = cells[WHOLE, i, j] = ZERO
            if chosen < 0:
                for k in range(FIELDS):
                    cells[k, i, j] = ZERO


@kernel(inline=True)
def _weight(place, step):
    """Return the weight of a cell so many cells away, for the first or second pixel of a cell.

    It falls from 1 to 0 between 1½ and 2½ cells from the pixel, which is ¼ cell off the middle.
    """
    distance = abs(np.float32(step) + (QUARTER if place == 0 else -QUARTER))
    return min(max(np.float32(2.5) - distance, ZERO), ONE)


@kernel(parallel=True, fastmath={'contract'})
def share_of_sky(cells, surfaces, footprint, order, shares):
    """Add up what cells around each pixel have seen on its surface, and divide by all there is.

    The window is 4 cells wide around the pixel, in 5 x 5 cells: each of the STRIDE x STRIDE sets
    of directions has the same weight. A cell counts the less, the more its normal differs (cosine
    to the fourth), and next to nothing if it is more than a pixel's width off the plane; where
    none else is left, as on things smaller than a cell, that decides.

    :param cells: of :func:`choose_pixels`, its border 0, with SEEN and WHOLE.
    :param surfaces: of :func:`find_surfaces`.
    :param footprint: width of a pixel at a depth of 1 m.
    :param order: int32 numbers of all rows, as they are worked on.
    :param shares: (H, W) uint8, out: 255 = the whole sky, also where there is no surface.
    """
    width = shares.shape[1]
    footprint = np.float32(footprint)
    for task in prange(order.shape[0]):
        row = order[task]
        seen, whole = np.zeros(width, np.float32), np.zeros(width, np.float32)
        for down in range(-BORDER, BORDER + 1):
            k = row // CELL + down + BORDER
            vertical = _weight(row % CELL, down)
            for right in range(-BORDER, BORDER + 1):
                first, second = vertical * _weight(0, right), vertical * _weight(1, right)
                for column in range(width):
                    m = np.uint32((column >> 1) + right + BORDER)
                    nx = surfaces[NX, row, column]
                    ny = surfaces[NY, row, column]
                    nz = surfaces[NZ, row, column]
                    pz = surfaces[PZ, row, column]
                    alike = nx * cells[NX, k, m] + ny * cells[NY, k, m] + nz * cells[NZ, k, m]
                    off = (
                        nx * (cells[PX, k, m] - surfaces[PX, row, column])
                        + ny * (cells[PY, k, m] - surfaces[PY, row, column])
                        + nz * (cells[PZ, k, m] - pz)
                    )
                    alike = max(alike, ZERO)
                    near = abs(off) <= footprint * pz
                    weight = alike * alike * alike * alike if near else ZERO
                    weight = max(weight, LEAST) * (second if column & 1 else first)
                    seen[column] += weight * cells[SEEN, k, m]
                    whole[column] += weight * cells[WHOLE, k, m]
        for column in range(width):
            there = whole[column] > ZERO and surfaces[PZ, row, column] > ZERO
            part = seen[column] / whole[column] if there else ONE
            shares[row, column] = np.uint8(part * np.float32(255.0) + HALF)
