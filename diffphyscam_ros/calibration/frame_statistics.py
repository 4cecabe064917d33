# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What photon transfer needs of flat and dark frames, gathered one frame at a time.

Frames of the same settings that follow one another are a run. Of the run that is being recorded
the mean and the sum of squares of each pixel are kept (Welford); of a finished run its mean
picture in float32, and numbers for each plane. So memory is two pictures and one for each run,
and never the frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from diffphyscam_ros.calibration.planes import Array, channels_of, LightCurve, plane_views
from diffphyscam_ros.calibration.types import RecordedFrame
from diffphyscam_ros.camera.sensor_model import SensorModel

MOST_BYTES = 512 * 2**20
"""Of mean pictures; beyond it some runs keep their numbers only."""

SAMPLES = 8192
"""Photosites of each plane whose codes in dark frames are kept, at most."""

SAMPLED_FRAMES = 64
"""Of a dark run whose codes are kept, at most."""

Key = tuple[str, float | None, float | None, float | None]


@dataclass(frozen=True)
class PlaneLevel:
    """One plane of one run; digital values in [0, 1].

    :param mean: over pixels and frames.
    :param variance: temporal, of a pixel, the common flicker of all pixels taken out.
    :param freedom: degrees of freedom of ``variance``.
    :param flicker: standard deviation of the frames' means, over the mean.
    :param low: share of the values at digital 0.
    :param high: share of the values at digital 1.
    :param brightest: 99.5 % of the pixels' means lie below.
    :param neighbours: correlation of the temporal noise of horizontal neighbours.
    :param light: mean and temporal variance as ``planes.LightCurve`` undoes the response, pixel by
        pixel: in an uneven picture that is not that of the mean.
    """

    mean: float
    variance: float
    light: tuple[float, float]
    freedom: float
    flicker: float
    low: float
    high: float
    brightest: float
    neighbours: float


@dataclass(frozen=True)
class Run:
    """Frames of the same settings in a row.

    :param frames: their count.
    :param planes: in the order of ``planes.channels_of``.
    :param picture: mean of the frames, (H, W[, 3]) float32, or None where memory ended.
    :param codes: of a dark run, (frames, photosites) of each plane, as recorded: the same
        photosites in every run.
    """

    role: str
    time: float | None
    iso: float | None
    aperture: float | None
    frames: int
    first: int
    last: int
    bag: str
    planes: tuple[PlaneLevel, ...]
    picture: Array | None
    codes: tuple[Array, ...] = ()

    @property
    def name(self) -> str:
        """For messages."""
        time = 'unknown exposure' if self.time is None else f'{1e3 * self.time:.4g} ms'
        return f'frames {self.first} to {self.last} of {self.bag or "the recording"} ({time})'


@dataclass
class _Growing:
    """The run that is being recorded."""

    key: Key
    first: RecordedFrame
    last: RecordedFrame
    count: int = 0
    mean: Array = field(default_factory=lambda: np.zeros(0))
    squares: Array = field(default_factory=lambda: np.zeros(0))
    means: list[list[float]] = field(default_factory=list)
    ends: list[list[tuple[float, float]]] = field(default_factory=list)
    products: Array = field(default_factory=lambda: np.zeros(0))
    sampled: list[list[Array]] = field(default_factory=list)

    def add(self, frame: RecordedFrame) -> None:
        values = frame.linear_unit().astype(np.float64)
        planes = plane_views(values, frame.encoding)
        self.last = frame
        if self.count == 0:
            self.mean, self.squares = np.zeros_like(values), np.zeros_like(values)
            self.products = np.zeros((len(planes), 2))
        self.count += 1
        change = values - self.mean
        self.mean += change / self.count
        self.squares += change * (values - self.mean)
        self.means.append([float(plane.mean()) for plane in planes])
        codes = plane_views(frame.image, frame.encoding)
        ends = [(float((c == 0).mean()), float((c >= frame.full_scale).mean())) for c in codes]
        self.ends.append(ends)
        if frame.role == 'dark' and len(self.sampled) < SAMPLED_FRAMES:
            self.sampled.append([_sample(c) for c in codes])
        if self.count > 1:
            for index, plane in enumerate(plane_views(change, frame.encoding)):
                noise = plane - plane.mean()
                self.products[index] += (noise[:, 1:] * noise[:, :-1]).sum(), (noise**2).sum()

    def finished(self, sensor: SensorModel) -> Run:
        encoding, n = self.last.encoding, self.count
        means, ends = np.array(self.means), np.array(self.ends)
        planes = []
        squares = plane_views(self.squares, encoding)
        for index, picture in enumerate(plane_views(self.mean, encoding)):
            size = picture.size
            common = float(means[:, index].var(ddof=1)) if n > 1 else 0.0
            variance = float(squares[index].mean()) / (n - 1) if n > 1 else float('nan')
            variance = max(variance - common, 0.0) * size / max(size - 1, 1)
            level = float(picture.mean())
            curve = LightCurve(sensor, channels_of(encoding)[index])
            lit = level, variance
            if not curve.linear and n > 1:
                own = np.maximum(squares[index] / (n - 1) - common, 0.0)
                spread = float((own / curve.slope(picture) ** 2).mean())
                lit = float(curve.light(picture).mean()), spread
            products = self.products[index]
            planes.append(
                PlaneLevel(
                    level,
                    variance,
                    lit,
                    float((n - 1) * (size - 1)),
                    common**0.5 / max(level, 1e-9),
                    float(ends[:, index, 0].mean()),
                    float(ends[:, index, 1].mean()),
                    float(np.quantile(picture, 0.995)),
                    float(products[0] / products[1]) if products[1] > 0 else 0.0,
                )
            )
        kept = self.mean.astype(np.float32)
        first, (role, time, iso, aperture) = self.first, self.key
        span = first.index, self.last.index
        codes = tuple(np.stack(plane) for plane in zip(*self.sampled, strict=True))
        return Run(role, time, iso, aperture, n, *span, first.bag, tuple(planes), kept, codes)


