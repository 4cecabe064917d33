# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage "defocus": gain a and dead zone b of the blur, from the spread of edges.

Eq. 2 gives the diameter c of the blur of a point at depth d, about 6 deviations (Gaussian) or 4
(disk) across an edge; what exactly the simulated camera makes of it is measured on edges that it
blurs (``blurred_edges``). Lens and light blur as well, whatever the focus, and their part adds in
squares. Within the dead zone, |d − U| ≤ b, there is nothing else.

``plots``: ``edges``: for each ``coc`` (px, of a = 1), ``sigma``, ``std``, ``distance``,
``aperture``, ``focus``, ``used``; ``fit``: ``gain``, ``dead_zone``, ``sharp_sigma``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from diffphyscam_ros.calibration.blurred_edges import spread_of
from diffphyscam_ros.calibration.defocus_fit import BlurFit, fit_blur
from diffphyscam_ros.calibration.edge_spread import Edge, EdgeSpread, find_edge, measure_edge
from diffphyscam_ros.calibration.noise_estimates import refused
from diffphyscam_ros.calibration.planes import Array, channels_of, LightCurve, plane_views
from diffphyscam_ros.calibration.types import Estimate, RecordedFrame, StageResult, Value
from diffphyscam_ros.camera.circle_of_confusion import circle_of_confusion
from diffphyscam_ros.camera.inverse_response import TOP
from diffphyscam_ros.camera.plain import plain_copy
from diffphyscam_ros.camera.sensor_model import PARAMETERS as FIELDS
from diffphyscam_ros.camera.sensor_model import SensorModel

PARAMETERS = ('defocus_gain', 'defocus_dead_zone', 'psf')

SHARES = {'gaussian': 1.0 / 6.0, 'disk': 0.25}
"""Deviation of the blur across an edge, over its diameter."""

LEAST_EDGES = 5

SATURATED = 0.02
"""Share of a picture's pixels at full scale above which its edges look narrower than they are."""

RECORD = (
    'film a slanted edge or the board at known distances while focus or aperture change step by '
    'step, from sharp to a blur of ten pixels'
)

Distance = float | Callable[[RecordedFrame], float | None]


@dataclass(frozen=True)
class _Measured:
    coc: float
    offset: float
    distance: float
    aperture: float
    focus: float
    spread: EdgeSpread
    disk: EdgeSpread | None
    frame: int
    name: str
    bag: str


