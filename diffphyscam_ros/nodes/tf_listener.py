# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where transforms come from: tf2_ros where it can be imported, else our own buffer on /tf."""

from __future__ import annotations

import importlib
import time
from typing import Any, Protocol

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from diffphyscam_ros.nodes.pose_math import Matrix, matrix_from_message
from diffphyscam_ros.nodes.tf_buffer import (
    LIVE_SECONDS,
    Stamps,
    TransformBuffer,
    TransformError,
)

STATIC_QOS = QoSProfile(
    depth=100,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class Transforms(Protocol):
    """What the nodes need of TF."""

    def lookup(
        self, target: str, source: str, stamp: int, timeout: float = 0.0
    ) -> tuple[Matrix, int | None]:
        """See ``TransformBuffer.lookup``."""

    def lookup_many(self, target: str, source: str, stamps: Stamps) -> Matrix:
        """See ``TransformBuffer.lookup_many``."""

    def knows(self, frame: str) -> bool:
        """See ``TransformBuffer.knows``."""

    def add(self, parent: str, child: str, stamp: int, pose: Matrix, static: bool = False) -> None:
        """See ``TransformBuffer.add``."""

    def clear(self) -> None:
        """See ``TransformBuffer.clear``."""


class Tf2Transforms:
    """tf2_ros behind the same lookup."""

    def __init__(self, node: Node, tf2_ros: Any) -> None:
        """Listen with a tf2_ros.TransformListener that the node's own executor serves."""
        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}  # newest stamp, since when

    def lookup(
        self, target: str, source: str, stamp: int, timeout: float = 0.0
    ) -> tuple[Matrix, int | None]:
        """Return the same as ``TransformBuffer.lookup``."""
        try:
            latest = self._buffer.lookup_transform(target, source, Time())
            newest = Time.from_msg(latest.header.stamp).nanoseconds
            if newest == 0 or newest == stamp:
                return matrix_from_message(latest.transform), newest or None
            if newest > stamp or self._live((target, source), newest):
                try:
                    found = self._buffer.lookup_transform(
                        target,
                        source,
                        Time(nanoseconds=stamp),
                        Duration(seconds=0.0 if newest > stamp else timeout),
                    )
                    return matrix_from_message(found.transform), max(newest, stamp)
                except self._tf2.ExtrapolationException:
                    pass
            return matrix_from_message(latest.transform), newest
        except self._tf2.TransformException as error:
            raise TransformError(str(error)) from None

    def lookup_many(self, target: str, source: str, stamps: Stamps) -> Matrix:
        """Return the same as ``TransformBuffer.lookup_many``."""
        return np.stack([self.lookup(target, source, int(stamp))[0] for stamp in stamps])

    def knows(self, frame: str) -> bool:
        """Return the same as ``TransformBuffer.knows``."""
        try:
            self._buffer.lookup_transform(frame, frame, Time())
        except self._tf2.TransformException:
            return False
        return True

    def _live(self, key: tuple[str, str], newest: int) -> bool:
        """Return whether the newest stamp has changed within the last second."""
        now = time.monotonic()
        before, since = self._seen.get(key, (-1, now))
        self._seen[key] = (newest, since if before == newest else now)
        return now - self._seen[key][1] < LIVE_SECONDS

    def add(self, parent: str, child: str, stamp: int, pose: Matrix, static: bool = False) -> None:
        """Do nothing: what this node publishes on /tf_static, it also hears."""

    def clear(self) -> None:
        """Forget everything; a listener of tf2_ros does so by itself when time jumps back."""
        self._seen.clear()


class TopicTransforms(TransformBuffer):
    """Our buffer, fed from /tf and /tf_static."""

    def __init__(self, node: Node, message_type: Any) -> None:
        """Subscribe."""
        super().__init__()
        self._log = node.get_logger()
        self._subscriptions = [
            node.create_subscription(message_type, '/tf', self._on_dynamic, 100),
            node.create_subscription(message_type, '/tf_static', self._on_static, STATIC_QOS),
        ]

    def _on_dynamic(self, message: Any) -> None:
        self._take(message, static=False)

    def _on_static(self, message: Any) -> None:
        self._take(message, static=True)

    def _take(self, message: Any, static: bool) -> None:
        for item in message.transforms:
            try:
                self.add(
                    item.header.frame_id,
                    item.child_frame_id,
                    Time.from_msg(item.header.stamp).nanoseconds,
                    matrix_from_message(item.transform),
                    static,
                )
            except ValueError as error:
                self._log.warning(
                    f'transform {item.header.frame_id!r} to {item.child_frame_id!r} is '
                    f'ignored: {error}',
                    throttle_duration_sec=5.0,
                )


def tf_message_type() -> Any | None:
    """Return tf2_msgs/TFMessage, or None where that package is not installed."""
    try:
        return importlib.import_module('tf2_msgs.msg').TFMessage
    except (ImportError, AttributeError):
        return None


def create_transforms(node: Node) -> tuple[Transforms, str]:
    """Return the source of transforms, and words for the log on which it is."""
    message_type = tf_message_type()
    if message_type is None:
        return TransformBuffer(), (
            'TF is not heard: the message package tf2_msgs is missing. Give the camera pose on '
            '~/camera_pose or ~/camera_odom, in the world frame.'
        )
    try:
        tf2_ros = importlib.import_module('tf2_ros')
    except ImportError:
        return TopicTransforms(node, message_type), 'TF is heard on /tf and /tf_static'
    return Tf2Transforms(node, tf2_ros), 'TF is heard through tf2_ros'
