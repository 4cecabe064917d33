# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Recover a camera's response curve and its true exposure times from a bracket of photographs.

Unknown are the response curve, the radiance of every pixel and the exposure times, of which only
the nominal values are known: the shutter is off by up to a quarter of a stop. The photographs
have a film-like curve, photon noise, read noise and 8 bit. They are explained by the same camera
with a monotone response table of other, fewer knots, all unknowns by gradient at once.

OpenCV's createCalibrateDebevec, on the same pixels, has to be told the exposure times: it gets
the nominal ones, and in a second run the true ones, which nobody knows outside a simulation.

What photographs alone cannot tell (the gauge): the unit of radiance, and a common power of
radiance and exposure (f(X) and f(X^p) explain the same pictures; Grossberg and Nayar, 2003). The
nominal exposures settle both: on average and over the whole bracket they are taken to be right.
All results are compared after that alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path

from _common import full_frame, FULL_WELL, options, Progress, run, table, table_scene
import _figures
import cv2
import numpy as np
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel

NOMINAL = [1 / 1000, 1 / 500, 1 / 250, 1 / 125, 1 / 60, 1 / 30, 1 / 15]  # s
SHUTTER_ERROR = 0.25  # stops, the largest
TABLE_SIZE = 512  # values of the response table that is fitted
LEVELS = np.arange(8, 248)  # digital values over which curves are compared


@dataclass(frozen=True)
class Result:
    """Root-mean-square errors in stops, after alignment."""

    exposure_error: float
    nominal_exposure_error: float
    curve_error: float
    debevec_nominal_error: float
    debevec_true_error: float
    figure: Path | None


def film_curve(count: int) -> torch.Tensor:
    """Return the true response at even steps of exposure: a straight toe, a soft shoulder."""
    x = torch.linspace(0.0, 1.0, count, dtype=torch.float64)
    lifted = (x + 0.003) ** 0.45 - 0.003**0.45
    value = 1.0 - torch.exp(-1.6 * lifted)
    return value / value[-1]


