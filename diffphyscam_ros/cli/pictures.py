# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reading and writing pictures, atomically."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch


def read_color(path: str | Path) -> torch.Tensor:
    """Read an 8 or 16 bit sRGB picture, or a linear float one, as linear RGB (H, W, 3).

    :raises OSError: if the file is missing or no picture.
    """
    image = _read(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    rgb = np.ascontiguousarray(image[..., ::-1])
    if rgb.dtype.kind == 'f':
        return torch.from_numpy(rgb.astype(np.float32))
    encoded = torch.from_numpy(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max)
    # IEC 61966-2-1
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def read_depth(path: str | Path, scale: float) -> torch.Tensor:
    """Read a depth picture (PNG, EXR, TIFF or .npy) as metres (H, W); 0 = not measured.

    :param scale: metres for each unit of the file.
    :raises OSError: if the file is missing or no picture.
    :raises ValueError: if it has more than one channel.
    """
    if Path(path).suffix == '.npy':
        depth = np.load(path)
    else:
        depth = _read(path, cv2.IMREAD_UNCHANGED)
    if depth.ndim != 2:
        raise ValueError(f'{path} has shape {depth.shape}: a depth picture has one channel')
    return torch.from_numpy(depth.astype(np.float32) * np.float32(scale))


def write_picture(path: str | Path, image: torch.Tensor) -> None:
    """Write digital values in [0, 1], (H, W, 3), as an 8 bit picture; .npy keeps the floats.

    The values are stored as the camera gives them: its response is its only tone curve.
    """
    path = Path(path)
    if path.suffix == '.npy':
        temporary = path.with_name(f'.{path.name}.{os.getpid()}.npy')
        np.save(temporary, image.numpy())
    else:
        temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
        levels = (image * 255.0).round().clamp(0, 255).to(torch.uint8).numpy()
        try:
            written = cv2.imwrite(str(temporary), np.ascontiguousarray(levels[..., ::-1]))
        except cv2.error as error:
            raise ValueError(
                f'{path}: cannot write this format; use .png, .jpg or .npy'
            ) from error
        if not written:
            raise OSError(f'{path}: cannot be written; does its folder exist?')
    os.replace(temporary, path)


def _read(path: str | Path, flags: int) -> np.ndarray:
    if not Path(path).is_file():
        raise OSError(f'{path}: no such file')
    image = cv2.imread(str(path), flags)
    if image is None:
        raise OSError(f'{path}: not a picture that OpenCV can read')
    return np.asarray(image)
