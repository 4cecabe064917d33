# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the files that come with the package lie: source tree, pip prefix or ROS workspace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = 'diffphyscam_ros'


def find_resource(name: str) -> Path:
    """Return the path of a file that comes with the package, as ``config/camera.yaml``.

    :raises FileNotFoundError: naming the places that were searched.
    """
    root = Path(__file__).resolve().parents[1]
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    # root: a source tree; the others: share/<package> below each prefix
    folders = [root, *(p / 'share' / PACKAGE for p in (*prefixes, Path(sys.prefix)))]
    # an install outside sys.prefix (pip --user, --target, colcon): the prefix above site-packages
    folders += [p / 'share' / PACKAGE for p in root.parents[:4]]
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f'{name}: not in any of {", ".join(map(str, folders))}')
