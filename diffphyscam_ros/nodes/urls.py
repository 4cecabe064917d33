# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Files as ROS names them: paths, file:// and package:// URLs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote


def resolve_url(url: str) -> Path:
    """Return the path of an existing file.

    :param url: a path (``~`` is expanded), ``file:///path`` or ``package://name/path``.
    :raises ValueError: for another scheme, an unknown package, or a file that is not there.
    """
    scheme, separator, rest = url.partition('://')
    if not separator:
        path = Path(url).expanduser()
    elif scheme == 'file':
        path = Path(unquote(rest.removeprefix('localhost')))
    elif scheme == 'package':
        path = _in_package(url, unquote(rest))
    else:
        raise ValueError(f'{url!r}: must be a path, or begin with file:// or package://')
    if not path.is_file():
        place = '' if str(path) == url else f' ({path})'
        raise ValueError(f'{url!r}: there is no such file{place}')
    return path


def _in_package(url: str, rest: str) -> Path:
    package, _, inside = rest.partition('/')
    if package == 'diffphyscam_ros':  # also where it runs from its source tree
        from diffphyscam_ros.resources import find_resource

        try:
            return find_resource(inside)
        except FileNotFoundError as error:
            raise ValueError(f'{url!r}: {error}') from None
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory(package)) / inside
    except ImportError:
        reason = 'ament_index_python is not installed'
    except (LookupError, ValueError, OSError):  # OSError: AMENT_PREFIX_PATH is not set
        reason = 'it is not in the sourced ROS environment (AMENT_PREFIX_PATH)'
    raise ValueError(f'{url!r}: package {package!r} was not found: {reason}')
