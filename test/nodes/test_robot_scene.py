# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where robots' links are: by TF, by joint states, by both; no ROS graph is needed."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
import torch

from diffphyscam_ros.nodes.joint_states import JointStates
from diffphyscam_ros.nodes.pose_math import matrix_from_pose
from diffphyscam_ros.nodes.robot_loader import RobotLoader
from diffphyscam_ros.nodes.robot_poses import RobotPoses
from diffphyscam_ros.nodes.robot_scene import RobotScene
from diffphyscam_ros.nodes.tf_buffer import TransformBuffer
from diffphyscam_ros.scene import load_robot, SceneError

SECOND = 10**9
MS = 10**6
BOX = '<visual><geometry><box size="0.1 0.1 0.1"/></geometry></visual>'


def joint(name, kind, parent, child, xyz='0 0 0', axis='0 0 1'):
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}"/><axis xyz="{axis}"/></joint>'
    )


LINKS = ''.join(f'<link name="{name}">{BOX}</link>' for name in ('base', 'arm', 'tool'))
TEXT = (
    f'<robot name="r">{LINKS}{joint("turn", "continuous", "base", "arm", "0 0 1")}'
    f'{joint("mount", "fixed", "arm", "tool", "1 0 0")}</robot>'
)


def at(x=0.0, y=0.0, z=0.0, yaw=0.0):
    return matrix_from_pose((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)))


class World:
    """A scene with one robot, its joints and TF."""

    def __init__(self, text=TEXT, prefix=''):
        self.tf, self.joints, self.scene = TransformBuffer(), JointStates(), RobotScene()
        self.scene.show('robot', load_robot(text), prefix, self.joints)

    def move(self, seconds, **positions):
        stamp = int(seconds * SECOND)
        self.joints.add(stamp, stamp, list(positions), list(positions.values()))

    def seen(self, seconds=1.0):
        """Return where each link is seen."""
        items = self.scene.view(int(seconds * SECOND), 'world', self.tf)
        return {item.name: item.pose[:3, 3].tolist() for item in items}

    def problem(self):
        return '; '.join(self.scene.problems())


def test_without_tf_and_joint_states_nothing_is_shown():
    world = World()
    assert world.seen() == {}
    assert world.problem().startswith('r/base, arm, tool: no joint state was heard')


def test_joint_states_move_the_robot_and_tf_places_its_root():
    world = World()
    world.move(1.0, turn=math.pi / 2, somebody_elses=1.0)
    assert world.seen() == {
        'r/base': [0, 0, 0],
        'r/arm': [0, 0, 1],
        'r/tool': pytest.approx([0, 1, 1], abs=1e-6),
    }
    assert world.problem() == ''
    world.tf.add('world', 'base', SECOND, at(5.0, yaw=math.pi / 2))
    assert world.seen()['r/tool'] == pytest.approx([4, 0, 1], abs=1e-6)


def test_a_root_that_tf_knows_but_not_in_the_world_is_not_shown_elsewhere():
    world = World()
    world.move(1.0, turn=0.0)
    world.tf.add('odom', 'base', SECOND, at(5.0))
    assert world.seen() == {}
    assert "does not connect 'world' and 'base'" in world.problem() or (
        "'world' is unknown" in world.problem()
    )


def test_tf_wins_over_joint_states():
    world = World()
    world.move(1.0, turn=1.0)
    world.tf.add('world', 'base', SECOND, at(1.0))
    world.tf.add('base', 'arm', SECOND, at(0, 0, 2.0))
    world.tf.add('arm', 'tool', 0, at(0, 3.0), static=True)
    assert world.seen() == {'r/base': [1, 0, 0], 'r/arm': [1, 0, 2], 'r/tool': [1, 3, 2]}


