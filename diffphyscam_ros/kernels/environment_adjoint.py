# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of the environment's mirrored light, and of looking at it directly.

See ``kernels/lighting.py`` and ``kernels/sampling.py`` for the forward pass.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    LIGHT_B,
    LIGHT_G,
    LIGHT_R,
    MIRROR_SEEN,
    TO_AIM_X,
    TO_AIM_Y,
    TO_AIM_Z,
    TO_B,
    TO_BASE_B,
    TO_BASE_G,
    TO_BASE_R,
    TO_COLUMN,
    TO_G,
    TO_LEAN,
    TO_METALLIC,
    TO_N_DOT_V,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_POSITION,
    TO_R,
    TO_ROUGHNESS,
    TO_ROW,
    TO_SEEN,
    TO_SPLIT_BIAS,
    TO_SPLIT_SCALE,
    TO_VIEW_X,
    TO_VIEW_Y,
    TO_VIEW_Z,
)
from diffphyscam_ros.kernels.arithmetic import HALF, INVERSE_PI, INVERSE_TWO_PI, ONE, TWO, ZERO
from diffphyscam_ros.kernels.bands import add_three
from diffphyscam_ros.kernels.lighting import (
    DIELECTRIC,
    OCCLUSION_SLOPE,
    place_in_table,
    SMALL_SEEN,
)
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    AIM_X,
    AIM_Y,
    AIM_Z,
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    LEAN,
    METALLIC,
    N_DOT_V,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    PLACE_A,
    PLACE_B,
    PLACE_C,
    PLACE_D,
    POSITION,
    ROUGHNESS,
    SEEN,
    SHARE_A,
    SHARE_B,
    SHARE_C,
    SHARE_D,
    SPECULAR_B,
    SPECULAR_G,
    SPECULAR_R,
    SPLIT_SCALE,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
)

LOG_2 = np.float32(math.log(2.0))
AT_POLE = np.float32(1e-20)


@kernel(fastmath=True)
def see_mirrored(s, partly):
    """Fill MIRROR_SEEN; all of it is seen unless ``partly``."""
    for i in range(BLOCK):
        s[MIRROR_SEEN + i] = ONE
    if partly:
        for i in range(BLOCK):
            seen, rough = s[SEEN + i], min(max(s[ROUGHNESS + i], ZERO), ONE)
            exponent = math.pow(TWO, OCCLUSION_SLOPE * rough - ONE)
            base = max(s[N_DOT_V + i] + seen, SMALL_SEEN)
            s[MIRROR_SEEN + i] = min(max(math.pow(base, exponent) - ONE + seen, ZERO), ONE)


@kernel(fastmath=True)
def _see_mirrored_adjoint(s, to_share):
    """Carry the derivatives by MIRROR_SEEN, at ``to_share``, back to what it is made of."""
    for i in range(BLOCK):
        seen, given = s[SEEN + i], s[ROUGHNESS + i]
        rough = min(max(given, ZERO), ONE)
        exponent = math.pow(TWO, OCCLUSION_SLOPE * rough - ONE)
        wide = s[N_DOT_V + i] + seen
        base = max(wide, SMALL_SEEN)
        power = math.pow(base, exponent)
        share = power - ONE + seen
        to = s[to_share + i] if share >= ZERO and share <= ONE else ZERO
        to_base = to * exponent * power / base if wide >= SMALL_SEEN else ZERO
        to_exponent = to * power * math.log(base)
        s[TO_SEEN + i] += to + to_base
        s[TO_N_DOT_V + i] += to_base
        slope = to_exponent * exponent * LOG_2 * OCCLUSION_SLOPE
        s[TO_ROUGHNESS + i] += slope if given >= ZERO and given <= ONE else ZERO


