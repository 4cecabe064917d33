# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Auto exposure: from what a picture shows to the exposure of the next.

In words and pictures: docs/automatic_control.md. Everything is in stops. The exposure value of a
picture is EV = log2(t·S / (100·N²)): one more is twice the light. A picture says how bright the
scene is only together with the exposure that *it* was taken with; from both follows the exposure
that would be right, whatever has been asked for since. The controller moves towards that as a
first-order lag. So pictures that come late delay the control and cannot make it swing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np
import torch

from diffphyscam_ros.camera.inverse_response import light_of, saturated
from diffphyscam_ros.camera.metering import centre_weights, METERINGS, sample, window
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings

PRIORITIES = ('exposure', 'gain')
FLICKER = (0.0, 50.0, 60.0)

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of linear red, green and blue: ITU-R BT.709."""

DARKEST = 0.002
"""A level below this, half a step of 8 bits, says only 'at most'."""

HIGHEST_TARGET = 0.9
"""No target, compensation included, is above this: a saturated picture could not be told."""

DEAD_BAND = 0.15
"""Stops of error up to which a steady camera leaves the exposure alone."""

SETTLED = 0.03
"""Stops of error at which a moving camera comes to rest."""

PUSH = 2.0
"""Stops beyond full scale that a fully saturated picture is taken for."""

HIGHLIGHT = 0.95
"""Share of full scale that protected highlights may reach."""

LARGEST_PROTECTION = 2.0
"""Stops by which protection of highlights may darken the picture."""


@dataclass(frozen=True)
class ExposureMeasurement:
    """What one picture says about the light.

    :param level: mean light as a share of full scale, in [0, 1], weighted by the metering.
    :param saturated: share of the pixels, so weighted, that have a channel at full scale.
    :param highlight: light that no more than the protected share of the pixels exceeds; 0 where
        no highlights are protected.
    :param ev: the exposure value that the picture was taken with.
    """

    level: float
    saturated: float
    highlight: float
    ev: float


@dataclass(frozen=True)
class ExposureState:
    """Where the control stands.

    :param ev: the exposure value asked for.
    :param direction: −1, 0 or 1: which way it is moving.
    :param settled: the last picture was taken with what had been asked for, and nothing was left
        to be done.
    """

    ev: float
    direction: int = 0
    settled: bool = False


def exposure_value(settings: CameraSettings) -> float:
    """Return EV = log2(t·S / (100·N²)), in stops."""
    light = float(settings.exposure_time) * float(settings.iso) / 100.0
    return math.log2(light / float(settings.aperture) ** 2)


@dataclass(frozen=True)
class AutoExposure:
    """How to expose; ``measure``, ``step`` and ``settings`` are pure functions of their arguments.

    :param target: mean light to reach, as a share of full scale, in (0, 0.9].
    :param compensation: stops added to the target.
    :param metering: 'average', 'centre' (weighted) or 'spot'.
    :param spot_x: of the spot's centre, 0 = left edge, 1 = right edge.
    :param spot_y: 0 = upper edge, 1 = lower edge.
    :param spot_size: the spot's side, as a share of the picture's shorter side.
    :param highlights: share of the pixels that may be brighter than 95 % of full scale; 1 = do
        not care. The picture is darkened by 2 stops at most to keep it.
    :param exposure_min: s, > 0; ``exposure_max`` likewise.
    :param iso_min: > 0; ``iso_max`` likewise. Equal ones fix the gain. One so low that the full
        well overflows before the response ends cannot reach bright targets.
    :param speed_up: 1/s, inverse time constant of getting brighter; ``speed_down`` of darker.
    :param priority: what is raised first when it gets dark: 'exposure' (least noise) or 'gain'
        (least motion blur).
    :param flicker: Hz of the mains, 0 for none: exposures that are long enough become whole
        multiples of 1/(2·flicker), which is how often lamps flicker.
    :raises ValueError: for a value out of range.
    """

    target: float = 0.25
    compensation: float = 0.0
    metering: str = 'average'
    spot_x: float = 0.5
    spot_y: float = 0.5
    spot_size: float = 0.1
    highlights: float = 1.0
    exposure_min: float = 1e-5
    exposure_max: float = 1.0 / 30.0
    iso_min: float = 100.0
    iso_max: float = 1600.0
    speed_up: float = 3.0
    speed_down: float = 6.0
    priority: str = 'exposure'
    flicker: float = 0.0

    def __post_init__(self) -> None:
        """Check every field, naming what is wrong and what is allowed."""
        _require(0 < self.target <= HIGHEST_TARGET, 'target', self.target, 'above 0, up to 0.9')
        _require(math.isfinite(self.compensation), 'compensation', self.compensation, 'finite')
        for name, choices in (('metering', METERINGS), ('priority', PRIORITIES)):
            value = getattr(self, name)
            _require(value in choices, name, value, f'one of {", ".join(choices)}')
        for name in ('spot_x', 'spot_y', 'spot_size', 'highlights'):
            value = getattr(self, name)
            _require(0 <= value <= 1, name, value, 'from 0 to 1')
        for low, high in (('exposure_min', 'exposure_max'), ('iso_min', 'iso_max')):
            least, most = getattr(self, low), getattr(self, high)
            _require(least > 0, low, least, 'above 0')
            _require(least <= most < math.inf, high, most, f'from {low}, {least:g}, and finite')
        for name in ('speed_up', 'speed_down'):
            value = getattr(self, name)
            _require(value > 0, name, value, 'above 0')
        _require(self.flicker >= 0, 'flicker', self.flicker, 'from 0')

    def measure(
        self, picture: torch.Tensor, sensor: SensorModel, settings: CameraSettings
    ) -> ExposureMeasurement:
        """Meter a picture.

        :param picture: (H, W, 3) digital values in [0, 1], or uint8.
        :param sensor: the camera that took it, for the inverse of its response.
        :param settings: of this very picture.
        """
        place = None
        if self.metering == 'spot':
            height, width = picture.shape[:2]
            place = window(height, width, self.spot_x, self.spot_y, self.spot_size)
        values = sample(picture, place)
        light = light_of(values, sensor)
        luminance = (light * light.new_tensor(LUMINANCE)).sum(dim=-1)
        full = saturated(values, sensor, float(settings.iso))
        if self.metering == 'centre':
            weight = centre_weights(luminance.shape[0], luminance.shape[1])
            level, share = (luminance * weight).sum(), (full * weight).sum()
        else:
            level, share = luminance.mean(), full.float().mean()
        highlight = 0.0
        if self.highlights < 1.0:
            brightest = light.amax(dim=-1).flatten().numpy()
            rank = max(math.ceil((1.0 - self.highlights) * len(brightest)) - 1, 0)
            highlight = float(np.partition(brightest, rank)[rank])
        return ExposureMeasurement(float(level), float(share), highlight, exposure_value(settings))

    def wanted(self, seen: ExposureMeasurement, share: float = 0.0) -> float:
        """Return the exposure value that is right for what a picture shows.

        Where it is saturated, its level is a lower bound: one with more than half of its pixels
        saturated is taken to be up to ``PUSH`` stops brighter still.

        :param share: of the way there that is gone in one step; the longer it is, the smaller the
            push, so that one step alone never goes too far.
        """
        target = min(self.target * 2.0**self.compensation, HIGHEST_TARGET)
        error = math.log2(target / min(max(seen.level, DARKEST), 1.0))
        error -= PUSH * max(2.0 * seen.saturated - 1.0, 0.0) * (1.0 - share)
        if self.highlights < 1.0:
            room = math.log2(HIGHLIGHT / max(seen.highlight, DARKEST))
            if seen.highlight > 1.0 - 0.005:  # saturated: how far beyond is not known
                room -= 1.0
            error = min(error, max(room, error - LARGEST_PROTECTION))
        return seen.ev + error

    def step(
        self, state: ExposureState | None, seen: ExposureMeasurement, dt: float, aperture: float
    ) -> ExposureState:
        """Return the state after a picture.

        :param state: of before; None at the beginning, which starts from this picture's exposure.
        :param dt: s since the step before, ≥ 0.
        :param aperture: N of the pictures to come.
        """
        low, high = self.limits(aperture)
        before = min(max(seen.ev if state is None else state.ev, low), high)
        going = 0 if state is None else state.direction
        down = self.wanted(seen) < before
        share = -math.expm1(-(self.speed_down if down else self.speed_up) * max(dt, 0.0))
        goal = min(max(self.wanted(seen, share), low), high)
        error = goal - before
        direction = (error > 0) - (error < 0)
        # Once moving it goes on to the end; a small error on the other side is not chased.
        if not (abs(error) > DEAD_BAND or (direction == going and abs(error) > SETTLED)):
            direction = 0
            if goal in (low, high) and abs(error) <= SETTLED:
                before = goal  # the limit itself
        ev = before + share * error if direction else before
        taken_as_asked = abs(seen.ev - self.reached(before, aperture)) < SETTLED
        return ExposureState(ev, direction, direction == 0 and taken_as_asked)

    def limits(self, aperture: float) -> tuple[float, float]:
        """Return the least and greatest exposure value that can be reached."""
        least = math.log2(self.exposure_min * self.iso_min / 100.0 / aperture**2)
        most = math.log2(self.exposure_max * self.iso_max / 100.0 / aperture**2)
        return least, most

    def reached(self, ev: float, aperture: float) -> float:
        """Return the exposure value that comes of one that was asked for, limits in force."""
        time, iso = self.split(ev, aperture)
        return math.log2(time * iso / 100.0 / aperture**2)

    def split(self, ev: float, aperture: float) -> tuple[float, float]:
        """Return exposure time in s and ISO for an exposure value."""
        product = 2.0**ev * 100.0 * aperture**2  # t·S
        first = self.iso_min if self.priority == 'exposure' else self.iso_max
        time = min(max(product / first, self.exposure_min), self.exposure_max)
        if self.flicker > 0.0:
            time = self._without_flicker(time, product)
        return time, min(max(product / time, self.iso_min), self.iso_max)

    def _without_flicker(self, time: float, product: float) -> float:
        """Return the exposure in whole periods of the lamps that leaves the least error."""
        period = 0.5 / self.flicker
        if product / self.iso_min >= period:  # long enough with less gain
            time = max(time, period)
        count = math.floor(time / period + 1e-9)
        # The shorter one first: gain makes up for what is missing, where there is any.
        choices = [
            n * period
            for n in (count, count + 1)
            if n > 0 and self.exposure_min <= n * period <= self.exposure_max * (1.0 + 1e-9)
        ]

        def error(one: float) -> float:
            iso = min(max(product / one, self.iso_min), self.iso_max)
            return round(abs(math.log2(product / (one * iso))), 6)

        return time if not choices or time < period else min(choices, key=error)

    def settings(self, state: ExposureState, settings: CameraSettings) -> CameraSettings:
        """Return settings with the exposure time and ISO that the state asks for."""
        time, iso = self.split(state.ev, float(settings.aperture))
        return replace(settings, exposure_time=time, iso=iso)


def _require(good: bool, name: str, value: object, allowed: str) -> None:
    if not good:
        raise ValueError(f'{name} = {value!r}: must be {allowed}')
