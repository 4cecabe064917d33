# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Noise, mosaic, table, black level, quantisation, demosaic and colour against their equations."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera import add_noise, correct_color, demosaic, mosaic, quantize, respond
from diffphyscam_ros.camera.noise import (
    DSNU_STREAM,
    HEAT_STREAM,
    HOT_STREAM,
    normal_deviates,
    PATTERN_STREAM,
    PRNU_STREAM,
    SHOT_STREAM,
    uniform_deviates,
)

SIZE = (6, 7, 3)
PATTERNS = ('rggb', 'bggr', 'gbrg', 'grbg')


def random_image(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape or SIZE, generator=generator, dtype=torch.float64)


def parameter(*values: float) -> torch.Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def deviates(seed: int, frame: int, stream: int) -> np.ndarray:
    return normal_deviates(SIZE, seed, frame, stream, torch.float64).numpy()


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize('full_well', [None, 70.0])
def test_noise_follows_its_equations(fixed: bool, full_well: float | None) -> None:
    electrons = random_image(0) * 100 + 1
    shot, read, dsnu, prnu = np.array([[1.0, 0.8, 1.2], [3, 4, 5], [2, 1, 3], [0.01, 0.02, 0.03]])
    dark, t, hot = np.array([5.0, 6.0, 7.0]), 0.2, 40.0
    result = add_noise(
        electrons,
        tuple(shot),
        tuple(read),
        5,
        2,
        9,
        read_noise_fixed=fixed,
        dsnu=tuple(dsnu),
        prnu=tuple(prnu),
        hot_pixel_fraction=0.25,
        hot_pixel_current=hot,
        full_well=full_well,
        exposure_time=t,
        dark_current=tuple(dark),
    )
    x = electrons.numpy()
    heat = -np.log(uniform_deviates(SIZE, 9, 0, HEAT_STREAM, torch.float64).numpy())
    is_hot = uniform_deviates(SIZE, 9, 0, HOT_STREAM, torch.float64).numpy() < 0.25
    assert 0.1 < is_hot.mean() < 0.4
    y = (x - t * dark) * (1 + prnu * deviates(9, 0, PRNU_STREAM)) + t * dark
    y = y + t * hot * np.where(is_hot, heat, 0.0)
    lit = np.maximum(y, 0)
    temporal = shot * np.sqrt(lit) if fixed else np.sqrt(shot**2 * lit + read**2)
    y = y + temporal * deviates(5, 2, SHOT_STREAM)
    if full_well is not None:
        assert (y > full_well).any() and (y < full_well).any()
        y = np.minimum(y, full_well)
    if fixed:
        y = y + read * deviates(9, 0, PATTERN_STREAM)
    np.testing.assert_allclose(result, y + dsnu * deviates(9, 0, DSNU_STREAM), rtol=1e-12)


NOISE_NUMBERS = {
    'shot_noise_gain': (1.0, 0.8, 1.2),
    'read_noise': (0.3, 0.4, 0.5),
    'dsnu': (0.2, 0.1, 0.3),
    'prnu': (0.1, 0.2, 0.3),
    'hot_pixel_current': 4.0,
    'full_well': 6.0,
    'exposure_time': 0.2,
    'dark_current': (0.5, 0.6, 0.7),
}


@pytest.mark.parametrize('fixed', [False, True])
def test_noise_gradients(fixed: bool) -> None:
    """At a full well that some photosites reach and others do not."""

    def run(electrons, *numbers):
        named = dict(zip(NOISE_NUMBERS, numbers, strict=True))
        seeds = {'seed': 1, 'frame_number': 2, 'fixed_pattern_seed': 3}
        return add_noise(
            electrons, hot_pixel_fraction=0.3, read_noise_fixed=fixed, **seeds, **named
        )

    numbers = [torch.tensor(v).double().requires_grad_() for v in NOISE_NUMBERS.values()]
    electrons = (random_image(1, 4, 3, 3) * 10 + 0.5).requires_grad_()
    assert gradcheck(run, (electrons, *numbers))
    run(electrons, *numbers).square().sum().backward()
    for name, number in zip(NOISE_NUMBERS, numbers, strict=True):
        assert (number.grad != 0).all(), name


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize('read', [0.0, 1e-12, 3.0])
def test_noise_of_no_light_and_of_too_much_is_finite(dtype: torch.dtype, read: float) -> None:
    electrons = torch.tensor([0.0, -1.0, 1e-7, 1.0, 6e4], dtype=dtype).repeat(3, 1)[..., None]
    if dtype != torch.float16:
        electrons = torch.cat([electrons, torch.full_like(electrons, 1e30)])
    electrons.requires_grad_()
    numbers = {name: parameter(3e-3) for name in ('dsnu', 'prnu')}
    result = add_noise(
        electrons,
        parameter(1.0),
        parameter(read),
        1,
        2,
        3,
        read_noise_fixed=False,
        full_well=1e4,
        **numbers,
    )
    assert result.isfinite().all() and result.max() < 1.1e4
    result.sum().backward()
    assert electrons.grad.isfinite().all()
    assert all(number.grad.isfinite() for number in numbers.values())


