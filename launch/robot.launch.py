# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A camera that looks at a robot: ``ros2 launch diffphyscam_ros robot.launch.py``.

As it is, a small arm that sways. With ``demo_robot:=false`` the robot is yours: whatever
publishes ``robot_description`` with joint states or TF, as robot_state_publisher does.
"""

from __future__ import annotations

from pathlib import Path
import runpy

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# share/diffphyscam_ros or the source tree: launch/, config/ and examples/ lie side by side.
SHARE = Path(__file__).resolve().parents[1]
CAMERA = SHARE / 'launch' / 'camera.launch.py'


def robot(context: LaunchContext) -> list[Node]:
    """Return the node that describes and moves the robot."""
    program = runpy.run_path(str(CAMERA))['program']
    node = Node(
        **program('demo_robot_node'),
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            {
                'urdf': LaunchConfiguration('urdf'),
                'speed': ParameterValue(LaunchConfiguration('speed'), value_type=float),
                'use_sim_time': ParameterValue(
                    LaunchConfiguration('use_sim_time'), value_type=bool
                ),
            }
        ],
        condition=IfCondition(LaunchConfiguration('demo_robot')),
        output='screen',
    )
    return [node]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the camera and its robot."""
    passed_on = ('namespace', 'name', 'use_sim_time', 'log_level', 'device', 'params_file')
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(CAMERA)),
        launch_arguments={
            **{name: LaunchConfiguration(name) for name in passed_on},
            'scene_file': LaunchConfiguration('scene_file'),
        }.items(),
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
                'params_file',
                default_value=str(SHARE / 'config' / 'robot_camera.yaml'),
                description='parameters of the camera, its pose among them',
            ),
            DeclareLaunchArgument(
                'scene_file',
                default_value=str(SHARE / 'examples' / 'scenes' / 'workshop.yaml'),
                description='what stands around the robot',
            ),
            DeclareLaunchArgument(
                'demo_robot',
                default_value='true',
                choices=['true', 'false'],
                description='false: something else publishes robot_description and moves it',
            ),
            DeclareLaunchArgument(
                'urdf',
                default_value=str(SHARE / 'examples' / 'robots' / 'arm.urdf'),
                description='the robot that sways',
            ),
            DeclareLaunchArgument(
                'speed', default_value='1.0', description='how fast it sways; 0 stands still'
            ),
            camera,
            OpaqueFunction(function=robot),
        ]
    )
