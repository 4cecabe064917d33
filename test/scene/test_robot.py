# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Forward kinematics: against MuJoCo, by finite differences, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.scene import (
    box,
    Instance,
    Joint,
    Link,
    load_robot,
    Material,
    Mimic,
    Robot,
    SceneError,
)
from diffphyscam_ros.scene.transforms import pose_from_rpy

INERTIA = (
    '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/>'
    '</inertial>'
)
MUJOCO_KINDS = ('revolute', 'continuous', 'prismatic', 'fixed')


def random_urdf(seed: int, links: int = 12) -> str:
    """Return a tree of links with random joints, for us and for MuJoCo."""
    random = np.random.default_rng(seed)

    def numbers(count, scale):
        return ' '.join(f'{v:.17g}' for v in random.normal(size=count) * scale)

    parts = [f'<link name="l{i}">{INERTIA}</link>' for i in range(links)]
    for i in range(1, links):
        kind = MUJOCO_KINDS[random.integers(len(MUJOCO_KINDS))]
        parts.append(
            f'<joint name="j{i}" type="{kind}"><parent link="l{random.integers(i)}"/>'
            f'<child link="l{i}"/><origin xyz="{numbers(3, 0.5)}" rpy="{numbers(3, 1.5)}"/>'
            f'<axis xyz="{numbers(3, 1)}"/><limit lower="-9" upper="9" effort="1" velocity="1"/>'
            '</joint>'
        )
    return (
        '<robot name="r"><mujoco><compiler fusestatic="false" balanceinertia="true"/></mujoco>'
        + ''.join(parts)
        + '</robot>'
    )


@pytest.mark.parametrize('seed', range(4))
def test_links_are_where_mujoco_has_them(seed):
    mujoco = pytest.importorskip('mujoco')
    text = random_urdf(seed)
    robot = load_robot(text)
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    random = np.random.default_rng(100 + seed)
    assert len(robot.joint_names) == model.njnt > 3
    for _ in range(5):
        positions = {name: float(random.normal() * 2) for name in robot.joint_names}
        for name, value in positions.items():
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        poses = robot.link_poses(positions)
        for link in robot.links[1:]:  # the root becomes MuJoCo's world
            body = data.body(link.name)
            assert np.allclose(poses[link.name][:3, 3], body.xpos, atol=1e-6)
            assert np.allclose(poses[link.name][:3, :3], body.xmat.reshape(3, 3), atol=1e-6)


EYE = torch.eye(4, dtype=torch.float64)


def joint(name, kind, parent, child, axis=(0.0, 0.0, 1.0), **fields):
    """Return a joint between links at one place."""
    unit = torch.tensor(axis, dtype=torch.float64)
    return Joint(name, kind, parent, child, EYE, unit / unit.norm(), **fields)


def chain(*kinds):
    """Return a robot of links a, b, c ... with joints of these kinds about slanted axes."""
    names = [chr(ord('a') + i) for i in range(len(kinds) + 1)]
    joints = tuple(
        Joint(
            f'{names[i]}{names[i + 1]}',
            kind,
            names[i],
            names[i + 1],
            pose_from_rpy(
                torch.tensor([0.3, 0.1 * i, 0.2]).double(), (0.2, 0.3 * i, -0.4)
            ).double(),
            torch.nn.functional.normalize(torch.tensor([0.3, 1.0, -0.5]).double(), dim=0),
        )
        for i, kind in enumerate(kinds)
    )
    return Robot('chain', tuple(map(Link, names)), joints)


def test_kinematics_is_differentiable_in_every_joint_and_the_root():
    robot = chain('revolute', 'prismatic', 'planar', 'floating', 'continuous')
    random = torch.Generator().manual_seed(3)

    def last(*values):
        *positions, root = values
        named = dict(zip(robot.joint_names, positions, strict=True))
        return robot.link_poses(named, root)['f']

    sizes = [(), (), (3,), (7,), ()]
    inputs = [torch.randn(size, generator=random, dtype=torch.float64) for size in sizes]
    inputs.append(
        pose_from_rpy(torch.randn(3, generator=random).double(), (0.1, 0.2, 0.3)).double()
    )
    assert torch.autograd.gradcheck(last, [item.requires_grad_() for item in inputs])


def test_positions_may_be_batches():
    robot = chain('revolute', 'prismatic', 'planar', 'floating')
    random = torch.Generator().manual_seed(4)
    batch = {
        'ab': torch.randn(5, generator=random),
        'bc': torch.randn(5, generator=random),
        'cd': torch.randn(5, 3, generator=random),
        'de': torch.randn(5, 7, generator=random),
    }
    together = robot.link_poses(batch)['e']
    assert together.shape == (5, 4, 4)
    for i in range(5):
        alone = robot.link_poses({name: value[i] for name, value in batch.items()})['e']
        assert torch.allclose(together[i], alone)


