# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage "output": what darkness is in pictures that are no raw mosaic.

The stages measure darkness as ``black_level``. The camera model takes that off again before it
gives out a picture of colours or greys, as raw converters do; only its raw mosaic keeps it. A
camera whose finished pictures are not black in the dark has an offset in its response instead:
b + (1 − b)·v is the same curve with other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.calibration_file import latest
from diffphyscam_ros.calibration.types import Estimate, StageResult
from diffphyscam_ros.camera.sensor_model import SensorModel

MESSAGE = (
    'the recorded pictures keep their level of darkness, so that of the simulated camera is part '
    'of its response and not of black_level, which would be taken off'
)


def darkness_in_response(
    estimates: Sequence[Estimate], sensor: SensorModel, encoding: str
) -> StageResult | None:
    """Return the estimates with darkness in the response, or None where there is nothing to do.

    :param estimates: of all stages.
    :param sensor: with all of them.
    :param encoding: of the recording.
    """
    found = latest(estimates)
    black = found.get('black_level')
    if encoding.startswith('bayer_') or black is None or black.value is None:
        return None
    level, rest = float(sensor.black_level), 1.0 - float(sensor.black_level)  # type: ignore[arg-type]
    if level == 0.0 or sensor.response_type not in ('linear', 'table'):
        return None
    reason = f'{black.reason}; {MESSAGE}'
    moved = [replace(black, value=0.0, std=0.0, reason=MESSAGE)]
    if sensor.response_type == 'table':
        table = level + rest * _numbers(sensor.response_table)
        source = found.get('response_table', black)
        spread = _numbers(source.std if source.value is not None and source.std else 0.0) * rest
        spread = np.broadcast_to(spread, table.shape)
        moved.append(
            replace(source, name='response_table', value=_tuple(table), std=_tuple(spread),
                    unit='1', reason=f'{source.reason}; {MESSAGE}')
        )  # fmt: skip
        return StageResult('output', tuple(moved), (MESSAGE,))
    biases = level + rest * _numbers(sensor.response_biases)
    std = float(black.std) if isinstance(black.std, (int, float)) else 0.0
    moved.append(
        replace(black, name='response_biases', value=_tuple(biases), std=(std,) * 3, unit='1',
                reason=reason)
    )  # fmt: skip
    gains = found.get('response_gains')
    if gains is not None and gains.value is not None:
        value = _tuple(_numbers(sensor.response_gains) * rest)
        moved.append(replace(gains, value=value, std=_tuple(_numbers(gains.std) * rest)))
    return StageResult('output', tuple(moved), (MESSAGE,))


def _numbers(value: object) -> npt.NDArray[np.float64]:
    return np.asarray(value, np.float64)


def _tuple(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