@kernel(fastmath=True)
def weigh_reflection_adjoint(s, n, table, intensity, partly, band, to_intensity):
    """Carry the derivatives by the mirrored light's weight back to material and angle.

    Reads LIGHT, the mirrored environment, MIRROR_SEEN, TO_LEAN and TO_POSITION.

    :param table: see ``kernels/lighting.py``.
    :param intensity: of the environment.
    :param partly: whether MIRROR_SEEN may be less than 1.
    :param to_intensity: (bands, 1) float64, added to at ``band``.
    """
    total = ZERO
    for i in range(BLOCK):
        seen = s[MIRROR_SEEN + i]
        r, g, b = (
            s[TO_R + i] * s[LIGHT_R + i],
            s[TO_G + i] * s[LIGHT_G + i],
            s[TO_B + i] * s[LIGHT_B + i],
        )
        mirrored = r * s[SPECULAR_R + i] + g * s[SPECULAR_G + i] + b * s[SPECULAR_B + i]
        total += mirrored * seen
        # No longer in use: the derivative by MIRROR_SEEN.
        s[TO_COLUMN + i] = mirrored * intensity
        share = seen * intensity
        r, g, b = r * share, g * share, b * share
        metal, scale = s[METALLIC + i], s[SPLIT_SCALE + i]
        away_r, away_g = s[BASE_R + i] - DIELECTRIC, s[BASE_G + i] - DIELECTRIC
        away_b = s[BASE_B + i] - DIELECTRIC
        mean = r * away_r + g * away_g + b * away_b
        s[TO_SPLIT_BIAS + i] = r + g + b
        s[TO_SPLIT_SCALE + i] = DIELECTRIC * (r + g + b) + metal * mean
        s[TO_BASE_R + i] += r * scale * metal
        s[TO_BASE_G + i] += g * scale * metal
        s[TO_BASE_B + i] += b * scale * metal
        s[TO_METALLIC + i] += scale * mean
    to_intensity[band, 0] += total
    if partly:
        _see_mirrored_adjoint(s, TO_COLUMN)
    _table_adjoint(s, n, table)


@kernel(fastmath=True)
def _table_adjoint(s, n, table):
    """Carry the derivatives by the table's numbers back to angle and roughness."""
    place_in_table(s, n, np.int32(table.shape[0]))
    last = np.float32(table.shape[0] - 1)
    for i in range(BLOCK):
        j, k = np.uint32(n[PLACE_A + i]), np.uint32(n[PLACE_B + i])
        da, db = s[SHARE_A + i], s[SHARE_B + i]
        to_row, to_column = ZERO, ZERO
        for number in range(4):
            to = s[np.uint32(TO_SPLIT_SCALE + number * BLOCK + i)]
            upper, lower = table[j, k, number], table[j + 1, k, number]
            across = table[j, k + 1, number] - upper
            below = table[j + 1, k + 1, number] - lower
            first, second = upper + db * across, lower + db * below
            to_row += to * (second - first)
            to_column += to * (across + da * (below - across))
        s[TO_ROW + i], s[TO_COLUMN + i] = to_row, to_column
    for i in range(BLOCK):
        root, given = math.sqrt(s[N_DOT_V + i]), s[ROUGHNESS + i]
        s[TO_N_DOT_V + i] += s[TO_ROW + i] * last * HALF / root if root <= ONE else ZERO
        s[TO_ROUGHNESS + i] += s[TO_COLUMN + i] * last if given >= ZERO and given <= ONE else ZERO


@kernel(fastmath=True)
def uniform_environment_adjoint(s, glossy, intensity, band, to_glossy, flags, wanted):
    """Fill LIGHT with the one colour of a uniform environment, and give it its derivative."""
    red, green, blue = glossy[0, 0], glossy[0, 1], glossy[0, 2]
    for i in range(BLOCK):
        s[TO_LEAN + i] = s[TO_POSITION + i] = ZERO
        s[LIGHT_R + i], s[LIGHT_G + i], s[LIGHT_B + i] = red, green, blue
    if wanted:
        r, g, b = ZERO, ZERO, ZERO
        for i in range(BLOCK):
            share = intensity * s[MIRROR_SEEN + i]
            r += share * s[SPECULAR_R + i] * s[TO_R + i]
            g += share * s[SPECULAR_G + i] * s[TO_G + i]
            b += share * s[SPECULAR_B + i] * s[TO_B + i]
        add_three(to_glossy, flags, band, np.uint32(0), r, g, b)


