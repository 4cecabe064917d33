# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How automatic control and parameters meet: what is refused, and what the camera sets itself."""

from __future__ import annotations

from collections.abc import Mapping
import copy
import dataclasses
from typing import cast, TYPE_CHECKING

from diffphyscam_ros.camera.arrays import Colour
from diffphyscam_ros.camera.auto_white_balance import (
    Gains,
    gains_of_temperature,
    LOWEST_TEMPERATURE,
)
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.nodes.automatic_parameters import OFF
from diffphyscam_ros.nodes.parameter import ParameterError, Value
from diffphyscam_ros.nodes.units import gain_from_iso, microseconds_from_seconds

if TYPE_CHECKING:
    from diffphyscam_ros.nodes.camera_state import Configuration

GOVERNED = {
    'exposure_auto': ('auto exposure', ('exposure_time', 'gain', 'iso')),
    'focus_auto': ('autofocus', ('focus_distance',)),
    'white_balance_auto': (
        'automatic white balance',
        ('white_balance', 'white_balance_temperature'),
    ),
}
"""What each mode governs: what it is called, and the parameters."""

TEMPERATURE = 'white_balance_temperature'

_PAIRS = (('gain_min', 'gain_max'), ('autofocus.near_limit', 'autofocus.far_limit'))

_KEPT = ('calibration_id', 'stages', 'default_pose')
"""What a configuration has worked out that no automatic change touches."""


def check(
    current: Mapping[str, Value] | None,
    values: Mapping[str, Value],
    checked: dict[str, Value],
    given: Mapping[str, object],
) -> None:
    """Refuse changes that automatic control would undo; turn a temperature into gains.

    A mode that the same call turns off, or only now turns on, refuses nothing: then the value is
    where it starts from.

    :param current: values before; None at the start.
    :param values: those after.
    :param checked: the changes; what follows from them is added.
    :param given: the changes as they were asked for.
    """
    for mode, (words, names) in GOVERNED.items():
        if current is None or current[mode] == OFF or values[mode] == OFF:
            continue
        for name in names:
            if name not in given or (name == TEMPERATURE and checked[name] == 0.0):
                continue
            raise ParameterError(
                f'{name} = {given[name]!r}: {words} is running ({mode} = {values[mode]}) and '
                f'would undo it. Set {mode} to {OFF} before, or in the same call'
            )
    shortest, longest = values['exposure_time_min'], values['exposure_time_max']
    if longest and cast(float, shortest) > cast(float, longest):
        raise ParameterError(
            f'exposure_time_min = {shortest} µs: must be at most exposure_time_max, {longest} µs'
        )
    for low, high in _PAIRS:
        if cast(float, values[low]) > cast(float, values[high]):
            raise ParameterError(f'{low} = {values[low]}: must be at most {high}, {values[high]}')
    kelvin = cast(float, checked.get(TEMPERATURE, 0.0))
    if kelvin == 0.0:
        return
    if kelvin < LOWEST_TEMPERATURE:
        raise ParameterError(
            f'{TEMPERATURE} = {kelvin} K: must be from {LOWEST_TEMPERATURE:g} K, or 0 for none'
        )
    gains = gains_of_temperature(kelvin)
    if checked.get('white_balance', gains) != gains:
        raise ParameterError(
            f'{TEMPERATURE} = {kelvin} K and white_balance = {checked["white_balance"]} '
            'contradict each other: set one of them'
        )
    checked['white_balance'] = gains


def temperature(
    values: Mapping[str, Value], checked: Mapping[str, Value], balance: Colour
) -> dict[str, Value]:
    """Return the colour temperature that a white balance was made from, 0 for none."""
    kelvin = cast(float, checked.get(TEMPERATURE) or values[TEMPERATURE])
    same = kelvin > 0.0 and gains_of_temperature(kelvin) == tuple(float(b) for b in balance)
    return {TEMPERATURE: kelvin if same else 0.0}


def with_settings(
    current: Configuration, settings: CameraSettings, balance: Gains
) -> Configuration:
    """Return a configuration with what the camera has found itself; much faster than ``resolve``.

    :param settings: only exposure time, ISO and focus distance may differ.
    """
    sensor = copy.copy(current.sensor)  # frozen, and every field of it has been checked
    object.__setattr__(sensor, 'settings', settings)
    object.__setattr__(sensor, 'white_balance', balance)
    exposure, iso = float(settings.exposure_time), float(settings.iso)
    values = dict(current.values)
    values |= {
        'exposure_time': round(microseconds_from_seconds(exposure), 6),
        'iso': iso,
        'gain': round(gain_from_iso(iso), 9),
        'focus_distance': float(settings.focus_distance),
        'white_balance': balance,
    }
    values |= temperature(values, {}, balance)
    new = dataclasses.replace(current, values=values, sensor=sensor)
    for name in _KEPT:
        if name in current.__dict__:
            new.__dict__[name] = current.__dict__[name]
    if 'published_calibration' in current.__dict__ and not sensor.focus_breathing:
        new.__dict__['published_calibration'] = current.__dict__['published_calibration']
    return new
