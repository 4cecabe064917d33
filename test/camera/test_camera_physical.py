# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""PhysicalCamera: composition, order, gradients through everything, robustness."""

from __future__ import annotations

from dataclasses import fields, replace
import math
import warnings

from complete_camera import COMPLETE, DIFFERENTIABLE, scene, SENSOR, SETTINGS
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from diffphyscam_ros.camera import (
    aberrate,
    add_noise,
    CameraSettings,
    circle_of_confusion,
    correct_color,
    defocus,
    expose,
    Frame,
    glare,
    Intrinsics,
    mosaic,
    PhysicalCamera,
    pupil_vignetting,
    quantize,
    respond,
    SensorModel,
    STAGES,
    vignette,
)
from diffphyscam_ros.camera.aberration import distort_colours


def reference(frame_stages, sensor, radiance, depth, settings, frame, source):
    """Apply the stage functions one after the other, as CAMERA_MODEL.md lists them."""
    target, image = sensor.intrinsics(settings), radiance
    grid = target if 'distortion' in frame_stages else source
    colours = sensor.chromatic_scale, sensor.chromatic_curve
    if 'distortion' in frame_stages:
        lens = source, target, sensor.distortion_model, sensor.distortion_coefficients
        fringes = colours if 'aberration' in frame_stages else ()
        image, depth = distort_colours(image, depth, *lens, *fringes)
    elif 'aberration' in frame_stages:
        image = aberrate(image, grid, *colours)
    if 'vignetting' in frame_stages:
        image = vignette(image, grid, sensor.vignetting_gain)
        rim = sensor.rim_radius, sensor.rim_distance
        pupil = settings.focal_length, settings.aperture
        if sensor.rim_distance > 0:
            image = image * pupil_vignetting(grid, image, *pupil, *rim)
    if 'defocus' in frame_stages:
        s = settings
        lens = s.aperture, s.focal_length, s.focus_distance, sensor.pixel_size
        limits = sensor.defocus_gain, sensor.defocus_dead_zone, sensor.max_coc
        image = defocus(image, circle_of_confusion(depth, *lens, *limits), sensor.psf)
    if 'glare' in frame_stages:
        image = glare(image, sensor.glare_fraction, sensor.glare_radius)
    if 'exposure' in frame_stages:
        light = sensor.scene_illuminance, sensor.aggregator_gain, sensor.dark_current
        body = sensor.pixel_size, sensor.quantum_efficiency
        image = expose(image, settings.aperture, settings.exposure_time, *body, *light)
    if 'noise' in frame_stages:
        gains = sensor.shot_noise_gain, sensor.read_noise
        names = 'dsnu', 'prnu', 'read_noise_fixed', 'hot_pixel_fraction', 'hot_pixel_current'
        numbers = {name: getattr(sensor, name) for name in names}
        numbers['full_well'] = sensor.full_well
        numbers['exposure_time'] = settings.exposure_time
        if 'exposure' in frame_stages:
            numbers['dark_current'] = sensor.dark_current
        image = add_noise(image, *gains, 5, frame, sensor.fixed_pattern_seed, **numbers)
    # Response and rounding are the same for each photosite, so the mosaic may come after them.
    if 'response' in frame_stages:
        curve = sensor.response_type, sensor.response_gains, sensor.response_biases
        image = respond(
            image,
            settings.iso,
            *curve,
            sensor.response_gamma,
            table=sensor.response_table,
            black_level=sensor.black_level,
        )
    if {'response', 'quantization'} <= set(frame_stages):
        image = quantize(image, sensor.bit_depth)
    pattern = sensor.bayer_pattern if 'mosaic' in frame_stages else 'none'
    if pattern != 'none':
        image = mosaic(image, pattern)
    if {'response', 'color'} <= set(frame_stages):
        colors = sensor.black_level, sensor.white_balance, sensor.color_matrix
        image = correct_color(image, *colors, pattern, sensor.demosaic)
    return image


