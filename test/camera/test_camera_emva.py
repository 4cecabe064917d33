# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor measured as EMVA standard 1288 measures cameras: what was put in comes out.

Flat fields at several exposures and in the dark, through the whole sensor with 12 bits and a
black level. Every tolerance is 4 standard errors of the estimate, from the number of photosites.
"""

from __future__ import annotations

from dataclasses import replace
import functools

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    Frame,
    PhysicalCamera,
    SENSOR_STAGES,
    SensorModel,
)

HEIGHT, WIDTH = 240, 320
N = HEIGHT * WIDTH * 3  # photosites: the three channels are alike here
BITS, BLACK, ISO = 12, 0.0625, 100.0
FULL_WELL, RANGE = 10_000.0, 12_000.0  # electrons; what the converter reaches
READ, DSNU, PRNU = 6.0, 4.0, 0.01
DARK_CURRENT, HOT_SHARE, HOT_CURRENT = 100.0, 1e-3, 2_000.0
SENSOR = SensorModel(
    image_width=WIDTH,
    image_height=HEIGHT,
    aggregator_gain=1e14,
    response_gains=(1 / (ISO * RANGE),) * 3,
    shot_noise_gain=(1.0,) * 3,
    read_noise=(READ,) * 3,
    read_noise_fixed=False,
    dsnu=(DSNU,) * 3,
    prnu=(PRNU,) * 3,
    dark_current=(DARK_CURRENT,) * 3,
    hot_pixel_fraction=HOT_SHARE,
    hot_pixel_current=HOT_CURRENT,
    full_well=FULL_WELL,
    black_level=BLACK,
    bit_depth=BITS,
)
# Without the colour stage the picture is what the converter gave, black level included.
CAMERA = PhysicalCamera(SENSOR, SENSOR_STAGES[:-1], seed=11)
EXPOSURE = CameraSettings(aperture=2.0, exposure_time=0.01, iso=ISO)
LEVELS = 2**BITS - 1
GAIN = (1 - BLACK) * LEVELS / RANGE
"""K, digital numbers an electron: what g, S, the black level and the bits amount to."""


def shoot(electrons: float, frame: int, time: float = 0.01) -> np.ndarray:
    """Return the digital numbers of a flat field of so many photo-electrons."""
    settings = replace(EXPOSURE, exposure_time=time)
    light = 1e14 * 1000.0 * float(SENSOR.pixel_size) ** 2 * time / 2.0**2
    flat = torch.full((HEIGHT, WIDTH, 3), electrons / light)
    return CAMERA.sense(flat, settings, frame).image.double().numpy() * LEVELS


@functools.cache
def pair(electrons: float) -> tuple[float, float]:
    """Return mean and temporal variance from two pictures (EMVA 1288, eqs. 13 to 17)."""
    first, second = (shoot(electrons, round(electrons) * 2 + i) for i in range(2))
    variance = ((first - second) ** 2).mean() / 2 - (first.mean() - second.mean()) ** 2 / 2
    return float(first.mean() + second.mean()) / 2, float(variance)


@functools.cache
def stack(electrons: float, count: int = 12) -> tuple[np.ndarray, float]:
    """Return the mean picture of a stack, and the temporal variance of one of its pictures."""
    pictures = np.stack([shoot(electrons, 50_000 + round(electrons) + i) for i in range(count)])
    return pictures.mean(0), float(pictures.var(0, ddof=1).mean())


def spatial_variance(electrons: float, count: int = 12) -> tuple[float, float]:
    """Return the variance between photosites, cleared of the temporal, and its standard error."""
    mean, temporal = stack(electrons, count)
    total = float(mean.var(ddof=1))
    return total - temporal / count, total * (2 / N) ** 0.5


STEPS = tuple(float(e) for e in np.linspace(0.05, 0.7, 8) * FULL_WELL)
DARK = 0.01 * DARK_CURRENT


def test_photon_transfer_recovers_the_gain() -> None:
    """Variance against mean is a line of slope K up to 70 % of saturation."""
    dark_mean, dark_variance = pair(0.0)
    points = np.array([pair(e) for e in STEPS])
    x, y = points[:, 0] - dark_mean, points[:, 1] - dark_variance
    slope = (x * y).sum() / (x * x).sum()
    errors = (points[:, 1] + dark_variance) * (2 / N) ** 0.5
    tolerance = 4 * np.sqrt((x**2 * errors**2).sum()) / (x * x).sum()
    assert tolerance < 0.01 * GAIN
    assert abs(slope - GAIN) < tolerance


def test_read_noise_is_what_the_dark_has() -> None:
    """σ_d² = (σ_y² − σ_q²) / K², with σ_q² = 1/12 of the converter; and the dark shot noise."""
    _, variance = pair(0.0)
    hot = HOT_SHARE * HOT_CURRENT * 0.01
    expected = READ**2 + DARK + hot
    error = 4 * variance / GAIN**2 * (2 / N) ** 0.5
    assert abs((variance - 1 / 12) / GAIN**2 - expected) < error < 0.02 * READ**2


def test_the_mean_is_linear() -> None:
    """The deviation from a line, 5 % to 70 % of the full well, is that of the sampling."""
    means = np.array([pair(e)[0] for e in STEPS]) - pair(0.0)[0]
    slope = (means * np.array(STEPS)).sum() / np.square(STEPS).sum()
    deviation = means - slope * np.array(STEPS)
    error = np.sqrt((np.array(STEPS) + READ**2) * 2 / N) * GAIN
    assert (np.abs(deviation) < 4 * error).all()
    assert np.abs(deviation / means).mean() < 1e-3  # LE of a real camera: 1e-3 to 1e-2
    # All photosites together are as sensitive as one without PRNU, but for the luck of the draw.
    assert abs(slope / GAIN - 1) < 4 * PRNU / N**0.5 + 1e-4


def test_dsnu_is_what_was_put_in() -> None:
    """DSNU1288 = s_y.dark / K; hot photosites add f·2·(t·I)² and 1 − f of their mean."""
    variance, error = spatial_variance(0.0)
    hot = HOT_SHARE * (2 - HOT_SHARE) * (0.01 * HOT_CURRENT) ** 2
    # Kurtosis of the few hot ones: the variance of their squares is f·24·(t·I)⁴.
    luck = (HOT_SHARE * 24 / N) ** 0.5 * (0.01 * HOT_CURRENT) ** 2
    tolerance = 4 * np.hypot(error / GAIN**2, luck)
    assert tolerance < 0.1 * DSNU**2
    assert abs(variance / GAIN**2 - DSNU**2 - hot) < tolerance


def test_prnu_is_what_was_put_in() -> None:
    """PRNU1288 = √(s²_50 − s²_dark) / (μ_50 − μ_dark)."""
    bright, bright_error = spatial_variance(FULL_WELL / 2)
    dark, dark_error = spatial_variance(0.0)
    step = stack(FULL_WELL / 2)[0].mean() - stack(0.0)[0].mean()
    found = (bright - dark) / step**2
    tolerance = 4 * (bright_error + dark_error) / step**2
    assert tolerance < 0.05 * PRNU**2
    assert abs(found - PRNU**2) < tolerance


TIMES = (0.1, 1.0, 4.0)


@functools.cache
def darkness(time: float) -> np.ndarray:
    return shoot(0.0, 7, time) / GAIN


def test_dark_current_is_the_slope_of_darkness() -> None:
    """Of the mean over time (EMVA 1288, 7.1), the hot photosites' share included."""
    means = np.array([darkness(t).mean() for t in TIMES])
    slope = (means[-1] - means[0]) / (TIMES[-1] - TIMES[0])
    # A few of the hottest reach the full well.
    held = 1 - np.exp(-FULL_WELL / (TIMES[-1] * HOT_CURRENT))
    expected = DARK_CURRENT + HOT_SHARE * HOT_CURRENT * held
    noise = (TIMES[-1] * DARK_CURRENT + READ**2) ** 0.5 * (2 / N) ** 0.5 / TIMES[-1]
    luck = HOT_CURRENT * (2 * HOT_SHARE / N) ** 0.5
    assert abs(slope - expected) < 4 * np.hypot(noise, luck) < 0.1 * DARK_CURRENT


