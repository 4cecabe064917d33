# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""
Build of the interface package tf2_msgs, where ROS 2 comes from wheels: they lack it.

Install it with ``pip install --no-build-isolation interfaces/tf2_msgs``. A ROS 2 of a
distribution has the complete tf2_msgs: this one would shadow it, so ``make`` leaves it out there.
"""

from pathlib import Path
import sys

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parents[1] / 'scripts'))
from rosidl_build import build_interfaces  # noqa: E402 - a module of this project's build

setup(
    name='tf2_msgs',
    version='0.0.1',
    description='The message of /tf, for ROS 2 from wheels',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=[],
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/tf2_msgs']),
        ('share/tf2_msgs', ['package.xml']),
    ],
    ext_modules=[Extension('tf2_msgs._interfaces', sources=[])],
    cmdclass={'build_ext': build_interfaces(ROOT)},
    zip_safe=False,
)
