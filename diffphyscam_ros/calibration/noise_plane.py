# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The noise of one plane of a sensor: one colour's photosites."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.dark_likelihood import Darkness, DarkRun, fit_darkness
from diffphyscam_ros.calibration.exposure_checks import (
    AUTOMATIC,
    linearity_messages,
    looks_automatic,
)
from diffphyscam_ros.calibration.fixed_patterns import fit_patterns, Patterns
from diffphyscam_ros.calibration.frame_statistics import Run
from diffphyscam_ros.calibration.photon_transfer import (
    CURVED,
    fit_line,
    LEAST_NOISE,
    saturation_level,
    TransferLine,
    weighted_fit,
)
from diffphyscam_ros.calibration.planes import Array, LightCurve, plane_views

CLIPPED = 2e-3
"""Share of values at digital 0 or 1 above which mean and variance are not those of the light."""

BENT = 0.35
"""Logarithm by which the slope of a response may change over four deviations of the noise."""

COARSE = 0.09 + 1.0 / 12.0
"""Temporal variance, in squared steps of the converter, below which the means of a curved response
are not used: with noise of 0.3 steps rounding displaces them by up to 0.05 steps."""

NEARLY = 0.95
"""Of the level at which a photosite is full, and of full scale: above, it may be full in some
frames, and of a curved response the light is not known."""

FLAT_TOP = 0.98
"""Of the brightness, and of the noise, that darker levels tell; with less it is cut."""

UPPER = 0.9
"""Of saturation: the brightest pixels of a fitted level are at most there."""


@dataclass(frozen=True)
class PlaneNoise:
    """What one plane tells; digital values in [0, 1], of light where the response is not linear.

    :param refusal: why there is nothing, or ''.
    :param black: value of darkness and its standard deviation; the latter None = not measured.
    :param full: level of saturation below full scale, or None.
    :param partly_full: about the value of full photosites, that of the brightest, where the
        brightest level fills a part of them and none fills all; or None.
    :param reached: the highest mean level of all flats.
    :param hidden: the noise in the dark is smaller than the converter shows.
    :param grain: by how much the steps of the converter may displace a mean in the dark.
    :param dark_span: s, longest less shortest exposure time of dark frames.
    :param clipped: values in the dark are cut at digital 0.
    :param darkness: from the codes of dark frames, where their mean and variance do not tell.
    """

    name: str
    refusal: str = ''
    line: TransferLine | None = None
    black: tuple[float, float | None] = (0.0, None)
    patterns: Patterns | None = None
    full: float | None = None
    partly_full: float | None = None
    reached: float = 0.0
    flat_levels: int = 0
    dark_levels: int = 0
    dark_times: int = 0
    hidden: bool = False
    grain: float = 0.0
    dark_span: float = 0.0
    clipped: bool = False
    curved: bool = False
    darkness: Darkness | None = None
    messages: list[str] = field(default_factory=list)
    plot: dict[str, Any] = field(default_factory=dict)


