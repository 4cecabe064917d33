# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What this package raises and warns with."""

from __future__ import annotations


class SceneError(ValueError):
    """A scene, mesh, texture or environment that cannot be used; the message says why."""


class SceneWarning(UserWarning):
    """A scene that is used although something in it was left out; the message says what."""
