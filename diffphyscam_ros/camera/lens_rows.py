# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which rows of a rendered view the lens needs for some rows of the sensor."""

from __future__ import annotations

from functools import lru_cache
import math

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.arrays import is_zero
from diffphyscam_ros.camera.distortion import distortion_map
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.physical_camera import PhysicalCamera
from diffphyscam_ros.camera.plain import plain_copies
from diffphyscam_ros.camera.settings import CameraSettings

Rows = npt.NDArray[np.float64]

BORDER = 8
"""Rows beyond what the optics reach: filters of small pictures, sampling between pixels."""


def source_rows(
    camera: PhysicalCamera, source: Intrinsics, settings: CameraSettings, rows: range
) -> range:
    """Return the rows of the source view that the irradiance of some rows depends on.

    All of them where glare reaches everywhere, or settings are a batch.

    :param source: the view that is rendered, ``camera.source_intrinsics(settings)``.
    :param rows: of the sensor, not empty.
    """
    sensor, on = camera.sensor, camera.stages
    everything = range(source.height)
    target = sensor.intrinsics(settings)
    views = [plain_copies(source), plain_copies(target)]
    if any(len(view) > 1 for view in views) or len(plain_copies(sensor)) > 1:
        return everything
    if 'glare' in on and not is_zero(sensor.glare_fraction):
        return everything
    margin = float(BORDER)
    if 'defocus' in on and not is_zero(sensor.defocus_gain):
        margin += float(sensor.max_coc)
    if 'aberration' in on:
        margin += _aberration(camera, views[1][0])
    first = max(math.floor(rows.start - margin), 0)
    last = min(math.ceil(rows.stop + margin), target.height)
    if 'distortion' not in on:
        return range(first, min(last, source.height))
    coefficients = tuple(
        torch.as_tensor(sensor.distortion_coefficients, dtype=torch.float64).detach().tolist()
    )
    low, high = _row_range(views[0][0], views[1][0], sensor.distortion_model, coefficients)
    if np.isnan(low[first:last]).all():
        return everything
    top = math.floor(np.nanmin(low[first:last])) - BORDER
    bottom = math.ceil(np.nanmax(high[first:last])) + 1 + BORDER
    return range(min(max(top, 0), source.height - 1), max(min(bottom, source.height), 1))


def _aberration(camera: PhysicalCamera, target: Intrinsics) -> float:
    """Return the largest shift of a colour, px."""
    sensor = camera.sensor
    x = max(float(target.cx), target.width - 1 - float(target.cx)) / float(target.fx)
    y = max(float(target.cy), target.height - 1 - float(target.cy)) / float(target.fy)
    scale = torch.as_tensor(sensor.chromatic_scale, dtype=torch.float64).detach()
    curve = torch.as_tensor(sensor.chromatic_curve, dtype=torch.float64).detach()
    grown = (scale - 1).abs() + curve.abs() * (x * x + y * y)
    # Twice: the way back from a picture to its source is a little longer.
    return 2.0 * float(grown.max()) * y * float(target.fy)


@lru_cache(maxsize=4)
def _row_range(
    source: Intrinsics, target: Intrinsics, model: str, coefficients: tuple[float, ...]
) -> tuple[Rows, Rows]:
    """Return the lowest and the highest source row of each row; NaN where there is none."""
    if not coefficients:
        shift = float(source.cy) - float(target.cy)
        rows = np.arange(target.height, dtype=np.float64) + shift
        return rows, rows
    pixels = distortion_map(source, target, model, coefficients)[..., 1].double().numpy()
    some = ~np.isnan(pixels)
    low = np.where(some, pixels, np.inf).min(axis=1)
    high = np.where(some, pixels, -np.inf).max(axis=1)
    nothing = ~some.any(axis=1)
    low[nothing], high[nothing] = np.nan, np.nan
    return low, high
