# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What can go wrong in this room."""

from __future__ import annotations


class DeviceError(RuntimeError):
    """The device asked for cannot render; the message names the reason and the remedy."""
