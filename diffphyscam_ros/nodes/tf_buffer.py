# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Transforms over time: a buffer that interpolates, with lookups along the tree of frames."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
import threading
import time

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.nodes.pose_math import (
    interpolate,
    interpolate_many,
    inverse,
    inverse_many,
    Matrix,
    screw_poses,
    Twist,
)
from diffphyscam_ros.nodes.units import NANOSECONDS_PER_SECOND

Stamps = npt.NDArray[np.int64]

CACHE_TIME = 10 * NANOSECONDS_PER_SECOND
"""How long dynamic poses are kept, as in tf2."""

LIVE_SECONDS = 1.0
"""A source that spoke within this time is expected to speak again, and worth waiting for."""


EXTRAPOLATED = NANOSECONDS_PER_SECOND // 10
"""The longest way beyond the newest pose that a twist is followed."""

LONGEST_TWIST = NANOSECONDS_PER_SECOND
"""Between poses farther apart a twist says nothing."""


class TransformError(LookupError):
    """No such transform: the message says which frame is missing."""


@dataclass
class PoseHistory:
    """Poses of one thing by stamp, for the last ``CACHE_TIME``."""

    stamps: list[int] = field(default_factory=list)
    poses: list[Matrix] = field(default_factory=list)
    twists: list[Twist | None] = field(default_factory=list)
    heard: float = -np.inf  # time.monotonic() of the last arrival

    def add(self, stamp: int, pose: Matrix, twist: Twist | None = None) -> None:
        """Keep a pose; late ones are sorted in, one of the same stamp is replaced.

        :param twist: (6,) of the frame in its own axes, where it is known.
        """
        self.heard = time.monotonic()
        if twist is not None and not twist.any():
            twist = None
        if self.stamps and stamp < self.stamps[-1] - CACHE_TIME:  # the clock was set back
            self._empty()
        index = bisect.bisect_left(self.stamps, stamp)
        if index < len(self.stamps) and self.stamps[index] == stamp:
            self.poses[index], self.twists[index] = pose, twist
            return
        self.stamps.insert(index, stamp)
        self.poses.insert(index, pose)
        self.twists.insert(index, twist)
        self.forget(self.stamps[-1] - CACHE_TIME)

    def forget(self, stamp: int) -> None:
        """Drop what is older than a stamp."""
        expired = bisect.bisect_left(self.stamps, stamp)
        if expired:
            del self.stamps[:expired], self.poses[:expired], self.twists[:expired]

    def window(self, first: int, last: int) -> PoseHistory:
        """Return a copy of what the poses from a first to a last stamp rest on."""
        low = max(bisect.bisect_right(self.stamps, first) - 1, 0)
        high = bisect.bisect_left(self.stamps, last) + 1
        return PoseHistory(
            self.stamps[low:high], self.poses[low:high], self.twists[low:high], self.heard
        )

    def at(self, stamp: int) -> Matrix:
        """Return the pose at a time: interpolated, or the nearest outside the recorded span.

        :raises TransformError: where nothing was recorded.
        """
        if not self.stamps:
            raise TransformError('no pose was received')
        index = bisect.bisect_left(self.stamps, stamp)
        if any(twist is not None for twist in self.twists[max(index - 1, 0) : index + 1]):
            pose: Matrix = self.at_many(np.array([stamp]))[0]
            return pose
        if index == 0:
            return self.poses[0]
        if index == len(self.stamps):
            return self.poses[-1]
        before, after = self.stamps[index - 1], self.stamps[index]
        fraction = (stamp - before) / (after - before)
        return interpolate(self.poses[index - 1], self.poses[index], fraction)

    def at_many(self, stamps: Stamps, longest: int | None = None) -> Matrix:
        """Return the poses (n, 4, 4) at times (n,).

        Twists lead from a pose to the next, by whatever angle, and for ``EXTRAPOLATED`` beyond
        the newest one; without them it stands there.

        :param longest: ns; between poses farther apart the earlier one holds.
        :raises TransformError: where nothing was recorded.
        """
        if not self.stamps:
            raise TransformError('no pose was received')
        near = self.window(int(stamps.min()), int(stamps.max()))
        if len(near.stamps) == 1 and near.twists[0] is None:
            return np.broadcast_to(near.poses[0], (len(stamps), 4, 4))
        known = np.array(near.stamps)
        poses = np.stack(near.poses)
        before = np.clip(np.searchsorted(known, stamps, side='right') - 1, 0, None)
        after = np.minimum(before + 1, len(known) - 1)
        span = known[after] - known[before]
        past = np.maximum(stamps - known[before], 0)  # none before the oldest
        if longest is not None:
            past = np.where(span > longest, 0, past)
        share = np.where(span > 0, past / np.maximum(span, 1), 0.0)
        if all(twist is None for twist in near.twists):
            return interpolate_many(poses[before], poses[after], share)
        twists = np.stack([np.zeros(6) if twist is None else twist for twist in near.twists])
        mean = (twists[before] + twists[after]) / 2.0
        mean[span > LONGEST_TWIST] = 0.0
        screws = mean * (span[:, None] / NANOSECONDS_PER_SECOND)
        result = interpolate_many(poses[before], poses[after], share, screws)
        beyond = stamps > known[-1]
        if beyond.any():
            further = np.minimum(stamps[beyond] - known[-1], EXTRAPOLATED)
            way = twists[-1] * (further[:, None] / NANOSECONDS_PER_SECOND)
            result[beyond] = poses[-1] @ screw_poses(way)
        return result

    def newest(self) -> int | None:
        """Return the latest stamp."""
        return self.stamps[-1] if self.stamps else None

    def live(self) -> bool:
        """Return whether another pose is to be expected soon."""
        return time.monotonic() - self.heard < LIVE_SECONDS

    def clear(self) -> None:
        """Forget everything, as when the clock was set back."""
        self._empty()
        self.heard = -np.inf

    def _empty(self) -> None:
        self.stamps.clear()
        self.poses.clear()
        self.twists.clear()


