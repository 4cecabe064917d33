# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The robots that the camera sees: what their descriptions show, where their links are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import threading
import time

import numpy as np
import torch

from diffphyscam_ros.nodes.joint_states import JointStates
from diffphyscam_ros.nodes.marker_tracks import StampedPath
from diffphyscam_ros.nodes.pose_math import interpolate_many, Matrix
from diffphyscam_ros.nodes.robot_poses import RobotPoses
from diffphyscam_ros.nodes.tf_buffer import Stamps
from diffphyscam_ros.nodes.tf_listener import Transforms
from diffphyscam_ros.scene.robot import Robot
from diffphyscam_ros.scene.types import Instance

Instances = tuple[Instance, ...]

SAMPLE_STEP = 1_000_000  # ns
MOST_SAMPLES = 65


@dataclass
class _Shown:
    """A robot that is shown.

    :param missing: what of its description cannot be drawn.
    :param last: the links as they were last seen, (4, 4).
    :param lost: why links are not where they are shown, or not shown.
    """

    poses: RobotPoses
    visuals: tuple[tuple[str, Instance, Matrix], ...]
    missing: tuple[str, ...]
    last: dict[str, Matrix] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    instances: Instances = ()


class RobotScene:
    """Keeps the robots by the topic that describes them; may be used from several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._shown: dict[str, _Shown] = {}
        self._joined: tuple[tuple[Instances, ...], Instances] = ((), ())

    def show(
        self,
        topic: str,
        robot: Robot,
        prefix: str,
        joints: JointStates,
        missing: Sequence[str] = (),
    ) -> None:
        """Show a robot in place of the one that the topic described before.

        :param prefix: of its frames.
        :param missing: what of its description cannot be drawn, for ``problems``.
        """
        visuals = tuple(
            (link.name, visual, visual.pose.double().numpy())
            for link in robot.links
            for visual in link.visuals
        )
        shown = _Shown(RobotPoses(robot, prefix, joints), visuals, tuple(missing))
        with self._lock:
            self._shown[topic] = shown

    def remove(self, topic: str) -> None:
        """Show the robot of a topic no more."""
        with self._lock:
            self._shown.pop(topic, None)

    def names(self) -> list[str]:
        """Return the names of the robots."""
        with self._lock:
            return [item.poses.robot.name for item in self._shown.values()]

    def view(self, now: int, world: str, transforms: Transforms) -> Instances:
        """Return what is seen at a time in ns; the same object again while nothing moves."""
        with self._lock:
            for item in self._shown.values():
                poses, lost = item.poses.at(np.array([now]), world, transforms)
                _place(item, {name: pose[0] for name, pose in poses.items()}, lost)
            return self._join()

    def moving_view(
        self, first: int, last: int, world: str, transforms: Transforms
    ) -> tuple[Instances, dict[int, StampedPath]]:
        """Return what is seen at the middle of a span in ns, and how it moves, by its index."""
        count = min(max((last - first) // SAMPLE_STEP, 8) // 2 * 2 + 1, MOST_SAMPLES)
        stamps = first + np.rint(np.linspace(0, last - first, count)).astype(np.int64)
        paths: dict[int, StampedPath] = {}
        index = 0
        with self._lock:
            for item in self._shown.values():
                poses, lost = item.poses.at(stamps, world, transforms)
                _place(item, {name: pose[count // 2] for name, pose in poses.items()}, lost)
                moving = {
                    name: pose for name, pose in poses.items() if bool((pose != pose[0]).any())
                }
                sampled = _Sampled(stamps, moving)
                for name, _, local in item.visuals:
                    if name in moving:
                        paths[index] = sampled.path(name, local)
                    index += name in item.last
            return self._join(), paths

    def wait(self, stamp: int, timeout: float, world: str, transforms: Transforms) -> None:
        """Wait, for at most so many s, for newer poses of what is on the move."""
        with self._lock:
            shown = list(self._shown.values())
        deadline = time.monotonic() + timeout
        for item in shown:
            left = max(deadline - time.monotonic(), 0.0)
            item.poses.wait(stamp, left, world, transforms)

    def clock_jumped(self) -> None:
        """Forget where joints were, and who said it; the links stay where they are shown."""
        with self._lock:
            for item in self._shown.values():
                item.poses.forget()

    def problems(self) -> list[str]:
        """Return what is not drawn, or not where it is, as ``robot/link: reason``."""
        with self._lock:
            found = [text for item in self._shown.values() for text in item.missing]
            for item in self._shown.values():
                reasons: dict[str, list[str]] = {}
                for name, reason in item.lost.items():
                    shown = reason + (', shown where it was last' if name in item.last else '')
                    reasons.setdefault(shown, []).append(name)
                found += [
                    f'{item.poses.robot.name}/{", ".join(names)}: {reason}'
                    for reason, names in reasons.items()
                ]
        return found

    def _join(self) -> Instances:
        parts = tuple(item.instances for item in self._shown.values())
        if len(parts) != len(self._joined[0]) or any(
            one is not other for one, other in zip(parts, self._joined[0], strict=True)
        ):
            self._joined = (parts, tuple(part for some in parts for part in some))
        return self._joined[1]


def _place(item: _Shown, poses: dict[str, Matrix], lost: dict[str, str]) -> None:
    """Put the links of a robot where they are; those that are lost stay where they were."""
    item.lost = lost
    now = {**item.last, **poses}
    same = now.keys() == item.last.keys() and all(
        np.array_equal(pose, item.last[name]) for name, pose in poses.items()
    )
    if same and item.instances:
        return
    item.last = now
    robot = item.poses.robot.name
    item.instances = tuple(
        Instance(
            f'{robot}/{visual.name}',
            visual.mesh,
            visual.material,
            torch.from_numpy((now[name] @ local).astype(np.float32)),
        )
        for name, visual, local in item.visuals
        if name in now
    )


class _Sampled:
    """Poses of several links at the same times, interpolated together and once for each time."""

    def __init__(self, stamps: Stamps, poses: dict[str, Matrix]) -> None:
        self._stamps = stamps
        self._index = {name: index for index, name in enumerate(poses)}
        self._poses = np.stack(list(poses.values())) if poses else np.zeros((0, 0, 4, 4))
        self._known: dict[bytes, Matrix] = {}

    def path(self, name: str, local: Matrix) -> StampedPath:
        """Return the path of what has a pose in a link."""
        return lambda stamps: self._at(stamps)[self._index[name]] @ local

    def _at(self, stamps: Stamps) -> Matrix:
        """Return all links (k, n, 4, 4) at times (n,)."""
        key = stamps.tobytes()
        if key not in self._known:
            known = self._stamps
            before = np.clip(np.searchsorted(known, stamps, side='right') - 1, 0, len(known) - 2)
            share = (stamps - known[before]) / np.maximum(known[before + 1] - known[before], 1)
            first, second = self._poses[:, before], self._poses[:, before + 1]
            self._known[key] = interpolate_many(
                first.reshape(-1, 4, 4),
                second.reshape(-1, 4, 4),
                np.tile(np.clip(share, 0.0, 1.0), len(first)),
            ).reshape(first.shape)
        return self._known[key]
