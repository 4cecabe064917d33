# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One frame: scene, pose and configuration in, a picture out. The library does the work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
import functools

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.distortion import distortion_map, nearest_pixels
from diffphyscam_ros.camera.encodings import Pixels, Statistics
from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.physical_camera import PhysicalCamera
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.nodes.camera_state import Configuration
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.pose_math import Matrix
from diffphyscam_ros.render.errors import DeviceError
from diffphyscam_ros.render.exposure import expose_scene
from diffphyscam_ros.render.image_motion import MovingScene, Path
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.scene.types import Scene


def drawing(configuration: Configuration) -> tuple[str, bool, bool, bool]:
    """Return what a renderer is made from."""
    return (
        configuration.text('device'),
        configuration.flag('antialias'),
        configuration.flag('shadows'),
        configuration.flag('ambient_occlusion'),
    )


def renderer_of(configuration: Configuration) -> Renderer:
    """Return the renderer that a configuration asks for.

    :raises ParameterError: where its device cannot render.
    """
    device, antialias, shadows, ambient_occlusion = drawing(configuration)
    try:
        return Renderer(device, antialias, shadows=shadows, ambient_occlusion=ambient_occlusion)
    except DeviceError as error:
        raise ParameterError(f'device = {device!r}: {error}') from None


@dataclass(frozen=True)
class Blur:
    """How the motion during an exposure was drawn.

    :param motion: px, of the fastest visible point.
    :param samples: how many renderings the picture is the mean of.
    :param wanted: how many the motion asked for.
    """

    motion: float
    samples: int
    wanted: int


@dataclass(frozen=True)
class Picture:
    """What one exposure gave.

    :param camera: what it was taken with.
    :param irradiance: (H, W, 3) float32 on the sensor.
    :param settings: of this frame.
    :param frame_number: of the noise.
    :param depth: (H, W) float32 z-depth in m of the same pixels, inf where nothing was hit, NaN
        where the lens sees past what was rendered; None where it was not asked for.
    :param blur: of a picture of things that may move.
    """

    camera: PhysicalCamera
    irradiance: torch.Tensor
    settings: CameraSettings
    frame_number: int
    depth: npt.NDArray[np.float32] | None
    blur: Blur | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.irradiance.shape[0], self.irradiance.shape[1]

    @functools.cached_property
    @torch.inference_mode()
    def frame(self) -> Frame:
        """The digital values, (H, W, 3) in [0, 1]; read out when first asked for."""
        return self.camera.sense(self.irradiance, self.settings, self.frame_number)

    @property
    def image(self) -> npt.NDArray[np.float32]:
        """The digital values as an array, (H, W, 3) float32."""
        values: npt.NDArray[np.float32] = self.frame.image.cpu().numpy()
        return values

    @torch.inference_mode()
    def write(self, encoding: str, out: Pixels) -> Statistics:
        """Read out the sensor into the pixels (H, W, C) of an encoding."""
        operands = self.irradiance, self.settings, self.frame_number
        return self.camera.sense_pixels(*operands, encoding, out).statistics


