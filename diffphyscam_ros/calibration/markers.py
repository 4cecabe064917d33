# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""OpenCV's ArUco module in the forms it had before 4.7 and has since: find and draw markers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.errors import CalibrationError

_ARUCO: Any = cv2.aruco  # either of its forms
_NEW = hasattr(_ARUCO, 'ArucoDetector')


@lru_cache(maxsize=16)
def _dictionary(name: str, count: int) -> Any:
    """Return the first ``count`` markers of a dictionary: fewer are found faster and surer."""
    number = getattr(_ARUCO, name, getattr(_ARUCO, name.replace('h', 'H'), None))
    if number is None:
        raise CalibrationError(
            'dictionary', name, remedy=f'OpenCV {cv2.__version__} does not have it; take another'
        )
    if not _NEW:
        book = _ARUCO.Dictionary_get(number)
        book.bytesList = book.bytesList[:count]
        return book
    whole = _ARUCO.getPredefinedDictionary(number)
    if count >= len(whole.bytesList):
        return whole
    return _ARUCO.Dictionary(whole.bytesList[:count], whole.markerSize, whole.maxCorrectionBits)


def has_dictionary(name: str) -> bool:
    """Tell whether this OpenCV has a dictionary: older ones lack some."""
    return hasattr(_ARUCO, name) or hasattr(_ARUCO, name.replace('h', 'H'))


def marker_bits(dictionary: str) -> int:
    """Return how many cells a marker has in a row, its border not counted."""
    return int(_dictionary(dictionary, 1).markerSize)


def marker_cells(dictionary: str, marker: int, border_bits: int = 1) -> npt.NDArray[np.bool_]:
    """Return which cells of a marker are white, its border included, (n, n)."""
    book = _dictionary(dictionary, marker + 1)
    side = book.markerSize + 2 * border_bits
    draw = _ARUCO.generateImageMarker if _NEW else _ARUCO.drawMarker
    return np.asarray(draw(book, marker, side, borderBits=border_bits)) > 127


def find_markers(
    grey: npt.NDArray[np.uint8], dictionary: str, count: int, border_bits: int = 1
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the markers in a picture: their four corners (4, 2), px, by number.

    A number found twice names two things, of which none can be told to be on the board: it is
    left out.

    :param grey: (H, W).
    :param count: only markers 0 to count - 1 are looked for.
    """
    parameters = _ARUCO.DetectorParameters() if _NEW else _ARUCO.DetectorParameters_create()
    parameters.markerBorderBits = border_bits
    parameters.cornerRefinementMethod = _ARUCO.CORNER_REFINE_NONE
    book = _dictionary(dictionary, count)
    if _NEW:
        corners, numbers, _ = _ARUCO.ArucoDetector(book, parameters).detectMarkers(grey)
    else:
        corners, numbers, _ = _ARUCO.detectMarkers(grey, book, parameters=parameters)
    found: dict[int, npt.NDArray[np.float32]] = {}
    twice = set()
    for number, quad in zip([] if numbers is None else numbers.ravel(), corners, strict=True):
        marker = int(number)
        if marker in found:
            twice.add(marker)
        elif marker < count:
            found[marker] = np.asarray(quad, np.float32).reshape(4, 2)
    return {number: quad for number, quad in sorted(found.items()) if number not in twice}
