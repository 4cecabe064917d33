# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Diffuse light of an environment: irradiance as a polynomial of degree 6 in the normal.

After Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps",
SIGGRAPH 2001, but up to order 6 of the clamped cosine's Legendre series instead of order 2: what
is left out is 0.010 (root mean square over all normals) of what one small light gives that faces
the surface, instead of 0.036. On the unit sphere the even orders up to 6 are the forms of degree
6, so that 28 + 3 monomials do what the 49 harmonics of order 6 would.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch

DEGREE = 6
EXPONENTS = (
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    *((DEGREE - k - j, j, k) for k in range(DEGREE + 1) for j in range(DEGREE + 1 - k)),
)
"""Powers of x, y and z in the 31 monomials: linear, then degree 6 by rising powers of z and y."""

MONOMIALS = len(EXPONENTS)
CLAMPED_COSINE = (1 / 4, 1 / 2, 5 / 16, 0.0, -3 / 32, 0.0, 13 / 256)
"""max(cos, 0) in Legendre polynomials."""


def monomials(directions: torch.Tensor) -> torch.Tensor:
    """Return the monomials (..., 31) at unit directions (..., 3)."""
    powers = [torch.ones_like(directions), directions]
    for _ in range(2, DEGREE + 1):
        powers.append(powers[-1] * directions)
    x, y, z = torch.stack(powers, -1).unbind(-2)
    of_x, of_y, of_z = zip(*EXPONENTS, strict=True)
    return x[..., of_x] * y[..., of_y] * z[..., of_z]


def _forms(degree: int) -> dict[tuple[int, int, int], float]:
    """Return the multinomial coefficients of (x + y + z)^degree by their exponents."""
    total = math.factorial(degree)
    return {
        (i, j, degree - i - j): total
        / (math.factorial(i) * math.factorial(j) * math.factorial(degree - i - j))
        for i in range(degree + 1)
        for j in range(degree + 1 - i)
    }


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)  # what is kept must serve gradients too
def _cosine_matrix() -> torch.Tensor:
    """Return (31, 31) float32 with max(n·d, 0) ≈ monomials(n)ᵀ · matrix · monomials(d).

    Even powers of n·d below 6 are multiplied by |n|² = |d|² = 1 until they are of degree 6.
    """
    place = {exponents: number for number, exponents in enumerate(EXPONENTS)}
    series = np.polynomial.legendre.leg2poly(CLAMPED_COSINE)
    matrix = torch.zeros(MONOMIALS, MONOMIALS, dtype=torch.float64)
    for number in range(3):
        matrix[number, number] = float(series[1])
    for power in range(0, DEGREE + 1, 2):
        squares = _forms((DEGREE - power) // 2)
        for both, shared in _forms(power).items():
            for ours, share in squares.items():
                row = place[_raised(both, ours)]
                for theirs, other in squares.items():
                    value = float(series[power]) * shared * share * other
                    matrix[row, place[_raised(both, theirs)]] += value
    return matrix.to(torch.float32)


def _raised(base: tuple[int, int, int], squares: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the exponents of a monomial times squares of its variables."""
    return (base[0] + 2 * squares[0], base[1] + 2 * squares[1], base[2] + 2 * squares[2])


def irradiance_of_moments(moments: torch.Tensor) -> torch.Tensor:
    """Return the polynomial (31, 3) from ∫ radiance · monomials(direction), (31, 3)."""
    return _cosine_matrix().to(moments) @ moments


def uniform_irradiance(radiance: torch.Tensor) -> torch.Tensor:
    """Return the polynomial (31, 3) for the same radiance (3,) from everywhere."""
    sphere = {_raised((0, 0, 0), exponents): value for exponents, value in _forms(3).items()}
    one = radiance.new_tensor([sphere.get(exponents, 0.0) for exponents in EXPONENTS])
    return math.pi * one[:, None] * radiance


def evaluate_irradiance(polynomial: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Return the irradiance (..., 3) on surfaces with unit normals (..., 3), never negative.

    :param polynomial: (31, 3) from :func:`diffphyscam_ros.scene.environment.irradiance`.
    """
    return (monomials(normals) @ polynomial).clamp_min(0.0)
