# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From the bytes of ``sensor_msgs/Image`` to an array: every encoding that holds brightness.

The names are those of sensor_msgs/image_encodings. What comes out has one of the canonical
encodings of ``RecordedFrame``: red, green, blue in this order, no alpha, native byte order.
"""

from __future__ import annotations

from dataclasses import dataclass
import sys
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.errors import CalibrationError

Pixels = npt.NDArray[Any]

PATTERNS = ('rggb', 'bggr', 'gbrg', 'grbg')
BAYER = tuple(f'bayer_{pattern}{bits}' for bits in (8, 16) for pattern in PATTERNS)
CANONICAL = ('mono8', 'mono16', 'rgb8', 'rgb16', *BAYER)
"""What ``RecordedFrame.encoding`` can be."""


@dataclass(frozen=True)
class Layout:
    """How an encoding lays out a row.

    :param channels: numbers for each pixel.
    :param dtype: of numpy, without byte order.
    :param order: indices of the red, green and blue channel; None = it is no colour picture.
    :param canonical: encoding after conversion.
    """

    channels: int
    dtype: str
    order: tuple[int, int, int] | None
    canonical: str


_RGB, _BGR = (0, 1, 2), (2, 1, 0)
LAYOUTS: dict[str, Layout] = {
    'mono8': Layout(1, 'u1', None, 'mono8'),
    'mono16': Layout(1, 'u2', None, 'mono16'),
    'rgb8': Layout(3, 'u1', _RGB, 'rgb8'),
    'bgr8': Layout(3, 'u1', _BGR, 'rgb8'),
    'rgba8': Layout(4, 'u1', _RGB, 'rgb8'),
    'bgra8': Layout(4, 'u1', _BGR, 'rgb8'),
    'rgb16': Layout(3, 'u2', _RGB, 'rgb16'),
    'bgr16': Layout(3, 'u2', _BGR, 'rgb16'),
    'rgba16': Layout(4, 'u2', _RGB, 'rgb16'),
    'bgra16': Layout(4, 'u2', _BGR, 'rgb16'),
    # cv_bridge publishes pictures of OpenCV so.
    '8UC1': Layout(1, 'u1', None, 'mono8'),
    '8UC3': Layout(3, 'u1', _BGR, 'rgb8'),
    '8UC4': Layout(4, 'u1', _BGR, 'rgb8'),
    **{name: Layout(1, f'u{1 if name[-1] == "8" else 2}', None, name) for name in BAYER},
}
"""The encodings with one number for each channel."""

# Two bytes for each pixel, colour shared by two; and semi-planar ones: luma, then chroma.
PACKED_YUV = {
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2,
    'yuyv': cv2.COLOR_YUV2RGB_YUY2,
}
PLANAR_YUV = {'nv21': cv2.COLOR_YUV2RGB_NV21, 'nv12': cv2.COLOR_YUV2RGB_NV12}

_NO_BRIGHTNESS = (
    'it does not hold the digital values of a camera (depth, disparity, floats); choose the topic '
    'of the picture, or state --encoding if the driver names mono16 so'
)


class ImageMessage(Protocol):
    """sensor_msgs/Image of ROS 1 or 2."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Pixels


def supported_encodings() -> tuple[str, ...]:
    """Return the names of all encodings that can be read."""
    return (*LAYOUTS, *PACKED_YUV, *PLANAR_YUV)


def check_encoding(name: str, place: str) -> None:
    """Refuse an encoding that cannot be read.

    :param place: which topic, for the message.
    :raises CalibrationError: naming those that can.
    """
    if name in LAYOUTS or name in PACKED_YUV or name in PLANAR_YUV:
        return
    remedy = 'record the topic in one of these'
    if name[:2] in ('32', '64', '16') or name.startswith('8S'):
        remedy = _NO_BRIGHTNESS
    raise CalibrationError(
        f'encoding of {place}', name, allowed=', '.join(supported_encodings()), remedy=remedy
    )


def decode_image(message: ImageMessage, place: str, encoding: str = '') -> tuple[Pixels, str]:
    """Return the pixels of an Image and their canonical encoding.

    :param place: which frame, for messages.
    :param encoding: read it so, whatever the message says.
    :returns: (H, W) or (H, W, 3), uint8 or uint16, and one of ``CANONICAL``. Without conversion
        the array is a view of the message.
    :raises CalibrationError: for an unknown encoding, or a size that contradicts the bytes.
    """
    name = encoding or message.encoding
    check_encoding(name, place)
    layout = LAYOUTS.get(name)
    data = np.frombuffer(message.data, np.uint8)
    if layout is None:
        return _decode_yuv(data, message, name, place), 'rgb8'
    kind = np.dtype(layout.dtype)
    rows = _rows(data, message, layout.channels * kind.itemsize, name, place)
    if kind.itemsize == 2:
        rows = rows.view('>u2' if message.is_bigendian else '<u2')
        if bool(message.is_bigendian) != (sys.byteorder == 'big'):
            rows = rows.astype(np.uint16)
    pixels = rows
    if layout.channels > 1:
        pixels = rows.reshape(message.height, message.width, layout.channels)
        if layout.channels == 4 or layout.order == _BGR:
            pixels = np.ascontiguousarray(pixels[..., layout.order])
    return pixels, layout.canonical


def _rows(data: Pixels, message: ImageMessage, size: int, name: str, place: str) -> Pixels:
    """Return the rows without their padding: (H, W·size) bytes."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    used = width * size
    if height < 1 or width < 1:
        raise CalibrationError(f'size of {place}', f'{width}x{height}', allowed='at least 1x1')
    if step < used:
        raise CalibrationError(
            f'step of {place}',
            step,
            allowed=f'at least {used} bytes, {width} pixels of {name}',
            remedy='the driver fills the message wrongly, or the encoding is another: --encoding',
        )
    # some drivers leave the padding of the last row out
    if data.size not in (step * height, step * (height - 1) + used):
        raise CalibrationError(
            f'data of {place}',
            f'{data.size} bytes',
            allowed=f'{step * height} bytes: step {step} times height {height}',
            remedy='the frame is damaged or its driver fills the message wrongly',
        )
    if data.size < step * height:
        data = np.concatenate([data, np.zeros(step * height - data.size, np.uint8)])
    rows = data.reshape(height, step)
    return rows if step == used else np.ascontiguousarray(rows[:, :used])


def _decode_yuv(data: Pixels, message: ImageMessage, name: str, place: str) -> Pixels:
    """Return red, green, blue of a YUV picture (BT.601, as OpenCV converts it)."""
    height, width = int(message.height), int(message.width)
    if width % 2 or (name in PLANAR_YUV and height % 2):
        raise CalibrationError(f'size of {place}', f'{width}x{height}', allowed=f'even for {name}')
    if name in PACKED_YUV:
        rows = _rows(data, message, 2, name, place).reshape(height, width, 2)
        return cv2.cvtColor(rows, PACKED_YUV[name])
    step = max(int(message.step), width)
    expected = step * height * 3 // 2
    if data.size != expected:
        raise CalibrationError(
            f'data of {place}',
            f'{data.size} bytes',
            allowed=f'{expected} bytes: {name} of {step}x{height}',
            remedy='the frame is damaged or its driver fills the message wrongly',
        )
    rows = np.ascontiguousarray(data.reshape(height * 3 // 2, step)[:, :width])
    return cv2.cvtColor(rows, PLANAR_YUV[name])