@pytest.mark.parametrize('axis', [(0, 0, 1), (0, 0, -1), (1, 2, 3), (-1, 0.5, -4)])
def test_a_planar_joint_stays_in_its_plane(axis):
    robot = Robot('p', (Link('a'), Link('b')), (joint('ab', 'planar', 'a', 'b', axis),))
    normal = robot.joints[0].axis
    pose = robot.link_poses({'ab': (0.3, -0.4, 0.7)})['b']
    assert abs(float(pose[:3, 3] @ normal)) < 1e-12
    assert float(pose[:3, 3].norm()) == pytest.approx(0.5)
    assert torch.allclose(pose[:3, :3] @ normal, normal)
    assert float(torch.linalg.det(pose[:3, :3])) == pytest.approx(1.0)
    turn = (torch.trace(pose[:3, :3]) - 1) / 2
    assert math.acos(float(turn)) == pytest.approx(0.7)
    if axis == (0, 0, 1):
        assert torch.allclose(pose[:3, 3], torch.tensor([0.3, -0.4, 0.0]).double())


def test_mimics_follow_through_chains():
    robot = Robot(
        'm',
        tuple(map(Link, 'abcd')),
        (
            joint('one', 'prismatic', 'a', 'b'),
            joint('two', 'prismatic', 'a', 'c', mimic=Mimic('one', 2.0, 0.1)),
            joint('three', 'prismatic', 'a', 'd', mimic=Mimic('two', -1.0, 0.5)),
        ),
    )
    assert robot.joint_names == ('one',)
    poses = robot.link_poses({'one': 0.3})
    assert [float(poses[n][2, 3]) for n in 'bcd'] == pytest.approx([0.3, 0.7, -0.2])
    poses = robot.link_poses()
    assert [float(poses[n][2, 3]) for n in 'bcd'] == pytest.approx([0.0, 0.1, 0.4])


def test_only_poses_change_between_calls():
    part = Instance('a', box(1.0), Material(), pose_from_rpy((1.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    robot = Robot('r', (Link('a'), Link('b', (part, part))), (joint('ab', 'revolute', 'a', 'b'),))
    first, second = robot.instances(), robot.instances({'ab': math.pi / 2})
    assert [item.pose.dtype for item in second] == [torch.float32] * 2
    for one, other in zip(first, second, strict=True):
        assert one.mesh is other.mesh is part.mesh
        assert one.material is other.material is part.material
    assert torch.allclose(second[0].pose[:3, 3], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)
    assert robot.placed({'a': EYE}) == ()


ARM = chain('revolute', 'fixed')


@pytest.mark.parametrize(
    ('positions', 'words'),
    [
        ({'elbow': 1.0}, "no joint 'elbow'; those that move: 'ab'"),
        ({'bc': 1.0}, "is fixed: it has no position of its own; those that have: 'ab'"),
        ({'ab': math.nan}, 'not finite'),
        ({'ab': 'much'}, "position 'much' is no number"),
    ],
)
def test_positions_that_cannot_be_are_refused(positions, words):
    with pytest.raises(SceneError, match=words):
        ARM.link_poses(positions)


def test_a_position_of_the_wrong_size_is_refused():
    with pytest.raises(SceneError, match=r'planar: .* must have 3 numbers'):
        chain('planar').link_poses({'ab': 1.0})
    with pytest.raises(SceneError, match=r'floating joint: .*no length'):
        chain('floating').link_poses({'ab': [0.0] * 7})
    with pytest.raises(SceneError, match='root_pose has shape'):
        ARM.link_poses({}, torch.eye(3))


@pytest.mark.parametrize(
    ('links', 'joints', 'words'),
    [
        ('ab', (), "2 links \\('a', 'b'\\) without a parent"),
        ('aab', (joint('j', 'fixed', 'a', 'b'),), "several links named 'a'"),
        ('ab', (joint('j', 'fixed', 'a', 'x'),), "its child 'x' is no link"),
        (
            'abc',
            (joint('j', 'fixed', 'a', 'c'), joint('k', 'fixed', 'b', 'c')),
            "child of two joints, 'j' and 'k'",
        ),
        (
            'abc',
            (joint('j', 'fixed', 'b', 'c'), joint('k', 'fixed', 'c', 'b')),
            "the joints 'j', 'k' hold each other in a circle",
        ),
        (
            'abc',
            (
                joint('j', 'revolute', 'a', 'b', mimic=Mimic('k')),
                joint('k', 'revolute', 'a', 'c', mimic=Mimic('j')),
            ),
            'mimic each other in a circle',
        ),
        (
            'abc',
            (
                joint('j', 'revolute', 'a', 'b', mimic=Mimic('k')),
                joint('k', 'planar', 'a', 'c'),
            ),
            'both must be of revolute, continuous, prismatic',
        ),
    ],
)
def test_what_is_no_tree_is_refused(links, joints, words):
    with pytest.raises(SceneError, match=words):
        Robot('r', tuple(map(Link, links)), joints)
