# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What differs from photosite to photosite and stays: DSNU, PRNU, dark current, hot photosites.

Each photosite's mean values over the runs are a straight function of light and time,
v = d + s·m + h·t, fitted to all runs at once with the weights of their noise. DSNU is the spread
of d, PRNU that of s, the dark current the mean of h, and hot photosites are those whose h stands
out. From every spread the part that temporal noise leaves in means of n frames is taken off, as
EMVA 1288 4.0 does. Slow changes over the picture (lamp, vignetting) are removed by taking the
difference to the mean of a box, since the model's patterns are white.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.planes import Array

BOX = 9
"""px, side of the box whose mean counts as the slow part."""

STANDS_OUT = 6.0
"""Standard deviations by which a photosite must stand out to count as hot or defective."""


@dataclass(frozen=True)
class Spread:
    """A spatial variance without its temporal part, and its standard deviation."""

    variance: float
    std: float

    def root(self, scale: float) -> tuple[float, float]:
        """Return the deviation and its standard deviation, both over ``scale``."""
        value = max(self.variance, 0.0) ** 0.5
        limit = self.std**0.5
        std = limit if value == 0.0 else min(self.std / (2.0 * value), limit)
        return value / scale, std / scale


@dataclass(frozen=True)
class Patterns:
    """The fixed patterns of one plane, in digital values (of light).

    :param dsnu: None where there are no dark frames.
    :param prnu: relative; None where there are no flat frames.
    :param rate: dark current of the photosites that are not hot, digital values per second, and
        its standard deviation; None where the dark frames have one exposure time only.
    :param excess: dark current of each photosite beyond ``rate``, flat; None likewise.
    :param excess_noise: standard deviation of it for a photosite that is like all others.
    :param defects: photosites that stand out in the dark where ``excess`` is not known.
    """

    dsnu: Spread | None
    prnu: Spread | None
    rate: tuple[float, float] | None
    excess: Array | None
    excess_noise: float
    defects: int
    size: int


def fit_patterns(
    pictures: list[Array],
    light: Array,
    times: Array | None,
    variances: Array,
    frames: Array,
    gain: float,
    has_dark: bool,
    limit: float = np.inf,
) -> Patterns:
    """Fit the patterns of a plane.

    :param pictures: mean pictures of the runs, (h, w) each.
    :param light: (n,) mean signal of each run by light; 0 for dark ones.
    :param times: (n,) s; None where time is not to be fitted.
    :param variances: (n,) temporal, of one frame, quantisation included.
    :param frames: (n,) of each run.
    :param gain: K, so that noise can be followed to darker parts of a picture.
    :param limit: value at which a photosite is full. The dark current of those that are full in a
        dark frame is that of the longest one in which they are not.
    """
    lit = bool((light > 0).any())
    columns = [np.ones(len(light))]
    if lit:
        columns.append(light)
    if times is not None:
        columns.append(times)
    weights = frames / np.maximum(variances, 1e-18)
    solver = _solver(np.stack(columns, axis=1), weights)
    fits = [sum(c * picture for c, picture in zip(row, pictures, strict=True)) for row in solver]
    noise = (solver**2 * variances / frames).sum(axis=1)

    rate = excess = None
    excess_noise, defects = 0.0, 0
    dark = np.asarray(fits[0])
    if times is not None:
        heat = np.asarray(fits[-1])
        excess_noise = max(float(noise[-1]) ** 0.5, _robust_std(heat))
        hot = heat > np.median(heat) + STANDS_OUT * excess_noise
        bulk = float(heat[~hot].mean())
        rate = bulk, excess_noise / (~hot).sum() ** 0.5
        excess = _unfilled(pictures, light, times, heat - bulk, limit).ravel()
    else:
        hot = np.abs(dark - np.median(dark)) > STANDS_OUT * _robust_std(dark)
        defects = int(hot.sum())
    dsnu = None
    if has_dark:
        dsnu = _spread(np.where(hot, np.median(dark), dark), None, float(noise[0]))
    prnu = None
    if lit:
        row = solver[1]
        if times is None and len(np.unique(light[light > 0])) > 1:
            # Dark frames of another exposure time hold another share of hot photosites.
            row = np.zeros(len(light))
            bright = light > 0
            row[bright] = _solver(np.stack(columns, axis=1)[bright], weights[bright])[1]
        slope = np.asarray(sum(c * item for c, item in zip(row, pictures, strict=True)))
        smooth = _box_mean(slope)
        smooth = np.maximum(smooth, 0.02)
        by_light = gain * light
        once, twice = float((1 / smooth).mean()), float((1 / smooth**2).mean())
        each = by_light * once + np.maximum(variances - by_light, 0.0) * twice
        left = float((row**2 * each / frames).sum())
        prnu = _spread(slope, smooth, left, ~hot)
    return Patterns(dsnu, prnu, rate, excess, excess_noise, defects, dark.size)


