# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Photons and electronics: noise, new in each frame, and the sensor's fixed patterns (eq. 4).

The random numbers are a pure function of (seed, frame, pixel, channel): no state, the same on
every device and for every number of threads, and any frame can be drawn again on its own.
Four counters go through the integer hash pcg4d (M. Jarzynski and M. Olano, "Hash Functions
for GPU Rendering", Journal of Computer Graphics Techniques 9(3), 2020), and Box-Muller turns
the four words into four normal deviates, one for each channel.
"""

from __future__ import annotations

from functools import lru_cache
import math

import torch

from diffphyscam_ros.camera.arrays import (
    Colour,
    is_zero,
    LARGEST,
    per_channel,
    per_image,
    picture,
)
from diffphyscam_ros.camera.intrinsics import Scalar

WORD = 0xFFFFFFFF
SHOT_STREAM = 0x73686F74  # 'shot'
PATTERN_STREAM = 0x66697865  # 'fixe'
PRNU_STREAM = 0x70726E75  # 'prnu'
DSNU_STREAM = 0x64736E75  # 'dsnu'
HOT_STREAM = 0x686F7470  # 'hotp': which photosites are hot
HEAT_STREAM = 0x68656174  # 'heat': how hot they are

_MOST_VARIANCE = 1e37
"""Of a photosite, in electrons squared: finite in float32, and so is its root's gradient."""


def _pcg4d(words: list[torch.Tensor]) -> list[torch.Tensor]:
    """Hash four 32-bit words, held in int64, into four; int64 overflow keeps the low bits."""
    x, y, z, w = ((word * 1664525 + 1013904223) & WORD for word in words)
    for last in (False, True):
        x = (x + y * w) & WORD
        y = (y + z * x) & WORD
        z = (z + x * y) & WORD
        w = (w + y * z) & WORD
        if not last:
            x, y, z, w = (word ^ (word >> 16) for word in (x, y, z, w))
    return [x, y, z, w]


def _uniform(word: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn 32-bit words into deviates in (0, 1), from their upper 23 bits."""
    return ((word >> 9).to(dtype) + 0.5) * 2.0**-23


def _box_muller(
    first: torch.Tensor, second: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn two 32-bit words into two independent normal deviates, at most 5.8 in size."""
    radius = _uniform(first, dtype).log().mul(-2.0).sqrt()
    angle = (second >> 9).to(dtype) * (2.0 * math.pi * 2.0**-23)
    return radius * angle.cos(), radius * angle.sin()


def normal_deviates(
    shape: tuple[int, int, int],
    seed: int,
    frame_number: int,
    stream: int = SHOT_STREAM,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = 'cpu',
) -> torch.Tensor:
    """Return independent standard normal deviates for one picture.

    :param shape: (H, W, C).
    :param seed: any integer; its low 32 bits count.
    :param frame_number: any integer; its low 32 bits count.
    :param stream: keeps different uses of one seed apart.
    :return: (H, W, C).
    """
    words = _words(shape, seed, frame_number, stream, device)
    planes: list[torch.Tensor] = []
    for x, y in zip(words[::2], words[1::2], strict=True):
        planes += _box_muller(x, y, dtype)
    return torch.stack(planes[: shape[2]], dim=-1).reshape(shape)


def uniform_deviates(
    shape: tuple[int, int, int],
    seed: int,
    frame_number: int,
    stream: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = 'cpu',
) -> torch.Tensor:
    """Return independent uniform deviates in (0, 1) for one picture: word c for channel c.

    The upper 23 bits are used, (n + 1/2) · 2⁻²³: exact in float32, never 0 or 1. The parameters
    are those of ``normal_deviates``.

    :return: (H, W, C).
    """
    words = _words(shape, seed, frame_number, stream, device)[: shape[2]]
    return torch.stack([_uniform(word, dtype) for word in words], dim=-1).reshape(shape)


def _words(
    shape: tuple[int, int, int],
    seed: int,
    frame_number: int,
    stream: int,
    device: torch.device | str,
) -> list[torch.Tensor]:
    """Return planes (H · W,) of 32-bit words, four for each four channels."""
    height, width, channels = shape
    pixel = torch.arange(height * width, dtype=torch.int64, device=device)
    constant = pixel.new_zeros(1)
    words: list[torch.Tensor] = []
    for group in range((channels + 3) // 4):
        counters = frame_number & WORD, seed & WORD, stream + group & WORD
        words += _pcg4d([pixel, *(constant + counter for counter in counters)])
    return words


@lru_cache(maxsize=4)
def _pattern(
    shape: tuple[int, int, int], seed: int, stream: int, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return a fixed pattern of unit deviation; it is the same for every frame, so it is kept."""
    with torch.inference_mode(False):  # a tensor of that mode could never meet a gradient
        return normal_deviates(shape, seed, 0, stream, dtype, device)


@lru_cache(maxsize=2)
def hot_map(
    shape: tuple[int, int, int],
    seed: int,
    fraction: float,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Return −ln u where a photosite is hot, which has mean 1, and 0 elsewhere."""
    with torch.inference_mode(False):
        hot = uniform_deviates(shape, seed, 0, HOT_STREAM, dtype, device) < fraction
        heat = -uniform_deviates(shape, seed, 0, HEAT_STREAM, dtype, device).log()
        return torch.where(hot, heat, 0.0)


def _frame_deviates(image: torch.Tensor, seed: int, frame_number: int) -> torch.Tensor:
    """Return deviates shaped like a batch, whose picture i belongs to frame n + i."""
    shape = _size(image)
    frames = [
        normal_deviates(shape, seed, frame_number + i, SHOT_STREAM, image.dtype, image.device)
        for i in range(math.prod(image.shape[:-3]))
    ]
    return torch.stack(frames).reshape(image.shape)


def fixed_deviates(image: torch.Tensor, seed: int, stream: int) -> torch.Tensor:
    """Return the deviates of a sensor's pattern, (H, W, C), for a picture (..., H, W, C)."""
    return _pattern(_size(image), seed, stream, image.dtype, image.device)


def _size(image: torch.Tensor) -> tuple[int, int, int]:
    return (image.shape[-3], image.shape[-2], image.shape[-1])


def _safe_sqrt(value: torch.Tensor) -> torch.Tensor:
    """Return √x, and 0 with gradient 0 at and below x = 0."""
    lit = value > 0
    return torch.where(lit, torch.where(lit, value, 1.0).sqrt(), 0.0)


def add_noise(
    electrons: torch.Tensor,
    shot_noise_gain: Colour,
    read_noise: Colour,
    seed: int,
    frame_number: int,
    fixed_pattern_seed: int,
    *,
    read_noise_fixed: bool = True,
    dsnu: Colour = (0.0, 0.0, 0.0),
    prnu: Colour = (0.0, 0.0, 0.0),
    hot_pixel_fraction: float = 0.0,
    hot_pixel_current: Scalar = 0.0,
    full_well: Scalar | None = None,
    soft_clamp: bool = False,
    exposure_time: Scalar = 0.0,
    dark_current: Colour = (0.0, 0.0, 0.0),
) -> torch.Tensor:
    """Add noise to electrons X (CAMERA_MODEL.md eq. 4, with what real sensors have beyond it).

    With ξ standard normal deviates, d = t·D the dark electrons in X, and h = −ln u in the hot
    photosites, else 0:

    | Y = (X − d)·(1 + prnu·ξ_p) + d + t·hot_pixel_current·h
    | temporal read noise:       Y + √(n_s²·Y + σ_r²)·ξ₁, held to full_well, + dsnu·ξ_d
    | fixed, as in the paper:    Y + n_s·√Y·ξ₁, held to full_well, + σ_r·ξ₂ + dsnu·ξ_d

    Two independent normals are one normal of the summed variance, so temporal read noise costs no
    deviate of its own. ξ₁ depends on (seed, frame_number); ξ₂, ξ_p, ξ_d and h only on
    fixed_pattern_seed: they are the same in every frame of one sensor. Picture i of a batch,
    counted over all leading dimensions, has the noise of frame frame_number + i. Differentiable
    in X and every number but hot_pixel_fraction, with ξ and h held fixed; the gradient of √Y is
    taken as 0 at and below Y = 0.

    :param electrons: X, (..., H, W, C).
    :param shot_noise_gain: n_s, one for each channel, √electrons; 1 = photons.
    :param read_noise: σ_r, one for each channel, electrons.
    :param read_noise_fixed: read noise is one pattern, and not new in each frame.
    :param dsnu: deviation of the fixed pattern in the dark, one for each channel, electrons.
    :param prnu: relative deviation of the photosites' sensitivity, one for each channel.
    :param hot_pixel_fraction: share of photosites that are hot.
    :param hot_pixel_current: mean of their additional dark current, electrons per second.
    :param full_well: most electrons that a photosite holds; None = no limit.
    :param soft_clamp: keep a gradient where wells are full, for optimisation.
    :param exposure_time: t, seconds, of the dark electrons.
    :param dark_current: D in X, one for each channel, electrons per second.
    :return: noisy electrons, (..., H, W, C).
    """
    electrons = picture(electrons, 'electrons')
    time = per_image(exposure_time, electrons)
    noisy = electrons
    if not is_zero(prnu):
        xi = fixed_deviates(electrons, fixed_pattern_seed, PRNU_STREAM)
        lit = electrons - time * per_channel(dark_current, electrons)
        noisy = noisy + lit * per_channel(prnu, electrons) * xi
    if hot_pixel_fraction > 0 and not is_zero(hot_pixel_current):
        size, kind = _size(electrons), (electrons.dtype, electrons.device)
        heat = hot_map(size, fixed_pattern_seed, float(hot_pixel_fraction), *kind)
        noisy = noisy + time * per_image(hot_pixel_current, electrons) * heat
    noisy = noisy.clamp(-LARGEST, LARGEST)
    noisy = _temporal(noisy, shot_noise_gain, read_noise, read_noise_fixed, seed, frame_number)
    if full_well is not None:
        noisy = fill_wells(noisy, per_image(full_well, electrons), soft_clamp)
    if read_noise_fixed and not is_zero(read_noise):
        xi = fixed_deviates(electrons, fixed_pattern_seed, PATTERN_STREAM)
        noisy = noisy + per_channel(read_noise, electrons) * xi
    if not is_zero(dsnu):
        xi = fixed_deviates(electrons, fixed_pattern_seed, DSNU_STREAM)
        noisy = noisy + per_channel(dsnu, electrons) * xi
    return noisy.clamp(-LARGEST, LARGEST)


def fill_wells(electrons: torch.Tensor, full_well: torch.Tensor, soft: bool) -> torch.Tensor:
    """Hold electrons Y to the full well w.

    :param soft: where the well is full pass the gradient by Y on, times (w / Y)², as if what is
        too much were counted less and less. The values are the same.
    """
    filled = torch.minimum(electrons, full_well)
    if not soft:
        return filled
    over = torch.maximum(electrons, full_well.detach())
    slack = -(full_well.detach() ** 2) / over
    return filled + (slack - slack.detach())


def _temporal(
    electrons: torch.Tensor,
    shot_noise_gain: Colour,
    read_noise: Colour,
    read_noise_fixed: bool,
    seed: int,
    frame_number: int,
) -> torch.Tensor:
    """Add what is new in each frame: shot noise, and read noise unless it is a fixed pattern."""
    reads = not (read_noise_fixed or is_zero(read_noise))
    if is_zero(shot_noise_gain) and not reads:
        return electrons
    gain = per_channel(shot_noise_gain, electrons)
    if reads:
        # Not a clamp, whose gradient at 0 is 1: with little read noise the root is steep there.
        lit = torch.where(electrons > 0, electrons, 0.0)
        variance = gain**2 * lit + per_channel(read_noise, electrons) ** 2
        size = _safe_sqrt(variance.clamp(max=_MOST_VARIANCE))
    else:
        size = gain * _safe_sqrt(electrons)
    # A sensor that is a batch of its own makes a batch of pictures, each with its own noise.
    like = torch.broadcast_to(electrons, torch.broadcast_shapes(electrons.shape, size.shape))
    return electrons + size * _frame_deviates(like, seed, frame_number)
