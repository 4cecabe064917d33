# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The response curves that a sweep can be explained with: digital value against exposure.

x is exposure in a unit of the curve's own: photographs of unknown light fix it up to a factor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from diffphyscam_ros.calibration.planes import Array

GRID = 1025
"""Points at which a free curve is evaluated; straight in between."""


class Curve(ABC):
    """A family of curves v(x; θ).

    :param black: digital value that the sensor adds, for families that cannot estimate it.
    :param top: highest value observed; x is 1 there where the family leaves the unit open.
    """

    kind = ''

    def __init__(self, black: float, top: float) -> None:
        """See the class."""
        self.black, self.top = black, top

    @abstractmethod
    def start(self) -> Array:
        """Return θ to begin with."""

    @abstractmethod
    def value(self, theta: Array, x: Array) -> Array:
        """Return v of x ≥ 0."""

    @abstractmethod
    def inverse_start(self, values: Array) -> Array:
        """Return a rough x of observed values, to begin with."""

    def penalty(self, theta: Array) -> tuple[Array, float]:
        """Return what should be small, (k,) linear in θ, and its weight."""
        return np.zeros(0), 0.0

    def slopes(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """Return the derivatives of v: by θ (n, p), and by ln x (n,)."""
        by_theta = _differences(lambda t: self.value(t, x), theta)
        tiny = 1e-3
        by_x = self.value(theta, x * (1 + tiny)) - self.value(theta, x * (1 - tiny))
        return by_theta, by_x / (2.0 * tiny)


def _differences(function: Callable[[Array], Array], theta: Array) -> Array:
    """Return the derivatives of (n,) values by θ, (n, p)."""
    columns = []
    for index in range(len(theta)):
        step = np.zeros(len(theta))
        step[index] = 1e-4 * max(1.0, abs(theta[index]))
        columns.append((function(theta + step) - function(theta - step)) / (2.0 * step[index]))
    return np.stack(columns, axis=1)


class Linear(Curve):
    """v = β + x."""

    kind = 'linear'

    def start(self) -> Array:
        """Return β."""
        return np.array([self.black])

    def value(self, theta: Array, x: Array) -> Array:
        """See ``Curve``."""
        return theta[0] + x

    def inverse_start(self, values: Array) -> Array:
        """See ``Curve``."""
        return np.maximum(values - self.black, 1e-3)


class Sigmoid(Curve):
    """v = b + (1 − b) / (1 + e^−(x + o))."""

    kind = 'sigmoid'

    def start(self) -> Array:
        """Return o."""
        return np.array([-3.0])

    def value(self, theta: Array, x: Array) -> Array:
        """See ``Curve``."""
        return self.black + (1.0 - self.black) / (1.0 + np.exp(-np.clip(x + theta[0], -50, 50)))

    def inverse_start(self, values: Array) -> Array:
        """See ``Curve``."""
        unit = np.clip((values - self.black) / (1 - self.black), 1e-3, 1 - 1e-3)
        return np.maximum(np.log(unit / (1 - unit)) + 3.0, 0.05)


FIXED = 1e7
"""Factor of what a penalty does not let go."""


class Gamma(Curve):
    """v = b + (1 − b)·(g·(log2(S·X))^γ + o), with S·X = x·2^L: θ = ln L, ln γ, o.

    g makes the highest value that of x = 1.

    :param bias: o, where it is known: 0 where light begins at the value of darkness. γ and L
        nearly cancel, and with o free they are known four times worse.
    :param length: L, where it is known.
    """

    kind = 'gamma'

    def __init__(
        self,
        black: float,
        top: float,
        bias: float | None = None,
        length: float | None = None,
    ) -> None:
        """See the class."""
        super().__init__(black, top)
        self.bias, self.length = bias, length

    def start(self) -> Array:
        """Return ln L, ln γ, o."""
        return np.array([np.log(self.length or 16.0), np.log(5.0), self.bias or 0.0])

    def gain(self, theta: Array) -> float:
        """Return g."""
        top = (self.top - self.black) / (1.0 - self.black)
        return float((top - theta[2]) / np.exp(theta[0]) ** np.exp(theta[1]))

    def value(self, theta: Array, x: Array) -> Array:
        """See ``Curve``."""
        length, gamma = np.exp(np.clip(theta[:2], -3.0, 6.0))
        stops = np.maximum(1.0 + np.log2(np.maximum(x, 1e-30)) / length, 0.0)
        top = (self.top - self.black) / (1.0 - self.black)
        value = (top - theta[2]) * stops**gamma + theta[2]
        return self.black + (1.0 - self.black) * value

    def inverse_start(self, values: Array) -> Array:
        """See ``Curve``."""
        unit = np.clip((values - self.black) / (self.top - self.black), 1e-3, 1.0)
        return np.maximum(np.exp2(16.0 * (unit ** (1 / 5.0) - 1.0)), 1e-6)

    def penalty(self, theta: Array) -> tuple[Array, float]:
        """Hold L near 16 where the data say nothing: with γ it is nearly a power of x."""
        bias = 0.0 if self.bias is None else FIXED * (theta[2] - self.bias)
        if self.length is None:
            length = theta[0] - np.log(16.0)
        else:
            length = FIXED * (theta[0] - np.log(self.length))
        return np.array([length, bias]), 1e-7


class Table(Curve):
    """A monotone cubic spline over √x, whose coefficients only rise: θ = rises, and black if free.

    The square root gives the dark end, where curves are steep, as many pieces as the bright one.
    """

    kind = 'table'
    pieces = 13

    def __init__(self, black: float, top: float, free: bool = True) -> None:
        """See the class."""
        super().__init__(black, top)
        self.free = free
        from scipy.interpolate import BSpline

        inner = np.linspace(0.0, 1.0, self.pieces - 1)
        knots = np.concatenate([[0.0] * 3, inner, [1.0] * 3])
        u = np.linspace(0.0, 1.0, GRID)
        self.basis: Array = BSpline.design_matrix(u, knots, 3).toarray()
        self.u = u

    def start(self) -> Array:
        """Return equal rises."""
        rises = np.zeros(self.basis.shape[1] - 1)
        return np.append(rises, self.black) if self.free else rises

    def _parts(self, theta: Array) -> tuple[Array, float]:
        return (theta[:-1], float(theta[-1])) if self.free else (theta, self.black)

    def grid(self, theta: Array) -> Array:
        """Return v at √x = 0 … 1."""
        powers, black = self._parts(theta)
        rises = np.exp(np.clip(powers - powers.max(), -30.0, 0.0))
        share = np.concatenate([[0.0], np.cumsum(rises) / rises.sum()])
        return np.asarray(self.basis @ (black + (self.top - black) * share))

    def value(self, theta: Array, x: Array) -> Array:
        """See ``Curve``; beyond 1 it goes on straight in √x."""
        values = self.grid(theta)
        u = np.sqrt(np.maximum(x, 0.0))
        slope = (values[-1] - values[-9]) / (self.u[-1] - self.u[-9])
        return np.interp(u, self.u, values) + np.maximum(u - 1.0, 0.0) * slope

    def slopes(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """See ``Curve``; derivatives are taken on the grid and interpolated."""
        by_theta = _differences(self.grid, theta)
        place = np.sqrt(np.clip(x, 0.0, 1.0)) * (GRID - 1)
        below = np.minimum(place.astype(np.intp), GRID - 2)
        part = (place - below)[:, None]
        columns = by_theta[below] * (1.0 - part) + by_theta[below + 1] * part
        values = self.grid(theta)
        by_u = (values[below + 1] - values[below]) * (GRID - 1)
        return columns, 0.5 * by_u * np.sqrt(np.maximum(x, 0.0))

    def inverse_start(self, values: Array) -> Array:
        """See ``Curve``."""
        return np.clip((values - self.black) / (self.top - self.black), 1e-2, 1.0) ** 2

    def penalty(self, theta: Array) -> tuple[Array, float]:
        """Prefer smooth rises, and fix their common factor."""
        rises = self._parts(theta)[0]
        return np.concatenate([np.diff(rises, n=2), [rises.mean()]]), 1e-6


CURVES: tuple[type[Curve], ...] = (Linear, Sigmoid, Gamma, Table)
"""From the simplest to the freest."""
