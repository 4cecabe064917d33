# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The report's figures of response, vignetting, noise and defocus; nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.report_style import (
    BLUE,
    CHANNELS,
    Drawing,
    FAINT,
    figure,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
)


def _colour(name: str) -> str:
    return CHANNELS.get(name.split()[0], INK)


def _time_axis(axes: Any) -> None:
    """Make a logarithmic axis of milliseconds with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale('log')
    low, high = axes.get_xlim()
    steps = (1.0, 2.0, 5.0) if high < 100.0 * low else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(10.0, subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _held_out(errors: Any, title: str, best: str) -> Drawing:
    names = list(errors)
    with figure(4.9, 0.36 * len(names) + 1.1) as (_, axes, made):
        colours = [GREEN if name == best else GREY for name in names]
        percent = [100.0 * float(errors[name]) for name in names]
        bars = axes.barh(names, percent, color=colours, height=0.6)
        axes.bar_label(bars, fmt='%.2f', padding=4, fontsize=8)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.grid(axis='y', visible=False)
        axes.set(xlabel='rms of what was held out (% of full scale)', title=title)
    return Drawing(
        made[0],
        'How well each candidate predicts values that it was not fitted to. The simplest that is '
        'about as good as the best is taken (green).',
    )


def _response(plots: Any) -> Iterator[Drawing]:
    curve = plots.get('curve')
    if not curve:
        return
    exposure, value = np.asarray(curve['exposure']), np.asarray(curve['value'])
    std, seen = np.asarray(curve['std']), plots['range']
    with figure(4.9, 4.0) as (_, axes, made):
        axes.axhspan(seen[0], seen[1], color=FAINT, alpha=0.35, lw=0, label='values seen')
        axes.fill_between(exposure, value - 3 * std, value + 3 * std, color=BLUE, alpha=0.25, lw=0,
                          label='3 standard deviations')  # fmt: skip
        axes.plot(exposure, value, c=BLUE, label='response')
        axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel='exposure (share of the highest)',
                 ylabel='digital value (share of full scale)', title='Response')  # fmt: skip
        axes.legend(loc='lower right')
    yield Drawing(
        made[0],
        'From light to digital values. Outside the shaded range of values the recording showed '
        'nothing, and the curve is a continuation.',
    )
    rows = [row for row in plots.get('exposures', []) if row['time']]
    if rows:
        yield _misfits(rows)
    errors = plots.get('held_out', {})
    if len(errors) > 1:
        best = min(errors, key=lambda name: float(errors[name]))
        yield _held_out(errors, 'Kinds of response', plots.get('chosen', best))


def _misfits(rows: Any) -> Drawing:
    time = np.array([row['time'] for row in rows]) * 1e3
    misfit = np.array([row['misfit'] for row in rows]) * 100.0
    with figure(4.9, 4.0) as (_, axes, made):
        off = np.abs(misfit) > 3.0
        axes.axhspan(-3, 3, color=FAINT, alpha=0.35, lw=0)
        axes.axhline(0, c=GREY, lw=0.8)
        axes.scatter(time[~off], misfit[~off], s=22, c=BLUE, zorder=3)
        axes.scatter(time[off], misfit[off], s=26, c=RED, marker='D', zorder=3)
        limit = max(5.0, 1.2 * float(np.abs(misfit).max()))
        _time_axis(axes)
        axes.set(ylim=(-limit, limit), xlabel='stated exposure time (ms)',
                 ylabel='misfit of the exposure (%)', title='Stated exposures')  # fmt: skip
    return Drawing(
        made[0],
        'What the pictures say of each exposure, less what was stated. Red diamonds: a wrong '
        'time, a lamp that changed, or levels so dark that nothing is seen.',
    )


def _vignetting(plots: Any) -> Iterator[Drawing]:
    blocks = plots.get('blocks')
    if not blocks:
        return
    radius = np.asarray(blocks['radius'])
    with figure(4.9, 4.0) as (_, axes, made):
        axes.scatter(radius, blocks['value'], s=5, c=BLUE, alpha=0.45, lw=0, rasterized=True,
                     label='flat field')  # fmt: skip
        axes.plot(radius, blocks['model'], c=ORANGE, lw=1.6, label='law')
        axes.plot(radius, (1 + radius**2) ** -2, c=GREY, lw=1, ls=':', label='cos⁴')
        axes.set(xlim=(0, None), xlabel='tan θ, from the optical axis',
                 ylabel='light (the centre = 1)', title='Vignetting')  # fmt: skip
        axes.legend(loc='lower left')
    yield Drawing(
        made[0],
        'How the light falls from the centre to the corners. Each dot is a block of the flat '
        'field, the unevenness of the lamp taken out.',
    )
    errors = plots.get('held_out', {})
    if len(errors) > 1:
        yield _held_out(
            errors, 'Laws of vignetting', plots.get('chosen', min(errors, key=errors.get))
        )


def _defocus(plots: Any) -> Iterator[Drawing]:
    edges = plots.get('edges', [])
    if not edges:
        return
    coc = np.array([edge['coc'] for edge in edges])
    sigma = np.array([edge['sigma'] for edge in edges])
    used = np.array([edge['used'] for edge in edges], bool)
    apertures = np.array([edge['aperture'] for edge in edges])
    with figure(4.9, 4.0) as (drawing, axes, made):
        shown = axes.scatter(coc[used], sigma[used], s=12, c=np.log2(apertures[used]),
                             cmap='viridis', zorder=3)  # fmt: skip
        axes.scatter(coc[~used], sigma[~used], s=12, facecolors='none', edgecolors=GREY, lw=0.7)
        scale = drawing.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
        ticks = sorted(set(apertures[used]))
        scale.set_ticks(np.log2(ticks), labels=[f'f/{n:g}' for n in ticks])
        axes.set(xlim=(0, None), ylim=(0, None), xlabel='blur that the lens formula tells (px)',
                 ylabel='measured spread of edges (px)', title='Defocus')  # fmt: skip
    fit = plots.get('fit', {})
    yield Drawing(
        made[0],
        'Spread of every edge against the circle of confusion of an ideal lens. Where nothing is '
        'out of focus the lens alone blurs'
        + (f', by {fit["sharp_sigma"]:.2f} px' if 'sharp_sigma' in fit else '')
        + '. Rings were not fitted.',
    )
    yield _through_focus(edges, used)


def _through_focus(edges: Any, used: Any) -> Drawing:
    with figure(4.9, 4.0) as (_, axes, made):
        for aperture in sorted({edge['aperture'] for edge in edges}):
            rows = [
                (1.0 / edge['focus'] - 1.0 / edge['distance'], edge['sigma'])
                for edge, good in zip(edges, used, strict=True)
                if edge['aperture'] == aperture and good
            ]
            if rows:
                axes.scatter(*np.array(rows).T, s=10, label=f'f/{aperture:g}', alpha=0.8)
        axes.set(ylim=(0, None), xlabel='focused nearer than the edge by (1/m)',
                 ylabel='measured spread of edges (px)', title='Through focus')  # fmt: skip
        axes.legend()
    return Drawing(
        made[0],
        'The blur grows on both sides of the focus, and faster with wider apertures.',
    )


def _noise(plots: Any) -> Iterator[Drawing]:
    planes = plots.get('photon_transfer', [])
    if planes:
        yield _photon_transfer(planes)
    times = plots.get('signal_against_time', [])
    if times and any(item['time'] is not None for item in times):
        yield _signal_against_time(times, [plane['channel'] for plane in planes])


def _photon_transfer(planes: Any) -> Drawing:
    with figure(4.9, 4.0) as (_, axes, made):
        for plane in planes:
            mean, variance = np.asarray(plane['mean']), np.asarray(plane['variance'])
            fitted = np.asarray(plane['fitted'], bool)
            colour = _colour(plane['channel'])
            axes.scatter(mean[fitted], variance[fitted], s=20, c=colour, zorder=3,
                         label=plane['channel'])  # fmt: skip
            axes.scatter(mean[~fitted], variance[~fitted], s=20, facecolors='none',
                         edgecolors=colour, lw=0.8, alpha=0.6)  # fmt: skip
            if fitted.any():
                line = np.array([plane['black'], mean[fitted].max()])
                axes.plot(line, plane['offset'] + plane['gain'] * (line - plane['black']),
                          c=colour, lw=1.1, alpha=0.8)  # fmt: skip
                axes.axvspan(mean[fitted].min(), mean[fitted].max(), color=FAINT, alpha=0.15, lw=0)
        axes.legend(title=None)
        axes.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
        axes.set(xlabel='mean (share of full scale)', ylabel='temporal variance',
                 title='Photon transfer')  # fmt: skip
    return Drawing(
        made[0],
        'Variance against mean of every flat level. The slope is the conversion gain, the offset '
        'the read noise. Full dots (shaded range) were fitted; rings were not: dark, or near '
        'saturation.',
    )


def _signal_against_time(times: Any, channels: list[str]) -> Drawing:
    with figure(4.9, 4.0) as (_, axes, made):
        for dark, marker in ((False, 'o'), (True, 'x')):
            rows = [item for item in times if item['dark'] is dark and item['time'] is not None]
            if not rows:
                continue
            time = np.array([row['time'] for row in rows]) * 1e3
            means = np.array([row['mean'] for row in rows])
            for index in range(means.shape[1]):
                colour = _colour(channels[index]) if index < len(channels) else INK
                label = f'{"dark" if dark else "flat"}' if index == 0 else None
                axes.scatter(time, means[:, index], s=18, marker=marker, c=colour, lw=0.9,
                             label=label)  # fmt: skip
        _time_axis(axes)
        axes.set(xlabel='exposure time (ms)', ylabel='mean (share of full scale)',
                 title='Levels against exposure time')  # fmt: skip
        axes.legend()
    return Drawing(
        made[0],
        'The mean of every level. Flat levels grow with the exposure time until they saturate; '
        'dark ones grow with the dark current.',
    )


PHOTOMETRY: dict[str, Callable[[Any], Iterator[Drawing]]] = {
    'response': _response,
    'vignetting': _vignetting,
    'noise': _noise,
    'defocus': _defocus,
}
"""The figures of each stage."""
