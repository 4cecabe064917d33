# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where in the picture automatic control looks: a coarse grid of samples and their weights."""

from __future__ import annotations

from functools import lru_cache
import math

import torch

METERINGS = ('average', 'centre', 'spot')

SAMPLES = 3000
"""About how many pixels are looked at: enough for 0.01 stops in noise, and far below 1 ms."""

CENTRE_SIGMA = 0.22
"""Of the centre weight, as a share of the picture's width and height: 80 % of the weight is in
the middle quarter of the picture."""

CENTRE_FLOOR = 0.05
"""Weight of what is far from the centre, against 1 in the middle."""


def window(height: int, width: int, x: float, y: float, size: float) -> tuple[int, int, int, int]:
    """Return first row, end row, first column and end column of a square in the picture.

    :param x: of its centre, 0 = left edge of the picture, 1 = right edge.
    :param y: 0 = upper edge, 1 = lower edge.
    :param size: its side as a share of the picture's shorter side; it has at least one pixel.
    """
    half = 0.5 * size * min(height, width)

    def span(centre: float, length: int) -> tuple[int, int]:
        first = min(max(math.floor(centre * length - half + 0.5), 0), length - 1)
        return first, max(min(math.floor(centre * length + half + 0.5), length), first + 1)

    return (*span(y, height), *span(x, width))


def sample(picture: torch.Tensor, place: tuple[int, int, int, int] | None = None) -> torch.Tensor:
    """Return pixels on a regular grid over a picture or a window of it.

    :param picture: (H, W, C), values in [0, 1] or uint8 in [0, 255].
    :param place: of ``window``; None for the whole picture.
    :return: (h, w, C) float32 on the CPU, values in [0, 1]; NaN becomes 0.
    """
    if place is not None:
        picture = picture[place[0] : place[1], place[2] : place[3]]
    step = max(round(math.sqrt(picture.shape[0] * picture.shape[1] / SAMPLES)), 1)
    first = step // 2
    grid = picture[min(first, picture.shape[0] - 1) :: step]
    grid = grid[:, min(first, picture.shape[1] - 1) :: step]
    grid = grid.detach().cpu()
    if grid.dtype == torch.uint8:
        return grid.float() / 255.0
    return grid.float().nan_to_num(nan=0.0).clamp(0.0, 1.0)


@lru_cache(maxsize=8)
def centre_weights(height: int, width: int) -> torch.Tensor:
    """Return weights of a grid that favour its middle, (h, w), whose sum is 1."""
    rows = (torch.arange(height) + 0.5) / height - 0.5
    columns = (torch.arange(width) + 0.5) / width - 0.5
    distance = rows[:, None] ** 2 + columns**2
    weight = torch.exp(-0.5 * distance / CENTRE_SIGMA**2).clamp(min=CENTRE_FLOOR)
    return weight / weight.sum()
