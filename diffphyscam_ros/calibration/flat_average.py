# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The mean of flat fields, as light, gathered one frame at a time into blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.planes import Array, channels_of, LightCurve, plane_views
from diffphyscam_ros.calibration.types import RecordedFrame
from diffphyscam_ros.camera.sensor_model import SensorModel

BLOCKS = 40
"""Along the longer side of a picture, at most."""

SATURATED = 1e-3
"""Share of a frame's values at full scale above which it is left out."""

FEWEST_STEPS = 50.0
"""Of the converter, from digital 0 to the darkest tenth of a picture of a curved response."""


@dataclass(frozen=True)
class FlatAverage:
    """Flat fields in blocks, the mean of all channels, each frame over its own mean.

    :param even: (rows, columns) mean of every other frame; ``odd`` of the rest, None where there
        is one frame only.
    :param u: (columns,) px, centres of the blocks; ``v`` (rows,).
    :param noise: standard deviation of a block of the mean of all frames, from differences of
        neighbours within the blocks: fixed patterns and temporal noise.
    """

    even: Array
    odd: Array | None
    mean: Array
    u: Array
    v: Array
    noise: float
    frames: int
    size: tuple[int, int]
    skipped: dict[str, int]
    bags: tuple[str, ...]


def gather_flats(frames: Iterable[RecordedFrame], sensor: SensorModel) -> FlatAverage | str:
    """Go through frames of role 'flat', and 'dark' before or after them, once.

    :return: the average, or why there is none.
    """
    skipped: Counter[str] = Counter()
    sums: list[Array | None] = [None, None]
    weight = [0.0, 0.0]
    bags: dict[str, None] = {}
    first: RecordedFrame | None = None
    curves: list[LightCurve] = []
    darks: list[tuple[float, float]] = []
    times: list[float] = []
    for frame in frames:
        if frame.role == 'dark':
            darks.append((_time(frame), float(frame.linear_unit().mean())))
            continue
        reason = _why_not(frame, first)
        if reason:
            skipped[reason] += 1
            continue
        if first is None:
            first = frame
            curves = [LightCurve(sensor, channel) for channel in channels_of(frame.encoding)]
        values = frame.linear_unit()
        planes = _lights(values, frame.encoding, curves)
        if _full(planes, curves, sensor, frame):
            skipped['saturated (photosites are full)'] += 1
            continue
        if not curves[0].linear and _coarse(values, frame.full_scale):
            skipped['too dark for the steps of their values'] += 1
            continue
        light = np.mean(planes, axis=0)
        bags[frame.bag] = None
        times.append(_time(frame))
        index = int(sum(weight)) % 2
        total = sums[index]
        sums[index] = light if total is None else total + light
        weight[index] += 1.0
    first_sum, second = sums
    if first is None or first_sum is None:
        reasons = ', '.join(f'{count} {why}' for why, count in skipped.items())
        return f'no usable flat frames ({reasons or "none of that role"})'
    # A linear response has its black level still in the light.
    black = 0.0
    if curves[0].linear:
        black = _darkness(darks, times) if darks else curves[0].black
    return _blocks(first_sum, second, weight, black, first, dict(skipped), tuple(bags))


def _time(frame: RecordedFrame) -> float:
    time = frame.settings.exposure_time if frame.settings else None
    return float('nan') if time is None else time


def _darkness(darks: list[tuple[float, float]], times: list[float]) -> float:
    """Return the level of darkness at the mean exposure of the flat frames.

    Dark frames are often exposed much longer, and the dark current is in them.

    :param darks: exposure time, s, and level of each dark frame.
    :param times: of the flat frames; NaN where it is not known.
    """
    both = np.array(darks, np.float64)
    different = len(np.unique(both[:, 0])) > 1
    if not different or not np.isfinite(both).all() or not np.isfinite(times).all():
        return float(both[:, 1].mean())
    slope, start = np.polyfit(both[:, 0], both[:, 1], 1)
    return float(start + slope * np.mean(times))


def _why_not(frame: RecordedFrame, first: RecordedFrame | None) -> str:
    if frame.role != 'flat':
        return f'of role {frame.role!r}' if frame.role else 'of no known role'
    if first is not None and (frame.size, frame.encoding) != (first.size, first.encoding):
        return f'of another size or encoding than {first.size[0]}x{first.size[1]} {first.encoding}'
    if float((frame.image >= frame.full_scale).mean()) > SATURATED:
        return 'saturated'
    return ''


def _lights(values: Array, encoding: str, curves: list[LightCurve]) -> list[Array]:
    """Return the light of each plane, (H, W), or (H/2, W/2) of a mosaic."""
    planes = plane_views(values, encoding)
    return [
        curve.light(plane).astype(np.float64) for curve, plane in zip(curves, planes, strict=True)
    ]


def _coarse(values: Array, full_scale: float) -> bool:
    """Return whether the steps of the values are large in the darker parts of a picture.

    A curved response may leave less noise there than would make rounding average out.
    """
    return float(np.quantile(values[::4, ::4], 0.1)) < FEWEST_STEPS / full_scale


def _full(
    planes: list[Array], curves: list[LightCurve], sensor: SensorModel, frame: RecordedFrame
) -> bool:
    """Return whether photosites have reached the sensor's full well."""
    if sensor.full_well is None:
        return False
    iso = frame.settings.iso if frame.settings is not None else None
    iso = float(np.asarray(sensor.settings.iso)) if iso is None else iso
    well = 0.98 * float(np.asarray(sensor.full_well))
    return any(
        float((plane >= curve.light_of(well, iso)).mean()) > SATURATED
        for plane, curve in zip(planes, curves, strict=True)
    )


def _blocks(
    first_sum: Array,
    second: Array | None,
    weight: list[float],
    black: float,
    first: RecordedFrame,
    skipped: dict[str, int],
    bags: tuple[str, ...],
) -> FlatAverage:
    scale = 2 if first.encoding.startswith('bayer_') else 1
    height, width = first_sum.shape
    block = max(2, int(np.ceil(max(height, width) / BLOCKS)))
    rows, columns = height // block, width // block

    def cut(picture: Array) -> Array:
        part = picture[: rows * block, : columns * block]
        return part.reshape(rows, block, columns, block)

    total = first_sum if second is None else first_sum + second
    count = weight[0] + weight[1]
    light = total / count - black
    level = float(light.mean())
    parts = cut(light / level)
    mean = parts.mean(axis=(1, 3))
    # Within a block the light changes, too: differences of neighbours have little of that.
    noise = float(((parts[:, :, :, 1:] - parts[:, :, :, :-1]) ** 2).mean() / 2.0) ** 0.5
    halves = []
    for one, n in ((first_sum, weight[0]), (second, weight[1])):
        if one is not None:
            light = one / n - black
            halves.append(cut(light / light.mean()).mean(axis=(1, 3)))
    centre = (block - 1) / 2.0
    u = (np.arange(columns) * block + centre) * scale + (scale - 1) / 2.0
    v = (np.arange(rows) * block + centre) * scale + (scale - 1) / 2.0
    names = tuple(bag for bag in bags if bag)
    return FlatAverage(
        halves[0],
        halves[1] if len(halves) > 1 else None,
        mean,
        u,
        v,
        noise / block,
        int(count),
        first.size,
        skipped,
        names,
    )
