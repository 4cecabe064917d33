# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The pyramid on which wide glare is computed, shared by torch and numba.

Glare is the mean of four Gaussians, each twice as wide as the one before. Each is computed on a
picture halved until its own σ is a few cells, from the one before it: halve, filter, and add up on
the way back. Sizes are halved upwards, L → M = ⌈L / 2⌉, by cells that are all L / M wide, so that
they fit the picture exactly: with mirrored borders both directions keep the mean of any picture,
whatever its size.

A halving reads the picture through hats as wide as two cells, integrated over the pixels; for even
sizes that is (1, 3, 3, 1) / 8. Doubling is its transpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.floating[Any]]

OCTAVES = 4
NARROWEST = 1.75
"""At least as many cells of its level the σ of a Gaussian has, where the level is a halved one."""
REACH = 4.0
"""The filters end where their Gaussians are this many σ away from the middle."""


@dataclass(frozen=True)
class Axis:
    """How one axis of a level comes from the level before it.

    :param size: cells of this level.
    :param scale: pixels of the full resolution in each.
    :param spread: variance that halving and doubling again add, in px² of the full resolution.
    :param down_index: (size, 5) cells of the level before that a cell is made of.
    :param down_weight: (size, 5).
    :param up_index: (size before, 3) cells of this level that a cell before is made of.
    :param up_weight: (size before, 3).
    """

    size: int
    scale: float
    spread: float
    down_index: npt.NDArray[np.int64]
    down_weight: Doubles
    up_index: npt.NDArray[np.int64]
    up_weight: Doubles


def octave_levels(radius: float) -> tuple[int, ...]:
    """Return for each octave how often the picture is halved before its filter.

    :param radius: σ of the first, px.
    :raises ValueError: for a radius below 1 px, too narrow for sampled Gaussians.
    """
    if not 1.0 <= radius < math.inf:
        raise ValueError(f'glare radius {radius} px: must be a finite number >= 1')
    steps = math.log2(radius / NARROWEST)
    return tuple(max(0, math.floor(steps + octave)) for octave in range(OCTAVES))


@lru_cache(maxsize=64)
def halvings(size: int, count: int) -> tuple[Axis, ...]:
    """Return the axes of the levels 1 … count of a picture with ``size`` pixels along it."""
    axes: list[Axis] = []
    before = size
    for _ in range(count):
        axes.append(_halving(before, size))
        before = axes[-1].size
    return tuple(axes)


def _halving(before: int, full: int) -> Axis:
    after = (before + 1) // 2
    width = before / after  # of a cell, in cells of the level before
    even = before == 2 * after
    spline = _hat if even else _bell
    reach = 1.0 if even else 1.5  # of the spline, in its own cells
    taps = (4, 2) if even else (7, 4)

    centres = (np.arange(after) + 0.5) * width
    down = _run(centres - reach * width, taps[0])  # the pixel that this edge lies on, and more
    down_weight = _over_pixels(spline, down, centres[:, None], width)
    pixels = np.arange(before)
    up = _run(pixels / width - reach + 0.5, taps[1])  # the first spline that reaches it
    up_weight = width * _over_pixels(spline, pixels[:, None], (up + 0.5) * width, width)

    spread = 2 * (width**2 * (1 / 6 if even else 1 / 4) + 1 / 12)
    return Axis(
        after,
        full / after,
        spread * (full / before) ** 2,
        _mirrored(down, before),
        down_weight,
        _mirrored(up, after),
        up_weight,
    )


def _run(lowest: Doubles, count: int) -> npt.NDArray[np.int64]:
    """Return for each number its floor and the whole numbers after it."""
    first = np.floor(lowest + 1e-9).astype(np.int64)
    return first[:, None] + np.arange(count)


def _over_pixels(
    spline: Callable[[Doubles], Doubles],
    pixel: npt.NDArray[np.int64],
    centre: Doubles,
    width: float,
) -> Doubles:
    """Integrate the spline of area 1 around a centre over the pixels [p, p + 1]."""
    return spline((pixel + 1 - centre) / width) - spline((pixel - centre) / width)


def _hat(t: Doubles) -> Doubles:
    """Return the integral from −∞ to t of the linear B-spline."""
    t = np.clip(t, -1.0, 1.0)
    return np.where(t < 0, (1 + t) ** 2 / 2, 1 - (1 - t) ** 2 / 2)


def _bell(t: Doubles) -> Doubles:
    """Return the integral from −∞ to t of the quadratic B-spline."""
    t = np.clip(t, -1.5, 1.5)
    tail = (1.5 - np.abs(t)) ** 3 / 6
    middle = 0.5 + 0.75 * t - t**3 / 3
    return np.where(np.abs(t) <= 0.5, middle, np.where(t < 0, tail, 1 - tail))


def _mirrored(index: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    index = index % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def filter_variances(size: int, levels: tuple[int, ...], squared: Any) -> list[Any]:
    """Return what the filter of each octave has to add along an axis, in its own cells².

    :param levels: of ``octave_levels``.
    :param squared: s², σ² of the first octave in px²: a float, or a tensor with a gradient.
    """
    axes = halvings(size, levels[-1])
    variances = []
    reached, before = 0.0 * squared, 0
    for octave, level in enumerate(levels):
        wanted = 4.0**octave * squared
        missing = wanted - reached - sum(axis.spread for axis in axes[before:level])
        variances.append(missing / (axes[level - 1].scale ** 2 if level else 1.0))
        reached, before = wanted, level
    return variances


def filter_radius(variance: float) -> int:
    """Return how many taps a filter has on either side."""
    return math.ceil(REACH * math.sqrt(variance))


def filter_taps(variance: float) -> Doubles:
    """Return one half of a filter: middle, ±1, ±2, …; both halves sum to 1."""
    offsets = np.arange(filter_radius(variance) + 1)
    taps: Doubles = np.exp(-0.5 * offsets**2 / variance)
    return taps / (2 * taps.sum() - taps[0])
