# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How camera_node starts and ends: launch parameters, what makes no sense, simulated time."""

from __future__ import annotations

import os
import signal
import time

from camera_harness import CameraProcess, Client, marker, nanoseconds
import numpy as np
import pytest
from rosgraph_msgs.msg import Clock

from diffphyscam_ros.nodes.parameter_docs import yaml_text

SMALL = ('-p', 'image_width:=64', '-p', 'image_height:=48', '-p', 'device:=cpu')


@pytest.fixture
def start(tmp_path):
    """Start cameras, and end them after the test."""
    running = []

    def begin(*arguments, **environment):
        process = CameraProcess(tmp_path, *arguments, environment=environment)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.interrupt()


@pytest.fixture
def connect():
    """Connect clients, and close them after the test."""
    clients = []

    def begin(*arguments):
        clients.append(Client(*arguments))
        return clients[-1]

    yield begin
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ('parameter', 'words'),
    [
        ('exposure_time:=-1.0', ['exposure_time = -1.0', 'µs']),
        ('calibration_file:=KEYS', ['bad.yaml', 'wonders']),
        ('device:=cuda', ['cuda', 'NVIDIA']),
    ],
)
def test_senseless_parameters_end_it_with_one_clear_line(start, tmp_path, parameter, words):
    if parameter == 'device:=cuda':
        torch = pytest.importorskip('torch')
        if torch.cuda.is_available():
            pytest.skip('there is a GPU')
    bad = tmp_path / 'bad.yaml'
    bad.write_text('schema: diffphyscam_ros/sensor_model/1\nwonders: 3\n', encoding='utf-8')
    process = start(*SMALL, '-p', parameter.replace('KEYS', str(bad)))
    assert process.wait() == 1
    assert 'Traceback' not in process.log
    lines = [line for line in process.log.splitlines() if 'cannot start' in line]
    assert len(lines) == 1 and all(word in lines[0] for word in words), process.log


def test_launch_parameters_of_every_kind_take_effect(start, connect, tmp_path):
    """The generated file, read-only and alias parameters, namespace, QoS."""
    file = tmp_path / 'camera.yaml'
    text = yaml_text().replace('camera_name: "camera"', 'camera_name: "left"')
    text = text.replace('publish_optical_tf: false', 'publish_optical_tf: true')
    text = text.replace('frame_rate: 30.0', 'framerate: 25')
    text = text.replace('# exposure_time: 10000.0', 'exposure_time: 4000')
    text = text.replace('# image_width: 640', 'image_width: 64').replace(
        '# image_height: 480', 'image_height: 48'
    )
    text += '    exposure_tyme: 3.0\n'
    text += '    qos_overrides./stereo/image_raw.publisher.reliability: best_effort\n'
    file.write_text(text, encoding='utf-8')
    process = start('--params-file', str(file), '-r', '__ns:=/stereo')
    process.wait_for_log('Did you mean exposure_time?')
    client = connect('/stereo/camera', '/stereo/')
    process.wait_for_log('ready after')
    client.subscribe('image')
    client.wait_until(lambda: client.node.get_publishers_info_by_topic('/stereo/image_raw'))
    reader = client.node.get_publishers_info_by_topic('/stereo/image_raw')[0]
    assert reader.qos_profile.reliability.name == 'BEST_EFFORT'
    client.unsubscribe('image')
    assert client.get('camera_name') == 'left'
    assert client.get('frame_rate') == client.get('framerate') == 25.0
    assert not client.try_set(camera_name='right').successful
    client.subscribe('info')
    assert client.fresh('info').header.frame_id == 'left_optical_frame'
    assert client.fresh('metadata').exposure_time == 4000.0
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not built')
    from diffphyscam_ros.nodes.tf_listener import STATIC_QOS

    heard = []
    client.node.create_subscription(tf2_msgs.TFMessage, '/tf_static', heard.append, STATIC_QOS)
    client.wait_until(lambda: heard, what='the static transform')
    item = heard[0].transforms[0]
    assert (item.header.frame_id, item.child_frame_id) == ('left_link', 'left_optical_frame')
    turn = item.transform.rotation
    assert (turn.x, turn.y, turn.z, turn.w) == (-0.5, 0.5, -0.5, 0.5)
    assert process.interrupt() == 0
    assert 'Traceback' not in process.log, process.log


def test_simulated_time_drives_the_frames_and_may_jump_back(start, connect):
    process = start(*SMALL, '-p', 'use_sim_time:=true', '-p', 'frame_rate:=10.0')
    process.wait_for_log('ready after')
    client = connect()
    client.subscribe('image', 'metadata')
    clock = client.node.create_publisher(Clock, '/clock', 10)
    client.wait_until(lambda: clock.get_subscription_count() > 0, what='a reader of /clock')
    assert '/clock' in client.status('frames')['message']

    def run(first, steps):
        """Let simulated time pass in steps of 50 ms, each as soon as it was looked at."""
        client.received['image'].clear()
        for step in range(steps):
            message = Clock()
            total = round((first + 0.05 * step) * 1e9)
            message.clock.sec, message.clock.nanosec = divmod(total, 10**9)
            clock.publish(message)
            client.state()  # answered after the clock was heard
            wanted = len(client.received['image'])
            try:
                client.wait_until(lambda w=wanted: len(client.received['image']) > w, timeout=0.1)
            except AssertionError:
                pass  # every other step is between two frames
        return np.array([nanoseconds(m.header.stamp) for m in client.received['image']]) * 1e-9

    stamps = run(100.0, 20)
    assert len(stamps) >= 6
    assert np.allclose(np.diff(stamps), 0.1, atol=1e-6)
    item = marker()
    item.lifetime.sec = 30
    client.show(item)
    again = run(5.0, 20)
    assert len(again) >= 6
    assert again.min() > 4.9 and again.max() < 6.1
    assert client.state().instance_names == ['test/0']
    assert process.interrupt() == 0
    assert 'Traceback' not in process.log, process.log


def test_it_needs_no_display_and_no_folder_to_keep_kernels_in(start, connect, tmp_path):
    """Kernels run uncompiled here, to spare the test the time that compiling them all takes."""
    occupied = tmp_path / 'file'
    occupied.write_text('a file where a folder should be', encoding='utf-8')
    environment = {name: '' for name in ('DISPLAY', 'WAYLAND_DISPLAY') if name in os.environ}
    process = start(
        *('-p', 'image_width:=12', '-p', 'image_height:=8', '-p', 'device:=cpu'),
        NUMBA_CACHE_DIR=str(occupied / 'cache'),
        NUMBA_DISABLE_JIT='1',
        **environment,
    )
    process.wait_for_log('Set NUMBA_CACHE_DIR to a folder that can be written')
    process.wait_for_log('ready after')
    connect().shot()
    assert process.interrupt() == 0


def test_it_ends_well_when_it_is_interrupted_more_than_once(start):
    """A terminal sends SIGINT to ros2 launch and to the camera, and ros2 launch sends another."""
    process = start(*SMALL, '-p', 'always_render:=true')
    process.wait_for_log('ready after')
    for _ in range(3):
        process.process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert process.interrupt() == 0
    assert 'Traceback' not in process.log, process.log
