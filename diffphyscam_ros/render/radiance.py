# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the renderer gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Radiance:
    """The light that reaches a pinhole at each pixel, and where it comes from.

    Of a batch of views everything has a dimension (B,) in front.

    :param color: (H, W, 3) linear radiance, 1.0 = a white diffuser under the nominal light.
    :param depth: (H, W) z-depth in metres, inf where nothing was hit.
    :param normal: (H, W, 3) unit shading normal in the optical frame, 0 where nothing was hit.
    :param instance: (H, W) int32, 1 + index into ``Scene.instances``, 0 where nothing was hit.
    """

    color: torch.Tensor
    depth: torch.Tensor
    normal: torch.Tensor
    instance: torch.Tensor
