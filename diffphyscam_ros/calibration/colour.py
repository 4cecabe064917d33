# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage "colour": quantum efficiencies and white balance from a grey patch.

A neutral patch reflects all colours alike, so that what the channels make of it differs by their
quantum efficiencies (with the colour of the lamp in them: the model's light is white) and by the
gains of their responses. **Convention**: green keeps the quantum efficiency of the nominal
sensor; the common scale belongs to ``aggregator_gain``. ``white_balance`` are the gains that make
the patch grey, green 1.

``plots``: ``signal``: electrons of a picture's patch over green's, of each frame and channel;
``spread``: standard deviation over frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from diffphyscam_ros.calibration.noise_estimates import refused
from diffphyscam_ros.calibration.planes import (
    Array,
    by_channel,
    channels_of,
    LightCurve,
    plane_views,
)
from diffphyscam_ros.calibration.types import Estimate, RecordedFrame, StageResult
from diffphyscam_ros.camera.plain import plain_copy
from diffphyscam_ros.camera.sensor_model import PARAMETERS as FIELDS
from diffphyscam_ros.camera.sensor_model import SensorModel

PARAMETERS = ('quantum_efficiency', 'white_balance')

MAD_TO_STD, MEDIAN_LOSS = 1.4826, 1.2533
"""Of a normal distribution: median deviation to standard deviation; that of medians to means."""

LEAST_SIGNAL = 0.03
"""Of full scale, of each channel."""

RECORD = (
    'film an evenly lit grey card, half of full scale in the brightest channel, with automatic '
    'white balance off'
)

Patch = tuple[int, int, int, int]
"""x, y, width, height in px."""


def estimate_colour(
    frames: Iterable[RecordedFrame],
    sensor: SensorModel,
    patch: Patch | Callable[[RecordedFrame], Patch | None] | None = None,
) -> StageResult:
    """Estimate what the channels make of grey.

    :param frames: rgb or Bayer; gone through once.
    :param sensor: with the response gains and black level that other stages found.
    :param patch: where the grey patch is, one for each frame or for all; None: frames of role
        'flat' are grey all over.
    """
    model = plain_copy(sensor)
    curves = [LightCurve(sensor, channel) for channel in range(3)]
    skipped: Counter[str] = Counter()
    found: list[tuple[float, float, float]] = []
    errors: list[tuple[float, float, float]] = []
    bags: dict[str, None] = {}
    for frame in frames:
        area = patch(frame) if callable(patch) else patch
        reason = _why_not(frame, area, patch is None)
        if reason:
            skipped[reason] += 1
            continue
        planes = _planes(frame, area)
        if any(float((plane >= 1.0).mean()) > 0.001 for plane in planes):
            skipped['with a saturated patch'] += 1
            continue
        electrons, noise = _electrons(planes, frame.encoding, curves, float(model.black_level))
        if min(electrons) <= 0.0:
            skipped['with a patch that is too dark'] += 1
            continue
        found.append(electrons)
        errors.append(noise)
        bags[frame.bag] = None
    messages = [f'{count} frames left out: {why}' for why, count in skipped.items()]
    if not found:
        why = f'no usable picture of a grey patch ({"; ".join(messages) or "no frames"}): {RECORD}'
        return StageResult('colour', refused(PARAMETERS, why), (why, *messages))
    signal = np.array(found)
    ratio = signal / signal[:, 1:2]
    # Of the brightest frames one colour's photosites may be full: the median does not mind some.
    mean = np.median(ratio, axis=0)
    # Fixed patterns are the same in all frames: the noise within the patch does not average out.
    relative = np.array(errors).mean(axis=0) / signal.mean(axis=0)
    own = np.hypot(relative, relative[1]) * mean
    scatter = MAD_TO_STD * np.median(np.abs(ratio - mean), axis=0)
    drift = MEDIAN_LOSS * scatter / len(ratio) ** 0.5 if len(ratio) > 1 else 0.0 * mean
    std = np.where(np.arange(3) == 1, 0.0, np.hypot(own, drift))
    origin = len(found), ', '.join(bag for bag in bags if bag)
    why = f'grey patch in {len(found)} frames; green is the unit'
    green = float(model.quantum_efficiency[1])
    gains = np.array([curve.gain for curve in curves])
    balance = gains[1] / (gains * mean)

    def one(name: str, value: Array, error: Array) -> Estimate:
        numbers = tuple(map(float, value)), tuple(map(float, error))
        return Estimate(name, *numbers, FIELDS[name].unit, 'estimated', why, *origin)

    estimates = (
        one('quantum_efficiency', mean * green, std * green),
        one('white_balance', balance, balance * std / mean),
    )
    plots = {'signal': ratio.tolist(), 'spread': ratio.std(axis=0).tolist()}
    return StageResult('colour', estimates, tuple(messages), plots)


def _why_not(frame: RecordedFrame, area: Patch | None, by_role: bool) -> str:
    if len(channels_of(frame.encoding)) == 1:
        return 'without colour'
    if by_role and frame.role != 'flat':
        return f'of role {frame.role!r}' if frame.role else 'of no known role'
    if not by_role and area is None:
        return 'without a patch'
    if frame.settling:
        return 'still settling after a change'
    return ''


def _planes(frame: RecordedFrame, area: Patch | None) -> list[Array]:
    picture = frame.linear_unit()
    if area is not None:
        x, y, width, height = area
        if frame.encoding.startswith('bayer_'):  # keep the tile's corner
            x, y = x // 2 * 2, y // 2 * 2
        picture = picture[max(y, 0) : y + height, max(x, 0) : x + width]
    return plane_views(picture, frame.encoding)


def _electrons(
    planes: list[Array], encoding: str, curves: list[LightCurve], black: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return S·X of a patch for each channel, and the error of its mean."""
    means, errors = [], []
    for plane, channel in zip(planes, channels_of(encoding), strict=True):
        curve = curves[channel]
        light = curve.light(plane)
        if curve.linear:
            signal = ((light - black) / (1.0 - black) - curve.bias) / curve.gain
        else:
            signal = light * curve.full_signal
        low = plane.size == 0 or float(plane.mean()) < black + LEAST_SIGNAL * (1.0 - black)
        means.append(0.0 if low else float(signal.mean()))
        errors.append(float(signal.std()) / max(signal.size, 1) ** 0.5)
    mean = by_channel([0.0 if min(means) <= 0 else value for value in means], encoding)
    return mean, by_channel(errors, encoding)
