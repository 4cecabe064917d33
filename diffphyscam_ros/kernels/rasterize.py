# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which triangle is seen at each pixel, on the CPU (PERFORMANCE.md, "Visibility without races").

Every worker rasterizes its share of the triangles into a private buffer of 64-bit keys: the bits
of 1/z in the high half, the complement of the triangle's number in the low half. The buffers are
merged by maximum, so that the nearest triangle wins and of two equally near ones the first. A key
depends on its triangle and its pixel alone: the result is the same for any number of threads.

Vertices are snapped to 1/256 px and coverage is decided by integer edge functions with a top-left
rule: a surface without holes covers each pixel exactly once along every shared edge.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.bounds import out_of_sight
from diffphyscam_ros.kernels.clip import clip_triangle, GUARD, SUBPIXEL
from diffphyscam_ros.kernels.runtime import kernel

SPAN_WIDTH = 16  # px; above it a row's span is solved for instead of testing each pixel

LEFT, RIGHT, TOP, BOTTOM, NEAR, FAR_OUT, BAD = 1, 2, 4, 8, 16, 32, 64
OUTSIDE = LEFT | RIGHT | TOP | BOTTOM | NEAR
MUST_CLIP = NEAR | FAR_OUT

ID_MASK = 0xFFFFFFFF
MERGE_CHUNK = 4096  # px
CLOSED = np.int32(-2)


@kernel(parallel=True)
def project_vertices(vertices, blocks, matrices, pinhole, width, height, near, camera, projected):
    """Carry vertices into the optical frame and onto the picture.

    :param vertices: (V, 3) float32, mesh frame.
    :param blocks: (K, 3) int64 rows (instance, first vertex, end).
    :param matrices: (I, 3, 4) float64, mesh to optical frame.
    :param pinhole: (4,) float64 fx, fy, cx, cy in px.
    :param near: z in metres nearer than which nothing is seen.
    :param camera: (V, 3) float32, out: optical frame.
    :param projected: (V, 4) int32, out: u and v in 1/256 px, bits of 1/z, outcode.
    """
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    for block in prange(blocks.shape[0]):
        matrix = matrices[blocks[block, 0]]
        for i in range(blocks[block, 1], blocks[block, 2]):
            px, py, pz = vertices[i, 0], vertices[i, 1], vertices[i, 2]
            x = matrix[0, 0] * px + matrix[0, 1] * py + matrix[0, 2] * pz + matrix[0, 3]
            y = matrix[1, 0] * px + matrix[1, 1] * py + matrix[1, 2] * pz + matrix[1, 3]
            z = matrix[2, 0] * px + matrix[2, 1] * py + matrix[2, 2] * pz + matrix[2, 3]
            camera[i, 0] = x
            camera[i, 1] = y
            camera[i, 2] = z
            code = 0
            if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
                code = BAD
            else:
                # Planes through the pinhole, one pixel outside the picture: valid for z < 0 too.
                if fx * x + (cx + 1.0) * z < 0.0:
                    code |= LEFT
                if fx * x + (cx - width) * z > 0.0:
                    code |= RIGHT
                if fy * y + (cy + 1.0) * z < 0.0:
                    code |= TOP
                if fy * y + (cy - height) * z > 0.0:
                    code |= BOTTOM
                if z < near:
                    code |= NEAR
                else:
                    u = fx * x / z + cx
                    v = fy * y / z + cy
                    if abs(u) > GUARD or abs(v) > GUARD:
                        code |= FAR_OUT
                    else:
                        projected[i, 0] = np.int32(math.floor(u * SUBPIXEL + 0.5))
                        projected[i, 1] = np.int32(math.floor(v * SUBPIXEL + 0.5))
                        projected[i, 2] = np.float32(1.0 / z).view(np.int32)
            projected[i, 3] = code


