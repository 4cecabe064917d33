# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From bags to a camera: the audit, the stages one after the other, the verdict.

Nothing is written here (``outputs`` does that, at the very end), so an interruption leaves
nothing behind. The same bags and options give the same result.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from diffphyscam_ros.calibration.audit import Audit, audit
from diffphyscam_ros.calibration.bag_hash import bag_hash
from diffphyscam_ros.calibration.calibration_file import BagRecord, latest
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.calibration.joint_stage import run_joint
from diffphyscam_ros.calibration.progress import Progress, Silent
from diffphyscam_ros.calibration.recording import Recording
from diffphyscam_ros.calibration.report_pictures import Calibrated, pictures
from diffphyscam_ros.calibration.request import Request
from diffphyscam_ros.calibration.settings_sources import TOLERANCE
from diffphyscam_ros.calibration.stages import Context, frame_name, run_stages
from diffphyscam_ros.calibration.types import Estimate, FrameSettings, StageResult
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings

PASSED, BELOW_THRESHOLD, BAD_INPUT, NOTHING_ESTIMABLE = 0, 1, 2, 3
"""Exit codes."""

NEED_EXPOSURES = ('flat', 'dark', 'sweep')
"""Roles of frames that automatic exposure spoils."""

PROMISES = {
    'intrinsics': (('intrinsics',), ('board',)),
    'response': (('response',), ('sweep',)),
    'noise': (('photon noise', 'read noise'), ('flat', 'dark')),
    'vignetting': (('vignetting',), ('flat',)),
    'defocus': (('defocus',), ('focus',)),
}
"""Of each stage: the groups of the audit that speak of it, and the roles filmed for it."""

BY_CONVENTION = ('aggregator_gain',)
"""Parameters that no recording shows: they are weak however good it is."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What came out.

    :param sensor: the camera: what was estimated, and for the rest what was known before.
    :param base: what the rest is from, in words.
    :param results: of the stages, in their order.
    :param bags: that were read, with their hashes.
    :param messages: of the reading.
    :param below: why it is not good enough; empty = it is.
    :param pictures: recorded against made pictures, see ``report_pictures``.
    """

    request: Request
    sensor: SensorModel
    base: str
    audit: Audit
    results: tuple[StageResult, ...]
    bags: tuple[BagRecord, ...]
    intrinsics: IntrinsicsResult | None = None
    messages: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    pictures: tuple[dict[str, Any], ...] = ()

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """Those of all stages, in their order."""
        return tuple(item for result in self.results for item in result.estimates)

    @property
    def estimated(self) -> tuple[Estimate, ...]:
        """Those that have a value."""
        return tuple(item for item in self.estimates if item.verdict != 'not estimated')

    @property
    def exit_code(self) -> int:
        """0 passed, 1 below a threshold, 3 nothing could be estimated."""
        if not self.estimated:
            return NOTHING_ESTIMABLE
        return BELOW_THRESHOLD if self.below else PASSED


def open_recording(request: Request) -> Recording:
    """Open the bags of a request.

    :raises CalibrationError: for bags, topics or options that cannot be used.
    """
    return Recording(
        list(request.bags),
        request.image_topic,
        settings=request.settings,
        csv=request.csv,
        constants=request.constants or None,
        roles=request.roles,
        driver=request.driver,
        driver_node=request.driver_node,
        encoding=request.encoding,
        bit_depth=request.bit_depth,
        tolerance=TOLERANCE if request.tolerance is None else request.tolerance,
    )


def audit_only(request: Request, progress: Progress | None = None) -> Audit:
    """Say what the bags hold and what can be estimated from them, and do nothing else."""
    with open_recording(request) as recording:
        sensor = _nominal(request, recording).sensor
        context = Context(request, recording, sensor, progress or Silent())
        return audit(recording, context.view if request.target else None, progress=progress)


