# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a recording holds, and what of a camera can be estimated from it, before any work is done.

``audit`` reads the frames once; ``Audit.text`` is for people, ``Audit.json`` for programs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
import math
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.audit_checks import abilities, Ability, Facts, NO
from diffphyscam_ros.calibration.audit_summaries import (
    automatic_of,
    Blur,
    blur_of,
    camera_info_verdict,
    Coverage,
    coverage_of,
    Frames,
    rate_of,
    roles_counted,
)
from diffphyscam_ros.calibration.progress import Progress
from diffphyscam_ros.calibration.recording import Recording
from diffphyscam_ros.calibration.roles import apply_roles, BoardDetector, scan
from diffphyscam_ros.calibration.settling import unsettled
from diffphyscam_ros.calibration.side_topics import RecordedCameraInfo

MAX_FRAMES = 2000
"""Frames that are looked at; of a longer recording evenly spread ones."""

CLIPPED = 0.01
"""Share of a picture's pixels at full scale (or zero) from which it counts as clipped."""


@dataclass(frozen=True)
class BagSummary:
    """One bag: name, path, image topic, frames looked at, and their roles ('' = none)."""

    name: str
    path: str
    topic: str
    frames: int
    roles: dict[str, int]
    role_given: bool


@dataclass(frozen=True)
class Exposure:
    """How bright the frames are.

    :param levels: lowest, median and highest mean level, digital values over full scale.
    :param saturated: frames with more than ``CLIPPED`` of their pixels at full scale.
    :param black: frames with more than ``CLIPPED`` of them at zero.
    :param saturated_share: of all pixels.
    :param black_share: of all pixels.
    """

    levels: tuple[float, float, float]
    saturated: int
    black: int
    saturated_share: float
    black_share: float


@dataclass(frozen=True)
class Audit:
    """What is in a recording.

    :param frames: of the image topic; ``looked_at`` of them were measured.
    :param rate: frames in each second, median; ``gaps`` = pauses of more than 1.5 periods.
    :param duration: s, of all bags together.
    :param size: width and height, px.
    :param settings_sources: the first counts most.
    :param automatic: 'running', 'off' or 'not known', and why.
    :param settling: frames that were taken while the camera followed a change.
    :param roles: frames of each role, '' = none.
    :param boards: frames with the target, of how many looked at; None = no target was given.
    :param blur: None where no frame has an edge.
    :param abilities: what can be estimated.
    :param messages: of the reader: damage, frames without settings.
    """

    bags: tuple[BagSummary, ...]
    topics: tuple[tuple[str, str, int], ...]
    frames: int
    looked_at: int
    rate: float
    gaps: int
    duration: float
    size: tuple[int, int]
    encoding: str
    bit_depth: int
    lossy: bool
    settings_sources: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    automatic: tuple[str, str]
    settling: int
    roles: dict[str, int]
    boards: tuple[int, int] | None
    exposure: Exposure
    blur: Blur | None
    camera_info: RecordedCameraInfo | None
    camera_info_verdict: str
    abilities: tuple[Ability, ...]
    messages: tuple[str, ...]

    @property
    def estimable(self) -> bool:
        """Whether any parameter can be estimated that the messages do not already say."""
        return any(item.verdict != NO and item.group != 'sizes' for item in self.abilities)

    def text(self) -> str:
        """Return it as a table for people."""
        from diffphyscam_ros.calibration.audit_text import audit_text

        return audit_text(self)

    def json(self) -> dict[str, Any]:
        """Return it as objects that JSON can hold; what is not finite becomes a word."""
        found: dict[str, Any] = _plain({**asdict(self), 'estimable': self.estimable})
        return found


def audit(
    recording: Recording,
    board_detector: BoardDetector | None = None,
    max_frames: int = MAX_FRAMES,
    progress: Progress | None = None,
) -> Audit:
    """Look at a recording once, and give its frames their roles.

    :param board_detector: says whether a frame shows the target; None = none is looked for.
    :param progress: shows how many frames it has looked at.
    :raises CalibrationError: for input of which nothing can be used.
    """
    every = max(math.ceil(len(recording) / max_frames), 1)
    frames = scan(recording, board_detector, every, sharpness=True, progress=progress)
    frames = apply_roles(recording, frames)
    moving = unsettled(frames)
    automatic = automatic_of(frames)
    looked = [frame.board for frame in frames if frame.board is not None]
    boards = None if board_detector is None else (sum(looked), len(looked))
    rate, gaps, duration = rate_of(frames, every)
    usable = [frame for frame in frames if frame.index not in moving and not frame.automatic]
    facts = Facts(frames, usable, automatic[0], boards, recording.encoding, recording.lossy)
    return Audit(
        bags=_bags(recording, frames),
        topics=tuple((topic.name, topic.type, topic.count) for topic in recording.topics),
        frames=len(recording),
        looked_at=len(frames),
        rate=rate,
        gaps=gaps,
        duration=duration,
        size=recording.size,
        encoding=recording.encoding,
        bit_depth=recording.bit_depth,
        lossy=recording.lossy,
        settings_sources=recording.settings_sources,
        coverage=coverage_of(frames),
        automatic=automatic,
        settling=len(moving),
        roles=roles_counted(frames),
        boards=boards,
        exposure=_exposure(frames),
        blur=blur_of(frames),
        camera_info=recording.camera_info,
        camera_info_verdict=camera_info_verdict(recording.camera_info, recording),
        abilities=abilities(facts),
        messages=tuple(recording.messages()),
    )


def _bags(recording: Recording, frames: Frames) -> tuple[BagSummary, ...]:
    summaries = []
    for name, path in recording.paths.items():
        own = [frame for frame in frames if frame.bag == name]
        given = bool(recording.given_roles.get(name))
        topic = recording.image_topics[name]
        summaries.append(BagSummary(name, str(path), topic, len(own), roles_counted(own), given))
    return tuple(summaries)


def _exposure(frames: Frames) -> Exposure:
    levels = np.array([frame.picture.level for frame in frames])
    saturated = np.array([frame.picture.saturated for frame in frames])
    black = np.array([frame.picture.black for frame in frames])
    return Exposure(
        levels=(float(levels.min()), float(np.median(levels)), float(levels.max())),
        saturated=int((saturated > CLIPPED).sum()),
        black=int((black > CLIPPED).sum()),
        saturated_share=float(saturated.mean()),
        black_share=float(black.mean()),
    )


def _plain(value: Any) -> Any:
    """Return nested values as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
