# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The topics of a camera: what is wanted is made and sent, all of a frame with one header."""

from __future__ import annotations

from dataclasses import dataclass
import threading

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from diffphyscam_ros.msg import CameraMetadata
from diffphyscam_ros.nodes.camera_state import Configuration
from diffphyscam_ros.nodes.compressed import compress

IMAGE, COMPRESSED, INFO, METADATA = 'image_raw', 'image_raw/compressed', 'camera_info', 'metadata'
DEPTH, DEPTH_INFO = 'depth/image_raw', 'depth/camera_info'

TYPES = {
    IMAGE: Image,
    COMPRESSED: CompressedImage,
    INFO: CameraInfo,
    METADATA: CameraMetadata,
    DEPTH: Image,
    DEPTH_INFO: CameraInfo,
}

_POLICIES = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)


@dataclass(frozen=True)
class FrameMessages:
    """The messages of one frame, with one header; None for what nobody wants."""

    image: Image | None
    camera_info: CameraInfo
    metadata: CameraMetadata
    depth: Image | None
    configuration: Configuration


class FramePublishers:
    """Publishers of everything that belongs to a frame."""

    def __init__(self, node: Node, with_depth: bool) -> None:
        """Create the publishers, reliable, volatile, keep last 10 unless overridden."""
        self._node = node
        self._lock = threading.Lock()
        self._publishers: dict[str, Publisher] = {}
        for name in (IMAGE, COMPRESSED, INFO, METADATA):
            self._create(name)
        self.set_depth(with_depth)

    def _create(self, name: str) -> None:
        profile = QoSProfile(
            depth=10,
            history=HistoryPolicy.KEEP_LAST,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.VOLATILE,
        )
        self._publishers[name] = self._node.create_publisher(
            TYPES[name],
            name,
            profile,
            qos_overriding_options=QoSOverridingOptions(_POLICIES),
        )

    def set_depth(self, enabled: bool) -> None:
        """Create or destroy the depth topics."""
        with self._lock:
            for name in (DEPTH, DEPTH_INFO):
                if enabled and name not in self._publishers:
                    self._create(name)
                elif not enabled and name in self._publishers:
                    self._node.destroy_publisher(self._publishers.pop(name))

    def wanted(self) -> set[str]:
        """Return the topics that somebody subscribes to."""
        with self._lock:
            return {
                name
                for name, publisher in self._publishers.items()
                if publisher.get_subscription_count() > 0
            }

    def publish(self, frame: FrameMessages) -> str | None:
        """Send a frame to those who want it; return why something could not be sent."""
        wanted = self.wanted()
        problem = None
        messages = {
            IMAGE: frame.image,
            INFO: frame.camera_info,
            METADATA: frame.metadata,
            DEPTH: frame.depth,
            DEPTH_INFO: frame.camera_info if frame.depth is not None else None,
        }
        if COMPRESSED in wanted and frame.image is not None:
            values = frame.configuration
            try:
                messages[COMPRESSED] = compress(
                    frame.image,
                    values.text('image_raw.compressed.format'),
                    int(values.number('image_raw.compressed.jpeg_quality')),
                    int(values.number('image_raw.compressed.png_level')),
                )
            except ValueError as error:
                problem = str(error)
        with self._lock:
            for name, message in messages.items():
                publisher = self._publishers.get(name)
                if publisher is None or message is None or name not in wanted:
                    continue
                try:
                    publisher.publish(message)
                except (InvalidHandle, RuntimeError):
                    if self._node.context.ok():
                        raise  # else the context went away while the frame was made
        return problem
