# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera: settings, sensor model, one function a stage, and their composition."""

from diffphyscam_ros.camera.aberration import aberrate
from diffphyscam_ros.camera.capture import capture
from diffphyscam_ros.camera.color import correct_color
from diffphyscam_ros.camera.defocus import circle_of_confusion, defocus
from diffphyscam_ros.camera.demosaic import demosaic
from diffphyscam_ros.camera.distortion import distort, distortion_map
from diffphyscam_ros.camera.exposure import expose
from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.glare import glare
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.lens_models import distort_points, undistort_points
from diffphyscam_ros.camera.mosaic import mosaic
from diffphyscam_ros.camera.noise import add_noise
from diffphyscam_ros.camera.physical_camera import PhysicalCamera
from diffphyscam_ros.camera.presets import preset_names
from diffphyscam_ros.camera.quantization import quantize
from diffphyscam_ros.camera.response import respond
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.shutter import expose_over_time, shutter_weights, subframe_times
from diffphyscam_ros.camera.stages import LENS_STAGES, SENSOR_STAGES, STAGES
from diffphyscam_ros.camera.vignetting import pupil_vignetting, vignette

__all__ = [
    'LENS_STAGES',
    'SENSOR_STAGES',
    'STAGES',
    'CameraSettings',
    'Frame',
    'Intrinsics',
    'PhysicalCamera',
    'SensorModel',
    'aberrate',
    'add_noise',
    'capture',
    'circle_of_confusion',
    'correct_color',
    'defocus',
    'demosaic',
    'distort',
    'distort_points',
    'distortion_map',
    'expose',
    'expose_over_time',
    'glare',
    'mosaic',
    'preset_names',
    'pupil_vignetting',
    'quantize',
    'respond',
    'shutter_weights',
    'subframe_times',
    'undistort_points',
    'vignette',
]