def test_uniform_deviates_are_uniform() -> None:
    x = uniform_deviates((480, 640, 3), 7, 0, HOT_STREAM).double().reshape(-1, 3)
    n = len(x)
    assert (x > 0).all() and (x < 1).all()
    assert ((x.mean(0) - 0.5).abs() < 4 * (1 / 12 / n) ** 0.5).all()
    assert ((x.var(0) - 1 / 12).abs() < 4 * (1 / 180 / n) ** 0.5).all()
    below = (x < 1e-3).double().mean(0)
    assert ((below - 1e-3).abs() < 4 * (1e-3 / n) ** 0.5).all()


@pytest.mark.parametrize('pattern', PATTERNS)
def test_a_mosaic_keeps_the_colour_that_its_name_says(pattern: str) -> None:
    """As sensor_msgs/image_encodings: the colours of the first 2×2 block, row by row."""
    image = random_image(2, 2, 5, 4, 3)
    raw = mosaic(image, pattern)
    assert raw.shape == (2, 5, 4, 1)
    for row in range(5):
        for column in range(4):
            letter = pattern[2 * (row % 2) + column % 2]
            assert torch.equal(raw[:, row, column, 0], image[:, row, column, 'rgb'.index(letter)])


@pytest.mark.parametrize('height', [1, 2, 3, 8])
@pytest.mark.parametrize('width', [1, 2, 5])
@pytest.mark.parametrize('method', ['malvar', 'bilinear'])
@pytest.mark.parametrize('pattern', PATTERNS)
def test_demosaic_keeps_grey_and_what_was_seen(pattern, method, height, width) -> None:
    grey = torch.full((height, width, 1), 0.4, dtype=torch.float64)
    expected = torch.full((height, width, 3), 0.4, dtype=torch.float64)
    torch.testing.assert_close(demosaic(grey, pattern, method), expected)
    image = random_image(3, height, width, 3)
    raw = mosaic(image, pattern)
    assert torch.equal(mosaic(demosaic(raw, pattern, method), pattern), raw)


OPENCV = {'rggb': 'BG', 'bggr': 'RG', 'gbrg': 'GR', 'grbg': 'GB'}
"""OpenCV names a pattern by the second and third pixel of the second row."""


@pytest.mark.parametrize('pattern', PATTERNS)
def test_bilinear_demosaic_is_that_of_opencv(pattern: str) -> None:
    image = (random_image(4, 24, 30, 3) * 255).round()
    raw = mosaic(image, pattern)
    code = getattr(cv2, f'COLOR_BAYER_{OPENCV[pattern]}2RGB')
    theirs = cv2.cvtColor(raw[..., 0].numpy().astype(np.uint8), code)
    ours = demosaic(raw, pattern, 'bilinear').numpy()
    # Theirs is rounded to integers; the borders differ.
    assert np.abs(ours - theirs)[1:-1, 1:-1].max() <= 0.5


@pytest.mark.parametrize('pattern', PATTERNS)
def test_malvar_is_the_published_filter(pattern: str) -> None:
    """Equations (2) to (7) of the paper, written out at every pixel."""
    gain_green, gain_same, gain_other = 1 / 2, 5 / 8, 3 / 4
    raw = mosaic(random_image(5, 12, 12, 3), pattern)[..., 0].numpy()
    result = demosaic(torch.from_numpy(raw)[..., None], pattern).numpy()
    for v in range(2, 10):
        for u in range(2, 10):
            letter = pattern[2 * (v % 2) + u % 2]
            beside = pattern[2 * (v % 2) + (u + 1) % 2]
            here = raw[v, u]
            four = (raw[v - 1, u] + raw[v + 1, u] + raw[v, u - 1] + raw[v, u + 1]) / 4
            far = raw[v - 2, u] + raw[v + 2, u] + raw[v, u - 2] + raw[v, u + 2]
            corners = (raw[v - 1 : v + 2 : 2, u - 1 : u + 2 : 2]).sum()
            if letter in 'rb':
                laplacian = here - far / 4
                other = 'b' if letter == 'r' else 'r'
                assert result[v, u, 1] == pytest.approx(four + gain_green * laplacian)
                expected = corners / 4 + gain_other * laplacian
                assert result[v, u, 'rgb'.index(other)] == pytest.approx(expected)
                continue
            for colour in 'rb':
                if colour == beside:
                    pair = (raw[v, u - 1] + raw[v, u + 1]) / 2
                    across, along = raw[v - 2, u] + raw[v + 2, u], raw[v, u - 2] + raw[v, u + 2]
                else:
                    pair = (raw[v - 1, u] + raw[v + 1, u]) / 2
                    across, along = raw[v, u - 2] + raw[v, u + 2], raw[v - 2, u] + raw[v + 2, u]
                laplacian = here - (corners + along - across / 2) / 5
                expected = pair + gain_same * laplacian
                assert result[v, u, 'rgb'.index(colour)] == pytest.approx(expected)


