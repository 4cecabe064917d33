# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Sensor models as files: our YAML with units, and the JSON of the reference implementation."""

from __future__ import annotations

from collections.abc import Iterable
import json
import math
from pathlib import Path
from typing import Any

import torch
import yaml

from diffphyscam_ros.camera.atomic_file import write_file
from diffphyscam_ros.camera.sensor_model import PARAMETERS, SensorModel
from diffphyscam_ros.camera.settings import CameraSettings

SCHEMA = 'diffphyscam_ros/sensor_model/2'
FIRST_SCHEMA = 'diffphyscam_ros/sensor_model/1'

SINCE_2 = frozenset(
    (
        'aperture_blades',
        'aperture_rotation',
        'defocus_occlusion',
        'vignetting_model',
        'vignetting_coefficients',
        'vignetting_map',
        'vignetting_map_columns',
        'rim_radius',
        'rim_distance',
        'chromatic_scale',
        'chromatic_curve',
        'glare_fraction',
        'glare_radius',
        'response_table',
        'read_noise_fixed',
        'dsnu',
        'prnu',
        'hot_pixel_fraction',
        'hot_pixel_current',
        'full_well',
        'black_level',
        'bit_depth',
        'bayer_pattern',
        'demosaic',
        'white_balance',
        'color_matrix',
        'shutter_mode',
        'readout_time',
    )
)
"""Parameters that a file of the first schema does not have; they keep their defaults there."""

SETTINGS_UNITS = {
    'aperture': '1',
    'exposure_time': 's',
    'iso': '1',
    'focal_length': 'm',
    'focus_distance': 'm',
}

EVIDENCE = frozenset(('std', 'verdict', 'reason', 'frames', 'source', 'source_hash'))
"""What an entry may say besides value and unit: where calibration has it from."""

PROVENANCE = 'calibration'
"""The key of a file that may say how it was made; it holds nothing that the camera needs."""

REFERENCE_BODY = (2048, 1536)
"""Columns and rows of the body that the reference's JSON describes, which does not say so."""

REFERENCE_ILLUMINANCE = 1000.0
"""Lux at radiance 1, as published for that body; the JSON leaves it to the scripts."""

_REFERENCE_KEYS: dict[str, set[str]] = {
    '': {
        'hFOV',
        'focal_length',
        'pixel_size',
        'rgb_QEs',
        'gain_params',
        'noise_params',
        'distort_params',
    },
    'gain_params': {
        'defocus_gain',
        'defocus_bias',
        'vignet_gain',
        'aggregator_gain',
        'expsr2dv_gains',
        'expsr2dv_biases',
        'expsr2dv_gamma',
        'expsr2dv_crf_type',
        'max_CoC',
    },
    'noise_params': {'dark_currents', 'noise_gains', 'STD_reads', 'FPN_rng_seed'},
}


def load(path: Path) -> SensorModel:
    """Read a sensor model; a file named .json, or starting with '{', is the reference's JSON.

    :raises ValueError: naming the file and what is wrong in it.
    :raises OSError: where the file cannot be read.
    """
    text = path.read_text(encoding='utf-8')
    as_json = path.suffix.lower() == '.json' or text.lstrip().startswith('{')
    try:
        return from_reference_json(text, path.stem) if as_json else from_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f'{path}: {error}') from error


def save(sensor: SensorModel, path: Path) -> None:
    """Write a sensor model; readers see the old file or the whole new one, never a part.

    :raises OSError: where the folder cannot be written.
    """
    write_file(path, to_yaml(sensor))


def to_yaml(sensor: SensorModel) -> str:
    """Return the YAML text of a sensor model: one line a parameter, with unit and meaning."""
    lines = [f'schema: {SCHEMA}', f'name: {json.dumps(sensor.name)}', 'parameters:']
    for name, parameter in PARAMETERS.items():
        value = number_text(getattr(sensor, name))
        if parameter.numeric:
            value = f'{{value: {value}, unit: {unit_text(parameter.unit)}}}'
        lines.append(f'  {name}: {value}  # {parameter.about}')
    lines.append('settings:  # nominal; what the camera starts with')
    for name, unit in SETTINGS_UNITS.items():
        value = number_text(getattr(sensor.settings, name))
        lines.append(f'  {name}: {{value: {value}, unit: {unit_text(unit)}}}')
    return '\n'.join(lines) + '\n'


def from_yaml(text: str) -> SensorModel:
    """Build a sensor model from YAML text.

    :raises ValueError: naming every unknown and missing key, or a wrong unit or value.
    """
    content = yaml.safe_load(text)
    found = content.get('schema') if isinstance(content, dict) else None
    if found not in (SCHEMA, FIRST_SCHEMA):
        raise ValueError(
            f'schema is {found!r}: this version reads {SCHEMA!r} and {FIRST_SCHEMA!r}'
        )
    names = [name for name in PARAMETERS if found == SCHEMA or name not in SINCE_2]
    keys = {'schema', 'name', 'parameters', 'settings'}
    _check_keys(content, keys, 'the file', frozenset((PROVENANCE,)))
    _check_keys(content['parameters'], set(names), 'parameters')
    _check_keys(content['settings'], set(SETTINGS_UNITS), 'settings')
    if not isinstance(content['name'], str):
        raise ValueError(f'name is {content["name"]!r}: must be a text')
    values = {
        name: _read(
            name,
            content['parameters'][name],
            PARAMETERS[name].unit if PARAMETERS[name].numeric else None,
        )
        for name in names
    }
    settings = {
        name: _read(name, content['settings'][name], unit) for name, unit in SETTINGS_UNITS.items()
    }
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f'{name} is {value!r}: must be a number [{SETTINGS_UNITS[name]}]')
    return SensorModel(
        name=content['name'],
        settings=CameraSettings(**{name: float(value) for name, value in settings.items()}),
        **values,
    )


