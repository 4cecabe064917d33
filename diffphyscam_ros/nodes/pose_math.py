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

SMALLEST_NORM = 1e-6
"""Below it a quaternion has no direction worth normalising."""


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
