# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Recorded pictures as planes of one colour, and their values as light."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.camera.inverse_response import TOP
from diffphyscam_ros.camera.plain import plain_copy
from diffphyscam_ros.camera.sensor_model import SensorModel

Array = npt.NDArray[Any]

CHANNELS = ('red', 'green', 'blue')


def channels_of(encoding: str) -> tuple[int, ...]:
    """Return the channel of each plane of an encoding: 0 = red, 1 = green, 2 = blue.

    A Bayer mosaic has four planes, one for each photosite of its tile; a grey picture has one,
    which counts as green.
    """
    if encoding.startswith('bayer_'):
        return tuple('rgb'.index(letter) for letter in encoding[6:10])
    return (0, 1, 2) if encoding.startswith('rgb') else (1,)


def plane_views(picture: Array, encoding: str) -> list[Array]:
    """Return the planes of a picture, (h, w) each, as views in the order of ``channels_of``.

    :param picture: (H, W) or (H, W, 3); of a mosaic an odd last row or column is left out.
    """
    if encoding.startswith('bayer_'):
        height, width = (size // 2 * 2 for size in picture.shape[:2])
        tile = picture[:height, :width]
        return [tile[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    if encoding.startswith('rgb'):
        return [picture[..., channel] for channel in range(3)]
    return [picture if picture.ndim == 2 else picture[..., 0]]


def by_channel(values: list[float], encoding: str) -> tuple[float, float, float]:
    """Return the mean of planes for red, green and blue; a grey picture's value counts for all."""
    channels = channels_of(encoding)
    if len(channels) == 1:
        return (values[0],) * 3
    picked = [[v for v, c in zip(values, channels, strict=True) if c == want] for want in range(3)]
    return (
        float(np.mean(picked[0])),
        float(np.mean(picked[1])),
        float(np.mean(picked[2])),
    )


class LightCurve:
    """The inverse of a sensor's response: digital values to light, in which 1 is full scale.

    A linear response needs no inverse: light is the digital value itself, black level included,
    which the stages estimate. Of any other the black level and the bias are taken from the sensor,
    and darkness is 0.

    :param channel: 0 = red, 1 = green, 2 = blue.
    """

    def __init__(self, sensor: SensorModel, channel: int) -> None:
        """See the class."""
        model = plain_copy(sensor)
        self.linear = model.response_type == 'linear'
        self.kind = model.response_type
        self.black = float(model.black_level)
        self.gain = float(model.response_gains[channel])
        self.bias = float(model.response_biases[channel])
        self.gamma = float(model.response_gamma)
        self.table = np.asarray(model.response_table, np.float64)
        self.full_signal = float(self._signal(np.array([1.0]))[0])
        """S·X of digital value 1."""

    def _signal(self, values: Array) -> Array:
        """Return S·X of digital values."""
        curve = (np.asarray(values, np.float64) - self.black) / (1.0 - self.black)
        if self.kind == 'linear':
            return (curve - self.bias) / self.gain
        if self.kind == 'gamma':
            stops = np.maximum((curve - self.bias) / self.gain, 0.0) ** (1.0 / self.gamma)
            return np.where(stops > 0, np.exp2(stops), 0.0)
        if self.kind == 'sigmoid':
            inside = np.clip(curve, 1.0 - TOP, TOP)
            return (np.log(inside / (1.0 - inside)) - self.bias) / self.gain
        places = np.interp(curve, self.table, np.linspace(0.0, 1.0, len(self.table)))
        return (places - self.bias) / self.gain

    def light_of(self, electrons: float, iso: float) -> float:
        """Return the light of so many electrons."""
        signal = iso * electrons
        if self.linear:
            return self.black + (1.0 - self.black) * (self.gain * signal + self.bias)
        return signal / self.full_signal

    def light(self, values: Array) -> Array:
        """Return the light of digital values; not clamped."""
        if self.linear:
            return np.asarray(values, np.float64)
        return self._signal(values) / self.full_signal

    def slope(self, values: Array) -> Array:
        """Return how fast the digital value grows with light, there."""
        values = np.asarray(values, np.float64)
        if self.linear:
            return np.ones_like(values)
        step = 2e-3
        above, below = np.minimum(values + step, 1.0), np.maximum(values - step, self.black)
        return (above - below) / np.maximum(self.light(above) - self.light(below), 1e-12)
