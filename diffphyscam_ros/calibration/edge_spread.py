# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How wide a straight edge is pictured: its spread function fitted with a blurred step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.planes import Array

LEAST_PIXELS = 60
LEAST_CONTRAST = 0.03

PLAIN = 2.5
"""Spreads that both sides of an edge must reach, or its levels are not seen."""


@dataclass(frozen=True)
class Edge:
    """A straight edge in a picture.

    :param start: x and y of one end, px; ``end`` of the other. About a pixel is good enough.
    :param reach: px, how far both sides are plain.
    :param depth: m along z, or None where the frame says it.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    reach: float
    depth: float | None = None


@dataclass(frozen=True)
class EdgeSpread:
    """A blurred step fitted to an edge.

    :param sigma: standard deviation of the blur across the edge, px, the pixel included.
    :param std: of ``sigma``.
    :param contrast: bright less dark, digital light.
    :param misfit: rms of what is left of the edge, over its contrast.
    """

    sigma: float
    std: float
    contrast: float
    misfit: float


def find_edge(light: Array) -> Edge | None:
    """Return the one straight edge of a picture, as a slanted edge target has it.

    :param light: (h, w).
    :return: None where no straight line divides the picture in two plain halves.
    """
    height, width = light.shape
    low, high = np.quantile(light, (0.1, 0.9))
    if high - low < LEAST_CONTRAST * max(high, 1e-9) or high - low <= 0:
        return None
    over = light - (low + high) / 2.0
    across = np.abs(np.diff(light, axis=1)).sum() > np.abs(np.diff(light, axis=0)).sum()
    picture = over if across else over.T
    points = []
    for row, values in enumerate(picture):
        flips = np.flatnonzero(np.signbit(values[1:]) != np.signbit(values[:-1]))
        if not len(flips):
            continue
        # noise makes a blurred edge flip more than once: the middle of them
        at = [k + values[k] / (values[k] - values[k + 1]) for k in flips]
        points.append((row, float(np.median(at))))
    if len(points) < 0.6 * len(picture):
        return None
    rows, places = np.array(points).T
    kept = np.ones(len(rows), bool)
    for _ in range(4):
        slope, offset = np.polyfit(rows[kept], places[kept], 1)
        miss = np.abs(places - (slope * rows + offset))
        kept = miss < max(3.0 * float(np.median(miss[kept])), 0.3)
    if kept.sum() < 0.5 * len(picture):
        return None
    trim = 0.12 * len(picture)  # near the border the lens mirrors what it blurs
    rows = np.array([trim, len(picture) - 1 - trim])
    ends = [(float(slope * row + offset), float(row)) for row in rows]
    if not across:
        ends = [(y, x) for x, y in ends]
    (x0, y0), (x1, y1) = ends
    length = float(np.hypot(x1 - x0, y1 - y0))
    normal = np.array([-(y1 - y0), x1 - x0]) / length
    middle = np.array([(x0 + x1) / 2.0, (y0 + y1) / 2.0])
    size = np.array([width - 1.0, height - 1.0])
    room = min(
        float(np.min(np.where(side > 0, size - middle, middle) / np.maximum(abs(side), 1e-9)))
        for side in (normal, -normal)
    )
    return Edge((x0, y0), (x1, y1), room)


def measure_edge(light: Array, edge: Edge, psf: str = 'gaussian') -> EdgeSpread | None:
    """Return the spread of an edge, or None where it is too short, too faint or not straight.

    All pixels within ``reach`` of the line are fitted together, each at its own distance: a
    slanted edge samples its profile much finer than the pixels (ISO 12233).

    :param light: (h, w), linear; NaN where there is no value, as between sites of a mosaic.
    :param psf: shape of the blur: 'gaussian', or 'disk' (a polygon is taken for one).
    """
    distance, values = _near(light, edge)
    if len(values) < LEAST_PIXELS:
        return None
    theta = np.array([np.log(1.0), 0.0, 0.0, *_sides(distance[0], values)])
    length = float(np.hypot(edge.end[0] - edge.start[0], edge.end[1] - edge.start[1]))
    along = distance[1] / max(length / 2.0, 1.0)
    step = theta[4] - theta[3]
    if abs(step) < LEAST_CONTRAST:
        return None
    profile = _gaussian_step if psf == 'gaussian' else _disk_step
    theta[0] = np.log(_rough_width(distance[0], (values - theta[3]) / step))
    damping, cost = 1e-3, np.inf
    lever = np.zeros((len(values), 5))
    for _ in range(40):
        value, lever = _model(profile, theta, distance[0], along)
        residual = values - value
        cost = float(residual @ residual)
        normal = lever.T @ lever
        done = False
        for _ in range(8):
            damped = normal + damping * np.diag(np.diag(normal)) + 1e-15 * np.eye(5)
            change = np.linalg.solve(damped, lever.T @ residual)
            new = theta + change
            new[0] = np.clip(new[0], np.log(0.1), np.log(60.0))
            rest = values - _model(profile, new, distance[0], along)[0]
            if rest @ rest <= cost:
                done = abs(cost - rest @ rest) < 1e-8 * cost
                theta, damping = new, max(damping / 5.0, 1e-9)
                break
            damping *= 8.0
        else:
            done = True
        if done:
            break
    variance = cost / max(len(values) - 5, 1)
    covariance = np.linalg.pinv(lever.T @ lever) * variance
    sigma, contrast = float(np.exp(theta[0])), abs(float(theta[4] - theta[3]))
    misfit = float(variance) ** 0.5 / max(contrast, 1e-9)
    if misfit > 0.15 or PLAIN * sigma > edge.reach:
        return None
    return EdgeSpread(sigma, sigma * float(covariance[0, 0]) ** 0.5, contrast, misfit)


def _near(light: Array, edge: Edge) -> tuple[Array, Array]:
    """Return distance across and along the edge's middle, (2, n) px, and the values there."""
    height, width = light.shape
    start, end = np.array(edge.start), np.array(edge.end)
    length = float(np.linalg.norm(end - start))
    tangent = (end - start) / max(length, 1e-9)
    low = np.floor(np.minimum(start, end) - edge.reach).astype(int).clip(0)
    high = np.ceil(np.maximum(start, end) + edge.reach).astype(int)
    y, x = np.mgrid[low[1] : min(high[1] + 1, height), low[0] : min(high[0] + 1, width)]
    dx, dy = x - (start[0] + end[0]) / 2.0, y - (start[1] + end[1]) / 2.0
    along = dx * tangent[0] + dy * tangent[1]
    across = -dx * tangent[1] + dy * tangent[0]
    inside = (np.abs(across) <= edge.reach) & (np.abs(along) <= length / 2.0)
    inside &= np.isfinite(light[y, x])
    values = light[y[inside], x[inside]]
    return np.stack([across[inside], along[inside]]), np.asarray(values, np.float64)


