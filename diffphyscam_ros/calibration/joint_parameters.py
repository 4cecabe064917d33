# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the joint refinement moves: the camera's numbers, and what each frame adds.

Camera: fx, fy, cx, cy (px), the lens's coefficients, ``vignetting_gain``, and ``response_biases``
(one shift for all channels).

Frame: a turn of the board (rad, about the axes of its own frame, from the pose that the frame has)
and its place (m); the logarithm of the light on paper in each channel; five numbers of the light's
smooth course over the board; how bright ink is over paper; the variance of the Gaussian that
blurs the picture beside the pixels themselves, px², of which nothing is known; and the bleed, by
which edges lean to paper or to ink (printing, a response that nobody measured).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.bundle import prior_weights
from diffphyscam_ros.calibration.projection import parameter_names
from diffphyscam_ros.calibration.types import Estimate
from diffphyscam_ros.camera.sensor_model import SensorModel

Array = npt.NDArray[np.float64]

PHOTOMETRIC = ('vignetting_gain', 'response_biases')
"""Fields of the sensor model that can move, beside K and the distortion."""

IN_FOCUS, LEAST_BLUR = 0.25, 0.01
"""px², the blur to begin with, and the least."""

PLACE, LEVEL, COURSE, INK, BLUR, BLEED = 3, 6, 9, 14, 15, 16
"""Where they begin in a frame's numbers; its turn comes first."""
FRAME_NUMBERS = 17

LEVEL_SPREAD, COURSE_SPREAD, INK_SPREAD, BLUR_SPREAD, BLEED_SPREAD = 3.0, 0.3, 0.2, 1.0, 0.3
"""Standard deviations of what each frame adds, about its start: so weak that they only hold what
nothing else holds."""

INFORMED = 0.8
"""A parameter moves where the boards lower its standard deviation to this share, or below."""


@dataclass(frozen=True, eq=False)
class CameraNumbers:
    """The camera as a list of numbers.

    :param model: of the lens.
    :param values: (p,) K, coefficients, photometric numbers.
    :param free: (p,) which may move.
    :param known: (p,) what other frames say of each, with ``spread``, (p,), its standard
        deviation; inf = they say nothing.
    :param std: (p,) staged standard deviations, for comparison.
    :param held: why those that were estimated are held.
    """

    model: str
    values: Array
    free: npt.NDArray[np.bool_]
    known: Array
    spread: Array
    std: Array
    held: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all numbers in their order."""
        return (*parameter_names(self.model), *PHOTOMETRIC)

    def index(self, name: str) -> int:
        """Return where a number is."""
        return self.names.index(name)


def start_of(
    sensor: SensorModel,
    model: str,
    camera: Array,
    camera_std: Array,
    camera_free: npt.NDArray[np.bool_],
    estimates: Mapping[str, Estimate],
) -> CameraNumbers:
    """Return the staged camera as numbers, and which of them may move.

    K was found in the frames that are looked at here; of vignetting and response other frames
    spoke, whose word stands as a measurement.

    :param camera: (4 + k,) of the intrinsics, with standard deviations and which were fitted.
    :param estimates: the latest of each parameter.
    """
    count = len(camera)
    size = count + len(PHOTOMETRIC)
    values, known, std = np.zeros(size), np.zeros(size), np.zeros(size)
    spread = np.full(size, np.inf)
    free = np.zeros(size, bool)
    values[:count], std[:count], free[:count] = camera, camera_std, camera_free
    weights = prior_weights(model)
    spread[:count] = np.where(weights > 0, np.maximum(weights, 1e-30) ** -0.5, np.inf)
    held: dict[str, str] = {}
    for number, name in enumerate(PHOTOMETRIC, start=count):
        field = getattr(sensor, name)
        values[number] = 0.0 if name == 'response_biases' else float(field)
        found = estimates.get(name)
        if found is None or found.value is None or found.std is None:
            continue
        std[number] = float(np.mean(found.std))
        reason = _not_movable(name, sensor, float(std[number]))
        if reason:
            held[name] = reason
            continue
        free[number] = True
        known[number], spread[number] = values[number], std[number]
    for name, reason in _OUTSIDE.items():
        if name in estimates and estimates[name].value is not None:
            held[name] = reason
    return CameraNumbers(model, values, free, known, spread, std, held)


_BLUR = 'edges measured against those that the camera blurs itself tell it better'
_OUTSIDE = {
    'vignetting_coefficients': 'its numbers are known only together, from flat frames',
    'vignetting_map': 'flat frames say more of it than boards can',
    'response_gains': 'boards in unknown light say nothing of it',
    'response_gamma': 'boards in unknown light say nothing of it',
    'response_table': 'boards in unknown light say nothing of it',
    'defocus_gain': _BLUR,
    'defocus_dead_zone': _BLUR,
}


def _not_movable(name: str, sensor: SensorModel, std: float) -> str:
    """Return why a parameter that was estimated stays, or ''."""
    if name == 'vignetting_gain' and sensor.vignetting_model != 'cos4':
        return 'the law of the vignetting is another'
    if name == 'response_biases' and sensor.response_type not in ('linear', 'sigmoid'):
        return 'boards in unknown light say nothing of it'
    return '' if std > 0 else 'nothing is known of how sure it is'


def frame_spread() -> Array:
    """Return the standard deviations of a frame's numbers about their start; inf = free."""
    spread = np.full(FRAME_NUMBERS, np.inf)
    spread[LEVEL:COURSE] = LEVEL_SPREAD
    spread[COURSE:INK] = COURSE_SPREAD
    spread[INK], spread[BLUR], spread[BLEED] = INK_SPREAD, BLUR_SPREAD, BLEED_SPREAD
    return spread
