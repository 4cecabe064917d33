# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Solids: closed, outward, of the right size, with upright textures."""

from __future__ import annotations

import math

import pytest
import torch

from diffphyscam_ros.scene import box, cylinder, Mesh, plane, SceneError, sphere


def _volume(mesh: Mesh) -> float:
    """Return the signed volume: positive where faces are counter-clockwise from outside."""
    a, b, c = mesh.vertices[mesh.faces.long()].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def _face_normals(mesh: Mesh) -> torch.Tensor:
    a, b, c = mesh.vertices[mesh.faces.long()].unbind(1)
    return torch.linalg.cross(b - a, c - a)


@pytest.mark.parametrize(
    'mesh, volume, tolerance',
    [
        (box((1.0, 2.0, 3.0)), 6.0, 1e-6),
        (box(2.0), 8.0, 1e-6),
        (sphere(0.5, 96, 48), math.pi / 6, 5e-3),
        (cylinder(0.5, 2.0, 96), math.pi / 2, 2e-3),
    ],
)
def test_solids(mesh: Mesh, volume: float, tolerance: float) -> None:
    assert _volume(mesh) == pytest.approx(volume, rel=tolerance)
    assert mesh.normals is not None and mesh.uvs is not None
    assert mesh.faces.dtype == torch.int32 and mesh.vertices.dtype == torch.float32
    torch.testing.assert_close(mesh.normals.norm(dim=1), torch.ones(len(mesh.vertices)))
    normals = _face_normals(mesh)
    assert float(normals.norm(dim=1).min()) > 1e-7, 'no triangle without area'
    agree = (normals[:, None] * mesh.normals[mesh.faces.long()]).sum(-1)
    assert bool((agree > 0).all()), 'vertex normals are on the side of the faces'
    assert float(mesh.uvs.min()) >= 0 and float(mesh.uvs.max()) <= 1
    centre = (mesh.vertices.amin(0) + mesh.vertices.amax(0)) / 2
    torch.testing.assert_close(centre, torch.zeros(3), atol=1e-6, rtol=0)


def test_plane_texture_is_upright_from_above() -> None:
    mesh = plane(2.0, 1.0, subdivisions=3)
    assert mesh.uvs is not None
    top_left = int((mesh.uvs - torch.tensor([0.0, 0.0])).norm(dim=1).argmin())
    assert mesh.vertices[top_left].tolist() == [-1.0, 0.5, 0.0]
    assert bool((_face_normals(mesh)[:, 2] > 0).all())
    assert len(mesh.faces) == 18


def test_textures_are_not_mirrored() -> None:
    """Seen from outside, u grows to the right where v grows down."""
    for mesh in (box(1.0), sphere(1.0, 16, 8), cylinder(1.0, 1.0, 16), plane(1.0, 1.0)):
        assert mesh.uvs is not None
        a, b, c = mesh.uvs[mesh.faces.long()].unbind(1)
        first, second = b - a, c - a
        turn = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
        assert bool((turn < 0).all()), 'v points down, so a counter-clockwise turn is negative'


def test_size_has_a_gradient() -> None:
    size = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    box(size).vertices.abs().sum().backward()
    torch.testing.assert_close(size.grad, torch.full((3,), 12.0))  # 24 vertices at half the size


@pytest.mark.parametrize(
    'make',
    [
        lambda: box((1, 0, 1)),
        lambda: sphere(-1.0),
        lambda: sphere(1.0, segments=2),
        lambda: cylinder(1.0, float('nan')),
        lambda: plane(1.0, 1.0, subdivisions=0),
    ],
)
def test_refuses(make: object) -> None:
    with pytest.raises(SceneError):
        make()  # type: ignore[operator]
