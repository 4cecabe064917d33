# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where silhouettes pass between two pixels, and smoothing the picture there (CPU kernels).

After Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", ACM TOG
2020, section 3.6, with one difference: from the nearer pixel's triangle we walk across the mesh
until the surface ends, so that meshes with triangles smaller than a pixel are smoothed too. And
where two objects run through each other, the line in which they meet counts as a silhouette.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

HALF = np.float32(0.5)
ZERO = np.float32(0.0)
REACH = 1.0 + 1.0 / 128.0  # the visibility snaps corners to 1/256 px: an edge may seem farther
PARALLEL = 1e-5  # surfaces that part by less, of their 1/z in a px, meet nowhere in particular
MEETING = -2  # instead of an edge's number: two objects run through each other
MAX_STEPS = 64  # triangles crossed between two pixel centres; beyond it a pair stays as it is


@kernel(inline=True)
def _project(camera, vertex, pinhole):
    """Return u, v in px and z of a vertex."""
    z = float(camera[vertex, 2])
    inverse = 1.0 / z
    return (
        pinhole[0] * camera[vertex, 0] * inverse + pinhole[2],
        pinhole[1] * camera[vertex, 1] * inverse + pinhole[3],
        z,
    )


@kernel()
def _walk(
    faces, neighbours, camera, pinhole, near, face, target, along, fixed, vertical, direction
):
    """Follow a surface from one pixel centre to the next until it ends.

    :param face: triangle at the start; ``target``: triangle at the goal, where the walk may
        arrive.
    :param along: u (v where ``vertical``) of the start; ``fixed``: the other coordinate.
    :param direction: ±1.
    :returns: the distance to the silhouette in px and the number 3·face + edge, or (−1, −1); and
        the face at the goal where the surface goes on there, −1 where it does not.
    """
    first_sign = 0.0
    for _ in range(MAX_STEPS):
        x0, y0, z0 = _project(camera, faces[face, 0], pinhole)
        x1, y1, z1 = _project(camera, faces[face, 1], pinhole)
        x2, y2, z2 = _project(camera, faces[face, 2], pinhole)
        if not (z0 > near and z1 > near and z2 > near):
            return -1.0, -1, -1
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        if first_sign == 0.0:
            first_sign = area
        if vertical:
            x0, y0, x1, y1, x2, y2 = y0, x0, y1, x1, y2, x2
        leave, edge, steep = -1e30, -1, False
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
                    # Ties of diagonal edges go to horizontal pairs alone.
                    steep = abs(by - ay) > abs(bx - ax) or (
                        not vertical and abs(by - ay) == abs(bx - ax)
                    )
        if edge < 0:
            return -1.0, -1, -1
        if leave > REACH:
            return -1.0, -1, face
        following = neighbours[face, edge]
        ends = following < 0
        if not ends:
            if following == target:
                return -1.0, -1, -1
            u0, v0, d0 = _project(camera, faces[following, 0], pinhole)
            u1, v1, d1 = _project(camera, faces[following, 1], pinhole)
            u2, v2, d2 = _project(camera, faces[following, 2], pinhole)
            if not (d0 > near and d1 > near and d2 > near):
                return -1.0, -1, -1
            ends = ((u1 - u0) * (v2 - v0) - (v1 - v0) * (u2 - u0)) * first_sign <= 0.0
        if ends:
            if not steep:
                return -1.0, -1, -1
            return min(max(leave, 0.0), 1.0), 3 * face + edge, -1
        face = following
    return -1.0, -1, -1


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
def _meet(faces, camera, pinhole, one, other, behind_one, behind_other, x, y, axis):
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
    _, _, there = _walk(
        faces, neighbours, camera, pinhole, near, one, other, along, fixed, vertical, 1.0
    )
    _, _, here = _walk(
        faces, neighbours, camera, pinhole, near, other, one, along + 1.0, fixed, vertical, -1.0
    )
    return here, there


