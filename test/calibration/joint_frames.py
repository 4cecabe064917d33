# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Boards filmed by a camera whose truth is known, for the tests of the joint refinement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from board_pictures import random_pose
import cv2
import numpy as np
import torch

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.joint_pattern import print_origin
from diffphyscam_ros.calibration.projection import project
from diffphyscam_ros.calibration.target_print import shapes
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.calibration.types import Estimate, FrameSettings, RecordedFrame
from diffphyscam_ros.camera import CameraSettings, Intrinsics, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.plain import plain_copy
from diffphyscam_ros.camera.stages import STAGES

TARGET = Target.parse('chessboard:9x7:0.03')
SIZE = (320, 240)
FINER = 4
SHARP, WIDE = 11.0, 1.4
"""f-numbers: boards are filmed with the one, the defocus with the other."""


def truth(**changes) -> SensorModel:
    """Return the camera: 12 bits, a lens of 16 mm with vignetting and distortion."""
    settings = CameraSettings(SHARP, 0.01, 100.0, 0.016, 0.6)
    values = {
        'name': 'truth',
        'image_width': SIZE[0],
        'image_height': SIZE[1],
        'pixel_size': 4.8e-5,
        'focal_scale': (1.003, 1.006),
        'principal_point': (162.0, 118.5),
        'distortion_coefficients': (-0.22, 0.07, 0.0006, -0.0004, 0.0),
        'vignetting_gain': 0.8,
        'aggregator_gain': 10_000.0 * SHARP**2 / (1000.0 * 4.8e-5**2 * 0.01),
        'response_gains': (1e-6,) * 3,
        'response_biases': (0.02,) * 3,
        'shot_noise_gain': (1.0,) * 3,
        'read_noise': (6.0,) * 3,
        'read_noise_fixed': False,
        'bit_depth': 12,
        'settings': settings,
    }
    return SensorModel(**{**values, **changes})


def camera_of(sensor: SensorModel) -> np.ndarray:
    """Return fx, fy, cx, cy and the lens's coefficients."""
    k = plain_copy(sensor.intrinsics())
    return np.array([k.fx, k.fy, k.cx, k.cy, *sensor.distortion_coefficients], float)


