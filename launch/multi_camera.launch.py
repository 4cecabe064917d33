# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Several cameras, each in a namespace of its own: ``cameras:=left,right`` and so on."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

CAMERA = Path(__file__).resolve().parent / 'camera.launch.py'

# Passed on to every camera, with what they mean here.
COMMON = {
    'use_sim_time': ('false', 'true: follow /clock'),
    'log_level': ('info', 'least severity of log messages: debug, info, warn, error, fatal'),
    'device': ('', 'where to render: auto, cpu, cuda or cuda:N'),
    'calibration_file': ('', 'sensor model of every camera: a file, a URL, or a preset'),
    'scene_file': ('', 'scene that every camera shows: a file or a URL'),
    'world_frame': ('', 'frame in which the scene stands; world by default'),
    'publish_optical_tf': ('', 'true: publish <camera>_link to <camera>_optical_frame'),
}


def cameras(context: LaunchContext) -> list[GroupAction]:
    """Return one camera for each name, with its own parameter file where there is one."""
    names = [n.strip() for n in LaunchConfiguration('cameras').perform(context).split(',')]
    if not all(names) or len(set(names)) != len(names):
        raise ValueError(
            f'cameras:={",".join(names)}: must be different names with commas between them, '
            'as left,right'
        )
    folder = LaunchConfiguration('params_folder').perform(context)
    groups = []
    for name in names:
        own = Path(folder, f'{name}.yaml')
        arguments = {
            'namespace': name,
            'camera_name': name,
            'params_file': str(own) if folder and own.is_file() else '',
            **{argument: LaunchConfiguration(argument) for argument in COMMON},
        }
        include = IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(CAMERA)), launch_arguments=arguments.items()
        )
        # A group keeps the arguments of one camera from the next.
        groups.append(GroupAction([include]))
    return groups


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the cameras."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'cameras',
                default_value='left,right',
                description='names of the cameras, with commas: each is a namespace and a frame',
            ),
            DeclareLaunchArgument(
                'params_folder',
                default_value='',
                description='folder with a parameter file <name>.yaml for each camera',
            ),
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in COMMON.items()
            ),
            OpaqueFunction(function=cameras),
        ]
    )