def calibrate(request: Request, progress: Progress | None = None) -> Calibration:
    """Calibrate a camera.

    :raises CalibrationError: for input that cannot be used. What cannot be estimated is no error:
        the result says so.
    """
    progress = progress or Silent()
    with open_recording(request) as recording:
        before = _nominal(request, recording)
        context = Context(
            request, recording, before.sensor, progress, before.focal_known, before.pixel_known
        )
        progress.stage('audit')
        audited = audit(recording, context.view if request.target else None, progress=progress)
        results = run_stages(context)
        staged = Calibrated(context.intrinsics, context.sensor) if context.intrinsics else None
        joint = run_joint(context, results)
        results += [joint] if joint is not None else []
        shown: tuple[dict[str, Any], ...] = ()
        if context.intrinsics is not None and request.target is not None:
            progress.stage('pictures')
            board_frames = context.frames('pictures', 'board')
            shown = pictures(
                board_frames,
                frame_name,
                Calibrated(context.intrinsics, context.sensor),
                request.target,
                staged if joint is not None and joint.estimates else None,
            )
        frames = Counter({bag.name: bag.frames for bag in audited.bags})
        bags = tuple(
            BagRecord(name, bag_hash(path), frames[name], recording.given_roles.get(name, ''))
            for name, path in recording.paths.items()
        )
        messages = tuple(dict.fromkeys((*audited.messages, *recording.messages())))
        found = Calibration(
            request,
            context.sensor,
            before.base,
            audited,
            tuple(results),
            bags,
            context.intrinsics,
            messages,
            pictures=shown,
        )
        return replace(found, below=_below(found))


class _Nominal(NamedTuple):
    """What is known before, what it is called, and what of it was stated by somebody."""

    sensor: SensorModel
    base: str
    focal_known: bool
    pixel_known: bool


def _nominal(request: Request, recording: Recording) -> _Nominal:
    """Return what is known of the camera before anything is estimated."""
    width, height = recording.size
    given = request.sensor
    if given is not None:
        if (given.image_width, given.image_height) != (width, height):
            raise CalibrationError(
                f'the image size of {request.sensor_name or "the sensor"}',
                f'{given.image_width}x{given.image_height}',
                allowed=f'{width}x{height} px, as in the bags',
                remedy='give a sensor model of that size, or leave it out',
            )
        return _Nominal(replace(given, name=request.name), request.sensor_name, True, True)
    first = next(iter(recording.frames(every=max(len(recording), 1))))
    values = first.settings or FrameSettings()
    names = ('aperture', 'exposure_time', 'iso', 'focal_length', 'focus_distance')
    known = {name: getattr(values, name) for name in names if getattr(values, name) is not None}
    base = 'the default sensor model'
    if known:
        base += f' with the settings that the recording states ({values.source})'
    sensor = SensorModel(
        name=request.name,
        image_width=width,
        image_height=height,
        settings=CameraSettings(**known),
    )
    return _Nominal(sensor, base, 'focal_length' in known, False)


def _below(found: Calibration) -> tuple[str, ...]:
    """Return why a calibration is not good enough."""
    limits = found.request.thresholds
    why = []
    if found.intrinsics is not None and found.intrinsics.fit is not None:
        fit = found.intrinsics.fit
        error = fit.held_out if fit.held_out == fit.held_out else fit.fit.rms
        if error > limits.reprojection:
            why.append(
                f'corners are {error:.3f} px rms from where they should be in views held out: the '
                f'threshold is {limits.reprojection:g} px (--max-error)'
            )
    roles = found.audit.roles
    if found.audit.automatic[0] == 'running' and any(roles.get(r) for r in NEED_EXPOSURES):
        why.append(
            f'automatic exposure or gain was running ({found.audit.automatic[1]}): switch both '
            'off and record again what was filmed for response and noise'
        )
    weak = [
        item.name
        for item in latest(found.estimates).values()
        if item.verdict == 'weak' and item.name not in BY_CONVENTION
    ]
    if weak and not limits.weak:
        why.append(
            f'little to go by for {", ".join(weak)}: record what the report says, or accept it '
            'with --accept-weak'
        )
    done = {r.stage for r in found.results if any(e.value is not None for e in r.estimates)}
    if not limits.weak:
        why += [
            f'{stage} was filmed and could not be estimated: {reason} (or accept it with '
            '--accept-weak)'
            for stage, reason in _broken_promises(found, done)
        ]
    for stage in limits.require:
        if stage not in done:
            why.append(f'{stage} is required (--require) and was not estimated')
    return tuple(why)


def _broken_promises(found: Calibration, done: set[str]) -> list[tuple[str, str]]:
    """Return the stages that the audit promised and that gave nothing, and why."""
    promised = {item.group for item in found.audit.abilities if item.verdict == 'yes'}
    return [
        (result.stage, '; '.join(result.messages) or 'the report says why')
        for result in found.results
        if result.stage not in done
        for groups, roles in [PROMISES.get(result.stage, ((), ()))]
        if promised & {*groups} and any(found.audit.roles.get(role) for role in roles)
    ]
