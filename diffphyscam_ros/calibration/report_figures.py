# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The figures of the report, from the numbers that the stages hand on; nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.report_joint import joint_figures
from diffphyscam_ros.calibration.report_photometry import PHOTOMETRY
from diffphyscam_ros.calibration.report_style import (
    BLUE,
    Drawing,
    figure,
    GREEN,
    GREY,
    INK,
    ORANGE,
)
from diffphyscam_ros.calibration.types import StageResult


def drawings(result: StageResult) -> list[Drawing]:
    """Return all figures that the numbers of a stage allow."""
    draw = _FIGURES.get(result.stage)
    found = list(draw(result.plots)) if draw else []
    if result.correlation is not None and len(result.correlation[0]) > 1:
        found.append(correlation_matrix(*result.correlation))
    return found


def _intrinsics(plots: Any) -> Iterator[Drawing]:
    residuals = np.asarray(plots.get('residuals', []), float).reshape(-1, 5)
    if not len(residuals):
        return
    width, height = plots['image_size']
    yield _residual_scatter(residuals[:, 3:], plots['sigma'])
    yield _view_errors(plots['views'], plots['rms'])
    yield _coverage(np.asarray(plots['coverage'], float), residuals, width, height)
    spread = [[np.nan if v is None else v for v in row] for row in plots['uncertainty']]
    yield _uncertainty(np.asarray(spread, float), width, height)
    if len(plots.get('models', {})) > 1:
        yield _models(plots['models'], plots.get('recommended', ''))


def _residual_scatter(residuals: np.ndarray[Any, Any], sigma: float) -> Drawing:
    limit = max(float(np.quantile(np.abs(residuals), 0.999)) * 1.15, 4.0 * sigma)
    with figure(4.9, 4.3) as (_, axes, made):
        axes.scatter(*residuals.T, s=5, c=BLUE, alpha=0.35, lw=0, rasterized=True)
        turn = np.linspace(0, 2 * np.pi, 100)
        for times in (1, 3):
            axes.plot(times * sigma * np.cos(turn), times * sigma * np.sin(turn), c=ORANGE, lw=1)
        axes.set(xlim=(-limit, limit), ylim=(limit, -limit), aspect='equal')
        axes.set(xlabel='across (px)', ylabel='down (px)', title='Reprojection residuals')
    return Drawing(
        made[0],
        'Every detected corner less where the camera says it should be. A round cloud about the '
        f'middle is noise alone. Circles: 1 and 3 standard deviations of {sigma:.3f} px.',
    )


def _view_errors(views: Any, rms: float) -> Drawing:
    errors = [view['rms'] for view in views]
    with figure(4.9, 4.3) as (_, axes, made):
        axes.bar(range(len(errors)), errors, color=BLUE, width=0.75)
        axes.axhline(rms, c=ORANGE, lw=1.2)
        axes.annotate(f'all: {rms:.3f}', (1.0, rms), xycoords=('axes fraction', 'data'),
                      ha='right', va='bottom', color=ORANGE, fontsize=8,
                      bbox={'fc': 'white', 'ec': 'none', 'alpha': 0.8, 'pad': 1.5})  # fmt: skip
        axes.grid(axis='x', visible=False)
        axes.set(xlabel='view', ylabel='rms (px)', title='Error of each view')
    return Drawing(
        made[0],
        'Views that stand out were blurred, moved, or show a board that is not flat. Those left '
        'out are named above.',
    )


def _frame(axes: Any, width: int, height: int) -> None:
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect='equal')
    axes.set(xlabel='column (px)', ylabel='row (px)')
    axes.grid(visible=False)


def _coverage(counts: Any, residuals: Any, width: int, height: int) -> Drawing:
    with figure(4.9, 3.9 * height / width + 0.75) as (drawing, axes, made):
        area = (-0.5, width - 0.5, height - 0.5, -0.5)
        shown = axes.imshow(
            np.ma.masked_equal(counts, 0), extent=area, cmap='Blues', vmin=0, aspect='auto'
        )
        axes.set_facecolor('#f7e4e4')
        axes.scatter(residuals[:, 1], residuals[:, 2], s=1.2, c=INK, alpha=0.4, lw=0,
                     rasterized=True)  # fmt: skip
        _frame(axes, width, height)
        axes.set_title('Coverage')
        drawing.colorbar(shown, ax=axes, label='corners', shrink=0.8, pad=0.02)
    return Drawing(
        made[0],
        'Where corners were seen. Reddish parts of the picture saw none: there the lens model is '
        'a guess.',
    )


def _uncertainty(spread: Any, width: int, height: int) -> Drawing:
    with figure(4.9, 3.9 * height / width + 0.75) as (drawing, axes, made):
        area = (-0.5, width - 0.5, height - 0.5, -0.5)
        shown = axes.imshow(
            np.ma.masked_invalid(spread), extent=area, cmap='YlOrBr', vmin=0, aspect='auto',
            interpolation='bilinear',
        )  # fmt: skip
        _frame(axes, width, height)
        axes.set_title('Uncertainty of directions')
        drawing.colorbar(shown, ax=axes, label='std (px)', shrink=0.8, pad=0.02)
    return Drawing(
        made[0],
        'One standard deviation of where a known direction falls in the picture: what the '
        'uncertainties of all parameters mean together.',
    )


def _models(models: Any, best: str) -> Drawing:
    names = list(models)
    with figure(4.9, 2.3) as (_, axes, made):
        colours = [GREEN if name == best else GREY for name in names]
        bars = axes.barh(names, [models[name] for name in names], color=colours, height=0.6)
        axes.bar_label(bars, fmt='%.3f', padding=4, fontsize=8)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.grid(axis='y', visible=False)
        axes.set(xlabel='rms of views held out (px)', title='Lens models')
    return Drawing(
        made[0],
        'How well each model predicts views that it was not fitted to. '
        f'{best or "None"} is recommended.',
    )


def correlation_matrix(names: tuple[str, ...], matrix: list[list[float]]) -> Drawing:
    """Return the correlation of the estimated parameters as coloured squares."""
    values = np.asarray(matrix, float)
    side = min(max(0.33 * len(names) + 1.4, 3.2), 7.5)
    with figure(side + 0.7, side) as (drawing, axes, made):
        shown = axes.imshow(values, cmap='RdBu_r', vmin=-1, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=60, ha='right')
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        if len(names) <= 12:
            for row, column in np.ndindex(values.shape):
                dark = abs(values[row, column]) > 0.55
                axes.text(column, row, f'{values[row, column]:.1f}'.replace('-0.0', '0.0'),
                          ha='center', va='center', fontsize=6.5,
                          color='white' if dark else INK)  # fmt: skip
        axes.set_title('Correlation of the parameters')
        drawing.colorbar(shown, ax=axes, shrink=0.75, pad=0.02)
    return Drawing(
        made[0],
        'Near 1 or -1: two parameters can stand in for each other, and only their combination '
        'is known well.',
    )


_FIGURES: dict[str, Callable[[Any], Iterator[Drawing]]] = {
    'intrinsics': _intrinsics,
    'joint': joint_figures,
    **PHOTOMETRY,
}
