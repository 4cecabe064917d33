# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Refine a camera on some frames, and judge it on frames that did not help.

The frames are dealt into three parts. Each part is predicted by the camera refined on the other
two; the numbers that belong to a frame alone (its pose, its light, ink and blur) are fitted to it,
with the staged camera as with the refined one. The staged camera has seen all frames before, so
the comparison favours it.

The test: Wilcoxon's signed ranks of the logarithms of the errors' ratios, paired over frames,
one-sided, at the level of 1 %; and the median error must fall by 0.2 %, for errors of the model
itself make differences of about half of that which are significant and mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.joint_fit import (
    fit,
    frame_costs,
    robust_scale,
    Solution,
    State,
    Step,
    Weights,
)
from diffphyscam_ros.calibration.joint_model import JointModel
from diffphyscam_ros.calibration.joint_parameters import Array, CameraNumbers, INFORMED

FOLDS = 3
LEVEL = 0.01
"""Of the test: the chance that a camera which is no better passes it."""

LEAST_GAIN = 0.002
"""Share of its error by which the median frame must get better."""

LEAST_FRAMES = 8
"""With fewer the test cannot reach its level with any margin."""

OUTLIER_RATIO, MOST_OUTLIERS = 2.5, 0.3
"""A frame whose error is so many times the median is left out, of at most that share of all."""

NARROWER = 0.9
"""Times the scale of the residuals, below which it is taken anew."""

TICKS = 80
"""Steps that a refinement takes, about, for the progress."""


class Compared(NamedTuple):
    """One frame's errors, over the noise and as PSNR (dB), with the staged and the refined camera.

    Neither camera's refinement has seen the frame.
    """

    name: str
    staged: float
    refined: float
    staged_psnr: float
    refined_psnr: float


@dataclass(frozen=True, eq=False)
class Refinement:
    """What came out.

    :param numbers: the staged camera, with what was free to move.
    :param camera: (p,) the refined numbers, and their standard deviations, ``std``.
    :param covariance: (k, k) of the free ones.
    :param frames: compared; none of them an outlier.
    :param outliers: names of frames left out, with the reason.
    :param chance: p-value of the test.
    :param gain: share by which the median frame's error falls.
    :param improved: whether frames held out are predicted better, significantly and noticeably.
    :param scale: of the residuals over the noise, with the staged camera.
    """

    numbers: CameraNumbers
    camera: Array
    std: Array
    covariance: Array
    frames: tuple[Compared, ...]
    outliers: tuple[tuple[str, str], ...]
    chance: float
    gain: float
    improved: bool
    scale: float
    staged_error: float
    refined_error: float


def refine(
    model: JointModel,
    numbers: CameraNumbers,
    start: Array,
    sigma: Array,
    *,
    seed: int = 0,
    tick: Step = lambda: None,
) -> Refinement | str:
    """Refine and judge; or say why there is nothing to do.

    :param start: (f, 17) first numbers of each frame.
    :param sigma: (N,) noise of each sample.
    :param seed: of the parts into which frames are dealt.
    :param tick: called before every step of every fit.
    """
    nothing = np.zeros(len(numbers.values), bool)
    turns = np.stack([frame.rotation for frame in model.frames])
    state, scale = State(numbers.values, start, turns), 1.0
    for steps in (3, 4, 12):  # the scale of the residuals falls as the frames find their places
        scale = robust_scale(model, state, sigma)
        weights = Weights(sigma, scale, start)
        state = fit(model, numbers, state, weights, nothing, steps=steps, tick=tick).state
    kept, outliers = _without_outliers(model, state, weights)
    if len(kept) < LEAST_FRAMES:
        return (
            f'{len(kept)} frames show the board well enough, {LEAST_FRAMES} are needed to tell '
            'whether others are predicted better'
        )
    if len(kept) < len(model.frames):
        rows = np.concatenate([np.arange(*model.starts[i : i + 2]) for i in kept])
        model, start, sigma = model.part(kept), start[kept], sigma[rows]
        state = State(state.camera, state.frame[kept], state.turns[kept])
    weights = Weights(sigma, robust_scale(model, state, sigma), start)
    staged = fit(model, numbers, state, weights, nothing, tick=tick).state
    before = frame_costs(model, staged, weights)
    staged_error = _rms(before[0])
    numbers = _informed(model, numbers, staged, weights, staged_error)
    if not numbers.free.any():
        return 'boards inform none of the parameters that were estimated'
    best = fit(model, numbers, staged, weights, numbers.free, tick=tick)
    for _ in range(2):  # errors of the staged camera had made the residuals wide
        scale = robust_scale(model, best.state, sigma)
        if scale > NARROWER * weights.scale:
            break
        weights = Weights(sigma, scale, start)
        staged = fit(model, numbers, staged, weights, nothing, tick=tick).state
        best = fit(model, numbers, best.state, weights, numbers.free, tick=tick)
        before = frame_costs(model, staged, weights)
        staged_error = _rms(before[0])
    after = _held_out(model, numbers, best.state, weights, seed, tick)
    frames = tuple(
        Compared(f.name, *map(float, (a, b, _psnr(c), _psnr(d))))
        for f, a, b, c, d in zip(
            model.frames, before[0], after[0], before[1], after[1], strict=True
        )
    )
    chance = _chance(before[0], after[0])
    gain = 1.0 - float(np.exp(np.median(np.log(after[0] / before[0]))))
    improved = chance < LEVEL and gain > LEAST_GAIN
    error = _rms(after[0])
    covariance, std = _uncertainty(best, numbers, error)
    return Refinement(
        numbers, best.state.camera, std, covariance, frames, outliers, chance, gain, improved,
        weights.scale, staged_error, error,
    )  # fmt: skip


