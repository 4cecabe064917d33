# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Following a mesh between two pixels until it ends, and the edge at which it does (CPU kernels).

With one difference to Laine et al., "Modular Primitives for High-Performance Differentiable
Rendering", ACM TOG 2020, section 3.6: from the nearer pixel's triangle we walk across the mesh
until the surface ends, so that meshes with triangles smaller than a pixel are smoothed too.
"""

from __future__ import annotations

from diffphyscam_ros.kernels.runtime import kernel

REACH = 1.0 + 1.0 / 128.0  # the visibility snaps corners to 1/256 px: an edge may seem farther
MAX_STEPS = 1024  # triangles crossed between two pixel centres; beyond it a pair stays as it is
FADE = 1.5  # edges within atan(1 / (2 FADE)) of a diagonal count for both axes


@kernel(inline=True)
def project(camera, vertex, pinhole):
    """Return u, v in px and z of a vertex."""
    z = float(camera[vertex, 2])
    inverse = 1.0 / z
    return (
        pinhole[0] * camera[vertex, 0] * inverse + pinhole[2],
        pinhole[1] * camera[vertex, 1] * inverse + pinhole[3],
        z,
    )


@kernel()
def walk(
    faces, neighbours, camera, pinhole, near, face, target, along, fixed, vertical, direction
):
    """Follow a surface from one pixel centre to the next until it ends.

    :param face: triangle at the start; ``target``: triangle at the goal, where the walk may
        arrive.
    :param along: u (v where ``vertical``) of the start; ``fixed``: the other coordinate.
    :param direction: ±1.
    :returns: the silhouette's number 3·face + edge, −1 where there is none; and the face at the
        goal where the surface goes on there, −1 where it does not.
    """
    first_sign = 0.0
    for _ in range(MAX_STEPS):
        x0, y0, z0 = project(camera, faces[face, 0], pinhole)
        x1, y1, z1 = project(camera, faces[face, 1], pinhole)
        x2, y2, z2 = project(camera, faces[face, 2], pinhole)
        if not (z0 > near and z1 > near and z2 > near):
            return -1, -1
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        if first_sign == 0.0:
            first_sign = area
        if vertical:
            x0, y0, x1, y1, x2, y2 = y0, x0, y1, x1, y2, x2
        leave, edge = -1e30, -1
        for k in range(3):
            if k == 0:
                ax, ay, bx, by = x0, y0, x1, y1
            elif k == 1:
                ax, ay, bx, by = x1, y1, x2, y2
            else:
                ax, ay, bx, by = x2, y2, x0, y0
            if (ay <= fixed) != (by <= fixed):
                t = (ax + (fixed - ay) / (by - ay) * (bx - ax) - along) * direction
                if t > leave:
                    leave, edge = t, k
        if edge < 0:
            return -1, -1
        if leave > REACH:
            return -1, face
        following = neighbours[face, edge]
        ends = following < 0
        if not ends:
            if following == target:
                return -1, -1
            u0, v0, d0 = project(camera, faces[following, 0], pinhole)
            u1, v1, d1 = project(camera, faces[following, 1], pinhole)
            u2, v2, d2 = project(camera, faces[following, 2], pinhole)
            if not (d0 > near and d1 > near and d2 > near):
                return -1, -1
            ends = ((u1 - u0) * (v2 - v0) - (v1 - v0) * (u2 - u0)) * first_sign <= 0.0
        if ends:
            return 3 * face + edge, -1
        face = following
    return -1, -1


@kernel(inline=True)
def edge_crossing(faces, camera, pinhole, edge, pixel, width, axis):
    """Return where an edge crosses the line from a pixel to the next one along an axis.

    :param edge: 3·face + edge.
    :returns: the distance from the pixel's centre in px, within 0 … 1; and the weight with which
        it counts for this axis: those of both axes add up to 1. It is 1 for edges steep to the
        axis and 0 for others, with a smooth change about the diagonals: a sudden one would count
        outlines there twice or not at all, by up to a pixel.
    """
    face, side = edge // 3, edge % 3
    u0, v0, _ = project(camera, faces[face, side], pinhole)
    u1, v1, _ = project(camera, faces[face, (side + 1) % 3], pinhole)
    if axis == 1:
        u0, v0, u1, v1 = v0, u0, v1, u1
    along = float(pixel % width) if axis == 0 else float(pixel // width)
    line = float(pixel // width) if axis == 0 else float(pixel % width)
    cut = u0 + (line - v0) / (v1 - v0) * (u1 - u0) - along
    across, aside = abs(v1 - v0), abs(u1 - u0)
    share = min(max(0.5 + FADE * (across - aside) / (across + aside), 0.0), 1.0)
    return min(max(cut, 0.0), 1.0), share * share * (3.0 - 2.0 * share)
