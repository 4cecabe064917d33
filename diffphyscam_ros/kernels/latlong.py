# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Looking up lat-long pictures of an environment for a block of pixels.

Equal to ``scene/environment.py``; see ``kernels/sampling.py`` for how look-ups are made.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.arithmetic import (
    arc_tangent,
    clamp,
    floor,
    HALF,
    INVERSE_PI,
    INVERSE_TWO_PI,
    ONE,
)
from diffphyscam_ros.kernels.rows import mix_threes
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import shares_of
from diffphyscam_ros.kernels.scratch import (
    AIM_X,
    AIM_Y,
    AIM_Z,
    BLOCK,
    PLACE_A,
    PLACE_B,
    PLACE_C,
    PLACE_D,
    SHARE_A,
    SHARE_B,
    SHARE_C,
    SHARE_D,
)


@kernel(fastmath=True)
def aim_at_latlong(s, n, turn, width, height):
    """Fill PLACE and their SHARE: four pixels of a lat-long picture around where AIM points.

    Columns wrap, rows stop at the edge (``scene.environment.sample_wrapped``).

    :param turn: (3, 3) float32, optical frame to the environment's.
    """
    r00, r01, r02 = turn[0, 0], turn[0, 1], turn[0, 2]
    r10, r11, r12 = turn[1, 0], turn[1, 1], turn[1, 2]
    r20, r21, r22 = turn[2, 0], turn[2, 1], turn[2, 2]
    columns, rows = np.int32(width), np.int32(height)
    wide, high = np.float32(width), np.float32(height)
    for i in range(BLOCK):
        x, y, z = s[AIM_X + i], s[AIM_Y + i], s[AIM_Z + i]
        ex, ey = r00 * x + r01 * y + r02 * z, r10 * x + r11 * y + r12 * z
        ez = r20 * x + r21 * y + r22 * z
        azimuth = arc_tangent(ey, ex)
        polar = arc_tangent(math.sqrt(ex * ex + ey * ey), ez)
        column = (HALF - azimuth * INVERSE_TWO_PI) * wide - HALF
        row = polar * INVERSE_PI * high - HALF
        left, top = floor(column), floor(row)
        dx, dy = column - left, row - top
        x0 = clamp(np.int32(left), -1, columns - 1)
        x1 = np.int32(x0 + 1)
        x1 = np.int32(0) if x1 == columns else x1
        x0 = np.int32(columns - 1) if x0 < 0 else x0
        y0 = clamp(np.int32(top), 0, rows - 1)
        y1 = clamp(np.int32(top) + 1, 0, rows - 1)
        upper, lower = np.int32(y0 * columns), np.int32(y1 * columns)
        n[PLACE_A + i] = np.int32(upper + x0)
        n[PLACE_B + i] = np.int32(upper + x1)
        n[PLACE_C + i] = np.int32(lower + x0)
        n[PLACE_D + i] = np.int32(lower + x1)
        wd = dx * dy
        s[SHARE_A + i] = ONE - dx - dy + wd
        s[SHARE_B + i] = dx - wd
        s[SHARE_C + i] = dy - wd
        s[SHARE_D + i] = wd


@kernel(fastmath=True, inline=True)
def four_pixels(s, n, i, pictures, first):
    """Return the weighted mean of the four pixels at PLACE.

    :param pictures: (N, 3) float32, pictures one after the other; ``first``: number of the
        picture's first pixel.
    """
    a, b = np.uint32(first + n[PLACE_A + i]), np.uint32(first + n[PLACE_B + i])
    c, d = np.uint32(first + n[PLACE_C + i]), np.uint32(first + n[PLACE_D + i])
    return mix_threes(pictures, (a, b, c, d), shares_of(s, i))
