# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How digital values become the numbers of an image file or message, and what is said of them.

The names are those of sensor_msgs/image_encodings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.camera.mosaic import BAYER_PATTERNS
from diffphyscam_ros.kernels.pixels import Target, target_of

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Encoding:
    """How an encoding lays a pixel out.

    :param dtype: of numpy, native byte order.
    :param bayer: the pattern of a mosaic, or 'none'.
    """

    name: str
    channels: int
    dtype: str
    blue_first: bool = False
    bayer: str = 'none'

    @property
    def full_scale(self) -> float:
        """The number that stands for digital value 1.0: all bits set, also with 16 bits.

        Whatever the sensor's bit depth is, its values fill the 16 bits, as those of camera drivers
        do that align them to the left.
        """
        kind = np.dtype(self.dtype)
        return float(np.iinfo(kind).max) if kind.kind == 'u' else 1.0


OUTPUT_ENCODINGS = {
    item.name: item
    for item in (
        Encoding('rgb8', 3, 'uint8'),
        Encoding('bgr8', 3, 'uint8', blue_first=True),
        Encoding('mono8', 1, 'uint8'),
        Encoding('mono16', 1, 'uint16'),
        Encoding('rgb16', 3, 'uint16'),
        Encoding('32FC3', 3, 'float32'),
        *(
            Encoding(f'bayer_{pattern}{bits}', 1, f'uint{bits}', bayer=pattern)
            for bits in (8, 16)
            for pattern in BAYER_PATTERNS[1:]
        ),
    )
}
"""What the camera gives; the channels of 32FC3 are red, green, blue in [0, 1]."""


def encoding_named(name: str) -> Encoding:
    """Return one of ``OUTPUT_ENCODINGS``.

    :raises ValueError: for an unknown name, listing those there are.
    """
    layout = OUTPUT_ENCODINGS.get(name)
    if layout is None:
        raise ValueError(f'encoding {name!r}: must be one of {", ".join(OUTPUT_ENCODINGS)}')
    return layout


@dataclass(frozen=True)
class Statistics:
    """What the digital values of a picture say about its exposure; all in [0, 1]."""

    mean_level: float
    saturated_fraction: float
    black_fraction: float


class CountedPixels:
    """A picture to be written by kernels, and what they counted on the way.

    :param pixels: (H, W, C) contiguous, as the encoding lays them out.
    :raises ValueError: for another shape or type.
    """

    def __init__(self, pixels: Pixels, encoding: Encoding) -> None:
        """See the class."""
        channels = pixels.shape[2] if pixels.ndim == 3 else 0
        if channels != encoding.channels or pixels.dtype != np.dtype(encoding.dtype):
            raise ValueError(
                f'pixels {pixels.shape} {pixels.dtype}: {encoding.name} is (H, W, '
                f'{encoding.channels}) {encoding.dtype}'
            )
        self._sums = np.zeros(pixels.shape[0], np.float64)
        self._counts = np.zeros((pixels.shape[0], 2), np.int64)
        self._size = max(pixels.shape[0] * pixels.shape[1], 1)
        self.target: Target = target_of(pixels, encoding.blue_first, self._sums, self._counts)

    def statistics(self) -> Statistics:
        """Return what was counted."""
        saturated, black = self._counts.sum(axis=0)
        mean = float(self._sums.sum()) / (3 * self._size)
        return Statistics(mean, float(saturated) / self._size, float(black) / self._size)
