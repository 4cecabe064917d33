# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""glTF 2.0 (.gltf, .glb): nodes, meshes, materials and lights.

Read here rather than by a general library, which would round colour factors to 8 bit, turn
texture coordinates over and leave the lights out. Not read, and said once for each file:
skins, morph targets, most extensions.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
import warnings

import numpy as np
import torch

from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.gltf_buffers import GltfDocument
from diffphyscam_ros.scene.gltf_materials import MaterialReader
from diffphyscam_ros.scene.images import TextureLoader
from diffphyscam_ros.scene.meshes import Array, build_mesh
from diffphyscam_ros.scene.photometry import NOMINAL_ILLUMINANCE, photometric_scale
from diffphyscam_ros.scene.transforms import pose_from_quaternion
from diffphyscam_ros.scene.types import (
    DirectionalLight,
    Instance,
    Light,
    Mesh,
    PointLight,
    SpotLight,
)

_KNOWN_EXTENSIONS = {
    'KHR_lights_punctual', 'KHR_texture_transform', 'KHR_mesh_quantization',
    'KHR_materials_emissive_strength', 'KHR_materials_pbrSpecularGlossiness',
    'EXT_texture_webp', 'KHR_materials_unlit',
}  # fmt: skip


def load_gltf(
    path: Path, textures: TextureLoader, nominal_illuminance: float = NOMINAL_ILLUMINANCE
) -> tuple[tuple[Instance, ...], tuple[Light, ...]]:
    """Return the parts and lights of a file, in glTF's own frame (y up).

    :param nominal_illuminance: lux that make radiance 1, see ``photometric_scale``.
    """
    document = GltfDocument(path)
    required = set(document.tree.get('extensionsRequired', []))
    missing = sorted(required - _KNOWN_EXTENSIONS)
    if missing:
        raise document.error(
            f'it requires the extension {", ".join(missing)}, which is not supported; export it '
            'without (for Draco or meshopt: without compression)'
        )
    reader = _SceneReader(document, textures, photometric_scale(nominal_illuminance))
    try:
        reader.read()
    except SceneError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A document of the wrong shape: texts for numbers, lists for mappings, absent entries.
        raise document.error(f'it is malformed: {type(error).__name__}: {error}') from error
    if reader.left_out or reader.materials.left_out:
        names = sorted(reader.left_out | reader.materials.left_out)
        warnings.warn(f'{path}: {", ".join(names)} left out', SceneWarning, stacklevel=3)
    return tuple(reader.instances), tuple(reader.lights)


