# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
r"""Whether calibration tells the truth: cameras that are known, through bags, against estimates.

For each seed a random camera (lens, distortion, vignetting, response, noise, defocus) films what
docs/calibrate_your_camera.md asks for; the frames go into bags as real messages, and the whole of
``diffphyscam calibrate`` reads them, knowing no more than a data sheet says. Printed are, for each
parameter, errors over stated standard deviations, how many are within 3, and the goals of
accuracy.

example:
  python bench/calibration_truth.py --seeds 20
  python bench/calibration_truth.py --first 7 --seeds 1 --values
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import shutil
import tempfile
import time

from _calibration_bags import random_camera, record, Size
from _measuring import finish, machine, parser
import numpy as np
import torch

from diffphyscam_ros.calibration.calibration_file import latest
from diffphyscam_ros.calibration.pipeline import calibrate, Calibration
from diffphyscam_ros.calibration.request import Request
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.camera.response import respond
from diffphyscam_ros.camera.vignetting import vignetting_mask

TARGET = 'chessboard:8x6:0.03'

COMPARED = (
    'focal_scale', 'principal_point', 'distortion_coefficients', 'vignetting_gain',
    'vignetting_coefficients', 'response_gains', 'response_biases', 'response_gamma',
    'black_level', 'read_noise', 'shot_noise_gain', 'dark_current', 'dsnu', 'prnu',
    'hot_pixel_fraction', 'hot_pixel_current', 'full_well', 'defocus_gain',
    'defocus_dead_zone', 'quantum_efficiency',
)  # fmt: skip
"""Not ``aggregator_gain``: no recording shows how bright the light was."""

CHOICES = ('distortion_model', 'vignetting_model', 'response_type', 'bit_depth')
"""Of these the very value must be found."""

GOALS = {
    'focal length': (0.001, 'of itself'),
    'principal point': (0.3, 'px'),
    'vignetting': (0.005, 'of full scale'),
    'response': (0.01, 'of full scale, rms'),
    'gain': (0.05, 'of itself'),
    'read noise': (0.05, 'of itself'),
    'dark current': (0.05, 'of itself'),
    'dsnu': (0.05, 'of itself'),
    'prnu': (0.05, 'of itself'),
    'defocus gain': (0.03, 'of itself'),
}


@dataclass(frozen=True)
class Deviation:
    """One number of one seed: what it is, what was found, and how sure the finder is."""

    seed: int
    name: str
    true: float
    found: float
    std: float

    @property
    def pull(self) -> float:
        """The error over its standard deviation."""
        off = abs(self.found - self.true)
        return off / self.std if self.std > 0 else (0.0 if off < 1e-12 else float('inf'))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out for one seed.

    :param errors: of ``GOALS``.
    :param wrong: choices that were not found.
    :param refused: parameters without an estimate.
    """

    seed: int
    deviations: tuple[Deviation, ...]
    errors: dict[str, float]
    wrong: tuple[str, ...]
    refused: tuple[str, ...]
    seconds: float


def check(seed: int, size: Size, folder: Path) -> Outcome:
    """Record a camera, calibrate it, and compare."""
    sensor = random_camera(seed, size)
    bags = record(sensor, folder, size, seed)
    start = SensorModel.load(folder / 'start.yaml')
    began = time.perf_counter()
    found = calibrate(
        Request(
            tuple(bags.values()),
            Target.parse(TARGET),
            start,
            model=sensor.distortion_model,
            cache=False,
        )
    )
    seconds = time.perf_counter() - began
    return compare(seed, sensor, found, seconds)


def compare(seed: int, sensor: SensorModel, found: Calibration, seconds: float = 0.0) -> Outcome:
    """Return how far a calibration is from the camera that was filmed."""
    estimates = latest(found.estimates)
    deviations: list[Deviation] = []
    refused = []
    for name in COMPARED:
        item = estimates.get(name)
        if item is None or item.value is None or item.std is None:
            refused.append(name)
            continue
        true, value, std = (
            np.atleast_1d(np.array(x, np.float64))
            for x in (getattr(sensor, name), item.value, item.std)
        )
        if len(true) != len(value):  # of another law than the true one
            continue
        for index in range(len(true)):
            label = name if len(true) == 1 else f'{name} {index}'
            deviations.append(
                Deviation(seed, label, float(true[index]), float(value[index]), float(std[index]))
            )
    wrong = tuple(
        f'{name}: {getattr(found.sensor, name)}, truly {getattr(sensor, name)}'
        for name in CHOICES
        if getattr(found.sensor, name) != getattr(sensor, name)
    )
    errors = _errors(sensor, found.sensor)
    return Outcome(seed, tuple(deviations), errors, wrong, tuple(refused), seconds)


def _errors(true: SensorModel, found: SensorModel) -> dict[str, float]:
    """Return the errors that the goals are of."""

    def relative(name: str) -> float:
        pair = (np.array(getattr(sensor, name), np.float64) for sensor in (true, found))
        one, two = pair
        return float(np.abs(two / one - 1.0).max())

    k, ours = true.intrinsics(), found.intrinsics()
    masks = [vignetting_mask(s.intrinsics(), s, s.settings) for s in (true, found)]
    dark = [np.ones((true.image_height, true.image_width)) if m is None else np.asarray(m)
            for m in masks]  # fmt: skip
    return {
        'focal length': max(abs(ours.fx / k.fx - 1.0), abs(ours.fy / k.fy - 1.0)),
        'principal point': max(abs(ours.cx - k.cx), abs(ours.cy - k.cy)),
        'vignetting': float(np.abs(dark[0] - dark[1]).max()),
        'response': _curve_error(true, found),
        'gain': relative('response_gains') if true.response_type != 'gamma' else float('nan'),
        'read noise': relative('read_noise'),
        'dark current': relative('dark_current'),
        'dsnu': relative('dsnu'),
        'prnu': relative('prnu'),
        'defocus gain': relative('defocus_gain'),
    }


