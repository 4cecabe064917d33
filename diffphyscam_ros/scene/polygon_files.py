# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""STL and PLY: one part without a material, parsed by trimesh without its repairs."""

from __future__ import annotations

import io
import logging
from pathlib import Path
import re
from typing import Any
import warnings

import numpy as np
import torch

from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import read_bytes, TextureLoader
from diffphyscam_ros.scene.meshes import Array, build_mesh, weld
from diffphyscam_ros.scene.types import Instance, Material, Texture

SCAN_ROUGHNESS = 1.0
"""STL and PLY say nothing of gloss: paper, not plastic, is the neutral choice."""


def load_stl(path: Path) -> tuple[Instance, ...]:
    """Return the one part of an STL file, ASCII or binary, shaded flat.

    STL repeats every vertex for every triangle; those at the same place are joined. All solids
    of an ASCII file become one part.
    """
    from trimesh.exchange.stl import load_stl as parse

    data = read_bytes(path, 'mesh')
    _check_binary_stl(data, path)
    loaded = _parse(parse, data, path)
    solids = list(loaded['geometry'].values()) if 'geometry' in loaded else [loaded]
    corners = [np.asarray(solid['vertices'])[np.asarray(solid['faces'])] for solid in solids]
    if not corners:
        return ()
    soup = np.concatenate(corners).reshape(-1, 3).astype(np.float32)
    vertices, index = weld(soup)
    mesh = build_mesh(str(path), vertices, index.reshape(-1, 3))
    return (Instance(path.stem, mesh, Material(roughness=SCAN_ROUGHNESS), torch.eye(4)),)


def _check_binary_stl(data: bytes, path: Path) -> None:
    """Say how a binary file is broken; its parser only says that it is no ASCII either."""
    if data[:1000].lstrip()[:5].lower() == b'solid' and b'facet' in data[:1000].lower():
        return  # ASCII; some binary headers begin with "solid" too, but hold no facets
    if len(data) < 84:
        raise SceneError(f'mesh {path} is broken: {len(data)} bytes are less than an STL header')
    count = int.from_bytes(data[80:84], 'little')
    if len(data) != 84 + 50 * count:
        raise SceneError(
            f'mesh {path} is broken: its header promises {count} triangles '
            f'({84 + 50 * count} bytes), the file has {len(data)} bytes'
        )


def load_ply(path: Path, textures: TextureLoader) -> tuple[Instance, ...]:
    """Return the one part of a PLY file, ASCII or binary, with vertex or face colours (sRGB)."""
    from trimesh.exchange.ply import load_ply as parse

    data = read_bytes(path, 'mesh')
    if not data.startswith(b'ply'):
        raise SceneError(f'mesh {path} is broken: a PLY file begins with the word "ply"')
    loaded = _parse(parse, data, path, skip_materials=True)
    if loaded.get('faces') is None:
        return ()
    vertices, faces = _numbers(loaded['vertices'], path), _numbers(loaded['faces'], path)
    normals = loaded.get('vertex_normals')
    normals = None if normals is None else _numbers(normals, path)
    uvs = getattr(loaded.get('visual'), 'uv', None)
    colors = _linear_colors(loaded.get('vertex_colors'), path)
    if uvs is not None:
        uvs = _numbers(uvs, path) * (1.0, -1.0) + (0.0, 1.0)  # v from the top
    face_colors = _linear_colors(loaded.get('face_colors'), path)
    if colors is None and face_colors is not None and len(face_colors) == len(faces):
        # A colour for each face needs vertices of its own for each face.
        corners = faces.reshape(-1)
        vertices = vertices[corners]
        normals = None if normals is None else normals[corners]
        uvs = None if uvs is None else uvs[corners]
        colors = np.repeat(face_colors, 3, axis=0)
        faces = np.arange(len(corners)).reshape(-1, 3)
    if uvs is not None:
        # Splitting vertices at seams leaves the other attributes behind.
        normals = normals if normals is not None and len(normals) == len(vertices) else None
        colors = colors if colors is not None and len(colors) == len(vertices) else None
    mesh = build_mesh(str(path), vertices, faces, normals, uvs, colors)
    material = Material(
        roughness=SCAN_ROUGHNESS,
        base_color_texture=_ply_texture(data, path, textures) if uvs is not None else None,
    )
    return (Instance(path.stem, mesh, material, torch.eye(4)),)


def _parse(parse: Any, data: bytes, path: Path, **options: Any) -> dict[str, Any]:
    """Run a parser of trimesh, turning whatever a broken file makes it raise into one error."""
    log = logging.getLogger('trimesh')
    level = log.level
    log.setLevel(logging.ERROR)  # it reports what we report ourselves
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            loaded: dict[str, Any] = parse(io.BytesIO(data), **options)
            return loaded
    except Exception as error:
        # The parser documents no exception type: IndexError, KeyError, ValueError, struct.error
        # and others were seen.
        raise SceneError(
            f'mesh {path} is broken or cut short: {type(error).__name__}: {error}'
        ) from error
    finally:
        log.setLevel(level)


def _numbers(values: Any, path: Path) -> Array:
    """Return a table of numbers; a parser leaves texts or ragged lists in a broken file's."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim != 2 or array.dtype.kind not in 'iuf':
        raise SceneError(f'mesh {path} is broken: its rows differ in length or are no numbers')
    return array


def _linear_colors(colors: Any, path: Path) -> Array | None:
    """Return (N, 3) linear colours from integer codes or floats in 0..1, both sRGB."""
    if colors is None:
        return None
    values = _numbers(colors, path)[:, :3]
    if values.dtype.kind in 'iu':
        values = values.astype(np.float64) / np.iinfo(values.dtype).max
    linear: Array = srgb_to_linear(torch.from_numpy(values.astype(np.float32))).numpy()
    return linear


def _ply_texture(data: bytes, path: Path, textures: TextureLoader) -> Texture | None:
    """Return the picture that the header names in a comment, as MeshLab writes it."""
    header = data[: data.find(b'end_header')].decode('ascii', errors='replace')
    found = re.search(r'^comment\s+TextureFile\s+(.+?)\s*$', header, re.MULTILINE)
    return textures.file(path.parent / found.group(1), srgb=True) if found else None
