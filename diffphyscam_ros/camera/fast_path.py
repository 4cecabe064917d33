# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera's stages on fused CPU kernels: what PhysicalCamera does without gradients."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera import fast_tables as tables
from diffphyscam_ros.camera import stages as reference
from diffphyscam_ros.camera.aberration import is_achromatic
from diffphyscam_ros.camera.arrays import BRIGHTEST
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.vignetting import vignetting_mask
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.circle_of_confusion import circle_of_confusion_fast
from diffphyscam_ros.kernels.defocus import defocus_fast
from diffphyscam_ros.kernels.demosaic import develop_mosaic, FILTERS
from diffphyscam_ros.kernels.glare import glare_fast
from diffphyscam_ros.kernels.pixels import Target, target_of
from diffphyscam_ros.kernels.sensor import digitise, digitise_mosaic, write_raw
from diffphyscam_ros.kernels.warp import shade, warp, warp_colours

Floats = npt.NDArray[np.float32]

_POOL = BufferPool()
_NO_DEPTH = np.empty((0, 0), np.float32)


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
    far = None if depth is None else depth.detach().float().contiguous().numpy()
    if min(light.shape[:2]) < 2:  # the kernels mix 2 x 2 pixels
        given = torch.from_numpy(_finite(light)), None if far is None else torch.from_numpy(far)
        return reference.form_image(*given, settings, sensor, stages, source, target)

    mask = vignetting_mask(target, sensor, settings) if 'vignetting' in stages else None
    colours = sensor.chromatic_scale, sensor.chromatic_curve
    chromatic = 'aberration' in stages and not is_achromatic(*colours)
    if 'distortion' in stages or chromatic:
        light, far = _warped(light, far, sensor, stages, source, target, chromatic, mask)
    else:
        light = _finite(light)
        if mask is not None:
            out = _POOL.take(*light.shape)
            shade(light, mask, out)
            light = out
    if 'defocus' in stages and far is not None and sensor.defocus_gain != 0:
        light = _blurred(light, far, settings, sensor)
    if 'glare' in stages and sensor.glare_fraction > 0:
        share, radius = float(sensor.glare_fraction), float(sensor.glare_radius)
        light = glare_fast(light, share, radius, out=_POOL.take(*light.shape))
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
    operands = (settings, sensor, stages, seed, frame_number, soft_clamp)
    if _is_mosaic(sensor, stages):
        raw = _mosaic(light, *operands)
        values = torch.from_numpy(raw)
        if 'response' not in stages:
            return values[..., None], None
        if 'color' not in stages:
            return values[..., None], values
        out = _POOL.take(*light.shape)
        _develop(raw, sensor, soft_clamp, target_of(out))
        return torch.from_numpy(out), values
    if {'exposure', 'noise', 'response'}.isdisjoint(stages):
        return torch.from_numpy(light), None
    out = _POOL.take(*light.shape)
    _digitise(light, *operands, target_of(out))
    return torch.from_numpy(out), None


def read_out_pixels(
    image: torch.Tensor,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
    target: Target,
    raw: bool = False,
) -> None:
    """Apply the stages of the sensor and write the picture's pixels, as ``read_out``.

    :param stages: with 'response', and of a mosaic with 'color' unless it is written raw.
    :param raw: of a mosaic, write the photosites' values instead of colours.
    """
    light: Floats = image.detach().contiguous().numpy()
    operands = (settings, sensor, stages, seed, frame_number, soft_clamp)
    if not _is_mosaic(sensor, stages):
        _digitise(light, *operands, target)
        return
    values = _mosaic(light, *operands)
    if raw:
        write_raw(values, target)
    else:
        _develop(values, sensor, soft_clamp, target)


