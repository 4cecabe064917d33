# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The lens' kernels with gradients against the torch reference: values and every slope."""

from __future__ import annotations

from dataclasses import replace
import math

import numba
import pytest
import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    Intrinsics,
    lens_adjoint,
    PhysicalCamera,
    SensorModel,
)
from diffphyscam_ros.camera import stages as reference
from diffphyscam_ros.camera.stages import LENS_STAGES

WIDTH, HEIGHT = 48, 36
SENSOR = replace(
    SensorModel.preset('generic_vga').resized(WIDTH, HEIGHT),
    distortion_model='plumb_bob',
    distortion_coefficients=(-0.2, 0.06, 2e-3, -1e-3, 0.01),
    # No colour stays exactly where it was: there the slope of bilinear sampling has two values.
    chromatic_scale=(1.004, 1.0013, 0.995),
    chromatic_curve=(0.004, 0.001, -0.006),
    vignetting_model='cos4',
    vignetting_gain=0.8,
    defocus_gain=1.3,
    defocus_dead_zone=0.02,
    glare_fraction=0.1,
    glare_radius=4.3,
)
SETTINGS = CameraSettings(1.4, 0.01, 100.0, 0.0036, 0.6)
MODELS = {
    'plumb_bob': SENSOR.distortion_coefficients,
    'rational_polynomial': (-0.2, 0.06, 2e-3, -1e-3, 0.01, 0.03, -0.01, 0.002),
    'equidistant': (0.02, -0.01, 0.004, -0.001),
}
FIELDS = (
    'distortion_coefficients', 'chromatic_scale', 'chromatic_curve', 'vignetting_gain',
    'defocus_gain', 'defocus_dead_zone', 'glare_fraction', 'glare_radius',
)  # fmt: skip
KNOBS = ('aperture', 'focal_length', 'focus_distance')
PINHOLE = ('fx', 'fy', 'cx', 'cy')


