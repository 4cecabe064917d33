# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a renderer is given, checked before it is used."""

from __future__ import annotations

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
    matrix = camera_to_world.detach().to('cpu', torch.float64).numpy()
    rotation = matrix[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if not (error < 1e-3 and np.cross(rotation[0], rotation[1]) @ rotation[2] > 0.0):
        raise ValueError(
            f'camera_to_world has the rotation part {rotation.tolist()}: must be a rotation '
            '(orthonormal to 1e-3, determinant +1); put scale into the poses of the instances'
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f'camera_to_world has the position {matrix[:3, 3].tolist()}: not finite')


def check_instance_poses(scene: Scene) -> None:
    """Refuse poses of instances that are not (4, 4), not finite or huge.

    :raises ValueError: naming the instance.
    """
    for instance in scene.instances:
        if instance.pose.shape != (4, 4):
            raise ValueError(
                f'pose of instance {instance.name!r} has shape '
                f'{tuple(instance.pose.shape)}: must be (4, 4)'
            )
        # NumPy: of so few numbers torch takes several times as long.
        if not (np.abs(instance.pose.detach().to('cpu', torch.float64).numpy()) <= LARGEST).all():
            raise ValueError(
                f'pose of instance {instance.name!r} holds NaN or inf or more than {LARGEST:g}: '
                'must be finite and in metres'
            )


def check_surroundings(scene: Scene) -> None:
    """Refuse numbers of the environment that are none, and what is not finite.

    :raises ValueError: naming the number.
    """
    world = scene.environment
    for name in ('rotation', 'intensity') if world is not None else ():
        value = torch.as_tensor(getattr(world, name)).detach()
        if value.ndim != 0 or not bool(torch.isfinite(value)):
            raise ValueError(
                f'{name} of the environment is {value.tolist()}: must be one finite number'
            )
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
