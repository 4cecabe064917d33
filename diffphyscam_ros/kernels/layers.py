# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Laying pictures behind one another, front to back (CPU kernel)."""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

CHUNK = 4096  # px
CLOSED = -2
HALF, ONE, ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)


@kernel(parallel=True)
def add_layer(layer, total, passing, thinnest, last, through):
    """Add a layer behind those already there.

    :param layer: its triangles (N,) int32 (−2 = not drawn), colour (N, 3), alpha (N,), depth (N,),
        normal (N, 3) and instance (N,).
    :param total: the same for the layers together. Colours add up; the rest is that of the first
        layer with alpha ≥ ½, or of the last one.
    :param passing: (N,) float32, in and out: the share of light that passes all layers so far;
        1 before the first. Negative where a layer with alpha ≥ ½ has been met.
    :param thinnest: the share below which nothing more is asked for.
    :param last: whether nothing more is asked for at all: the layer takes what is left.
    :param through: (N,) bool, out: where more is asked for.
    """
    triangles, color, alpha, depth, normal, instance = layer
    all_triangles, all_color, all_depth, all_normal, all_instance = total
    size = triangles.shape[0]
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, size)):
            through[i] = False
            if triangles[i] == CLOSED:
                continue
            met = passing[i] < ZERO
            share = abs(passing[i])
            opacity = ONE if last else alpha[i]
            for c in range(3):
                all_color[i, c] += share * opacity * color[i, c]
            rest = share * (ONE - opacity)
            more = rest > thinnest
            if not met and (alpha[i] >= HALF or not more):
                met = True
                all_triangles[i] = triangles[i]
                all_depth[i] = depth[i]
                all_instance[i] = instance[i]
                for c in range(3):
                    all_normal[i, c] = normal[i, c]
            passing[i] = -rest if met else rest
            through[i] = more
