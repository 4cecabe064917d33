# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the links of one robot are: by TF where it speaks, else by its joints; knows no rclpy."""

from __future__ import annotations

import time

import numpy as np

from diffphyscam_ros.nodes.joint_states import JointStates
from diffphyscam_ros.nodes.pose_math import inverse_many, Matrix, screw_poses
from diffphyscam_ros.nodes.tf_buffer import frame_name, Stamps, TransformError
from diffphyscam_ros.nodes.tf_listener import Transforms
from diffphyscam_ros.scene.robot import Joint, Robot

_SINGLE = ('revolute', 'continuous', 'prismatic')

LOOK_AGAIN = 0.2  # s, after which it is looked again whether TF speaks of the robot


class RobotPoses:
    """Finds the links of a robot that are seen.

    Where TF knows any of its joints (a robot_state_publisher runs), links are where TF has them;
    one that TF lacks hangs on the next above it, if the joints between are fixed or heard.
    Where TF knows none, the links are where the joint states have them; the root is where TF has
    it, or at the world's origin where TF has never heard of it.

    :param prefix: of the frames, before the names of the links.
    """

    def __init__(self, robot: Robot, prefix: str, joints: JointStates) -> None:
        """Look at no time yet."""
        self.robot = robot
        self._prefix = prefix
        self._joints = joints
        self._visible = [link.name for link in robot.links if link.visuals]
        self._held: dict[str, Joint] = {item.child: item for item in robot.joints}
        self._order = robot.order
        self._axes = np.array([_screw_axis(item) for item in robot.order]).reshape(-1, 6)
        self._origins = np.array([item.origin.numpy() for item in robot.order]).reshape(-1, 4, 4)
        self._tf_speaks = False
        self._looked = -np.inf

    def at(
        self, stamps: Stamps, world: str, transforms: Transforms
    ) -> tuple[dict[str, Matrix], dict[str, str]]:
        """Return the poses (n, 4, 4) of the links at times (n,), and why others have none."""
        by_tf = self._speaks(transforms, int(stamps[-1]))
        heard = self._joints.heard()
        if not by_tf and self.robot.joint_names and not heard.intersection(self._moved()):
            reason = 'no joint state was heard, and TF knows none of its joints'
            return {}, dict.fromkeys(self._visible, reason)
        finder = _Finder(self, stamps, world, transforms, by_tf, heard)
        poses, missing = {}, {}
        for name in self._visible:
            found = finder.pose(name)
            if isinstance(found, str):
                missing[name] = found
            else:
                poses[name] = found
        return poses, missing

    def wait(self, stamp: int, timeout: float, world: str, transforms: Transforms) -> None:
        """Wait, for at most so many s in all, for poses of that time, while they arrive."""
        deadline = time.monotonic() + timeout
        if not self._speaks(transforms, stamp):
            self._joints.wait(stamp, timeout)
        names = self._visible if self._tf_speaks else [self.robot.root]
        for name in names:
            try:
                left = max(deadline - time.monotonic(), 0.0)
                transforms.lookup(world, self.frame(name), stamp, left)
            except TransformError:
                continue

    def frame(self, link: str) -> str:
        """Return the name of a link's frame in TF."""
        return frame_name(self._prefix + link)

    def forget(self) -> None:
        """Begin anew: the clock was set back."""
        self._tf_speaks, self._looked = False, -np.inf
        self._joints.clear()

    def _moved(self) -> set[str]:
        return {item.name for item in self.robot.joints if item.kind != 'fixed'}

    def _speaks(self, transforms: Transforms, stamp: int) -> bool:
        """Return whether TF knows a joint of the robot; once it does, it is taken to stay."""
        if not self._tf_speaks and time.monotonic() - self._looked > LOOK_AGAIN:
            self._looked = time.monotonic()
            for item in self.robot.joints:
                try:
                    transforms.lookup(self.frame(item.parent), self.frame(item.child), stamp)
                except TransformError:
                    continue
                self._tf_speaks = True
                break
        return self._tf_speaks

    def held_by(self, link: str) -> Joint | None:
        """Return the joint above a link, None for the root."""
        return self._held.get(link)

    def own(self, stamps: Stamps, heard: set[str]) -> dict[str, Matrix]:
        """Return every link (n, 4, 4) in the root by kinematics; joints not heard are at 0.

        ``Robot.link_poses`` in numpy, for all joints together: a tenth of its time.
        """
        values = np.zeros((len(self._order), len(stamps)))
        for index, item in enumerate(self._order):
            leader, multiplier, offset = self.robot.leader(item)
            if leader.name in heard and leader.kind in _SINGLE:
                endless = leader.kind == 'continuous'
                values[index] = multiplier * self._joints.at(leader.name, stamps, endless)
            values[index] += offset
        screws = (values[..., None] * self._axes[:, None]).reshape(-1, 6)
        steps = self._origins[:, None] @ screw_poses(screws).reshape(*values.shape, 4, 4)
        poses = {self.robot.root: np.broadcast_to(np.eye(4), (len(stamps), 4, 4))}
        for item, step in zip(self._order, steps, strict=True):
            poses[item.child] = poses[item.parent] @ step
        return poses


def _screw_axis(item: Joint) -> Matrix:
    """Return how a joint moves per unit of its position, (6,); not at all where TF alone knows."""
    result = np.zeros(6)
    if item.kind in _SINGLE:
        start = 0 if item.kind == 'prismatic' else 3
        result[start : start + 3] = item.axis.numpy()
    return result


class _Finder:
    """Finds links at certain times, each frame and the kinematics once."""

    def __init__(
        self,
        robot: RobotPoses,
        stamps: Stamps,
        world: str,
        transforms: Transforms,
        by_tf: bool,
        heard: set[str],
    ) -> None:
        self._robot = robot
        self._stamps = stamps
        self._world = world
        self._transforms = transforms
        self._by_tf = by_tf
        self._heard = heard
        self._frames: dict[str, Matrix | str] = {}
        self._own: dict[str, Matrix] | None = None

    def pose(self, link: str) -> Matrix | str:
        """Return the pose (n, 4, 4) of a link, or in words why there is none."""
        above, joint = link, self._robot.held_by(link)
        reason = ''
        while True:
            if joint is None or self._by_tf:
                found = self._frame(above)
                if not isinstance(found, str):
                    break
                reason = reason or found
            if joint is None:
                return reason
            if self._by_tf and not self._is_known(joint):
                return reason
            above, joint = joint.parent, self._robot.held_by(joint.parent)
        if above == link:
            return found
        if self._own is None:
            self._own = self._robot.own(self._stamps, self._heard)
        step: Matrix = inverse_many(self._own[above]) @ self._own[link]
        return found @ step

    def _is_known(self, joint: Joint) -> bool:
        """Return whether our kinematics knows where a joint is."""
        leader, _, _ = self._robot.robot.leader(joint)
        return leader.kind == 'fixed' or (leader.kind in _SINGLE and leader.name in self._heard)

    def _frame(self, link: str) -> Matrix | str:
        if link not in self._frames:
            self._frames[link] = self._look_up(link)
        return self._frames[link]

    def _look_up(self, link: str) -> Matrix | str:
        frame = self._robot.frame(link)
        standing = np.broadcast_to(np.eye(4), (len(self._stamps), 4, 4))
        if frame == frame_name(self._world):
            return standing
        try:
            return self._transforms.lookup_many(self._world, frame, self._stamps)
        except TransformError as error:
            if not self._by_tf and not self._transforms.knows(frame):
                return standing  # nobody has placed the robot: it stands at the origin
            return str(error)
