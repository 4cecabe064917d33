# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of smoothing silhouettes (``kernels/antialias.py``): to colours and vertices.

The number of silhouettes is that of a few outlines: their vertices are added to by one thread, in
the order of the pixels, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from numba import prange

from diffphyscam_ros.kernels.antialias import rim_taker, ZERO
from diffphyscam_ros.kernels.meetings import face_plane, inverse_depth
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.silhouette_walk import edge_crossing


@kernel(parallel=True, fastmath=True)
def blend_edges_adjoint(to_smoothed, shares, width, height, to_color):
    """Set the derivative by the colours before smoothing from that by the smoothed ones.

    :param to_smoothed: (H·W, 3) float32.
    :param shares: (H·W, 2) float32 of :func:`diffphyscam_ros.kernels.antialias.find_edges`.
    :param to_color: (H·W, 3) float32, out.
    """
    for y in prange(height):
        for x in range(width):
            i = y * width + x
            after_x, after_y = shares[i, 0], shares[i, 1]
            before_x = shares[i - 1, 0] if x > 0 else ZERO
            before_y = shares[i - width, 1] if y > 0 else ZERO
            if after_x == ZERO and after_y == ZERO and before_x == ZERO and before_y == ZERO:
                to_color[i, 0], to_color[i, 1] = to_smoothed[i, 0], to_smoothed[i, 1]
                to_color[i, 2] = to_smoothed[i, 2]
                continue
            for c in range(3):
                own = to_smoothed[i, c]
                value = own
                # What this pixel took of a neighbour's colour, and what it gave of its own.
                if after_x < ZERO:
                    value += after_x * own
                elif after_x > ZERO:
                    value += after_x * to_smoothed[i + 1, c]
                if after_y < ZERO:
                    value += after_y * own
                elif after_y > ZERO:
                    value += after_y * to_smoothed[i + width, c]
                if before_x > ZERO:
                    value -= before_x * own
                elif before_x < ZERO:
                    value -= before_x * to_smoothed[i - 1, c]
                if before_y > ZERO:
                    value -= before_y * own
                elif before_y < ZERO:
                    value -= before_y * to_smoothed[i - width, c]
                to_color[i, c] = value


@kernel()
def blend_rims_adjoint(to_smoothed, rims, rim_shares, width, to_color, to_rim_color):
    """Carry the derivative by smoothed colours back to the rims and the pixels beyond them.

    :param to_color: (H·W, 3) float32 of :func:`blend_edges_adjoint`, added to.
    :param to_rim_color: (≥ R, 3) float32, out; rows beyond R are left as they are.
    """
    for number in range(len(rims)):
        taker, share = rim_taker(rims, rim_shares, number, width), abs(rim_shares[number])
        for c in range(3):
            to_rim_color[number, c] = share * to_smoothed[taker, c]
            to_color[taker, c] -= share * to_smoothed[taker, c]


@kernel(inline=True)
def _by_share(to_smoothed, color, here, there, share):
    """Return the derivative by the share that one of two pixels takes of the other's colour."""
    taker = here if share < ZERO else there
    slope = 0.0
    for c in range(3):
        slope += float(to_smoothed[taker, c]) * (float(color[here, c]) - color[there, c])
    return slope