SUBSETS = [STAGES, *[STAGES[:n] for n in range(len(STAGES))], STAGES[5:], STAGES[8:]]


@pytest.mark.parametrize('stages', SUBSETS)
@pytest.mark.parametrize('base', [SENSOR, replace(COMPLETE, bit_depth=8)])
@pytest.mark.parametrize('psf', ['gaussian', 'disk'])
def test_any_subset_runs_in_the_models_order(stages, base: SensorModel, psf: str) -> None:
    sensor = replace(base, psf=psf)
    camera = PhysicalCamera(sensor, stages[::-1], seed=5)
    assert camera.stages == stages
    view = camera.source_intrinsics(SETTINGS)
    radiance, depth = scene(view)
    frame = camera(radiance, depth, SETTINGS, frame_number=12, stamp=3.5)
    assert isinstance(frame, Frame) and frame.settings is SETTINGS
    assert frame.frame_number == 12 and frame.stamp == 3.5
    expected = reference(stages, sensor, radiance, depth, SETTINGS, 12, view)
    torch.testing.assert_close(frame.image, expected)
    irradiance = camera.lens(radiance, depth, SETTINGS)
    torch.testing.assert_close(camera.sense(irradiance, SETTINGS, 12).image, frame.image)
    mosaicked = {'mosaic', 'response'} <= set(stages) and sensor.bayer_pattern != 'none'
    assert (frame.raw is not None) == mosaicked
    if mosaicked:
        without = tuple(stage for stage in stages if stage != 'color')
        raw = reference(without, sensor, radiance, depth, SETTINGS, 12, view)
        torch.testing.assert_close(frame.raw, raw[..., 0])


def test_the_whole_chain_against_its_equations() -> None:
    """Without lens distortion and blur every pixel stands alone: eqs. 1 and 3 to 5 in NumPy."""
    sensor = replace(SENSOR, distortion_coefficients=(), read_noise=(0.0,) * 3)
    sensor = replace(sensor, shot_noise_gain=(0.0,) * 3, defocus_gain=0.0)
    view = sensor.intrinsics(SETTINGS)
    radiance, depth = scene(view)
    image = PhysicalCamera(sensor)(radiance, depth, SETTINGS).image
    u, v = np.meshgrid(np.arange(9) - 4.0, np.arange(7) - 3.0)
    theta = np.arctan(np.hypot(u, v) * 4e-4 / 0.004)
    light = radiance.numpy() * (1 - 0.6 + 0.6 * np.cos(theta) ** 4)[..., None]
    x = light * 6e3 * 1000.0 * 4e-4**2 * 0.02 * np.array([0.4, 0.5, 0.6]) / 2.0**2
    x = x + 0.02 * np.array([1e-2, 2e-2, 3e-2])
    digital = np.array([0.9, 1.0, 1.1]) * 150.0 * x + np.array([0.02, 0.03, 0.04])
    assert 0.1 < digital.mean() < 0.9
    np.testing.assert_allclose(image, np.clip(digital, 0, 1), rtol=1e-12)


SETTING_SCALES = {
    'aperture': 1.0,
    'exposure_time': 0.01,
    'iso': 100.0,
    'focal_length': 1e-3,
    'focus_distance': 1.0,
}


ONLY_WITH = {
    'vignetting_gain': 'cos4',
    'vignetting_coefficients': 'radial',
    'vignetting_map': 'map',
    'response_gamma': 'gamma',
    'response_table': 'table',
}
"""Numbers that belong to one law."""
CURVE = ('response_gains', 'response_biases', 'read_noise', 'shot_noise_gain',
         'dsnu', 'prnu', 'white_balance', 'iso', 'exposure_time')  # fmt: skip
"""Numbers whose gradient goes through the response curve and little else."""