def _sample(plane: Array) -> Array:
    """Return evenly spread values of a plane, (n,)."""
    count = min(plane.size, SAMPLES)
    return plane.ravel()[np.arange(count) * plane.size // count]


@dataclass(frozen=True)
class Runs:
    """All runs of a recording.

    :param codes: how often each value occurred, of the type of the pictures.
    :param skipped: why frames were left out, and how many.
    """

    runs: tuple[Run, ...]
    encoding: str
    full_scale: float
    size: tuple[int, int]
    codes: Array
    skipped: dict[str, int]
    bags: tuple[str, ...]


def gather_runs(
    frames: Iterable[RecordedFrame],
    sensor: SensorModel,
    roles: tuple[str, ...] = ('flat', 'dark'),
) -> Runs:
    """Go through frames once.

    :param sensor: whose response is undone, unless it is linear.

    Left out, and counted in ``skipped``: frames of other roles, of automatic exposure, that went
    through JPEG, that are still settling, and those of another size or encoding than the first.
    """
    skipped: Counter[str] = Counter()
    runs: list[Run] = []
    growing: _Growing | None = None
    first: RecordedFrame | None = None
    codes = np.zeros(0, np.int64)
    bags: dict[str, None] = {}
    for frame in frames:
        reason = _why_not(frame, first, roles)
        if reason:
            skipped[reason] += 1
            continue
        if first is None:
            first = frame
            codes = np.zeros(np.iinfo(frame.image.dtype).max + 1, np.int64)
        bags[frame.bag] = None
        codes += np.bincount(frame.image.ravel(), minlength=len(codes))
        settings = frame.settings
        time, iso, aperture = (
            (None, None, None)
            if settings is None
            else (settings.exposure_time, settings.iso, settings.aperture)
        )
        key = (frame.role, time, iso, aperture)
        if growing is not None and growing.key != key:
            runs.append(growing.finished(sensor))
            _let_go(runs)
            growing = None
        if growing is None:
            growing = _Growing(key, frame, frame)
        growing.add(frame)
    if growing is not None:
        runs.append(growing.finished(sensor))
        _let_go(runs)
    if first is None:
        return Runs((), '', 0.0, (0, 0), codes, dict(skipped), ())
    runs = [replace(run, iso=100.0 if run.iso is None else run.iso) for run in runs]
    names = tuple(name for name in bags if name)
    return Runs(
        tuple(runs), first.encoding, first.full_scale, first.size, codes, dict(skipped), names
    )


def _let_go(runs: list[Run]) -> None:
    """Drop mean pictures beyond ``MOST_BYTES``, of the role that has most, from the middle."""
    while True:
        held = [i for i, run in enumerate(runs) if run.picture is not None]
        sizes = (run.picture.nbytes for run in runs if run.picture is not None)
        if sum(sizes) <= MOST_BYTES:
            return
        role = Counter(runs[i].role for i in held).most_common(1)[0][0]
        same = [i for i in held if runs[i].role == role]
        middle = same[len(same) // 2]
        runs[middle] = replace(runs[middle], picture=None)


def _why_not(frame: RecordedFrame, first: RecordedFrame | None, roles: tuple[str, ...]) -> str:
    if frame.role not in roles:
        return f'of role {frame.role!r}' if frame.role else 'of no known role'
    if frame.automatic:
        return 'with automatic exposure or gain'
    if frame.lossy:
        return 'compressed with loss (JPEG changes the noise)'
    if frame.settling:
        return 'still settling after a change'
    if first is not None and (frame.size, frame.encoding) != (first.size, first.encoding):
        return f'of another size or encoding than {first.size[0]}x{first.size[1]} {first.encoding}'
    return ''