@kernel(fastmath=True)
def mirrored_environment_adjoint(
    s, n, glossy, size, levels, intensity, band, to_glossy, flags, wanted
):
    """Fill LIGHT, TO_COLUMN, TO_ROW and TO_POSITION.

    Reads PLACE and SHARE of where AIM points.

    :param to_glossy: (bands, L·h·w, 3) float32 and its ``flags``, used where ``wanted``.
    """
    last = np.float32(levels - 1)
    for i in range(BLOCK):
        given = s[POSITION + i]
        position = min(max(given, ZERO), ONE) * last
        level = min(max(np.int32(position), 0), levels - 2)
        share = position - np.float32(level)
        first = np.uint32(level * size)
        a, b = first + np.uint32(n[PLACE_A + i]), first + np.uint32(n[PLACE_B + i])
        c, d = first + np.uint32(n[PLACE_C + i]), first + np.uint32(n[PLACE_D + i])
        wa, wb, wc, wd = s[SHARE_A + i], s[SHARE_B + i], s[SHARE_C + i], s[SHARE_D + i]
        dx, dy = wb + wd, wc + wd
        step = np.uint32(size)
        weight = intensity * s[MIRROR_SEEN + i]
        by_column, by_row, by_level = ZERO, ZERO, ZERO
        for channel in range(3):
            pa, pb = glossy[a, channel], glossy[b, channel]
            pc, pd = glossy[c, channel], glossy[d, channel]
            qa, qb = glossy[a + step, channel], glossy[b + step, channel]
            qc, qd = glossy[c + step, channel], glossy[d + step, channel]
            to = weight * s[TO_R + channel * BLOCK + i] * s[SPECULAR_R + channel * BLOCK + i]
            near = wa * pa + wb * pb + wc * pc + wd * pd
            far = wa * qa + wb * qb + wc * qc + wd * qd
            s[LIGHT_R + channel * BLOCK + i] = near + share * (far - near)
            by_level += to * (far - near)
            pa, pb = pa + share * (qa - pa), pb + share * (qb - pb)
            pc, pd = pc + share * (qc - pc), pd + share * (qd - pd)
            by_column += to * ((ONE - dy) * (pb - pa) + dy * (pd - pc))
            by_row += to * ((ONE - dx) * (pc - pa) + dx * (pd - pb))
        s[TO_COLUMN + i], s[TO_ROW + i] = by_column, by_row
        s[TO_POSITION + i] = by_level * last if given >= ZERO and given <= ONE else ZERO
        if wanted:
            r = weight * s[TO_R + i] * s[SPECULAR_R + i]
            g = weight * s[TO_G + i] * s[SPECULAR_G + i]
            blue = weight * s[TO_B + i] * s[SPECULAR_B + i]
            part = ONE - share
            for _ in range(2):
                shares = (wa * part, wb * part, wc * part, wd * part)
                add_four(to_glossy, flags, band, a, b, c, d, shares, r, g, blue)
                a, b, c, d, part = a + step, b + step, c + step, d + step, share


@kernel(fastmath=True, inline=True)
def add_four(table, flags, band, a, b, c, d, shares, red, green, blue):
    """Add a colour to four rows, each its share."""
    add_three(table, flags, band, a, shares[0] * red, shares[0] * green, shares[0] * blue)
    add_three(table, flags, band, b, shares[1] * red, shares[1] * green, shares[1] * blue)
    add_three(table, flags, band, c, shares[2] * red, shares[2] * green, shares[2] * blue)
    add_three(table, flags, band, d, shares[3] * red, shares[3] * green, shares[3] * blue)


@kernel(fastmath=True)
def picture_adjoint(
    s, n, count, picture, intensity, band, to_picture, flags, wanted, to_intensity
):
    """Fill TO_COLUMN and TO_ROW for pixels that look at the environment's picture.

    Reads PLACE and SHARE of where AIM points.

    :param to_intensity: (bands, 1) float64, added to at ``band``.
    """
    total = ZERO
    for i in range(count):
        a, b = np.uint32(n[PLACE_A + i]), np.uint32(n[PLACE_B + i])
        c, d = np.uint32(n[PLACE_C + i]), np.uint32(n[PLACE_D + i])
        wa, wb, wc, wd = s[SHARE_A + i], s[SHARE_B + i], s[SHARE_C + i], s[SHARE_D + i]
        dx, dy = wb + wd, wc + wd
        by_column, by_row = ZERO, ZERO
        for channel in range(3):
            to = intensity * s[TO_R + channel * BLOCK + i]
            pa, pb = picture[a, channel], picture[b, channel]
            pc, pd = picture[c, channel], picture[d, channel]
            seen = wa * pa + wb * pb + wc * pc + wd * pd
            total += s[TO_R + channel * BLOCK + i] * seen
            by_column += to * ((ONE - dy) * (pb - pa) + dy * (pd - pc))
            by_row += to * ((ONE - dx) * (pc - pa) + dx * (pd - pb))
        s[TO_COLUMN + i], s[TO_ROW + i] = by_column, by_row
        if wanted:
            r, g, blue = s[TO_R + i], s[TO_G + i], s[TO_B + i]
            shares = (wa * intensity, wb * intensity, wc * intensity, wd * intensity)
            add_four(to_picture, flags, band, a, b, c, d, shares, r, g, blue)
    to_intensity[band, 0] += total


