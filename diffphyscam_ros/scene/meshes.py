# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From arrays in a file to a checked mesh; and the operations on meshes that loaders share."""

from __future__ import annotations

from typing import Any
import warnings

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.types import Mesh

Array = npt.NDArray[Any]


def build_mesh(
    source: str,
    vertices: Array,
    faces: Array,
    normals: Array | None = None,
    uvs: Array | None = None,
    colors: Array | None = None,
) -> Mesh:
    """Check what a file gave and return it as a mesh.

    Normals are normalised; those without length are taken from the faces around. Attributes
    with a wrong number of rows are left out with a warning.

    :param source: file (and part), for messages.
    :param colors: (V, 3) linear.
    :raises SceneError: for vertices that are not finite and indices that are out of range.
    """
    with np.errstate(over='ignore'):
        points = np.ascontiguousarray(vertices, dtype=np.float32).reshape(-1, 3)
    bad = int((~np.isfinite(points).all(axis=1)).sum())
    if bad:
        raise SceneError(
            f'{source}: {bad} of {len(points)} vertices are NaN or infinite; repair the mesh'
        )
    triangles = np.ascontiguousarray(faces, dtype=np.int64).reshape(-1, 3)
    outside = (triangles < 0) | (triangles >= len(points))
    if outside.any():
        raise SceneError(
            f'{source}: {int(outside.any(axis=1).sum())} of {len(triangles)} triangles name a '
            f'vertex outside 0..{len(points) - 1} (the first: {int(triangles[outside][0])}); '
            'repair the mesh'
        )
    mesh = Mesh(
        vertices=torch.from_numpy(points),
        faces=torch.from_numpy(triangles.astype(np.int32)),
        uvs=_attribute(uvs, len(points), 2, source, 'texture coordinates'),
        colors=_attribute(colors, len(points), 3, source, 'vertex colours'),
    )
    directions = _attribute(normals, len(points), 3, source, 'normals')
    if directions is None:
        return mesh
    return with_normals(mesh, _unit_normals(mesh, directions))


def _attribute(
    values: Array | None, count: int, width: int, source: str, what: str
) -> torch.Tensor | None:
    """Return one attribute as (V, width) float32, or None where it cannot be used."""
    if values is None:
        return None
    if values.ndim != 2 or len(values) != count or values.shape[1] < width:
        warnings.warn(
            f'{source}: {what} of shape {values.shape} for {count} vertices are left out',
            SceneWarning,
            stacklevel=3,
        )
        return None
    array = np.ascontiguousarray(values[:, :width], dtype=np.float32)
    if what != 'normals' and not np.isfinite(array).all():
        warnings.warn(
            f'{source}: {what} that are NaN or infinite are taken as 0', SceneWarning, stacklevel=3
        )
        array = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
    return torch.from_numpy(array)


def _unit_normals(mesh: Mesh, normals: torch.Tensor) -> torch.Tensor:
    """Normalise; where that is impossible, take the mean of the faces around."""
    length = torch.linalg.vector_norm(normals, dim=1, keepdim=True)
    usable = torch.isfinite(length) & (length > 1e-12)
    if bool(usable.all()):
        return normals / length
    around = smooth_normals(mesh)
    return torch.where(usable, torch.nan_to_num(normals / length), around)


def with_normals(mesh: Mesh, normals: torch.Tensor | None) -> Mesh:
    """Return the same mesh with other normals, None for flat shading."""
    return Mesh(mesh.vertices, mesh.faces, normals, mesh.uvs, mesh.colors)


def smooth_normals(mesh: Mesh) -> torch.Tensor:
    """Return area-weighted vertex normals (V, 3), differentiable in the vertices.

    Vertices at one place share a normal, so that texture seams do not show. A vertex without
    any area around it gets (0, 0, 1).
    """
    places = torch.from_numpy(_places(mesh.vertices.detach().cpu().numpy())).to(mesh.faces.device)
    corners = mesh.vertices[mesh.faces.long()]  # (F, 3, 3)
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(mesh.vertices)
    index = places[mesh.faces.long()]
    for corner in range(3):
        total = total.index_add(0, index[:, corner], area)
    total = total[places]
    square = (total * total).sum(dim=1, keepdim=True)
    empty = square < 1e-30
    up = torch.tensor([0.0, 0.0, 1.0], dtype=total.dtype, device=total.device)
    return torch.where(empty, up, total) / torch.where(empty, 1.0, square).sqrt()


def weld(vertices: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """Join vertices whose coordinates are bit for bit the same: STL repeats them per triangle.

    Loses nothing where there are no other attributes, and makes the mesh about six times
    smaller.

    :return: the distinct vertices in the order of their first appearance, and for each given
        vertex its place among them.
    """
    places = _places(vertices)
    is_first = places == np.arange(len(places))
    number = np.cumsum(is_first) - 1
    return vertices[is_first], number[places]


def _places(vertices: Array) -> npt.NDArray[np.int64]:
    """Return for each vertex the index of the first vertex with the same coordinates."""
    points = np.ascontiguousarray(vertices, dtype=np.float32) + np.float32(0.0)  # -0 becomes 0
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    bits = points.view(np.uint32).astype(np.uint64)
    # Sorting one 64-bit hash a vertex is several times quicker than sorting rows. Rows that
    # collide without being equal are found out below and kept apart.
    with np.errstate(over='ignore'):
        mixed = bits[:, 0] * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) + bits[:, 1] * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(32))) + bits[:, 2] * np.uint64(0x94D049BB133111EB)
    order = np.argsort(mixed)
    ordered = mixed[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    first = np.minimum.reduceat(order, starts)
    places = np.empty(len(points), dtype=np.int64)
    places[order] = np.repeat(first, np.diff(np.concatenate([starts, [len(points)]])))
    different = (points[places] != points).any(axis=1)
    places[different] = np.flatnonzero(different)
    return places


def fan(polygon_sizes: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cut polygons into triangles that all start at the polygon's first corner.

    :param polygon_sizes: (P,) corners of each polygon, as they follow one another in a list.
    :return: (T, 3) positions in that list, and (T,) the polygon of each triangle. Polygons
        with fewer than 3 corners give none.
    """
    sizes = np.asarray(polygon_sizes, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else sizes
    counts = np.maximum(sizes - 2, 0)
    polygon = np.repeat(np.arange(len(sizes)), counts)
    before = np.cumsum(counts) - counts
    step = np.arange(int(counts.sum())) - before[polygon]
    first = starts[polygon]
    return np.stack([first, first + step + 1, first + step + 2], axis=1), polygon
