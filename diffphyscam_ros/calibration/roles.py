# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What each frame was filmed for, as its bag was told or recognised from the pictures.

A recording falls into stretches: consecutive frames of a bag that are all *plain* or all show the
same view. Plain is a picture whose small copy (160 px) keeps to a smooth surface within 0.004 of
full scale plus 4 % of its level, or of which more than 70 % is black or saturated; the same view
is one that correlates by at least 0.9 with the first of the stretch that has its exposure, or with
the last of another, levels in logarithms (0.6 if aperture or focus were changed in between). Then

- ``dark``: plain, not brighter than 0.12 and with a spread of at most 0.02; beside flat frames
  only if it ought to be three times brighter by its exposure, or is as dark as those. Of a stretch
  that is mostly dark so is what dark current has brightened beyond 0.12, if flat frames anywhere
  are three times as bright without being exposed longer;
- ``flat``: plain otherwise;
- ``focus``: one view with at least 3 different pairs of aperture and focus distance;
- ``sweep``: one view with at least 3 exposures (time x ISO) over at least a factor of 2; if the
  settings are not known, 3 levels over a factor of 2 count instead. Pictures that are too dark or
  too bright to show anything belong to it where they lie between others of the view, or continue
  it at shorter or longer exposures;
- ``board``: other frames of a bag in which the target was found in at least 30 % of those that
  were looked at.

The rest has the role ''. Values that differ by less than 2 % count as one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import median
from typing import Any

from diffphyscam_ros.calibration.picture_features import (
    features_of,
    FrameFeatures,
    PictureFeatures,
    same_view,
)
from diffphyscam_ros.calibration.progress import Progress, Silent
from diffphyscam_ros.calibration.recording import Recording
from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame

BoardDetector = Callable[[RecordedFrame], Any]
"""Says whether a frame shows the target, as anything true or false."""

STRUCTURE = (0.004, 0.04)
CLIPPED = 0.7
SAME_VIEW, SAME_VIEW_REFOCUSED = 0.9, 0.6
DARK_LEVEL, DARK_SPREAD = 0.12, 0.02
DIFFERENT = 1.02
VALUES = 3
RATIO = 2.0
BOARD_SHARE = 0.3
LOOKS = 60
"""Frames of each bag in which the target is looked for."""

_EDGE = 3  # frames at an end of a sweep that may show nothing, without known exposures, or
_EDGE_SHARE = 0.5  # of its others


@dataclass
class Stretch:
    """Consecutive frames of one bag that are plain, or show one view."""

    plain: bool
    frames: list[FrameFeatures]

    @property
    def bag(self) -> str:
        """The bag that they are in."""
        return self.frames[0].bag

    @property
    def view(self) -> PictureFeatures:
        """The picture that others are compared with: the first."""
        return self.frames[0].picture


def is_plain(picture: PictureFeatures) -> bool:
    """Return whether a picture shows nothing but noise and smooth shading."""
    if max(picture.saturated, picture.black) > CLIPPED:
        return True
    return picture.structure <= STRUCTURE[0] + STRUCTURE[1] * picture.level


