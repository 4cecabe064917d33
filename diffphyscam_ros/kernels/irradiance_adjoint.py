# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The adjoint of diffuse light from the environment: a polynomial of degree 6 in the normal.

The polynomial is a form P of degree 6 and a linear part (``scene/irradiance.py``). Its slopes are
forms of degree 5, and x·∂P/∂x + y·∂P/∂y + z·∂P/∂z = 6·P gives its value from them.
"""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    MONOMIALS,
    SLOPE_X,
    SLOPE_Y,
    SLOPE_Z,
    SLOPES,
    TO_BASE_R,
    TO_LIGHT,
    TO_METALLIC,
    TO_N_DOT_V,
    TO_NORMAL_X,
    TO_NORMAL_Y,
    TO_NORMAL_Z,
    TO_R,
    TO_SEEN,
)
from diffphyscam_ros.kernels.arithmetic import INVERSE_PI, ONE, TWO, ZERO
from diffphyscam_ros.kernels.lighting import (
    DIELECTRIC,
    MIRRORED_0,
    MIRRORED_1,
    MIRRORED_2,
    MIRRORED_3,
)
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.scratch import (
    BASE_R,
    BLOCK,
    METALLIC,
    N_DOT_V,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    SEEN,
)


def _exponents(degree: int) -> list[tuple[int, int, int]]:
    """Return the powers of x, y and z in the monomials, by rising powers of z and y."""
    return [(degree - k - j, j, k) for k in range(degree + 1) for j in range(degree + 1 - k)]


_FIVE, _SIX = _exponents(5), _exponents(6)
_UNITS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_RAISED = [
    [_SIX.index((a + i, b + j, c + k)) for a, b, c in _FIVE] for i, j, k in _UNITS
]  # fmt: skip
_POWERS = [[exponents[axis] + 1 for exponents in _FIVE] for axis in range(3)]
COUNT = len(_FIVE)
RAISED = np.array(_RAISED, np.int64)
"""(3, 21): which monomial of degree 6 one of degree 5 becomes, multiplied by x, y or z."""
POWERS = np.array(_POWERS, np.float32)
"""(3, 21): its power of x, y or z then."""
LOWERED = np.array(
    [
        next((axis, _RAISED[axis].index(number)) for axis in range(3) if number in _RAISED[axis])
        for number in range(len(_SIX))
    ],
    np.int64,
)
"""(28, 2): x, y or z, and the monomial of degree 5, of which one of degree 6 is the product."""
SIXTH = np.float32(1.0 / 6.0)
THREE = np.float32(3.0)


@kernel()
def keep_slopes(s, polynomial):
    """Fill SLOPES, which do not depend on the pixel.

    :param polynomial: (31, 3) float32: x, y, z, then the 28 monomials of degree 6.
    """
    for channel in range(3):
        for axis in range(3):
            for number in range(COUNT):
                factor = polynomial[3 + RAISED[axis, number], channel]
                place = SLOPES + (3 * channel + axis) * COUNT + number
                s[place] = POWERS[axis, number] * factor


@kernel(fastmath=True)
def _fill_monomials(s):
    """Fill MONOMIALS, of degree 5 in the normals."""
    for i in range(BLOCK):
        x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        x2, y2, z2 = x * x, y * y, z * z
        x3, y3, z3 = x2 * x, y2 * y, z2 * z
        x4, y4, z4 = x2 * x2, y2 * y2, z2 * z2
        x5, y5, z5 = x4 * x, y4 * y, z4 * z
        s[MONOMIALS + 0 * BLOCK + i] = x5
        s[MONOMIALS + 1 * BLOCK + i] = x4 * y
        s[MONOMIALS + 2 * BLOCK + i] = x3 * y2
        s[MONOMIALS + 3 * BLOCK + i] = x2 * y3
        s[MONOMIALS + 4 * BLOCK + i] = x * y4
        s[MONOMIALS + 5 * BLOCK + i] = y5
        s[MONOMIALS + 6 * BLOCK + i] = x4 * z
        s[MONOMIALS + 7 * BLOCK + i] = x3 * y * z
        s[MONOMIALS + 8 * BLOCK + i] = x2 * y2 * z
        s[MONOMIALS + 9 * BLOCK + i] = x * y3 * z
        s[MONOMIALS + 10 * BLOCK + i] = y4 * z
        s[MONOMIALS + 11 * BLOCK + i] = x3 * z2
        s[MONOMIALS + 12 * BLOCK + i] = x2 * y * z2
        s[MONOMIALS + 13 * BLOCK + i] = x * y2 * z2
        s[MONOMIALS + 14 * BLOCK + i] = y3 * z2
        s[MONOMIALS + 15 * BLOCK + i] = x2 * z3
        s[MONOMIALS + 16 * BLOCK + i] = x * y * z3
        s[MONOMIALS + 17 * BLOCK + i] = y2 * z3
        s[MONOMIALS + 18 * BLOCK + i] = x * z4
        s[MONOMIALS + 19 * BLOCK + i] = y * z4
        s[MONOMIALS + 20 * BLOCK + i] = z5


@kernel(fastmath=True)
def _fill_slopes(s, channel):
    """Fill SLOPE with the slopes of the form of degree 6."""
    for i in range(BLOCK):
        s[SLOPE_X + i] = s[SLOPE_Y + i] = s[SLOPE_Z + i] = ZERO
    first = SLOPES + 3 * channel * COUNT
    for number in range(COUNT):
        kx, ky = s[first + number], s[first + COUNT + number]
        kz = s[first + 2 * COUNT + number]
        monomial = MONOMIALS + number * BLOCK
        for i in range(BLOCK):
            value = s[monomial + i]
            s[SLOPE_X + i] += kx * value
            s[SLOPE_Y + i] += ky * value
            s[SLOPE_Z + i] += kz * value


@kernel(fastmath=True)
def _to_polynomial(s, band, to_polynomial):
    """Add to the polynomial's derivative, from TO_LIGHT and MONOMIALS."""
    for axis in range(3):
        for channel in range(3):
            total = ZERO
            for i in range(BLOCK):
                total += s[TO_LIGHT + (3 * channel + axis) * BLOCK + i]
            to_polynomial[band, axis, channel] += total
    for number in range(LOWERED.shape[0]):
        to_light = TO_LIGHT + LOWERED[number, 0] * BLOCK
        monomial = MONOMIALS + LOWERED[number, 1] * BLOCK
        r, g, b = ZERO, ZERO, ZERO
        for i in range(BLOCK):
            value = s[monomial + i]
            r += value * s[to_light + i]
            g += value * s[to_light + 3 * BLOCK + i]
            b += value * s[to_light + 6 * BLOCK + i]
        to_polynomial[band, 3 + number, 0] += r
        to_polynomial[band, 3 + number, 1] += g
        to_polynomial[band, 3 + number, 2] += b


