# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Whether K may be believed, said in plain sentences: refusals, weaknesses, estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.coverage import Coverage
from diffphyscam_ros.calibration.projection import parameter_names
from diffphyscam_ros.calibration.robust_fit import DISAGREEMENT, EXACT, RobustFit
from diffphyscam_ros.calibration.types import Estimate
from diffphyscam_ros.calibration.view_selection import Selection

FEWEST_VIEWS = 3
FEW_VIEWS = 8
SAME_TILT = 5.0  # deg; boards that differ less do not show the focal length
UNSURE_FOCAL = 0.05  # of the focal length: nothing is known
WEAK_FOCAL = 0.005
WEAK_CENTRE = 0.01  # of the width
WEAK_DIRECTION = 2.0  # px of standard deviation anywhere in the picture
GROSS = 0.25  # the weight of a corner that is 12 standard deviations off
LARGE_ERROR = 1.0  # px

REMEDY = (
    'film the board from near, filling the picture, turned to the left, right, up and down by 20 '
    'to 45 deg, and in all corners of the picture, holding still for each view'
)


def refusal(
    selection: Selection, count: int, found: RobustFit | None, coverage: Coverage | None
) -> str:
    """Return why a fit says nothing about K, or ''.

    :param count: of all views that were given.
    :param found: None where no fit was found.
    """
    why_not = too_few(selection, count)
    if why_not:
        return why_not
    if found is None or coverage is None:
        return f'no camera explains these views: check the target; {REMEDY}'
    if coverage.normal_spread < SAME_TILT:
        return (
            f'all boards have the same tilt within {coverage.normal_spread:.1f} deg, so that a '
            f'longer focal length looks like a board farther away; {REMEDY}'
        )
    focal, std = found.fit.camera[:2], found.std[:2]
    if (found.fit.free[:2] & ~(std < UNSURE_FOCAL * focal)).any():
        return (
            f'the focal length is uncertain by {100 * float((std / focal).max()):.0f} %: these '
            f'views hardly show it; {REMEDY}'
        )
    return ''


def too_few(selection: Selection, count: int) -> str:
    """Return why these views are not worth a fit, or ''."""
    if not count:
        return f'no view of the board: {REMEDY}; check that the target is the stated one'
    kept = len(selection.kept)
    if kept < FEWEST_VIEWS:
        what = f'{kept} usable view{"s" * (kept != 1)} of the board'
        if selection.repeats:
            what += f' ({selection.repeats} more show it at the same place)'
        if selection.dropped:
            name, reason = selection.dropped[0]
            what += f' ({len(selection.dropped)} left out, {name or "the first"}: {reason})'
        return f'{what}: at least {FEWEST_VIEWS} are needed, 15 or more are good; {REMEDY}'
    return ''


def weaknesses(
    found: RobustFit, coverage: Coverage, uncertainty: npt.NDArray[np.float64]
) -> tuple[str, ...]:
    """Return why K is weak, in plain sentences with what to film; none where it is not."""
    weak = list(coverage.advice()) if coverage.weak else []
    camera, std = found.fit.camera, found.std
    width = 2 * camera[2] if camera[2] > 1 else 1.0
    if len(found.views) < FEW_VIEWS:
        weak.append(f'only {len(found.views)} different views; 15 or more are good')
    if (std[:2] > WEAK_FOCAL * camera[:2]).any():
        weak.append(
            f'the focal length is uncertain by {100 * float((std[:2] / camera[:2]).max()):.1f} %; '
            'film the board nearer and turned more'
        )
    if (std[2:4] > WEAK_CENTRE * width).any():
        weak.append(
            f'the principal point is uncertain by {float(std[2:4].max()):.1f} px; film the board '
            'turned more, and in opposite corners of the picture'
        )
    known = uncertainty[np.isfinite(uncertainty)]
    if len(known) and known.max() > WEAK_DIRECTION:
        weak.append(
            f'directions are uncertain by up to {known.max():.1f} px in parts of the picture that '
            'no board reached'
        )
    if not np.isfinite(uncertainty).all():
        weak.append(
            'the lens model turns back on itself inside the picture: film the board in the '
            'corners, or take another model'
        )
    typical = found.fit.sigma * 2**0.5  # single gross errors do not count
    if typical > LARGE_ERROR:
        weak.append(
            f'corners are {typical:.2f} px rms from where they should be: is the board '
            'flat, its size as stated, the camera still or its shutter global?'
        )
    return tuple(weak)


