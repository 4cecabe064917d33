# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The stages against the published camera model, number by number.

The model that this camera follows (arXiv 2508.08831) is transcribed here in float64 NumPy from
its equations, with its own habits: the blur rounded up to odd whole sizes, kernels that are
Gaussian samples in a square window, neither normalised nor mirrored at borders. Beside what must
be equal, the tests state what is not and by how much.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    circle_of_confusion,
    defocus,
    Intrinsics,
    PhysicalCamera,
    SensorModel,
)
from diffphyscam_ros.camera.noise import normal_deviates, PATTERN_STREAM, SHOT_STREAM

Floats = npt.NDArray[np.float64]

HEIGHT, WIDTH = 40, 48
INNER = (slice(12, HEIGHT - 12), slice(12, WIDTH - 12))  # nothing of the borders reaches it
F, PITCH, N, U, GAIN, LARGEST = 0.005, 3.45e-6, 1.4, 1.2, 0.8, 21


def published_sizes(depth: Floats) -> npt.NDArray[np.int64]:
    """Return the kernel sizes: eq. 2, rounded up to odd whole numbers within 1 … max_coc."""
    c = GAIN * F * F * np.abs(depth - U) / (N * PITCH * depth * (U - F))
    size = np.ceil(c).astype(np.int64)
    return np.clip(np.where(size % 2 == 1, size, size + 1), 1, LARGEST)


def published_scatter(image: Floats, sizes: npt.NDArray[np.int64]) -> Floats:
    """Spread every pixel over its window of ``size`` px; what falls outside the frame is lost."""
    out = np.zeros_like(image)
    for y, x in np.ndindex(sizes.shape):
        size = int(sizes[y, x])
        reach, sigma = size // 2, size / 6.0
        rows = np.arange(max(y - reach, 0), min(y + reach + 1, HEIGHT))
        columns = np.arange(max(x - reach, 0), min(x + reach + 1, WIDTH))
        square = (rows[:, None] - y) ** 2 + (columns - x) ** 2
        weights = np.exp(-square / (2.0 * sigma**2)) / (2.0 * math.pi * sigma**2)
        if size == 1:
            weights = np.ones((1, 1))
        out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += (
            weights[..., None] * image[y, x]
        )
    return out


def depth_of(c: Floats) -> Floats:
    """Return the depth in front of the focus where the blur is c px."""
    return U / (1.0 + c * N * PITCH * (U - F) / (GAIN * F * F))


