# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All that a lens does at once: the fast path against the reference, and every gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel

SETTINGS = CameraSettings(aperture=1.4, focal_length=0.025, focus_distance=2.0)
SENSOR = SensorModel(
    image_width=61,
    image_height=45,
    pixel_size=4.6e-4,
    vignetting_model='radial',
    vignetting_coefficients=(-0.4, 0.05),
    rim_radius=0.012,
    rim_distance=0.013,
    chromatic_scale=(1.01, 1.0, 0.985),
    chromatic_curve=(0.01, 0.0, -0.02),
    glare_fraction=0.05,
    glare_radius=5.0,
)
VARIANTS = {
    'straight': {},
    'distorted': {'distortion_coefficients': (-0.3, 0.1, 0.001, 0.0, 0.0)},
    'mapped': {
        'vignetting_model': 'map',
        'vignetting_map': (0.5, 1.0, 1.0, 0.7),
        'vignetting_map_columns': 2,
    },
    'one_pixel': {'image_width': 1, 'image_height': 1},
}
GRADIENTS = (
    'vignetting_coefficients',
    'rim_radius',
    'rim_distance',
    'chromatic_scale',
    'chromatic_curve',
    'glare_fraction',
    'glare_radius',
)


def scene(camera: PhysicalCamera, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    view = camera.source_intrinsics(SETTINGS)
    generator = torch.Generator().manual_seed(0)
    size = view.height, view.width
    light = 20 * torch.rand((*size, 3), generator=generator, dtype=dtype) ** 6
    return light, torch.rand(size, generator=generator, dtype=dtype) * 3 + 0.5


@pytest.mark.parametrize('variant', VARIANTS)
def test_fast_path_equals_the_reference(variant: str) -> None:
    camera = PhysicalCamera(replace(SENSOR, **VARIANTS[variant]))
    light, depth = scene(camera, torch.float32)
    fast = camera.lens(light, depth, SETTINGS)
    slow = camera.lens(light.clone().requires_grad_(), depth, SETTINGS)
    assert slow.requires_grad and not fast.requires_grad
    scale = float(slow.detach().max())
    torch.testing.assert_close(fast, slow.detach(), rtol=0, atol=2e-5 * scale)


def test_each_stage_can_be_switched_off() -> None:
    camera = PhysicalCamera(SENSOR)
    light, depth = scene(camera, torch.float32)
    everything = camera.lens(light, depth, SETTINGS)
    for name in ('aberration', 'vignetting', 'glare'):
        stages = tuple(stage for stage in camera.stages if stage != name)
        without = PhysicalCamera(SENSOR, stages)
        view = camera.source_intrinsics(SETTINGS)
        seen = without.lens(light, depth, SETTINGS, intrinsics=view)
        assert seen.shape == everything.shape and not torch.allclose(seen, everything)


def test_gradients_agree_with_finite_differences() -> None:
    def brightness(values: dict[str, torch.Tensor], aperture: torch.Tensor) -> torch.Tensor:
        camera = PhysicalCamera(replace(SENSOR, **values))
        settings = replace(SETTINGS, aperture=aperture)
        return camera.lens(light, depth, settings, intrinsics=view).square().mean()

    light, depth = scene(PhysicalCamera(SENSOR), torch.float64)
    view = PhysicalCamera(SENSOR).source_intrinsics(SETTINGS)
    values = {
        name: torch.tensor(getattr(SENSOR, name), dtype=torch.float64, requires_grad=True)
        for name in GRADIENTS
    }
    aperture = torch.tensor(1.4, dtype=torch.float64, requires_grad=True)
    brightness(values, aperture).backward()
    assert bool(aperture.grad.isfinite()) and float(aperture.grad) != 0
    with torch.no_grad():
        for name, value in values.items():
            step = 1e-6 * value.abs().max().clamp(min=1e-2)
            ends = []
            for sign in (1, -1):
                moved = value + sign * step * (torch.arange(value.numel()) == 0).reshape(
                    value.shape
                )
                ends.append(brightness({**values, name: moved}, aperture))
            slope = float((ends[0] - ends[1]) / (2 * step))
            ours = float(value.grad.reshape(-1)[0])
            assert abs(slope - ours) < 1e-3 * abs(slope) + 1e-8, name
