# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How the frames of the last seconds went."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import threading
import time

import numpy as np

from diffphyscam_ros.nodes.conversions import Statistics
from diffphyscam_ros.nodes.picture_taker import Blur

WINDOW = 5.0  # s


@dataclass(frozen=True)
class FrameReport:
    """The last frame, and the rate and cost of those of the last seconds.

    :param rate: Hz, 0 while nothing is taken.
    :param render_ms: milliseconds, the mean; ``render_p95`` the 95th percentile.
    """

    frames: int
    skipped: int
    rate: float
    render_ms: float
    render_p95: float
    exposure: Statistics | None
    pose_age: float | None
    pose_source: str
    blur: Blur | None = None


class FrameStatistics:
    """Collects; safe to use from two threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, float]] = deque()  # time.monotonic(), render ms
        self._frames = 0
        self._skipped = 0
        self._exposure: Statistics | None = None
        self._pose: tuple[str, float | None] = ('', None)
        self._blur: Blur | None = None

    def add(
        self,
        render_ms: float,
        exposure: Statistics | None,
        pose_source: str,
        pose_age: float | None,
        skipped: int,
        blur: Blur | None = None,
    ) -> None:
        """Take note of a frame."""
        now = time.monotonic()
        with self._lock:
            self._recent.append((now, render_ms))
            self._frames += 1
            self._skipped += skipped
            self._exposure = exposure or self._exposure
            self._pose = (pose_source, pose_age)
            self._blur = blur
            self._forget(now)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()

    def report(self) -> FrameReport:
        """Return the figures of now."""
        with self._lock:
            self._forget(time.monotonic())
            times = [item[0] for item in self._recent]
            costs = [item[1] for item in self._recent] or [0.0]
            span = times[-1] - times[0] if len(times) > 1 else 0.0
            return FrameReport(
                self._frames,
                self._skipped,
                (len(times) - 1) / span if span > 0 else 0.0,
                float(np.mean(costs)),
                float(np.percentile(costs, 95)),
                self._exposure,
                self._pose[1],
                self._pose[0],
                self._blur,
            )
