# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the camera gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffphyscam_ros.camera.settings import CameraSettings


@dataclass(frozen=True)
class Frame:
    """One picture and what it was taken with.

    :param image: (..., H, W, 3) digital values in [0, 1]; of a mosaic without the 'color' stage
        (..., H, W, 1), and without the 'response' stage what the last stage gives.
    :param settings: the snapshot of settings it was taken with.
    :param frame_number: with the camera's seed it determines the noise of this frame.
    :param stamp: seconds, or None where the caller keeps no clock.
    :param raw: (..., H, W) digital values of the photosites, in [0, 1] and black level included;
        None where the sensor has no mosaic.
    """

    image: torch.Tensor
    settings: CameraSettings
    frame_number: int
    stamp: float | None = None
    raw: torch.Tensor | None = None
