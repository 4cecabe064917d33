# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Poses against scipy, their gradients, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
import torch

from diffphyscam_ros.scene import interpolate_pose, look_at, pose_from_quaternion, slerp
from diffphyscam_ros.scene.transforms import (
    pose_from_rpy,
    quaternion_from_rotation,
    rotation_from_quaternion,
    rotation_from_rpy,
)


def _quaternions(count: int) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(count, rng=np.random.default_rng(1)).as_quat())


def test_pose_from_quaternion_equals_scipy_and_normalises() -> None:
    quaternions = _quaternions(50)
    position = torch.arange(150, dtype=torch.float64).reshape(50, 3)
    pose = pose_from_quaternion(position, 3.0 * quaternions)
    assert pose.shape == (50, 4, 4) and pose.dtype == torch.float64
    expected = torch.from_numpy(Rotation.from_quat(quaternions.numpy()).as_matrix())
    torch.testing.assert_close(pose[:, :3, :3], expected)
    torch.testing.assert_close(pose[:, :3, 3], position)
    assert pose[:, 3].eq(torch.tensor([0.0, 0.0, 0.0, 1.0])).all()


@pytest.mark.parametrize(
    'quaternion, message',
    [
        ((0, 0, 0, 0), 'no length'),
        ((0.0, float('nan'), 0, 1), 'finite'),
        ((0, 0, 1), 'shape'),
    ],
)
def test_pose_from_quaternion_refuses(quaternion: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pose_from_quaternion((0, 0, 0), quaternion)


def test_position_must_be_finite() -> None:
    with pytest.raises(ValueError, match='position'):
        pose_from_quaternion((0, float('inf'), 0), (0, 0, 0, 1))


def test_quaternion_from_rotation_inverts_everywhere() -> None:
    half_turns = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    quaternions = torch.cat([_quaternions(200), half_turns.to(torch.float64)])
    back = quaternion_from_rotation(rotation_from_quaternion(quaternions))
    assert (back[:, 3] >= 0).all()
    torch.testing.assert_close((back * quaternions).sum(1).abs(), torch.ones(204).double())


def test_rpy_is_urdf_order() -> None:
    angles = (0.3, -0.7, 1.9)
    expected = torch.from_numpy(Rotation.from_euler('xyz', angles).as_matrix()).float()
    torch.testing.assert_close(rotation_from_rpy(angles), expected)
    assert pose_from_rpy((1, 2, 3), angles)[:3, 3].tolist() == [1, 2, 3]


def test_look_at_is_an_optical_frame() -> None:
    pose = look_at((1.0, 2.0, 3.0), (5.0, 2.0, 3.0))
    torch.testing.assert_close(pose[:3, 2], torch.tensor([1.0, 0, 0]))  # z forward
    torch.testing.assert_close(pose[:3, 0], torch.tensor([0.0, -1, 0]))  # x right
    torch.testing.assert_close(pose[:3, 1], torch.tensor([0.0, 0, -1]))  # y down
    torch.testing.assert_close(pose[:3, 3], torch.tensor([1.0, 2, 3]))


@pytest.mark.parametrize(
    'eye, target, up, message',
    [
        ((0, 0, 0), (0, 0, 0), (0, 0, 1), 'same point'),
        ((0, 0, 1), (0, 0, 0), (0, 0, 1), 'another up'),
        ((0, 0, 1), (1, 0, 0), (0, 0, 0), 'no direction'),
    ],
)
def test_look_at_refuses(eye: tuple, target: tuple, up: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        look_at(eye, target, up)


def test_slerp_equals_scipy_the_short_way_in_a_batch() -> None:
    start, end = _quaternions(2)
    share = torch.linspace(0, 1, 7, dtype=torch.float64)
    path = Slerp([0, 1], Rotation.from_quat(torch.stack([start, end]).numpy()))
    expected = torch.from_numpy(path(share.numpy()).as_matrix())
    for sign in (1, -1):  # -q is the same rotation
        mixed = slerp(start, sign * end, share)
        torch.testing.assert_close(rotation_from_quaternion(mixed), expected)


def test_interpolate_pose() -> None:
    start = look_at((0, 0, 0), (1, 0, 0))
    end = look_at((2, 4, 6), (2, 5, 6))
    poses = interpolate_pose(start, end, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(poses[0], start, atol=1e-6, rtol=0)
    torch.testing.assert_close(poses[2], end, atol=1e-6, rtol=0)
    middle = look_at((1, 2, 3), (2, 3, 3))
    torch.testing.assert_close(poses[1], middle, atol=1e-6, rtol=0)
    torch.testing.assert_close(interpolate_pose(start, start, 0.3), start, atol=1e-6, rtol=0)


def test_interpolate_pose_refuses_scale() -> None:
    with pytest.raises(ValueError, match='end is not a rigid'):
        interpolate_pose(torch.eye(4), 2 * torch.eye(4), 0.5)


def test_gradients() -> None:
    torch.manual_seed(0)
    position = torch.randn(3, dtype=torch.float64, requires_grad=True)
    quaternion = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pose_from_quaternion, (position, quaternion))
    eye = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(look_at, (eye, position))
    share = torch.tensor([0.2, 0.7], dtype=torch.float64, requires_grad=True)

    def between(first: torch.Tensor, second: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        origin = torch.zeros(3, dtype=torch.float64)
        return interpolate_pose(
            pose_from_quaternion(origin, first), pose_from_quaternion(position, second), t
        )

    other = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(between, (quaternion, other, share))


def test_gradient_of_standing_still_is_finite() -> None:
    pose = look_at((0, 0, 0), (1, 0, 0)).requires_grad_()
    interpolate_pose(pose, pose.detach(), 0.5).sum().backward()
    assert pose.grad is not None and torch.isfinite(pose.grad).all()
