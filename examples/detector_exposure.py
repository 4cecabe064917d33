# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Tune exposure time and ISO so that markers are found while the camera turns in dim light.

A long exposure smears, a short one is noise, a low gain is lost in 8 bit and a high one burns
out. How well a marker could be read is measured by something smooth: the correlation of each
marker's picture with what it should look like. It is differentiable through the quantiser, the
response, the noise and the shutter, so plain gradient ascent finds the settings. Whether they are
good is then judged by something that has no gradient and that the search never saw: OpenCV's
ArUco detector on pictures with other noise, other moments within the exposure and hard clipping,
over a grid of exposure times and gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path

from _common import full_frame, marker_board, options, Progress, run, supersampled, table
import _figures
import cv2
import numpy as np
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.shutter import shutter_weights
from diffphyscam_ros.scene import look_at, pose_from_rpy

STAGES = ('exposure', 'noise', 'response', 'quantization')
TURN = 2.5  # rad/s, of the camera about its vertical axis
LUX = 20.0
TIMES = (2.5e-4, 3.2e-2)  # s, range of exposure times
ISOS = (100.0, 102_400.0)
DICTIONARY = cv2.aruco.DICT_4X4_50
MARKERS = (5, 3)  # columns, rows


@dataclass(frozen=True)
class Result:
    """Where the ascent ended, and how OpenCV does there and elsewhere."""

    exposure_time: float
    iso: float
    detection_rate: float  # at the optimum found
    best_on_grid: float  # the highest over the whole grid
    start_rates: list[float]  # where the ascents began
    figure: Path | None


def views(sensor: SensorModel, moments: torch.Tensor) -> torch.Tensor:
    """Render what the turning camera sees at each moment, (n, H, W, 3)."""
    scene, pinhole = marker_board(MARKERS, DICTIONARY), sensor.intrinsics()
    still = look_at((0.0, 0.0, 1.0), (1.0, 0.0, 1.0))
    frames, progress = [], Progress('rendering', len(moments))
    for moment in moments.tolist():
        turned = pose_from_rpy((0.0, 0.0, 0.0), (0.0, 0.0, TURN * moment)) @ still
        frames.append(supersampled(scene, pinhole, turned, 2)[0])
        progress.step()
    return torch.stack(frames)


class Judge:
    """How like itself every marker looks: one number for each picture."""

    def __init__(self, ideal: torch.Tensor) -> None:
        """Find the markers in the ideal picture (H, W, 3) and keep what they should look like."""
        self.corners = detected(ideal)
        if len(self.corners) != MARKERS[0] * MARKERS[1]:
            raise RuntimeError(f'{len(self.corners)} markers in the ideal picture')
        self.boxes = []
        for corner in self.corners.values():
            left, top = np.floor(corner.min(0)).astype(int)
            right, bottom = np.ceil(corner.max(0)).astype(int) + 1
            self.boxes.append((slice(top, bottom), slice(left, right)))
        self.ideal = smooth(ideal[None])[0]

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the mean correlation of all markers, (B,), of pictures (B, H, W, 3)."""
        grey, scores = smooth(pictures), []
        for rows, columns in self.boxes:
            seen, wanted = grey[:, rows, columns].flatten(1), self.ideal[rows, columns].flatten()
            seen, wanted = seen - seen.mean(1, keepdim=True), wanted - wanted.mean()
            power = seen.square().mean(1) * wanted.square().mean()
            scores.append((seen * wanted).mean(1) / (power + 1e-6).sqrt())  # 1e-6: see a dark one
        return torch.stack(scores).mean(0)


def smooth(pictures: torch.Tensor) -> torch.Tensor:
    """Return grey (B, H, W), a marker's cells evened out a little as the detector does."""
    grey = pictures.mean(-1)[:, None]
    return torch.nn.functional.avg_pool2d(grey, 3, 1, 1)[:, 0]


def detected(picture: torch.Tensor) -> dict[int, np.ndarray]:
    """Return the corners (4, 2) of the markers that OpenCV finds in a picture (H, W, 3)."""
    grey = (picture.detach().mean(-1).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(DICTIONARY))
    corners, names, _ = detector.detectMarkers(grey)
    found = {} if names is None else dict(zip(names.flatten().tolist(), corners, strict=True))
    return {k: v[0] for k, v in found.items() if k < MARKERS[0] * MARKERS[1]}


class Exposures:
    """Pictures taken with any exposure times and gains, differentiable in both."""

    def __init__(self, sensor: SensorModel, count: int, seed: int, soft: bool) -> None:
        """Render count moments, close together in the middle of the longest exposure."""
        place = torch.linspace(-1.0, 1.0, count, dtype=torch.float64)
        self.moments = TIMES[1] / 2 * torch.sinh(4.0 * place) / math.sinh(4.0)
        self.frames = views(sensor, self.moments)
        # A full well is a hard limit, through which no gradient comes back.
        body = replace(sensor, full_well=None) if soft else sensor
        self.camera = PhysicalCamera(body, STAGES, seed=seed, soft_clamp=soft)

    def __call__(self, time: torch.Tensor, iso: torch.Tensor, first: int, noises: int):
        """Return pictures (noises, B, H, W, 3), each row with noise of its own."""
        weights = shutter_weights(self.moments, self.frames.shape[1], time)[..., 0]  # global
        light = torch.tensordot(weights.float().T, self.frames, dims=1)  # (B, H, W, 3)
        settings = CameraSettings(2.0, time, iso, 0.05)
        return torch.stack(
            [
                self.camera(light, None, settings, frame_number=(first + i) * len(time)).image
                for i in range(noises)
            ]
        )


