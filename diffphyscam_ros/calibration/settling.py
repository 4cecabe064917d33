# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which frames were taken while the camera still followed a change of its settings.

``RecordedFrame.settling`` knows it from the parameter events. This looks at the brightness too:
metadata may tell what was asked for, not what the sensor did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from diffphyscam_ros.calibration.picture_features import FrameFeatures
from diffphyscam_ros.calibration.types import FrameSettings

LONGEST = 10
"""Frames after a change that can be found to be settling."""

TOLERANCE = 0.02
"""Share of the level by which a settled frame may be off; or three times the usual scatter."""

_FEWEST = 5  # frames with equal settings that make a level to compare with


def _settings_key(frame: FrameFeatures) -> tuple[str, FrameSettings | None]:
    return (frame.bag, frame.settings)


def _runs(frames: Sequence[FrameFeatures]) -> Iterator[list[FrameFeatures]]:
    for _, run in groupby(frames, _settings_key):
        yield list(run)


def unsettled(frames: Sequence[FrameFeatures]) -> set[int]:
    """Return the indices of frames that were still settling, of frames in their order.

    Those that the source of the settings says; and after a change of settings the frames up to
    the first whose level is that of the second half of the frames with equal settings.
    """
    found = {frame.index for frame in frames if frame.settling}
    before: FrameFeatures | None = None
    for run in _runs(frames):
        changed = before is not None and before.bag == run[0].bag
        before = run[-1]
        if not changed or len(run) < _FEWEST or run[0].settings is None:
            continue
        settled = [frame.picture.level for frame in run[len(run) // 2 :]]
        level = median(settled)
        scatter = 1.48 * median(abs(value - level) for value in settled)
        allowed = max(TOLERANCE * level, 3.0 * scatter, 0.002)
        for frame in run[: min(LONGEST, len(run) // 2)]:
            if abs(frame.picture.level - level) <= allowed:
                break
            found.add(frame.index)
    return found
