# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor's stages on the CPU with gradients: one kernel and its adjoint, for one picture."""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.plain import plain_copies
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.triton_path import KINDS, read_out_with


def serves(
    stages: tuple[str, ...], image: torch.Tensor, settings: CameraSettings, sensor: SensorModel
) -> bool:
    """Return whether the kernel can read out this picture."""
    return (
        image.device.type == 'cpu'
        and image.dtype == torch.float32
        and image.ndim == 3
        and image.numel() > 0
        and 'response' in stages
        and sensor.response_type in KINDS
        and len(plain_copies(settings)) == len(plain_copies(sensor)) == 1
        and not _is_row(settings, sensor)
    )


def _is_row(*parts: object) -> bool:
    """Return whether a field is a batch of one, which makes a batch of one of the picture."""
    rows = [
        value
        for part in parts
        for name, value in vars(part).items()
        if isinstance(value, torch.Tensor) and value.ndim > _ranks(part, name)
    ]
    return bool(rows)


def _ranks(part: object, name: str) -> int:
    """Return the dimensions of a field that is no batch."""
    from diffphyscam_ros.camera.sensor_model import PARAMETERS

    parameter = PARAMETERS.get(name) if isinstance(part, SensorModel) else None
    return 1 if parameter is not None and parameter.size != 1 else 0


def read_out(
    image: torch.Tensor,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Apply the stages of the sensor; the equal of ``stages.read_out`` within float32 rounding."""
    from diffphyscam_ros.kernels.sensor_adjoint import read_out_adjoint

    operands = (image, settings, sensor, stages, seed, frame_number, soft_clamp)
    return read_out_with(read_out_adjoint, *operands)