def measure_plane(
    runs: list[Run],
    index: int,
    encoding: str,
    curve: LightCurve,
    step: float,
    name: str,
    well: float = 1.0,
) -> PlaneNoise:
    """Measure one plane.

    :param runs: flat and dark, of one ISO.
    :param index: of the plane.
    :param step: of the converter, digital.
    :param well: level at which photosites are full where this plane does not show it.
    """
    levels = [run.planes[index] for run in runs]
    values = np.array([level.mean for level in levels])
    slope = curve.slope(values)
    mean = np.array([level.light[0] for level in levels])
    if not curve.linear:  # of single frames, too
        mean = np.where([run.frames > 1 for run in runs], mean, curve.light(values))
    variance = np.array([level.light[1] for level in levels])
    shaken = np.array([level.variance for level in levels])
    bent = _bent(curve, values, shaken)
    coarse = np.zeros(len(levels), bool)
    if not curve.linear:
        coarse = np.nan_to_num(shaken, nan=np.inf) < COARSE * step**2
    freedom = np.array([level.freedom for level in levels])
    dark = np.array([run.role == 'dark' for run in runs])
    low = np.array([level.low for level in levels]) > CLIPPED
    high = np.array([level.high for level in levels]) > CLIPPED
    paired = np.array([run.frames > 1 for run in runs])
    messages: list[str] = []

    flat = ~dark & paired
    brightest = curve.light(np.array([level.brightest for level in levels]))
    full = None
    partly = np.zeros(0, np.int64)
    if flat.any():
        full, at_end, some = saturation_level(mean[flat], variance[flat])
        partly = np.flatnonzero(flat)[some]
        ends = np.flatnonzero(flat)[at_end]
        if high[ends].any():  # it is the converter that is full
            full = None
        partly = partly[~high[partly]]
        flattened = _flattened(
            mean, brightest, variance, np.array([run.frames for run in runs]), flat & ~high, dark
        )
        partly = np.union1d(partly, np.flatnonzero(flattened & ~high))
        high[ends] = high[partly] = True
    # Where no level is full as a whole, the brightest photosites of one that is in part are.
    end = float(brightest[partly].max()) if len(partly) else well
    end = end if full is None else full
    usable = flat & ~high & ~low & ~bent & ~coarse & (brightest <= UPPER * end)
    if not usable.any():
        why = 'saturated' if high[flat].all() else 'saturated or too dark'
        return PlaneNoise(
            name,
            f'all flat frames are {why} ({name}): record levels between 5 % and 90 % of '
            'saturation, by shorter exposures or less light',
        )
    unused: list[str] = []
    if (coarse & ~low).any():
        unused.append(
            f'{name}: {int((coarse & ~low).sum())} dark levels are not used: where the response '
            'is that flat the steps of the converter hide the noise; record with more bits'
        )
    clipped = bool((dark & low).any())
    good_dark = dark & ~low & ~high & ~bent & ~coarse
    if (dark & bent).any():
        unused.append(
            f'{name}: within the noise of darkness the response is not straight: dark frames are '
            'not used; record them with a linear response (raw) if the camera has one'
        )
    black, rate, measured = _darkness(runs, mean, variance, freedom, good_dark, usable, curve)
    if clipped:
        messages.append(
            f'{name}: {100 * max(level.low for level in levels):.1f} % of the values of dark '
            'frames are cut at digital 0: raise the black level (offset) of the camera to see '
            'the noise below it'
        )
    times = np.array([run.time if run.time else np.nan for run in runs])
    heat = np.where(np.isfinite(times), rate * np.nan_to_num(times), 0.0)
    signal = mean - black - heat
    before = len(messages)
    refusal = _check_times(runs, usable, times, signal, messages)
    if refusal:
        return PlaneNoise(name, refusal)
    if len(messages) > before and not good_dark.any():
        measured = None  # darkness was led back to time 0 by times that are wrong

    quantum = (step / slope) ** 2 / 12.0
    shown = variance > LEAST_NOISE * 12.0 * quantum
    hidden = bool((good_dark & paired & ~shown).any())
    fitted = (usable | (good_dark & paired)) & shown
    distinct = len(np.unique(np.round(mean[fitted], 4)))
    if distinct < 2:
        return PlaneNoise(
            name,
            f'{name}: only one level of light and no dark frames that show noise: gain and read '
            'noise cannot be told apart; record flat frames at several exposure times, and dark '
            'frames',
        )
    line = fit_line(mean[fitted] - black, variance[fitted], freedom[fitted], quantum[fitted])
    if line.gain <= 0:
        return PlaneNoise(
            name, f'{name}: the noise does not grow with light: the flat frames are no flat frames'
        )
    curved = abs(line.bend[0]) > max(CURVED, 5.0 * line.bend[1])
    if curved:
        messages.append(
            f'{name}: the variance is not a straight function of the mean (it bends by '
            f'{100 * line.bend[0]:.0f} %): the response is not linear or exposure or gain '
            'changed; estimate the response first and give its result to this stage'
        )
    dark_times = len({run.time for run, good in zip(runs, good_dark, strict=True) if good})
    patterns = _patterns(
        runs, index, encoding, curve, (usable | good_dark) & paired, signal, heat, variance, line,
        dark_times if np.isfinite(times[good_dark]).all() else 0,
        NEARLY * min(end, float(curve.light(np.array([NEARLY]))[0])),
    )  # fmt: skip
    darkness = None
    if hidden or clipped or not curve.linear:
        darkness = _from_codes(runs, index, curve, step, line, black)
    if darkness is None:
        messages += unused
    plot = {
        'channel': name,
        'mean': mean.tolist(),
        'variance': variance.tolist(),
        'fitted': fitted.tolist(),
        'gain': line.gain,
        'offset': line.offset,
        'black': black,
    }
    return PlaneNoise(
        name,
        line=line,
        black=(black, measured),
        patterns=patterns,
        full=full,
        partly_full=float(brightest[partly].max()) if full is None and len(partly) else None,
        reached=float(mean[~dark].max()),
        flat_levels=int(usable.sum()),
        dark_levels=int(good_dark.sum()),
        dark_times=dark_times,
        hidden=hidden,
        grain=_grain(variance[good_dark & paired], step),
        dark_span=float(np.ptp(times[good_dark])) if dark_times > 1 else 0.0,
        clipped=clipped,
        curved=curved,
        darkness=darkness,
        messages=messages,
        plot=plot,
    )


