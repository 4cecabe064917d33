# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The figure of bench/gradients_truth.py: error against time, and maps of one gradient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot

TITLES = ('finite differences', 'ours', "Mitsuba's direct_projective, 64")


def draw(rows: Sequence[Any], maps: Sequence[np.ndarray], file: Path) -> None:
    """Write the figure.

    :param rows: with ``case``, ``way``, ``times`` and ``error()``.
    :param maps: (H, W, 3) the true change of the picture and what was found for it.
    """
    figure = pyplot.figure(figsize=(10.0, 7.0), layout='constrained')
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1.0))
    names = list(dict.fromkeys(row.case for row in rows))
    axes = np.atleast_1d(upper.subplots(1, len(names), sharex=True, sharey=True))
    for axis, name in zip(axes, names, strict=True):
        for ours, color in ((True, 'C0'), (False, 'C3')):
            of = [r for r in rows if r.case == name and r.way.startswith('ours') == ours]
            if not of:
                continue
            time, error = [min(r.times) for r in of], [100.0 * r.error() for r in of]
            label = 'ours' if ours else of[0].way.rsplit(' ', 1)[0]
            axis.loglog(time, error, 'o-', color=color, label=label)
            for row, x, y in zip(of, time, error, strict=True):
                axis.annotate(row.way.rsplit(' ', 1)[1], (x, y), (4, 4),
                              textcoords='offset points', fontsize=7)  # fmt: skip
        axis.set_title(name, fontsize=9)
        axis.set_xlabel('forward and backward, ms', fontsize=8)
        axis.grid(True, which='both', alpha=0.2)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=7)
    axes[0].set_ylabel('error of the gradient, %', fontsize=8)
    reach = float(np.quantile(np.abs(maps[0]), 0.998))
    panes = np.atleast_1d(lower.subplots(1, len(maps)))
    for pane, values, title in zip(panes, maps, TITLES[: len(maps)], strict=True):
        shown = pane.imshow(values.mean(-1), cmap='RdBu_r', vmin=-reach, vmax=reach)
        pane.set_title(title, fontsize=9)
        pane.set_axis_off()
    lower.colorbar(shown, ax=list(panes), shrink=0.8, label='change of the picture, 1/m')
    lower.suptitle('ball on black: the picture as the ball moves to the right', fontsize=9)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
