# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor's stages on CUDA, where Triton is there: one kernel, differentiable."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffphyscam_ros.camera.arrays import is_zero, LARGEST, per_channel, per_image
from diffphyscam_ros.camera.color import correct_color, is_neutral
from diffphyscam_ros.camera.exposure import exposure_factor
from diffphyscam_ros.camera.mosaic import mosaic
from diffphyscam_ros.camera.noise import (
    DSNU_STREAM,
    fixed_deviates,
    hot_map,
    PATTERN_STREAM,
    PRNU_STREAM,
    SHOT_STREAM,
    WORD,
)
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.triton_modules import triton_module

KINDS = {'linear': 0, 'gamma': 1, 'sigmoid': 2}
_NO_LIMIT = 3e38

Kernel = Callable[..., torch.Tensor]
"""Takes what ``kernels.triton_sensor.read_out_triton`` takes."""


def serves(stages: tuple[str, ...], image: torch.Tensor, sensor: SensorModel) -> bool:
    """Return whether the kernel can read out this picture."""
    return (
        image.is_cuda
        and image.dtype == torch.float32
        and image.ndim in (3, 4)
        and image.numel() > 0
        and 'response' in stages
        and sensor.response_type in KINDS
        and not any(_is_batch(getattr(sensor, name)) for name in ('prnu', 'dsnu', 'read_noise'))
        and triton_module('triton_sensor') is not None
    )


def _is_batch(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 1


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
    kernels = triton_module('triton_sensor')
    if kernels is None:
        raise ImportError('triton is not installed: pip install triton')
    run: Kernel = kernels.read_out_triton
    return read_out_with(run, image, settings, sensor, stages, seed, frame_number, soft_clamp)


def read_out_with(
    run: Kernel,
    image: torch.Tensor,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Apply the stages of the sensor with a kernel that takes what ``read_out_triton`` takes."""
    light = image if image.ndim == 4 else image[None]
    table = _coefficients(light, settings, sensor, stages)
    single = image.ndim == 3 and len(table) == 1
    batch = max(len(light), len(table))
    light, table = light.expand(batch, -1, -1, -1), table.expand(batch, -1)
    noisy = 'noise' in stages
    temporal = not (sensor.read_noise_fixed or is_zero(sensor.read_noise))
    shaken = noisy and (temporal or not is_zero(sensor.shot_noise_gain))
    values = run(
        light,
        table,
        KINDS[sensor.response_type],
        soft_clamp,
        2**sensor.bit_depth - 1 if 'quantization' in stages and sensor.bit_depth else 0,
        temporal,
        (frame_number & WORD, seed & WORD, SHOT_STREAM) if shaken else None,
        *(_patterns(light, settings, sensor) if noisy else (None, None, None)),
    )
    if single:
        values = values[0]
    pattern = sensor.bayer_pattern if 'mosaic' in stages else 'none'
    raw = None
    if pattern != 'none':
        values = mosaic(values, pattern)
        raw = values[..., 0]
    colors = sensor.black_level, sensor.white_balance, sensor.color_matrix
    if 'color' in stages and not (pattern == 'none' and is_neutral(*colors)):
        values = correct_color(values, *colors, pattern, sensor.demosaic, soft_clamp)
    return values, raw


def _coefficients(
    light: torch.Tensor, settings: CameraSettings, sensor: SensorModel, stages: tuple[str, ...]
) -> torch.Tensor:
    """Return the kernel's table, (B or 1, 22): see ``triton_sensor.COEFFICIENTS``."""

    def row(value: object, count: int) -> torch.Tensor:
        given = torch.as_tensor(value, dtype=torch.float32, device=light.device)
        if count == 1:
            return given.reshape(-1, 1)
        return given.reshape(-1, given.shape[-1] if given.ndim else 1).expand(-1, count)

    exposed, noisy = 'exposure' in stages, 'noise' in stages
    scale, dark = row(1.0, 3), row(0.0, 3)
    if exposed:
        factor = exposure_factor(
            settings.aperture,
            settings.exposure_time,
            sensor.pixel_size,
            sensor.scene_illuminance,
            sensor.aggregator_gain,
        )
        scale = row(factor, 1) * row(sensor.quantum_efficiency, 3)
        dark = row(settings.exposure_time, 1) * row(sensor.dark_current, 3)
    well = sensor.full_well if noisy and sensor.full_well is not None else _NO_LIMIT
    parts = [
        scale.clamp(max=LARGEST),
        dark.clamp(max=LARGEST),
        row(sensor.shot_noise_gain, 3) if noisy else row(0.0, 3),
        row(sensor.read_noise, 3),
        row(sensor.response_gains, 3),
        row(sensor.response_biases, 3),
        row(settings.iso, 1),
        row(sensor.response_gamma, 1),
        row(sensor.black_level, 1),
        row(well, 1),
    ]
    count = max(len(part) for part in parts)
    return torch.cat([part.expand(count, -1) for part in parts], dim=1)


def _patterns(
    light: torch.Tensor, settings: CameraSettings, sensor: SensorModel
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Return gain (H, W, 3), extra (B, H, W, 3) and offset (H, W, 3), None where there is none."""
    seed = sensor.fixed_pattern_seed
    gain = extra = offset = None
    if not is_zero(sensor.prnu):
        gain = per_channel(sensor.prnu, light) * fixed_deviates(light, seed, PRNU_STREAM)
    if sensor.hot_pixel_fraction > 0 and not is_zero(sensor.hot_pixel_current):
        size = (light.shape[1], light.shape[2], 3)
        heat = hot_map(size, seed, sensor.hot_pixel_fraction, light.dtype, light.device)
        time = per_image(settings.exposure_time, light)
        extra = (time * per_image(sensor.hot_pixel_current, light) * heat).expand_as(light)
    if sensor.read_noise_fixed and not is_zero(sensor.read_noise):
        offset = per_channel(sensor.read_noise, light) * fixed_deviates(
            light, seed, PATTERN_STREAM
        )
    if not is_zero(sensor.dsnu):
        dark = per_channel(sensor.dsnu, light) * fixed_deviates(light, seed, DSNU_STREAM)
        offset = dark if offset is None else offset + dark
    return gain, extra, offset
