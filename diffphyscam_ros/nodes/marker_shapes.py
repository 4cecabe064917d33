# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The shapes of visualization_msgs/Marker as meshes, in the proportions that RViz gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import functools
import itertools

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.scene.primitives import box, cylinder, sphere
from diffphyscam_ros.scene.types import Mesh

Array = npt.NDArray[np.float64]

HEAD_SHARE = 0.23
"""The part of an arrow's length that is its head, where the marker does not say."""

ARROW_SEGMENTS = 24


@dataclass(frozen=True)
class Solid:
    """Triangles that are copied many times: (V, 3) vertices and normals, (F, 3) faces."""

    vertices: Array
    normals: Array
    faces: npt.NDArray[np.int64]


@functools.cache
def unit_box() -> Mesh:
    """Return a cube of edge 1 m."""
    return box(1.0)


@functools.cache
def unit_sphere() -> Mesh:
    """Return a sphere of diameter 1 m."""
    return sphere(0.5)


@functools.cache
def unit_cylinder() -> Mesh:
    """Return a cylinder of diameter and height 1 m, along z."""
    return cylinder(0.5, 1.0)


@functools.cache
def unit_arrow() -> Mesh:
    """Return RViz's arrow along x for scale (1, 1, 1): length 1, shaft 1 thick, head 2."""
    return _mesh([_arrow_solid(1.0 - HEAD_SHARE, 1.0, HEAD_SHARE, 2.0)])


@functools.cache
def box_solid() -> Solid:
    """Return the cube of edge 1 as arrays."""
    return _solid(unit_box())


@functools.cache
def sphere_solid() -> Solid:
    """Return a coarse sphere of diameter 1, for lists of many."""
    return _solid(sphere(0.5, segments=16, rings=8))


def copies(
    solid: Solid, places: Array, scale: Sequence[float], colors: Array | None = None
) -> Mesh:
    """Return one mesh of a solid scaled and put at each place.

    :param places: (N, 3) m.
    :param colors: (N, 3) linear, or None.
    """
    factors = np.asarray(scale, np.float64)
    count, size = len(places), len(solid.vertices)
    vertices = places[:, None] + (solid.vertices * factors)[None]
    normals = _normalised(solid.normals / factors)
    faces = solid.faces[None] + (size * np.arange(count))[:, None, None]
    return build(
        vertices.reshape(-1, 3),
        faces.reshape(-1, 3),
        np.broadcast_to(normals, (count, size, 3)).reshape(-1, 3),
        None if colors is None else np.repeat(colors, size, axis=0),
    )


def lines(starts: Array, ends: Array, width: float, colors: Array | None = None) -> Mesh | None:
    """Return segments as square bars; None where all have zero length.

    :param starts: (N, 3) m, and so ``ends``.
    :param colors: (N, 2, 3) linear, at the start and at the end, or None.
    """
    along = ends - starts
    length = np.linalg.norm(along, axis=1)
    real = length > 0.0
    if not real.any():
        return None
    starts, ends, along, length = starts[real], ends[real], along[real], length[real]
    frames = _frames(along / length[:, None])  # (N, 3, 3), columns: along, side, up
    solid = box_solid()
    shape = np.stack([length, np.full_like(length, width), np.full_like(length, width)], axis=1)
    local = solid.vertices[None] * shape[:, None]
    vertices = np.einsum('nij,nvj->nvi', frames, local) + ((starts + ends) / 2.0)[:, None]
    normals = np.einsum('nij,vj->nvi', frames, solid.normals)
    size = len(solid.vertices)
    faces = solid.faces[None] + (size * np.arange(len(starts)))[:, None, None]
    vertex_colors = None
    if colors is not None:
        vertex_colors = colors[real][:, (solid.vertices[:, 0] > 0).astype(int)].reshape(-1, 3)
    return build(
        vertices.reshape(-1, 3), faces.reshape(-1, 3), normals.reshape(-1, 3), vertex_colors
    )


def arrows(points: Array, scale: Sequence[float]) -> Mesh | None:
    """Return arrows from each point to the next; None where all have zero length.

    :param points: (N, 3) m, N >= 2.
    :param scale: shaft diameter, head diameter, head length (0: a share of the length).
    """
    solids = []
    for start, end in itertools.pairwise(points):
        length = float(np.linalg.norm(end - start))
        if length == 0.0:
            continue
        head = min(scale[2], length) if scale[2] > 0 else HEAD_SHARE * length
        arrow = _arrow_solid(length - head, scale[0], head, scale[1])
        frame = _frames(((end - start) / length)[None])[0]
        solids.append(
            Solid(arrow.vertices @ frame.T + start, arrow.normals @ frame.T, arrow.faces)
        )
    return _mesh(solids) if solids else None