def _flattened(
    mean: Array, brightest: Array, variance: Array, frames: Array, lit: Array, dark: Array
) -> Array:
    """Return at which levels the brightest photosites are full and the others are not, (n,).

    What is brightest in a picture is brighter than its mean by the same factor at all levels,
    until it is full. Beside that its noise is smaller than darker levels tell.

    :param brightest: value below which all but few photosites are, by mean over ``frames``.
    :param lit: flat levels that may be so.
    """
    rest = float(mean[dark].min()) if dark.any() else 0.0
    signal = np.maximum(mean - rest, 1e-9)
    noise = 2.58 * np.sqrt(np.nan_to_num(variance) / frames)  # where 99.5 % of a normal lie
    contrast = (brightest - rest - noise) / signal
    found = np.zeros(len(mean), bool)
    for i in np.flatnonzero(lit):
        below = lit & (signal > 0.15 * signal[i]) & (signal < 0.75 * signal[i])
        if below.any():
            expected = float(np.median(variance[below] / signal[below])) * signal[i]
            flat_top = contrast[i] < FLAT_TOP * float(np.median(contrast[below]))
            found[i] = flat_top and variance[i] < FLAT_TOP * expected
    return found


def _from_codes(
    runs: list[Run],
    index: int,
    curve: LightCurve,
    step: float,
    line: TransferLine,
    black: float,
) -> Darkness | None:
    """Find the noise of darkness from how often each code of dark frames occurs."""
    known = [run for run in runs if run.codes and run.time and run.frames > 1]
    if not known:
        return None
    last = round(1.0 / step)
    rest = black if curve.linear else 0.0
    limits = (curve.light((np.arange(1, last + 1) - 0.5) * step) - rest) / line.gain
    limits = np.maximum.accumulate(limits)
    # Below and above the curve there is no light of a value: its ends take all that is beyond.
    limits[limits == limits[0]] = -np.inf if limits[1] == limits[0] else limits[0]
    limits[limits == limits[-1]] = np.inf if limits[-2] == limits[-1] else limits[-1]
    electrons = np.concatenate([[-np.inf], limits, [np.inf]])
    middle = (curve.light(np.arange(last + 1) * step) - rest) / line.gain
    taken = []
    for run in known:
        codes = run.codes[index]
        values = codes * (1.0 / np.iinfo(codes.dtype).max)
        taken.append(DarkRun(np.rint(values * last).astype(np.int64), float(run.time or 0.0)))
    return fit_darkness(taken, electrons, middle, line.gain_std / line.gain)


def _bent(curve: LightCurve, values: Array, variance: Array) -> Array:
    """Return at which levels the response is not straight over the width of the noise."""
    if curve.linear:
        return np.zeros(len(values), bool)
    reach = 2.0 * np.sqrt(np.nan_to_num(variance)) + 2e-3
    ratio = curve.slope(values + reach) / np.maximum(curve.slope(values - reach), 1e-9)
    return np.abs(np.log(np.maximum(ratio, 1e-9))) > BENT


