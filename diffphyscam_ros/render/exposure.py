# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One exposure of a scene that moves: as many sub-frames as the motion needs, one where none is.

The middle of the exposure is drawn first. From it and from the paths of camera and objects it is
known how far things move in the picture; where that is next to nothing, the middle is the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import torch

from diffphyscam_ros.camera.capture import readout_time
from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.lens_rows import source_rows
from diffphyscam_ros.camera.physical_camera import PhysicalCamera
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.shutter import expose_over_time, subframe_times
from diffphyscam_ros.render.image_motion import image_motion, MovingScene, Path
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.renderer import Renderer

STILL = 0.2
"""px; what moves by less during an exposure is taken as standing."""

STEP = 1.0
"""px, by which things move at most from one sub-frame to the next, while there are enough."""

MOST_SAMPLES = 17

_SHAPES = 32  # rows; bands are rounded up to it, so that the renderer's buffers fit again
_WORTH = 0.75  # of the rows; more of them are not worth a view of their own


@dataclass(frozen=True)
class Exposure:
    """What the lens throws on the sensor during an exposure.

    :param radiance: what the camera sees at the middle of the exposure.
    :param irradiance: (H, W, 3) on the sensor, each row over its own exposure; None where nothing
        moves: then it is that of ``radiance``.
    :param samples: how many sub-frames were drawn.
    :param wanted: how many the motion asked for; with fewer, things that move are seen several
        times instead of smeared.
    :param motion: px, how far the fastest visible point moves.
    """

    radiance: Radiance
    irradiance: torch.Tensor | None
    samples: int
    wanted: int
    motion: float


def expose_scene(
    renderer: Renderer,
    camera: PhysicalCamera,
    moving: MovingScene,
    camera_path: Path,
    settings: CameraSettings,
    most_samples: int = MOST_SAMPLES,
) -> Exposure:
    """Expose the sensor, its shutter included, to a scene and from a camera that may move.

    Not differentiable in the poses: ``camera.capture`` takes views of any making.

    :param camera_path: world_from_camera over time.
    :param settings: no batch.
    :param most_samples: sub-frames; an even number counts as the next lower one.
    """
    source = camera.source_intrinsics(settings)
    views = _Views(renderer, camera, source, moving, camera_path, settings)
    readout = float(readout_time(camera.sensor))
    exposure = float(settings.exposure_time)
    motion = image_motion(views.middle.depth, source, moving, camera_path, exposure + readout)
    wanted = samples_for(motion)
    samples = min(wanted, max(most_samples - 1 + most_samples % 2, 1))
    if samples == 1:
        return Exposure(views.middle, None, 1, wanted, motion)
    irradiance = expose_over_time(
        views.irradiance_at,
        subframe_times(samples, exposure, readout),
        camera.sensor.image_height if 'distortion' in camera.stages else source.height,
        exposure,
        readout,
    )
    return Exposure(views.middle, irradiance, samples, wanted, motion)


def photograph(
    renderer: Renderer,
    camera: PhysicalCamera,
    moving: MovingScene,
    camera_path: Path,
    settings: CameraSettings,
    frame_number: int = 0,
    most_samples: int = MOST_SAMPLES,
) -> Frame:
    """Return the picture of ``expose_scene``; where nothing moves, exactly that of the camera."""
    seen = expose_scene(renderer, camera, moving, camera_path, settings, most_samples)
    if seen.irradiance is None:
        return camera(seen.radiance.color, seen.radiance.depth, settings, frame_number)
    return camera.sense(seen.irradiance, settings, frame_number)


def samples_for(motion: float) -> int:
    """Return how many sub-frames a motion in px asks for: an odd number, one is the middle."""
    if motion < STILL:
        return 1
    if not math.isfinite(motion):
        motion = 1e6
    return 2 * math.ceil(motion / (2.0 * STEP)) + 1


class _Views:
    """Draws what is seen at each time, or those rows of it that are needed."""

    def __init__(
        self,
        renderer: Renderer,
        camera: PhysicalCamera,
        source: Intrinsics,
        moving: MovingScene,
        path: Path,
        settings: CameraSettings,
    ) -> None:
        self._renderer, self._camera, self._source = renderer, camera, source
        self._moving, self._path, self._settings = moving, path, settings
        self.middle = self._draw(0.0, source)
        self._canvas: tuple[torch.Tensor, torch.Tensor] | None = None

    def _draw(self, time: float, view: Intrinsics) -> Radiance:
        pose = torch.from_numpy(self._path(np.array([time]))[0])
        return self._renderer(self._moving.at(time), view, pose)

    def irradiance_at(self, time: float, rows: range) -> torch.Tensor:
        """Return the irradiance at a time; rows that are not needed may be of other times."""
        color, depth = self._view(time, rows)
        return self._camera.lens(color, depth, self._settings)

    def _view(self, time: float, rows: range) -> tuple[torch.Tensor, torch.Tensor]:
        if abs(time) < 1e-12:
            return self.middle.color, self.middle.depth
        band = self._band(rows)
        if len(band) == self._source.height:
            radiance = self._draw(time, self._source)
            return radiance.color, radiance.depth
        view = self._source.padded(0, -band.start, 0, band.stop - self._source.height)
        radiance = self._draw(time, view)
        if self._canvas is None:
            self._canvas = self.middle.color.clone(), self.middle.depth.clone()
        color, depth = self._canvas
        color[band.start : band.stop] = radiance.color
        depth[band.start : band.stop] = radiance.depth
        return color, depth

    def _band(self, rows: range) -> range:
        height = self._source.height
        if torch.is_grad_enabled():  # the canvas is written to again and again
            return range(height)
        needed = source_rows(self._camera, self._source, self._settings, rows)
        size = min(-(-len(needed) // _SHAPES) * _SHAPES, height)
        if size > _WORTH * height:
            return range(height)
        first = min(needed.start, height - size)
        return range(first, first + size)
