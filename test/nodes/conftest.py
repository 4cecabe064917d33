# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One camera process for many tests; each test finds it as it was at the start."""

from __future__ import annotations

from pathlib import Path
import sys

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
sys.path.insert(0, str(Path(__file__).parent))

from camera_harness import CameraProcess, Client

from diffphyscam_ros.nodes.camera_state import resolve
from diffphyscam_ros.nodes.parameters import TABLE

SIZE = {'image_width': 64, 'image_height': 48}
BASE = {
    **{row.name: row.default for row in TABLE.values() if row.default is not None},
    **SIZE,
    'frame_rate': 60.0,
    'device': 'cpu',
    'noise_seed': 7,
}
"""What every test starts from: the defaults, a small picture, noise that can be repeated."""


@pytest.fixture(scope='module')
def camera_process(tmp_path_factory):
    """Run a camera; it must end well."""
    arguments = [
        word
        for name, value in BASE.items()
        if value != TABLE[name].default and not isinstance(value, tuple)
        for word in ('-p', f'{name}:={value}')
    ]
    process = CameraProcess(tmp_path_factory.mktemp('camera'), *arguments)
    process.wait_for_log('ready after')
    yield process
    code = process.interrupt()
    assert code == 0, process.log
    assert 'Traceback' not in process.log, process.log


@pytest.fixture(scope='module')
def module_client(camera_process):
    """Connect to the camera of the module."""
    client = Client()
    yield client
    client.close()


@pytest.fixture
def client(module_client):
    """Connect to the camera of the module, with all parameters as at the start, no markers."""
    values = {name: value for name, value in BASE.items() if not TABLE[name].read_only}
    module_client.set(**{name.replace('.', '__'): value for name, value in values.items()})
    module_client.show()
    yield module_client
    module_client.unsubscribe('depth', 'depth_info', 'compressed')


@pytest.fixture(scope='session')
def base_configuration():
    """Return the configuration that the camera of the tests starts with."""
    return resolve(None, BASE)
