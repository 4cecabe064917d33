# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gain and dead zone fitted to the spreads of edges.

σ² = e² + S(a·c)² outside the dead zone and e² + S(0)² within, where c is the blur for a = 1, S
what the simulated camera makes of a blur, and e what the lens adds beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.photon_transfer import weighted_fit
from diffphyscam_ros.calibration.planes import Array

MODEL_ERROR = 0.01
"""Share of a spread by which a blurred step differs from that of a real lens and pixel."""

COMMON_ERROR = 0.004
"""Share of the gain by which all edges may be off together: they have one angle to the pixels."""

OUTLIER = 5.0
CONVINCING = 12.0
"""By how much chi² must fall for a dead zone to be there."""


@dataclass(frozen=True)
class BlurFit:
    """What spreads of edges tell.

    :param sharp: σ₀, px.
    :param dead_zone: m; 0 = none seen, and then it is below ``dead_zone_limit``.
    :param used: (n,) bool; ``outliers`` are those left out for not fitting.
    """

    gain: float
    gain_std: float
    dead_zone: float
    dead_zone_std: float
    dead_zone_limit: float
    sharp: float
    used: Array
    outliers: Array


def fit_blur(
    coc: Array,
    sigma: Array,
    std: Array,
    offset: Array,
    usable: Array,
    spread: Callable[[Array], Array],
    frame: Array,
) -> BlurFit:
    """Fit the gain and the dead zone.

    :param coc: px, blur for a = 1, (n,).
    :param sigma: measured spreads, px, with ``std``.
    :param offset: |d − U|, m.
    :param usable: (n,) bool, not cut at the largest blur.
    :param spread: S, of diameters.
    :param frame: (n,) int, the frame of each edge: what is wrong in a frame is in all its edges.
    """
    used = usable.copy()
    outliers = np.zeros(len(sigma), bool)
    error = 2.0 * sigma * np.hypot(std, MODEL_ERROR * sigma)
    solve = _Solver(coc, sigma, error, spread)
    for _ in range(3):
        low, high, limit = solve.zone(offset, used)
        active = offset > (low + high) / 2.0
        gain, extra, covariance, chi2 = solve.best(active, used)
        scale = min(max(chi2, 1.0) ** 0.5, 3.0)
        pull = np.abs(sigma**2 - solve.predicted(gain, extra, active)) / (error * scale)
        strange = used & (pull > OUTLIER)
        if not strange.any() or (used & ~strange).sum() < 4:
            break
        outliers |= strange
        used &= ~strange
    alone = float(covariance[1, 1]) * max(chi2, 1.0)
    together = solve.variance_by_frames(active, used, frame)
    gain_std = (max(alone, together) + (COMMON_ERROR * gain) ** 2) ** 0.5
    width = (high - low) / 12.0**0.5 if low > 0 else min(limit, 1e3) / 3.0**0.5
    zone = (low + high) / 2.0
    sharp = max(extra + float(spread(np.zeros(1))[0]) ** 2, 0.0) ** 0.5
    return BlurFit(gain, gain_std, zone, width, limit, sharp, used, outliers)


class _Solver:
    def __init__(
        self, coc: Array, sigma: Array, error: Array, spread: Callable[[Array], Array]
    ) -> None:
        self.coc, self.squared, self.error, self.spread = coc, sigma**2, error, spread

    def predicted(self, gain: float, extra: float, active: Array) -> Array:
        return np.asarray(extra + self.spread(np.where(active, gain * self.coc, 0.0)) ** 2)

    def best(self, active: Array, used: Array) -> tuple[float, float, Array, float]:
        """Return a, e², their covariance (of e² and a), and chi² per degree of freedom."""
        gain, extra = self._start(active, used), 0.0
        covariance, chi2 = np.eye(2), np.inf
        for _ in range(12):
            step = 1e-3 * gain
            slope = self.predicted(gain + step, 0.0, active) - self.predicted(
                gain - step, 0.0, active
            )
            design = np.stack([np.ones_like(slope), slope / (2.0 * step)], axis=1)
            miss = self.squared - self.predicted(gain, extra, active)
            change, covariance, chi2 = weighted_fit(
                design[used], miss[used], self.error[used] ** 2
            )
            extra += float(change[0])
            gain = float(np.clip(gain + change[1], 0.5 * gain, 2.0 * gain))
        return gain, extra, covariance, chi2

    def variance_by_frames(self, active: Array, used: Array, frame: Array) -> float:
        """Return the variance of a as the frames scatter, each left out once (jackknife)."""
        gains = []
        for one in np.unique(frame[used]):
            rest = used & (frame != one)
            if (rest & active).sum() >= 2 and rest.sum() >= 4:
                gains.append(self.best(active, rest)[0])
        count = len(gains)
        return float(np.var(gains)) * (count - 1) if count > 2 else 0.0

    def _start(self, active: Array, used: Array) -> float:
        """Return the gain that explains best with nothing else to blur."""
        tried = np.geomspace(0.02, 20.0, 60)
        costs = []
        for gain in tried:
            miss = (self.squared - self.predicted(gain, 0.0, active)) / self.error
            costs.append(float(np.abs(miss[used]).sum()))
        return float(tried[int(np.argmin(costs))])

    def zone(self, offset: Array, used: Array) -> tuple[float, float, float]:
        """Return the largest |d − U| inside a dead zone and the smallest outside, and a limit.

        The first two are 0 where none is seen. The limit is the smallest |d − U| that cannot lie
        in a dead zone.
        """
        freedom = max(int(used.sum()) - 2, 1)
        steps = [step for step in np.unique(offset[used]).tolist() if step > 0]
        none = self.best(offset > 0, used)[3] * freedom
        costs = []
        for low in steps[:-1]:
            active = offset > low
            enough = (active & used).sum() >= 2
            costs.append(self.best(active, used)[3] * freedom if enough else np.inf)
        least = min([none, *costs])
        margin = CONVINCING * max(least / freedom, 1.0)
        limit = next(
            (low for low, cost in zip(steps, costs, strict=False) if cost - least > margin),
            float('inf'),
        )
        if none - least <= margin:
            return 0.0, 0.0, limit
        index = int(np.argmin(costs))
        return steps[index], steps[index + 1], limit
