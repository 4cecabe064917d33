# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Draw a calibration target at true scale, as PDF or PNG, with a ruler to check the printer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.markers import marker_cells
from diffphyscam_ros.calibration.targets import CIRCLE_RADIUS, GRIDS, Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGES = {'A4': (210.0, 297.0), 'A3': (297.0, 420.0), 'letter': (215.9, 279.4)}
"""Width and height upright, mm."""

MARGIN = 8.0  # mm, that printers leave white
FOOT = 16.0  # mm below the pattern, for the ruler and the text
RULER = 100.0  # mm
QUIET = 0.4  # of a square: white around the pattern, which detectors need


@dataclass(frozen=True)
class Shape:
    """Something to fill, in mm from the top left of the pattern; a circle where it is round."""

    x: float
    y: float
    width: float
    height: float
    black: bool = True
    round: bool = False


def shapes(target: Target) -> Iterator[Shape]:
    """Yield what the pattern consists of, in the order of painting."""
    if target.kind == 'chessboard':
        yield from _squares(target.columns + 1, target.rows + 1, target.square_size * 1e3, True)
    elif target.kind == 'charuco':
        first = not (target.legacy and target.rows % 2 == 0)
        yield from _squares(target.columns, target.rows, target.square_size * 1e3, first)
        inset = (target.square_size - target.marker_size) / 2.0 * 1e3
        for marker in range(target.marker_count):
            column, row = target.marker_cell(marker)
            pitch = target.square_size * 1e3
            yield from _marker(target, marker, column * pitch + inset, row * pitch + inset)
    elif target.kind in GRIDS:
        yield from _grid(target)
    else:
        pitch = target.square_size * 1e3
        radius = CIRCLE_RADIUS * pitch
        for x, y, _ in target.object_points() * 1e3:
            yield Shape(float(x), float(y), 2 * radius, 2 * radius, round=True)


def _squares(columns: int, rows: int, side: float, first_black: bool) -> Iterator[Shape]:
    for row in range(rows):
        for column in range(columns):
            if ((column + row) % 2 == 0) == first_black:
                yield Shape(column * side, row * side, side, side)


def _grid(target: Target) -> Iterator[Shape]:
    pitch, gap = target.square_size * 1e3, (target.square_size - target.marker_size) * 1e3
    around = gap if target.kind == 'aprilgrid' else 0.0
    for marker in range(target.marker_count):
        column, row = target.marker_cell(marker)
        yield from _marker(target, marker, around + column * pitch, around + row * pitch)
    if target.kind == 'aprilgrid':  # small squares make a saddle of every corner
        for row in range(target.rows + 1):
            for column in range(target.columns + 1):
                yield Shape(column * pitch, row * pitch, gap, gap)


def _marker(target: Target, marker: int, x: float, y: float) -> Iterator[Shape]:
    """Yield a black square and the white cells in it.

    White runs are painted both along rows and along columns: each covers the hairlines that
    viewers leave between the others.
    """
    side = target.marker_size * 1e3
    yield Shape(x, y, side, side)
    white = marker_cells(target.dictionary, marker, target.border_bits)
    if target.kind == 'aprilgrid':  # as Kalibr prints them
        white = white[::-1, ::-1]
    cell = side / len(white)
    for turned in (False, True):
        for line, row in enumerate(white.T if turned else white):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
            for start, end in edges.reshape(-1, 2):
                along, across = start * cell, line * cell
                length = (end - start) * cell
                if turned:
                    yield Shape(x + across, y + along, cell, length, black=False)
                else:
                    yield Shape(x + along, y + across, length, cell, black=False)


def page_size(target: Target, page: str = 'auto') -> tuple[str, float, float]:
    """Return name, width and height of the page in mm, lying where that fits better.

    :param page: 'auto' for the smallest that the pattern fits on, a name of ``PAGES``, or
        'WIDTHxHEIGHT' in mm.
    :raises CalibrationError: where the pattern does not fit, with the largest square that does.
    """
    if page == 'auto':
        for name in ('A4', 'A3'):
            fitting = _fitting(target, *PAGES[name])
            if fitting:
                return (name, *fitting)
        page = 'A3'
    names = {name.lower(): name for name in PAGES}
    if page.lower() in names:
        name = names[page.lower()]
        width, height = PAGES[name]
    else:
        try:
            width, height = (float(number) for number in page.lower().split('x'))
        except ValueError:
            raise CalibrationError(
                'page', page, allowed=f'auto, {", ".join(PAGES)} or WIDTHxHEIGHT in mm'
            ) from None
        name = f'{width:g}x{height:g} mm'
        if not (100.0 + 2 * MARGIN <= max(width, height) <= 5000.0 and min(width, height) > 50):
            raise CalibrationError('page', page, allowed='116 to 5000 mm long, over 50 mm wide')
    fitting = _fitting(target, width, height)
    if fitting:
        return (name, *fitting)
    pattern = [side * 1e3 for side in target.size]
    scale = max(
        min((w - 2 * MARGIN) / pattern[0], (h - 2 * MARGIN - FOOT) / pattern[1])
        for w, h in ((width, height), (height, width))
    )
    raise CalibrationError(
        f'{target.text} is {pattern[0]:.0f}x{pattern[1]:.0f} mm and does not fit on {name} '
        'with its margins',
        remedy=f'squares of {1e3 * target.square_size * scale * 0.97:.1f} mm fit, or take a '
        'larger page (--page A3, or --page 594x841 for a plotter)',
    )