def estimate_defocus(
    frames: Iterable[RecordedFrame],
    sensor: SensorModel,
    distance: Distance | None = None,
    edges: Callable[[RecordedFrame], Sequence[Edge]] | None = None,
) -> StageResult:
    """Estimate the blur's gain and dead zone.

    :param frames: gone through once; of role 'focus', or of any role for which ``edges`` finds
        some. Aperture and focus distance of each are needed.
    :param sensor: with its response, pixel size, ``max_coc`` and nominal settings; of these the
        focal length counts where a frame does not say it.
    :param distance: of the edge along z, m: a number, or one for each frame; None where ``edges``
        say it.
    :param edges: where edges are (see ``board_edges``); None: the one slanted edge of a frame.
    """
    skipped: Counter[str] = Counter()
    measured: list[_Measured] = []
    count = 0
    model = plain_copy(sensor)
    for frame in frames:
        if edges is None and frame.role != 'focus':
            skipped[f'of role {frame.role!r}' if frame.role else 'of no known role'] += 1
            continue
        found = _measured(frame, model, distance, edges)
        if isinstance(found, str):
            skipped[found] += 1
            continue
        count += 1
        measured += found
    messages = [f'{n} frames left out: {why}' for why, n in skipped.items()]
    why = _refusal(measured, skipped)
    if why:
        return StageResult('defocus', refused(PARAMETERS, why), (why, *messages))
    psf, psf_why = _psf(measured, str(model.psf))
    chosen = [item.spread if psf == 'gaussian' else item.disk or item.spread for item in measured]
    sigma = np.array([spread.sigma for spread in chosen])
    std = np.array([spread.std for spread in chosen])
    coc = np.array([item.coc for item in measured])
    offset = np.array([item.offset for item in measured])
    share = SHARES[psf]
    unlimited = sigma < 0.9 * share * float(model.max_coc)
    if unlimited.sum() < LEAST_EDGES:
        why = f'nearly all edges are blurred by more than max_coc = {model.max_coc:g} px: {RECORD}'
        return StageResult('defocus', refused(PARAMETERS, why), (why, *messages))
    spread = partial(spread_of, psf=psf, profile=psf, largest=float(model.max_coc))
    numbers = np.array([item.frame for item in measured])
    fit = fit_blur(coc, sigma, std, offset, unlimited, spread, numbers)
    blurred = fit.gain * share * float(coc[fit.used].max())
    if fit.gain_std > 0.25 * fit.gain or blurred < 1.0 * fit.sharp:
        why = (
            f'the blur by defocus reaches only {blurred / share:.1f} px (lens and pixels blur by '
            f'{fit.sharp:.2f} px): {RECORD}'
        )
        return StageResult('defocus', refused(PARAMETERS, why), (why, *messages))
    strange = [item.name for item, odd in zip(measured, fit.outliers, strict=True) if odd]
    if strange:
        messages.append(
            f'{len(strange)} edges do not fit the others: {", ".join(strange[:6])}: their '
            'distance, focus or aperture may be wrong'
        )
    origin = count, ', '.join(dict.fromkeys(item.bag for item in measured if item.bag))
    found_all = _estimates(fit, psf, psf_why, origin, len(strange) > 0.2 * len(measured))
    return StageResult('defocus', found_all, tuple(messages), _plots(measured, sigma, std, fit))


def _measured(
    frame: RecordedFrame,
    sensor: SensorModel,
    distance: Distance | None,
    edges: Callable[[RecordedFrame], Sequence[Edge]] | None,
) -> list[_Measured] | str:
    """Return the edges of a frame, or why there are none."""
    settings = frame.settings
    if settings is None or not settings.aperture or not settings.focus_distance:
        return 'without aperture or focus distance'
    if frame.settling:
        return 'still settling after a change'
    focal = settings.focal_length or float(np.asarray(sensor.settings.focal_length))
    light = _sharp_light(frame, sensor)
    if float((light >= TOP).sum() / np.isfinite(light).sum()) > SATURATED:
        return 'with a saturated edge'
    away = distance(frame) if callable(distance) else distance
    chosen: Sequence[Edge]
    if edges is None:
        one = _only_edge(light)
        chosen = [] if one is None else [one]
    else:
        chosen = edges(frame)
    found = []
    for edge in chosen:
        depth = away if edge.depth is None else edge.depth
        if depth is None or not depth > 0:
            return 'without a distance'
        spread = measure_edge(light, edge, 'gaussian')
        if spread is None:
            continue
        disk = measure_edge(light, edge, 'disk')
        coc = circle_of_confusion(
            torch.tensor([[depth]], dtype=torch.float64),
            settings.aperture,
            focal,
            settings.focus_distance,
            sensor.pixel_size,
        )
        found.append(
            _Measured(
                float(coc),
                abs(depth - settings.focus_distance),
                depth,
                settings.aperture,
                settings.focus_distance,
                spread,
                disk,
                frame.index,
                f'frame {frame.index} at {depth:.3g} m',
                frame.bag,
            )
        )
    return found or 'without a straight edge of enough contrast'


def _sharp_light(frame: RecordedFrame, sensor: SensorModel) -> Array:
    """Return one channel's light that no demosaic has blurred; NaN where a mosaic has others."""
    channels = channels_of(frame.encoding)
    picture = frame.linear_unit()
    curve = LightCurve(sensor, 1)
    if len(channels) < 4:
        return curve.light(plane_views(picture, frame.encoding)[channels.index(1)])
    light = np.full(picture.shape, np.nan)
    sites = plane_views(light, frame.encoding)
    for channel, site, plane in zip(
        channels, sites, plane_views(picture, frame.encoding), strict=True
    ):
        if channel == 1:
            site[...] = curve.light(plane)
    return light