def _rms(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _psnr(mean_square: float) -> float:
    return float(-10.0 * np.log10(max(mean_square, 1e-12)))


def _without_outliers(
    model: JointModel, state: State, weights: Weights
) -> tuple[list[int], tuple[tuple[str, str], ...]]:
    """Return which frames to keep, and the names of the others."""
    error, _ = frame_costs(model, state, weights)
    ratio = error / np.median(error)
    bad = np.flatnonzero(~(ratio <= OUTLIER_RATIO))
    bad = bad[np.argsort(-ratio[bad])][: int(MOST_OUTLIERS * len(error))]
    kept = [number for number in range(len(error)) if number not in set(bad.tolist())]
    why = tuple(
        (model.frames[i].name, f'it is {ratio[i]:.1f} times as far off as the others')
        for i in sorted(bad.tolist())
    )
    return kept, why


def _informed(
    model: JointModel, numbers: CameraNumbers, state: State, weights: Weights, error: float
) -> CameraNumbers:
    """Return the numbers, those held of which boards say little beside what is known already."""
    still = fit(model, numbers, state, weights, numbers.free, steps=0)
    std = np.full(len(numbers.values), np.inf)
    variance = np.diag(np.linalg.pinv(still.information))
    std[numbers.free] = np.sqrt(variance * _shared(error, len(model.frames)))
    free, held = numbers.free.copy(), dict(numbers.held)
    for number, name in enumerate(numbers.names):
        known = np.isfinite(numbers.spread[number]) and name in _PHOTOMETRIC
        if free[number] and known and std[number] > INFORMED * numbers.spread[number]:
            free[number] = False
            held[name] = 'boards say little of it beside the frames that it was estimated from'
    return replace(numbers, free=free, held=held)


_PHOTOMETRIC = ('vignetting_gain', 'response_biases')


def _held_out(
    model: JointModel, numbers: CameraNumbers, best: State, weights: Weights, seed: int, tick: Step
) -> tuple[Array, Array]:
    """Return each frame's errors with the camera refined on the other parts."""
    errors, squares = np.zeros(len(model.frames)), np.zeros(len(model.frames))
    for held in _parts(model, seed):
        rest = np.setdiff1d(np.arange(len(model.frames)), held)
        pieces = [_piece(model, best, weights, chosen.tolist()) for chosen in (rest, held)]
        part, state, own = pieces[0]
        camera = fit(part, numbers, state, own, numbers.free, tick=tick).state.camera
        part, state, own = pieces[1]
        nothing = np.zeros_like(numbers.free)
        state = replace(state, camera=camera)
        alone = fit(part, numbers, state, own, nothing, tick=tick).state
        errors[held], squares[held] = frame_costs(part, alone, own)
    return errors, squares


def _parts(model: JointModel, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the frames of each part."""
    part = np.random.default_rng(seed).permutation(np.arange(len(model.frames)) % FOLDS)
    for number in range(FOLDS):
        yield np.flatnonzero(part == number)


def _piece(
    model: JointModel, state: State, weights: Weights, chosen: list[int]
) -> tuple[JointModel, State, Weights]:
    rows = np.concatenate([np.arange(*model.starts[i : i + 2]) for i in chosen])
    return (
        model.part(chosen),
        State(state.camera, state.frame[chosen], state.turns[chosen]),
        Weights(weights.sigma[rows], weights.scale, weights.start[chosen]),
    )


def _chance(before: Array, after: Array) -> float:
    """Return the chance of such a gain where there is none."""
    from scipy.stats import wilcoxon

    gain = np.log(before) - np.log(after)
    if not np.isfinite(gain).all() or not np.abs(gain).max() > 1e-9:
        return 1.0
    return float(wilcoxon(gain, alternative='greater').pvalue)


def _uncertainty(best: Solution, numbers: CameraNumbers, error: float) -> tuple[Array, Array]:
    """Return the covariance of the free numbers and the standard deviations of all, (p,).

    The normal equations know errors that are independent from sample to sample. What one frame
    has apart from others (a bent board, light of another course) shows in how differently the
    frames pull (the sandwich estimator, clustered by frame): where it says more it is believed.
    ``_shared`` is for the rest.

    :param error: of frames held out, over the noise.
    """
    bread = np.linalg.pinv(best.information)
    count = len(best.scores)
    meat = best.scores.T @ best.scores * count / max(count - 1, 1)
    formal, clustered = np.diag(bread), np.diag(bread @ meat @ bread)
    std = np.zeros(len(numbers.values))
    variance = np.maximum(formal, clustered) * _shared(error, count)
    std[numbers.free] = np.sqrt(variance)
    grow = std[numbers.free] / np.sqrt(np.maximum(formal, 1e-300))
    return bread * grow[:, None] * grow, std


def _shared(error: float, frames: int) -> float:
    """Return by how much variances grow for what all frames share, a blur of another shape say.

    It shows in residuals beyond the noise. That share of them is counted as if it were the same
    in all frames, so that no mean over frames makes it less.

    :param error: of the frames, over the noise.
    """
    return 1.0 + (frames - 1) * max(0.0, 1.0 - 1.0 / max(error, 1e-9) ** 2)
