# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Motion during an exposure: poses between messages, and tracks of markers."""

from __future__ import annotations

import math
import threading
import time

from camera_harness import marker
from geometry_msgs.msg import Twist as TwistMessage
import numpy as np
import pytest
from rclpy.time import Time
from scipy.linalg import expm
from scipy.spatial.transform import Rotation
from visualization_msgs.msg import Marker

from diffphyscam_ros.nodes.camera_state import resolve
from diffphyscam_ros.nodes.marker_scene import MarkerScene
from diffphyscam_ros.nodes.pose_math import (
    interpolate_many,
    inverse_many,
    matrix_from_pose,
    rotation_vectors,
    screw_poses,
    turns,
    twist_from_message,
)
from diffphyscam_ros.nodes.pose_source import PoseConfig, PoseSource
from diffphyscam_ros.nodes.scene_source import SceneSource
from diffphyscam_ros.nodes.tf_buffer import (
    EXTRAPOLATED,
    PoseHistory,
    TransformBuffer,
    TransformError,
)

SECOND = 10**9
MS = 10**6


def at(x=0.0, y=0.0, z=0.0, yaw=0.0):
    return matrix_from_pose((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)))


def stamps(*seconds):
    return np.rint(np.array(seconds) * SECOND).astype(np.int64)


# --- poses ----------------------------------------------------------------------------------


