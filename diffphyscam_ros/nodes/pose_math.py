# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Poses as ROS messages give them: float64 4x4 matrices from positions and quaternions.

Kept in double precision (a map may be kilometres wide) and outside autograd; the renderer gets
the result as float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Twist = npt.NDArray[np.float64]
"""(6,): m/s and rad/s along the axes of the moving frame itself, as odometry says it."""

SMALLEST_NORM = 1e-6
"""Below it a quaternion has no direction worth normalising."""

WRONG_TURN, SMALL_TURN = 0.5, 0.1
"""A twist is believed while it misses the next pose by at most this part of its own turn, or by
this many rad."""


def matrix_from_pose(
    position: tuple[float, float, float],
    quaternion: tuple[float, float, float, float],
    zero_is_identity: bool = False,
) -> Matrix:
    """Return the (4, 4) matrix of a position and a quaternion (x, y, z, w) of any length.

    :param zero_is_identity: take (0, 0, 0, 0) for no rotation, as RViz does for markers.
    :raises ValueError: for a number that is not finite, or a quaternion of zero length.
    """
    if not np.isfinite(position).all():
        raise ValueError(f'position {tuple(position)} m is not finite')
    if not np.isfinite(quaternion).all():
        raise ValueError(f'quaternion {tuple(quaternion)} is not finite')
    x, y, z, w = quaternion
    norm = (x * x + y * y + z * z + w * w) ** 0.5
    if norm == 0.0 and zero_is_identity:
        x, y, z, w, norm = 0.0, 0.0, 0.0, 1.0, 1.0
    if norm < SMALLEST_NORM:
        raise ValueError(
            f'quaternion {tuple(quaternion)} has zero length: (0, 0, 0, 1) means no rotation'
        )
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), position[0]],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), position[1]],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), position[2]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def matrix_from_message(pose: Any, zero_is_identity: bool = False) -> Matrix:
    """Return the matrix of a geometry_msgs Pose or Transform (see ``matrix_from_pose``)."""
    place = pose.position if hasattr(pose, 'position') else pose.translation
    turn = pose.orientation if hasattr(pose, 'orientation') else pose.rotation
    return matrix_from_pose(
        (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w), zero_is_identity
    )


def twist_from_message(twist: Any) -> Twist | None:
    """Return the six numbers of a geometry_msgs Twist; None where they say nothing.

    That is where all are zero, as from those who do not know it, or one is not finite.
    """
    linear, angular = twist.linear, twist.angular
    numbers = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
    return numbers if numbers.any() and np.isfinite(numbers).all() else None


