# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From parameter values to one immutable configuration of the camera; knows no rclpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
import functools
import hashlib
import math
from pathlib import Path
import re
from typing import Any, cast

from diffphyscam_ros.camera.capture import readout_time
from diffphyscam_ros.camera.lens_models import COEFFICIENTS
from diffphyscam_ros.camera.presets import preset_names
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.stages import STAGES
from diffphyscam_ros.nodes import automatic_changes, calibration_info
from diffphyscam_ros.nodes.calibration_info import CalibrationInfo
from diffphyscam_ros.nodes.conversions import OUTPUT_ENCODINGS
from diffphyscam_ros.nodes.parameter import ParameterError, Value
from diffphyscam_ros.nodes.parameters import checked_changes, GAIN_TOLERANCE, TABLE
from diffphyscam_ros.nodes.pose_math import Matrix, matrix_from_pose
from diffphyscam_ros.nodes.units import (
    gain_from_iso,
    iso_from_gain,
    microseconds_from_seconds,
    nanoseconds_from_seconds,
    seconds_from_microseconds,
)
from diffphyscam_ros.nodes.urls import resolve_url

DEFAULT_PRESET = 'generic_vga'

STAGE_SWITCHES = {
    'distortion': 'enable_distortion',
    'aberration': 'enable_aberration',
    'vignetting': 'enable_vignetting',
    'defocus': 'enable_defocus',
    'glare': 'enable_glare',
    'noise': 'enable_noise',
}
"""The stages of the camera that a parameter switches."""


