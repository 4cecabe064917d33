# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The parameters on robots: rows of the one table in parameters.py."""

from __future__ import annotations

from diffphyscam_ros.nodes.parameter import Parameter

ROBOTS: tuple[Parameter, ...] = (
    Parameter(
        'robot_description_topics',
        'string_array',
        ('robot_description',),
        '',
        'Topics of robots that are shown (std_msgs/String with URDF, transient local), as '
        'robot_state_publisher has them; the joint states of each are heard in its namespace.',
    ),
    Parameter(
        'robot_frame_prefixes',
        'string_array',
        ('',),
        '',
        'What stands in TF before the names of links, as frame_prefix of robot_state_publisher: '
        'one for all robots, or one for each topic.',
    ),
    Parameter(
        'robot_package_paths',
        'string_array',
        ('',),
        '',
        'Folders that hold the packages of robots, or are one, beside those of '
        'AMENT_PREFIX_PATH. Files elsewhere are not opened.',
    ),
)
