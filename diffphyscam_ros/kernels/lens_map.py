# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the pixels of a lens look, solved row by row in float64.

Equals ``camera.distortion.distortion_map`` and ``camera.aberration.chromatic_maps``: a pixel's
normalised point is moved by its colour's magnification, the lens model is undone by Newton's
method from a tabulated start, and the ray falls on a pixel of the pinhole source.
"""

from __future__ import annotations

from functools import lru_cache
import math
from typing import Any, NamedTuple

from numba import prange
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.runtime import kernel

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Places in a table of numbers: both pinholes, the colour, the lens model's coefficients.
FX, FY, CX, CY = 0, 1, 2, 3
SOURCE_FX, SOURCE_FY, SOURCE_CX, SOURCE_CY = 4, 5, 6, 7
SCALE, CURVE, LENS = 8, 9, 10
NUMBERS = 18

NONE, PLUMB_BOB, RATIONAL, EQUIDISTANT = 0, 1, 2, 3

_STARTS = 1024
_ANGLES = 2048
_QUICK, _MOST = 3, 20  # steps that every pixel takes, and that a pixel near a fold may take
_FOLD = -4.0 / 27.0  # aberration._FOLD
_PRECISE, _SOLVED = 1e-13, 1e-9
_WIDEST_STEP = 0.1


class Look(NamedTuple):
    """Where in a source picture the pixels of another look, (H', W'): as ``warp.Places``.

    :param x: and y: the ray's normalised point.
    :param held: 1 where a border holds the position across, 2 down, 3 both: it does not move.
    :param lowest: (H',) the least corner of a row, and highest the greatest, of those that look.
    """

    corner: npt.NDArray[np.int32]
    right: Floats
    down: Floats
    nearest: npt.NDArray[np.int32]
    x: Floats
    y: Floats
    held: npt.NDArray[np.uint8]
    quick: npt.NDArray[np.bool_]
    lowest: npt.NDArray[np.int32]
    highest: npt.NDArray[np.int32]


@kernel(inline=True)
def radial(kind, k, s):  # type: ignore[no-untyped-def]
    """Return R and dR/ds of plumb_bob or rational_polynomial at s = r²."""
    above = 1.0 + s * (k[0] + s * (k[1] + s * k[4]))
    above_slope = k[0] + s * (2.0 * k[1] + s * 3.0 * k[4])
    below = 1.0 + s * (k[5] + s * (k[6] + s * k[7]))
    below_slope = k[5] + s * (2.0 * k[6] + s * 3.0 * k[7])
    scale = above / below
    return scale, (above_slope - scale * below_slope) / below


@kernel(inline=True)
def _newton(k, x, y, wanted_x, wanted_y):  # type: ignore[no-untyped-def]
    """Return one step of Newton's method, the largest residual before it and det J."""
    p1, p2 = k[2], k[3]
    s = x * x + y * y
    scale, slope = radial(RATIONAL, k, s)
    a = x * scale + 2.0 * p1 * x * y + p2 * (s + 2.0 * x * x) - wanted_x
    b = y * scale + p1 * (s + 2.0 * y * y) + 2.0 * p2 * x * y - wanted_y
    xx = scale + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
    xy = 2.0 * x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
    yy = scale + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
    determinant = xx * yy - xy * xy
    step_x, step_y = (yy * a - xy * b) / determinant, (xx * b - xy * a) / determinant
    return step_x, step_y, max(abs(a), abs(b)), determinant


@kernel()
def _colour_free(x, y, scale, curve):  # type: ignore[no-untyped-def]
    """Undo the magnification of a colour in place; NaN where it folds (aberration)."""
    for i in range(x.size):
        bend = curve * (x[i] * x[i] + y[i] * y[i]) / (scale * scale * scale)
        phi = 1.0
        if bend != 0.0:
            for _ in range(60):
                slope = max(1.0 + 3.0 * bend * phi * phi, 1e-12)
                step = (phi * (1.0 + bend * phi * phi) - 1.0) / slope
                phi = min(max(phi - step, 0.0), 1.5)
                if abs(step) < 1e-15:
                    break
        factor = phi / scale if bend >= _FOLD else np.nan
        x[i] *= factor
        y[i] *= factor


@kernel()
def _start(starts, step, limit, x, y, ray_x, ray_y):  # type: ignore[no-untyped-def]
    """Set the rays to first guesses: the radial part of the lens alone."""
    last = starts.size - 2
    for i in range(x.size):
        s = x[i] * x[i] + y[i] * y[i]
        place = s / step
        below = int(min(place, float(last))) if place == place else 0
        part = min(place - below, 1.0)
        ratio = starts[below] + part * (starts[below + 1] - starts[below])
        if ratio * ratio * s > limit * limit:
            ratio = limit / math.sqrt(s)
        ray_x[i] = x[i] * ratio
        ray_y[i] = y[i] * ratio


@kernel()
def _undo_polynomial(k, limit, x, y, ray_x, ray_y):  # type: ignore[no-untyped-def]
    """Solve for the rays (plumb_bob, rational_polynomial); NaN where there is none."""
    for _ in range(_QUICK):
        for i in range(x.size):
            step_x, step_y, _, _ = _newton(k, ray_x[i], ray_y[i], x[i], y[i])
            step_x = min(max(step_x, -_WIDEST_STEP), _WIDEST_STEP)
            step_y = min(max(step_y, -_WIDEST_STEP), _WIDEST_STEP)
            ray_x[i] -= step_x if step_x == step_x else 0.0
            ray_y[i] -= step_y if step_y == step_y else 0.0
    furthest = limit * limit * (1.0 + 1e-9) * (1.0 + 1e-9)
    for i in range(x.size):
        step_x, step_y, residual, determinant = _newton(k, ray_x[i], ray_y[i], x[i], y[i])
        count = _QUICK
        while not residual < _PRECISE and count < _MOST:
            step_x = min(max(step_x, -_WIDEST_STEP), _WIDEST_STEP)
            step_y = min(max(step_y, -_WIDEST_STEP), _WIDEST_STEP)
            ray_x[i] -= step_x if step_x == step_x else 0.0
            ray_y[i] -= step_y if step_y == step_y else 0.0
            step_x, step_y, residual, determinant = _newton(k, ray_x[i], ray_y[i], x[i], y[i])
            count += 1
        far = ray_x[i] * ray_x[i] + ray_y[i] * ray_y[i] > furthest
        if not residual < _SOLVED or not determinant > 0.0 or far:
            ray_x[i] = np.nan


@kernel()
def _undo_equidistant(k, limit, x, y, ray_x, ray_y):  # type: ignore[no-untyped-def]
    """Solve for the rays (equidistant); NaN where there is none."""
    widest = math.atan(limit)
    for i in range(x.size):
        radius = math.sqrt(x[i] * x[i] + y[i] * y[i])
        if not radius > 1e-9:
            ray_x[i], ray_y[i] = x[i], y[i]
            continue
        theta = math.atan(math.sqrt(ray_x[i] * ray_x[i] + ray_y[i] * ray_y[i]))
        residual, slope = 1.0, 1.0
        for _ in range(_MOST):
            t = theta * theta
            value = theta * (1.0 + t * (k[0] + t * (k[1] + t * (k[2] + t * k[3]))))
            slope = 1.0 + t * (3.0 * k[0] + t * (5.0 * k[1] + t * (7.0 * k[2] + t * 9.0 * k[3])))
            residual = value - radius
            if abs(residual) < _PRECISE:
                break
            theta -= min(max(residual / slope, -_WIDEST_STEP), _WIDEST_STEP)
            theta = min(max(theta, 0.0), 1.6)
        ratio = math.tan(theta) / radius
        there = abs(residual) < _SOLVED and slope > 0.0 and theta <= widest * (1.0 + 1e-9)
        ray_x[i] = x[i] * ratio if there else np.nan
        ray_y[i] = y[i] * ratio


@kernel()
def _place(numbers, height, width, border, ray_x, ray_y, row, look):  # type: ignore[no-untyped-def]
    """Set a row of places from its rays."""
    quick, last = True, (height - 1) * width - 2
    lowest, highest = height * width, -1
    for i in range(ray_x.size):
        u = numbers[SOURCE_FX] * ray_x[i] + numbers[SOURCE_CX]
        v = numbers[SOURCE_FY] * ray_y[i] + numbers[SOURCE_CY]
        if border:
            inside = u == u and v == v
        else:
            inside = u >= -0.5 and u <= width - 0.5 and v >= -0.5 and v <= height - 0.5
        if not inside:
            look.corner[row, i], look.nearest[row, i], look.held[row, i] = 0, -1, 3
            look.right[row, i], look.down[row, i] = 0.0, 0.0
            look.x[row, i], look.y[row, i] = 0.0, 0.0
            quick = quick and last > 0
            continue
        held = (1 if u < 0.0 or u >= width - 1.0 else 0) + (
            2 if v < 0.0 or v >= height - 1.0 else 0
        )
        u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
        column, line = min(int(u), max(width - 2, 0)), min(int(v), max(height - 2, 0))
        corner = line * width + column
        look.corner[row, i] = corner
        look.right[row, i], look.down[row, i] = u - column, v - line
        look.nearest[row, i] = int(v + 0.5) * width + int(u + 0.5)
        look.x[row, i], look.y[row, i] = ray_x[i], ray_y[i]
        look.held[row, i] = held
        quick = quick and corner < last
        lowest, highest = min(lowest, corner), max(highest, corner)
    look.quick[row], look.lowest[row], look.highest[row] = quick, lowest, highest


@kernel(parallel=True)
def _find(numbers, kind, limit, starts, step, height, width, border, look):  # type: ignore[no-untyped-def]
    """Set all places."""
    rows, columns = look.corner.shape
    chunk = 8
    for part in prange(-(-rows // chunk)):
        x, y = np.empty(columns), np.empty(columns)
        ray_x, ray_y = np.empty(columns), np.empty(columns)
        k = numbers[LENS:]
        for row in range(part * chunk, min(part * chunk + chunk, rows)):
            for i in range(columns):
                x[i] = (i - numbers[CX]) / numbers[FX]
                y[i] = (row - numbers[CY]) / numbers[FY]
            if numbers[SCALE] != 1.0 or numbers[CURVE] != 0.0:
                _colour_free(x, y, numbers[SCALE], numbers[CURVE])
            if kind == NONE:
                ray_x[:] = x
                ray_y[:] = y
            else:
                _start(starts, step, limit, x, y, ray_x, ray_y)
                if kind == EQUIDISTANT:
                    _undo_equidistant(k, limit, x, y, ray_x, ray_y)
                else:
                    _undo_polynomial(k, limit, x, y, ray_x, ray_y)
            _place(numbers, height, width, border, ray_x, ray_y, row, look)


_run: Any = _find


@lru_cache(maxsize=16)
def _guesses(
    kind: int, k: tuple[float, ...], limit: float, furthest: float
) -> tuple[Doubles, float]:
    """Return undistorted by distorted radius over its square, and the step of that square.

    :param furthest: largest distorted radius of a picture.
    """
    radius = np.tan(np.linspace(0.0, math.atan(limit), _ANGLES))
    if kind == EQUIDISTANT:
        theta = np.arctan(radius)
        t = theta * theta
        image = theta * (1.0 + t * (k[0] + t * (k[1] + t * (k[2] + t * k[3]))))
    else:
        s = radius * radius
        above = 1.0 + s * (k[0] + s * (k[1] + s * k[4]))
        image = radius * above / (1.0 + s * (k[5] + s * (k[6] + s * k[7])))
    image = np.maximum.accumulate(image)
    top = max(min(furthest, float(image[-1])), 1e-6)
    squares = np.linspace(0.0, top * top, _STARTS)
    distorted = np.sqrt(squares[1:])
    ratio = np.interp(distorted, image, radius) / distorted
    return np.concatenate(([1.0], ratio)), float(squares[1])


def find_places(
    numbers: Doubles,
    kind: int,
    limit: float,
    rows: int,
    columns: int,
    height: int,
    width: int,
    border: bool,
) -> Look:
    """Return where in a source of height x width each of rows x columns pixels looks.

    :param numbers: (18,), see the places above; unused coefficients are 0.
    :param kind: of the lens model.
    :param limit: radius of the normalised point beyond which the model has no inverse.
    :param border: whether positions outside the source are held to its border.
    """
    size = rows, columns
    look = Look(
        np.empty(size, np.int32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.int32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.uint8),
        np.empty(rows, np.bool_),
        np.empty(rows, np.int32),
        np.empty(rows, np.int32),
    )
    across = max(abs(numbers[CX]), abs(columns - 1 - numbers[CX])) / numbers[FX]
    down = max(abs(numbers[CY]), abs(rows - 1 - numbers[CY])) / numbers[FY]
    furthest = 1.5 * math.hypot(across, down) / numbers[SCALE]
    starts, step = np.ones(2), 1.0
    if kind != NONE:
        starts, step = _guesses(kind, tuple(numbers[LENS:].tolist()), limit, furthest)
    _run(numbers, kind, limit, starts, step, height, width, border, look)
    return look
