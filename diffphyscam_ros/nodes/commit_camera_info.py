# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Sends a calibration to a running camera: the service set_camera_info, which drivers offer."""

from __future__ import annotations

import rclpy
from rclpy.exceptions import InvalidServiceNameException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from sensor_msgs.srv import SetCameraInfo

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.calibration.pipeline import Calibration, PASSED

SERVICE = 'set_camera_info'
TIMEOUT = 10.0  # s


def camera_info(result: IntrinsicsResult) -> CameraInfo:
    """Return the message: R is the identity, P is [K | 0].

    :raises CalibrationError: where the intrinsics were not estimated.
    """
    k = [[float(value) for value in row] for row in result.k]
    message = CameraInfo()
    message.width, message.height = result.image_size
    message.distortion_model = result.model
    message.d = list(result.d)
    message.k = [value for row in k for value in row]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [value for row in k for value in (*row, 0.0)]
    return message


def service_name(camera: str) -> str:
    """Return the service of a camera that is named by its namespace, its node or the service."""
    return camera if camera.endswith(SERVICE) else f'{camera.rstrip("/")}/{SERVICE}'


def commit(found: Calibration, camera: str, node: Node | None = None) -> str:
    """Send K and the distortion to a camera, if the calibration passed; return what it said.

    :param camera: its namespace, as /camera, or the full name of the service.
    :param node: to call from; None = one of its own.
    :raises CalibrationError: where nothing may or can be sent, or the camera refuses.
    """
    if found.exit_code != PASSED or found.intrinsics is None:
        raise CalibrationError(
            f'nothing is sent to {camera}: the calibration did not pass',
            remedy='; '.join(found.below) or 'K was not estimated',
        )
    message = camera_info(found.intrinsics)
    if node is not None:
        return _send(node, message, camera)
    context = rclpy.Context()
    rclpy.init(context=context)
    own = Node('calibrate', context=context)
    try:
        return _send(own, message, camera)
    finally:
        own.destroy_node()
        rclpy.try_shutdown(context=context)


def _send(node: Node, message: CameraInfo, camera: str) -> str:
    name = service_name(camera)
    try:
        client = node.create_client(SetCameraInfo, name)
    except InvalidServiceNameException as error:
        raise CalibrationError(
            'camera to send K to',
            camera,
            allowed='a ROS namespace, as /camera',
            remedy=str(error).splitlines()[0],
        ) from None
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        if not client.wait_for_service(TIMEOUT):
            raise CalibrationError(
                f'no service {name} within {TIMEOUT:g} s',
                remedy='is the camera running, and its namespace right (`ros2 service list`)?',
            )
        future = client.call_async(SetCameraInfo.Request(camera_info=message))
        executor.spin_until_future_complete(future, TIMEOUT)
        response = future.result()
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_client(client)
    if response is None:
        raise CalibrationError(f'{name} did not answer within {TIMEOUT:g} s')
    if not response.success:
        raise CalibrationError(f'{name} refuses', remedy=response.status_message or 'no reason')
    return f'{name}: {response.status_message or "accepted"}'
