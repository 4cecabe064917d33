# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Frames on their way out: the latency between exposure and publication."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import threading

LONGEST_WAIT = 0.05  # s, after which the clock is asked again: it may be a simulated one


class DelayLine:
    """Calls back at the time asked for, in the order of arrival, from a thread of its own.

    What is due at once, with nothing before it, is done in the caller's thread.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        """Use a clock in ns."""
        self._now = now
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def put(self, due: int, action: Callable[[], None]) -> None:
        """Do something at a time in ns, though never before what was put earlier."""
        with self._changed:
            if self._waiting or due > self._now():
                self._waiting.append((due, action))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, daemon=True)
                    self._thread.start()
                self._changed.notify()
                return
        action()

    def clear(self) -> None:
        """Drop what waits, as when the clock was set back."""
        with self._changed:
            self._waiting.clear()

    def stop(self) -> None:
        """Drop what waits and end the thread."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (
                    not self._waiting or self._waiting[0][0] > self._now()
                ):
                    self._changed.wait(self._left())
                if self._stopped:
                    return
                action = self._waiting[0][1]
            action()
            with self._changed:  # only now may another overtake in the caller's thread
                if self._waiting and self._waiting[0][1] is action:
                    self._waiting.popleft()

    def _left(self) -> float | None:
        if not self._waiting:
            return None
        return min(max((self._waiting[0][0] - self._now()) * 1e-9, 0.0), LONGEST_WAIT)
