# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A camera_node in a process of its own, and a client that talks to it over DDS."""

from __future__ import annotations

from collections import deque, OrderedDict
from dataclasses import dataclass
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point
import numpy as np
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import Marker, MarkerArray

from diffphyscam_ros.msg import CameraMetadata
from diffphyscam_ros.nodes.conversions import decode
from diffphyscam_ros.srv import GetState

START_TIMEOUT = 120.0  # s; kernels may have to be compiled
TIMEOUT = 20.0  # s for anything that should take a fraction of one


@dataclass(frozen=True)
class Shot:
    """The messages of one frame."""

    image: Image
    info: CameraInfo
    metadata: CameraMetadata
    arrival: float  # s, wall clock, of the image

    @property
    def pixels(self):
        """The image, (H, W, C), as numbers."""
        return decode(self.image).astype(float)

    @property
    def level(self) -> float:
        """The mean of the picture."""
        return float(self.pixels.mean())


class CameraProcess:
    """A running camera_node."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None):
        """Start it; arguments are those after --ros-args."""
        self.log_path = folder / f'camera_{time.monotonic_ns()}.log'
        with self.log_path.open('w') as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    'diffphyscam_ros.nodes.camera_node',
                    '--ros-args',
                    *arguments,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, **(environment or {})),
            )

    @property
    def log(self) -> str:
        """What it has said."""
        return self.log_path.read_text()

    def wait_for_log(self, words: str, timeout: float = START_TIMEOUT) -> None:
        """Wait until it has said something."""
        deadline = time.monotonic() + timeout
        while words not in self.log:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f'{words!r} was not said:\n{self.log}')
            time.sleep(0.05)

    def wait(self, timeout: float = START_TIMEOUT) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(timeout)

    def interrupt(self) -> int:
        """End it as Ctrl-C does and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Client:
    """Subscribes to a camera and turns its knobs."""

    def __init__(self, camera: str = '/camera', prefix: str = '/'):
        """Connect to the node ``camera`` that publishes under ``prefix``."""
        self.camera = camera
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node(f'client_{time.monotonic_ns()}', context=self.context)
        self.changed = threading.Condition()
        self.received: dict[str, deque] = {}
        self.counts: dict[str, int] = {}
        self._subscriptions: dict[str, object] = {}
        self._arrivals: OrderedDict[tuple, float] = OrderedDict()
        self._clients: dict[str, object] = {}
        self._shown = 0
        self.topics = {
            'image': (Image, f'{prefix}image_raw'),
            'info': (CameraInfo, f'{prefix}camera_info'),
            'metadata': (CameraMetadata, f'{prefix}metadata'),
            'depth': (Image, f'{prefix}depth/image_raw'),
            'depth_info': (CameraInfo, f'{prefix}depth/camera_info'),
            'compressed': (CompressedImage, f'{prefix}image_raw/compressed'),
            'diagnostics': (DiagnosticArray, '/diagnostics'),
        }
        self.scene = self.node.create_publisher(MarkerArray, f'{camera}/scene', 100)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def close(self):
        """Go away."""
        self._executor.shutdown()
        rclpy.try_shutdown(context=self.context)
        self._thread.join(TIMEOUT)

    # --- topics -----------------------------------------------------------------------------

    def subscribe(self, *names: str, qos=10):
        """Listen to topics."""
        for name in names:
            if name in self._subscriptions:
                continue
            self.received[name] = deque(maxlen=200)
            self.counts[name] = 0
            kind, topic = self.topics[name]
            self._subscriptions[name] = self.node.create_subscription(
                kind, topic, lambda message, name=name: self._take(name, message), qos
            )

    def unsubscribe(self, *names: str):
        """Stop listening."""
        for name in names:
            if name in self._subscriptions:
                self.node.destroy_subscription(self._subscriptions.pop(name))

    def _take(self, name, message):
        with self.changed:
            self.received[name].append(message)
            self.counts[name] += 1
            if name == 'image':
                self._arrivals[stamp_of(message)] = time.time()
                while len(self._arrivals) > 300:
                    self._arrivals.popitem(last=False)
            self.changed.notify_all()

    def wait_until(self, condition, timeout: float = TIMEOUT, what: str = 'it'):
        """Wait until ``condition()`` is true (asked again whenever something arrives)."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f'{what} did not happen within {timeout} s')
            with self.changed:
                self.changed.wait(min(left, 0.05))
        return found

    def shot(self, timeout: float = TIMEOUT) -> Shot:
        """Return a frame whose exposure ends after this call."""
        return self.shots(1, timeout)[0]

    def shots(self, count: int, timeout: float = TIMEOUT) -> list[Shot]:
        """Return complete frames whose exposure ends after this call."""
        self.subscribe('image', 'info', 'metadata')
        now = time.time_ns()

        def complete():
            with self.changed:
                kept = {
                    name: {stamp_of(item): item for item in self.received[name]}
                    for name in ('image', 'info', 'metadata')
                }
            common = sorted(set.intersection(*(set(items) for items in kept.values())))
            found = [
                Shot(
                    kept['image'][stamp],
                    kept['info'][stamp],
                    kept['metadata'][stamp],
                    self._arrivals.get(stamp, 0.0),
                )
                for stamp in common
                if nanoseconds(kept['metadata'][stamp].exposure_end) >= now
            ]
            return found if len(found) >= count else None

        return self.wait_until(complete, timeout, f'{count} frames')[:count]

    def fresh(self, name: str, timeout: float = TIMEOUT):
        """Return the next message of a topic."""
        self.subscribe(name)
        before = self.counts[name]
        self.wait_until(lambda: self.counts[name] > before, timeout, f'a message on {name}')
        return self.received[name][-1]

    def same_stamp(self, name: str, other):
        """Return the message of a topic that belongs to the frame of another message."""

        def find():
            with self.changed:
                kept = list(self.received[name])
            return next((item for item in kept if stamp_of(item) == stamp_of(other)), None)

        return self.wait_until(find, what=f'the message on {name}')

    def status(self, name: str) -> dict[str, str]:
        """Return the next diagnostics of a part of the camera."""
        message = self.fresh('diagnostics')
        found = next(item for item in message.status if item.name.endswith(f': {name}'))
        return {
            'level': str(found.level[0]),
            'message': found.message,
            **{item.key: item.value for item in found.values},
        }

    # --- services ---------------------------------------------------------------------------

    def call(self, kind, name: str, **fields):
        """Call a service."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(START_TIMEOUT), f'{name}: no such service'
        done = threading.Event()
        future = client.call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(TIMEOUT), f'{name}: no answer'
        return future.result()

    def try_set(self, **values):
        """Set parameters in one call; '__' stands for '.' in names. Return the result."""
        parameters = [ros_parameter(name.replace('__', '.'), v) for name, v in values.items()]
        return self.call(
            SetParametersAtomically,
            f'{self.camera}/set_parameters_atomically',
            parameters=parameters,
        ).result

    def set(self, **values):
        """Set parameters in one call, which must succeed."""
        result = self.try_set(**values)
        assert result.successful, result.reason

    def set_each(self, **values):
        """Set parameters as ``ros2 param set`` does; return the results."""
        parameters = [ros_parameter(name.replace('__', '.'), v) for name, v in values.items()]
        return self.call(
            SetParameters, f'{self.camera}/set_parameters', parameters=parameters
        ).results

    def get(self, name: str):
        """Return a parameter."""
        response = self.call(
            GetParameters, f'{self.camera}/get_parameters', names=[name.replace('__', '.')]
        )
        value = parameter_value_to_python(response.values[0])
        return list(value) if hasattr(value, 'typecode') else value

    # --- scene ------------------------------------------------------------------------------

    def show(self, *markers: Marker, clear: bool = True):
        """Publish markers, after taking away all that there are, and wait until they are in."""
        self.wait_until(
            lambda: self.scene.get_subscription_count() > 0, START_TIMEOUT, 'a reader of ~/scene'
        )
        before = [Marker(action=Marker.DELETEALL)] if clear else []
        # One that cannot be drawn shows up in the state, once all before it have been applied.
        self._shown += 1
        last = Marker(ns='sync', id=self._shown, type=99)
        self.scene.publish(MarkerArray(markers=[*before, *markers, last]))
        self.wait_until(self._synchronised, what='the markers')
        last.action = Marker.DELETE
        self.scene.publish(MarkerArray(markers=[last]))
        self.wait_until(lambda: not self._synchronised(), what='the markers')

    def _synchronised(self) -> bool:
        return any(
            item.startswith(f'sync/{self._shown}:') for item in self.state().rejected_markers
        )

    def state(self):
        """Return the answer of ~/get_state."""
        return self.call(GetState, f'{self.camera}/get_state').state