def test_hot_pixels_are_as_many_and_as_hot_as_stated() -> None:
    """Above a threshold there are f·N·exp(−threshold / (t·I)), in the same places each time."""
    time, threshold = 1.0, 400.0
    offset = BLACK * LEVELS / GAIN + time * DARK_CURRENT
    found = darkness(time) - offset > threshold
    expected = HOT_SHARE * N * np.exp(-threshold / (time * HOT_CURRENT))
    assert abs(found.sum() - expected) < 4 * expected**0.5
    again = shoot(0.0, 8, time) / GAIN - offset > 0.8 * threshold
    assert again[found].all()


def test_the_full_well_cuts_signal_and_noise() -> None:
    mean, variance = pair(1.5 * FULL_WELL)
    # The fixed pattern of the dark is what is left, and the converter's rounding.
    expected = BLACK * LEVELS + FULL_WELL * GAIN
    assert abs(mean - expected) < 4 * DSNU * GAIN / N**0.5 + 0.05
    assert variance == 0.0
    below, noise = pair(0.8 * FULL_WELL)
    assert below < expected and abs(noise / (0.8 * FULL_WELL * GAIN**2) - 1) < 0.02


def test_gain_follows_the_iso_speed() -> None:
    """Four times the ISO is four times K, and the same electrons."""
    flat = torch.full((HEIGHT, WIDTH, 3), 1e-3)
    plain = CAMERA.sense(flat, replace(EXPOSURE, iso=ISO), 5).image.double()
    fast = CAMERA.sense(flat, replace(EXPOSURE, iso=4 * ISO), 5).image.double()
    lit = (fast < 1) & (plain > 0)
    ratio = (fast[lit] - BLACK).mean() / (plain[lit] - BLACK).mean()
    assert abs(ratio - 4) < 4e-3