def estimates_of(
    found: RobustFit, to_scale: float, weak: tuple[str, ...], source: str
) -> tuple[Estimate, ...]:
    """Return the fields of SensorModel.

    :param to_scale: ``focal_scale`` for each px of focal length: pixel size over focal length.
    """
    camera, std = found.fit.camera, found.std
    count = len(found.views)
    reason = (
        f'from {count} views of the board, {len(found.fit.residuals)} corners, '
        f'{found.fit.rms:.3f} px rms'
    )
    if np.isfinite(found.held_out):
        reason += f', {found.held_out:.3f} px in views held out'
    if weak:
        reason += '; weak: ' + '; '.join(weak)
    verdict = 'weak' if weak else 'estimated'
    rest: dict[str, Any] = {
        'verdict': verdict,
        'reason': reason,
        'frames': count,
        'source': source,
    }
    return (
        Estimate(
            'focal_scale', _numbers(camera[:2] * to_scale), _numbers(std[:2] * to_scale), '1',
            **rest,
        ),
        Estimate('principal_point', _numbers(camera[2:4]), _numbers(std[2:4]), 'px', **rest),
        Estimate('distortion_model', found.fit.model, None, '', **rest),
        Estimate('distortion_coefficients', _numbers(camera[4:]), _numbers(std[4:]), '1', **rest),
    )  # fmt: skip


def refused_estimates(reason: str, source: str) -> tuple[Estimate, ...]:
    """Return the same fields, not estimated."""
    units = {
        'focal_scale': '1',
        'principal_point': 'px',
        'distortion_model': '',
        'distortion_coefficients': '1',
    }
    return tuple(
        Estimate(name, None, None, unit, 'not estimated', reason, 0, source)
        for name, unit in units.items()
    )


def messages_of(selection: Selection, found: RobustFit | None) -> tuple[str, ...]:
    """Return what happened to the views, and what else is worth knowing."""
    messages = []
    if selection.repeats:
        messages.append(
            f'{selection.repeats} views show the board where another does, and were left out'
        )
    for name, reason in (*selection.dropped, *(found.outliers if found else ())):
        messages.append(f'view {name or "(unnamed)"} left out: {reason}')
    saturated = [v.name for v in selection.kept if 'saturated' in v.quality.flags]
    if saturated:
        messages.append(
            f'{len(saturated)} views have white squares at full scale (first: {saturated[0]}): '
            'expose less, edges move there'
        )
    if found is None:
        return tuple(messages)
    gross = int((found.fit.weights < GROSS).sum())
    if gross and found.fit.sigma > EXACT:
        messages.append(f'{gross} single corners are far off and hardly count')
    if found.disagreement > DISAGREEMENT:
        messages.append(
            f'views disagree {found.disagreement:.1f} times as much as the errors of their '
            'corners explain (a bent board, motion, blur?): the standard deviations are those of '
            'leaving out views'
        )
    names = parameter_names(found.fit.model)
    numbers = list(zip(names, found.fit.camera, found.std, strict=True))[4:]
    held = [name for name, value, std in numbers if value == 0 and std == 0]
    if held:
        messages.append(
            f'held at 0, as was asked: {", ".join(held)}. The other coefficients take their part, '
            'and K moves with them: compare only with calibrations that hold the same ones'
        )
    if found.fit.model == 'rational_polynomial':
        messages.append(
            'held near 0: k4, k5, k6, for numerator and denominator can stand in for each other; '
            'together they are right, one by one they mean nothing'
        )
    for name, value, std in numbers:
        if name in ('k3', 'k4', 'k5', 'k6') and 0 < abs(value) < std:
            messages.append(
                f'{name} = {value:.3g} is no larger than its standard deviation {std:.3g}: these '
                'views do not show it'
            )
    return tuple(messages)


def _numbers(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
