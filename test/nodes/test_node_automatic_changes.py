# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Automatic control and configurations, without a ROS graph."""

from __future__ import annotations

from dataclasses import replace
import math
from types import SimpleNamespace

import numpy as np
import pytest

from diffphyscam_ros.nodes.automatic import auto_exposure, auto_focus, Automatic, pixels_of
from diffphyscam_ros.nodes.automatic_changes import with_settings
from diffphyscam_ros.nodes.camera_state import Configuration, resolve
from diffphyscam_ros.nodes.parameter import ParameterError

BRIGHT = np.full((24, 32, 3), 200, np.uint8)


class Node:
    """What Automatic needs of a node."""

    def __init__(self, **values):
        """Start with some parameters."""
        self.configuration: Configuration = resolve(None, values)

    def adopt(self, find):
        """Take what was found."""
        self.configuration = find(self.configuration)

    def change(self, changes):
        """Set parameters."""
        self.configuration = resolve(self.configuration, changes)


def message(pixels=BRIGHT):
    """Return an image message, as far as it is looked at."""
    height, width = pixels.shape[:2]
    data = bytearray(pixels.tobytes())
    return SimpleNamespace(encoding='rgb8', height=height, width=width, data=data)


def look(automatic, node, end, pixels=BRIGHT, depth=None, taken=None):
    """Let a frame be seen that ended at some second."""
    picture = SimpleNamespace(depth=depth)
    automatic.observe(taken or node.configuration, picture, message(pixels), round(end * 1e9))


@pytest.mark.parametrize('breathing', [False, True])
def test_what_the_camera_sets_is_what_a_parameter_would(breathing):
    old = resolve(None, {'focus_breathing': breathing})
    assert old.calibration_id and old.published_calibration and old.stages
    settings = replace(old.settings, exposure_time=0.004, iso=400.0, focus_distance=0.3)
    fast = with_settings(old, settings, (1.5, 1.0, 2.0))
    changes = {'exposure_time': 4000.0, 'iso': 400.0, 'focus_distance': 0.3}
    slow = resolve(old, {**changes, 'white_balance': (1.5, 1.0, 2.0)})
    assert fast.values == slow.values and fast.sensor == slow.sensor
    assert fast.calibration_id == slow.calibration_id == old.calibration_id
    assert fast.published_calibration == slow.published_calibration
    assert (fast.published_calibration != old.published_calibration) == breathing


def test_limits_come_from_the_parameters():
    now = resolve(None, {'frame_rate': 50.0, 'gain_min': 6.0, 'gain_max': 20.0})
    control = auto_exposure(now)
    assert control.exposure_max == pytest.approx(0.02) and control.exposure_min == 1e-5
    assert (control.iso_min, control.iso_max) == pytest.approx((199.5, 1000.0), rel=1e-3)
    assert auto_exposure(resolve(now, {'exposure_time_max': 5000.0})).exposure_max == 0.005
    assert auto_focus(resolve(now, {'autofocus.far_limit': math.inf})).far_limit == math.inf


def test_manual_after_the_picture_was_taken_wins():
    node = Node(exposure_auto='Continuous', white_balance_auto='Continuous')
    automatic = Automatic(node)
    look(automatic, node, 1.0)
    taken = node.configuration
    node.change({'exposure_auto': 'Off', 'exposure_time': 5000.0})
    look(automatic, node, 1.1, taken=taken)
    assert node.configuration.number('exposure_time') == 5000.0


def test_bright_pictures_shorten_the_exposure_and_a_clock_that_jumps_begins_anew():
    node = Node(exposure_auto='Continuous')
    automatic = Automatic(node)
    look(automatic, node, 100.0)
    before = node.configuration.settings.exposure_time
    look(automatic, node, 100.1)
    after = node.configuration.settings.exposure_time
    assert after < before
    automatic.reset()
    look(automatic, node, 2.0)  # the clock was set back: no time has passed yet
    assert node.configuration.settings.exposure_time == pytest.approx(after)
    look(automatic, node, 2.1)
    assert node.configuration.settings.exposure_time < after


def test_requests_are_answered_by_frames_or_by_their_absence(monkeypatch):
    node, answers = Node(), []
    automatic = Automatic(node)
    automatic.request('focus_auto', lambda *answer: answers.append(answer))
    assert automatic.wants_depth(node.configuration)
    look(automatic, node, 1.0, depth=np.full((24, 32), 1.5, np.float32))
    assert answers == [(True, 'focused at 1.5 m')]
    assert node.configuration.number('focus_distance') == pytest.approx(1.5)
    assert not automatic.wants_depth(node.configuration)
    automatic.request('white_balance_auto', lambda *answer: answers.append(answer))
    automatic.expire(0.03)
    assert len(answers) == 1
    monkeypatch.setattr('diffphyscam_ros.nodes.automatic.LONGEST_SILENCE', -1.0)
    automatic.expire(0.0)
    assert not answers[1][0] and 'always_render' in answers[1][1]


def test_pixels_are_those_of_the_message():
    picture = SimpleNamespace(image=np.full((24, 32, 3), 0.25, np.float32))
    item = message(np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3))
    assert pixels_of(picture, item)[0, 0].tolist() == [0, 1, 2]
    item.encoding = 'bgr8'
    assert pixels_of(picture, item)[0, 0].tolist() == [2, 1, 0]
    item.encoding = 'mono8'
    assert (
        float(pixels_of(picture, item)[0, 0, 0]) == 0.25 == float(pixels_of(picture, None).max())
    )


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'exposure_time_min': 50.0, 'exposure_time_max': 40.0}, 'at most exposure_time_max'),
        ({'gain_min': 30.0}, 'at most gain_max'),
        ({'autofocus.far_limit': 0.05}, 'at most autofocus.far_limit'),
        ({'white_balance_temperature': 900.0}, 'from 1667 K'),
        ({'exposure_auto': 'On'}, 'Off, Once, Continuous'),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    with pytest.raises(ParameterError, match=words):
        resolve(None, changes)


def test_a_launch_file_may_say_where_automatic_exposure_starts():
    now = resolve(None, {'exposure_auto': 'Continuous', 'exposure_time': 700.0})
    assert now.number('exposure_time') == 700.0
    with pytest.raises(ParameterError, match='Set exposure_auto to Off'):
        resolve(now, {'exposure_time': 800.0})
    assert resolve(now, {'exposure_auto': 'Off', 'exposure_time': 800.0}).settings.exposure_time
