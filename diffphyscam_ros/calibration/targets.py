# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Calibration targets: what is printed on the board, and where its corners are in metres.

The frame of a board: x to the right, y down, as it is printed, z into it; the origin is the first
corner. Corners are numbered row by row.

A target is written ``KIND:COLUMNSxROWS:METRES...``, the same words as in YAML files:

===================================  ============================================================
``chessboard:8x6:0.025``             8x6 *inner corners*, as ROS counts them; squares of 25 mm
``circles:7x5:0.03``                 7x5 circles, 30 mm from centre to centre
``asymmetric_circles:4x11:0.02``     11 rows of 4, every other row shifted; neighbours on the
                                     diagonal are 20 mm apart along x and along y
``charuco:11x8:0.02:0.015:DICT``     11x8 *squares* of 20 mm, markers of 15 mm; ``:legacy`` for
                                     boards printed for OpenCV before 4.6 with an even row count
``aprilgrid:6x6:0.022:0.3``          6x6 tags of 22 mm, gaps of 0.3 tags, as Kalibr prints them
``arucogrid:6x4:0.03:0.25:DICT``     the same without corner squares, as OpenCV prints them
===================================  ============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from diffphyscam_ros.calibration.errors import CalibrationError

KINDS = ('chessboard', 'circles', 'asymmetric_circles', 'charuco', 'aprilgrid', 'arucogrid')

GRIDS = ('aprilgrid', 'arucogrid')
"""The kinds whose corners are those of separate markers, four each."""

DICTIONARY_SIZES = {
    **{f'DICT_{b}X{b}_{n}': n for b in (4, 5, 6, 7) for n in (50, 100, 250, 1000)},
    'DICT_ARUCO_ORIGINAL': 1024,
    'DICT_APRILTAG_16h5': 30,
    'DICT_APRILTAG_25h9': 35,
    'DICT_APRILTAG_36h10': 2320,
    'DICT_APRILTAG_36h11': 587,
    'DICT_ARUCO_MIP_36h12': 250,
}
"""How many markers OpenCV's dictionaries have."""

TAGS = 'DICT_APRILTAG_36h11'
CIRCLE_RADIUS = 0.3
"""Of the distance between circles (of the distance along x between rows where asymmetric)."""

_EXAMPLES = {
    'chessboard': 'chessboard:8x6:0.025',
    'circles': 'circles:7x5:0.03',
    'asymmetric_circles': 'asymmetric_circles:4x11:0.02',
    'charuco': 'charuco:11x8:0.02:0.015:DICT_5X5_100',
    'aprilgrid': 'aprilgrid:6x6:0.022:0.3',
    'arucogrid': 'arucogrid:6x4:0.03:0.25:DICT_6X6_250',
}