def take_bracket(sensor: SensorModel, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the photographs (n, H, W, 3) and the radiance (H, W, 3) they show."""
    radiance, _ = table_scene(sensor.intrinsics())
    camera = PhysicalCamera(sensor, ('exposure', 'noise', 'response', 'quantization'), seed=11)
    settings = CameraSettings(2.8, times, 100.0, 0.05, 2.0)
    return camera(radiance, None, settings).image, radiance


class Unknowns:
    """All that is looked for, and the pictures that follow from it through the camera."""

    def __init__(self, sensor: SensorModel, seen: torch.Tensor, knots: int) -> None:
        """Begin with the nominal exposures, a square root as curve, and radiances to match."""
        count = seen.shape[1]
        self.nominal = torch.tensor(NOMINAL, dtype=torch.float64).log()
        place = torch.linspace(0.0, 1.0, knots, dtype=torch.float64) ** 3.0  # dense in the dark
        self.slopes = place.sqrt().diff().log().requires_grad_()
        self.shifts = torch.zeros_like(self.nominal).requires_grad_()
        # From values to the even steps of the table: linear between knots.
        steps = np.linspace(0.0, 1.0, TABLE_SIZE)
        rows = [np.interp(steps, place.numpy(), unit) for unit in np.eye(knots)]
        self.spread = torch.tensor(np.stack(rows, axis=1))
        settings = CameraSettings(2.8, 1.0, 100.0, 0.05, 2.0)
        self.sensor = replace(sensor, image_width=count, image_height=1, bit_depth=0)
        self.settings = settings
        one = PhysicalCamera(self.sensor, ('exposure',))
        gathered = one(torch.ones(1, count, 3, dtype=torch.float64), None, settings).image
        guess = seen.clamp(0.02, 0.98).square().log() - self.nominal[:, None, None]
        useful = ((seen > 0.1) & (seen < 0.9)).double() + 1e-3
        start = (guess * useful).sum(0) / useful.sum(0) - (gathered / FULL_WELL)[0].log()
        self.radiance = start.requires_grad_()

    def parameters(self) -> list[torch.Tensor]:
        """Return the tensors that the optimiser moves."""
        return [self.radiance, self.slopes, self.shifts]

    def values(self) -> torch.Tensor:
        """Return the curve at its knots: from 0 to 1, always rising."""
        return torch.cat([torch.zeros(1, dtype=torch.float64), self.slopes.softmax(0).cumsum(0)])

    def response(self) -> torch.Tensor:
        """Return the response table, (TABLE_SIZE,)."""
        return (self.spread @ self.values()).clamp(0.0, 1.0)

    def log_times(self) -> torch.Tensor:
        """Return log t (n,): the nominal ones plus shifts without mean and without slope."""
        along = self.nominal - self.nominal.mean()
        shifts = self.shifts - self.shifts.mean()
        return self.nominal + shifts - along * (shifts @ along) / (along @ along)

    def pictures(self) -> torch.Tensor:
        """Return what the camera makes of it, (n, 1, pixels, 3)."""
        sensor = replace(self.sensor, response_table=self.response())
        settings = replace(self.settings, exposure_time=self.log_times().exp())
        camera = PhysicalCamera(sensor, ('exposure', 'response'))
        light = self.radiance.exp()[None, None].expand(len(NOMINAL), 1, -1, -1)
        return camera(light, None, settings).image

    def loss(self, seen: torch.Tensor, trusted: torch.Tensor) -> torch.Tensor:
        """Return the misfit, rounded off near 0, and how far from smooth the curve is."""
        misfit = torch.sqrt((self.pictures()[:, 0] - seen).square() + 0.004**2) - 0.004
        bend = self.slopes.diff().diff()  # of the log slope
        return (misfit * trusted).sum() / trusted.sum() + 2e-5 * bend.square().sum()


def fit(sensor: SensorModel, seen: torch.Tensor, knots: int, rounds: int) -> Unknowns:
    """Find everything with L-BFGS, in rounds between which the progress is shown."""
    unknowns = Unknowns(sensor, seen, knots)
    trusted = ((seen > 0.02) & (seen < 0.985)).double()
    descent = torch.optim.LBFGS(
        unknowns.parameters(), max_iter=20, history_size=20, line_search_fn='strong_wolfe',
        tolerance_change=0.0,
    )  # fmt: skip

    def closure() -> torch.Tensor:
        descent.zero_grad()
        loss = unknowns.loss(seen, trusted)
        loss.backward()
        return loss

    progress = Progress('fit', rounds)
    for _ in range(rounds):
        loss = descent.step(closure)
        progress.step(f'loss {float(loss.detach()):.5f}')
    return unknowns


def debevec(seen: torch.Tensor, times: Sequence[float]) -> np.ndarray:
    """Return OpenCV's log2 exposure of every digital value, (256, 3), from the same pixels."""
    side = math.isqrt(seen.shape[1])
    photos = [(255 * one).round().to(torch.uint8).reshape(side, side, 3).numpy() for one in seen]
    calibrate = cv2.createCalibrateDebevec(samples=side * side, lambda_=10.0, random=False)
    curve = calibrate.process(photos, np.array(times, np.float32))
    return np.log2(np.maximum(curve.reshape(256, 3), 1e-12))


def log_exposures(table_values: torch.Tensor) -> np.ndarray:
    """Invert a response table: log2 of the exposure at every digital value, (256,)."""
    values = table_values.detach().numpy() + 1e-12 * np.arange(len(table_values))
    steps = np.linspace(0.0, 1.0, len(values))
    return np.log2(np.maximum(np.interp(np.arange(256) / 255, values, steps), 1e-9))


def aligned(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return found·p + q with the p and q that bring it closest to the truth: the gauge."""
    slope, offset = np.polyfit(found, true, 1)
    return slope * found + offset


def rms(found: np.ndarray, true: np.ndarray) -> float:
    """Return the root mean square of the difference after alignment."""
    return float(np.sqrt(np.mean((aligned(found, true) - true) ** 2)))


def main(argv: Sequence[str] | None = None) -> Result:
    """Take the bracket, recover all, compare with OpenCV, print and draw."""
    choice = options(__doc__, argv)
    width, side, knots, rounds = (120, 12, 20, 8) if choice.quick else (320, 20, 28, 20)
    generator = torch.Generator().manual_seed(4)
    errors = SHUTTER_ERROR * (2 * torch.rand(len(NOMINAL), generator=generator) - 1)
    times = torch.tensor(NOMINAL) * 2.0**errors
    true_curve = film_curve(2048)
    # Here 0.1 V is reached at radiance 0.2 or so; the brightest of the scene burn out in half.
    sensor = full_frame(
        width, width * 3 // 4, response_type='table', response_table=true_curve.tolist()
    )
    photos, _ = take_bracket(sensor, times)

    middle = photos[:, 4:-4, 4:-4].flatten(1, 2)
    order = middle.mean((0, 2)).argsort()
    chosen = order[torch.linspace(0, len(order) - 1, side * side).long()]  # dark to bright
    seen = middle[:, chosen].double()
    unknowns = fit(sensor, seen, knots, rounds)

    true_times, nominal = times.log2().double().numpy(), np.log2(NOMINAL)
    found_times = (unknowns.log_times() / math.log(2.0)).detach().numpy()
    true = log_exposures(true_curve)
    ours = log_exposures(unknowns.response())
    told = {'nominal': debevec(seen, NOMINAL), 'true': debevec(seen, times.tolist())}
    curve_errors = {
        name: float(np.mean([rms(curve[LEVELS, c], true[LEVELS]) for c in range(3)]))
        for name, curve in told.items()
    }
    result = Result(
        rms(found_times, true_times),
        rms(nominal, true_times),
        rms(ours[LEVELS], true[LEVELS]),
        curve_errors['nominal'],
        curve_errors['true'],
        None,
    )
    best, given = aligned(found_times, true_times), aligned(nominal, true_times)
    table(
        ('photo', 'nominal (ms)', 'true (ms)', 'recovered (ms)', 'error (stops)', 'nominal error'),
        [
            (i + 1, *(f'{1e3 * t:.3f}' for t in (NOMINAL[i], 2 ** true_times[i], 2 ** best[i])),
             f'{best[i] - true_times[i]:+.4f}',
             f'{given[i] - true_times[i]:+.4f}')
            for i in range(len(NOMINAL))
        ],
    )  # fmt: skip
    table(
        ('rms error in stops', 'exposures', 'response curve'),
        [
            ('gradient, exposures unknown', f'{result.exposure_error:.4f}',
             f'{result.curve_error:.4f}'),
            ('OpenCV Debevec, nominal exposures', f'{result.nominal_exposure_error:.4f} (given)',
             f'{result.debevec_nominal_error:.4f}'),
            ('OpenCV Debevec, true exposures', '0 (given)', f'{result.debevec_true_error:.4f}'),
        ],
    )  # fmt: skip
    if choice.quick:
        return result
    names = ('OpenCV Debevec; nominal exposures', 'OpenCV Debevec; true exposures')
    curves = {'gradient; exposures unknown': ours}
    curves |= {name: curve[:, 1] for name, curve in zip(names, told.values(), strict=True)}
    fitted = {name: aligned(curve[LEVELS], true[LEVELS]) for name, curve in curves.items()}
    drawn = _figures.exposure_bracket(
        choice.out,
        photos,
        NOMINAL,
        LEVELS,
        {'truth': true[LEVELS], **fitted},
        (given - true_times, best - true_times),
    )
    return replace(result, figure=drawn)


if __name__ == '__main__':
    run(main)
