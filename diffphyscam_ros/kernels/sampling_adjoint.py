# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of looking up textures (``kernels/sampling.py``): to texels and coordinates.

As in torch, neither the level of detail nor the taps' places about a pixel carry a gradient.
"""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    TO_TEXEL_A,
    TO_TEXEL_B,
    TO_TEXEL_G,
    TO_TEXEL_R,
    TO_U,
    TO_V,
)
from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.bands import touch
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import (
    find_textures,
    open_levels,
    place_texel,
    place_texels,
    reach_of,
    share_of_tap,
)
from diffphyscam_ros.kernels.scratch import (
    HEIGHT,
    ITEM,
    PLACE_A,
    PLACE_B,
    PLACE_C,
    PLACE_D,
    SHARE,
    SHARE_A,
    SHARE_B,
    SHARE_C,
    SHARE_D,
    STRETCH,
    WIDTH,
)


@kernel(fastmath=True, inline=True)
def _to_texels(s, n, i, share, band, to_atlas, atlas_flags):
    """Add to the four texels of one tap of a pixel a share of what TO_TEXEL says."""
    r, g = share * s[TO_TEXEL_R + i], share * s[TO_TEXEL_G + i]
    b, alpha = share * s[TO_TEXEL_B + i], share * s[TO_TEXEL_A + i]
    for corner in range(4):
        place = np.uint32(n[PLACE_A + corner * (PLACE_B - PLACE_A) + i])
        weight = s[SHARE_A + corner * (SHARE_B - SHARE_A) + i]
        touch(atlas_flags, band, place)
        to_atlas[band, place, 0] += weight * r
        to_atlas[band, place, 1] += weight * g
        to_atlas[band, place, 2] += weight * b
        to_atlas[band, place, 3] += weight * alpha


@kernel(fastmath=True, inline=True)
def _to_coordinates(s, n, i, share, atlas):
    """Add to TO_U and TO_V of a pixel a share of what the slopes at one tap say."""
    a, b = np.uint32(n[PLACE_A + i]), np.uint32(n[PLACE_B + i])
    c, d = np.uint32(n[PLACE_C + i]), np.uint32(n[PLACE_D + i])
    wd = s[SHARE_D + i]
    dx, dy = s[SHARE_B + i] + wd, s[SHARE_C + i] + wd
    by_x, by_y = ZERO, ZERO
    for channel in range(4):
        to = s[TO_TEXEL_R + channel * (TO_TEXEL_G - TO_TEXEL_R) + i]
        pa, pb = atlas[a, channel], atlas[b, channel]
        pc, pd = atlas[c, channel], atlas[d, channel]
        by_x += to * ((ONE - dy) * (pb - pa) + dy * (pd - pc))
        by_y += to * ((ONE - dx) * (pc - pa) + dx * (pd - pb))
    s[TO_U + i] += share * np.float32(n[WIDTH + i]) * by_x
    s[TO_V + i] += share * np.float32(n[HEIGHT + i]) * by_y


@kernel(fastmath=True)
def sample_textures_adjoint(
    s,
    n,
    count,
    runs,
    flags,
    column,
    atlas,
    levels,
    counts,
    band,
    to_atlas,
    atlas_flags,
    wants_atlas,
    wants_uv,
):
    """Carry TO_TEXEL back through the filtered look-up of one kind of texture.

    Reads U, V and their changes; adds to TO_U and TO_V where ``wants_uv``. Pixels without a
    texture of this kind give nothing.

    :param runs: number of runs, see ``surface.locate``.
    :param column: of the flags, with the texture's number.
    :param to_atlas: (bands, N, 4) float32 and its ``atlas_flags``, added to at ``band`` where
        ``wants_atlas``.
    """
    stretched = find_textures(s, n, count, runs, flags, column, levels, counts)
    for step in range(2):
        mixed = open_levels(s, n, count, runs, flags, column, levels, step)
        place_texels(s, n)  # of the middle taps, for all pixels at once
        for i in range(count):
            share = s[SHARE + i] if step == 1 else ONE - s[SHARE + i]
            if share == ZERO or flags[np.uint32(n[ITEM + i]), column] < 0:
                continue
            share *= share_of_tap(s[STRETCH + i], ZERO)
            if wants_atlas:
                _to_texels(s, n, i, share, band, to_atlas, atlas_flags)
            if wants_uv:
                _to_coordinates(s, n, i, share, atlas)
        if stretched:
            for i in range(count):
                stretch, level = s[STRETCH + i], s[SHARE + i] if step == 1 else ONE - s[SHARE + i]
                reach = reach_of(stretch)
                if level == ZERO or reach == 0 or flags[np.uint32(n[ITEM + i]), column] < 0:
                    continue
                for number in range(-reach, reach + 1):
                    if number == 0:
                        continue
                    tap = np.float32(number)
                    place_texel(s, n, i, tap)
                    share = level * share_of_tap(stretch, tap)
                    if wants_atlas:
                        _to_texels(s, n, i, share, band, to_atlas, atlas_flags)
                    if wants_uv:
                        _to_coordinates(s, n, i, share, atlas)
        if not mixed:
            break