@kernel()
def fill_triangle(
    keys, limits, width, height, x0, y0, w0, x1, y1, w1, x2, y2, w2, triangle, culled_sign
):
    """Enter one triangle into a key buffer.

    :param keys: (H·W,) int64.
    :param limits: (H·W,) int64 that no key may reach, or None.
    :param x0, y0, …: corners in 1/256 px (int64), w: 1/z in 1/m (float32).
    :param culled_sign: +1 / −1 skips triangles that run clockwise / counter-clockwise in the
        picture, 0 skips none.
    """
    # The smallest triangles of a dense mesh end here.
    left = max((min(x0, x1, x2) + (SUBPIXEL - 1)) >> 8, 0)
    right = min(max(x0, x1, x2) >> 8, width - 1)
    top = max((min(y0, y1, y2) + (SUBPIXEL - 1)) >> 8, 0)
    bottom = min(max(y0, y1, y2) >> 8, height - 1)
    if left > right or top > bottom:
        return
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    if area == 0 or area * culled_sign > 0:
        return
    if area < 0:
        area = -area
        x1, y1, w1, x2, y2, w2 = x2, y2, w2, x1, y1, w1

    # Edge functions at (left, top): positive inside; the top-left rule takes one unit from the
    # edges that do not own their points.
    dx0, dy0 = x2 - x1, y2 - y1
    dx1, dy1 = x0 - x2, y0 - y2
    dx2, dy2 = x1 - x0, y1 - y0
    px, py = left * SUBPIXEL, top * SUBPIXEL
    e0 = dx0 * (py - y1) - dy0 * (px - x1)
    e1 = dx1 * (py - y2) - dy1 * (px - x2)
    e2 = dx2 * (py - y0) - dy2 * (px - x0)
    scale = 1.0 / area
    dw1, dw2 = (float(w1) - float(w0)) * scale, (float(w2) - float(w0)) * scale
    w_row = float(w0) + e1 * dw1 + e2 * dw2
    w_dx = np.float32(-(dy1 * dw1 + dy2 * dw2) * SUBPIXEL)
    w_dy = (dx1 * dw1 + dx2 * dw2) * SUBPIXEL
    lowest, highest = min(w0, w1, w2), max(w0, w1, w2)
    if not (dy0 < 0 or (dy0 == 0 and dx0 > 0)):
        e0 -= 1
    if not (dy1 < 0 or (dy1 == 0 and dx1 > 0)):
        e1 -= 1
    if not (dy2 < 0 or (dy2 == 0 and dx2 > 0)):
        e2 -= 1
    sx0, sx1, sx2 = -dy0 * SUBPIXEL, -dy1 * SUBPIXEL, -dy2 * SUBPIXEL
    sy0, sy1, sy2 = dx0 * SUBPIXEL, dx1 * SUBPIXEL, dx2 * SUBPIXEL
    low = ID_MASK - triangle

    count = right - left + 1
    for y in range(top, bottom + 1):
        base = y * width + left
        w_start = np.float32(w_row + (y - top) * w_dy)
        if count <= SPAN_WIDTH:
            # Without a branch: eight pixels at a time.
            for i in range(count):
                inside = (e0 + sx0 * i) | (e1 + sx1 * i) | (e2 + sx2 * i)
                w = min(max(w_start + w_dx * np.float32(i), lowest), highest)
                key = (np.int64(np.float32(w).view(np.int32)) << 32) | low
                key = key if inside >= 0 else np.int64(0)
                if limits is not None:  # decided when compiled
                    key = key if key < limits[base + i] else np.int64(0)
                keys[base + i] = max(keys[base + i], key)
        else:
            first, last = _span(e0, sx0, 0, count - 1)
            first, last = _span(e1, sx1, first, last)
            first, last = _span(e2, sx2, first, last)
            for i in range(first, last + 1):
                w = min(max(w_start + w_dx * np.float32(i), lowest), highest)
                key = (np.int64(np.float32(w).view(np.int32)) << 32) | low
                if limits is not None:
                    key = key if key < limits[base + i] else np.int64(0)
                keys[base + i] = max(keys[base + i], key)
        e0 += sy0
        e1 += sy1
        e2 += sy2


