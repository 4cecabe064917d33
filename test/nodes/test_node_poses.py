# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Poses over time: the buffer behind TF, the choice of the source, and tf2_ros where it is."""

from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from diffphyscam_ros.nodes.pose_math import interpolate, inverse, matrix_from_pose
from diffphyscam_ros.nodes.pose_source import PoseConfig, PoseSource
from diffphyscam_ros.nodes.tf_buffer import (
    CACHE_TIME,
    PoseHistory,
    TransformBuffer,
    TransformError,
)
from diffphyscam_ros.nodes.tf_listener import Tf2Transforms

SECOND = 10**9


def at(x=0.0, y=0.0, z=0.0, yaw=0.0):
    return matrix_from_pose((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)))


def test_quaternions_become_rotations():
    numbers = np.random.default_rng(3).normal(size=(20, 4))
    for quaternion in numbers:
        expected = Rotation.from_quat(quaternion).as_matrix()
        assert np.allclose(matrix_from_pose((1, 2, 3), tuple(quaternion))[:3, :3], expected)


@pytest.mark.parametrize(
    ('position', 'quaternion', 'words'),
    [
        ((0, 0, 0), (0, 0, 0, 0), 'zero length'),
        ((0, 0, 0), (0, 0, 1e-9, 0), 'zero length'),
        ((0, math.nan, 0), (0, 0, 0, 1), 'position'),
        ((0, 0, 0), (0, math.inf, 0, 1), 'quaternion'),
    ],
)
def test_what_is_no_pose_is_refused(position, quaternion, words):
    with pytest.raises(ValueError, match=words):
        matrix_from_pose(position, quaternion)


def test_all_zero_may_stand_for_no_rotation():
    assert np.array_equal(matrix_from_pose((0, 0, 0), (0, 0, 0, 0), True), np.eye(4))


@pytest.mark.parametrize('angle', [0.0, 1e-10, 0.3, 2.5, math.pi - 1e-7, math.pi])
def test_interpolation_is_slerp(angle):
    axis = np.array([0.6, 0.0, 0.8])
    first, second = np.eye(4), np.eye(4)
    first[:3, :3] = Rotation.from_euler('xyz', [0.1, 0.2, 0.3]).as_matrix()
    second[:3, :3] = first[:3, :3] @ Rotation.from_rotvec(angle * axis).as_matrix()
    second[:3, 3] = [1.0, 2.0, 3.0]
    for fraction in (0.0, 0.25, 1.0):
        found = interpolate(first, second, fraction)
        assert np.allclose(found[:3, 3], fraction * second[:3, 3])
        turned = Rotation.from_matrix(found[:3, :3] @ found[:3, :3].T)
        assert turned.magnitude() < 1e-9
        if angle < 3.0:
            both = Rotation.from_matrix([first[:3, :3], second[:3, :3]])
            expected = Slerp([0, 1], both)([fraction]).as_matrix()[0]
        else:  # half a turn: either way round
            expected = first[:3, :3] @ Rotation.from_rotvec(fraction * angle * axis).as_matrix()
            other = first[:3, :3] @ Rotation.from_rotvec(-fraction * angle * axis).as_matrix()
            if not np.allclose(found[:3, :3], expected, atol=1e-5):
                expected = other
        assert np.allclose(found[:3, :3], expected, atol=1e-5)


def test_a_history_interpolates_and_holds_at_its_ends():
    history = PoseHistory()
    for stamp, x in ((2, 20.0), (1, 10.0), (3, 30.0), (2, 25.0)):
        history.add(stamp * SECOND, at(x))
    where = [history.at(round(t * SECOND))[0, 3] for t in (0.0, 1.0, 1.5, 2.0, 2.5, 9.0)]
    assert where == pytest.approx([10.0, 10.0, 17.5, 25.0, 27.5, 30.0])


def test_a_history_forgets_what_is_old_and_a_clock_set_back():
    history = PoseHistory()
    history.add(0, at(1.0))
    history.add(CACHE_TIME + 1, at(2.0))
    assert history.at(0)[0, 3] == 2.0
    history.add(CACHE_TIME * 5, at(3.0))
    history.add(SECOND, at(4.0))
    assert history.newest() == SECOND
    history.clear()
    with pytest.raises(TransformError):
        history.at(0)


@pytest.fixture
def tree():
    """World -> base (moves 1 m/s) -> arm -> camera, and world -> lamp."""
    buffer = TransformBuffer()
    for second in range(5):
        buffer.add('world', '/base', second * SECOND, at(float(second)))
    buffer.add('base', 'arm', 0, at(0, 1.0, yaw=math.pi / 2), static=True)
    buffer.add('arm', 'camera', 0, at(0, 0, 2.0), static=True)
    buffer.add('world', 'lamp', 0, at(5.0), static=True)
    return buffer


def test_lookup_goes_along_the_tree(tree):
    pose, newest = tree.lookup('world', 'camera', round(2.5 * SECOND))
    assert np.allclose(pose, at(2.5, 1.0, 2.0, math.pi / 2)) and newest == 4 * SECOND
    back, _ = tree.lookup('camera', 'world', round(2.5 * SECOND))
    assert np.allclose(back, inverse(pose))
    across, _ = tree.lookup('lamp', 'camera', SECOND)
    assert np.allclose(across, at(-4.0, 1.0, 2.0, math.pi / 2))
    assert tree.lookup('base', 'camera', 0)[1] is None  # static all the way
    assert np.array_equal(tree.lookup('arm', 'arm', 0)[0], np.eye(4))


