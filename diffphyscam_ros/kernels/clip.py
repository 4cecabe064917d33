# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Cutting off what a rasterizer cannot draw: before the near plane, beyond the guard band."""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

SUBPIXEL = 256
GUARD = float(1 << 20)  # px; int64 edge functions of vertices inside it cannot overflow


@kernel()
def _clip(polygon, count, a, b, c, d, clipped):
    """Keep the part of a convex polygon where a·x + b·y + c·z + d ≥ 0 (Sutherland–Hodgman).

    A crossing is always computed from the inside corner to the outside one, so two triangles that
    share an edge get the very same point and no crack opens between them.
    """
    kept = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        here = a * polygon[i, 0] + b * polygon[i, 1] + c * polygon[i, 2] + d
        there = a * polygon[j, 0] + b * polygon[j, 1] + c * polygon[j, 2] + d
        if here >= 0.0:
            clipped[kept] = polygon[i]
            kept += 1
        if (here >= 0.0) != (there >= 0.0):
            inside, outside = (i, j) if here >= 0.0 else (j, i)
            s, t = (here, there) if here >= 0.0 else (there, here)
            fraction = s / (s - t)
            for k in range(3):
                clipped[kept, k] = polygon[inside, k] + fraction * (
                    polygon[outside, k] - polygon[inside, k]
                )
            kept += 1
    return kept


@kernel()
def clip_triangle(camera, i0, i1, i2, pinhole, near, polygon, other):
    """Clip a triangle at the near plane and the guard band.

    :param camera: (V, 3) vertices in the optical frame; i0, i1, i2: the triangle's.
    :param polygon: (9, 3) float64, memory to work in.
    :param other: (9, 3) float64, out: corners in 1/256 px (whole numbers) and 1/z.
    :returns: the number of corners.
    """
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    for k in range(3):
        polygon[0, k] = camera[i0, k]
        polygon[1, k] = camera[i1, k]
        polygon[2, k] = camera[i2, k]
    # A corner cut at the guard band must not be refused by it after rounding.
    guard = GUARD * 0.5
    count = _clip(polygon, 3, 0.0, 0.0, 1.0, -near, other)
    count = _clip(other, count, fx, 0.0, cx + guard, 0.0, polygon)
    count = _clip(polygon, count, -fx, 0.0, guard - cx, 0.0, other)
    count = _clip(other, count, 0.0, fy, cy + guard, 0.0, polygon)
    count = _clip(polygon, count, 0.0, -fy, guard - cy, 0.0, other)
    for i in range(count):
        z = max(other[i, 2], near)
        other[i, 0] = math.floor((fx * other[i, 0] / z + cx) * SUBPIXEL + 0.5)
        other[i, 1] = math.floor((fy * other[i, 1] / z + cy) * SUBPIXEL + 0.5)
        other[i, 2] = 1.0 / z
    return count


@kernel()
def list_clipped(camera, pinhole, near, corners, origins):
    """Clip triangles into fans of triangles, for those who draw elsewhere.

    :param camera: (3·N, 3) float32, the corners of N triangles in the optical frame.
    :param corners: (6·N, 3, 4) int32, out: rows as ``projected`` of :func:`project_vertices`.
    :param origins: (6·N,) int64, out: which of the N each is a part of.
    :returns: the number of triangles written.
    """
    polygon = np.empty((9, 3), np.float64)
    other = np.empty((9, 3), np.float64)
    made = 0
    for n in range(camera.shape[0] // 3):
        count = clip_triangle(camera, 3 * n, 3 * n + 1, 3 * n + 2, pinhole, near, polygon, other)
        for i in range(2, count):
            for corner in range(3):
                k = 0 if corner == 0 else i - 2 + corner
                corners[made, corner, 0] = np.int32(other[k, 0])
                corners[made, corner, 1] = np.int32(other[k, 1])
                corners[made, corner, 2] = np.float32(other[k, 2]).view(np.int32)
                corners[made, corner, 3] = 0
            origins[made] = n
            made += 1
    return made
