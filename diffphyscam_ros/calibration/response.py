# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage "response": which curve leads from exposure to digital values.

From pictures of a still scene at known exposure times. The curve is linear, a sigmoid, the gamma
curve, or a free monotone table: the simplest whose error on observations that it was not fitted to
is as small as that of the best.

**Convention.** A sweep does not know how bright its scene is, so the unit of exposure is open. It
is chosen so that a picture keeps the brightness that the nominal sensor gives it: where a table is
at 1, and a sigmoid at 0.9, S·X is what the nominal sensor has there. The gamma curve fixes S·X
itself (by log2), and ``aggregator_gain`` is scaled instead. Of the linear curve and the table the
value of darkness is ``black_level``, and the biases are 0.

``plots``: ``curve``: ``exposure`` (1 = highest), ``value``, ``std``; ``held_out``: rms error of
each kind; ``chosen``; ``exposures``: ``time``, ``level``, ``misfit`` (relative, in exposure);
``range``: lowest and highest value seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.exposure_checks import AUTOMATIC, looks_automatic
from diffphyscam_ros.calibration.exposure_sweep import gather_sweep, Sweep
from diffphyscam_ros.calibration.noise_estimates import refused
from diffphyscam_ros.calibration.planes import Array
from diffphyscam_ros.calibration.response_curves import Curve, CURVES, Gamma, Linear, Table
from diffphyscam_ros.calibration.response_estimates import estimates_of, LED_ON
from diffphyscam_ros.calibration.response_fit import Fit, fit_curve, Observations
from diffphyscam_ros.calibration.types import RecordedFrame, StageResult
from diffphyscam_ros.camera.sensor_model import SensorModel

PARAMETERS = (
    'response_type',
    'response_gains',
    'response_biases',
    'response_gamma',
    'response_table',
    'black_level',
)

LEAST_RANGE = 8.0
"""Longest over shortest exposure."""

RECORD = (
    'record a still scene of dark and bright parts at five or more exposure times, each twice the '
    'last, with everything else as it is'
)

FOOT = 0.04
"""Digital values above darkness that the gamma curve is not fitted to.

Within a few electrons of darkness log2 is so bent that the mean of noisy values is not the value
of the mean.
"""

ALIKE = 1e-3
"""Digital values by which two curves may differ to count as the same."""

WRONG_TIME = 0.03
"""Share by which an exposure may differ from what all others say of it."""


def estimate_response(
    frames: Iterable[RecordedFrame],
    sensor: SensorModel,
    electrons: tuple[float, float] | None = None,
) -> StageResult:
    """Estimate the response from an exposure sweep.

    :param frames: of role 'sweep', with exposure times, and 'dark' ones, which pin the value of
        darkness; others are left out. They are gone through once.
    :param sensor: nominal: the unit of exposure, and the black level of curves that cannot tell
        it.
    :param electrons: of a response that is known to be a gamma curve, how many of the S·X that
        the curve finds by itself are one of a photo-electron, and its standard deviation.
    """
    sweep = gather_sweep(frames)
    messages = [f'{count} frames left out: {why}' for why, count in sweep.skipped.items()]
    why = _refusal(sweep)
    if why:
        return StageResult('response', refused(PARAMETERS, why), (why, *messages))
    if sweep.plateau is not None:
        messages.append(
            f'photosites are full at {sweep.plateau:.3f} of full scale (the full well): values '
            'near it are not used'
        )
    if not sweep.dark:
        messages.append('no dark frames: the value of darkness is that of the curve at exposure 0')
    fit, held_out = _chosen(sweep, sensor, electrons)
    misfit, noise = _misfits(fit, sweep)
    wrong = np.flatnonzero((np.abs(misfit) > WRONG_TIME) & (np.abs(misfit) > 5.0 * noise))
    for index in wrong:
        messages.append(
            f'{sweep.names[index]}: its exposure is {100 * np.exp(misfit[index]):.0f} % of what '
            'its time, ISO and aperture tell against the others: the settings are wrong or the '
            'lamp changed; check them, or leave these frames out'
        )
    found = estimates_of(fit, sweep, sensor, len(wrong) > 0)
    return StageResult('response', found, tuple(messages), _plots(fit, sweep, held_out, misfit))


def _refusal(sweep: Sweep) -> str:
    """Return why there is no response to be had, or ''."""
    lit = sweep.factors[sweep.dark :]
    if 'with automatic exposure or gain' in sweep.skipped and len(lit) < 3:
        return f'automatic exposure or gain was running: {AUTOMATIC}'
    if 'without an exposure time' in sweep.skipped and len(lit) < 3:
        return (
            'the exposure times of the frames are not known: give the metadata of the driver, or '
            'a CSV of stamp and exposure'
        )
    if len(lit) < 3:
        return (
            f'{len(lit)} exposures of a still scene: at one exposure vignetting, light and '
            f'response cannot be told apart; {RECORD}'
        )
    if lit.max() < LEAST_RANGE * lit.min():
        return (
            f'the exposures span a factor of {lit.max() / lit.min():.1f}: must be {LEAST_RANGE:g} '
            f'or more; {RECORD}'
        )
    dark_level = sweep.levels[0] if sweep.dark else 0.0
    if looks_automatic(lit, sweep.levels[sweep.dark :] - dark_level):
        return f'the brightness does not follow the exposure time: {AUTOMATIC}'
    seen = sweep.seen.exposure[sweep.seen.factor > 0]
    if len(set(seen.tolist())) < 3 or len(seen) < 60:
        return f'nearly all values are saturated or black: {RECORD}'
    return ''


