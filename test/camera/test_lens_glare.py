# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Glare against the exact Gaussians of SciPy and OpenCV, its energy, gradients and kernel."""

from __future__ import annotations

import cv2
import numba
import numpy as np
import pytest
from scipy import ndimage
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera.glare import glare
from diffphyscam_ros.kernels.glare import glare_fast
from diffphyscam_ros.kernels.glare_levels import halvings

RADII = (1.0, 1.7, 1.8, 3.6, 6.9, 8.0, 13.9, 20.0)


def parameter(*values: float) -> torch.Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def exact(image: np.ndarray, radius: float) -> np.ndarray:
    """Return the mean of the four Gaussians of a picture (H, W), borders mirrored."""
    octaves = [
        ndimage.gaussian_filter(image, radius * 2**k, mode='reflect', truncate=6) for k in range(4)
    ]
    return np.mean(octaves, axis=0)


def lights(height: int, width: int, *leading: int, dtype: torch.dtype = torch.float64):
    """Return a picture with few bright pixels."""
    generator = torch.Generator().manual_seed(0)
    return 10 * torch.rand((*leading, height, width, 3), generator=generator, dtype=dtype) ** 8


@pytest.mark.parametrize('radius', RADII)
@pytest.mark.parametrize('size', [(96, 128), (101, 127)])
def test_halo_of_a_point_is_the_exact_one_to_a_percent(radius, size) -> None:
    """The pyramid deviates from the true Gaussians by less than 1 % of their peak."""
    for place in ((48, 61), (49, 64), (0, 0), (3, 126), (size[0] - 1, size[1] - 1)):
        point = np.zeros(size)
        point[place] = 1.0
        truth = exact(point, radius)
        ours = glare(torch.tensor(point)[..., None], 1.0, radius)[..., 0].numpy()
        assert abs(ours - truth).max() < 1e-2 * truth.max()


def test_picture_equals_opencv_s_gaussians() -> None:
    image = lights(120, 160)
    given = image.numpy()
    halo = np.mean(
        [
            cv2.GaussianBlur(given, (0, 0), 4.0 * 2**k, borderType=cv2.BORDER_REFLECT)
            for k in range(4)
        ],
        axis=0,
    )
    ours = glare(image, 0.2, 4.0).numpy()
    np.testing.assert_allclose(ours, 0.8 * given + 0.2 * halo, atol=2e-3 * float(halo.max()))


@pytest.mark.parametrize('radius', [1.0, 2.0, 8.0, 100.0])
@pytest.mark.parametrize('size', [(64, 96), (37, 53), (1, 1), (1, 30), (3, 2), (135, 67)])
def test_sum_and_constant_pictures_stay(radius, size) -> None:
    """Whatever the size: also where a border lies in the middle of a coarse cell."""
    image = lights(*size)
    image[-1, -1] = 100.0
    seen = glare(image, 0.7, radius)
    torch.testing.assert_close(seen.sum((0, 1)), image.sum((0, 1)), rtol=1e-12, atol=0)
    flat = torch.full((*size, 3), 0.7, dtype=torch.float64)
    torch.testing.assert_close(glare(flat, 0.7, radius), flat, rtol=1e-12, atol=0)


@pytest.mark.parametrize('size', range(1, 40))
def test_doubling_is_the_transpose_of_halving(size: int) -> None:
    (axis,) = halvings(size, 1)
    down, up = np.zeros((axis.size, size)), np.zeros((size, axis.size))
    np.add.at(down, (np.arange(axis.size)[:, None], axis.down_index), axis.down_weight)
    np.add.at(up, (np.arange(size)[:, None], axis.up_index), axis.up_weight)
    np.testing.assert_allclose(up, down.T * size / axis.size, atol=1e-12)
    np.testing.assert_allclose(down.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(up.sum(1), 1, rtol=1e-12)


def test_a_highlight_blooms_and_surfaces_hardly_change() -> None:
    """2 % of glare: a lamp 500 times white lights up its surroundings, a texture stays."""
    generator = torch.Generator().manual_seed(1)
    surface = 0.3 + 0.2 * torch.rand((128, 128, 3), generator=generator)
    plain = glare(surface, 0.02, 8.0)
    assert float((plain - surface).abs().max()) < 0.005
    lamp = surface.clone()
    lamp[60:64, 60:64] = 500.0
    seen = glare(lamp, 0.02, 8.0)
    assert float(seen[62, 62, 0]) > 480
    halo = (seen - surface).mean(-1)
    assert float(halo[62, 72]) > 0.05
    near, far = float(halo[62, 62 + 16]), float(halo[62, 62 + 48])
    assert 3 < near / far < 30  # like 1/r² (9), not like one Gaussian


def test_gradients() -> None:
    image = lights(4, 5)[..., :1].clone().requires_grad_()
    for radius in (1.2, 4.2, 30.0):
        assert gradcheck(glare, (image, parameter(0.3), parameter(radius)))
    batch = lights(3, 4, 2)[..., :1].clone().requires_grad_()
    assert gradcheck(glare, (batch, parameter(0.3, 0.2), parameter(1.2, 8.0)))


@pytest.mark.parametrize('fraction', [0.0, 1.0])
def test_gradients_at_the_ends_of_the_fraction(fraction: float) -> None:
    share, radius = parameter(fraction), parameter(8.0)
    glare(lights(16, 16), share, radius).square().mean().backward()
    assert bool(share.grad.isfinite()) and bool(radius.grad.isfinite())
    assert float(share.grad) != 0


def test_each_picture_of_a_batch_is_as_if_alone() -> None:
    image, radius = lights(12, 16), torch.tensor([1.0, 9.0], dtype=torch.float64)
    both = glare(image, torch.tensor([0.3, 0.1], dtype=torch.float64), radius)
    torch.testing.assert_close(both[0], glare(image, 0.3, 1.0))
    torch.testing.assert_close(both[1], glare(image, 0.1, 9.0))
    stack = lights(12, 16, 2, 3)
    torch.testing.assert_close(glare(stack, 0.3, 9.0)[1, 2], glare(stack[1, 2], 0.3, 9.0))


def test_too_narrow_a_glare_is_refused() -> None:
    for radius in (0.5, float('nan'), float('inf')):
        with pytest.raises(ValueError, match='glare radius'):
            glare(torch.ones(4, 4, 3), 0.1, radius)
    with pytest.raises(ValueError, match=r'must be \(H, W, 3\) float32'):
        glare_fast(np.ones((4, 4), np.float32), 0.1, 8.0)
    with pytest.raises(ValueError, match='must be contiguous'):
        glare_fast(np.ones((4, 4, 3), np.float32), 0.1, 8.0, np.ones((4, 3, 3), np.float32))


@pytest.mark.parametrize('size', [(60, 80), (67, 127), (37, 53), (1, 1), (1, 40), (2, 3)])
def test_kernel_equals_the_reference(size) -> None:
    image = lights(*size, dtype=torch.float32)
    given = image.numpy().copy()
    for radius in (*RADII, 256.0):
        ours = glare_fast(given, 0.3, radius)
        np.testing.assert_allclose(ours, glare(image, 0.3, radius), rtol=2e-5, atol=2e-6)
        in_place = given.copy()
        assert glare_fast(in_place, 0.3, radius, in_place) is in_place
        np.testing.assert_array_equal(in_place, ours)
    np.testing.assert_array_equal(given, image)


def test_kernel_is_the_same_with_any_number_of_threads() -> None:
    image = lights(240, 322, dtype=torch.float32).numpy()
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = glare_fast(image, 0.3, 3.6)
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(glare_fast(image, 0.3, 3.6), alone)
