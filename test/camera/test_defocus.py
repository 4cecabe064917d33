# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus: what a scatter must keep, and the fast forms against the direct scatter."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import ive
import torch

from diffphyscam_ros.camera.defocus import defocus
from diffphyscam_ros.camera.defocus_exact import discrete_gaussian, disk_coverage
from diffphyscam_ros.kernels.blur_levels import LADDER
from diffphyscam_ros.kernels.disk_rings import FULL_UNTIL, HALF_FROM

ALL = [(psf, method) for psf in ('gaussian', 'disk') for method in ('cascade', 'exact')]
SMALL_SIZES = [(1, 1), (1, 9), (2, 3), (7, 5), (33, 18)]


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    """Keep torch from waking a second thread for each of many small operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def uniform(size, c, dtype=torch.float64):
    return torch.full(size, float(c), dtype=dtype)


def random_picture(size, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*size, 3, generator=generator, dtype=dtype)


def psnr(a, b):
    return -10.0 * math.log10(float((a - b).square().mean()) + 1e-30)


def photograph(shared_data):
    """Return a 160 × 200 piece of a photograph, linear light."""
    cv2 = pytest.importorskip('cv2')
    path = next((shared_data / 'objects' / 'moldGoldCape' / 'images').glob('*.JPG'))
    picture = cv2.resize(cv2.imread(str(path)), (640, 480), interpolation=cv2.INTER_AREA)
    return torch.tensor(picture[100:260, 160:360] / 255.0) ** 2.2


@pytest.mark.parametrize(('psf', 'method'), ALL)
@pytest.mark.parametrize('size', SMALL_SIZES)
def test_uniform_blur_keeps_a_constant_picture_and_needs_no_normalisation(psf, method, size):
    picture = random_picture(size)
    for c in (0.7, 9.3, 40.0):
        flat = torch.full_like(picture, 0.7)
        scattered = defocus(flat, uniform(size, c), psf, method, normalize=False)
        assert torch.allclose(scattered, flat, rtol=1e-9)
        pure = defocus(picture, uniform(size, c), psf, method, normalize=False)
        assert torch.allclose(defocus(picture, uniform(size, c), psf, method), pure, rtol=1e-9)


def stepped_blur():
    coc = uniform((40, 50), 0.0)
    coc[:, 15:25], coc[:, 25:], coc[20, 30] = 6.0, 17.0, 0.0
    return coc


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_any_blur_keeps_a_constant_picture(psf, method):
    flat = torch.full((40, 50, 3), 0.7, dtype=torch.float64)
    for coc in (stepped_blur(), 17.0 * random_picture((40, 50), 1)[..., 0]):
        assert torch.allclose(defocus(flat, coc, psf, method), flat, rtol=1e-12)
        scattered = defocus(flat, coc, psf, method, normalize=False)
        assert (scattered - flat).abs().max() > 0.1  # what the division is for


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_every_pixel_is_a_mean_of_pixels(psf, method):
    picture = random_picture((40, 50))
    out = defocus(picture, stepped_blur(), psf, method)
    assert out.min() >= picture.min() - 1e-12 and out.max() <= picture.max() + 1e-12


@pytest.mark.parametrize('psf', ['gaussian', 'disk'])
def test_a_pixel_that_sends_all_its_light_away_has_a_colour(psf):
    picture, coc = random_picture((65, 70), dtype=torch.float32), torch.zeros(65, 70)
    coc[30, 30] = 1e6  # of its own light hardly 1e-10 comes back, and nobody else's arrives
    out = defocus(picture, coc, psf)
    assert torch.allclose(out[30, 30], picture[30, 30], rtol=1e-4)


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_sum_is_kept_even_at_borders(psf, method):
    # sizes that halve evenly; others are exact away from borders only (next test)
    picture = random_picture((32, 48))
    coc = 30.0 * random_picture((32, 48), seed=1)[..., 0]
    out = defocus(picture, coc, psf, method, normalize=False)
    assert torch.allclose(out.sum((0, 1)), picture.sum((0, 1)), rtol=1e-9)


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_sum_is_kept_away_from_borders_for_any_size(psf, method):
    picture = torch.zeros(71, 67, 3, dtype=torch.float64)
    picture[32:40, 30:38] = random_picture((8, 8))
    coc = 17.0 * random_picture((71, 67), seed=1)[..., 0]
    out = defocus(picture, coc, psf, method, normalize=False)
    assert torch.allclose(out.sum((0, 1)), picture.sum((0, 1)), rtol=1e-6)


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_no_blur_is_identity(psf, method):
    picture = random_picture((13, 22))
    out = defocus(picture, uniform((13, 22), 0.0), psf, method)
    assert torch.allclose(out, picture, rtol=0, atol=1e-12)


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_light_stays_positive(psf, method):
    # the cascades add positive terms only; the weights of the direct scatter are differences
    dtype, least = (torch.float32, 0.0) if method == 'cascade' else (torch.float64, -1e-9)
    picture = torch.zeros(40, 40, 3, dtype=dtype)
    picture[20, 20] = 1e6
    for c in (2.0, 11.3, 25.0):
        assert defocus(picture, uniform((40, 40), c, dtype), psf, method).min() >= least


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_linear_in_the_picture(psf, method):
    a, b = random_picture((17, 24), 1), random_picture((17, 24), 2)
    coc = 12.0 * random_picture((17, 24), 3)[..., 0]
    both = defocus(2.0 * a - 3.0 * b, coc, psf, method)
    parts = 2.0 * defocus(a, coc, psf, method) - 3.0 * defocus(b, coc, psf, method)
    assert torch.allclose(both, parts, atol=1e-10)


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_continuous_in_blur(psf, method):
    # a jump would not shrink with the step: 1e-4 px must change a unit point by about 1e-4
    picture = torch.zeros(25, 25, 1, dtype=torch.float64)
    picture[12, 12] = 1.0
    knots = [6.0 * math.sqrt(level.variance) for level in LADDER[:10]]
    steps = 37 if method == 'cascade' else 11
    for c in [*np.linspace(0.0, 20.0, steps), *knots, FULL_UNTIL, HALF_FROM]:
        low = defocus(picture, uniform((25, 25), max(c - 5e-5, 0.0)), psf, method)
        high = defocus(picture, uniform((25, 25), c + 5e-5), psf, method)
        assert (high - low).abs().max() < 2e-4, c


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_blur_never_falls_back_to_sharp(psf, method):
    picture = torch.zeros(48, 48, 1, dtype=torch.float64)
    picture[24, 24] = 1.0
    peaks = [
        float(defocus(picture, uniform((48, 48), c), psf, method).max())
        for c in np.linspace(0.5, 21.5, 15)
    ]
    assert all(late <= early + 1e-12 for early, late in itertools.pairwise(peaks))


@pytest.mark.parametrize(
    ('method', 'c'),
    [
        *[('cascade', c) for c in (0.2, 0.9, 2.0, 3.7, 8.0, 15.5, 31.0, 57.0, 101.0)],
        *[('exact', c) for c in (0.2, 2.0, 8.0, 31.0)],
    ],
)
def test_variance_of_a_point_is_sigma_squared(method, c):
    size = 256 if c > 31 else 96
    for shift in (0, 3) if method == 'cascade' else (0,):  # the halved grids must not show
        picture = torch.zeros(size, size, 1, dtype=torch.float64)
        picture[size // 2 + shift, size // 2] = 1.0
        blurred = defocus(picture, uniform((size, size), c), 'gaussian', method)[..., 0]
        y = torch.arange(size, dtype=torch.float64) - size // 2 - shift
        x = torch.arange(size, dtype=torch.float64) - size // 2
        rows, columns = blurred.sum(1), blurred.sum(0)
        assert abs(float((rows * y).sum())) < 1e-4 and abs(float((columns * x).sum())) < 1e-4
        assert float((rows * y**2).sum()) == pytest.approx((c / 6.0) ** 2, rel=1e-4)
        assert float((columns * x**2).sum()) == pytest.approx((c / 6.0) ** 2, rel=1e-4)


@pytest.mark.parametrize('method', ['cascade', 'exact'])
@pytest.mark.parametrize('c', [5.2, 9.0, 12.6, 17.0, 24.0, 31.0])
def test_variance_of_a_disk(method, c):
    picture = torch.zeros(64, 64, 1, dtype=torch.float64)
    picture[30, 33] = 1.0
    rows = defocus(picture, uniform((64, 64), c), 'disk', method)[..., 0].sum(1)
    y = torch.arange(64, dtype=torch.float64) - 30
    assert float((rows * y**2).sum()) == pytest.approx(c**2 / 16.0 + 1.0 / 12.0, rel=0.03)


def test_discrete_gaussian_is_lindebergs():
    variance = torch.tensor([0.0, 0.01, 0.5, 3.0, 40.0], dtype=torch.float64)
    taps = discrete_gaussian(variance, 40)
    expected = ive(np.arange(41)[:, None], variance.numpy())
    np.testing.assert_allclose(taps.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize('c', [0.3, 1.0, 1.9, 2.0, 6.4, 11.0])
def test_disk_coverage_is_the_area_shared_with_a_pixel(c):
    grid = (np.arange(400) + 0.5) / 400 - 0.5
    total = 0.0
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            share = float(disk_coverage(torch.tensor(c, dtype=torch.float64), dx, dy))
            inside = (grid + dx)[None] ** 2 + (grid + dy)[:, None] ** 2 <= (max(c, 1.0) / 2) ** 2
            counted = inside.mean() / (math.pi / 4 * max(c, 1.0) ** 2)
            assert share == pytest.approx(counted, abs=2e-4)
            total += share
    assert total == pytest.approx(1.0, abs=1e-12)


def blur_maps():
    x = torch.linspace(0.0, 1.0, 200, dtype=torch.float64).expand(160, 200)
    return {
        'uniform 3.5': uniform((160, 200), 3.5),
        'uniform 12': uniform((160, 200), 12.0),
        'slant to 15': 15.0 * x,
        'slant to 31': 31.0 * x,
        'step 0 | 31': torch.where(x > 0.5, 31.0, 0.0).double(),
    }


@pytest.mark.parametrize('name', list(blur_maps()))
@pytest.mark.parametrize(('psf', 'floor'), [('gaussian', 60.0), ('disk', 50.0)])
def test_cascade_is_close_to_the_direct_scatter(shared_data, psf, floor, name):
    picture, coc = photograph(shared_data).float(), blur_maps()[name].float()
    for normalize in (True, False):
        exact = defocus(picture, coc, psf, 'exact', normalize)
        assert psnr(defocus(picture, coc, psf, normalize=normalize), exact) > floor
        assert psnr(picture, exact) < floor - 15.0  # the blur is there to be seen


def test_uniform_blur_up_to_101_px_is_close_to_the_gaussian(shared_data):
    picture = photograph(shared_data)
    for c in (17.0, 36.0, 61.0, 101.0):
        taps = ive(np.abs(np.arange(-110, 111)), c * c / 36.0)
        padded = np.pad(picture.numpy(), ((110, 110), (110, 110), (0, 0)), mode='symmetric')
        rows = np.apply_along_axis(lambda v, t=taps: np.convolve(v, t, 'valid'), 0, padded)
        exact = np.apply_along_axis(lambda v, t=taps: np.convolve(v, t, 'valid'), 1, rows)
        out = defocus(picture, uniform((160, 200), c))
        assert psnr(out, torch.tensor(exact)) > 60.0


def gradcheck_inputs(size):
    coc = 5.0 * random_picture(size, seed=5)[..., 0] + 0.3  # away from the kinks, almost surely
    return random_picture(size, seed=4).requires_grad_(), coc.requires_grad_()


@pytest.mark.parametrize(('psf', 'method'), ALL)
@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('size', [(1, 1), (4, 3)])
def test_gradients_to_picture_and_blur(psf, method, normalize, size):
    inputs = gradcheck_inputs(size)
    assert torch.autograd.gradcheck(lambda i, c: defocus(i, c, psf, method, normalize), inputs)


@pytest.mark.parametrize('psf', ['gaussian', 'disk'])
def test_gradients_through_the_halved_pictures(psf):
    coc = 6.0 + 60.0 * random_picture((2, 4), seed=5)[..., 0]
    inputs = random_picture((2, 4), seed=4).requires_grad_(), coc.requires_grad_()
    assert torch.autograd.gradcheck(lambda i, c: defocus(i, c, psf), inputs)


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_gradient_is_zero_and_finite_without_blur(psf, method):
    picture, coc = random_picture((6, 7)), uniform((6, 7), 0.0).requires_grad_()
    (defocus(picture, coc, psf, method) * random_picture((6, 7), 9)).sum().backward()
    assert coc.grad.abs().max() == 0


@pytest.mark.parametrize('c', [0.0, 1.0, 2.0, 3.0, 31.0])
def test_gradient_of_the_disk_is_finite_at_its_corners(c):
    coc = uniform((6, 7), c, torch.float32).requires_grad_()
    for method in ('cascade', 'exact'):
        picture = random_picture((6, 7), dtype=torch.float32)
        (gradient,) = torch.autograd.grad((defocus(picture, coc, 'disk', method) ** 2).sum(), coc)
        assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_huge_blur_on_tiny_pictures(psf, method):
    for size in SMALL_SIZES[:4] if method == 'cascade' else SMALL_SIZES[1:2]:
        picture = random_picture(size)
        out = defocus(picture, uniform(size, 101.0), psf, method)
        assert bool(torch.isfinite(out).all())
        mean = picture.mean((0, 1)).expand_as(out)
        assert torch.allclose(out, mean, atol=0.12)  # all but even, odd sizes to their borders


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_batch_equals_one_by_one(psf, method):
    picture = torch.stack([random_picture((9, 12), seed) for seed in range(4)])
    coc = 8.0 * torch.stack([random_picture((9, 12), seed)[..., 0] for seed in range(4)])
    together = defocus(picture.unflatten(0, (2, 2)), coc.unflatten(0, (2, 2)), psf, method)
    single = torch.stack([defocus(p, c, psf, method) for p, c in zip(picture, coc, strict=True)])
    assert torch.allclose(together.flatten(0, 1), single, atol=1e-12)
    shared = defocus(picture, coc[0], psf, method)
    assert torch.allclose(shared[0], single[0], atol=1e-12) and shared.shape == picture.shape
    many = defocus(picture[0], coc, psf, method)
    assert torch.allclose(many[0], single[0], atol=1e-12) and many.shape == picture.shape


@pytest.mark.parametrize('channels', [1, 4])
def test_any_number_of_channels(channels):
    picture = torch.rand(8, 9, channels)
    assert defocus(picture, torch.rand(8, 9) * 5).shape == picture.shape


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_and_strides(dtype):
    picture, coc = random_picture((24, 20)), 9.0 * random_picture((24, 20), 1)[..., 0]
    expected = defocus(picture, coc)
    out = defocus(picture.to(dtype), coc.to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.double(), expected, atol=3e-2 if dtype.itemsize == 2 else 1e-5)
    turned = picture.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    skipped = torch.repeat_interleave(coc, 2, dim=1)[:, ::2]
    assert torch.equal(defocus(turned, skipped), expected)


def test_empty_pictures_pass():
    assert defocus(torch.ones(0, 4, 5, 3), torch.ones(0, 4, 5)).shape == (0, 4, 5, 3)


@pytest.mark.parametrize(
    ('image', 'coc', 'names', 'message'),
    [
        (torch.ones(4, 5), torch.ones(4, 5), {}, r'\(\.\.\., H, W, C\)'),
        (torch.ones(4, 5, 3), torch.ones(5, 4), {}, 'one size'),
        (torch.ones(2, 4, 5, 3), torch.ones(3, 4, 5), {}, 'broadcast'),
        (torch.ones(4, 5, 3, dtype=torch.uint8), torch.ones(4, 5), {}, 'floating'),
        (torch.ones(4, 5, 3), torch.ones(4, 5, dtype=torch.int64), {}, 'floating'),
        (torch.ones(4, 5, 3), torch.full((4, 5), -1e9), {}, 'max_coc'),
        (torch.ones(4, 5, 3), torch.full((4, 5), math.nan), {}, 'max_coc'),
        (torch.ones(4, 5, 3), torch.full((4, 5), math.inf), {}, 'max_coc'),
        (torch.ones(4, 5, 3), torch.ones(4, 5), {'psf': 'star'}, 'gaussian'),
        (torch.ones(4, 5, 3), torch.ones(4, 5), {'psf': 'polygon', 'blades': 2}, 'blades'),
        (torch.ones(4, 5, 3), torch.ones(4, 5), {'occlusion': True, 'normalize': False}, 'sum'),
        (torch.ones(4, 5, 3), torch.ones(4, 5), {'method': 'fft'}, 'cascade'),
    ],
)
def test_bad_input_is_named(image, coc, names, message):
    with pytest.raises(ValueError, match=message):
        defocus(image, coc, **names)
