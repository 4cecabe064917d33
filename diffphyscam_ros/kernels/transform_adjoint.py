# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of bringing vertices to the optical frame: to the vertices and to the poses."""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel


@kernel(parallel=True)
def transform_adjoint(vertices, to_camera, blocks, matrices, to_vertices, wanted, partial):
    """Walk back from points x = M·v + t.

    :param vertices: (V, 3) float32 in mesh frames, ``to_camera`` (V, 3) float32.
    :param blocks: (K, 3) int64 rows (instance, first vertex, end).
    :param matrices: (I, 3, 4) float64.
    :param to_vertices: (V, 3) float32, out where ``wanted``.
    :param partial: (K, 3, 4) float64, out: each block's share of the derivative by its matrix.
    """
    for block in prange(len(blocks)):
        item, first, end = blocks[block, 0], blocks[block, 1], blocks[block, 2]
        m = matrices[item]
        total = np.zeros((3, 4))
        for i in range(first, end):
            tx, ty, tz = float(to_camera[i, 0]), float(to_camera[i, 1]), float(to_camera[i, 2])
            if tx == 0.0 and ty == 0.0 and tz == 0.0:
                # Not seen. Its place may be NaN or infinite, and must not spread.
                if wanted:
                    to_vertices[i, 0] = to_vertices[i, 1] = to_vertices[i, 2] = 0.0
                continue
            if wanted:
                to_vertices[i, 0] = m[0, 0] * tx + m[1, 0] * ty + m[2, 0] * tz
                to_vertices[i, 1] = m[0, 1] * tx + m[1, 1] * ty + m[2, 1] * tz
                to_vertices[i, 2] = m[0, 2] * tx + m[1, 2] * ty + m[2, 2] * tz
            x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
            for row in range(3):
                to = tx if row == 0 else (ty if row == 1 else tz)
                total[row, 0] += to * x
                total[row, 1] += to * y
                total[row, 2] += to * z
                total[row, 3] += to
        partial[block] = total
