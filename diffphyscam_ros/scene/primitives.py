# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Box, sphere, cylinder, capsule, plane: centred, with normals and texture coordinates.

Sizes are metres and may be tensors: the vertices are then differentiable in them. As in URDF
and RViz, a cylinder stands along z. Faces are counter-clockwise seen from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.types import Mesh

Length = float | torch.Tensor


def _positive(value: Length | Sequence[float], name: str) -> torch.Tensor:
    """Return a length, or several, as float32, refusing what is not positive and finite."""
    tensor = torch.as_tensor(value, dtype=torch.float32)
    if not bool(((tensor > 0) & torch.isfinite(tensor)).all()):
        raise SceneError(f'{name} = {tensor.tolist()} m: must be positive and finite')
    return tensor


def _at_least(value: int, minimum: int, name: str) -> int:
    """Return a count, refusing one that leaves no solid."""
    if value < minimum:
        raise SceneError(f'{name} = {value}: must be at least {minimum}')
    return value


def _grid_faces(rows: int, columns: int) -> torch.Tensor:
    """Return the (2·rows·columns, 3) triangles of a grid of (rows+1)·(columns+1) vertices."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    corner = (row * (columns + 1) + column).reshape(-1)
    below = corner + columns + 1
    upper = torch.stack([corner, below, below + 1], dim=-1)
    lower = torch.stack([corner, below + 1, corner + 1], dim=-1)
    return torch.stack([upper, lower], dim=1).reshape(-1, 3).to(torch.int32)


def box(size: Length | Sequence[float]) -> Mesh:
    """Return a box of size (x, y, z), or a cube; each face shows the whole texture."""
    extent = _positive(size, 'box size').expand(3)
    corners = torch.tensor([[-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]])  # (right, up)
    uv = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    # Seen from outside: the normal, and the directions to the right and up on that face.
    frames = [
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
        ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
        ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
        ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
        ((0, 0, -1), (1, 0, 0), (0, -1, 0)),
    ]
    vertices, normals, faces = [], [], []
    for index, frame in enumerate(frames):
        normal, right, up = (torch.tensor(axis, dtype=torch.float32) for axis in frame)
        vertices.append(0.5 * normal + corners[:, :1] * right + corners[:, 1:] * up)
        normals.append(normal.expand(4, 3))
        faces.append(torch.tensor([[0, 1, 2], [0, 2, 3]]) + 4 * index)
    return Mesh(
        vertices=torch.cat(vertices) * extent,
        faces=torch.cat(faces).to(torch.int32),
        normals=torch.cat(normals),
        uvs=uv.repeat(6, 1),
    )


def sphere(radius: Length, segments: int = 48, rings: int = 24) -> Mesh:
    """Return a latitude-longitude sphere, its texture a world map with north at +z.

    :param segments: meridians, at least 3.
    :param rings: bands from pole to pole, at least 2.
    """
    scale = _positive(radius, 'sphere radius')
    _at_least(segments, 3, 'segments')
    _at_least(rings, 2, 'rings')
    v, u = torch.meshgrid(
        torch.linspace(0, 1, rings + 1), torch.linspace(0, 1, segments + 1), indexing='ij'
    )
    azimuth, polar = (u - 0.5) * 2 * math.pi, v * math.pi
    directions = torch.stack(
        [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], dim=-1
    )
    # sin(π) is not 0 in floating point: close the south pole and the seam.
    directions[-1, :, :2] = 0.0
    directions[:, -1] = directions[:, 0]
    faces = _grid_faces(rings, segments).reshape(rings, segments, 2, 3)
    # The triangles of the first and last band that would have no area at the pole go.
    first, last = faces[0, :, 0], faces[-1, :, 1]
    faces = torch.cat([first, faces[1:-1].reshape(-1, 3), last])
    normals = directions.reshape(-1, 3)
    return Mesh(
        vertices=normals * scale, faces=faces, normals=normals,
        uvs=torch.stack([u, v], dim=-1).reshape(-1, 2),
    )  # fmt: skip


def cylinder(radius: Length, height: Length, segments: int = 48) -> Mesh:
    """Return a closed cylinder along z; the texture goes once round the side and on each cap."""
    wide, tall = _positive(radius, 'cylinder radius'), _positive(height, 'cylinder height')
    _at_least(segments, 3, 'segments')
    u = torch.linspace(0, 1, segments + 1)
    azimuth = (u - 0.5) * 2 * math.pi
    circle = torch.stack([azimuth.cos(), azimuth.sin(), torch.zeros_like(u)], dim=-1)
    circle[-1] = circle[0]
    up = torch.tensor([0.0, 0.0, 1.0])
    side = torch.cat([circle + 0.5 * up, circle - 0.5 * up])
    side_uv = torch.cat(
        [torch.stack([u, torch.full_like(u, edge)], dim=-1) for edge in (0.0, 1.0)]
    )
    vertices, normals = [side], [circle, circle]
    uvs, faces = [side_uv], [_grid_faces(1, segments)]
    offset = len(side)
    following = torch.arange(segments)
    for sign in (1.0, -1.0):
        rim = circle[:-1]
        vertices.append(torch.cat([0.5 * sign * up[None], rim + 0.5 * sign * up]))
        normals.append((sign * up).expand(segments + 1, 3))
        disk = torch.stack([0.5 + 0.5 * rim[:, 0], 0.5 - 0.5 * sign * rim[:, 1]], dim=-1)
        uvs.append(torch.cat([torch.tensor([[0.5, 0.5]]), disk]))
        here, after = 1 + following, 1 + (following + 1) % segments
        pair = [here, after] if sign > 0 else [after, here]
        faces.append(torch.stack([torch.zeros_like(here), *pair], dim=-1) + offset)
        offset += segments + 1
    return Mesh(
        vertices=torch.cat(vertices) * torch.stack([wide, wide, tall]),
        faces=torch.cat(faces).to(torch.int32),
        normals=torch.cat(normals),
        uvs=torch.cat(uvs),
    )


def capsule(radius: Length, length: Length, segments: int = 48, rings: int = 12) -> Mesh:
    """Return a cylinder along z with half a sphere on each end, a texture going once round.

    :param length: of the cylinder between the two halves.
    :param rings: bands of each half, at least 1.
    """
    wide, tall = _positive(radius, 'capsule radius'), _positive(length, 'capsule length')
    _at_least(segments, 3, 'segments')
    _at_least(rings, 1, 'rings')
    quarter = torch.linspace(0.0, 0.5 * math.pi, rings + 1)
    polar = torch.cat([quarter, 0.5 * math.pi + quarter])[:, None]
    u = torch.linspace(0, 1, segments + 1)
    azimuth = ((u - 0.5) * 2 * math.pi)[None]
    directions = torch.stack(
        [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos().expand(-1, len(u))],
        dim=-1,
    )
    # Exact poles, equator and seam, as in the sphere.
    directions[-1, :, :2] = 0.0
    directions[rings : rings + 2, :, 2] = 0.0
    directions[:, -1] = directions[:, 0]
    up = torch.tensor([0.0, 0.0, 0.5])
    ends = torch.cat([up.expand(rings + 1, 3), -up.expand(rings + 1, 3)])[:, None] * tall
    way = torch.cat([quarter * wide, (0.5 * math.pi + quarter) * wide + tall])
    v = (way / way[-1])[:, None].expand(-1, len(u))
    faces = _grid_faces(2 * rings + 1, segments).reshape(2 * rings + 1, segments, 2, 3)
    faces = torch.cat([faces[0, :, 0], faces[1:-1].reshape(-1, 3), faces[-1, :, 1]])
    return Mesh(
        vertices=(directions * wide + ends).reshape(-1, 3),
        faces=faces,
        normals=directions.reshape(-1, 3),
        uvs=torch.stack([u.expand(len(polar), -1), v], dim=-1).reshape(-1, 2),
    )


def plane(size_x: Length, size_y: Length, subdivisions: int = 1) -> Mesh:
    """Return a rectangle in z = 0 that faces +z.

    The texture is upright for one who looks down on it with +x to the right and +y up: its
    top-left corner is at (-size_x/2, +size_y/2).

    :param subdivisions: squares along each side.
    """
    extent = torch.stack([_positive(size_x, 'plane size_x'), _positive(size_y, 'plane size_y')])
    _at_least(subdivisions, 1, 'subdivisions')
    steps = torch.linspace(0, 1, subdivisions + 1)
    v, u = torch.meshgrid(steps, steps, indexing='ij')
    uv = torch.stack([u, v], dim=-1).reshape(-1, 2)
    flat = (uv - 0.5) * torch.tensor([1.0, -1.0]) * extent
    return Mesh(
        vertices=torch.cat([flat, torch.zeros(len(flat), 1)], dim=-1),
        faces=_grid_faces(subdivisions, subdivisions),
        normals=torch.tensor([0.0, 0.0, 1.0]).expand(len(flat), 3).contiguous(),
        uvs=uv,
    )
