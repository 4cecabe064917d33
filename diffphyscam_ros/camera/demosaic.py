# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From one colour a photosite to three: linear filters, so they are their own derivative.

'malvar' is that of H. S. Malvar, L. He and R. Cutler, "High-quality linear interpolation for
demosaicing of Bayer-patterned color images", ICASSP 2004: bilinear interpolation, corrected by the
Laplacian of the colour that is known. At the borders the mosaic is mirrored about the centre of
the last photosite, which keeps its pattern.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from diffphyscam_ros.camera.arrays import picture
from diffphyscam_ros.camera.mosaic import channel_map

DEMOSAICS = ('malvar', 'bilinear')

KEEP, CROSS, HORIZONTAL, VERTICAL, DIAGONAL = range(5)
"""Where the wanted colour is: here, at the 4 neighbours, left and right, above and below, or at
the 4 corners."""

_BILINEAR_CROSS = ((0, 1, 0), (1, 0, 1), (0, 1, 0))
_BILINEAR_HORIZONTAL = ((0, 0, 0), (2, 0, 2), (0, 0, 0))
_BILINEAR_DIAGONAL = ((1, 0, 1), (0, 0, 0), (1, 0, 1))

_MALVAR_CROSS = (
    (0, 0, -2, 0, 0),
    (0, 0, 4, 0, 0),
    (-2, 4, 8, 4, -2),
    (0, 0, 4, 0, 0),
    (0, 0, -2, 0, 0),
)
_MALVAR_HORIZONTAL = (
    (0, 0, 1, 0, 0),
    (0, -2, 0, -2, 0),
    (-2, 8, 10, 8, -2),
    (0, -2, 0, -2, 0),
    (0, 0, 1, 0, 0),
)
_MALVAR_DIAGONAL = (
    (0, 0, -3, 0, 0),
    (0, 4, 0, 4, 0),
    (-3, 0, 12, 0, -3),
    (0, 4, 0, 4, 0),
    (0, 0, -3, 0, 0),
)


_Taps = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=4)
def filters(method: str) -> torch.Tensor:
    """Return the five filters of a method, (5, 5, 5) float64, each of sum 1.

    :raises ValueError: for an unknown method.
    """
    cross: _Taps
    horizontal: _Taps
    diagonal: _Taps
    if method == 'malvar':
        cross, horizontal, diagonal = _MALVAR_CROSS, _MALVAR_HORIZONTAL, _MALVAR_DIAGONAL
    elif method == 'bilinear':
        cross, horizontal, diagonal = _BILINEAR_CROSS, _BILINEAR_HORIZONTAL, _BILINEAR_DIAGONAL
    else:
        raise ValueError(f'demosaic {method!r}: must be one of {", ".join(DEMOSAICS)}')
    with torch.inference_mode(False):
        result = torch.zeros(5, 5, 5, dtype=torch.float64)
        result[KEEP, 2, 2] = 1.0
        edge = (5 - len(cross)) // 2
        inside = slice(edge, 5 - edge)
        for which, taps in ((CROSS, cross), (HORIZONTAL, horizontal), (DIAGONAL, diagonal)):
            kernel = torch.tensor(taps, dtype=torch.float64)
            result[which, inside, inside] = kernel / kernel.sum()
        result[VERTICAL] = result[HORIZONTAL].T
        return result


@lru_cache(maxsize=8)
def filter_map(
    pattern: str, height: int, width: int, device: torch.device | str = 'cpu'
) -> torch.Tensor:
    """Return which of the five filters gives each channel of each pixel: (H, W, 3) int64."""
    with torch.inference_mode(False):
        # One tile more on each side, so that every photosite has its neighbours.
        colours = channel_map(pattern, height + 4, width + 4, device)
        here = colours[2:-2, 2:-2, None]
        beside = colours[2:-2, 1:-3, None]
        wanted = torch.arange(3, device=device)
        lying = torch.where(beside == wanted, HORIZONTAL, VERTICAL)
        elsewhere = torch.where(here == 1, lying, DIAGONAL)
        elsewhere = torch.where((wanted == 1) & (here != 1), CROSS, elsewhere)
        return torch.where(here == wanted, KEEP, elsewhere)


def demosaic(raw: torch.Tensor, pattern: str, method: str = 'malvar') -> torch.Tensor:
    """Interpolate the two colours that each photosite does not see.

    :param raw: (..., H, W, 1), any size from 1×1.
    :param pattern: of the mosaic, as for ``mosaic``.
    :param method: 'malvar' or 'bilinear'.
    :return: (..., H, W, 3); malvar may overshoot the values that it got.
    :raises ValueError: for an unknown method or pattern, or a picture of more channels.
    """
    raw = picture(raw, 'raw')
    if raw.shape[-1] != 1:
        raise ValueError(f'raw has shape {tuple(raw.shape)}: must be (..., H, W, 1)')
    height, width = raw.shape[-3:-1]
    rows, columns = (_mirrored(size, raw.device) for size in (height, width))
    planes = raw.reshape(-1, 1, height, width)
    wide = planes.index_select(2, rows).index_select(3, columns)
    kernels = filters(method).to(dtype=raw.dtype, device=raw.device)
    answers = torch.nn.functional.conv2d(wide, kernels[:, None])
    choice = filter_map(pattern, height, width, raw.device).permute(2, 0, 1)
    colours = answers.gather(1, choice.expand(len(answers), 3, height, width))
    return colours.permute(0, 2, 3, 1).reshape(*raw.shape[:-1], 3)


def _mirrored(size: int, device: torch.device) -> torch.Tensor:
    """Return the index of each of size + 4 photosites, mirrored about the first and last one."""
    index = torch.arange(-2, size + 2, device=device).abs()
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)
