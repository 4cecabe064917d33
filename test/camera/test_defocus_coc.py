# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Circle of confusion, CAMERA_MODEL.md eq. 2: against NumPy, special cases, gradients, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.camera.defocus import circle_of_confusion
from diffphyscam_ros.kernels.circle_of_confusion import circle_of_confusion_fast

LENS = {'aperture': 2.8, 'focal_length': 0.012, 'focus_distance': 1.5, 'pixel_size': 6e-6}


def transcription(d, aperture, focal_length, focus_distance, pixel_size, gain, dead_zone, limit):
    """Eq. 2 as it stands on the page, float64."""
    n, f, u, pitch = aperture, focal_length, focus_distance, pixel_size
    if math.isinf(u):
        c = f**2 * gain / (n * pitch * d)
    else:
        c = gain * f**2 * np.abs(d - u) / (n * pitch * d * (u - f))
    return np.minimum(np.where(np.abs(d - u) <= dead_zone, 0.0, c), limit)


@pytest.mark.parametrize('focus_distance', [0.3, 1.5, 20.0, math.inf])
@pytest.mark.parametrize(('gain', 'dead_zone', 'limit'), [(1.0, 0.0, 1e9), (0.8, 0.2, 21.0)])
def test_equals_the_equation(focus_distance, gain, dead_zone, limit):
    depth = np.random.default_rng(1).uniform(0.1, 30.0, (9, 13))
    lens = {**LENS, 'focus_distance': focus_distance}
    expected = transcription(depth, **lens, gain=gain, dead_zone=dead_zone, limit=limit)
    coc = circle_of_confusion(
        torch.tensor(depth), **lens, gain=gain, dead_zone=dead_zone, max_coc=limit
    )
    np.testing.assert_allclose(coc.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('focus_distance', [1.5, math.inf])
def test_no_hit_is_infinitely_far(focus_distance):
    lens = {**LENS, 'focus_distance': focus_distance}
    depth = torch.tensor([[0.0, math.inf, math.nan, -1.0, 1e12]], dtype=torch.float64)
    coc = circle_of_confusion(depth, **lens)
    limit = 0.0 if math.isinf(focus_distance) else 0.012**2 / (2.8 * 6e-6 * (1.5 - 0.012))
    assert torch.allclose(coc, torch.full_like(coc, limit), rtol=1e-9, atol=1e-9)


def test_in_focus_dead_zone_and_limit():
    depth = torch.tensor([[1.5, 1.39, 1.41, 1.59, 1.61, 0.01]], dtype=torch.float64)
    coc = circle_of_confusion(depth, **LENS, dead_zone=0.1, max_coc=31.0)[0]
    assert coc[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]
    assert bool((coc[[1, 4]] > 0).all())
    assert coc[5] == 31.0


def test_batched_settings_meet_one_or_many_depths():
    depth = torch.rand(2, 5, 7, dtype=torch.float64) + 0.5
    aperture = torch.tensor([2.0, 8.0], dtype=torch.float64)
    lens = {key: value for key, value in LENS.items() if key != 'aperture'}
    many = circle_of_confusion(depth, aperture, **lens)
    one = circle_of_confusion(depth[0], aperture, **lens)
    assert many.shape == one.shape == (2, 5, 7)
    assert torch.equal(many[1], circle_of_confusion(depth[1], 8.0, **lens))
    assert torch.allclose(one[0], 4.0 * one[1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_dtype_follows_depth(dtype):
    depth = torch.linspace(0.5, 5.0, 12).reshape(3, 4)
    coc = circle_of_confusion(depth.to(dtype), **LENS)
    assert coc.dtype == dtype
    assert torch.allclose(
        coc.double(), circle_of_confusion(depth.double(), **LENS), rtol=2e-2, atol=2e-2
    )


def test_gradients_of_every_setting():
    depth = torch.tensor([[0.4, 0.9, 2.5], [3.0, 1.2, 7.0]], dtype=torch.float64)
    values = [depth, 2.8, 0.012, 1.5, 6e-6, 0.9]
    inputs = [torch.as_tensor(v, dtype=torch.float64).requires_grad_() for v in values]
    # 1e-7 is small beside the pixel size, the smallest of them
    assert torch.autograd.gradcheck(
        lambda *a: circle_of_confusion(*a), inputs, eps=1e-9, rtol=1e-4
    )


def test_gradients_of_the_limit_and_in_the_dead_zone():
    depth = torch.tensor([[1.5, 1.45, 3.0, 0.05]], dtype=torch.float64, requires_grad=True)
    dead_zone = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    limit = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
    coc = circle_of_confusion(depth, **LENS, dead_zone=dead_zone, max_coc=limit)
    by_depth, by_limit = torch.autograd.grad(coc.sum(), (depth, limit), retain_graph=True)
    assert by_depth[0, :2].tolist() == [0.0, 0.0]
    assert by_depth[0, 2] > 0 and by_depth[0, 3] == 0
    assert by_limit == 1.0
    (by_zone,) = torch.autograd.grad(coc.sum(), dead_zone, allow_unused=True)
    assert by_zone == 0  # none of these is just outside


def test_gradient_of_the_dead_zone_is_that_of_a_smooth_surface():
    depth = torch.linspace(1.0, 2.2, 20000, dtype=torch.float64)[None]

    def total(zone: torch.Tensor) -> torch.Tensor:
        return circle_of_confusion(depth, **LENS, dead_zone=zone).mean()

    zone = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    mean = total(zone)
    mean.backward()
    assert mean.item() == total(zone.detach()).item()
    step = 0.01
    difference = (total(zone.detach() + step) - total(zone.detach() - step)) / (2 * step)
    assert difference < 0
    # The ramp looks at blurs up to a quarter of the zone farther out, which are larger.
    torch.testing.assert_close(zone.grad, difference, rtol=0.15, atol=0.0)


def test_gradients_stay_finite_where_nothing_was_hit():
    depth = torch.tensor([[0.0, math.inf, math.nan, 1.5]], requires_grad=True)
    focus = torch.tensor(math.inf, requires_grad=True)
    lens = {**LENS, 'focus_distance': focus}
    circle_of_confusion(depth, **lens).sum().backward()
    assert bool(torch.isfinite(depth.grad).all()) and depth.grad[0, 3] < 0
    assert focus.grad == 0


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'aperture': 0.0}, 'aperture'),
        ({'focal_length': -0.01}, 'focal_length'),
        ({'focus_distance': 0.012}, 'focus_distance'),
        ({'pixel_size': math.nan}, 'pixel_size'),
        ({'gain': -1.0}, 'gain'),
        ({'dead_zone': math.inf}, 'dead_zone'),
        ({'max_coc': -1.0}, 'max_coc'),
        ({'aperture': torch.ones(1, 1)}, 'aperture'),
        ({'depth': torch.ones(4)}, 'depth'),
        ({'depth': torch.ones(4, 4, dtype=torch.int32)}, 'depth'),
    ],
)
def test_bad_input_is_named(change, named):
    with pytest.raises(ValueError, match=named):
        circle_of_confusion(**{'depth': torch.ones(3, 3), **LENS, **change})


@pytest.mark.parametrize('focus_distance', [1.5, math.inf])
def test_compiled_form_is_equal(focus_distance):
    depth = np.random.default_rng(2).uniform(0.0, 5.0, (37, 21)).astype(np.float32)
    depth[0, :5] = [0.0, np.inf, np.nan, -2.0, 1e-30]
    lens = {**LENS, 'focus_distance': focus_distance}
    extra = {'gain': 0.9, 'dead_zone': 0.1, 'max_coc': 31.0}
    fast = circle_of_confusion_fast(depth, **lens, **extra)
    expected = circle_of_confusion(torch.tensor(depth), **lens, **extra).numpy()
    np.testing.assert_allclose(fast, expected, rtol=1e-6)
    with pytest.raises(ValueError, match='float32'):
        circle_of_confusion_fast(depth.astype(np.float64), **lens)
