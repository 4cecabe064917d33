# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 7: all that boards show at once, refined by gradient through the differentiable camera.

The stages find one thing after the other, K from corners alone. Here the pictures of the boards
themselves are compared with those that the camera makes (``joint_model``), photosite by photosite,
and K, the distortion, the vignetting gain and the level of darkness move together with each
frame's pose, light and blur until the two agree best. What comes out is taken only if it predicts
frames that did not help to find it significantly better than the staged values do
(``joint_refine``).

``plots``: ``verdict``, 'improved', 'not improved' or 'not refined'; ``sentence``; ``frames``: of
each its name, ``staged`` and ``refined``, the errors over the noise when held out, and
``staged_psnr``, ``refined_psnr``, dB; ``moves``: of each number that was free ``name``,
``staged``, ``staged_std``, ``refined``, ``std``, ``sigmas``; ``held``: {name: why}; ``chance``: of
the test; ``gain``: share by which the median frame's error falls; ``staged_error``,
``refined_error``: of all frames; ``noise``: where it is known from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.bundle import fit_bundle, Observations
from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.calibration.joint_fit import Step
from diffphyscam_ros.calibration.joint_frames import gather, starts
from diffphyscam_ros.calibration.joint_model import JointModel
from diffphyscam_ros.calibration.joint_parameters import PHOTOMETRIC, start_of
from diffphyscam_ros.calibration.joint_refine import LEAST_FRAMES, LEAST_GAIN, refine, Refinement
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.calibration.types import Estimate, RecordedFrame, StageResult
from diffphyscam_ros.camera.sensor_model import SensorModel

IMPROVED, NOT_IMPROVED, NOT_REFINED = 'improved', 'not improved', 'not refined'


def estimate_joint(
    frames: Iterable[RecordedFrame],
    name_of: Callable[[RecordedFrame], str],
    intrinsics: IntrinsicsResult,
    target: Target,
    sensor: SensorModel,
    estimates: Mapping[str, Estimate],
    *,
    seed: int = 0,
    tick: Step = lambda: None,
) -> tuple[StageResult, IntrinsicsResult]:
    """Refine the staged values; return the stage, and the intrinsics to go on with.

    :param frames: in the order of the recording; those of role 'board' are looked at.
    :param name_of: gives the name that a frame's view has.
    :param intrinsics: with K and poses.
    :param sensor: with all that the stages have found.
    :param estimates: the latest of each parameter.
    :param seed: of the choice of photosites and of the parts held out.
    :param tick: called now and then.
    """
    if sensor.focus_breathing:
        return _refused('K follows the focus distance (focus_breathing)'), intrinsics
    encodings: set[str] = set()
    full_scales: set[float] = set()

    def noted() -> Iterable[RecordedFrame]:
        for frame in frames:
            encodings.add(frame.encoding)
            full_scales.add(frame.full_scale)
            yield frame

    taken = gather(noted(), name_of, intrinsics, sensor, seed=seed)
    if len(taken) < LEAST_FRAMES:
        why = (
            f'{len(taken)} frames show the board bright and large enough, {LEAST_FRAMES} are '
            'needed to tell whether others are predicted better'
        )
        return _refused(why), intrinsics
    noisy = _known(estimates, 'read_noise') and max(np.ravel(sensor.shot_noise_gain)) > 0
    raw = any(encoding.startswith('bayer_') for encoding in encodings)
    steps = 2.0**sensor.bit_depth - 1.0 if sensor.bit_depth else max(full_scales)
    first, sigma = starts(taken, sensor, raw=raw, noisy=noisy, step=1.0 / steps)
    fit = intrinsics.solution
    numbers = start_of(sensor, intrinsics.model, fit.fit.camera, fit.std, fit.fit.free, estimates)
    model = JointModel(sensor, target, numbers, taken, raw=raw)
    try:
        found = refine(model, numbers, first, sigma, seed=seed, tick=tick)
    except np.linalg.LinAlgError as error:
        found = f'the boards do not determine what is to move ({error})'
    if isinstance(found, str):
        return _refused(found), intrinsics
    stage = _stage(found, sensor, intrinsics, estimates, noisy)
    return stage, _refined(intrinsics, found) if found.improved else intrinsics


def _known(estimates: Mapping[str, Estimate], name: str) -> bool:
    return name in estimates and estimates[name].value is not None


def _refused(why: str) -> StageResult:
    sentence = f'not refined: {why}; the staged values stay'
    return StageResult('joint', (), (sentence,), {'verdict': NOT_REFINED, 'sentence': sentence})


