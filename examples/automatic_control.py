# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Automatic exposure, focus and white balance at work, with the simulated camera in the loop.

The light jumps by six stops and back, and rises and falls by one stop a second, while pictures are
looked at at once or three frames late; a lamp on 50 Hz mains flickers; contrast is searched for
the sharpest focus; the focus follows something that comes nearer; warm light becomes neutral.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path

from _common import BLUE, full_frame, GREEN, GREY, options, ORANGE, run, srgb, table, table_scene
import numpy as np
import torch

from diffphyscam_ros.camera import PhysicalCamera, SensorModel
from diffphyscam_ros.camera.auto_exposure import AutoExposure
from diffphyscam_ros.camera.auto_white_balance import AutoWhiteBalance, BalanceState, METHODS
from diffphyscam_ros.camera.autofocus import AutoFocus, blur_per_dioptre, FocusState
from diffphyscam_ros.camera.contrast_autofocus import ContrastSearch, focus_by_contrast

FPS = 30.0
WARM = (1.0, 0.72, 0.38)  # red, green, blue of the light, about that of a light bulb
EXPOSURE = AutoExposure(exposure_min=1e-7, exposure_max=1 / FPS, iso_max=102_400.0)
POINT = AutoFocus(point_x=0.36, point_y=0.31, size=0.25, near_limit=0.5)  # the white board

Light = Callable[[float, float], float]


@dataclass(frozen=True)
class Track:
    """One run of auto exposure, frame by frame: time in s, stops of light, error in stops."""

    time: np.ndarray
    light: np.ndarray
    error: np.ndarray
    exposure: np.ndarray


@dataclass(frozen=True)
class Result:
    """What came out.

    :param overshoot: largest over all steps, stops.
    :param last_error: largest of the level at the end of each step, stops.
    :param focus_blur: px that are left of the blur where contrast has focused.
    :param cast: deviation from neutral after white balance.
    :param figure: the picture that was drawn, if any.
    """

    overshoot: float
    last_error: float
    focus_blur: float
    cast: float
    figure: Path | None


def expose(
    scene: torch.Tensor, model: SensorModel, control: AutoExposure, light: Light, seconds: float,
    delay: int = 0,
) -> Track:  # fmt: skip
    """Let the camera expose itself under changing light.

    :param light: of a time and an exposure time, how bright it is.
    :param delay: frames until a picture is looked at.
    """
    camera = PhysicalCamera(model, stages=('exposure', 'noise', 'response', 'quantization'))
    settings, state, waiting, rows = model.settings, None, [], []
    for number in range(round(seconds * FPS)):
        now = number / FPS
        strength = light(now, float(settings.exposure_time))
        image = camera.sense(scene * strength, settings, number).image
        waiting.append((image, settings))
        level = control.measure(image, model, settings).level
        error = math.log2(max(level, 1e-4) / control.target)
        rows.append((now, math.log2(strength), error, 1000 * float(settings.exposure_time)))
        if len(waiting) > delay:
            seen, taken = waiting.pop(0)
            measured = control.measure(seen, model, taken)
            state = control.step(state, measured, 1 / FPS, float(settings.aperture))
            settings = control.settings(state, settings)
    return Track(*np.array(rows).T)


def steps(time: float, _: float) -> float:
    """Return light that rises by six stops, and falls by them."""
    return 2.0 ** (6.0 * (3.0 <= time < 6.0))


def ramps(time: float, _: float) -> float:
    """Return light that rises and falls by a stop a second."""
    return 2.0 ** min(max(time - 3.0, 0.0), 4.0, max(11.0 - time, 0.0))


def lamp(time: float, exposure: float) -> float:
    """Return the mean over the exposure of a lamp that flickers by half, 100 times a second."""
    turn = 2 * math.pi * 100.0
    swing = (math.sin(turn * (time + exposure)) - math.sin(turn * time)) / (turn * exposure)
    return 1.0 + 0.5 * swing


