# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A user of the camera: subscribes to its pictures, changes its settings, as any client would."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
import threading
import time

import numpy as np
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from diffphyscam_ros.msg import CameraMetadata
from diffphyscam_ros.srv import SetAperture, SetExposure, SetFocus, SetIso

KEPT_FRAMES = 30


@dataclass(frozen=True)
class Shot:
    """A received picture, (H, W, 3) uint8, with its metadata and its way here in seconds."""

    image: np.ndarray
    metadata: CameraMetadata
    latency: float


class DemoClient(Node):
    """Pairs pictures with metadata by stamp and calls the services; spin it in a thread."""

    def __init__(self, camera: str):
        """Connect to the camera node named ``camera``."""
        super().__init__('demo_client')
        self.camera = camera
        self._fresh = threading.Condition()
        self._images: OrderedDict[tuple, tuple[Image, float]] = OrderedDict()
        self._shots: list[Shot] = []
        self._depth: np.ndarray | None = None
        self.create_subscription(Image, 'image_raw', self._on_image, 10)
        self.create_subscription(CameraMetadata, 'metadata', self._on_metadata, 10)
        self.create_subscription(Image, 'depth/image_raw', self._on_depth, 2)
        self._services_by_setting = {
            name: self.create_client(kind, f'{camera}/set_{name}')
            for name, kind in (
                ('exposure', SetExposure),
                ('aperture', SetAperture),
                ('focus', SetFocus),
                ('iso', SetIso),
            )
        }

    def _on_image(self, message):
        arrival = self.get_clock().now().nanoseconds * 1e-9
        stamp = message.header.stamp
        with self._fresh:
            self._images[stamp.sec, stamp.nanosec] = (message, arrival)
            while len(self._images) > KEPT_FRAMES:
                self._images.popitem(last=False)

    def _on_metadata(self, message):
        stamp = message.header.stamp
        with self._fresh:
            found = self._images.pop((stamp.sec, stamp.nanosec), None)
            if found is None:
                return  # its picture did not come, or comes later: the next one will do
            picture, arrival = found
            image = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
            self._shots.append(Shot(image, message, arrival - stamp.sec - stamp.nanosec * 1e-9))
            self._fresh.notify_all()

    def _on_depth(self, message):
        self._depth = np.frombuffer(message.data, np.float32).reshape(
            message.height, message.width
        )

    @property
    def depth(self) -> np.ndarray | None:
        """The latest depth picture in metres, (H, W), or None."""
        return self._depth

    def take_shots(self) -> list[Shot]:
        """Return the shots received since the last call."""
        with self._fresh:
            shots, self._shots = self._shots, []
        return shots

    def next_shot(self, timeout: float = 60.0) -> Shot:
        """Wait for a picture that is exposed from now on.

        :raises TimeoutError: if none comes within ``timeout`` seconds.
        """
        now = self.get_clock().now().nanoseconds
        deadline = time.monotonic() + timeout
        with self._fresh:
            while True:
                for shot in self._shots:
                    start = shot.metadata.exposure_start
                    if start.sec * 10**9 + start.nanosec >= now:
                        return shot
                left = deadline - time.monotonic()
                if left <= 0.0:
                    raise TimeoutError(f'no picture from {self.camera} within {timeout:.0f} s')
                self._fresh.wait(left)

    def set(self, name: str, target: float) -> float:
        """Call ``set_<name>``, return what was reached (µs, f-number, m, ISO).

        :raises RuntimeError: if the camera refuses.
        """
        client = self._services_by_setting[name]
        request = client.srv_type.Request(**{f'target_{name}': float(target)})
        response = self._wait(client, request)
        if not response.success:
            raise RuntimeError(f'set_{name}({target}): {response.message}')
        return float(getattr(response, f'reached_{name}'))

    def set_parameters(self, node: str, **values) -> None:
        """Set parameters of any node.

        :raises RuntimeError: if one is refused.
        """
        client = self.create_client(SetParameters, f'{node}/set_parameters')
        parameters = [Parameter(name, value=v).to_parameter_msg() for name, v in values.items()]
        response = self._wait(client, SetParameters.Request(parameters=parameters))
        self.destroy_client(client)
        refused = [result.reason for result in response.results if not result.successful]
        if refused:
            raise RuntimeError(f'{node}: {"; ".join(refused)}')

    def call_trigger(self, service: str) -> str:
        """Call a std_srvs/Trigger service and return what it says.

        :raises RuntimeError: if it does not succeed.
        """
        client = self.create_client(Trigger, service)
        response = self._wait(client, Trigger.Request())
        self.destroy_client(client)
        if not response.success:
            raise RuntimeError(f'{service}: {response.message}')
        return str(response.message)

    def _wait(self, client, request, timeout: float = 60.0):
        if not client.wait_for_service(timeout_sec=timeout):
            raise TimeoutError(f'{client.srv_name}: no such service within {timeout:.0f} s')
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise TimeoutError(f'{client.srv_name}: no answer within {timeout:.0f} s')
        return future.result()
