# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From the noise of planes, in digital values, to parameters of the sensor model in electrons."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from diffphyscam_ros.calibration.dark_likelihood import Darkness
from diffphyscam_ros.calibration.fixed_patterns import count_hot, HotPixels
from diffphyscam_ros.calibration.noise_plane import PlaneNoise
from diffphyscam_ros.calibration.planes import LightCurve
from diffphyscam_ros.calibration.types import Estimate, Value
from diffphyscam_ros.camera.sensor_model import PARAMETERS as FIELDS
from diffphyscam_ros.camera.sensor_model import SensorModel

PARAMETERS = (
    'bit_depth',
    'black_level',
    'response_gains',
    'shot_noise_gain',
    'read_noise',
    'read_noise_fixed',
    'dark_current',
    'dsnu',
    'prnu',
    'hot_pixel_fraction',
    'hot_pixel_current',
    'full_well',
    'aggregator_gain',
)

ROUNDED = 1.0 / (65535.0 * 12.0**0.5)
"""Standard deviation of what rounding to 16 bits does to values of 10, 12 or 14. The noise of the
few codes around darkness does not average it out."""

Pair = tuple[float, float]
"""A value and its standard deviation."""


def refused(names: Iterable[str], why: str) -> tuple[Estimate, ...]:
    """Return that none of these parameters is estimated, and why."""
    return tuple(
        Estimate(name, None, None, FIELDS[name].unit, 'not estimated', why) for name in names
    )


def estimates_of(
    planes: list[PlaneNoise],
    channels: tuple[int, ...],
    sensor: SensorModel,
    iso: float,
    origin: tuple[int, str],
    filtered: bool,
) -> tuple[Estimate, ...]:
    """Return the parameters of a sensor.

    :param channels: 0 = red, 1 = green, 2 = blue, of each plane.
    :param iso: S of the frames.
    :param origin: frames, and their bags.
    :param filtered: the pictures are interpolated, and no figure of noise is sound.
    """
    maker = _Maker(planes, channels, sensor, iso, origin, filtered)
    return (
        maker.black_level(),
        *maker.gains(),
        *maker.read_noise(),
        maker.dark_current(),
        maker.dsnu(),
        maker.prnu(),
        *maker.hot_pixels(),
        maker.full_well(),
        maker.aggregator_gain(),
    )