@dataclass(frozen=True)
class Target:
    """A flat board of known pattern.

    :param kind: one of ``KINDS``.
    :param columns: inner corners (chessboard), circles, squares (charuco) or markers in a row.
    :param rows: the same, downwards.
    :param square_size: m, from corner to corner, from circle to circle; of the grids: from marker
        to marker, which is the marker and the gap.
    :param marker_size: m, side of the markers' black; 0 where there are none.
    :param dictionary: OpenCV's name of the set of markers.
    :param legacy: charuco: the first square is white where the number of rows is even.
    :param border_bits: of the grids: width of the markers' black border in cells.
    :raises CalibrationError: naming what is wrong.
    """

    kind: str
    columns: int
    rows: int
    square_size: float
    marker_size: float = 0.0
    dictionary: str = ''
    legacy: bool = False
    border_bits: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be a board."""
        if self.kind not in KINDS:
            raise CalibrationError('target', self.kind, allowed=f'one of {", ".join(KINDS)}')
        least = 1 if self.kind in GRIDS else 3 if self.kind == 'charuco' else 2
        for name in ('columns', 'rows'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 200:
                raise CalibrationError(
                    f'{self.kind}: {name}',
                    value,
                    allowed=f'an integer from {least} to 200',
                    remedy=f'example: {_EXAMPLES[self.kind]}',
                )
        if not 1e-4 <= self.square_size <= 10.0:
            # of these the text states the marker, and the distance follows from it
            stated = self.kind in GRIDS and self.marker_size > 0
            raise CalibrationError(
                f'{self.kind}: {"marker" if stated else "square"} size',
                self.marker_size if stated else self.square_size,
                allowed='0.0001 to 10 m',
                remedy='give it in metres: 0.025 is 25 mm',
            )
        if self.has_markers:
            self._check_markers()
        elif self.marker_size or self.dictionary:
            raise CalibrationError(f'{self.kind} has no markers: leave marker size and dictionary')

    def _check_markers(self) -> None:
        if not 0.0 < self.marker_size < self.square_size:
            raise CalibrationError(
                f'{self.kind}: marker size',
                self.marker_size,
                allowed=f'> 0 and < the square size, {self.square_size:g} m',
            )
        if self.dictionary not in DICTIONARY_SIZES:
            raise CalibrationError(
                f'{self.kind}: dictionary',
                self.dictionary,
                allowed=f'one of {", ".join(DICTIONARY_SIZES)}',
            )
        if self.marker_count > DICTIONARY_SIZES[self.dictionary]:
            raise CalibrationError(
                f'{self.text} has {self.marker_count} markers, {self.dictionary} has '
                f'{DICTIONARY_SIZES[self.dictionary]}',
                remedy='choose a larger dictionary or a smaller board',
            )
        if self.border_bits not in (1, 2, 3):
            raise CalibrationError('border_bits', self.border_bits, allowed='1, 2 or 3')

    @property
    def has_markers(self) -> bool:
        """Whether parts of the board can be recognised alone."""
        return self.kind == 'charuco' or self.kind in GRIDS

    @property
    def marker_count(self) -> int:
        """How many markers there are, numbered from 0."""
        if self.kind == 'charuco':
            squares = self.columns * self.rows
            return squares // 2 if self._first_is_black else (squares + 1) // 2
        return self.columns * self.rows if self.kind in GRIDS else 0

    @property
    def _first_is_black(self) -> bool:
        """Whether the top left square of a charuco board is black: markers are in white ones."""
        return not (self.legacy and self.rows % 2 == 0)

    @property
    def corner_grid(self) -> tuple[int, int]:
        """Columns and rows of points; of the grids two for each marker."""
        if self.kind == 'charuco':
            return self.columns - 1, self.rows - 1
        if self.kind in GRIDS:
            return 2 * self.columns, 2 * self.rows
        return self.columns, self.rows

    @property
    def corner_count(self) -> int:
        """How many points a view of the whole board has."""
        return self.corner_grid[0] * self.corner_grid[1]

    @property
    def corner_name(self) -> str:
        """What people call the points."""
        return 'circles' if 'circles' in self.kind else 'corners'

    def object_points(self) -> npt.NDArray[np.float64]:
        """Return the points of the whole board, (corner_count, 3), m, z = 0."""
        columns, rows = self.corner_grid
        column = np.tile(np.arange(columns), rows)
        row = np.repeat(np.arange(rows), columns)
        x = column * self.square_size
        y = row * self.square_size
        if self.kind == 'asymmetric_circles':
            x = (2 * column + row % 2) * self.square_size
        if self.kind in GRIDS:
            x = column // 2 * self.square_size + column % 2 * self.marker_size
            y = row // 2 * self.square_size + row % 2 * self.marker_size
        return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.float64)

    def marker_cell(self, marker: int) -> tuple[int, int]:
        """Return column and row of a marker of the board: of its square, or in the grid.

        Kalibr numbers its tags from the bottom left, upwards, OpenCV from the top left.
        """
        if self.kind == 'charuco':
            cells = [
                (column, row)
                for row in range(self.rows)
                for column in range(self.columns)
                if (column + row) % 2 == (1 if self._first_is_black else 0)
            ]
            return cells[marker]
        row, column = divmod(marker, self.columns)
        return column, self.rows - 1 - row if self.kind == 'aprilgrid' else row

    def marker_corners(self, marker: int) -> tuple[int, int, int, int]:
        """Return the points of a marker of a grid, in the order in which OpenCV detects them.

        The tags of Kalibr's boards stand upside down for OpenCV, found on a photograph of one.
        """
        column, row = self.marker_cell(marker)
        width = 2 * self.columns
        first = 2 * row * width + 2 * column
        around = (first, first + 1, first + width + 1, first + width)
        return around[2:] + around[:2] if self.kind == 'aprilgrid' else around

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the pattern as printed, m, without its white margin."""
        if self.kind == 'chessboard':
            return (self.columns + 1) * self.square_size, (self.rows + 1) * self.square_size
        if self.kind == 'charuco':
            return self.columns * self.square_size, self.rows * self.square_size
        last = self.object_points().max(axis=0)
        gap = self.square_size - self.marker_size
        around = {'aprilgrid': gap, 'arucogrid': 0.0}.get(
            self.kind, CIRCLE_RADIUS * self.square_size
        )
        return float(last[0]) + 2 * around, float(last[1]) + 2 * around

    @property
    def text(self) -> str:
        """The compact form, which `parse` reads back."""
        head = f'{self.kind}:{self.columns}x{self.rows}'
        if self.kind in GRIDS:
            ratio = self.square_size / self.marker_size - 1.0
            text = f'{head}:{self.marker_size:.10g}:{ratio:.10g}:{self.dictionary}'
            usual = 2 if self.kind == 'aprilgrid' else 1
            return text if self.border_bits == usual else f'{text}:border{self.border_bits}'
        text = f'{head}:{self.square_size:.10g}'
        if self.kind == 'charuco':
            text += f':{self.marker_size:.10g}:{self.dictionary}' + ':legacy' * self.legacy
        return text

    def to_mapping(self) -> dict[str, Any]:
        """Return what a YAML or JSON file holds of it."""
        return asdict(self)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read the compact form (see the top of this module).

        :raises CalibrationError: naming what is wrong, with an example.
        """
        kind, *parts = text.strip().split(':')
        if kind not in KINDS:
            raise CalibrationError(
                'target',
                text,
                allowed=f'{", ".join(KINDS)}, then its numbers',
                remedy=f'example: {_EXAMPLES["charuco"]}',
            )
        try:
            size, *parts = parts
            columns, rows = (int(number) for number in size.lower().split('x'))
            return cls(kind, columns, rows, **_rest(kind, parts))
        except CalibrationError:
            raise
        except (ValueError, IndexError) as error:
            raise CalibrationError(
                f'target {text!r} cannot be read ({error})', remedy=f'example: {_EXAMPLES[kind]}'
            ) from None

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> Target:
        """Read our fields, a ``target:`` in the compact form, or those of Kalibr's target YAML.

        :raises CalibrationError: for unknown, missing or bad entries.
        """
        if isinstance(content.get('target'), str):
            return cls.parse(content['target'])
        if isinstance(content.get('target'), Mapping):
            content = content['target']
        if 'target_type' in content:
            content = _from_kalibr(content)
        names = cls.__dataclass_fields__
        unknown = [name for name in content if name not in names]
        missing = [n for n in ('kind', 'columns', 'rows', 'square_size') if n not in content]
        if unknown or missing:
            raise CalibrationError(
                f'target: unknown {unknown}, missing {missing}', allowed=', '.join(names)
            )
        try:
            numbers = {
                name: float(content[name])
                for name in ('square_size', 'marker_size')
                if name in content
            }
            return cls(**{**content, **numbers})
        except TypeError as error:
            raise CalibrationError(f'target: {error}') from None

    @classmethod
    def load(cls, text_or_path: str | Path) -> Target:
        """Read the compact form, or a YAML file.

        :raises CalibrationError: naming file and entry.
        """
        path = Path(text_or_path)
        if path.suffix not in ('.yaml', '.yml', '.json'):
            return cls.parse(str(text_or_path))
        try:
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CalibrationError(f'target file {path} cannot be read: {error}') from None
        if not isinstance(content, Mapping):
            raise CalibrationError(f'target file {path}', remedy='it must map names to values')
        try:
            return cls.from_mapping(content)
        except CalibrationError as error:
            raise CalibrationError(f'target file {path}: {error}') from None


def _rest(kind: str, parts: list[str]) -> dict[str, Any]:
    """Return the fields after the counts of the compact form."""
    if kind in GRIDS:
        side, ratio = float(parts[0]), float(parts[1])
        if not (side > 0.0 and 0.0 < ratio < 10.0 and math.isfinite(ratio)):
            raise ValueError('the tag size and the gap over the tag size must be > 0')
        usual = (2, TAGS) if kind == 'aprilgrid' else (1, '')
        border = [int(part[6:]) for part in parts[2:] if part.startswith('border')]
        names = [part for part in parts[2:] if not part.startswith('border')]
        if len(names) > 1 or len(border) > 1:
            raise ValueError('too many parts')
        return {
            'square_size': side * (1.0 + ratio),
            'marker_size': side,
            'dictionary': _dictionary(names[0]) if names else usual[1],
            'border_bits': border[0] if border else usual[0],
        }
    if kind == 'charuco':
        legacy = parts[3:] == ['legacy']
        if len(parts) < 3 or (len(parts) > 3 and not legacy):
            raise ValueError('it needs square size, marker size and dictionary')
        return {
            'square_size': float(parts[0]),
            'marker_size': float(parts[1]),
            'dictionary': _dictionary(parts[2]),
            'legacy': legacy,
        }
    if len(parts) != 1:
        raise ValueError('it needs a size and nothing else')
    return {'square_size': float(parts[0])}


def _dictionary(name: str) -> str:
    """Return the dictionary's name as this module writes it, whatever its case and prefix."""
    plain = name.upper().removeprefix('DICT_')
    found = [known for known in DICTIONARY_SIZES if known.upper() == f'DICT_{plain}']
    return found[0] if found else name


