# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The services of camera_node: they clamp, say what was reached, and set the parameters."""

from __future__ import annotations

import math

from camera_harness import Client, marker, wall
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from sensor_msgs.srv import SetCameraInfo

from diffphyscam_ros.nodes.services import SETTERS
from diffphyscam_ros.srv import SetFocus

# Service: a value within, one below and one above what can be reached, and what is reached.
REACHED = {
    'exposure': [(20_000.0, 20_000.0), (0.1, 1.0), (1e9, 1e7)],
    'gain': [(12.0, 12.0), (-100.0, -20.0), (1000.0, 80.0)],
    'iso': [(800.0, 800.0), (1.0, 10.0), (1e12, 1e6)],
    'aperture': [(8.0, 8.0), (0.01, 0.5), (1e4, 128.0)],
    'focus': [(1.5, 1.5), (1e-4, 1.1 * 0.0036), (math.inf, math.inf)],
}


def call(client: Client, name: str, target: float):
    kind = SETTERS[name][0]
    return client.call(kind, f'/camera/set_{name}', **{f'target_{name}': target})


@pytest.mark.parametrize('name', SETTERS)
def test_a_setter_reaches_or_clamps(client, name):
    within, below, above = REACHED[name]
    for target, reached in (within, below, above):
        response = call(client, name, target)
        assert response.success
        assert getattr(response, f'reached_{name}') == pytest.approx(reached)
        assert response.message.startswith('clamped to') == (target != reached)
        assert client.get(SETTERS[name][1]) == pytest.approx(reached)


@pytest.mark.parametrize('name', SETTERS)
def test_nonsense_changes_nothing(client, name):
    before = client.get(SETTERS[name][1])
    nonsense = [math.nan] + ([math.inf, -math.inf] if name == 'gain' else [0.0, -1.0, -math.inf])
    for target in nonsense:
        response = call(client, name, target)
        assert not response.success and SETTERS[name][1] in response.message
        assert getattr(response, f'reached_{name}') == before
        assert client.get(SETTERS[name][1]) == before


def test_the_next_frame_shows_the_new_setting(client):
    client.shot()
    for exposure in (5_000.0, 15_000.0, 2_500.0):
        call(client, 'exposure', exposure)
        assert client.shot().metadata.exposure_time == exposure


def test_gain_and_iso_are_one(client):
    call(client, 'gain', 20.0)
    assert client.get('iso') == pytest.approx(1000.0)
    call(client, 'iso', 100.0)
    assert client.get('gain') == pytest.approx(0.0)
    metadata = client.shot().metadata
    assert (metadata.iso, metadata.gain) == (100.0, 0.0)


def test_the_depth_of_field_is_where_the_blur_is_one_pixel(client):
    client.set(focal_length=0.02, aperture=2.0, focus_distance=2.0, pixel_size=6e-6)
    response = client.call(SetFocus, '/camera/set_focus', target_focus=2.0)

    def blur(depth):
        return 0.02**2 * abs(depth - 2.0) / (2.0 * 6e-6 * depth * (2.0 - 0.02))

    assert response.near_limit < 2.0 < response.far_limit
    assert blur(response.near_limit) == pytest.approx(1.0)
    assert blur(response.far_limit) == pytest.approx(1.0)
    state = client.state()
    assert (state.near_limit, state.far_limit) == (response.near_limit, response.far_limit)
    assert math.isinf(client.call(SetFocus, '/camera/set_focus', target_focus=math.inf).far_limit)


def test_get_state_says_what_is_in_effect(client):
    client.show(wall())
    client.set(exposure_time=1234.0, enable_noise=False, output_encoding='mono16')
    state = client.state()
    assert state.exposure_time == 1234.0 and not state.enable_noise
    assert state.output_encoding == 'mono16'
    assert (state.image_width, state.image_height) == (64, 48)
    assert state.camera_name == 'camera' and state.device == 'cpu'
    assert state.header.frame_id == 'camera_optical_frame'
    assert state.instance_names == ['test/0'] and not state.rejected_markers


def calibration(width=64, height=48, **changes) -> CameraInfo:
    message = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
    message.k = [80.0, 0.0, 30.0, 0.0, 82.0, 20.0, 0.0, 0.0, 1.0]
    message.d = [0.0] * 5
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize('service', ['/set_camera_info', '/camera/set_camera_info'])
def test_set_camera_info_moves_the_pixels(client, service):
    """The wall's edge is 5 cm right of straight ahead, at 2 m: 2 px from the principal point."""
    client.set(enable_noise=False)
    client.show(wall())
    for cx in (20.0, 40.0):
        message = calibration()
        message.k[2] = cx
        response = client.call(SetCameraInfo, service, camera_info=message)
        assert response.success, response.status_message
        shot = client.shot()
        assert list(shot.info.k) == pytest.approx(list(message.k))
        assert list(shot.info.p)[:3] == pytest.approx([80.0, 0.0, cx])
        row = shot.pixels[24].mean(axis=1)
        edge = np.interp(0.5 * row[2], row[::-1], np.arange(64)[::-1])
        assert edge == pytest.approx(cx + 2.0, abs=0.75)


def test_set_camera_info_sets_the_lens(client):
    client.set(enable_noise=False)
    client.show(marker(place=(0.0, 0.6, 0.8), scale=(0.1, 0.4, 0.4)))
    client.call(SetCameraInfo, '/set_camera_info', camera_info=calibration())
    straight = client.shot()
    response = client.call(
        SetCameraInfo,
        '/set_camera_info',
        camera_info=calibration(distortion_model='equidistant', d=[2.0, 0.0, 0.0, 0.0]),
    )
    assert response.success
    bent = client.shot()
    assert bent.info.distortion_model == 'equidistant' and list(bent.info.d) == [2, 0, 0, 0]
    assert client.get('distortion_model') == 'equidistant'
    assert np.abs(bent.pixels - straight.pixels).max() > 20


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'width': 640, 'height': 480}, '64x48'),
        ({'k': [math.nan] * 9}, 'finite'),
        ({'k': [-80.0, 0.0, 30.0, 0.0, 82.0, 20.0, 0.0, 0.0, 1.0]}, '> 0'),
        ({'k': [80.0, 5.0, 30.0, 0.0, 82.0, 20.0, 0.0, 0.0, 1.0]}, 'fx, 0, cx'),
        ({'distortion_model': 'mystery', 'd': [1.0]}, 'plumb_bob'),
        ({'d': [0.1, 0.2]}, '5'),
        ({'binning_x': 2}, 'binning'),
    ],
)
def test_set_camera_info_refuses(client, changes, words):
    before = client.shot().info
    response = client.call(SetCameraInfo, '/set_camera_info', camera_info=calibration(**changes))
    assert not response.success and words in response.status_message
    after = client.shot().info
    assert (after.k == before.k).all() and after.d == before.d
