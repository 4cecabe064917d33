# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 4: light and time become photo-electrons (CAMERA_MODEL.md eq. 3)."""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.arrays import Colour, LARGEST, per_channel, per_image, picture
from diffphyscam_ros.camera.intrinsics import Scalar


def exposure_factor(
    aperture: Scalar,
    exposure_time: Scalar,
    pixel_size: Scalar,
    scene_illuminance: Scalar,
    aggregator_gain: Scalar,
) -> torch.Tensor:
    """Return electrons for irradiance 1 and quantum efficiency 1: G_a·P·C²·t / N².

    Computed in float64, since its factors span 20 orders of magnitude, and bounded so that
    no setting turns a dark pixel into inf · 0.
    """
    aperture, exposure_time, pixel_size, scene_illuminance, aggregator_gain = (
        torch.as_tensor(value, dtype=torch.float64)
        for value in (aperture, exposure_time, pixel_size, scene_illuminance, aggregator_gain)
    )
    light = aggregator_gain * scene_illuminance * exposure_time
    return (light * (pixel_size / aperture) ** 2).clamp(max=LARGEST)


def expose(
    irradiance: torch.Tensor,
    aperture: Scalar,
    exposure_time: Scalar,
    pixel_size: Scalar,
    quantum_efficiency: Colour,
    scene_illuminance: Scalar,
    aggregator_gain: Scalar,
    dark_current: Colour,
) -> torch.Tensor:
    """Collect electrons: X = E · G_a·P·C²·t·QE / N² + t·D (CAMERA_MODEL.md eq. 3).

    :param irradiance: E, (..., H, W, C); 1 = what a white diffuser sends.
    :param aperture: N, f-number.
    :param exposure_time: t, seconds.
    :param pixel_size: C, metres.
    :param quantum_efficiency: QE, one for each channel.
    :param scene_illuminance: P, lux at radiance 1.
    :param aggregator_gain: G_a, electrons per lux·m²·s.
    :param dark_current: D, electrons per second, one for each channel.
    :return: X in electrons, (..., H, W, C), at most 1e30.
    """
    irradiance = picture(irradiance, 'irradiance')
    factor = exposure_factor(
        aperture, exposure_time, pixel_size, scene_illuminance, aggregator_gain
    )
    gathered = per_image(factor, irradiance) * per_channel(quantum_efficiency, irradiance)
    dark = per_image(exposure_time, irradiance) * per_channel(dark_current, irradiance)
    return (irradiance * gathered + dark).clamp(-LARGEST, LARGEST)
