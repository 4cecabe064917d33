# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""
Load the shared libraries of the generated interfaces; imported by the generated packages.

ROS 2 opens them by name, so they must be on the library path or loaded before. A colcon workspace
sets the library path; an installation with pip has nothing that does.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import diffphyscam_ros


def library_folders() -> list[Path]:
    """Return where builds put the libraries: in the package (in place), else in ``prefix/lib``."""
    packages = [Path(entry) for entry in diffphyscam_ros.__path__]
    in_place = [package / '_lib' for package in packages]
    # prefix/lib/python3.X/site-packages/diffphyscam_ros
    installed = [package.parents[2] for package in packages if len(package.parents) > 2]
    return [*in_place, *installed]


def load(libraries: list[Path]) -> None:
    """
    Load libraries that may depend on one another, in whatever order works.

    :raises ImportError: if one cannot be loaded, which means that the ROS 2 it was built against
        is not in reach.
    """
    pending = libraries
    while pending:
        failed: list[tuple[Path, OSError]] = []
        for library in pending:
            try:
                ctypes.CDLL(str(library))
            except OSError as error:
                failed.append((library, error))
        if len(failed) == len(pending):
            raise ImportError(
                f'The interfaces of diffphyscam_ros cannot be loaded: {failed[0][1]}. Source the '
                'ROS 2 that they were built with, or build them again (docs/installation.md).'
            )
        pending = [library for library, _ in failed]


for _folder in library_folders():
    _libraries = sorted(_folder.glob('libdiffphyscam_ros__*.so'))
    if _libraries:
        load(_libraries)
        break
