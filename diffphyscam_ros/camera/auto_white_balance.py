# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Automatic white balance: the gains that make what is grey in the scene grey in the picture.

As in auto exposure, what a picture shows is taken together with the gains that it was balanced
with, so pictures that come late cannot make the control swing.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import torch

from diffphyscam_ros.camera.metering import sample

METHODS = ('grey_world', 'white_patch', 'robust')

Gains = tuple[float, float, float]

DARK = 0.02
"""Values up to this are too dark to have a colour that can be trusted."""

BRIGHT = 0.98
"""Values from this on may be saturated."""

BRIGHTEST = 0.05
"""Share of the usable pixels, the brightest ones, that white patch takes for white."""

FEWEST = 0.01
"""Share of the pixels that have to be usable."""

GREYISH = 0.15
"""How far from grey, in log2 of the ratio of two channels, a pixel counts by a quarter in the
robust method."""

ITERATIONS = 10
ROBUST_SAMPLES = 800

DEAD_BAND = math.log2(1.02)
SETTLED = math.log2(1.003)

LEAST_GAIN, MOST_GAIN = 0.25, 8.0


@dataclass(frozen=True)
class BalanceState:
    """Where the white balance stands.

    :param gains: of red, green (1) and blue.
    :param moving: on the way to others.
    :param settled: the last picture was taken with these gains and nothing was left to be done.
    """

    gains: Gains
    moving: bool = False
    settled: bool = False