@pytest.mark.parametrize(
    ('kind', 'law'),
    [('linear', 'cos4'), ('gamma', 'radial'), ('sigmoid', 'map'), ('table', 'cos4')],
)
def test_gradients_through_the_whole_camera(kind: str, law: str) -> None:
    """Every setting and every continuous number of the sensor, radiance and depth, at once."""
    base = replace(
        COMPLETE,
        response_type=kind,
        response_table=(0.05, 0.4, 0.7, 0.95),
        vignetting_model=law,
        vignetting_coefficients=(-0.3, 0.1),
        vignetting_map=(0.8, 0.9, 0.7, 1.0),
        vignetting_map_columns=2,
        read_noise_fixed=kind == 'sigmoid',
        principal_point=(4.1, 2.9),
        focus_breathing=True,
        full_well=None,
    )
    if kind == 'gamma':  # its curve begins at S·X = 1
        gains = {'aggregator_gain': 9e4, 'response_gains': (0.2, 0.3, 0.25)}
        base = replace(base, **gains)
    elif kind == 'table':
        base = replace(base, response_gains=(2.0, 2.2, 2.4))
    scales = {
        name: scale
        for name, scale in (DIFFERENTIABLE | SETTING_SCALES).items()
        if ONLY_WITH.get(name, kind) in (kind, law)
        and (kind == 'linear' or name in CURVE or name in ONLY_WITH)
    }
    view = PhysicalCamera(base).source_intrinsics(SETTINGS)
    radiance, depth = scene(view)
    inputs = [
        torch.tensor(getattr(SETTINGS if name in SETTING_SCALES else base, name)).double() / scale
        for name, scale in scales.items()
    ]
    inputs = [number.requires_grad_() for number in inputs]

    def run(radiance, depth, *numbers):
        scaled = {n: v * scales[n] for n, v in zip(scales, numbers, strict=True)}
        turned = {n: scaled.pop(n) for n in SETTING_SCALES if n in scaled}
        settings = replace(SETTINGS, **turned)
        camera = PhysicalCamera(replace(base, **scaled), seed=2, soft_clamp=True)
        # A view that stays put: the focal length then also zooms.
        return camera(radiance, depth, settings, 3, intrinsics=view).image[2:5, 2:6]

    tolerances = {'atol': 1e-5, 'rtol': 1e-3, 'eps': 1e-6, 'fast_mode': True}
    tolerances['check_undefined_grad'] = False
    pictures = radiance.requires_grad_(), depth.requires_grad_()
    assert gradcheck(run, (*pictures, *inputs), **tolerances)
    run(radiance, depth, *inputs).square().sum().backward()
    for name, number in zip(scales, inputs, strict=True):
        if name != 'black_level':  # taken off again: nothing is left of it but what is clamped
            assert (number.grad != 0).all(), name
    assert (radiance.grad != 0).any() and (depth.grad != 0).any()


def test_every_setting_and_number_is_covered_by_the_gradient_test() -> None:
    discrete = {
        'name', 'image_width', 'image_height', 'psf', 'response_type', 'fixed_pattern_seed',
        'distortion_model', 'focus_breathing', 'settings', 'aperture_blades', 'aperture_rotation',
        'defocus_occlusion', 'vignetting_model', 'vignetting_map_columns', 'read_noise_fixed',
        'hot_pixel_fraction', 'bit_depth', 'bayer_pattern', 'demosaic', 'shutter_mode',
    }  # fmt: skip
    # Their gradients are those of a switch and of a cut: see test_defocus*.py. The readout time
    # is one of the scene's motion: see test_shutter.py. The soft clamp of this test passes a
    # gradient by the full well, which finite differences do not see: test_camera_sensor_stages.py.
    thresholds = {'defocus_dead_zone', 'max_coc', 'readout_time', 'full_well'}
    assert {f.name for f in fields(SensorModel)} == set(DIFFERENTIABLE) | discrete | thresholds
    assert {f.name for f in fields(CameraSettings)} == set(SETTING_SCALES)


