# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From a fitted response curve to parameters of the sensor model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffphyscam_ros.calibration.exposure_sweep import Sweep
from diffphyscam_ros.calibration.noise_estimates import refused
from diffphyscam_ros.calibration.planes import Array, LightCurve
from diffphyscam_ros.calibration.response_curves import Gamma
from diffphyscam_ros.calibration.response_fit import Fit
from diffphyscam_ros.calibration.types import Estimate, Value
from diffphyscam_ros.camera.sensor_model import PARAMETERS as FIELDS
from diffphyscam_ros.camera.sensor_model import SensorModel

ENTRIES = 256
"""Of the response table."""

LED_ON = 0.004
"""Error of the value of darkness of a gamma curve, which is led on from brighter values."""

REFERENCE = 0.9
"""Digital value at which curves keep the nominal brightness."""


def estimates_of(
    fit: Fit, sweep: Sweep, sensor: SensorModel, doubtful: bool
) -> tuple[Estimate, ...]:
    """Return the parameters of the curve that was chosen; the others keep no meaning."""
    maker = _Maker(fit, sweep, sensor, doubtful)
    kind = Estimate(
        'response_type', fit.curve.kind, None, '', maker.verdict,
        'the simplest curve that predicts values it was not fitted to', *maker.origin,
    )  # fmt: skip
    return (kind, *getattr(maker, fit.curve.kind)())


