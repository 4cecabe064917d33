# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Boxes around blocks of triangles, and whether such a box can be in the picture."""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel


@kernel(parallel=True)
def find_bounds(vertices, faces, blocks, bounds):
    """Find the box around each block of triangles in its mesh's frame.

    Triangles with a corner that is not finite are never drawn and do not count; a block without
    others gets an empty box (least above greatest).

    :param vertices: (V, 3) float32.
    :param faces: (F, 3) int32.
    :param blocks: (K, 3) int64 rows (instance, first face, end).
    :param bounds: (K, 6) float64, out: least x, y, z, greatest x, y, z.
    """
    for block in prange(blocks.shape[0]):
        x0, y0, z0 = np.inf, np.inf, np.inf
        x1, y1, z1 = -np.inf, -np.inf, -np.inf
        for face in range(blocks[block, 1], blocks[block, 2]):
            for corner in range(3):
                k = np.uint32(faces[face, corner])
                x, y, z = vertices[k, 0], vertices[k, 1], vertices[k, 2]
                if math.isfinite(x) and math.isfinite(y) and math.isfinite(z):
                    x0, y0, z0 = min(x0, x), min(y0, y), min(z0, z)
                    x1, y1, z1 = max(x1, x), max(y1, y), max(z1, z)
        bounds[block, 0], bounds[block, 1], bounds[block, 2] = x0, y0, z0
        bounds[block, 3], bounds[block, 4], bounds[block, 5] = x1, y1, z1


@kernel(inline=True)
def _all_outside(box, matrix, a, b, c, d):
    """Return whether a·x + b·y + c·z + d < 0 in the whole box, carried to the optical frame."""
    highest = a * matrix[0, 3] + b * matrix[1, 3] + c * matrix[2, 3] + d
    for axis in range(3):
        slope = a * matrix[0, axis] + b * matrix[1, axis] + c * matrix[2, axis]
        highest += max(slope * box[axis], slope * box[3 + axis])
    return highest < 0.0


@kernel()
def out_of_sight(box, matrix, pinhole, width, height, near):
    """Return whether nothing in a box can be seen.

    The planes are those of ``rasterize.project_vertices``, a pixel outside the picture.

    :param box: (6,) float64, see :func:`find_bounds`.
    :param matrix: (3, 4) float64, the box's frame to the optical frame.
    :param pinhole: (4,) float64 fx, fy, cx, cy in px.
    """
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    if not (box[0] <= box[3] and box[1] <= box[4] and box[2] <= box[5]):
        return True
    return (
        _all_outside(box, matrix, fx, 0.0, cx + 1.0, 0.0)
        or _all_outside(box, matrix, -fx, 0.0, width - cx, 0.0)
        or _all_outside(box, matrix, 0.0, fy, cy + 1.0, 0.0)
        or _all_outside(box, matrix, 0.0, -fy, height - cy, 0.0)
        or _all_outside(box, matrix, 0.0, 0.0, 1.0, -near)
    )
