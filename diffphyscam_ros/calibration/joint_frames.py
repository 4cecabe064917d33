# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From a recording to the frames of the joint refinement: their boards, light and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.calibration.joint_parameters import (
    Array,
    BLUR,
    FRAME_NUMBERS,
    IN_FOCUS,
    INK,
    LEVEL,
    PLACE,
)
from diffphyscam_ros.calibration.joint_samples import BoardFrame, evenly, sampled, settings_of
from diffphyscam_ros.calibration.types import RecordedFrame
from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel

SAMPLES = 1400
"""Photosites of a frame."""

MOST_BOARDS = 24
"""Frames; of more, some evenly spread."""

LEVELS = 4000
UNKNOWN_NOISE = 1.0 / 255.0
"""Of full scale, where the noise was not estimated: its scale is measured then."""


class SensorCurve:
    """Light and noise of the values of one channel, by a table of the camera's own stages.

    :param raw: whether values are those of a mosaic's photosites.
    """

    def __init__(self, sensor: SensorModel, settings: CameraSettings, channel: int, raw: bool):
        """See the class."""
        levels = np.concatenate([[0.0], np.geomspace(1e-7, 1e5, LEVELS)])
        ramp = torch.from_numpy(levels)[None, :, None].expand(1, -1, 3).contiguous()
        plain = replace(sensor, bayer_pattern='none')
        stages = ('exposure', 'response') if raw else ('exposure', 'response', 'color')
        with torch.no_grad():
            electrons = PhysicalCamera(plain, stages=('exposure',)).sense(ramp, settings).image
            values = PhysicalCamera(plain, stages=stages).sense(ramp, settings).image
        self._values = values[0, :, channel].numpy()
        self._electrons = electrons[0, :, channel].numpy()
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(self._values)) > 0])
        self._values, self._electrons = self._values[rising], self._electrons[rising]
        self._levels = levels[rising]
        self._slope = np.gradient(self._values, self._electrons)
        shot, read, dsnu, prnu = (
            np.broadcast_to(np.asarray(part, float), 3)[channel]
            for part in (sensor.shot_noise_gain, sensor.read_noise, sensor.dsnu, sensor.prnu)
        )
        self._noise = float(shot), float(read), float(dsnu), float(prnu)

    def light(self, values: Array) -> Array:
        """Return the irradiance that gives these values."""
        return np.interp(values, self._values, self._levels)

    def sigma(self, values: Array, step: float) -> Array:
        """Return the standard deviation of values: shot, read and fixed noise, and their steps."""
        shot, read, dsnu, prnu = self._noise
        electrons = np.interp(values, self._values, self._electrons)
        slope = np.interp(values, self._values, self._slope)
        variance = shot**2 * np.maximum(electrons, 0.0) + read**2 + dsnu**2
        variance = variance + (prnu * electrons) ** 2
        return np.sqrt(slope**2 * variance + step**2 / 12.0)


def gather(
    frames: Iterable[RecordedFrame],
    name_of: Callable[[RecordedFrame], str],
    intrinsics: IntrinsicsResult,
    sensor: SensorModel,
    *,
    seed: int,
) -> list[BoardFrame]:
    """Go through frames of role 'board' once and return some of those that gave K.

    :param frames: in the order of the recording.
    :param name_of: gives the name that a frame's view has.
    """
    fit = intrinsics.solution.fit
    views = {view.name: number for number, view in enumerate(intrinsics.views)}
    wanted = set(evenly(list(views), MOST_BOARDS))
    found = []
    for frame in frames:
        name = name_of(frame)
        if frame.role != 'board' or name not in wanted:
            continue
        number = views[name]
        settings = settings_of(frame.settings, sensor)
        taken = sampled(
            frame,
            intrinsics.views[number].image_points,
            settings=settings,
            pose=(fit.rotation[number], fit.translation[number]),
            name=name,
            ceiling=_ceiling(sensor, settings),
            seed=seed,
            count=SAMPLES,
        )
        if taken is not None:
            found.append(taken)
    return found


def _ceiling(sensor: SensorModel, settings: CameraSettings) -> float:
    """Return the value at which photosites are full, or 1."""
    if sensor.full_well is None:
        return 1.0
    full = torch.full((1, 1, 3), float(sensor.full_well), dtype=torch.float64)
    with torch.no_grad():
        camera = PhysicalCamera(replace(sensor, bayer_pattern='none'), stages=('response',))
        return min(float(camera.sense(full, settings).image.min()), 1.0)


def starts(
    frames: Sequence[BoardFrame], sensor: SensorModel, *, raw: bool, noisy: bool, step: float
) -> tuple[Array, Array]:
    """Return first numbers of each frame, (f, 17), and the noise of each sample, (N,).

    :param noisy: whether the sensor's noise was estimated.
    :param step: between two values, over full scale.
    """
    numbers, sigmas = np.zeros((len(frames), FRAME_NUMBERS)), []
    curves: dict[object, SensorCurve] = {}
    for row, frame in zip(numbers, frames, strict=True):
        sigma = np.full(len(frame.values), UNKNOWN_NOISE)
        paper, ink = np.full(3, np.nan), []
        for channel in np.unique(frame.channels):
            key = (frame.settings, int(channel))
            if key not in curves:
                curves[key] = SensorCurve(sensor, frame.settings, int(channel), raw)
            mine = frame.channels == channel
            values = frame.values[mine]
            dark, bright = curves[key].light(np.quantile(values, (0.1, 0.9)))
            paper[channel] = max(bright, 1e-6)
            ink.append(dark / max(bright, 1e-6))
            if noisy:
                sigma[mine] = curves[key].sigma(values, step)
        row[LEVEL : LEVEL + 3] = np.log(np.where(np.isnan(paper), np.nanmean(paper), paper))
        row[INK] = min(max(float(np.mean(ink)), 0.0), 0.6)
        row[BLUR] = IN_FOCUS
        row[PLACE:LEVEL] = frame.translation
        sigmas.append(sigma)
    return numbers, np.concatenate(sigmas)
