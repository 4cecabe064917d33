# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 1: K and the lens distortion from views of a board, with their uncertainty.

``plots`` of the stage hold, in px unless said otherwise:

- ``views``: for each used view its name, rms, corners, tilt (deg), distance (m);
- ``residuals``: [view, x, y, dx, dy] of every corner, observed less predicted;
- ``coverage``: rows of corner counts; ``uncertainty``: rows of the direction's standard deviation;
- ``models``: held-out error of each lens model; ``recommended``: the name of one;
- ``dropped``: [name, reason]; ``image_size``; ``sigma``; ``rms``; ``held_out``; ``disagreement``;
- ``parameters``: {name: [value, standard deviation]} of fx, fy, cx, cy and the coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.coverage import (
    Coverage,
    measure_coverage,
    projection_uncertainty,
)
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.intrinsics_verdict import (
    estimates_of,
    messages_of,
    refusal,
    refused_estimates,
    too_few,
    weaknesses,
)
from diffphyscam_ros.calibration.projection import parameter_names
from diffphyscam_ros.calibration.robust_fit import (
    free_parameters,
    robust_fit,
    RobustFit,
    with_held_out,
)
from diffphyscam_ros.calibration.types import StageResult
from diffphyscam_ros.calibration.view_selection import select_views, Selection
from diffphyscam_ros.camera.lens_models import COEFFICIENTS

MODELS = tuple(COEFFICIENTS)

MOST_VIEWS = 100
"""Views that are fitted; of more, those that differ most."""

BETTER = 0.97
"""A model with more parameters is recommended where its held-out error is this times less."""

NOMINAL_PIXEL_SIZE = 6e-6  # m, where nobody says how large the pixels are

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IntrinsicsResult:
    """What the views of a board say about a camera.

    :param stage: the estimates with verdicts, messages, numbers for the report.
    :param model: the lens model of this result.
    :param fit: None where the views were refused; the reason is in the stage.
    :param coverage: None where the views were refused.
    :param models: held-out error, px, of each lens model that was tried.
    :param recommended: the simplest model that predicts other views about as well as any.
    :param pixel_size: m, and ``focal_length``, m: what ``focal_scale`` refers to.
    """

    stage: StageResult
    model: str
    image_size: tuple[int, int]
    fit: RobustFit | None
    coverage: Coverage | None
    pixel_size: float
    focal_length: float
    models: Mapping[str, float] = field(default_factory=dict)
    recommended: str = ''

    @property
    def solution(self) -> RobustFit:
        """The fit.

        :raises CalibrationError: where the views were refused.
        """
        if self.fit is None:
            raise CalibrationError('intrinsics were not estimated', remedy=self.stage.messages[0])
        return self.fit

    @property
    def k(self) -> Array:
        """K, (3, 3), px."""
        fx, fy, cx, cy = self.solution.fit.camera[:4]
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    @property
    def d(self) -> tuple[float, ...]:
        """The distortion coefficients in CameraInfo's order."""
        return tuple(float(value) for value in self.solution.fit.camera[4:])

    @property
    def parameters(self) -> dict[str, tuple[float, float]]:
        """Value and standard deviation by name: fx, fy, cx, cy, k1, ..."""
        names = parameter_names(self.model)
        both = zip(names, self.solution.fit.camera, self.solution.std, strict=True)
        return {name: (float(value), float(std)) for name, value, std in both}

    @property
    def views(self) -> tuple[BoardView, ...]:
        """The views that were used; ``solution.fit.rotation`` has their poses in this order."""
        return self.solution.views


