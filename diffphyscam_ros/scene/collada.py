# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""COLLADA (.dae), as robots' visual meshes often come; needs the package pycollada.

As in RViz, the file's unit is applied and its ``up_axis`` is not. Of a material its diffuse
colour or texture, its emission, its shininess (sRGB, as in MTL) and a plain transparency are read;
lights, cameras and skins are left out.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
import warnings

import numpy as np
import torch

from diffphyscam_ros.scene.colors import linear_from_srgb_color, srgb_to_linear
from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import read_bytes, TextureLoader
from diffphyscam_ros.scene.meshes import build_mesh
from diffphyscam_ros.scene.types import Instance, Material, Mesh, Texture


def load_collada(path: Path, textures: TextureLoader) -> tuple[Instance, ...]:
    """Return the parts of a COLLADA file, its nodes' transforms applied to the vertices."""
    try:
        import collada  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise SceneError(
            f'{path} needs the package pycollada, which is not installed: '
            'pip install pycollada (or apt install python3-collada)'
        ) from error

    data = read_bytes(path, 'mesh')
    ignored = [collada.common.DaeUnsupportedError, collada.common.DaeBrokenRefError]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            warnings.simplefilter('ignore', PendingDeprecationWarning)
            document = collada.Collada(io.BytesIO(data), ignore=ignored)
            nodes = [] if document.scene is None else list(document.scene.objects('geometry'))
            parts = [part for node in nodes for part in _parts(node, path, textures)]
    except SceneError:
        raise
    except Exception as error:
        # Broken XML, missing sources, wrong counts: the parser raises many types.
        raise SceneError(
            f'mesh {path} is broken or cut short: {type(error).__name__}: {error}'
        ) from error
    unit = float(document.assetInfo.unitmeter or 1.0)
    pose = torch.diag(torch.tensor([unit, unit, unit, 1.0]))
    return tuple(Instance(name, mesh, material, pose) for name, mesh, material in parts)


def _parts(node: Any, path: Path, textures: TextureLoader) -> list[tuple[str, Mesh, Material]]:
    """Return the parts of one placed geometry: one for each set of triangles."""
    found = []
    for primitive in node.primitives():
        if hasattr(primitive, 'triangleset'):
            primitive = primitive.triangleset()
        if not hasattr(primitive, 'ntriangles') or not primitive.ntriangles:
            continue  # lines
        name = node.original.name or node.original.id or path.stem
        material = primitive.material
        effect = getattr(material, 'effect', None)
        paint = Material() if effect is None else _material(effect, path, textures)
        found.append((str(name), _mesh(primitive, f'{path} ({name})'), paint))
    return found


def _mesh(primitive: Any, source: str) -> Mesh:
    """Give each distinct combination of indices a vertex."""
    tables = [primitive.vertex]
    indices = [primitive.vertex_index]
    has_normals = primitive.normal is not None and primitive.normal_index is not None
    has_uvs = len(primitive.texcoordset) > 0
    if has_normals:
        tables.append(primitive.normal)
        indices.append(primitive.normal_index)
    if has_uvs:
        tables.append(primitive.texcoordset[0])
        indices.append(primitive.texcoord_indexset[0])
    color_sources = primitive.original.sources.get('COLOR', [])
    if color_sources:
        tables.append(color_sources[0][4].data)
        indices.append(primitive.original.index[:, :, color_sources[0][0]])
    corners = np.stack([np.asarray(index).reshape(-1) for index in indices], axis=1)
    distinct, inverse = np.unique(corners, axis=0, return_inverse=True)
    columns = iter(np.asarray(table)[distinct[:, place]] for place, table in enumerate(tables))
    vertices = next(columns)
    normals = next(columns) if has_normals else None
    uvs = next(columns)[:, :2] * (1.0, -1.0) + (0.0, 1.0) if has_uvs else None  # v from the top
    colors = None
    if color_sources:
        colors = srgb_to_linear(torch.from_numpy(np.asarray(next(columns))[:, :3])).numpy()
    return build_mesh(source, vertices, inverse.reshape(-1, 3), normals, uvs, colors)


def _material(effect: Any, path: Path, textures: TextureLoader) -> Material:
    """Translate a COLLADA effect."""
    texture: Texture | None = None
    color = (1.0, 1.0, 1.0)
    if hasattr(effect.diffuse, 'sampler'):
        picture = effect.diffuse.sampler.surface.image.path
        texture = textures.file(path.parent / str(picture).removeprefix('file://'), srgb=True)
    elif effect.diffuse is not None:
        color = _rgb(effect.diffuse)
    emissive = (0.0, 0.0, 0.0)
    if effect.emission is not None and not hasattr(effect.emission, 'sampler'):
        emissive = _rgb(effect.emission)
    alpha = _alpha(effect)
    roughness = 1.0
    specular = effect.specular
    shiny = specular is not None and (hasattr(specular, 'sampler') or any(_rgb(specular)))
    if effect.shininess is not None and not hasattr(effect.shininess, 'sampler') and shiny:
        roughness = (2.0 / (max(float(effect.shininess), 0.0) + 2.0)) ** 0.25
    return Material(
        base_color=color,
        roughness=roughness,
        emissive=emissive,
        base_color_texture=texture,
        alpha=alpha,
        alpha_mode='opaque' if alpha == 1.0 else 'blend',
    )


def _alpha(effect: Any) -> float:
    """Return the opacity that an effect states by ``transparent`` and ``transparency``.

    What would be invisible is shown opaque: many exporters state the inverse of what they mean.
    """
    color, amount = effect.transparent, effect.transparency
    if hasattr(color, 'sampler') or hasattr(amount, 'sampler'):
        return 1.0
    color = (0.0, 0.0, 0.0, 1.0) if color is None else color
    share = 1.0 if amount is None else float(amount)
    if str(effect.opaque_mode) == 'RGB_ZERO':
        red, green, blue = (float(value) for value in color[:3])
        alpha = 1.0 - share * (0.212671 * red + 0.715160 * green + 0.072169 * blue)
    else:
        alpha = share * float(color[3]) if len(color) > 3 else share
    return alpha if 0.0 < alpha < 1.0 else 1.0


def _rgb(value: Any) -> tuple[float, float, float]:
    """Return an sRGB colour of the file as linear numbers."""
    return linear_from_srgb_color(tuple(min(max(float(item), 0.0), 1.0) for item in value[:3]))
