# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a calibration recording consists of: a camera, the scenes, the settings of each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import math
from pathlib import Path
from typing import Any

import numpy as np

from diffphyscam_ros.camera import CameraSettings, SensorModel
from diffphyscam_ros.scene.transforms import quaternion_from_rotation

FULL_WELL = 10_000.0  # electrons at digital value 1 and ISO 100
WHITE = 0.0025  # s, the exposure at which a white diffuser is there, at f/4
COLUMNS, ROWS, SQUARE = 8, 6, 0.03  # inner corners, m
TARGET = f'chessboard:{COLUMNS}x{ROWS}:{SQUARE}'
ROLES = ('boards', 'flat', 'dark', 'sweep', 'focus')
PEDESTAL = 0.03  # digital value of darkness of the linear response
GAMMA = 6.2  # of the log2 of the signal: near the 1/2.2 of displays
FOCUS = 0.9  # m, where the camera is focused
SHARP = 11.0  # the f-number for boards

SCENES = {
    'boards': f"""
  - plane: {{}}
    material:
      roughness: 1.0
      base_color_texture: {{checkerboard: {{rows: {ROWS}, columns: {COLUMNS}, square_m: {SQUARE},
        pixels_per_square: TEXELS, dark: 0.04, light: 0.85}}}}
environment: {{constant: 1.0}}
background: [0.5, 0.5, 0.5]
""",
    'flat': """
  - plane: {size: [0.001, 0.001]}
    position: [0, 0, -50]
environment: {constant: 1.0}
background: [0.9, 0.9, 0.9]
""",
    'dark': """
  - plane: {size: [0.001, 0.001]}
    position: [0, 0, -50]
environment: {constant: 0.0}
background: [0, 0, 0]
""",
    'sweep': """
  - plane: {size: [4, 4]}
    material:
      roughness: 1.0
      base_color_texture: {noise: {cells: 40, seed: 3, dark: 0.01, light: 1.0}}
environment: {constant: 1.0}
""",
}


def truth(width: int, height: int, response: str, seed: int) -> SensorModel:
    """Return the camera of the recordings: a 16 mm lens before a sensor 15.36 mm wide, 12 bits."""
    random = np.random.default_rng(seed)
    pixel = 0.01536 / width
    efficiency = (0.55, 0.6, 0.5)
    settings = CameraSettings(4.0, WHITE, 100.0, 0.016, FOCUS)
    signal = 100.0 * FULL_WELL  # of digital value 1
    gather = FULL_WELL * settings.aperture**2 / (1000.0 * pixel**2 * WHITE * max(efficiency))
    return SensorModel(
        name='truth',
        image_width=width,
        image_height=height,
        pixel_size=pixel,
        focal_scale=(1.0 + 0.01 * random.random(), 1.0 + 0.01 * random.random()),
        principal_point=(
            (width - 1) / 2 + 0.01 * width * random.uniform(-1, 1),
            (height - 1) / 2 + 0.01 * width * random.uniform(-1, 1),
        ),
        distortion_coefficients=(-0.25 + 0.05 * random.random(), 0.08, 0.0006, -0.0004, 0.0),
        quantum_efficiency=efficiency,
        aggregator_gain=gather,
        defocus_gain=0.9 + 0.2 * random.random(),
        vignetting_gain=0.7 + 0.2 * random.random(),
        response_type=response,
        response_gains=(
            {'linear': 1.0 / signal, 'sigmoid': 8.0 / signal}.get(
                response, math.log2(signal) ** -GAMMA
            ),
        )
        * 3,
        response_biases=({'linear': PEDESTAL, 'sigmoid': -4.0}.get(response, 0.0),) * 3,
        response_gamma=GAMMA if response == 'gamma' else 1.0,
        dark_current=(600.0, 600.0, 600.0),
        shot_noise_gain=(1.0, 1.0, 1.0),
        read_noise=(6.0, 6.0, 6.0),
        read_noise_fixed=False,
        dsnu=(3.0, 3.0, 3.0),
        prnu=(0.01, 0.01, 0.01),
        fixed_pattern_seed=int(random.integers(1 << 30)),
        full_well=1.3 * FULL_WELL,
        bit_depth=12,
        settings=settings,
    )


def start_of(sensor: SensorModel) -> SensorModel:
    """Return what the owner of such a camera knows from its data sheet, and nothing more."""
    return SensorModel(
        name='start',
        image_width=sensor.image_width,
        image_height=sensor.image_height,
        pixel_size=sensor.pixel_size,
        quantum_efficiency=sensor.quantum_efficiency,
        aggregator_gain=sensor.aggregator_gain,
        bit_depth=sensor.bit_depth,
        settings=sensor.settings,
    )


