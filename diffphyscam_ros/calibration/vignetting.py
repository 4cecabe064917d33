# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage "vignetting": how the picture of an even light darkens towards the corners.

Three laws are fitted to blocks of the mean flat field, in linear light: cos⁴ with a gain (one
number), a radial polynomial, a free map. Of the frames every other one is held out, and of the
blocks every other one as well, because a sensor's fixed pattern is the same in all frames: the
simplest law is taken whose error there is near that of the best.

An uneven light is modelled as a plane times the law, 1 + a·x + b·y. What is odd over the picture
and straight cannot be told from a lamp that is brighter on one side: it is given to the lamp, and
said. The laws' centre is the principal point of the sensor.

``plots``: ``blocks``: ``radius`` (tan θ), ``value`` (over the centre, the plane removed),
``model``; ``held_out``: rms error of each law; ``chosen``; ``light``: the plane's a and b, share
over half the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.flat_average import FlatAverage, gather_flats
from diffphyscam_ros.calibration.noise_estimates import refused
from diffphyscam_ros.calibration.planes import Array
from diffphyscam_ros.calibration.types import Estimate, RecordedFrame, StageResult
from diffphyscam_ros.camera.plain import plain_copy
from diffphyscam_ros.camera.sensor_model import PARAMETERS as FIELDS
from diffphyscam_ros.camera.sensor_model import SensorModel

PARAMETERS = ('vignetting_model', 'vignetting_gain', 'vignetting_coefficients', 'vignetting_map')

MAP_COLUMNS, MAP_ROWS = 9, 7

UNEVEN = 0.05
"""Slope of the lamp over half the picture, above which it is named."""

RECORD = (
    'film an even light (a diffuser before the lens, an overcast sky) so that the centre is at '
    'half of full scale, ten frames, the camera turned upside down for half of them'
)


@dataclass(frozen=True)
class _Law:
    """A law at the blocks: f(θ), 1 at the centre, linear in θ: f = 1 + basis·θ (map: basis·θ)."""

    kind: str
    basis: Array
    constant: float
    limits: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class _Fit:
    law: _Law
    theta: Array
    level: float
    slopes: Array
    covariance: Array

    def shape(self) -> Array:
        return self.law.constant + self.law.basis @ self.theta

    def light(self, xy: Array) -> Array:
        return self.level * (1.0 + xy @ self.slopes)

    def predict(self, xy: Array) -> Array:
        return self.shape() * self.light(xy)


def estimate_vignetting(frames: Iterable[RecordedFrame], sensor: SensorModel) -> StageResult:
    """Estimate the law of the vignetting.

    :param frames: of role 'flat'; 'dark' ones give the black level of a linear response. Others
        are left out. They are gone through once.
    :param sensor: with the K and the response that other stages found.
    """
    flats = gather_flats(frames, sensor)
    if isinstance(flats, str):
        why = f'{flats}: {RECORD}'
        return StageResult('vignetting', refused(PARAMETERS, why), (why,))
    messages = [f'{count} frames left out: {why}' for why, count in flats.skipped.items()]
    view = plain_copy(sensor.intrinsics(sensor.settings))
    if (view.width, view.height) != flats.size:
        why = (
            f'the flat frames are {flats.size[0]}x{flats.size[1]} px, the sensor is '
            f'{view.width}x{view.height} px: calibrate the intrinsics with pictures of that size'
        )
        return StageResult('vignetting', refused(PARAMETERS, why), (why, *messages))
    u, v = np.meshgrid(flats.u, flats.v)
    # The mean over a block is that of four points of it (Gauss), exact up to cubic terms.
    reach = 0.5 / 3.0**0.5 * float(flats.u[1] - flats.u[0])
    x, y = (
        ((place.ravel() + reach * np.array([[-1], [1]])) - centre) / focal
        for place, centre, focal in ((u, view.cx, view.fx), (v, view.cy, view.fy))
    )
    r2 = np.asarray(x[:, None] ** 2 + y[None] ** 2, np.float64).reshape(4, -1)
    xy = np.stack([u.ravel() / flats.size[0], v.ravel() / flats.size[1]], axis=1) * 2.0 - 1.0
    laws, r2 = _laws(r2, flats), r2.mean(axis=0)
    fits, errors = _compared(laws, flats, xy)
    best = min(errors.values())
    chosen = next(
        fit for fit in fits if errors[fit.law.kind] ** 2 < max(1.05 * best**2, best**2 + 2.5e-7)
    )
    tilt = np.abs(chosen.slopes)
    if tilt.max() > UNEVEN:
        messages.append(
            f'the light is uneven: {100 * tilt[0]:.0f} % over half the width, {100 * tilt[1]:.0f} '
            '% over half the height; it is taken for the lamp, and cannot be told from a lens '
            'that is off its axis: turn the camera upside down for half of the frames'
        )
    found = _estimates(chosen, flats, tilt.max() > 4 * UNEVEN)
    return StageResult('vignetting', found, tuple(messages), _plots(chosen, flats, r2, xy, errors))


