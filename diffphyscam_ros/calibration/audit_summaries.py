# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The single facts of an audit, each from the features of the frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
import math
from statistics import median

from diffphyscam_ros.calibration.picture_features import FrameFeatures
from diffphyscam_ros.calibration.recording import Recording
from diffphyscam_ros.calibration.roles import distinct, exposure_of
from diffphyscam_ros.calibration.side_topics import RecordedCameraInfo
from diffphyscam_ros.calibration.types import ROLES

MOTION = 4.0
"""px of a streak along x or y from which a frame counts as moved."""

BLURRED = (2.0, 1.0)
"""A frame is blurred from so many times the blur of the sharpest tenth, plus so many px."""

RESTLESS = 0.3
"""Share of neighbouring frames with different exposures from which it counts as automatic."""

SMALL_STEP = 0.1
"""Relative change of the exposure from frame to frame, median, of automatic exposure."""

SETTINGS = ('exposure_time', 'iso', 'aperture', 'focus_distance', 'focal_length')

Frames = Sequence[FrameFeatures]


@dataclass(frozen=True)
class Coverage:
    """One setting over the frames.

    :param share: of the frames that know it.
    :param values: the different ones in order, SI; those within 2 % once.
    """

    name: str
    share: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Blur:
    """How sharp the frames are.

    :param best: sigma in px of the sharpest tenth.
    :param typical: median.
    :param blurred: frames that are less sharp than ``BLURRED`` allows.
    :param moved: frames with a streak of more than ``MOTION`` px.
    """

    best: float
    typical: float
    blurred: tuple[int, ...]
    moved: tuple[int, ...]


def coverage_of(frames: Frames) -> tuple[Coverage, ...]:
    """Return what is known of each setting."""
    found = []
    for name in SETTINGS:
        values = [getattr(frame.settings, name, None) for frame in frames]
        known = sum(value is not None for value in values)
        found.append(Coverage(name, known / len(values), tuple(distinct(values))))
    return tuple(found)


def automatic_of(frames: Frames) -> tuple[str, str]:
    """Return 'running', 'off' or 'not known', and why."""
    said = [frame.automatic for frame in frames if frame.automatic is not None]
    if any(said):
        return 'running', f'the driver says so of {sum(said)} frames'
    pairs = [
        (exposure_of(one.settings), exposure_of(two.settings))
        for one, two in pairwise(frames)
        if one.bag == two.bag
    ]
    known = [(one, two) for one, two in pairs if one is not None and two is not None]
    steps = [abs(two - one) / one for one, two in known if abs(two - one) > 0.001 * one]
    restless = len(known) >= 5 and len(steps) > RESTLESS * len(known)
    # a sweep goes in larger steps
    if restless and median(steps) < SMALL_STEP:
        return 'running', f'{len(steps)} of {len(known)} frames differ in exposure from the last'
    if said:
        return 'off', 'the driver says so'
    if known:
        return 'off', 'the exposure changes only now and then'
    return 'not known', 'nothing says with which exposure the frames were taken'


def blur_of(frames: Frames) -> Blur | None:
    """Return the sharpness of the frames that have edges; None if none has."""
    widths = {
        frame.index: max(frame.picture.blur)
        for frame in frames
        if not any(map(math.isnan, frame.picture.blur)) and frame.role not in ('flat', 'dark')
    }
    if not widths:
        return None
    ordered = sorted(widths.values())
    best = ordered[len(ordered) // 10]
    limit = BLURRED[0] * best + BLURRED[1]
    # what is out of focus on purpose is no defect
    meant = {frame.index for frame in frames if frame.role == 'focus'}
    moved = tuple(
        frame.index
        for frame in frames
        if frame.index in widths and frame.index not in meant and _streak(frame) > MOTION
    )
    blurred = tuple(i for i, width in widths.items() if width > limit and i not in meant)
    return Blur(best, median(ordered), blurred, moved)


def _streak(frame: FrameFeatures) -> float:
    """Return the length of a streak that is clearly in one direction, px."""
    wide, narrow = max(frame.picture.blur), min(frame.picture.blur)
    return frame.picture.motion if wide > 2.0 * narrow + 0.5 else 0.0


def rate_of(frames: Frames, every: int) -> tuple[float, int, float]:
    """Return frames in each second, number of gaps, and seconds of all bags together."""
    steps: list[int] = []
    duration = 0
    for one, two in pairwise(frames):
        if one.bag == two.bag and two.stamp > one.stamp:
            steps.append((two.stamp - one.stamp) // max(two.index - one.index, 1))
            duration += two.stamp - one.stamp
    if not steps:
        return 0.0, 0, 0.0
    period = median(steps)
    gaps = sum(step > 1.5 * period for step in steps) if every == 1 else 0
    return 1e9 / period, gaps, duration * 1e-9


def roles_counted(frames: Frames) -> dict[str, int]:
    """Return the frames of each role, in the order of ``ROLES``; '' last."""
    roles = [frame.role for frame in frames]
    return {role: roles.count(role) for role in (*ROLES, '') if role in roles}


def camera_info_verdict(info: RecordedCameraInfo | None, recording: Recording) -> str:
    """Return whether camera_info fits the pictures, in words."""
    if info is None:
        return 'there is none'
    width, height = recording.size
    if (info.width, info.height) != (width, height):
        return (
            f'{info.topic} says {info.width}x{info.height}, but the pictures are '
            f'{width}x{height}: it belongs to another mode of the camera or another topic'
        )
    text = f'{info.topic} agrees in size'
    if not any(info.k):
        return f'{text}, and is not calibrated'
    if not info.constant:
        return f'{text}, but changed during the recording'
    return f'{text}: fx {info.k[0]:.1f}, fy {info.k[4]:.1f}, {info.distortion_model or "no model"}'
