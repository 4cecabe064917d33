# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Single rays from surfaces to the sky, through the trees of ``kernels/shadow_tree.py``.

Pixels that look into the same direction are some way apart: one shaft around their rays, as
``kernels/shadow.py`` has it towards a light, would hold most triangles of a dense mesh that they
start from. Each ray goes its own way instead, past boxes that it may meet; what a direction is in
the frame of each mesh is worked out once a picture.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.shadow_mask import (
    PANE_ALPHA,
    PANE_CUTOFF,
    PANE_HEIGHT,
    PANE_OFFSET,
    PANE_WIDTH,
    texture_alpha,
)
from diffphyscam_ros.kernels.shadow_shaft import CLOSE, ROUNDING
from diffphyscam_ros.kernels.shadow_tree import EMPTY, STACK, WIDTH
from diffphyscam_ros.kernels.shadow_walk import FIRST_FACE, ROOT
from diffphyscam_ros.kernels.sky import BORDER, NX, NY, NZ, PX, PY, PZ, SEEN, STRIDE, WHOLE

ZERO = np.float32(0.0)
LOWEST = np.array([(bits & -bits).bit_length() - 1 for bits in range(1, 1 << WIDTH)], np.uint8)
"""Number of the lowest bit that is set in 1, 2, …, 255."""


@kernel()
def _aim(way, axes):
    """Set two unit vectors across a unit vector, and it, as rows of ``axes`` (3, 3) float64.

    Duff et al. 2017, "Building an orthonormal basis, revisited".
    """
    x, y, z = float(way[0]), float(way[1]), float(way[2])
    sign = 1.0 if z >= 0.0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    axes[0, 0], axes[0, 1], axes[0, 2] = 1.0 + sign * x * x * a, sign * b, -sign * x
    axes[1, 0], axes[1, 1], axes[1, 2] = b, sign + y * y * a, -y
    axes[2, 0], axes[2, 1], axes[2, 2] = x, y, z


@kernel(parallel=True)
def carry_directions(directions, matrices, reaches, axes, slopes, corners, shifts):
    """Work out what directions are in the frames of meshes.

    :param directions: (D, 3) float32 unit vectors in the optical frame.
    :param matrices: (I, 3, 4) float64, each frame to the optical frame.
    :param reaches: (I, 4) float64, see ``shadow_shaft.carry_planes``.
    :param axes: (D, 3, 3) float64, out: two unit vectors across the direction, and it.
    :param slopes: (D, I, 9) float32, out: the three in the frame, not of unit length.
    :param corners: (D, I, 9) int8, out: where in a node the corner is that lies farthest along
        each of the three, a coordinate after the other.
    :param shifts: (D, I, 6) float64, out: the frame's origin along the three, and how much room
        rounding needs there.
    """
    for number in prange(directions.shape[0]):
        _aim(directions[number], axes[number])
        for item in range(matrices.shape[0]):
            m, reach = matrices[item], reaches[item]
            slope, corner, shift = (
                slopes[number, item],
                corners[number, item],
                shifts[number, item],
            )
            for axis in range(3):
                a, b, c = axes[number, axis, 0], axes[number, axis, 1], axes[number, axis, 2]
                room = 3.0 * reach[3]
                for k in range(3):
                    p = a * m[0, k] + b * m[1, k] + c * m[2, k]
                    slope[3 * axis + k] = p
                    corner[3 * axis + k] = (k + 3 if p > 0.0 else k) * WIDTH
                    room += abs(p) * reach[k]
                shift[axis] = a * m[0, 3] + b * m[1, 3] + c * m[2, 3]
                shift[3 + axis] = ROUNDING * room


@kernel(inline=True)
def _along(slope, nodes, start, x, y, z, axis, k):
    """Return how far along an axis a corner of a child's box is."""
    return (
        slope[3 * axis] * nodes[np.uint64(start + x + k)]
        + slope[3 * axis + 1] * nodes[np.uint64(start + y + k)]
        + slope[3 * axis + 2] * nodes[np.uint64(start + z + k)]
    )


