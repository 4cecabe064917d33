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
from diffphyscam_ros.kernels.rows import add_fours, mix_fours
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import (
    find_textures,
    list_stretched,
    open_lanes,
    open_levels,
    place_lanes,
    place_texels,
    share_of_tap,
    shares_of,
    texels_of,
)
from diffphyscam_ros.kernels.scratch import (
    HEIGHT,
    ITEM,
    LANE,
    LANE_TAP,
    SHARE,
    STRETCH,
    WIDTH,
)


@kernel(fastmath=True, inline=True)
def _to_texels(s, i, places, shares, band, to_atlas, atlas_flags):
    """Add to the four texels of one tap their shares of what TO_TEXEL of a pixel says."""
    a, b, c, d = places
    touch(atlas_flags, band, a)
    touch(atlas_flags, band, b)
    touch(atlas_flags, band, c)
    touch(atlas_flags, band, d)
    first = np.uint64(band) * np.uint64(to_atlas.shape[1])
    rows = first + np.uint64(a), first + np.uint64(b), first + np.uint64(c), first + np.uint64(d)
    to = s[TO_TEXEL_R + i], s[TO_TEXEL_G + i], s[TO_TEXEL_B + i], s[TO_TEXEL_A + i]
    add_fours(to_atlas, rows, shares, to)


@kernel(fastmath=True, inline=True)
def _to_coordinates(s, i, places, shares, width, height, atlas):
    """Add to TO_U and TO_V of a pixel what the slopes at one tap say."""
    wa, wb, wc, wd = shares
    upper, lower, left, right = wa + wb, wc + wd, wa + wc, wb + wd
    to = s[TO_TEXEL_R + i], s[TO_TEXEL_G + i], s[TO_TEXEL_B + i], s[TO_TEXEL_A + i]
    slope = mix_fours(atlas, places, (-upper, upper, -lower, lower))
    by_x = to[0] * slope[0] + to[1] * slope[1] + to[2] * slope[2] + to[3] * slope[3]
    slope = mix_fours(atlas, places, (-left, -right, left, right))
    by_y = to[0] * slope[0] + to[1] * slope[1] + to[2] * slope[2] + to[3] * slope[3]
    s[TO_U + i] += np.float32(width) * by_x
    s[TO_V + i] += np.float32(height) * by_y


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
            places, (wa, wb, wc, wd) = texels_of(n, i), shares_of(s, i)
            shares = share * wa, share * wb, share * wc, share * wd
            if wants_atlas:
                _to_texels(s, i, places, shares, band, to_atlas, atlas_flags)
            if wants_uv:
                _to_coordinates(s, i, places, shares, n[WIDTH + i], n[HEIGHT + i], atlas)
        if not mixed:
            break
    if not stretched:
        return
    lanes, farthest = list_stretched(s, n, count)
    for step in range(2):
        open_lanes(s, n, lanes, flags, column, levels, step)
        for number in range(-farthest, farthest + 1):
            if number == 0:
                continue
            place_lanes(s, n, lanes, np.float32(number))
            for lane in range(lanes):
                i = np.uint32(n[LANE + lane])
                if s[LANE_TAP + lane] == ZERO or flags[np.uint32(n[ITEM + i]), column] < 0:
                    continue
                places, shares = texels_of(n, lane), shares_of(s, lane)
                if wants_atlas:
                    _to_texels(s, i, places, shares, band, to_atlas, atlas_flags)
                if wants_uv:
                    width, height = n[WIDTH + lane], n[HEIGHT + lane]
                    _to_coordinates(s, i, places, shares, width, height, atlas)
