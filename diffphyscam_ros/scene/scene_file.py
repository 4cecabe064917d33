# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scene files in YAML, schema ``diffphyscam_ros/scene/1`` (docs/scene.md describes it).

Paths are relative to the file. Lengths are metres, angles radians, colours linear, radiance 1
is a white diffuser under the nominal light.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from diffphyscam_ros.scene import primitives, procedural
from diffphyscam_ros.scene.environment import constant_environment, load_environment
from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import TextureLoader
from diffphyscam_ros.scene.load import load_mesh, scale_matrix, unique_names
from diffphyscam_ros.scene.meshes import smooth_normals, with_normals
from diffphyscam_ros.scene.scene_file_lights import read_light
from diffphyscam_ros.scene.transforms import (
    pose_from_quaternion,
    pose_from_rotation,
    pose_from_rpy,
)
from diffphyscam_ros.scene.types import (
    AlphaMode,
    Environment,
    Instance,
    Material,
    Mesh,
    Scene,
    Texture,
)
from diffphyscam_ros.scene.yaml_fields import Fields, read_yaml

SCHEMA = 'diffphyscam_ros/scene/1'
_SHAPES = ('file', 'box', 'sphere', 'cylinder', 'plane')
_MESH_KEYS = (
    'name', *_SHAPES, 'position', 'quaternion', 'rpy', 'scale', 'up_axis', 'shading', 'uv_scale',
    'material',
)  # fmt: skip
_MATERIAL_KEYS = (
    'base_color', 'metallic', 'roughness', 'emissive', 'double_sided', 'base_color_texture',
    'metallic_roughness_texture', 'normal_texture', 'emissive_texture', 'occlusion_texture',
    'occlusion_strength', 'normal_scale', 'alpha', 'alpha_mode', 'alpha_cutoff',
)  # fmt: skip
_PATTERNS = ('checkerboard', 'grid', 'brick', 'wood', 'noise')


def load_scene_file(path: Path, max_texture_size: int, nominal_illuminance: float) -> Scene:
    """Read a scene file.

    :param nominal_illuminance: lux that make radiance 1.

    :raises SceneError: for anything missing, unknown or out of range, naming the place.
    """
    root = read_yaml(path)
    root.allow(('schema', 'meshes', 'lights', 'environment', 'background'))
    schema = root.text('schema')
    if schema != SCHEMA:
        raise SceneError(f'{root.at("schema")} = {schema!r}: must be {SCHEMA!r}')
    reader = _MeshReader(path.parent, TextureLoader(max_texture_size))
    parts: list[Instance] = []
    for index, entry in enumerate(root.items('meshes')):
        parts += reader.parts(Fields(entry, f'{path}: meshes[{index}]'), index)
    lights = tuple(
        read_light(Fields(entry, f'{path}: lights[{index}]'), nominal_illuminance)
        for index, entry in enumerate(root.items('lights'))
    )
    environment = (
        _environment(root.fields('environment'), path.parent) if 'environment' in root else None
    )
    background = root.triple('background') if 'background' in root else None
    return Scene(unique_names(tuple(parts)), lights, environment, background)


