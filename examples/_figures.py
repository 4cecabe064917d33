# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The figures of the examples, from plain tensors: nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
import math
from pathlib import Path

from _common import BLUE, figure, GREEN, GREY, ORANGE, save, show, srgb
import numpy as np
import torch


def focus_from_blur(
    folder: Path,
    photo: torch.Tensor,
    depth: torch.Tensor,
    maps: Sequence[torch.Tensor],  # of the loss: of the scene, and of a poster
    ranges: tuple[float, float, float, float],  # 1/U from, to; log2 N from, to
    truth: tuple[float, float],  # 1/U, N
    poster: float,  # m, its depth
    path: tuple[torch.Tensor, torch.Tensor, torch.Tensor],  # 1/U, N, loss: (steps, starts)
) -> Path:
    """Draw the photograph, both maps of the loss with the descents, and their curves."""
    drawing = figure(11.5, 6.4)
    drawing.suptitle('Focus distance and f-number from one defocused photograph')
    grid = drawing.add_gridspec(2, 3, width_ratios=(1.0, 1.25, 1.25))
    show(drawing.add_subplot(grid[0, 0]), srgb(photo), 'The photograph: all of the lens, noise')
    depths = drawing.add_subplot(grid[1, 0])
    shown = show(depths, depth, 'Known: depth and a sharp picture', cmap='cividis')
    drawing.colorbar(shown, ax=depths, location='bottom', label='depth (m)', shrink=0.8)
    titles = ('Loss (dark = low): one minimum', f'All at one depth ({poster} m): near or far?')
    for place, values, title in zip((grid[:, 1], grid[0, 2]), maps, titles, strict=True):
        axes = drawing.add_subplot(place)
        axes.contourf(values.log10().numpy(), 18, extent=ranges, cmap='Blues_r', zorder=0)
        axes.plot(truth[0], math.log2(truth[1]), '*', ms=15, color=GREEN, mec='white', zorder=5,
                  label='truth')  # fmt: skip
        metres, numbers = (3.0, 2.0, 1.5, 1.2, 1.0, 0.8), (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
        axes.set_yticks([math.log2(n) for n in numbers], [f'f/{n:g}' for n in numbers])
        axes.set_xticks([1 / u for u in metres], [f'{u:g}' for u in metres])
        axes.set(xlim=ranges[:2], ylim=ranges[2:], xlabel='focus distance (m)', title=title)
        if values is maps[0]:
            for i in range(path[0].shape[1]):
                x, y = path[0][:, i].numpy(), path[1][:, i].log2().numpy()
                axes.plot(x, y, color=ORANGE, lw=1.0, label='descents' if i == 0 else None)
                axes.plot(x[0], y[0], 'o', ms=5, color=ORANGE, mec='white', zorder=4)
        else:
            x = torch.linspace(*ranges[:2], 400)
            y = ((x - 1 / poster).abs() * truth[1] / abs(truth[0] - 1 / poster)).log2()
            axes.plot(x.numpy(), y.numpy(), '--', color=GREY, label='same blur: |1/U - 1/d| / N')
        axes.legend(loc='upper left', frameon=True, framealpha=0.85)
    axes = drawing.add_subplot(grid[1, 2])
    axes.plot(path[2].numpy(), color=BLUE, lw=1.0, alpha=0.8)
    axes.set(yscale='log', xlabel='step', ylabel='loss', title='Descents, one line a start')
    return save(drawing, folder, 'focus_from_blur')


def exposure_bracket(
    folder: Path,
    photos: torch.Tensor,
    nominal: Sequence[float],  # s
    levels: np.ndarray,  # digital values
    curves: dict[str, np.ndarray],  # log2 of exposure at the levels, aligned; the truth first
    errors: tuple[np.ndarray, np.ndarray],  # of the exposures in stops: nominal, recovered
) -> Path:
    """Draw the bracket, the curves, their errors and the exposures."""
    drawing = figure(12.0, 6.4)
    drawing.suptitle('Response curve and exposure times from a bracket')
    upper, lower = drawing.subfigures(2, 1, height_ratios=(1.0, 2.2))
    for axes, photo, time in zip(upper.subplots(1, len(photos)), photos, nominal, strict=True):
        show(axes, photo, f'1/{1 / time:.0f} s')
    response, error, shutter = lower.subplots(1, 3)
    styles = (
        {'color': GREEN, 'lw': 5.0, 'alpha': 0.35},
        {'color': BLUE, 'lw': 1.6},
        {'color': ORANGE, 'lw': 1.3},
        {'color': ORANGE, 'lw': 1.3, 'ls': ':'},
    )
    truth = next(iter(curves.values()))
    for (name, curve), style in zip(curves.items(), styles, strict=True):
        response.plot(curve, levels, label=name, **style)
        if curve is not truth:
            error.plot(levels, curve - truth, **style)
    response.set(title='Response', xlabel='log2 of exposure (0 = full well)',
                 ylabel='digital value')  # fmt: skip
    response.legend(loc='upper left')
    error.axhline(0, **styles[0])
    error.set(title='Error of the response', xlabel='digital value', ylabel='stops')
    error.set_ylim(-0.5, 0.5)
    place = np.arange(len(nominal))
    names = ('nominal: what Debevec is told', 'recovered')
    for shift, values, color, name in zip((-0.2, 0.2), errors, (ORANGE, BLUE), names, strict=True):
        shutter.bar(place + shift, values, 0.4, color=color, label=name)
    shutter.axhline(0, **styles[0])
    shutter.set_xticks(place, [f'1/{1 / t:.0f}' for t in nominal])
    shutter.set(title='Error of the exposure times', xlabel='photograph (s)', ylabel='stops')
    shutter.set_ylim(-0.4, 0.4)
    shutter.legend(loc='upper left')
    return save(drawing, folder, 'exposure_bracket')


def detector_exposure(
    folder: Path,
    title: str,
    path: torch.Tensor,  # (steps, starts, 2): log t, log ISO
    axes_of_grid: tuple[torch.Tensor, torch.Tensor],  # t, ISO
    maps: tuple[torch.Tensor, torch.Tensor, torch.Tensor],  # score, rate, error: (ISO, t)
    shots: Sequence[tuple[torch.Tensor, str, str]],  # picture, title, caption; the last is ours
) -> Path:
    """Draw the three maps with the ascents, and pictures where they began and ended."""
    drawing = figure(12.0, 7.0)
    drawing.suptitle(title)
    upper, lower = drawing.subfigures(2, 1, height_ratios=(1.35, 1.0))
    names = (
        'What is climbed: correlation',
        'What it is for: markers that OpenCV finds',
        'Corner error of those found',
    )
    labels = ('score (differentiable)', 'detection rate', 'px')
    for axes, values, name, label in zip(
        upper.subplots(1, 3, sharey=True), maps, names, labels, strict=True
    ):
        colours, top = ('Blues_r', 1.5) if label == 'px' else ('Blues', 1.0)
        times, isos = 1e3 * axes_of_grid[0].numpy(), axes_of_grid[1].numpy()
        shown = axes.pcolormesh(times, isos, values.numpy(), cmap=colours, vmin=0, vmax=top)
        upper.colorbar(shown, ax=axes, location='bottom', label=label, shrink=0.9)
        for i in range(path.shape[1]):
            x, y = 1e3 * path[:, i, 0].exp().numpy(), path[:, i, 1].exp().numpy()
            axes.plot(x, y, color=ORANGE, lw=1.3, label='ascents' if i == 0 else None)
            axes.plot(x[0], y[0], 'o', ms=6, color=ORANGE, mec='white')
            axes.plot(x[-1], y[-1], '*', ms=14, color=GREEN, mec='white', zorder=5,
                      label='ends' if i == 0 else None)  # fmt: skip
        axes.set(xscale='log', yscale='log', xlabel='exposure time (ms)', title=name)
        axes.set_xticks([0.25, 1, 4, 16], ['0.25', '1', '4', '16'])
        axes.minorticks_off()
    upper.axes[0].set_ylabel('ISO')
    upper.axes[0].legend(loc='lower left', frameon=True, framealpha=0.9)
    places = lower.subplots(1, len(shots))
    for axes, (picture, name, caption) in zip(places, shots, strict=True):
        show(axes, srgb(picture), name)
        axes.set_xlabel(caption)
    places[-1].title.set_color(GREEN)
    return save(drawing, folder, 'detector_exposure')


def depth_from_defocus(
    folder: Path,
    photos: torch.Tensor,
    focus: Sequence[float],  # m
    sharp: torch.Tensor,
    depths: dict[str, torch.Tensor],  # the truth first, NaN where it is not known
) -> Path:
    """Draw the stack, the depths, the errors and the sharp picture that came with them."""
    drawing = figure(12.0, 7.8, dpi=80)
    drawing.suptitle('Depth, and the sharp picture, from five photographs of different focus')
    upper, lower = drawing.subfigures(2, 1, height_ratios=(1.0, 2.3))
    for axes, photo, metres in zip(upper.subplots(1, len(focus)), photos, focus, strict=True):
        show(axes, srgb(photo), f'focused at {metres} m')
    axes = lower.subplots(2, 3)
    truth = next(iter(depths.values()))
    low, high = (float(truth[truth.isfinite()].quantile(q)) for q in (0.01, 0.99))
    for place, (name, depth) in zip(axes[0], depths.items(), strict=True):
        shown = show(place, depth, name, cmap='cividis', vmin=low, vmax=high)
    lower.colorbar(shown, ax=axes[0].tolist(), label='depth (m)', shrink=0.85)
    show(axes[1, 0], srgb(sharp), 'The sharp picture found with it')
    for place, name in zip(axes[1, 1:], list(depths)[1:], strict=True):
        error = 100 * (depths[name] / truth - 1.0).abs()
        shown = show(place, error, f'Error, {name.lower()}', cmap='magma', vmin=0, vmax=20)
    lower.colorbar(shown, ax=axes[1].tolist(), label='relative error (%)', shrink=0.85)
    return save(drawing, folder, 'depth_from_defocus')