@dataclass(frozen=True)
class Configuration:
    """Everything that parameters decide, taken as a whole for each frame.

    :param values: every parameter of the table by its name.
    :param sensor: the body and lens, all parameters applied.
    :param calibration: what was loaded with camera_info_url or set_camera_info, for R and P.
    """

    values: Mapping[str, Value]
    sensor: SensorModel
    calibration: CalibrationInfo | None

    @property
    def settings(self) -> CameraSettings:
        """The exposure settings, SI."""
        return self.sensor.settings

    def text(self, name: str) -> str:
        """Return a parameter that is a text."""
        return cast(str, self.values[name])

    def number(self, name: str) -> float:
        """Return a parameter that is a number."""
        return cast(float, self.values[name])

    def flag(self, name: str) -> bool:
        """Return a parameter that is a switch."""
        return cast(bool, self.values[name])

    @property
    def frame_id(self) -> str:
        """The name of the optical frame."""
        return self.text('frame_id') or f'{self.text("camera_name")}_optical_frame'

    @functools.cached_property
    def sensor_in_use(self) -> SensorModel:
        """The sensor, with the mosaic that a bayer encoding asks for where it has none."""
        pattern = OUTPUT_ENCODINGS[self.text('output_encoding')].bayer
        if pattern == 'none':
            return self.sensor
        return replace(self.sensor, bayer_pattern=pattern)

    @functools.cached_property
    def stages(self) -> tuple[str, ...]:
        """The stages that are switched on, in their order."""
        return tuple(
            stage
            for stage in STAGES
            if stage not in STAGE_SWITCHES or self.flag(STAGE_SWITCHES[stage])
        )

    @functools.cached_property
    def exposure_span(self) -> int:
        """From the start of the first row's exposure to the end of the last row's, ns.

        Without ``enable_motion_blur`` a picture is of one moment, and all rows are one.
        """
        span = float(self.settings.exposure_time)
        if self.flag('enable_motion_blur'):
            span += float(readout_time(self.sensor))
        return nanoseconds_from_seconds(span)

    @functools.cached_property
    def frame_period(self) -> int:
        """From one frame to the next, ns: no row is exposed or read out for two at once."""
        exposure = float(self.settings.exposure_time)
        readout = float(readout_time(self.sensor))
        return nanoseconds_from_seconds(max(1.0 / self.number('frame_rate'), exposure, readout))

    @functools.cached_property
    def default_pose(self) -> Matrix | None:
        """world_from_camera until a source has spoken, or None to wait for one."""
        if self.flag('wait_for_pose'):
            return None
        numbers = cast('tuple[float, ...]', self.values['default_pose'])
        return matrix_from_pose(numbers[:3], numbers[3:])  # type: ignore[arg-type]

    @functools.cached_property
    def calibration_id(self) -> str:
        """The name of the sensor model and a checksum of all that it says."""
        plain = replace(self.sensor, settings=CameraSettings(), white_balance=(1.0, 1.0, 1.0))
        return f'{plain.name}-{hashlib.sha256(repr(plain).encode()).hexdigest()[:8]}'

    @functools.cached_property
    def published_calibration(self) -> CalibrationInfo:
        """What camera_info says: the K and D of the very pixels.

        R and P are those that were loaded with this K, else the identity and [K | 0].
        """
        view = self.sensor.intrinsics(self.settings)
        fx, fy, cx, cy = float(view.fx), float(view.fy), float(view.cx), float(view.cy)
        model = self.sensor.distortion_model
        given = [float(v) for v in self.sensor.distortion_coefficients]
        plain = calibration_info.from_numbers(
            view.width,
            view.height,
            [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
            model,
            given if self.flag('enable_distortion') else [],
        )
        loaded = self.calibration
        if loaded is None or (loaded.width, loaded.height) != (view.width, view.height):
            return plain
        same = all(
            math.isclose(a, b, rel_tol=1e-6) for a, b in zip(loaded.k, plain.k, strict=True)
        )
        return replace(
            plain,
            # The numbers as they were loaded, spared the way through f/C and back.
            k=loaded.k if same else plain.k,
            rectification=loaded.rectification if same else plain.rectification,
            projection=loaded.projection if same else plain.projection,
        )


def resolve(
    current: Configuration | None,
    changes: Mapping[str, Any],
    calibration: CalibrationInfo | None = None,
) -> Configuration:
    """Return the configuration after a set of changes, or refuse the whole set.

    Precedence: table < calibration_file < camera_info_url < the changes themselves. A file that
    is named in the changes is loaded and replaces what it says, whatever was set before.

    :param current: None at the start, where the changes are the overrides of the launch.
    :param calibration: what the changes were made from, where they come from set_camera_info.
    :param changes: parameter names (aliases too) and values; unknown names are ignored.
    :raises ParameterError: for a value that is not allowed, values that contradict each other, or
        files that cannot be used.
    """
    checked = _with_iso(checked_changes(changes))
    values = dict(current.values) if current else _table_defaults()
    values |= {name: value for name, value in checked.items() if not _from_model(name)}
    _check_words(values)
    automatic_changes.check(current.values if current else None, values, checked, changes)
    if current is None or 'calibration_file' in checked:
        sensor, reloaded = _load_sensor(str(values['calibration_file'])), True
    else:
        sensor, reloaded = current.sensor, False
        calibration = calibration or current.calibration
    url = str(values['camera_info_url'])
    if url and (reloaded or 'camera_info_url' in checked):
        calibration = _load(url, 'camera_info_url', calibration_info.load)
        sensor = _with_calibration(sensor, calibration, checked)
    sensor = _with_changes(sensor, checked)
    _check_mosaic(str(values['output_encoding']), sensor.bayer_pattern)
    values |= _values_of(sensor)
    values |= automatic_changes.temperature(values, checked, sensor.white_balance)
    return Configuration(values, sensor, calibration)


def calibration_changes(current: Configuration, calibration: CalibrationInfo) -> dict[str, Value]:
    """Return the parameter changes that give the camera this K and D.

    :raises ParameterError: for a calibration of another image size.
    """
    size = (current.sensor.image_width, current.sensor.image_height)
    if (calibration.width, calibration.height) != size:
        raise ParameterError(
            f'the calibration is for {calibration.width}x{calibration.height} px: must be for '
            f'the current image size, {size[0]}x{size[1]} px. Set image_width and image_height '
            'first, or name the file in camera_info_url'
        )
    return {
        TABLE_NAMES[field]: value
        for field, value in _calibration_fields(
            calibration, float(current.settings.focal_length), float(current.sensor.pixel_size)
        ).items()
    }


def _from_model(name: str) -> bool:
    row = TABLE[name]
    return bool(row.sensor_field or row.setting)


TABLE_NAMES = {row.sensor_field: row.name for row in TABLE.values() if row.sensor_field}
"""The parameter of each field of the sensor model."""


def _table_defaults() -> dict[str, Value]:
    return {row.name: row.default for row in TABLE.values() if row.default is not None}


def _with_iso(checked: dict[str, Value]) -> dict[str, Value]:
    """Return the changes with both iso and gain where one of them is given."""
    iso, gain = checked.get('iso'), checked.get('gain')
    if iso is not None and gain is not None:
        expected = gain_from_iso(cast(float, iso))
        if abs(expected - cast(float, gain)) > GAIN_TOLERANCE:
            raise ParameterError(
                f'iso = {iso} and gain = {gain} dB contradict each other: iso {iso} is '
                f'{expected:.4g} dB. Set one of them'
            )
    elif iso is not None:
        checked['gain'] = gain_from_iso(cast(float, iso))
    elif gain is not None:
        checked['iso'] = iso_from_gain(cast(float, gain))
    return checked


def _check_words(values: Mapping[str, Value]) -> None:
    """Refuse what no range in the table can express."""
    device = str(values['device'])
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', device):
        raise TABLE['device'].error(device, 'It must be auto, cpu, cuda or cuda:N')
    pose = cast('tuple[float, ...]', values['default_pose'])
    try:
        matrix_from_pose(pose[:3], pose[3:])  # type: ignore[arg-type]
    except ValueError as error:
        raise ParameterError(f'default_pose = {list(pose)}: {error}') from None
    if not str(values['world_frame']):
        raise ParameterError("world_frame = '': must name a frame")


def _check_mosaic(encoding: str, pattern: str) -> None:
    """Refuse a raw encoding of another mosaic than the sensor has."""
    wanted = OUTPUT_ENCODINGS[encoding].bayer
    if wanted != 'none' and pattern not in ('none', wanted):
        fitting = encoding.replace(wanted, pattern)
        raise ParameterError(
            f'output_encoding = {encoding!r} and bayer_pattern = {pattern!r} contradict each '
            f'other: set output_encoding to {fitting}, or bayer_pattern to {wanted} or none in '
            'the same call'
        )


def _load(url: str, name: str, loader: Callable[[Path], Any]) -> Any:
    try:
        return loader(resolve_url(url))
    except (ValueError, OSError) as error:
        raise ParameterError(f'{name} = {url!r}: {error}') from None


def _load_sensor(name: str) -> SensorModel:
    name = name or DEFAULT_PRESET
    if name in preset_names():
        return SensorModel.preset(name)
    if not re.search(r'[/.]', name):
        raise ParameterError(
            f'calibration_file = {name!r}: must be a file, a file:// or package:// URL, or one '
            f'of the presets {", ".join(preset_names())}'
        )
    return cast(SensorModel, _load(name, 'calibration_file', SensorModel.load))


def _calibration_fields(
    calibration: CalibrationInfo, focal_length: float, pixel_size: float
) -> dict[str, Any]:
    fx, fy, cx, cy = calibration.k
    scale = focal_length / pixel_size
    return {
        'focal_scale': (fx / scale, fy / scale),
        'principal_point': (cx, cy),
        'distortion_model': calibration.distortion_model,
        'distortion_coefficients': calibration.distortion,
    }


def _with_calibration(
    sensor: SensorModel, calibration: CalibrationInfo, checked: Mapping[str, Value]
) -> SensorModel:
    """Return the sensor with the K and D of a calibration, at the calibration's image size.

    K holds for the focal length and pixel size that are in effect, those of the same call first.
    """
    sensor = _resized(sensor, calibration.width, calibration.height)
    pixel = float(sensor.pixel_size)
    if 'pixel_size' in checked:  # stated for the final size
        final = cast(int, checked.get('image_width', calibration.width))
        pixel = cast(float, checked['pixel_size']) * final / calibration.width
    focal = float(cast(float, checked.get('focal_length', sensor.settings.focal_length)))
    return _replaced(sensor, _calibration_fields(calibration, focal, pixel))


def _with_changes(sensor: SensorModel, checked: Mapping[str, Value]) -> SensorModel:
    width = cast(int, checked.get('image_width', sensor.image_width))
    height = cast(int, checked.get('image_height', sensor.image_height))
    sensor = _resized(sensor, width, height)
    fields: dict[str, Any] = {}
    settings: dict[str, float] = {}
    for name, value in checked.items():
        row = TABLE[name]
        if row.sensor_field:
            unlimited = row.infinite and value == math.inf
            fields[row.sensor_field] = None if unlimited else value
        elif name == 'exposure_time':
            settings['exposure_time'] = seconds_from_microseconds(cast(float, value))
        elif row.setting and name != 'gain':
            settings[row.setting] = cast(float, value)
    fields |= _matching_distortion(sensor, fields)
    if settings:
        try:
            fields['settings'] = replace(sensor.settings, **settings)
        except ValueError as error:
            raise ParameterError(str(error)) from None
    return _replaced(sensor, fields) if fields else sensor


def _matching_distortion(sensor: SensorModel, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return zeros in the number of a new distortion model, where there is no distortion."""
    model = fields.get('distortion_model', sensor.distortion_model)
    given = fields.get('distortion_coefficients', sensor.distortion_coefficients)
    if not any(given):
        return {'distortion_coefficients': (0.0,) * len(COEFFICIENTS[model])}
    if len(given) != len(COEFFICIENTS[model]):
        raise ParameterError(
            f'distortion_coeffs = {list(given)}: distortion_model {model} has '
            f'{len(COEFFICIENTS[model])} ({", ".join(COEFFICIENTS[model])}). Set both in one '
            'call, or first the coefficients to zero'
        )
    return {}


def _resized(sensor: SensorModel, width: int, height: int) -> SensorModel:
    if (width, height) == (sensor.image_width, sensor.image_height):
        return sensor
    return sensor.resized(width, height)


def _replaced(sensor: SensorModel, fields: Mapping[str, Any]) -> SensorModel:
    try:
        return replace(sensor, **fields)
    except ValueError as error:
        raise ParameterError(str(error)) from None


def _values_of(sensor: SensorModel) -> dict[str, Value]:
    """Return the parameters that describe a sensor and its settings."""
    values: dict[str, Value] = {}
    for field, name in TABLE_NAMES.items():
        value = getattr(sensor, field)
        if field == 'principal_point' and value is None:
            value = ((sensor.image_width - 1) / 2.0, (sensor.image_height - 1) / 2.0)
        elif value is None:
            value = math.inf
        if TABLE[name].kind == 'double_array':
            value = tuple(float(number) for number in value)
        if field == 'distortion_coefficients' and not value:
            value = (0.0,) * len(COEFFICIENTS[sensor.distortion_model])
        values[name] = value
    for row in TABLE.values():
        if row.setting and row.name not in ('gain', 'exposure_time'):
            values[row.name] = float(getattr(sensor.settings, row.setting))
    # Rounded far below what matters, so that 10 ms is 10000 µs and not 10000.000000000002.
    seconds = float(sensor.settings.exposure_time)
    values['exposure_time'] = round(microseconds_from_seconds(seconds), 6)
    values['gain'] = round(gain_from_iso(float(sensor.settings.iso)), 9)
    return values
