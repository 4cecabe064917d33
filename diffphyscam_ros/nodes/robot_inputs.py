# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The topics of robots: descriptions, and joint states in the same namespace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
import functools
import os
import threading
from typing import Any, cast

from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from diffphyscam_ros.nodes.camera_state import Configuration
from diffphyscam_ros.nodes.joint_states import JointStates
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.robot_loader import RobotLoader
from diffphyscam_ros.nodes.robot_scene import RobotScene
from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.robot import Robot

# As robot_state_publisher publishes it.
DESCRIPTION_QOS = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
# Best effort hears every publisher, reliable ones too.
JOINTS_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)

SHOWN_PROBLEMS = 5
SAY_AGAIN = 5.0  # s

TOPICS, PREFIXES, PACKAGES = (
    'robot_description_topics', 'robot_frame_prefixes', 'robot_package_paths'
)  # fmt: skip


@dataclass
class _Source:
    """One robot's topics.

    :param text: the newest description, '' where there is none.
    :param refused: why it was not taken, '' where it was.
    """

    prefix: str
    joints: JointStates = field(default_factory=JointStates)
    subscriptions: list[Any] = field(default_factory=list)
    text: str = ''
    robot: Robot | None = None
    missing: list[str] = field(default_factory=list)
    refused: str = ''


class RobotInputs:
    """Keeps a scene's robots as the topics describe them.

    :param now: the time in ns.
    """

    def __init__(self, node: Node, scene: RobotScene, now: Callable[[], int]) -> None:
        """Listen to nothing yet."""
        self._node = node
        self._log = node.get_logger()
        self._scene = scene
        self._now = now
        self._lock = threading.Lock()
        self._sources: dict[str, _Source] = {}
        self._packages: tuple[str, ...] = ()
        self._loader = RobotLoader(self._on_loaded)

    def check(self, configuration: Configuration) -> None:
        """Refuse topics that are no names, and prefixes that do not fit them.

        :raises ParameterError: saying which.
        """
        self._wanted(configuration)

    def listen(self, configuration: Configuration) -> None:
        """Listen to the topics of a configuration, and to no others."""
        wanted = self._wanted(configuration)
        packages = _texts(configuration, PACKAGES)
        reread = packages != self._packages
        self._packages = packages
        for topic in [item for item in self._sources if item not in wanted]:
            self._drop(topic)
        for topic, prefix in wanted.items():
            source = self._sources.get(topic)
            if source is None:
                self._open(topic, prefix)
                continue
            with self._lock:
                source.prefix, robot, missing = prefix, source.robot, source.missing
            if source.text and reread:
                self._loader.load(topic, source.text, self._search())
            elif robot is not None:
                self._scene.show(topic, robot, prefix, source.joints, missing)

    def problems(self) -> list[str]:
        """Return the descriptions that were refused, as ``topic: reason``."""
        with self._lock:
            return [
                f'{topic}: {source.refused}'
                for topic, source in self._sources.items()
                if source.refused
            ]

    def stop(self) -> None:
        """End the thread that reads descriptions."""
        self._loader.stop()

    def _wanted(self, configuration: Configuration) -> dict[str, str]:
        """Return the prefix of each topic, by its full name."""
        topics = [item for item in _texts(configuration, TOPICS) if item]
        prefixes = _texts(configuration, PREFIXES) or ('',)
        if len(prefixes) not in (1, len(topics)):
            raise ParameterError(
                f'{PREFIXES} = {list(prefixes)}: must be one for all robots, or one for each of '
                f'the {len(topics)} topics in {TOPICS}'
            )
        if len(prefixes) == 1:
            prefixes *= len(topics)
        wanted: dict[str, str] = {}
        for topic, prefix in zip(topics, prefixes, strict=True):
            try:
                full = expand_topic_name(topic, self._node.get_name(), self._node.get_namespace())
                validate_full_topic_name(full)
            except (InvalidTopicNameException, ValueError) as error:
                words = str(error).splitlines()[0]
                raise ParameterError(
                    f'{TOPICS}: {topic!r} is no name of a topic: {words}'
                ) from None
            if full in wanted:
                raise ParameterError(f'{TOPICS} names {full} twice')
            wanted[full] = prefix
        return wanted

    def _search(self) -> list[str]:
        """Return where packages are looked for: as told, then in the sourced ROS 2."""
        prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
        return [item for item in (*self._packages, *prefixes) if item]

    def _open(self, topic: str, prefix: str) -> None:
        source = self._sources[topic] = _Source(prefix)
        joints = f'{topic.rpartition("/")[0]}/joint_states'
        describe = functools.partial(self._on_description, topic)
        move = functools.partial(self._on_joints, source, joints)
        source.subscriptions = [
            self._node.create_subscription(String, topic, describe, DESCRIPTION_QOS),
            self._node.create_subscription(JointState, joints, move, JOINTS_QOS),
        ]

    def _drop(self, topic: str) -> None:
        with self._lock:
            source = self._sources.pop(topic)
        for subscription in source.subscriptions:
            self._node.destroy_subscription(subscription)
        self._loader.cancel(topic)
        self._scene.remove(topic)

    def _on_description(self, topic: str, message: String) -> None:
        source = self._sources.get(topic)
        if source is None or (message.data == source.text and not source.refused):
            return
        source.text = message.data
        if message.data.strip():
            self._loader.load(topic, message.data, self._search())
            return
        self._loader.cancel(topic)
        with self._lock:
            source.robot, source.missing, source.refused = None, [], ''
        self._scene.remove(topic)
        self._log.info(f'{topic}: the description is empty, the robot is taken away')

    def _on_joints(self, source: _Source, topic: str, message: JointState) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        try:
            source.joints.add(stamp, self._now(), message.name, message.position)
        except ValueError as error:
            self._log.warning(f'{topic} is ignored: {error}', throttle_duration_sec=SAY_AGAIN)

    def _on_loaded(self, topic: str, result: Robot | SceneError, missing: list[str]) -> None:
        """Take what the loader has read, in its thread."""
        with self._lock:
            source = self._sources.get(topic)
            if source is None or not source.text:  # the topic was left, or the robot taken away
                return
            if isinstance(result, SceneError):
                source.refused = str(result)
                kept = '' if source.robot is None else '; the robot before it stays'
            else:
                source.robot, source.missing, source.refused = result, missing, ''
                self._scene.show(topic, result, source.prefix, source.joints, missing)
        if isinstance(result, SceneError):
            self._log.error(f'{topic} is refused: {result}{kept}')
            return
        self._log.info(
            f'{topic}: robot {result.name!r}, {len(result.links)} links, joints '
            f'{", ".join(result.joint_names) or "none"}'
        )
        for text in missing[:SHOWN_PROBLEMS]:
            self._log.warning(f'{topic}: not drawn: {text}')
        if len(missing) > SHOWN_PROBLEMS:
            self._log.warning(f'{topic}: {len(missing) - SHOWN_PROBLEMS} more are not drawn')


def _texts(configuration: Configuration, name: str) -> tuple[str, ...]:
    return cast('tuple[str, ...]', configuration.values[name])