def wait_for_newer(
    changed: threading.Condition,
    histories: Callable[[], list[PoseHistory]],
    stamp: int,
    timeout: float,
) -> None:
    """Wait, holding ``changed``, until every live history reaches ``stamp``, or for so long."""
    deadline = time.monotonic() + timeout
    while any(item.live() and (item.newest() or 0) < stamp for item in histories()):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        changed.wait(left)


@dataclass
class _Edge:
    parent: str
    static: bool
    history: PoseHistory


def frame_name(name: str) -> str:
    """Return a frame name as tf2 compares it: without the leading slash of ROS 1."""
    return name.removeprefix('/')


class TransformBuffer:
    """What /tf and /tf_static said; safe to use from several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._edges: dict[str, _Edge] = {}
        self._changed = threading.Condition()

    def add(self, parent: str, child: str, stamp: int, pose: Matrix, static: bool = False) -> None:
        """Take parent_from_child at a stamp in nanoseconds.

        :raises ValueError: for frames without a name, or a frame within itself.
        """
        parent, child = frame_name(parent), frame_name(child)
        if not parent or not child or parent == child:
            raise ValueError(f'transform from {parent!r} to {child!r}: two names are needed')
        with self._changed:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static, PoseHistory())
            if static:
                edge.history.clear()
            edge.history.add(stamp, pose)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget what moves; static transforms are not sent again and stay."""
        with self._changed:
            self._edges = {name: edge for name, edge in self._edges.items() if edge.static}

    def knows(self, frame: str) -> bool:
        """Return whether a frame was ever named."""
        name = frame_name(frame)
        with self._changed:
            return name in self._edges or any(edge.parent == name for edge in self._edges.values())

    def lookup(
        self, target: str, source: str, stamp: int, timeout: float = 0.0
    ) -> tuple[Matrix, int | None]:
        """Return target_from_source, and the stamp of the oldest newest pose it rests on.

        A pose is interpolated between its neighbours in time. Where the last one is older than
        ``stamp``, a newer one is waited for (at most ``timeout`` seconds, and only while the
        frames still arrive); after that the last one holds.

        :returns: the matrix, and nanoseconds, or None where nothing on the way moves.
        :raises TransformError: where the frames are unknown or not connected.
        """
        target, source = frame_name(target), frame_name(source)
        with self._changed:
            wait_for_newer(
                self._changed,
                lambda: _moving(self._path(target, source)),
                stamp,
                timeout,
            )
            down, up = self._path(target, source)
            moving = _moving((down, up))
            pose = np.eye(4)
            for edge in up:  # source to the common ancestor
                pose = edge.history.at(stamp) @ pose
            descent = np.eye(4)
            for edge in down:
                descent = edge.history.at(stamp) @ descent
            newest = min((item.newest() or 0 for item in moving), default=None)
            return inverse(descent) @ pose, newest

    def lookup_many(self, target: str, source: str, stamps: Stamps) -> Matrix:
        """Return target_from_source at times (n,), (n, 4, 4); nothing is waited for.

        :raises TransformError: as ``lookup``.
        """
        target, source = frame_name(target), frame_name(source)
        with self._changed:
            ends = []
            for edges in self._path(target, source):
                pose = np.broadcast_to(np.eye(4), (len(stamps), 4, 4))
                for edge in edges:
                    pose = edge.history.at_many(stamps) @ pose
                ends.append(pose)
        return inverse_many(ends[0]) @ ends[1]

    def _path(self, target: str, source: str) -> tuple[list[_Edge], list[_Edge]]:
        """Return the edges from the target, and from the source, up to where they meet."""
        from_target, from_source = self._ancestors(target), self._ancestors(source)
        shared = next((name for name in from_source if name in from_target), None)
        if shared is None:
            known = {edge.parent for edge in self._edges.values()} | self._edges.keys()
            unknown = [name for name in (target, source) if name not in known]
            if unknown:
                raise TransformError(
                    f'frame {" and ".join(map(repr, unknown))} is unknown to TF '
                    f'(needed: {target!r} to {source!r})'
                )
            raise TransformError(f'TF does not connect {target!r} and {source!r}')
        return (
            [self._edges[name] for name in _until(from_target, shared)],
            [self._edges[name] for name in _until(from_source, shared)],
        )

    def _ancestors(self, name: str) -> list[str]:
        """Return a frame and all above it; a loop, which only a mistake can make, ends it."""
        names = [name]
        while (edge := self._edges.get(names[-1])) is not None and edge.parent not in names:
            names.append(edge.parent)
        return names


def _moving(path: tuple[list[_Edge], list[_Edge]]) -> list[PoseHistory]:
    return [edge.history for edge in path[0] + path[1] if not edge.static]


def _until(names: list[str], last: str) -> list[str]:
    return names[: names.index(last)]
