# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Blocks of pixels on the way back: what comes in, and places that no pixel fills."""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    END_CLEARED,
    FIRST_CLEARED,
    TO_ALPHA,
    TO_B,
    TO_DEPTH,
    TO_G,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_R,
)
from diffphyscam_ros.kernels.arithmetic import ZERO
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import BLOCK, PIXEL, RAY_X, RAY_Y, TRIANGLE

# Places in ``given``.
COLOR, DEPTH, NORMAL, ALPHA = range(4)


@kernel(fastmath=True)
def read_derivatives(s, n, count, to_color, to_depth, to_normal, to_alpha, given):
    """Fill TO_R, TO_G, TO_B, TO_DEPTH, TO_NORMAL and TO_ALPHA; clear the other sums."""
    for i in range(FIRST_CLEARED, END_CLEARED):
        s[i] = ZERO
    for i in range(BLOCK):
        s[TO_R + i] = s[TO_G + i] = s[TO_B + i] = s[TO_ALPHA + i] = ZERO
        s[TO_NORMAL_X + i] = s[TO_NORMAL_Y + i] = s[TO_NORMAL_Z + i] = ZERO
    for i in range(count):
        pixel = np.uint32(n[PIXEL + i])
        if given[COLOR]:
            s[TO_R + i], s[TO_G + i] = to_color[pixel, 0], to_color[pixel, 1]
            s[TO_B + i] = to_color[pixel, 2]
        if given[DEPTH]:
            s[TO_DEPTH + i] = to_depth[pixel]
        if given[NORMAL]:
            s[TO_NORMAL_X + i], s[TO_NORMAL_Y + i] = to_normal[pixel, 0], to_normal[pixel, 1]
            s[TO_NORMAL_Z + i] = to_normal[pixel, 2]
        if given[ALPHA]:
            s[TO_ALPHA + i] = to_alpha[pixel]


@kernel(fastmath=True, inline=True)
def fill_up(s, n, count):
    """Make the rest of a block copies of its first pixel: valid, and without derivatives."""
    for i in range(count, BLOCK):
        s[RAY_X + i], s[RAY_Y + i] = s[RAY_X], s[RAY_Y]
        n[PIXEL + i], n[TRIANGLE + i] = n[PIXEL], n[TRIANGLE]