def pose_parameter(rotation: np.ndarray, place: np.ndarray) -> list[float]:
    """Return the pose of the optical frame as the node's parameter default_pose."""
    import torch

    turn = quaternion_from_rotation(torch.from_numpy(rotation))
    return [float(value) for value in (*place, *turn.tolist())]


def _turn(axis: int, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.eye(3)
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def board_pose(place: Sequence[float], turns: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera in the board's frame that sees the board at a place, turned.

    :param place: of the board's middle in the optical frame, m.
    :param turns: rad about the optical frame's x, y, z; all 0 = facing the camera.
    """
    # The board faces +z, with y up; the optical frame looks along +z, with y down.
    board = _turn(2, turns[2]) @ _turn(1, turns[1]) @ _turn(0, turns[0]) @ _turn(0, math.pi)
    rotation = board.T
    return rotation, -rotation @ np.asarray(place, float)


def board_poses(sensor: SensorModel, count: int, seed: int) -> Iterator[list[float]]:
    """Yield poses from which the whole board is seen: in all parts of the picture, turned."""
    random = np.random.default_rng([seed, 1])
    k = sensor.intrinsics()
    half = np.array([(COLUMNS + 1) / 2, (ROWS + 1) / 2, 0]) * SQUARE
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = np.array([half * (sx, sy, 0) for sx, sy in signs])
    made = 0
    while made < count:
        part = made % 12
        distance = random.uniform(0.38, 0.7)
        u = (part % 4 + random.random()) / 4 * k.width
        v = (part // 4 + random.random()) / 3 * k.height
        place = np.array([(u - k.cx) / k.fx, (v - k.cy) / k.fy, 1.0]) * distance
        turns = (*random.uniform(-0.65, 0.65, 2), random.uniform(-0.4, 0.4))
        rotation, eye = board_pose(place, turns)
        seen = (corners - eye) @ rotation
        pixels = seen[:, :2] / seen[:, 2:] * (float(k.fx), float(k.fy)) + (k.cx, k.cy)
        # Barrel distortion draws corners inwards: what fits without it fits with it.
        fits = (pixels > 2).all() and (pixels < np.array([k.width, k.height]) - 3).all()
        if fits:
            made += 1
            yield pose_parameter(rotation, eye)


def plan(role: str, sensor: SensorModel, few: bool, views: int, seed: int) -> list[dict[str, Any]]:
    """Return the settings of one recording, one after the other; the units are the node's."""
    exposure = WHITE * 1e6
    facing = pose_parameter(*board_pose((0.0, 0.0, 1.0), (0.0, 0.0, 0.0)))
    if role == 'boards':
        base = {'aperture': SHARP, 'exposure_time': 0.8 * exposure * (SHARP / 4.0) ** 2}
        return [{**base, 'default_pose': pose} for pose in board_poses(sensor, views, seed)]
    base = {'default_pose': facing, 'aperture': 4.0}
    if role in ('flat', 'sweep'):
        steps = np.geomspace(0.05, 1.3, 6 if few else 14)
        return [{**base, 'exposure_time': float(exposure * step)} for step in steps]
    if role == 'dark':
        steps = np.geomspace(0.2, 40.0 if few else 100.0, 3 if few else 6)
        return [{**base, 'exposure_time': float(exposure * step)} for step in steps]
    apertures = (1.4, 2.0, 4.0) if few else (1.4, 2.0, 2.8, 4.0, 8.0)
    foci = (0.3, 0.4, 0.6, 2.0) if few else (0.3, 0.35, 0.4, 0.5, 0.6, FOCUS, 2.0, 5.0)
    near = pose_parameter(*board_pose((0.0, 0.0, 0.6), (0.0, 0.12, 0.1)))
    return [
        {
            'default_pose': near,
            'aperture': aperture,
            'focus_distance': focus,
            'exposure_time': 0.8 * exposure * (aperture / 4.0) ** 2,
        }
        for aperture in apertures
        for focus in foci
    ]


def repeats(role: str, few: bool) -> int:
    """Return how many frames of each setting are recorded."""
    if role == 'boards' or (role == 'focus' and few):
        return 1
    return (4 if few else 16) if role in ('flat', 'dark') else 2


def write_scenes(folder: Path, width: int) -> dict[str, Path]:
    """Write the scene of each recording into a folder; return the files.

    :param width: px, of the pictures.
    """
    files = {}
    for name, text in SCENES.items():
        files[name] = folder / f'{name}.scene.yaml'
        # Texels of two pixels: finer ones would alias, for the renderer takes one ray a pixel.
        drawn = text.replace('TEXELS', str(max(width // 40, 4)))
        files[name].write_text(f'schema: diffphyscam_ros/scene/1\nmeshes:{drawn}')
    return {**files, 'focus': files['boards']}