def triangles(
    points: Array, scale: Sequence[float], colors: Array | None, uvs: Array | None = None
) -> Mesh:
    """Return a triangle list, flat shaded.

    :param points: (3F, 3).
    :param colors: (3F, 3) or (F, 3) linear, or None.
    :param uvs: (3F, 2), (0, 0) at the top left, or None.
    """
    if colors is not None and len(colors) != len(points):
        colors = np.repeat(colors, 3, axis=0)
    faces = np.arange(len(points)).reshape(-1, 3)
    return build(points * np.asarray(scale, np.float64), faces, None, colors, uvs)


def build(
    vertices: Array,
    faces: npt.NDArray[np.int64],
    normals: Array | None = None,
    colors: Array | None = None,
    uvs: Array | None = None,
) -> Mesh:
    """Return a mesh of arrays."""

    def tensor(values: Array | None) -> torch.Tensor | None:
        if values is None:
            return None
        return torch.from_numpy(np.array(values, np.float32))

    return Mesh(
        vertices=torch.from_numpy(np.array(vertices, np.float32)),
        faces=torch.from_numpy(np.array(faces, np.int32)),
        normals=tensor(normals),
        uvs=tensor(uvs),
        colors=tensor(colors),
    )


def _solid(mesh: Mesh) -> Solid:
    assert mesh.normals is not None  # the primitives have them
    return Solid(
        mesh.vertices.double().numpy(), mesh.normals.double().numpy(), mesh.faces.long().numpy()
    )


def _joined(solids: Sequence[Solid]) -> Solid:
    offsets = np.cumsum([0, *(len(item.vertices) for item in solids)])
    return Solid(
        np.concatenate([item.vertices for item in solids]),
        np.concatenate([item.normals for item in solids]),
        np.concatenate([item.faces + o for item, o in zip(solids, offsets, strict=False)]),
    )


def _mesh(solids: Sequence[Solid]) -> Mesh:
    """Return one mesh of several solids."""
    whole = _joined(solids)
    return build(whole.vertices, whole.faces, whole.normals)


def _arrow_solid(shaft: float, thickness: float, head: float, width: float) -> Solid:
    """Return an arrow along x from the origin: a cylinder and a cone, both closed."""
    angle = np.linspace(0.0, 2.0 * np.pi, ARROW_SEGMENTS, endpoint=False)
    circle = np.stack([np.zeros_like(angle), np.cos(angle), np.sin(angle)], axis=1)
    back = np.tile([-1.0, 0.0, 0.0], (ARROW_SEGMENTS, 1))
    tail, end = circle * thickness / 2, np.array([shaft, 0.0, 0.0])
    neck, rim = tail + end, circle * width / 2 + end
    tip = np.tile([shaft + head, 0.0, 0.0], (ARROW_SEGMENTS, 1))
    slope = _normalised(circle * head + np.array([width / 2, 0.0, 0.0]))
    here = np.arange(ARROW_SEGMENTS)
    following = (here + 1) % ARROW_SEGMENTS
    rising = np.stack([here, following, following + ARROW_SEGMENTS], axis=1)
    closing = np.stack([here, following + ARROW_SEGMENTS, here + ARROW_SEGMENTS], axis=1)
    parts = [
        Solid(
            np.concatenate([tail, neck]),
            np.concatenate([circle, circle]),
            np.concatenate([rising, closing]),
        ),
        # At the tip the closing triangles would have no area.
        Solid(np.concatenate([rim, tip]), np.concatenate([slope, slope]), rising),
    ]
    fan = np.stack([np.zeros_like(here[1:-1]), following[1:-1], here[1:-1]], axis=1)
    parts += [Solid(tail, back, fan), Solid(rim, back, fan)]
    return _joined(parts)


def _frames(direction: Array) -> Array:
    """Return (N, 3, 3) rotations whose first column is the unit direction (N, 3)."""
    helper = np.where(np.abs(direction[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    side = _normalised(np.cross(helper, direction))
    return np.stack([direction, side, np.cross(direction, side)], axis=2)


def _normalised(vectors: Array) -> Array:
    result: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return result
