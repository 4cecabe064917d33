# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The report as numbers: report.json, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
import json
import math
from typing import Any

import numpy as np

from diffphyscam_ros.calibration.calibration_file import tool_version
from diffphyscam_ros.calibration.pipeline import Calibration

SCHEMA = 'diffphyscam_ros/calibration_report/1'

OUTCOMES = {0: 'passed', 1: 'below the threshold', 3: 'nothing could be estimated'}
"""What the exit codes mean, in words."""


def report_data(found: Calibration) -> dict[str, Any]:
    """Return all of a calibration as objects that JSON can hold."""
    request = found.request
    data = {
        'schema': SCHEMA,
        'tool': tool_version(),
        'name': request.name,
        'outcome': OUTCOMES[found.exit_code],
        'exit_code': found.exit_code,
        'below': list(found.below),
        'base': found.base,
        'image_size': [found.sensor.image_width, found.sensor.image_height],
        'target': None if request.target is None else request.target.text,
        'thresholds': asdict(request.thresholds),
        'bags': [asdict(bag) for bag in found.bags],
        'messages': list(found.messages),
        'stages': [
            {
                'stage': result.stage,
                'estimates': [asdict(item) for item in result.estimates],
                'messages': list(result.messages),
                'correlation': None
                if result.correlation is None
                else {'names': result.correlation[0], 'matrix': result.correlation[1]},
                'plots': dict(result.plots),
            }
            for result in found.results
        ],
        'audit': found.audit.json(),
        'pictures': [
            {key: value for key, value in picture.items() if not key.endswith('_png')}
            for picture in found.pictures
        ],
    }
    plain: dict[str, Any] = _plain(data)
    return plain


def report_json(found: Calibration) -> str:
    """Return the text of report.json: strict JSON, infinity and NaN as words."""
    return json.dumps(report_data(found), indent=1, allow_nan=False) + '\n'


def _plain(value: Any) -> Any:
    """Return a value made of what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