def _from_kalibr(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return our fields from those of Kalibr's target files.

    Kalibr's chessboards count inner corners too.
    """
    try:
        kind = content['target_type']
        if kind == 'aprilgrid':
            side = float(content['tagSize'])
            return {
                'kind': 'aprilgrid',
                'columns': int(content['tagCols']),
                'rows': int(content['tagRows']),
                'square_size': side * (1.0 + float(content['tagSpacing'])),
                'marker_size': side,
                'dictionary': TAGS,
                'border_bits': 2,
            }
        shape = {'columns': int(content['targetCols']), 'rows': int(content['targetRows'])}
        if kind == 'checkerboard':
            across, down = (float(content[f'{n}SpacingMeters']) for n in ('col', 'row'))
            if not math.isclose(across, down, rel_tol=1e-6):
                raise CalibrationError('chessboard of oblong squares', (across, down))
            return {'kind': 'chessboard', 'square_size': across, **shape}
        if kind == 'circlegrid':
            name = 'asymmetric_circles' if content.get('asymmetricGrid') else 'circles'
            return {'kind': name, 'square_size': float(content['spacingMeters']), **shape}
    except KeyError as error:
        raise CalibrationError(f'target_type {kind}: {error} is missing') from None
    raise CalibrationError('target_type', kind, allowed='aprilgrid, checkerboard or circlegrid')
