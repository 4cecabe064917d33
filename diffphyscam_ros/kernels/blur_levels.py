# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The ladder of blur levels that the Gaussian defocus cascade climbs, shared by torch and numba.

A level is a picture blurred by a known variance v_k per axis, in full-resolution px². A source
pixel whose blur has variance σ² between v_k and v_{k+1} puts its light into those two levels
with weights linear in σ², so that the variance of the mixture is exact. Each level is reached
from the one before it by one small symmetric filter, or by halving the resolution.

Small blurs are climbed in small steps at full resolution with five taps fitted to the discrete
Gaussian. Coarser scales take three taps, whose low response near the Nyquist frequency hides
what the halving folded over. Steps were chosen by measuring: every uniform blur up to 101 px
then stays above 60 dB of the exact scatter on a natural photograph.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
import math

SIGMA_PER_COC = 1.0 / 6.0
"""σ = c / 6: the Gaussian that stands for a blur circle of diameter c (CAMERA_MODEL.md eq. 2)."""

_FULL_STEPS = (0.2, 0.3, 0.6, 0.9)  # variance added by each filter at full resolution, px²
_COARSE_STEPS = (0.4, 0.5)  # the same at each halved resolution, in its own px²
_HALVING = 1.5  # variance of halving and doubling with (1, 3, 3, 1) / 8 each, in px² of the finer
_SCALES = 24


@dataclass(frozen=True)
class BlurLevel:
    """One level of the ladder.

    :param scale: the picture is 2^scale times smaller than the full resolution.
    :param variance: v_k of everything from the source to the output, full-resolution px².
    :param taps: (centre, ±1, ±2) of the filter that leads from the level before to this one,
        summing to 1; None where the step is the halving itself, and for the sharp level 0.
    """

    scale: int
    variance: float
    taps: tuple[float, float, float] | None


def _five_taps(step: float) -> tuple[float, float, float]:
    """Return 1 + s·X + b·X², X = cos θ − 1: variance s exactly, equal to exp(s·X) at X = −1.6."""
    at = 1.6
    b = (math.exp(-at * step) - 1.0 + at * step) / at**2
    return 1.0 - step + 1.5 * b, step / 2.0 - b, b / 4.0


def _ladder() -> tuple[BlurLevel, ...]:
    levels = [BlurLevel(0, 0.0, None)]
    variance = 0.0
    for step in _FULL_STEPS:
        variance += step
        levels.append(BlurLevel(0, variance, _five_taps(step)))
    for scale in range(1, _SCALES + 1):
        variance += _HALVING * 4.0 ** (scale - 1)
        levels.append(BlurLevel(scale, variance, None))
        for step in _COARSE_STEPS:
            variance += step * 4.0**scale
            levels.append(BlurLevel(scale, variance, (1.0 - step, step / 2.0, 0.0)))
    return tuple(levels)


LADDER = _ladder()
"""Every level there is. A pixel's blur depends on its own c alone, not on which are in use."""

VARIANCES = tuple(level.variance for level in LADDER)
FULL_LEVELS = sum(level.scale == 0 for level in LADDER)
LARGEST_COC = 1e8  # px; the ladder ends above it


def levels_needed(largest_variance: float) -> int:
    """Return how many levels from the bottom reach a variance in px², at least two."""
    return max(bisect.bisect_left(VARIANCES, largest_variance), 1) + 1
