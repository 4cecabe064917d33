# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
import tempfile


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file; readers see the old one or the whole new one, never a part.

    :raises OSError: where the folder cannot be written.
    """
    write_files({path: content})


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files: all are written in full before the first takes its place.

    An error or an interruption before that leaves everything as it was.

    :raises OSError: where a folder cannot be written.
    """
    waiting: dict[Path, str] = {}
    mask = os.umask(0)
    os.umask(mask)
    try:
        for path, content in contents.items():
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
            waiting[path] = temporary
            with os.fdopen(handle, 'wb') as file:
                file.write(content.encode('utf-8') if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~mask)
        for path in list(waiting):
            os.replace(waiting[path], path)
            del waiting[path]
    finally:
        for temporary in waiting.values():
            Path(temporary).unlink(missing_ok=True)
