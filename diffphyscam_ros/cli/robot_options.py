# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Options on a robot: where its joints are, and where the packages lie that it names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import math
import os


def add_robot_options(parser: argparse.ArgumentParser) -> None:
    """Add --joint and --package-path."""
    group = parser.add_argument_group('robot')
    group.add_argument(
        '--joint',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='position of a joint in rad or m, 0 by default; planar joints have three numbers, '
        'floating ones seven, separated by commas (may be repeated)',
    )
    group.add_argument(
        '--package-path',
        action='append',
        default=[],
        metavar='FOLDER',
        help='a package that the robot names, or a folder that holds packages (may be repeated; '
        'those of AMENT_PREFIX_PATH are known)',
    )


def joint_positions(options: Sequence[str]) -> dict[str, float | tuple[float, ...]]:
    """Return the positions that --joint gives.

    :raises ValueError: for one that is no NAME=VALUE, or is given twice.
    """
    found: dict[str, float | tuple[float, ...]] = {}
    for option in options:
        name, separator, text = option.partition('=')
        try:
            values = tuple(float(word) for word in text.split(','))
        except ValueError:
            values = ()
        if not name or not separator or not values or not all(map(math.isfinite, values)):
            raise ValueError(f'--joint {option}: must be NAME=VALUE, as --joint elbow=1.2')
        if name in found:
            raise ValueError(f'--joint {option}: {name} is given twice')
        found[name] = values[0] if len(values) == 1 else values
    return found


def package_paths(options: Sequence[str]) -> list[str]:
    """Return the folders of --package-path, then the prefixes of the sourced ROS 2."""
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    return [*options, *(prefix for prefix in prefixes if prefix)]
