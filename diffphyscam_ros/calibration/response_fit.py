# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Least squares over a response curve and the light of every site of a static scene.

As Debevec and Malik (SIGGRAPH 1997) recover a response: each site i has an unknown light E_i, and
was seen with known relative exposures τ_j; v_ij = f(E_i·τ_j). They solve for the inverse of f; we
for f itself, since it is v that has the noise. The light of a site touches no other site, so that
it is eliminated from the normal equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.planes import Array
from diffphyscam_ros.calibration.response_curves import Curve

_STEPS = 60


@dataclass(frozen=True)
class Observations:
    """What was seen of a scene, one row for each site and exposure.

    :param site: (n,) int; ``exposure`` (n,) int.
    :param value: (n,) digital, mean of the frames.
    :param factor: (n,) τ, relative exposure; 0 in the dark.
    """

    site: Array
    exposure: Array
    value: Array
    factor: Array

    def chosen(self, which: Array) -> Observations:
        """Return some of the rows."""
        return Observations(
            self.site[which], self.exposure[which], self.value[which], self.factor[which]
        )


@dataclass(frozen=True)
class Fit:
    """A curve and the light of the sites.

    :param covariance: of θ, from the scatter between sites.
    :param log_light: (sites,) ln E, NaN where a site was not seen.
    """

    curve: Curve
    theta: Array
    covariance: Array
    log_light: Array
    rms: float

    def predict(self, seen: Observations) -> Array:
        """Return the values of observations."""
        return self.curve.value(self.theta, _exposures(self.log_light, seen))


def _exposures(log_light: Array, seen: Observations) -> Array:
    return np.exp(np.clip(np.nan_to_num(log_light[seen.site]), -60.0, 60.0)) * seen.factor


def fit_curve(curve: Curve, seen: Observations, sites: int) -> Fit:
    """Fit a curve by Levenberg–Marquardt."""
    theta = curve.start()
    lit = seen.factor > 0
    ratio = np.log(curve.inverse_start(seen.value[lit]) / seen.factor[lit])
    count = np.bincount(seen.site[lit], minlength=sites)
    log_light = np.bincount(seen.site[lit], ratio, sites) / np.maximum(count, 1)
    damping, cost = 1e-2, np.inf
    reached = _cost(curve, theta, log_light, seen)
    for _ in range(_STEPS):
        system = _normal_equations(curve, theta, log_light, seen, sites)
        for _ in range(8):
            change, change_light = _step(*system, damping)
            new, new_light = theta + change, log_light + np.clip(change_light, -2.0, 2.0)
            cost = _cost(curve, new, new_light, seen)
            if cost < reached:
                damping = max(damping / 5.0, 1e-9)
                break
            damping *= 6.0
        if cost >= reached:
            break
        done = reached - cost < 1e-9 * reached
        theta, log_light, reached = new, new_light, cost
        if done:
            break
    covariance = _covariance(curve, theta, log_light, seen, sites)
    log_light = np.where(count > 0, log_light, np.nan)
    rms = float(
        np.sqrt(np.mean((seen.value - curve.value(theta, _exposures(log_light, seen))) ** 2))
    )
    return Fit(curve, theta, covariance, log_light, rms)


def _cost(curve: Curve, theta: Array, log_light: Array, seen: Observations) -> float:
    residual = seen.value - curve.value(theta, _exposures(log_light, seen))
    small, weight = curve.penalty(theta)
    return float(residual @ residual) + weight * float(small @ small)


def _normal_equations(
    curve: Curve, theta: Array, log_light: Array, seen: Observations, sites: int
) -> tuple[Array, Array, Array, Array, Array]:
    """Return A (p, p), B (sites, p), C (sites,), and the gradients by θ and by ln E."""
    x = _exposures(log_light, seen)
    by_theta, by_light = curve.slopes(theta, x)
    residual = seen.value - curve.value(theta, x)
    a, g = by_theta.T @ by_theta, by_theta.T @ residual
    small, weight = curve.penalty(theta)
    if weight:
        lever = np.stack(
            [curve.penalty(theta + unit)[0] - small for unit in np.eye(len(theta))], axis=1
        )
        a, g = a + weight * lever.T @ lever, g - weight * lever.T @ small
    b = np.stack(
        [np.bincount(seen.site, by_light * column, sites) for column in by_theta.T], axis=1
    )
    c = np.bincount(seen.site, by_light**2, sites)
    return a, b, c, g, np.bincount(seen.site, by_light * residual, sites)


def _step(a: Array, b: Array, c: Array, g: Array, h: Array, damping: float) -> tuple[Array, Array]:
    c = c * (1.0 + damping) + 1e-12
    a = a + damping * np.diag(np.diag(a)) + 1e-12 * np.eye(len(a))
    reduced = a - (b / c[:, None]).T @ b
    change = np.linalg.lstsq(reduced, g - b.T @ (h / c), rcond=1e-12)[0]
    return change, (h - b @ change) / c


def _covariance(
    curve: Curve, theta: Array, log_light: Array, seen: Observations, sites: int
) -> Array:
    """Return the covariance of θ from the scatter that sites and exposures show.

    The sandwich estimator, clustered both ways: a site's own deviation lasts through all of its
    exposures, and what an exposure has of its own (its clock, the lamp, a curve that is not quite
    of this kind) is common to all sites.
    """
    a, b, c, _, _ = _normal_equations(curve, theta, log_light, seen, sites)
    c = c + 1e-12
    inverse = np.linalg.pinv(a - (b / c[:, None]).T @ b, rcond=1e-12)
    x = _exposures(log_light, seen)
    by_theta, by_light = curve.slopes(theta, x)
    residual = seen.value - curve.value(theta, x)
    own = by_theta - (b / c[:, None])[seen.site] * by_light[:, None]
    scores = np.stack(
        [np.bincount(seen.site, residual * column, sites) for column in own.T], axis=1
    )
    # each site spends one observation on its own light
    seen_often = np.bincount(seen.site, minlength=sites)
    scores *= np.sqrt(seen_often / np.maximum(seen_often - 1.0, 1.0))[:, None]
    count = int(seen.exposure.max()) + 1
    common = (
        np.stack(
            [np.bincount(seen.exposure, residual * column, count) for column in own.T], axis=1
        )
        * (count / max(count - 1.0, 1.0)) ** 0.5
    )
    return inverse @ (scores.T @ scores + common.T @ common) @ inverse