class _MeshReader:
    """Reads the entries of ``meshes``; a file that several entries name is opened once."""

    def __init__(self, folder: Path, textures: TextureLoader) -> None:
        self.folder = folder
        self.textures = textures
        self._files: dict[tuple[Path, str | None], tuple[Instance, ...]] = {}

    def parts(self, entry: Fields, index: int) -> list[Instance]:
        """Return the instances of one entry: several where a file has several parts."""
        entry.allow(_MESH_KEYS)
        shape = entry.exactly_one(_SHAPES)
        pose = _pose(entry) @ scale_matrix(_scale(entry), entry.where)
        material = _material(entry.fields('material'), self) if 'material' in entry else None
        if shape == 'file':
            found = self._file(entry)
            name = entry.text('name', Path(entry.text('file')).stem)
        else:
            if 'up_axis' in entry:
                raise SceneError(f'{entry.at("up_axis")} is for files only, a {shape} has z up')
            found = (self._primitive(entry, shape),)
            name = entry.text('name', f'{shape}_{index}')
        return [
            Instance(
                name if len(found) == 1 else f'{name}/{part.name}',
                _adjusted(part.mesh, entry),
                material or part.material,
                pose @ part.pose,
            )
            for part in found
        ]

    def _file(self, entry: Fields) -> tuple[Instance, ...]:
        axis = entry.choice('up_axis', 'z', ('y', 'z')) if 'up_axis' in entry else None
        key = (self.folder / entry.text('file'), axis)
        if key not in self._files:
            try:
                self._files[key] = load_mesh(
                    key[0], up_axis=axis, max_texture_size=self.textures.max_size
                )
            except SceneError as error:
                raise SceneError(f'{entry.at("file")}: {error}') from error
        return self._files[key]

    def _primitive(self, entry: Fields, shape: str) -> Instance:
        size = entry.fields(shape)
        if shape == 'box':
            size.allow(('size',))
            mesh = primitives.box(_extent(size, 'size', 3))
        elif shape == 'sphere':
            size.allow(('radius', 'segments', 'rings'))
            mesh = primitives.sphere(
                size.positive('radius'), size.whole('segments', 48, 3), size.whole('rings', 24, 2)
            )
        elif shape == 'cylinder':
            size.allow(('radius', 'height', 'segments'))
            mesh = primitives.cylinder(
                size.positive('radius'), size.positive('height'), size.whole('segments', 48, 3)
            )
        else:
            size.allow(('size', 'subdivisions'))
            width, height = _plane_size(size, entry)
            mesh = primitives.plane(width, height, size.whole('subdivisions', 1, 1))
        return Instance(shape, mesh, Material(), torch.eye(4))

    def texture(
        self, material: Fields, name: str, srgb: bool, alpha: bool = False
    ) -> Texture | None:
        """Return a texture: a path, or a mapping with one pattern."""
        if name not in material:
            return None
        value = material.get(name)
        if isinstance(value, str):
            return self.textures.file(self.folder / value, srgb, alpha)
        pattern = material.fields(name)
        pattern.allow(_PATTERNS)
        kind = pattern.exactly_one(_PATTERNS)
        return _pattern(pattern.fields(kind), kind)


def _extent(entry: Fields, name: str, count: int) -> tuple[float, ...]:
    """Return positive lengths: a list, or one number for all."""
    value = entry.get(name)
    if isinstance(value, list):
        extent = entry.vector(name, size=count)
    else:
        extent = (entry.number(name),) * count
    if min(extent) <= 0:
        raise SceneError(f'{entry.at(name)} = {list(extent)} m: must be > 0')
    return extent


def _plane_size(size: Fields, entry: Fields) -> tuple[float, float]:
    """Return a plane's size; a checkerboard of stated squares decides it."""
    board = None
    texture = entry.fields('material').get('base_color_texture', None) if (
        'material' in entry) else None  # fmt: skip
    if isinstance(texture, dict) and isinstance(texture.get('checkerboard'), dict):
        fields = Fields(texture['checkerboard'], entry.at('checkerboard'))
        if 'square_m' in fields:
            board = procedural.checkerboard_size(
                fields.whole('rows', 6, 1),
                fields.whole('columns', 8, 1),
                fields.positive('square_m'),
                fields.number('quiet_zone', 1.0, low=0.0),
                fields.whole('pixels_per_square', 32, 2),
            )
    if 'size' not in size:
        if board is None:
            raise SceneError(
                f'{size.at("size")} is missing; only a plane whose base_color_texture is a '
                'checkerboard with square_m may leave it out'
            )
        return board
    width, height = _extent(size, 'size', 2)
    if board is not None and (abs(width - board[0]) > 1e-9 or abs(height - board[1]) > 1e-9):
        raise SceneError(
            f'{size.at("size")} = {[width, height]} m, but its checkerboard with its quiet zone '
            f'measures {[round(board[0], 9), round(board[1], 9)]} m: leave the size out'
        )
    return width, height


def _pattern(entry: Fields, kind: str) -> Texture:
    """Make a procedural texture; keys that are not given keep the function's default."""
    if kind == 'checkerboard':
        entry.allow(
            ('rows', 'columns', 'square_m', 'quiet_zone', 'pixels_per_square', 'dark', 'light')
        )
        return procedural.checkerboard(
            entry.whole('rows', 6, 1),
            entry.whole('columns', 8, 1),
            entry.number('quiet_zone', 1.0, low=0.0),
            entry.whole('pixels_per_square', 32, 2),
            **_shades(entry),
        )
    options: dict[str, Any] = _shades(entry)
    own = {
        'grid': ('cells', 'line'),
        'brick': ('rows', 'columns', 'mortar', 'seed'),
        'wood': ('rings', 'seed'),
        'noise': ('cells', 'seed'),
    }[kind]
    entry.allow((*own, 'size', 'dark', 'light'))
    for name in (*own, 'size'):
        if name not in entry:
            continue
        if name in ('line', 'mortar'):
            options[name] = entry.number(name, low=0.0, high=1.0)
        elif name == 'cells' and kind == 'grid':
            across, down = entry.vector(name, size=2, low=1.0)
            options[name] = (int(across), int(down))
        else:
            options[name] = entry.whole(name)
    try:
        texture: Texture = getattr(procedural, kind)(**options)
    except SceneError as error:
        raise SceneError(f'{entry.where}: {error}') from error
    return texture


