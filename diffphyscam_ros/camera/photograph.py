# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pictures as bytes: what a camera driver delivers, without floats between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera import fast_path
from diffphyscam_ros.camera.encodings import (
    CountedPixels,
    Encoding,
    encoding_named,
    Pixels,
    Statistics,
)
from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings


@dataclass(frozen=True)
class Photograph:
    """One picture as numbers of an encoding, and what it was taken with.

    :param pixels: (H, W, C) uint8, uint16 or float32.
    :param encoding: one of ``OUTPUT_ENCODINGS``.
    :param settings: the snapshot of settings it was taken with.
    :param frame_number: with the camera's seed it determines the noise of this frame.
    :param statistics: of the digital values that were written.
    """

    pixels: Pixels
    encoding: str
    settings: CameraSettings
    frame_number: int
    statistics: Statistics


def pixels_for(height: int, width: int, encoding: str, out: Pixels | None) -> Pixels:
    """Return where a picture goes: ``out``, or new memory.

    :raises ValueError: where ``out`` does not fit the picture, or for an unknown encoding.
    """
    layout = encoding_named(encoding)
    shape, kind = (height, width, layout.channels), np.dtype(layout.dtype)
    if out is None:
        return np.empty(shape, kind)
    if out.shape != shape or out.dtype != kind or not out.flags.c_contiguous:
        raise ValueError(
            f'out is {out.shape} {out.dtype}: must be contiguous {shape} {kind} for a '
            f'{encoding} picture'
        )
    return out


def write_sensed(
    irradiance: torch.Tensor,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    seed: int,
    frame_number: int,
    soft_clamp: bool,
    encoding: str,
    pixels: Pixels,
) -> Statistics:
    """Read out the sensor straight into pixels: for a picture that the fused kernels serve.

    :param irradiance: (H, W, 3) float32 on the CPU, finite.
    :param stages: those of the sensor, with 'response'.
    :raises ValueError: for an encoding that this sensor cannot give.
    """
    layout = encoding_named(encoding)
    _check(layout, stages, _mosaic_of(sensor, stages))
    counted = CountedPixels(pixels, layout)
    operands = (settings, sensor, stages, seed, frame_number, soft_clamp)
    # A mosaic that is not developed is its photosites' values, whatever the encoding.
    raw = layout.bayer != 'none' or 'color' not in stages
    fast_path.read_out_pixels(irradiance, *operands, counted.target, raw)
    return counted.statistics()


def write_frame(
    frame: Frame, sensor: SensorModel, stages: tuple[str, ...], encoding: str, pixels: Pixels
) -> Statistics:
    """Write a picture of any making: the slow way to the same pixels.

    :raises ValueError: for an encoding that this sensor cannot give, or a batch.
    """
    layout = encoding_named(encoding)
    _check(layout, stages, _mosaic_of(sensor, stages))
    values = frame.image
    if layout.bayer != 'none' or values.shape[-1] == 1:
        values = values[..., 0] if frame.raw is None else frame.raw
    counted = CountedPixels(pixels, layout)
    digital: npt.NDArray[np.float32] = values.detach().float().cpu().numpy()
    fast_path.write_pixels(digital, counted.target)
    return counted.statistics()


def _mosaic_of(sensor: SensorModel, stages: tuple[str, ...]) -> str:
    return sensor.bayer_pattern if 'mosaic' in stages else 'none'


def _check(layout: Encoding, stages: tuple[str, ...], bayer: str) -> None:
    """Refuse what the stages cannot give."""
    if 'response' not in stages:
        raise ValueError(
            "without the 'response' stage there are electrons and no digital values: call the "
            'camera or its sense() instead'
        )
    if layout.bayer not in ('none', bayer):
        raise ValueError(
            f'encoding {layout.name!r}: the mosaic of this camera is {bayer!r} '
            '(sensor.bayer_pattern and the mosaic stage)'
        )
    if bayer != 'none' and 'color' not in stages and layout.channels == 3:
        raise ValueError(
            f'encoding {layout.name!r}: without the color stage a mosaic has one channel; use a '
            f'bayer_{bayer} or a mono encoding'
        )
