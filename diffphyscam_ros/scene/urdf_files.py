# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the files lie that a robot description names, and which of them may be opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import os
from pathlib import Path
from urllib.parse import unquote

from diffphyscam_ros.resources import PACKAGE, resource_folders
from diffphyscam_ros.scene.errors import SceneError

PackagePaths = Mapping[str, str | Path] | Iterable[str | Path]
"""Folders of packages by name; or folders that are a package, hold packages, or are a ROS 2
prefix (which has them in share/)."""


class FileFinder:
    """Resolves package://, model://, file:// and relative names.

    What is outside the packages and the description's own folder is not opened, ``..`` included,
    unless ``anywhere``. Links (as ``colcon build --symlink-install`` makes them) are followed.
    """

    def __init__(
        self,
        folder: Path | None,
        package_paths: PackagePaths = (),
        anywhere: bool = False,
    ) -> None:
        """Look into packages and into the folder of the description, None where it has none."""
        self._folder = None if folder is None else _plain(folder)
        self._anywhere = anywhere
        self._named: dict[str, Path] = {}
        self._folders: list[Path] = []
        if isinstance(package_paths, Mapping):
            self._named = {
                name: _plain(Path(item).expanduser()) for name, item in package_paths.items()
            }
        else:
            if isinstance(package_paths, (str, bytes, Path)):
                raise SceneError(
                    f'package_paths = {package_paths!r}: must be a list of folders, or a mapping '
                    'from package names to folders'
                )
            self._folders = [_plain(Path(item).expanduser()) for item in package_paths]

    def package(self, name: str) -> Path:
        """Return the folder of a package.

        :raises SceneError: where it is not known, with the remedy.
        """
        if name in self._named:
            return self._named[name]
        candidates = [place for base in self._folders for place in _within(base, name)]
        # A description mostly lies in the package whose meshes it names.
        above = [] if self._folder is None else [self._folder, *self._folder.parents]
        candidates += [place for place in above if place.name == name]
        if name == PACKAGE:  # also where it runs from its source tree
            candidates += resource_folders()
        for place in candidates:
            if place.is_dir():
                return place
        raise SceneError(
            f'package {name!r} was not found; give its folder, or one that holds it, in '
            'package_paths'
        )

    def resolve(self, url: str) -> Path:
        """Return the path of a file.

        :raises SceneError: where it is not there, or may not be opened.
        """
        scheme, separator, rest = url.partition('://')
        if not separator:
            path, allowed = self._local(url, url), False
        elif scheme in ('package', 'model'):
            name, _, inside = unquote(rest).partition('/')
            base = self.package(name)
            path = _plain(base / inside)
            allowed = bool(inside) and _is_in(path, base)
        elif scheme == 'file':
            path, allowed = self._local(unquote(rest.removeprefix('localhost')), url), False
        else:
            raise SceneError(
                f'{url!r}: must be a path, or begin with package://, model:// or file://'
            )
        if not (allowed or self._anywhere or self._is_inside(path)):
            raise SceneError(
                f'{url!r} ({path}) is neither in the folder of the description nor in one of its '
                'packages, and is not opened; name that folder in package_paths'
            )
        if not path.is_file():
            raise SceneError(f'{url!r}: there is no such file ({path})')
        return path

    def _local(self, name: str, url: str) -> Path:
        path = Path(name).expanduser()
        if path.is_absolute():
            return _plain(path)
        if self._folder is None:
            raise SceneError(
                f'{url!r} is relative, but the description is no file that it could be relative '
                'to; use package:// or file://'
            )
        return _plain(self._folder / path)

    def _is_inside(self, path: Path) -> bool:
        places = [*self._folders, *self._named.values()]
        if self._folder is not None:
            places.append(self._folder)
        return any(_is_in(path, place) for place in places)


def _plain(path: Path) -> Path:
    """Return the absolute path without ``..``, links not followed."""
    return Path(os.path.abspath(path))


def _is_in(path: Path, folder: Path) -> bool:
    return folder in path.parents


def _within(base: Path, name: str) -> list[Path]:
    """Return where a package may be under a folder: itself, in it, or in a ROS 2 prefix."""
    if not name or name in ('.', '..') or os.sep in name:
        return []
    own = [base] if base.name == name else []
    return [*own, base / name, base / 'share' / name]
