# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Random cameras, and bags of the recordings that calibrate them, with real messages, without ROS.

The recordings are those of docs/calibrate_your_camera.md, as examples/make_calibration_bag.py
makes them; the renderer and the camera run here instead of in a camera_node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
import sys
from typing import Any

import numpy as np
from rosbags import rosbag2
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'examples'))

from _guide_recordings import (
    FOCUS,
    FULL_WELL,
    plan,
    repeats,
    ROLES,
    start_of,
    truth,
    write_scenes,
)

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.resources import find_resource
from diffphyscam_ros.scene import load_scene
from diffphyscam_ros.scene.transforms import rotation_from_quaternion

METADATA = 'diffphyscam_ros/msg/CameraMetadata'
PERIOD = 50_000_000  # ns between frames
RESPONSES = ('linear', 'linear', 'gamma', 'linear', 'sigmoid')  # of one seed after the other


@dataclass(frozen=True)
class Size:
    """How much is recorded.

    :param few: fewer settings and repetitions, as ``make_calibration_bag --quick``.
    """

    width: int = 320
    height: int = 240
    views: int = 30
    few: bool = False


def random_camera(seed: int, size: Size) -> SensorModel:
    """Return a camera whose every calibrated parameter is drawn."""
    random = np.random.default_rng([seed, 7])
    response = RESPONSES[seed % len(RESPONSES)]
    base = truth(size.width, size.height, response, seed)

    def three(low: float, high: float) -> tuple[float, ...]:
        return tuple(random.uniform(low, high, 3).tolist())

    law: dict[str, Any] = {'vignetting_gain': float(random.uniform(0.2, 1.0))}
    if seed % 3 == 2:
        law = {
            'vignetting_model': 'radial',
            'vignetting_gain': 0.0,
            'vignetting_coefficients': (
                float(random.uniform(-0.9, -0.4)), float(random.uniform(0.1, 0.4)),
            ),
        }  # fmt: skip
    lens: dict[str, Any] = {
        'distortion_coefficients': (
            float(random.uniform(-0.3, 0.1)), float(random.uniform(-0.08, 0.08)),
            *random.uniform(-0.001, 0.001, 2).tolist(), 0.0,
        )
    }  # fmt: skip
    if seed % 4 == 3:
        lens = {
            'distortion_model': 'equidistant',
            'distortion_coefficients': tuple(
                (random.normal(0, 1, 4) * (0.02, 0.01, 0, 0)).tolist()
            ),
        }
    red, blue = random.uniform(0.3, 0.6, 2).tolist()
    return replace(
        base,
        **law,
        **lens,
        defocus_gain=float(random.uniform(0.6, 1.4)),
        defocus_dead_zone=0.06 if seed % 4 == 1 else 0.0,
        quantum_efficiency=(red, 0.6, blue),
        read_noise=three(3.0, 10.0),
        dark_current=three(300.0, 1500.0),
        dsnu=three(2.0, 6.0),
        prnu=three(0.005, 0.015),
        hot_pixel_fraction=0.003,
        hot_pixel_current=float(random.uniform(8000.0, 20000.0)),
        full_well=(0.8 if seed % 4 == 0 and response == 'linear' else 1.5) * FULL_WELL,
    )


def record(sensor: SensorModel, folder: Path, size: Size, seed: int) -> dict[str, Path]:
    """Record a camera; return a bag for each role.

    ``truth.yaml`` and ``start.yaml``, what its owner knows of it, are written beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sensor.save(folder / 'truth.yaml')
    start_of(sensor).save(folder / 'start.yaml')
    films = _Films(sensor, folder, seed)
    return {role: films.write(role, size, seed) for role in ROLES}


class _Films:
    """Takes the frames of one camera, one recording after the other."""

    def __init__(self, sensor: SensorModel, folder: Path, seed: int) -> None:
        self.sensor, self.folder, self.seed = sensor, folder, seed
        self.camera = PhysicalCamera(sensor, seed=seed)
        self.renderer, self.number = Renderer('cpu'), 0
        self.scenes = {
            role: load_scene(path)
            for role, path in write_scenes(folder, sensor.image_width).items()
        }
        self.store = get_typestore(Stores.LATEST)
        own = find_resource('msg/CameraMetadata.msg').read_text(encoding='utf-8')
        self.store.register(get_types_from_msg(own, METADATA))

    def write(self, role: str, size: Size, seed: int) -> Path:
        """Write one recording; return its bag."""
        path = self.folder / role
        with rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as bag:
            topics = {
                kind: bag.add_connection(f'/camera/{name}', kind, typestore=self.store)
                for name, kind in (('image_raw', 'sensor_msgs/msg/Image'), ('metadata', METADATA))
            }
            for settings, pixels in self._frames(role, size, seed):
                stamp = (self.number + 1) * PERIOD
                for message in self._messages(settings, pixels, stamp):
                    kind = message.__msgtype__
                    bag.write(topics[kind], stamp, self.store.serialize_cdr(message, kind))
        return path

    @torch.inference_mode()
    def _frames(
        self, role: str, size: Size, seed: int
    ) -> Iterator[tuple[CameraSettings, np.ndarray]]:
        pose, seen = None, None
        for step in plan(role, self.sensor, size.few, size.views, seed):
            settings = replace(
                self.sensor.settings,
                aperture=step['aperture'],
                exposure_time=step['exposure_time'] * 1e-6,
                focus_distance=step.get('focus_distance', FOCUS),
            )
            if step['default_pose'] != pose:
                pose = step['default_pose']
                source = self.camera.source_intrinsics(settings)
                seen = self.renderer(self.scenes[role], source, _matrix(pose))
            light = self.camera.lens(seen.color, seen.depth, settings)
            for _ in range(repeats(role, size.few)):
                self.number += 1
                taken = self.camera.sense_pixels(light, settings, self.number, 'rgb16')
                yield settings, taken.pixels

    def _messages(
        self, settings: CameraSettings, pixels: np.ndarray, stamp: int
    ) -> tuple[Any, Any]:
        types = self.store.types
        time = types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
        header = types['std_msgs/msg/Header'](stamp=time, frame_id='camera_optical_frame')
        image = types['sensor_msgs/msg/Image'](
            header=header, height=pixels.shape[0], width=pixels.shape[1], encoding='rgb16',
            is_bigendian=0, step=pixels[0].nbytes, data=pixels.view(np.uint8).reshape(-1),
        )  # fmt: skip
        metadata = types[METADATA](
            header=header, frame_number=self.number, exposure_start=time, exposure_end=time,
            exposure_time=settings.exposure_time * 1e6, gain=0.0, iso=settings.iso,
            aperture=settings.aperture, focal_length=settings.focal_length,
            focus_distance=settings.focus_distance, white_balance=np.ones(3), mean_level=0.0,
            saturated_fraction=0.0, black_fraction=0.0, noise_seed=self.seed, device='cpu',
            render_ms=0.0, calibration_id=self.sensor.name,
        )  # fmt: skip
        return image, metadata


def _matrix(pose: list[float]) -> torch.Tensor:
    """Return (4, 4) of the node's parameter default_pose."""
    matrix = torch.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(torch.tensor(pose[3:], dtype=torch.float64)).float()
    matrix[:3, 3] = torch.tensor(pose[:3])
    return matrix
