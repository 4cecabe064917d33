# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""When frames are taken and sent; shared memory for them; noise that can be repeated."""

from __future__ import annotations

from pathlib import Path
import threading
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from diffphyscam_ros.nodes import dds_profile
from diffphyscam_ros.nodes.camera_state import resolve
from diffphyscam_ros.nodes.conversions import Statistics
from diffphyscam_ros.nodes.delay_line import DelayLine
from diffphyscam_ros.nodes.frame_statistics import FrameStatistics
from diffphyscam_ros.nodes.frame_timer import FrameTimer
from diffphyscam_ros.nodes.picture_taker import PictureTaker
from diffphyscam_ros.nodes.pose_math import matrix_from_pose
from diffphyscam_ros.nodes.urls import resolve_url
from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.scene.load import default_light
from diffphyscam_ros.scene.primitives import box
from diffphyscam_ros.scene.types import Instance, Material, Scene


def test_the_mean_rate_is_kept_when_frames_are_late():
    timer, taken, now = FrameTimer(), [], 0
    late = np.random.default_rng(4).integers(0, 40, 200)
    for delay in late:
        now += timer.wait(now, 100) + int(delay)
        assert timer.wait(now, 100) == 0
        taken.append(timer.take(now, 100))
    assert set(np.diff(taken)) == {100} and timer.skipped == 0


def test_a_frame_that_took_too_long_is_caught_up_with():
    timer = FrameTimer()
    assert timer.take(0, 100) == 0
    assert timer.take(290, 100) == 100 and timer.wait(300, 100) == 0
    assert timer.take(310, 100) == 200 and timer.wait(310, 100) == 0
    assert timer.take(330, 100) == 300 and timer.skipped == 0
    assert timer.wait(330, 100) == 70


def test_slots_that_are_missed_are_counted():
    timer = FrameTimer()
    assert timer.take(0, 100) == 0
    assert timer.take(550, 100) == 500 and timer.skipped == 4
    assert timer.wait(550, 100) == 50


def test_a_new_rate_holds_at_once_and_a_clock_set_back_begins_anew():
    timer = FrameTimer()
    timer.take(1000, 100)
    assert timer.wait(1010, 20) == 10 and timer.wait(1010, 500) == 490
    assert timer.wait(10, 100) == 0 and timer.take(10, 100) == 10
    timer.reset()
    assert timer.wait(15, 100) == 0


def test_a_delay_line_keeps_order_and_times():
    now, done, finished = [0], [], threading.Event()
    line = DelayLine(lambda: now[0])
    line.put(0, lambda: done.append('at once'))
    assert done == ['at once']
    line.put(100, lambda: done.append('first'))
    line.put(50, lambda: done.append('second, due earlier'))
    line.put(0, lambda: (done.append('third, due already'), finished.set()))
    assert not finished.wait(0.1)
    now[0] = 100
    assert finished.wait(5.0)
    assert done == ['at once', 'first', 'second, due earlier', 'third, due already']
    line.put(10**9, lambda: done.append('never'))
    line.clear()
    line.stop()
    assert 'never' not in done


def test_statistics_report_rate_and_cost():
    statistics = FrameStatistics()
    assert statistics.report().rate == 0.0
    for number in range(10):
        statistics.add(float(number), Statistics(0.5, 0.1, 0.2), 'tf', 0.3, 1)
    report = statistics.report()
    assert report.frames == 10 and report.skipped == 10 and report.rate > 0
    assert report.render_ms == pytest.approx(4.5) and report.render_p95 > 8
    assert (report.pose_source, report.pose_age) == ('tf', 0.3)


def test_the_segment_follows_the_image_size_and_the_room_there_is():
    vga, hd = dds_profile.segment_size(640, 480), dds_profile.segment_size(1920, 1080)
    assert vga >= 2 << 20 and hd >= 8 << 20
    assert dds_profile.segment_size(1920, 1080, free=64 << 20) == 16 << 20
    assert dds_profile.segment_size(1, 1) == dds_profile.SMALLEST
    assert dds_profile.segment_size(100_000, 100_000) == dds_profile.LARGEST


