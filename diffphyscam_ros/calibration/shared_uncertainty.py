# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a stage cannot know of its own uncertainty: that of the values it took from others.

Each stage takes the sensor as it stands for exact. Where the values of an earlier stage go into
its own as a factor, their standard deviations are added here, in quadrature.
"""

from __future__ import annotations

from dataclasses import replace
import math

from diffphyscam_ros.calibration.types import Estimate, StageResult

OF_THE_UNIT = {
    'shot_noise_gain': 0.5,
    'read_noise': 1.0,
    'dark_current': 1.0,
    'dsnu': 1.0,
    'hot_pixel_current': 1.0,
    'full_well': 1.0,
}
"""Power with which parameters grow with the unit of electrons."""


def _estimate(result: StageResult, name: str) -> Estimate | None:
    """Return the estimate of a parameter, or None where it has no value."""
    return next((e for e in result.estimates if e.name == name and e.value is not None), None)


def _numbers(value: object) -> tuple[float, ...]:
    """Return a number or several as several."""
    return tuple(map(float, value)) if isinstance(value, tuple) else (float(value),)  # type: ignore[arg-type]


def _wider(estimate: Estimate, relative: tuple[float, ...]) -> Estimate:
    """Return an estimate with these relative standard deviations added."""
    if estimate.value is None or estimate.std is None:
        return estimate
    values, stds = _numbers(estimate.value), _numbers(estimate.std)
    added = relative * len(values) if len(relative) == 1 else relative
    wide = tuple(
        math.hypot(std, abs(value) * more)
        for value, std, more in zip(values, stds, added, strict=True)
    )
    return replace(estimate, std=wide if isinstance(estimate.std, tuple) else wide[0])


UNIT_ERROR = 0.002
"""Share by which the unit may be off besides: 0.05 to 0.25 % on simulated cameras."""

ALIKE = 0.02
"""Share by which the shot noise of channels may differ that count the same electrons."""


def unit_of_electrons(noise: StageResult, response: StageResult) -> tuple[float, float] | None:
    """Return how many of a gamma response's X are one photo-electron, and its deviation.

    The logarithm in that response fixes S·X, but hardly: γ and the unit nearly cancel. Photon
    transfer knows it some fifty times better, for the shot noise of X photo-electrons is √X.

    :param noise: in the unit that the response found by itself.
    :return: None where the response is none of those, or what photon transfer says is no more
        than a filter's doing: pictures with interpolated or smoothed noise, channels that differ,
        or a unit that the curve contradicts.
    """
    kind, unit = _estimate(response, 'response_type'), _estimate(response, 'aggregator_gain')
    shot = _estimate(noise, 'shot_noise_gain')
    if kind is None or kind.value != 'gamma' or unit is None or unit.std is None:
        return None
    if shot is None or shot.std is None or shot.verdict != 'estimated':
        return None
    squares = tuple(value**2 for value in _numbers(shot.value))
    relative = max(
        2.0 * std / value
        for value, std in zip(_numbers(shot.value), _numbers(shot.std), strict=True)
    )
    mean = sum(squares) / len(squares)
    share = _numbers(unit.std)[0] / _numbers(unit.value)[0]
    differ = max(abs(math.log(square / mean)) for square in squares)
    if differ > ALIKE + 3.0 * relative or abs(math.log(mean)) > 3.0 * math.hypot(share, relative):
        return None
    return mean, mean * math.hypot(relative, UNIT_ERROR)


def with_unit_of_electrons(noise: StageResult, response: StageResult) -> StageResult:
    """Return the noise with the uncertainty of the unit in which a gamma response counts.

    What the response says of ``aggregator_gain`` is how well the unit is known. The errors are one
    error: pictures made with all these values together are as noisy as the recorded ones.
    """
    kind, unit = _estimate(response, 'response_type'), _estimate(response, 'aggregator_gain')
    if kind is None or kind.value != 'gamma' or unit is None or unit.std is None:
        return noise
    share = _numbers(unit.std)[0] / _numbers(unit.value)[0]
    why = f'; the unit of electrons, which the curve fixes, is known to {100 * share:.2g} %'

    def widened(item: Estimate) -> Estimate:
        if item.name not in OF_THE_UNIT or item.value is None:
            return item
        wide = _wider(item, (OF_THE_UNIT[item.name] * share,))
        return replace(wide, reason=item.reason + why)

    return replace(noise, estimates=tuple(map(widened, noise.estimates)))


def with_darkness(noise: StageResult, response: StageResult) -> StageResult:
    """Return the noise with the uncertainty of where the light of a sigmoid response is zero.

    The noise of flat and dark frames is led back to no light at all, and the bias o says where
    that is: an error of o is one of o / (g·S) electrons there, and of as many squared electrons
    of read noise. Where the codes of dark frames told it, that level is their own, and what is
    left is the slope of the curve there, of which o changes the share that it changes itself.
    """
    kind, bias = _estimate(response, 'response_type'), _estimate(response, 'response_biases')
    gains, read = _estimate(noise, 'response_gains'), _estimate(noise, 'read_noise')
    if kind is None or kind.value != 'sigmoid' or bias is None or bias.std is None:
        return noise
    if gains is None or read is None or read.std is None:
        return noise
    if noise.plots.get('dark_codes'):
        steep = (max(_numbers(bias.std)),)
        names = ('read_noise', 'dark_current', 'dsnu')
        widened = tuple(_wider(e, steep) if e.name in names else e for e in noise.estimates)
        return replace(noise, estimates=widened)
    iso = float(noise.plots['iso'])
    electrons = max(_numbers(bias.std)) / (iso * min(_numbers(gains.value)))
    noises = _numbers(read.value)
    relative = tuple(electrons / (2.0 * value**2) if value > 0 else 0.0 for value in noises)
    why = f'; the curve knows the light of darkness to {electrons:.2g} e-'
    wide = replace(_wider(read, relative), reason=read.reason + why)
    changed = tuple(wide if item is read else item for item in noise.estimates)
    return replace(noise, estimates=changed)


def with_gains(colour: StageResult, noise: StageResult) -> StageResult:
    """Return the efficiencies with the uncertainty of the gains that photon transfer found.

    Pictures show gain times efficiency, relative to green.
    """
    gains = _estimate(noise, 'response_gains')
    if gains is None or gains.std is None:
        return colour
    pairs = zip(_numbers(gains.value), _numbers(gains.std), strict=True)
    red, green, blue = (std / abs(value) for value, std in pairs)
    added = (math.hypot(red, green), 0.0, math.hypot(blue, green))

    def widened(item: Estimate) -> Estimate:
        return _wider(item, added) if item.name == 'quantum_efficiency' else item

    return replace(colour, estimates=tuple(map(widened, colour.estimates)))


def with_focal_length(vignetting: StageResult, intrinsics: StageResult) -> StageResult:
    """Return the vignetting with the uncertainty of the focal length that its angles come from.

    Where it darkens by k·tan²ⁿθ, k grows with the 2n-th power of the focal length; near the middle
    cos⁴ does so with n = 1.
    """
    focal = _estimate(intrinsics, 'focal_scale')
    if focal is None or focal.std is None:
        return vignetting
    pairs = zip(_numbers(focal.std), _numbers(focal.value), strict=True)
    share = max(std / value for std, value in pairs)

    def widened(item: Estimate) -> Estimate:
        if item.name == 'vignetting_gain':
            return _wider(item, (2.0 * share,))
        if item.name == 'vignetting_coefficients' and item.value is not None:
            powers = range(1, len(_numbers(item.value)) + 1)
            return _wider(item, tuple(2.0 * n * share for n in powers))
        return item

    return replace(vignetting, estimates=tuple(map(widened, vignetting.estimates)))
