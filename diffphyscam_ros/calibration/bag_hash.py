# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a bag: the same bytes, the same calibration."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def bag_hash(path: Path) -> str:
    """Return the SHA-256 of a bag, in hex: of a file, or of all files of a folder by name.

    The place of the bag does not count, so a copy of it has the same.

    :raises OSError: where a file cannot be read.
    """
    if path.is_file():
        return _file_hash(path)
    total = hashlib.sha256()
    for file in sorted(item for item in path.rglob('*') if item.is_file()):
        total.update(f'{file.relative_to(path).as_posix()} {_file_hash(file)}\n'.encode())
    return total.hexdigest()


def _file_hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
