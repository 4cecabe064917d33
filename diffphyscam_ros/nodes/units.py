# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Microseconds and decibels exist only at the ROS edge; this module converts them."""

from __future__ import annotations

import math

BASE_ISO = 100.0
"""The ISO value at which the gain is 0 dB."""

MICROSECONDS_PER_SECOND = 1_000_000.0
NANOSECONDS_PER_SECOND = 1_000_000_000


def seconds_from_microseconds(microseconds: float) -> float:
    """Return seconds."""
    return microseconds / MICROSECONDS_PER_SECOND


def microseconds_from_seconds(seconds: float) -> float:
    """Return microseconds."""
    return seconds * MICROSECONDS_PER_SECOND


def gain_from_iso(iso: float) -> float:
    """Return the gain in dB, 20·log10(ISO / 100), of an ISO value > 0."""
    return 20.0 * math.log10(iso / BASE_ISO)


def iso_from_gain(gain: float) -> float:
    """Return the ISO value of a gain in dB."""
    return BASE_ISO * 10.0 ** (gain / 20.0)


def nanoseconds_from_seconds(seconds: float) -> int:
    """Return whole nanoseconds, rounded."""
    return round(seconds * NANOSECONDS_PER_SECOND)


def seconds_from_nanoseconds(nanoseconds: int) -> float:
    """Return seconds as a float (good to a microsecond for the epoch of today)."""
    return nanoseconds / NANOSECONDS_PER_SECOND
