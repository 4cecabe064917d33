# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera's stages in their order, in torch: the readable reference (CAMERA_MODEL.md).

On any device, batched, differentiable. Each stage is a function of its own; here is which numbers
of the sensor and the settings go where.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.aberration import aberrate, distort_colours, is_achromatic
from diffphyscam_ros.camera.arrays import is_zero, per_channel
from diffphyscam_ros.camera.circle_of_confusion import circle_of_confusion
from diffphyscam_ros.camera.color import correct_color, is_neutral
from diffphyscam_ros.camera.defocus import defocus
from diffphyscam_ros.camera.distortion import distort
from diffphyscam_ros.camera.exposure import expose
from diffphyscam_ros.camera.glare import glare
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.mosaic import mosaic, photosites
from diffphyscam_ros.camera.noise import add_noise
from diffphyscam_ros.camera.quantization import quantize
from diffphyscam_ros.camera.response import respond
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.vignetting import pupil_vignetting, vignette

LENS_STAGES = ('distortion', 'aberration', 'vignetting', 'defocus', 'glare')
SENSOR_STAGES = ('exposure', 'noise', 'mosaic', 'response', 'quantization', 'color')
STAGES = LENS_STAGES + SENSOR_STAGES


def form_image(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    source: Intrinsics,
    target: Intrinsics,
) -> torch.Tensor:
    """Apply the stages of the lens: radiance becomes irradiance on the sensor.

    :param image: (..., H, W, 3) finite radiance, seen with the intrinsics ``source``.
    :param depth: (..., H, W), or None without the 'defocus' stage.
    :param stages: those that are on; 'distortion' only where the picture has to be resampled.
    :param target: intrinsics of the result.
    :return: (..., H, W, 3).
    """
    colours = sensor.chromatic_scale, sensor.chromatic_curve
    chromatic = 'aberration' in stages and not is_achromatic(*colours)
    model, coefficients = sensor.distortion_model, sensor.distortion_coefficients
    if 'distortion' in stages and chromatic:  # in one interpolation, which is sharper than two
        lens = (source, target, model, coefficients)
        image, depth = distort_colours(image, depth, *lens, *colours)
    elif 'distortion' in stages:
        image, depth = distort(image, depth, source, target, model, coefficients)
    elif chromatic:
        image = aberrate(image, target, *colours)
    if 'vignetting' in stages:
        image = vignette(
            image,
            target,
            sensor.vignetting_gain,
            sensor.vignetting_model,
            sensor.vignetting_coefficients,
            sensor.vignetting_map,
            sensor.vignetting_map_columns,
        )
        if not (is_zero(sensor.rim_distance) or is_zero(sensor.rim_radius)):
            image = image * pupil_vignetting(
                target,
                image,
                settings.focal_length,
                settings.aperture,
                sensor.rim_radius,
                sensor.rim_distance,
            )
    if 'defocus' in stages and depth is not None and not is_zero(sensor.defocus_gain):
        coc = circle_of_confusion(
            depth.to(image.dtype),
            settings.aperture,
            settings.focal_length,
            settings.focus_distance,
            sensor.pixel_size,
            sensor.defocus_gain,
            sensor.defocus_dead_zone,
            sensor.max_coc,
            signed=True,
        )
        image = defocus(
            image,
            coc,
            sensor.psf,
            occlusion=sensor.defocus_occlusion,
            blades=sensor.aperture_blades,
            rotation=sensor.aperture_rotation,
        )
    if 'glare' in stages and not is_zero(sensor.glare_fraction):
        image = glare(image, sensor.glare_fraction, sensor.glare_radius)
    return image


def read_out(
    image: torch.Tensor,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Apply the stages of the sensor: irradiance becomes digital values.

    :param image: (..., H, W, 3) finite irradiance; electrons where 'exposure' is off.
    :param stages: those that are on; 'quantization' and 'color' need 'response'.
    :return: the picture, (..., H, W, 3), or (..., H, W, 1) of a mosaic without 'color'; and the
        digital values of the photosites, (..., H, W), where there is a mosaic.
    """
    dark_current = sensor.dark_current if 'exposure' in stages else (0.0, 0.0, 0.0)
    if 'exposure' in stages:
        image = expose(
            image,
            settings.aperture,
            settings.exposure_time,
            sensor.pixel_size,
            sensor.quantum_efficiency,
            sensor.scene_illuminance,
            sensor.aggregator_gain,
            sensor.dark_current,
        )
    if 'noise' in stages:
        image = add_noise(
            image,
            sensor.shot_noise_gain,
            sensor.read_noise,
            seed,
            frame_number,
            sensor.fixed_pattern_seed,
            read_noise_fixed=sensor.read_noise_fixed,
            dsnu=sensor.dsnu,
            prnu=sensor.prnu,
            hot_pixel_fraction=sensor.hot_pixel_fraction,
            hot_pixel_current=sensor.hot_pixel_current,
            full_well=sensor.full_well,
            soft_clamp=soft_clamp,
            exposure_time=settings.exposure_time,
            dark_current=dark_current,
        )
    pattern = sensor.bayer_pattern if 'mosaic' in stages else 'none'
    if pattern != 'none':
        image = mosaic(image, pattern)
    if 'response' not in stages:
        return image, None
    gains, biases = sensor.response_gains, sensor.response_biases
    if pattern != 'none':
        gains = photosites(per_channel(gains, image), image, pattern)
        biases = photosites(per_channel(biases, image), image, pattern)
    image = respond(
        image,
        settings.iso,
        sensor.response_type,
        gains,
        biases,
        sensor.response_gamma,
        soft_clamp,
        sensor.response_table,
        sensor.black_level,
    )
    if 'quantization' in stages:
        image = quantize(image, sensor.bit_depth)
    raw = image[..., 0] if pattern != 'none' else None
    colors = sensor.black_level, sensor.white_balance, sensor.color_matrix
    if 'color' in stages and not (pattern == 'none' and is_neutral(*colors)):
        image = correct_color(image, *colors, pattern, sensor.demosaic, soft_clamp)
    return image, raw