@kernel(parallel=True)
def find_edges(
    triangles,
    depth,
    width,
    height,
    faces,
    face_instance,
    neighbours,
    camera,
    pinhole,
    near,
    crossing,
    edges,
    meetings,
):
    """Find silhouettes between every pixel and those to its right and below.

    :param triangles: (H·W,) int32 and ``depth`` (H·W,) float32 of the picture.
    :param face_instance: (F,) int32.
    :param neighbours: (F, 3) int32, the face across each edge, −1 where there is none.
    :param crossing: (H·W, 2) float32, out: distance from this pixel's centre at which the
        silhouette passes, 0.5 (which changes nothing) where there is none.
    :param edges: (H·W, 2) int32, out: 3·face + edge of the silhouette, ``MEETING`` where two
        objects run through each other instead, −1 where there is neither.
    :param meetings: (H,) int32, out: the number of the latter in each row.
    """
    for y in prange(height):
        meetings[y] = 0
        for x in range(width):
            here = y * width + x
            for k in range(2):
                crossing[here, k] = HALF
                edges[here, k] = -1
                if (k == 0 and x + 1 == width) or (k == 1 and y + 1 == height):
                    continue
                there = here + (1 if k == 0 else width)
                one, other = triangles[here], triangles[there]
                if one == other:
                    continue
                if one >= 0 and other >= 0 and face_instance[one] == face_instance[other]:
                    # A step no deeper than two pixels are wide is no silhouette worth the search.
                    step = abs(depth[here] - depth[there])
                    if step * pinhole[k] < 2.0 * min(depth[here], depth[there]):
                        continue
                along, fixed = (float(x), float(y)) if k == 0 else (float(y), float(x))
                # The nearer surface ends before the farther one; if it does not, the other may.
                from_here = depth[here] <= depth[there]
                for _ in range(2):
                    start = one if from_here else other
                    goal = other if from_here else one
                    if start >= 0:
                        t, edge, _ = _walk(
                            faces,
                            neighbours,
                            camera,
                            pinhole,
                            near,
                            start,
                            goal,
                            along if from_here else along + 1.0,
                            fixed,
                            k == 1,
                            1.0 if from_here else -1.0,
                        )
                        if edge >= 0:
                            crossing[here, k] = t if from_here else 1.0 - t
                            edges[here, k] = edge
                            break
                    from_here = not from_here
                if edges[here, k] >= 0 or one < 0 or other < 0:
                    continue
                if face_instance[one] == face_instance[other]:
                    continue
                behind_one, behind_other = hidden_faces(
                    faces, neighbours, camera, pinhole, near, one, other, along, fixed, k == 1
                )
                if behind_one < 0 or behind_other < 0:
                    continue
                t = _meet(
                    faces,
                    camera,
                    pinhole,
                    one,
                    other,
                    behind_one,
                    behind_other,
                    float(x),
                    float(y),
                    k,
                )
                if t >= 0.0:
                    crossing[here, k] = t
                    edges[here, k] = MEETING
                    meetings[y] += 1


@kernel()
def list_meetings(edges, triangles, width, faces, neighbours, camera, pinhole, near, listed):
    """List where objects run through each other.

    :param edges: (H·W, 2) int32 of :func:`find_edges`.
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


@kernel(parallel=True, fastmath=True)
def blend_edges(color, crossing, width, height, smoothed):
    """Give each pixel the share of its neighbours' colour that reaches across its own border.

    :param color: (H·W, 3) float32.
    :param crossing: (H·W, 2) float32 of :func:`find_edges`.
    :param smoothed: (H·W, 3) float32, out.
    """
    for y in prange(height):
        for x in range(width):
            i = y * width + x
            right = max(HALF - crossing[i, 0], ZERO)
            down = max(HALF - crossing[i, 1], ZERO)
            left = max(crossing[i - 1, 0] - HALF, ZERO) if x > 0 else ZERO
            up = max(crossing[i - width, 1] - HALF, ZERO) if y > 0 else ZERO
            for c in range(3):
                own = color[i, c]
                value = own
                if right > ZERO:
                    value += right * (color[i + 1, c] - own)
                if down > ZERO:
                    value += down * (color[i + width, c] - own)
                if left > ZERO:
                    value += left * (color[i - 1, c] - own)
                if up > ZERO:
                    value += up * (color[i - width, c] - own)
                smoothed[i, c] = value