def taken(number: int) -> Frame:
    generator = torch.Generator().manual_seed(2)
    camera = PhysicalCamera(replace(SENSOR, bayer_pattern='grbg'), seed=3)
    light = torch.rand(HEIGHT, WIDTH, 3, generator=generator)
    return camera.sense(light, EXPOSURE, number)


def test_a_frame_replays_whatever_the_number_of_threads() -> None:
    expected = taken(4)
    torch_threads, numba_threads = torch.get_num_threads(), numba.get_num_threads()
    try:
        torch.set_num_threads(1)
        numba.set_num_threads(1)
        torch.manual_seed(1)
        again = taken(4)
    finally:
        torch.set_num_threads(torch_threads)
        numba.set_num_threads(numba_threads)
    assert torch.equal(again.image, expected.image) and torch.equal(again.raw, expected.raw)
    assert not torch.equal(taken(5).raw, expected.raw)


@pytest.mark.parametrize('pattern', ['rggb', 'gbrg'])
def test_a_mosaic_has_the_same_noise_as_the_colours(pattern: str) -> None:
    """Each photosite draws what its pixel and channel draw without a mosaic."""
    flat = torch.full((HEIGHT, WIDTH, 3), 1e-4)
    plain = CAMERA.sense(flat, EXPOSURE, 3).image
    camera = PhysicalCamera(replace(SENSOR, bayer_pattern=pattern), SENSOR_STAGES[:-1], seed=11)
    frame = camera.sense(flat, EXPOSURE, 3)
    assert frame.image.shape == (HEIGHT, WIDTH, 1)
    assert torch.equal(frame.raw, frame.image[..., 0])
    for row in range(2):
        for column in range(2):
            channel = 'rgb'.index(pattern[2 * row + column])
            seen = plain[row::2, column::2, channel]
            assert torch.equal(frame.raw[row::2, column::2], seen)
