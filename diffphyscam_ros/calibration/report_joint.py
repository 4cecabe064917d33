# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The report's figures of the joint refinement; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.report_style import (
    BLUE,
    Drawing,
    figure,
    GREEN,
    GREY,
    ORANGE,
    RED,
)


def joint_figures(plots: Any) -> Iterator[Drawing]:
    """Yield the errors of frames that were held out, and the moves of the parameters."""
    frames = plots.get('frames', [])
    if not frames:
        return
    yield _errors(frames)
    moves = [row for row in plots.get('moves', []) if row['sigmas'] is not None]
    if moves:
        yield _moves(moves)


def _errors(frames: Any) -> Drawing:
    staged = np.array([frame['staged'] for frame in frames])
    refined = np.array([frame['refined'] for frame in frames])
    gain = 100.0 * (1.0 - refined / staged)
    with figure(4.9, 4.0) as (_, axes, made):
        colours = [GREEN if value > 0 else RED for value in gain]
        axes.bar(range(len(gain)), gain, color=colours, width=0.75)
        axes.axhline(0, c=GREY, lw=0.8)
        axes.axhline(100.0 * (1.0 - np.exp(np.median(np.log(refined / staged)))), c=ORANGE, lw=1.2)
        axes.grid(axis='x', visible=False)
        axes.set(xlabel='frame', ylabel='error less than staged by (%)',
                 title='Frames held out')  # fmt: skip
    return Drawing(
        made[0],
        'Each frame was predicted by a camera that was refined on other frames. Green: it is '
        f'predicted better than with the staged values. Their errors are {staged.min():.2f} to '
        f'{staged.max():.2f} times the noise. Orange: the median.',
    )


def _moves(moves: Any) -> Drawing:
    names = [row['name'] for row in moves]
    sigmas = np.array([row['sigmas'] for row in moves])
    reach = np.array([row['std'] / row['staged_std'] for row in moves])
    with figure(4.9, 0.3 * len(names) + 1.3) as (_, axes, made):
        axes.axvspan(-1, 1, color='#dfe4ea', alpha=0.5, lw=0)
        axes.axvline(0, c=GREY, lw=0.8)
        axes.errorbar(sigmas, range(len(names)), xerr=reach, fmt='o', c=BLUE, ms=4, lw=1.2)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(axis='y', visible=False)
        axes.set(xlabel='moved by (staged standard deviations)', title='Moves')
    return Drawing(
        made[0],
        'From the staged values (0, with one standard deviation in grey) to the refined ones, '
        'with the standard deviations that those have.',
    )
