# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""/diagnostics once a second, in the manner of diagnostic_updater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from diffphyscam_ros.nodes.frame_statistics import FrameReport

SLOWEST = 0.8
"""Below this share of the asked frame rate there is a warning."""

SHOWN_MARKERS = 20
OLDEST_POSE = 1.0  # s


def frame_status(
    name: str, report: FrameReport, wanted_rate: float, taking: bool, problem: str
) -> DiagnosticStatus:
    """Return the state of the frames.

    :param taking: somebody listens, so frames are due.
    :param problem: why none is taken, '' where all is well.
    """
    level, message = DiagnosticStatus.OK, 'frames are taken'
    if not taking:
        message = 'nobody subscribes, nothing is rendered'
    elif problem:
        level, message = DiagnosticStatus.ERROR, problem
    elif 0 < report.rate < SLOWEST * wanted_rate:
        level = DiagnosticStatus.WARN
        message = f'{report.rate:.1f} of {wanted_rate:.1f} Hz: rendering is too slow'
    elif (report.pose_age or 0.0) > OLDEST_POSE:
        level = DiagnosticStatus.WARN
        message = f'the camera pose is {report.pose_age:.1f} s old'
    elif report.blur is not None and report.blur.samples < report.blur.wanted:
        level = DiagnosticStatus.WARN
        message = (
            f'motion of {report.blur.motion:.0f} px in one exposure: smooth blur needs '
            f'motion_blur_samples = {report.blur.wanted}'
        )
    values = {
        'frame rate [Hz]': f'{report.rate:.2f}',
        'frame rate asked for [Hz]': f'{wanted_rate:.2f}',
        'frames': str(report.frames),
        'frames skipped': str(report.skipped),
        'render mean [ms]': f'{report.render_ms:.2f}',
        'render p95 [ms]': f'{report.render_p95:.2f}',
        'pose source': report.pose_source or 'none yet',
        'pose age [s]': 'static' if report.pose_age is None else f'{report.pose_age:.3f}',
    }
    if report.blur is not None:
        values |= {
            'motion in one exposure [px]': f'{report.blur.motion:.1f}',
            'renderings of one picture': str(report.blur.samples),
        }
    if report.exposure is not None:
        values |= {
            'mean level [%]': f'{100 * report.exposure.mean_level:.1f}',
            'saturated [%]': f'{100 * report.exposure.saturated_fraction:.2f}',
            'black [%]': f'{100 * report.exposure.black_fraction:.2f}',
        }
    return _status(name, level, message, values)


def scene_status(
    name: str,
    scene_file: str,
    objects: int,
    triangles: int,
    problems: Sequence[str],
    robots: Sequence[str],
    robot_problems: Sequence[str],
    ages: Mapping[str, float | None],
) -> DiagnosticStatus:
    """Return the state of the scene.

    :param problems: markers that are not drawn, by name.
    :param robots: the names of those that are shown.
    :param robot_problems: descriptions, links and meshes that are not shown as they should be.
    :param ages: seconds since each input was heard, None = never.
    """
    level, message = DiagnosticStatus.OK, f'{objects} objects'
    if problems or robot_problems:
        level = DiagnosticStatus.WARN
        words = [f'{len(problems)} markers are not drawn'] if problems else []
        message = '; '.join([*words, *robot_problems[:1]])
    elif objects == 0:
        message = 'the scene is empty: set scene_file, or publish markers on ~/scene'
    values = {
        'scene file': scene_file or 'none',
        'objects': str(objects),
        'triangles': str(triangles),
        'markers not drawn': str(len(problems)),
        'robots': ', '.join(robots) or 'none',
    }
    for number, problem in enumerate(problems[:SHOWN_MARKERS], start=1):
        values[f'not drawn {number}'] = problem
    for number, problem in enumerate(robot_problems[:SHOWN_MARKERS], start=1):
        values[f'robots {number}'] = problem
    for topic, age in ages.items():
        values[f'age of {topic} [s]'] = 'never heard' if age is None else f'{age:.1f}'
    return _status(name, level, message, values)


def device_status(
    name: str, asked: str, device: str, reason: str, calibration_id: str
) -> DiagnosticStatus:
    """Return where rendering happens and why."""
    return _status(
        name,
        DiagnosticStatus.OK,
        f'rendering on {device}',
        {
            'device asked for': asked,
            'device': device,
            'reason': reason,
            'calibration': calibration_id,
        },
    )


def array(stamp: object, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Return the message."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp
    return message


def _status(name: str, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id='diffphyscam_ros',
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
