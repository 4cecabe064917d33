# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""image_raw/compressed, byte for byte in the manner of compressed_image_transport."""

from __future__ import annotations

import array

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image

from diffphyscam_ros.nodes.conversions import decode, OUTPUT_ENCODINGS

FORMATS = ('jpeg', 'png')


def compress(
    message: Image, codec: str, jpeg_quality: int = 95, png_level: int = 3
) -> CompressedImage:
    """Return the compressed twin of an image message, with the same header.

    The format string is that of compressed_image_transport, from which its subscriber finds the
    encoding to give back: ``rgb8; jpeg compressed bgr8``. JPEG always holds 8 bits.

    :param codec: ``jpeg`` or ``png``.
    :param jpeg_quality: 1 to 100, higher is better.
    :param png_level: 0 to 9, higher is smaller and slower.
    :raises ValueError: for an encoding that the codec cannot hold (32FC3), or an unknown codec.
    """
    if codec not in FORMATS:
        raise ValueError(f'compressed format {codec!r}: must be one of {", ".join(FORMATS)}')
    layout = OUTPUT_ENCODINGS.get(message.encoding)
    if layout is None or layout.dtype == 'float32':
        raise ValueError(
            f'{message.encoding} images cannot be compressed as {codec}: choose an '
            'output_encoding of 8 or 16 bits'
        )
    pixels = decode(message)
    sixteen = pixels.dtype == np.uint16
    if codec == 'jpeg' and sixteen:
        pixels = np.rint(pixels.astype(np.float32) * (255.0 / 65535.0)).astype(np.uint8)
    if layout.channels == 3:
        pixels = pixels[..., ::-1]  # OpenCV writes blue first
    if codec == 'jpeg':
        target = 'bgr8' if layout.channels == 3 else 'mono8'
        options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    else:
        target = f'bgr{16 if sixteen else 8}' if layout.channels == 3 else ''
        options = [cv2.IMWRITE_PNG_COMPRESSION, png_level]
    result = CompressedImage()
    result.header = message.header
    result.format = f'{message.encoding}; {codec} compressed {target}'
    result.data = _encoded('.jpg' if codec == 'jpeg' else '.png', pixels, options)
    return result


def _encoded(
    extension: str, pixels: npt.NDArray[np.generic], options: list[int]
) -> array.array[int]:
    good, data = cv2.imencode(extension, np.ascontiguousarray(pixels), options)
    if not good:
        raise ValueError(f'OpenCV could not encode a picture of shape {pixels.shape}')
    result = array.array('B')
    result.frombytes(data.tobytes())
    return result
