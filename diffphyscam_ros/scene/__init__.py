# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the camera looks at: meshes, materials, lights, environments, and the files they are in."""

from __future__ import annotations

from diffphyscam_ros.scene.colors import linear_to_srgb, srgb_to_linear
from diffphyscam_ros.scene.environment import (
    constant_environment,
    environment_radiance,
    evaluate_irradiance,
    irradiance,
    load_environment,
    prefilter,
    prefilter_lookup,
)
from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.load import default_light, load_mesh, load_scene
from diffphyscam_ros.scene.meshes import smooth_normals
from diffphyscam_ros.scene.prefilter import blur_position
from diffphyscam_ros.scene.primitives import box, capsule, cylinder, plane, sphere
from diffphyscam_ros.scene.procedural import checkerboard, checkerboard_target
from diffphyscam_ros.scene.robot import Joint, Link, Mimic, Robot
from diffphyscam_ros.scene.transforms import (
    interpolate_pose,
    look_at,
    pose_from_quaternion,
    pose_from_rpy,
    slerp,
)
from diffphyscam_ros.scene.types import (
    DirectionalLight,
    Environment,
    Instance,
    Light,
    Material,
    Mesh,
    PointLight,
    Scene,
    SpotLight,
    Texture,
)
from diffphyscam_ros.scene.urdf import load_robot

__all__ = [
    'DirectionalLight',
    'Environment',
    'Instance',
    'Joint',
    'Light',
    'Link',
    'Material',
    'Mesh',
    'Mimic',
    'PointLight',
    'Robot',
    'Scene',
    'SceneError',
    'SceneWarning',
    'SpotLight',
    'Texture',
    'blur_position',
    'box',
    'capsule',
    'checkerboard',
    'checkerboard_target',
    'constant_environment',
    'cylinder',
    'default_light',
    'environment_radiance',
    'evaluate_irradiance',
    'interpolate_pose',
    'irradiance',
    'linear_to_srgb',
    'load_environment',
    'load_mesh',
    'load_robot',
    'load_scene',
    'look_at',
    'plane',
    'pose_from_quaternion',
    'pose_from_rpy',
    'prefilter',
    'prefilter_lookup',
    'slerp',
    'smooth_normals',
    'sphere',
    'srgb_to_linear',
]
