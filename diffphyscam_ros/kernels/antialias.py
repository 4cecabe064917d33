# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where silhouettes pass between two pixels, and smoothing the picture there (CPU kernels).

After Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", ACM TOG
2020, section 3.6, with these differences: ``silhouette_walk.py`` finds outlines of fine meshes;
``meetings.py`` those where two objects run through each other; edges near a diagonal count for
both axes; and a surface that reaches into the next pixel shows there its colour at its rim.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.meetings import hidden_faces, meet, MEETING
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.silhouette_walk import edge_crossing, walk

ZERO = np.float32(0.0)
TAKES, GIVES = np.uint8(1), np.uint8(2)
RIM = -3  # RIM − edge instead of an edge's number: the pixel takes the surface's colour at its rim


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
    roles,
    shares,
    edges,
    meetings,
    rims,
):
    """Find silhouettes between every pixel and those to its right and below.

    :param triangles: (H·W,) int32 and ``depth`` (H·W,) float32 of the picture.
    :param face_instance: (F,) int32.
    :param neighbours: (F, 3) int32, the face across each edge, −1 where there is none.
    :param roles: (H·W,) uint8, ``TAKES`` where the colour of a rim may be taken, ``GIVES`` where
        the surface may also give one to a neighbour; (0,): all do. Without a rim a pixel takes its
        neighbour's colour.
    :param shares: (H·W, 2) float32, out: −½ … ½ px, by which the surface at the first pixel
        reaches beyond the border (negative: that at the second), 0 where there is no silhouette.
    :param edges: (H·W, 2) int32, out: 3·face + edge of the silhouette, ``RIM`` minus that where
        the surface that ends there reaches into the other's pixel, ``MEETING`` where two objects
        run through each other instead, −1 where there is none of these.
    :param meetings, rims: (H,) int32, out: the number of these in each row.
    """
    for y in prange(height):
        meetings[y] = 0
        rims[y] = 0
        for x in range(width):
            here = y * width + x
            for k in range(2):
                shares[here, k] = ZERO
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
                edge = -1
                for _ in range(2):
                    start = one if from_here else other
                    goal = other if from_here else one
                    if start >= 0:
                        edge, _ = walk(
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
                            break
                    from_here = not from_here
                if edge >= 0:
                    cut, weight = edge_crossing(faces, camera, pinhole, edge, here, width, k)
                    share = np.float32(weight * (cut - 0.5))
                    if share != ZERO:
                        rim = (share > ZERO) == from_here
                        if rim and roles.size > 0:
                            giver, taker = (here, there) if from_here else (there, here)
                            rim = roles[giver] == GIVES and roles[taker] >= TAKES
                        shares[here, k] = share
                        edges[here, k] = RIM - edge if rim else edge
                        rims[y] += 1 if rim else 0
                    continue
                if one < 0 or other < 0 or face_instance[one] == face_instance[other]:
                    continue
                behind_one, behind_other = hidden_faces(
                    faces, neighbours, camera, pinhole, near, one, other, along, fixed, k == 1
                )
                if behind_one < 0 or behind_other < 0:
                    continue
                t = meet(
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
                    shares[here, k] = t - 0.5
                    edges[here, k] = MEETING
                    meetings[y] += 1


@kernel(parallel=True)
def list_rims(
    edges, shares, first, width, height, faces, camera, pinhole, listed, rim_shares, places
):
    """Move rims from the picture to a list, in the order of the pixels.

    :param edges, shares: (H·W, 2) of :func:`find_edges`; rims are taken out of both.
    :param first: (H + 1,) int64, the first rim's number of each row.
    :param listed: (R, 3) int32, out: pixel, axis, 3·face + edge.
    :param rim_shares: (R,) float32, out: as in ``shares``.
    :param places: (R, 2) float32, out: u and v of the rim in px.
    """
    for y in prange(height):
        number = first[y]
        if number == first[y + 1]:
            continue
        for x in range(width):
            i = y * width + x
            for k in range(2):
                if edges[i, k] > RIM:
                    continue
                edge = RIM - edges[i, k]
                cut, _ = edge_crossing(faces, camera, pinhole, edge, i, width, k)
                listed[number, 0], listed[number, 1], listed[number, 2] = i, k, edge
                rim_shares[number] = shares[i, k]
                places[number, 0] = x + cut if k == 0 else x
                places[number, 1] = y + cut if k == 1 else y
                shares[i, k] = ZERO
                edges[i, k] = -1
                number += 1


@kernel(parallel=True, fastmath=True)
def blend_edges(color, shares, width, height, smoothed):
    """Give each pixel the share of its neighbours' colour that reaches across its own border.

    :param color: (H·W, 3) float32.
    :param shares: (H·W, 2) float32 of :func:`find_edges`.
    :param smoothed: (H·W, 3) float32, out.
    """
    for y in prange(height):
        for x in range(width):
            i = y * width + x
            right = max(-shares[i, 0], ZERO)
            down = max(-shares[i, 1], ZERO)
            left = max(shares[i - 1, 0], ZERO) if x > 0 else ZERO
            up = max(shares[i - width, 1], ZERO) if y > 0 else ZERO
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


@kernel(inline=True)
def rim_taker(rims, rim_shares, number, width):
    """Return the pixel that takes a rim's colour."""
    step = 1 if rims[number, 1] == 0 else width
    return rims[number, 0] + (step if rim_shares[number] > ZERO else 0)


@kernel()
def blend_rims(color, rim_color, rims, rim_shares, width, smoothed):
    """Give pixels the share of surfaces that reach into them from beyond their border.

    :param color: (H·W, 3) float32 before smoothing.
    :param rim_color: (≥ R, 3) float32; ``rims`` and ``rim_shares`` are of :func:`list_rims`.
    :param smoothed: (H·W, 3) float32, added to.
    """
    for number in range(len(rims)):
        taker, share = rim_taker(rims, rim_shares, number, width), abs(rim_shares[number])
        for c in range(3):
            smoothed[taker, c] += share * (rim_color[number, c] - color[taker, c])
