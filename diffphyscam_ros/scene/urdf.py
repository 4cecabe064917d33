# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""URDF: robots as ROS describes them (http://wiki.ros.org/urdf/XML).

Read are links with their visuals and joints; what else stands in a description (collisions,
inertias, transmissions, what simulators add) is passed over. A small reader of our own: the
parsers on PyPI bring lxml and a viewer's dependencies, and neither the line of a mistake nor a
bound on what the network may send.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import read_bytes
from diffphyscam_ros.scene.load import ROBOT_SUFFIXES, unique_names
from diffphyscam_ros.scene.robot import Joint, JointKind, Link, Mimic, Robot
from diffphyscam_ros.scene.urdf_files import FileFinder, PackagePaths
from diffphyscam_ros.scene.urdf_visuals import origin, VisualReader
from diffphyscam_ros.scene.urdf_xml import Element, parse_xml

_KINDS: tuple[JointKind, ...] = (
    'revolute', 'continuous', 'prismatic', 'fixed', 'floating', 'planar'
)  # fmt: skip
MAX_LINKS = 10_000
_LIMITED = ('revolute', 'prismatic')


def load_robot(
    source: str | Path,
    package_paths: PackagePaths = (),
    *,
    anywhere: bool = False,
    on_missing: Callable[[str], None] | None = None,
) -> Robot:
    """Read a robot, with the meshes and textures that it names.

    :param source: a .urdf or .xacro file, or the XML itself as text. A .xacro file, which may
        read files and compute, is processed by the package xacro: trust it as you do a program.
    :param package_paths: where the packages of package:// (and model://) lie: folders that
        hold them or are one, or a mapping from their names. A description that lies in its
        package needs none for that.
    :param anywhere: also open files outside those and the description's own folder.
    :param on_missing: told of each visual whose file cannot be used, which is then left out; by
        default that is an error.
    :raises SceneError: for what is missing, wrong or not allowed, with line, element, what is
        allowed and the remedy.
    """
    if isinstance(source, str) and source.lstrip('\ufeff \t\r\n').startswith('<'):
        text: str | bytes = source.lstrip('\ufeff \t\r\n')
        return read_robot(
            text, 'robot description', FileFinder(None, package_paths, anywhere), on_missing
        )
    path = Path(source).expanduser()
    finder = FileFinder(path.parent, package_paths, anywhere)
    if path.suffix.lower() == '.xacro':
        from diffphyscam_ros.scene.xacro_files import process_xacro

        text = process_xacro(path, finder)
    elif path.suffix.lower() in ROBOT_SUFFIXES:
        text = read_bytes(path, 'robot')
    else:
        raise SceneError(
            f'{path}: the format {path.suffix or "(no suffix)"} is no robot; known are '
            f'{", ".join(ROBOT_SUFFIXES)}'
        )
    return read_robot(text, str(path), finder, on_missing)


def read_robot(
    text: str | bytes,
    source: str,
    finder: FileFinder,
    on_missing: Callable[[str], None] | None = None,
) -> Robot:
    """Return the robot of a URDF text.

    :param source: where it is from, for messages.
    :raises SceneError: as ``load_robot``.
    """
    root = parse_xml(text, source)
    if root.tag != 'robot':
        raise SceneError(f'{source}: the root element is <{root.tag}>, must be <robot>')
    macro = next((item for item in root.children if item.tag.startswith('xacro:')), None)
    if macro is not None:
        raise SceneError(
            f'{macro.where}: <{macro.tag}> is a macro that was not expanded; run xacro on the '
            'description first, or name the file .xacro'
        )
    count = max(sum(item.tag == tag for item in root.children) for tag in ('link', 'joint'))
    if count > MAX_LINKS:
        raise SceneError(f'{source}: {count} links or joints: at most {MAX_LINKS} are read')
    reader = VisualReader(root, finder, on_missing)
    links = [(item.text('name'), reader.visuals(item)) for item in root.all('link')]
    if not links:
        raise SceneError(f'{source}: the robot has no <link>')
    named = iter(unique_names(tuple(part for _, parts in links for part in parts)))
    return Robot(
        root.text('name', 'robot'),
        tuple(Link(name, tuple(next(named) for _ in parts)) for name, parts in links),
        tuple(_joint(item) for item in root.all('joint')),
    )


def _joint(element: Element) -> Joint:
    name, text = element.text('name'), element.text('type')
    kind = next((item for item in _KINDS if item == text), None)
    if kind is None:
        raise SceneError(f'{element.where}: type {text!r}: must be one of {", ".join(_KINDS)}')
    lower, upper = -torch.inf, torch.inf
    limit = element.first('limit')
    if limit is not None and kind in _LIMITED:
        lower, upper = limit.number('lower', 0.0), limit.number('upper', 0.0)
    mimic = element.first('mimic')
    return Joint(
        name,
        kind,
        element.one('parent').text('link'),
        element.one('child').text('link'),
        origin(element),
        _axis(element),
        lower,
        upper,
        None
        if mimic is None
        else Mimic(
            mimic.text('joint'), mimic.number('multiplier', 1.0), mimic.number('offset', 0.0)
        ),
    )


def _axis(element: Element) -> torch.Tensor:
    found = element.first('axis')
    values = (1.0, 0.0, 0.0) if found is None else found.numbers('xyz', 3, (1.0, 0.0, 0.0))
    axis = torch.tensor(values, dtype=torch.float64)
    length = torch.linalg.vector_norm(axis)
    if float(length) < 1e-9:
        where = element.where if found is None else found.where
        raise SceneError(f'{where}: <axis> xyz = {list(values)}: must have a length')
    return axis / length
