# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What of masked and blended surfaces stops light.

A mask stops light where it shows something. A blended surface has no shades of shadow: it stops
light where its alpha is at least ``SOLID``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.shadow_mask import PANE_ALPHA, PANE_CUTOFF
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.materials import ALPHA, BASE_TEXTURE
from diffphyscam_ros.scene.types import Instance, Scene

SOLID = 0.5
"""Alpha from which a blended surface casts a shadow."""


def has_pane(instance: Instance) -> bool:
    """Return whether a texture decides what of an instance stops light."""
    texture = instance.material.base_color_texture
    return (
        instance.material.alpha_mode != 'opaque'
        and texture is not None
        and texture.image.shape[-1] == 4
        and instance.mesh.uvs is not None
    )


def least_alpha(instance: Instance) -> float:
    """Return the alpha from which an instance that is not opaque stops light."""
    material = instance.material
    return SOLID if material.alpha_mode == 'blend' else float(material.alpha_cutoff)


def casts_nothing(scene: Scene) -> list[bool]:
    """Return which of a scene's instances are left out: all of each is let through."""

    def lets_through(instance: Instance) -> bool:
        if instance.material.alpha_mode == 'opaque' or has_pane(instance):
            return False
        alpha = float(torch.as_tensor(instance.material.alpha).detach())
        return alpha < least_alpha(instance)

    return [lets_through(instance) for instance in scene.instances]


def pack_panes(scene: Scene, frame: Frame) -> tuple[npt.NDArray[Any], ...]:
    """Return the tables of ``kernels/shadow_mask.py``.

    They are for each instance (I, 3) int32 offset, width and height of the picture whose alpha
    decides, all 0 where none does; and (I, 2) float32 the factor of that alpha, and the least
    product that stops light. Then (V, 2) float32 texture coordinates and the (N, 4) float32 atlas.
    """
    count = len(scene.instances)
    pictures, alphas = np.zeros((count, 3), np.int32), np.zeros((count, 2), np.float32)
    with_pane = [i for i, instance in enumerate(scene.instances) if has_pane(instance)]
    if not with_pane:
        return pictures, alphas, np.zeros((1, 2), np.float32), np.zeros((1, 4), np.float32)
    materials = frame.materials
    textures = materials.flags[with_pane, BASE_TEXTURE].long()
    pictures[with_pane] = materials.levels[textures, 0].cpu().numpy()
    alphas[with_pane, PANE_ALPHA] = materials.factors.detach()[with_pane, ALPHA].cpu().numpy()
    alphas[with_pane, PANE_CUTOFF] = [least_alpha(scene.instances[i]) for i in with_pane]
    uvs, atlas = frame.geometry.uvs.detach(), materials.atlas.detach()
    return pictures, alphas, uvs.cpu().float().numpy(), atlas.cpu().float().numpy()
