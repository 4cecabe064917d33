# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Finds for each frame what it was taken with, from all sources that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
import math
from pathlib import Path
from typing import Any

from diffphyscam_ros.calibration.bags import Bag
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.settings_sources import (
    FrameTable,
    read_csv,
    SOURCES,
    Timeline,
)
from diffphyscam_ros.calibration.side_topics import read_side_topics
from diffphyscam_ros.calibration.types import FrameSettings

SETTLE_FRAMES = 6
"""Drivers queue changes; users of realsense cameras have measured up to 6 frames."""

_CHOICES = ('auto', *SOURCES)


@dataclass(frozen=True)
class Known:
    """What is known of a frame; see ``RecordedFrame``.

    :param matched: a source that is no constant knows the frame, or there is no such source.
    """

    settings: FrameSettings | None
    automatic: bool | None
    settling: bool
    matched: bool


class FrameSettingsFinder:
    """Asks the sources in their order; see ``Recording`` for the parameters.

    :param same_clock: stamps of the pictures and times of recording agree.
    """

    def __init__(
        self,
        bags: Sequence[Bag],
        image_topics: dict[str, str],
        *,
        settings: str,
        csv: Path | None,
        constants: FrameSettings | Mapping[str, Any] | None,
        tolerance: float,
        driver: str,
        driver_node: str,
        same_clock: bool,
        settle_frames: int,
    ) -> None:
        """Read all that lies beside the pictures."""
        if settings not in _CHOICES:
            raise CalibrationError('settings', settings, allowed=f'one of {", ".join(_CHOICES)}')
        if not 0 <= tolerance <= 60:
            raise CalibrationError('tolerance', tolerance, allowed='0 to 60 s')
        wanted = SOURCES if settings == 'auto' else (settings,)
        side = read_side_topics(bags, image_topics, wanted, driver, driver_node)
        self.messages = side.messages
        self.camera_info = side.camera_info
        self.tolerance = tolerance
        self._constants = _constants(constants)
        self._sources: list[FrameTable | Timeline] = []
        for name in wanted:
            if name == 'pylon' and name in side.frames:
                self._sources.append(Timeline(name, side.frames[name], by_stamp=False))
            elif name in side.frames:
                self._sources.append(FrameTable(name, side.frames[name], tolerance))
            elif name == 'parameter_events' and side.events:
                self._sources.append(Timeline(name, side.events, same_clock))
            elif name == 'csv' and csv is not None:
                self._sources.append(FrameTable(name, read_csv(csv), tolerance))
        self.names = tuple(source.name for source in self._sources)
        if self._constants is not None:
            self.names += ('constant',)
        if settings not in ('auto', *self.names):
            raise CalibrationError(
                'settings',
                settings,
                allowed='a source that the bags have',
                remedy='give csv=' if settings == 'csv' else 'record its topic, or give constants',
            )
        self._settle_frames = settle_frames
        self.restart()

    def restart(self) -> None:
        """Begin with the first frame again."""
        self._remaining = 0
        self._before: tuple[str, Any] = ('', None)

    def at(self, stamp: int, received: int, bag: str) -> Known:
        """Return what a frame was taken with; frames must be asked for in order.

        :param stamp: of its header, ns.
        :param received: time of recording, ns.
        """
        settings: FrameSettings | None = None
        automatic: bool | None = None
        stateful: Any = None
        for source in self._sources:
            moment = source.at(stamp, received)
            if moment is None:
                continue
            if settings is None:
                settings = moment.settings
                if isinstance(source, Timeline):
                    stateful = (moment.settings, moment.automatic)
            else:
                settings = settings.filled_from(moment.settings)
            if automatic is None:
                automatic = moment.automatic
        if self._before[0] == bag and stateful is not None and self._before[1] != stateful:
            self._remaining = self._settle_frames
        elif self._before[0] != bag:
            self._remaining = 0
        self._before = (bag, stateful)
        settling = self._remaining > 0
        self._remaining -= settling
        matched = settings is not None or not self._sources
        settings = (settings or FrameSettings()).filled_from(self._constants)
        return Known(settings if settings.known() else None, automatic, settling, matched)


def _constants(given: FrameSettings | Mapping[str, Any] | None) -> FrameSettings | None:
    """Return constants as settings, checked.

    :raises CalibrationError: for an unknown field or a value that is not greater than 0.
    """
    if given is None:
        return None
    allowed = {item.name for item in fields(FrameSettings)} - {'source'}
    if isinstance(given, FrameSettings):
        values = {name: getattr(given, name) for name in given.known()}
    else:
        values = {name: value for name, value in given.items() if value is not None}
    for name, value in values.items():
        if name not in allowed:
            raise CalibrationError(
                'constant', name, allowed=f'one of {", ".join(sorted(allowed))}'
            )
        numbers = value if name == 'white_balance' else (value,)
        try:
            good = all(float(number) > 0 for number in numbers)
            good = good and (name == 'focus_distance' or all(map(math.isfinite, numbers)))
        except (TypeError, ValueError):
            good = False
        if not good or (name == 'white_balance' and len(numbers) != 3):
            raise CalibrationError(f'constant {name}', value, allowed='greater than 0, in SI')
    return replace(FrameSettings(**values), source='constant') if values else None