def _sides(across: Array, values: Array) -> tuple[float, float]:
    """Return the levels of both sides."""
    far = 0.6 * float(np.abs(across).max())
    return float(np.median(values[across < -far])), float(np.median(values[across > far]))


def _rough_width(across: Array, unit: Array) -> float:
    """Return a first σ: the integral of the part of a step that is not there."""
    order = np.argsort(across)
    x, u = across[order], np.clip(unit[order], 0.0, 1.0)
    missing = np.where(x > 0, 1.0 - u, u)
    area = float(((missing[1:] + missing[:-1]) * np.diff(x)).sum()) / 2.0
    return min(max(area * (np.pi / 2.0) ** 0.5, 0.3), 20.0)


def _gaussian_step(t: Array) -> tuple[Array, Array]:
    """Return the integral of the unit normal distribution, and the distribution."""
    from scipy.special import ndtr

    return np.asarray(ndtr(t)), np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)


def _disk_step(t: Array) -> tuple[Array, Array]:
    """Return the same of a uniform disk seen from the side, of deviation 1: its radius is 2."""
    s = np.clip(t / 2.0, -1.0, 1.0)
    root = np.sqrt(1.0 - s * s)
    return 0.5 + (s * root + np.arcsin(s)) / np.pi, root / np.pi


def _model(profile: object, theta: Array, across: Array, along: Array) -> tuple[Array, Array]:
    """Return the blurred step and its derivatives by ln σ, place, turn, and the two levels."""
    sigma = np.exp(theta[0])
    t = (across - theta[1] - theta[2] * along) / sigma
    step, density = profile(t)  # type: ignore[operator]
    height = theta[4] - theta[3]
    slope = -height * density / sigma
    lever = np.stack([slope * t * sigma, slope, slope * along, 1.0 - step, step], axis=1)
    return theta[3] + height * step, lever
