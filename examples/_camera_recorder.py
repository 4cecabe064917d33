# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Drives a camera_node and writes the very messages that it sends into bags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from diffphyscam_ros.msg import CameraMetadata

START_TIMEOUT = 180.0  # s, the very first start compiles the kernels
TIMEOUT = 60.0  # s

EVENTS = '/parameter_events'


class CameraProcess:
    """A camera_node in a process of its own; a context manager.

    :param parameters: of the node, at its start.
    :param log: file for what it says.
    """

    def __init__(self, parameters: Mapping[str, Any], log: Path) -> None:
        """See the class."""
        words = [f'{name}:={value}' for name, value in parameters.items()]
        given = [word for text in words for word in ('-p', text)]
        self.arguments = ['--ros-args', '-r', '__ns:=/camera', *given]
        self.log = log

    def __enter__(self) -> CameraProcess:
        """Start it."""
        with self.log.open('w') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'diffphyscam_ros.nodes.camera_node', *self.arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        """Raise where it has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f'camera_node has ended: {self.log.read_text()[-2000:]}')


class Recorder:
    """Listens to a camera as bytes, sets its parameters, and writes bags; a context manager."""

    TYPES = {  # noqa: RUF012 - never changed
        'image_raw': 'sensor_msgs/msg/Image',
        'camera_info': 'sensor_msgs/msg/CameraInfo',
        'metadata': 'diffphyscam_ros/msg/CameraMetadata',
    }

    def __init__(self, camera: CameraProcess, namespace: str = '/camera') -> None:
        """Connect to the node /camera/camera."""
        from rcl_interfaces.msg import ParameterEvent
        from rcl_interfaces.srv import SetParametersAtomically
        from sensor_msgs.msg import CameraInfo, Image

        self._camera = camera
        self._changed = threading.Condition()
        self._frames: dict[bytes, dict[str, bytes]] = {}
        self._ready: list[tuple[int, dict[str, bytes]]] = []
        self._events: list[tuple[int, bytes]] = []
        rclpy.init()
        self._node = Node('calibration_recorder')
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        types = {'image_raw': Image, 'camera_info': CameraInfo, 'metadata': CameraMetadata}
        self.topics = {name: f'{namespace}/{name}' for name in types}
        for name, kind in types.items():
            self._node.create_subscription(
                kind,
                self.topics[name],
                lambda data, name=name: self._on_message(name, data),
                qos,
                raw=True,
            )
        self._node.create_subscription(ParameterEvent, EVENTS, self._on_event, qos, raw=True)
        self._set = self._node.create_client(
            SetParametersAtomically, f'{namespace}/camera/set_parameters_atomically'
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def __enter__(self) -> Recorder:
        """Begin to listen, and wait for the first frame."""
        self._thread.start()
        self._wait(lambda: bool(self._ready), START_TIMEOUT, 'the first frame')
        return self

    def __exit__(self, *_: object) -> None:
        """Go away."""
        self._executor.shutdown()
        rclpy.try_shutdown()
        self._thread.join(10.0)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _on_event(self, data: bytes) -> None:
        with self._changed:
            self._events.append((time.time_ns(), data))

    def _on_message(self, name: str, data: bytes) -> None:
        # Of every message with a header: 4 bytes that say how it is encoded, then the stamp.
        stamp = bytes(data[4:12])
        with self._changed:
            parts = self._frames.setdefault(stamp, {})
            parts[name] = data
            if len(parts) == len(self.TYPES):
                self._ready.append((time.time_ns(), self._frames.pop(stamp)))
                del self._ready[:-400]
                self._changed.notify_all()
            while len(self._frames) > 100:
                self._frames.pop(next(iter(self._frames)))

    def _wait(self, condition: Any, timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                self._camera.check()
                if time.monotonic() > deadline:
                    raise TimeoutError(f'{what} did not come within {timeout:.0f} s')
                self._changed.wait(0.2)

    def set(self, **values: Any) -> None:
        """Set parameters of the camera together; '__' stands for '.' in names.

        :raises RuntimeError: where the camera refuses.
        """
        if not self._set.wait_for_service(TIMEOUT):
            raise TimeoutError('the camera offers no parameter services')
        request = self._set.srv_type.Request(
            parameters=[
                Parameter(name.replace('__', '.'), value=value).to_parameter_msg()
                for name, value in values.items()
            ]
        )
        done = threading.Event()
        future = self._set.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(TIMEOUT):
            raise TimeoutError('the camera did not answer')
        result = future.result().result
        if not result.successful:
            raise RuntimeError(f'the camera refuses: {result.reason}')

    def take(self, count: int) -> list[tuple[int, dict[str, bytes]]]:
        """Return frames whose exposure begins from now on: time of arrival and messages."""
        now = time.time_ns()
        found: list[tuple[int, dict[str, bytes]]] = []
        seen = 0

        def enough() -> bool:
            nonlocal seen
            for arrival, parts in self._ready[seen:]:
                start = deserialize_message(parts['metadata'], CameraMetadata).exposure_start
                if start.sec * 10**9 + start.nanosec >= now and len(found) < count:
                    found.append((arrival, parts))
            seen = len(self._ready)
            return len(found) >= count

        with self._changed:
            self._ready.clear()
        self._wait(enough, TIMEOUT + count, f'{count} frames')
        return found

    def write(
        self,
        path: Path,
        frames: Sequence[tuple[int, dict[str, bytes]]],
        storage: str = 'mcap',
    ) -> None:
        """Write frames and the parameter events so far as a ROS 2 bag."""
        from rosbags import rosbag2
        from rosbags.typesys import get_types_from_msg, get_typestore, Stores

        from diffphyscam_ros.resources import find_resource

        store = get_typestore(Stores.LATEST)
        own = find_resource('msg/CameraMetadata.msg').read_text(encoding='utf-8')
        store.register(get_types_from_msg(own, self.TYPES['metadata']))
        plugin = rosbag2.StoragePlugin[storage.upper()]
        with self._changed:
            events, self._events = self._events, []
        with rosbag2.Writer(path, version=9, storage_plugin=plugin) as bag:
            connections = {
                name: bag.add_connection(self.topics[name], kind, typestore=store)
                for name, kind in self.TYPES.items()
            }
            changes = bag.add_connection(
                EVENTS, 'rcl_interfaces/msg/ParameterEvent', typestore=store
            )
            messages = [(time_, changes, data) for time_, data in events]
            for arrival, parts in frames:
                messages += [(arrival, connections[name], data) for name, data in parts.items()]
            for arrival, connection, data in sorted(messages, key=lambda item: item[0]):
                bag.write(connection, arrival, bytes(data))


def isolate() -> None:
    """Let this process and those it starts talk to each other alone."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
