# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Points of lights that have a size: each casts the hard shadow of a small part of the light."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.shadow import KIND, SHADOWS, SIZE

SAMPLES = 32
"""Of a light with a size: shadows then have as many shades."""

GOLDEN = np.pi * (3.0 - 5.0**0.5)


@functools.lru_cache(maxsize=1)
def disk_points() -> npt.NDArray[np.float64]:
    """Return (SAMPLES, 2) points spread evenly over the unit disk (Vogel's spiral)."""
    number = np.arange(SAMPLES)
    radius, angle = np.sqrt((number + 0.5) / SAMPLES), number * GOLDEN
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


@functools.lru_cache(maxsize=1)
def ball_points() -> npt.NDArray[np.float64]:
    """Return (SAMPLES, 3) points in the unit ball that look like an even disk from everywhere.

    So does a ball that glows evenly. The density for it is 1/√(1 − r²), by Abel's transform: with
    r = sin t a share of (2t − sin 2t)/π lies within r.
    """
    angle = np.linspace(0.0, np.pi / 2.0, 2001)
    share = (2.0 * angle - np.sin(2.0 * angle)) / np.pi
    # A permutation, so that radius and height on the sphere have nothing to do with each other.
    order = (np.arange(SAMPLES) * 13 + 5) % SAMPLES
    radius = np.sin(np.interp((order + 0.5) / SAMPLES, share, angle))
    height = 1.0 - 2.0 * (np.arange(SAMPLES) + 0.5) / SAMPLES
    flat, turn = np.sqrt(1.0 - height**2), np.arange(SAMPLES) * GOLDEN
    directions = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)
    return np.asarray(radius[:, None] * directions)


def sample_lights(
    lights: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return rows of lights without a size, and the light (N,) that each row is a part of.

    :param lights: (L, 14), see ``render/lights.py``.
    """
    sized = (lights[:, SIZE] > 0.0) & (lights[:, SHADOWS] > 0.0)
    owner = np.repeat(np.arange(len(lights)), np.where(sized, SAMPLES, 1))
    rows = lights[owner]
    for index in np.flatnonzero(sized):
        mine = np.flatnonzero(owner == index)
        size, place = float(lights[index, SIZE]), lights[index, 1:4].astype(np.float64)
        if lights[index, KIND] > 0.5:
            rows[mine, 1:4] = place + size * ball_points()
            continue
        # A disk of directions, of the angular radius.
        across = np.cross(place, np.eye(3)[np.argmin(np.abs(place))])
        across /= np.linalg.norm(across)
        up = np.cross(place, across)
        spread = np.tan(min(size, 1.5)) * disk_points()
        ways = place + spread[:, :1] * across + spread[:, 1:] * up
        rows[mine, 1:4] = ways / np.linalg.norm(ways, axis=1, keepdims=True)
    return np.ascontiguousarray(rows), owner
