# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a renderer is given, checked before it is used."""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.render.geometry import LARGEST
from diffphyscam_ros.render.lighting import environment_tensors
from diffphyscam_ros.render.lights import light_tensors
from diffphyscam_ros.render.materials import used_textures
from diffphyscam_ros.scene.types import Scene

PINHOLE = ('fx', 'fy', 'cx', 'cy')


def check_camera_pose(camera_to_world: torch.Tensor) -> None:
    """Refuse a camera's pose that is not rigid.

    :raises ValueError: saying what is wrong with it.
    """
    if camera_to_world.shape != (4, 4):
        raise ValueError(
            f'camera_to_world has shape {tuple(camera_to_world.shape)}: must be (4, 4)'
        )
    # Plain numbers: of so few, torch and NumPy take several times as long.
    rows = camera_to_world.detach().to('cpu', torch.float64).tolist()
    rotation = [row[:3] for row in rows[:3]]
    across, down, forward = zip(*rotation, strict=True)
    products = [
        *((axis, axis, 1.0) for axis in (across, down, forward)),
        *((across, down, 0.0), (down, forward, 0.0), (forward, across, 0.0)),
    ]
    orthonormal = all(abs(_dot(a, b) - wanted) < 1e-3 for a, b, wanted in products)
    if not (orthonormal and _dot(_cross(across, down), forward) > 0.0):
        raise ValueError(
            f'camera_to_world has the rotation part {rotation}: must be a rotation '
            '(orthonormal to 1e-3, determinant +1); put scale into the poses of the instances'
        )
    if not all(math.isfinite(number) for row in rows for number in row):
        position = [row[3] for row in rows[:3]]
        raise ValueError(f'camera_to_world has the position {position}: not finite')
    if any(abs(a - b) > 1e-3 for a, b in zip(rows[3], (0.0, 0.0, 0.0, 1.0), strict=True)):
        raise ValueError(
            f'camera_to_world has the last row {rows[3]}: must be [0, 0, 0, 1] to 1e-3'
        )


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def instance_poses(scene: Scene) -> torch.Tensor:
    """Return the poses of the instances, (I, 4, 4) float64 on the CPU.

    :raises ValueError: for one that is not (4, 4), not finite or huge; it names the instance.
    """
    for instance in scene.instances:
        if instance.pose.shape != (4, 4):
            raise ValueError(
                f'pose of instance {instance.name!r} has shape '
                f'{tuple(instance.pose.shape)}: must be (4, 4)'
            )
    if not scene.instances:
        return torch.zeros(0, 4, 4, dtype=torch.float64)
    # Stacked before they are converted: a step for all instead of one for each.
    kinds = {(instance.pose.dtype, instance.pose.device) for instance in scene.instances}
    poses = [instance.pose for instance in scene.instances]
    if len(kinds) > 1:
        poses = [pose.to('cpu', torch.float64) for pose in poses]
    stacked = torch.stack(poses).to('cpu', torch.float64)
    fits = (np.abs(stacked.detach().numpy()) <= LARGEST).all(axis=(1, 2))
    if not fits.all():
        name = scene.instances[int(np.argmin(fits))].name
        raise ValueError(
            f'pose of instance {name!r} holds NaN or inf or more than {LARGEST:g}: '
            'must be finite and in metres'
        )
    return stacked


def check_surroundings(scene: Scene) -> None:
    """Refuse numbers of the environment that are none, and what is not finite.

    :raises ValueError: naming the number.
    """
    world = scene.environment
    for name in ('rotation', 'intensity') if world is not None else ():
        value = getattr(world, name)
        if not isinstance(value, float | int):
            value = torch.as_tensor(value).detach().tolist()
        if isinstance(value, list) or not math.isfinite(value):
            raise ValueError(f'{name} of the environment is {value}: must be one finite number')
    if scene.background is not None and not all(map(math.isfinite, scene.background)):
        raise ValueError(f'background is {tuple(scene.background)}: must be finite')


def pinhole_numbers(intrinsics: Intrinsics) -> list[torch.Tensor]:
    """Return fx, fy, cx, cy as scalars ().

    :raises ValueError: for batched intrinsics.
    """
    values = [torch.as_tensor(getattr(intrinsics, name)) for name in PINHOLE]
    for name, value in zip(PINHOLE, values, strict=True):
        if value.ndim != 0:
            raise ValueError(
                f'{name} has shape {tuple(value.shape)}: must be a number; render one pinhole '
                'at a time'
            )
    return values


def precision(scene: Scene, moved: list[object]) -> torch.dtype:
    """Return float64 if a tensor that requires grad is float64, else float32.

    :param moved: poses and numbers of the pinhole.
    """
    found: list[object] = list(moved)
    for instance in scene.instances:
        found += list(vars(instance.mesh).values()) + list(vars(instance.material).values())
    found += [texture.image for texture in used_textures(scene.instances)]
    found += light_tensors(scene.lights)
    if scene.environment is not None:
        found += environment_tensors(scene.environment)
    double = any(
        isinstance(value, torch.Tensor) and value.requires_grad and value.dtype == torch.float64
        for value in found
    )
    return torch.float64 if double else torch.float32
