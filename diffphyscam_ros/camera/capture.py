# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One picture of a world that moves: lens at every moment, shutter, sensor."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.intrinsics import Intrinsics, Scalar
from diffphyscam_ros.camera.physical_camera import PhysicalCamera
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.shutter import expose_over_time, subframe_times

ViewAt = Callable[[float], tuple[torch.Tensor, torch.Tensor | None]]
"""Of a time in s, 0 = the middle of the exposure: radiance (..., H, W, 3), depth (..., H, W)."""


def readout_time(sensor: SensorModel) -> Scalar:
    """Return the time from the first row's start to the last one's, s; 0 for a global shutter."""
    return sensor.readout_time if sensor.shutter_mode == 'rolling' else 0.0


def capture(
    camera: PhysicalCamera,
    view_at: ViewAt,
    settings: CameraSettings,
    frame_number: int = 0,
    samples: int = 17,
    stamp: float | None = None,
    intrinsics: Intrinsics | None = None,
) -> Frame:
    """Take a picture while things move, with the sensor's own shutter.

    Each sub-frame goes through the lens; what arrives is averaged over the exposure of each row,
    and the mean goes through the sensor. With one sample it is ``camera(...)`` of the middle.

    :param view_at: what is seen at a time: the views of a camera that moves, of a scene that
        does. Time 0 is the middle of the middle row's exposure (the stamp ``mid`` of a frame).
    :param samples: sub-frames, evenly from the first row's start to the last row's end. Enough
        are as many that nothing moves by more than a pixel from one to the next.
    :param frame_number: as the others, see ``PhysicalCamera.__call__``.
    :raises ValueError: for fewer than one sample, and as the camera.
    """
    if samples < 1:
        raise ValueError(f'samples = {samples}: must be at least 1')
    if samples == 1:
        radiance, depth = view_at(0.0)
        return camera(radiance, depth, settings, frame_number, stamp, intrinsics)
    readout = readout_time(camera.sensor)

    def irradiance_at(time: float, rows: range) -> torch.Tensor:
        return camera.lens(*view_at(time), settings, intrinsics)

    given = None if 'distortion' in camera.stages else intrinsics
    irradiance = expose_over_time(
        irradiance_at,
        subframe_times(samples, settings.exposure_time, readout),
        camera.sensor.image_height if given is None else given.height,
        settings.exposure_time,
        readout,
    )
    return camera.sense(irradiance, settings, frame_number, stamp)
