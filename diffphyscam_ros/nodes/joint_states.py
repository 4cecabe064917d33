# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where joints were: the positions of sensor_msgs/JointState over time; knows no rclpy."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
import math
import threading
import time

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.nodes.marker_tracks import TRUSTED
from diffphyscam_ros.nodes.tf_buffer import CACHE_TIME, LIVE_SECONDS, Stamps

MAX_JOINTS = 10_000


@dataclass
class _History:
    stamps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, stamp: int, value: float) -> None:
        if self.stamps and stamp < self.stamps[-1] - CACHE_TIME:  # the clock was set back
            self.stamps.clear()
            self.values.clear()
        index = bisect.bisect_left(self.stamps, stamp)
        if index < len(self.stamps) and self.stamps[index] == stamp:
            self.values[index] = value
            return
        self.stamps.insert(index, stamp)
        self.values.insert(index, value)
        expired = bisect.bisect_left(self.stamps, self.stamps[-1] - CACHE_TIME)
        del self.stamps[:expired], self.values[:expired]

    def at(self, stamps: Stamps, turns: bool) -> npt.NDArray[np.float64]:
        low = max(bisect.bisect_right(self.stamps, int(stamps.min())) - 1, 0)
        high = bisect.bisect_left(self.stamps, int(stamps.max())) + 1
        known = np.array(self.stamps[low:high])
        values = np.array(self.values[low:high])
        if turns:
            values = np.unwrap(values)
        # From the first one on: nanoseconds since 1970 are too long for the float64 of interp.
        return np.interp(
            (stamps - known[0]).astype(np.float64), (known - known[0]).astype(np.float64), values
        )


class JointStates:
    """The joints of one topic; ``add`` and ``at`` may be called from two threads."""

    def __init__(self) -> None:
        """Start with no joint."""
        self._joints: dict[str, _History] = {}
        self._changed = threading.Condition()
        self._heard = -math.inf
        self._newest = 0

    def add(self, stamp: int, now: int, names: Sequence[str], positions: Sequence[float]) -> None:
        """Take a message; one without positions says nothing.

        :param stamp: ns of the header, 0 = none; one far from the arrival is of another clock.
        :param now: ns, of the arrival.
        :raises ValueError: where names and positions differ in number, or one is not finite.
        """
        if not len(positions):
            return
        if len(names) != len(positions):
            raise ValueError(f'{len(names)} names, but {len(positions)} positions')
        wrong = [
            name for name, value in zip(names, positions, strict=True) if not math.isfinite(value)
        ]
        if wrong:
            raise ValueError(f'the position of {wrong[0]!r} is not finite')
        moment = stamp if stamp and abs(stamp - now) < TRUSTED else now
        with self._changed:
            for name, value in zip(names, positions, strict=True):
                if name in self._joints or len(self._joints) < MAX_JOINTS:
                    self._joints.setdefault(name, _History()).add(moment, float(value))
            self._heard, self._newest = time.monotonic(), moment
            self._changed.notify_all()

    def heard(self) -> set[str]:
        """Return the joints whose positions are known."""
        with self._changed:
            return set(self._joints)

    def at(self, name: str, stamps: Stamps, turns: bool = False) -> npt.NDArray[np.float64]:
        """Return the positions (n,) of a joint that was heard, at times (n,) in ns.

        They are interpolated; outside of what is known the nearest one holds.

        :param turns: it turns without end, so that a jump by nearly a turn is none.
        """
        with self._changed:
            return self._joints[name].at(stamps, turns)

    def wait(self, stamp: int, timeout: float) -> None:
        """Wait, for at most so many s, for positions of that time, while they arrive."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._newest < stamp and time.monotonic() - self._heard < LIVE_SECONDS:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def clear(self) -> None:
        """Forget everything, as when the clock was set back."""
        with self._changed:
            self._joints.clear()
            self._heard, self._newest = -math.inf, 0
