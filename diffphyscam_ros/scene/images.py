# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Picture files as linear float images, and textures of bounded size."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any
import warnings

import cv2
import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.types import Texture

MAX_TEXTURE_SIZE = 2048
"""px: as float32 a texture of this size takes 50 MB, one of 4096 px 200 MB."""

_SRGB_TABLE: npt.NDArray[np.float32] = (
    srgb_to_linear(torch.arange(256, dtype=torch.float64) / 255.0).numpy().astype(np.float32)
)


def read_bytes(path: Path, what: str) -> bytes:
    """Read a whole file.

    :param what: what the file is, for the message.
    :raises SceneError: where it is missing, a folder, unreadable or empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SceneError(f'{what} {path}: there is no such file') from error
    except IsADirectoryError as error:
        raise SceneError(f'{what} {path} is a folder: name a file in it') from error
    except OSError as error:
        raise SceneError(f'{what} {path} cannot be read: {error.strerror or error}') from error
    if not data:
        raise SceneError(f'{what} {path} is empty (0 bytes)')
    return data


def decode_linear(
    data: bytes, source: str, srgb: bool, alpha: bool = False
) -> npt.NDArray[np.float32]:
    """Decode a picture to linear RGB (H, W, 3) float32; grey is repeated.

    :param source: the file's name, for the message.
    :param srgb: 8 and 16 bit values are sRGB codes (colours) rather than plain numbers (normals,
        roughness). Floating-point files (.hdr) are linear already.
    :param alpha: keep the file's alpha, if it has one, as a fourth channel; it is always linear.
    :raises SceneError: where it is no picture that OpenCV reads.
    """
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise SceneError(f'{source} cannot be decoded as a picture: {error}') from error
    if pixels is None or pixels.size == 0:
        raise SceneError(
            f'{source} cannot be decoded as a picture: it is broken, or not one of the formats '
            'that OpenCV reads (png, jpg, webp, bmp, tiff, hdr)'
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] < 3:  # grey, or grey with alpha
        rgb = np.repeat(pixels[..., :1], 3, axis=2)
    else:
        rgb = pixels[..., 2::-1]
    linear = _linear(rgb, srgb)
    if alpha and pixels.shape[2] in (2, 4):
        linear = np.concatenate([linear, _linear(pixels[..., -1:], False)], axis=2)
    return np.ascontiguousarray(linear)


def _linear(codes: npt.NDArray[Any], srgb: bool) -> npt.NDArray[np.float32]:
    """Return codes of 8, 16 bit or float as linear numbers."""
    if codes.dtype == np.uint8:
        table = _SRGB_TABLE if srgb else np.linspace(0, 1, 256, dtype=np.float32)
        return table[codes]
    if codes.dtype == np.uint16:
        values = torch.from_numpy(codes.astype(np.float32)) / 65535.0
        linear: npt.NDArray[np.float32] = (srgb_to_linear(values) if srgb else values).numpy()
        return linear
    return codes.astype(np.float32)


def make_texture(
    image: npt.NDArray[np.float32], source: str, max_size: int = MAX_TEXTURE_SIZE
) -> Texture:
    """Wrap a linear image (H, W, 3 or 4), shrunk by area average to ``max_size`` px a side."""
    height, width = image.shape[:2]
    largest = max(height, width)
    if largest > max_size:
        new_width = max(1, round(width * max_size / largest))
        new_height = max(1, round(height * max_size / largest))
        warnings.warn(
            f'texture {source} of {width}x{height} px is stored as {new_width}x{new_height} to '
            f'save memory: raise max_texture_size ({max_size}) to keep it',
            SceneWarning,
            stacklevel=2,
        )
        resized: Any = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
        image = resized
    return Texture(torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)))


class TextureLoader:
    """Reads textures of one scene: each file once, and a missing one is warned of once.

    :param max_size: px a side, see :func:`make_texture`.
    """

    def __init__(self, max_size: int = MAX_TEXTURE_SIZE) -> None:
        if max_size < 1:
            raise SceneError(f'max_texture_size = {max_size} px: must be at least 1')
        self.max_size = max_size
        self._textures: dict[tuple[str, bool, bool], Texture | None] = {}

    def file(self, path: Path, srgb: bool, alpha: bool = False) -> Texture | None:
        """Return the texture in a file, or None (with a warning) where there is none.

        :param srgb, alpha: see :func:`decode_linear`.
        """
        key = (str(path), srgb, alpha)
        if key not in self._textures:
            self._textures[key] = self._load(lambda: read_bytes(find_file(path), 'texture'), key)
        return self._textures[key]

    def data(self, data: bytes, source: str, srgb: bool, alpha: bool = False) -> Texture | None:
        """Return the texture in bytes that stand inside another file."""
        key = (source, srgb, alpha)
        if key not in self._textures:
            self._textures[key] = self._load(lambda: data, key)
        return self._textures[key]

    def _load(self, read: Any, key: tuple[str, bool, bool]) -> Texture | None:
        source, srgb, alpha = key
        try:
            return make_texture(decode_linear(read(), source, srgb, alpha), source, self.max_size)
        except SceneError as error:
            warnings.warn(f'{error}; the plain colour is used', SceneWarning, stacklevel=4)
            return None


def find_file(path: Path) -> Path:
    """Return the path, or one that differs in upper and lower case only, as Windows writes it."""
    if path.exists() or not path.parent.is_dir():
        return path
    wanted = path.name.lower()
    return next((item for item in path.parent.iterdir() if item.name.lower() == wanted), path)


def decode_data_uri(uri: str, source: str) -> bytes:
    """Return the bytes of a ``data:`` URI (RFC 2397) in base64."""
    head, _, body = uri.partition(',')
    if not head.endswith(';base64'):
        raise SceneError(
            f'{source}: a data URI must be base64, this one begins with {head[:60]!r}'
        )
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise SceneError(f'{source}: a data URI holds broken base64 ({error})') from error
