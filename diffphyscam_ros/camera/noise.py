# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 5: shot noise, new in each frame, and the sensor's fixed pattern (eq. 4).

The random numbers are a pure function of (seed, frame, pixel, channel): no state, the same on
every device and for every number of threads, and any frame can be drawn again on its own.
Four counters go through the integer hash pcg4d (M. Jarzynski and M. Olano, "Hash Functions
for GPU Rendering", Journal of Computer Graphics Techniques 9(3), 2020), and Box-Muller turns
the four words into four normal deviates, one for each channel.
"""

from __future__ import annotations

import math

import torch

from diffphyscam_ros.camera.arrays import Colour, is_zero, LARGEST, per_channel, picture

WORD = 0xFFFFFFFF
SHOT_STREAM = 0x73686F74  # 'shot'
PATTERN_STREAM = 0x66697865  # 'fixe'


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


def _box_muller(
    first: torch.Tensor, second: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn two 32-bit words into two independent normal deviates, at most 5.8 in size.

    The upper 23 bits are used: (n + 1/2) · 2⁻²³ is exact in float32 and never 0 or 1.
    """
    radius = (((first >> 9).to(dtype) + 0.5) * 2.0**-23).log().mul(-2.0).sqrt()
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
    height, width, channels = shape
    pixel = torch.arange(height * width, dtype=torch.int64, device=device)
    constant = pixel.new_zeros(1)
    planes: list[torch.Tensor] = []
    for group in range((channels + 3) // 4):
        words = _pcg4d(
            [
                pixel,
                constant + (frame_number & WORD),
                constant + (seed & WORD),
                constant + (stream + group & WORD),
            ]
        )
        x, y, z, w = words
        planes += [*_box_muller(x, y, dtype), *_box_muller(z, w, dtype)]
    return torch.stack(planes[:channels], dim=-1).reshape(shape)


def _batch_deviates(
    image: torch.Tensor, seed: int, frame_number: int, stream: int, step: int
) -> torch.Tensor:
    """Return deviates shaped like a batch, whose picture i belongs to frame n + i·step."""
    shape = (image.shape[-3], image.shape[-2], image.shape[-1])
    count = math.prod(image.shape[:-3]) if step else 1
    frames = [
        normal_deviates(shape, seed, frame_number + i * step, stream, image.dtype, image.device)
        for i in range(count)
    ]
    return torch.stack(frames).reshape(image.shape) if step else frames[0]


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
) -> torch.Tensor:
    """Add noise: X + n_s·√X·ξ₁ + σ_r·ξ₂ (CAMERA_MODEL.md eq. 4).

    ξ₁ depends on (seed, frame_number), ξ₂ only on fixed_pattern_seed: it is the same in every
    frame of one sensor. Picture i of a batch, counted over all leading dimensions, has the noise
    of frame frame_number + i. Differentiable in X, n_s and σ_r with ξ held fixed; the gradient
    of √X is taken as 0 at X = 0.

    :param electrons: X, (..., H, W, C).
    :param shot_noise_gain: n_s, one for each channel, √electrons.
    :param read_noise: σ_r, one for each channel, electrons.
    :return: noisy electrons, (..., H, W, C).
    """
    electrons = picture(electrons, 'electrons')
    noisy = electrons
    if not is_zero(shot_noise_gain):
        xi = _batch_deviates(electrons, seed, frame_number, SHOT_STREAM, step=1)
        noisy = noisy + per_channel(shot_noise_gain, electrons) * _safe_sqrt(electrons) * xi
    if not is_zero(read_noise):
        xi = _batch_deviates(electrons, fixed_pattern_seed, 0, PATTERN_STREAM, step=0)
        noisy = noisy + per_channel(read_noise, electrons) * xi
    return noisy.clamp(-LARGEST, LARGEST)