@kernel()
def _edge_adjoint(slope, edge, pixel, axis, width, faces, camera, pinhole, to_camera, to_pinhole):
    """Add the derivatives by the place of one edge's crossing, ``slope``, to its ends.

    The weight of the axis passes none: it moves colour between neighbours, and its sum is 1.
    """
    cut, weight = edge_crossing(faces, camera, pinhole, edge, pixel, width, axis)
    if slope == 0.0 or cut <= 0.0 or cut >= 1.0:
        return
    slope *= weight
    face, side = edge // 3, edge % 3
    one, other = faces[face, side], faces[face, (side + 1) % 3]
    za, zb = float(camera[one, 2]), float(camera[other, 2])
    cross = 1 - axis
    # Along the pair of pixels (p) and across it (q), in px.
    fp, fq = pinhole[axis], pinhole[cross]
    tan_ap, tan_aq = camera[one, axis] / za, camera[one, cross] / za
    tan_bp, tan_bq = camera[other, axis] / zb, camera[other, cross] / zb
    ap, aq = tan_ap * fp + pinhole[2 + axis], tan_aq * fq + pinhole[2 + cross]
    bp, bq = tan_bp * fp + pinhole[2 + axis], tan_bq * fq + pinhole[2 + cross]
    line = float(pixel // width) if axis == 0 else float(pixel % width)
    share = (line - aq) / (bq - aq)
    by_share = slope * (bp - ap)
    to_ap, to_bp = slope * (1.0 - share), slope * share
    to_aq = by_share * (share - 1.0) / (bq - aq)
    to_bq = -by_share * share / (bq - aq)
    to_camera[one, axis] += to_ap * fp / za
    to_camera[one, cross] += to_aq * fq / za
    to_camera[one, 2] -= (to_ap * fp * tan_ap + to_aq * fq * tan_aq) / za
    to_camera[other, axis] += to_bp * fp / zb
    to_camera[other, cross] += to_bq * fq / zb
    to_camera[other, 2] -= (to_bp * fp * tan_bp + to_bq * fq * tan_bq) / zb
    to_pinhole[axis] += to_ap * tan_ap + to_bp * tan_bp
    to_pinhole[cross] += to_aq * tan_aq + to_bq * tan_bq
    to_pinhole[2 + axis] += to_ap + to_bp
    to_pinhole[2 + cross] += to_aq + to_bq


@kernel()
def edges_adjoint(
    to_smoothed, color, shares, edges, width, faces, camera, pinhole, to_camera, to_pinhole
):
    """Add the derivatives by the places of silhouettes to their vertices and to the pinhole.

    A crossing is where the edge from one projected vertex to the other meets the line through two
    pixel centres. Where it is held at a pixel's centre, it carries no derivative.

    :param color: (H·W, 3) float32 before smoothing.
    :param edges: (H·W, 2) int32, 3·face + edge, negative where there is none.
    :param pinhole: (4,) float64.
    :param to_camera: (V, 3) float32, added to.
    :param to_pinhole: (4,) float64 fx, fy, cx, cy, added to.
    """
    for i in range(len(edges)):
        for axis in range(2):
            if edges[i, axis] < 0:
                continue
            there = i + (1 if axis == 0 else width)
            slope = _by_share(to_smoothed, color, i, there, shares[i, axis])
            _edge_adjoint(
                slope, edges[i, axis], i, axis, width, faces, camera, pinhole,
                to_camera, to_pinhole,
            )  # fmt: skip


@kernel()
def rims_adjoint(
    to_smoothed,
    color,
    rim_color,
    rims,
    rim_shares,
    width,
    faces,
    camera,
    pinhole,
    to_camera,
    to_pinhole,
):
    """Add the derivatives by the places of rims to their vertices and to the pinhole.

    :param rim_color: (≥ R, 3) float32; ``rims`` and ``rim_shares`` are those of
        :func:`diffphyscam_ros.kernels.antialias.list_rims`; the other parameters are those of
        :func:`edges_adjoint`.
    """
    for number in range(len(rims)):
        taker = rim_taker(rims, rim_shares, number, width)
        slope = 0.0
        for c in range(3):
            step = float(rim_color[number, c]) - color[taker, c]
            slope += float(to_smoothed[taker, c]) * step
        slope = slope if rim_shares[number] > ZERO else -slope
        pixel, axis, edge = rims[number, 0], rims[number, 1], rims[number, 2]
        _edge_adjoint(
            slope, edge, pixel, axis, width, faces, camera, pinhole, to_camera, to_pinhole
        )


@kernel(inline=True)
def _plane_adjoint(faces, camera, face, x, y, to_inverse, to_camera):
    """Add the derivative by a plane's 1/z on the ray (x, y, 1) to its corners.

    :returns: the derivatives by x and y.
    """
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    (ax, ay, az), (ux, uy, uz), (vx, vy, vz), (nx, ny, nz) = face_plane(faces, camera, face)
    scale = 1.0 / (nx * ax + ny * ay + nz * az)
    inverse = (nx * x + ny * y + nz) * scale
    to = to_inverse * scale
    held = to * inverse
    tx, ty, tz = to * x - held * ax, to * y - held * ay, to - held * az
    # n = u × v: to u by v × t, to v by t × u.
    bx, by, bz = vy * tz - vz * ty, vz * tx - vx * tz, vx * ty - vy * tx
    cx, cy, cz = ty * uz - tz * uy, tz * ux - tx * uz, tx * uy - ty * ux
    to_camera[b, 0] += bx
    to_camera[b, 1] += by
    to_camera[b, 2] += bz
    to_camera[c, 0] += cx
    to_camera[c, 1] += cy
    to_camera[c, 2] += cz
    to_camera[a, 0] -= held * nx + bx + cx
    to_camera[a, 1] -= held * ny + by + cy
    to_camera[a, 2] -= held * nz + bz + cz
    return to * nx, to * ny


@kernel()
def meetings_adjoint(
    to_smoothed, color, shares, meetings, width, faces, camera, pinhole, to_camera, to_pinhole
):
    """Add the derivatives by where objects run through each other to their vertices.

    :param meetings: (M, 6) int32 of :func:`diffphyscam_ros.kernels.meetings.list_meetings`; the
        other parameters are those of :func:`edges_adjoint`.
    """
    for number in range(len(meetings)):
        i, axis = meetings[number, 0], meetings[number, 1]
        there = i + (1 if axis == 0 else width)
        slope = _by_share(to_smoothed, color, i, there, shares[i, axis])
        if slope == 0.0:
            continue
        rx = (i % width - pinhole[2]) / pinhole[0]
        ry = (i // width - pinhole[3]) / pinhole[1]
        qx = rx + (1.0 / pinhole[0] if axis == 0 else 0.0)
        qy = ry + (1.0 / pinhole[1] if axis == 1 else 0.0)
        one, other = meetings[number, 2], meetings[number, 3]
        behind_one, behind_other = meetings[number, 4], meetings[number, 5]
        near, _, _ = inverse_depth(faces, camera, one, rx, ry)
        far, _, _ = inverse_depth(faces, camera, behind_one, rx, ry)
        first = near - far
        near, _, _ = inverse_depth(faces, camera, other, qx, qy)
        far, _, _ = inverse_depth(faces, camera, behind_other, qx, qy)
        second = near - far
        total = first + second
        to_first, to_second = slope * second / (total * total), -slope * first / (total * total)
        for k in range(4):
            if k < 2:
                x, y, to = rx, ry, to_first
                face = one if k == 0 else behind_one
            else:
                x, y, to = qx, qy, to_second
                face = other if k == 2 else behind_other
            to = to if k % 2 == 0 else -to
            to_x, to_y = _plane_adjoint(faces, camera, face, x, y, to, to_camera)
            to_pinhole[0] -= to_x * x / pinhole[0]
            to_pinhole[1] -= to_y * y / pinhole[1]
            to_pinhole[2] -= to_x / pinhole[0]
            to_pinhole[3] -= to_y / pinhole[1]
