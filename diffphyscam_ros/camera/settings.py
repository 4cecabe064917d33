# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a photographer turns."""

from __future__ import annotations

from dataclasses import dataclass, fields
import math

import torch

from diffphyscam_ros.camera.intrinsics import Scalar


@dataclass(frozen=True)
class CameraSettings:
    """The settings of one exposure (CAMERA_MODEL.md, table 1).

    Every field is a number or a tensor of shape () or (B,), and the picture is differentiable
    in each. One immutable snapshot belongs to one frame.

    :param aperture: f-number N = focal length / aperture diameter, > 0.
    :param exposure_time: t in seconds, > 0.
    :param iso: S, > 0; 100 is 0 dB, gain in dB = 20·log10(S / 100).
    :param focal_length: f in metres, > 0.
    :param focus_distance: U in metres, > f, measured along z; ``math.inf`` focuses at infinity.
    :raises ValueError: for a value out of range or not a number.
    """

    aperture: Scalar = 2.8
    exposure_time: Scalar = 0.01
    iso: Scalar = 100.0
    focal_length: Scalar = 0.004
    focus_distance: Scalar = math.inf

    def __post_init__(self) -> None:
        """Check every field, naming what is wrong and what is allowed."""
        for field in fields(self):
            value = torch.as_tensor(getattr(self, field.name)).detach()
            if value.ndim > 1:
                raise ValueError(
                    f'{field.name} has shape {tuple(value.shape)}: must be () or (B,)'
                )
            good = (value > 0) & ~value.isnan()
            if field.name != 'focus_distance':
                good = good & ~value.isinf()
            if not bool(good.all()):
                raise ValueError(f'{field.name} = {value.tolist()}: must be > 0 and finite')
        focal = torch.as_tensor(self.focal_length).detach()
        if not bool((torch.as_tensor(self.focus_distance).detach() > focal).all()):
            raise ValueError(
                f'focus_distance = {self.focus_distance} m: must be greater than the focal '
                f'length {self.focal_length} m; a lens cannot focus nearer'
            )
