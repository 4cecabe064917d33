# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Poses as 4x4 matrices: from quaternions, angles and look-at, and between two poses.

Frames follow REP-103: the world has x forward, y left, z up; a camera's *optical* frame has
x right, y down, z forward. Quaternions are (x, y, z, w) as in ``geometry_msgs``. Everything is
torch and differentiable in every argument; leading dimensions are batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

VectorLike = Sequence[float] | torch.Tensor


def _vector(value: VectorLike, size: int, name: str) -> torch.Tensor:
    """Return (..., size) floating point, refusing another length and what is not finite."""
    tensor = torch.as_tensor(value)
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.get_default_dtype())
    if tensor.dim() == 0 or tensor.shape[-1] != size:
        raise ValueError(f'{name} has shape {tuple(tensor.shape)}: must be (..., {size})')
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f'{name} = {tensor.tolist()}: every number must be finite')
    return tensor


def _unit(vector: torch.Tensor, message: str) -> torch.Tensor:
    """Normalise along the last dimension, refusing vectors (nearly) without a length."""
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    if bool((length < 1e-9).any()):
        raise ValueError(message)
    return vector / length


def rotation_from_quaternion(quaternion: VectorLike) -> torch.Tensor:
    """Return the rotation matrix (..., 3, 3) of quaternions (..., 4) in x, y, z, w order.

    The quaternion is normalised first.

    :raises ValueError: where the norm is (nearly) zero or a number is not finite.
    """
    value = _vector(quaternion, 4, 'quaternion')
    x, y, z, w = _unit(
        value,
        f'quaternion (x, y, z, w) = {value.tolist()} has no length, so it is no rotation: '
        'use (0, 0, 0, 1) for none',
    ).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_rotation(rotation: torch.Tensor) -> torch.Tensor:
    """Return unit quaternions (..., 4), x, y, z, w with w >= 0, of rotations (..., 3, 3)."""
    m = rotation
    diagonal = [m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]]
    x, y, z = diagonal
    squares = torch.stack([1 + x - y - z, 1 - x + y - z, 1 - x - y + z, 1 + x + y + z], dim=-1)
    # Four formulas, each exact where its own component is large; the largest is at least 1/2
    # (its square here is >= 1), so dividing by it is safe. The others are masked before the
    # root, or their infinite slope would turn the chosen one's gradient into NaN.
    usable = squares > 0.5
    root = torch.where(usable, squares, torch.ones_like(squares)).sqrt()
    m01, m10 = m[..., 0, 1], m[..., 1, 0]
    m02, m20 = m[..., 0, 2], m[..., 2, 0]
    m12, m21 = m[..., 1, 2], m[..., 2, 1]
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], m10 + m01, m02 + m20, m21 - m12], dim=-1),
            torch.stack([m10 + m01, squares[..., 1], m12 + m21, m02 - m20], dim=-1),
            torch.stack([m20 + m02, m21 + m12, squares[..., 2], m10 - m01], dim=-1),
            torch.stack([m21 - m12, m02 - m20, m10 - m01, squares[..., 3]], dim=-1),
        ],
        dim=-2,
    ) / (2 * root.unsqueeze(-1))
    best = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = candidates.gather(-2, best).squeeze(-2)
    quaternion = quaternion * torch.where(quaternion[..., 3:] < 0, -1.0, 1.0)
    return quaternion / torch.linalg.vector_norm(quaternion, dim=-1, keepdim=True)


def rotation_from_rpy(rpy: VectorLike) -> torch.Tensor:
    """Return Rz(yaw)·Ry(pitch)·Rx(roll), (..., 3, 3): URDF's fixed-axis angles in radians."""
    roll, pitch, yaw = _vector(rpy, 3, 'rpy').unbind(-1)
    cr, sr = roll.cos(), roll.sin()
    cp, sp = pitch.cos(), pitch.sin()
    cy, sy = yaw.cos(), yaw.sin()
    rows = [
        cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr,
        sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr,
        -sp, cp * sr, cp * cr,
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def pose_from_rotation(position: VectorLike, rotation: torch.Tensor) -> torch.Tensor:
    """Return (..., 4, 4) from a position (..., 3) and any linear map (..., 3, 3)."""
    translation = _vector(position, 3, 'position')
    dtype = torch.promote_types(translation.dtype, rotation.dtype)
    # torch.broadcast_shapes would say the same, but importing what it needs takes a second.
    batch = torch.broadcast_tensors(translation[..., 0], rotation[..., 0, 0])[0].shape
    translation = translation.to(rotation.device, dtype).expand(*batch, 3)
    top = torch.cat([rotation.to(dtype).expand(*batch, 3, 3), translation[..., None]], dim=-1)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=dtype, device=rotation.device)
    return torch.cat([top, bottom.expand(*batch, 1, 4)], dim=-2)