def _laws(r2: Array, flats: FlatAverage) -> list[_Law]:
    """Return the laws, from the simplest to the freest.

    :param r2: tan²θ at four points of each block, (4, blocks).
    """
    width, height = flats.size
    columns = _hat(flats.u * ((MAP_COLUMNS - 1) / (width - 1)), MAP_COLUMNS)
    rows = _hat(flats.v * ((MAP_ROWS - 1) / (height - 1)), MAP_ROWS)
    grid = np.einsum('vr,uc->vurc', rows, columns).reshape(r2.shape[1], -1)
    laws = [_Law('cos4', ((1 + r2) ** -2 - 1).mean(axis=0)[:, None], 1.0, (0.0, 1.0))]
    laws += [
        _Law(f'radial {n}', np.stack([(r2**k).mean(axis=0) for k in range(1, n + 1)], axis=1), 1.0)
        for n in (1, 2, 3)
    ]
    return [*laws, _Law('map', grid, 0.0)]


def _hat(place: Array, count: int) -> Array:
    """Return the weights of linear interpolation between ``count`` points, (n, count)."""
    return np.maximum(1.0 - np.abs(place[:, None] - np.arange(count)), 0.0)


def _fit(law: _Law, value: Array, noise: Array, xy: Array, rows: Array) -> _Fit:
    """Fit level·(1 + slope·xy)·law by Gauss–Newton; the map has no level of its own."""
    theta = np.zeros(law.basis.shape[1]) if law.constant else np.ones(law.basis.shape[1])
    level, slopes = (float(value.max()) if law.constant else 1.0), np.zeros(2)
    weight = 1.0 / noise[rows]
    basis, place, seen = law.basis[rows], xy[rows], value[rows]
    free_level = bool(law.constant)
    covariance = np.eye(1)
    for _ in range(12):
        light, shape = level * (1.0 + place @ slopes), law.constant + basis @ theta
        columns = [basis * light[:, None]]
        if free_level:
            columns += [
                (shape * (1.0 + place @ slopes))[:, None],
                (shape * level)[:, None] * place,
            ]
        lever = np.concatenate(columns, axis=1) * weight[:, None]
        residual = (seen - light * shape) * weight
        ridge = 0.0 if free_level else 1e-6 * np.trace(lever.T @ lever) / lever.shape[1]
        normal = lever.T @ lever + (ridge + 1e-12) * np.eye(lever.shape[1])
        covariance = np.linalg.inv(normal)
        change = covariance @ (lever.T @ residual)
        theta = np.clip(theta + change[: len(theta)], *law.limits)
        if free_level:
            level += change[len(theta)]
            slopes = slopes + change[len(theta) + 1 :]
    freedom = max(len(seen) - lever.shape[1], 1)
    residual = (seen - level * (1.0 + place @ slopes) * (law.constant + basis @ theta)) * weight
    chi2 = max(float(residual @ residual) / freedom, 1.0)
    return _Fit(law, theta, level, slopes, covariance[: len(theta), : len(theta)] * chi2)


def _compared(
    laws: list[_Law], flats: FlatAverage, xy: Array
) -> tuple[list[_Fit], dict[str, float]]:
    """Return every law's fit to everything, and its error on blocks of frames held out."""
    rows, columns = flats.mean.shape
    board = ((np.arange(rows)[:, None] + np.arange(columns)) % 2 == 0).ravel()
    noise = np.full(flats.mean.size, max(flats.noise, 1e-6))
    other = flats.even if flats.odd is None else flats.odd
    fits, errors = [], {}
    for law in laws:
        half = _fit(law, flats.even.ravel(), noise, xy, board)
        miss = half.predict(xy)[~board] - other.ravel()[~board]
        errors[law.kind] = float(np.sqrt(np.mean(miss**2)))
        fits.append(_fit(law, flats.mean.ravel(), noise, xy, np.ones_like(board)))
    return fits, errors


def _estimates(fit: _Fit, flats: FlatAverage, doubtful: bool) -> tuple[Estimate, ...]:
    origin = flats.frames, ', '.join(flats.bags)
    verdict = 'weak' if doubtful else 'estimated'
    kind = fit.law.kind.split()[0]
    why = f'mean of {flats.frames} flat frames; the simplest law that predicts those held out'

    def one(name: str, value: Any, std: Any) -> Estimate:
        return Estimate(name, value, std, FIELDS[name].unit, verdict, why, *origin)

    std = np.sqrt(np.diag(fit.covariance))
    law = one('vignetting_model', kind, None)
    if kind == 'cos4':
        return law, one('vignetting_gain', float(fit.theta[0]), float(std[0]))
    if kind == 'radial':
        return law, one(
            'vignetting_coefficients', tuple(map(float, fit.theta)), tuple(map(float, std))
        )
    # The brightest point of the map is 1: a plane of light is in it and cannot be told apart.
    grid = fit.theta / fit.theta.max()
    return (
        law,
        one('vignetting_map', tuple(map(float, grid)), tuple(map(float, std / fit.theta.max()))),
        one('vignetting_map_columns', float(MAP_COLUMNS), 0.0),
    )


def _plots(
    fit: _Fit, flats: FlatAverage, r2: Array, xy: Array, errors: dict[str, float]
) -> dict[str, Any]:
    value = flats.mean.ravel() / fit.light(xy)
    order = np.argsort(r2)
    pick: Callable[[Array], list[float]] = lambda a: a[order].tolist()  # noqa: E731
    return {
        'blocks': {
            'radius': pick(np.sqrt(r2)),
            'value': pick(value),
            'model': pick(fit.shape()),
        },
        'held_out': errors,
        'chosen': fit.law.kind,
        'light': fit.slopes.tolist(),
    }
