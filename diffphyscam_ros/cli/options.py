# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Options that several commands share: which camera, with which settings."""

from __future__ import annotations

import argparse
from dataclasses import replace
import math
from pathlib import Path

from diffphyscam_ros.camera import CameraSettings, SensorModel, STAGES

SWITCHES = (
    'distortion', 'aberration', 'vignetting', 'defocus', 'glare', 'noise', 'mosaic', 'quantization'
)  # fmt: skip


def finite(text: str) -> float:
    """Parse a number that is finite."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f'{text}: must be a finite number')
    return value


def positive(text: str) -> float:
    """Parse a number > 0; inf is allowed (focus at infinity)."""
    value = float(text)
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f'{text}: must be > 0')
    return value


def add_camera_options(parser: argparse.ArgumentParser, default_camera: str) -> None:
    """Add the camera, its settings, its switches and the noise of the frame."""
    group = parser.add_argument_group('camera')
    group.add_argument(
        '--camera',
        default=default_camera,
        metavar='PRESET|FILE',
        help='a preset of config/cameras, a calibration file, or a JSON of the reference '
        'implementation (default: %(default)s)',
    )
    group.add_argument('--aperture', type=positive, metavar='N', help='f-number')
    group.add_argument('--exposure-time', type=positive, metavar='S', help='seconds')
    group.add_argument('--iso', type=positive, metavar='S', help='100 = 0 dB')
    group.add_argument('--focus-distance', type=positive, metavar='M', help='metres, or inf')
    group.add_argument('--focal-length', type=positive, metavar='M', help='metres')
    group.add_argument('--seed', type=int, default=0, help='of the noise (default: %(default)s)')
    group.add_argument('--frame', type=int, default=0, help='frame number (default: %(default)s)')
    group.add_argument(
        '--without',
        choices=SWITCHES,
        action='append',
        default=[],
        help='leave a stage out (may be repeated)',
    )


def chosen_sensor(options: argparse.Namespace) -> SensorModel:
    """Return the sensor model that --camera names."""
    if Path(options.camera).suffix in ('.yaml', '.yml', '.json'):
        return SensorModel.load(options.camera)
    return SensorModel.preset(options.camera)


def chosen_settings(options: argparse.Namespace, sensor: SensorModel) -> CameraSettings:
    """Return the nominal settings of the camera, changed by those that were given."""
    names = ('aperture', 'exposure_time', 'iso', 'focus_distance', 'focal_length')
    given = {name: getattr(options, name) for name in names}
    return replace(
        sensor.settings, **{name: value for name, value in given.items() if value is not None}
    )


def chosen_stages(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the stages of the camera less those that --without names."""
    return tuple(stage for stage in STAGES if stage not in options.without)
