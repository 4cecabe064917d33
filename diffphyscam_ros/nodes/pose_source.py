# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the camera is: odometry, pose topic or TF, whichever is there, at the time asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading

import numpy as np

from diffphyscam_ros.nodes.pose_math import Matrix, Twist
from diffphyscam_ros.nodes.tf_buffer import (
    frame_name,
    PoseHistory,
    Stamps,
    TransformError,
    wait_for_newer,
)
from diffphyscam_ros.nodes.tf_listener import Transforms

IDENTITY: Matrix = np.eye(4)


@dataclass(frozen=True)
class PoseConfig:
    """The parameters that concern the pose.

    :param default: world_from_camera until a source has spoken, or None to wait for one.
    :param timeout: s, the longest wait for a pose that is as new as the exposure.
    """

    world_frame: str
    camera_frame: str
    default: Matrix | None
    timeout: float


@dataclass(frozen=True)
class CameraPose:
    """Where the camera was.

    :param matrix: (4, 4) world_from_camera, of the optical frame.
    :param source: ``odom``, ``pose``, ``tf`` or ``default``.
    :param age: s from the newest pose received to the time asked for; None where nothing moves.
    """

    matrix: Matrix
    source: str
    age: float | None


@dataclass(frozen=True)
class CameraMotion:
    """How the camera moved during an exposure.

    :param at: of stamps (n,) in ns, world_from_camera (n, 4, 4).
    """

    at: Callable[[Stamps], Matrix]
    source: str
    age: float | None


class PoseTopic:
    """The poses of one topic: of ``child`` in ``parent``, empty names as in the messages."""

    def __init__(self) -> None:
        """Start empty."""
        self._history = PoseHistory()
        self._frames = ('', '')
        self._changed = threading.Condition()

    def add(
        self, stamp: int, parent: str, child: str, pose: Matrix, twist: Twist | None = None
    ) -> None:
        """Keep a pose; when the frames change, what was said about the old ones is forgotten.

        :param twist: (6,) m/s and rad/s in the axes of ``child``.
        """
        with self._changed:
            if self._frames != (parent, child):
                self._history.clear()
                self._frames = (parent, child)
            self._history.add(stamp, pose, twist)
            self._changed.notify_all()

    def at(self, stamp: int, timeout: float) -> tuple[str, str, Matrix, int] | None:
        """Return parent, child, pose and the newest stamp; None where nothing was received."""
        with self._changed:
            wait_for_newer(self._changed, lambda: [self._history], stamp, timeout)
            newest = self._history.newest()
            if newest is None:
                return None
            return (*self._frames, self._history.at(stamp), newest)

    def over(
        self, first: int, last: int, timeout: float
    ) -> tuple[str, str, PoseHistory, int] | None:
        """Return parent, child, a copy of the poses for a span of time, and the newest stamp."""
        with self._changed:
            wait_for_newer(self._changed, lambda: [self._history], last, timeout)
            newest = self._history.newest()
            if newest is None:
                return None
            return (*self._frames, self._history.window(first, last), newest)

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._history.clear()


class PoseSource:
    """The camera pose from the first of odometry, pose topic and TF that is there."""

    def __init__(self, transforms: Transforms) -> None:
        """Start without a pose."""
        self._transforms = transforms
        self.odometry = PoseTopic()
        self.pose = PoseTopic()

    def clear(self) -> None:
        """Forget all that moves, as when the clock was set back."""
        self._transforms.clear()
        self.odometry.clear()
        self.pose.clear()

    def at(self, stamp: int, config: PoseConfig) -> CameraPose:
        """Return the pose at a time in nanoseconds.

        :raises TransformError: where it is not known; the message says of each source why.
        """
        reasons = []
        for name, topic in (('odom', self.odometry), ('pose', self.pose)):
            found = topic.at(stamp, config.timeout)
            if found is None:
                reasons.append(f'nothing was received on ~/camera_{name}')
                continue
            parent, child, pose, newest = found
            try:
                outer = self._between(config.world_frame, parent, stamp)
                inner = self._between(child, config.camera_frame, stamp)
            except TransformError as error:
                reasons.append(f'~/camera_{name}: {error}')
                continue
            return CameraPose(outer @ pose @ inner, name, (stamp - newest) * 1e-9)
        try:
            matrix, oldest = self._transforms.lookup(
                config.world_frame, config.camera_frame, stamp, config.timeout
            )
            return CameraPose(matrix, 'tf', None if oldest is None else (stamp - oldest) * 1e-9)
        except TransformError as error:
            reasons.append(f'TF: {error}')
        if config.default is not None:
            return CameraPose(config.default, 'default', None)
        raise TransformError('the camera pose is not known: ' + '; '.join(reasons))

    def over(self, first: int, last: int, config: PoseConfig) -> CameraMotion:
        """Return the poses from a first to a last time in nanoseconds; those of ``at`` alike.

        :raises TransformError: as ``at``.
        """
        middle = (first + last) // 2
        reasons = []
        for name, topic in (('odom', self.odometry), ('pose', self.pose)):
            found = topic.over(first, last, config.timeout)
            if found is None:
                reasons.append(f'nothing was received on ~/camera_{name}')
                continue
            motion = self._topic_motion(*found[:3], config)
            try:
                motion(np.array([middle]))
            except TransformError as error:
                reasons.append(f'~/camera_{name}: {error}')
                continue
            return CameraMotion(motion, name, (middle - found[3]) * 1e-9)
        world, camera = config.world_frame, config.camera_frame
        try:
            matrix, oldest = self._transforms.lookup(world, camera, last, config.timeout)
            if oldest is None:
                return CameraMotion(_standing(matrix), 'tf', None)
            return CameraMotion(
                lambda stamps: self._transforms.lookup_many(world, camera, stamps),
                'tf',
                (middle - oldest) * 1e-9,
            )
        except TransformError as error:
            reasons.append(f'TF: {error}')
        if config.default is not None:
            return CameraMotion(_standing(config.default), 'default', None)
        raise TransformError('the camera pose is not known: ' + '; '.join(reasons))

    def _topic_motion(
        self, parent: str, child: str, history: PoseHistory, config: PoseConfig
    ) -> Callable[[Stamps], Matrix]:
        def at(stamps: Stamps) -> Matrix:
            outer = self._between_many(config.world_frame, parent, stamps)
            inner = self._between_many(child, config.camera_frame, stamps)
            return outer @ history.at_many(stamps) @ inner

        return at

    def _between_many(self, target: str, source: str, stamps: Stamps) -> Matrix:
        if not target or not source or frame_name(target) == frame_name(source):
            return IDENTITY
        return self._transforms.lookup_many(target, source, stamps)

    def _between(self, target: str, source: str, stamp: int) -> Matrix:
        """Return target_from_source; an empty name stands for the other frame."""
        if not target or not source or frame_name(target) == frame_name(source):
            return IDENTITY
        return self._transforms.lookup(target, source, stamp)[0]


def _standing(pose: Matrix) -> Callable[[Stamps], Matrix]:
    return lambda stamps: np.repeat(pose[None], len(stamps), axis=0)