def test_a_link_that_tf_lacks_hangs_on_the_one_above_or_is_named():
    world = World(f'<robot name="r">{LINKS}{joint("turn", "continuous", "base", "arm")}'
                  f'{joint("swing", "revolute", "arm", "tool", "1 0 0")}</robot>')  # fmt: skip
    world.tf.add('world', 'base', SECOND, at())
    world.tf.add('base', 'arm', SECOND, at(0, 0, 2.0))
    assert set(world.seen()) == {'r/base', 'r/arm'}
    assert world.problem().startswith("r/tool: frame 'tool' is unknown to TF")
    world.move(1.0, swing=0.0)
    assert world.seen()['r/tool'] == [1, 0, 2]
    assert world.problem() == ''


def test_what_tf_loses_stays_where_it_was_last():
    world = World()
    for parent, child in (('world', 'base'), ('base', 'arm'), ('arm', 'tool')):
        world.tf.add(parent, child, SECOND, at(1.0))
    before = world.seen()
    world.tf.clear()
    world.scene.clock_jumped()
    assert world.seen() == before
    assert world.problem().endswith('shown where it was last')


def test_frames_may_have_a_prefix():
    world = World(prefix='left/')
    world.tf.add('world', 'left/base', SECOND, at(1.0))
    world.tf.add('left/base', 'left/arm', SECOND, at(0, 0, 2.0))
    assert world.seen()['r/tool'] == [2, 0, 2]


def test_a_root_named_as_the_world_is_the_world():
    text = f'<robot name="r"><link name="world"/><link name="b">{BOX}</link>'
    world = World(text + joint('j', 'fixed', 'world', 'b', '1 2 3') + '</robot>')
    assert world.seen() == {'r/b': [1, 2, 3]}


def test_the_same_objects_come_back_while_nothing_moves():
    world = World()
    world.move(1.0, turn=0.5)
    first = world.scene.view(SECOND, 'world', world.tf)
    assert world.scene.view(2 * SECOND, 'world', world.tf) is first
    world.move(3.0, turn=0.6)
    moved = world.scene.view(3 * SECOND, 'world', world.tf)
    assert moved is not first
    assert [a.mesh is b.mesh for a, b in zip(first, moved, strict=True)] == [True] * 3


@pytest.mark.parametrize('by_tf', [False, True])
def test_links_move_during_an_exposure(by_tf):
    world = World()
    speed = 3.0  # rad/s
    for i in range(11):
        if by_tf:
            world.tf.add('base', 'arm', i * 20 * MS, at(0, 0, 1.0, speed * i * 0.02))
            world.tf.add('world', 'base', i * 20 * MS, at())
        else:
            world.move(i * 0.02, turn=(speed * i * 0.02 + math.pi) % (2 * math.pi) - math.pi)
    first, last = 65 * MS, 95 * MS
    items, paths = world.scene.moving_view(first, last, 'world', world.tf)
    assert set(paths) == {1, 2}  # the base stands
    times = np.array([65, 71, 80, 95]) * MS
    angle = speed * times / SECOND
    expected = np.stack([np.cos(angle), np.sin(angle), np.ones(4)], axis=1)
    assert paths[2](times)[:, :3, 3] == pytest.approx(expected, abs=1e-6)
    assert items[2].pose[:3, 3].numpy() == pytest.approx(expected[2], abs=1e-6)


def test_a_robot_that_stands_has_no_path():
    world = World()
    for i in range(5):
        world.move(i * 0.02, turn=0.7)
    items, paths = world.scene.moving_view(10 * MS, 60 * MS, 'world', world.tf)
    assert len(items) == 3 and paths == {}
    again, _ = world.scene.moving_view(15 * MS, 65 * MS, 'world', world.tf)
    assert again is items


def test_joints_that_mimic_follow():
    world = World(
        f'<robot name="r"><link name="a"/><link name="b">{BOX}</link><link name="c">{BOX}</link>'
        f'{joint("one", "prismatic", "a", "b")}'
        + joint('two', 'prismatic', 'a', 'c').replace(
            '</joint>', '<mimic joint="one" multiplier="-2"/></joint>'
        )
        + '</robot>'
    )
    world.move(1.0, one=0.5)
    assert world.seen() == {'r/b': [0, 0, 0.5], 'r/c': [0, 0, -1]}