def _unfilled(
    pictures: list[Array], light: Array, times: Array, excess: Array, limit: float
) -> Array:
    """Return the dark current beyond the common one, of full photosites by frames before it."""
    order = [i for i in np.argsort(times) if light[i] == 0.0]
    full = np.zeros(excess.shape, bool)
    for i in order:
        full |= pictures[i] >= limit
    excess = excess.copy()
    for i in order:  # the longest comes last, and stays
        seen = full & (pictures[i] < limit)
        excess[seen] = (pictures[i][seen] - np.median(pictures[i])) / times[i]
    return excess


def _solver(design: Array, weights: Array) -> Array:
    """Return what turns values (n,) into coefficients, (columns, n), by weighted least squares."""
    root = np.sqrt(weights)
    return np.asarray(np.linalg.pinv(design * root[:, None], rcond=1e-12) * root)


def _box_mean(picture: Array) -> Array:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(picture, BOX, mode='mirror'))


def _robust_std(picture: Array) -> float:
    return 1.4826 * float(np.median(np.abs(picture - np.median(picture))))


def _spread(
    picture: Array, smooth: Array | None, noise: float, counted: Array | None = None
) -> Spread:
    """Return the variance of what is left of a picture without its slow part, and without noise.

    :param smooth: the slow part, which the rest is divided by; None = it is not divided.
    :param counted: bool, which photosites count; None = all.
    """
    edge = BOX // 2 if min(picture.shape) > 3 * BOX else 0
    slow = _box_mean(picture) if smooth is None else smooth
    rest = (picture - slow) / (1.0 if smooth is None else slow)
    if edge:
        rest = rest[edge:-edge, edge:-edge]
        counted = None if counted is None else counted[edge:-edge, edge:-edge]
    rest = rest if counted is None else rest[counted]
    total = float(rest.var()) / (1.0 - 1.0 / BOX**2)
    return Spread(total - noise, total * (2.0 / rest.size) ** 0.5)


@dataclass(frozen=True)
class HotPixels:
    """Share of hot photosites and the mean of their dark current, as an exponential has it."""

    fraction: float
    fraction_std: float
    current: float
    current_std: float
    found: int
    hidden: float
    """Mean dark current that hot photosites too weak to be found add to all others, e-/s."""


def count_hot(excess: Array, noise: float) -> HotPixels:
    """Return the hot photosites among all.

    Beyond any threshold τ an exponential distribution looks the same: the mean excess over τ is
    its mean, and e^(τ/mean) times as many are hot as stand out.

    :param excess: (n,) e-/s beyond the common dark current.
    :param noise: its standard deviation, e-/s.
    """
    threshold = STANDS_OUT * noise
    found = excess[excess > threshold]
    size = len(excess)
    if len(found) == 0:
        return HotPixels(0.0, 3.0 / size, 0.0, 0.0, 0, 0.0)
    mean = float((found - threshold).mean())
    tail = np.exp(min(threshold / mean - 0.5 * (noise / mean) ** 2, 20.0))
    fraction = min(len(found) / size * tail, 1.0)
    relative = len(found) ** -0.5
    hidden = fraction * (mean - (threshold + mean) * np.exp(-threshold / mean))
    spread = fraction * relative * (1.0 + (threshold / mean) ** 2) ** 0.5
    return HotPixels(
        float(fraction), float(spread), mean, mean * relative, len(found), float(hidden)
    )
