# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Read noise, dark current and DSNU from the codes of dark frames, by maximum likelihood.

Near black a curved response may leave less noise than a step of the converter, bend within the
noise, or cut it off at 0. Then the variance of the codes is not that of the electrons, with or
without Sheppard's correction. How often each code occurs still is what the electrons make of it:
photosite i of a frame of time t holds x = μ + D·t + d_i + √(σ_r² + k·D·t)·ξ electrons, and code c
shows where x lies between the electrons that the known response assigns to c ∓ ½. So

    P(c) = Φ((e(c + ½) − m)/s) − Φ((e(c − ½) − m)/s),   m = μ + D·t + d_i,

and the d_i, normal with the deviation DSNU, are integrated out over an even grid. As fixed pattern
and dark current move the means over the steps of the converter, noise well below a step shows.
This is the likelihood of grouped and censored data (D. F. Heitjan, "Inference from grouped
continuous data: a review", Statistical Science 4(2), 1989); its curvature gives the deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.special import ndtr

from diffphyscam_ros.calibration.planes import Array

MOST_VALUES = 800_000
"""Codes that are used: photosites times frames."""

MOST_BINS = 400
"""Of one run; beyond it neighbouring codes are counted as one."""

REACH = 4.5
"""Deviations of DSNU over which it is integrated."""

NODES = 200
"""Of the integral with all photosites; where it needs more, as many photosites fewer are used."""

MOST_NODES = 4000
"""More would be a fixed pattern of some 400 times the noise that is left in its means."""

HOT = 6.0
"""Standard deviations by which a photosite stands out in the longest frames and is left out."""

_ROOT = (2.0 * np.pi) ** 0.5
_LEAST = 1e-290


@dataclass(frozen=True)
class DarkRun:
    """Codes of dark frames of one exposure time.

    :param codes: (frames, photosites), the same photosites in every run.
    :param time: s.
    """

    codes: Array
    time: float


@dataclass(frozen=True)
class Darkness:
    """What dark frames tell, in photo-electrons; each value with its standard deviation.

    :param rate: dark current, e-/s; None where all frames have one exposure time.
    """

    read_noise: tuple[float, float]
    dsnu: tuple[float, float]
    rate: tuple[float, float] | None


def fit_darkness(
    runs: list[DarkRun], electrons: Array, middle: Array, gain_std: float
) -> Darkness | None:
    """Find what makes the codes of dark frames most likely.

    :param runs: one or more.
    :param electrons: (codes + 1,) ascending, between which each code shows; the first is −∞ and
        the last ∞.
    :param middle: (codes,) electrons of each code, to start from.
    :param gain_std: relative standard deviation of the gain that the electrons rest on.
    :return: None where the codes do not vary, the likelihood has no maximum, or the fixed pattern
        is so much larger than the noise that it cannot be integrated.
    """
    told = np.flatnonzero(electrons[1:] > electrons[:-1])
    if not len(told):
        return None
    # Codes beyond the response's ends tell that they lie beyond, as its first and last one do.
    runs = [DarkRun(run.codes.clip(told[0], told[-1]), run.time) for run in runs]
    if not runs or all(np.ptp(run.codes) == 0 for run in runs):
        return None
    runs = _cold(sorted(runs, key=lambda run: run.time), middle)
    model = _Model(runs, electrons, middle, max(gain_std, 1e-4))
    if len(model.grid) > MOST_NODES:
        return None
    found = minimize(model, model.start, jac=True, method='BFGS', options={'gtol': 0.3})
    best = np.asarray(found.x)
    covariance = model.covariance(best)
    if covariance is None:
        return None
    std = np.sqrt(np.diag(covariance))
    scale = model.scale
    read, dsnu = float(np.exp(best[2])), float(np.exp(best[3]))
    rate = (float(best[1]) * scale[1], float(std[1]) * scale[1]) if model.timed else None
    return Darkness((read, read * float(std[2])), (dsnu, dsnu * float(std[3])), rate)


def _cold(runs: list[DarkRun], middle: Array) -> list[DarkRun]:
    """Leave out photosites that stand out in the longest frames, and more than are needed."""
    longest = middle[runs[-1].codes].mean(axis=0)
    least = 0.5 * float(np.median(np.diff(middle)[runs[-1].codes.clip(0, len(middle) - 2)]))
    spread = 1.4826 * float(np.median(np.abs(longest - np.median(longest))))
    cold = np.flatnonzero(longest <= np.median(longest) + HOT * max(spread, least))
    frames = sum(len(run.codes) for run in runs)
    step = -(-len(cold) * frames // MOST_VALUES)
    return [DarkRun(run.codes[:, cold[:: max(step, 1)]], run.time) for run in runs]


class _Model:
    """−log likelihood and its gradient in (μ, D, log σ_r, log DSNU, log k), scaled."""

    def __init__(
        self, runs: list[DarkRun], electrons: Array, middle: Array, gain_std: float
    ) -> None:
        self.gain_std = gain_std
        self.timed = len({run.time for run in runs}) > 1
        means = np.array([float(middle[run.codes].mean()) for run in runs])
        times = np.array([run.time for run in runs])
        rate, rest = np.polyfit(times, means, 1) if self.timed else (0.0, means.mean())
        short = middle[runs[0].codes]
        step = float(np.median(np.diff(middle)[runs[0].codes.clip(0, len(middle) - 2)]))
        within = float(short.var(axis=0, ddof=1).mean()) if len(short) > 1 else float(short.var())
        noise = max(within - step**2 / 12.0, 0.04 * step**2, 1e-6)
        between = max(float(short.mean(axis=0).var()) - within / len(short), 0.1 * noise)
        self.scale = np.array([noise**0.5, noise**0.5 / times.max() if self.timed else 1.0])
        self.start = np.array(
            [rest / self.scale[0], max(rate, 0.0) / self.scale[1],
             0.5 * np.log(noise), 0.5 * np.log(between), 0.0]
        )  # fmt: skip
        # An even grid integrates a Gaussian exactly up to spacings of its own deviation.
        heat = np.maximum(rate * times, 0.0)
        told = sum(len(run.codes) / (noise + more) for run, more in zip(runs, heat, strict=True))
        nodes = max(int(2 * REACH * between**0.5 * told**0.5), 24)
        self.grid = np.linspace(-REACH, REACH, nodes)
        weight = np.exp(-0.5 * self.grid**2)
        self.weight = np.log(weight / weight.sum())
        fewer = -(-nodes // NODES)
        runs = [DarkRun(run.codes[:, ::fewer], run.time) for run in runs]

        low, high, place, counts, own = [], [], [], [], []
        offset = 0
        for run in runs:
            first, last = int(run.codes.min()), int(run.codes.max())
            width = -(-(last - first + 1) // MOST_BINS)
            bins = (run.codes.astype(np.int64) - first) // width
            count = (last - first) // width + 1
            edges = first + width * np.arange(count + 1)
            low.append(electrons[edges[:-1]])
            high.append(electrons[np.minimum(edges[1:], len(electrons) - 1)])
            photosites = np.arange(run.codes.shape[1])
            place.append((bins + offset).ravel())
            own.append(np.broadcast_to(photosites, run.codes.shape).ravel())
            counts.append(np.full(count, run.time))
            offset += count
        self.low, self.high = np.concatenate(low)[:, None], np.concatenate(high)[:, None]
        self.time = np.concatenate(counts)[:, None]
        where = np.concatenate(own), np.concatenate(place)
        shape = (runs[0].codes.shape[1], offset)
        self.counts = coo_array((np.ones(len(where[0])), where), shape=shape).tocsr()
        self.turned = self.counts.T.tocsr()

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return −log likelihood and its gradient."""
        rest, rate = theta[:2] * self.scale
        rate = rate if self.timed else 0.0
        read, dsnu, shot = np.exp(np.clip(theta[2:], -30.0, 30.0))
        heat = max(rate, 0.0) * self.time
        mean = rest + rate * self.time + dsnu * self.grid
        spread = np.sqrt(read**2 + shot * heat)
        low, high = (self.low - mean) / spread, (self.high - mean) / spread
        # In the upper tail differences of Φ would cancel.
        swap = low > 0
        chance = ndtr(np.where(swap, -low, high)) - ndtr(np.where(swap, -high, low))
        chance = np.maximum(chance, _LEAST)
        each = np.asarray(self.counts @ np.log(chance)) + self.weight
        top = each.max(axis=1, keepdims=True)
        share = np.exp(each - top)
        total = share.sum(axis=1, keepdims=True)
        value = float((top + np.log(total)).sum()) - 0.5 * (theta[4] / self.gain_std) ** 2
        expected = np.asarray(self.turned @ (share / total)) / chance
        below, above = (np.exp(-0.5 * edge**2) / _ROOT for edge in (low, high))
        by_mean = expected * (below - above) / spread
        turn = [np.where(np.isfinite(e), e, 0.0) * d for e, d in ((low, below), (high, above))]
        by_variance = (expected * (turn[0] - turn[1])).sum(axis=1) / (2.0 * spread[:, 0] ** 2)
        along = by_mean.sum(axis=1)
        warm = self.time[:, 0] * (shot if rate > 0 else 0.0)
        gradient = np.array([
            along.sum() * self.scale[0],
            ((along * self.time[:, 0]).sum() + (by_variance * warm).sum()) * self.scale[1],
            2.0 * read**2 * by_variance.sum(),
            dsnu * (by_mean * self.grid).sum(),
            shot * (by_variance * heat[:, 0]).sum() - theta[4] / self.gain_std**2,
        ])  # fmt: skip
        if not self.timed:
            gradient[1] = -theta[1]
            value -= 0.5 * theta[1] ** 2
        return -value, -gradient

    def covariance(self, theta: Array) -> Array | None:
        """Return the inverse of the curvature, or None where there is no maximum."""
        step = 1e-3
        rows = [
            (self(theta + step * unit)[1] - self(theta - step * unit)[1]) / (2.0 * step)
            for unit in np.eye(5)
        ]
        curvature = 0.5 * (np.array(rows) + np.array(rows).T)
        if not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature).min() <= 0:
            return None
        return np.asarray(np.linalg.inv(curvature))