def from_reference_json(
    text: str,
    name: str,
    image_size: tuple[int, int] = REFERENCE_BODY,
    scene_illuminance: float = REFERENCE_ILLUMINANCE,
) -> SensorModel:
    """Build a sensor model from the reference implementation's JSON.

    Its horizontal field of view (degrees) sets K's focal length, W / (2 tan(hFOV / 2)), which
    differs from f/C. Its distortion (k1, k2, k3) becomes plumb_bob (k1, k2, 0, 0, k3). It holds no
    settings: f/4, 0.256 s and ISO 100, its scripts' choice, focused at infinity, are taken.

    :param image_size: columns and rows that the field of view belongs to.
    :param scene_illuminance: lux at radiance 1.
    :raises ValueError: naming every unknown and missing key, or a bad value.
    """
    content = json.loads(text)
    _check_keys(content, _REFERENCE_KEYS[''], 'the file')
    gains, noise = content['gain_params'], content['noise_params']
    _check_keys(gains, _REFERENCE_KEYS['gain_params'], 'gain_params')
    _check_keys(noise, _REFERENCE_KEYS['noise_params'], 'noise_params')
    fov, radial = content['hFOV'], content['distort_params']
    if not isinstance(fov, (int, float)) or not 0 < fov < 180:
        raise ValueError(f'hFOV is {fov!r}: must be degrees in (0, 180)')
    if not isinstance(radial, list) or len(radial) != 3:
        raise ValueError(f'distort_params is {radial!r}: must be [k1, k2, k3]')
    width, height = image_size
    focal_length, pixel_size = content['focal_length'], content['pixel_size']
    for key, value in (('focal_length', focal_length), ('pixel_size', pixel_size)):
        if not isinstance(value, (int, float)) or not value > 0:
            raise ValueError(f'{key} is {value!r}: must be a number > 0 [m]')
    focal_pixels = width / (2 * math.tan(math.radians(fov) / 2))
    scale = focal_pixels * pixel_size / focal_length
    return SensorModel(
        name=name,
        image_width=width,
        image_height=height,
        pixel_size=pixel_size,
        focal_scale=(scale, scale),
        quantum_efficiency=content['rgb_QEs'],
        scene_illuminance=scene_illuminance,
        defocus_gain=gains['defocus_gain'],
        defocus_dead_zone=gains['defocus_bias'],
        max_coc=gains['max_CoC'],
        defocus_occlusion=False,
        vignetting_gain=gains['vignet_gain'],
        aggregator_gain=gains['aggregator_gain'],
        response_type=gains['expsr2dv_crf_type'],
        response_gains=gains['expsr2dv_gains'],
        response_biases=gains['expsr2dv_biases'],
        response_gamma=gains['expsr2dv_gamma'],
        dark_current=noise['dark_currents'],
        shot_noise_gain=noise['noise_gains'],
        read_noise=noise['STD_reads'],
        read_noise_fixed=True,
        fixed_pattern_seed=noise['FPN_rng_seed'],
        distortion_coefficients=(radial[0], radial[1], 0.0, 0.0, radial[2]),
        settings=CameraSettings(4.0, 0.256, 100.0, focal_length, math.inf),
    )


def _check_keys(
    content: Any, expected: set[str], where: str, optional: frozenset[str] = frozenset()
) -> None:
    """Refuse anything but a mapping with the expected and maybe the optional keys."""
    if not isinstance(content, dict):
        raise ValueError(f'{where} is {content!r}: must be a mapping')
    problems = []
    for word, keys in (
        ('unknown', set(content) - expected - optional),
        ('missing', expected - set(content)),
    ):
        if keys:
            problems.append(f'{word} keys {", ".join(sorted(map(str, keys)))}')
    if problems:
        raise ValueError(f'{where} has {" and ".join(problems)}')


def _read(name: str, entry: Any, unit: str | None) -> Any:
    """Return the value of one entry: {value, unit} where a unit is due, else a plain word.

    Either may have ``EVIDENCE`` beside it, a word then as {value}.
    """
    if unit is None:
        if isinstance(entry, dict):
            _check_keys(entry, {'value'}, name, EVIDENCE)
            return entry['value']
        return entry
    if not isinstance(entry, dict):
        raise ValueError(f'{name} is {entry!r}: must be {{value: ..., unit: {unit}}}')
    _check_keys(entry, {'value', 'unit'}, name, EVIDENCE)
    if str(entry['unit']) != unit:
        raise ValueError(f'{name} has unit {entry["unit"]!r}: must be {unit!r}; convert the value')
    return _numbers(entry['value'])


def _numbers(value: Any) -> Any:
    """Return numbers also where YAML 1.1 takes them for text, as in 1e8 without a point."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def number_text(value: Any) -> str:
    """Return a field's value as YAML that reads back to the very same number."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().tolist()
    if value is None:
        return 'null'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f'[{", ".join(number_text(item) for item in value)}]'
    if isinstance(value, float):
        if math.isinf(value):
            return '.inf'
        text = repr(value)
        # YAML 1.1 knows no 1e-06: the mantissa needs its point.
        return text.replace('e', '.0e') if 'e' in text and '.' not in text else text
    return str(value)


def unit_text(unit: str) -> str:
    """Return a unit as YAML that reads back as a text."""
    return f"'{unit}'" if unit.isdigit() else unit
