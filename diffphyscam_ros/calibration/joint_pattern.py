# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The print of a target as a smooth function: how much paper there is around a point of the board.

Nothing is drawn: edges are where the target says they are, to the last digit, and the function
has a gradient in place and blur. A blurred board is that function with the blur's spread.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.calibration.target_print import shapes
from diffphyscam_ros.calibration.targets import CIRCLE_RADIUS, GRIDS, Target

MOST_CELLS = 5
"""Of the print that a blur reaches on either side of a point; it is cut off there."""

REACH = 3.0
"""Standard deviations of the blur that count."""


def print_origin(target: Target) -> float:
    """Return how far the first corner is from the left and the top of the print, m."""
    if target.kind in ('chessboard', 'charuco'):
        return target.square_size
    if target.kind in GRIDS:
        return target.square_size - target.marker_size if target.kind == 'aprilgrid' else 0.0
    return CIRCLE_RADIUS * target.square_size


class BoardPattern:
    """The share of paper around points of a board's frame."""

    def __init__(self, target: Target) -> None:
        """See the class."""
        self._points = torch.from_numpy(target.object_points()[:, :2])
        self._radius = CIRCLE_RADIUS * target.square_size
        self._round = 'circles' in target.kind
        if not self._round:
            xs, ys, cells = _cells(target)
            self._xs, self._ys = torch.from_numpy(xs), torch.from_numpy(ys)
            self._cells = torch.from_numpy(cells)
            self._finest = float(min(np.diff(xs).min(), np.diff(ys).min()))

    def paper(
        self, place: torch.Tensor, spread: torch.Tensor, box: torch.Tensor, mixed: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean of the print (paper 1, ink 0) around each point, (N,).

        The mean is that under a box convolved with a Gaussian, along x and along y. Along an edge
        of the print this is exact; where two edges meet, the covariance of x and y counts to
        first order. Circles are taken for straight edges. Differentiable in all arguments.

        :param place: (N, 2) m in the board's frame.
        :param spread: (N, 2) standard deviations of the Gaussian along x and y, m, > 0.
        :param box: (N, 2) half of the box's width along x and y, m, > 0.
        :param mixed: (N,) covariance of x and y of both together, m².
        """
        if self._round:
            return self._dots(place, spread, box)
        widest = float((REACH * spread + box).detach().max()) if len(place) else 0.0
        cells = min(max(math.ceil(widest / self._finest), 1), MOST_CELLS)
        column, across, across_slope = _shares(
            self._xs, place[:, 0], spread[:, 0], box[:, 0], cells
        )
        row, down, down_slope = _shares(self._ys, place[:, 1], spread[:, 1], box[:, 1], cells)
        there = self._cells[row[:, :, None], column[:, None, :]]
        paper = torch.einsum('nj,nji,ni->n', down, there, across)
        # ∂W/∂cov(x, y) = ∂²W/∂x∂y, of any function that is convolved with a Gaussian
        corner = torch.einsum('nj,nji,ni->n', down_slope, there, across_slope)
        return paper + mixed * corner

    def _dots(self, place: torch.Tensor, spread: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            nearest = torch.cdist(place, self._points).argmin(dim=1)
        offset = place - self._points[nearest]
        square = offset.square().sum(dim=1) + 1e-24
        along, wide = (
            ((offset * part).square().sum(dim=1) / square + 1e-24).sqrt() for part in (spread, box)
        )
        return _step(square.sqrt() - self._radius, along, wide)


def _cells(
    target: Target,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return edges in x and y, m in the board's frame, and the cells between them.

    :return: xs (n,), ys (m,), cells (m + 1, n + 1) with 1 for paper; around the print is paper.
    """
    drawn = list(shapes(target))
    xs = _distinct([side for s in drawn for side in (s.x, s.x + s.width)])
    ys = _distinct([side for s in drawn for side in (s.y, s.y + s.height)])
    cells = np.ones((len(ys) + 1, len(xs) + 1))
    for shape in drawn:
        left, right = (_place(xs, side) for side in (shape.x, shape.x + shape.width))
        top, bottom = (_place(ys, side) for side in (shape.y, shape.y + shape.height))
        cells[top + 1 : bottom + 1, left + 1 : right + 1] = 0.0 if shape.black else 1.0
    origin = print_origin(target)
    return xs * 1e-3 - origin, ys * 1e-3 - origin, cells


def _distinct(values: list[float]) -> npt.NDArray[np.float64]:
    """Return sorted values, those that differ by rounding once."""
    found = np.unique(np.asarray(values, np.float64))
    return found[np.concatenate([[True], np.diff(found) > 1e-6])]


def _place(sides: npt.NDArray[np.float64], value: float) -> int:
    return int(np.abs(sides - value).argmin())


def _shares(
    edges: torch.Tensor, place: torch.Tensor, spread: torch.Tensor, box: torch.Tensor, reach: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return which cells are near, how much of the blur falls on each, and the slope of that.

    :return: three of (N, 2·reach + 1).
    """
    here = torch.searchsorted(edges, place.detach().contiguous())
    steps = torch.arange(-reach, reach + 1)
    cell = (here[:, None] + steps).clamp(0, len(edges))
    # Between cells of the clamped ends, which are the same cell, any edge will do.
    edge = edges[(here[:, None] + steps[:-1]).clamp(0, len(edges) - 1)]
    distance, spread, box = edge - place[:, None], spread[:, None], box[:, None]
    below = _step(distance, spread, box)
    ndtr = torch.special.ndtr
    density = (ndtr((distance + box) / spread) - ndtr((distance - box) / spread)) / (2.0 * box)
    one, none = torch.ones_like(below[:, :1]), torch.zeros_like(below[:, :1])
    share = torch.cat([below, one], dim=1) - torch.cat([none, below], dim=1)
    slope = torch.cat([none, density], dim=1) - torch.cat([density, none], dim=1)
    return cell, share, slope


def _step(distance: torch.Tensor, spread: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """Return the integral of a box convolved with a Gaussian, from −∞ to a distance."""
    ends = [_integral_of_normal((distance + side * box) / spread) for side in (1.0, -1.0)]
    return (ends[0] - ends[1]) * spread / (2.0 * box)


def _integral_of_normal(t: torch.Tensor) -> torch.Tensor:
    """Return ∫ Φ from −∞ to t."""
    return t * torch.special.ndtr(t) + torch.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
