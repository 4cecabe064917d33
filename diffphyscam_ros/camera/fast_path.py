# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera's stages on fused CPU kernels: what PhysicalCamera does without gradients."""

from __future__ import annotations

from functools import lru_cache
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.arrays import BRIGHTEST, LARGEST
from diffphyscam_ros.camera.distortion import distortion_map, nearest_pixels
from diffphyscam_ros.camera.exposure import exposure_factor
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.noise import PATTERN_STREAM, SHOT_STREAM, WORD
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.vignetting import cos4_falloff
from diffphyscam_ros.kernels import sensor as kernels
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.circle_of_confusion import circle_of_confusion_fast
from diffphyscam_ros.kernels.defocus import defocus_fast
from diffphyscam_ros.kernels.noise import normal_picture

Floats = npt.NDArray[np.float32]

_Electrons = tuple[Floats, Floats, Floats, Floats]
_Response = tuple[int, np.float32, Floats, Floats, np.float32]

_RESPONSES = {
    'linear': kernels.LINEAR,
    'gamma': kernels.GAMMA,
    'sigmoid': kernels.SIGMOID,
}
_POOL = BufferPool()


def form_image(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    source: Intrinsics,
    target: Intrinsics,
) -> torch.Tensor:
    """Apply the stages of the lens to one picture, (H, W, 3) float32 on the CPU.

    As ``stages.form_image``, but NaN and infinity are taken too; settings, sensor and intrinsics
    hold plain numbers. The result is nobody else's: no later call overwrites it (without any
    effective stage it is the given picture).
    """
    light: Floats = image.detach().contiguous().numpy()
    if not (math.isfinite(light.max()) and math.isfinite(light.min())):
        light = np.nan_to_num(light, nan=0.0, posinf=BRIGHTEST, neginf=0.0)
    far = None if depth is None else depth.detach().float().contiguous().numpy()

    mask = None
    if 'vignetting' in stages and sensor.vignetting_gain != 0:
        mask = _vignetting_mask(target, float(sensor.vignetting_gain))
    if 'distortion' in stages:
        light, far = _warped(light, far, sensor, source, target, mask)
    elif mask is not None:
        out = _POOL.take(*light.shape)
        kernels.shade(light, mask, out)
        light = out
    if 'defocus' in stages and far is not None and sensor.defocus_gain != 0:
        light = _blurred(light, far, settings, sensor)
    return torch.from_numpy(light)


def read_out(
    image: torch.Tensor,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Apply the stages of the sensor to one picture, (H, W, 3) float32 on the CPU, finite.

    As ``stages.read_out``; settings and sensor hold plain numbers.
    """
    light: Floats = image.detach().contiguous().numpy()
    if not {'exposure', 'noise', 'response'}.isdisjoint(stages):
        light = _digitised(light, settings, sensor, stages, seed, frame_number, soft_clamp)
    return torch.from_numpy(light), None


def _warped(
    light: Floats,
    far: Floats | None,
    sensor: SensorModel,
    source: Intrinsics,
    target: Intrinsics,
    mask: Floats | None,
) -> tuple[Floats, Floats | None]:
    coefficients = tuple(float(k) for k in sensor.distortion_coefficients)
    position, nearest = _lens_map(source, target, sensor.distortion_model, coefficients)
    size = (target.height, target.width)
    out, out_depth = _POOL.take(*size, 3), _POOL.take(*size)
    given = far if far is not None else _flat_field(source.height, source.width)
    shading = mask if mask is not None else _flat_field(*size)
    kernels.warp(light, given, position, nearest, shading, out, out_depth)
    return out, None if far is None else out_depth


def _blurred(light: Floats, far: Floats, settings: CameraSettings, sensor: SensorModel) -> Floats:
    coc = circle_of_confusion_fast(
        far,
        float(settings.aperture),
        float(settings.focal_length),
        float(settings.focus_distance),
        float(sensor.pixel_size),
        float(sensor.defocus_gain),
        float(sensor.defocus_dead_zone),
        float(sensor.max_coc),
        out=_POOL.take(*far.shape),
    )
    return defocus_fast(light, coc, out=_POOL.take(*light.shape), psf=sensor.psf)


def _digitised(
    light: Floats,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
) -> Floats:
    before, after = _coefficients(settings, sensor, stages)
    pattern = light
    if before[3].any():
        pattern = _fixed_pattern(light.shape[0], light.shape[1], sensor.fixed_pattern_seed)
    out = _POOL.take(*light.shape)
    shot_noise = (seed & WORD, frame_number & WORD, SHOT_STREAM)
    kernels.digitise(light, pattern, *before, *shot_noise, *after, soft_clamp, out)
    return out


@lru_cache(maxsize=64)
def _coefficients(
    settings: CameraSettings, sensor: SensorModel, stages: tuple[str, ...]
) -> tuple[_Electrons, _Response]:
    """Return what ``digitise`` wants: electrons and noise, then the response curve."""
    scale, dark = _three(1.0), _three(0.0)
    if 'exposure' in stages:
        factor = exposure_factor(
            settings.aperture,
            settings.exposure_time,
            sensor.pixel_size,
            sensor.scene_illuminance,
            sensor.aggregator_gain,
        )
        scale = _three(sensor.quantum_efficiency, float(factor))
        dark = _three(sensor.dark_current, float(settings.exposure_time))
    noisy, digital = 'noise' in stages, 'response' in stages
    shot = _three(sensor.shot_noise_gain if noisy else 0.0)
    read = _three(sensor.read_noise if noisy else 0.0)
    response = (
        _RESPONSES[sensor.response_type] if digital else kernels.NO_RESPONSE,
        np.float32(min(float(settings.iso), LARGEST)),
        _three(sensor.response_gains),
        _three(sensor.response_biases),
        np.float32(sensor.response_gamma),
    )
    return (scale, dark, shot, read), response


def _three(values: Any, factor: float = 1.0) -> Floats:
    """Return three coefficients, held to what float32 can multiply without becoming inf."""
    product = np.asarray(values, dtype=np.float64) * factor
    return np.full(3, np.clip(product, -LARGEST, LARGEST), dtype=np.float32)


@lru_cache(maxsize=8)
def _vignetting_mask(target: Intrinsics, gain: float) -> Floats:
    falloff = cos4_falloff(target, torch.zeros((), dtype=torch.float64))[..., 0]
    mask: Floats = (1 - gain + gain * falloff).float().numpy()
    return mask


@lru_cache(maxsize=4)
def _lens_map(
    source: Intrinsics, target: Intrinsics, model: str, coefficients: tuple[float, ...]
) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Return source positions (H, W, 2) and the index of the nearest pixel, −1 for none."""
    pixels = distortion_map(source, target, model, coefficients)
    row, column, inside = nearest_pixels(pixels, source.width, source.height)
    nearest = torch.where(inside, row * source.width + column, -1).int().numpy()
    position = torch.where(inside[..., None], pixels, 0.0).float()
    largest = torch.tensor([source.width - 1.0, source.height - 1.0])
    return position.clamp(min=torch.zeros(2), max=largest).contiguous().numpy(), nearest


@lru_cache(maxsize=4)
def _fixed_pattern(height: int, width: int, seed: int) -> Floats:
    pattern = np.empty((height, width, 3), dtype=np.float32)
    normal_picture(0, seed & WORD, PATTERN_STREAM, pattern)
    return pattern


@lru_cache(maxsize=4)
def _flat_field(height: int, width: int) -> Floats:
    return np.ones((height, width), dtype=np.float32)
