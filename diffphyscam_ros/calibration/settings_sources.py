# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What each frame was taken with: the sources of it, and how a frame finds its settings.

In this order, and what one leaves open the next fills: our ``metadata`` topic, the driver's
``/parameter_events``, the ``meta`` topic of FLIR cameras, the ``metadata`` topic of realsense
cameras, the ``current_params`` topic of pylon cameras, a CSV file, constants.

Sources for single frames are matched by the stamp of the header, the nearest within a tolerance.
A parameter event holds from its stamp until the next, ``current_params``, which has no header,
from its time of recording.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
import json
import math
from pathlib import Path
from typing import Any

from diffphyscam_ros.calibration.driver_parameters import (
    Driver,
    iso_of_gain,
    settings_of,
)
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.types import FrameSettings

SOURCES = ('metadata', 'parameter_events', 'flir', 'realsense', 'pylon', 'csv', 'constant')
"""Their names, in the order in which they are asked."""

TOLERANCE = 0.001
"""s; drivers give picture and metadata the same stamp, a CSV may be rounded to milliseconds."""

CSV_COLUMNS = ('stamp', 'exposure_us', 'gain_db', 'aperture', 'focus_distance_m')


@dataclass(frozen=True)
class Moment:
    """Settings at a time.

    :param stamp: ns, of the header or the event.
    :param received: ns, time of recording; 0 = not known.
    :param automatic: whether exposure or gain ran by themselves; None = not known.
    """

    stamp: int
    received: int
    settings: FrameSettings
    automatic: bool | None = None


class FrameTable:
    """Settings that belong to single frames.

    :param moments: in any order.
    :param tolerance: s.
    """

    def __init__(self, name: str, moments: Iterable[Moment], tolerance: float = TOLERANCE) -> None:
        """See the class."""
        self.name = name
        self._moments = sorted(moments, key=lambda moment: moment.stamp)
        self._stamps = [moment.stamp for moment in self._moments]
        self._tolerance = round(tolerance * 1e9)

    def __len__(self) -> int:
        """Return the number of frames it knows."""
        return len(self._moments)

    def at(self, stamp: int, received: int) -> Moment | None:
        """Return the nearest moment within the tolerance, or None."""
        place = bisect_left(self._stamps, stamp)
        near = self._moments[max(place - 1, 0) : place + 1]
        best = min(near, key=lambda moment: abs(moment.stamp - stamp), default=None)
        if best is None or abs(best.stamp - stamp) > self._tolerance:
            return None
        return best


class Timeline:
    """Settings that hold until the next change.

    :param by_stamp: compare stamps; otherwise the times of recording, for cameras whose clock is
        not that of the computer.
    """

    def __init__(self, name: str, moments: Iterable[Moment], by_stamp: bool = True) -> None:
        """See the class."""
        self.name = name
        self._by_stamp = by_stamp
        self._moments = sorted(moments, key=self._time)
        self._times = [self._time(moment) for moment in self._moments]

    def _time(self, moment: Moment) -> int:
        return moment.stamp if self._by_stamp else moment.received

    def __len__(self) -> int:
        """Return the number of changes it knows."""
        return len(self._moments)

    def at(self, stamp: int, received: int) -> Moment | None:
        """Return the last change up to that time, or None before the first."""
        place = bisect_right(self._times, stamp if self._by_stamp else received)
        return self._moments[place - 1] if place else None


def stamp_ns(time: Any) -> int:
    """Return the ns of a builtin_interfaces/Time or a ROS 1 time."""
    return int(time.sec) * 10**9 + int(time.nanosec)


def _number(value: Any, low: float = 0.0) -> float | None:
    """Return a number greater than ``low``, or None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number > low and not math.isnan(number) else None


def _scaled(value: Any, factor: float) -> float | None:
    number = _number(value)
    return None if number is None else number * factor


def from_camera_metadata(message: Any, received: int) -> Moment:
    """Return what our node's CameraMetadata says."""
    balance = tuple(float(value) for value in message.white_balance)
    settings = FrameSettings(
        exposure_time=_scaled(message.exposure_time, 1e-6),
        iso=_number(message.iso),
        aperture=_number(message.aperture),
        focus_distance=_number(message.focus_distance),
        focal_length=_number(message.focal_length),
        white_balance=(balance[0], balance[1], balance[2]) if all(balance) else None,
        source='metadata',
    )
    return Moment(stamp_ns(message.header.stamp), received, settings)


def from_flir(message: Any, received: int) -> Moment:
    """Return what flir_camera_msgs/ImageMetaData says: µs and dB.

    The driver copies both from the chunk data of the picture, and leaves 0 and 0 where the camera
    sends none (``chunk_mode_active``): then nothing is known.
    """
    exposure = _scaled(message.exposure_time, 1e-6)
    known = exposure is not None and math.isfinite(message.gain)
    settings = FrameSettings(
        exposure_time=exposure,
        iso=iso_of_gain(float(message.gain)) if known else None,
        source='flir',
    )
    return Moment(stamp_ns(message.header.stamp), received, settings)


def from_pylon(message: Any, received: int) -> Moment:
    """Return what pylon_ros2_camera_interfaces/CurrentParams says: µs.

    The driver reads it from the camera after each picture. Its gain is a share of the greatest.
    """
    exposure = _scaled(message.exposure, 1e-6) if message.success else None
    return Moment(received, received, FrameSettings(exposure_time=exposure, source='pylon'))


