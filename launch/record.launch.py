# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Record a camera for its calibration: pictures, camera_info, and all that says how it was set.

``ros2 launch diffphyscam_ros record.launch.py driver:=usb_cam output:=boards``
"""

from __future__ import annotations

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration

# Of each driver: the usual namespace of its topics, and the topics in it, as its source has them;
# docs/calibration.md says which source.
DRIVERS = {
    'camera_node': ('', ('image_raw', 'camera_info', 'metadata')),
    'usb_cam': ('', ('image_raw', 'camera_info')),
    'v4l2_camera': ('', ('image_raw', 'camera_info')),
    'camera_ros': ('/camera', ('image_raw', 'camera_info')),
    'spinnaker': ('/flir_camera', ('image_raw', 'camera_info', 'meta')),
    'pylon': (
        '/my_camera/pylon_ros2_camera_node',
        ('image_raw', 'camera_info', 'current_params'),
    ),
    'realsense': (
        '/camera/camera',
        ('color/image_raw', 'color/camera_info', 'color/metadata'),
    ),
}

# A change of the exposure is nowhere else with most drivers.
ALWAYS = ('/parameter_events',)


def topics(driver: str, namespace: str, extra: str) -> list[str]:
    """Return the full names of the topics to record.

    :param namespace: of the camera; '' = the usual one of the driver.
    :param extra: more topics, with commas between them.
    """
    usual, names = DRIVERS[driver]
    prefix = (namespace or usual).strip('/')
    own = [f'/{prefix}/{name}' if prefix else f'/{name}' for name in names]
    return [*own, *ALWAYS, *(name.strip() for name in extra.split(',') if name.strip())]


def record(context: LaunchContext) -> list[ExecuteProcess]:
    """Return the recorder."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    names = topics(argument('driver'), argument('namespace'), argument('extra_topics'))
    # Humble takes topics as they are; newer ones want --topics, and warn.
    option = [] if os.environ.get('ROS_DISTRO') in ('humble', 'iron') else ['--topics']
    command = ['ros2', 'bag', 'record', *option, *names, '--output', argument('output')]
    command += ['--storage', argument('storage')]
    if argument('max_cache_size'):
        command += ['--max-cache-size', argument('max_cache_size')]
    return [ExecuteProcess(cmd=command, output='screen')]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the recorder."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'driver',
                default_value='camera_node',
                choices=list(DRIVERS),
                description='which driver the camera runs with: it says which topics there are',
            ),
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='where the topics of the camera are; the usual of the driver if empty',
            ),
            DeclareLaunchArgument(
                'output',
                default_value='calibration_bag',
                description='name of the bag, best what is filmed: boards, flat, dark, sweep',
            ),
            DeclareLaunchArgument(
                'storage',
                default_value='mcap',
                choices=['mcap', 'sqlite3'],
                description='form of the bag',
            ),
            DeclareLaunchArgument(
                'max_cache_size',
                default_value='500000000',
                description='bytes that wait for the disk; frames are lost where it is too small',
            ),
            DeclareLaunchArgument(
                'extra_topics',
                default_value='',
                description='more topics to record, with commas between them',
            ),
            OpaqueFunction(function=record),
        ]
    )