def scene(seed: int = 0) -> Floats:
    """Return a picture as a renderer gives it: edges, gradients, and detail of a few pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = sum(
        np.sin(rng.uniform(0.2, 1.2) * x + rng.uniform(0.2, 1.2) * y + rng.uniform(0, 6))
        for _ in range(6)
    )
    color = 0.5 + 0.06 * waves[..., None] + rng.uniform(-0.05, 0.05, 3)
    color[10:25, 20:35] += 0.3
    return color


SIZES = {
    'uniform 3': np.full((HEIGHT, WIDTH), 3),
    'uniform 9': np.full((HEIGHT, WIDTH), 9),
    'uniform 15': np.full((HEIGHT, WIDTH), 15),
    'step 9 | 3': np.where(np.arange(WIDTH) < 24, 9, 3)[None].repeat(HEIGHT, 0),
    'patches': np.kron(
        np.random.default_rng(1).choice([3, 5, 7, 9, 11], (5, 6)), np.ones((8, 8), np.int64)
    ),
}


def blurred(image: Floats, sizes: npt.NDArray[np.int64], normalize: bool) -> Floats:
    coc = torch.from_numpy(sizes.astype(np.float64))
    picture = torch.from_numpy(image)
    return defocus(picture, coc, 'gaussian', 'exact', normalize=normalize).numpy()


@pytest.mark.parametrize('name', SIZES)
def test_defocus_spreads_as_published_but_for_what_its_windows_lose(name: str) -> None:
    image, sizes = scene(), SIZES[name]
    # Depths that the published rounding leaves where they are.
    np.testing.assert_array_equal(published_sizes(depth_of(sizes - 1e-3)), sizes)
    published = published_scatter(image, sizes)
    whole = published_scatter(np.ones((HEIGHT, WIDTH, 1)), sizes)
    ours = blurred(image, sizes, normalize=False)
    # Windows of 3 σ hold 0.995 of a Gaussian; samples of one as narrow as σ = 1/2 add up to 1.028.
    assert np.abs(ours - published)[INNER].max() < 0.045
    # Both divided by what they make of a constant picture: the shape of the spread alone is left.
    shape = np.abs(blurred(image, sizes, normalize=True) - published / whole)[INNER]
    # A blur that is 10 % too large gives 0.0046 or more. (Samples of a Gaussian and Lindeberg's
    # discrete Gaussian of the same variance differ in how they pass detail of a few pixels.)
    assert np.sqrt((shape**2).mean()) < 0.0042
    assert shape.max() < 0.017


@pytest.mark.parametrize(('size', 'total'), [(3, 1.0279), (5, 0.9971), (9, 0.9955), (21, 0.9948)])
def test_published_windows_do_not_keep_the_light_and_ours_do(size: int, total: float) -> None:
    ones, sizes = np.ones((HEIGHT, WIDTH, 1)), np.full((HEIGHT, WIDTH), size)
    assert published_scatter(ones, sizes)[20, 24, 0] == pytest.approx(total, abs=2e-4)
    np.testing.assert_allclose(blurred(ones, sizes, normalize=False), 1.0, atol=1e-6)


def test_blur_is_what_the_published_sizes_are_rounded_up_from() -> None:
    depth = np.random.default_rng(2).uniform(0.3, 8.0, (HEIGHT, WIDTH))
    ours = circle_of_confusion(torch.from_numpy(depth), N, F, U, PITCH, GAIN, 0.0, LARGEST).numpy()
    rounding = published_sizes(depth) - ours
    assert rounding.min() > -1e-9 and rounding.max() < 2.0 + 1e-9
    assert rounding[ours < LARGEST].max() > 1.9  # of 0.05 px, the published size is 1; of 1.01, 3


SENSOR = {
    'image_width': WIDTH,
    'image_height': HEIGHT,
    'pixel_size': PITCH,
    'focal_scale': (0.03, 0.03),  # f/C alone would be a tele lens at this size
    'quantum_efficiency': (0.37465, 0.51765, 0.84225),
    'scene_illuminance': 1080.0,
    'aggregator_gain': 1e8,
    'vignetting_gain': 0.483918,
    'defocus_gain': 0.0,
    'dark_current': (1.2e-2, 2.7e-2, 5.5e-2),
    'shot_noise_gain': (0.02, 0.021, 0.032),
    'read_noise': (0.01, 0.012, 0.02),
    'fixed_pattern_seed': 1234,
}
RESPONSES = {
    'linear': {
        'response_gains': (0.7, 0.5, 0.3),
        'response_biases': (0.033242, 0.049619, 0.096618),
    },
    'gamma': {
        'response_gains': (0.35, 0.4, 0.45),
        'response_biases': (0.02, 0.03, 0.04),
        'response_gamma': 1.2,
    },
}


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])  # torch, and the kernels
@pytest.mark.parametrize('kind', RESPONSES)
def test_a_whole_frame_with_the_same_deviates(kind: str, dtype: torch.dtype) -> None:
    t, iso, response = 0.5, 3.0, RESPONSES[kind]
    image = scene(3)
    # The published order: vignetting, aggregation, noise, response, clamp.
    focal_px = SENSOR['focal_scale'][0] * F / PITCH
    x = (np.arange(WIDTH) - (WIDTH - 1) / 2) / focal_px
    y = (np.arange(HEIGHT)[:, None] - (HEIGHT - 1) / 2) / focal_px
    mask = 1.0 - np.cos(np.arctan(np.sqrt(x**2 + y**2))) ** 4
    value = image * (1.0 - SENSOR['vignetting_gain'] * mask[..., None])
    value = value * SENSOR['aggregator_gain'] * SENSOR['scene_illuminance']
    value = value / N**2 * PITCH**2 * t * np.array(SENSOR['quantum_efficiency'])
    value = value + t * np.array(SENSOR['dark_current'])
    shape = (HEIGHT, WIDTH, 3)
    shot = normal_deviates(shape, 77, 5, SHOT_STREAM, torch.float64).numpy()
    fixed = normal_deviates(shape, 1234, 0, PATTERN_STREAM, torch.float64).numpy()
    value = value + shot * np.array(SENSOR['shot_noise_gain']) * np.sqrt(value)
    value = value + fixed * np.array(SENSOR['read_noise'])
    signal = iso * value
    if kind == 'gamma':
        # Published without a floor: NaN below a signal of 1, where ours is the bias.
        signal = np.log2(np.maximum(signal, 1.0)) ** response['response_gamma']
    value = np.array(response['response_gains']) * signal + np.array(response['response_biases'])
    expected = np.clip(value, 0.0, 1.0)
    assert ((expected > 0) & (expected < 1)).mean() > 0.5  # a picture, not black or white

    sensor = SensorModel(**SENSOR, response_type=kind, **response)
    stages = ('vignetting', 'defocus', 'exposure', 'noise', 'response')
    camera = PhysicalCamera(sensor, stages, seed=77)
    settings = CameraSettings(
        aperture=N, exposure_time=t, iso=iso, focal_length=F, focus_distance=U
    )
    assert camera.sensor.intrinsics(settings) == Intrinsics(
        WIDTH, HEIGHT, focal_px, focal_px, (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    )
    depth = torch.full((HEIGHT, WIDTH), 2.0, dtype=dtype)
    taken = camera(torch.from_numpy(image).to(dtype), depth, settings, frame_number=5).image
    bound = 1e-12 if dtype == torch.float64 else 5e-6
    np.testing.assert_allclose(taken.double().numpy(), expected, atol=bound, rtol=0)
