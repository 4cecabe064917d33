# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor's kernel with gradients against the torch reference: values and every slope."""

from __future__ import annotations

from dataclasses import replace

import numba
import pytest
import torch

from diffphyscam_ros.camera import (
    adjoint_path,
    PhysicalCamera,
    SENSOR_STAGES,
    SensorModel,
)
from diffphyscam_ros.camera import (
    stages as reference,
)

SENSOR = replace(
    SensorModel.preset('generic_vga').resized(40, 30),
    bit_depth=0,
    prnu=(0.02, 0.01, 0.03),
    dsnu=(3.0, 5.0, 4.0),
    dark_current=(900.0, 500.0, 800.0),
    hot_pixel_fraction=0.05,
    hot_pixel_current=2e4,
    full_well=8000.0,
    black_level=0.05,
)
SETTINGS = SENSOR.settings
RAW = SENSOR_STAGES[:-1]  # colour takes the black level away again: its slope would be 0
FIELDS = (
    'quantum_efficiency', 'dark_current', 'shot_noise_gain', 'read_noise', 'prnu', 'dsnu',
    'response_gains', 'response_biases', 'response_gamma', 'black_level', 'full_well',
    'hot_pixel_current', 'aggregator_gain',
)  # fmt: skip


def irradiance(height: int = 30, width: int = 40) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(3))


def slopes(
    develop, sensor: SensorModel, light: torch.Tensor, soft: bool, names=FIELDS, stages=RAW
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the picture and the gradient of a weighted sum of it by all that there is."""
    kind = light.dtype
    numbers = {
        name: torch.tensor(getattr(sensor, name), dtype=kind, requires_grad=True) for name in names
    }
    turned = {
        name: torch.tensor(float(getattr(SETTINGS, name)), dtype=kind, requires_grad=True)
        for name in ('aperture', 'exposure_time', 'iso')
    }
    given = light.clone().requires_grad_()
    settings, model = replace(SETTINGS, **turned), replace(sensor, **numbers)
    image, _ = develop(given, settings, model, stages, 5, 2, soft)
    weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(8))
    (image * (weights - 0.3)).sum().backward()
    found = {'light': given, **numbers, **turned}
    return image.detach(), {name: one.grad for name, one in found.items() if one.grad is not None}


SCALE = {'linear': 1.0, 'gamma': 8e4, 'sigmoid': 3.0}
BENT = {
    kind: replace(
        SENSOR,
        response_type=kind,
        response_gamma=0.45,
        response_gains=tuple(gain * SCALE[kind] for gain in SENSOR.response_gains),
    )
    for kind in SCALE
}


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid'])
def test_values_and_slopes_equal_the_reference(kind: str, fixed: bool, soft: bool) -> None:
    sensor = replace(BENT[kind], read_noise_fixed=fixed)
    light = irradiance()
    image, own = slopes(adjoint_path.read_out, sensor, light, soft)
    wanted, exact = slopes(reference.read_out, sensor, light.double(), soft)
    torch.testing.assert_close(image, wanted.float(), rtol=1e-4, atol=1e-5)
    assert set(own) >= {name for name, slope in exact.items() if slope.abs().max() > 0}
    for name, slope in exact.items():
        # A pixel at a bend of the response may fall on its other side in float32.
        largest = float(slope.abs().max())
        if largest == 0:
            assert own.get(name, slope).abs().max() == 0, name
            continue
        error = (own[name].double() - slope).abs() / largest
        assert (error > 2e-3).double().mean() < 0.002, (name, float(error.max()))


def test_the_camera_takes_it_for_pictures_with_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = PhysicalCamera(SENSOR, SENSOR_STAGES, seed=5)
    calls = []
    original = adjoint_path.read_out
    monkeypatch.setattr(adjoint_path, 'read_out', lambda *a: calls.append(1) or original(*a))
    light = irradiance().requires_grad_()
    image = camera.sense(light, SETTINGS, 2).image
    assert calls == [1]
    torch.testing.assert_close(image, camera.sense(light.detach(), SETTINGS, 2).image)
    for other in (light.double(), light[None]):
        camera.sense(other, SETTINGS, 2)
    camera.sense(light, replace(SETTINGS, iso=torch.tensor([100.0])), 2)
    table = PhysicalCamera(replace(SENSOR, response_type='table'), SENSOR_STAGES)
    table.sense(light, SETTINGS, 2)
    assert calls == [1]


@pytest.mark.parametrize('bayer', ['none', 'rggb'])
def test_mosaics_and_rounding_pass_the_gradient(bayer: str) -> None:
    sensor = replace(SENSOR, bayer_pattern=bayer, bit_depth=10, white_balance=(1.5, 1.0, 1.2))
    light = irradiance()
    image, own = slopes(
        adjoint_path.read_out, sensor, light, True, ('white_balance',), SENSOR_STAGES
    )
    exactly = (reference.read_out, sensor, light.double(), True)
    wanted, exact = slopes(*exactly, ('white_balance',), SENSOR_STAGES)
    assert (image - wanted).abs().max() < 8.0 / 1023  # a step, amplified by balance and demosaic
    for name, slope in exact.items():
        error = (own[name].double() - slope).abs() / float(slope.abs().max())
        assert (error > 5e-3).double().mean() < 0.01, name


def test_gradients_do_not_depend_on_threads() -> None:
    threads = numba.get_num_threads()
    _, expected = slopes(adjoint_path.read_out, SENSOR, irradiance(), False)
    try:
        numba.set_num_threads(1)
        _, found = slopes(adjoint_path.read_out, SENSOR, irradiance(), False)
    finally:
        numba.set_num_threads(threads)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize('light', [0.0, 1e9])
def test_gradients_are_finite_in_the_dark_and_in_the_glare(light: float) -> None:
    picture = torch.full((4, 5, 3), light)
    for sensor in (SENSOR, BENT['gamma'], BENT['sigmoid'], SensorModel()):
        image, found = slopes(adjoint_path.read_out, replace(sensor, full_well=1e9), picture, True)
        assert bool(image.isfinite().all())
        assert all(bool(slope.isfinite().all()) for slope in found.values())


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    light = torch.rand(30, 40, 3, requires_grad=True)
    image = PhysicalCamera(SENSOR, RAW).sense(light, SETTINGS).image
    (slope,) = torch.autograd.grad(image.square().sum(), light, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        slope.sum().backward()
