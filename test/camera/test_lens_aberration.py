# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Lateral chromatic aberration against cv2.remap and numpy's roots, alone and with distortion."""

from __future__ import annotations

from dataclasses import replace
import math

import cv2
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera import CameraSettings, Intrinsics, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.aberration import (
    aberrate,
    border_maps,
    chromatic_maps,
    chromatic_padding,
    distort_colours,
    is_achromatic,
)
from diffphyscam_ros.camera.distortion import distort, source_padding

K = Intrinsics(48, 36, 40.0, 41.0, 22.7, 18.2)
SCALE, CURVE = (1.02, 1.0, 0.97), (0.03, 0.0, -0.05)
LENS = ('plumb_bob', (-0.361976, 0.110510, 0.001014, 0.000505, 0.0))
PINCUSHION = ('plumb_bob', (0.16, -0.05, 0.0, 0.0, 0.0))


def parameter(*values: float) -> torch.Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def smooth(
    view: Intrinsics, dtype: torch.dtype = torch.float64, period: float = 12.0
) -> torch.Tensor:
    """Return a grey picture, the same in each channel, with waves in both directions."""
    u = torch.arange(view.width, dtype=dtype)[None, :, None]
    v = torch.arange(view.height, dtype=dtype)[:, None, None]
    grey = 0.5 + 0.4 * torch.sin(2 * math.pi * u / period) * torch.cos(2 * math.pi * v / period)
    return grey.expand(-1, -1, 3).contiguous()