class _Maker:
    def __init__(
        self,
        planes: list[PlaneNoise],
        channels: tuple[int, ...],
        sensor: SensorModel,
        iso: float,
        origin: tuple[int, str],
        filtered: bool,
    ) -> None:
        self.planes, self.channels, self.sensor = planes, channels, sensor
        self.iso, self.origin = iso, origin
        self.curves = [LightCurve(sensor, channel) for channel in channels]
        self.lines = [plane.line for plane in planes if plane.line is not None]
        self.gain = [line.gain for line in self.lines]
        self.relative = [line.gain_std / line.gain for line in self.lines]
        # X keeps the nominal unit only where the curve fixes it
        self.fixed_unit = sensor.response_type == 'gamma'
        self.units = [
            curve.full_signal * gain / iso if self.fixed_unit else 1.0
            for curve, gain in zip(self.curves, self.gain, strict=True)
        ]
        self.weak = filtered or any(plane.curved for plane in planes)
        self.linear = all(curve.linear for curve in self.curves)
        self.hot = self._hot()

    def estimate(self, name: str, value: Value, std: object, why: str, weak: bool) -> Estimate:
        verdict = 'weak' if weak or self.weak else 'estimated'
        unit = FIELDS[name].unit
        return Estimate(name, value, std, unit, verdict, why, *self.origin)  # type: ignore[arg-type]

    def colours(self, name: str, pairs: list[Pair], why: str, weak: bool = False) -> Estimate:
        """Return an estimate for three channels, the planes of each weighted by their errors."""
        values, stds = [], []
        for channel in range(3):
            chosen = [p for p, c in zip(pairs, self.channels, strict=True) if c == channel]
            chosen = chosen or pairs[:1]  # a grey picture
            weights = np.array([1.0 / max(std, 1e-30) ** 2 for _, std in chosen])
            values.append(float(np.average([value for value, _ in chosen], weights=weights)))
            stds.append(float(weights.sum()) ** -0.5)
        return self.estimate(name, tuple(values), tuple(stds), why, weak)

    def missing(self, name: str, why: str) -> Estimate:
        return refused((name,), why)[0]

    def black_level(self) -> Estimate:
        if not self.linear:
            return self.missing('black_level', 'of a curved response the nominal one is kept')
        if any(plane.black[1] is None for plane in self.planes):
            return self.missing(
                'black_level',
                'no dark frames, and fewer than three exposure times of flat ones: record frames '
                'with the lens capped',
            )
        pairs = []
        for plane, gain in zip(self.planes, self.gain, strict=True):
            spread = 0.0
            if plane.patterns and plane.patterns.dsnu:
                spread = max(plane.patterns.dsnu.variance, 0.0) / plane.patterns.size
            value, std = plane.black
            pairs.append(
                (value, ((std or 0.0) ** 2 + spread + plane.grain**2 + 1e-8 * gain**2) ** 0.5)
            )
        weights = np.array([1 / max(std, 1e-30) ** 2 for _, std in pairs])
        values = np.array([value for value, _ in pairs])
        value = float(np.average(values, weights=weights))
        scatter = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
        std = float(np.hypot(max(float(weights.sum()) ** -0.5, scatter), ROUNDED))
        clipped = any(plane.clipped for plane in self.planes)
        of = 'dark frames, led back to exposure time 0'
        if not all(plane.dark_levels for plane in self.planes):
            of = 'flat frames, led back to exposure time 0'
        value = min(max(value, 0.0), 0.9)
        return self.estimate('black_level', value, std, f'mean of {of}', clipped)

    def gains(self) -> tuple[Estimate, ...]:
        levels = min(plane.flat_levels for plane in self.planes)
        why = f'slope of temporal variance against mean over {levels} flat levels'
        weak = levels < 3
        if weak:
            why += '; with fewer than three its straightness is not checked'
        if self.fixed_unit:
            kept = self.missing('response_gains', 'of a gamma response they belong to the curve')
            pairs = [
                (unit**0.5, 0.5 * unit**0.5 * relative)
                for unit, relative in zip(self.units, self.relative, strict=True)
            ]
            return kept, self.colours('shot_noise_gain', pairs, why, weak)
        black = self.sensor.black_level if not self.linear else None
        pairs = []
        for plane, curve, gain, relative in zip(
            self.planes, self.curves, self.gain, self.relative, strict=True
        ):
            if black is None:
                value = gain / (self.iso * (1.0 - plane.black[0]))
            else:  # light 1 is S·X = full_signal of the nominal gains
                value = curve.gain * curve.full_signal * gain / self.iso
            pairs.append((value, value * relative))
        unit = self.estimate(
            'shot_noise_gain', (1.0,) * 3, (0.0,) * 3, 'by convention: X is in electrons', False
        )
        return self.colours('response_gains', pairs, why, weak), unit

    def _from_codes(self, name: str, pick: Callable[[Darkness], Pair | None]) -> Estimate | None:
        """Return what the codes of dark frames tell of a parameter, or None."""
        pairs = []
        for plane, unit, relative in zip(self.planes, self.units, self.relative, strict=True):
            found = pick(plane.darkness) if plane.darkness else None
            if found is None:
                return None
            value, std = found
            pairs.append((max(value, 0.0) * unit, float(np.hypot(std, value * relative)) * unit))
        why = 'likelihood of the codes of dark frames, the response known'
        # With few bits the gain, which the electrons rest on, is a few percent off.
        coarse = self.linear and any(plane.hidden for plane in self.planes)
        weak = coarse or any(std > 0.05 * value for value, std in pairs)
        if weak:
            why += (
                ': they hardly tell, for the noise is small against a step; record more dark '
                'frames, at more exposure times, with more gain (ISO) or more bits'
            )
        return self.colours(name, pairs, why, weak)

    def read_noise(self) -> tuple[Estimate, ...]:
        fixed = Estimate(
            'read_noise_fixed', False, None, '', 'estimated',
            'the temporal part is measured; the fixed one is dsnu', *self.origin,
        )  # fmt: skip
        told = self._from_codes('read_noise', lambda darkness: darkness.read_noise)
        return (told or self._read_noise_of_levels()), fixed

    def _read_noise_of_levels(self) -> Estimate:
        pairs = [
            (line.read_noise[0] * unit, line.read_noise[1] * unit)
            for line, unit in zip(self.lines, self.units, strict=True)
        ]
        dark = all(plane.dark_levels for plane in self.planes)
        weak = not dark or any(plane.hidden or plane.clipped for plane in self.planes)
        why = 'temporal noise of dark frames' if dark else 'noise of flat frames led back to 0'
        if not dark:
            why += '; record dark frames to see it directly'
        if any(plane.hidden for plane in self.planes):
            why = (
                'noise of flat frames led back to 0: in the dark it is below the steps of the '
                'converter; record with more bits or more gain'
            )
        unknown = all(value <= std for value, std in pairs)
        if unknown:
            why += f': at most {3 * max(std for _, std in pairs):.2g} e-'
        return self.colours('read_noise', pairs, why, weak or unknown)

    def dark_current(self) -> Estimate:
        told = self._from_codes('dark_current', lambda darkness: darkness.rate)
        if told is not None:
            return told
        pairs = []
        for index, plane in enumerate(self.planes):
            rate = plane.patterns.rate if plane.patterns else None
            if rate is None or plane.dark_times < 2:
                why = (
                    'no dark frames'
                    if not plane.dark_levels
                    else ('dark frames of one exposure time only, or of unknown times')
                )
                remedy = 'record dark frames at two or more exposure times, the longest in use'
                return self.missing('dark_current', f'{why}: {remedy}')
            gain, unit = self.gain[index], self.units[index]
            hidden = self.hot.hidden if self.hot else 0.0
            value = rate[0] / gain - hidden
            std = np.hypot(rate[1] / gain, value * self.relative[index])
            if plane.dark_span:
                rounded = np.hypot(plane.grain, 2.0**0.5 * ROUNDED)
                std = np.hypot(std, rounded / (plane.dark_span * gain))
            if self.hot and self.hot.fraction:
                std = np.hypot(std, hidden * self.hot.fraction_std / self.hot.fraction)
            pairs.append((max(value, 0.0) * unit, float(std) * unit))
        why = 'growth of dark frames with exposure time, hot photosites left out'
        return self.colours('dark_current', pairs, why)

    def dsnu(self) -> Estimate:
        told = self._from_codes('dsnu', lambda darkness: darkness.dsnu)
        if told is not None:
            return told
        pairs = []
        for index, plane in enumerate(self.planes):
            spread = plane.patterns.dsnu if plane.patterns else None
            if spread is None or not plane.dark_levels:
                return self.missing(
                    'dsnu', 'no dark frames (two or more of the same settings): record them'
                )
            if plane.hidden:
                return self.missing(
                    'dsnu',
                    'in the dark the steps of the converter are coarser than the noise: record '
                    'with more bits or more gain',
                )
            value, std = spread.root(self.gain[index] / self.units[index])
            pairs.append((value, float(np.hypot(std, value * self.relative[index]))))
        why = 'differences between photosites in the dark, temporal noise and slow changes removed'
        return self.colours('dsnu', pairs, why)

    def prnu(self) -> Estimate:
        pairs = []
        for plane in self.planes:
            if plane.patterns is None or plane.patterns.prnu is None:
                return self.missing('prnu', 'it needs dark frames, or flat ones of two levels')
            pairs.append(plane.patterns.prnu.root(1.0))
        why = 'differences between photosites in growing with light, slow changes removed'
        return self.colours('prnu', pairs, why)

    def _hot(self) -> HotPixels | None:
        excesses, noise = [], 0.0
        for plane, gain, unit in zip(self.planes, self.gain, self.units, strict=True):
            if plane.patterns is None or plane.patterns.excess is None or plane.dark_times < 2:
                return None
            excesses.append(plane.patterns.excess / gain * unit)
            noise = max(noise, plane.patterns.excess_noise / gain * unit)
        return count_hot(np.concatenate(excesses), noise)

    def hot_pixels(self) -> tuple[Estimate, ...]:
        hot = self.hot
        names = ('hot_pixel_fraction', 'hot_pixel_current')
        if hot is None:
            why = 'it takes dark frames of two or more exposure times'
            return refused(names, why)
        why = f'{hot.found} photosites whose dark current stands out by 6 standard deviations'
        fraction = self.estimate(names[0], hot.fraction, hot.fraction_std, why, 0 < hot.found < 10)
        if not hot.found:
            return fraction, self.missing(names[1], 'no hot photosites')
        relative = np.mean(self.relative)
        std = float(np.hypot(hot.current_std, hot.current * relative))
        why = f'mean excess of {hot.found} hot photosites'
        return fraction, self.estimate(names[1], hot.current, std, why, hot.found < 10)

    def full_well(self) -> Estimate:
        pairs = []
        for plane, gain, unit, relative in zip(
            self.planes, self.gain, self.units, self.relative, strict=True
        ):
            if plane.full is None:
                continue
            value = (plane.full - plane.black[0]) / gain * unit
            pairs.append((value, value * relative))
        partly = [
            (plane.partly_full - plane.black[0]) / gain * unit
            for plane, gain, unit in zip(self.planes, self.gain, self.units, strict=True)
            if plane.partly_full is not None
        ]
        if not pairs and partly:  # enough for other stages to leave these frames out
            why = (
                'the brightest flat frames fill a part of the photosites, none fills all: record '
                'one at twice their exposure'
            )
            return self.estimate('full_well', min(partly), 0.02 * min(partly), why, True)
        if not pairs:
            reach = min(
                (plane.reached - plane.black[0]) / gain * unit
                for plane, gain, unit in zip(self.planes, self.gain, self.units, strict=True)
            )
            return self.missing(
                'full_well',
                f'no flat frame saturates below full scale: at least {reach:.3g} e-; the '
                'converter may saturate first',
            )
        weights = np.array([1 / max(std, 1e-30) ** 2 for _, std in pairs])
        value = float(np.average([value for value, _ in pairs], weights=weights))
        why = 'level at which the noise of flat frames vanishes, below full scale'
        return self.estimate('full_well', value, float(weights.sum()) ** -0.5, why, False)

    def aggregator_gain(self) -> Estimate:
        name = 'aggregator_gain'
        if self.fixed_unit:
            return self.missing(name, 'the unit of X stays that of the nominal sensor')
        ratios = []
        for curve, gain in zip(self.curves, self.gain, strict=True):
            # S·X that the nominal sensor has at full scale, over that in electrons
            span = 1.0 - float(np.mean([p.black[0] for p in self.planes])) if curve.linear else 1.0
            ratios.append(self.iso * span / gain / curve.full_signal)
        nominal = float(np.asarray(self.sensor.aggregator_gain))
        green = [r for r, c in zip(ratios, self.channels, strict=True) if c == 1]
        value = nominal * float(np.mean(green))
        std = value * float(np.mean(self.relative))
        why = (
            'by convention: so that pictures keep the nominal brightness now that X is in '
            'electrons; how bright the flat field was is not known'
        )
        return self.estimate(name, value, std, why, True)
