# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where silhouettes pass between two pixels, on CUDA: the walks of ``kernels/silhouette_walk.py``.

The same arithmetic in float64, compiled without contraction, for pairs of pixels that the caller
has chosen: a lane each. TRITON_INTERPRET=1 runs it on the CPU, slowly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from diffphyscam_ros.kernels.meetings import PARALLEL
from diffphyscam_ros.kernels.silhouette_walk import MAX_STEPS, REACH
from diffphyscam_ros.kernels.triton_launch import on_device_of

LANES = 32


@triton.jit  # type: ignore[untyped-decorator]
def _place(camera, vertex, lens, there):  # type: ignore[no-untyped-def]
    """Return u, v in px and z of vertices (float64)."""
    at = camera + 3 * vertex.to(tl.int64)
    x = tl.load(at, mask=there, other=0.0).to(tl.float64)
    y = tl.load(at + 1, mask=there, other=0.0).to(tl.float64)
    z = tl.load(at + 2, mask=there, other=1.0).to(tl.float64)
    inverse = 1.0 / tl.where(z == 0.0, 1.0, z)
    u = tl.load(lens) * x * inverse + tl.load(lens + 2)
    return u, tl.load(lens + 1) * y * inverse + tl.load(lens + 3), z


@triton.jit  # type: ignore[untyped-decorator]
def _face(faces, camera, face, lens, there):  # type: ignore[no-untyped-def]
    """Return the places of a face's corners, and whether all lie beyond the near plane."""
    at = faces + 3 * face.to(tl.int64)
    near = tl.load(lens + 4)
    x0, y0, z0 = _place(camera, tl.load(at, mask=there, other=0), lens, there)
    x1, y1, z1 = _place(camera, tl.load(at + 1, mask=there, other=0), lens, there)
    x2, y2, z2 = _place(camera, tl.load(at + 2, mask=there, other=0), lens, there)
    return x0, y0, x1, y1, x2, y2, (z0 > near) & (z1 > near) & (z2 > near)


@triton.jit  # type: ignore[untyped-decorator]
def _side(  # type: ignore[no-untyped-def]
    ax, ay, bx, by, k: tl.constexpr, along, fixed, direction, leave, edge
):
    """Take one side of a triangle into account: where a walk leaves it, and by which side."""
    crossed = (ay <= fixed) != (by <= fixed)
    rise = tl.where(crossed, by - ay, 1.0)
    t = (ax + (fixed - ay) / rise * (bx - ax) - along) * direction
    farther = crossed & (t > leave)
    return tl.where(farther, t, leave), tl.where(farther, k, edge)


@triton.jit  # type: ignore[untyped-decorator]
def _walk(  # type: ignore[no-untyped-def]
    faces, neighbours, camera, lens, face, target, along, fixed, vertical, direction,
    STEPS: tl.constexpr, REACH: tl.constexpr,
):  # fmt: skip
    """Follow surfaces as ``silhouette_walk.walk`` does; none where the face is negative."""
    active = face >= 0
    found, arrived = face * 0 - 1, face * 0 - 1
    first = along * 0.0
    step = 0
    while (step < STEPS) & (tl.max(active.to(tl.int32), axis=0) > 0):
        x0, y0, x1, y1, x2, y2, good = _face(faces, camera, face, lens, active)
        active = active & good
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        first = tl.where(first == 0.0, area, first)
        u0, v0 = tl.where(vertical != 0, y0, x0), tl.where(vertical != 0, x0, y0)
        u1, v1 = tl.where(vertical != 0, y1, x1), tl.where(vertical != 0, x1, y1)
        u2, v2 = tl.where(vertical != 0, y2, x2), tl.where(vertical != 0, x2, y2)
        leave, edge = along * 0.0 - 1e30, face * 0 - 1
        leave, edge = _side(u0, v0, u1, v1, 0, along, fixed, direction, leave, edge)
        leave, edge = _side(u1, v1, u2, v2, 1, along, fixed, direction, leave, edge)
        leave, edge = _side(u2, v2, u0, v0, 2, along, fixed, direction, leave, edge)
        active = active & (edge >= 0)
        reaches = active & (leave > REACH)
        arrived = tl.where(reaches, face, arrived)
        active = active & (leave <= REACH)
        at = neighbours + 3 * face.to(tl.int64) + edge
        following = tl.load(at, mask=active, other=-1)
        active = active & ((following < 0) | (following != target))
        more = active & (following >= 0)
        x0, y0, x1, y1, x2, y2, good = _face(faces, camera, following, lens, more)
        active = active & (good | (following < 0))
        turned = ((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)) * first <= 0.0
        ends = active & ((following < 0) | turned)
        found = tl.where(ends, 3 * face + edge, found)
        active = active & (ends == 0)
        face = tl.where(active, following, face)
        step += 1
    return found, arrived


@triton.jit  # type: ignore[untyped-decorator]
def _point(camera, vertex, there):  # type: ignore[no-untyped-def]
    at = camera + 3 * vertex.to(tl.int64)
    x = tl.load(at, mask=there, other=0.0).to(tl.float64)
    y = tl.load(at + 1, mask=there, other=0.0).to(tl.float64)
    return x, y, tl.load(at + 2, mask=there, other=1.0).to(tl.float64)


