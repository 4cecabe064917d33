# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The line in which two objects run through each other, which counts as a silhouette."""

from __future__ import annotations

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.silhouette_walk import walk

MEETING = -2  # instead of an edge's number: two objects run through each other
PARALLEL = 1e-5  # surfaces that part by less, of their 1/z in a px, meet nowhere in particular


@kernel(inline=True)
def face_plane(faces, camera, face):
    """Return a face's first corner, the edges from it to the others, and their cross product."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    ax, ay, az = float(camera[a, 0]), float(camera[a, 1]), float(camera[a, 2])
    ux, uy, uz = camera[b, 0] - ax, camera[b, 1] - ay, camera[b, 2] - az
    vx, vy, vz = camera[c, 0] - ax, camera[c, 1] - ay, camera[c, 2] - az
    normal = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    return (ax, ay, az), (ux, uy, uz), (vx, vy, vz), normal


@kernel(inline=True)
def inverse_depth(faces, camera, face, x, y):
    """Return 1/z of a face's plane on the ray (x, y, 1), and its changes with x and y."""
    corner, _, _, normal = face_plane(faces, camera, face)
    nx, ny, nz = normal
    scale = 1.0 / (nx * corner[0] + ny * corner[1] + nz * corner[2])
    return (nx * x + ny * y + nz) * scale, nx * scale, ny * scale


@kernel()
def meet(faces, camera, pinhole, one, other, behind_one, behind_other, x, y, axis):
    """Return where between two pixels two surfaces run through each other, or −1.

    Along the pair both are taken as straight in 1/z between the pixel centres.

    :param one: face seen at the first pixel (x, y); ``behind_one`` the hidden one there.
    :param other: face seen at the next pixel along ``axis``; ``behind_other`` the hidden one.
    """
    rx, ry = (x - pinhole[2]) / pinhole[0], (y - pinhole[3]) / pinhole[1]
    near, near_x, near_y = inverse_depth(faces, camera, one, rx, ry)
    far, far_x, far_y = inverse_depth(faces, camera, behind_one, rx, ry)
    # The line of meeting is followed along the axis that it is steeper to, as silhouettes are.
    across_x = abs(near_x - far_x) / pinhole[0]
    across_y = abs(near_y - far_y) / pinhole[1]
    if (across_x < across_y) if axis == 0 else (across_y <= across_x):
        return -1.0
    first = near - far
    rx += 1.0 / pinhole[0] if axis == 0 else 0.0
    ry += 1.0 / pinhole[1] if axis == 1 else 0.0
    near, _, _ = inverse_depth(faces, camera, other, rx, ry)
    far, _, _ = inverse_depth(faces, camera, behind_other, rx, ry)
    second = near - far
    if not (first >= 0.0 and second >= 0.0 and first + second > PARALLEL * near):
        return -1.0
    return first / (first + second)


@kernel()
def hidden_faces(faces, neighbours, camera, pinhole, near, one, other, along, fixed, vertical):
    """Return the face of each surface that is hidden at the other's pixel, −1 where there is none.

    :param one, other: faces seen at a pixel and at the next one; their surfaces are followed.
    :returns: of the second's surface at the first pixel, of the first's at the second.
    """
    _, there = walk(
        faces, neighbours, camera, pinhole, near, one, other, along, fixed, vertical, 1.0
    )
    _, here = walk(
        faces, neighbours, camera, pinhole, near, other, one, along + 1.0, fixed, vertical, -1.0
    )
    return here, there


@kernel()
def list_meetings(edges, triangles, width, faces, neighbours, camera, pinhole, near, listed):
    """List where objects run through each other.

    :param edges: (H·W, 2) int32 of :func:`diffphyscam_ros.kernels.antialias.find_edges`.
    :param listed: (M, 6) int32, out: pixel, axis, the faces seen at this pixel and at the next,
        and those hidden at this pixel and at the next.
    """
    count = 0
    for i in range(len(edges)):
        for k in range(2):
            if edges[i, k] != MEETING:
                continue
            x, y = float(i % width), float(i // width)
            along, fixed = (x, y) if k == 0 else (y, x)
            one, other = triangles[i], triangles[i + (1 if k == 0 else width)]
            here, there = hidden_faces(
                faces, neighbours, camera, pinhole, near, one, other, along, fixed, k == 1
            )
            listed[count, 0], listed[count, 1] = i, k
            listed[count, 2], listed[count, 3] = one, other
            listed[count, 4], listed[count, 5] = here, there
            count += 1