def noise(height: int, width: int, *leading: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((*leading, height, width, 3), generator=generator, dtype=torch.float64)


def expected_places(view: Intrinsics, scale: float, curve: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve r·(scale + curve·r²) = r' for each pixel by the roots of the cubic."""
    x = (np.arange(view.width) - view.cx) / view.fx
    y = (np.arange(view.height)[:, None] - view.cy) / view.fy
    x, y = np.broadcast_arrays(x, y)
    seen = np.hypot(x, y)
    r = np.empty_like(seen)
    for place in np.ndindex(seen.shape):
        roots = np.roots([curve, 0, scale, -seen[place]] if curve else [scale, -seen[place]])
        real = roots.real[(abs(roots.imag) < 1e-9) & (roots.real > -1e-12)]
        r[place] = real.min() if real.size else np.nan
    ratio = r / np.maximum(seen, 1e-300)
    return view.cx + view.fx * x * ratio, view.cy + view.fy * y * ratio


def test_each_channel_is_what_opencv_remaps() -> None:
    image = noise(K.height, K.width).float()
    ours = aberrate(image, K, SCALE, CURVE)
    for channel in range(3):
        u, v = expected_places(K, SCALE[channel], CURVE[channel])
        plane = np.ascontiguousarray(image[..., channel].numpy())
        maps = u.astype(np.float32), v.astype(np.float32)
        theirs = cv2.remap(plane, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # OpenCV rounds positions to 1/32 px.
        np.testing.assert_allclose(ours[..., channel], theirs, atol=0.04)
        positions = border_maps(K, SCALE, CURVE)[channel].numpy()
        np.testing.assert_allclose(positions[..., 0], np.clip(u, 0, 47), atol=1e-9)
        np.testing.assert_allclose(positions[..., 1], np.clip(v, 0, 35), atol=1e-9)


def test_a_point_moves_to_where_the_equation_says() -> None:
    """A small blob at r appears at r·(scale + curve·r²) in each channel."""
    view = Intrinsics(121, 121, 80.0, 80.0, 60.0, 60.0)
    x, y = 40.0, 30.0  # px from the principal point: r = 0.625
    u = torch.arange(121, dtype=torch.float64) - 60
    blob = torch.exp(-((u - x) ** 2 + (u[:, None] - y) ** 2) / (2 * 2.5**2))
    seen = aberrate(blob[..., None].expand(-1, -1, 3), view, (1.05, 1.0, 0.9), (0.1, 0.0, -0.1))
    for channel, factor in enumerate((1.05 + 0.1 * 0.625**2, 1.0, 0.9 - 0.1 * 0.625**2)):
        weight = seen[..., channel] / seen[..., channel].sum()
        centre = float((weight * u).sum()), float((weight * u[:, None]).sum())
        # A blob of this width is itself stretched, more on one side: a tenth of a pixel.
        np.testing.assert_allclose(centre, (factor * x, factor * y), atol=0.15)


def test_nothing_moves_without_aberration() -> None:
    image = noise(K.height, K.width)
    torch.testing.assert_close(
        aberrate(image, K, (1.0,) * 3, (0.0,) * 3), image, rtol=0, atol=1e-12
    )
    assert is_achromatic((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert not is_achromatic((1.0, 1.0, 1.001), (0.0, 0.0, 0.0))
    assert not is_achromatic(torch.ones(3), (0.0, 0.0, 0.0))


def test_where_a_channel_folds_it_is_black_and_gradients_are_finite() -> None:
    wide = Intrinsics(31, 31, 10.0, 10.0, 15.0, 15.0)
    curve = parameter(0.0, 0.0, -0.3)
    image = noise(31, 31).requires_grad_()
    seen = aberrate(image, wide, (1.0,) * 3, curve)
    radius = math.hypot(15, 15) / 10
    assert radius > 2 / 3 * math.sqrt(1 / 0.9)  # beyond the largest r' there is
    assert (seen[0, 0, :2] > 0).all() and seen[0, 0, 2] == 0 and seen[15, 15, 2] > 0
    seen.sum().backward()
    assert bool(curve.grad.isfinite().all()) and bool(image.grad.isfinite().all())


@pytest.mark.parametrize('lens', [('plumb_bob', ()), LENS])
def test_gradients(lens: tuple[str, tuple[float, ...]]) -> None:
    model, k = lens

    image = noise(9, 11)

    def run(f, cx, scale, curve):
        target = Intrinsics(4, 3, f, 7.2, cx, 1.2)
        source = Intrinsics(11, 9, 7.0, 7.1, 5.1, 4.3)
        return distort_colours(image, None, source, target, model, k, scale, curve)[0]

    numbers = [parameter(v) for v in (7.3, 1.4)]
    scale, curve = parameter(1.013, 0.99, 0.97), parameter(0.02, 0.01, -0.05)
    assert gradcheck(run, (*numbers, scale, curve))


def test_gradients_of_the_stage_alone_and_of_a_batch() -> None:
    def run(image, f, scale, curve):
        return aberrate(image, Intrinsics(5, 4, f, 7.2, 2.1, 1.2), scale, curve)

    batch = parameter([1.013, 0.99, 0.97], [1.1, 1.03, 0.9])
    image = noise(4, 5).requires_grad_()
    assert gradcheck(run, (image, parameter(7.3), batch, parameter(0.02, 0.01, -0.05)))
    both = run(image, 7.3, batch, (0.02, 0.01, -0.05))
    for one, scale in zip(both, batch, strict=True):
        torch.testing.assert_close(one, run(image, 7.3, scale, (0.02, 0.01, -0.05)))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r'8x6 px with 1 channels.*48x36 px'):
        aberrate(torch.rand(6, 8, 1), K, SCALE, CURVE)
    with pytest.raises(ValueError, match='must be > 0'):
        aberrate(torch.rand(36, 48, 3), K, (1.0, 1.0, 0.0), CURVE)


def test_with_distortion_it_is_distortion_then_aberration() -> None:
    """One interpolation instead of two: the same within what a second one blurs."""
    source = K.padded(*chromatic_padding(K, *LENS, SCALE, CURVE))
    image = smooth(source, period=24.0)
    depth = noise(source.height, source.width)[..., 0]
    ours, far = distort_colours(image, depth, source, K, *LENS, SCALE, CURVE)
    straight, far_alone = distort(image, depth, source, K, *LENS)
    assert torch.equal(far, far_alone)
    torch.testing.assert_close(ours[..., 1], straight[..., 1], rtol=0, atol=1e-12)
    twice = aberrate(straight, K, SCALE, CURVE)
    inside = (slice(3, -3), slice(3, -3))
    assert float((ours - twice)[inside].abs().max()) < 0.02
    assert float((ours - straight)[inside][..., 0].abs().max()) > 0.04  # red did move


@pytest.mark.parametrize('lens', [('plumb_bob', ()), LENS, PINCUSHION])
@pytest.mark.parametrize(
    ('scale', 'curve'),
    [((0.95, 1.0, 1.04), (0.0, 0.0, 0.0)), ((1.0, 1.0, 1.0), (-0.06, 0.0, 0.08)), (SCALE, CURVE)],
)
def test_no_pixel_lacks_a_source(lens, scale, curve) -> None:
    margins = chromatic_padding(K, *lens, scale, curve)
    source = K.padded(*margins)
    for pixels in chromatic_maps(source, K, *lens, scale, curve):
        u, v = pixels.unbind(-1)
        assert float(u.min()) >= -1e-6 and float(u.max()) <= source.width - 1 + 1e-6
        assert float(v.min()) >= -1e-6 and float(v.max()) <= source.height - 1 + 1e-6
    plain = source_padding(K, *lens)
    assert all(a >= b for a, b in zip(margins, plain, strict=True))
    assert margins != plain or lens == PINCUSHION  # which needs no margin at all
    white = torch.ones(source.height, source.width, 3)
    seen, _ = distort_colours(white, None, source, K, *lens, scale, curve)
    torch.testing.assert_close(seen, torch.ones_like(seen))


def camera_with(lens: tuple[str, tuple[float, ...]]) -> PhysicalCamera:
    sensor = SensorModel(
        image_width=112,
        image_height=84,
        pixel_size=7e-5,
        distortion_model=lens[0],
        distortion_coefficients=lens[1],
        chromatic_scale=(1.01, 1.0, 0.985),
        chromatic_curve=(0.01, 0.0, -0.02),
    )
    return PhysicalCamera(sensor, stages=('distortion', 'aberration'))


@pytest.mark.parametrize('lens', [LENS, PINCUSHION])
def test_opencv_gives_back_the_pinhole_picture_in_green(lens) -> None:
    """Un-distorted with camera_info, green is right, and red and blue are off by the colour."""
    camera = camera_with(lens)
    settings = CameraSettings(focal_length=0.006)
    view, target = camera.source_intrinsics(settings), camera.sensor.intrinsics(settings)
    image = smooth(view, torch.float32)
    seen = camera(image, None, settings).image.numpy()
    assert seen.min() > 0.05  # no black border
    given, wanted = target.matrix().double().numpy(), view.matrix().double().numpy()
    size = view.width, view.height
    maps = cv2.initUndistortRectifyMap(
        given, np.array(lens[1]), np.eye(3), wanted, size, cv2.CV_32FC1
    )
    back = cv2.remap(seen, *maps, cv2.INTER_CUBIC)
    known = cv2.remap(np.ones(seen.shape[:2], np.float32), *maps, cv2.INTER_LINEAR)
    inside = cv2.erode(known, np.ones((9, 9))) > 0.999
    assert inside.mean() > 0.3
    error = np.sqrt(np.mean((back - image.numpy())[inside] ** 2, axis=0))
    assert error[1] < 0.02 and error[0] > 2 * error[1] and error[2] > 2 * error[1]


@pytest.mark.parametrize(
    ('lens', 'padded'), [(('plumb_bob', ()), True), (('plumb_bob', ()), False), (LENS, True)]
)
def test_fast_path_equals_the_reference(lens, padded: bool) -> None:
    camera = camera_with(lens)
    settings = CameraSettings(focal_length=0.006)
    view = (camera.source_intrinsics if padded else camera.sensor.intrinsics)(settings)
    image = noise(view.height, view.width).float()
    fast = camera(image, None, settings).image
    slow = camera(image.clone().requires_grad_(), None, settings).image
    assert slow.requires_grad and not fast.requires_grad
    torch.testing.assert_close(fast, slow.detach(), rtol=0, atol=1e-4)


def test_finite_differences_through_the_camera() -> None:
    camera = camera_with(LENS)
    settings = CameraSettings(focal_length=0.006)
    view = camera.source_intrinsics(settings)
    image = smooth(view)
    scale = parameter(1.01, 1.0, 0.985)

    def loss(value: torch.Tensor) -> torch.Tensor:
        one = PhysicalCamera(replace(camera.sensor, chromatic_scale=value), camera.stages)
        return one(image, None, settings, intrinsics=view).image.square().mean()

    loss(scale).backward()
    step = torch.tensor([0.0, 0.0, 1e-6], dtype=torch.float64)
    with torch.no_grad():
        slope = (loss(scale + step) - loss(scale - step)) / 2e-6
    assert abs(float(slope) - float(scale.grad[2])) < 1e-3 * abs(float(slope)) + 1e-7