@kernel(fastmath=True)
def aim_at_latlong_adjoint(s, count, turn, width, height, band, to_turn):
    """Carry TO_COLUMN and TO_ROW back to AIM, into TO_AIM, and to the turn.

    :param to_turn: (bands, 3, 3) float64, added to at ``band``.
    """
    r00, r01, r02 = turn[0, 0], turn[0, 1], turn[0, 2]
    r10, r11, r12 = turn[1, 0], turn[1, 1], turn[1, 2]
    r20, r21, r22 = turn[2, 0], turn[2, 1], turn[2, 2]
    around, down = -np.float32(width) * INVERSE_TWO_PI, np.float32(height) * INVERSE_PI
    t00, t01, t02, t10, t11, t12 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    t20, t21, t22 = ZERO, ZERO, ZERO
    for i in range(count, BLOCK):
        s[TO_COLUMN + i] = s[TO_ROW + i] = ZERO
    for i in range(BLOCK):
        x, y, z = s[AIM_X + i], s[AIM_Y + i], s[AIM_Z + i]
        ex, ey = r00 * x + r01 * y + r02 * z, r10 * x + r11 * y + r12 * z
        ez = r20 * x + r21 * y + r22 * z
        square = ex * ex + ey * ey
        upright = square < AT_POLE  # the azimuth is undefined there
        inverse = ONE / max(square, AT_POLE)
        across = math.sqrt(square)
        to_azimuth = s[TO_COLUMN + i] * around * inverse
        to_polar = s[TO_ROW + i] * down / max(square + ez * ez, AT_POLE)
        radial = to_polar * ez * math.sqrt(inverse)
        to_x = ZERO if upright else radial * ex - to_azimuth * ey
        to_y = ZERO if upright else radial * ey + to_azimuth * ex
        to_z = ZERO if upright else -to_polar * across
        s[TO_AIM_X + i] = r00 * to_x + r10 * to_y + r20 * to_z
        s[TO_AIM_Y + i] = r01 * to_x + r11 * to_y + r21 * to_z
        s[TO_AIM_Z + i] = r02 * to_x + r12 * to_y + r22 * to_z
        t00, t01, t02 = t00 + to_x * x, t01 + to_x * y, t02 + to_x * z
        t10, t11, t12 = t10 + to_y * x, t11 + to_y * y, t12 + to_y * z
        t20, t21, t22 = t20 + to_z * x, t21 + to_z * y, t22 + to_z * z
    to_turn[band, 0, 0] += t00
    to_turn[band, 0, 1] += t01
    to_turn[band, 0, 2] += t02
    to_turn[band, 1, 0] += t10
    to_turn[band, 1, 1] += t11
    to_turn[band, 1, 2] += t12
    to_turn[band, 2, 0] += t20
    to_turn[band, 2, 1] += t21
    to_turn[band, 2, 2] += t22


@kernel(fastmath=True)
def aim_reflection_adjoint(s):
    """Carry TO_AIM, where most mirrored light comes from, back to normal and view; set TO_LEAN."""
    for i in range(BLOCK):
        nx, ny, nz = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        vx, vy, vz = s[VIEW_X + i], s[VIEW_Y + i], s[VIEW_Z + i]
        tx, ty, tz = s[TO_AIM_X + i], s[TO_AIM_Y + i], s[TO_AIM_Z + i]
        facing = nx * vx + ny * vy + nz * vz
        lean = s[LEAN + i]
        n_dot_to = nx * tx + ny * ty + nz * tz
        v_dot_to = vx * tx + vy * ty + vz * tz
        s[TO_LEAN + i] = TWO * facing * n_dot_to - v_dot_to - n_dot_to
        own = ONE - lean + TWO * lean * facing
        twice = TWO * lean * n_dot_to
        s[TO_NORMAL_X + i] += own * tx + twice * vx
        s[TO_NORMAL_Y + i] += own * ty + twice * vy
        s[TO_NORMAL_Z + i] += own * tz + twice * vz
        s[TO_VIEW_X + i] += twice * nx - lean * tx
        s[TO_VIEW_Y + i] += twice * ny - lean * ty
        s[TO_VIEW_Z + i] += twice * nz - lean * tz
