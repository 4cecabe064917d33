# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""PhysicalCamera on extreme, odd or wrong input: finite pictures and gradients, or clear words."""

from __future__ import annotations

from dataclasses import fields, replace
import math

from complete_camera import COMPLETE, DIFFERENTIABLE, scene, SENSOR, SETTINGS
import pytest
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel


@pytest.mark.parametrize('fast', [True, False])
@pytest.mark.parametrize('base', [SENSOR, replace(COMPLETE, bit_depth=10)])
@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid', 'table'])
def test_hopeless_input_gives_finite_pictures(fast: bool, base: SensorModel, kind: str) -> None:
    sensor = replace(base, response_type=kind)
    radiance, depth = scene(PhysicalCamera(sensor).source_intrinsics(SETTINGS), torch.float32)
    radiance[0], radiance[1] = 0.0, 1e30
    radiance[2, :4], radiance[3, :4] = math.nan, math.inf
    radiance[4, :4], radiance[4, 4:] = -math.inf, -5.0
    depth[:, 0], depth[:, 1], depth[:, 2], depth[:, 3] = 0.0, math.inf, math.nan, -1.0
    depth[:, 4], depth[:, 5] = 1e-30, 1e30
    extremes = [
        SETTINGS,
        CameraSettings(1e-20, 1e20, 1e20, 0.004, 0.0040001),
        CameraSettings(1e20, 1e-30, 1e-30, 0.004, math.inf),
    ]
    camera = PhysicalCamera(sensor)
    for settings in extremes:
        light = radiance.clone().requires_grad_(not fast)
        image = camera(light, depth, settings).image
        assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
        if not fast:
            image.sum().backward()
            assert light.grad.isfinite().all()


@pytest.mark.parametrize('time', [1e-6, 0.02, 60.0])
@pytest.mark.parametrize('light', [0.0, 0.5, 1e9])
def test_exposures_of_all_lengths_have_finite_gradients(time: float, light: float) -> None:
    """From nothing to saturation, of the radiance and of every number of the sensor."""
    names = [name for name in DIFFERENTIABLE if name not in ('response_gamma', 'vignetting_map')]
    numbers = {name: torch.tensor(getattr(COMPLETE, name), requires_grad=True)
               for name in names if getattr(COMPLETE, name) not in (None, ())}  # fmt: skip
    camera = PhysicalCamera(replace(COMPLETE, bit_depth=10, **numbers), soft_clamp=True)
    settings = replace(SETTINGS, exposure_time=torch.tensor(time, requires_grad=True))
    view = camera.source_intrinsics(settings)
    radiance = torch.full((view.height, view.width, 3), light, requires_grad=True)
    frame = camera(radiance, torch.ones(view.height, view.width), settings)
    assert frame.image.isfinite().all() and frame.raw.min() >= 0 and frame.raw.max() <= 1
    frame.image.sum().backward()
    assert radiance.grad.isfinite().all() and settings.exposure_time.grad.isfinite()
    for name, number in numbers.items():
        assert number.grad is None or number.grad.isfinite().all(), name


@pytest.mark.parametrize('fast', [True, False])
@pytest.mark.parametrize(('width', 'height'), [(1, 1), (1, 5), (2, 1), (8192, 2)])
def test_pictures_of_odd_sizes(fast: bool, width: int, height: int) -> None:
    sensor = replace(COMPLETE, image_width=width, image_height=height, bit_depth=12)
    sensor = replace(sensor, pixel_size=4e-4 * 9 / max(width, 9))
    camera = PhysicalCamera(sensor)
    view = camera.source_intrinsics(SETTINGS)
    radiance = torch.full((view.height, view.width, 3), 0.5, requires_grad=not fast)
    frame = camera(radiance, torch.ones(view.height, view.width), SETTINGS)
    assert frame.image.shape == (height, width, 3) and frame.raw.shape == (height, width)
    assert frame.image.isfinite().all() and 0 <= frame.image.min() <= frame.image.max() <= 1
    if not fast:
        frame.image.sum().backward()
        assert radiance.grad.isfinite().all()


def test_layouts_and_types_make_no_difference() -> None:
    camera = PhysicalCamera(replace(COMPLETE, bit_depth=0))
    view = camera.source_intrinsics(SETTINGS)
    radiance, depth = scene(view, torch.float32)
    expected = camera(radiance, depth, SETTINGS, 3)
    turned = radiance.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert not turned.is_contiguous()
    assert torch.equal(camera(turned, depth, SETTINGS, 3).image, expected.image)
    double = camera(radiance.double(), depth.double(), SETTINGS, 3)
    assert double.image.dtype == torch.float64
    torch.testing.assert_close(double.raw.float(), expected.raw, rtol=1e-4, atol=1e-5)
    half = camera(radiance.half(), depth.half(), SETTINGS, 3)
    assert half.image.dtype == torch.float32
    torch.testing.assert_close(half.raw, expected.raw, rtol=0, atol=5e-3)
    irradiance = camera.lens(radiance, depth, SETTINGS)
    mirrored = irradiance.flip(1).contiguous().flip(1)
    assert torch.equal(camera.sense(mirrored, SETTINGS, 3).raw, expected.raw)
    irradiance[0, 0], irradiance[0, 1] = math.nan, math.inf
    assert camera.sense(irradiance, SETTINGS).image.isfinite().all()
    with pytest.raises(ValueError, match=r'irradiance has shape .*\(\.\.\., H, W, 3\)'):
        camera.sense(irradiance[..., :1], SETTINGS)


def test_no_light_has_finite_gradients() -> None:
    numbers = {
        f.name: torch.tensor(getattr(SETTINGS, f.name), requires_grad=True)
        for f in fields(SETTINGS)
    }
    camera = PhysicalCamera(replace(SENSOR, dark_current=(0.0,) * 3, response_type='gamma'))
    settings = CameraSettings(**numbers)
    view = camera.source_intrinsics(settings)
    depth = torch.zeros(view.height, view.width)
    camera(torch.zeros(view.height, view.width, 3), depth, settings).image.sum().backward()
    for name, number in numbers.items():
        assert number.grad is None or number.grad.isfinite(), name


@pytest.mark.parametrize(
    ('stages', 'message'),
    [(('noise', 'blur'), 'blur'), (('noise', 'noise'), 'at most once'), ('noise', 'sequence')],
)
def test_bad_stages_are_refused(stages, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhysicalCamera(SENSOR, stages)


def test_bad_pictures_are_refused() -> None:
    camera = PhysicalCamera(SENSOR)
    view = camera.source_intrinsics(SETTINGS)
    good, depth = scene(view)
    with pytest.raises(ValueError, match='5x5 px: must be'):
        camera(torch.ones(5, 5, 3), torch.ones(5, 5), SETTINGS)
    with pytest.raises(ValueError, match=r'depth has shape'):
        camera(good, depth[1:], SETTINGS)
    with pytest.raises(ValueError, match=r'must be \(\.\.\., H, W, 3\)'):
        camera(good[..., :2], depth, SETTINGS)
    with pytest.raises(ValueError, match='depth is None'):
        camera(good, None, SETTINGS)
    with pytest.raises(ValueError, match='uint8'):
        camera((good * 255).byte(), depth, SETTINGS)
