# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where four squares meet, by fitting a picture of it: two blurred edges that may be curved.

Around a corner c the picture is (m + h·F(d₁/s₁)·F(d₂/s₂))·(1 + a·x + b·y): d₁, d₂ are the
distances from two curves through c whose curvature is known, F the error function, s the blur of
each edge, a and b a slope of the light. Blur and any response are the same on both sides of c, so
they do not displace it; bent lines would, and are in the model. All corners of a view are fitted
at once (Levenberg-Marquardt, analytic derivatives).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_map import BoardMap

Array = npt.NDArray[np.float64]

LEAST_REACH = 4
"""px; a smaller window holds too few pixels for two edges."""

MOST_REACH = 8
"""px; a larger window makes corners no better where edges are sharp."""

MISFIT = 0.35
"""Rms of what is left over the step's height, above which there is no such corner."""

SMOOTHED = 0.7
"""px, sigma of a blur that the picture is given first: sharp edges are narrower than the pixels
that sample them, and then how they lie between these displaces corners: by up to 0.03 px where a
picture was interpolated between its pixels, as the simulated lens does."""

_STEPS = 12
_STILL = 2e-4  # px, the change of a corner that ends the search
_SHARPEST = 0.25  # px, of a pixel's own area nothing narrower is left


@dataclass(frozen=True)
class Saddles:
    """Fitted corners.

    :param points: (n, 2) px.
    :param good: (n,) whether there is a corner that the model explains; where not, the point is
        the one that it began with.
    """

    points: Array
    good: npt.NDArray[np.bool_]


def fit_saddles(
    grey: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    start: Array,
    lines: BoardMap,
    reach: Array,
) -> Saddles:
    """Return the corners near some places.

    :param grey: (H, W).
    :param start: (n, 2) px, within a pixel or two.
    :param lines: of the board at these points.
    :param reach: (n,) px around each that no other edge enters; below ``LEAST_REACH`` there is
        nothing to fit.
    """
    points, good = start.astype(np.float64), np.zeros(len(start), np.bool_)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SMOOTHED)
    radius = np.minimum(np.nan_to_num(reach), MOST_REACH).astype(int)
    for size in np.unique(radius[radius >= LEAST_REACH]):
        which = np.flatnonzero(radius == size)
        found = _fit(smooth, start[which], lines.angle[which], lines.bend[which], int(size))
        points[which], good[which] = found.points, found.good
    return Saddles(points, good)


def _fit(grey: npt.NDArray[Any], start: Array, angle: Array, bend: Array, size: int
         ) -> Saddles:  # fmt: skip
    """Fit corners whose windows are of one size."""
    side = np.arange(-size, size + 1)
    rows, columns = (part.ravel() for part in np.meshgrid(side, side, indexing='ij'))
    disc = rows**2 + columns**2 <= (size + 0.5) ** 2
    offset = np.stack([columns[disc], rows[disc]]).astype(np.float64)  # (2, k)
    middle = np.round(start)
    x, y = (middle[:, axis, None] + offset[axis] for axis in (0, 1))
    height, width = grey.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    values = grey[y.clip(0, height - 1).astype(int), x.clip(0, width - 1).astype(int)]
    seen = values.astype(np.float64)
    model = _Model(offset, bend, inside.astype(np.float64), size)
    theta = model.first(start - middle, angle, seen)
    damping = np.full(len(start), 1e-3)
    value, lever = model(theta)
    rest = (seen - value) * model.weight
    cost = (rest**2).sum(axis=1)
    for _ in range(_STEPS):
        normal = lever.transpose(0, 2, 1) @ lever
        pull = np.einsum('nkp,nk->np', lever, rest)
        index = np.arange(normal.shape[1])
        ridge = normal[:, index, index] * damping[:, None] + 1e-9
        normal[:, index, index] += ridge
        change = np.linalg.solve(normal, pull[..., None])[..., 0]
        tried = model.held(theta + change)
        value, new_lever = model(tried)
        new_rest = (seen - value) * model.weight
        new_cost = (new_rest**2).sum(axis=1)
        better = new_cost <= cost
        moved = np.abs((tried - theta)[:, :2]).max(axis=1)
        theta[better], cost[better] = tried[better], new_cost[better]
        rest[better], lever[better] = new_rest[better], new_lever[better]
        damping = np.where(better, np.maximum(damping / 10.0, 1e-9), damping * 10.0)
        if not (better & (moved > _STILL)).any() and better.any():
            break
    count = np.maximum(model.weight.sum(axis=1), 1.0)
    misfit = np.sqrt(cost / count) / np.maximum(np.abs(theta[:, 7]), 1e-9)
    enough = model.weight.mean(axis=1) > 0.7
    far = np.linalg.norm(theta[:, :2] - (start - middle), axis=1) > 0.6 * size
    good = enough & ~far & (misfit < MISFIT) & np.isfinite(theta).all(axis=1)
    return Saddles(np.where(good[:, None], middle + theta[:, :2], start), good)