def write_pixels(values: Floats, target: Target) -> None:
    """Write a picture of digital values, (H, W, 3) or (H, W), as pixels and count them."""
    if values.ndim == 2:
        write_raw(np.ascontiguousarray(values), target)
        return
    light = np.ascontiguousarray(values)
    nothing = CameraSettings(), SensorModel(), ()
    size = light.shape[0], light.shape[1]
    digitise(
        light,
        tables.three(1.0),
        tables.noise_of(*nothing, size, 0, 0),
        tables.response_of(*nothing, False),
        tables.colours_of(SensorModel(), ()),
        target,
    )


def _is_mosaic(sensor: SensorModel, stages: tuple[str, ...]) -> bool:
    return 'mosaic' in stages and sensor.bayer_pattern != 'none'


def _digitise(
    light: Floats,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
    target: Target,
) -> None:
    size = light.shape[0], light.shape[1]
    digitise(
        light,
        tables.electron_scale(settings, sensor, 'exposure' in stages),
        tables.noise_of(settings, sensor, stages, size, seed, frame_number),
        tables.response_of(settings, sensor, stages, soft_clamp),
        tables.colours_of(sensor, stages),
        target,
    )


def _mosaic(
    light: Floats,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
) -> Floats:
    """Return the values of the photosites, (H, W)."""
    size = light.shape[0], light.shape[1]
    raw = _POOL.take(*size)
    digitise_mosaic(
        light,
        tables.pattern_tile(sensor.bayer_pattern),
        tables.electron_scale(settings, sensor, 'exposure' in stages),
        tables.noise_of(settings, sensor, stages, size, seed, frame_number),
        tables.response_of(settings, sensor, stages, soft_clamp),
        raw,
    )
    return raw


def _develop(raw: Floats, sensor: SensorModel, soft_clamp: bool, target: Target) -> None:
    """Write the colours of a mosaic's values."""
    colours = tables.colours_of(sensor, ('response', 'color'))
    develop_mosaic(
        raw,
        tables.pattern_tile(sensor.bayer_pattern),
        FILTERS[sensor.demosaic],
        np.float32(sensor.black_level),
        colours.gains,
        colours.matrix,
        soft_clamp,
        target,
    )


def _finite(light: Floats) -> Floats:
    """Return light where NaN counts as 0 and infinity as 1e9; the same array if none is."""
    if math.isfinite(light.max()) and math.isfinite(light.min()):
        return light
    return np.nan_to_num(light, nan=0.0, posinf=BRIGHTEST, neginf=0.0)


def _warped(
    light: Floats,
    far: Floats | None,
    sensor: SensorModel,
    stages: tuple[str, ...],
    source: Intrinsics,
    target: Intrinsics,
    chromatic: bool,
    mask: Floats | None,
) -> tuple[Floats, Floats | None]:
    distorted = 'distortion' in stages
    coefficients = tuple(float(k) for k in sensor.distortion_coefficients) if distorted else ()
    lens = (source if distorted else target, target, sensor.distortion_model, coefficients)
    size = (target.height, target.width)
    shading = mask if mask is not None else tables.flat_field(*size)
    out = _POOL.take(*size, 3)
    moves = distorted and far is not None
    given = far if far is not None and moves else _NO_DEPTH
    out_depth = _POOL.take(*size) if moves else _NO_DEPTH
    if chromatic:
        colours = sensor.chromatic_scale, sensor.chromatic_curve
        places = tables.colour_places(colours, *lens)
        nearest = tables.lens_places(*lens).nearest if moves else places[0].nearest
        there = *places, nearest
        if not warp_colours(light, given, *there, shading, out, out_depth):
            warp_colours(_finite(light), given, *there, shading, out, out_depth)
    else:
        where = tables.lens_places(*lens)
        if not warp(light, given, where, shading, out, out_depth):
            warp(_finite(light), given, where, shading, out, out_depth)
    return out, out_depth if moves else far


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
        signed=True,
    )
    return defocus_fast(
        light,
        coc,
        out=_POOL.take(*light.shape),
        psf=sensor.psf,
        occlusion=sensor.defocus_occlusion,
        blades=sensor.aperture_blades,
        rotation=float(sensor.aperture_rotation),
    )
