# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Autofocus by depth: the distance at a point of the picture, at once or followed smoothly.

By contrast: contrast_autofocus.py. Both move the lens in dioptres (1/m), in which a step changes
the blur by the same number of pixels everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch

from diffphyscam_ros.camera.metering import window
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings

METHODS = ('depth', 'contrast')

NEAREST_FOCUS = 1.1
"""The nearest distance that a lens focuses at, in focal lengths."""

LARGEST_WINDOW = 4096
"""Pixels of a window that are looked at, about."""


def blur_per_dioptre(sensor: SensorModel, settings: CameraSettings) -> float:
    """Return by how many pixels of blur diameter a point changes for each dioptre of focus.

    a·f² / (N·C), CAMERA_MODEL.md eq. 2 for a focus far beyond the focal length.
    """
    focal = float(settings.focal_length)
    gain = float(sensor.defocus_gain)
    return gain * focal**2 / (float(settings.aperture) * float(sensor.pixel_size))


@dataclass(frozen=True)
class FocusState:
    """Where the focus stands.

    :param dioptres: 1/m; 0 is infinity.
    :param moving: on its way to another distance.
    """

    dioptres: float
    moving: bool = False

    @property
    def distance(self) -> float:
        """The focus distance in m, maybe inf."""
        return 1.0 / self.dioptres if self.dioptres > 0.0 else math.inf


@dataclass(frozen=True)
class AutoFocus:
    """How to focus; ``depth_at``, ``clamped`` and ``step`` are pure functions of their arguments.

    :param point_x: of the point to focus on, 0 = left edge of the picture, 1 = right edge.
    :param point_y: 0 = upper edge, 1 = lower edge.
    :param size: side of the square about it, as a share of the picture's shorter side.
    :param near_limit: m, the lens focuses no nearer (nor nearer than 1.1 focal lengths).
    :param far_limit: m, may be inf.
    :param speed: 1/s, inverse time constant with which the focus follows.
    :param dead_band: px of blur up to which a steady focus is left alone, so that the picture
        does not breathe.
    :raises ValueError: for a value out of range.
    """

    point_x: float = 0.5
    point_y: float = 0.5
    size: float = 0.1
    near_limit: float = 0.1
    far_limit: float = math.inf
    speed: float = 8.0
    dead_band: float = 1.0

    def __post_init__(self) -> None:
        """Check every field, naming what is wrong and what is allowed."""
        for name in ('point_x', 'point_y', 'size'):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f'{name} = {value!r}: must be from 0 to 1')
        if not 0.0 < self.near_limit < math.inf:
            raise ValueError(f'near_limit = {self.near_limit!r} m: must be above 0 and finite')
        if not self.far_limit >= self.near_limit:
            raise ValueError(
                f'far_limit = {self.far_limit!r} m: must be at least near_limit, '
                f'{self.near_limit:g} m'
            )
        for name in ('speed', 'dead_band'):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise ValueError(f'{name} = {value!r}: must be above 0 and finite')

    def place(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return first row, end row, first column and end column of the window."""
        return window(height, width, self.point_x, self.point_y, self.size)

    def depth_at(self, depth: torch.Tensor) -> float | None:
        """Return the distance of what is at the point: the median of the window.

        Where nothing was hit counts as infinitely far; of two middle values it is the nearer one,
        so that an object that fills half of the window is found.

        :param depth: (H, W) z-depth in m; 0, below 0 and inf mean nothing there, NaN unknown.
        :return: m, maybe inf; None where all is unknown.
        """
        top, bottom, left, right = self.place(*depth.shape)
        step = max(int(math.sqrt((bottom - top) * (right - left) / LARGEST_WINDOW)), 1)
        seen = depth[top:bottom:step, left:right:step].flatten()
        seen = seen[~seen.isnan()]
        if seen.numel() == 0:
            return None
        return float(torch.where(seen > 0, seen, math.inf).median())

    def limits(self, focal_length: float) -> tuple[float, float]:
        """Return the nearest and farthest distance that can be focused at, in m."""
        near = max(self.near_limit, NEAREST_FOCUS * focal_length)
        return near, max(self.far_limit, near)

    def clamped(self, distance: float, focal_length: float) -> float:
        """Return the nearest distance to one that can be focused at, in m."""
        near, far = self.limits(focal_length)
        return min(max(distance, near), far)

    def step(
        self,
        state: FocusState,
        distance: float,
        dt: float,
        sensor: SensorModel,
        settings: CameraSettings,
    ) -> FocusState:
        """Return the state after one more look at the distance of the subject.

        :param distance: m, maybe inf, as from ``depth_at``.
        :param dt: s since the step before, ≥ 0.
        :param sensor: it and the settings say how large the blur is.
        """
        target = 1.0 / self.clamped(distance, float(settings.focal_length))
        error = target - state.dioptres
        blur = abs(error) * blur_per_dioptre(sensor, settings)
        # Once moving it goes on until the rest cannot be seen.
        if blur <= (0.05 if state.moving else 1.0) * self.dead_band:
            return FocusState(state.dioptres, moving=False)
        share = -math.expm1(-self.speed * max(dt, 0.0))
        return FocusState(state.dioptres + share * error, moving=True)
