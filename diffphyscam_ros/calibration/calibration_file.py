# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The result as a file: a sensor model in which every number says where it is from.

``<camera>.calibration.yaml`` is our sensor model YAML with more keys beside each value, so
``SensorModel.load`` and ``camera_node calibration_file:=`` read it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
import importlib.metadata
import json
from typing import Any
from xml.etree import ElementTree

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.types import Estimate
from diffphyscam_ros.camera.sensor_model import PARAMETERS, SensorModel
from diffphyscam_ros.camera.sensor_model_io import (
    number_text,
    PROVENANCE,
    SCHEMA,
    SETTINGS_UNITS,
    unit_text,
)
from diffphyscam_ros.resources import find_resource

NAME = 'diffphyscam_ros'
GIVEN = 'given'
"""The verdict of a parameter that no recording spoke of."""


@dataclass(frozen=True)
class BagRecord:
    """A bag that a calibration rests on: its name, its role if it was given one, its hash."""

    name: str
    sha256: str
    frames: int = 0
    role: str = ''


def tool_version() -> str:
    """Return name and version of this package, installed or not."""
    try:
        version = importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        manifest = ElementTree.parse(find_resource('package.xml')).getroot()
        version = manifest.findtext('version') or 'unknown'
    return f'{NAME} {version}'


def latest(estimates: Iterable[Estimate]) -> dict[str, Estimate]:
    """Return what holds of each parameter: the last estimate; a refusal displaces none."""
    found: dict[str, Estimate] = {}
    for item in estimates:
        if item.verdict != 'not estimated' or item.name not in found:
            found[item.name] = item
    return found


def sensor_with(sensor: SensorModel, estimates: Iterable[Estimate]) -> SensorModel:
    """Return the sensor model with what was estimated; of two of a name the later counts.

    What was not estimated stays as it was. Names of ``CameraSettings`` go to the settings.

    :raises CalibrationError: for a name or a value that the sensor model does not have.
    """
    fields: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for item in estimates:
        if item.verdict == 'not estimated':
            continue
        if item.name in PARAMETERS:
            fields[item.name] = item.value
        elif item.name in SETTINGS_UNITS:
            settings[item.name] = item.value
        else:
            raise CalibrationError(
                'estimate', item.name, allowed='a field of SensorModel or CameraSettings'
            )
    if settings:
        fields['settings'] = replace(sensor.settings, **settings)
    try:
        return replace(sensor, **fields)
    except ValueError as error:
        raise CalibrationError(
            f'the estimates do not make a camera ({error})',
            remedy='record again as docs/calibrate_your_camera.md says',
        ) from error


def calibration_yaml(
    sensor: SensorModel,
    estimates: Sequence[Estimate],
    bags: Sequence[BagRecord],
    *,
    base: str = '',
    about: Mapping[str, Any] | None = None,
) -> str:
    """Return the text of a calibration file.

    :param sensor: the result, as from ``sensor_with``.
    :param estimates: of all stages, in their order.
    :param bags: all that were read.
    :param base: name of the sensor model that the values without estimate are from.
    :param about: more to say under ``calibration``: plain words, numbers, lists.
    """
    found = latest(estimates)
    hashes = {bag.name: bag.sha256 for bag in bags}
    lines = [
        f'# Made by {tool_version()}. std is one standard deviation. verdict: estimated, weak',
        '# (little to go by), not estimated (the recording did not allow it; reason says why; the',
        '# value is that of the base), given (from the base).',
        f'schema: {SCHEMA}',
        f'name: {json.dumps(sensor.name)}',
        f'{PROVENANCE}:',
        f'  tool: {json.dumps(tool_version())}',
        f'  base: {json.dumps(base)}',
        *(f'  {key}: {json.dumps(value)}' for key, value in (about or {}).items()),
        '  bags:',
    ]
    for bag in bags:
        lines.append(f'  - name: {json.dumps(bag.name)}')
        lines.append(f'    sha256: {bag.sha256}')
        lines.append(f'    frames: {bag.frames}')
        if bag.role:
            lines.append(f'    role: {bag.role}')
    lines.append('parameters:')
    for name, parameter in PARAMETERS.items():
        lines.append(f'  {name}:  # {parameter.about}')
        lines.append(f'    value: {number_text(getattr(sensor, name))}')
        if parameter.numeric:
            lines.append(f'    unit: {unit_text(parameter.unit)}')
        if name in ('image_width', 'image_height') and name not in found:
            lines += [f'    verdict: {GIVEN}', '    reason: "the size of the recorded pictures"']
        else:
            lines += _evidence(found.get(name), hashes, base)
    lines.append('settings:  # nominal; what the camera starts with')
    for name, unit in SETTINGS_UNITS.items():
        value = number_text(getattr(sensor.settings, name))
        lines.append(f'  {name}:')
        lines.append(f'    value: {value}')
        lines.append(f'    unit: {unit_text(unit)}')
        lines += _evidence(found.get(name), hashes, base)
    return '\n'.join(lines) + '\n'


def given_reason(base: str) -> str:
    """Return the sentence for a parameter that no stage spoke of."""
    return f'not part of this calibration: as in {base or "the default sensor model"}'


def _evidence(item: Estimate | None, hashes: Mapping[str, str], base: str) -> list[str]:
    """Return the lines that say where a value is from."""
    if item is None:
        return [f'    verdict: {GIVEN}', f'    reason: {json.dumps(given_reason(base))}']
    lines = [f'    verdict: {item.verdict}', f'    reason: {json.dumps(item.reason)}']
    if item.std is not None:
        lines.append(f'    std: {number_text(item.std)}')
    if item.verdict != 'not estimated':
        lines.append(f'    frames: {item.frames}')
        lines.append(f'    source: {json.dumps(item.source)}')
        used = [name.strip() for name in item.source.split(',')]
        known = {name: hashes[name] for name in used if name in hashes}
        if known:
            lines.append(f'    source_hash: {json.dumps(known)}')
    return lines