def _chosen(
    sweep: Sweep, sensor: SensorModel, electrons: tuple[float, float] | None
) -> tuple[Fit, dict[str, float]]:
    """Return the fit of the simplest curve that predicts as well as the best."""
    seen, sites = sweep.seen, len(sweep.channel)
    black = float(np.asarray(sensor.black_level))
    top = float(seen.value.max())
    out = ((seen.site + 2 * seen.exposure) % 4 == 0) & (seen.factor > 0)
    # the light of a site has to come from somewhere
    rest = np.bincount(seen.site[~out & (seen.factor > 0)], minlength=sites)
    out &= rest[seen.site] > 0
    free = fit_curve(_curve(Table, sweep, black, top), seen, sites)
    # Cut by what a value should be: those that noise has lifted over the limit would bias a fit.
    expected = free.predict(seen)
    lit = expected > expected.min() + FOOT
    errors: dict[str, float] = {}
    kinds = CURVES if electrons is None else (Gamma,)  # of it alone they can be known
    for kind in kinds:
        used = ~out & lit if kind is Gamma else ~out
        fit = fit_curve(_curve(kind, sweep, black, top), seen.chosen(used), sites)
        miss = fit.predict(seen.chosen(out)) - seen.value[out]
        errors[kind.kind] = float(np.sqrt(np.mean(miss**2)))
    best = min(errors.values())
    simple = next(
        k for k in kinds if errors[k.kind] ** 2 < max(1.02 * best**2, best**2 + ALIKE**2)
    )
    if simple is Table:
        return free, errors
    used = seen.chosen(lit if simple is Gamma else np.ones_like(lit))
    fit = fit_curve(_curve(simple, sweep, black, top), used, sites)
    if electrons is not None and isinstance(fit.curve, Gamma):
        fit = _in_electrons(fit, fit.curve, used, sites, electrons)
    return fit, errors


def _in_electrons(
    fit: Fit, curve: Gamma, seen: Observations, sites: int, electrons: tuple[float, float]
) -> Fit:
    """Return the gamma curve whose S·X is that of photo-electrons."""
    value, std = electrons
    length = float(np.exp(fit.theta[0])) - np.log2(value)

    def held(length: float, bias: float | None) -> Fit:
        return fit_curve(Gamma(curve.black, curve.top, bias, length), seen, sites)

    found = held(length, curve.bias)
    others = [held(length + std / value / np.log(2.0), curve.bias)]
    if curve.bias is None:
        others.append(held(length, float(found.theta[2]) + LED_ON))
    changes = np.stack([other.theta - found.theta for other in others])
    return replace(found, covariance=found.covariance + changes.T @ changes)


def _curve(kind: type[Curve], sweep: Sweep, black: float, top: float) -> Curve:
    """Return a curve with the black value to begin with, or to keep."""
    seen = sweep.seen
    dark = seen.value[seen.factor == 0]
    if kind is Table and len(dark):
        return Table(float(dark.mean()), top, free=False)
    if kind is Linear and len(dark):
        return Linear(float(dark.mean()), top)
    if kind is Gamma and sweep.begins:
        return Gamma(0.0, top, bias=0.0)
    return kind(min(black, 0.9 * float(seen.value.min())), top)


def _misfits(fit: Fit, sweep: Sweep) -> tuple[Array, Array]:
    """Return ln of the exposure of each setting over the stated one, and its noise."""
    seen = sweep.seen
    x = np.exp(np.nan_to_num(fit.log_light[seen.site])) * seen.factor
    _, by_light = fit.curve.slopes(fit.theta, x)
    residual = seen.value - fit.curve.value(fit.theta, x)
    count = len(sweep.settings)
    weight = np.bincount(seen.exposure, by_light**2, count)
    shift = np.bincount(seen.exposure, by_light * residual, count) / np.maximum(weight, 1e-12)
    noise = fit.rms / np.sqrt(np.maximum(weight, 1e-12))
    return np.where(weight > 1e-9, shift, 0.0), noise


def _plots(fit: Fit, sweep: Sweep, held_out: dict[str, float], misfit: Array) -> dict[str, Any]:
    x = np.linspace(0.0, 1.0, 101) ** 2
    highest = np.nanmax(np.exp(fit.log_light))
    by_theta, _ = fit.curve.slopes(fit.theta, x * highest)
    std = np.sqrt(np.maximum(((by_theta @ fit.covariance) * by_theta).sum(axis=1), 0.0))
    return {
        'curve': {
            'exposure': x.tolist(),
            'value': fit.curve.value(fit.theta, x * highest).tolist(),
            'std': std.tolist(),
        },
        'held_out': held_out,
        'chosen': fit.curve.kind,
        'exposures': [
            {'time': setting[0], 'level': float(level), 'misfit': float(share)}
            for setting, level, share in zip(sweep.settings, sweep.levels, misfit, strict=True)
        ],
        'range': [float(sweep.seen.value.min()), float(sweep.seen.value.max())],
    }
