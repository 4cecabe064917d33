# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All meshes of a scene as one: concatenated vertices and faces, and where each belongs."""

from __future__ import annotations

from dataclasses import dataclass, replace
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.bounds import find_bounds
from diffphyscam_ros.render.cache import needs_grad
from diffphyscam_ros.scene.types import Instance, Mesh

VERTEX_BLOCK = 2048
FACE_BLOCK = 512
LARGEST = 1e9  # m; squares of areas beyond it would overflow in float32


@dataclass(frozen=True)
class Geometry:
    """The meshes of all instances, in mesh frames, one after the other.

    :param vertices: (V, 3).
    :param faces: (F, 3) int32, numbers of vertices.
    :param face_instance: (F,) int32.
    :param vertex_instance: (V,) int64.
    :param normals: (V, 3), zeros where a mesh has none; (1, 3) where no mesh has any.
    :param uvs: (V, 2), and ``colors`` (V, 3), likewise.
    :param vertex_blocks: (K, 3) int64 rows (instance, first vertex, end) of work for the CPU
        kernels; ``face_blocks`` likewise for faces.
    """

    vertices: torch.Tensor
    faces: torch.Tensor
    face_instance: torch.Tensor
    vertex_instance: torch.Tensor
    normals: torch.Tensor
    uvs: torch.Tensor
    colors: torch.Tensor
    vertex_blocks: npt.NDArray[np.int64]
    face_blocks: npt.NDArray[np.int64]

    @functools.cached_property
    def face_bounds(self) -> npt.NDArray[np.float64]:
        """Boxes (K, 6) around the blocks of faces: least x, y, z and greatest, mesh frames."""
        bounds = np.empty((len(self.face_blocks), 6))
        vertices = self.vertices.detach().to('cpu', torch.float32).numpy()
        find_bounds(vertices, self.faces.cpu().numpy(), self.face_blocks, bounds)
        return bounds


def mesh_needs_grad(mesh: Mesh) -> bool:
    """Return whether a gradient is asked of any tensor of a mesh."""
    return any(needs_grad(t) for t in (mesh.vertices, mesh.normals, mesh.uvs, mesh.colors))


def on_cpu(geometry: Geometry) -> Geometry:
    """Return the geometry with its tensors on the CPU; itself where they are there."""
    if geometry.faces.device.type == 'cpu':
        return geometry
    moved: dict[str, Any] = {
        name: value.cpu()
        for name, value in vars(geometry).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(geometry, **moved)


def check_mesh(instance: Instance) -> None:
    """Refuse a mesh whose arrays do not fit together.

    :raises ValueError: naming the instance, the array, its shape and the allowed one.
    """
    mesh = instance.mesh
    count = mesh.vertices.shape[0]
    expected = {
        'vertices': (count, 3),
        'faces': (mesh.faces.shape[0], 3),
        'normals': (count, 3),
        'uvs': (count, 2),
        'colors': (count, 3),
    }
    for name, shape in expected.items():
        tensor = getattr(mesh, name)
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f'{name} of instance {instance.name!r} has shape {tuple(tensor.shape)}: '
                f'must be {shape}'
            )
        if tensor is not None and name in ('uvs', 'colors') and not _finite(tensor):
            raise ValueError(
                f'{name} of instance {instance.name!r} hold NaN or inf: must be finite'
            )
    if mesh.faces.numel() > 0:
        low, high = int(mesh.faces.min()), int(mesh.faces.max())
        if low < 0 or high >= count:
            raise ValueError(
                f'faces of instance {instance.name!r} name vertices {low}..{high}: must be '
                f'within 0..{count - 1}'
            )


@functools.lru_cache(maxsize=16)
def _blocks(counts: tuple[int, ...], size: int) -> npt.NDArray[np.int64]:
    """Cut ranges of the given lengths, one for each instance, into rows of at most ``size``.

    The result is shared by all that ask for it.
    """
    rows: list[npt.NDArray[np.int64]] = [np.empty((0, 3), np.int64)]
    start = 0
    for item, count in enumerate(counts):
        first = np.arange(start, start + count, size, dtype=np.int64)
        last = np.minimum(first + size, start + count)
        rows.append(np.stack([np.full_like(first, item), first, last], axis=1))
        start += count
    return np.ascontiguousarray(np.concatenate(rows))


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def usable(mesh: Mesh) -> Mesh:
    """Return a mesh without broken numbers; itself where it has none.

    Triangles with a corner that is NaN, infinite or beyond ``LARGEST`` become points, which nobody
    sees; broken normals become zeros, which stand for the triangle's own.
    """
    bad = torch.logical_not((mesh.vertices.detach().abs() <= LARGEST).all(-1))
    if bool(bad.any()):
        vertices = torch.where(bad[:, None], torch.zeros_like(mesh.vertices), mesh.vertices)
        touched = bad[mesh.faces.long()].any(-1)
        faces = torch.where(touched[:, None], mesh.faces[:, :1], mesh.faces)
        mesh = replace(mesh, vertices=vertices, faces=faces)
    if mesh.normals is not None and not _finite(mesh.normals):
        mesh = replace(mesh, normals=torch.nan_to_num(mesh.normals, 0.0, 0.0, 0.0))
    return mesh


def pack_geometry(
    instances: tuple[Instance, ...], device: torch.device, dtype: torch.dtype
) -> Geometry:
    """Concatenate the meshes of all instances, differentiably, what is broken left out.

    :raises ValueError: for a mesh whose arrays do not fit together.
    """
    for instance in instances:
        check_mesh(instance)
    meshes = [usable(instance.mesh) for instance in instances]
    vertex_counts = [mesh.vertices.shape[0] for mesh in meshes]
    face_counts = [mesh.faces.shape[0] for mesh in meshes]

    def joined(name: str, width: int) -> torch.Tensor:
        given: list[torch.Tensor | None] = [getattr(mesh, name) for mesh in meshes]
        if all(tensor is None for tensor in given):
            return torch.zeros(1, width, device=device, dtype=dtype)
        parts = [
            torch.zeros(count, width, device=device, dtype=dtype)
            if tensor is None
            else tensor.to(device, dtype)
            for tensor, count in zip(given, vertex_counts, strict=True)
        ]
        return torch.cat(parts).contiguous()

    firsts = np.concatenate([[0], np.cumsum(vertex_counts)]).astype(np.int64)
    if firsts[-1] > 2**31 - 1 or sum(face_counts) > 2**31 - 1:
        raise ValueError(
            f'the scene has {firsts[-1]} vertices and {sum(face_counts)} triangles: each must '
            'be below 2^31; simplify the meshes'
        )
    faces = [
        mesh.faces.to(device, torch.int32) + int(first)
        for mesh, first in zip(meshes, firsts[:-1], strict=True)
    ]
    numbers = torch.arange(len(instances))
    return Geometry(
        vertices=joined('vertices', 3) if meshes else torch.zeros(0, 3, device=device),
        faces=torch.cat([torch.zeros(0, 3, device=device, dtype=torch.int32), *faces]),
        face_instance=torch.repeat_interleave(
            numbers, torch.tensor(face_counts, dtype=torch.long)
        ).to(device, torch.int32),
        vertex_instance=torch.repeat_interleave(
            numbers, torch.tensor(vertex_counts, dtype=torch.long)
        ).to(device),
        normals=joined('normals', 3),
        uvs=joined('uvs', 2),
        colors=joined('colors', 3),
        vertex_blocks=_blocks(tuple(vertex_counts), VERTEX_BLOCK),
        face_blocks=_blocks(tuple(face_counts), FACE_BLOCK),
    )
