# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A robot as plain, immutable data: links that are seen, joints that move them.

``Robot.link_poses`` is forward kinematics in torch, differentiable in the positions of the joints
and in the pose of the root. The conventions are URDF's: a joint's frame is its child's frame, and
the axis is given in it (http://wiki.ros.org/urdf/XML/joint).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Literal

import torch

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.joint_motion import joint_pose, POSITION_SIZE
from diffphyscam_ros.scene.types import Instance

JointKind = Literal['revolute', 'continuous', 'prismatic', 'fixed', 'floating', 'planar']
Position = float | Sequence[float] | torch.Tensor

SLACK = 1e-9  # m, rad: beyond limits by rounding is not beyond


@dataclass(frozen=True, eq=False)
class Link:
    """A rigid part.

    :param visuals: what is seen of it, with poses (4, 4) in the link's frame.
    """

    name: str
    visuals: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class Mimic:
    """The position of a joint that follows another: multiplier · position + offset."""

    joint: str
    multiplier: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, eq=False)
class Joint:
    """What holds a link to its parent.

    :param kind: the position is an angle in rad (revolute, continuous), a way in m (prismatic),
        (x, y, angle) in the plane across the axis (planar), (x, y, z, qx, qy, qz, qw) (floating),
        or nothing (fixed).
    :param origin: (4, 4) parent from child at position 0.
    :param axis: (3,) unit vector in the child's frame.
    :param lower, upper: the limits of revolute and prismatic joints, infinite where there is none.
        They are not enforced: a robot's real position may be beyond.
    """

    name: str
    kind: JointKind
    parent: str
    child: str
    origin: torch.Tensor
    axis: torch.Tensor
    lower: float = -math.inf
    upper: float = math.inf
    mimic: Mimic | None = None


