# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Vignetting, exposure and response against transcriptions of their equations in float64 NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera import expose, Intrinsics, respond, vignette
from diffphyscam_ros.camera.response import soft_clamp_to_unit

HEIGHT, WIDTH = 7, 9
K = Intrinsics(WIDTH, HEIGHT, 8.0, 8.5, 3.7, 3.1)


def random_image(seed: int, *leading: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (*leading, HEIGHT, WIDTH, 3)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def parameter(*values: float) -> torch.Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def test_vignetting_follows_eq_1() -> None:
    image = random_image(0)
    x = (np.arange(WIDTH) - 3.7) / 8.0
    y = (np.arange(HEIGHT)[:, None] - 3.1) / 8.5
    theta = np.arctan(np.sqrt(x**2 + y**2))
    expected = image.numpy() * (1 - 0.6 + 0.6 * np.cos(theta) ** 4)[..., None]
    np.testing.assert_allclose(vignette(image, K, 0.6), expected, rtol=1e-13)


def test_vignetting_has_the_published_sensor_width() -> None:
    """θ = atan(r / f) where the sensor is 2·f·tan(hFOV / 2) wide, whatever f is."""
    fov, focal, size = math.radians(55.7), 0.005, 33
    pitch = 2 * focal * math.tan(fov / 2) / size
    r = (np.arange(size) - (size - 1) / 2) * pitch
    theta = np.arctan(np.hypot(r, r[:, None]) / focal)
    expected = 1 - 0.483918 + 0.483918 * np.cos(theta) ** 4
    image = torch.ones(size, size, 1, dtype=torch.float64)
    result = vignette(image, Intrinsics.from_fov(size, size, fov), 0.483918)
    np.testing.assert_allclose(result[..., 0], expected, rtol=1e-13)


def test_vignetting_gradients() -> None:
    def run(image, fx, fy, cx, cy, gain):
        return vignette(image, Intrinsics(WIDTH, HEIGHT, fx, fy, cx, cy), gain)

    numbers = [parameter(v) for v in (8.0, 8.5, 3.7, 3.1, 0.6)]
    assert gradcheck(run, (random_image(1).requires_grad_(), *numbers))


def test_vignetting_refuses_a_picture_of_another_size() -> None:
    with pytest.raises(ValueError, match=r'9x8 px.*9x7 px'):
        vignette(torch.ones(8, 9, 3), K, 0.5)


EXPOSURE = {
    'aperture': 2.8,
    'exposure_time': 0.02,
    'pixel_size': 3.45e-6,
    'quantum_efficiency': (0.4, 0.5, 0.8),
    'scene_illuminance': 1080.0,
    'aggregator_gain': 1e8,
    'dark_current': (1e-4, 3e-4, 7e-4),
}


def test_exposure_follows_eq_3() -> None:
    image = random_image(2)
    light = image.numpy() * 1e8 * 1080.0 * 3.45e-6**2 * 0.02 * np.array([0.4, 0.5, 0.8]) / 2.8**2
    expected = light + 0.02 * np.array([1e-4, 3e-4, 7e-4])
    np.testing.assert_allclose(expose(image, **EXPOSURE), expected, rtol=1e-13)


def test_exposure_gradients() -> None:
    values = {name: torch.tensor(value).double() for name, value in EXPOSURE.items()}
    # Central differences need a step that suits the number: scale each to the order of one.
    scales = {'pixel_size': 1e-6, 'aggregator_gain': 1e8, 'scene_illuminance': 1e3}
    numbers = [(v / scales.get(n, 1.0)).requires_grad_() for n, v in values.items()]

    def run(image, *numbers):
        named = zip(values, numbers, strict=True)
        return expose(image, **{name: v * scales.get(name, 1.0) for name, v in named})

    assert gradcheck(run, (random_image(3).requires_grad_(), *numbers))


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid'])
def test_response_follows_eq_5(kind: str, soft: bool) -> None:
    electrons = random_image(4) * 0.04 - 0.002
    gains, biases = np.array([0.3, 0.9, 0.2]), np.array([-0.1, 0.02, 0.1])
    gamma, iso = 0.7, 100.0
    signal = iso * electrons.numpy()
    if kind == 'linear':
        value = gains * signal + biases
    elif kind == 'gamma':
        value = gains * np.log2(np.maximum(signal, 1.0)) ** gamma + biases
    else:
        value = 1 / (1 + np.exp(-(gains * signal + biases)))
    assert kind == 'sigmoid' or (value.min() < 0 and value.max() > 1)
    result = respond(electrons, iso, kind, tuple(gains), tuple(biases), gamma, soft).numpy()
    assert result.min() >= 0 and result.max() <= 1
    if soft and kind != 'sigmoid':
        middle = (value > 0.05) & (value < 0.95)
        np.testing.assert_allclose(result[middle], value[middle], rtol=1e-12)
    else:
        np.testing.assert_allclose(result, np.clip(value, 0, 1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid'])
def test_response_gradients(kind: str) -> None:
    def run(electrons, iso, gains, biases, gamma):
        return respond(electrons, iso, kind, gains, biases, gamma, soft_clamp=True)

    electrons = (random_image(5) * 0.05).requires_grad_()
    numbers = (parameter(0.9, 1.3, 0.7), parameter(0.1, -0.2, 0.05), parameter(0.8))
    assert gradcheck(run, (electrons, parameter(100.0), *numbers))


@pytest.mark.parametrize('gamma', [0.3, 1.0, 2.4])
def test_gamma_response_is_finite_where_the_logarithm_is_not(gamma: float) -> None:
    signal = torch.tensor([0.0, -1.0, 0.5, 1.0, 1.0 + 1e-6, 2.0]).requires_grad_()
    exponent = torch.tensor(gamma, requires_grad=True)
    ones = (1.0,)
    value = respond(signal.reshape(1, -1, 1), 1.0, 'gamma', ones, (0.0,), exponent)
    value.sum().backward()
    assert value.isfinite().all() and signal.grad.isfinite().all() and exponent.grad.isfinite()
    assert (value.flatten()[:4] == 0).all() and (signal.grad[:4] == 0).all()


def test_soft_clamp_is_smooth_monotone_and_never_flat() -> None:
    x = torch.linspace(-50, 50, 4001, dtype=torch.float64, requires_grad=True)
    y = soft_clamp_to_unit(x)
    y.sum().backward()
    assert y.min() > 0 and y.max() < 1 and (y.diff() > 0).all() and (x.grad > 1e-7).all()
    for knee in (0.05, 0.95):
        edge = torch.tensor([knee - 1e-9, knee + 1e-9], dtype=torch.float64, requires_grad=True)
        soft_clamp_to_unit(edge).sum().backward()
        torch.testing.assert_close(edge.grad, torch.ones(2).double(), rtol=0, atol=1e-6)


def test_unknown_response_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'cubic'.*linear, gamma, sigmoid"):
        respond(torch.zeros(1, 1, 3), 100.0, 'cubic', (1.0,) * 3, (0.0,) * 3)


def test_stages_take_batches_of_settings() -> None:
    image = random_image(6, 2)
    focal, gain = torch.tensor([8.0, 12.0]).double(), torch.tensor([0.2, 0.9]).double()
    batch = vignette(image, Intrinsics(WIDTH, HEIGHT, focal, focal, 4.0, 3.0), gain)
    stops = torch.tensor([2.0, 8.0])
    exposed = expose(batch, **EXPOSURE | {'aperture': stops})
    digital = respond(exposed, torch.tensor([50.0, 800.0]), 'linear', (1.0,) * 3, (0.0,) * 3)
    for i in range(2):
        f = float(focal[i])
        one = vignette(image[i], Intrinsics(WIDTH, HEIGHT, f, f, 4.0, 3.0), float(gain[i]))
        one = expose(one, **EXPOSURE | {'aperture': float(stops[i])})
        one = respond(one, (50.0, 800.0)[i], 'linear', (1.0,) * 3, (0.0,) * 3)
        torch.testing.assert_close(digital[i], one)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    image = random_image(7).to(dtype)
    result = expose(vignette(image, K, 0.5), **EXPOSURE)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expose(vignette(image.float(), K, 0.5), **EXPOSURE))


def test_non_contiguous_pictures_are_taken() -> None:
    image = random_image(8)
    turned = image.permute(1, 0, 2).contiguous().permute(1, 0, 2)
    assert not turned.is_contiguous()
    torch.testing.assert_close(vignette(turned, K, 0.5), vignette(image, K, 0.5))


def test_encoded_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match='uint8: must be floating point and linear'):
        vignette(torch.zeros(HEIGHT, WIDTH, 3, dtype=torch.uint8), K, 0.5)
