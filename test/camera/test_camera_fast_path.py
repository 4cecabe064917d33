# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fused kernels against the torch reference, value by value."""

from __future__ import annotations

from dataclasses import replace
import math
import threading
import warnings

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    fast_path,
    lens_adjoint,
    PhysicalCamera,
    SensorModel,
    STAGES,
)
from diffphyscam_ros.camera.noise import normal_deviates, SHOT_STREAM, WORD
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.noise import normal_picture

SETTINGS = CameraSettings(2.0, 0.01, 200.0, 0.0036, 0.7)
SENSOR = replace(
    SensorModel.preset('generic_vga').resized(80, 60),
    max_coc=15.0,
    defocus_gain=5.0,
    bit_depth=0,  # rounding would hide small differences and make others a whole step
)


def pictures(camera: PhysicalCamera, settings: CameraSettings = SETTINGS):
    view = camera.source_intrinsics(settings)
    generator = torch.Generator().manual_seed(4)
    radiance = torch.rand(view.height, view.width, 3, generator=generator)
    depth = torch.rand(view.height, view.width, generator=generator) * 3 + 0.2
    depth[:5], depth[5:8], depth[8:10] = 0.0, math.inf, math.nan
    return radiance, depth


def both(camera: PhysicalCamera, *args, **named) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the picture of the kernels and of the reference, having seen which ran."""
    radiance, *rest = args
    calls = []
    lens, sensor = fast_path.form_image, fast_path.read_out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, 'form_image', lambda *a: calls.append(1) or lens(*a))
        patch.setattr(fast_path, 'read_out', lambda *a: calls.append(2) or sensor(*a))
        fast = camera(radiance, *rest, **named).image
        assert calls == [1, 2]
        depth, *others = rest
        patch.setattr(lens_adjoint, 'serves', lambda *a: False)
        slow = camera(radiance[None], depth[None], *others, **named).image[0]
        assert calls == [1, 2]
    return fast, slow


@pytest.mark.parametrize('seed', [0, 9, -1, 2**40 + 3])
def test_kernel_noise_is_the_reference_noise(seed: int) -> None:
    out = np.empty((37, 53, 3), dtype=np.float32)
    normal_picture(seed & WORD, 12, SHOT_STREAM, out)
    expected = normal_deviates((37, 53, 3), 12, seed, dtype=torch.float64)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6)


SUBSETS = [STAGES, *[STAGES[:n] for n in range(len(STAGES))], STAGES[5:], ('noise',)]


@pytest.mark.parametrize('stages', SUBSETS)
def test_kernels_equal_the_reference(stages: tuple[str, ...]) -> None:
    camera = PhysicalCamera(SENSOR, stages, seed=3)
    fast, slow = both(camera, *pictures(camera), SETTINGS, 17)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


SCALE = {'linear': 1e-6, 'gamma': 0.2, 'sigmoid': 1e-6, 'table': 1e-6}


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('black', [0.0, 0.0625])
@pytest.mark.parametrize('kind', ['linear', 'gamma', 'sigmoid', 'table'])
def test_response_kernels_equal_the_reference(kind: str, black: float, soft: bool) -> None:
    sensor = replace(
        SENSOR,
        response_type=kind,
        response_gamma=0.45,
        response_gains=tuple(gain * SCALE[kind] for gain in (0.5, 2.0, 1.0)),
        response_biases=(-0.1, 0.0, 0.1),
        response_table=(0.0, 0.05, 0.5, 0.5, 0.9),
        black_level=black,
    )
    camera = PhysicalCamera(sensor, soft_clamp=soft)
    settings = replace(SETTINGS, iso=900.0)
    fast, slow = both(camera, *pictures(camera), settings)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5 if kind != 'table' else 5e-5)


@pytest.mark.parametrize(
    'change',
    [
        {'psf': 'disk'},
        {'defocus_gain': 0.0},
        {'defocus_dead_zone': 0.5},
        {'vignetting_gain': 0.0},
        {'distortion_coefficients': ()},
        {'shot_noise_gain': (0.0, 0.0, 0.0)},
        {'shot_noise_gain': (0.0, 1e-2, 0.0)},
        {'read_noise': (0.0, 0.0, 0.0)},
        {'distortion_model': 'equidistant', 'distortion_coefficients': (0.01, 0.0, 0.0, 0.0)},
        {'principal_point': (30.2, 35.7), 'focus_breathing': True},
        {'rim_radius': 2e-3, 'rim_distance': 4e-3},
        {'vignetting_model': 'radial', 'vignetting_coefficients': (-0.4, 0.1)},
        {'chromatic_scale': (1.004, 1.0, 0.995), 'chromatic_curve': (0.0, 0.001, -0.002)},
        {'chromatic_scale': (1.004, 1.0, 0.995), 'distortion_coefficients': ()},
        {'glare_fraction': 0.1, 'glare_radius': 2.0},
        {'psf': 'polygon', 'aperture_blades': 5, 'aperture_rotation': 0.3},
        {'psf': 'disk', 'defocus_occlusion': True, 'glare_fraction': 0.1},
        {'psf': 'gaussian', 'defocus_occlusion': True},
    ],
)
@pytest.mark.parametrize('focus', [0.7, math.inf])
def test_other_sensors_equal_the_reference(change: dict, focus: float) -> None:
    camera = PhysicalCamera(replace(SENSOR, **change), seed=1)
    settings = replace(SETTINGS, focus_distance=focus)
    fast, slow = both(camera, *pictures(camera, settings), settings, 2)
    crisp = camera.sensor.psf != 'gaussian' or camera.sensor.defocus_occlusion
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4 if crisp else 1e-5)


PATTERNS = {
    'prnu': (0.02, 0.01, 0.03),
    'dsnu': (3.0, 5.0, 4.0),
    'dark_current': (100.0, 50.0, 80.0),
    'hot_pixel_fraction': 0.05,
    'hot_pixel_current': 2e4,
    'full_well': 8000.0,
    'black_level': 0.05,
}
COLOURS = {
    'white_balance': (1.6, 1.0, 1.3),
    'color_matrix': (1.5, -0.3, -0.2, -0.25, 1.5, -0.25, 0.1, -0.5, 1.4),
}


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize('bayer', ['none', 'rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('size', [(80, 60), (37, 23)])
def test_whole_sensors_equal_the_reference(bayer: str, fixed: bool, size: tuple[int, int]) -> None:
    sensor = replace(
        SensorModel.preset('generic_vga').resized(*size),
        **PATTERNS,
        **COLOURS,
        bit_depth=0,
        bayer_pattern=bayer,
        read_noise_fixed=fixed,
        demosaic='bilinear' if fixed else 'malvar',
    )
    irradiance = torch.rand(size[1], size[0], 3, generator=torch.Generator().manual_seed(1))
    for stages in (STAGES, ('exposure', 'noise', 'mosaic', 'response'), ('noise', 'mosaic')):
        camera = PhysicalCamera(sensor, stages, seed=4)
        light = irradiance * (1.0 if 'exposure' in stages else 9000.0)
        fast, slow = camera.sense(light, SETTINGS, 3), camera.sense(light[None], SETTINGS, 3)
        torch.testing.assert_close(fast.image, slow.image[0], rtol=1e-4, atol=2e-5)
        assert (fast.raw is None) == (slow.raw is None)
        if slow.raw is not None:
            torch.testing.assert_close(fast.raw, slow.raw[0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize('bits', [8, 12])
@pytest.mark.parametrize('bayer', ['none', 'grbg'])
def test_quantised_values_equal_the_reference(bayer: str, bits: int) -> None:
    """They are the same steps, but where float32 falls on the other side of a half."""
    sensor = replace(SENSOR, bit_depth=bits, bayer_pattern=bayer, **PATTERNS)
    camera = PhysicalCamera(sensor, STAGES[:-1], seed=4)
    irradiance = torch.rand(60, 80, 3, generator=torch.Generator().manual_seed(2))
    fast, slow = camera.sense(irradiance, SETTINGS).image, camera.sense(irradiance[None], SETTINGS)
    steps = (fast - slow.image[0]).mul(2**bits - 1)
    assert steps.abs().max() < 1.001
    assert (steps.abs() > 0.01).double().mean() < 0.005
    levels = fast.double() * (2**bits - 1)
    assert (levels - levels.round()).abs().max() < 1e-2


@pytest.mark.parametrize('size', [(1, 1), (1, 5), (2, 2), (3, 1), (4, 3), (5, 2)])
@pytest.mark.parametrize('bayer', ['none', 'rggb'])
def test_tiny_pictures_equal_the_reference(size: tuple[int, int], bayer: str) -> None:
    sensor = SensorModel(
        image_width=size[0],
        image_height=size[1],
        focal_scale=(0.01, 0.01),
        distortion_coefficients=(-0.1, 0.0, 0.0, 0.0, 0.0),
        vignetting_gain=0.5,
        bayer_pattern=bayer,
        response_gains=(1e-5, 1e-5, 1e-5),
    )
    camera = PhysicalCamera(sensor)
    fast, slow = both(camera, *pictures(camera, sensor.settings), sensor.settings)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


def test_a_folding_lens_equals_the_reference() -> None:
    sensor = replace(SENSOR, distortion_coefficients=(-1.2, 0.0, 0.0, 0.0, 0.0))
    camera = PhysicalCamera(sensor)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        fast, slow = both(camera, *pictures(camera), SETTINGS)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


def test_other_layouts_and_types_equal_the_reference() -> None:
    camera = PhysicalCamera(SENSOR)
    radiance, depth = pictures(camera)
    expected = camera(radiance, depth, SETTINGS).image
    turned = radiance.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert torch.equal(camera(turned, depth.double(), SETTINGS).image, expected)
    settings = CameraSettings(torch.tensor(2.0), 0.01, torch.tensor([200.0]), 0.0036, 0.7)
    assert torch.equal(camera(radiance, depth, settings).image, expected)
    half = camera(radiance.half(), depth.half(), SETTINGS).image
    assert half.dtype == torch.float32
    double = camera(radiance.double(), depth.double(), SETTINGS).image
    torch.testing.assert_close(double.float(), expected, rtol=1e-4, atol=1e-5)


def test_gradients_batches_and_other_types_take_the_reference(monkeypatch) -> None:
    camera = PhysicalCamera(SENSOR)
    radiance, depth = pictures(camera)

    def refuse(*_: object) -> None:
        raise AssertionError('the fast path ran')

    monkeypatch.setattr(fast_path, 'form_image', refuse)
    monkeypatch.setattr(fast_path, 'read_out', refuse)
    camera(radiance.requires_grad_(), depth, SETTINGS)
    aperture = torch.tensor(2.0, requires_grad=True)
    camera(radiance.detach(), depth, replace(SETTINGS, aperture=aperture))
    gain = torch.tensor(0.5, requires_grad=True)
    PhysicalCamera(replace(SENSOR, vignetting_gain=gain))(radiance.detach(), depth, SETTINGS)
    camera(radiance.detach()[None], depth[None], SETTINGS)
    camera(radiance.detach(), depth, replace(SETTINGS, iso=torch.tensor([100.0, 200.0])))
    with torch.no_grad(), pytest.raises(AssertionError, match='the fast path ran'):
        camera(radiance, depth, replace(SETTINGS, aperture=aperture))
    assert camera.stages == STAGES


def test_a_held_picture_is_never_overwritten() -> None:
    camera = PhysicalCamera(SENSOR)
    radiance, depth = pictures(camera)
    held = [camera(radiance * i, depth, SETTINGS, i).image for i in range(4)]
    views = [image[1:3].numpy() for image in held]
    copies = [image.clone() for image in held]
    for i in range(20):
        camera(radiance, depth, SETTINGS, 50 + i)
    for image, copy, view in zip(held, copies, views, strict=True):
        assert torch.equal(image, copy)
        assert np.array_equal(view, copy[1:3].numpy())


def test_the_pool_reuses_only_what_nobody_holds() -> None:
    pool = BufferPool(keep=3)
    first = pool.take(4, 5)
    address = first.ctypes.data
    assert pool.take(4, 5).ctypes.data != address
    tensor = torch.from_numpy(first)[1:]
    del first
    assert address not in {pool.take(4, 5).ctypes.data for _ in range(3)}
    del tensor
    assert pool.take(4, 5).ctypes.data == address
    assert pool.take(4, 6).shape == (4, 6)


def test_pictures_do_not_depend_on_threads() -> None:
    camera = PhysicalCamera(SENSOR)
    radiance, depth = pictures(camera)
    expected = camera(radiance, depth, SETTINGS, 5).image
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert torch.equal(camera(radiance, depth, SETTINGS, 5).image, expected)
    finally:
        numba.set_num_threads(threads)
    results: list[torch.Tensor] = []

    def work() -> None:
        results.extend(camera(radiance, depth, SETTINGS, 5).image for _ in range(10))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 30 and all(torch.equal(result, expected) for result in results)
