# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""
A setuptools command that generates and compiles the ROS interfaces of a package.

ament_python has no step for ``.msg`` and ``.srv`` files; CMake's ``rosidl_generate_interfaces``
has. ``BuildInterfaces`` takes the place of ``build_ext``, the step that both ``colcon build`` and
``pip install`` run: it drives CMake on the project's CMakeLists.txt, against the sourced ROS 2 or
against ROS 2 wheels, and adds what CMake installs to the Python package.
"""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys

from setuptools.command.build_ext import build_ext

PACKAGE_INDEX = Path('share/ament_index/resource_index/packages')
SITE_DIRECTORIES = ('site-packages', 'dist-packages')
INTERFACE_KINDS = ('msg', 'srv')


def ros_prefixes() -> list[Path]:
    """
    Return the prefixes that hold ROS 2 packages, best first.

    Those of a sourced ROS 2 (``AMENT_PREFIX_PATH``) come before those that hold an entry of
    ``sys.path``, which is how ROS 2 wheels are found.
    """
    sourced = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    prefixes = [Path(entry) for entry in sourced if entry]
    for entry in sys.path:
        # prefix/lib/python3.X/site-packages is three levels deep, prefix/local/lib/... four.
        prefixes += list(Path(entry or '.').resolve().parents)[:4]
    return list(dict.fromkeys(p for p in prefixes if (p / PACKAGE_INDEX).is_dir()))


def ros_environment(prefixes: list[Path]) -> dict[str, str]:
    """
    Return ``os.environ`` with everything that CMake needs to find the packages of ``prefixes``.

    ``PYTHONPATH`` is among it because pip's build isolation drops that of a sourced ROS 2.
    """
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    libraries = [prefix / lib for prefix in prefixes for lib in ('lib', 'local/lib')]
    modules = [lib / version / site for lib in libraries for site in SITE_DIRECTORIES]
    environment = dict(os.environ)
    for name, paths in (
        ('AMENT_PREFIX_PATH', prefixes),
        ('CMAKE_PREFIX_PATH', prefixes),
        ('PYTHONPATH', [path for path in modules if path.is_dir()]),
    ):
        present = [entry for entry in environment.get(name, '').split(os.pathsep) if entry]
        # Appended, not prepended: an isolated build's own numpy and empy must win.
        environment[name] = os.pathsep.join(dict.fromkeys([*present, *map(str, paths)]))
    return environment


class BuildInterfaces(build_ext):
    """
    Generate and compile ``msg/`` and ``srv/`` of the project that lies at ``root``.

    ``setup()`` needs ``ext_modules=[Extension('<name>._interfaces', sources=[])]`` beside it, so
    that this step runs and wheels are marked as specific to the platform. If the package has a
    module ``interface_libraries``, the generated packages import it first.
    """

    root: Path

    def run(self) -> None:
        """Configure, build and stage with CMake, then collect the result."""
        name = self.distribution.get_name()
        build = Path(self.build_temp).resolve() / 'rosidl'
        stage = build / 'stage'
        prefixes = ros_prefixes()
        self._discard_foreign_cache(build, prefixes)
        shutil.rmtree(stage, ignore_errors=True)
        generator = ['-G', 'Ninja'] if shutil.which('ninja') else []
        configure = [
            *('cmake', '-S', str(self.root), '-B', str(build), *generator),
            '-DBUILD_TESTING=OFF',
            '-DCMAKE_BUILD_TYPE=Release',
            f'-DCMAKE_INSTALL_PREFIX={stage}',
            f'-DPython3_EXECUTABLE={sys.executable}',
        ]
        install = ['cmake', '--build', str(build), '--target', 'install', '--parallel']
        environment = ros_environment(prefixes)
        try:
            subprocess.run(configure, check=True, env=environment)
            subprocess.run(install, check=True, env=environment)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                f'{name}: the ROS interfaces were not built: {error}. It takes CMake, a C++ '
                'compiler and ROS 2 (sourced, or its wheels): see docs/installation.md. '
                f'ROS 2 was found in: {", ".join(map(str, prefixes)) or "no folder"}.'
            ) from error
        self._collect_package(name, stage)
        self._collect_data_files(name, stage)

    @staticmethod
    def _discard_foreign_cache(build: Path, prefixes: list[Path]) -> None:
        # Each isolated pip build has a new temporary prefix, while CMake's cache keeps the old.
        stamp = build / 'prefixes.txt'
        key = '\n'.join(map(str, [sys.executable, *prefixes]))
        if not stamp.is_file() or stamp.read_text(encoding='utf-8') != key:
            shutil.rmtree(build, ignore_errors=True)
            build.mkdir(parents=True)
            stamp.write_text(key, encoding='utf-8')

    def _collect_package(self, name: str, stage: Path) -> None:
        """Copy the generated Python modules, and for an in-place build the libraries too."""
        generated = next(stage.glob(f'**/*-packages/{name}'))
        target = (self.root if self.inplace else Path(self.build_lib)) / name
        target.mkdir(parents=True, exist_ok=True)
        for kind in INTERFACE_KINDS:
            shutil.rmtree(target / kind, ignore_errors=True)
            if (generated / kind).is_dir():
                shutil.copytree(
                    generated / kind, target / kind, ignore=shutil.ignore_patterns('*.c')
                )
                if (self.root / name / 'interface_libraries.py').is_file():
                    init = target / kind / '__init__.py'
                    lines = f'import {name}.interface_libraries\n' + init.read_text('utf-8')
                    init.write_text(lines, encoding='utf-8')
        for module in generated.glob('*.so'):
            shutil.copy2(module, target)
        if not (self.root / name / '__init__.py').is_file():
            shutil.copy2(generated / '__init__.py', target)
        if self.inplace:
            shutil.rmtree(target / '_lib', ignore_errors=True)
            (target / '_lib').mkdir()
            for library in (stage / 'lib').glob('*.so*'):
                shutil.copy2(library, target / '_lib')

    def _collect_data_files(self, name: str, stage: Path) -> None:
        """Add what C++ packages, ``ros2 interface`` and ``ros2 bag`` look for to data_files."""
        share = f'share/{name}/'
        wanted = [
            'include/',
            f'{share}msg/',
            f'{share}srv/',
            f'{share}cmake/',
            'share/ament_index/resource_index/rosidl_interfaces/',
        ]
        for path in sorted(p for p in stage.rglob('*') if p.is_file()):
            relative = path.relative_to(stage)
            library = relative.parent == Path('lib') and '.so' in path.name
            if library or relative.as_posix().startswith(tuple(wanted)):
                entry = (relative.parent.as_posix(), [os.path.relpath(path)])
                self.distribution.data_files.append(entry)

    def get_outputs(self) -> list[str]:
        """Return nothing: no file has the name that the extension in setup.py suggests."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Return nothing, as ``get_outputs``."""
        return {}


def build_interfaces(root: Path) -> type[build_ext]:
    """Return the ``build_ext`` command of the project at ``root`` (where CMakeLists.txt lies)."""
    return type('BuildInterfaces', (BuildInterfaces,), {'root': root})
