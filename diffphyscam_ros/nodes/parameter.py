# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One parameter: its type, unit and range, and the words with which it refuses a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

Value = bool | int | float | str | tuple[float, ...] | tuple[str, ...]


class ParameterError(ValueError):
    """A value that a parameter cannot take: name, value, what is allowed, and the remedy."""


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    :param kind: bool, integer, double, string, double_array or string_array.
    :param default: None where it comes from the calibration file.
    :param unit: '' for words, switches and counts.
    :param low: smallest allowed number, of each element in an array.
    :param open_low: ``low`` itself is not allowed.
    :param length: how many numbers an array has; None for any count.
    :param choices: the allowed words.
    :param infinite: ``inf`` is allowed.
    :param read_only: only at the start.
    :param aliases: other names of the same parameter, as camera drivers have them.
    :param sensor_field: the field of SensorModel that it sets.
    :param setting: the field of CameraSettings that it sets.
    """

    name: str
    kind: str
    default: Value | None
    unit: str
    description: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    length: int | None = None
    choices: tuple[str, ...] = ()
    infinite: bool = False
    read_only: bool = False
    aliases: tuple[str, ...] = ()
    sensor_field: str = ''
    setting: str = ''

    def allowed(self) -> str:
        """Return in words what the parameter takes."""
        unit = f' {self.unit}' if self.unit else ''
        if self.kind == 'bool':
            return 'true or false'
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        if self.kind == 'string':
            return 'a text'
        if self.kind == 'string_array':
            return 'texts'
        words = 'an integer' if self.kind == 'integer' else 'a number'
        if self.kind == 'double_array':
            words = 'numbers' if self.length is None else f'{self.length} numbers'
        limits = []
        if self.low > -math.inf:
            limits.append(f'{"above" if self.open_low else "from"} {self.low:.10g}')
        if self.high < math.inf:
            limits.append(f'up to {self.high:.10g}')
        elif self.infinite:
            limits.append('up to inf')
        return ' '.join([words, *limits]) + unit

    def check(self, value: Any) -> Value:
        """Return a value in the type of this parameter.

        An integer is taken where a number is asked for; a bool is no number, NaN is never taken.

        :raises ParameterError: where the value is not allowed.
        """
        if self.kind == 'bool':
            good = isinstance(value, bool)
        elif self.kind == 'string':
            if value is False and 'Off' in self.choices:
                value = 'Off'  # YAML takes the bare word for a bool
            good = isinstance(value, str) and (not self.choices or value in self.choices)
        elif self.kind == 'double_array':
            return self._array(value)
        elif self.kind == 'string_array':
            return self._texts(value)
        else:
            return self._number(value)
        if not good:
            raise self.error(value)
        checked: Value = value
        return checked

    def _number(self, value: Any) -> int | float:
        if isinstance(value, str) and self.infinite and value.strip('+.').lower() == 'inf':
            value = math.inf  # the command line has no other way to say it
        if self.kind == 'integer':
            good = isinstance(value, int) and not isinstance(value, bool)
        else:
            good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not self._in_range(value):
            raise self.error(value)
        return value if self.kind == 'integer' else float(value)

    def _array(self, value: Any) -> tuple[float, ...]:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            try:  # array.array, ndarray
                value = value.tolist()  # type: ignore[union-attr]
            except AttributeError:
                raise self.error(value) from None
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
        fits = self.length is None or len(value) == self.length
        if not numbers or not fits or not all(map(self._in_range, value)):
            raise self.error(list(value))
        return tuple(float(v) for v in value)

    def _texts(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [value]  # as the command line gives a list of one
        good = isinstance(value, Sequence) and all(isinstance(item, str) for item in value)
        if not good or isinstance(value, bytes):
            raise self.error(value)
        return tuple(value)

    def _in_range(self, value: float) -> bool:
        if math.isinf(value):
            return self.infinite and value > 0
        above = value > self.low if self.open_low else value >= self.low
        return above and value <= self.high  # NaN fails both

    def error(self, value: Any, remedy: str = '') -> ParameterError:
        """Return the error for a value that is not allowed."""
        text = f'{self.name} = {value!r}: must be {self.allowed()}'
        return ParameterError(f'{text}. {remedy}' if remedy else text)