@kernel(fastmath={'contract'})
def _look(slope, corner, offsets, nodes, node):
    """Return as bits which of a node's boxes a ray may meet.

    :param offsets: (5,) float32 to add along the first axis to a box's highest corner, and to
        subtract from its lowest; along the second; and to the highest along the ray.
    :param nodes: (nodes · 6 · WIDTH,) float32 boxes, see ``shadow_tree.build_tree``.
    """
    start = node * (6 * WIDTH)
    ux, uy, uz = int(corner[0]), int(corner[1]), int(corner[2])
    vx, vy, vz = int(corner[3]), int(corner[4]), int(corner[5])
    wx, wy, wz = int(corner[6]), int(corner[7]), int(corner[8])
    # The opposite corner: the least coordinate for the greatest and the other way round.
    ox, oy, oz = 3 * WIDTH - ux, 5 * WIDTH - uy, 7 * WIDTH - uz
    qx, qy, qz = 3 * WIDTH - vx, 5 * WIDTH - vy, 7 * WIDTH - vz
    left, right, below, above, behind = offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]
    bits = np.int32(0)
    for k in range(WIDTH):
        met = (
            (_along(slope, nodes, start, ux, uy, uz, 0, k) + left >= ZERO)
            & (right - _along(slope, nodes, start, ox, oy, oz, 0, k) >= ZERO)
            & (_along(slope, nodes, start, vx, vy, vz, 1, k) + below >= ZERO)
            & (above - _along(slope, nodes, start, qx, qy, qz, 1, k) >= ZERO)
            & (_along(slope, nodes, start, wx, wy, wz, 2, k) + behind >= ZERO)
        )
        bits |= np.int32(met) << np.int32(k)
    return bits


@kernel()
def _offset(shift, at_u, at_v, at_w, offsets):
    """Set the offsets of :func:`_look` for a ray that starts at (u, v, w) along its axes."""
    u, v, w = shift[0] - at_u, shift[1] - at_v, shift[2] - at_w
    room_u, room_v = shift[3] + ROUNDING * abs(u), shift[4] + ROUNDING * abs(v)
    offsets[0], offsets[1] = u + room_u, room_u - u
    offsets[2], offsets[3] = v + room_v, room_v - v
    offsets[4] = w + (shift[5] + ROUNDING * abs(w))


@kernel()
def _stops(axes, ox, oy, oz, close, faces, face, camera, pane, alphas, uvs, atlas):
    """Return whether a triangle is in a ray's way, farther than ``close`` from its start.

    :param axes: (3, 3) float64, the last along the ray.
    :param pane, alphas: see ``shadow_mask.darken_through``.
    """
    a, b, c = np.uint32(faces[face, 0]), np.uint32(faces[face, 1]), np.uint32(faces[face, 2])
    ax, ay, az = camera[a, 0] - ox, camera[a, 1] - oy, camera[a, 2] - oz
    bx, by, bz = camera[b, 0] - ox, camera[b, 1] - oy, camera[b, 2] - oz
    cx, cy, cz = camera[c, 0] - ox, camera[c, 1] - oy, camera[c, 2] - oz
    x, y, z = axes[0, 0], axes[0, 1], axes[0, 2]
    ua, ub, uc = x * ax + y * ay + z * az, x * bx + y * by + z * bz, x * cx + y * cy + z * cz
    x, y, z = axes[1, 0], axes[1, 1], axes[1, 2]
    va, vb, vc = x * ax + y * ay + z * az, x * bx + y * by + z * bz, x * cx + y * cy + z * cz
    # The corners' weights where the ray meets the plane, times twice the area across the ray.
    e, f, g = ub * vc - vb * uc, uc * va - vc * ua, ua * vb - va * ub
    if not ((e >= 0.0 and f >= 0.0 and g >= 0.0) or (e <= 0.0 and f <= 0.0 and g <= 0.0)):
        return False
    total = e + f + g
    if total == 0.0:
        return False
    x, y, z = axes[2, 0], axes[2, 1], axes[2, 2]
    wa, wb, wc = x * ax + y * ay + z * az, x * bx + y * by + z * bz, x * cx + y * cy + z * cz
    e, f, g = e / total, f / total, g / total
    if not e * wa + f * wb + g * wc > close:
        return False
    if pane[PANE_WIDTH] == 0:
        return True
    alpha = texture_alpha(
        atlas,
        np.int64(pane[PANE_OFFSET]),
        np.int64(pane[PANE_WIDTH]),
        np.int64(pane[PANE_HEIGHT]),
        np.float32(e * uvs[a, 0] + f * uvs[b, 0] + g * uvs[c, 0]),
        np.float32(e * uvs[a, 1] + f * uvs[b, 1] + g * uvs[c, 1]),
    )
    return alphas[PANE_ALPHA] * alpha >= alphas[PANE_CUTOFF]


