# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What camera drivers call their settings on ``/parameter_events``, and in which units.

As the sources of the drivers have it; docs/calibration.md says which files, and of what date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import math
from typing import Any

from diffphyscam_ros.calibration.types import FrameSettings


def iso_of_gain(gain_db: float) -> float:
    """Return the ISO value of a gain in dB; 0 dB is 100."""
    return 100.0 * 10.0 ** (gain_db / 20.0)


def _iso_of_factor(factor: float) -> float:
    return 100.0 * factor


def _microseconds(value: float) -> float:
    return value * 1e-6


def _hundred_microseconds(value: float) -> float:
    return value * 1e-4


def _same(value: float) -> float:
    return value


def _of_dioptres(value: float) -> float:
    return math.inf if value <= 0 else 1.0 / value


Convert = Callable[[float], float]
_AUTO_WORDS = ('continuous', 'once', 'auto', 'on', 'true')


@dataclass(frozen=True)
class Driver:
    """The parameters of one driver.

    :param marks: names that only this driver has; one of them tells which driver a node is.
    :param fields: name of a parameter: field of ``FrameSettings`` and conversion to SI.
    :param automatic: parameters that say whether exposure or gain run by themselves, and the
        values (numbers or words) that mean yes; () = true, or a word other than off or manual.
    :param overruled: automatics that do not count where one of the named parameters is known.
    :param unknown: parameters that change exposure or gain, but do not say to what; and why not.
    """

    name: str
    marks: tuple[str, ...]
    fields: Mapping[str, tuple[str, Convert]]
    automatic: Mapping[str, tuple[Any, ...]]
    overruled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


_EXPOSURE = 'exposure_time'
_NO_UNIT = 'has no known unit'
_NOT_APPLIED = 'is read by the driver only when it starts, so that a later change says nothing'
DRIVERS: tuple[Driver, ...] = (
    Driver(
        'camera_node',
        ('iso', 'aperture', 'focus_distance', 'calibration_file', 'noise_seed'),
        {
            'exposure_time': (_EXPOSURE, _microseconds),
            'gain': ('iso', iso_of_gain),
            'iso': ('iso', _same),
            'aperture': ('aperture', _same),
            'focus_distance': ('focus_distance', _same),
            'focal_length': ('focal_length', _same),
        },
        {'exposure_auto': ()},
    ),
    Driver(
        'v4l2_camera',
        ('exposure_time_absolute', 'exposure_absolute', 'white_balance_automatic'),
        {
            'exposure_time_absolute': (_EXPOSURE, _hundred_microseconds),
            'exposure_absolute': (_EXPOSURE, _hundred_microseconds),
        },
        # menu of V4L2: 0 automatic, 1 manual, 2 shutter priority, 3 aperture priority
        {'auto_exposure': (0, 2, 3), 'exposure_auto': (0, 2, 3), 'gain_automatic': ()},
        # as the sensor's driver counts: steps of a UVC camera, registers and lines of a CSI camera
        unknown=dict.fromkeys(('gain', 'analogue_gain', 'digital_gain', 'exposure'), _NO_UNIT),
    ),
    Driver(
        'camera_ros',
        ('ExposureTime', 'AnalogueGain', 'AeEnable', 'LensPosition', 'ExposureTimeMode'),
        {
            'ExposureTime': (_EXPOSURE, _microseconds),
            'AnalogueGain': ('iso', _iso_of_factor),
            'LensPosition': ('focus_distance', _of_dioptres),
        },
        # the modes of libcamera (from 0.5): 0 automatic, 1 manual; they count more than AeEnable
        {'AeEnable': (), 'ExposureTimeMode': (0,), 'AnalogueGainMode': (0,)},
        overruled={'AeEnable': ('ExposureTimeMode', 'AnalogueGainMode')},
    ),
    Driver(
        'realsense',
        (
            'rgb_camera.exposure',
            'rgb_camera.gain',
            'rgb_camera.enable_auto_exposure',
            'depth_module.exposure',
            'depth_module.gain',
            'depth_module.enable_auto_exposure',
        ),
        # the colour camera counts in 100 us, the stereo pair in us
        {'rgb_camera.exposure': (_EXPOSURE, _hundred_microseconds)},
        {'rgb_camera.enable_auto_exposure': ()},
        unknown={'rgb_camera.gain': _NO_UNIT},
    ),
    Driver(
        'realsense stereo',
        (),
        {
            'depth_module.exposure': (_EXPOSURE, _microseconds),
            # 16 is a factor of 1
            'depth_module.gain': ('iso', lambda value: 100.0 * value / 16.0),
        },
        {'depth_module.enable_auto_exposure': ()},
    ),
    Driver(
        'usb_cam',
        # not video_device, which v4l2_camera has too
        ('autoexposure', 'auto_white_balance', 'io_method', 'av_device_format'),
        {'exposure': (_EXPOSURE, _hundred_microseconds)},
        {'autoexposure': ()},
        unknown={'gain': _NO_UNIT},
    ),
    Driver(
        'pylon',
        ('device_user_id', 'startup_user_set', 'grab_strategy', 'enable_current_params_publisher'),
        # Services change the settings, and parameters have values that were never given to the
        # camera; exposure_auto and gain_auto only say how a brightness is reached.
        {},
        {},
        unknown=dict.fromkeys(('exposure', 'gain'), _NOT_APPLIED),
    ),
    # Last: without a mark of its own, and in the units of camera_node.
    Driver(
        'spinnaker',
        ('parameter_file', 'serial_number', 'balance_white_auto'),
        {'exposure_time': (_EXPOSURE, _microseconds), 'gain': ('iso', iso_of_gain)},
        {'exposure_auto': (), 'gain_auto': ()},
    ),
)
_BY_NAME = {driver.name: driver for driver in DRIVERS}
DRIVER_NAMES = tuple(_BY_NAME)


