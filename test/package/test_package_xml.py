# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""package.xml: valid, and complete with regard to what the code imports."""

from __future__ import annotations

import ast
from pathlib import Path
import re
from xml.etree import ElementTree

import pytest

DEPENDENCY_TAGS = (
    'depend',
    'build_depend',
    'build_export_depend',
    'buildtool_depend',
    'buildtool_export_depend',
    'exec_depend',
    'test_depend',
    'doc_depend',
)
# Python module: ROS package, where the names differ.
PACKAGES = {'tf2_ros': 'tf2_ros_py'}
# Other modules that ROS 2 provides; those of messages are known by their names.
ROS_MODULES = {'ament_index_python', 'cv_bridge', 'launch', 'launch_ros', 'rclpy', 'tf2_ros'}
MESSAGES = re.compile(r'\w+_(msgs|srvs|interfaces)')
# Python module: key of rosdep.
ROSDEP_KEYS = {
    'cv2': 'python3-opencv',
    'matplotlib': 'python3-matplotlib',
    'numba': 'python3-numba',
    'numpy': 'python3-numpy',
    'PIL': 'python3-pil',
    'scipy': 'python3-scipy',
    'tqdm': 'python3-tqdm',
    'yaml': 'python3-yaml',
}


@pytest.fixture(scope='module')
def manifest(repository: Path) -> ElementTree.Element:
    return ElementTree.parse(repository / 'package.xml').getroot()


@pytest.fixture(scope='module')
def declared(manifest: ElementTree.Element) -> set[str]:
    return {e.text for e in manifest if e.tag in DEPENDENCY_TAGS and e.text}


def imported_modules(path: Path) -> set[str]:
    """Return the top-level modules that a file imports, by statement or ``import_module``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == 'import_module'
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return {name.partition('.')[0] for name in found}


def code_imports(repository: Path) -> dict[str, str]:
    """Return every module that the package or a launch file imports, and one place that does."""
    files = [
        *(repository / 'launch').glob('*.py'),
        *(repository / 'diffphyscam_ros').rglob('*.py'),
    ]
    generated = [repository / 'diffphyscam_ros' / kind for kind in ('msg', 'srv')]
    return {
        module: path.relative_to(repository).as_posix()
        for path in files
        if not any(folder in path.parents for folder in generated)
        for module in imported_modules(path)
    }


def test_format_3_and_its_required_tags(manifest: ElementTree.Element) -> None:
    assert manifest.tag == 'package' and manifest.get('format') == '3'
    assert manifest.findtext('name') == 'diffphyscam_ros'
    assert re.fullmatch(r'\d+\.\d+\.\d+', manifest.findtext('version') or '')
    assert (manifest.findtext('description') or '').strip()
    assert manifest.findtext('license') == 'Apache-2.0'
    maintainer = manifest.find('maintainer')
    assert maintainer is not None and '@' in maintainer.get('email', '')
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert manifest.findtext('member_of_group') == 'rosidl_interface_packages'


def test_catkin_pkg_accepts_it(repository: Path) -> None:
    package_module = pytest.importorskip(
        'catkin_pkg.package', reason='catkin_pkg is not installed; colcon and the build bring it'
    )
    warnings: list[str] = []
    package_module.parse_package(str(repository / 'package.xml'), warnings=warnings)
    assert not warnings


def test_no_dependency_is_named_twice(manifest: ElementTree.Element) -> None:
    names = [(e.tag, e.text) for e in manifest if e.tag in DEPENDENCY_TAGS]
    assert len(names) == len(set(names))


def test_every_ros_import_is_declared(repository: Path, declared: set[str]) -> None:
    undeclared = {
        module: place
        for module, place in code_imports(repository).items()
        if module in ROS_MODULES or MESSAGES.fullmatch(module)
        if PACKAGES.get(module, module) not in declared
    }
    assert not undeclared, f'imported, but not in package.xml: {undeclared}'


def test_every_import_that_rosdep_knows_is_declared(repository: Path, declared: set[str]) -> None:
    undeclared = {
        ROSDEP_KEYS[module]: place
        for module, place in code_imports(repository).items()
        if module in ROSDEP_KEYS and ROSDEP_KEYS[module] not in declared
    }
    assert not undeclared, f'imported, but not in package.xml: {undeclared}'


def test_every_interface_dependency_is_declared(repository: Path, declared: set[str]) -> None:
    files = [*(repository / 'msg').glob('*.msg'), *(repository / 'srv').glob('*.srv')]
    used = {p for f in files for p in re.findall(r'^(\w+)/\w+', f.read_text('utf-8'), re.M)}
    cmake = (repository / 'CMakeLists.txt').read_text(encoding='utf-8')
    assert used, 'the interfaces use std_msgs/Header at least'
    for package in used:
        assert package in declared
        assert f'find_package({package} REQUIRED)' in cmake
