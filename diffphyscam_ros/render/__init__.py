# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scene + pose + intrinsics → radiance, depth, normals, instance ids."""

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.render.errors import DeviceError
from diffphyscam_ros.render.exposure import expose_scene, Exposure, photograph
from diffphyscam_ros.render.image_motion import MovingScene
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.renderer import Renderer

__all__ = [
    'DeviceError',
    'Exposure',
    'Intrinsics',
    'MovingScene',
    'Radiance',
    'Renderer',
    'expose_scene',
    'photograph',
]
