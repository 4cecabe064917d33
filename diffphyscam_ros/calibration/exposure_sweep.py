# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a response needs of an exposure sweep, gathered one frame at a time: a grid of sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from diffphyscam_ros.calibration.planes import Array, channels_of, plane_views
from diffphyscam_ros.calibration.response_fit import Observations
from diffphyscam_ros.calibration.types import RecordedFrame

SITES = 400
"""At most, of one plane."""

CUT_OFF = 0.05
"""Share of the values of darkness at digital 0 from which the response is taken to begin there."""

PLATEAU = 0.97
"""Of the level at which photosites are full: values above are not used."""

Setting = tuple[float, float, float]
"""Exposure time in s, ISO, aperture; time 0 = dark."""


@dataclass(frozen=True)
class Sweep:
    """A scene at several exposures.

    :param seen: rows for each site and exposure, ends of the range left out.
    :param settings: of each exposure, in rising order of exposure.
    :param names: of each, for messages.
    :param levels: (exposures,) mean of all sites.
    :param channel: (sites,) of each site.
    :param plateau: value at which photosites are full below full scale, or None.
    :param dark: how many of the exposures are dark.
    :param begins: dark frames show that light begins at digital 0: values gather there.
    """

    seen: Observations
    settings: tuple[Setting, ...]
    names: tuple[str, ...]
    levels: Array
    channel: Array
    plateau: float | None
    dark: int
    begins: bool
    frames: int
    skipped: dict[str, int]
    bags: tuple[str, ...]

    @property
    def factors(self) -> Array:
        """Relative exposure of each setting: time × ISO / aperture², as floats."""
        return np.array([time * iso / f**2 for time, iso, f in self.settings])


def gather_sweep(frames: Iterable[RecordedFrame]) -> Sweep:
    """Go through the frames of role 'sweep', and 'dark', once."""
    skipped: Counter[str] = Counter()
    first: RecordedFrame | None = None
    sums: dict[Setting, list[Array | int]] = {}
    spans: dict[Setting, list[int]] = {}
    bags: dict[str, None] = {}
    for frame in frames:
        reason = _why_not(frame, first)
        if reason:
            skipped[reason] += 1
            continue
        first = first or frame
        settings = frame.settings
        assert settings is not None
        time = 0.0 if frame.role == 'dark' else float(settings.exposure_time or 0.0)
        key = (time, settings.iso or 100.0, settings.aperture or 1.0)
        if frame.role == 'dark':
            key = (0.0, 100.0, 1.0)
        values, ends = _sites(frame)
        if key not in sums:
            sums[key] = [np.zeros_like(values), np.zeros(len(values), bool), 0]
            spans[key] = [frame.index, frame.index]
        entry = sums[key]
        entry[0] = entry[0] + values
        entry[1] = entry[1] | ends
        entry[2] = int(entry[2]) + 1
        spans[key][1] = frame.index
        bags[frame.bag] = None
    if first is None:
        nothing = Observations(*(np.zeros(0, np.int64),) * 2, *(np.zeros(0),) * 2)
        return Sweep(
            nothing, (), (), np.zeros(0), np.zeros(0), None, 0, False, 0, dict(skipped), ()
        )
    keys = sorted(sums, key=lambda k: k[0] * k[1] / k[2] ** 2)
    return _laid_out(keys, sums, spans, first, dict(skipped), tuple(b for b in bags if b))


def _why_not(frame: RecordedFrame, first: RecordedFrame | None) -> str:
    if frame.role not in ('sweep', 'dark'):
        return f'of role {frame.role!r}' if frame.role else 'of no known role'
    if frame.automatic:
        return 'with automatic exposure or gain'
    if frame.settling:
        return 'still settling after a change'
    if frame.role == 'sweep' and (frame.settings is None or not frame.settings.exposure_time):
        return 'without an exposure time'
    if frame.settings is None:
        return 'without settings'
    if first is not None and (frame.size, frame.encoding) != (first.size, first.encoding):
        return f'of another size or encoding than {first.size[0]}x{first.size[1]} {first.encoding}'
    return ''


def _sites(frame: RecordedFrame) -> tuple[Array, Array]:
    """Return the values at the sites, and which are at an end of the range."""
    chosen = []
    for plane in plane_views(frame.image, frame.encoding):
        step = max(1, int(np.ceil((plane.size / SITES) ** 0.5)))
        chosen.append(plane[step // 2 :: step, step // 2 :: step].ravel())
    codes = np.concatenate(chosen)
    return codes / frame.full_scale, (codes == 0) | (codes >= frame.full_scale)


def _laid_out(
    keys: list[Setting],
    sums: dict[Setting, list[Array | int]],
    spans: dict[Setting, list[int]],
    first: RecordedFrame,
    skipped: dict[str, int],
    bags: tuple[str, ...],
) -> Sweep:
    count = [int(sums[key][2]) for key in keys]
    value = np.stack([sums[key][0] / n for key, n in zip(keys, count, strict=True)], axis=1)
    ends = np.stack([np.asarray(sums[key][1]) for key in keys], axis=1)
    dark = sum(key[0] == 0.0 for key in keys)
    plateau = _plateau(value[:, -1]) if len(keys) > 1 else None
    good = ~ends & (value < (0.985 if plateau is None else PLATEAU * plateau))
    begins = bool(dark and (value[:, 0] < 0.5).all() and ends[:, 0].mean() > CUT_OFF)
    if dark:
        # cut off at 0 somewhere, the mean of darkness is not that of the light
        good[:, 0] &= not ends[:, 0].mean() > 0.002
    often = good[:, dark:].sum(axis=1) >= 2
    good &= often[:, None]
    site, exposure = np.nonzero(good)
    factors = np.array([k[0] * k[1] / k[2] ** 2 for k in keys])
    top = factors.max() or 1.0
    seen = Observations(site, exposure, value[good], factors[exposure] / top)
    planes = plane_views(first.image, first.encoding)
    channel = np.concatenate(
        [
            np.full(int(_sites_of(plane)), c)
            for plane, c in zip(planes, channels_of(first.encoding), strict=True)
        ]
    )
    names = tuple(
        f'frames {spans[k][0]} to {spans[k][1]} '
        + ('(dark)' if k[0] == 0 else f'({1e3 * k[0]:.4g} ms)')
        for k in keys
    )
    level = value.mean(axis=0)
    total = sum(count)
    return Sweep(
        seen, tuple(keys), names, level, channel, plateau, dark, begins, total, skipped, bags
    )


def _sites_of(plane: Array) -> int:
    step = max(1, int(np.ceil((plane.size / SITES) ** 0.5)))
    return int(plane[step // 2 :: step, step // 2 :: step].size)


def _plateau(values: Array) -> float | None:
    """Return the value at which sites of the longest exposure crowd below full scale."""
    highest = float(np.quantile(values, 0.999))
    if highest > 0.985:
        return None
    near = values > 0.985 * highest
    below = (values > 0.955 * highest) & (values <= 0.97 * highest)
    crowded = near.mean() > 0.02 and near.sum() > 6 * max(int(below.sum()), 1)
    return float(np.median(values[near])) if crowded else None
