# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From a recorded bag to the parameters of a camera. No ROS needed."""

from __future__ import annotations

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.recording import Recording
from diffphyscam_ros.calibration.types import (
    Estimate,
    FrameSettings,
    RecordedFrame,
    StageResult,
)

__all__ = [
    'CalibrationError',
    'Estimate',
    'FrameSettings',
    'RecordedFrame',
    'Recording',
    'StageResult',
]
