# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor's Triton kernel against the torch reference: values and gradients.

Without a GPU the kernel is interpreted, which shows that it computes the right numbers, not that
it compiles or how fast it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel, triton_path
from diffphyscam_ros.camera.stages import read_out, SENSOR_STAGES

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

SIZE = (20, 33)
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
REAL: dict[str, Any] = {
    'image_width': SIZE[1],
    'image_height': SIZE[0],
    'aggregator_gain': 1e14,
    'dark_current': (2000.0, 100.0, 50.0),
    'shot_noise_gain': (1.0, 1.1, 0.9),
    'read_noise': (3.0, 4.0, 5.0),
    'read_noise_fixed': False,
    'dsnu': (2.0, 2.0, 1.0),
    'prnu': (0.01, 0.02, 0.01),
    'hot_pixel_fraction': 0.05,
    'hot_pixel_current': 2e4,
    'full_well': 3000.0,
    'response_gains': (1.2e-6, 1e-6, 0.9e-6),
    'black_level': 0.02,
    'bit_depth': 10,
}
CASES: dict[str, dict[str, Any]] = {
    'real': {},
    'continuous': {'bit_depth': 0},
    'paper': {
        'read_noise_fixed': True,
        'prnu': (0.0,) * 3,
        'dsnu': (0.0,) * 3,
        'black_level': 0.0,
    },
    'gamma': {
        'response_type': 'gamma',
        'response_gains': (0.06, 0.07, 0.05),
        'response_gamma': 1.3,
    },
    'sigmoid': {
        'response_type': 'sigmoid',
        'response_gains': (1e-6, 1e-6, 2e-6),
        'response_biases': (-0.2, 0.0, 0.1),
    },
    'mosaic': {'bayer_pattern': 'grbg', 'white_balance': (1.5, 1.0, 1.3)},
    'noiseless': {'shot_noise_gain': (0.0,) * 3, 'read_noise': (0.0,) * 3},
}
NUMBERS = (
    'quantum_efficiency', 'dark_current', 'shot_noise_gain', 'read_noise', 'dsnu', 'prnu',
    'hot_pixel_current', 'full_well', 'response_gains', 'response_biases', 'response_gamma',
    'black_level',
)  # fmt: skip


def developed(
    develop: Callable[..., Any], fields: dict[str, Any], batch: int, soft: bool
) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]:
    """Return the picture, the raw values, and the gradient of a weighted sum by everything."""
    generator = torch.Generator().manual_seed(3)
    shape = (batch, *SIZE, 3) if batch else (*SIZE, 3)
    light = torch.rand(shape, generator=generator).to(DEVICE).requires_grad_()
    sensor = SensorModel(**fields)
    leaves = {
        name: torch.tensor(getattr(sensor, name), device=DEVICE, requires_grad=True)
        for name in NUMBERS
        if any(torch.as_tensor(getattr(sensor, name)).reshape(-1).tolist())
    }
    sensor = replace(sensor, **leaves)
    turned = {
        name: torch.tensor(value, device=DEVICE, requires_grad=True)
        for name, value in {'aperture': 2.8, 'exposure_time': 0.01, 'iso': 120.0}.items()
    }
    settings = CameraSettings(**turned, focal_length=0.004, focus_distance=2.0)
    image, raw = develop(light, settings, sensor, SENSOR_STAGES, 5, 2**32 + 7, soft)
    weight = torch.rand(image.shape, generator=generator).to(DEVICE)
    (image * weight).sum().backward()
    leaves |= turned
    leaves['light'] = light
    return image.detach(), raw, {name: leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize(
    ('case', 'batch', 'soft'), [*((case, 0, False) for case in CASES), ('real', 2, True)]
)
def test_values_and_gradients_are_those_of_the_reference(
    case: str, batch: int, soft: bool
) -> None:
    fields = REAL | CASES[case]
    wanted, wanted_raw, slopes = developed(read_out, fields, batch, soft)
    image, raw, own_slopes = developed(triton_path.read_out, fields, batch, soft)
    assert image.shape == wanted.shape
    # A value next to the middle of two levels may fall to either side.
    level = 1.0 / 1023.0 if fields['bit_depth'] else 0.0
    difference = (image - wanted).abs()
    assert float(difference.max()) <= 3.0 * level + 1e-6
    assert float((difference > 1e-6).float().mean()) < 1e-3
    assert (raw is None) == (wanted_raw is None)
    if raw is not None and wanted_raw is not None:
        torch.testing.assert_close(raw, wanted_raw, atol=level + 1e-6, rtol=0.0)
    for name, slope in slopes.items():
        own = own_slopes[name]
        if slope is None:
            assert own is None or not own.any(), name
            continue
        # black_level cancels but where values are clamped: its slope is a sum of small leftovers.
        floor = 0.2 if name == 'black_level' else 1e-9
        scale = max(float(slope.abs().max()), floor)
        assert float((own - slope).abs().max()) < 1e-3 * scale, name
        assert bool(own.isfinite().all()), name


def test_darkness_and_saturation_have_finite_gradients() -> None:
    fields = REAL | {'dark_current': (0.0,) * 3, 'read_noise': (0.0,) * 3, 'bit_depth': 0}
    sensor = SensorModel(**fields)
    light = torch.zeros(*SIZE, 3, device=DEVICE)
    light[0] = 1e9
    light.requires_grad_()
    image, _ = triton_path.read_out(light, sensor.settings, sensor, SENSOR_STAGES, 1, 1, False)
    image.sum().backward()
    assert light.grad is not None and bool(light.grad.isfinite().all())
    assert bool(image.isfinite().all())


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    sensor = SensorModel(**REAL)
    light = torch.rand(*SIZE, 3, device=DEVICE, requires_grad=True)
    image, _ = triton_path.read_out(light, sensor.settings, sensor, SENSOR_STAGES, 1, 1, False)
    loss = image.square().sum() + (light**3).sum()
    (slope,) = torch.autograd.grad(loss, light, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        slope.sum().backward()


def test_only_what_the_kernel_knows_is_given_to_it() -> None:
    light = torch.rand(*SIZE, 3)
    assert not triton_path.serves(SENSOR_STAGES, light, SensorModel())  # not on CUDA
    if DEVICE == 'cuda':
        light = light.cuda()
        assert triton_path.serves(SENSOR_STAGES, light, SensorModel())
        assert not triton_path.serves(SENSOR_STAGES, light, SensorModel(response_type='table'))
        assert not triton_path.serves(('exposure',), light, SensorModel())
        assert not triton_path.serves(SENSOR_STAGES, light.double(), SensorModel())


@pytest.mark.skipif(DEVICE == 'cpu', reason='no CUDA device')
def test_cuda_takes_the_kernel_and_gives_the_picture_of_the_cpu() -> None:
    sensor = SensorModel(**REAL)
    camera = PhysicalCamera(sensor, SENSOR_STAGES)
    light = torch.rand(*SIZE, 3)
    here = camera(light, None, sensor.settings, 3).image
    there = camera(light.cuda(), None, sensor.settings, 3).image.cpu()
    torch.testing.assert_close(there, here, atol=1.1 / 1023.0, rtol=0.0)
