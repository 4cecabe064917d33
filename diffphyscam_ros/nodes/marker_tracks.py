# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where markers were: poses over time, of the markers themselves and of frames they hang on."""

from __future__ import annotations

import bisect
from collections.abc import Callable
import time

import numpy as np

from diffphyscam_ros.nodes.marker_drawing import Drawing
from diffphyscam_ros.nodes.pose_math import Matrix
from diffphyscam_ros.nodes.tf_buffer import frame_name, PoseHistory, Stamps, TransformError
from diffphyscam_ros.nodes.tf_listener import Transforms
from diffphyscam_ros.nodes.units import NANOSECONDS_PER_SECOND
from diffphyscam_ros.render.image_motion import Floats, Path

StampedPath = Callable[[Stamps], Matrix]
"""Of stamps (n,) in ns, poses (n, 4, 4)."""

LONGEST_STEP = NANOSECONDS_PER_SECOND // 4
"""A marker that is sent at least so often moves; one that is sent more seldom jumps."""

TRUSTED = NANOSECONDS_PER_SECOND
"""A header's stamp farther than that from the arrival is of another clock, and is not used."""


class MarkerTrack:
    """The poses of one marker over time.

    A marker that is locked to the frame of its header has them in that frame, any other in the
    world, where it was put at its stamp.
    """

    def __init__(self) -> None:
        """Start without a pose."""
        self._history = PoseHistory()
        self._pending: list[tuple[int, int, Matrix]] = []  # time, stamp of the frame, pose
        self._last: tuple[int, Matrix] | None = None
        self._heard = -np.inf
        self._moves = False

    def add(self, stamp: int, now: int, pose: Matrix) -> None:
        """Take the pose of a message, in the frame of its header.

        :param stamp: of the header, 0 = none.
        :param now: ns, of the arrival.
        """
        moment = stamp if stamp and abs(stamp - now) < TRUSTED else now
        self._pending.append((moment, stamp or moment, pose))
        if self._last is not None:
            before, last = self._last
            self._moves = moment - before <= LONGEST_STEP and not np.array_equal(last, pose)
        self._last = (moment, pose)
        self._heard = time.monotonic()

    def place(self, frame: str, world: str, transforms: Transforms, memory: int) -> None:
        """Put what was added where it belongs; what TF cannot place is left out.

        :param frame: of the header, or ``world`` where the marker is locked.
        :param memory: ns, how much is kept.
        """
        history = self._history
        for moment, stamp, pose in self._pending:
            if frame and frame != frame_name(world):
                try:
                    pose = transforms.lookup(world, frame, stamp)[0] @ pose
                except TransformError:
                    continue
            poses = history.poses
            if len(poses) > 1 and moment > history.stamps[-1]:
                if np.array_equal(poses[-1], pose) and np.array_equal(poses[-2], pose):
                    history.stamps[-1] = moment  # standing since the last but one
                    continue
            history.add(moment, pose)
            # The last pose before that time is kept: it held then.
            oldest = bisect.bisect_right(history.stamps, history.stamps[-1] - memory) - 1
            if oldest > 0:
                history.forget(history.stamps[oldest])
        self._pending.clear()

    def awaits(self, stamp: int) -> bool:
        """Return whether the marker is on the move, and its pose at a time still to come."""
        if not self._moves or self._last is None or self._last[0] >= stamp:
            return False
        return time.monotonic() - self._heard <= LONGEST_STEP / NANOSECONDS_PER_SECOND

    def path(self, first: int, last: int) -> StampedPath | None:
        """Return the poses over a span of time, None where they are the newest all the time."""
        stamps, poses = self._history.stamps, self._history.poses
        if len(stamps) < 2:
            return None
        newest = poses[-1]
        if first >= stamps[-2] and np.array_equal(poses[-2], newest):
            return None  # most markers, most of the time
        span = self._history.window(first, last)
        if all(pose is newest or np.array_equal(pose, newest) for pose in span.poses):
            return None
        return lambda stamps: span.at_many(stamps, LONGEST_STEP)


class FramePaths:
    """Frames in the world over one exposure, each looked up once for many markers."""

    def __init__(self, world: str, transforms: Transforms, first: int, last: int) -> None:
        """Look at the time from a first to a last stamp in ns."""
        self._world = world
        self._transforms = transforms
        self._span = np.linspace(first, last, 5).astype(np.int64)
        self._known: dict[tuple[str, bytes], Matrix] = {}

    def moves(self, frame: str) -> bool:
        """Return whether a frame moves; one that is unknown does not."""
        if not frame or frame == frame_name(self._world):
            return False
        try:
            poses = self.at(frame, self._span)
        except TransformError:
            return False
        return bool((poses != poses[0]).any())

    def at(self, frame: str, stamps: Stamps) -> Matrix:
        """Return world from frame, (n, 4, 4)."""
        key = (frame, stamps.tobytes())
        if key not in self._known:
            self._known[key] = self._transforms.lookup_many(self._world, frame, stamps)
        return self._known[key]

    def path(self, frame: str, inner: StampedPath | Matrix) -> StampedPath:
        """Return the path in the world of what has a pose, or a path, in a frame that moves."""
        if callable(inner):
            return lambda stamps: self.at(frame, stamps) @ inner(stamps)
        return lambda stamps: self.at(frame, stamps) @ inner


def relative(path: StampedPath, middle: int) -> Path:
    """Return a path over seconds from a stamp in ns on."""

    def at(times: Floats) -> Floats:
        return path(middle + np.rint(times * NANOSECONDS_PER_SECOND).astype(np.int64))

    return at


def followed_by(path: StampedPath, pose: Matrix) -> StampedPath:
    """Return the path of what has a pose in something that moves."""
    return lambda stamps: path(stamps) @ pose


def same_shape(first: Drawing, second: Drawing) -> bool:
    """Return whether a marker that replaces another is the same thing, perhaps elsewhere."""
    return len(first.parts) == len(second.parts) and all(
        a.mesh is b.mesh and np.array_equal(a.pose, b.pose)
        for a, b in zip(first.parts, second.parts, strict=True)
    )