def ascend(exposures: Exposures, judge: Judge, starts: torch.Tensor, steps: int) -> torch.Tensor:
    """Climb from every start (B, 2) of (log t, log ISO) at once: the path (steps + 1, B, 2)."""
    place = starts.clone().requires_grad_()
    adam = torch.optim.Adam([place], lr=0.25, betas=(0.8, 0.95))
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=0.01)
    low = torch.tensor([TIMES[0], ISOS[0]]).log()
    high = torch.tensor([TIMES[1], ISOS[1]]).log()
    path, progress = [starts], Progress('ascent', steps)
    for step in range(steps):
        adam.zero_grad()
        pictures = exposures(place[:, 0].exp(), place[:, 1].exp(), first=2 * step, noises=2)
        score = torch.stack([judge(batch) for batch in pictures]).mean(0)
        (1.0 - score).log().sum().backward()  # finds the top of a flat hill better
        adam.step()
        falling.step()
        with torch.no_grad():
            place.copy_(torch.minimum(torch.maximum(place, low), high))
        path.append(place.detach().clone())
        progress.step(f'best score {float(score.detach().max()):.3f}')
    return torch.stack(path)


def verify(
    exposures: Exposures, judge: Judge, time: torch.Tensor, iso: torch.Tensor, seeds: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return detection rate, corner error (px, median) and score of every setting (B,)."""
    rates, errors, scores = [], [], []
    with torch.no_grad():
        pictures = exposures(time, iso, first=10_000, noises=seeds)
        scores = torch.stack([judge(batch) for batch in pictures]).mean(0)
    for one in pictures.unbind(1):
        found = [detected(picture) for picture in one]
        away = [
            np.linalg.norm(corner - judge.corners[name], axis=1).mean()
            for markers in found
            for name, corner in markers.items()
        ]
        rates.append(len(away) / (len(judge.corners) * seeds))
        errors.append(float(np.median(away)) if away else math.nan)
    return torch.tensor(rates), torch.tensor(errors), scores


def shots_at(
    reality: Exposures, places: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, str, str]]:
    """Return a picture at each place (t, ISO), with how many markers were read, and its place."""
    shots = []
    for i, (time, iso) in enumerate(places):
        with torch.no_grad():
            picture = reality(time[None], iso[None], first=50, noises=1)[0, 0]
        name = 'found' if i == len(places) - 1 else f'start {i + 1}'
        count = f'{len(detected(picture))}/{MARKERS[0] * MARKERS[1]}'
        caption = f'{1e3 * float(time):.2g} ms, ISO {float(iso):.0f}'
        shots.append((picture, f'{name}: {count} read', caption))
    return shots


def main(argv: Sequence[str] | None = None) -> Result:
    """Climb from the four corners, check with OpenCV over a grid, print and draw."""
    choice = options(__doc__, argv)
    small = choice.quick
    sensor = full_frame(240, 180, scene_illuminance=LUX)
    model = Exposures(sensor, 13 if small else 25, seed=5, soft=True)
    judge = Judge(model.frames[len(model.frames) // 2])
    starts = torch.cartesian_prod(
        torch.tensor([4e-4, 2e-2]).log(), torch.tensor([400.0, 5e4]).log()
    )
    starts = starts[[0, 3]] if small else starts
    path = ascend(model, judge, starts, steps=16 if small else 40)

    reality = Exposures(sensor, 20 if small else 48, seed=77, soft=False)
    seeds = 2 if small else 4
    ends = path[-1].exp()
    rates, errors, scores = verify(reality, judge, ends[:, 0], ends[:, 1], seeds)
    before = verify(reality, judge, *starts.exp().unbind(1), seeds)
    best = int(scores.argmax())

    times = torch.logspace(*torch.tensor(TIMES).log10().tolist(), 5 if small else 12)
    isos = torch.logspace(*torch.tensor(ISOS).log10().tolist(), 4 if small else 10)
    grid, progress = [], Progress('grid', len(isos))
    for iso in isos:
        grid.append(verify(reality, judge, times, iso.expand(len(times)), seeds))
        progress.step()
    rate, error, score = (torch.stack(values) for values in zip(*grid, strict=True))

    shape = rate.shape
    top = int((rate - 0.01 * error.nan_to_num(9.0)).argmax())
    on_grid = torch.stack([times.expand(shape), isos[:, None].expand(shape)], -1).reshape(-1, 2)
    measured = tuple(values.flatten() for values in (rate, error, score))
    lines = []
    for name, place, values, i in (
        *((f'start {i + 1}', path[0].exp(), before, i) for i in range(len(ends))),
        *((f'found from {i + 1}', ends, (rates, errors, scores), i) for i in range(len(ends))),
        ('best of grid', on_grid, measured, top),
    ):
        time, iso = place[i].tolist()
        cells = (f'{float(value[i]):.3f}' for value in values)
        lines.append((name, f'{1e3 * time:.2f}', f'{iso:.0f}', *cells))
    head = ('', 't (ms)', 'ISO', 'OpenCV finds', 'corner error (px)', 'score')
    table(head, lines)
    print(f'  The grid took {rate.numel()} settings x {seeds} pictures; OpenCV found more than '
          f'95 % of the markers in {int((rate > 0.95).sum())} of them.')  # fmt: skip
    drawn = None
    if not small:
        title = f'Exposure and gain to read markers: camera turning at {TURN} rad/s, {LUX:g} lux'
        shots = shots_at(reality, [*path[0].exp(), ends[best]])
        maps = (score, rate, error)
        drawn = _figures.detector_exposure(choice.out, title, path, (times, isos), maps, shots)
    return Result(
        *ends[best].tolist(), float(rates[best]), float(rate.max()), before[0].tolist(), drawn
    )


if __name__ == '__main__':
    run(main)