def _grain(variance: Array, step: float) -> float:
    """Return the most that rounding displaces the mean of a normal distribution."""
    if not len(variance):
        return 0.0
    least = max(float(variance.min()) / step**2 - 1.0 / 12.0, 0.0)
    return step / np.pi * float(np.exp(-2.0 * np.pi**2 * least))


def _darkness(
    runs: list[Run],
    mean: Array,
    variance: Array,
    freedom: Array,
    good_dark: Array,
    usable: Array,
    curve: LightCurve,
) -> tuple[float, float, float | None]:
    """Return the value of darkness, its growth per second, and the standard deviation of it."""
    chosen = good_dark
    rest = 0.0 if not curve.linear else curve.black
    if not good_dark.any():
        chosen = usable
    times = np.array([run.time if run.time else np.nan for run in runs])[chosen]
    # of a single frame the variance is not known
    known = np.nan_to_num(variance[chosen], nan=1e-6)
    error = np.maximum(known, 1e-12) / np.maximum(freedom[chosen], 1.0)
    timed = bool(np.isfinite(times).all()) and len(set(times)) > (1 if good_dark.any() else 2)
    if timed:
        design = np.stack([np.ones_like(times), times], axis=1)
        (black, rate), covariance, chi2 = weighted_fit(design, mean[chosen], error)
        spread = float(covariance[0, 0] * max(chi2, 1.0)) ** 0.5
        return float(black), float(rate) if good_dark.any() else 0.0, spread
    if good_dark.any():
        level = float(np.average(mean[chosen], weights=1 / error))
        if not curve.linear and np.isfinite(times).all():
            # Light is 0 in darkness, so what dark frames of one time show has grown since.
            return rest, max(level - rest, 0.0) / float(times[0]), float(error.min()) ** 0.5
        return level, 0.0, float(error.min()) ** 0.5
    return rest, 0.0, None


def _check_times(
    runs: list[Run], usable: Array, times: Array, signal: Array, messages: list[str]
) -> str:
    """Add what is wrong with exposure times to the messages; return a refusal, or ''."""
    timed = usable & np.isfinite(times)
    apertures = Counter(run.aperture for run, ok in zip(runs, timed, strict=True) if ok)
    if not apertures:
        return ''
    aperture = apertures.most_common(1)[0][0]
    timed &= np.array([run.aperture == aperture for run in runs])
    if looks_automatic(times[timed], signal[timed]):
        return f'the brightness does not follow the exposure time: {AUTOMATIC}'
    chosen = [run for run, ok in zip(runs, timed, strict=True) if ok]
    messages += linearity_messages(chosen, signal[timed])
    return ''


def _patterns(
    runs: list[Run],
    index: int,
    encoding: str,
    curve: LightCurve,
    chosen: Array,
    signal: Array,
    heat: Array,
    variance: Array,
    line: TransferLine,
    dark_times: int,
    limit: float,
) -> Patterns | None:
    """Fit the fixed patterns to the runs whose mean pictures were kept."""
    picked = [i for i in np.flatnonzero(chosen) if runs[i].picture is not None]
    has_dark = any(runs[i].role == 'dark' for i in picked)
    light = np.array([0.0 if runs[i].role == 'dark' else signal[i] for i in picked])
    if not picked or (not has_dark and len(set(light)) < 2):
        return None
    pictures = []
    for i in picked:
        picture = runs[i].picture
        assert picture is not None
        pictures.append(curve.light(plane_views(picture, encoding)[index]))
    times = None
    if dark_times > 1 and all(runs[i].time for i in picked):
        times = np.array([runs[i].time for i in picked], np.float64)
    else:  # the fit has no term for what grows with time
        pictures = [item - heat[i] for item, i in zip(pictures, picked, strict=True)]
    frames = np.array([runs[i].frames for i in picked], np.float64)
    return fit_patterns(
        pictures, light, times, variance[picked], frames, line.gain, has_dark, limit
    )
