# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""When the next frame is due; all times are nanoseconds of the node's clock."""

from __future__ import annotations

PATIENCE = 4  # periods


class FrameTimer:
    """Frames at a constant mean rate: a late one does not shift those that follow.

    The period may change at any time. A slot whose turn comes late, because the pose had to be
    waited for or a frame took longer, is caught up with, as long as it is not older than
    ``PATIENCE`` periods; beyond that the machine is too slow, and slots are left out and counted.
    """

    def __init__(self) -> None:
        """Be due at once."""
        self._slot: int | None = None
        self.skipped = 0

    def wait(self, now: int, period: int) -> int:
        """Return how long to wait until a frame is due, 0 = now."""
        if self._slot is None or now < self._slot:  # the first frame, or the clock was set back
            return 0
        return max(self._slot + period - now, 0)

    def take(self, now: int, period: int) -> int:
        """Return the time of the frame that is due: the next slot, or, too late, the latest."""
        if self._slot is None or now < self._slot:
            self._slot = now
            return now
        passed = max((now - self._slot) // period, 1)
        steps = 1 if passed <= PATIENCE else passed
        self._slot += steps * period
        self.skipped += steps - 1
        return self._slot

    def reset(self) -> None:
        """Begin anew, as when the clock has jumped."""
        self._slot = None
