# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Any recorded picture as the 8 bit grey picture that detectors want."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.errors import CalibrationError

_BAYER = {
    # OpenCV names a mosaic by the second and third pixel of its second row.
    'rggb': cv2.COLOR_BayerBG2GRAY,
    'bggr': cv2.COLOR_BayerRG2GRAY,
    'gbrg': cv2.COLOR_BayerGR2GRAY,
    'grbg': cv2.COLOR_BayerGB2GRAY,
}


PALE, NOTHING = 80, 8
"""Of 255: a smaller range is stretched, unless there is nothing but noise."""


def to_grey(image: npt.NDArray[Any], encoding: str = '') -> npt.NDArray[Any]:
    """Return the picture in grey, (H, W), in its own type and scale.

    :param image: (H, W), or (H, W, 3) in the order red, green, blue; uint8 or uint16.
    :param encoding: as in ``RecordedFrame``: only ``bayer_*`` matters, whose (H, W) is a mosaic.
    :raises CalibrationError: for other shapes and types.
    """
    image = np.asarray(image)
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3):
        raise CalibrationError(
            'picture', f'{image.dtype} {image.shape}', allowed='uint8 or uint16, (H, W[, 3])'
        )
    if image.ndim == 3:
        if image.shape[2] == 1:
            return np.ascontiguousarray(image[..., 0])
        if image.shape[2] != 3:
            raise CalibrationError('picture', image.shape, allowed='of 1 or 3 channels')
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))
    if encoding.startswith('bayer_'):
        pattern = encoding[6:10]
        if pattern not in _BAYER:
            raise CalibrationError('encoding', encoding, allowed=f'bayer_ and {sorted(_BAYER)}')
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), _BAYER[pattern]))
    return np.ascontiguousarray(image)


def to_byte_grey(grey: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a grey picture in 8 bits, its contrast kept.

    Of 16 bit pictures the range between the darkest and brightest 0.1 % of the pixels becomes 0
    to 255, so that a 12 bit sensor underexposed by 4 stops still uses all of it; 8 bit ones stay,
    except that pale ones are stretched too: detectors want some contrast.
    """
    low, high = np.percentile(grey[::4, ::4], (0.1, 99.9))
    if grey.dtype == np.uint8 and (high - low >= PALE or high - low < NOTHING):
        return grey
    scale = 255.0 / max(high - low, 1.0)
    stretched = np.clip((grey.astype(np.float32) - np.float32(low)) * np.float32(scale), 0, 255)
    return np.round(stretched).astype(np.uint8)
