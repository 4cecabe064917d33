# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The files of a calibration, written all together or not at all."""

from __future__ import annotations

from pathlib import Path

from diffphyscam_ros.calibration.calibration_file import calibration_yaml
from diffphyscam_ros.calibration.camera_info_file import camera_info_text
from diffphyscam_ros.calibration.exports import exported
from diffphyscam_ros.calibration.pipeline import Calibration
from diffphyscam_ros.calibration.report import report_html
from diffphyscam_ros.calibration.report_data import OUTCOMES, report_json
from diffphyscam_ros.calibration.report_text import value_text
from diffphyscam_ros.camera.atomic_file import write_files


def contents(found: Calibration) -> dict[str, str | bytes]:
    """Return the name and content of every file.

    The report is always there; the calibration only where something was estimated, and
    camera_info only where K was.
    """
    name = found.request.name
    files: dict[str, str | bytes] = {}
    if found.estimated:
        target = found.request.target
        files[f'{name}.calibration.yaml'] = calibration_yaml(
            found.sensor,
            found.estimates,
            found.bags,
            base=found.base,
            about={
                'outcome': OUTCOMES[found.exit_code],
                'target': None if target is None else target.text,
                'image_topics': sorted({bag.topic for bag in found.audit.bags}),
            },
        )
    if found.intrinsics is not None and found.intrinsics.fit is not None:
        files[f'{name}.camera_info.yaml'] = camera_info_text(found.intrinsics, name)
    files |= exported(found)[0]
    files['report.json'] = report_json(found)
    files['report.html'] = report_html(found)
    return files


def write_outputs(found: Calibration, folder: Path) -> list[Path]:
    """Write the files into a folder, which is made where it is missing; return their paths.

    Everything is made before anything is written.

    :raises OSError: where the folder cannot be written.
    """
    files = contents(found)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / name: content for name, content in files.items()}
    write_files(paths)
    return list(paths)


def summary(found: Calibration) -> str:
    """Return the result as a table for a terminal, with a sentence for each parameter."""
    lines = [f'{found.request.name}: {OUTCOMES[found.exit_code]}']
    for result in found.results:
        lines += ['', result.stage]
        lines += [f'  ! {message}' for message in result.messages]
        refused: dict[str, list[str]] = {}
        said = ''
        for item in result.estimates:
            if item.verdict == 'not estimated':
                refused.setdefault(item.reason, []).append(item.name)
                continue
            lines.append(f'  {item.name:<24} {item.verdict:<10} {value_text(item)}')
            if item.verdict == 'weak' and item.reason != said:
                lines.append(f'  {"":<24} {item.reason}')
            said = item.reason
        for reason, names in refused.items():
            lines.append(f'  not estimated: {", ".join(names)}')
            lines += [] if reason in result.messages else [f'  {"":<24} {reason}']
    return '\n'.join(lines)


def untouched(found: Calibration) -> str:
    """Return a line on the stages of which nothing was estimated, or ''."""
    stages = [
        result.stage
        for result in found.results
        if result.estimates and all(item.value is None for item in result.estimates)
    ]
    if not stages or not found.estimated:
        return ''
    return (
        f'nothing was estimated of {", ".join(stages)}: the camera keeps what it had there. '
        'report.html says why and what to record; --require STAGE makes that fail'
    )
