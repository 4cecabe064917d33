# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The entries of ``lights`` in a scene file."""

from __future__ import annotations

import math

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.photometry import photometric_scale, solid_angle_of_spot
from diffphyscam_ros.scene.types import DirectionalLight, Light, PointLight, SpotLight
from diffphyscam_ros.scene.yaml_fields import Fields, Triple

_KINDS = ('directional', 'point', 'spot')
_INTENSITIES = ('intensity', 'candela', 'lumen')


def read_light(entry: Fields, nominal_illuminance: float) -> Light:
    """Read one light.

    :param nominal_illuminance: lux that make radiance 1.
    :raises SceneError: for what is missing, unknown or out of range, naming the place.
    """
    entry.allow(_KINDS)
    kind = entry.exactly_one(_KINDS)
    light = entry.fields(kind)
    unit = photometric_scale(nominal_illuminance)
    if kind == 'directional':
        light.allow(('direction', 'irradiance', 'lux', 'angle', 'shadows'))
        units = {'irradiance': 1.0, 'lux': unit}
        return DirectionalLight(
            _direction(light),
            _strength(light, units),
            light.number('angle', 0.0, 0.0, math.pi / 2.0),
            light.flag('shadows', True),
        )
    radius, shadows = light.number('radius', 0.0, low=0.0), light.flag('shadows', True)
    if kind == 'point':
        light.allow(('position', *_INTENSITIES, 'radius', 'shadows'))
        units = {'intensity': 1.0, 'candela': unit, 'lumen': unit / (4.0 * math.pi)}
        return PointLight(_position(light), _strength(light, units), radius, shadows)
    light.allow(
        ('position', 'direction', *_INTENSITIES, 'inner_angle', 'outer_angle', 'radius', 'shadows')
    )
    inner = light.number('inner_angle', 0.0, 0.0, math.pi / 2.0)
    outer = light.number('outer_angle', math.pi / 4.0, 0.0, math.pi / 2.0)
    if not inner < outer:
        raise SceneError(f'{light.at("inner_angle")} = {inner}: must be below outer_angle {outer}')
    flux = unit / solid_angle_of_spot(inner, outer)
    strength = _strength(light, {'intensity': 1.0, 'candela': unit, 'lumen': flux})
    return SpotLight(_position(light), _direction(light), strength, inner, outer, radius, shadows)


def _position(light: Fields) -> Triple:
    x, y, z = light.vector('position')
    return x, y, z


def _direction(light: Fields) -> Triple:
    x, y, z = light.vector('direction')
    if x == y == z == 0:
        raise SceneError(f'{light.at("direction")} = [0, 0, 0]: must have a length')
    return x, y, z


def _strength(light: Fields, units: dict[str, float]) -> Triple:
    """Return the strength in our units, stated in exactly one of some."""
    present = [name for name in units if name in light]
    if not present:
        first, *others = units
        raise SceneError(f'{light.at(first)} is missing (or {" or ".join(others)} instead)')
    name = light.exactly_one(tuple(units))
    red, green, blue = light.triple(name)
    scale = units[name]
    return red * scale, green * scale, blue * scale