@dataclass(frozen=True)
class AutoWhiteBalance:
    """How to balance; ``measure`` and ``step`` are pure functions of their arguments.

    :param method: 'grey_world' (the mean is grey; Buchsbaum 1980), 'white_patch' (the brightest
        5 % are white; Land and McCann 1971), or 'robust' (from the brightest, by reweighting, to
        the mean of all that have nearly their colour: objects of other colours do not count).
    :param speed: 1/s, inverse time constant.
    :param gain_min: least gain of red and blue; ``gain_max`` the greatest.
    :raises ValueError: for a value out of range.
    """

    method: str = 'robust'
    speed: float = 2.0
    gain_min: float = LEAST_GAIN
    gain_max: float = MOST_GAIN

    def __post_init__(self) -> None:
        """Check every field, naming what is wrong and what is allowed."""
        if self.method not in METHODS:
            raise ValueError(f'method = {self.method!r}: must be one of {", ".join(METHODS)}')
        if not 0.0 < self.speed < math.inf:
            raise ValueError(f'speed = {self.speed!r} 1/s: must be above 0 and finite')
        if not 0.0 < self.gain_min <= self.gain_max < math.inf:
            raise ValueError(
                f'gain_min = {self.gain_min!r}, gain_max = {self.gain_max!r}: must be above 0, '
                'finite and in this order'
            )

    def measure(self, picture: torch.Tensor, gains: Gains) -> Gains | None:
        """Return the gains that would make a picture's grey grey; green's is 1.

        Pixels with a channel that is dark or near saturation are left out.

        :param picture: (H, W, 3) digital values in [0, 1], or uint8, that were balanced with
            ``gains``; a colour matrix other than the identity makes the answer approximate.
        :return: None where too few pixels can be used.
        """
        # In numpy: torch starts its threads even for a few thousand values.
        values = sample(picture).reshape(-1, 3).numpy()
        applied = np.maximum(np.array(gains, np.float32), 1e-6)
        usable = ((values > DARK) & (values < BRIGHT * np.minimum(applied, 1.0))).all(axis=1)
        if np.count_nonzero(usable) < max(FEWEST * len(values), 1.0):
            return None
        raw = values[usable] / applied
        if self.method == 'grey_world':
            mean = raw.mean(axis=0)
        else:
            rank = len(raw) - max(round(BRIGHTEST * len(raw)), 1)
            mean = raw[np.argpartition(raw.sum(axis=1), rank)[rank:]].mean(axis=0)
        if self.method == 'robust':
            raw = raw[:: max(len(raw) // ROBUST_SAMPLES, 1)]
            chroma = np.log2(raw / raw[:, 1:2])
            for _ in range(ITERATIONS):
                distance = np.square(chroma - np.log2(mean / mean[1])).sum(axis=1)
                weight = 1.0 / (1.0 + distance / GREYISH**2) ** 2  # few of them must not add up
                mean = weight @ raw / weight.sum()
        red, green, blue = mean.tolist()
        return self._limited(green / red), 1.0, self._limited(green / blue)

    def step(
        self, state: BalanceState, wanted: Gains | None, gains: Gains, dt: float
    ) -> BalanceState:
        """Return the state after a picture.

        :param wanted: of ``measure``.
        :param gains: that the picture was balanced with.
        :param dt: s since the step before, ≥ 0.
        """
        if wanted is None:
            return BalanceState(state.gains)
        error = [math.log2(w / now) for w, now in zip(wanted, state.gains, strict=True)]
        if max(map(abs, error)) <= (SETTLED if state.moving else DEAD_BAND):
            same = all(
                math.isclose(a, b, rel_tol=1e-3) for a, b in zip(gains, state.gains, strict=True)
            )
            return BalanceState(state.gains, settled=same)
        share = -math.expm1(-self.speed * max(dt, 0.0))
        red, green, blue = (
            now * 2.0 ** (share * e) for now, e in zip(state.gains, error, strict=True)
        )
        return BalanceState((red, green, blue), moving=True)

    def _limited(self, gain: float) -> float:
        return min(max(gain, self.gain_min), self.gain_max)


LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1667.0, 25000.0
"""K, where the approximation of ``gains_of_temperature`` holds."""


def gains_of_temperature(kelvin: float) -> Gains:
    """Return the gains for a light of some colour temperature; (1, 1, 1) at 6504 K.

    Daylight from 4000 K on (CIE 015), the Planckian locus below 3500 K (the cubics of Kim et al.,
    US patent 7024034, 2002), between them a blend of both, so that nothing jumps; seen by a sensor
    whose primaries are those of sRGB.

    :raises ValueError: below 1667 K or above 25000 K.
    """
    if not LOWEST_TEMPERATURE <= kelvin <= HIGHEST_TEMPERATURE:
        raise ValueError(f'temperature = {kelvin!r} K: must be from 1667 to 25000')
    ratio, white = _linear_srgb(kelvin), _linear_srgb(6504.0)
    red, blue = ((white[i] / white[1]) * (ratio[1] / max(ratio[i], 1e-3)) for i in (0, 2))
    return min(red, MOST_GAIN), 1.0, min(blue, MOST_GAIN)


def _chromaticity(kelvin: float) -> tuple[float, float]:
    """Return CIE 1931 x and y of a light."""
    k = 1000.0 / kelvin
    if kelvin <= 7000.0:
        x = 0.244063 + 0.09911 * k + 2.9678 * k**2 - 4.6070 * k**3
    else:
        x = 0.237040 + 0.24748 * k + 1.9018 * k**2 - 2.0064 * k**3
    daylight = (x, -3.0 * x**2 + 2.870 * x - 0.275)
    x = -0.2661239 * k**3 - 0.2343589 * k**2 + 0.8776956 * k + 0.179910
    if kelvin <= 2222.0:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    else:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    part = min(max((kelvin - 3500.0) / 500.0, 0.0), 1.0)
    return (1 - part) * x + part * daylight[0], (1 - part) * y + part * daylight[1]


def _linear_srgb(kelvin: float) -> Gains:
    """Return a light in linear sRGB (IEC 61966-2-1), of luminance 1."""
    x, y = _chromaticity(kelvin)
    big_x, big_z = x / y, (1.0 - x - y) / y
    return (
        3.2406 * big_x - 1.5372 - 0.4986 * big_z,
        -0.9689 * big_x + 1.8758 + 0.0415 * big_z,
        0.0557 * big_x - 0.2040 + 1.0570 * big_z,
    )