def scan(
    recording: Recording,
    board_detector: BoardDetector | None = None,
    every: int = 1,
    sharpness: bool = False,
    progress: Progress | None = None,
) -> list[FrameFeatures]:
    """Measure the frames in one reading.

    :param board_detector: called for up to ``LOOKS`` frames with structure of each bag.
    :param every: only each n-th frame.
    :param sharpness: measure the blur too.
    :param progress: shows how far it is.
    """
    found: list[FrameFeatures] = []
    step = max(len(recording) // every // (LOOKS * len(recording.bags)), 1)
    since: dict[str, int] = {}
    total = -(-len(recording) // every)
    frames = (progress or Silent()).over(recording.frames(every), 'audit', total)
    for frame in frames:
        picture = features_of(frame, sharpness)
        board: bool | None = None
        if board_detector is not None and not is_plain(picture):
            count = since.get(frame.bag, 0)
            since[frame.bag] = count + 1
            if count % step == 0:
                board = bool(board_detector(frame))
        found.append(
            FrameFeatures(
                index=frame.index,
                stamp=frame.stamp,
                bag=frame.bag,
                settings=frame.settings,
                role=frame.role,
                settling=frame.settling,
                automatic=frame.automatic,
                picture=picture,
                board=board,
            )
        )
    return found


def stretches(frames: Iterable[FrameFeatures]) -> list[Stretch]:
    """Split frames into stretches; plain ones within one view are taken into it."""
    found: list[Stretch] = []
    for frame in frames:
        plain = is_plain(frame.picture)
        last = found[-1] if found else None
        if (
            last is not None
            and last.bag == frame.bag
            and last.plain == plain
            and (plain or _stays(last, frame))
        ):
            last.frames.append(frame)
        else:
            found.append(Stretch(plain, [frame]))
    joined: list[Stretch] = []
    for stretch in found:
        before = joined[-2:]
        if (
            len(before) == 2
            and before[1].plain
            and not before[0].plain
            and not stretch.plain
            and before[0].bag == before[1].bag == stretch.bag
            and same_view(before[0].view, stretch.view) >= SAME_VIEW
        ):
            before[0].frames += [*before[1].frames, *stretch.frames]
            joined.pop()
        else:
            joined.append(stretch)
    return joined


def _stays(stretch: Stretch, frame: FrameFeatures) -> bool:
    """Return whether a frame shows the view of a stretch."""
    other = _reference(stretch, frame)
    refocused = _focus_pair(other) != _focus_pair(frame)
    least = SAME_VIEW_REFOCUSED if refocused else SAME_VIEW
    return same_view(other.picture, frame.picture) >= least


def _reference(stretch: Stretch, frame: FrameFeatures) -> FrameFeatures:
    """Return the frame of a stretch to compare a new one with.

    The first with its exposure, so that a slow motion adds up; at another exposure the last.
    """
    exposure = exposure_of(frame.settings)
    if exposure is None:
        return stretch.frames[0]
    for other in stretch.frames:
        known = exposure_of(other.settings)
        if known is not None and exposure / DIFFERENT < known < exposure * DIFFERENT:
            return other
    return stretch.frames[-1]


def exposure_of(settings: FrameSettings | None) -> float | None:
    """Return exposure time times ISO / 100, s; an unknown ISO counts as fixed."""
    if settings is None or settings.exposure_time is None:
        return None
    return settings.exposure_time * (settings.iso or 100.0) / 100.0


def distinct(values: Iterable[float | None]) -> list[float]:
    """Return the different values in order, those within 2 % of each other once."""
    found: list[float] = []
    for value in sorted(value for value in values if value is not None):
        if not found or (value > found[-1] * DIFFERENT):
            found.append(value)
    return found


def _focus_pair(frame: FrameFeatures) -> tuple[float, float] | None:
    """Return aperture and focus distance, rounded; 0 = not known."""
    known = frame.settings
    if known is None:
        return None
    return (round(known.aperture or 0.0, 2), round(min(known.focus_distance or 0.0, 1e6), 3))


def _role_of(stretch: Stretch) -> str:
    """Return the role of a stretch that shows a view, or ''."""
    frames = stretch.frames
    if len({_focus_pair(frame) for frame in frames} - {None}) >= VALUES:
        return 'focus'
    exposures = distinct(exposure_of(frame.settings) for frame in frames)
    if not exposures:
        exposures = distinct(frame.picture.level for frame in frames)
    if len(exposures) >= VALUES and exposures[-1] >= RATIO * exposures[0]:
        return 'sweep'
    return ''


def _could_be_dark(picture: PictureFeatures) -> bool:
    return picture.level <= DARK_LEVEL and picture.spread <= DARK_SPREAD


class _Brightest:
    """The highest level among plain frames that were exposed no longer than a given one."""

    def __init__(self, plain: Sequence[FrameFeatures]) -> None:
        exposed = ((exposure_of(frame.settings), frame.picture.level) for frame in plain)
        known = sorted((exposure, level) for exposure, level in exposed if exposure is not None)
        self._exposures = [exposure for exposure, _ in known]
        self._levels = list(accumulate((level for _, level in known), max))

    def within(self, exposure: float) -> float:
        """Return it, 0 where there is none."""
        number = bisect_right(self._exposures, exposure)
        return self._levels[number - 1] if number else 0.0

    def caps(self, frame: FrameFeatures) -> bool:
        """Return whether frames that were exposed no longer are far brighter than an even one."""
        exposure = exposure_of(frame.settings)
        if exposure is None or frame.picture.spread > DARK_SPREAD:
            return False
        return self.within(exposure) > 3 * frame.picture.level + 0.05


def _plain_roles(stretch: Stretch, brightest: _Brightest) -> list[str]:
    """Tell dark frames from flat ones in a plain stretch, frame by frame.

    Where there are both, a frame is dark that ought to be far brighter by its exposure and the
    flat frames, and so are frames of the same level.

    :param brightest: among all plain frames of the recording.
    """
    frames = stretch.frames
    roles = ['dark' if _could_be_dark(frame.picture) else 'flat' for frame in frames]
    if 2 * roles.count('dark') > len(roles):
        pairs = list(zip(frames, roles, strict=True))
        roles = ['dark' if role == 'dark' or brightest.caps(f) else 'flat' for f, role in pairs]
    if len(set(roles)) == 1:
        return roles
    exposures = [exposure_of(frame.settings) for frame in frames]
    rates = [
        frame.picture.level / exposure
        for frame, exposure, role in zip(frames, exposures, roles, strict=True)
        if role == 'flat' and exposure and frame.picture.level < 0.9
    ]
    levels = []
    if rates:
        rate = median(rates)
        levels = [
            frame.picture.level
            for frame, exposure, role in zip(frames, exposures, roles, strict=True)
            if role == 'dark' and exposure and rate * exposure > 3 * frame.picture.level + 0.05
        ]
    low, high = (min(levels) - 0.01, max(levels) + 0.01) if levels else (1.0, 0.0)
    return [
        'dark' if role == 'dark' and low <= frame.picture.level <= high else 'flat'
        for frame, role in zip(frames, roles, strict=True)
    ]


def _continues(stretch: Stretch, sweep: Stretch) -> bool:
    """Return whether a stretch that shows nothing is the dark or bright end of a sweep."""
    clipped = all(frame.picture.saturated > 0.5 for frame in stretch.frames)
    darkest = min(frame.picture.level for frame in sweep.frames)
    dim = all(frame.picture.level <= darkest for frame in stretch.frames)
    if not (clipped or dim) or stretch.bag != sweep.bag:
        return False
    own = distinct(exposure_of(frame.settings) for frame in stretch.frames)
    other = distinct(exposure_of(frame.settings) for frame in sweep.frames)
    if not own or not other:
        dark = all(_could_be_dark(frame.picture) for frame in stretch.frames)
        most = max(_EDGE, _EDGE_SHARE * len(sweep.frames))
        return (clipped or dark) and len(stretch.frames) <= most
    return own[0] > other[-1] if clipped else own[-1] < other[0]


def roles_of(frames: Sequence[FrameFeatures]) -> dict[int, str]:
    """Return the recognised role of each frame by its index; '' where none is."""
    found = stretches(frames)
    boards = _bags_with_board(frames)
    plain = [frame for stretch in found if stretch.plain for frame in stretch.frames]
    brightest = _Brightest(plain)
    views = ['' if stretch.plain else _role_of(stretch) for stretch in found]
    result: dict[int, str] = {}
    for i, stretch in enumerate(found):
        beside = [j for j in (i - 1, i + 1) if 0 <= j < len(found) and views[j]]
        role = views[i]
        if not role:
            ends = [views[j] for j in beside if _continues(stretch, found[j])]
            role = ends[0] if ends else ''
        if not role and stretch.plain:
            roles = _plain_roles(stretch, brightest)
        else:
            roles = [role or ('board' if stretch.bag in boards else '')] * len(stretch.frames)
        result.update(
            (frame.index, name) for frame, name in zip(stretch.frames, roles, strict=True)
        )
    return result


def _bags_with_board(frames: Sequence[FrameFeatures]) -> set[str]:
    looked: dict[str, list[bool]] = {}
    for frame in frames:
        if frame.board is not None:
            looked.setdefault(frame.bag, []).append(frame.board)
    return {bag for bag, seen in looked.items() if sum(seen) >= BOARD_SHARE * len(seen)}


def apply_roles(recording: Recording, frames: Sequence[FrameFeatures]) -> list[FrameFeatures]:
    """Give the recording the recognised roles, and return the features with all roles.

    Frames between those that were measured get the role of the one before, if the next has the
    same. The roles that bags were given stay.
    """
    roles = roles_of(frames)
    recording.frame_roles.clear()
    for one, two in zip(frames, [*frames[1:], None], strict=True):
        end = one.index + 1
        if two is not None and roles[two.index] == roles[one.index]:
            end = two.index
        recording.frame_roles.update(dict.fromkeys(range(one.index, end), roles[one.index]))
    given = recording.given_roles
    return [replace(frame, role=given.get(frame.bag) or roles[frame.index]) for frame in frames]


def recognise_roles(
    recording: Recording, board_detector: BoardDetector | None = None, every: int = 1
) -> list[FrameFeatures]:
    """Look at all frames once, and give the recording's frames their roles from then on."""
    return apply_roles(recording, scan(recording, board_detector, every))
