# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A camera that looks at a small moving world; needs nothing else, and no GPU."""

from __future__ import annotations

from pathlib import Path
import runpy

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# share/diffphyscam_ros or the source tree: launch/, config/ and examples/ lie side by side.
SHARE = Path(__file__).resolve().parents[1]
CAMERA = SHARE / 'launch' / 'camera.launch.py'


def world(context: LaunchContext) -> list[Node]:
    """Return the node that moves the world and the camera."""
    program = runpy.run_path(str(CAMERA))['program']
    node = Node(
        **program('demo_scene_node'),
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            {
                'camera': LaunchConfiguration('name'),
                'speed': ParameterValue(LaunchConfiguration('speed'), value_type=float),
                'use_sim_time': ParameterValue(
                    LaunchConfiguration('use_sim_time'), value_type=bool
                ),
            }
        ],
        output='screen',
    )
    return [node]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the camera, its world, and RViz if asked for."""
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(CAMERA)),
        launch_arguments={
            'namespace': LaunchConfiguration('namespace'),
            'name': LaunchConfiguration('name'),
            'use_sim_time': LaunchConfiguration('use_sim_time'),
            'log_level': LaunchConfiguration('log_level'),
            'device': LaunchConfiguration('device'),
            'calibration_file': LaunchConfiguration('calibration_file'),
            'scene_file': str(SHARE / 'examples' / 'scenes' / 'demo.yaml'),
            'params_file': str(SHARE / 'config' / 'demo_camera.yaml'),
        }.items(),
    )
    rviz = ExecuteProcess(
        cmd=['rviz2', '-d', str(SHARE / 'config' / 'demo.rviz')],
        condition=IfCondition(LaunchConfiguration('rviz')),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='namespace of the nodes and their topics',
            ),
            DeclareLaunchArgument(
                'name', default_value='camera', description='name of the camera node'
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='false',
                choices=['true', 'false'],
                description='true: follow /clock',
            ),
            DeclareLaunchArgument(
                'log_level',
                default_value='info',
                choices=['debug', 'info', 'warn', 'error', 'fatal'],
                description='least severity of log messages that are shown',
            ),
            DeclareLaunchArgument(
                'device',
                default_value='cpu',
                description='where to render: auto, cpu, cuda or cuda:N',
            ),
            DeclareLaunchArgument(
                'calibration_file',
                default_value=str(SHARE / 'config' / 'cameras' / 'large_sensor.yaml'),
                description='sensor model: a file, a URL, or the name of a preset',
            ),
            DeclareLaunchArgument(
                'speed',
                default_value='1.0',
                description='how fast the world moves; 1 is real time, 0 stands still',
            ),
            DeclareLaunchArgument(
                'rviz',
                default_value='false',
                choices=['true', 'false'],
                description='true: show everything in RViz',
            ),
            camera,
            OpaqueFunction(function=world),
            rviz,
        ]
    )