def inverse(pose: Matrix) -> Matrix:
    """Return the inverse of a rigid pose."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def interpolate(first: Matrix, second: Matrix, fraction: float) -> Matrix:
    """Return the pose at a fraction in [0, 1] of the way: a straight line and a slerp."""
    result = np.eye(4)
    result[:3, 3] = first[:3, 3] + fraction * (second[:3, 3] - first[:3, 3])
    result[:3, :3] = first[:3, :3] @ _power(first[:3, :3].T @ second[:3, :3], fraction)
    return result


def _power(rotation: Matrix, fraction: float) -> Matrix:
    """Return the rotation by a fraction of the angle about the same axis (Rodrigues)."""
    twice_sine_axis = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    length = float(np.linalg.norm(twice_sine_axis))
    angle = float(np.arctan2(length, np.trace(rotation) - 1.0))
    if angle < 1e-9:
        return np.eye(3)
    if length > 1e-6:
        axis = twice_sine_axis / length
    else:  # half a turn: the axis is the eigenvector, read from R + 1 = 2·a·aT
        symmetric = (rotation + np.eye(3)) / 2.0
        column = int(np.argmax(np.diag(symmetric)))
        axis = symmetric[:, column] / np.linalg.norm(symmetric[:, column])
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    part = angle * fraction
    return np.eye(3) + np.sin(part) * cross + (1.0 - np.cos(part)) * (cross @ cross)


def interpolate_many(
    first: Matrix, second: Matrix, fraction: Matrix, screw: Twist | None = None
) -> Matrix:
    """Return the poses (n, 4, 4) at fractions (n,) of the way from first to second, (n, 4, 4).

    :param screw: (n, 6) how the frame is said to move from first to second, in its own axes:
        it goes along that screw, so it may turn by any angle, and what is left to the second
        pose is spread evenly. Where the screw does not lead there, and without one, it goes
        straight and turns the shorter way.
    """
    way = inverse_many(first) @ second
    if screw is None:
        led, along = way, np.eye(4)
    else:
        rest = inverse_many(screw_poses(screw)) @ way
        missed = np.linalg.norm(rotation_vectors(rest[:, :3, :3]), axis=1)
        turn = np.linalg.norm(screw[:, 3:], axis=1)
        good = missed <= np.maximum(WRONG_TURN * turn, SMALL_TURN)
        screw = np.where(good[:, None], screw, 0.0)
        led = np.where(good[:, None, None], rest, way)
        along = screw_poses(fraction[:, None] * screw)
    result = np.zeros_like(first)
    result[:, :3, :3] = turns(fraction[:, None] * rotation_vectors(led[:, :3, :3]))
    result[:, :3, 3] = fraction[:, None] * led[:, :3, 3]
    result[:, 3, 3] = 1.0
    result = first @ along @ result
    still = (first == second).all(axis=(1, 2))
    if screw is not None:
        still &= (screw == 0.0).all(axis=1)
    result[still] = first[still]  # to the last bit: what stands is not rendered twice
    return result


def inverse_many(poses: Matrix) -> Matrix:
    """Return the inverses of rigid poses (n, 4, 4)."""
    result = np.zeros_like(poses)
    turned = poses[:, :3, :3].transpose(0, 2, 1)
    result[:, :3, :3] = turned
    result[:, :3, 3] = -np.einsum('nij,nj->ni', turned, poses[:, :3, 3])
    result[:, 3, 3] = 1.0
    return result


def turns(vectors: Matrix) -> Matrix:
    """Return rotations (n, 3, 3) by rotation vectors (n, 3) in rad."""
    return screw_poses(np.concatenate([np.zeros_like(vectors), vectors], axis=1))[:, :3, :3]


def screw_poses(screws: Twist) -> Matrix:
    """Return the poses (n, 4, 4) that screws (n, 6) lead to: the exponential map of SE(3)."""
    vectors = screws[:, 3:]
    angle = np.linalg.norm(vectors, axis=1)
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    square = angle * angle
    sine = np.where(small, 1.0 - square / 6.0, np.sin(angle) / safe)
    cosine = np.where(small, 0.5 - square / 24.0, 2.0 * (np.sin(angle / 2.0) / safe) ** 2)
    third = np.where(small, 1.0 / 6.0 - square / 120.0, (1.0 - sine) / safe**2)
    cross = np.zeros((len(screws), 3, 3))
    x, y, z = vectors.T
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -z, y, -x
    cross[:, 1, 0], cross[:, 2, 0], cross[:, 2, 1] = z, -y, x
    twice = cross @ cross
    sine, cosine, third = (value[:, None, None] for value in (sine, cosine, third))
    result = np.zeros((len(screws), 4, 4))
    result[:, :3, :3] = np.eye(3) + sine * cross + cosine * twice
    bent = np.eye(3) + cosine * cross + third * twice
    result[:, :3, 3] = np.einsum('nij,nj->ni', bent, screws[:, :3])
    result[:, 3, 3] = 1.0
    return result


def rotation_vectors(rotations: Matrix) -> Matrix:
    """Return rotation vectors (n, 3) of at most half a turn, of rotations (n, 3, 3)."""
    m = rotations
    x, y, z = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    doubled = np.stack(
        [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], axis=1
    )
    # 4·q·qT of the quaternion q; its longest column is q, well scaled.
    squares = np.zeros((len(m), 4, 4))
    squares[:, 0, 0], squares[:, 1, 1] = 1 + x - y - z, 1 - x + y - z
    squares[:, 2, 2], squares[:, 3, 3] = 1 - x - y + z, 1 + x + y + z
    for i, j in ((0, 1), (0, 2), (1, 2)):
        squares[:, i, j] = squares[:, j, i] = m[:, i, j] + m[:, j, i]
    squares[:, 3, :3] = squares[:, :3, 3] = doubled
    best = np.argmax(np.einsum('nii->ni', squares), axis=1)
    quaternion = squares[np.arange(len(m)), best]
    quaternion *= np.where(quaternion[:, 3:] < 0.0, -1.0, 1.0)
    length = np.linalg.norm(quaternion[:, :3], axis=1)
    angle = 2.0 * np.arctan2(length, quaternion[:, 3])
    scale = np.where(length < 1e-12, 0.0, angle / np.where(length < 1e-12, 1.0, length))
    return quaternion[:, :3] * scale[:, None]
