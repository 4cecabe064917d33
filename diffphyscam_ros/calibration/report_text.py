# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Numbers with their uncertainty, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
import math

from diffphyscam_ros.calibration.types import Estimate
from diffphyscam_ros.camera.sensor_model import PARAMETERS

SHOWN = 8
"""Values of a list that are shown; of a longer one the count and the range are."""


def number_with_std(value: float, std: float | None) -> str:
    """Return a number rounded to two digits of its standard deviation, and that.

    >>> number_with_std(531.2345, 0.1234)
    '531.23 ± 0.12'
    """
    if not math.isfinite(value):
        return '∞' if value > 0 else str(value)
    if std is None or not math.isfinite(std) or std <= 0.0:
        return f'{value:.6g}'
    exponent = math.floor(math.log10(std))
    size = math.floor(math.log10(abs(value))) if value else exponent
    if max(size, exponent) >= 6 or max(size, exponent) < -4:
        shift = max(size, exponent)
        digits = max(shift - exponent + 1, 0)
        scale = 10.0**shift
        return f'({value / scale:.{digits}f} ± {std / scale:.{digits}f})e{shift}'
    digits = max(1 - exponent, 0)
    return f'{value:.{digits}f} ± {std:.{digits}f}'


_UNITS = (('sqrt(e-)', '√e⁻'), ('e-', 'e⁻'), ('m2', 'm²'), ('.', '·'))


def unit_text(unit: str) -> str:
    """Return a unit as people write it.

    >>> unit_text('e-/(lux.m2.s)')
    'e⁻/(lux·m²·s)'
    """
    for plain, written in _UNITS:
        unit = unit.replace(plain, written)
    return unit


def value_parts(item: Estimate) -> list[str]:
    """Return the values of an estimate as texts: one, or one for each of a short list."""
    value, std = item.value, item.std
    if value is None:
        return ['–']
    if isinstance(value, str):
        return [value]
    if item.name in PARAMETERS and PARAMETERS[item.name].flag:
        return ['true' if value else 'false']
    if isinstance(value, (int, float)):
        return [number_with_std(float(value), std if isinstance(std, (int, float)) else None)]
    values = list(value)
    stds: Sequence[float | None] = (
        list(std) if isinstance(std, (list, tuple)) else [None] * len(values)
    )
    if len(values) > SHOWN:
        return [f'{len(values)} values from {min(values):.4g} to {max(values):.4g}']
    return [number_with_std(float(v), s) for v, s in zip(values, stds, strict=True)]


def value_text(item: Estimate) -> str:
    """Return an estimate's value, its uncertainty and unit in one line."""
    unit = '' if item.unit in ('', '1') or item.value is None else f' {item.unit}'
    return ', '.join(value_parts(item)) + unit