def driver_named(name: str) -> Driver | None:
    """Return a driver of ``DRIVER_NAMES``, or None."""
    return _BY_NAME.get(name)


def recognise(names: set[str], topic: str = '') -> Driver | None:
    """Return the driver that has such parameters, or None if that is not clear.

    ``exposure_time`` and ``gain`` alone are µs and dB with every driver that has both.

    :param names: of all parameters that the node has shown.
    :param topic: of the pictures; tells the colour camera of a realsense from its stereo pair.
    """
    found = [driver for driver in DRIVERS if names & set(driver.marks)]
    if len(found) > 1 and _BY_NAME['spinnaker'] in found:
        found.remove(_BY_NAME['spinnaker'])
    if not found and _EXPOSURE in names:
        return _BY_NAME['spinnaker']
    if len(found) != 1:
        return None
    if found[0].name == 'realsense' and '/color/' not in topic and '/infra' in topic:
        return _BY_NAME['realsense stereo']
    return found[0]


def is_automatic(value: Any, meaning: tuple[Any, ...]) -> bool:
    """Return whether the value of a parameter says that the driver decides by itself."""
    if meaning:
        return value in meaning
    if isinstance(value, str):
        return value.lower() in _AUTO_WORDS
    return bool(value)


def settings_of(driver: Driver, values: Mapping[str, Any]) -> tuple[FrameSettings, bool]:
    """Return the settings that parameters say, and whether the exposure is automatic.

    While it is, the parameters do not follow it, so exposure time and ISO are None.

    :param values: in the order of their last change; of two for one thing the later counts.
    """
    automatic = any(
        is_automatic(values[name], meaning)
        for name, meaning in driver.automatic.items()
        if name in values and not values.keys() & {*driver.overruled.get(name, ())}
    )
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in driver.fields:
            continue
        field, convert = driver.fields[name]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = convert(float(value))
            if number > 0 and not (automatic and field in (_EXPOSURE, 'iso')):
                found[field] = number
    return FrameSettings(**found, source='parameter_events'), automatic
