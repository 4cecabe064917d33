# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which points of a tile a triangle hides from a light where its texture lets some of it through.

The planes that bound the triangle's shadow (``kernels/shadow_cast.py``) say more than on which
side a point is: their values are to each other as the weights of the triangle's corners where the
segment to the light meets it. With these the texture is looked up at the finest level.
"""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.arithmetic import floor, HALF, ONE, ZERO
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.shadow_points import PASSED, TILE, X, Y, Z

# Columns of the table of panes.
PANE_OFFSET, PANE_WIDTH, PANE_HEIGHT = 0, 1, 2
PANE_ALPHA, PANE_CUTOFF = 0, 1


@kernel(fastmath={'contract'})
def texture_alpha(atlas, offset, width, height, u, v):
    """Return the alpha of a repeating picture, bilinear, as ``sampling.place_texels`` finds it.

    :param atlas: (N, 4) float32, the picture's texels from ``offset`` on, row by row.
    """
    x = (u - floor(u)) * np.float32(width) - HALF
    y = (v - floor(v)) * np.float32(height) - HALF
    left, top = floor(x), floor(y)
    dx, dy = x - left, y - top
    # Whatever the coordinates are: nothing outside the picture is read.
    x0 = min(max(np.int64(left), -1), width - 1)
    y0 = min(max(np.int64(top), -1), height - 1)
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    x0, y0 = x0 % width, y0 % height
    upper, lower = offset + y0 * width, offset + y1 * width
    above = (ONE - dx) * atlas[upper + x0, 3] + dx * atlas[upper + x1, 3]
    below = (ONE - dx) * atlas[lower + x0, 3] + dx * atlas[lower + x1, 3]
    return (ONE - dy) * above + dy * below


@kernel(fastmath={'contract'})
def darken_through(s, volume, a, b, c, pane, alphas, uvs, atlas):
    """Set PASSED to zero where a triangle's texture stops the light.

    :param volume: of :func:`diffphyscam_ros.kernels.shadow_cast.shadow_planes`.
    :param a, b, c: numbers of the corners as the volume has them.
    :param pane: (3,) int32 offset, width and height of the texture.
    :param alphas: (2,) float32 factor of the texture's alpha, and the least product that stops
        light.
    :param uvs: (V, 2) float32 of all corners.
    :returns: the number of places that still have light.
    """
    offset = np.int64(pane[PANE_OFFSET])
    width, height = np.int64(pane[PANE_WIDTH]), np.int64(pane[PANE_HEIGHT])
    ua, va, ub, vb = uvs[a, 0], uvs[a, 1], uvs[b, 0], uvs[b, 1]
    uc, vc = uvs[c, 0], uvs[c, 1]
    lit = np.int32(0)
    for i in range(TILE):
        if s[PASSED + i] == ZERO:
            continue
        x, y, z = s[X + i], s[Y + i], s[Z + i]
        e = volume[0] * x + volume[1] * y + volume[2] * z + volume[3]
        f = volume[4] * x + volume[5] * y + volume[6] * z + volume[7]
        g = volume[8] * x + volume[9] * y + volume[10] * z + volume[11]
        n = volume[12] * x + volume[13] * y + volume[14] * z + volume[15]
        if e >= ZERO and f >= ZERO and g >= ZERO and n > ZERO:
            # Each is that of the corner which is not on the plane's edge.
            total = e + f + g
            share = ONE / total if total > ZERO else ZERO
            u = (f * ua + g * ub + e * uc) * share
            v = (f * va + g * vb + e * vc) * share
            alpha = alphas[PANE_ALPHA] * texture_alpha(atlas, offset, width, height, u, v)
            if alpha >= alphas[PANE_CUTOFF]:
                s[PASSED + i] = ZERO
                continue
        lit += np.int32(1)
    return lit
