# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pictures as bytes: the values of a call, encoded, counted, and without memory of their own."""

from __future__ import annotations

from dataclasses import replace
import math
import tracemalloc

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import PhysicalCamera, SensorModel, STAGES
from diffphyscam_ros.camera.encodings import OUTPUT_ENCODINGS

SENSOR = replace(
    SensorModel.preset('generic_vga').resized(80, 60),
    bit_depth=12,
    response_biases=(-0.05, -0.05, -0.05),
)
SETTINGS = replace(SENSOR.settings, exposure_time=0.03)
LUMA = np.array([0.299, 0.587, 0.114])


def seen(camera: PhysicalCamera) -> tuple[torch.Tensor, torch.Tensor]:
    """Return radiance, dark to the left and too bright to the right, and depth."""
    view = camera.source_intrinsics(SETTINGS)
    radiance = torch.rand(view.height, view.width, 3, generator=torch.Generator().manual_seed(7))
    radiance *= torch.linspace(-0.3, 1.5, view.width).clamp(min=0.0)[:, None]
    return radiance, torch.linspace(0.3, 9.0, view.width).repeat(view.height, 1)


def encoded(image: np.ndarray, raw: np.ndarray | None, name: str) -> np.ndarray:
    """Return what an encoding says of a picture, in float64 and numpy alone."""
    layout = OUTPUT_ENCODINGS[name]
    values = image.astype(np.float64)
    if layout.bayer != 'none':
        assert raw is not None
        values = raw[..., None].astype(np.float64)
    elif layout.channels == 1:
        values = (values @ LUMA)[..., None]
    if layout.blue_first:
        values = values[..., ::-1]
    return values if layout.dtype == 'float32' else values * layout.full_scale


@pytest.mark.parametrize('name', OUTPUT_ENCODINGS)
def test_pixels_are_the_values_of_a_call(name: str) -> None:
    layout = OUTPUT_ENCODINGS[name]
    camera = PhysicalCamera(replace(SENSOR, bayer_pattern=layout.bayer), seed=3)
    radiance, depth = seen(camera)
    photograph = camera.photograph(radiance, depth, SETTINGS, 5, name)
    frame = camera(radiance, depth, SETTINGS, 5)
    image, raw = frame.image.numpy(), None if frame.raw is None else frame.raw.numpy()
    wanted = encoded(image, raw, name)
    assert photograph.pixels.dtype == layout.dtype
    assert (photograph.encoding, photograph.frame_number) == (name, 5)
    off = np.abs(photograph.pixels - wanted)
    assert off.max() <= (1e-6 if layout.dtype == 'float32' else 0.51)

    values = raw[..., None] if layout.bayer != 'none' else image
    counted = photograph.statistics
    assert counted.mean_level == pytest.approx(values.mean(), abs=1e-5)
    step = 1.0 if layout.dtype == 'float32' else 0.5 / layout.full_scale
    high, low = 1.0 if step == 1.0 else 1 - step, 1e-30 if step == 1.0 else step
    assert counted.saturated_fraction == pytest.approx((values >= high).any(-1).mean(), abs=1e-9)
    assert counted.black_fraction == pytest.approx((values < low).all(-1).mean(), abs=1e-9)
    assert counted.saturated_fraction > 0.02 and counted.black_fraction > 0.02


@pytest.mark.parametrize('name', ['rgb8', 'bgr8', 'mono16', 'bayer_gbrg16'])
def test_the_slow_way_gives_the_same_pixels(name: str) -> None:
    sensor = replace(SENSOR, bayer_pattern='gbrg', bit_depth=0)
    camera = PhysicalCamera(sensor, seed=3)
    irradiance = torch.rand(60, 80, 3, generator=torch.Generator().manual_seed(1))
    irradiance[0, 0], irradiance[0, 1] = math.nan, math.inf
    fast = camera.sense_pixels(irradiance, SETTINGS, 2, name)
    slow = camera.sense_pixels(irradiance.double(), SETTINGS, 2, name)
    allowed = 1 if fast.pixels.dtype == np.uint8 else 4
    assert np.abs(fast.pixels.astype(int) - slow.pixels).max() <= allowed
    assert (fast.pixels != slow.pixels).mean() < (0.01 if allowed == 1 else 0.5)
    assert fast.statistics.mean_level == pytest.approx(slow.statistics.mean_level, abs=1e-5)


def test_a_mosaic_without_colour_is_written_as_it_is() -> None:
    camera = PhysicalCamera(replace(SENSOR, bayer_pattern='rggb'), STAGES[:-1])
    irradiance = torch.rand(60, 80, 3, generator=torch.Generator().manual_seed(1))
    raw = camera.sense(irradiance, SETTINGS).raw
    assert raw is not None
    for name in ('mono16', 'bayer_rggb16'):
        pixels = camera.sense_pixels(irradiance, SETTINGS, encoding=name).pixels
        assert np.abs(pixels[..., 0] - raw.numpy().astype(np.float64) * 65535).max() < 0.51


def test_a_frame_takes_no_memory() -> None:
    """Into a given array nothing the size of a picture is made anew: there are buffers for it."""
    camera = PhysicalCamera(replace(SENSOR.resized(320, 240), psf='gaussian'))
    radiance, depth = seen(camera)
    out = np.empty((240, 320, 3), np.uint8)
    with torch.inference_mode():
        for i in range(3):
            camera.photograph(radiance, depth, SETTINGS, i, out=out)
        tracemalloc.start()
        photograph = camera.photograph(radiance, depth, SETTINGS, 9, out=out)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert photograph.pixels is out
    assert most < out.nbytes  # a quarter of a picture of floats


def test_bytes_do_not_depend_on_threads() -> None:
    threads = numba.get_num_threads()
    for bayer in ('none', 'rggb'):
        camera = PhysicalCamera(replace(SENSOR, bayer_pattern=bayer), seed=1)
        radiance, depth = seen(camera)
        expected = camera.photograph(radiance, depth, SETTINGS, 4).pixels
        try:
            numba.set_num_threads(1)
            assert np.array_equal(camera.photograph(radiance, depth, SETTINGS, 4).pixels, expected)
        finally:
            numba.set_num_threads(threads)


def test_what_cannot_be_written_is_refused() -> None:
    camera = PhysicalCamera(SENSOR)
    light = torch.rand(60, 80, 3)
    for name, words in (('yuv', 'must be one of'), ('bayer_rggb8', "mosaic of this camera is 'n")):
        with pytest.raises(ValueError, match=words):
            camera.sense_pixels(light, SETTINGS, encoding=name)
    with pytest.raises(ValueError, match=r'out is \(60, 80, 3\) uint16: must be contiguous'):
        camera.sense_pixels(light, SETTINGS, out=np.empty((60, 80, 3), np.uint16))
    with pytest.raises(ValueError, match='must be contiguous'):
        camera.sense_pixels(light, SETTINGS, out=np.empty((60, 160, 3), np.uint8)[:, ::2])
    with pytest.raises(ValueError, match=r'must be \(H, W, 3\)'):
        camera.sense_pixels(light[None], SETTINGS)
    with pytest.raises(ValueError, match='electrons and no digital values'):
        PhysicalCamera(SENSOR, STAGES[:7]).sense_pixels(light, SETTINGS)
    raw = PhysicalCamera(replace(SENSOR, bayer_pattern='rggb'), STAGES[:-1])
    with pytest.raises(ValueError, match='a mosaic has one channel'):
        raw.sense_pixels(light, SETTINGS)
