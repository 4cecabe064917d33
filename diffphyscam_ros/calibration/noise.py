# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage "noise": gain, read noise, dark current and fixed patterns from flat and dark frames.

Photon transfer after EMVA standard 1288, release 4.0, for each channel. What no picture can tell
is the unit of X. **Convention**: X counts photo-electrons, which is to say that the shot noise
gain n_s is 1; then response_gains are 1/(S·electrons), and aggregator_gain is scaled so that the
nominal brightness stays. A gamma response fixes the unit by log2(S·X): there X keeps the unit of
the nominal sensor, and n_s is estimated.

``plots`` of the result: ``photon_transfer``: for each plane ``channel``, ``mean`` and ``variance``
(digital, 0 to 1) of all levels, ``fitted`` (which of them), ``gain``, ``offset``, ``black``;
``dark_codes``: whether darkness was found by the likelihood of its codes;
``signal_against_time``: ``time``, ``mean``, ``dark`` of all levels; ``iso`` of the levels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from diffphyscam_ros.calibration.exposure_checks import AUTOMATIC, bits_of_codes, FLICKER
from diffphyscam_ros.calibration.frame_statistics import gather_runs, Run, Runs
from diffphyscam_ros.calibration.noise_estimates import estimates_of, PARAMETERS, refused
from diffphyscam_ros.calibration.noise_plane import measure_plane, PlaneNoise
from diffphyscam_ros.calibration.planes import CHANNELS, channels_of, LightCurve
from diffphyscam_ros.calibration.types import Estimate, RecordedFrame, StageResult
from diffphyscam_ros.camera.sensor_model import SensorModel

RECORD = (
    'record at least two flat frames at each of five or more exposure times from dark to just '
    'saturated, and as many with the lens capped at the same times'
)

UNSTEADY = (
    'the lamp flickers, the settings come late (record those of each frame, or hold each longer), '
    f'or {AUTOMATIC}'
)
UNKNOWN = (
    'the exposure times are not known: record metadata or /parameter_events, or give '
    '--exposure-csv'
)


def estimate_noise(frames: Iterable[RecordedFrame], sensor: SensorModel) -> StageResult:
    """Estimate how a sensor's values scatter.

    :param frames: with the roles 'flat' (an even, steady light, e.g. an integrating sphere or a
        diffuser before the lens) and 'dark' (capped); others are left out. They are gone through
        once.
    :param sensor: nominal: its response (of another kind than linear) and pixel numbers are used.
    :return: ``bit_depth``, ``black_level``, ``response_gains``, ``shot_noise_gain``,
        ``read_noise``, ``dark_current``, ``dsnu``, ``prnu``, ``hot_pixel_fraction``,
        ``hot_pixel_current``, ``full_well``, ``aggregator_gain``; each estimated or refused.
    """
    gathered = gather_runs(frames, sensor)
    messages = [f'{count} frames left out: {why}' for why, count in gathered.skipped.items()]
    runs, iso = _of_one_iso(gathered, messages)
    refusal = _refusal(gathered, runs)
    if refusal:
        return StageResult('noise', refused(PARAMETERS, refusal), (refusal, *messages))
    steady = []
    for run in runs:
        flicker = max(level.flicker for level in run.planes)
        # in the dark the mean is near 0, and its fluctuation says nothing
        if run.role == 'flat' and flicker > FLICKER:
            messages.append(
                f'{run.name} left out: brightness changes by {100 * flicker:.1f} % between '
                f'frames of the same settings: {UNSTEADY if run.time else UNKNOWN}'
            )
        else:
            steady.append(run)
    if not any(run.role == 'flat' for run in steady):
        unknown = all(run.time is None for run in runs if run.role == 'flat')
        why = f'no flat frames of steady brightness: {UNKNOWN if unknown else UNSTEADY}'
        return StageResult('noise', refused(PARAMETERS, why), (why, *messages))

    bits, bits_reason = bits_of_codes(gathered.codes, gathered.full_scale)
    step = 1.0 / (2.0 ** (bits or 16) - 1.0)
    channels = channels_of(gathered.encoding)
    planes: list[PlaneNoise] = []
    for index, channel in enumerate(channels):
        name = CHANNELS[channel] if len(channels) > 1 else 'grey'
        if len(channels) == 4:
            name = f'{name} {index}'
        curve = LightCurve(sensor, channel)
        planes.append(measure_plane(steady, index, gathered.encoding, curve, step, name))
    wells = [plane.full for plane in planes if plane.full is not None]
    for index, plane in enumerate(planes):
        if wells and plane.full is None and not plane.refusal:
            # Less light reaches these, whose brightest photosites may be full all the same.
            curve = LightCurve(sensor, channels[index])
            planes[index] = measure_plane(
                steady, index, gathered.encoding, curve, step, plane.name, min(wells)
            )
    for plane in planes:
        messages += [m for m in plane.messages if m not in messages]
    broken = next((plane.refusal for plane in planes if plane.refusal), '')
    if broken:
        return StageResult('noise', refused(PARAMETERS, broken), (broken, *messages))
    neighbours = float(
        np.median([level.neighbours for run in steady for level in run.planes if run.frames > 1])
    )
    interpolated = abs(neighbours) > 0.1
    if interpolated:
        messages.append(
            f'the noise of neighbouring pixels is correlated ({neighbours:.2f}): the pictures '
            'were interpolated or filtered, and all figures of noise are too small; record the '
            'raw mosaic (bayer_*)'
        )
    count = sum(run.frames for run in steady)
    source = ', '.join(gathered.bags)
    found = estimates_of(planes, channels, sensor, iso, (count, source), interpolated)
    depth = (
        Estimate('bit_depth', float(bits), 0.0, 'bit', 'estimated', bits_reason, count, source)
        if bits
        else Estimate('bit_depth', None, None, 'bit', 'not estimated', bits_reason)
    )
    return StageResult('noise', (depth, *found), tuple(messages), _plots(planes, steady, iso))


def _of_one_iso(gathered: Runs, messages: list[str]) -> tuple[list[Run], float]:
    """Return the runs of the gain that most levels have."""
    counts = Counter(run.iso for run in gathered.runs)
    if not counts:
        return [], 100.0
    iso = counts.most_common(1)[0][0] or 100.0
    if len(counts) > 1:
        others = ', '.join(f'{other:g}' for other in counts if other not in (iso, None))
        messages.append(
            f'levels of ISO {iso:g} are used, those of ISO {others} are not: gain and read noise '
            'of one recording belong to one gain'
        )
    return [run for run in gathered.runs if run.iso == iso], iso


def _refusal(gathered: Runs, runs: list[Run]) -> str:
    """Return why nothing can be estimated, or ''."""
    automatic = 'with automatic exposure or gain'
    flats = [run for run in runs if run.role == 'flat']
    if not flats:
        if automatic in gathered.skipped:
            return f'automatic exposure or gain was running: {AUTOMATIC}'
        return f'no flat frames: {RECORD}'
    if not any(run.frames > 1 for run in flats):
        return (
            'no two flat frames of the same settings follow one another, so temporal noise cannot '
            f'be told from the pattern: {RECORD}'
        )
    return ''


def _plots(planes: list[PlaneNoise], runs: list[Run], iso: float) -> dict[str, object]:
    times = [
        {
            'time': run.time,
            'mean': [level.mean for level in run.planes],
            'dark': run.role == 'dark',
        }
        for run in runs
    ]
    return {
        'dark_codes': all(plane.darkness is not None for plane in planes),
        'photon_transfer': [plane.plot for plane in planes],
        'signal_against_time': times,
        'iso': iso,
    }
