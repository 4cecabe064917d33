# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus with occlusion and with polygons: what hides what, and where hidden things show."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from diffphyscam_ros.camera.circle_of_confusion import circle_of_confusion
from diffphyscam_ros.camera.defocus import defocus
from diffphyscam_ros.camera.defocus_hidden import hidden_layer

PSFS = ('gaussian', 'disk', 'polygon')
METHODS = ('cascade', 'exact')
ALL = list(itertools.product(PSFS, METHODS))
SIZE = (24, 60)
EDGE = 30  # first column of the background


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    """Keep torch from waking a second thread for each of many small operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def two_surfaces(front, back):
    """Return a white surface on the left, in front of a black one; blurs in px."""
    picture = torch.zeros(*SIZE, 1, dtype=torch.float64)
    picture[:, :EDGE] = 1.0
    coc = torch.full(SIZE, float(back), dtype=torch.float64)
    coc[:, :EDGE] = front
    return picture, coc


def row(picture):
    return picture[SIZE[0] // 2, :, 0]


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_a_sharp_edge_stays_sharp_before_a_blurred_background(psf, method):
    picture, coc = two_surfaces(0.0, 11.0)
    out = defocus(picture, coc, psf, method, occlusion=True)
    assert torch.allclose(out, picture, atol=1e-6)
    plain = defocus(picture, coc, psf, method)
    assert (plain - picture).abs().max() > 0.15  # what occlusion is for


@pytest.mark.parametrize(('psf', 'method'), ALL)
@pytest.mark.parametrize('back', [0.0, 7.0])
def test_a_blurred_foreground_has_a_rim_on_both_sides_of_its_outline(psf, method, back):
    picture, coc = two_surfaces(-12.0, back)
    out = row(defocus(picture, coc, psf, method, occlusion=True, blades=6))
    # as if the white surface alone were blurred before a black wall that goes on behind it
    alone = row(defocus(picture, torch.full_like(coc, -12.0), psf, method, blades=6))
    assert (out - alone).abs().max() < 0.03
    assert 0.6 < out[EDGE - 3] < 0.97 and 0.03 < out[EDGE + 2] < 0.4


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_of_two_surfaces_on_one_side_of_the_focus_the_nearer_hides(psf, method):
    for front, back in ((-14.0, -4.0), (3.0, 14.0)):
        picture, coc = two_surfaces(front, back)
        out = row(defocus(picture, coc, psf, method, occlusion=True))
        alone = row(defocus(picture, torch.full_like(coc, front), psf, method))
        assert (out - alone).abs().max() < 0.06


@pytest.mark.parametrize(('psf', 'method'), ALL)
def test_a_slanted_surface_has_no_seams(psf, method):
    x = torch.linspace(-8.0, 6.0, SIZE[1], dtype=torch.float64).expand(SIZE)
    flat = torch.full((*SIZE, 1), 0.7, dtype=torch.float64)
    out = defocus(flat, x, psf, method, occlusion=True)
    assert torch.allclose(out, flat, rtol=1e-6)
    waves = (0.5 + 0.4 * torch.sin(0.4 * torch.arange(SIZE[1]))).double().expand(SIZE)[..., None]
    difference = defocus(waves, x, psf, method, occlusion=True) - defocus(waves, x, psf, method)
    assert difference[:, 8:-8].abs().max() < 0.03  # mirrored borders are folds in the surface


@pytest.mark.parametrize('psf', PSFS)
def test_uniform_blur_is_the_plain_scatter(psf):
    picture = torch.rand(20, 30, 3, generator=torch.Generator().manual_seed(1)).double()
    for c in (0.0, 0.8, 5.0, -9.0):
        coc = torch.full((20, 30), c, dtype=torch.float64)
        plain = defocus(picture, coc, psf, 'exact')
        assert torch.allclose(
            defocus(picture, coc, psf, 'exact', occlusion=True), plain, atol=1e-9
        )
        near = defocus(picture, coc, psf, occlusion=True)
        assert (near - plain).abs().max() < 0.03


def test_hidden_layer_continues_what_is_visible_beside_the_edge():
    picture, coc = two_surfaces(-12.0, 3.0)
    colour, blur, presence = hidden_layer(picture.movedim(-1, 0)[None], coc[None, None])
    reach = slice(EDGE - 6, EDGE)
    assert (presence[0, 0, :, reach] > 0.85).all() and (presence[0, 0, :, EDGE + 2 :] == 0).all()
    assert torch.allclose(blur[0, 0, :, reach], torch.full((), 3.0, dtype=torch.float64))
    assert (colour[0, 0, :, reach] == 0).all()


def test_the_signed_blur_grows_with_depth():
    depth = torch.tensor([[0.4, 0.9, 1.0, 1.2, 50.0, math.inf]], dtype=torch.float64)
    lens = (2.0, 0.05, 1.0, 1e-5)
    signed = circle_of_confusion(depth, *lens, signed=True)
    assert (signed.diff() > 0).all() and signed[0, 2] == 0
    assert torch.equal(signed.abs(), circle_of_confusion(depth, *lens))
    assert circle_of_confusion(depth, *lens, max_coc=7.0, signed=True).min() == -7.0


@pytest.mark.parametrize('method', METHODS)
def test_polygon_has_the_area_of_the_disk_and_turns_over_at_the_focus(method):
    point = torch.zeros(33, 33, 1, dtype=torch.float64)
    point[16, 16] = 1.0
    for blades in (3, 5, 8):
        behind, before = (
            defocus(
                point, torch.full((33, 33), c).double(), 'polygon', method, False, False, blades
            )
            for c in (13.0, -13.0)
        )
        assert float(behind.sum()) == pytest.approx(1.0, abs=1e-6)
        assert 1.0 / float(behind.max()) == pytest.approx(math.pi / 4.0 * 13.0**2, rel=0.03)
        assert torch.allclose(before.flip(0, 1), behind, atol=1e-9)
    coc = torch.full((33, 33), 13.0, dtype=torch.float64)
    corner = defocus(point, coc, 'polygon', method, blades=3)
    assert corner[16, 25] > 0 and corner[16, 7] == 0  # rotation 0: a corner to the right


@pytest.mark.parametrize('psf', PSFS)
@pytest.mark.parametrize('size', [(1, 1), (3, 4)])
def test_gradients_with_occlusion(psf, size):
    generator = torch.Generator().manual_seed(3)
    picture = torch.rand(*size, 2, generator=generator, dtype=torch.float64).requires_grad_()
    coc = 12.0 * torch.rand(*size, generator=generator, dtype=torch.float64) - 6.0
    coc.requires_grad_()
    methods = METHODS if size == (1, 1) else METHODS[:1]
    for method in methods:
        assert torch.autograd.gradcheck(
            lambda i, c, m=method: defocus(i, c, psf, m, occlusion=True, blades=5), (picture, coc)
        )


@pytest.mark.parametrize('psf', PSFS)
def test_gradients_reach_the_lens(psf):
    depth = torch.tensor([[0.5, 0.8, 1.1], [1.4, 2.5, 9.0]], dtype=torch.float64)
    values = [depth, *(torch.tensor(v, dtype=torch.float64) for v in (4.0, 0.05, 1.0, 0.9))]
    picture = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(5)).double()

    def photograph(depth, aperture, focal_length, focus, gain):
        lens = (aperture, focal_length, focus, 1e-4, gain)
        return defocus(
            picture, circle_of_confusion(depth, *lens, signed=True), psf, occlusion=True
        )

    inputs = [value.requires_grad_() for value in values]
    assert torch.autograd.gradcheck(photograph, inputs)


@pytest.mark.parametrize('psf', PSFS)
def test_gradients_are_finite_at_the_corners(psf):
    coc = torch.tensor([[0.0, 1.0, -1.0, 3.0], [-3.0, 24.0, -24.0, 101.0]]).requires_grad_()
    picture = torch.zeros(2, 4, 3).requires_grad_()
    out = defocus(picture, coc, psf, occlusion=True)
    (out.square() + out).sum().backward()
    assert bool(torch.isfinite(coc.grad).all()) and bool(torch.isfinite(picture.grad).all())
