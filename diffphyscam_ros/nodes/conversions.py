# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Between arrays and sensor_msgs: pictures, depth, calibration.

``Image.data`` is always an ``array.array('B')``: rclpy hands it on as it is, where it checks
every byte of anything else.
"""

from __future__ import annotations

import array
from collections.abc import Callable
import sys

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from diffphyscam_ros.camera.encodings import (
    CountedPixels,
    Encoding,
    encoding_named,
    OUTPUT_ENCODINGS,
    Pixels,
    Statistics,
)
from diffphyscam_ros.camera.fast_path import write_pixels
from diffphyscam_ros.nodes.calibration_info import CalibrationInfo

__all__ = [
    'DECODABLE',
    'OUTPUT_ENCODINGS',
    'Encoding',
    'Statistics',
    'camera_info',
    'decode',
    'empty_image',
    'encode',
    'encode_depth',
    'write_message',
]

DECODABLE = OUTPUT_ENCODINGS | {
    item.name: item
    for item in (
        Encoding('bgr16', 3, 'uint16', blue_first=True),
        Encoding('rgba8', 4, 'uint8'),
        Encoding('bgra8', 4, 'uint8', blue_first=True),
        Encoding('8UC1', 1, 'uint8'),
        Encoding('8UC3', 3, 'uint8'),
        Encoding('16UC1', 1, 'uint16'),
        Encoding('16UC3', 3, 'uint16'),
        Encoding('32FC1', 1, 'float32'),
    )
}


def empty_image(
    height: int, width: int, encoding: Encoding
) -> tuple[Image, npt.NDArray[np.generic]]:
    """Return a message of that size and a (H, W, C) view of its pixels to write into."""
    step = width * encoding.channels * np.dtype(encoding.dtype).itemsize
    message = Image()
    message.height, message.width, message.step = height, width, step
    message.encoding = encoding.name
    message.is_bigendian = int(sys.byteorder == 'big')
    message.data = array.array('B', [0]) * (height * step)
    # Only now: assigning may have copied (ROS 2 Kilted does).
    pixels = np.frombuffer(message.data, dtype=encoding.dtype)
    return message, pixels.reshape(height, width, encoding.channels)


def encode(
    image: npt.NDArray[np.float32],
    encoding: str,
    header: Header | None = None,
    raw: npt.NDArray[np.float32] | None = None,
) -> tuple[Image, Statistics]:
    """Return the message of a picture, and the statistics of what is in it.

    :param image: (H, W, 3) float32 digital values, clamped to [0, 1]; NaN becomes 0.
    :param encoding: one of ``OUTPUT_ENCODINGS``.
    :param raw: (H, W) float32 digital values of the photosites, which a bayer encoding holds in
        place of the picture: their pattern has to be that of the encoding.
    :raises ValueError: for an unknown encoding, or a picture of another shape.
    """
    layout = encoding_named(encoding)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image has shape {image.shape}: must be (height, width, 3)')
    height, width = image.shape[:2]
    values = image
    if layout.bayer != 'none':
        if raw is None or raw.shape != (height, width):
            given = None if raw is None else raw.shape
            raise ValueError(
                f'raw has shape {given}: a {encoding} image is made of (height, width) = '
                f'{(height, width)} photosites; give the raw values of a sensor with a mosaic'
            )
        values = raw

    def write(pixels: Pixels) -> Statistics:
        counted = CountedPixels(pixels, layout)
        write_pixels(np.ascontiguousarray(values, np.float32), counted.target)
        return counted.statistics()

    return write_message(height, width, encoding, write, header)


def write_message(
    height: int,
    width: int,
    encoding: str,
    write: Callable[[Pixels], Statistics],
    header: Header | None = None,
) -> tuple[Image, Statistics]:
    """Return the message of a picture that is written straight into it.

    :param write: is given the pixels (H, W, C) of the message, sets them, and says what is in
        them.
    :raises ValueError: for an unknown encoding.
    """
    message, pixels = empty_image(height, width, encoding_named(encoding))
    statistics = write(pixels)
    if header is not None:
        message.header = header
    return message, statistics


def encode_depth(depth: npt.NDArray[np.float32], header: Header | None = None) -> Image:
    """Return the 32FC1 message of a (H, W) depth map in metres; inf where nothing was hit."""
    height, width = depth.shape
    message, pixels = empty_image(height, width, DECODABLE['32FC1'])
    pixels[..., 0] = depth
    if header is not None:
        message.header = header
    return message


def decode(message: Image) -> npt.NDArray[np.generic]:
    """Return the pixels of a message, (H, W, C), colour in the order red, green, blue(, alpha).

    Row padding and foreign byte order are undone; the values keep their type and scale.

    :raises ValueError: for an unknown encoding, or data that does not fit the stated size.
    """
    layout = DECODABLE.get(message.encoding)
    if layout is None:
        raise ValueError(
            f'encoding {message.encoding!r}: must be one of {", ".join(sorted(DECODABLE))}'
        )
    kind = np.dtype(layout.dtype).newbyteorder('>' if message.is_bigendian else '<')
    row = message.width * layout.channels * kind.itemsize
    if message.step < row or len(message.data) != message.step * message.height:
        raise ValueError(
            f'{message.encoding} image of {message.width}x{message.height}: step '
            f'{message.step} (at least {row}) and {len(message.data)} bytes of data '
            f'({message.step * message.height} expected) do not fit'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(kind).astype(layout.dtype, copy=False)
    pixels = pixels.reshape(message.height, message.width, layout.channels)
    if layout.blue_first:
        pixels = pixels[..., [2, 1, 0, *range(3, layout.channels)]]
    return pixels


def camera_info(calibration: CalibrationInfo, header: Header | None = None) -> CameraInfo:
    """Return the message of a calibration."""
    fx, fy, cx, cy = calibration.k
    message = CameraInfo()
    if header is not None:
        message.header = header
    message.height, message.width = calibration.height, calibration.width
    message.distortion_model = calibration.distortion_model
    message.d = list(calibration.distortion)
    message.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    message.r = list(calibration.rectification)
    message.p = list(calibration.projection)
    return message