@kernel(fastmath=True)
def add_diffuse_environment_adjoint(s, polynomial, band, to_polynomial, wanted):
    """Carry the derivatives back through the environment's diffuse reflection.

    Reads what :func:`keep_slopes` has filled.

    :param polynomial: (31, 3) float32.
    :param to_polynomial: (bands, 31, 3) float64, added to at ``band`` where ``wanted``.
    """
    _fill_monomials(s)
    for channel in range(3):
        _fill_slopes(s, channel)
        base, to_base, to_out = (
            BASE_R + channel * BLOCK,
            TO_BASE_R + channel * BLOCK,
            TO_R + channel * BLOCK,
        )
        k0, k1, k2 = polynomial[0, channel], polynomial[1, channel], polynomial[2, channel]
        product = TO_LIGHT + 3 * channel * BLOCK
        for i in range(BLOCK):
            x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
            sx, sy, sz = s[SLOPE_X + i], s[SLOPE_Y + i], s[SLOPE_Z + i]
            light = SIXTH * (x * sx + y * sy + z * sz) + k0 * x + k1 * y + k2 * z
            lit = light >= ZERO
            light = light if lit else ZERO
            c, metal, albedo = s[N_DOT_V + i], s[METALLIC + i], s[base + i]
            mirrored = MIRRORED_0 + c * (MIRRORED_1 + c * (MIRRORED_2 + c * MIRRORED_3))
            f0 = DIELECTRIC + (albedo - DIELECTRIC) * metal
            rough, less, rest = ONE - metal, ONE - f0, ONE - mirrored
            seen = s[SEEN + i]
            to = s[to_out + i] * INVERSE_PI
            part = to * albedo * rough * less * rest
            to_light = part * seen if lit else ZERO
            s[TO_SEEN + i] += part * light
            to = to * light * seen
            to_f0 = -to * albedo * rough * rest
            s[to_base + i] += to * rough * less * rest + to_f0 * metal
            s[TO_METALLIC + i] += to_f0 * (albedo - DIELECTRIC) - to * albedo * less * rest
            slope = MIRRORED_1 + c * (TWO * MIRRORED_2 + c * THREE * MIRRORED_3)
            s[TO_N_DOT_V + i] -= to * albedo * rough * less * slope
            s[TO_NORMAL_X + i] += to_light * (sx + k0)
            s[TO_NORMAL_Y + i] += to_light * (sy + k1)
            s[TO_NORMAL_Z + i] += to_light * (sz + k2)
            s[product + i] = to_light * x
            s[product + BLOCK + i] = to_light * y
            s[product + 2 * BLOCK + i] = to_light * z
    if wanted:
        _to_polynomial(s, band, to_polynomial)
