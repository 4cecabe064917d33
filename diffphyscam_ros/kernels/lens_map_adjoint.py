# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What moves the places of a lens: gradients by positions pulled back to the numbers of a lens.

The lens model D maps the ray x to the distorted point q = D(x; k). Where q is given, x moves by
the implicit function theorem: dx = J⁻¹(dq − ∂D/∂k dk), J = ∂D/∂x, which is symmetric for all three
models. So a gradient g by x is λ = J⁻¹g by q, and −λ·∂D/∂k by k.
"""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.arithmetic import arc_tangent
from diffphyscam_ros.kernels.lens_map import (
    CURVE,
    CX,
    CY,
    EQUIDISTANT,
    FX,
    FY,
    LENS,
    NONE,
    SCALE,
    SOURCE_CX,
    SOURCE_CY,
    SOURCE_FX,
    SOURCE_FY,
)
from diffphyscam_ros.kernels.runtime import kernel

F32 = np.float32
_ZERO, _ONE, _TWO, _THREE = F32(0.0), F32(1.0), F32(2.0), F32(3.0)
_SUMMED = {'contract', 'reassoc', 'nsz'}
_NEAR = F32(1e-10)
_THIRD, _STEEPEST = F32(1.0 / 3.0), F32(1e-6)


@kernel(fastmath=_SUMMED)
def pull_source(numbers, ray_x, ray_y, by_u, by_v, sums):  # type: ignore[no-untyped-def]
    """Add the gradients by the source's pinhole; make those by u and v ones by the ray."""
    fx, fy = F32(numbers[SOURCE_FX]), F32(numbers[SOURCE_FY])
    a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(by_u.size):
        a += by_u[i] * ray_x[i]
        b += by_v[i] * ray_y[i]
        c += by_u[i]
        d += by_v[i]
        by_u[i] *= fx
        by_v[i] *= fy
    sums[SOURCE_FX] += a
    sums[SOURCE_FY] += b
    sums[SOURCE_CX] += c
    sums[SOURCE_CY] += d


@kernel(fastmath=_SUMMED)
def pull_polynomial(numbers, ray_x, ray_y, by_x, by_y, point_x, point_y, sums):  # type: ignore[no-untyped-def]
    """Pull gradients by rays back to distorted points, in place, and to the coefficients.

    plumb_bob and rational_polynomial. Sets also the distorted points.
    """
    k1, k2, p1, p2 = (
        F32(numbers[LENS]),
        F32(numbers[LENS + 1]),
        F32(numbers[LENS + 2]),
        F32(numbers[LENS + 3]),
    )
    k3, k4, k5, k6 = (
        F32(numbers[LENS + 4]),
        F32(numbers[LENS + 5]),
        F32(numbers[LENS + 6]),
        F32(numbers[LENS + 7]),
    )
    a1, a2, a3, a4, a5, a6, a7, a8 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(ray_x.size):
        x, y = ray_x[i], ray_y[i]
        s = x * x + y * y
        over = _ONE / (_ONE + s * (k4 + s * (k5 + s * k6)))
        scale = (_ONE + s * (k1 + s * (k2 + s * k3))) * over
        slope = k1 + s * (_TWO * k2 + s * _THREE * k3)
        slope = (slope - scale * (k4 + s * (_TWO * k5 + s * _THREE * k6))) * over
        point_x[i] = x * scale + _TWO * p1 * x * y + p2 * (s + _TWO * x * x)
        point_y[i] = y * scale + p1 * (s + _TWO * y * y) + _TWO * p2 * x * y
        xx = scale + _TWO * x * x * slope + _TWO * p1 * y + F32(6.0) * p2 * x
        xy = _TWO * x * y * slope + _TWO * p1 * x + _TWO * p2 * y
        yy = scale + _TWO * y * y * slope + F32(6.0) * p1 * y + _TWO * p2 * x
        # Exactly at a fold the place moves infinitely fast: held to a million times.
        determinant = max(xx * yy - xy * xy, _STEEPEST)
        force_x = (yy * by_x[i] - xy * by_y[i]) / determinant
        force_y = (xx * by_y[i] - xy * by_x[i]) / determinant
        by_x[i], by_y[i] = force_x, force_y
        along = (force_x * x + force_y * y) * over
        a1 -= along * s
        a2 -= along * s * s
        a3 -= force_x * _TWO * x * y + force_y * (s + _TWO * y * y)
        a4 -= force_x * (s + _TWO * x * x) + force_y * _TWO * x * y
        a5 -= along * s * s * s
        a6 += along * scale * s
        a7 += along * scale * s * s
        a8 += along * scale * s * s * s
    sums[LENS] += a1
    sums[LENS + 1] += a2
    sums[LENS + 2] += a3
    sums[LENS + 3] += a4
    sums[LENS + 4] += a5
    sums[LENS + 5] += a6
    sums[LENS + 6] += a7
    sums[LENS + 7] += a8