def _sentence(found: Refinement) -> str:
    better = sum(item.refined < item.staged for item in found.frames)
    psnr = [
        float(np.mean([getattr(item, name) for item in found.frames]))
        for name in ('staged_psnr', 'refined_psnr')
    ]
    numbers = (
        f'their error goes from {found.staged_error:.3f} to {found.refined_error:.3f} times the '
        f'noise, {psnr[0]:.2f} to {psnr[1]:.2f} dB, better in {better} of {len(found.frames)} '
        f'(p = {found.chance:.2g}), the median frame by {100.0 * found.gain:.2f} %'
    )
    if found.improved:
        return f'the refined values predict frames held out better, and are taken: {numbers}'
    return (
        'the refined values do not predict frames held out better, significantly and by '
        f'{100.0 * LEAST_GAIN:g} % at least, so the staged ones are kept: {numbers}'
    )


def _stage(
    found: Refinement,
    sensor: SensorModel,
    intrinsics: IntrinsicsResult,
    staged: Mapping[str, Estimate],
    noisy: bool,
) -> StageResult:
    sentence = _sentence(found)
    held: dict[str, list[str]] = {}
    for name, why in found.numbers.held.items():
        held.setdefault(why, []).append(name)
    messages = (
        sentence,
        *(f'{name} left out: {why}' for name, why in found.outliers),
        *(f'{", ".join(names)} not moved: {why}' for why, names in held.items()),
    )
    estimates = _estimates(found, sensor, intrinsics, staged) if found.improved else ()
    free = found.numbers.free
    names = tuple(np.array(found.numbers.names)[free].tolist())
    std = np.sqrt(np.maximum(np.diag(found.covariance), 1e-300))
    matrix = np.clip(found.covariance / std[:, None] / std, -1.0, 1.0)
    plots = {
        'verdict': IMPROVED if found.improved else NOT_IMPROVED,
        'sentence': sentence,
        'frames': [item._asdict() for item in found.frames],
        'moves': _moves(found),
        'held': dict(found.numbers.held),
        'outliers': [list(pair) for pair in found.outliers],
        'chance': found.chance,
        'gain': found.gain,
        'staged_error': found.staged_error,
        'refined_error': found.refined_error,
        'noise': 'photon transfer' if noisy else 'the residuals themselves',
    }
    correlation = (names, matrix.round(6).tolist()) if found.improved else None
    return StageResult('joint', estimates, messages, plots, correlation)


def _moves(found: Refinement) -> list[dict[str, Any]]:
    numbers = found.numbers
    rows = []
    for number in np.flatnonzero(numbers.free):
        move = float(found.camera[number] - numbers.values[number])
        std = float(numbers.std[number])
        rows.append(
            {
                'name': numbers.names[number],
                'staged': float(numbers.values[number]),
                'staged_std': std,
                'refined': float(found.camera[number]),
                'std': float(found.std[number]),
                'sigmas': move / std if std > 0 else None,
            }
        )
    return rows


def _estimates(
    found: Refinement,
    sensor: SensorModel,
    intrinsics: IntrinsicsResult,
    staged: Mapping[str, Estimate],
) -> tuple[Estimate, ...]:
    """Return the parameters that moved, each with the verdict that its stage gave it."""
    lens = len(found.camera) - len(PHOTOMETRIC)
    value, std, free = found.camera, found.std, found.numbers.free
    scale = float(sensor.pixel_size) / float(sensor.settings.focal_length)
    new: dict[str, tuple[Any, Any]] = {
        'focal_scale': (value[:2] * scale, std[:2] * scale),
        'principal_point': (value[2:4], std[2:4]),
        'distortion_coefficients': (value[4:lens], std[4:lens]),
    }
    gain, shift = (found.numbers.index(name) for name in PHOTOMETRIC)
    if free[gain]:
        new['vignetting_gain'] = float(np.clip(value[gain], 0.0, 1.0)), float(std[gain])
    if free[shift]:
        biases = np.asarray(sensor.response_biases, np.float64) + value[shift]
        new['response_biases'] = biases, np.full(3, std[shift])
    why = (
        f'refined by the gradient of the camera on {len(found.frames)} frames of the board, '
        'together with all that moved; frames held out are predicted better'
    )
    return tuple(
        replace(
            staged[name],
            value=_plain(both[0]),
            std=_plain(both[1]),
            reason=why,
            frames=len(found.frames),
        )
        for name, both in new.items()
        if _known(staged, name)
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, float) else tuple(float(item) for item in value)


def _refined(intrinsics: IntrinsicsResult, found: Refinement) -> IntrinsicsResult:
    """Return the intrinsics with the refined camera, and the poses that its corners have then."""
    solution, lens = intrinsics.solution, len(found.camera) - len(PHOTOMETRIC)
    camera, free = found.camera[:lens], found.numbers.free[:lens]
    old = solution.fit
    new = fit_bundle(
        Observations.of(solution.views), old.model, camera, old.rotation, old.translation,
        np.zeros_like(old.free),
    )  # fmt: skip
    count = int(free.sum())
    covariance = np.zeros((lens, lens))
    covariance[np.ix_(free, free)] = found.covariance[:count, :count]
    new = replace(new, free=old.free, covariance=covariance, influence=old.influence)
    return replace(intrinsics, fit=replace(solution, fit=new, std=found.std[:lens]))
