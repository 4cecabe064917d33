# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows with hard edges: which pixels' surfaces see which lights, exactly, on the CPU.

The picture is cut into tiles. The segments from a tile's points to a light fill a thin shaft; a
walk through the trees of the scene finds the triangles in it, mostly none, and each of these is
tested against all points at once. There is no shadow map: nothing to choose, no bias, and the
edges are those of the triangles at any distance.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.shadow_points import (
    DOUBLES,
    find_points,
    FLOATS,
    NX,
    NY,
    NZ,
    part_by_depth,
    PASSED,
    PX,
    PY,
    PZ,
    SIDE,
    TILE,
    X,
    Y,
    Z,
)
from diffphyscam_ros.kernels.shadow_shaft import CLOSE, enclose, PLANES
from diffphyscam_ros.kernels.shadow_tree import STACK
from diffphyscam_ros.kernels.shadow_walk import cast_shadows

ZERO, ONE = np.float32(0.0), np.float32(1.0)
# Columns of the light tables, see ``render/lights.py``.
KIND, SPOT_SCALE, SPOT_OFFSET, SIZE, SHADOWS = 0, 10, 11, 12, 13
LIT = np.uint8(255)


@kernel()
def choose_lit(
    s, pixels, places, first, end, chosen, w, lights, light, lx, ly, lz, near, visibility
):
    """Gather the points that face a light, relative to the first; the others are dark.

    :returns: their number and x, y, z of the first, and their normals' sum.
    """
    spot = lights[light, KIND] > 1.5
    scale, offset = lights[light, SPOT_SCALE], lights[light, SPOT_OFFSET]
    ax, ay, az = lights[light, 7], lights[light, 8], lights[light, 9]
    kept = 0
    ox, oy, oz, nx, ny, nz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for place in range(first, end):
        i = places[place]
        x, y, z = lx, ly, lz
        if near:
            x, y, z = lx - w[PX + i], ly - w[PY + i], lz - w[PZ + i]
        facing = x * w[NX + i] + y * w[NY + i] + z * w[NZ + i] > 0.0
        if facing and spot:
            cosine = -(ax * x + ay * y + az * z) / math.sqrt(x * x + y * y + z * z)
            facing = cosine * scale + offset > -1e-3
        if not facing:
            visibility[light, pixels[i]] = 0
            continue
        if kept == 0:
            ox, oy, oz = w[PX + i], w[PY + i], w[PZ + i]
        s[X + kept] = w[PX + i] - ox
        s[Y + kept] = w[PY + i] - oy
        s[Z + kept] = w[PZ + i] - oz
        nx, ny, nz = nx + w[NX + i], ny + w[NY + i], nz + w[NZ + i]
        chosen[kept] = pixels[i]
        kept += 1
    for i in range(kept, TILE):
        s[X + i] = s[Y + i] = s[Z + i] = ZERO
    for i in range(TILE):
        s[PASSED + i] = ONE if i < kept else ZERO
    return kept, ox, oy, oz, nx, ny, nz


@kernel(parallel=True)
def find_shadows(triangles, width, height, pinhole, lights, order, casters, visibility):
    """Find the share of each light that reaches each pixel's surface, 0 or 255.

    :param triangles: (H·W,) int32, negative where there is no surface: nothing is written there.
    :param pinhole: (4,) float64 fx, fy, cx, cy.
    :param lights: (L, 14) float32 in the optical frame, see ``render/lights.py``.
    :param order: int32 numbers of all strips of ``SIDE`` rows, as they are worked on.
    :param casters: faces (F, 3) int32, camera (V, 3) float32 vertices in the optical frame; the
        tree of instances in the optical frame: nodes (float32, flat), children (int32), reach
        (4,); instances (I, 2) int64 rows (root, first face), matrices (I, 3, 4) float64 to the
        optical frame, reaches (I, 4) of ``shadow_shaft.carry_planes``; nodes and children of all
        meshes' trees, one after the other, see ``shadow_tree.build_tree``; and the four
        tables of :func:`diffphyscam_ros.render.panes.pack_panes`.
    :param visibility: (L, H·W) uint8, out.
    """
    faces, camera = casters[0], casters[1]
    for task in prange(order.shape[0]):
        w, s = np.zeros(DOUBLES, np.float64), np.zeros(FLOATS, np.float32)
        pixels, chosen = np.zeros(TILE, np.int32), np.zeros(TILE, np.int32)
        places = np.zeros(TILE, np.int32)
        planes = np.zeros((PLANES, 4), np.float64)
        straight = np.zeros((3, 4), np.float64)
        straight[0, 0] = straight[1, 1] = straight[2, 2] = 1.0
        work = (
            np.zeros(4 * PLANES, np.float32),
            np.zeros(3 * PLANES, np.int32),
            np.zeros(4 * PLANES, np.float32),
            np.zeros(3 * PLANES, np.int32),
            np.zeros(16, np.float32),
            np.zeros(STACK, np.int32),
            np.zeros(STACK, np.int32),
            straight,
        )
        top = order[task] * SIDE
        for tile in range((width + SIDE - 1) // SIDE):
            count = find_points(
                w, pixels, triangles, faces, camera, pinhole, width, height, tile * SIDE, top
            )
            if count == 0:
                continue
            ends = part_by_depth(w, count, places)
            first = 0
            for last in range(count):
                if (ends >> np.uint64(last)) & np.uint64(1) == 0:
                    continue
                end = last + 1
                for light in range(lights.shape[0]):
                    if lights[light, SHADOWS] == 0.0:
                        for i in range(first, end):
                            visibility[light, pixels[places[i]]] = LIT
                        continue
                    lx, ly, lz = (
                        float(lights[light, 1]),
                        float(lights[light, 2]),
                        float(lights[light, 3]),
                    )
                    near = lights[light, KIND] > 0.5
                    kept, ox, oy, oz, nx, ny, nz = choose_lit(
                        s,
                        pixels,
                        places,
                        first,
                        end,
                        chosen,
                        w,
                        lights,
                        light,
                        lx,
                        ly,
                        lz,
                        near,
                        visibility,
                    )
                    if kept == 0:
                        continue
                    reach = ZERO
                    for i in range(TILE):
                        reach = max(reach, abs(s[X + i]), abs(s[Y + i]), abs(s[Z + i]))
                    close = CLOSE * (math.sqrt(ox * ox + oy * oy + oz * oz) + reach)
                    length = math.sqrt(nx * nx + ny * ny + nz * nz)
                    if length > 0.0:
                        nx, ny, nz = nx / length, ny / length, nz / length
                    if near:
                        lx, ly, lz = lx - ox, ly - oy, lz - oz
                    enclose(planes, s, lx, ly, lz, near, nx, ny, nz, close)
                    cast_shadows(s, planes, work, (lx, ly, lz, near), (ox, oy, oz), close, casters)
                    for i in range(kept):
                        visibility[light, chosen[i]] = LIT if s[PASSED + i] > ZERO else np.uint8(0)
                first = end