def track_focus() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, the dioptres of something that comes nearer, and those of the focus."""
    model = full_frame(640, 480)
    random, state, rows = np.random.default_rng(1), FocusState(0.5), []
    for number in range(round(6 * FPS)):
        now = number / FPS
        target = 0.5 + 1.5 * min(max((now - 1.0) / 1.5, 0.0), 1.0) - 1.0 * (now > 4.0)
        noisy = 1.0 / (target + 0.2 / blur_per_dioptre(model, model.settings) * random.normal())
        state = POINT.step(state, noisy, 1 / FPS, model, model.settings)
        rows.append((now, target, state.dioptres))
    time, target, focus = np.array(rows).T
    return time, target, focus


def neutralise(
    radiance: torch.Tensor, depth: torch.Tensor, model: SensorModel, method: str
) -> tuple[np.ndarray, torch.Tensor]:
    """Return the gains of each frame, and the last picture, under warm light."""
    control, gains = AutoWhiteBalance(method), (1.0, 1.0, 1.0)
    state, path, image = BalanceState(gains), [], radiance
    for number in range(round(3 * FPS)):
        camera = PhysicalCamera(replace(model, white_balance=gains))
        image = camera(radiance, depth, model.settings, number).image
        state = control.step(state, control.measure(image, gains), gains, 1 / FPS)
        path.append(gains)
        gains = state.gains
    return np.array(path), image


def settled_errors(track: Track) -> tuple[float, float]:
    """Return overshoot and last error of the steps of a track, in stops."""
    overshoot, last = 0.0, 0.0
    for start, end, side in ((3.0, 6.0, -1.0), (6.0, 9.0, 1.0)):
        error = track.error[(track.time > start + 0.2) & (track.time < end)]
        overshoot = max(overshoot, float((side * error).max() - max(side * error[-1], 0.0)))
        last = max(last, abs(float(error[-1])))
    return overshoot, last


def main(argv: Sequence[str] | None = None) -> Result:
    """Run everything, print the figures and draw them."""
    choice = options(__doc__ or '', argv)
    size = (96, 72) if choice.quick else (240, 180)
    model = full_frame(*size, scene_illuminance=500.0)
    radiance, depth = table_scene(model.intrinsics(), finer=2)
    small = radiance[::6, ::6].double()

    runs = {delay: expose(small, model, EXPOSURE, steps, 9.0, delay) for delay in (0, 3)}
    figures = [settled_errors(track) for track in runs.values()]
    rows = [
        (f'steps of 6 stops, {delay} frames late', f'{over:.2f}', f'{last:.2f}')
        for delay, (over, last) in zip(runs, figures, strict=True)
    ]
    ramp = {delay: expose(small, model, EXPOSURE, ramps, 13.0, delay) for delay in (0, 3)}
    calm = {
        words: expose(small, model, replace(EXPOSURE, flicker=flicker), lamp, 4.0)
        for words, flicker in (('as metered', 0.0), ('anti-flicker', 50.0))
    }
    swing = {name: float(np.ptp(track.error[60:])) for name, track in calm.items()}
    table(('auto exposure', 'overshoot (EV)', 'last error (EV)'), rows)
    table(('flicker', 'swing (EV)'), [(name, f'{value:.3f}') for name, value in swing.items()])

    start = replace(model.settings, focus_distance=math.inf, aperture=1.4)
    soft = replace(model, settings=start)
    camera = PhysicalCamera(soft)
    light = radiance * radiance.new_tensor(WARM)

    def photograph(distance: float) -> torch.Tensor:
        return camera(light, depth, replace(start, focus_distance=distance)).image

    search = focus_by_contrast(photograph, POINT, soft, start)
    truth = POINT.depth_at(depth) or math.inf
    blur = abs(search.best - 1 / truth) * blur_per_dioptre(soft, start)
    rows = [('contrast', f'{search.distance:.3f}', f'{truth:.3f}', f'{blur:.2f}')]
    table(('autofocus', 'found (m)', 'depth (m)', 'blur left (px)'), rows)

    focused = replace(soft, settings=replace(start, focus_distance=search.distance))
    seen = np.array(WARM) * np.array(model.quantum_efficiency)
    wanted = seen[1] / seen
    found = {method: neutralise(light, depth, focused, method) for method in METHODS}
    casts = {m: float(np.abs(path[-1] / wanted - 1).max()) for m, (path, _) in found.items()}
    rows = [
        (m, ', '.join(f'{gain:.2f}' for gain in path[-1]), f'{100 * casts[m]:.0f} %')
        for m, (path, _) in found.items()
    ]
    table(('white balance', 'gains', 'off by'), rows)

    drawn = None
    if not choice.quick:
        paths = {method: path for method, (path, _) in found.items()}
        balanced = found['robust'][1]
        pictures = (photograph(math.inf), photograph(search.distance), balanced)
        drawn = draw(choice.out, runs, ramp, calm, search, truth, (paths, wanted), pictures)
    over, last = (max(values) for values in zip(*figures, strict=True))
    return Result(over, last, blur, casts['robust'], drawn)


def draw(
    folder: Path,
    runs: dict[int, Track],
    ramp: dict[int, Track],
    calm: dict[str, Track],
    search: ContrastSearch,
    truth: float,
    balance: tuple[dict[str, np.ndarray], np.ndarray],
    pictures: Sequence[torch.Tensor],
) -> Path:
    """Draw it all."""
    from _common import figure, save, show

    drawing = figure(12.5, 8.2)
    drawing.suptitle('Automatic control on steps and ramps of light, 30 frames a second')
    grid = drawing.add_gridspec(3, 3, width_ratios=(1.25, 1.25, 1.0))
    for row, tracks, title in (
        (0, runs, 'Exposure: the light jumps by 6 stops'),
        (1, ramp, 'Exposure: the light moves by 1 stop a second'),
    ):
        axes = drawing.add_subplot(grid[row, 0])
        for (delay, track), color in zip(tracks.items(), (BLUE, ORANGE), strict=True):
            axes.plot(track.time, track.error, color=color, label=f'{delay} frames late')
        axes.plot(track.time, track.light, '--', color=GREY, lw=1.0, label='light')
        axes.axhspan(-0.15, 0.15, color=GREEN, alpha=0.15, lw=0, label='dead band')
        axes.set(title=title, xlabel='time (s)', ylabel='stops from the target')
        axes.legend(loc='upper right', ncols=2)
    axes = drawing.add_subplot(grid[2, 0])
    for (name, track), color in zip(calm.items(), (ORANGE, BLUE), strict=True):
        label = f'{name}: {track.exposure[-1]:.1f} ms'
        axes.plot(track.time, track.error, color=color, lw=1.0, label=label)
    axes.set(title='Exposure: a lamp on 50 Hz mains', xlabel='time (s)', ylabel='stops')
    axes.legend(loc='best')

    axes = drawing.add_subplot(grid[0, 1])
    places, values = np.array(search.seen).T
    order = np.argsort(places)
    axes.plot(places[order], values[order], color=GREY, lw=1.0)
    axes.scatter(places, values, c=np.arange(len(places)), cmap='Blues', ec=BLUE, zorder=3)
    axes.axvline(1 / truth, color=GREEN, ls='--', label='true depth')
    title = f'Focus by contrast: {len(places)} pictures, light to dark'
    axes.set(title=title, xlabel='focus (1/m)', ylabel='sharpness')
    axes.legend(loc='best')
    axes = drawing.add_subplot(grid[1, 1])
    time, target, focus = track_focus()
    axes.plot(time, target, '--', color=GREY, lw=1.0, label='subject')
    axes.plot(time, focus, color=BLUE, label='focus')
    axes.set(title='Focus by depth, Continuous', xlabel='time (s)', ylabel='1/m')
    axes.legend(loc='best')
    axes = drawing.add_subplot(grid[2, 1])
    paths, wanted = balance
    for (method, path), style in zip(paths.items(), (':', '-.', '-'), strict=True):
        for channel, color in ((0, ORANGE), (2, BLUE)):
            axes.plot(np.arange(len(path)) / FPS, path[:, channel], style, color=color)
        axes.plot([], [], style, color=GREY, label=method.replace('_', ' '))
    for channel, color in ((0, ORANGE), (2, BLUE)):
        axes.axhline(wanted[channel], color=color, ls='--', lw=0.8)
    axes.set(title='White balance, red and blue (dashed: right)', xlabel='time (s)', ylabel='gain')
    axes.legend(loc='best')
    titles = ('Focused at infinity, warm light', 'After autofocus', 'After white balance (robust)')
    for row, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        show(drawing.add_subplot(grid[row, 2]), srgb(picture), title)
    return save(drawing, folder, 'automatic_control')


if __name__ == '__main__':
    run(main)