def _fitting(target: Target, width: float, height: float) -> tuple[float, float] | None:
    pattern = [side * 1e3 for side in target.size]
    quiet = max(MARGIN, min(QUIET * target.square_size * 1e3, 15.0))
    for w, h in ((width, height), (height, width)):
        if pattern[0] + 2 * quiet <= w and pattern[1] + quiet + MARGIN + FOOT <= h:
            return w, h
    return None


def write_target(
    target: Target, path: str | Path, *, page: str = 'auto', dpi: int = 300
) -> tuple[str, float, float]:
    """Write the page; .pdf holds vectors, .png pixels with their dpi. Returns the page.

    The file is replaced at once or not at all; the same target gives the same file.

    :param dpi: of a PNG.
    :raises CalibrationError: for another suffix, dpi out of range, or too small a page.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in ('.pdf', '.png'):
        raise CalibrationError('output', str(path), allowed='a name that ends in .pdf or .png')
    if not 50 <= dpi <= 1200:
        raise CalibrationError('dpi', dpi, allowed='50 to 1200')
    name, width, height = page_size(target, page)
    figure = _figure(target, name, width, height)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{kind}')
    about: dict[str, Any] = {'Title': target.text}
    if kind == '.pdf':
        about |= {'CreationDate': None, 'ModDate': None}
    try:
        figure.savefig(temporary, dpi=dpi, metadata=about)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return name, width, height


def _figure(target: Target, page: str, width: float, height: float) -> Figure:
    """Return the page as a figure, 1 unit = 1 mm, y down."""
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Rectangle

    figure = Figure(figsize=(width / 25.4, height / 25.4), facecolor='white')
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)
    pattern = [side * 1e3 for side in target.size]
    left = (width - pattern[0]) / 2.0
    top = max((height - FOOT - MARGIN - pattern[1]) / 2.0, MARGIN)
    patches: list[Circle | Rectangle] = []
    colours = []
    for shape in shapes(target):
        x, y = left + shape.x, top + shape.y
        if shape.round:
            radius = shape.width / 2.0
            patches.append(Circle((x + radius, y + radius), radius))
        else:
            patches.append(Rectangle((x, y), shape.width, shape.height))
        colours.append('black' if shape.black else 'white')
    axes.add_collection(
        PatchCollection(
            patches, facecolors=colours, linewidths=0.0, antialiaseds='circles' in target.kind
        )
    )
    bottom = height - MARGIN
    _ruler(axes, MARGIN, bottom - 6.0)
    words = f'{_words(target)}; page {page}'
    for line, text in enumerate(
        (
            f'diffphyscam --target {target.text}',
            f'{words}; print at 100 %, glue it flat, measure the ruler and a square',
        )
    ):
        axes.text(
            MARGIN + RULER + 8.0 if width > height else MARGIN,
            bottom - 4.0 + 4.0 * line if width > height else bottom - 1.0 + 3.2 * line,
            text,
            fontsize=6.0,
            va='center',
            parse_math=False,
        )
    return figure


def _ruler(axes: Any, x: float, y: float) -> None:
    """Draw 100 mm with a tick every 10 mm."""
    from matplotlib.lines import Line2D

    axes.add_line(Line2D([x, x + RULER], [y, y], color='black', linewidth=0.5))
    for step in range(11):
        place = x + step * RULER / 10.0
        long = 3.0 if step % 5 == 0 else 1.8
        axes.add_line(Line2D([place, place], [y - long, y], color='black', linewidth=0.5))
    axes.text(x + RULER + 1.5, y - 1.2, '100 mm', fontsize=6.0, va='center')


def _words(target: Target) -> str:
    """Return sizes in words."""
    size = f'{target.columns}x{target.rows}'
    square, marker = target.square_size * 1e3, target.marker_size * 1e3
    if target.kind == 'chessboard':
        return f'chessboard of {size} inner corners, squares {square:.6g} mm'
    if target.kind == 'charuco':
        return f'ChArUco of {size} squares of {square:.6g} mm, markers {marker:.6g} mm'
    if target.kind in GRIDS:
        name = 'AprilGrid' if target.kind == 'aprilgrid' else 'ArUco grid'
        return f'{name} of {size} tags of {marker:.6g} mm, gaps {square - marker:.6g} mm'
    return f'{size} circles, {square:.6g} mm apart, {2 * CIRCLE_RADIUS * square:.6g} mm wide'