def test_the_image_size_is_read_from_the_command_line(tmp_path):
    file = tmp_path / 'p.yaml'
    file.write_text('/**:\n  ros__parameters: {image_width: 1920, image_height: 1080}\n')
    read = dds_profile.image_size
    assert read(['node']) == (640, 480)
    assert read(['node', '--ros-args', '--params-file', str(file)]) == (1920, 1080)
    more = ['--params-file', str(file), '-p', 'image_width:=320', '-p', 'c:image_height:=200']
    assert read(more) == (320, 200)
    assert read(['--params-file', '/nowhere', '-p', 'image_width:=x']) == (640, 480)


@pytest.mark.parametrize(
    'environment',
    [
        {dds_profile.NEW: '/mine.xml'},
        {dds_profile.OLD: '/mine.xml'},
        {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'},
    ],
)
def test_the_profile_of_the_user_goes_first(environment):
    before = dict(environment)
    with dds_profile.arranged([], environment) as words:
        assert words is None and environment == before


def test_a_profile_is_there_while_the_first_node_is_made(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dds_profile, 'SHARED_MEMORY', tmp_path)
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    with dds_profile.arranged([], environment) as words:
        path = Path(environment[dds_profile._variable()])
        text = path.read_text()
        assert 'MB of shared memory for 640x480' in words
    assert not path.exists() and list(environment) == ['ROS_AUTOMATIC_DISCOVERY_RANGE']
    root = ElementTree.fromstring(text)
    tag = '{http://www.eprosima.com}'
    assert int(next(root.iter(f'{tag}segment_size')).text) >= dds_profile.SMALLEST
    assert [item.text for item in root.iter(f'{tag}address')] == ['127.0.0.1']
    assert 'address' not in dds_profile.profile(1, {})


def test_the_users_profile_file_goes_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'DEFAULT_FASTDDS_PROFILES.xml').write_text('<dds/>')
    with dds_profile.arranged([], {}) as words:
        assert words is None


def test_urls(tmp_path):
    file = tmp_path / 'a b.yaml'
    file.write_text('')
    assert resolve_url(str(file)) == resolve_url(file.as_uri()) == file
    assert resolve_url('package://diffphyscam_ros/config/cameras/generic_vga.yaml').is_file()
    for url, words in (
        ('http://x', 'file:// or package://'),
        (str(tmp_path), 'no such file'),
        ('package://nobody/x', "'nobody' was not found"),
        ('package://diffphyscam_ros/nothing', 'nothing'),
    ):
        with pytest.raises(ValueError, match=words):
            resolve_url(url)


@pytest.fixture(scope='module')
def shoot():
    """Take a picture of a cube by parameters."""
    taker = PictureTaker(Renderer('cpu'), seed=5)
    pose = torch.eye(4)
    pose[0, 3] = 0.8
    light = default_light()
    cube = Instance('cube', box(1.4), Material(), pose)
    scene = Scene((cube,), light.lights, light.environment, light.background)

    def take(number=0, **values):
        size = {'image_width': 64, 'image_height': 48, **values}
        eye = matrix_from_pose((-2.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5))
        return taker.take(resolve(None, size), scene, eye, number, with_depth=True)

    return take


def test_noise_is_a_function_of_seed_and_frame_number(shoot):
    first = shoot(3, noise_seed=1).image
    assert (shoot(3, noise_seed=1).image == first).all()
    assert (shoot(4, noise_seed=1).image != first).any()
    assert (shoot(3, noise_seed=2).image != first).any()
    assert (shoot(3, noise_seed=-1).image == shoot(3, noise_seed=5).image).all()


def test_a_depth_picture_has_the_size_and_lens_of_the_picture(shoot):
    straight = shoot(enable_distortion=False).depth
    assert straight.shape == (48, 64)
    assert straight[24, 32] == pytest.approx(2.1, abs=1e-3) and np.isinf(straight[0, 0])
    bent = shoot(distortion_coeffs=(-0.2, 0.0, 0.0, 0.0, 0.0)).depth
    assert bent.shape == (48, 64)
    assert np.isfinite(bent).sum() < np.isfinite(straight).sum()  # a barrel draws things in