class _Maker:
    def __init__(self, fit: Fit, sweep: Sweep, sensor: SensorModel, doubtful: bool) -> None:
        self.fit, self.sensor = fit, sensor
        self.origin = (sweep.frames, ', '.join(sweep.bags))
        self.low = float(sweep.seen.value.min())
        self.high = float(sweep.seen.value.max())
        dark = sweep.seen.value[sweep.seen.factor == 0]
        # Not of the mean: below darkness a table is flat, which lifts the mean of the noise.
        self.dark_std = float(dark.std()) if len(dark) else None
        self.verdict = 'weak' if doubtful or self.high < 0.7 else 'estimated'
        self.nominal = [LightCurve(sensor, channel) for channel in range(3)]
        self.why = f'values from {self.low:.3f} to {self.high:.3f} of {len(sweep.settings)} '
        self.why += 'exposures of a still scene'

    def estimate(
        self, name: str, value: Value, std: float | tuple[float, ...] | None, why: str = ''
    ) -> Estimate:
        return Estimate(
            name, value, std, FIELDS[name].unit, self.verdict, why or self.why, *self.origin
        )

    def spread(self, function: Callable[[Array], Array]) -> Array:
        """Return the standard deviation of a function of θ."""
        theta = self.fit.theta
        columns = []
        for index in range(len(theta)):
            step = np.zeros(len(theta))
            step[index] = 1e-4 * max(1.0, abs(theta[index]))
            change = function(theta + step) - function(theta - step)
            columns.append(change / (2.0 * step[index]))
        lever = np.stack(columns, axis=-1)
        variance = np.einsum('...i,ij,...j->...', lever, self.fit.covariance, lever)
        return np.sqrt(np.maximum(variance, 0.0))

    def black_of(self, value: float, std: float) -> Estimate:
        # a value of darkness below 0 is one that the camera cuts off
        return self.estimate('black_level', min(max(value, 0.0), 0.9), std)

    def linear(self) -> tuple[Estimate, ...]:
        std = float(self.fit.covariance[0, 0]) ** 0.5
        gains = refused(
            ('response_gains',),
            'a sweep does not know how bright its scene is: photon transfer tells the gain',
        )
        zero = self.estimate(
            'response_biases', (0.0,) * 3, (0.0,) * 3, 'by convention: darkness is black_level'
        )
        return *gains, zero, self.black_of(float(self.fit.theta[0]), std)

    def table(self) -> tuple[Estimate, ...]:
        x_end = self._end()

        def raw(theta: Array) -> Array:
            x = np.linspace(0.0, x_end, ENTRIES)
            return np.minimum(self.fit.curve.value(theta, x), 1.0)

        def unit(theta: Array) -> Array:
            values = raw(theta)
            return (values - values[0]) / (1.0 - values[0])

        theta = self.fit.theta
        table = np.clip(np.maximum.accumulate(unit(theta)), 0.0, 1.0)
        black = float(raw(theta)[0])
        black_std = self.dark_std or float(self.spread(lambda t: raw(t)[:1])[0])
        gains = tuple(1.0 / curve.full_signal for curve in self.nominal)
        return (
            self.estimate(
                'response_table', tuple(table.tolist()), tuple(self.spread(unit).tolist())
            ),
            self._by_convention(gains),
            self.estimate('response_biases', (0.0,) * 3, (0.0,) * 3, 'by convention'),
            self.black_of(black, black_std),
        )

    def sigmoid(self) -> tuple[Estimate, ...]:
        bias = float(self.fit.theta[0])
        std = float(self.fit.covariance[0, 0]) ** 0.5
        black = self.fit.curve.black
        inside = (REFERENCE - black) / (1.0 - black)
        x = float(np.log(inside / (1.0 - inside))) - bias
        gains = tuple(x / self._nominal_signal(curve) for curve in self.nominal)
        return (
            self._by_convention(gains),
            self.estimate('response_biases', (bias,) * 3, (std,) * 3),
        )

    def gamma(self) -> tuple[Estimate, ...]:
        curve, theta = self.fit.curve, self.fit.theta
        assert isinstance(curve, Gamma)

        def parameters(t: Array) -> Array:
            stops = (
                np.exp(t[0])
                * ((REFERENCE - curve.black) / (1 - curve.black) - t[2]) ** (np.exp(-t[1]))
                * ((curve.top - curve.black) / (1 - curve.black) - t[2]) ** (-np.exp(-t[1]))
            )
            return np.array([np.exp(t[1]), curve.gain(t), t[2], np.exp2(stops)])

        gamma, gain, bias, signal = (float(v) for v in parameters(theta))
        std = [float(v) for v in self.spread(parameters)]
        bias_why = counted = ''
        if curve.bias is not None:
            bias_why = 'values gather at digital 0 in the dark: light is taken to begin there'
        elif curve.length is None:
            std[2] = float(np.hypot(std[2], LED_ON))
        if curve.length is not None:
            counted = f'{self.why}, in the unit in which photon transfer finds shot noise of 1'
        nominal = self._nominal_signal(self.nominal[1])
        light = float(np.asarray(self.sensor.aggregator_gain)) * signal / nominal
        aggregator = Estimate(
            'aggregator_gain', light, light * std[3] / signal, FIELDS['aggregator_gain'].unit,
            'weak', 'by convention: so that pictures keep the nominal brightness', *self.origin,
        )  # fmt: skip
        return (
            self.estimate('response_gamma', gamma, std[0], counted),
            self.estimate('response_gains', (gain,) * 3, (std[1],) * 3, counted),
            self.estimate('response_biases', (bias,) * 3, (std[2],) * 3, bias_why or counted),
            aggregator,
        )

    def _by_convention(self, gains: tuple[float, ...]) -> Estimate:
        return Estimate(
            'response_gains', gains, (0.0,) * 3, FIELDS['response_gains'].unit, 'weak',
            'by convention: the brightness of the nominal sensor is kept', *self.origin,
        )  # fmt: skip

    @staticmethod
    def _nominal_signal(curve: LightCurve) -> float:
        """Return S·X at which the nominal sensor has the reference value."""
        light = float(curve.light(np.array([REFERENCE]))[0])
        if curve.linear:  # there light is the value itself
            light = ((REFERENCE - curve.black) / (1 - curve.black) - curve.bias) / (
                1.0 - curve.bias
            )
        return light * curve.full_signal

    def _end(self) -> float:
        """Return the exposure at which the table, led on straight, reaches 1."""
        x = np.linspace(1.0, 2.0, 1001)
        value = self.fit.curve.value(self.fit.theta, x)
        return float(x[min(int(np.searchsorted(value, 1.0)), len(x) - 1)])
