# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Calibrate a camera from recorded bags.

``ros2 launch diffphyscam_ros calibrate.launch.py bags:=boards,flat target:=chessboard:8x6:0.025``
"""

from __future__ import annotations

from pathlib import Path
import runpy

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CAMERA = Path(__file__).resolve().parent / 'camera.launch.py'

# Parameters of the node that are arguments of the same name; an empty one is not passed on.
PARAMETERS = {
    'bags': 'bags of one camera, with commas between them',
    'out': 'folder for the files; the current one by default',
    'name': 'name of the camera and of its files',
    'target': 'the board, as charuco:11x8:0.02:0.015:DICT_5X5_100',
    'roles': 'what bags were filmed for, as flat.mcap=flat,dark.mcap=dark; recognised by default',
    'sensor': 'what is known of the camera: a preset or a sensor model file',
    'image_topic': 'needed where the bags have several',
    'settings': 'the only source of settings to take',
    'exposure_csv': 'table of the settings of each frame',
    'driver': 'whose parameter events to read; recognised by default',
    'driver_node': 'full name of the node of the driver',
    'tolerance': 'of stamps, s',
    'encoding': 'of the pixels, whatever the messages say',
    'bit_depth': '10, 12, 14 in the low bits of 16; recognised by default',
    'edge_distance': 'm along z, of the one slanted edge in frames of role focus',
    'constants': 'settings that never changed, as exposure_us=5000,gain_db=0',
    'model': 'lens model: plumb_bob, rational_polynomial, equidistant or auto',
    'fixed': 'distortion coefficients that stay 0, as k3',
    'max_error': 'threshold in px: rms of corners in views that were held out',
    'joint': 'false: do not refine what boards show together, from their pictures',
    'seed': 'of what the joint refinement draws by chance',
    'accept_weak': 'true: parameters with little to go by pass too',
    'require': 'stages that must succeed, as intrinsics,noise',
    'dry_run': 'true: only look what the bags allow',
    'cache': 'false: look for every board again',
    'kalibr': 'true: also camchain.yaml of Kalibr',
    'tum': 'true: also pcalib.txt and vignette.png of TUM',
    'commit': 'namespace of a running camera that gets K if the calibration passes',
}
TYPES = {
    **dict.fromkeys(('accept_weak', 'cache', 'dry_run', 'joint', 'kalibr', 'tum'), bool),
    **dict.fromkeys(('edge_distance', 'max_error', 'tolerance'), float),
    **dict.fromkeys(('bit_depth', 'seed'), int),
}


def calibration(context: LaunchContext) -> list[Node]:
    """Return the node with what the arguments say."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=TYPES.get(name, str))
        for name in PARAMETERS
        if LaunchConfiguration(name).perform(context)
    }
    program = runpy.run_path(str(CAMERA))['program']
    return [Node(**program('calibration_node'), parameters=[given], output='screen')]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value='', description=description)
                for name, description in PARAMETERS.items()
            ),
            OpaqueFunction(function=calibration),
        ]
    )
