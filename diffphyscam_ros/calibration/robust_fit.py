# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fit one lens model to views: outlier views left out, uncertainty checked against the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.bundle import Fit, fit_bundle, Observations
from diffphyscam_ros.calibration.projection import parameter_names
from diffphyscam_ros.calibration.starting_values import first_fit, poses

Array = npt.NDArray[np.float64]

FOLDS = 5
OUTLIER_RATIO = 2.5  # times the median view, and
OUTLIER_DEVIATIONS = 5.0  # robust standard deviations of the views' medians above it
NEGLIGIBLE = 0.1  # px; no view is left out for less
MOST_OUTLIERS = 0.3  # of the views
FEWEST_JUDGES = 5
"""Views that must remain for others to be left out: of fewer nobody knows which one is wrong, so
all stay, and their disagreement goes into the standard deviations."""
EXACT = 1e-4  # px; corners without errors have none to compare
DISAGREEMENT = 1.5
"""Standard deviations grow to what leaving out views says where that is this many times more."""


@dataclass(frozen=True)
class RobustFit:
    """A fit and the views it rests on.

    :param views: used, in the order of ``fit.rotation``.
    :param outliers: (name, reason) of the views left out.
    :param std: (p,) of the camera, 0 where a parameter is held.
    :param disagreement: standard deviations by leaving out each view in turn over those by the
        corners' residuals; about 1 where the corners' errors are independent.
    :param held_out: px, rms of views whose corners did not help to find the camera.
    """

    fit: Fit
    views: tuple[BoardView, ...]
    std: Array
    disagreement: float
    outliers: tuple[tuple[str, str], ...] = field(default=())
    held_out: float = float('nan')

    @property
    def covariance(self) -> Array:
        """Of the camera, (p, p), with the standard deviations of ``std``."""
        plain = np.sqrt(np.diag(self.fit.covariance))
        grow = np.where(plain > 0, self.std / np.where(plain > 0, plain, 1.0), 0.0)
        return self.fit.covariance * grow[:, None] * grow

    def view_errors(self) -> Array:
        """Return the rms error of each view, px."""
        return _by_view(self.fit, self.views, 'rms')


def free_parameters(model: str, fixed: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which parameters of a camera move."""
    return np.array([name not in fixed for name in parameter_names(model)])


def robust_fit(
    views: Sequence[BoardView],
    model: str,
    image_size: tuple[int, int],
    free: npt.NDArray[np.bool_],
) -> RobustFit | None:
    """Return the fit, or None where there is none (degenerate views)."""
    rough = first_fit(views, model, image_size)
    if rough is None:
        return None
    used = list(views)
    fit: Fit | None = None
    camera = np.where(free | (np.arange(len(free)) < 4), rough.camera, 0.0)
    outliers: list[tuple[str, str]] = []
    for _ in range(6):
        fit = _fit(used, model, camera, free)
        if fit is None:
            return None
        error = _by_view(fit, used, 'median')
        typical = float(np.median(error))
        deviation = 1.4826 * float(np.median(np.abs(error - typical)))
        limit = max(OUTLIER_RATIO * typical, typical + OUTLIER_DEVIATIONS * deviation, NEGLIGIBLE)
        bad = np.flatnonzero(error > limit)
        room = int(MOST_OUTLIERS * len(views)) - len(outliers)
        bad = bad[np.argsort(-error[bad])][: max(room, 0)]
        if not len(bad) or len(used) - len(bad) < FEWEST_JUDGES:
            break
        outliers += [
            (used[i].name, f'its corners are {error[i]:.2f} px off, those of others {typical:.2f}')
            for i in bad
        ]
        used = [view for index, view in enumerate(used) if index not in set(bad.tolist())]
        camera = fit.camera
    assert fit is not None
    std, disagreement = _deviations(fit)
    return RobustFit(fit, tuple(used), std, disagreement, tuple(outliers))


def _fit(
    views: Sequence[BoardView], model: str, camera: Array, free: npt.NDArray[np.bool_]
) -> Fit | None:
    start = poses(views, model, camera)
    if start is None:
        return None
    try:
        fit = fit_bundle(Observations.of(views), model, camera, *start, free)
    except np.linalg.LinAlgError:
        return None
    return fit if np.isfinite(fit.camera).all() else None


def _by_view(fit: Fit, views: Sequence[BoardView], how: str) -> Array:
    ends = np.cumsum([len(view) for view in views])[:-1]
    sizes = [np.linalg.norm(part, axis=1) for part in np.split(fit.residuals, ends)]
    if how == 'median':
        return np.array([np.median(size) for size in sizes])
    return np.array([np.sqrt((size**2).mean()) for size in sizes])


def _deviations(fit: Fit) -> tuple[Array, float]:
    """Return standard deviations, and how far those of leaving out views exceed the formal ones.

    Errors that a whole view shares (a bent board, motion, a corner detector's bias) move K more
    than independent errors of corners would. Leaving out each view in turn (the jackknife) shows
    it: where it says clearly more, it is believed.
    """
    formal = np.sqrt(np.maximum(np.diag(fit.covariance), 0.0))
    count = len(fit.influence)
    jackknife = np.sqrt((count - 1) / count * (fit.influence**2).sum(axis=0))
    moving = fit.free & (formal > 0)
    if not moving.any() or fit.sigma < EXACT:
        return formal, 1.0
    # The median: one parameter that a single view decides tells nothing about the others.
    disagreement = float(np.median(jackknife[moving] / formal[moving]))
    if disagreement > DISAGREEMENT:
        return np.where(moving, np.maximum(formal, jackknife), formal), disagreement
    return formal, disagreement


def held_out_error(result: RobustFit) -> float:
    """Return the rms error, px, of views whose corners did not help to find the camera.

    The views are dealt into 5 parts; each part is predicted by the camera fitted to the others,
    with poses of its own. NaN for fewer than 4 views.
    """
    count = len(result.views)
    if count < 4:
        return float('nan')
    fit, squares, corners = result.fit, 0.0, 0
    for fold in range(min(FOLDS, count)):
        held = np.arange(count) % FOLDS == fold
        camera = _part(result, ~held, fit.camera, fit.free).camera
        alone = _part(result, held, camera, np.zeros_like(fit.free))
        # Gross errors of single corners say nothing about the camera.
        squares += float((alone.weights * (alone.residuals**2).sum(axis=1)).sum())
        corners += len(alone.residuals)
    return float(np.sqrt(squares / corners))


def _part(
    result: RobustFit, chosen: npt.NDArray[np.bool_], camera: Array, free: npt.NDArray[np.bool_]
) -> Fit:
    views = [view for view, take in zip(result.views, chosen, strict=True) if take]
    return fit_bundle(
        Observations.of(views),
        result.fit.model,
        camera,
        result.fit.rotation[chosen],
        result.fit.translation[chosen],
        free,
        steps=25,
    )


def with_held_out(result: RobustFit) -> RobustFit:
    """Return the same fit with its held-out error."""
    return replace(result, held_out=held_out_error(result))
