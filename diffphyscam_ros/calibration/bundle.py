# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Least squares over one camera and the poses of all its views.

The normal equations have one dense block for the camera and a 6x6 block for every pose; the poses
are eliminated first (Schur's complement), so that hundreds of views cost little and the covariance
of the camera comes out of the same matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.projection import parameter_names, project, rotations

Array = npt.NDArray[np.float64]

HUBER = 3.0
"""Residuals beyond this many standard deviations pull less than by their square: single corners
that are wrong, not the many of a bent board, which should count as they would by least squares."""

SHARED = 0.008
"""px by which corners at one distance from the middle of the picture may be off together; at most
half of what single corners are."""

RINGS = 5
"""Distances from the middle at which that error is another one."""

_STEPS = 60

PRIORS = {'rational_polynomial': {'k4': 1.0, 'k5': 1.0, 'k6': 1.0}}
"""Standard deviations about 0 that coefficients are held to as if they had been measured.

Numerator and denominator of the rational polynomial are almost interchangeable: a common factor
cancels. Without this the coefficients wander along a valley without end, and mean nothing.
"""


def prior_weights(model: str) -> Array:
    """Return 1/variance of what is known of each of a camera's parameters beforehand, (p,)."""
    known = PRIORS.get(model, {})
    return np.array([known.get(name, np.inf) for name in parameter_names(model)]) ** -2.0


@dataclass(frozen=True)
class Observations:
    """All corners of all views in one list.

    :param pixels: (n, 2).
    :param points: (n, 3), m, in the board's frame.
    :param view: (n,) which view each belongs to, rising.
    :param views: how many there are.
    """

    pixels: Array
    points: Array
    view: npt.NDArray[np.int64]
    views: int

    @classmethod
    def of(cls, views: Sequence[BoardView]) -> Observations:
        """Return the corners of some views."""
        return cls(
            np.concatenate([view.image_points for view in views]),
            np.concatenate([view.object_points for view in views]),
            np.repeat(np.arange(len(views)), [len(view) for view in views]),
            len(views),
        )

    def sums(self, values: Array) -> Array:
        """Return the sums over each view of values (n, ...)."""
        starts = np.searchsorted(self.view, np.arange(self.views))
        return np.asarray(np.add.reduceat(values, starts, axis=0))


@dataclass(frozen=True)
class Fit:
    """A camera, the poses of its views, and how well they explain the corners.

    :param model: of the lens.
    :param camera: (p,) fx, fy, cx, cy, coefficients.
    :param free: (p,) which of them were fitted.
    :param rotation: (v, 3, 3), from the board to the camera.
    :param translation: (v, 3), m.
    :param residuals: (n, 2) px, observed less predicted.
    :param weights: (n,) of Huber's function, 1 within ``HUBER`` standard deviations.
    :param sigma: px, standard deviation of one coordinate of a corner.
    :param covariance: (p, p) of the camera; 0 where it is not free.
    :param influence: (v, p) how far the camera would move without each view (one step).
    """

    model: str
    camera: Array
    free: npt.NDArray[np.bool_]
    rotation: Array
    translation: Array
    residuals: Array
    weights: Array
    sigma: float
    covariance: Array
    influence: Array

    @property
    def rms(self) -> float:
        """Root mean square distance of corners from where they should be, px."""
        return float(np.sqrt((self.residuals**2).sum(axis=1).mean()))


def fit_bundle(
    seen: Observations,
    model: str,
    camera: Array,
    rotation: Array,
    translation: Array,
    free: npt.NDArray[np.bool_],
    *,
    robust: bool = True,
    steps: int = _STEPS,
) -> Fit:
    """Return the least squares fit from a start (Levenberg-Marquardt, analytic derivatives).

    :param free: (p,) which of the camera's parameters may move; none = the poses alone.
    :param robust: Huber's weights, with a scale from the median of the residuals.
    """
    camera, rotation, translation = camera.copy(), rotation.copy(), translation.copy()
    damping, weights = 1e-3, np.ones(len(seen.pixels))
    state = _linearise(seen, model, camera, rotation, translation)
    if robust:
        weights = _huber(state[0])
    belief = prior_weights(model)
    prior = belief * _scale(state[0]) ** 2
    cost = _cost(state[0], weights) + _held(prior, camera)
    quiet = 0
    for _ in range(steps):
        change, turn, shift = _step(seen, state, weights, free, damping, prior, camera)
        tried_camera = camera + change
        tried_rotation = rotations(turn) @ rotation
        tried_translation = translation + shift
        usable = bool(np.isfinite(tried_camera).all()) and tried_camera[:2].min() > 1e-3
        tried = (
            _linearise(seen, model, tried_camera, tried_rotation, tried_translation)
            if usable
            else None
        )
        tried_cost = np.inf
        if tried is not None:
            tried_cost = _cost(tried[0], weights) + _held(prior, tried_camera)
        if tried is None or not tried_cost < cost:
            damping *= 8.0
            if damping > 1e9:
                break
            quiet += tried_cost < cost * (1 + 1e-12)
            if quiet > 2:
                break
            continue
        gained = (cost - tried_cost) / max(cost, 1e-300)
        camera, rotation, translation, state = (
            tried_camera, tried_rotation, tried_translation, tried
        )  # fmt: skip
        damping = max(damping / 8.0, 1e-12)
        if robust:
            weights = _huber(state[0])
        prior = belief * _scale(state[0]) ** 2
        cost = _cost(state[0], weights) + _held(prior, camera)
        quiet = quiet + 1 if gained < 1e-10 else 0
        if quiet > 1:
            break
    return _finished(seen, model, camera, rotation, translation, free, state, weights)


_State = tuple[Array, Array, Array]
"""Residuals (n, 2), derivatives by the camera (n, 2, p) and by the pose (n, 2, 6)."""


def _linearise(
    seen: Observations, model: str, camera: Array, rotation: Array, translation: Array
) -> _State:
    turned = np.einsum('nij,nj->ni', rotation[seen.view], seen.points)
    points = turned + translation[seen.view]
    pixels, by_camera, by_point = project(model, camera, points)
    by_pose = np.empty((len(points), 2, 6))
    # A small turn w about the camera's axes moves a point by w x (R X).
    by_pose[:, :, 0] = by_point[:, :, 2] * turned[:, 1:2] - by_point[:, :, 1] * turned[:, 2:3]
    by_pose[:, :, 1] = by_point[:, :, 0] * turned[:, 2:3] - by_point[:, :, 2] * turned[:, 0:1]
    by_pose[:, :, 2] = by_point[:, :, 1] * turned[:, 0:1] - by_point[:, :, 0] * turned[:, 1:2]
    by_pose[:, :, 3:] = by_point
    residuals = seen.pixels - pixels
    # Behind the camera nothing is seen: far from any answer.
    residuals[points[:, 2] <= 1e-9] = 1e6
    return residuals, by_camera, by_pose


def _scale(residuals: Array) -> float:
    """Return sigma of one coordinate: the length of a 2D Gaussian vector has the median 1.177."""
    return max(float(np.median(np.linalg.norm(residuals, axis=1))) / 1.177, 1e-9)


def _held(prior: Array, camera: Array) -> float:
    return float((prior * camera**2).sum())


def _huber(residuals: Array) -> Array:
    size = np.linalg.norm(residuals, axis=1)
    limit = HUBER * 1.2 * _scale(residuals)
    return np.where(size <= limit, 1.0, limit / np.maximum(size, 1e-300))


def _cost(residuals: Array, weights: Array) -> float:
    with np.errstate(over='ignore', invalid='ignore'):
        cost = float((weights * (residuals**2).sum(axis=1)).sum())
    return cost if np.isfinite(cost) else np.inf


def _blocks(
    seen: Observations, state: _State, weights: Array, free: npt.NDArray[np.bool_]
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the normal equations by view: A (v, f, f), B (v, f, 6), C (v, 6, 6), a, c."""
    residuals, by_camera, by_pose = state
    by_camera = by_camera[:, :, free]
    weighted_camera = by_camera * weights[:, None, None]
    weighted_pose = by_pose * weights[:, None, None]
    return (
        seen.sums(weighted_camera.transpose(0, 2, 1) @ by_camera),
        seen.sums(weighted_camera.transpose(0, 2, 1) @ by_pose),
        seen.sums(weighted_pose.transpose(0, 2, 1) @ by_pose),
        seen.sums((weighted_camera * residuals[:, :, None]).sum(axis=1)),
        seen.sums((weighted_pose * residuals[:, :, None]).sum(axis=1)),
    )


def _step(
    seen: Observations,
    state: _State,
    weights: Array,
    free: npt.NDArray[np.bool_],
    damping: float,
    prior: Array,
    camera: Array,
) -> tuple[Array, Array, Array]:
    """Return the change of the camera (p,), the turns (v, 3) and shifts (v, 3)."""
    a, b, c, ga, gc = _blocks(seen, state, weights, free)
    index = np.arange(6)
    c = c.copy()
    c[:, index, index] *= 1.0 + damping
    c[:, index, index] += 1e-12 * np.maximum(c[:, index, index], 1e-12)
    change = np.zeros(len(free))
    if free.any():
        total = a.sum(axis=0) + np.diag(prior[free])
        total = total + np.diag(np.diag(total) * damping + 1e-12)
        bc = np.linalg.solve(c, b.transpose(0, 2, 1)).transpose(0, 2, 1)
        left = total - np.einsum('vij,vkj->ik', bc, b)
        right = ga.sum(axis=0) - (prior * camera)[free] - np.einsum('vij,vj->i', bc, gc)
        change[free] = np.linalg.lstsq(left, right, rcond=1e-15)[0]
        gc = gc - np.einsum('vij,i->vj', b, change[free])
    pose = np.asarray(np.linalg.solve(c, gc[..., None])[..., 0], np.float64)
    return change, pose[:, :3], pose[:, 3:]


def _shared_by_rings(
    seen: Observations,
    state: _State,
    weights: Array,
    free: npt.NDArray[np.bool_],
    centre: Array,
    bc: Array,
    inverse: Array,
    sigma: float,
) -> Array:
    """Return the covariance (f, f) by errors that corners at one distance from the middle share.

    Interpolation between pixels moves edges by up to 0.03 px where they lie between two, and where
    the lens displaces pixels by the same fraction, all corners move alike: rings, outwards or
    inwards (the simulated lens does that, and any camera that corrects its pictures). Many corners
    do not average it out.

    :param centre: (2,) px, of the lens.
    :param bc: (v, f, 6) camera by pose, as eliminated.
    :param inverse: (f, f) of the reduced normal equations.
    """
    _, by_camera, by_pose = state
    moves = by_camera[:, :, free] - by_pose @ bc[seen.view].transpose(0, 2, 1)
    away = seen.pixels - centre
    radius = np.linalg.norm(away, axis=1)
    outward = away / np.maximum(radius, 1e-9)[:, None]
    ring = np.minimum(radius / max(float(radius.max()), 1e-9) * RINGS, RINGS - 1).astype(np.int64)
    score = (moves * (weights[:, None] * outward)[:, :, None]).sum(axis=1)
    change = np.stack([score[ring == k].sum(axis=0) for k in range(RINGS)]) @ inverse
    return np.asarray(min(SHARED, 0.5 * sigma) ** 2 * (change.T @ change))


def _finished(
    seen: Observations,
    model: str,
    camera: Array,
    rotation: Array,
    translation: Array,
    free: npt.NDArray[np.bool_],
    state: _State,
    weights: Array,
) -> Fit:
    residuals = state[0]
    count = 2.0 * float(weights.sum()) - int(free.sum()) - 6.0 * seen.views
    sigma = float(np.sqrt(_cost(residuals, weights) / max(count, 1.0)))
    covariance = np.zeros((len(camera), len(camera)))
    influence = np.zeros((seen.views, len(camera)))
    if free.any():
        a, b, c, ga, gc = _blocks(seen, state, weights, free)
        bc = b @ np.linalg.pinv(c, hermitian=True)
        reduced = a - bc @ b.transpose(0, 2, 1)
        score = ga - np.einsum('vij,vj->vi', bc, gc)
        total = reduced.sum(axis=0) + np.diag(prior_weights(model)[free] * sigma**2)
        scale = 1.0 / np.sqrt(np.maximum(np.diag(total), 1e-30))
        scaled = scale[:, None] * total * scale
        inverse = np.linalg.pinv(scaled, rcond=1e-14, hermitian=True)
        inverse = scale[:, None] * inverse * scale
        shared = _shared_by_rings(seen, state, weights, free, camera[2:4], bc, inverse, sigma)
        covariance[np.ix_(free, free)] = sigma**2 * inverse + shared
        without = total - reduced
        moved = np.linalg.pinv(scale[:, None] * without * scale, rcond=1e-14, hermitian=True)
        influence[:, free] = -np.einsum('vij,vj->vi', scale[:, None] * moved * scale, score)
    return Fit(
        model, camera, free, rotation, translation, residuals, weights, sigma, covariance,
        influence,
    )  # fmt: skip
