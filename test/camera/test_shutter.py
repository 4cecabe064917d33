# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The shutter: windows of rows, weights of sub-frames, and the mean against moving edges."""

from __future__ import annotations

import itertools
import math
import weakref

import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.capture import capture
from diffphyscam_ros.camera.lens_rows import source_rows
from diffphyscam_ros.camera.shutter import (
    expose_over_time,
    needed_rows,
    row_starts,
    shutter_weights,
    subframe_times,
)

HEIGHT, WIDTH = 24, 96
LEVEL = 1.0 / 255.0


def edge(position: float, height: int = HEIGHT, dtype=torch.float32) -> torch.Tensor:
    """Return a picture that is bright to the left of a column, with the pixels' exact shares."""
    columns = torch.arange(WIDTH, dtype=torch.float64)
    share = (position - (columns - 0.5)).clamp(0.0, 1.0)
    return share[None, :, None].expand(height, WIDTH, 3).to(dtype).contiguous()


def ramp(first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return what rows see of an edge that moves evenly from first to last (H,), exactly."""

    def swept(position):  # the integral of a pixel's share over the edge's position
        s = position[:, None] - (torch.arange(WIDTH, dtype=torch.float64) - 0.5)
        return torch.where(s < 1, s.clamp(min=0.0) ** 2 / 2, s - 0.5)

    return (swept(last) - swept(first)) / (last - first)[:, None]


@pytest.mark.parametrize('distance', [3.0, 16.0, 40.0])
def test_a_moving_edge_becomes_a_ramp_of_its_way(distance):
    exposure, middle = 0.02, WIDTH / 2 + 0.3
    speed = distance / exposure
    samples = 2 * math.ceil(distance) + 1
    seen = expose_over_time(
        lambda t, rows: edge(middle + speed * t), subframe_times(samples, exposure), HEIGHT, 0.02
    )
    ends = torch.full((HEIGHT,), middle, dtype=torch.float64)
    expected = ramp(ends - distance / 2, ends + distance / 2)
    error = seen[..., 0].double() - expected
    assert error.square().mean().sqrt() < LEVEL
    profile = seen[0, :, 0]
    grey = ((profile > 0.01) & (profile < 0.99)).sum()
    assert float(grey) == pytest.approx(distance, abs=1.6)


@pytest.mark.parametrize('exposure', [0.002, 0.02])
def test_a_rolling_shutter_slants_a_moving_edge(exposure):
    readout, speed, middle = 0.03, 1000.0, WIDTH / 2 + 0.1
    whole = speed * (readout + exposure)
    times = subframe_times(2 * math.ceil(whole) + 1, exposure, readout)
    seen = expose_over_time(
        lambda t, rows: edge(middle + speed * t), times, HEIGHT, exposure, readout
    )
    first = middle + speed * row_starts(HEIGHT, exposure, readout)
    expected = ramp(first, first + speed * exposure)
    assert (seen[..., 0].double() - expected).square().mean().sqrt() < LEVEL
    place = seen[..., 0].sum(dim=1).double()  # the edge of each row, to a part of a pixel
    slope = np.polyfit(np.arange(HEIGHT), place.numpy(), 1)[0]
    assert slope == pytest.approx(speed * readout / (HEIGHT - 1), rel=1e-3)


def test_time_zero_is_the_middle_of_the_middle_row():
    starts = row_starts(5, 0.01, 0.02)
    assert starts.tolist() == pytest.approx([-0.015, -0.01, -0.005, 0.0, 0.005])
    assert subframe_times(3, 0.01, 0.02) == pytest.approx([-0.015, 0.0, 0.015])
    assert subframe_times(1, 0.01, 0.02, start=5.0) == [5.015]
    assert row_starts(1, 0.01, 0.02).tolist() == pytest.approx([-0.005])
    assert row_starts(2, 0.01, 0.02, start=1.0).tolist() == pytest.approx([1.0, 1.02])


def test_weights_are_the_integral_of_straight_lines_between_sub_frames():
    times = [-0.9, -0.2, 0.1, 0.65]
    exposure, readout = 0.7, 1.8  # reaches beyond the sub-frames on both sides
    weights = shutter_weights(times, 7, exposure, readout)
    starts = row_starts(7, exposure, readout)
    for index in range(len(times)):
        hat = np.eye(len(times))[index]
        for row, start in enumerate(starts.tolist()):
            moments = start + exposure * (np.arange(20000) + 0.5) / 20000
            expected = np.interp(moments, times, hat).mean()
            assert float(weights[index, row]) == pytest.approx(expected, abs=1e-6)
    assert torch.allclose(weights.sum(0), torch.ones(7, dtype=torch.float64), atol=1e-14)


def test_without_readout_a_rolling_shutter_is_a_global_one():
    pictures = torch.rand(9, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(1))
    times = subframe_times(9, 0.01)
    number = {time: index for index, time in enumerate(times)}

    def seen(*readout):
        return expose_over_time(lambda t, rows: pictures[number[t]], times, HEIGHT, 0.01, *readout)

    assert torch.equal(seen(), seen(0.0))
    share = torch.tensor([0.5, *[1.0] * 7, 0.5]) / 8
    assert torch.allclose(seen(), torch.einsum('n,nhwc->hwc', share, pictures), atol=1e-6)


@pytest.mark.parametrize('readout', [0.0, 0.013])
@pytest.mark.parametrize('grad', [False, True])
def test_what_does_not_change_stays_to_the_last_bit(readout, grad):
    picture = 1e4 * torch.rand(17, 9, 3, generator=torch.Generator().manual_seed(2)) ** 6
    picture.requires_grad_(grad)
    for samples in (1, 2, 7, 30):
        times = subframe_times(samples, 0.007, readout)
        seen = expose_over_time(lambda t, rows: picture, times, 17, 0.007, readout)
        assert torch.equal(seen, picture)


def test_more_sub_frames_are_nearer_to_brute_force():
    """A texture that moves unevenly, against very many moments for every row by itself."""
    exposure, readout = 0.02, 0.01
    u = torch.arange(WIDTH, dtype=torch.float64)

    def line(t):
        return 0.5 + 0.4 * torch.sin((u + 600 * t + 9 * math.sin(200 * t)) * 0.7)

    def picture(t, rows):
        return line(t).float()[None, :, None].expand(HEIGHT, WIDTH, 3).contiguous()

    exact = torch.stack(
        [
            torch.stack([line(float(s) + exposure * (k + 0.5) / 512) for k in range(512)]).mean(0)
            for s in row_starts(HEIGHT, exposure, readout)
        ]
    )

    def error(samples):
        times = subframe_times(samples, exposure, readout)
        seen = expose_over_time(picture, times, HEIGHT, exposure, readout)[..., 0]
        return float((seen.double() - exact).square().mean().sqrt())

    errors = [error(n) for n in (17, 33, 65, 129)]
    # A line between samples: twice as many leave a quarter of the error.
    assert all(b < 0.35 * a for a, b in itertools.pairwise(errors))
    assert errors[-1] < 0.2 * LEVEL


def test_the_kernel_and_the_torch_path_agree_and_skip_what_no_row_needs():
    times = subframe_times(11, 0.004, 0.02)
    pictures = torch.rand(11, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(3))
    number = {time: index for index, time in enumerate(times)}
    asked = []

    def picture(t, rows):
        asked.append(rows)
        result = torch.full((HEIGHT, WIDTH, 3), math.nan)
        result[rows.start : rows.stop] = pictures[number[t], rows.start : rows.stop]
        return result

    fast = expose_over_time(picture, times, HEIGHT, 0.004, 0.02)
    assert bool(fast.isfinite().all())
    assert max(map(len, asked)) < HEIGHT and asked == needed_rows(
        shutter_weights(times, HEIGHT, 0.004, 0.02)
    )
    exposure = torch.tensor(0.004, requires_grad=True)
    slow = expose_over_time(picture, times, HEIGHT, exposure, 0.02)
    assert torch.allclose(fast, slow, atol=1e-6)
    slow.sum().backward()
    assert bool(exposure.grad.isfinite())


def test_gradients_reach_sub_frames_and_times():
    generator = torch.Generator().manual_seed(4)
    pictures = torch.rand(4, 6, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    exposure = torch.tensor(0.83, dtype=torch.float64, requires_grad=True)
    readout = torch.tensor(0.57, dtype=torch.float64, requires_grad=True)
    times = [-0.6, -0.25, 0.15, 0.7]

    def seen(pictures, exposure, readout):
        return expose_over_time(
            lambda t, rows: pictures[times.index(t)], times, 6, exposure, readout
        )

    assert torch.autograd.gradcheck(seen, (pictures, exposure, readout))
    start = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)
    moments = torch.tensor(times, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda m, s: shutter_weights(m, 5, 0.83, 0.57, s), (moments, start)
    )


def test_a_batch_has_an_exposure_each():
    times = [-1.0, 0.0, 1.0]
    exposures = torch.tensor([0.5, 2.0])
    batch = torch.rand(3, 2, 8, 4, 3, generator=torch.Generator().manual_seed(5))
    both = expose_over_time(lambda t, rows: batch[times.index(t)], times, 8, exposures, 0.3)
    for index in range(2):
        one = expose_over_time(
            lambda t, rows, i=index: batch[times.index(t), i],
            times,
            8,
            float(exposures[index]),
            0.3,
        )
        assert torch.allclose(both[index], one, atol=1e-6)


def test_no_more_than_two_sub_frames_are_alive():
    alive, most = [], []

    def picture(t, rows):
        made = torch.full((HEIGHT, WIDTH, 3), t)
        alive.append(weakref.ref(made))
        most.append(sum(item() is not None for item in alive))
        return made

    expose_over_time(picture, subframe_times(40, 0.01), HEIGHT, 0.01)
    assert max(most) <= 2


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'times': [0.0, 0.0]}, 'ascending'),
        ({'times': []}, 'ascending'),
        ({'height': 0}, 'height = 0'),
        ({'exposure_time': 0.0}, 'exposure_time'),
        ({'exposure_time': math.nan}, 'exposure_time'),
        ({'readout_time': -1.0}, 'readout_time'),
        ({'height': 5}, r'sub-frame has shape .* \(\.\.\., 5, W, C\)'),
    ],
)
def test_bad_input_is_named(change, words):
    arguments = {'times': [0.0, 1.0], 'height': 8, 'exposure_time': 1.0, 'readout_time': 0.0}
    with pytest.raises(ValueError, match=words):
        expose_over_time(lambda t, rows: torch.zeros(8, 4, 3), **(arguments | change))
    with pytest.raises(ValueError, match='count = 0'):
        subframe_times(0, 1.0)


SENSOR = SensorModel(
    image_width=64,
    image_height=48,
    pixel_size=4e-5,
    vignetting_gain=1.0,
    max_coc=9.0,
    shot_noise_gain=(1e-3,) * 3,
    shutter_mode='rolling',
    readout_time=0.02,
    aggregator_gain=4e5,
)
SETTINGS = CameraSettings(exposure_time=0.01, focal_length=0.004, focus_distance=1.0)


def view(seed=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(48, 64, 3, generator=generator), 0.3 + torch.rand(
        48, 64, generator=generator
    )


@pytest.mark.parametrize('samples', [1, 5])
def test_a_capture_of_what_stands_is_the_camera_s_picture(samples):
    camera = PhysicalCamera(SENSOR)
    expected = camera(*view(), SETTINGS, 3)
    found = capture(camera, lambda t: view(), SETTINGS, 3, samples)
    assert torch.equal(found.image, expected.image) and found.frame_number == 3


def test_a_capture_exposes_each_row_in_its_own_time():
    camera = PhysicalCamera(SENSOR, stages=('exposure',))
    # Light that grows evenly with time: a row has that of the middle of its own exposure.
    seen = capture(
        camera,
        lambda t: (torch.full((48, 64, 3), 1.0 + 30.0 * t), None),
        SETTINGS,
        samples=9,
    ).image[:, 0, 0]
    steady = camera(torch.ones(48, 64, 3), None, SETTINGS).image[0, 0, 0]
    expected = 1.0 + 30.0 * torch.linspace(-0.01, 0.01, 48)
    assert torch.allclose(seen / steady, expected, atol=1e-5)
    with pytest.raises(ValueError, match='samples = 0'):
        capture(camera, lambda t: view(), SETTINGS, samples=0)


@pytest.mark.parametrize(
    'change',
    [
        {},
        {'distortion_coefficients': (-0.25, 0.05, 0.001, 0.002, 0.0)},
        {'distortion_coefficients': (0.2, 0.0, 0.0, 0.0, 0.0), 'chromatic_scale': (1.03, 1, 0.97)},
        {'psf': 'disk', 'defocus_gain': 5.0},
        {'glare_fraction': 0.1},
    ],
)
def test_the_lens_needs_the_rows_that_it_is_said_to(change):
    from dataclasses import replace

    sensor = replace(SENSOR, image_height=96, **change)
    camera = PhysicalCamera(sensor)
    source = camera.source_intrinsics(SETTINGS)
    generator = torch.Generator().manual_seed(8)
    shape = (source.height, source.width)
    color, depth = torch.rand(*shape, 3, generator=generator), 0.3 + torch.rand(shape)
    whole = camera.lens(color, depth, SETTINGS)
    for rows in (range(0, 3), range(40, 50), range(95, 96)):
        needed = source_rows(camera, source, SETTINGS, rows)
        assert 0 <= needed.start < needed.stop <= source.height
        assert ('glare_fraction' in change) == (len(needed) == source.height)
        other, other_depth = torch.zeros_like(color), torch.full_like(depth, 7.0)
        band = slice(needed.start, needed.stop)
        other[band], other_depth[band] = color[band], depth[band]
        found = camera.lens(other, other_depth, SETTINGS)
        part = slice(rows.start, rows.stop)
        assert torch.allclose(found[part], whole[part], atol=2e-5)