def test_rotation_vectors_and_back():
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(200, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    angles = np.concatenate([rng.uniform(0, math.pi - 1e-3, 197), [0.0, 1e-9, math.pi]])
    vectors = axes * angles[:, None]
    matrices = turns(vectors)
    assert np.allclose(matrices, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    assert np.allclose(rotation_vectors(matrices)[:-1], vectors[:-1], atol=1e-9)
    last = rotation_vectors(matrices[-1:])
    assert np.allclose(turns(last), matrices[-1:], atol=1e-9)


def test_screws_are_the_exponential_map():
    screws = np.random.default_rng(2).normal(size=(40, 6)) * 3
    screws[:3, 3:] *= [[0.0], [1e-6], [1e-3]]
    for screw, found in zip(screws, screw_poses(screws), strict=True):
        x, y, z = screw[3:]
        generator = np.zeros((4, 4))
        generator[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
        generator[:3, 3] = screw[:3]
        assert np.allclose(found, expm(generator), atol=1e-9)
    poses = screw_poses(screws)
    assert np.allclose(inverse_many(poses) @ poses, np.eye(4), atol=1e-12)


def circling(seconds, speed=2.0, rate=100.0):
    """Return where a body is that drives ahead (its x) and turns left all the time."""
    angle, radius = rate * seconds, speed / rate
    return at(radius * math.sin(angle), radius * (1 - math.cos(angle)), 1.0, angle)


TWIST = np.array([2.0, 0.0, 0.0, 0.0, 0.0, 100.0])


def test_a_twist_says_how_often_a_body_turns_between_two_poses():
    history = PoseHistory()
    for number in range(5):  # 10 rad from each pose to the next
        history.add(number * 100 * MS, circling(0.1 * number), TWIST)
    times = np.linspace(0.0, 0.4, 173)
    found = history.at_many(stamps(*times))
    assert np.allclose(found, [circling(t) for t in times], atol=1e-7)
    assert np.allclose(history.at(int(0.2345 * SECOND)), circling(0.2345), atol=1e-7)
    # On beyond the newest pose, but not for ever.
    limit = EXTRAPOLATED / SECOND
    beyond = history.at_many(stamps(0.4 + 0.3 * limit, 0.4 + limit, 3.0))
    expected = [circling(0.4 + part * limit) for part in (0.3, 1.0, 1.0)]
    assert np.allclose(beyond, expected, atol=1e-7)
    assert np.allclose(history.at_many(stamps(-1.0)), [circling(0.0)])


def test_without_a_twist_rotation_takes_the_shorter_way_and_ends_hold():
    history = PoseHistory()
    history.add(0, at(0.0))
    history.add(SECOND, at(1.0, yaw=2.0))
    history.add(2 * SECOND, at(1.0, yaw=2.0 + 1.5 * math.pi))
    found = history.at_many(stamps(-1.0, 0.25, 1.5, 2.0, 9.0))
    expected = [at(), at(0.25, yaw=0.5), at(1.0, yaw=2.0 - 0.25 * math.pi)]
    expected += [at(1.0, yaw=2.0 + 1.5 * math.pi)] * 2
    assert np.allclose(found, expected, atol=1e-9)
    one_by_one = [history.at(int(s)) for s in stamps(-1.0, 0.25, 1.5, 2.0, 9.0)]
    assert np.allclose(found, one_by_one, atol=1e-9)


def test_poses_that_twists_only_nearly_lead_to_are_met():
    """Speeding up from rest: the mean of the twists at both ends is right."""
    history = PoseHistory()
    rate = 40.0  # rad/s², 5 rad in half a second
    moments = (0.0, 0.5, 1.0)
    for t in moments:
        history.add(int(t * SECOND), at(yaw=rate * t * t / 2), np.array([0, 0, 0, 0, 0, rate * t]))
    for t in moments:
        assert np.allclose(history.at(int(t * SECOND)), at(yaw=rate * t * t / 2), atol=1e-9)
    steps = history.at_many(stamps(*np.linspace(0, 1, 101)))
    angles = np.unwrap(np.arctan2(steps[:, 1, 0], steps[:, 0, 0]))
    assert angles[-1] == pytest.approx(20.0) and (np.diff(angles) > 0).all()


@pytest.mark.parametrize('wrong', [(0, 0, 0, 0, 0, -30.0), (0, 0, 0, 25.0, 0, 0)])
def test_a_twist_that_leads_elsewhere_is_not_believed(wrong):
    history = PoseHistory()
    for t in (0.0, 0.1):
        history.add(int(t * SECOND), at(t, yaw=10 * t), np.array(wrong, float))
    found = history.at_many(stamps(0.025, 0.05, 0.075))
    assert np.allclose(found, [at(t, yaw=10 * t) for t in (0.025, 0.05, 0.075)], atol=1e-9)


def test_what_stands_stands_to_the_last_bit():
    pose = matrix_from_pose((0.1, 1 / 3, 2e3), (0.1, 0.2, 0.3, 0.4))
    share = np.linspace(0, 1, 7)
    many = np.broadcast_to(pose, (7, 4, 4))
    for screw in (None, np.zeros((7, 6))):
        assert (interpolate_many(many, many, share, screw) == pose).all()
    buffer = TransformBuffer()
    buffer.add('world', 'base', 0, at(1.0, yaw=0.3), static=True)
    buffer.add('base', 'camera', SECOND, pose)
    buffer.add('base', 'camera', 2 * SECOND, pose)
    found = buffer.lookup_many('world', 'camera', stamps(0.5, 1.0, 1.3, 1.7, 5.0))
    assert (found == found[0]).all()
    assert np.allclose(found[0], buffer.lookup('world', 'camera', SECOND)[0], atol=1e-12)


def test_poses_far_apart_may_hold_instead():
    history = PoseHistory()
    for t, x in ((0.0, 0.0), (0.1, 1.0), (5.0, 2.0)):
        history.add(int(t * SECOND), at(x))
    found = history.at_many(stamps(0.05, 0.1, 2.0, 4.99, 5.0), longest=SECOND // 4)
    assert found[:, 0, 3] == pytest.approx([0.5, 1.0, 1.0, 1.0, 2.0])


def test_a_twist_of_a_message():
    message = TwistMessage()
    assert twist_from_message(message) is None
    message.linear.x, message.angular.z = 1.0, 2.0
    assert twist_from_message(message).tolist() == [1, 0, 0, 0, 0, 2]
    message.linear.y = math.nan
    assert twist_from_message(message) is None


@pytest.fixture
def tree():
    """World -> base (moves 1 m/s and turns 1 rad/s) -> camera."""
    buffer = TransformBuffer()
    for tick in range(21):
        t = tick * 0.05
        buffer.add('world', 'base', int(t * SECOND), at(t, yaw=t))
    buffer.add('base', 'camera', 0, at(0.0, 0.5), static=True)
    return buffer


CONFIG = PoseConfig('world', 'camera', at(-9.0), 0.0)


def test_the_camera_over_an_exposure_is_where_it_is_at_each_moment(tree):
    source = PoseSource(tree)

    def compare(name):
        motion = source.over(int(0.4 * SECOND), int(0.6 * SECOND), CONFIG)
        assert motion.source == name
        times = stamps(0.4, 0.47, 0.5, 0.6)
        expected = [source.at(int(t), CONFIG).matrix for t in times]
        assert np.allclose(motion.at(times), expected, atol=1e-9)
        return motion, expected

    motion, _ = compare('tf')
    assert motion.age == pytest.approx(-0.5)
    for t in (0.3, 0.5, 0.7):  # a body that circles, the camera fixed to it
        source.odometry.add(int(t * SECOND), 'world', 'base', circling(t), TWIST)
    motion, expected = compare('odom')
    assert np.allclose(expected[1], circling(0.47) @ at(0.0, 0.5), atol=1e-7)
    still = PoseSource(TransformBuffer()).over(0, SECOND, CONFIG)
    assert still.source == 'default' and (still.at(stamps(0, 1)) == at(-9.0)).all()
    lost = PoseConfig('world', 'nobody', None, 0.0)
    with pytest.raises(TransformError, match='not known'):
        PoseSource(tree).over(0, SECOND, lost)


# --- markers --------------------------------------------------------------------------------


def stamped(item, seconds):
    item.header.stamp = Time(nanoseconds=int(seconds * SECOND)).to_msg()
    return item


@pytest.fixture
def markers():
    scene = MarkerScene()
    scene.memory = SECOND
    return scene


NOWHERE = TransformBuffer()


def seen(scene, first, last, transforms=NOWHERE, times=None):
    """Return the paths of instances by name, at times from the first to the last."""
    times = np.linspace(first, last, 3) if times is None else np.array(times)
    view, paths = scene.moving_view(int(first * SECOND), int(last * SECOND), 'world', transforms)
    return {view.instances[i].name: path(stamps(*times)) for i, path in paths.items()}


def feed(scene, times, place, **fields):
    """Publish a marker again and again, and let frames be taken meanwhile."""
    for number, t in enumerate(times):
        scene.apply([stamped(marker(place=place(t), **fields), t)], int(t * SECOND))
        if number % 3 == 0:
            scene.view(int(t * SECOND), 'world', NOWHERE)


def test_a_marker_moves_between_its_messages(markers):
    feed(markers, np.arange(10.0, 10.5, 0.02), lambda t: (3 * t, 0, 0), scale=(1, 2, 1))
    markers.apply([stamped(marker(identity=5), 10.0)], 10 * SECOND)
    found = seen(markers, 10.203, 10.261)
    assert list(found) == ['test/0']
    assert found['test/0'][:, 0, 3] == pytest.approx([30.609, 30.696, 30.783])
    assert found['test/0'][0, 1, 1] == 2.0  # the size is there too
    # What was heard last is shown, but it is a picture of where it was.
    assert seen(markers, 11.0, 11.1) == {}
    assert markers.view(11 * SECOND, 'world', NOWHERE).instances[0].pose[0, 3] == pytest.approx(
        31.44
    )


def test_a_stamp_of_zero_or_of_another_clock_is_that_of_the_arrival(markers):
    for number in range(6):
        now = int((5 + 0.02 * number) * SECOND)
        items = [marker(place=(number, 0, 0)), marker(place=(number, 0, 0), identity=1)]
        items[1] = stamped(items[1], 900.0 + number)
        markers.apply(items, now)
    found = seen(markers, 5.02, 5.06)
    for name in ('test/0', 'test/1'):
        assert found[name][:, 0, 3] == pytest.approx([1.0, 2.0, 3.0])


def test_what_jumps_or_becomes_another_thing_does_not_smear(markers):
    feed(markers, (1.0, 1.6, 2.2), lambda t: (t, 0, 0))  # more seldom than four times a second
    found = seen(markers, 1.5, 1.7)['test/0'][:, 0, 3]
    assert found == pytest.approx([1.0, 1.6, 1.6])
    feed(markers, (3.00, 3.02, 3.04), lambda t: (10 * t, 0, 0), identity=1)
    feed(markers, (3.06, 3.08), lambda t: (10 * t, 0, 0), identity=1, kind=Marker.SPHERE)
    found = seen(markers, 3.02, 3.08)['test/1'][:, 0, 3]
    assert found == pytest.approx([30.6, 30.6, 30.8])
    markers.apply([Marker(ns='test', id=1, action=Marker.DELETE)], 4 * SECOND)
    assert 'test/1' not in seen(markers, 3.02, 3.08)
    markers.clock_jumped(0)
    assert seen(markers, 0.0, 0.1) == {}


def test_markers_hang_on_frames_that_move(markers, tree):
    markers.apply([marker(frame='base', place=(0, 2, 0), frame_locked=True)], 0)
    markers.apply([stamped(marker(frame='base', identity=1), 0.2)], int(0.2 * SECOND))
    markers.apply([marker(frame='base', identity=2, frame_locked=True)], 0)
    found = seen(markers, 0.4, 0.6, tree)
    assert sorted(found) == ['test/0', 'test/2']  # the other one stays where it was put
    for number, t in enumerate((0.4, 0.5, 0.6)):
        expected = at(t, yaw=t) @ at(0, 2, 0)
        assert np.allclose(found['test/0'][number], expected, atol=1e-6)
    # One that moves in a frame that moves.
    for t in np.arange(0.3, 0.7, 0.05):
        item = stamped(marker(frame='base', place=(0, 10 * t, 0), frame_locked=True), t)
        markers.apply([item], int(t * SECOND))
    found = seen(markers, 0.41, 0.58, tree)['test/0']
    for number, t in enumerate((0.41, 0.495, 0.58)):
        assert np.allclose(found[number], at(t, yaw=t) @ at(0, 10 * t, 0), atol=1e-4)
    # One that is put into the world anew all the time, by its pose in a frame that moves.
    for t in np.arange(0.3, 0.7, 0.05):
        item = stamped(marker(frame='base', identity=1), t)
        markers.apply([item], int(t * SECOND))
    found = seen(markers, 0.41, 0.58, tree)['test/1']
    for number, t in enumerate((0.41, 0.495, 0.58)):
        assert np.allclose(found[number], at(t, yaw=t), atol=1e-3)


def test_tracks_are_kept_only_while_they_are_wanted():
    scene = MarkerScene()
    feed(scene, np.arange(1.0, 1.2, 0.02), lambda t: (t, 0, 0))
    assert seen(scene, 1.05, 1.1) == {}
    scene.memory = SECOND // 10
    feed(scene, np.arange(2.0, 3.0, 0.02), lambda t: (t, 0, 0))
    (entry,) = scene._entries.values()
    assert len(entry.track._history.stamps) <= 9
    standing = MarkerScene()
    standing.memory = SECOND
    feed(standing, np.arange(2.0, 3.0, 0.02), lambda t: (1, 0, 0))
    (entry,) = standing._entries.values()
    assert len(entry.track._history.stamps) == 2


def test_a_marker_on_the_move_is_waited_for(markers):
    feed(markers, (1.00, 1.02), lambda t: (t, 0, 0))
    began = time.monotonic()
    markers.wait(int(1.01 * SECOND), 5.0)
    assert time.monotonic() - began < 1.0  # it is there

    def later():
        time.sleep(0.05)
        feed(markers, (1.04,), lambda t: (t, 0, 0))

    thread = threading.Thread(target=later)
    thread.start()
    markers.wait(int(1.03 * SECOND), 5.0)
    thread.join()
    assert seen(markers, 1.02, 1.04)['test/0'][1, 0, 3] == pytest.approx(1.03)
    feed(markers, (2.00, 2.02), lambda t: (0, 0, 0), identity=1)
    began = time.monotonic()
    markers.wait(5 * SECOND, 30.0)  # silent for longer than its messages were apart
    assert time.monotonic() - began < 5.0


def test_a_scene_at_each_moment(tree):
    source = SceneSource(tree)
    source.markers.memory = SECOND
    source.apply([marker(identity=3), marker(frame='base', frame_locked=True)], 0)
    still = source.at(0, 'world')
    moving = source.over(int(0.4 * SECOND), int(0.6 * SECOND), 'world')
    assert list(moving.paths) == [1] and moving.scene.names == still.names
    poses = [moving.at(t).instances[1].pose[:3, 3].tolist() for t in (-0.1, 0.0, 0.1)]
    assert np.allclose(poses, [[0.4, 0, 0], [0.5, 0, 0], [0.6, 0, 0]], atol=1e-6)
    later = moving.at(0.1)
    for index in range(2):
        assert later.instances[index].mesh is still.instances[index].mesh
        assert later.instances[index].material is still.instances[index].material
    standing = source.over(int(2.0 * SECOND), int(2.2 * SECOND), 'world')
    assert not standing.paths and standing.at(0.1) is standing.scene


def test_the_time_of_a_frame():
    rolling = {'shutter_mode': 'rolling', 'readout_time': 0.02, 'exposure_time': 5000.0}
    still = resolve(None, {**rolling, 'frame_rate': 100.0})
    assert still.exposure_span == 5 * MS and still.frame_period == 20 * MS
    moving = resolve(None, {**rolling, 'enable_motion_blur': True, 'frame_rate': 10.0})
    assert moving.exposure_span == 25 * MS and moving.frame_period == 100 * MS
    whole = resolve(None, {**rolling, 'shutter_mode': 'global', 'enable_motion_blur': True})
    assert whole.exposure_span == 5 * MS