def world(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return light with bright points, and depths from 0.3 to 2 m."""
    random = torch.Generator().manual_seed(2)
    light = torch.rand(height, width, 3, generator=random)
    light[height // 3, width // 3] = 30.0
    rows = torch.linspace(0.0, 1.0, height)[:, None]
    depth = 0.3 + 1.7 * rows + 0.1 * torch.rand(height, width, generator=random)
    return light, depth


def views(sensor: SensorModel, stages: tuple[str, ...]) -> tuple[Intrinsics, Intrinsics]:
    target = sensor.intrinsics(SETTINGS)
    if 'distortion' not in stages:
        return target, target
    return PhysicalCamera(sensor, stages).source_intrinsics(SETTINGS), target


def slopes(form, sensor, kind, stages=LENS_STAGES, fields=FIELDS, world_of=world):
    """Return the picture and the gradients of a weighted sum of it by all that there is."""

    def leaf(value):
        return torch.as_tensor(value, dtype=kind).clone().requires_grad_()

    source, target = views(sensor, stages)
    light, depth = (part.to(kind) for part in world_of(source.height, source.width))
    found = {'light': light.requires_grad_(), 'depth': depth.requires_grad_()}
    model = {name: leaf(getattr(sensor, name)) for name in fields}
    knobs = {name: leaf(float(getattr(SETTINGS, name))) for name in KNOBS}
    pinholes = [{n: leaf(float(getattr(view, n))) for n in PINHOLE} for view in (source, target)]
    given = replace(source, **pinholes[0]), replace(target, **pinholes[1])
    out = form(
        found['light'], found['depth'], replace(SETTINGS, **knobs), replace(sensor, **model),
        stages, *given,
    )  # fmt: skip
    random = torch.Generator().manual_seed(8)
    weights = torch.rand(out.shape, generator=random).to(kind) - 0.3
    (out * weights).sum().backward()
    found |= model | knobs
    found |= {f'source {n}': t for n, t in pinholes[0].items()}
    found |= {f'target {n}': t for n, t in pinholes[1].items()}
    return out.detach(), {n: one.grad for n, one in found.items() if one.grad is not None}


def agree(sensor, stages=LENS_STAGES, fields=FIELDS, world_of=world, tolerance=1e-3):
    picture, kernel = slopes(
        lens_adjoint.form_image, sensor, torch.float32, stages, fields, world_of
    )
    truth, expected = slopes(reference.form_image, sensor, torch.float64, stages, fields, world_of)
    scale = float(truth.abs().max())
    assert float((picture.double() - truth).abs().max()) < 2e-4 * scale
    assert expected.keys() <= kernel.keys() | {'source fx', 'source fy', 'source cx', 'source cy'}
    for name, value in expected.items():
        size = float(value.abs().max())
        if size == 0.0:
            continue
        assert torch.isfinite(kernel[name]).all(), name
        error = float((kernel[name].double() - value).abs().max()) / size
        assert error < tolerance, f'{name}: {error:.2g} of {size:.3g}'
    return kernel


@pytest.mark.parametrize('model', MODELS)
def test_every_gradient_of_the_whole_lens(model: str) -> None:
    sensor = replace(
        SENSOR, distortion_model=model, distortion_coefficients=MODELS[model], defocus_dead_zone=0
    )
    found = agree(sensor, fields=tuple(n for n in FIELDS if n != 'defocus_dead_zone'))
    assert {'light', 'depth', *KNOBS, 'distortion_coefficients', 'source fx'} <= found.keys()


@pytest.mark.parametrize('stage', LENS_STAGES)
def test_every_gradient_of_one_stage(stage: str) -> None:
    agree(SENSOR, (stage,))


@pytest.mark.parametrize('size', [(48, 36), (37, 53), (2, 3)])
@pytest.mark.parametrize('radius', [1.0, 2.3, 9.0])
def test_glare_of_any_size_and_width(size: tuple[int, int], radius: float) -> None:
    sensor = replace(SENSOR, image_width=size[0], image_height=size[1], glare_radius=radius)
    found = agree(sensor, ('glare',), ('glare_fraction',))
    assert 'glare_fraction' in found


@pytest.mark.parametrize('size', [(53, 37), (300, 20), (2, 5), (131, 65)])
@pytest.mark.parametrize('gain', [0.05, 1.0, 20.0])
def test_blur_of_any_size_and_width(size: tuple[int, int], gain: float) -> None:
    sensor = replace(
        SENSOR, image_width=size[0], image_height=size[1], defocus_gain=gain, max_coc=60.0
    )
    agree(sensor, ('defocus',), ('defocus_gain', 'pixel_size'))


@pytest.mark.parametrize(
    'changes',
    [
        {'vignetting_model': 'radial', 'vignetting_coefficients': (-0.3, 0.05, -0.02)},
        {'rim_radius': 1.1e-3, 'rim_distance': 2e-3},
        {'psf': 'disk'},
        {'defocus_occlusion': True},
    ],
    ids=['radial', 'rim', 'disk', 'occlusion'],
)
def test_what_has_no_kernel_of_its_own_is_the_same_between_the_others(changes) -> None:
    fields = tuple(n for n in FIELDS if n != 'defocus_dead_zone')
    fields += tuple(n for n, v in changes.items() if isinstance(v, (float, tuple)))
    # The disk has kinks where rings of pixels are reached, and float32 may stand beyond one.
    tolerance = 1e-3 if 'psf' not in changes else 2e-2
    agree(replace(SENSOR, defocus_dead_zone=0, **changes), fields=fields, tolerance=tolerance)


def test_depths_that_are_none_pass_nothing_and_break_nothing() -> None:
    def broken(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        light, depth = world(height, width)
        depth[5, 5:9] = torch.tensor([0.0, math.inf, math.nan, -1.0])
        return light, depth

    found = agree(SENSOR, ('vignetting', 'defocus'), world_of=broken)
    assert all(torch.isfinite(value).all() for value in found.values())
    assert (found['depth'][5, 5:9] == 0).all()


@pytest.mark.parametrize('aperture', [0.5, 128.0])
@pytest.mark.parametrize('focus', [0.0037, math.inf])
def test_the_ends_of_the_settings_have_finite_gradients(aperture: float, focus: float) -> None:
    light, depth = world(HEIGHT, WIDTH)
    light, depth = light.requires_grad_(), depth.requires_grad_()
    knobs = [torch.tensor(v, requires_grad=True) for v in (aperture, focus)]
    settings = replace(SETTINGS, aperture=knobs[0], focus_distance=knobs[1])
    camera = PhysicalCamera(SENSOR, ('vignetting', 'defocus', 'glare'))
    camera.lens(light, depth, settings).square().mean().backward()
    for part in (light, depth, *knobs):
        assert part.grad is not None and torch.isfinite(part.grad).all()


def test_a_batch_is_its_pictures() -> None:
    light, depth = world(HEIGHT, WIDTH)
    stages = ('vignetting', 'defocus', 'glare')
    camera = PhysicalCamera(SENSOR, stages)
    apertures = torch.tensor([1.4, 2.8, 5.6], requires_grad=True)
    many = camera.lens(light, depth, replace(SETTINGS, aperture=apertures))
    assert many.shape == (3, HEIGHT, WIDTH, 3)
    (many * torch.arange(1.0, 4.0)[:, None, None, None]).mean().backward()
    for i, value in enumerate((1.4, 2.8, 5.6)):
        one = torch.tensor(value, requires_grad=True)
        picture = camera.lens(light, depth, replace(SETTINGS, aperture=one))
        torch.testing.assert_close(many[i], picture)
        (picture.mean() * (i + 1) / 3).backward()
        torch.testing.assert_close(apertures.grad[i], one.grad, rtol=1e-5, atol=1e-9)


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    light, depth = world(HEIGHT, WIDTH)
    light.requires_grad_()
    picture = PhysicalCamera(SENSOR, ('vignetting', 'defocus')).lens(light, depth, SETTINGS)
    (slope,) = torch.autograd.grad(picture.square().sum(), light, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        slope.sum().backward()


def test_gradients_do_not_depend_on_the_number_of_threads() -> None:
    before = numba.get_num_threads()
    try:
        found = []
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(slopes(lens_adjoint.form_image, SENSOR, torch.float32)[1])
    finally:
        numba.set_num_threads(before)
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_the_camera_takes_the_kernels_and_float64_takes_torch(monkeypatch) -> None:
    taken = []
    form = lens_adjoint.form_image
    monkeypatch.setattr(lens_adjoint, 'form_image', lambda *a: taken.append(1) or form(*a))
    camera = PhysicalCamera(SENSOR, ('vignetting', 'defocus'))
    light, depth = world(HEIGHT, WIDTH)
    camera.lens(light.requires_grad_(), depth, SETTINGS)
    assert taken == [1]
    camera.lens(light.detach().double().requires_grad_(), depth.double(), SETTINGS)
    assert taken == [1]