@pytest.mark.parametrize('pattern', PATTERNS)
def test_malvar_is_better_than_bilinear_on_a_picture(pattern: str) -> None:
    """A picture as photographs are: its colours have their edges in common."""
    noise = np.random.default_rng(6).normal(size=(64, 80, 2))
    light = gaussian_filter(noise[..., 0], 1.2)
    tint = gaussian_filter(noise[..., 1], 6.0)
    light, tint = (plane / plane.std() for plane in (light, tint))
    image = np.stack([0.5 + 0.15 * light + k * 0.03 * tint for k in (-1, 0.2, 1)], axis=-1)
    truth = torch.from_numpy(image)
    raw = mosaic(truth, pattern)
    error = {
        m: (demosaic(raw, pattern, m) - truth).square().mean() for m in ('malvar', 'bilinear')
    }
    assert (
        error['malvar'] < error['bilinear'] / 2
    )  # 3 dB; the paper has 5.5 dB on Kodak's pictures


@pytest.mark.parametrize('method', ['malvar', 'bilinear'])
def test_color_gradients(method: str) -> None:
    def run(raw, black, balance, matrix):
        return correct_color(raw, black, balance, matrix, 'gbrg', method, soft_clamp=True)

    raw = random_image(7, 5, 6, 1).requires_grad_()
    matrix = parameter(1.2, -0.3, 0.1, -0.2, 1.3, -0.1, 0.0, -0.2, 1.1)
    assert gradcheck(run, (raw, parameter(0.1), parameter(1.2, 0.9, 1.4), matrix))


def test_color_follows_its_equation() -> None:
    raw = random_image(8)
    matrix = np.array([[1.3, -0.2, -0.1], [-0.3, 1.5, -0.2], [0.1, -0.4, 1.3]])
    black, balance = 0.06, np.array([1.5, 1.0, 1.2])
    expected = ((raw.numpy() - black) / (1 - black) * balance) @ matrix.T
    assert expected.min() < 0 and expected.max() > 1
    result = correct_color(raw, black, tuple(balance), tuple(matrix.flatten()))
    np.testing.assert_allclose(result, expected.clip(0, 1), rtol=1e-12, atol=1e-15)
    plain = correct_color(mosaic(raw, 'bggr'), black, bayer_pattern='bggr')
    seen = ((raw - black) / (1 - black)).clamp(0, 1)
    torch.testing.assert_close(mosaic(plain, 'bggr'), mosaic(seen, 'bggr'))


TABLE = (0.0, 0.1, 0.4, 0.45, 0.8, 0.9)


def test_a_table_interpolates() -> None:
    electrons = random_image(9) * 0.02 - 0.002
    gains, biases = np.array([0.7, 0.9, 1.1]), np.array([-0.1, 0.0, 0.1])
    place = gains * 100 * electrons.numpy() + biases
    expected = np.interp(place, np.linspace(0, 1, 6), TABLE)
    assert place.min() < 0 and place.max() > 1
    curve = (100.0, 'table', tuple(gains), tuple(biases))
    result = respond(electrons, *curve, table=TABLE)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-15)
    several = torch.tensor([TABLE, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]).double()
    both = respond(electrons, *curve, table=several)
    assert both.shape == (2, *SIZE)
    for one, table in zip(both, several, strict=True):
        torch.testing.assert_close(one, respond(electrons, *curve, table=table))


@pytest.mark.parametrize('soft', [False, True])
def test_table_gradients(soft: bool) -> None:
    def run(electrons, iso, gains, biases, table, black):
        curve = ('table', gains, biases, 1.0, soft, table, black)
        return respond(electrons, iso, *curve)

    electrons = (random_image(10) * 0.02 - 0.002).requires_grad_()
    numbers = parameter(0.9, 1.3, 0.7), parameter(0.1, -0.2, 0.05)
    inputs = (electrons, parameter(100.0), *numbers, parameter(*TABLE), parameter(0.1))
    assert gradcheck(run, inputs)
    run(*inputs).sum().backward()
    assert (inputs[4].grad != 0).all() and inputs[5].grad != 0
    assert soft == bool((electrons.grad != 0).all())


