# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the ready-made cameras are: config/cameras of the source tree or the installation."""

from __future__ import annotations

from pathlib import Path

from diffphyscam_ros.resources import resource_folders

FOLDER = Path('config') / 'cameras'


def preset_names() -> list[str]:
    """Return the names of the ready-made cameras."""
    return sorted(
        {path.stem for folder in resource_folders() for path in (folder / FOLDER).glob('*.yaml')}
    )


def preset_path(name: str) -> Path:
    """Return the file of a ready-made camera.

    :raises ValueError: for an unknown name, listing those there are.
    """
    for folder in resource_folders():
        path = folder / FOLDER / f'{name}.yaml'
        if path.is_file():
            return path
    raise ValueError(
        f'no camera preset {name!r}: there are {", ".join(preset_names()) or "none at all"}. '
        'Any other file: SensorModel.load(path)'
    )