def estimate_intrinsics(
    views: Sequence[BoardView],
    image_size: tuple[int, int],
    model: str = 'plumb_bob',
    *,
    fixed: Sequence[str] = (),
    compare: bool = True,
    pixel_size: float | None = None,
    focal_length: float | None = None,
    source: str = '',
    most_views: int = MOST_VIEWS,
) -> IntrinsicsResult:
    """Return K, the distortion, the pose of every board, and how sure they are.

    :param views: from `detect_board`.
    :param image_size: width and height, px.
    :param model: one of ``MODELS``, or 'auto' for the recommended one.
    :param fixed: coefficients that stay 0, as ('k3',), which is how ROS's calibrator does it.
    :param compare: fit the other models too, by held-out error; 'auto' needs it.
    :param pixel_size: m, where known.
    :param focal_length: m, where known; default: what fx and fy say with that pixel size.
    :param source: of the estimates: the bags.
    :raises CalibrationError: for an unknown model or coefficient, and for mixed sizes. What
        cannot be estimated is no error: the stage says so.
    """
    if model not in (*MODELS, 'auto'):
        raise CalibrationError('lens model', model, allowed=f'one of {", ".join(MODELS)}, auto')
    wanted = MODELS if model == 'auto' else (model,)
    known = {name for one in wanted for name in COEFFICIENTS[one]}
    if set(fixed) - known:
        raise CalibrationError(
            'fixed coefficients', sorted(set(fixed) - known), allowed=f'of {", ".join(wanted)}'
        )
    selection = select_views(views, image_size, most_views)
    start = MODELS[0] if model == 'auto' else model
    pixel = pixel_size or NOMINAL_PIXEL_SIZE
    fits: dict[str, RobustFit] = {}
    if not too_few(selection, len(views)):
        names = MODELS if compare or model == 'auto' else (model,)
        fits = _fits(selection.kept, names, image_size, fixed)
    errors = {name: fit.held_out for name, fit in fits.items()}
    best = _recommended(errors)
    chosen = best or start if model == 'auto' else model
    found = fits.get(chosen)
    coverage = measure_coverage(found.views, found.fit.rotation, image_size) if found else None
    why_not = refusal(selection, len(views), found, coverage)
    if why_not or found is None or coverage is None:
        stage = StageResult(
            'intrinsics',
            refused_estimates(why_not, source),
            (why_not, *messages_of(selection, None)),
            {'dropped': [list(pair) for pair in selection.dropped]},
        )
        return IntrinsicsResult(
            stage, chosen, image_size, None, None, pixel, focal_length or 0.0, errors, best
        )
    focal = focal_length or float(found.fit.camera[:2].mean()) * pixel
    spread = projection_uncertainty(chosen, found.fit.camera, found.covariance, image_size)
    weak = weaknesses(found, coverage, spread)
    stage = StageResult(
        'intrinsics',
        estimates_of(found, pixel / focal, weak, source),
        (*weak, *messages_of(selection, found), *_model_message(chosen, best, errors)),
        _plots(found, coverage, spread, selection, errors, best, image_size),
        _correlation(found),
    )
    return IntrinsicsResult(stage, chosen, image_size, found, coverage, pixel, focal, errors, best)


def _fits(
    views: Sequence[BoardView],
    names: Sequence[str],
    image_size: tuple[int, int],
    fixed: Sequence[str],
) -> dict[str, RobustFit]:
    found = {}
    for name in names:
        held = [coefficient for coefficient in fixed if coefficient in COEFFICIENTS[name]]
        fit = robust_fit(views, name, image_size, free_parameters(name, held))
        if fit is not None:
            found[name] = with_held_out(fit)
    return found


def _recommended(errors: Mapping[str, float]) -> str:
    """Return the model to take: another than plumb_bob only where it is clearly better."""
    known = {name: error for name, error in errors.items() if np.isfinite(error)}
    best = ''
    for name in ('plumb_bob', 'equidistant', 'rational_polynomial'):
        if name in known and (not best or known[name] < BETTER * known[best]):
            best = name
    return best


def _model_message(chosen: str, best: str, errors: Mapping[str, float]) -> tuple[str, ...]:
    if not best or best == chosen or not errors[best] < BETTER * errors[chosen]:
        return ()
    return (
        f'{best} predicts views that it was not fitted to better than {chosen}: '
        f'{errors[best]:.3f} px instead of {errors[chosen]:.3f} px; consider it',
    )


def _correlation(found: RobustFit) -> tuple[tuple[str, ...], list[list[float]]]:
    names = np.array(parameter_names(found.fit.model))[found.fit.free]
    covariance = found.fit.covariance[np.ix_(found.fit.free, found.fit.free)]
    std = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    matrix = np.clip(covariance / std[:, None] / std, -1.0, 1.0)
    return tuple(str(name) for name in names), matrix.round(6).tolist()


def _plots(
    found: RobustFit,
    coverage: Coverage,
    spread: Array,
    selection: Selection,
    errors: Mapping[str, float],
    best: str,
    image_size: tuple[int, int],
) -> dict[str, object]:
    fit = found.fit
    rows = zip(found.views, found.view_errors(), coverage.tilt, fit.translation[:, 2], strict=True)
    index = np.repeat(np.arange(len(found.views)), [len(view) for view in found.views])
    points = np.concatenate([view.image_points for view in found.views])
    table = np.column_stack([index, points, fit.residuals]).round(4)
    uncertainty = [[float(v) if np.isfinite(v) else None for v in row] for row in spread]
    return {
        'views': [
            {
                'name': view.name,
                'rms': round(float(rms), 5),
                'corners': len(view),
                'tilt': round(float(tilt), 3),
                'distance': round(float(z), 5),
            }
            for view, rms, tilt, z in rows
        ],
        'residuals': table.tolist(),
        'coverage': coverage.counts.tolist(),
        'uncertainty': uncertainty,
        'models': {name: float(e) for name, e in errors.items() if np.isfinite(e)},
        'recommended': best,
        'dropped': [list(pair) for pair in (*selection.dropped, *found.outliers)],
        'image_size': list(image_size),
        'sigma': fit.sigma,
        'rms': fit.rms,
        'held_out': found.held_out if np.isfinite(found.held_out) else None,
        'disagreement': found.disagreement,
        'parameters': {
            name: [float(value), float(std)]
            for name, value, std in zip(
                parameter_names(fit.model), fit.camera, found.std, strict=True
            )
        },
    }
