# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The colour filters on the photosites: three channels become one."""

from __future__ import annotations

from functools import lru_cache

import torch

from diffphyscam_ros.camera.arrays import picture

BAYER_PATTERNS = ('none', 'rggb', 'bggr', 'gbrg', 'grbg')
"""Named as in sensor_msgs/image_encodings: the first row's two colours, then the second's."""


def check_pattern(pattern: str) -> str:
    """Return a pattern's four letters.

    :raises ValueError: for anything but the four patterns.
    """
    if pattern not in BAYER_PATTERNS[1:]:
        raise ValueError(
            f'Bayer pattern {pattern!r}: must be one of {", ".join(BAYER_PATTERNS[1:])}'
        )
    return pattern


@lru_cache(maxsize=8)
def channel_map(
    pattern: str, height: int, width: int, device: torch.device | str = 'cpu'
) -> torch.Tensor:
    """Return which channel each photosite sees: (H, W) int64, 0 = red, 1 = green, 2 = blue.

    :raises ValueError: for anything but the four patterns.
    """
    letters = ['rgb'.index(letter) for letter in check_pattern(pattern)]
    with torch.inference_mode(False):
        tile = torch.tensor(letters, device=device).reshape(2, 2)
        return tile.repeat((height + 1) // 2, (width + 1) // 2)[:height, :width].contiguous()


def mosaic(image: torch.Tensor, pattern: str) -> torch.Tensor:
    """Keep one channel of each pixel.

    :param image: (..., H, W, 3).
    :param pattern: 'rggb' has red, green in the first row and green, blue in the second.
    :return: (..., H, W, 1).
    :raises ValueError: for another pattern, or a picture without three channels.
    """
    image = picture(image, 'image')
    if image.shape[-1] != 3:
        raise ValueError(f'image has shape {tuple(image.shape)}: must be (..., H, W, 3)')
    return photosites(image, image, pattern)


def photosites(values: torch.Tensor, image: torch.Tensor, pattern: str) -> torch.Tensor:
    """Return what each photosite of a picture has of a quantity that its colour decides.

    :param values: broadcastable to (..., H, W, 3), as ``arrays.per_channel`` returns it.
    :param image: (..., H, W, C), for its size.
    :return: (..., H, W, 1).
    """
    height, width = image.shape[-3:-1]
    channels = channel_map(pattern, height, width, image.device)[..., None]
    shape = torch.broadcast_shapes(values.shape, (height, width, 3))
    index = channels.expand(*shape[:-1], 1)
    return values.expand(shape).gather(-1, index)