def _shades(entry: Fields) -> dict[str, Any]:
    return {name: entry.triple(name, high=1.0) for name in ('dark', 'light') if name in entry}


def _pose(entry: Fields) -> torch.Tensor:
    """Return the pose of an entry, (4, 4)."""
    position = entry.vector('position', (0.0, 0.0, 0.0))
    if 'quaternion' in entry and 'rpy' in entry:
        raise SceneError(f'{entry.where}: give quaternion or rpy, not both')
    try:
        if 'quaternion' in entry:
            return pose_from_quaternion(position, entry.vector('quaternion', size=4))
        if 'rpy' in entry:
            return pose_from_rpy(position, entry.vector('rpy'))
    except ValueError as error:
        raise (
            error if isinstance(error, SceneError) else SceneError(f'{entry.where}: {error}')
        ) from error
    return pose_from_rotation(position, torch.eye(3))


def _scale(entry: Fields) -> float | tuple[float, float, float]:
    if isinstance(entry.get('scale', 1.0), list):
        x, y, z = entry.vector('scale')
        return x, y, z
    return entry.number('scale', 1.0)


def _adjusted(mesh: Mesh, entry: Fields) -> Mesh:
    """Apply ``shading`` and ``uv_scale``."""
    shading = entry.choice('shading', 'file', ('file', 'flat', 'smooth'))
    if shading == 'flat':
        mesh = with_normals(mesh, None)
    elif shading == 'smooth':
        mesh = with_normals(mesh, smooth_normals(mesh))
    if 'uv_scale' in entry and mesh.uvs is not None:
        factor = torch.tensor(_extent(entry, 'uv_scale', 2))
        mesh = Mesh(mesh.vertices, mesh.faces, mesh.normals, mesh.uvs * factor, mesh.colors)
    return mesh


def _material(entry: Fields, reader: _MeshReader) -> Material:
    """Read a material; it replaces the one of a file as a whole."""
    entry.allow(_MATERIAL_KEYS)
    alpha = entry.number('alpha', 1.0, 0.0, 1.0)
    modes: dict[str, AlphaMode] = {'opaque': 'opaque', 'mask': 'mask', 'blend': 'blend'}
    usual = 'opaque' if alpha == 1.0 else 'blend'
    mode = modes[entry.choice('alpha_mode', usual, tuple(modes))]
    return Material(
        base_color=entry.triple('base_color', 1.0, high=1.0),
        metallic=entry.number('metallic', 0.0, 0.0, 1.0),
        roughness=entry.number('roughness', 1.0, 0.0, 1.0),
        emissive=entry.triple('emissive', 0.0),
        base_color_texture=reader.texture(entry, 'base_color_texture', True, mode != 'opaque'),
        metallic_roughness_texture=reader.texture(entry, 'metallic_roughness_texture', srgb=False),
        normal_texture=reader.texture(entry, 'normal_texture', srgb=False),
        double_sided=entry.flag('double_sided', True),
        emissive_texture=reader.texture(entry, 'emissive_texture', srgb=True),
        occlusion_texture=reader.texture(entry, 'occlusion_texture', srgb=False),
        alpha=alpha,
        alpha_mode=mode,
        alpha_cutoff=entry.number('alpha_cutoff', 0.5, low=0.0),
        occlusion_strength=entry.number('occlusion_strength', 1.0, 0.0, 1.0),
        normal_scale=entry.number('normal_scale', 1.0),
    )


def _environment(entry: Fields, folder: Path) -> Environment:
    """Read the environment."""
    entry.allow(('file', 'constant', 'rotation', 'intensity'))
    kind = entry.exactly_one(('file', 'constant'))
    intensity = entry.number('intensity', 1.0, low=0.0)
    if kind == 'constant':
        return constant_environment(entry.triple('constant'), intensity)
    try:
        return load_environment(
            folder / entry.text('file'), entry.number('rotation', 0.0), intensity
        )
    except SceneError as error:
        raise SceneError(f'{entry.at("file")}: {error}') from error
