# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the stated target is not found: what is in the picture instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.detect import detect_board
from diffphyscam_ros.calibration.grey import to_byte_grey, to_grey
from diffphyscam_ros.calibration.markers import find_markers, has_dictionary
from diffphyscam_ros.calibration.targets import DICTIONARY_SIZES, GRIDS, Target
from diffphyscam_ros.calibration.types import RecordedFrame

_LONG_SIDE = 1000
AGREED = 3
"""Frames that say the same are enough."""


def explain_missing(image: npt.NDArray[Any], target: Target, encoding: str = '') -> str:
    """Return a sentence about what is there instead of the target, or '' for nothing known.

    The size of squares cannot be told from a picture: one camera cannot tell a large board far
    away from a small one near. Counts and markers can.
    """
    grey = to_byte_grey(to_grey(image, encoding))
    scale = min(1.0, _LONG_SIDE / max(grey.shape))
    if scale < 1.0:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    if target.has_markers:
        said = _markers(grey, target)
        if said:
            return said
    shape = _chessboard(grey)
    if shape is None:
        return ''
    columns, rows = max(shape), min(shape)  # which way it lies is not known
    there = f'a chessboard of {columns}x{rows} inner corners is in the picture'
    if target.kind == 'chessboard' and sorted(shape) == sorted(target.corner_grid):
        return ''
    return f'{there}, stated was {target.text}; inner corners are one fewer than squares'


def explain_frames(frames: Iterable[RecordedFrame], target: Target) -> str:
    """Return what is known about most of some frames, or ''."""
    said: Counter[str] = Counter()
    for frame in frames:
        words = explain_missing(frame.image, target, frame.encoding)
        if words:
            said[words] += 1
            if said[words] == AGREED:
                break
    return said.most_common(1)[0][0] if said else ''


def _chessboard(grey: npt.NDArray[np.uint8]) -> tuple[int, int] | None:
    """Return columns and rows of inner corners of any chessboard, or None."""
    try:
        found, _, board = cv2.findChessboardCornersSBWithMeta(
            grey, (3, 3), cv2.CALIB_CB_LARGER | cv2.CALIB_CB_NORMALIZE_IMAGE
        )
    except (AttributeError, cv2.error):  # before OpenCV 4.3
        return None
    return (int(board.shape[1]), int(board.shape[0])) if found and board is not None else None


def _markers(grey: npt.NDArray[np.uint8], target: Target) -> str:
    known = DICTIONARY_SIZES[target.dictionary]
    found = find_markers(grey, target.dictionary, known, target.border_bits)
    if found:
        most = max(found)
        if most >= target.marker_count:
            return (
                f'marker {most} is in the picture, the last of {target.text} is '
                f'{target.marker_count - 1}: the board is larger than stated'
            )
        if target.kind == 'charuco' and target.rows % 2 == 0:
            other = replace(target, legacy=not target.legacy)
            if detect_board(grey, other) is not None:
                return f'the board is {other.text}: its first square has the other colour'
        return f'{len(found)} markers of the board are in the picture, too few or without corners'
    counts = {}
    for name in DICTIONARY_SIZES:
        # The largest of each size holds the smaller ones.
        if name.endswith(('_50', '_100', '_250')) or not has_dictionary(name):
            continue
        for border in (1, 2) if target.kind in GRIDS else (1,):
            number = len(find_markers(grey, name, DICTIONARY_SIZES[name], border))
            counts[name, border] = number
    (name, border), number = max(counts.items(), key=lambda item: item[1])
    if number < 4:
        return ''
    return (
        f'{number} markers of {name} with a border of {border} are in the picture, none of '
        f'{target.dictionary} with a border of {target.border_bits}'
    )