def ros_parameter(name, value):
    """Return a parameter message; tuples are arrays of texts or of doubles."""
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], str):
        return Parameter(name, Parameter.Type.STRING_ARRAY, list(value)).to_parameter_msg()
    if isinstance(value, (tuple, list)):
        return Parameter(
            name, Parameter.Type.DOUBLE_ARRAY, [float(v) for v in value]
        ).to_parameter_msg()
    return Parameter(name, value=value).to_parameter_msg()


def nanoseconds(stamp) -> int:
    """Return a stamp as one number."""
    return stamp.sec * 10**9 + stamp.nanosec


def stamp_of(message) -> tuple[int, int]:
    """Return the stamp of a message's header."""
    return message.header.stamp.sec, message.header.stamp.nanosec


def marker(
    kind=Marker.CUBE,
    identity=0,
    place=(0.0, 0.0, 0.0),
    scale=(1.0, 1.0, 1.0),
    color=(1.0, 1.0, 1.0, 1.0),
    points=(),
    frame='world',
    namespace='test',
    **fields,
) -> Marker:
    """Return a marker in the world, not turned."""
    result = Marker(ns=namespace, id=identity, type=kind, **fields)
    result.header.frame_id = frame
    position = result.pose.position
    position.x, position.y, position.z = (float(v) for v in place)
    result.pose.orientation.w = 1.0
    result.scale.x, result.scale.y, result.scale.z = (float(v) for v in scale)
    color_ = result.color
    color_.r, color_.g, color_.b, color_.a = (float(v) for v in color)
    result.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]
    return result


def wall(color=(1.0, 1.0, 1.0, 1.0), identity=0) -> Marker:
    """Return a wall 2 m in front of the default pose that fills the left half of the view.

    Its edge is 5 cm right of the middle, so that a change of K moves it.
    """
    return marker(place=(0.5, 4.95, 0.5), scale=(1.0, 10.0, 10.0), color=color, identity=identity)


def project(shot_info: CameraInfo, point, camera=(-2.0, 0.0, 0.5)) -> np.ndarray:
    """Return the pixel of a world point, for a camera at a place that looks along +x."""
    x, y, z = np.subtract(point, camera)
    return np.array(
        [
            shot_info.k[0] * -y / x + shot_info.k[2],
            shot_info.k[4] * -z / x + shot_info.k[5],
        ]
    )
