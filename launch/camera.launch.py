# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One simulated camera: ``ros2 launch diffphyscam_ros camera.launch.py scene_file:=...``."""

from __future__ import annotations

from pathlib import Path
import shutil

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PACKAGE = 'diffphyscam_ros'

# Parameters of the node that are arguments of the same name. An empty one is not passed on, so
# that params_file and the node's own defaults keep their say.
PARAMETERS = {
    'camera_name': 'name of the camera, from which its frames are named',
    'device': 'where to render: auto, cpu, cuda or cuda:N',
    'camera_info_url': 'calibration of the lens (file:// or package:// URL of a camera_info YAML)',
    'calibration_file': 'sensor model: a file, a URL, or the name of a preset in config/cameras',
    'scene_file': 'scene to show: glTF, GLB, OBJ or YAML, as a file or a URL',
    'frame_id': 'optical frame in all headers; <camera_name>_optical_frame by default',
    'world_frame': 'frame in which the scene stands; world by default',
    'publish_optical_tf': 'true: publish <camera_name>_link to the optical frame on /tf_static',
}
BOOLEANS = ('publish_optical_tf', 'use_sim_time')


def program(name: str) -> dict[str, str]:
    """Return where the node's program is: in a workspace (colcon), else on PATH (pip)."""
    try:
        if Path(get_package_prefix(PACKAGE), 'lib', PACKAGE, name).is_file():
            return {'package': PACKAGE, 'executable': name}
    except (LookupError, OSError):  # no such package, or no AMENT_PREFIX_PATH at all
        pass
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(
            f'{name} is neither in a sourced workspace nor on PATH. Source install/setup.bash '
            'after colcon build, or activate the environment that pip installed it into.'
        )
    return {'executable': path}


def camera(context: LaunchContext) -> list[Node]:
    """Return the camera node with what the arguments say."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides = {
        name: ParameterValue(
            LaunchConfiguration(name), value_type=bool if name in BOOLEANS else str
        )
        for name in (*PARAMETERS, 'use_sim_time')
        if argument(name)
    }
    params_file = argument('params_file')
    node = Node(
        **program('camera_node'),
        namespace=argument('namespace'),
        name=argument('name'),
        parameters=[*([params_file] if params_file else []), overrides],
        arguments=['--ros-args', '--log-level', argument('log_level')],
        output='screen',
    )
    return [node]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='namespace of the node and its topics: <namespace>/image_raw',
            ),
            DeclareLaunchArgument(
                'name',
                default_value='camera',
                description='name of the node, so that ~/scene is <namespace>/<name>/scene',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value='',
                description='parameter file in the ROS 2 form; the arguments below override it',
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
            *(
                DeclareLaunchArgument(name, default_value='', description=description)
                for name, description in PARAMETERS.items()
            ),
            OpaqueFunction(function=camera),
        ]
    )
