# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled cascades equal those in torch, on any number of threads, from any of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.camera.defocus import defocus
from diffphyscam_ros.kernels.defocus import defocus_fast

PSFS = ('gaussian', 'disk')
KINDS = [
    ('gaussian', False),
    ('gaussian', True),
    ('disk', False),
    ('disk', True),
    ('polygon', False),
    ('polygon', True),
]
SIZES = [(1, 1), (1, 300), (128, 1), (2, 3), (3, 2), (7, 5), (33, 129), (100, 262)]


def inputs(size, largest, seed=0, signed=False):
    rng = np.random.default_rng(seed)
    picture = rng.random((*size, 3)).astype(np.float32)
    coc = (largest * rng.random(size)).astype(np.float32)
    if signed:  # two surfaces, one of them slanted through the focus, and scattered pixels
        x = np.linspace(-largest, 0.6 * largest, size[1], dtype=np.float32)
        coc = np.where(rng.random(size) < 0.03, coc, x[None]).astype(np.float32)
        coc[: size[0] // 3, size[1] // 4 :] = -0.7 * largest
    return picture, coc


def expect(picture, coc, psf, **options):
    return defocus(torch.tensor(picture), torch.tensor(coc), psf, **options).numpy()


def close(out, expected, psf):
    loose = psf != 'gaussian'  # the sum of a disk is read from a table
    tolerance = {'rtol': 1e-4, 'atol': 1e-5} if loose else {'rtol': 1e-5, 'atol': 1e-6}
    np.testing.assert_allclose(out, expected, **tolerance)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(('psf', 'occlusion'), KINDS)
def test_equals_torch(size, psf, occlusion):
    signed = occlusion or psf == 'polygon'
    options = {'occlusion': occlusion, 'blades': 5, 'rotation': 0.4}
    for largest in (0.0, 1.0, 9.0, 31.0, 101.0):
        picture, coc = inputs(size, largest, signed=signed)
        out = defocus_fast(picture, coc, psf=psf, **options)
        close(out, expect(picture, coc, psf, **options), psf)


@pytest.mark.parametrize('blades', [3, 4, 6, 32])
def test_polygons_of_any_shape_equal_torch(blades):
    picture, coc = inputs((60, 140), 40.0, signed=True)
    options = {'blades': blades, 'rotation': -1.1}
    for occlusion in (False, True):
        out = defocus_fast(picture, coc, psf='polygon', occlusion=occlusion, **options)
        close(out, expect(picture, coc, 'polygon', occlusion=occlusion, **options), 'polygon')


@pytest.mark.parametrize('psf', PSFS)
def test_equals_torch_where_most_tiles_are_skipped(psf):
    picture, coc = inputs((90, 400), 1.0)
    coc[:, 150:200], coc[40:, 300:], coc[60:70] = 31.0, 12.0, 0.0
    close(defocus_fast(picture, coc, psf=psf), expect(picture, coc, psf), psf)


@pytest.mark.parametrize(('psf', 'occlusion'), KINDS)
def test_sharp_pixels_far_from_blur_keep_their_bits(psf, occlusion):
    picture, coc = inputs((60, 300), 0.0)
    coc[:, 250:] = 21.0
    out = defocus_fast(picture, coc, psf=psf, occlusion=occlusion)
    tolerance = 1e-6 if occlusion else 0.0  # there a colour is divided by what it was weighed with
    np.testing.assert_allclose(out[:, :200], picture[:, :200], rtol=tolerance, atol=tolerance)
    still = defocus_fast(picture, np.zeros_like(coc), psf=psf, occlusion=occlusion)
    assert np.array_equal(still, picture)


@pytest.mark.parametrize(('psf', 'occlusion'), KINDS)
def test_constant_picture_stays_constant(psf, occlusion):
    coc = inputs((70, 190), 31.0)[1]
    coc[:, 60:90], coc[30:40], coc[50:] = 0.0, 101.0, -9.0
    out = defocus_fast(np.full((70, 190, 3), 0.7, np.float32), coc, None, psf, occlusion)
    np.testing.assert_allclose(out, 0.7, rtol=2e-6 if psf == 'gaussian' else 2e-5)


@pytest.mark.parametrize(('psf', 'occlusion'), KINDS)
def test_same_bits_on_any_number_of_threads(psf, occlusion):
    picture, coc = inputs((257, 190), 31.0, signed=True)
    before = numba.get_num_threads()
    try:
        results = []
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(threads)
            results.append(defocus_fast(picture, coc, None, psf, occlusion, 5))
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_buffers_do_not_remember():
    picture, coc = inputs((64, 96), 60.0)
    for psf, occlusion in KINDS:
        first = defocus_fast(picture, coc, None, psf, occlusion)
        for largest in (0.0, 3.0, 101.0):
            other = inputs((64, 96), largest, seed=7, signed=True)
            defocus_fast(*other, None, psf, occlusion)
        assert np.array_equal(defocus_fast(picture, coc, None, psf, occlusion), first)


@pytest.mark.skipif(
    numba.config.THREADING_LAYER == 'workqueue',
    reason='the workqueue layer may not be entered from two threads',
)
def test_several_python_threads_at_once():
    cases = [(*inputs((120, 100 + 10 * i), 31.0, seed=i), None, PSFS[i % 2]) for i in range(4)]
    expected = [defocus_fast(*case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = list(pool.map(lambda case: defocus_fast(*case), cases))
            assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize('psf', PSFS)
def test_out_may_be_given_and_may_be_the_picture(psf):
    picture, coc = inputs((40, 50), 20.0)
    expected = defocus_fast(picture, coc, psf=psf)
    out = np.empty_like(picture)
    assert defocus_fast(picture, coc, out, psf) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(defocus_fast(picture, coc, picture, psf), expected)


@pytest.mark.parametrize('psf', PSFS)
def test_strided_input(psf):
    picture, coc = inputs((40, 50), 20.0)
    expected = defocus_fast(picture, coc, psf=psf)
    turned = np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0)
    skipped = np.repeat(coc, 2, axis=1)[:, ::2]
    assert np.array_equal(defocus_fast(turned, skipped, psf=psf), expected)


def test_no_pixels():
    assert defocus_fast(np.ones((0, 5, 3), np.float32), np.ones((0, 5), np.float32)).size == 0


@pytest.mark.parametrize('bad', [-1e9, np.nan, np.inf, 1e9])
@pytest.mark.parametrize(('psf', 'occlusion'), KINDS)
def test_bad_blur_is_refused(bad, psf, occlusion):
    picture, coc = inputs((20, 150), 3.0)
    coc[11, 140] = bad
    with pytest.raises(ValueError, match='coc'):
        defocus_fast(picture, coc, None, psf, occlusion)


def test_bad_arrays_are_named():
    picture, coc = inputs((8, 9), 3.0)
    with pytest.raises(ValueError, match='image'):
        defocus_fast(picture[..., :2], coc)
    with pytest.raises(ValueError, match='image'):
        defocus_fast(picture.astype(np.float64), coc)
    with pytest.raises(ValueError, match='coc'):
        defocus_fast(picture, coc.T)
    with pytest.raises(ValueError, match='out'):
        defocus_fast(picture, coc, np.empty((8, 9, 3)))
    with pytest.raises(ValueError, match='gaussian, disk, polygon'):
        defocus_fast(picture, coc, psf='star')
    with pytest.raises(ValueError, match='blades'):
        defocus_fast(picture, coc, psf='polygon', blades=2)
