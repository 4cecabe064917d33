# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The vignetting laws and the rim before the pupil, against NumPy, SciPy and counted areas."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera import CameraSettings, Intrinsics, SensorModel, vignette
from diffphyscam_ros.camera.disk_overlap import disk_overlap
from diffphyscam_ros.camera.vignetting import pupil_vignetting, vignetting_mask

HEIGHT, WIDTH = 7, 9
K = Intrinsics(WIDTH, HEIGHT, 8.0, 8.5, 3.7, 3.1)
LIKE = torch.zeros((), dtype=torch.float64)
FAST_LENS = {'focal_length': 0.05, 'aperture': 1.4, 'rim_radius': 0.02, 'rim_distance': 0.03}


def parameter(*values: float) -> torch.Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def picture(*leading: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((*leading, HEIGHT, WIDTH, 3), generator=generator, dtype=torch.float64)


def slopes() -> np.ndarray:
    x = (np.arange(WIDTH) - 3.7) / 8.0
    y = (np.arange(HEIGHT)[:, None] - 3.1) / 8.5
    return np.sqrt(x**2 + y**2)


def counted_overlap(radius: float, distance: float, steps: int = 1500) -> float:
    """Count the points of a fine grid over the unit disk that the other disk covers, too."""
    axis = (np.arange(steps) + 0.5) / steps * 2 - 1
    x, y = axis, axis[:, None]
    unit = x**2 + y**2 <= 1
    return float((unit & ((x - distance) ** 2 + y**2 <= radius**2)).sum() / unit.sum())


def test_radial_law() -> None:
    k, image, r = (-0.6, -0.9, 0.2), picture(), slopes()
    factor = np.maximum(1 - 0.6 * r**2 - 0.9 * r**4 + 0.2 * r**6, 0)
    ours = vignette(image, K, 0.3, 'radial', k)
    np.testing.assert_allclose(ours, image.numpy() * factor[..., None], rtol=1e-13)
    assert torch.equal(vignette(image, K, 0.3, 'radial', ()), image)
    dark = vignette(image, K, 0.3, 'radial', (-9.0,))
    assert (dark == 0).any() and (dark > 0).any() and (dark >= 0).all()


def test_map_is_bilinear_between_the_corner_pixels() -> None:
    values = np.random.default_rng(1).uniform(0.2, 1.0, (3, 4))
    image = picture()
    rows, columns = np.linspace(0, HEIGHT - 1, 3), np.linspace(0, WIDTH - 1, 4)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    factor = RegularGridInterpolator((rows, columns), values)((v, u))
    ours = vignette(image, K, 0.3, 'map', (), tuple(values.ravel()), 4)
    np.testing.assert_allclose(ours, image.numpy() * factor[..., None], rtol=1e-12)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        expected = image[row, column] * values[row, column]
        np.testing.assert_allclose(ours[row, column], expected, rtol=1e-12)


def test_map_of_one_pixel() -> None:
    one = vignette(
        torch.ones(1, 1, 3), Intrinsics(1, 1, 1.0, 1.0, 0.0, 0.0), 0, 'map', (), range(4), 2
    )
    assert torch.equal(one, torch.full((1, 1, 3), 1.5))


def test_gradients_of_the_laws() -> None:
    def radial(image, fx, cx, k):
        return vignette(image, Intrinsics(WIDTH, HEIGHT, fx, 8.5, cx, 3.1), 0.0, 'radial', k)

    def mapped(image, grid):
        return vignette(image, K, 0.0, 'map', (), grid, 3)

    image = picture().requires_grad_()
    assert gradcheck(radial, (image, parameter(8.0), parameter(3.7), parameter(-0.4, 0.1)))
    batch = torch.tensor([[-0.4, 0.1], [0.2, -0.3]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(radial, (image, parameter(8.0), parameter(3.7), batch))
    grid = torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert gradcheck(mapped, (image, grid.requires_grad_()))


def test_clipped_radial_law_has_finite_gradients() -> None:
    k = parameter(-9.0, 0.0)
    vignette(picture(), K, 0.0, 'radial', k).sum().backward()
    assert bool(k.grad.isfinite().all()) and bool((k.grad > 0).all())


def test_bad_models_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'spline'.*cos4, radial, map"):
        vignette(picture(), K, 0.5, 'spline')
    with pytest.raises(ValueError, match=r'5 values and grid_columns = 2'):
        vignette(picture(), K, 0.5, 'map', (), (1.0,) * 5, 2)


@pytest.mark.parametrize(
    ('radius', 'distance'),
    [(1.0, 0.5), (0.4, 0.9), (2.5, 1.9), (0.3, 0.1), (3.0, 1.0), (0.5, 1.6), (1.2, 0.2000001)],
)
def test_overlap_of_disks_is_the_counted_area(radius: float, distance: float) -> None:
    ours = disk_overlap(*(torch.tensor(v, dtype=torch.float64) for v in (radius, distance)))
    assert abs(float(ours) - counted_overlap(radius, distance)) < 5e-4


def test_overlap_of_disks_is_precise_in_float32() -> None:
    radius = torch.linspace(0.05, 3.0, 200, dtype=torch.float64)[:, None]
    distance = torch.linspace(0.0, 4.5, 301, dtype=torch.float64)
    difference = disk_overlap(radius.float(), distance.float()) - disk_overlap(radius, distance)
    assert float(difference.abs().max()) < 1e-6


def test_overlap_gradients() -> None:
    radius, distance = parameter(0.5, 1.3, 0.8, 0.4, 2.5), parameter(0.7, 0.6, 1.1, 0.2, 0.9)
    assert gradcheck(disk_overlap, (radius, distance))
    assert torch.autograd.gradgradcheck(disk_overlap, (radius, distance))


def test_overlap_gradients_where_disks_touch() -> None:
    """Inside, outside, the same disk, a point inside, apart: finite, and 0 where nothing moves."""
    radius, distance = parameter(0.5, 0.5, 1.0, 2.0, 2.0), parameter(0.5, 1.5, 0.0, 1.0, 4.0)
    overlap = disk_overlap(radius, distance)
    np.testing.assert_allclose(overlap.detach(), [0.25, 0, 1, 1, 0], atol=1e-15)
    overlap.sum().backward()
    np.testing.assert_allclose(radius.grad, [1, 0, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(distance.grad, 0, atol=1e-7)


def test_rim_hides_the_counted_part_of_the_pupil() -> None:
    pupil = 0.05 / (2 * 1.4)
    factor = pupil_vignetting(K, LIKE, **FAST_LENS)
    assert factor.shape == (HEIGHT, WIDTH, 1)
    r = slopes()
    for v, u in ((3, 4), (0, 0), (6, 8), (2, 7)):
        expected = counted_overlap(0.02 / pupil, 0.03 * r[v, u] / pupil)
        assert abs(float(factor[v, u, 0]) - expected) < 5e-4
    assert float(factor[3, 4, 0]) == 1.0 and float(factor[0, 8, 0]) < 0.7


def test_stopping_down_takes_mechanical_vignetting_away() -> None:
    view = Intrinsics.from_fov(33, 25, math.radians(40))
    corners = [
        float(pupil_vignetting(view, LIKE, **{**FAST_LENS, 'aperture': n})[0, 0, 0])
        for n in (1.4, 2.0, 2.8, 5.6)
    ]
    assert corners == sorted(corners) and corners[0] < 0.75 and corners[-1] == 1.0


@pytest.mark.parametrize('aperture', [0.7, 1.4, 5.6])
def test_rim_gradients(aperture: float) -> None:
    scales = {'focal_length': 0.05, 'rim_radius': 0.02, 'rim_distance': 0.03}

    def run(fx, cx, aperture, *lens):
        view = Intrinsics(WIDTH, HEIGHT, fx, 8.5, cx, 3.1)
        metres = {name: v * scales[name] for name, v in zip(scales, lens, strict=True)}
        return pupil_vignetting(view, LIKE, aperture=aperture, **metres)

    numbers = [parameter(v) for v in (8.0, 3.7, aperture, 1.0, 0.97, 1.03)]
    assert gradcheck(run, numbers)


def test_rim_gradients_are_finite_at_the_axis_and_in_every_state() -> None:
    """A principal point on a pixel; pupils clear, cut, hidden; a rim that is not there."""
    view = Intrinsics(
        WIDTH, HEIGHT, parameter(8.0), parameter(8.5), parameter(4.0), parameter(3.0)
    )
    lens = [
        parameter(0.05, 0.05, 0.05, 0.05, 0.05),
        parameter(16.0, 1.4, 1.4, 1.4, 1.4),
        parameter(0.02, 0.02, 0.001, 0.0, 0.05 / 2.8),
        parameter(0.03, 0.03, 0.9, 0.03, 0.0),
    ]
    factor = pupil_vignetting(view, LIKE, *lens)
    assert (factor[0] == 1).all() and 0 < factor[1].min() < 1 and factor[2, 0, 0] == 0
    assert (factor[3] == 1).all() and (factor[4] == 1).all()
    factor.square().sum().backward()
    for number in (view.fx, view.fy, view.cx, view.cy, *lens):
        assert bool(number.grad.isfinite().all())
    assert float(lens[1].grad[1]) > 0  # stopping down brightens


SENSOR = SensorModel(
    image_width=WIDTH,
    image_height=HEIGHT,
    vignetting_gain=0.4,
    vignetting_coefficients=(-0.3, 0.05),
    vignetting_map=(0.5, 0.9, 0.8, 1.0),
    vignetting_map_columns=2,
)


@pytest.mark.parametrize('model', ['cos4', 'radial', 'map'])
@pytest.mark.parametrize('rim', [0.0, 0.02])
def test_mask_of_the_fast_path_is_the_product_of_both(model: str, rim: float) -> None:
    settings = CameraSettings(focal_length=0.05, aperture=1.4, focus_distance=2.0)
    sensor = replace(SENSOR, vignetting_model=model, rim_radius=rim, rim_distance=0.03)
    white = torch.ones(HEIGHT, WIDTH, 1, dtype=torch.float64)
    expected = vignette(white, K, 0.4, model, (-0.3, 0.05), (0.5, 0.9, 0.8, 1.0), 2)
    if rim:
        expected = expected * pupil_vignetting(K, white, 0.05, 1.4, rim, 0.03)
    mask = vignetting_mask(K, sensor, settings)
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, expected[..., 0], rtol=2e-6)
    assert vignetting_mask(K, replace(sensor, image_width=40), settings) is mask


def test_no_vignetting_is_no_mask() -> None:
    settings = CameraSettings()
    assert vignetting_mask(K, replace(SENSOR, vignetting_gain=0.0), settings) is None
    plain = replace(SENSOR, vignetting_model='radial', vignetting_coefficients=())
    assert vignetting_mask(K, replace(plain, rim_radius=0.02), settings) is None