def test_source_view_covers_the_distorted_picture() -> None:
    camera = PhysicalCamera(replace(SENSOR, distortion_coefficients=(-0.2, 0.05, 0.0, 0.0, 0.0)))
    view, target = camera.source_intrinsics(SETTINGS), camera.sensor.intrinsics(SETTINGS)
    assert view.width > target.width and view.height > target.height and view.fx == target.fx
    flat = PhysicalCamera(camera.sensor, ('distortion',))
    image = flat(torch.ones(view.height, view.width, 3), None, SETTINGS).image
    torch.testing.assert_close(image, torch.ones(7, 9, 3))
    pincushion = PhysicalCamera(replace(SENSOR, distortion_coefficients=(0.2, 0.0, 0.0, 0.0, 0.0)))
    assert pincushion.source_intrinsics(SETTINGS) == target
    without = PhysicalCamera(camera.sensor, STAGES[1:])
    assert without.source_intrinsics(SETTINGS) == target


def test_missing_source_is_black_and_said_once() -> None:
    camera = PhysicalCamera(
        replace(SENSOR, distortion_coefficients=(-0.4, 0.0, 0.0, 0.0, 0.0)), ('distortion',)
    )
    radiance = torch.ones(7, 9, 3)
    with pytest.warns(RuntimeWarning, match='% of the picture has no source'):
        image = camera(radiance, None, SETTINGS).image
    assert (image[0, 0] == 0).all() and (image[3, 4] == 1).all()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        camera(radiance, None, SETTINGS)


def test_a_picture_of_another_camera_is_resampled() -> None:
    """A simulator's own pinhole with a wider view serves as well as ours."""
    sensor = replace(SENSOR, distortion_coefficients=())
    target = sensor.intrinsics(SETTINGS)
    theirs = Intrinsics(31, 25, 2.0 * target.fx, 2.0 * target.fy, 15.0, 12.0)
    ramp = torch.linspace(0, 1, 31).repeat(25, 1)[..., None].repeat(1, 1, 3)
    camera = PhysicalCamera(sensor, ('distortion',))
    image = camera(ramp, None, SETTINGS, intrinsics=theirs).image
    assert image.shape == (7, 9, 3)
    expected = (15 + 2 * (torch.arange(9) - 4.0)) / 30
    torch.testing.assert_close(image[3, :, 0], expected)


def test_without_distortion_the_given_grid_stays() -> None:
    radiance, depth = scene(Intrinsics(15, 11, 10.0, 10.0, 7.0, 5.0))
    view = Intrinsics(15, 11, 20.0, 20.0, 7.0, 5.0)
    image = PhysicalCamera(SENSOR, ('vignetting',))(radiance, depth, SETTINGS, intrinsics=view)
    torch.testing.assert_close(image.image, vignette(radiance, view, 0.6))


def test_batches_of_settings_equal_single_pictures() -> None:
    values = {
        'aperture': [1.4, 4.0, 8.0],
        'exposure_time': [0.01, 0.02, 0.1],
        'iso': [100.0, 200.0, 400.0],
        'focal_length': [0.003, 0.004, 0.005],
        'focus_distance': [0.5, 1.0, math.inf],
    }
    tensors = {n: torch.tensor(v, dtype=torch.float64) for n, v in values.items()}
    camera = PhysicalCamera(SENSOR, seed=8)
    view = camera.source_intrinsics(CameraSettings(**tensors))
    # Padding follows the picture that needs most; a common view for all three.
    common = Intrinsics(view.width, view.height, 8.0, 8.0, float(view.cx), float(view.cy))
    radiance, depth = scene(common)
    batch = camera(radiance, depth, CameraSettings(**tensors), 20, intrinsics=common).image
    assert batch.shape == (3, 7, 9, 3)
    for i in range(3):
        one = CameraSettings(**{n: v[i] for n, v in values.items()})
        image = camera(radiance, depth, one, 20 + i, intrinsics=common).image
        torch.testing.assert_close(batch[i], image, rtol=1e-6, atol=1e-9)