@kernel(fastmath=_SUMMED)
def pull_equidistant(numbers, ray_x, ray_y, by_x, by_y, point_x, point_y, sums):  # type: ignore[no-untyped-def]
    """Do the same for the equidistant model, whose J is radial."""
    k1, k2, k3, k4 = (
        F32(numbers[LENS]),
        F32(numbers[LENS + 1]),
        F32(numbers[LENS + 2]),
        F32(numbers[LENS + 3]),
    )
    a1, a2, a3, a4 = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(ray_x.size):
        x, y = ray_x[i], ray_y[i]
        s = x * x + y * y
        near = s < _NEAR
        square = _ONE if near else s
        r = F32(np.sqrt(square))
        theta = arc_tangent(r, _ONE)
        t = theta * theta
        distorted = theta * (_ONE + t * (k1 + t * (k2 + t * (k3 + t * k4))))
        rate = _ONE + t * (
            _THREE * k1 + t * (F32(5.0) * k2 + t * (F32(7.0) * k3 + t * F32(9.0) * k4))
        )
        scale = _ONE if near else distorted / r
        along_rate = _ONE if near else max(rate / (_ONE + square), _STEEPEST)
        point_x[i], point_y[i] = x * scale, y * scale
        # J = scale across the radius, along_rate along it.
        along = _ZERO if near else (by_x[i] * x + by_y[i] * y) / square
        across = _ONE / max(scale, _STEEPEST)
        change = along / along_rate - along * across
        force_x, force_y = by_x[i] * across + x * change, by_y[i] * across + y * change
        by_x[i], by_y[i] = force_x, force_y
        force = _ZERO if near else theta * t / r * (force_x * x + force_y * y)
        a1 -= force
        a2 -= force * t
        a3 -= force * t * t
        a4 -= force * t * t * t
    sums[LENS] += a1
    sums[LENS + 1] += a2
    sums[LENS + 2] += a3
    sums[LENS + 3] += a4


@kernel(fastmath=_SUMMED)
def pull_colour(numbers, row, point_x, point_y, by_x, by_y, sums):  # type: ignore[no-untyped-def]
    """Pull gradients by distorted points back to the points as the colour shows them.

    With q = p·φ/scale and φ·(1 + bend·φ²) = 1, bend = curve·|p|²/scale³.
    """
    over = F32(1.0 / numbers[SCALE])
    curve = F32(numbers[CURVE])
    cubed = over * over * over
    y = F32((row - numbers[CY]) / numbers[FY])
    cx, over_fx = F32(numbers[CX]), F32(1.0 / numbers[FX])
    by_scale, by_curve = _ZERO, _ZERO
    for i in range(by_x.size):
        x = (F32(i) - cx) * over_fx
        s = x * x + y * y
        near = s < _NEAR
        square = _ONE if near else s
        factor = over if near else (point_x[i] * x + point_y[i] * y) / square
        phi = factor / over
        bend = curve * s * cubed
        turn = -phi * phi * phi / max(_ONE + _THREE * bend * phi * phi, _STEEPEST)
        force = by_x[i] * x + by_y[i] * y
        by_scale -= force * over * over * (phi + _THREE * turn * bend)
        by_curve += force * turn * s * cubed * over
        change = _TWO * force * turn * curve * cubed * over
        by_x[i] = by_x[i] * factor + x * change
        by_y[i] = by_y[i] * factor + y * change
    sums[SCALE] += by_scale
    sums[CURVE] += by_curve


@kernel(fastmath=_SUMMED)
def pull_target(numbers, row, by_x, by_y, sums):  # type: ignore[no-untyped-def]
    """Add the gradients by the target's pinhole from those by the points of its pixels."""
    cx, over_fx, over_fy = F32(numbers[CX]), F32(1.0 / numbers[FX]), F32(1.0 / numbers[FY])
    y = F32((row - numbers[CY]) / numbers[FY])
    a, b, c = _ZERO, _ZERO, _ZERO
    for i in range(by_x.size):
        a += by_x[i] * (F32(i) - cx)
        b += by_x[i]
        c += by_y[i]
    sums[FX] -= a * over_fx * over_fx
    sums[CX] -= b * over_fx
    sums[FY] -= c * y * over_fy
    sums[CY] -= c * over_fy


@kernel()
def pull_row(numbers, kind, row, look, by_u, by_v, points, sums):  # type: ignore[no-untyped-def]
    """Add to sums (18,) what a row's gradients by positions say to the numbers of a lens.

    :param by_u: (W',) and by_v gradients by u and v, which are overwritten.
    :param points: (2, W') scratch.
    """
    ray_x, ray_y = look.x[row], look.y[row]
    pull_source(numbers, ray_x, ray_y, by_u, by_v, sums)
    if kind == NONE:
        points[0, :] = ray_x
        points[1, :] = ray_y
    elif kind == EQUIDISTANT:
        pull_equidistant(numbers, ray_x, ray_y, by_u, by_v, points[0], points[1], sums)
    else:
        pull_polynomial(numbers, ray_x, ray_y, by_u, by_v, points[0], points[1], sums)
    pull_colour(numbers, row, points[0], points[1], by_u, by_v, sums)
    pull_target(numbers, row, by_u, by_v, sums)
