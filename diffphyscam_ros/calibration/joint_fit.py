# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Robust least squares over the camera and all frames, by the gradient of the joint model.

Levenberg-Marquardt with Huber's weights; the numbers of each frame, which meet those of no other
frame, are eliminated first (Schur's complement), as in ``bundle``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.joint_model import JointModel
from diffphyscam_ros.calibration.joint_parameters import (
    Array,
    BLUR,
    CameraNumbers,
    frame_spread,
    LEAST_BLUR,
    PLACE,
)
from diffphyscam_ros.calibration.projection import rotations

HUBER = 2.5
"""Residuals beyond this many standard deviations pull less than by their square."""

STEPS = 12
ENOUGH = 4e-6
"""Of the cost: a step that gains less is the last."""

EASY = 1e-7
"""Share of the diagonal that is added to begin with: distance and focal length can nearly stand in
for each other, and more would stop their common move far from where it ends."""

Step = Callable[[], None]


@dataclass(frozen=True, eq=False)
class State:
    """Where a fit is: the camera's numbers (p,), those of frames (f, 17), their turns (f, 3, 3).

    The first three numbers of a frame are 0; its turn has them.
    """

    camera: Array
    frame: Array
    turns: Array


@dataclass(frozen=True, eq=False)
class Weights:
    """How the samples count.

    :param sigma: (N,) standard deviation of each value's noise.
    :param scale: of all residuals over ``sigma``: 1 where nothing but that noise is left.
    :param start: (f, 17) about which each frame's numbers are held, weakly.
    """

    sigma: Array
    scale: float
    start: Array

    def residuals(self, model: JointModel, values: Array) -> Array:
        """Return (recorded − made) / noise, (N,)."""
        return (model.values - values) / (self.sigma * self.scale)


@dataclass(frozen=True, eq=False)
class Solution:
    """The result of a fit.

    :param cost: half the sum of Huber's function of all residuals, and of what is known before.
    :param information: (k, k) of the free camera numbers, the frames eliminated.
    :param scores: (f, k) what each frame pulls, the frame's own numbers eliminated.
    """

    state: State
    cost: float
    information: Array
    scores: Array
    steps: int


def huber(residual: Array) -> tuple[Array, Array]:
    """Return Huber's function (half the square near 0) and the weights that go with it."""
    size = np.abs(residual)
    far = size > HUBER
    cost = np.where(far, HUBER * (size - HUBER / 2.0), 0.5 * residual**2)
    return cost, np.where(far, HUBER / np.maximum(size, 1e-12), 1.0)


def fit(
    model: JointModel,
    numbers: CameraNumbers,
    start: State,
    weights: Weights,
    free: npt.NDArray[np.bool_],
    *,
    steps: int = STEPS,
    tick: Step = lambda: None,
) -> Solution:
    """Return the least squares fit from a start.

    :param free: (p,) which of the camera's numbers move; none = those of the frames alone.
    :param tick: called before every step.
    """
    state, damping = start, EASY
    held = frame_spread() ** -2.0
    pull = np.where(free, numbers.spread**-2.0, 0.0)
    cost = _cost(model, state, weights, numbers.known, pull, held)
    done, normal = 0, None
    moved = True
    while done < steps:
        tick()
        done += 1
        normal = _normal(model, state, weights, numbers.known, pull, held, free)
        moved, gained = False, 0.0
        for _ in range(6):
            new = normal.step(state, damping)
            rest = _cost(model, new, weights, numbers.known, pull, held)
            if rest <= cost:
                gained = cost - rest
                state, cost, moved = new, rest, True
                damping = max(damping / 30.0, EASY)
                break
            damping *= 30.0
        if not moved or gained < ENOUGH * max(cost, 1e-12):
            break
    if moved or normal is None:
        normal = _normal(model, state, weights, numbers.known, pull, held, free)
    information, scores = normal.reduced()
    return Solution(state, cost, information, scores, done)


def frame_costs(model: JointModel, state: State, weights: Weights) -> tuple[Array, Array]:
    """Return of each frame the noise-normalised error and the mean squared residual, (f,) each.

    The error is the root of twice the mean of Huber's function of the residuals over their noise
    alone: 1 where nothing but that noise is left.
    """
    miss = model.values - model.evaluate(state.camera, state.frame, state.turns)
    cost, _ = huber(miss / (weights.sigma * weights.scale))
    by_frame = np.add.reduceat(cost, model.starts[:-1]) / model.counts
    squares = np.add.reduceat(miss**2, model.starts[:-1]) / model.counts
    return np.sqrt(2.0 * by_frame) * weights.scale, squares


def robust_scale(model: JointModel, state: State, sigma: Array) -> float:
    """Return the scale of the residuals over ``sigma`` by their median size."""
    miss = model.values - model.evaluate(state.camera, state.frame, state.turns)
    return max(1.4826 * float(np.median(np.abs(miss / sigma))), 1e-6)


@dataclass(frozen=True, eq=False)
class _Normal:
    """The normal equations, one block for the camera and one for each frame."""

    camera: Array  # (k, k)
    mixed: Array  # (f, k, 17)
    frame: Array  # (f, 17, 17)
    pull_camera: Array  # (k,)
    pull_frame: Array  # (f, 17)
    score_camera: Array  # (f, k) of the samples of each frame alone
    free: npt.NDArray[np.bool_]

    def step(self, state: State, damping: float) -> State:
        """Return the state after one damped step."""
        block = _damped(self.frame, damping)
        back = np.linalg.solve(block, self.mixed.transpose(0, 2, 1))  # (f, 17, k)
        own = np.linalg.solve(block, self.pull_frame[..., None])[..., 0]
        move = np.zeros(len(self.camera))
        if len(move):
            left = _damped(self.camera, damping) - np.einsum('fka,fal->kl', self.mixed, back)
            right = self.pull_camera - np.einsum('fka,fa->k', self.mixed, own)
            move = np.linalg.solve(left, right)
        change = own - back @ move
        camera = state.camera.copy()
        camera[self.free] += move
        turns = state.turns @ rotations(change[:, :PLACE])
        change[:, :PLACE] = 0.0
        frame = state.frame + change
        # Projected: at the least blur the derivative still says how much sharper is wanted.
        frame[:, BLUR] = np.maximum(frame[:, BLUR], LEAST_BLUR)
        return State(camera, frame, turns)

    def reduced(self) -> tuple[Array, Array]:
        """Return information and scores of the camera, the frames eliminated."""
        back = np.linalg.solve(self.frame, self.mixed.transpose(0, 2, 1))
        own = np.linalg.solve(self.frame, self.pull_frame[..., None])[..., 0]
        information = self.camera - np.einsum('fka,fal->kl', self.mixed, back)
        return information, self.score_camera - np.einsum('fka,fa->fk', self.mixed, own)


def _damped(matrix: Array, damping: float) -> Array:
    diagonal = np.einsum('...ii->...i', matrix)
    return matrix + np.eye(matrix.shape[-1]) * (damping * diagonal + 1e-12)[..., None, :]


def _normal(
    model: JointModel,
    state: State,
    weights: Weights,
    known: Array,
    pull: Array,
    held: Array,
    free: npt.NDArray[np.bool_],
) -> _Normal:
    values, by_camera, by_frame = model.linearise(state.camera, state.frame, state.turns)
    residual = weights.residuals(model, values)
    _, weight = huber(residual)
    root = np.sqrt(weight)
    over = (root / (weights.sigma * weights.scale))[:, None]
    lever, own = by_camera[:, free] * over, by_frame * over
    rest = residual * root
    count, width = len(model.counts), own.shape[1]
    mixed, frame = np.zeros((count, lever.shape[1], width)), np.zeros((count, width, width))
    pull_frame, score = np.zeros((count, width)), np.zeros((count, lever.shape[1]))
    for number in range(count):
        rows = slice(model.starts[number], model.starts[number + 1])
        mixed[number] = lever[rows].T @ own[rows]
        frame[number] = own[rows].T @ own[rows] + np.diag(held)
        pull_frame[number] = own[rows].T @ rest[rows]
        score[number] = lever[rows].T @ rest[rows]
    pull_frame -= held * (state.frame - weights.start)
    before = (pull * (known - state.camera))[free]
    camera = lever.T @ lever + np.diag(pull[free])
    return _Normal(camera, mixed, frame, score.sum(axis=0) + before, pull_frame, score, free)


def _cost(
    model: JointModel, state: State, weights: Weights, known: Array, pull: Array, held: Array
) -> float:
    values = model.evaluate(state.camera, state.frame, state.turns)
    cost, _ = huber(weights.residuals(model, values))
    before = 0.5 * float((pull * (known - state.camera) ** 2).sum())
    frames = 0.5 * float((held * (state.frame - weights.start) ** 2).sum())
    total = float(cost.sum()) + before + frames
    return total if np.isfinite(total) else np.inf
