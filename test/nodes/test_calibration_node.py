# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""calibration_node: parameters, log, exit codes, and K sent to a running camera."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'calibration'))

import pipeline_bags as bags
from sensor_msgs.msg import CameraInfo
from sensor_msgs.srv import SetCameraInfo

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.nodes.calibration_parameters import (
    CALIBRATION_TABLE,
    checked,
    request_from,
    words,
)
from diffphyscam_ros.nodes.commit_camera_info import _send as send
from diffphyscam_ros.nodes.commit_camera_info import service_name
from diffphyscam_ros.nodes.parameter import ParameterError


@pytest.fixture(scope='module')
def boards(tmp_path_factory) -> Path:
    return bags.write_boards(tmp_path_factory.mktemp('bags') / 'boards')


def run_node(**parameters: object) -> subprocess.CompletedProcess:
    arguments = [word for n, v in parameters.items() for word in ('-p', f'{n}:={v}')]
    command = [sys.executable, '-m', 'diffphyscam_ros.nodes.calibration_node', '--ros-args']
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=180, env=dict(os.environ)
    )


def test_parameters_make_a_request():
    values = checked(
        {
            'bags': 'a, b',
            'target': 'chessboard:8x6:0.03',
            'roles': 'a=flat',
            'constants': 'exposure_us=5000,gain_db=20',
            'max_error': 1,
        }
    )
    request = request_from(values)
    assert request.bags == (Path('a'), Path('b'))
    assert request.roles == {'a': 'flat'}
    assert request.constants == pytest.approx({'exposure_time': 0.005, 'iso': 1000.0})
    assert request.thresholds.reprojection == 1.0
    assert request.target is not None and request.target.columns == 8
    assert words(' a,,b ') == ['a', 'b']


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({'bag': 'a'}, 'there is no parameter'),
        ({'model': 'pinhole'}, 'plumb_bob'),
        ({'max_error': 0.0}, 'above 0'),
        ({'bags': ''}, 'at least one path'),
        ({'bags': 'a', 'roles': 'a=sky'}, 'ROLE one of'),
        ({'bags': 'a', 'constants': 'exposure_us=long'}, 'a number'),
    ],
)
def test_senseless_parameters_are_named(given, said):
    with pytest.raises(ValueError, match=said):
        request_from(checked(given))
    assert issubclass(ParameterError, ValueError)


def test_every_parameter_is_described():
    for row in CALIBRATION_TABLE.values():
        assert row.description.endswith('.') and row.default is not None


def test_services_of_a_camera():
    assert service_name('/camera') == '/camera/set_camera_info'
    assert service_name('/left/') == '/left/set_camera_info'
    assert service_name('/a/set_camera_info') == '/a/set_camera_info'


def test_a_camera_that_no_service_can_be_named_after_is_refused():
    import rclpy
    from rclpy.node import Node

    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        with pytest.raises(CalibrationError, match=r"'/cam-1': must be a ROS namespace"):
            send(Node('asking', context=context), CameraInfo(), '/cam-1')
    finally:
        rclpy.try_shutdown(context=context)


def test_it_calibrates_logs_and_sends_k_to_the_camera(boards, tmp_path):
    import threading

    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    context = rclpy.Context()
    rclpy.init(context=context)
    camera = Node('driver', context=context)
    received: list = []

    def take(request, response):
        received.append(request.camera_info)
        response.success, response.status_message = True, 'stored'
        return response

    camera.create_service(SetCameraInfo, '/eye/set_camera_info', take)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(camera)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        done = run_node(bags=boards, target=bags.TARGET, out=tmp_path, name='eye', commit='/eye')
    finally:
        executor.shutdown()
        rclpy.try_shutdown(context=context)
        thread.join(10.0)
    assert done.returncode == 0, done.stderr
    assert 'intrinsics ...' in done.stderr and 'stored' in done.stderr
    k = SensorModel.load(tmp_path / 'eye.calibration.yaml').intrinsics()
    (info,) = received
    assert (info.width, info.height, info.distortion_model) == (320, 240, 'plumb_bob')
    assert info.k == pytest.approx([k.fx, 0, k.cx, 0, k.fy, k.cy, 0, 0, 1], rel=1e-9)
    assert len(info.d) == 5 and info.p[0] == info.k[0]


def test_bad_input_is_one_line_and_code_2(tmp_path):
    done = run_node(bags='missing.mcap', out=tmp_path / 'out')
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if 'calibration_node:' in line]
    assert len(lines) == 1 and 'missing.mcap' in lines[0]
    assert 'Traceback' not in done.stderr and not (tmp_path / 'out').exists()