@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid', 'table'])
def test_black_level_lifts_what_lies_below_it(kind: str) -> None:
    electrons = random_image(11) * 0.04 - 0.02
    curve = (100.0, kind, (0.3,) * 3, (-0.01,) * 3, 0.7)
    value = respond(electrons, *curve, black_level=0.25)
    plain = respond(electrons, *curve)
    lit = plain > 0
    torch.testing.assert_close(value[lit], 0.25 + 0.75 * plain[lit])
    assert (value >= 0).all() and (~lit).any() == (kind != 'sigmoid')
    if kind == 'linear':
        assert (value[~lit] < 0.25).all() and (value[~lit] > 0).any()


@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid'])
def test_black_level_gradients(kind: str) -> None:
    def run(electrons, black):
        return respond(
            electrons, 100.0, kind, (0.3,) * 3, (0.1,) * 3, 0.7, True, black_level=black
        )

    assert gradcheck(run, ((random_image(12) * 0.05).requires_grad_(), parameter(0.1)))


@pytest.mark.parametrize('bits', [8, 10, 12, 16])
def test_quantisation_has_the_levels_of_its_bits(bits: int) -> None:
    levels = 2**bits - 1
    value = torch.linspace(0, 1, 100_001).reshape(1, -1, 1)
    result = quantize(value, bits)
    steps = result.double() * levels
    assert (steps - steps.round()).abs().max() < 1e-6 * levels + 1e-9
    assert (result - value).abs().max() <= 0.5 / levels * 1.001
    assert result.min() == 0 and result.max() == 1
    assert len(result.unique()) == min(2**bits, len(value.unique())) or bits == 16
    if bits == 8:
        assert torch.equal((result * 255).round(), (value * 255).round())


def test_quantisation_passes_the_gradient_straight_through() -> None:
    value = torch.rand(1, 5, 1, requires_grad=True)
    weight = torch.arange(5.0).reshape(1, 5, 1)
    (quantize(value, 8) * weight).sum().backward()
    assert torch.equal(value.grad, weight)
    assert quantize(value, 0) is value


def test_bad_operands_are_refused() -> None:
    image = torch.zeros(2, 2, 3)
    with pytest.raises(ValueError, match=r"'rgbg'.*rggb, bggr, gbrg, grbg"):
        mosaic(image, 'rgbg')
    with pytest.raises(ValueError, match=r'must be \(\.\.\., H, W, 3\)'):
        mosaic(image[..., :1], 'rggb')
    with pytest.raises(ValueError, match=r'must be \(\.\.\., H, W, 1\)'):
        demosaic(image, 'rggb')
    with pytest.raises(ValueError, match=r"'vng'.*malvar, bilinear"):
        demosaic(image[..., :1], 'rggb', 'vng')
    with pytest.raises(ValueError, match='bit_depth = 17'):
        quantize(image, 17)


def test_batches_equal_single_pictures() -> None:
    images = random_image(13, 2, 6, 7, 3)
    black, balance = torch.tensor([0.0, 0.1]).double(), random_image(14, 2, 3) + 0.5
    matrices = random_image(15, 2, 9)
    raw = mosaic(images, 'grbg')
    batch = correct_color(raw, black, balance, matrices, 'grbg')
    wells = torch.tensor([0.4, 0.8]).double()
    noisy = add_noise(images, balance, (0.1,) * 3, 1, 5, 2, full_well=wells, prnu=balance)
    for i in range(2):
        one = correct_color(raw[i], float(black[i]), balance[i], matrices[i], 'grbg')
        torch.testing.assert_close(batch[i], one)
        well = float(wells[i])
        one = add_noise(
            images[i], balance[i], (0.1,) * 3, 1, 5 + i, 2, full_well=well, prnu=balance[i]
        )
        torch.testing.assert_close(noisy[i], one)
    several = add_noise(images[0], balance, (0.0,) * 3, 1, 5, 2)
    assert several.shape == images.shape and math.prod(several.shape) > 0


def test_a_full_well_keeps_a_gradient_where_the_clamp_is_soft() -> None:
    electrons = torch.tensor([50.0, 200.0, 400.0], dtype=torch.float64).reshape(1, 1, 3)
    slopes = {}
    for soft in (False, True):
        given = electrons.clone().requires_grad_()
        none = (0.0, 0.0, 0.0)
        held = add_noise(given, none, none, 0, 0, 0, full_well=100.0, soft_clamp=soft)
        assert held.flatten().tolist() == [50.0, 100.0, 100.0]
        held.sum().backward()
        assert given.grad is not None
        slopes[soft] = given.grad.flatten().tolist()
    assert slopes == {False: [1.0, 0.0, 0.0], True: [1.0, 0.25, 0.0625]}