class _SceneReader:
    """Walks the nodes of a document and collects instances and lights."""

    def __init__(self, document: GltfDocument, textures: TextureLoader, lux: float) -> None:
        self.document = document
        self.materials = MaterialReader(document, textures)
        self.lux = lux
        self.instances: list[Instance] = []
        self.lights: list[Light] = []
        self.left_out: set[str] = set()
        self._meshes: dict[tuple[int, int], Mesh | None] = {}

    def read(self) -> None:
        """Walk the default scene, or every root where the file names no scene."""
        tree = self.document.tree
        nodes = tree.get('nodes', [])
        if tree.get('scenes'):
            roots = self.document.item('scenes', tree.get('scene', 0)).get('nodes', [])
        else:
            children = {child for node in nodes for child in node.get('children', [])}
            roots = [index for index in range(len(nodes)) if index not in children]
        pending = [(index, torch.eye(4, dtype=torch.float64)) for index in reversed(roots)]
        visited: set[int] = set()
        while pending:
            index, parent = pending.pop()
            node = self.document.item('nodes', index)
            if index in visited:
                raise self.document.error(f'node {index} has two parents or is its own ancestor')
            visited.add(index)
            pose = parent @ self._local(node, index)
            self._place(node, index, pose)
            pending += [(child, pose) for child in reversed(node.get('children', []))]

    def _local(self, node: dict[str, Any], index: int) -> torch.Tensor:
        """Return a node's transform to its parent, (4, 4) float64."""
        try:
            if 'matrix' in node:
                columns = torch.tensor(node['matrix'], dtype=torch.float64).reshape(4, 4)
                return columns.T.contiguous()
            pose = pose_from_quaternion(
                torch.tensor(node.get('translation', [0.0, 0.0, 0.0]), dtype=torch.float64),
                torch.tensor(node.get('rotation', [0.0, 0.0, 0.0, 1.0]), dtype=torch.float64),
            )
            scale = torch.tensor([*node.get('scale', [1.0, 1.0, 1.0]), 1.0], dtype=torch.float64)
            return pose * scale
        except (ValueError, TypeError, RuntimeError) as error:
            raise self.document.error(
                f'the transform of node {index} is no pose: {error}'
            ) from error

    def _place(self, node: dict[str, Any], index: int, pose: torch.Tensor) -> None:
        """Add what hangs on one node."""
        if 'skin' in node:
            self.left_out.add('skins')
        if 'mesh' in node:
            mesh = self.document.item('meshes', node['mesh'])
            name = str(node.get('name') or mesh.get('name') or f'node_{index}')
            for place, primitive in enumerate(mesh.get('primitives', [])):
                geometry = self._mesh(node['mesh'], place, primitive)
                if geometry is not None:
                    material = self.materials.material(primitive.get('material'))
                    self.instances.append(
                        Instance(name, geometry, material, pose.to(torch.float32))
                    )
        punctual = node.get('extensions', {}).get('KHR_lights_punctual')
        if punctual is not None:
            self._light(punctual.get('light'), pose)

    def _mesh(self, mesh: int, place: int, primitive: dict[str, Any]) -> Mesh | None:
        """Return one primitive's triangles, the same object wherever the file reuses it."""
        key = (mesh, place)
        if key not in self._meshes:
            self._meshes[key] = self._read_mesh(mesh, place, primitive)
        return self._meshes[key]

    def _read_mesh(self, mesh: int, place: int, primitive: dict[str, Any]) -> Mesh | None:
        mode = primitive.get('mode', 4)
        attributes = primitive.get('attributes', {})
        if mode not in (4, 5, 6):
            self.left_out.add('points and lines')
            return None
        if 'POSITION' not in attributes:
            return None
        if 'targets' in primitive:
            self.left_out.add('morph targets')
        document = self.document
        vertices = document.accessor(attributes['POSITION'])
        if 'indices' in primitive:
            indices = document.accessor(primitive['indices']).astype(np.int64).reshape(-1)
        else:
            indices = np.arange(len(vertices))
        faces = _triangles(indices, mode)
        if not len(faces):
            return None
        normals = document.accessor(attributes['NORMAL']) if 'NORMAL' in attributes else None
        colors = None
        if 'COLOR_0' in attributes:  # linear by the specification
            colors = document.accessor(attributes['COLOR_0'])[:, :3]
        uvs = self.materials.texture_coordinates(primitive, attributes)
        source = f'{document.path} (mesh {mesh}, primitive {place})'
        return build_mesh(source, vertices, faces, normals, uvs, colors)

    def _light(self, index: Any, pose: torch.Tensor) -> None:
        """Add a light: it shines along its node's -z."""
        lights = self.document.tree.get('extensions', {}).get('KHR_lights_punctual', {})
        entries = lights.get('lights', [])
        if not isinstance(index, int) or not 0 <= index < len(entries):
            raise self.document.error(f'it names light {index}, but has {len(entries)} of them')
        entry = entries[index]
        strength = float(entry.get('intensity', 1.0)) * self.lux
        red, green, blue = (strength * float(c) for c in entry.get('color', [1.0, 1.0, 1.0]))
        if entry.get('type') == 'directional':
            x, y, z = (-pose[:3, 2]).tolist()
            self.lights.append(DirectionalLight((x, y, z), (red, green, blue)))
            return
        x, y, z = pose[:3, 3].tolist()
        if entry.get('type') == 'spot':
            along_x, along_y, along_z = (-pose[:3, 2]).tolist()
            cone = entry.get('spot', {})
            inner = float(cone.get('innerConeAngle', 0.0))
            outer = float(cone.get('outerConeAngle', math.pi / 4.0))
            if not 0.0 <= inner < outer <= math.pi / 2.0 + 1e-6:
                raise self.document.error(
                    f'light {index} has a cone from {inner} to {outer} rad: must be '
                    '0 <= innerConeAngle < outerConeAngle <= pi/2'
                )
            axis = (along_x, along_y, along_z)
            self.lights.append(SpotLight((x, y, z), axis, (red, green, blue), inner, outer))
            return
        self.lights.append(PointLight((x, y, z), (red, green, blue)))


def _triangles(indices: Array, mode: int) -> Array:
    """Return (F, 3) from a list (mode 4), a strip (5) or a fan (6)."""
    if mode == 4:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    count = max(len(indices) - 2, 0)
    first = np.arange(count)
    if mode == 6:
        return np.stack([np.full(count, indices[0] if count else 0),
                         indices[first + 1], indices[first + 2]], axis=1)  # fmt: skip
    odd = first % 2  # every other triangle of a strip is turned round
    return np.stack([indices[first], indices[first + 1 + odd], indices[first + 2 - odd]], axis=1)