class PictureTaker:
    """Keeps the camera between frames, as long as body, lens and switches stay.

    :param seed: of the noise where the parameter noise_seed is -1.
    """

    def __init__(self, renderer: Renderer, seed: int) -> None:
        """Use a renderer, which may be exchanged between frames."""
        self.renderer = renderer
        self._seed = seed
        self._camera: PhysicalCamera | None = None
        self._key: tuple[object, ...] = ()
        self._ready: tuple[Configuration, PhysicalCamera, Intrinsics] | None = None

    def noise_seed(self, configuration: Configuration) -> int:
        """Return the seed that is used."""
        chosen = int(configuration.number('noise_seed'))
        return self._seed if chosen < 0 else chosen

    @torch.inference_mode()
    def take(
        self,
        configuration: Configuration,
        scene: Scene,
        pose: Matrix,
        frame_number: int,
        with_depth: bool = False,
    ) -> Picture:
        """Render a scene and put it through the camera.

        :param pose: (4, 4) world_from_camera, of the optical frame.
        """
        camera, source = self._camera_for(configuration)
        settings = configuration.settings
        radiance = self.renderer(scene, source, torch.from_numpy(pose))
        irradiance = camera.lens(radiance.color, radiance.depth, settings)
        return self._picture(configuration, irradiance, frame_number, radiance, with_depth)

    @torch.inference_mode()
    def take_moving(
        self,
        configuration: Configuration,
        scene: MovingScene,
        pose: Path,
        frame_number: int,
        with_depth: bool = False,
    ) -> Picture:
        """Render a scene that may move during the exposure, as often as its motion needs.

        :param pose: world_from_camera over time. The depth is that of mid-exposure.
        """
        camera, _ = self._camera_for(configuration)
        settings = configuration.settings
        most = int(configuration.number('motion_blur_samples'))
        seen = expose_scene(self.renderer, camera, scene, pose, settings, most)
        radiance = seen.radiance
        irradiance = seen.irradiance
        if irradiance is None:
            irradiance = camera.lens(radiance.color, radiance.depth, settings)
        picture = self._picture(configuration, irradiance, frame_number, radiance, with_depth)
        blur = Blur(seen.motion, seen.samples, seen.wanted)
        return dataclasses.replace(picture, blur=blur)

    def _picture(
        self,
        configuration: Configuration,
        irradiance: torch.Tensor,
        frame_number: int,
        radiance: Radiance,
        with_depth: bool,
    ) -> Picture:
        camera, source = self._camera_for(configuration)
        settings = configuration.settings
        depth = None
        if with_depth:
            target = camera.sensor.intrinsics(settings)
            depth = _depth_picture(radiance.depth.cpu().numpy(), camera, source, target)
        return Picture(camera, irradiance, settings, frame_number, depth)

    def _camera_for(self, configuration: Configuration) -> tuple[PhysicalCamera, Intrinsics]:
        """Return the camera, and the view that has to be rendered for it."""
        if self._ready is not None and self._ready[0] is configuration:
            return self._ready[1:]
        seed = self.noise_seed(configuration)
        model = _without_settings(configuration.sensor_in_use)
        key = (model, configuration.stages, seed)
        if self._camera is None or key != self._key:
            self._camera = PhysicalCamera(model, configuration.stages, seed)
            self._key = key
        source = self._camera.source_intrinsics(configuration.settings)
        self._ready = (configuration, self._camera, source)
        return self._camera, source


def _without_settings(sensor: SensorModel) -> SensorModel:
    """Return what stays while only the exposure settings change; zero distortion is none."""
    coefficients = sensor.distortion_coefficients
    return dataclasses.replace(
        sensor,
        settings=SensorModel().settings,
        distortion_coefficients=coefficients if any(coefficients) else (),
    )


def _depth_picture(
    depth: npt.NDArray[np.float32],
    camera: PhysicalCamera,
    source: Intrinsics,
    target: Intrinsics,
) -> npt.NDArray[np.float32]:
    """Return the depth of the camera's pixels, each from the nearest one that was rendered."""
    coefficients = tuple(float(k) for k in camera.sensor.distortion_coefficients)
    if 'distortion' not in camera.stages or (not coefficients and source == target):
        return depth
    row, column, inside = _nearest(source, target, camera.sensor.distortion_model, coefficients)
    result: npt.NDArray[np.float32] = np.where(inside, depth[row, column], np.float32(np.nan))
    return result


@functools.lru_cache(maxsize=4)
def _nearest(
    source: Intrinsics, target: Intrinsics, model: str, coefficients: tuple[float, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    pixels = distortion_map(source, target, model, coefficients)
    row, column, inside = nearest_pixels(pixels, source.width, source.height)
    return row.numpy(), column.numpy(), inside.numpy()