def test_our_fast_kinematics_is_that_of_the_robot(repository):
    robot = load_robot(repository / 'examples' / 'robots' / 'arm.urdf')
    joints = JointStates()
    random = np.random.default_rng(5)
    times = np.arange(4) * 20 * MS
    values = random.normal(size=(4, len(robot.joint_names)))
    for time_, row in zip(times, values, strict=True):
        joints.add(int(time_), int(time_), robot.joint_names, row.tolist())
    found = RobotPoses(robot, '', joints).own(times, joints.heard())
    values[:, 0] = np.unwrap(values[:, 0])
    expected = robot.link_poses(
        {name: torch.from_numpy(values[:, i]) for i, name in enumerate(robot.joint_names)}
    )
    assert found.keys() == expected.keys()
    for name, pose in found.items():
        assert pose == pytest.approx(expected[name].expand(4, 4, 4).numpy(), abs=1e-12)


def test_two_robots_and_one_that_goes():
    world = World()
    world.move(1.0, turn=0.0)
    other = JointStates()
    world.scene.show('other', load_robot(TEXT.replace('name="r"', 'name="s"')), '', other)
    assert set(world.seen()) == {'r/base', 'r/arm', 'r/tool'}
    other.add(SECOND, SECOND, ['turn'], [0.0])
    assert len(world.seen()) == 6
    world.scene.remove('robot')
    assert set(world.seen()) == {'s/base', 's/arm', 's/tool'}
    assert world.scene.names() == ['s']


def test_waiting_ends_when_the_joints_arrive():
    world = World()
    world.move(1.0, turn=0.0)
    late = threading.Timer(0.1, lambda: world.move(2.0, turn=1.0))
    late.start()
    begin = time.monotonic()
    world.scene.wait(2 * SECOND, 20.0, 'world', world.tf)
    assert 0.05 < time.monotonic() - begin < 10.0
    assert world.seen(2.0)['r/tool'] == pytest.approx([math.cos(1), math.sin(1), 1], abs=1e-6)
    late.join()


def test_joint_states_that_cannot_be_are_refused():
    joints = JointStates()
    with pytest.raises(ValueError, match='2 names, but 1 positions'):
        joints.add(0, SECOND, ['a', 'b'], [1.0])
    with pytest.raises(ValueError, match="'b' is not finite"):
        joints.add(0, SECOND, ['a', 'b'], [1.0, math.nan])
    joints.add(0, SECOND, ['a'], [])  # velocities only
    assert joints.heard() == set()
    joints.add(10**18, SECOND, ['a'], [1.0])  # of another clock: that of the arrival counts
    joints.add(2 * SECOND, 2 * SECOND, ['a'], [3.0])
    assert joints.at('a', np.array([3 * SECOND // 2])) == pytest.approx(2.0)


def test_the_loader_reads_the_newest_and_survives_everything():
    done, results = threading.Event(), {}

    def take(topic, result, missing):
        results[topic] = (result, missing)
        if len(results) == 4:
            done.set()

    loader = RobotLoader(take)
    loader.load('good', TEXT, [])
    loader.load('bad', '<robot><link/></robot>', [])
    loader.load('file', '/etc/passwd', [])
    missing = '<visual><geometry><mesh filename="package://none/a.stl"/></geometry></visual>'
    loader.load('some', TEXT.replace(BOX, BOX + missing), [])
    assert done.wait(20.0)
    loader.stop()
    assert results['good'][0].name == 'r'
    assert isinstance(results['bad'][0], SceneError)
    assert 'it is no XML' in str(results['file'][0])
    robot, said = results['some']
    assert len(robot.instances()) == 3 and len(said) == 3
    assert "package 'none' was not found" in said[0]
