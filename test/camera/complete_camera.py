# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A small camera that has everything a lens and a sensor can have, for the tests beside it."""

from __future__ import annotations

from dataclasses import replace

import torch

from diffphyscam_ros.camera import CameraSettings, Intrinsics, SensorModel

SETTINGS = CameraSettings(2.0, 0.02, 150.0, 0.004, 0.8)
SENSOR = SensorModel(
    image_width=9,
    image_height=7,
    pixel_size=4e-4,
    quantum_efficiency=(0.4, 0.5, 0.6),
    defocus_gain=8.0,
    max_coc=9.0,
    vignetting_gain=0.6,
    aggregator_gain=6e3,
    response_gains=(0.9, 1.0, 1.1),
    response_biases=(0.02, 0.03, 0.04),
    response_gamma=0.6,
    dark_current=(1e-2, 2e-2, 3e-2),
    shot_noise_gain=(1e-3, 2e-3, 1e-3),
    read_noise=(1e-5, 2e-5, 1e-5),
    distortion_coefficients=(-0.05, 0.01, 1e-3, -1e-3, 0.0),
)
COMPLETE = replace(
    SENSOR,
    chromatic_scale=(1.02, 1.001, 0.97),
    chromatic_curve=(0.01, 0.0, -0.02),
    rim_radius=1.3e-3,
    rim_distance=2e-3,
    glare_fraction=0.1,
    glare_radius=2.3,
    read_noise_fixed=False,
    dsnu=(1e-5, 2e-5, 3e-5),
    prnu=(0.01, 0.02, 0.03),
    hot_pixel_fraction=0.3,
    hot_pixel_current=0.01,
    full_well=0.0022,
    black_level=0.06,
    bayer_pattern='grbg',
    white_balance=(1.1, 1.01, 1.2),
    color_matrix=(1.3, -0.2, -0.1, -0.15, 1.4, -0.25, 0.05, -0.35, 1.3),
)
"""Everything that a lens and a sensor can have, but rounding."""


def scene(view: Intrinsics, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = (view.height, view.width)
    radiance = torch.rand(*size, 3, dtype=dtype, generator=generator) * 0.8 + 0.1
    depth = torch.rand(*size, dtype=dtype, generator=generator) * 0.3 + 0.9
    return radiance, depth


DIFFERENTIABLE = {
    'pixel_size': 1e-4,
    'focal_scale': 1.0,
    'principal_point': 1.0,
    'quantum_efficiency': 1.0,
    'scene_illuminance': 1e3,
    'defocus_gain': 1.0,
    'vignetting_gain': 1.0,
    'aggregator_gain': 1e4,
    'response_gains': 1.0,
    'response_biases': 1.0,
    'response_gamma': 1.0,
    'dark_current': 1e-2,
    'shot_noise_gain': 1e-3,
    'read_noise': 1e-5,
    'distortion_coefficients': 1.0,
    'vignetting_coefficients': 1.0,
    'vignetting_map': 1.0,
    'rim_radius': 1e-3,
    'rim_distance': 1e-3,
    'chromatic_scale': 1.0,
    'chromatic_curve': 1.0,
    'glare_fraction': 1.0,
    'glare_radius': 1.0,
    'response_table': 1.0,
    'dsnu': 1e-5,
    'prnu': 1e-2,
    'hot_pixel_current': 1e-2,
    'black_level': 1.0,
    'white_balance': 1.0,
    'color_matrix': 1.0,
}
"""Continuous numbers of the sensor model with their scale: steps of gradcheck fit to order one."""