def test_what_is_missing_is_named(tree):
    with pytest.raises(TransformError, match="'moon' is unknown"):
        tree.lookup('world', 'moon', 0)
    tree.add('island', 'hut', 0, at(), static=True)
    with pytest.raises(TransformError, match="does not connect 'world' and 'hut'"):
        tree.lookup('world', 'hut', 0)
    for parent, child in (('', 'x'), ('x', ''), ('x', '/x')):
        with pytest.raises(ValueError, match='two names'):
            tree.add(parent, child, 0, at())


def test_a_loop_of_frames_ends(tree):
    tree.add('camera', 'world', 0, at(), static=True)
    with pytest.raises(TransformError):
        tree.lookup('world', 'moon', 0)


def test_clearing_keeps_what_is_static(tree):
    tree.clear()
    assert tree.lookup('base', 'camera', 0)
    with pytest.raises(TransformError):
        tree.lookup('world', 'camera', 0)


def test_a_newer_pose_is_waited_for_while_poses_come(tree):
    def later():
        time.sleep(0.1)
        tree.add('world', 'base', 6 * SECOND, at(8.0))

    thread = threading.Thread(target=later)
    thread.start()
    pose, _ = tree.lookup('world', 'base', 5 * SECOND, timeout=5.0)
    thread.join()
    assert pose[0, 3] == pytest.approx(6.0)
    assert tree.lookup('world', 'base', 7 * SECOND, timeout=0.05)[0][0, 3] == pytest.approx(8.0)


def test_a_reparented_frame_forgets_its_old_place(tree):
    tree.add('lamp', 'base', 5 * SECOND, at(1.0))
    assert tree.lookup('world', 'base', SECOND)[0][0, 3] == pytest.approx(6.0)


CONFIG = PoseConfig('world', 'camera', at(-9.0), 0.0)


def test_the_source_is_the_first_that_is_there(tree):
    source = PoseSource(TransformBuffer())
    assert source.at(0, CONFIG).source == 'default'
    source = PoseSource(tree)
    found = source.at(round(1.5 * SECOND), CONFIG)
    assert found.source == 'tf' and found.matrix[0, 3] == pytest.approx(1.5)
    assert found.age == pytest.approx(-2.5)
    source.pose.add(SECOND, 'world', '', at(2.0))
    assert source.at(SECOND, CONFIG).source == 'pose'
    source.odometry.add(SECOND, '', '', at(3.0))
    found = source.at(3 * SECOND, CONFIG)
    assert found.source == 'odom' and found.matrix[0, 3] == 3.0 and found.age == 2.0
    source.clear()
    assert source.at(0, CONFIG).source == 'default'


def test_poses_in_other_frames_are_brought_into_the_world(tree):
    source = PoseSource(tree)
    source.pose.add(SECOND, 'lamp', '', at(1.0))
    assert source.at(SECOND, CONFIG).matrix[0, 3] == pytest.approx(6.0)
    source.odometry.add(SECOND, 'world', 'base', at(10.0))
    assert np.allclose(source.at(SECOND, CONFIG).matrix, at(10.0, 1.0, 2.0, math.pi / 2))


def test_without_any_pose_each_source_is_said_to_be_missing():
    source = PoseSource(TransformBuffer())
    source.pose.add(SECOND, 'moon', '', at())
    with pytest.raises(TransformError) as caught:
        source.at(0, PoseConfig('world', 'camera', None, 0.0))
    text = str(caught.value)
    assert 'camera_odom' in text and "'moon' is unknown" in text and 'TF: ' in text


class FakeTf2:
    """As much of tf2_ros as is used, over our buffer."""

    class TransformException(Exception):
        pass

    class ExtrapolationException(TransformException):
        pass

    def __init__(self, tree):
        module = self

        class Buffer:
            def lookup_transform(self, target, source, when, timeout=None):
                stamp = when.nanoseconds
                try:
                    newest = tree.lookup(target, source, 0)[1]
                except TransformError as error:
                    raise module.TransformException(str(error)) from None
                if stamp and newest is not None and stamp > newest:
                    raise module.ExtrapolationException('in the future')
                pose, _ = tree.lookup(target, source, stamp or newest or 0)
                x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
                sec, nanosec = divmod((newest or 0) if not stamp else stamp, SECOND)
                names = SimpleNamespace
                return names(
                    header=names(stamp=_stamp(sec, nanosec)),
                    transform=names(
                        translation=names(x=pose[0, 3], y=pose[1, 3], z=pose[2, 3]),
                        rotation=names(x=x, y=y, z=z, w=w),
                    ),
                )

        self.Buffer = Buffer
        self.TransformListener = lambda buffer, node, spin_thread: None


def _stamp(sec, nanosec):
    from builtin_interfaces.msg import Time

    return Time(sec=sec, nanosec=nanosec)


def test_tf2_ros_gives_the_same(tree):
    ours, theirs = tree, Tf2Transforms(None, FakeTf2(tree))
    for stamp in (0.5, 2.5, 9.0):
        expected, newest = ours.lookup('world', 'camera', round(stamp * SECOND))
        found, said = theirs.lookup('world', 'camera', round(stamp * SECOND))
        assert np.allclose(found, expected) and said == newest
    many = np.array([0.5, 2.5]) * SECOND
    found = theirs.lookup_many('world', 'camera', many.astype(np.int64))
    assert np.allclose(found, ours.lookup_many('world', 'camera', many.astype(np.int64)))
    assert theirs.lookup('base', 'camera', SECOND)[1] is None
    with pytest.raises(TransformError, match='moon'):
        theirs.lookup('world', 'moon', 0)