def poses(
    sensor: SensorModel, count: int, seed: int, target: Target = TARGET
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rotation, translation and corners (n, 2) of boards that are wholly in the picture."""
    random = np.random.default_rng([seed, 7])
    made = 0
    while made < count:
        rotation, translation = random_pose(random, target, 40.0)
        seen = target.object_points() @ rotation.T + translation
        pixels = project('plumb_bob', camera_of(sensor), seen)[0]
        if seen[:, 2].min() > 0.1 and ((pixels > 12) & (pixels < np.array(SIZE) - 13)).all():
            made += 1
            yield rotation, translation, pixels


def _drawing(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Return the print with a white rim, and the matrix from the board's m to its pixels."""
    per_mm = 3.0
    rim = 30
    width, height = (round(side * 1e3 * per_mm) for side in target.size)
    picture = np.full((height + 2 * rim, width + 2 * rim), 255, np.uint8)
    for shape in shapes(target):
        x, y = (rim + shape.x * per_mm, rim + shape.y * per_mm)
        rows = slice(round(y), round(y + shape.height * per_mm))
        columns = slice(round(x), round(x + shape.width * per_mm))
        picture[rows, columns] = 0 if shape.black else 255
    first = rim + print_origin(target) * 1e3 * per_mm - 0.5
    scale = per_mm * 1e3
    return picture, np.array([[scale, 0, first], [0, scale, first], [0, 0, 1.0]])


def _seen(
    k: Intrinsics, pose: tuple[np.ndarray, np.ndarray], slope: float, target: Target
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return paper, depth and light, (H, W), as a pinhole sees them."""
    rotation, translation = pose
    drawing, place = _drawing(target)
    matrix = np.array([[k.fx, 0, k.cx], [0, k.fy, k.cy], [0, 0, 1]], float)
    view = matrix @ np.column_stack([rotation[:, :2], translation]) @ np.linalg.inv(place)
    size = (k.width, k.height)
    paper = cv2.warpPerspective(drawing, view, size, flags=cv2.INTER_LINEAR, borderValue=255)
    u, v = np.meshgrid(np.arange(k.width), np.arange(k.height))
    rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], -1)
    depth = float(rotation[:, 2] @ translation) / (rays @ rotation[:, 2])
    point = rays * depth[..., None] - translation
    return paper / 255.0, depth, 1.0 + slope * (point @ rotation[:, 0]) / 0.12


def filmed(
    sensor: SensorModel,
    pose: tuple[np.ndarray, np.ndarray],
    settings: CameraSettings | None = None,
    *,
    number: int = 0,
    role: str = 'board',
    encoding: str = 'mono16',
    slope: float = 0.1,
    target: Target = TARGET,
    stages: tuple[str, ...] = STAGES[1:],
) -> RecordedFrame:
    """Return a picture of a board: drawn and distorted finely, averaged, taken by the camera.

    :param slope: of the light over the board.
    """
    settings = settings or sensor.settings
    fine = replace(
        sensor,
        image_width=SIZE[0] * FINER,
        image_height=SIZE[1] * FINER,
        pixel_size=float(sensor.pixel_size) / FINER,
        principal_point=tuple(c * FINER + (FINER - 1) / 2.0 for c in sensor.principal_point),
    )
    lens = PhysicalCamera(fine, stages=('distortion',))
    paper, depth, light = _seen(plain_copy(lens.source_intrinsics(settings)), pose, slope, target)
    radiance = torch.from_numpy(0.8 * (0.06 + 0.94 * paper) * light).float()
    with torch.no_grad():
        radiance = lens.lens(radiance[..., None].expand(-1, -1, 3), None, settings)
        radiance = radiance.unflatten(0, (-1, FINER)).unflatten(2, (-1, FINER)).mean(dim=(1, 3))
        _, depth, _ = _seen(plain_copy(sensor.intrinsics(settings)), pose, slope, target)
        camera = PhysicalCamera(sensor, stages=stages, seed=3)
        shot = camera(radiance, torch.from_numpy(depth).float(), settings, number)
    values = shot.image.numpy() if shot.raw is None else shot.raw.numpy()
    wide = np.round(values * 65535.0).astype(np.uint16)
    image = wide[..., 1] if encoding.startswith('mono') else wide
    told = FrameSettings(
        *(float(getattr(settings, n)) for n in ('exposure_time', 'iso', 'aperture')),
        float(settings.focus_distance), source='metadata',
    )  # fmt: skip
    return RecordedFrame(
        index=number, stamp=number, topic='/c', frame_id='c', bag='b', image=image,
        encoding=encoding, settings=told, role=role,
    )  # fmt: skip


def view_of(corners: np.ndarray, name: str, seed: int, target: Target = TARGET) -> BoardView:
    """Return the view that a detector with errors of 0.1 px would have found."""
    random = np.random.default_rng([seed, 11])
    found = corners + random.normal(0, 0.1, corners.shape)
    return BoardView.of(target, np.arange(len(found)), found, SIZE, name)


def with_focus(settings: CameraSettings, aperture: float, focus: float) -> CameraSettings:
    """Return settings of another aperture and focus and the same brightness."""
    time = float(settings.exposure_time) * (aperture / float(settings.aperture)) ** 2
    return replace(settings, aperture=aperture, focus_distance=focus, exposure_time=time)


def films(
    sensor: SensorModel, count: int, seed: int = 0, **how
) -> tuple[list[RecordedFrame], list[BoardView]]:
    """Return pictures of boards, and what a detector would have found in them."""
    frames, views = [], []
    for number, (*pose, corners) in enumerate(poses(sensor, count, seed)):
        frames.append(filmed(sensor, tuple(pose), number=number, **how))
        views.append(view_of(corners, f'frame {number} of b', seed + number))
    return frames, views


def known_camera(sensor: SensorModel, camera: np.ndarray, focal_length: float) -> SensorModel:
    """Return the sensor with other intrinsics."""
    scale = float(sensor.pixel_size) / focal_length
    return replace(
        sensor,
        focal_scale=(float(camera[0]) * scale, float(camera[1]) * scale),
        principal_point=(float(camera[2]), float(camera[3])),
        distortion_coefficients=tuple(float(k) for k in camera[4:]),
        settings=replace(sensor.settings, focal_length=focal_length),
    )


def estimates_of(sensor: SensorModel) -> dict[str, Estimate]:
    """Return estimates of what the joint refinement may move, as the stages would have them."""
    std = {
        'focal_scale': (1e-3, 1e-3),
        'principal_point': (0.3, 0.3),
        'distortion_coefficients': (0.01,) * 5,
        'vignetting_gain': 0.5,
        'response_biases': (1e-5,) * 3,
        'read_noise': (0.1,) * 3,
    }
    return {
        name: Estimate(name, getattr(sensor, name), spread, '1', 'estimated', 'given')
        for name, spread in std.items()
    }
