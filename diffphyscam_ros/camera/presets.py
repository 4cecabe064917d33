# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the ready-made cameras are: config/cameras of the source tree or the installation."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import sys

SHARED = Path('share') / 'diffphyscam_ros' / 'config' / 'cameras'


def _folders() -> Iterator[Path]:
    """Yield every place that may hold presets, the nearest first."""
    here = Path(__file__).resolve()
    yield here.parents[2] / 'config' / 'cameras'
    prefixes = [*here.parents, Path(sys.prefix)]
    listed = os.environ.get('AMENT_PREFIX_PATH', '')
    prefixes += [Path(prefix) for prefix in listed.split(os.pathsep) if prefix]
    for prefix in prefixes:
        yield prefix / SHARED


def preset_names() -> list[str]:
    """Return the names of the ready-made cameras."""
    return sorted({path.stem for folder in _folders() for path in folder.glob('*.yaml')})


def preset_path(name: str) -> Path:
    """Return the file of a ready-made camera.

    :raises ValueError: for an unknown name, listing those there are.
    """
    for folder in _folders():
        path = folder / f'{name}.yaml'
        if path.is_file():
            return path
    raise ValueError(
        f'no camera preset {name!r}: there are {", ".join(preset_names()) or "none at all"}. '
        'Any other file: SensorModel.load(path)'
    )