def _only_edge(light: Array) -> Edge | None:
    """Return the one edge of a picture; of a mosaic it is looked for in one of its planes."""
    for y, x in ((0, 0), (0, 1)):
        plane = light[y::2, x::2]
        if not np.isfinite(light).all() and np.isfinite(plane).all():
            edge = find_edge(plane)
            if edge is None:
                return None
            start, end = ((2.0 * u + x, 2.0 * v + y) for u, v in (edge.start, edge.end))
            return Edge(start, end, 2.0 * edge.reach, edge.depth)
    return find_edge(light)


def _refusal(measured: list[_Measured], skipped: Counter[str]) -> str:
    if len(measured) < LEAST_EDGES:
        reasons = ', '.join(f'{n} frames {why}' for why, n in skipped.items())
        return f'{len(measured)} edges could be measured ({reasons or "few frames"}): {RECORD}'
    coc = np.array([item.coc for item in measured])
    if np.ptp(coc) < 1.0:
        return (
            f'the nominal blur ranges from {coc.min():.2f} to {coc.max():.2f} px only: gain and '
            f'sharpness of the lens cannot be told apart; {RECORD}'
        )
    return ''


def _psf(measured: list[_Measured], nominal: str) -> tuple[str, str]:
    """Return the shape that fits blurred edges better; the nominal one where both do."""
    kept = 'gaussian' if nominal == 'gaussian' else 'disk'
    wide = [m for m in measured if m.disk is not None and m.spread.sigma > 1.5]
    if len(wide) < 3:
        return kept, ''
    ratio = float(np.median([(m.disk or m.spread).misfit / m.spread.misfit for m in wide]))
    better = 'disk' if ratio < 0.95 else 'gaussian' if ratio > 1.05 else ''
    if not better or (better == 'disk' and kept == 'disk'):
        return kept, ''
    return better, f'its edge fits {len(wide)} blurred edges best'


def _estimates(
    fit: BlurFit, psf: str, psf_why: str, origin: tuple[int, str], doubtful: bool
) -> tuple[Estimate, ...]:
    def one(name: str, value: Value, std: float | None, why: str, weak: bool) -> Estimate:
        verdict = 'weak' if weak or doubtful else 'estimated'
        return Estimate(name, value, std, FIELDS[name].unit, verdict, why, *origin)

    count = int(fit.used.sum())
    gain = one(
        'defocus_gain', fit.gain, fit.gain_std,
        f'spread of {count} edges of {psf} blur', fit.gain_std > 0.1 * fit.gain,
    )  # fmt: skip
    if fit.dead_zone > 0:
        why = 'between the largest distance from the focus that is sharp and the least that is not'
    else:
        why = f'no sharp range is seen; it is below {fit.dead_zone_limit:.3g} m'
    zone = one('defocus_dead_zone', fit.dead_zone, fit.dead_zone_std, why, False)
    shape = (
        one('psf', psf, None, psf_why, False)
        if psf_why
        else refused(('psf',), 'the edges fit the nominal shape as well as another')[0]
    )
    return gain, zone, shape


def _plots(measured: list[_Measured], sigma: Array, std: Array, fit: BlurFit) -> dict[str, Any]:
    return {
        'edges': [
            {
                'coc': item.coc,
                'sigma': float(s),
                'std': float(error),
                'distance': item.distance,
                'aperture': item.aperture,
                'focus': item.focus,
                'used': bool(used),
            }
            for item, s, error, used in zip(measured, sigma, std, fit.used, strict=True)
        ],
        'fit': {
            'gain': fit.gain,
            'dead_zone': fit.dead_zone,
            'sharp_sigma': fit.sharp,
        },
    }