@triton.jit  # type: ignore[untyped-decorator]
def _inverse_depth(faces, camera, face, x, y, there):  # type: ignore[no-untyped-def]
    """Return what ``meetings.inverse_depth`` does."""
    at = faces + 3 * face.to(tl.int64)
    ax, ay, az = _point(camera, tl.load(at, mask=there, other=0), there)
    bx, by, bz = _point(camera, tl.load(at + 1, mask=there, other=0), there)
    cx, cy, cz = _point(camera, tl.load(at + 2, mask=there, other=0), there)
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    through = nx * ax + ny * ay + nz * az
    scale = 1.0 / tl.where(there, through, 1.0)
    return (nx * x + ny * y + nz) * scale, nx * scale, ny * scale


@triton.jit  # type: ignore[untyped-decorator]
def _pairs(  # type: ignore[no-untyped-def]
    pairs, triangles, depth, width, faces, instances, neighbours, camera, lens,
    from_first, edges, behind, count,
    STEPS: tl.constexpr, REACH: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Look between some pairs of pixels."""
    n = tl.program_id(0) * LANES + tl.arange(0, LANES)
    there = n < count
    pair = tl.load(pairs + n, mask=there, other=0)
    here = (pair // 2).to(tl.int32)
    axis = (pair % 2).to(tl.int32)
    beside = tl.where(there, here + tl.where(axis == 0, 1, width), 0)
    one = tl.load(triangles + here, mask=there, other=-1)
    other = tl.load(triangles + beside, mask=there, other=-1)
    column, line = (here % width).to(tl.float64), (here // width).to(tl.float64)
    along = tl.where(axis == 0, column, line)
    fixed = tl.where(axis == 0, line, column)

    edge_forward, ahead = _walk(
        faces, neighbours, camera, lens, one, other, along, fixed, axis, 1.0, STEPS, REACH
    )
    edge_back, behind_one = _walk(
        faces, neighbours, camera, lens, other, one, along + 1.0, fixed, axis, -1.0, STEPS, REACH
    )
    # The nearer surface ends before the farther one; if it does not, the other may.
    nearer = tl.load(depth + here, mask=there, other=0.0)
    nearer = nearer <= tl.load(depth + beside, mask=there, other=0.0)
    from_here = (edge_forward >= 0) & (nearer | (edge_back < 0))
    edge = tl.where(from_here, edge_forward, edge_back)

    meets = there & (edge < 0) & (one >= 0) & (other >= 0) & (ahead >= 0) & (behind_one >= 0)
    first_item = tl.load(instances + one, mask=meets, other=0)
    meets = meets & (first_item != tl.load(instances + other, mask=meets, other=0))
    fx, fy, cx, cy = tl.load(lens), tl.load(lens + 1), tl.load(lens + 2), tl.load(lens + 3)
    rx, ry = (column - cx) / fx, (line - cy) / fy
    near, near_x, near_y = _inverse_depth(faces, camera, one, rx, ry, meets)
    far, far_x, far_y = _inverse_depth(faces, camera, behind_one, rx, ry, meets)
    across_x, across_y = tl.abs(near_x - far_x) / fx, tl.abs(near_y - far_y) / fy
    flat = ((axis == 0) & (across_x < across_y)) | ((axis != 0) & (across_y <= across_x))
    first = near - far
    rx = rx + tl.where(axis == 0, 1.0 / fx, 0.0)
    ry = ry + tl.where(axis == 1, 1.0 / fy, 0.0)
    near, _, _ = _inverse_depth(faces, camera, other, rx, ry, meets)
    far, _, _ = _inverse_depth(faces, camera, ahead, rx, ry, meets)
    second = near - far
    # As a float64: the CPU's threshold is one.
    threshold = tl.load(lens + 5) * near
    meets = meets & (flat == 0)
    meets = meets & (first >= 0.0) & (second >= 0.0) & (first + second > threshold)
    edge = tl.where(meets, -2, edge)
    tl.store(from_first + n, from_here.to(tl.int8), mask=there)
    tl.store(edges + n, edge, mask=there)
    tl.store(behind + 2 * n, behind_one, mask=there)
    tl.store(behind + 2 * n + 1, ahead, mask=there)


def find_edges(
    pairs: torch.Tensor,
    triangles: torch.Tensor,
    depth: torch.Tensor,
    width: int,
    surfaces: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    pinhole: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find silhouettes between pairs of pixels.

    :param pairs: (P,) int64, 2·pixel + axis: the pixel and that to its right (0) or below (1).
    :param triangles: (H·W,) int32 and ``depth`` (H·W,) float32 of the picture.
    :param surfaces: faces (F, 3) int32, their instances (F,) int32, neighbours (F, 3) int32, and
        vertices (V, 3) float32 in the optical frame.
    :param pinhole: (5,) float64 fx, fy, cx, cy in px and the near plane in metres.
    :returns: (P,) bool, whether the surface that ends is the first pixel's; (P,) int32, the edge,
        3·face + edge, ``MEETING`` or −1; and (P, 2) int32, the faces hidden at the first pixel
        and at the second, which count where the edge is ``MEETING``.
    """
    count = len(pairs)
    from_first = torch.empty(count, dtype=torch.int8, device=pairs.device)
    edges = torch.empty(count, dtype=torch.int32, device=pairs.device)
    behind = torch.empty(count, 2, dtype=torch.int32, device=pairs.device)
    faces, instances, neighbours, camera = surfaces
    lens = torch.cat([pinhole, pinhole.new_full((1,), PARALLEL)])
    if count > 0:
        with on_device_of(pairs):
            _pairs[(triton.cdiv(count, LANES),)](
                pairs, triangles, depth, width, faces, instances, neighbours, camera, lens,
                from_first, edges, behind, count,
                STEPS=MAX_STEPS, REACH=REACH, LANES=LANES,
                num_warps=1, enable_fp_fusion=False,
            )  # fmt: skip
    return from_first != 0, edges, behind
