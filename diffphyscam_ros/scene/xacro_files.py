# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""xacro: macros of robot descriptions, expanded by the package of that name, with or without ROS.

A .xacro file computes, includes files and reads the environment: it is only taken from a file
that the user names, never from the network.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from pathlib import Path
import threading

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.urdf_files import FileFinder

_ONE_AT_A_TIME = threading.Lock()


def process_xacro(path: Path, finder: FileFinder) -> str:
    """Return the URDF of a .xacro file; ``$(find package)`` is what the finder says.

    :raises SceneError: where xacro is not installed or refuses the file.
    """
    try:
        import xacro  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise SceneError(
            f'{path} needs the package xacro, which is not installed: pip install xacro (or '
            'apt install ros-$ROS_DISTRO-xacro)'
        ) from error
    if not path.is_file():
        raise SceneError(f'robot file not found: {path}')
    try:
        with _ONE_AT_A_TIME, _packages_from(finder):
            text: str = xacro.process_file(str(path)).toxml()
            return text
    except SceneError:
        raise
    except Exception as error:
        # Its own exceptions, and those of XML, YAML and of the expressions that it evaluates.
        inner: BaseException = error
        while (cause := inner.__cause__ or getattr(inner, 'exc', None)) is not None:
            inner = cause
        words = str(inner) or type(inner).__name__
        raise SceneError(f'{path}: xacro refuses it: {words}') from error


@contextlib.contextmanager
def _packages_from(finder: FileFinder) -> Iterator[None]:
    """Let xacro find packages as we do: it asks a ROS installation, which there may not be."""
    from xacro import substitution_args  # type: ignore[import-untyped,unused-ignore]

    def find(name: str) -> str:
        return str(finder.package(name))

    before, expressions = substitution_args._eval_find, substitution_args._eval_dict
    substitution_args._eval_find = find
    expressions['find'] = find
    try:
        yield
    finally:
        substitution_args._eval_find = before
        expressions['find'] = before