def _curve_error(true: SensorModel, found: SensorModel) -> float:
    """Return the rms difference of two response curves, the unit of exposure fitted."""
    full = _full_scale(true)
    light = torch.linspace(0.01, 1.0, 200, dtype=torch.float64)
    wanted = _curve(true, light * full)
    unit = _full_scale(found)
    errors = [
        float((_curve(found, light * unit * scale) - wanted).square().mean().sqrt())
        for scale in np.linspace(0.95, 1.05, 201)
    ]
    return min(errors)


def _curve(sensor: SensorModel, electrons: torch.Tensor) -> torch.Tensor:
    return respond(
        electrons[:, None, None].expand(-1, 1, 3), 100.0, sensor.response_type,
        sensor.response_gains, sensor.response_biases, sensor.response_gamma,
        table=sensor.response_table, black_level=sensor.black_level,
    )[:, 0, 1]  # fmt: skip


def _full_scale(sensor: SensorModel) -> float:
    """Return the electrons of 90 % of full scale."""
    tried = torch.logspace(0, 9, 20001, dtype=torch.float64)
    return float(tried[int((_curve(sensor, tried) < 0.9).sum()) - 1])


def outcomes(options: argparse.Namespace, size: Size) -> Iterator[Outcome]:
    """Yield what came out for each seed; bags are removed once they were read."""
    for seed in range(options.first, options.first + options.seeds):
        folder = Path(tempfile.mkdtemp(prefix='calibration_truth_'))
        try:
            yield check(seed, size, folder / 'bags')
        finally:
            shutil.rmtree(folder)


def summary(found: list[Outcome]) -> str:
    """Return the table of parameters and that of the goals."""
    rows = ['| parameter | numbers | within 3 σ | rms error/σ | largest | rms error | σ |',
            '| --- | --- | --- | --- | --- | --- | --- |']  # fmt: skip
    every = [item for one in found for item in one.deviations]
    for name in dict.fromkeys(item.name.split(' ')[0] for item in every):
        some = [item for item in every if item.name.split(' ')[0] == name]
        pull = np.array([item.pull for item in some])
        miss = np.array([item.found - item.true for item in some])
        rows.append(
            f'| {name} | {len(some)} | {(pull <= 3).sum()} | {np.sqrt((pull**2).mean()):.2f} | '
            f'{pull.max():.1f} | {np.sqrt((miss**2).mean()):.2g} | '
            f'{np.median([item.std for item in some]):.2g} |'
        )
    pull = np.array([item.pull for item in every])
    rows.append(
        f'| **all** | {len(every)} | {(pull <= 3).sum()} ({100 * (pull <= 3).mean():.1f} %) | '
        f'{np.sqrt((np.minimum(pull, 99) ** 2).mean()):.2f} | {pull.max():.1f} | | |'
    )
    rows += ['', '| goal | limit | seeds that keep it | median | largest |',
             '| --- | --- | --- | --- | --- |']  # fmt: skip
    for name, (limit, unit) in GOALS.items():
        errors = np.array([one.errors[name] for one in found])
        errors = errors[np.isfinite(errors)]
        if len(errors):
            rows.append(
                f'| {name} | {limit:g} {unit} | {(errors <= limit).sum()} of {len(errors)} | '
                f'{np.median(errors):.2g} | {errors.max():.2g} |'
            )
    return '\n'.join(rows)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument('--seeds', type=int, default=20)
    arguments.add_argument('--first', type=int, default=0, help='the first seed')
    arguments.add_argument('--size', nargs=2, type=int, default=(320, 240), metavar=('W', 'H'))
    arguments.add_argument('--views', type=int, default=30, help='of the board')
    arguments.add_argument('--values', action='store_true', help='print every number')
    options = arguments.parse_args()
    size = Size(*options.size, views=options.views, few=options.quick)
    found = []
    for one in outcomes(options, size):
        found.append(one)
        far = sorted((item for item in one.deviations if item.pull > 3), key=lambda i: -i.pull)
        said = [f'{i.name} {i.found:.6g}±{i.std:.2g} (truly {i.true:.6g})' for i in far]
        kept = sum(error <= GOALS[name][0] for name, error in one.errors.items())
        print(
            f'seed {one.seed}: {len(one.deviations) - len(far)} of {len(one.deviations)} within '
            f'3 σ, {kept} of {len(one.errors)} goals, {one.seconds:.1f} s; '
            f'{"; ".join([*said, *one.wrong]) or "nothing is far"}',
            flush=True,
        )
        for item in one.deviations if options.values else ():
            print(f'  {item.name:28s} {item.true:12.6g} {item.found:12.6g} ± {item.std:9.2g} '
                  f'{item.pull:6.2f}')  # fmt: skip
        if options.values:
            print('  refused:', ', '.join(one.refused), '\n ', one.errors)
    print(summary(found))
    if options.json:
        every = [item for one in found for item in one.deviations]
        share = float(np.mean([item.pull <= 3 for item in every]))
        finish({'machine': machine(), 'seeds': len(found), 'within_3_sigma': share}, True)


if __name__ == '__main__':
    main()
