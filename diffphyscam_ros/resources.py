# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the files that come with the package lie: source tree, pip prefix or ROS workspace."""

from __future__ import annotations

import os
from pathlib import Path
import sys

PACKAGE = 'diffphyscam_ros'


def resource_folders() -> list[Path]:
    """Return every folder that may hold the package's files, the nearest first."""
    root = Path(__file__).resolve().parents[1]
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    # After a source tree: the prefixes of this module's own place (pip --user, --target, colcon).
    prefixes = [*root.parents[:4], *prefixes, Path(sys.prefix)]
    return list(dict.fromkeys([root, *(prefix / 'share' / PACKAGE for prefix in prefixes)]))


def find_resource(name: str) -> Path:
    """Return the path of a file that comes with the package, as ``config/camera.yaml``.

    :raises FileNotFoundError: naming the places that were searched.
    """
    folders = resource_folders()
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f'{name}: not in any of {", ".join(map(str, folders))}')
