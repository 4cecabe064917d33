# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Recorded frames of a camera whose truth is known, for the tests of photometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame
from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SENSOR_STAGES, SensorModel


class Filming:
    """A camera that films radiance pictures into recorded frames.

    :param encoding: of the frames; 'mono8' and 'mono16' give the green channel's values.
    """

    def __init__(
        self,
        sensor: SensorModel,
        encoding: str = 'rgb16',
        seed: int = 0,
        stages: tuple[str, ...] = SENSOR_STAGES[:-1],
    ) -> None:
        self.sensor = sensor
        self.camera = PhysicalCamera(sensor, stages, seed)
        self.encoding = encoding
        self.count = 0

    def film(
        self,
        radiance: torch.Tensor,
        settings: CameraSettings,
        role: str,
        frames: int = 1,
        stated: FrameSettings | None = None,
        depth: torch.Tensor | None = None,
        automatic: bool | None = None,
    ) -> Iterator[RecordedFrame]:
        """Yield frames of one still picture.

        :param stated: the settings that the recording says; None = the true ones.
        """
        told = stated or FrameSettings(
            float(settings.exposure_time),
            float(settings.iso),
            float(settings.aperture),
            float(settings.focus_distance),
            float(settings.focal_length),
            source='metadata',
        )
        lit = self.camera.lens(radiance, depth, settings)
        for _ in range(frames):
            values = self.camera.sense(lit, settings, self.count).image.numpy()
            yield RecordedFrame(
                index=self.count,
                stamp=self.count * 33_000_000,
                topic='/camera/image_raw',
                frame_id='camera',
                bag='truth.mcap',
                image=self._pixels(values),
                encoding=self.encoding,
                settings=told,
                role=role,
                automatic=automatic,
            )
            self.count += 1

    def _pixels(self, values: np.ndarray) -> np.ndarray:
        wide = self.encoding.endswith('16')
        scaled = np.round(values * (65535 if wide else 255)).astype(
            np.uint16 if wide else np.uint8
        )
        if self.encoding.startswith('mono'):
            return scaled[..., 1]
        return scaled[..., 0] if scaled.shape[-1] == 1 else scaled


def plain(sensor: SensorModel, level: float) -> torch.Tensor:
    """Return an even radiance."""
    return torch.full((int(sensor.image_height), int(sensor.image_width), 3), level)


def with_time(settings: CameraSettings, time: float) -> CameraSettings:
    """Return settings of another exposure time."""
    return replace(settings, exposure_time=time)
