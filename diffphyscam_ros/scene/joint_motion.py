# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How a joint's position moves its child: poses in torch, differentiable, batched."""

from __future__ import annotations

import torch

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.transforms import pose_from_quaternion, pose_from_rotation

POSITION_SIZE = {
    'revolute': 1, 'continuous': 1, 'prismatic': 1, 'planar': 3, 'floating': 7, 'fixed': 0
}  # fmt: skip
"""How many numbers the position of a joint of each kind has."""


def joint_pose(
    kind: str, axis: torch.Tensor, position: torch.Tensor | None
) -> torch.Tensor | None:
    """Return the pose (..., 4, 4) of a joint's child against where it is at position 0.

    :param axis: (3,) unit vector.
    :param position: (...), (..., 3) planar, (..., 7) floating; None is 0.
    :return: float64; None where nothing is moved.
    :raises SceneError: for a floating position whose quaternion has no length.
    """
    if kind == 'fixed' or position is None:
        return None
    axis = axis.double()
    still = torch.zeros(3, dtype=torch.float64)
    if kind in ('revolute', 'continuous'):
        return pose_from_rotation(still, rotation_about(axis, position))
    if kind == 'prismatic':
        return pose_from_rotation(position[..., None] * axis, torch.eye(3, dtype=torch.float64))
    if kind == 'planar':
        across = plane_axes(axis)
        way = position[..., :1] * across[0] + position[..., 1:2] * across[1]
        return pose_from_rotation(way, rotation_about(axis, position[..., 2]))
    try:
        return pose_from_quaternion(position[..., :3], position[..., 3:])
    except ValueError as error:
        raise SceneError(f'position of a floating joint: {error}') from None


def rotation_about(axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (..., 3, 3) by angles (...) in rad about a unit vector (3,).

    Rodrigues' formula: 1 + sin(a)·K + (1 − cos(a))·K², K the matrix of the cross product.
    """
    x, y, z = axis.unbind()
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    sine, rest = angle.sin()[..., None, None], (1.0 - angle.cos())[..., None, None]
    return torch.eye(3, dtype=axis.dtype) + sine * cross + rest * (cross @ cross)


def plane_axes(axis: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the x and y axes (3,) of the plane across an axis.

    URDF leaves them open. They are the joint's own x and y, turned with z the shortest way to the
    axis; for −z by half a turn about x.
    """
    x, y, z = axis.unbind()
    if float(z) < -1.0 + 1e-9:
        return axis.new_tensor([1.0, 0.0, 0.0]), axis.new_tensor([0.0, -1.0, 0.0])
    share = 1.0 / (1.0 + z)
    first = torch.stack([1.0 - x * x * share, -x * y * share, -x])
    second = torch.stack([-x * y * share, 1.0 - y * y * share, -y])
    return first, second
