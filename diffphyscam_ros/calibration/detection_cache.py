# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Detections kept between runs: the same picture, target and detector give the same corners.

One small file for each picture, named by the hash of all that decides the result, in the user's
cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``); ``DIFFPHYSCAM_DETECTION_CACHE`` names another,
or turns the cache off (``0`` or empty).
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import asdict
import hashlib
import json
import os
from pathlib import Path
import tempfile
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView, ViewQuality
from diffphyscam_ros.calibration.detect import detect_board, VERSION
from diffphyscam_ros.calibration.targets import Target

VARIABLE = 'DIFFPHYSCAM_DETECTION_CACHE'


def cache_folder() -> Path | None:
    """Return where detections are kept, or None for nowhere."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return None if named in ('', '0') else Path(named)
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'diffphyscam_ros' / 'detections'


def detection_key(
    image: npt.NDArray[Any], target: Target, encoding: str, full_scale: float | None
) -> str:
    """Return the hash of everything that a detection depends on."""
    what = (VERSION, cv2.__version__, target.text, encoding, full_scale, image.shape)
    digest = hashlib.blake2b(repr((*what, image.dtype.str)).encode(), digest_size=20)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


class DetectionCache:
    """`detect_board`, remembering what it found.

    :param folder: where; None = nothing is remembered. Default: `cache_folder`.
    """

    def __init__(self, folder: Path | str | None = 'default') -> None:
        """See the class."""
        self.folder = cache_folder() if folder == 'default' else folder and Path(folder)
        self.hits = 0
        self.misses = 0

    def detect(
        self,
        image: npt.NDArray[Any],
        target: Target,
        *,
        name: str = '',
        encoding: str = '',
        full_scale: float | None = None,
    ) -> BoardView | None:
        """Return what `detect_board` returns, from the cache where it is there."""

        def find() -> BoardView | None:
            return detect_board(image, target, name=name, encoding=encoding, full_scale=full_scale)

        if not self.folder:
            self.misses += 1
            return find()
        key = detection_key(image, target, encoding, full_scale)
        # two letters of the name are a folder: thousands of files in one are slow to list
        return self._remembered(Path(self.folder) / key[:2] / f'{key}.json', target, name, find)

    def _remembered(
        self, path: Path, target: Target, name: str, find: Callable[[], BoardView | None]
    ) -> BoardView | None:
        # A damaged file is as good as none.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, IndexError):
            view = _read(path, target, name)
            self.hits += 1
            return view
        self.misses += 1
        view = find()
        with contextlib.suppress(OSError):  # a full disk or a read-only home costs time only
            _write(path, view)
        return view


def _read(path: Path, target: Target, name: str) -> BoardView | None:
    content = json.loads(path.read_text(encoding='utf-8'))
    if content['found'] is None:
        return None
    found = content['found']
    quality = ViewQuality(**{**found['quality'], 'flags': tuple(found['quality']['flags'])})
    width, height = found['image_size']
    return BoardView.of(
        target, found['ids'], found['points'], (int(width), int(height)), name, quality
    )


def _write(path: Path, view: BoardView | None) -> None:
    found = None
    if view is not None:
        found = {
            'ids': view.ids.tolist(),
            'points': view.image_points.tolist(),
            'image_size': list(view.image_size),
            'quality': asdict(view.quality),
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            json.dump({'found': found}, file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
