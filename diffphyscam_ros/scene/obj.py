# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Wavefront OBJ: one part for each object and material.

Read here rather than by a general library, to keep the order of vertices and triangles, to
apply every ``mtllib``, and to say what is wrong with a file. Polygons are cut into fans, so
concave ones with more than four corners may come out wrong. Smoothing groups are not read: a
file without ``vn`` is shown flat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
import warnings

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.images import find_file, read_bytes, TextureLoader
from diffphyscam_ros.scene.meshes import build_mesh, fan
from diffphyscam_ros.scene.mtl import parse_mtl
from diffphyscam_ros.scene.types import Instance, Material, Mesh

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass
class _Group:
    """Face lines of one object and material, with the line numbers to keep their order."""

    lines: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    order: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def add(self, body: str, number: int) -> None:
        """Keep a face by its shape, (corners, slashes), so that equal ones are parsed at once."""
        shape = (len(body.split()), body.count('/'))
        self.lines.setdefault(shape, []).append(body)
        self.order.setdefault(shape, []).append(number)


@dataclass
class _Statements:
    """An OBJ file sorted by kind of statement."""

    numbers: dict[str, list[str]] = field(default_factory=lambda: {'v': [], 'vt': [], 'vn': []})
    groups: dict[tuple[str, str], _Group] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def load_obj(path: Path, textures: TextureLoader) -> tuple[Instance, ...]:
    """Return the parts of an OBJ file, each with an identity pose."""
    text = read_bytes(path, 'mesh').decode('utf-8', errors='replace')
    statements = _sort(text.replace('\\\n', ' ').replace('\\\r\n', ' '), path)
    tables = {kind: _table(lines, kind, path) for kind, lines in statements.numbers.items()}
    materials = _materials(statements.libraries, path, textures)
    parts = []
    for (name, paint), group in statements.groups.items():
        if paint and paint not in materials:
            warnings.warn(
                f'{path}: material {paint!r} is not defined; plain white is used',
                SceneWarning,
                stacklevel=3,
            )
        part_name = '/'.join(word for word in (name, paint) if word) or path.stem
        source = f'{path} ({part_name})'
        corners, triangles = _corners(group, source)
        if not len(triangles):
            continue
        parts.append(
            Instance(
                part_name,
                _mesh(source, corners, triangles, tables),
                materials.get(paint, Material()),
                torch.eye(4),
            )
        )
    return tuple(parts)


def _sort(text: str, path: Path) -> _Statements:
    """Sort the lines of a file; indices relative to a line's place become absolute here."""
    result = _Statements()
    lists = result.numbers
    name, paint = '', ''
    group: _Group | None = None
    for number, line in enumerate(text.splitlines()):
        keyword, _, body = line.strip().partition(' ')
        if keyword in lists:
            lists[keyword].append(body)
        elif keyword == 'f':
            if group is None:
                group = result.groups.setdefault((name, paint), _Group())
            body = body.partition('#')[0]
            if '-' in body:
                try:
                    body = _absolute(body, [len(lists[kind]) for kind in ('v', 'vt', 'vn')])
                except ValueError as error:
                    raise SceneError(
                        f'{path}: line {number + 1} holds something that is no index'
                    ) from error
            group.add(body, number)
        elif keyword == 'o':
            name, group = body.strip(), None
        elif keyword == 'usemtl':
            paint, group = body.strip(), None
        elif keyword == 'mtllib':
            result.libraries.append(body.strip())
    return result


def _absolute(body: str, counts: list[int]) -> str:
    """Replace indices counted backwards from here (-1 is the latest) by absolute ones."""
    words = []
    for word in body.split():
        fields = word.split('/')
        for place, item in enumerate(fields[:3]):
            if item.startswith('-'):
                fields[place] = str(counts[place] + 1 + int(item))
        words.append('/'.join(fields))
    return ' '.join(words)


def _table(lines: list[str], kind: str, path: Path) -> Floats | None:
    """Return the numbers of all ``v``, ``vt`` or ``vn`` lines, as many columns as all have."""
    if not lines:
        return None
    widths = {len(line.split()) for line in lines}
    least = min(widths)
    needed = 1 if kind == 'vt' else 3
    if least < needed:
        raise SceneError(
            f'{path}: a line "{kind}" has {least} numbers, at least {needed} are needed'
        )
    if len(widths) > 1:
        lines = [' '.join(line.split()[:least]) for line in lines]
    with warnings.catch_warnings():
        warnings.simplefilter('error', DeprecationWarning)  # text that is no number
        try:
            values = np.fromstring(' '.join(lines), sep=' ', dtype=np.float64)
        except (DeprecationWarning, ValueError) as error:
            raise SceneError(
                f'{path}: a line "{kind}" holds something that is no number'
            ) from error
    if len(values) != len(lines) * least:
        raise SceneError(f'{path}: a line "{kind}" holds something that is no number')
    return values.reshape(-1, least)


