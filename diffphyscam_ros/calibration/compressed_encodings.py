# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From the bytes of ``sensor_msgs/CompressedImage`` to an array.

``format`` is that of compressed_image_transport, ``<encoding>; <codec> compressed <target>``
(``rgb8; jpeg compressed bgr8``), or of other publishers only the codec (``jpeg``, ``png``).
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from diffphyscam_ros.calibration.encodings import BAYER, check_encoding, LAYOUTS, Pixels
from diffphyscam_ros.calibration.errors import CalibrationError

_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
CODECS = ('jpeg', 'png')


class CompressedMessage(Protocol):
    """sensor_msgs/CompressedImage of ROS 1 or 2."""

    format: str
    data: Pixels


def codec_of(data: bytes) -> str:
    """Return 'jpeg', 'png', or '' by the first bytes, which are surer than the format."""
    if data.startswith(_JPEG_START):
        return 'jpeg'
    return 'png' if data.startswith(_PNG_START) else ''


def recorded_encoding(text: str) -> str:
    """Return the encoding that a format string names for the picture before compression."""
    first = text.split(';')[0].strip()
    return first if ';' in text else ''


def decode_compressed(message: CompressedMessage, place: str) -> tuple[Pixels, str, bool]:
    """Return the pixels of a CompressedImage, their canonical encoding, and whether JPEG.

    :raises CalibrationError: for another codec, a depth picture, or bytes that end too early.
    """
    data = np.frombuffer(message.data, np.uint8)
    original = recorded_encoding(message.format)
    if original and original not in LAYOUTS:
        check_encoding(original, place)
    if 'compressedDepth' in message.format:
        check_encoding('32FC1', place)
    head, tail = data[:16].tobytes(), data[-4096:].tobytes().rstrip(b'\0')[-64:]
    codec = codec_of(head)
    if not codec:
        raise CalibrationError(
            f'codec of {place} (format {message.format!r}, first bytes)',
            head[:8].hex(' '),
            allowed=', '.join(CODECS),
            remedy='record the raw topic, or compressed as jpeg or png',
        )
    # OpenCV fills what is missing with grey and says so only on the terminal
    end = _JPEG_END if codec == 'jpeg' else _PNG_END
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if end in tail else None
    if pixels is None:
        raise CalibrationError(
            f'data of {place}',
            f'{data.size} bytes of {codec}',
            allowed='a complete file',
            remedy='the frame is damaged',
        )
    encoding = _encoding(pixels, original)
    if pixels.ndim == 3:
        pixels = np.ascontiguousarray(pixels[..., 2::-1])  # OpenCV: blue first, alpha last
    return pixels, encoding, codec == 'jpeg'


def _encoding(pixels: Pixels, original: str) -> str:
    """Return the canonical encoding of what OpenCV decoded."""
    bits = 8 * pixels.dtype.itemsize
    if pixels.ndim == 3:
        return f'rgb{bits}'
    if original in BAYER:
        return f'{original.rstrip("0123456789")}{bits}'
    return f'mono{bits}'
