# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What ROS itself serialises is what the reader reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bag_writing import BagWriter, pattern, stamp_of
import numpy as np
import pytest

from diffphyscam_ros.calibration import Recording

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterEvent, ParameterType, ParameterValue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from diffphyscam_ros.msg import CameraMetadata


def header(number: int) -> Header:
    stamp = stamp_of(number)
    time = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
    return Header(stamp=time, frame_id='optical')


def write(bag: BagWriter, number: int, topic: str, kind: str, message: Any) -> None:
    """Write the bytes that ROS would send."""
    data = serialize_message(message)
    bag._writer.write(bag.topic(topic, kind), stamp_of(number), data)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_of_ros(tmp_path: Path, storage: str) -> None:
    with BagWriter(tmp_path / 'bag', storage) as bag:
        event = ParameterEvent(node='/cam/camera', stamp=header(0).stamp)
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value='Continuous')
        event.changed_parameters = [  # more than one: Fast DDS leaves room after them
            Parameter(name='exposure_auto', value=value),
            Parameter(
                name='exposure_time',
                value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=5.0),
            ),
        ]
        write(bag, 0, '/parameter_events', 'rcl_interfaces/msg/ParameterEvent', event)
        for number in range(3):
            pixels = pattern(number)
            image = Image(header=header(number), height=24, width=32, encoding='mono8', step=32)
            image.data = pixels.tobytes()
            write(bag, number, '/cam/image_raw', 'sensor_msgs/msg/Image', image)
            about = CameraMetadata(header=header(number), frame_number=number)
            about.exposure_time, about.iso, about.aperture = 1500.0 + number, 200.0, 4.0
            about.focus_distance, about.focal_length = float('inf'), 0.008
            about.white_balance = [2.0, 1.0, 1.5]
            about.device, about.calibration_id = 'cpu', 'a name of any length'
            kind = 'diffphyscam_ros/msg/CameraMetadata'
            write(bag, number, '/cam/metadata', kind, about)
            info = CameraInfo(header=header(number), height=24, width=32)
            info.distortion_model, info.d = 'plumb_bob', [0.1, 0.2, 0.0, 0.0, 0.0]
            info.k = [30.0, 0.0, 15.5, 0.0, 31.0, 11.5, 0.0, 0.0, 1.0]
            write(bag, number, '/cam/camera_info', 'sensor_msgs/msg/CameraInfo', info)
    with Recording(tmp_path / 'bag') as recording:
        frames = list(recording.frames())
        info = recording.camera_info
        assert recording.messages() == []
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, pattern(number))
        assert frame.settings is not None and frame.stamp == stamp_of(number)
        assert frame.settings.exposure_time == pytest.approx((1500.0 + number) * 1e-6)
        assert (frame.settings.iso, frame.settings.aperture) == (200.0, 4.0)
        assert frame.settings.focus_distance == float('inf')
        assert frame.settings.focal_length == 0.008
        assert frame.automatic is True
    assert len(frames) == 3
    assert info is not None and info.k[4] == 31.0 and info.d[:2] == (0.1, 0.2)
    assert (info.width, info.height, info.count, info.constant) == (32, 24, 3, True)