def _materials(libraries: list[str], path: Path, textures: TextureLoader) -> dict[str, Material]:
    """Read every material library; a missing one is warned of and left out."""
    materials: dict[str, Material] = {}
    for name in libraries:
        whole = find_file(path.parent / name.replace('\\', '/'))
        # One statement may list several files, or one file whose name holds spaces.
        files = [whole] if whole.is_file() else [find_file(path.parent / x) for x in name.split()]
        for file in files:
            try:
                text = read_bytes(file, 'material library').decode('utf-8', errors='replace')
            except SceneError as error:
                warnings.warn(f'{path}: {error}', SceneWarning, stacklevel=4)
                continue
            materials.update(parse_mtl(text, file.parent, textures))
    return materials


def _corners(group: _Group, source: str) -> tuple[Integers, Integers]:
    """Return the corners (C, 3) as v, vt, vn (1-based, 0 = none), and triangles (T, 3) of them."""
    all_corners, all_triangles, all_order = [], [], []
    offset = 0
    for (width, slashes), lines in group.lines.items():
        if width == 0:
            continue
        fields = {0: 1, 1: 2, 2: 3}.get(slashes // width) if slashes % width == 0 else None
        if fields is None:
            raise SceneError(f'{source}: the face "f {lines[0].strip()}" cannot be read')
        text = ' '.join(lines)
        if fields == 3:
            text = text.replace('//', '/0/')
        values = _integers(text.replace('/', ' '), source)
        if len(values) != len(lines) * width * fields:
            raise SceneError(
                f'{source}: faces with {width} corners like "f {lines[0].strip()}" cannot be read'
            )
        corners = np.zeros((len(lines) * width, 3), dtype=np.int64)
        corners[:, :fields] = values.reshape(-1, fields)
        triangles, polygon = fan(np.full(len(lines), width))
        all_corners.append(corners)
        all_triangles.append(triangles + offset)
        all_order.append(np.asarray(group.order[(width, slashes)])[polygon])
        offset += len(corners)
    if not all_corners:
        return np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64)
    by_line = np.argsort(np.concatenate(all_order), kind='stable')
    return np.concatenate(all_corners), np.concatenate(all_triangles)[by_line]


def _integers(text: str, source: str) -> Integers:
    """Parse whitespace-separated integers."""
    with warnings.catch_warnings():
        warnings.simplefilter('error', DeprecationWarning)
        try:
            return np.fromstring(text, sep=' ', dtype=np.int64)
        except (DeprecationWarning, ValueError) as error:
            raise SceneError(f'{source}: a face holds something that is no index') from error


def _mesh(
    source: str, corners: Integers, triangles: Integers, tables: dict[str, Floats | None]
) -> Mesh:
    """Join equal corners to vertices, in the order of the file's vertices, and build the mesh."""
    used = [True, False, False]
    for place, kind in enumerate(('v', 'vt', 'vn')):
        table = tables[kind]
        count = 0 if table is None else len(table)
        index = corners[:, place]
        beyond = (index > count) | (index < (1 if place == 0 else 0))
        if beyond.any():
            raise SceneError(
                f'{source}: {int(beyond.sum())} face corners name a "{kind}" outside 1..{count} '
                f'(the first: {int(index[beyond][0])}); repair the mesh'
            )
        if place:  # a file may give normals to some corners only: then all are without
            used[place] = bool((index > 0).all())
    joint = corners[:, 0]
    for place in (1, 2):
        if used[place]:
            # Numbering what is joined so far keeps the product far from overflow.
            joint = np.unique(joint, return_inverse=True)[1].reshape(-1)
            joint = joint * (int(corners[:, place].max()) + 1) + corners[:, place]
    _, first, inverse = np.unique(joint, return_index=True, return_inverse=True)
    chosen = corners[first] - 1
    positions = tables['v']
    assert positions is not None
    uvs = normals = colors = None
    texture_table, normal_table = tables['vt'], tables['vn']
    if used[1] and texture_table is not None and texture_table.shape[1] >= 2:
        uvs = texture_table[chosen[:, 1], :2] * (1.0, -1.0) + (0.0, 1.0)  # v from the top
    if used[2] and normal_table is not None:
        normals = normal_table[chosen[:, 2], :3]
    if positions.shape[1] >= 6:
        shade = torch.from_numpy(positions[chosen[:, 0], 3:6])
        colors = srgb_to_linear(shade).numpy()
    return build_mesh(
        source, positions[chosen[:, 0], :3], inverse.reshape(-1)[triangles], normals, uvs, colors
    )
