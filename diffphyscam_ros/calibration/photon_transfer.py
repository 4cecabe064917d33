# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Photon transfer (EMVA standard 1288, release 4.0): temporal variance against mean.

With K the digital value of an electron, b that of darkness, σ_r the read noise and q a step of the
converter, the temporal variance of a level of mean μ is s² = K·(μ − b) + K²·σ_r² + q²/12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.planes import Array

LEAST_NOISE = 0.5
"""Temporal variance in squared steps below which a converter hides the noise.

EMVA 1288 allows 0.24, where the variance of an even level may be off by several percent.
"""

PARTLY = 0.6
"""Of the variance that the light gives; with less a part of the photosites is full."""

CURVED = 0.02
"""Share of the variance by which the line may bend before it is no line."""


@dataclass(frozen=True)
class TransferLine:
    """K and R = K²·σ_r² of one plane.

    :param covariance: (2, 2), of K and R.
    :param bend: by how much of the variance a parabola leaves the line at its upper end, and its
        standard deviation; (0, inf) where there are too few levels to know.
    """

    gain: float
    offset: float
    covariance: Array
    bend: tuple[float, float]
    levels: int

    @property
    def read_noise(self) -> tuple[float, float]:
        """σ_r in electrons, and its standard deviation; 0 where the variance is below 0."""
        squared = self.offset / self.gain**2
        by = np.array([-2.0 * squared / self.gain, 1.0 / self.gain**2])
        std_squared = float(by @ self.covariance @ by) ** 0.5
        if squared <= 0.0:
            return 0.0, std_squared**0.5
        # near 0 the root is steep: never more than the root of the uncertainty itself
        return squared**0.5, min(std_squared / (2.0 * squared**0.5), std_squared**0.5)

    @property
    def gain_std(self) -> float:
        """Of K."""
        return float(self.covariance[0, 0]) ** 0.5


def weighted_fit(design: Array, values: Array, variances: Array) -> tuple[Array, Array, float]:
    """Return least squares coefficients, their covariance, and chi² per degree of freedom.

    :param design: (n, p).
    :param values: (n,), with their ``variances`` (n,).
    """
    root = 1.0 / np.sqrt(variances)
    scaled = design * root[:, None]
    size = np.linalg.norm(scaled, axis=0)
    size = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(scaled / size)
    coefficients = inverse @ (values * root) / size
    covariance = (inverse @ inverse.T) / np.outer(size, size)
    residual = (values - design @ coefficients) * root
    freedom = len(values) - design.shape[1]
    chi2 = float(residual @ residual) / freedom if freedom > 0 else 1.0
    return coefficients, covariance, chi2


def fit_line(signal: Array, variance: Array, freedom: Array, step_variance: float) -> TransferLine:
    """Fit K and R to levels.

    :param signal: μ − b, (n,), n ≥ 2.
    :param variance: s², (n,), with ``freedom`` degrees of freedom each.
    :param step_variance: q²/12.
    """
    design = np.stack([signal, np.ones_like(signal)], axis=1)
    values = variance - step_variance
    expected = np.maximum(variance, 1e-18)
    for _ in range(4):
        spread = 2.0 * expected**2 / freedom
        (gain, offset), covariance, chi2 = weighted_fit(design, values, spread)
        expected = np.maximum(gain * signal + offset + step_variance, 1e-3 * variance + 1e-18)
    bend = 0.0, float('inf')
    if len(signal) >= 4:
        parabola = np.concatenate([design, (signal**2)[:, None]], axis=1)
        (_, _, square), spread_of, _ = weighted_fit(parabola, values, spread)
        top = float(signal.max())
        scale = top**2 / 4.0 / max(float(variance.max()), 1e-18)
        bend = float(square) * scale, float(spread_of[2, 2]) ** 0.5 * scale
    return TransferLine(float(gain), float(offset), covariance * max(chi2, 1.0), bend, len(signal))


def saturation_level(mean: Array, variance: Array) -> tuple[float | None, Array, Array]:
    """Return the level at which a plane saturates below full scale, and which levels are there.

    Noise grows with light until photosites are full; then it vanishes (EMVA 1288, 6.6: saturation
    is where the variance has its maximum).

    :param mean: of flat levels, (n,), and their temporal ``variance``.
    :return: the mean of the full levels, None where none is; (n,) bool; (n,) bool, levels at which
        a part of the photosites is full, in the middle of a picture that darkens to the rim.
    """
    order = np.argsort(mean)
    full = np.zeros(len(mean), bool)
    partly = np.zeros(len(mean), bool)
    if len(mean) < 3:
        return None, full, partly
    slope = np.median(variance[order] / np.maximum(mean[order], 1e-9))
    peak = float(variance.max())
    for index in order[::-1]:
        if variance[index] < 0.1 * min(slope * mean[index], peak):
            full[index] = True
        else:
            break
    beyond = mean > mean[np.argmax(variance)]
    partly = ~full & beyond & (variance < PARTLY * slope * mean)
    return (float(mean[full].mean()) if full.any() else None), full, partly