def pose_from_quaternion(position: VectorLike, quaternion: VectorLike) -> torch.Tensor:
    """Return the pose (..., 4, 4) of a position in metres and a quaternion (x, y, z, w).

    :raises ValueError: for a quaternion without length, and for numbers that are not finite.
    """
    return pose_from_rotation(position, rotation_from_quaternion(quaternion))


def pose_from_rpy(position: VectorLike, rpy: VectorLike) -> torch.Tensor:
    """Return the pose (..., 4, 4) of a position in metres and URDF angles in radians."""
    return pose_from_rotation(position, rotation_from_rpy(rpy))


def look_at(eye: VectorLike, target: VectorLike, up: VectorLike = (0.0, 0.0, 1.0)) -> torch.Tensor:
    """Return camera_to_world (..., 4, 4) of an optical frame at ``eye`` that faces ``target``.

    :param eye: (..., 3) metres, the camera's centre in the world.
    :param target: (..., 3) metres, the point in the middle of the picture.
    :param up: (..., 3) world direction that shall point up in the picture.
    :raises ValueError: where eye and target coincide, or ``up`` is along the line of sight.
    """
    origin = _vector(eye, 3, 'eye')
    upward = _vector(up, 3, 'up').to(origin.dtype)
    forward = _unit(
        _vector(target, 3, 'target').to(origin.dtype) - origin,
        f'eye and target are the same point, {origin.tolist()}: the view has no direction',
    )
    upward = _unit(upward, 'up = (0, 0, 0) is no direction: use (0, 0, 1)')
    forward, upward = torch.broadcast_tensors(forward, upward)
    side = torch.linalg.cross(forward, upward)
    if bool((torch.linalg.vector_norm(side, dim=-1) < 1e-6).any()):
        raise ValueError(
            f'up = {upward.tolist()} is along the line of sight: which way the picture is '
            'turned is undefined; give another up, such as (1, 0, 0) when looking straight down'
        )
    right = side / torch.linalg.vector_norm(side, dim=-1, keepdim=True)
    down = torch.linalg.cross(forward, right)
    return pose_from_rotation(origin, torch.stack([right, down, forward], dim=-1))


def slerp(start: torch.Tensor, end: torch.Tensor, t: float | torch.Tensor) -> torch.Tensor:
    """Interpolate unit quaternions at constant angular speed, the shorter way round.

    :param start, end: (..., 4) unit quaternions.
    :param t: a number or (...) broadcast against their batch; 0 = start, 1 = end; values
        outside extrapolate.
    """
    share = torch.as_tensor(t, dtype=start.dtype, device=start.device)[..., None]
    cosine = (start * end).sum(dim=-1, keepdim=True)
    end = torch.where(cosine < 0, -end, end)
    # The half angle from the chord: accurate for small angles, where acos is not.
    chord = torch.linalg.vector_norm(end - start, dim=-1, keepdim=True)
    sum_length = torch.linalg.vector_norm(end + start, dim=-1, keepdim=True)
    close = chord < 1e-5
    angle = 2 * torch.atan2(torch.where(close, torch.ones_like(chord), chord), sum_length)
    sine = angle.sin()
    first = torch.where(close, 1 - share, ((1 - share) * angle).sin() / sine)
    second = torch.where(close, share.expand_as(first), (share * angle).sin() / sine)
    mixed = first * start + second * end
    return mixed / torch.linalg.vector_norm(mixed, dim=-1, keepdim=True)


def interpolate_pose(
    start: torch.Tensor, end: torch.Tensor, t: float | torch.Tensor
) -> torch.Tensor:
    """Return the poses between two rigid poses: position linear, rotation by :func:`slerp`.

    :param start, end: (..., 4, 4) rigid (no scale).
    :param t: a number or (...) broadcast against their batch, so (N,) gives (N, 4, 4).
    :raises ValueError: where a pose is not rigid.
    """
    for name, pose in (('start', start), ('end', end)):
        linear = pose[..., :3, :3].detach()
        identity = torch.eye(3, dtype=pose.dtype, device=pose.device)
        error = (linear.transpose(-1, -2) @ linear - identity).abs().amax()
        if not bool(error < 1e-3) or bool((torch.linalg.det(linear) < 0).any()):
            raise ValueError(
                f'{name} is not a rigid pose (R^T R differs from 1 by {float(error):.3g}): '
                'interpolate a pose without scale or mirror'
            )
    share = torch.as_tensor(t, dtype=start.dtype, device=start.device)
    quaternion = slerp(
        quaternion_from_rotation(start[..., :3, :3]),
        quaternion_from_rotation(end[..., :3, :3]),
        share,
    )
    weight = share[..., None]
    position = (1 - weight) * start[..., :3, 3] + weight * end[..., :3, 3]
    return pose_from_rotation(position, rotation_from_quaternion(quaternion))
