# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the fused kernels read and no frame changes: places, patterns, coefficients. All cached.

Settings, sensors and intrinsics hold plain numbers here, so that they can be looked up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.aberration import border_maps, chromatic_maps
from diffphyscam_ros.camera.arrays import LARGEST
from diffphyscam_ros.camera.color import is_neutral
from diffphyscam_ros.camera.distortion import distortion_map, nearest_pixels
from diffphyscam_ros.camera.exposure import exposure_factor
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.mosaic import channel_map
from diffphyscam_ros.camera.noise import (
    DSNU_STREAM,
    HEAT_STREAM,
    HOT_STREAM,
    PATTERN_STREAM,
    PRNU_STREAM,
    SHOT_STREAM,
    uniform_deviates,
    WORD,
)
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.kernels import response as curves
from diffphyscam_ros.kernels.noise import normal_picture
from diffphyscam_ros.kernels.sensor import Colours, Noise, Response
from diffphyscam_ros.kernels.warp import Places, places_of

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_CURVES = {
    'linear': curves.LINEAR,
    'gamma': curves.GAMMA,
    'sigmoid': curves.SIGMOID,
    'table': curves.TABLE,
}
_UNLIMITED = 3.4e38
_NOTHING = np.empty((0, 0, 0), np.float32)
_NOWHERE = np.empty(0, np.int64)


@lru_cache(maxsize=4)
def lens_places(*lens: Any) -> Places:
    """Return where in the source picture each pixel looks.

    :param lens: source, target, model, coefficients: as for ``distortion_map``.
    """
    return _places(distortion_map(*lens), lens[0])


@lru_cache(maxsize=4)
def colour_places(colours: tuple[Any, Any], *lens: Any) -> tuple[Places, Places, Places]:
    """Return where in the source picture each pixel looks for red, green and blue.

    :param colours: scale and curve of the lateral aberration, (3,) each.
    """
    source, target, model, coefficients = lens
    if source == target and not coefficients:  # nothing lies beyond the border: aberrate
        maps = border_maps(target, *colours)
    else:
        maps = chromatic_maps(source, target, model, coefficients, *colours)
    red, green, blue = (_places(one, source) for one in maps)
    return red, green, blue


def _places(pixels: torch.Tensor, source: Intrinsics) -> Places:
    row, column, inside = nearest_pixels(pixels, source.width, source.height)
    nearest = torch.where(inside, row * source.width + column, -1).int().numpy()
    return places_of(pixels.numpy(), nearest, source.height, source.width)


@lru_cache(maxsize=4)
def flat_field(height: int, width: int) -> Floats:
    """Return a mask that darkens nothing."""
    return np.ones((height, width), dtype=np.float32)


@lru_cache(maxsize=8)
def pattern_tile(bayer: str) -> Integers:
    """Return the channel of each photosite of the repeated 2 x 2 tile."""
    tile: Integers = channel_map(bayer, 2, 2).numpy()
    return tile


@lru_cache(maxsize=64)
def electron_scale(settings: CameraSettings, sensor: SensorModel, exposed: bool) -> Floats:
    """Return the electrons for irradiance 1, (3,)."""
    if not exposed:
        return three(1.0)
    factor = exposure_factor(
        settings.aperture,
        settings.exposure_time,
        sensor.pixel_size,
        sensor.scene_illuminance,
        sensor.aggregator_gain,
    )
    return three(sensor.quantum_efficiency, float(factor))


def noise_of(
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    size: tuple[int, int],
    seed: int,
    frame_number: int,
) -> Noise:
    """Return what the kernels want to know about noise; nothing without that stage."""
    words = np.array([seed & WORD, frame_number & WORD, SHOT_STREAM], np.uint32)
    lasting = _lasting_noise(settings, sensor, stages, size)
    return lasting._replace(seed=words)


@lru_cache(maxsize=16)
def _lasting_noise(
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    size: tuple[int, int],
) -> Noise:
    """Return all of the noise that the frame number does not change."""
    dark = three(0.0)
    if 'exposure' in stages:
        dark = three(sensor.dark_current, float(settings.exposure_time))
    words = np.zeros(3, np.uint32)
    zero = three(0.0)
    if 'noise' not in stages:
        empty = (_NOWHERE, _NOWHERE, np.empty(0, np.float32))
        well = np.float32(_UNLIMITED)
        return Noise(zero, zero, words, dark, _NOTHING, _NOTHING, *empty, well)
    bayer = sensor.bayer_pattern if 'mosaic' in stages else 'none'
    place = (*size, bayer, sensor.fixed_pattern_seed)
    fixed_read = three(sensor.read_noise if sensor.read_noise_fixed else 0.0)
    first, spots, heat = _hot_photosites(*place, float(sensor.hot_pixel_fraction))
    current = float(settings.exposure_time) * float(sensor.hot_pixel_current)
    if current == 0.0:
        first, spots, heat = _NOWHERE, _NOWHERE, heat[:0]
    return Noise(
        shot=three(sensor.shot_noise_gain),
        read=zero if sensor.read_noise_fixed else three(sensor.read_noise),
        seed=words,
        dark=dark,
        gain=_sensitivity(*place, tuple(three(sensor.prnu).tolist())),
        offset=_offsets(*place, tuple(fixed_read.tolist()), tuple(three(sensor.dsnu).tolist())),
        hot_first=first,
        hot_place=spots,
        hot_electrons=heat * np.float32(current),
        full_well=np.float32(_UNLIMITED if sensor.full_well is None else float(sensor.full_well)),
    )


