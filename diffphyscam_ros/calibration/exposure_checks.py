# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Whether levels follow the exposure times that a recording states."""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.calibration.frame_statistics import Run
from diffphyscam_ros.calibration.planes import Array

TOLERANCE = 0.02
"""Share by which a level may differ from exposure time × light."""

FLICKER = 0.02
"""Share by which frames of the same settings may differ in brightness."""

AUTOMATIC = (
    'switch automatic exposure and automatic gain off, wait until the picture stands still, and '
    'record again'
)


def looks_automatic(times: Array, signal: Array) -> bool:
    """Return whether the brightness ignores the exposure time, as an automatic keeps it.

    :param times: s, (n,), and the ``signal`` above darkness of each level.
    """
    if len(times) < 3 or times.max() < 2.0 * times.min():
        return False
    slope = np.polyfit(np.log(times), np.log(np.maximum(signal, 1e-9)), 1)[0]
    return bool(abs(slope) < 0.2)


def misfits(times: Array, signal: Array, tolerance: float = TOLERANCE) -> Array:
    """Return by how much each level differs from light × time, over that; 0 within tolerance.

    The light is that on which most levels agree, so that a few wrong times are found as such.
    """
    rates = signal / times
    votes = [(np.abs(rates / rate - 1.0) < tolerance).sum() for rate in rates]
    best = np.argmax(votes)
    agreed = rates[np.abs(rates / rates[best] - 1.0) < tolerance].mean()
    share = rates / agreed - 1.0
    return np.where(np.abs(share) > tolerance, share, 0.0)


def linearity_messages(runs: list[Run], signal: Array) -> list[str]:
    """Return what is wrong with flat levels of one aperture, by name.

    :param runs: that are not saturated, each with an exposure time.
    :param signal: (n,) of each, above darkness.
    """
    if len(runs) < 3:
        return []
    times = np.array([run.time for run in runs], np.float64)
    wrong = misfits(times, signal)
    off = np.flatnonzero(wrong)
    if not len(off):
        return []
    if len(off) <= len(runs) // 2 and len(runs) - len(off) >= 2:
        return [
            f'{runs[i].name}: the signal is {100 * (1 + wrong[i]):.0f} % of what the exposure '
            'time of the other flat levels tells: the exposure time is wrong or the lamp '
            'changed; check the clock of the settings, or leave these frames out'
            for i in off
        ]
    return [
        'the flat levels do not grow in proportion to their exposure times (they differ by up to '
        f'{100 * np.abs(wrong).max():.0f} %): the times are wrong, the lamp changed, or the '
        'response is not linear: record metadata of each frame or hold each exposure longer, use '
        'a steady light, and film an exposure sweep that tells the response'
    ]


def bits_of_codes(codes: Array, full_scale: float) -> tuple[int, str]:
    """Return how many bits the values of pictures have, and why.

    :param codes: how often each value occurred, (256,) or (65536,).
    :return: 0 where it cannot be told.
    """
    bits = round(np.log2(full_scale + 1.0))
    if len(codes) == 256 or bits < 16:
        return bits, f'the values of the pictures have {bits} bits'
    used = np.flatnonzero(codes)
    if len(used) < 16:
        return 0, f'only {len(used)} different values occur; record pictures that are not plain'
    for n in range(8, 16):
        scale = 2**n - 1
        grid = np.round(np.round(used * (scale / 65535.0)) * (65535.0 / scale))
        if (np.abs(grid - used) <= 1).all() or (used % 2 ** (16 - n) == 0).all():
            return n, f'all {len(used)} values that occur are those of {n} bits'
    return 16, f'the {len(used)} values that occur fit no coarser steps than those of 16 bits'