@kernel()
def _span(edge, step, first, last):
    """Narrow [first, last] to the i with edge + i·step ≥ 0, exactly."""
    if step > 0:
        if edge < 0:
            first = max(first, (-edge + step - 1) // step)
    elif step < 0:
        last = min(last, edge // -step) if edge >= 0 else first - 1
    elif edge < 0:
        last = first - 1
    return first, last


@kernel()
def _fill_clipped(
    keys,
    limits,
    width,
    height,
    camera,
    i0,
    i1,
    i2,
    pinhole,
    near,
    triangle,
    culled_sign,
    polygon,
    other,
):
    """Clip a triangle at the near plane and the guard band, then fill it as a fan."""
    count = clip_triangle(camera, i0, i1, i2, pinhole, near, polygon, other)
    for i in range(2, count):
        fill_triangle(
            keys,
            limits,
            width,
            height,
            np.int64(other[0, 0]),
            np.int64(other[0, 1]),
            np.float32(other[0, 2]),
            np.int64(other[i - 1, 0]),
            np.int64(other[i - 1, 1]),
            np.float32(other[i - 1, 2]),
            np.int64(other[i, 0]),
            np.int64(other[i, 1]),
            np.float32(other[i, 2]),
            triangle,
            culled_sign,
        )


@kernel(parallel=True)
def rasterize(
    faces,
    blocks,
    bounds,
    matrices,
    culled_signs,
    camera,
    projected,
    pinhole,
    width,
    height,
    near,
    keys,
    limits,
):
    """Enter all triangles into the workers' key buffers.

    :param faces: (F, 3) int32.
    :param blocks: (K, 3) int64 rows (instance, first face, end).
    :param bounds: (K, 6) float64 boxes around them, see ``kernels/bounds.py``.
    :param matrices: (I, 3, 4) float64, mesh to optical frame.
    :param culled_signs: (I,) int64, see :func:`fill_triangle`.
    :param camera: (V, 3) float32 and ``projected`` (V, 4) int32 of :func:`project_vertices`.
    :param keys: (workers, H·W) int64, in: zeros.
    :param limits: (H·W,) int64: only what has a smaller key, hence lies behind, is entered; or
        None, which costs nothing.
    """
    workers = keys.shape[0]
    for worker in prange(workers):
        mine = keys[worker]
        polygon = np.empty((9, 3), np.float64)
        other = np.empty((9, 3), np.float64)
        for block in range(worker, blocks.shape[0], workers):
            item = blocks[block, 0]
            if out_of_sight(bounds[block], matrices[item], pinhole, width, height, near):
                continue
            sign = culled_signs[item]
            for face in range(blocks[block, 1], blocks[block, 2]):
                i0 = np.uint32(faces[face, 0])
                i1 = np.uint32(faces[face, 1])
                i2 = np.uint32(faces[face, 2])
                c0, c1, c2 = projected[i0, 3], projected[i1, 3], projected[i2, 3]
                either = c0 | c1 | c2
                if (c0 & c1 & c2 & OUTSIDE) != 0 or (either & BAD) != 0:
                    continue
                if (either & MUST_CLIP) != 0:
                    _fill_clipped(
                        mine,
                        limits,
                        width,
                        height,
                        camera,
                        i0,
                        i1,
                        i2,
                        pinhole,
                        near,
                        face,
                        sign,
                        polygon,
                        other,
                    )
                    continue
                fill_triangle(
                    mine,
                    limits,
                    width,
                    height,
                    np.int64(projected[i0, 0]),
                    np.int64(projected[i0, 1]),
                    np.int32(projected[i0, 2]).view(np.float32),
                    np.int64(projected[i1, 0]),
                    np.int64(projected[i1, 1]),
                    np.int32(projected[i1, 2]).view(np.float32),
                    np.int64(projected[i2, 0]),
                    np.int64(projected[i2, 1]),
                    np.int32(projected[i2, 2]).view(np.float32),
                    face,
                    sign,
                )


@kernel(parallel=True)
def merge_keys(keys, limits, triangles):
    """Merge the workers' buffers into triangle numbers and leave the buffers zero again.

    :param keys: (workers, N) int64.
    :param limits: (N,) int64 of :func:`rasterize`, or None; out: the key of what is seen.
    :param triangles: (N,) int32, out: the triangle seen, −1 where there is none, −2 (CLOSED)
        where the limit was 0.
    """
    size = triangles.shape[0]
    for chunk in prange((size + MERGE_CHUNK - 1) // MERGE_CHUNK):
        start = chunk * MERGE_CHUNK
        end = min(start + MERGE_CHUNK, size)
        for worker in range(1, keys.shape[0]):
            for i in range(start, end):
                keys[0, i] = max(keys[0, i], keys[worker, i])
                keys[worker, i] = 0
        for i in range(start, end):
            key = keys[0, i]
            triangles[i] = np.int32(ID_MASK - (key & ID_MASK)) if key != 0 else np.int32(-1)
            if limits is not None:
                triangles[i] = triangles[i] if limits[i] != 0 else CLOSED
                limits[i] = key
            keys[0, i] = 0