@kernel()
def _find_stop(axes, slopes, corners, shifts, ox, oy, oz, close, own, work, casters, last):
    """Return whether anything is in a ray's way.

    :param slopes, corners, shifts: (I + 1, …) of :func:`carry_directions`, of this direction; the
        last row is of the optical frame.
    :param own: number of the triangle the ray starts from, which is not in its way.
    :param last: (2,) int64 triangle and instance that stopped a ray before, tried first; out: that
        stop this one.
    """
    offsets, top_offsets, stack, top_stack = work
    faces, camera, top_nodes, top_children, _ = casters[:5]
    instances, _, _, nodes, children = casters[5:10]
    textures, alphas, uvs, atlas = casters[10:]
    if last[0] >= 0 and last[0] != own:
        pane, alpha = textures[last[1]], alphas[last[1]]
        if _stops(axes, ox, oy, oz, close, faces, last[0], camera, pane, alpha, uvs, atlas):
            return True
    at_u = axes[0, 0] * ox + axes[0, 1] * oy + axes[0, 2] * oz
    at_v = axes[1, 0] * ox + axes[1, 1] * oy + axes[1, 2] * oz
    at_w = axes[2, 0] * ox + axes[2, 1] * oy + axes[2, 2] * oz
    top = len(slopes) - 1
    _offset(shifts[top], at_u, at_v, at_w, top_offsets)
    top_stack[0] = 0
    top_depth = 1
    while top_depth > 0:
        top_depth -= 1
        top_node = top_stack[top_depth]
        top_bits = _look(slopes[top], corners[top], top_offsets, top_nodes, top_node)
        while top_bits != 0:
            top_child = top_children[top_node, LOWEST[top_bits - 1]]
            top_bits &= top_bits - 1
            if top_child >= 0:
                top_stack[top_depth] = top_child
                top_depth += 1
                continue
            if top_child == EMPTY:
                continue
            item = -2 - top_child
            root, first = instances[item, ROOT], instances[item, FIRST_FACE]
            pane, alpha = textures[item], alphas[item]
            _offset(shifts[item], at_u, at_v, at_w, offsets)
            stack[0] = root
            depth = 1
            while depth > 0:
                depth -= 1
                node = stack[depth]
                bits = _look(slopes[item], corners[item], offsets, nodes, node)
                while bits != 0:
                    child = children[node, LOWEST[bits - 1]]
                    bits &= bits - 1
                    if child >= 0:
                        stack[depth] = root + child
                        depth += 1
                        continue
                    face = first - 2 - child
                    if child == EMPTY or face == own:
                        continue
                    if _stops(
                        axes, ox, oy, oz, close, faces, face, camera, pane, alpha, uvs, atlas
                    ):
                        last[0], last[1] = face, item
                        return True
    return False


@kernel(parallel=True)
def look_at_sky(triangles, pixels, carried, rows, casters, cells):
    """Add up, over the directions that each cell looks into, the cosines that are seen, and all.

    :param triangles: (H·W,) int32.
    :param pixels: (h, w) int32 of ``sky.choose_pixels``.
    :param carried: the last four arrays of :func:`carry_directions`, for the meshes and, at the
        end, for the optical frame: of STRIDE · M directions of equal light, M for each cell of a
        row and the next ones.
    :param rows: int32 numbers of the rows of cells, as they are worked on.
    :param casters: see ``shadow.find_shadows``.
    :param cells: of ``sky.choose_pixels``, with surfaces; out: SEEN and WHOLE, from 0 on.
    """
    axes, slopes, corners, shifts = carried
    count = axes.shape[0] // STRIDE
    for task in prange(rows.shape[0]):
        row = rows[task]
        i = row + BORDER
        work = (
            np.zeros(5, np.float32),
            np.zeros(5, np.float32),
            np.zeros(STACK, np.int32),
            np.zeros(STACK, np.int32),
        )
        last = np.full(2, -1, np.int64)
        # One direction after the other: rays beside each other meet the same boxes.
        for left in range(STRIDE):
            for k in range(count):
                number = left * count + k
                x, y, z = axes[number, 2, 0], axes[number, 2, 1], axes[number, 2, 2]
                for column in range(left, pixels.shape[1], STRIDE):
                    j = column + BORDER
                    cosine = x * cells[NX, i, j] + y * cells[NY, i, j] + z * cells[NZ, i, j]
                    if not cosine > 0.0:
                        continue
                    cells[WHOLE, i, j] += cosine
                    px, py, pz = cells[PX, i, j], cells[PY, i, j], cells[PZ, i, j]
                    if not _find_stop(
                        axes[number],
                        slopes[number],
                        corners[number],
                        shifts[number],
                        float(px),
                        float(py),
                        float(pz),
                        CLOSE * math.sqrt(px * px + py * py + pz * pz),
                        triangles[pixels[row, column]],
                        work,
                        casters,
                        last,
                    ):
                        cells[SEEN, i, j] += cosine