@dataclass(frozen=True, eq=False)
class Robot:
    """A tree of links.

    :raises SceneError: where links and joints make no tree, or joints mimic in a circle.
    """

    name: str
    links: tuple[Link, ...]
    joints: tuple[Joint, ...] = ()
    root: str = field(init=False)
    order: tuple[Joint, ...] = field(init=False)
    """The joints, each after the one that holds its parent."""
    _by_name: dict[str, Joint] = field(init=False, repr=False)
    _leaders: dict[str, tuple[Joint, float, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that it is a tree, and find its root."""
        object.__setattr__(self, 'root', _root(self))
        object.__setattr__(self, 'order', _ordered(self))
        object.__setattr__(self, '_by_name', {item.name: item for item in self.joints})
        object.__setattr__(self, '_leaders', _leaders(self))

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The joints whose positions may be given: those that move, and follow no other."""
        return tuple(
            item.name for item in self.joints if item.kind != 'fixed' and item.mimic is None
        )

    def joint(self, name: str) -> Joint:
        """Return a joint.

        :raises SceneError: naming those that there are.
        """
        if name in self._by_name:
            return self._by_name[name]
        raise SceneError(
            f'robot {self.name!r} has no joint {name!r}; those that move: '
            f'{_some(self.joint_names)}'
        )

    def beyond_limits(self, joint_positions: Mapping[str, Position]) -> tuple[str, ...]:
        """Return of each joint that is beyond its limits, in words, how far they reach.

        :raises SceneError: as ``link_poses``.
        """
        words = []
        for name, value in self._positions(joint_positions).items():
            item = self.joint(name)
            if bool(((value < item.lower - SLACK) | (value > item.upper + SLACK)).any()):
                unit = 'm' if item.kind == 'prismatic' else 'rad'
                words.append(
                    f'joint {name!r} at {value.tolist()} {unit} is beyond its limits, '
                    f'{item.lower:g} to {item.upper:g} {unit}'
                )
        return tuple(words)

    def link_poses(
        self,
        joint_positions: Mapping[str, Position] | None = None,
        root_pose: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the pose of each link, differentiable in positions and root pose.

        :param joint_positions: by joint; what is not named is at 0. Positions with leading
            dimensions (...), or (..., 3) planar and (..., 7) floating, are batches.
        :param root_pose: (..., 4, 4) world from the root link; the identity by default.
        :return: (..., 4, 4) float64, by the name of the link.
        :raises SceneError: for a joint that there is not, that is fixed or follows another, and
            for a position of the wrong size or that is not finite.
        """
        positions = self._positions(joint_positions or {})
        start = torch.eye(4) if root_pose is None else torch.as_tensor(root_pose)
        if start.shape[-2:] != (4, 4):
            raise SceneError(f'root_pose has shape {tuple(start.shape)}: must be (..., 4, 4)')
        poses = {self.root: start.double()}
        for item in self.order:
            motion = joint_pose(item.kind, item.axis, positions.get(item.name))
            place = item.origin if motion is None else item.origin @ motion
            poses[item.child] = poses[item.parent] @ place
        return poses

    def instances(
        self,
        joint_positions: Mapping[str, Position] | None = None,
        root_pose: torch.Tensor | None = None,
    ) -> tuple[Instance, ...]:
        """Return what is seen of the robot; meshes and materials are the same objects each time.

        :param joint_positions, root_pose: as for ``link_poses``, without batches.
        :return: with poses (4, 4) float32.
        :raises SceneError: as ``link_poses``, and for batches.
        """
        poses = self.link_poses(joint_positions, root_pose)
        batches = sorted(name for name, pose in poses.items() if pose.dim() != 2)
        if batches:
            raise SceneError(
                f'robot {self.name!r}: several positions at once, for {_some(batches)}: give each '
                'joint one position (link_poses takes batches)'
            )
        return self.placed(poses)

    def placed(self, link_poses: Mapping[str, torch.Tensor]) -> tuple[Instance, ...]:
        """Return what is seen of the links whose poses (4, 4) are given, the others left out."""
        return tuple(
            Instance(
                visual.name,
                visual.mesh,
                visual.material,
                (link_poses[link.name].double() @ visual.pose.double()).float(),
            )
            for link in self.links
            if link.name in link_poses
            for visual in link.visuals
        )

    def leader(self, item: Joint) -> tuple[Joint, float, float]:
        """Return the joint that one follows in the end, with multiplier and offset.

        A joint that mimics none is its own leader.
        """
        return self._leaders[item.name]

    def _positions(self, given: Mapping[str, Position]) -> dict[str, torch.Tensor]:
        """Return the position of every joint that has one, those that mimic included."""
        positions: dict[str, torch.Tensor] = {}
        for name, value in given.items():
            item = self.joint(name)
            if item.kind == 'fixed' or item.mimic is not None:
                why = 'is fixed' if item.mimic is None else f'follows {item.mimic.joint!r}'
                raise SceneError(
                    f'joint {name!r} of robot {self.name!r} {why}: it has no position of its own; '
                    f'those that have: {_some(self.joint_names)}'
                )
            positions[name] = _checked(item, value)
        for item in self.joints:
            if item.mimic is not None:
                leader, multiplier, offset = self.leader(item)
                if leader.name in positions:
                    positions[item.name] = multiplier * positions[leader.name] + offset
                elif offset != 0.0:
                    positions[item.name] = torch.tensor(offset, dtype=torch.float64)
        return positions


def _checked(item: Joint, value: Position) -> torch.Tensor:
    """Return a position in float64."""
    try:
        tensor = torch.as_tensor(value).double()
    except (TypeError, ValueError, RuntimeError):
        raise SceneError(f'joint {item.name!r}: position {value!r} is no number') from None
    size = POSITION_SIZE[item.kind]
    if size > 1 and (tensor.dim() == 0 or tensor.shape[-1] != size):
        raise SceneError(
            f'joint {item.name!r} is {item.kind}: its position has shape {tuple(tensor.shape)}, '
            f'but must have {size} numbers'
        )
    if not bool(torch.isfinite(tensor).all()):
        raise SceneError(f'joint {item.name!r}: position {tensor.tolist()} is not finite')
    return tensor


def _root(robot: Robot) -> str:
    """Return the one link without a parent."""
    names = [link.name for link in robot.links]
    _refuse_doubles(robot, 'links', names)
    _refuse_doubles(robot, 'joints', [item.name for item in robot.joints])
    known = set(names)
    holds: dict[str, str] = {}
    for item in robot.joints:
        for role, name in (('parent', item.parent), ('child', item.child)):
            if name not in known:
                raise SceneError(
                    f'joint {item.name!r} of robot {robot.name!r}: its {role} {name!r} is no link '
                    f'of the robot; links are {_some(names)}'
                )
        if item.child in holds:
            raise SceneError(
                f'link {item.child!r} of robot {robot.name!r} is the child of two joints, '
                f'{holds[item.child]!r} and {item.name!r}: a link has one parent'
            )
        holds[item.child] = item.name
    roots = [name for name in names if name not in holds]
    if len(roots) != 1:
        what = 'no link' if not roots else f'{len(roots)} links ({_some(roots)})'
        raise SceneError(
            f'robot {robot.name!r} has {what} without a parent: it must have one, the root, to '
            'which joints connect all others'
        )
    return roots[0]


def _ordered(robot: Robot) -> tuple[Joint, ...]:
    children: dict[str, list[Joint]] = {}
    for item in robot.joints:
        children.setdefault(item.parent, []).append(item)
    ordered: list[Joint] = []
    names = [robot.root]
    while names:
        held = children.get(names.pop(), [])
        ordered += held
        names += [item.child for item in held]
    if len(ordered) != len(robot.joints):
        reached = {item.name for item in ordered}
        lost = [item.name for item in robot.joints if item.name not in reached]
        raise SceneError(
            f'robot {robot.name!r}: the joints {_some(lost)} hold each other in a circle; each '
            'must lead back to the root'
        )
    return tuple(ordered)


def _leaders(robot: Robot) -> dict[str, tuple[Joint, float, float]]:
    """Return of each joint the one that it follows in the end, with multiplier and offset."""
    single = ('revolute', 'continuous', 'prismatic')
    found: dict[str, tuple[Joint, float, float]] = {}
    for item in robot.joints:
        chain: dict[str, tuple[Joint, Mimic]] = {}
        while item.mimic is not None and item.name not in found:
            leader = robot.joint(item.mimic.joint)
            chain[item.name] = (item, item.mimic)
            if leader.name in chain:
                raise SceneError(
                    f'robot {robot.name!r}: the joints {_some(tuple(chain))} mimic each other in '
                    'a circle'
                )
            if leader.kind not in single or item.kind not in single:
                raise SceneError(
                    f'joint {item.name!r} ({item.kind}) of robot {robot.name!r} mimics '
                    f'{leader.name!r} ({leader.kind}): both must be of {", ".join(single)}'
                )
            item = leader
        end, multiplier, offset = found.setdefault(item.name, (item, 1.0, 0.0))
        for follower, mimic in reversed(chain.values()):
            multiplier *= mimic.multiplier
            offset = mimic.multiplier * offset + mimic.offset
            found[follower.name] = (end, multiplier, offset)
    return found


def _refuse_doubles(robot: Robot, what: str, names: Sequence[str]) -> None:
    doubles = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubles:
        raise SceneError(f'robot {robot.name!r} has several {what} named {_some(doubles)}')


def _some(names: Sequence[str]) -> str:
    if not names:
        return 'none'
    more = f' and {len(names) - 8} more' if len(names) > 8 else ''
    return ', '.join(map(repr, names[:8])) + more
