# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pinhole calibrations as ROS keeps them: CameraInfo messages and their YAML files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CameraInfo
import yaml

from diffphyscam_ros.camera.lens_models import COEFFICIENTS

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

_MODEL_NAMES = {'fisheye': 'equidistant'}  # an older name


@dataclass(frozen=True)
class CalibrationInfo:
    """K, D, R and P of one camera at one image size.

    :param k: (fx, fy, cx, cy) in pixels.
    :param distortion: as many coefficients as the model has.
    :param rectification: R, row by row.
    :param projection: P, row by row.
    """

    width: int
    height: int
    k: tuple[float, float, float, float]
    distortion_model: str
    distortion: tuple[float, ...]
    rectification: tuple[float, ...]
    projection: tuple[float, ...]


def from_numbers(
    width: int,
    height: int,
    k: Sequence[float],
    model: str,
    d: Sequence[float],
    r: Sequence[float] = (),
    p: Sequence[float] = (),
) -> CalibrationInfo:
    """Return a checked calibration.

    Empty, or all zero, R and P become the identity and [K | 0]; no D means no distortion.

    :raises ValueError: naming what is wrong and what is allowed.
    """
    if width < 1 or height < 1:
        raise ValueError(f'image size {width}x{height} px: both must be at least 1')
    for name, values, counts in (('K', k, (9,)), ('R', r, (0, 9)), ('P', p, (0, 12))):
        if len(values) not in counts:
            raise ValueError(f'{name} has {len(values)} numbers: must be {counts[-1]}')
    for name, values in (('K', k), ('D', d), ('R', r), ('P', p)):
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f'{name} = {list(values)}: every number must be finite')
    fx, skew, cx, zero, fy, cy, *last = k
    if not (fx > 0 and fy > 0):
        raise ValueError(f'K: fx = {fx}, fy = {fy} px: both must be > 0')
    if skew != 0 or zero != 0 or list(last) != [0.0, 0.0, 1.0]:
        raise ValueError(f'K = {list(k)}: must be [fx, 0, cx, 0, fy, cy, 0, 0, 1]')
    model, distortion = _checked_distortion(model, tuple(float(value) for value in d))
    plain = (fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return CalibrationInfo(
        width,
        height,
        (float(fx), float(fy), float(cx), float(cy)),
        model,
        distortion,
        tuple(map(float, r)) if any(r) else IDENTITY,
        tuple(map(float, p)) if any(p) else plain,
    )


def _checked_distortion(model: str, d: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    model = _MODEL_NAMES.get(model, model)
    if not any(d):
        model = model or 'plumb_bob'
    if model not in COEFFICIENTS:
        raise ValueError(f'distortion model {model!r}: must be one of {", ".join(COEFFICIENTS)}')
    count = len(COEFFICIENTS[model])
    if not any(d):
        return model, (0.0,) * count
    if model == 'plumb_bob' and len(d) == 4:  # as OpenCV writes it without k3
        d = (*d, 0.0)
    if model != 'equidistant' and len(d) in (8, 12, 14) and not any(d[8:]):
        # OpenCV's longer lists, which some drivers publish under either name: the thin prism
        # and tilt terms must be 0.
        plain = model == 'plumb_bob' and not any(d[5:8])
        model, d = ('plumb_bob', d[:5]) if plain else ('rational_polynomial', d[:8])
        count = len(COEFFICIENTS[model])
    if len(d) != count:
        raise ValueError(
            f'{len(d)} distortion coefficients: {model} has {count} '
            f'({", ".join(COEFFICIENTS[model])})'
        )
    return model, d


def from_message(message: CameraInfo) -> CalibrationInfo:
    """Return the checked calibration of a message.

    :raises ValueError: also for binning and regions of interest, which this camera has not.
    """
    if message.binning_x > 1 or message.binning_y > 1:
        raise ValueError(
            f'binning {message.binning_x}x{message.binning_y}: only full resolution is supported'
        )
    region = message.roi
    sizes = (region.width, region.height), (message.width, message.height)
    if region.x_offset or region.y_offset or (any(sizes[0]) and sizes[0] != sizes[1]):
        raise ValueError('a region of interest is set: only the full image is supported')
    return from_numbers(
        message.width,
        message.height,
        message.k,
        message.distortion_model,
        message.d,
        message.r,
        message.p,
    )


def load(path: Path) -> CalibrationInfo:
    """Read a YAML file as camera_calibration and camera_info_manager write it.

    :raises ValueError: naming the file and what is missing or wrong in it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f'camera info file {path} cannot be read: {error}') from None
    try:
        if not isinstance(content, dict):
            raise ValueError('it must map names to values (image_width, camera_matrix, ...)')
        return from_numbers(
            _pixels(content, 'image_width'),
            _pixels(content, 'image_height'),
            _numbers(content, 'camera_matrix'),
            str(content.get('distortion_model', '')),
            _numbers(content, 'distortion_coefficients'),
            _numbers(content, 'rectification_matrix', ()),
            _numbers(content, 'projection_matrix', ()),
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f'camera info file {path}: {error}') from None


def _entry(content: dict[str, Any], name: str) -> Any:
    if name not in content:
        raise ValueError(f'{name} is missing')
    return content[name]


def _pixels(content: dict[str, Any], name: str) -> int:
    """Return a size in px."""
    value = _entry(content, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'{name} is {value!r}: must be a whole number of pixels')
    return value


def _numbers(
    content: dict[str, Any], name: str, default: Sequence[float] | None = None
) -> Sequence[float]:
    """Return the data of a matrix entry, or the default where the entry is missing."""
    if default is not None and name not in content:
        return default
    entry = _entry(content, name)
    data = entry.get('data') if isinstance(entry, dict) else entry
    if not isinstance(data, list) or not all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in data
    ):
        raise ValueError(f'{name}: must have "data", a list of numbers')
    return [float(value) for value in data]