@lru_cache(maxsize=64)
def response_of(
    settings: CameraSettings, sensor: SensorModel, stages: tuple[str, ...], soft_clamp: bool
) -> Response:
    """Return what the kernels want to know about the response; none without that stage."""
    digital = 'response' in stages
    levels = 2**sensor.bit_depth - 1 if digital and 'quantization' in stages else 0
    return Response(
        kind=_CURVES[sensor.response_type] if digital else curves.NO_RESPONSE,
        iso=np.float32(min(float(settings.iso), LARGEST)),
        gains=three(sensor.response_gains),
        biases=three(sensor.response_biases),
        gamma=np.float32(sensor.response_gamma),
        table=np.array(sensor.response_table, np.float32),
        black=np.float32(sensor.black_level if digital else 0.0),
        levels=np.float32(levels),
        soft=soft_clamp,
    )


@lru_cache(maxsize=64)
def colours_of(sensor: SensorModel, stages: tuple[str, ...]) -> Colours:
    """Return what the kernels want to know about colours."""
    given = sensor.black_level, sensor.white_balance, sensor.color_matrix
    on = {'response', 'color'} <= set(stages)
    matrix = np.array(sensor.color_matrix, np.float32)
    return Colours(on and not is_neutral(*given), three(sensor.white_balance), matrix)


def three(values: Any, factor: float = 1.0) -> Floats:
    """Return three coefficients, held to what float32 can multiply without becoming inf."""
    product = np.asarray(values, dtype=np.float64) * factor
    return np.full(3, np.clip(product, -LARGEST, LARGEST), dtype=np.float32)


Numbers = tuple[float, ...]


@lru_cache(maxsize=4)
def _sensitivity(height: int, width: int, bayer: str, seed: int, prnu: Numbers) -> Floats:
    """Return the relative excess of every photosite's sensitivity, as lines; empty for none."""
    if not any(prnu):
        return _NOTHING
    return _lines(_fixed_pattern(height, width, seed, PRNU_STREAM) * three(prnu), bayer)


@lru_cache(maxsize=4)
def _offsets(
    height: int, width: int, bayer: str, seed: int, read: Numbers, dsnu: Numbers
) -> Floats:
    """Return the electrons of every photosite's fixed offset, as lines; empty for none."""
    if not any(read) and not any(dsnu):
        return _NOTHING
    total = np.zeros((height, width, 3), np.float32)
    for stream, size in ((PATTERN_STREAM, read), (DSNU_STREAM, dsnu)):
        if any(size):
            total += _fixed_pattern(height, width, seed, stream) * three(size)
    return _lines(total, bayer)


@lru_cache(maxsize=4)
def _hot_photosites(
    height: int, width: int, bayer: str, seed: int, fraction: float
) -> tuple[Integers, Integers, Floats]:
    """Return where rows begin in the list of hot photosites, their places and their heat."""
    if fraction <= 0:
        return _NOWHERE, _NOWHERE, np.empty(0, np.float32)
    shape = (height, width, 3)
    hot = uniform_deviates(shape, seed, 0, HOT_STREAM) < fraction
    heat = -uniform_deviates(shape, seed, 0, HEAT_STREAM).log()
    lines = _lines(torch.where(hot, heat, 0.0).numpy(), bayer).reshape(height, -1)
    rows, places = np.nonzero(lines)
    first = np.searchsorted(rows, np.arange(height + 1)).astype(np.int64)
    return first, places.astype(np.int64), lines[rows, places]


def _fixed_pattern(height: int, width: int, seed: int, stream: int) -> Floats:
    pattern = np.empty((height, width, 3), dtype=np.float32)
    normal_picture(0, seed & WORD, stream, pattern)
    return pattern


def _lines(picture: Floats, bayer: str) -> Floats:
    """Take a picture (H, W, 3) apart into the lines of kernels/sensor.py."""
    if bayer == 'none':
        return np.ascontiguousarray(picture.transpose(0, 2, 1))
    height, width = picture.shape[:2]
    lines = np.zeros((height, 2, (width + 1) // 2), np.float32)
    tile = pattern_tile(bayer)
    for row in range(2):
        for parity in range(2):
            sites = picture[row::2, parity::2, tile[row, parity]]
            lines[row::2, parity, : sites.shape[1]] = sites
    return lines