_COLOUR_CONTROLS = ('saturation', 'sharpness', 'gamma', 'hue', 'backlight_compensation')


def from_realsense(message: Any, received: int, stereo: bool) -> Moment:
    """Return what realsense2_camera_msgs/Metadata says.

    The stereo module counts in µs, and a gain of 16 is a factor of 1. The colour module of the
    D400 series gives on the number of its UVC control: 100 µs, right only while it is set by hand;
    its gain has no unit. It is told by the controls that only it has.

    :param stereo: whether the pictures are of the stereo module, the colours of a D405 too.
    :raises CalibrationError: for text that is no JSON object, or of which module cannot be told.
    """
    try:
        about = json.loads(message.json_data)
        get = about.get
    except (ValueError, AttributeError):
        raise CalibrationError(
            'json_data of a realsense metadata message',
            message.json_data[:60],
            allowed='a JSON object',
        ) from None
    automatic = get('auto_exposure')
    if automatic is not None:
        automatic = str(automatic).lower() not in ('0', 'false', 'off')
    exposure, gain = get('actual_exposure'), None
    if stereo:
        exposure, gain = _scaled(exposure, 1e-6), _scaled(get('gain_level'), 100.0 / 16.0)
    elif exposure is not None:
        if not any(name in about for name in _COLOUR_CONTROLS):
            raise CalibrationError(
                'actual_exposure of a realsense metadata message',
                exposure,
                allowed='from a module that can be told, by what else the message has',
                remedy="colours of the stereo module (D405): say --driver 'realsense stereo'; "
                'else give --exposure-csv',
            )
        exposure = None if automatic else _scaled(exposure, 1e-4)
    settings = FrameSettings(exposure_time=exposure, iso=gain, source='realsense')
    return Moment(stamp_ns(message.header.stamp), received, settings, automatic)


def parameter_value(value: Any) -> Any:
    """Return what a rcl_interfaces/ParameterValue holds, None for arrays and nothing."""
    names = {1: 'bool_value', 2: 'integer_value', 3: 'double_value', 4: 'string_value'}
    name = names.get(int(value.type))
    return None if name is None else getattr(value, name)


@dataclass(frozen=True)
class ParameterChange:
    """One event of one node."""

    stamp: int
    received: int
    values: Mapping[str, Any]


def from_parameter_changes(driver: Driver, changes: Sequence[ParameterChange]) -> list[Moment]:
    """Return the settings after each change."""
    values: dict[str, Any] = {}
    moments: list[Moment] = []
    for change in sorted(changes, key=lambda item: item.received):
        for name, value in change.values.items():
            values.pop(name, None)
            values[name] = value
        settings, automatic = settings_of(driver, values)
        says = any(name in values for name in driver.automatic)
        moment = Moment(change.stamp, change.received, settings, automatic if says else None)
        same = moments and (moments[-1].settings, moments[-1].automatic) == (
            moment.settings,
            moment.automatic,
        )
        if not same and (settings.known() or says):
            moments.append(moment)
    return moments


def read_csv(path: Path) -> list[Moment]:
    """Read a table ``stamp,exposure_us,gain_db,aperture,focus_distance_m``.

    Columns but ``stamp`` may be left out, and cells left empty. A stamp with a decimal point is in
    seconds, another in ns; ``inf`` is the distance of infinity.

    :raises CalibrationError: naming file, line and column of what is wrong.
    """
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            rows = list(csv.DictReader(file, skipinitialspace=True, strict=True))
            names = rows[0].keys() if rows else ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CalibrationError(
            'settings file', str(path), allowed=f'a CSV file {",".join(CSV_COLUMNS)}: {error}'
        ) from error
    unknown = [name for name in names if name not in CSV_COLUMNS]
    if unknown or 'stamp' not in names:
        raise CalibrationError(
            f'columns of {path}',
            ', '.join(map(str, names)),
            allowed=f'stamp and any of {", ".join(CSV_COLUMNS[1:])}',
            remedy='the first line names them',
        )
    return [_csv_row(row, f'{path}, line {line}') for line, row in enumerate(rows, 2)]


def _csv_row(row: Mapping[str, str | None], place: str) -> Moment:
    numbers: dict[str, float | None] = {}
    for name in CSV_COLUMNS[1:]:
        text = (row.get(name) or '').strip()
        low = -math.inf if name == 'gain_db' else 0.0
        numbers[name] = _number(text, low) if text else None
        if text and (numbers[name] is None or (name != CSV_COLUMNS[4] and text == 'inf')):
            raise CalibrationError(f'{name} of {place}', text, allowed='a number greater than 0')
    text = (row.get('stamp') or '').strip()
    try:
        seconds = '.' in text or 'e' in text.lower()
        stamp = int(Decimal(text) * (10**9 if seconds else 1))
    except (InvalidOperation, ValueError, OverflowError):
        raise CalibrationError(
            f'stamp of {place}', text, allowed='ns, or seconds with a decimal point'
        ) from None
    gain = numbers['gain_db']
    settings = FrameSettings(
        exposure_time=_scaled(numbers['exposure_us'], 1e-6),
        iso=None if gain is None else iso_of_gain(gain),
        aperture=numbers['aperture'],
        focus_distance=numbers['focus_distance_m'],
        source='csv',
    )
    return Moment(stamp, 0, settings)