class _Model:
    """The picture around corners.

    Parameters: cx, cy, two angles, ln of two blurs, m, h, and the slope of the light.
    """

    def __init__(self, offset: Array, bend: Array, weight: Array, size: int) -> None:
        self.offset, self.bend, self.weight, self.size = offset, bend, weight, size

    def first(self, place: Array, angle: Array, seen: Array) -> Array:
        """Return where the search begins: the step's levels as least squares has them."""
        theta = np.zeros((len(place), 10))
        theta[:, :2], theta[:, 2:4], theta[:, 4:6] = place, angle, np.log(0.8)
        theta[:, 7] = 1.0
        saddle = self(theta)[1][..., 7]  # F₁·F₂ where inside
        weight = self.weight.sum(axis=1).clip(1.0)
        mean, level = saddle.sum(axis=1) / weight, (seen * self.weight).sum(axis=1) / weight
        centred = (saddle - mean[:, None]) * self.weight
        step = (centred * seen).sum(axis=1) / np.maximum((centred**2).sum(axis=1), 1e-9)
        theta[:, 7], theta[:, 6] = step, level - step * mean
        return theta

    def held(self, theta: Array) -> Array:
        """Return parameters within their ranges."""
        theta[:, :2] = theta[:, :2].clip(-self.size, self.size)
        theta[:, 4:6] = theta[:, 4:6].clip(np.log(_SHARPEST), np.log(self.size))
        theta[:, 8:] = theta[:, 8:].clip(-0.5, 0.5)
        return theta

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Return the picture (n, k) and its derivatives by the parameters (n, k, 10), weighted."""
        from scipy.special import ndtr

        qx = self.offset[0] - theta[:, 0, None]
        qy = self.offset[1] - theta[:, 1, None]
        step, slope, by_x, by_y, turn, spread = [], [], [], [], [], []
        for edge in (0, 1):
            cos, sin = np.cos(theta[:, 2 + edge, None]), np.sin(theta[:, 2 + edge, None])
            bend = self.bend[:, edge, None]
            along, across = cos * qx + sin * qy, cos * qy - sin * qx
            sigma = np.exp(theta[:, 4 + edge, None])
            distance = (across - 0.5 * bend * along**2) / sigma
            step.append(2.0 * ndtr(distance) - 1.0)
            density = np.exp(-0.5 * distance**2) * ((2.0 / np.pi) ** 0.5 / sigma)
            slope.append(density)
            by_x.append(-sin - bend * along * cos)
            by_y.append(cos - bend * along * sin)
            turn.append(-along * (1.0 + bend * across))
            spread.append(-density * distance * sigma)
        m, h = theta[:, 6, None], theta[:, 7, None]
        light = 1.0 + (theta[:, 8, None] * self.offset[0] + theta[:, 9, None] * self.offset[1]) / (
            self.size
        )
        light = light * self.weight
        saddle = step[0] * step[1]
        plain = m + h * saddle
        one, two = h * light * step[1], h * light * step[0]
        lever = np.empty((*qx.shape, 10))
        lever[..., 0] = -(one * slope[0] * by_x[0] + two * slope[1] * by_x[1])
        lever[..., 1] = -(one * slope[0] * by_y[0] + two * slope[1] * by_y[1])
        lever[..., 2], lever[..., 3] = one * slope[0] * turn[0], two * slope[1] * turn[1]
        lever[..., 4], lever[..., 5] = one * spread[0], two * spread[1]
        lever[..., 6], lever[..., 7] = light, light * saddle
        shaded = plain * self.weight / self.size
        lever[..., 8], lever[..., 9] = shaded * self.offset[0], shaded * self.offset[1]
        return plain * light, lever
