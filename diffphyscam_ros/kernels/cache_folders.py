# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The folders that compiled kernels are kept in: one for each version of their sources.

Folders of old versions would stay for ever. Whoever uses one marks it with today's date; whoever
makes one for a new version removes those that nothing has used for two months.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
import shutil
import time

PREFIX = 'diffphyscam_ros-'
UNUSED = 60 * 86400.0  # s without use, after which a folder is removed
MARK_AGAIN = 86400.0  # s; a write at each start would be one too many


def claim(folder: Path, digest: str) -> Path:
    """Return the folder for a version of the sources, marked as in use; make it if need be."""
    path = folder / f'{PREFIX}{digest}'
    with contextlib.suppress(OSError):  # numba says itself what it cannot write
        if not path.exists():
            path.mkdir(exist_ok=True)
            remove_unused(folder)
        elif time.time() - path.stat().st_mtime > MARK_AGAIN:
            os.utime(path)
    return path


def remove_unused(folder: Path, age: float = UNUSED) -> list[Path]:
    """Remove the folders of ours that nobody has claimed for ``age`` seconds; return them.

    Several processes may do this at once, and another may claim a folder meanwhile: it is renamed
    first, which only one of them can do, and given back where it was claimed in between.
    """
    removed = []
    # Those with a dot were set aside by a process that did not come to the end of it.
    for path in [*folder.glob(f'{PREFIX}*'), *folder.glob(f'.{PREFIX}*')]:
        aside = folder / f'.{path.name.lstrip(".")}.{os.getpid()}'
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime <= age:
                continue
            path.rename(aside)
            if time.time() - aside.stat().st_mtime <= age:
                aside.rename(path)
                continue
            shutil.rmtree(aside, ignore_errors=True)
            removed.append(path)
    return removed
