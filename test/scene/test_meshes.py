# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Checks and operations on meshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffphyscam_ros.scene import box, Mesh, SceneError, SceneWarning, smooth_normals, sphere
from diffphyscam_ros.scene.meshes import build_mesh, fan, weld

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float64)
FACES = np.array([[0, 1, 2]])


def test_smooth_normals_of_a_sphere_and_across_a_seam() -> None:
    mesh = sphere(2.0, 64, 32)
    assert mesh.normals is not None
    found = smooth_normals(mesh)
    assert float((found * mesh.normals).sum(1).min()) > 0.999
    seam = found.reshape(33, 65, 3)
    assert torch.equal(seam[:, 0], seam[:, -1]), 'vertices at one place share a normal'


def test_smooth_normals_weigh_by_area_and_have_a_gradient() -> None:
    vertices = torch.tensor(
        [[0.0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 1]], dtype=torch.float64, requires_grad=True
    )
    faces = torch.tensor([[0, 1, 2], [0, 3, 1]], dtype=torch.int32)

    def normals(points: torch.Tensor) -> torch.Tensor:
        return smooth_normals(Mesh(points, faces))

    # Twice the areas: 6 along +z, 2 along +y.
    expected = torch.tensor([0.0, 2, 6], dtype=torch.float64) / 40**0.5
    torch.testing.assert_close(normals(vertices)[0], expected)
    assert torch.autograd.gradcheck(normals, (vertices,))


def test_smooth_normals_without_area() -> None:
    mesh = Mesh(torch.zeros(4, 3), torch.tensor([[0, 1, 2]], dtype=torch.int32))
    assert smooth_normals(mesh).tolist() == [[0, 0, 1]] * 4


def test_weld_keeps_order_and_geometry() -> None:
    cube = box(1.0)
    soup = cube.vertices[cube.faces.long()].reshape(-1, 3).numpy()
    soup = np.concatenate([soup, -0.0 * soup[:1]])
    vertices, index = weld(soup)
    np.testing.assert_array_equal(vertices[index], soup)
    assert len(vertices) == 9
    first_seen = [index.tolist().index(place) for place in range(9)]
    assert first_seen == sorted(first_seen)
    assert len(weld(np.zeros((0, 3)))[0]) == 0


def test_weld_does_not_join_what_is_only_near() -> None:
    points = np.random.default_rng(0).uniform(size=(5000, 3)).astype(np.float32)
    near = np.nextafter(points, np.float32(2))
    assert len(weld(np.concatenate([points, near, points]))[0]) == 10_000


def test_fan() -> None:
    triangles, polygon = fan(np.array([3, 2, 5, 0, 4]))
    assert triangles.tolist() == [
        [0, 1, 2], [5, 6, 7], [5, 7, 8], [5, 8, 9], [10, 11, 12], [10, 12, 13],
    ]  # fmt: skip
    assert polygon.tolist() == [0, 2, 2, 2, 4, 4]
    assert fan(np.array([], dtype=int))[0].shape == (0, 3)


def test_numbers_too_large_for_float32_are_not_finite() -> None:
    with pytest.raises(SceneError, match='1 of 3 vertices'):
        build_mesh('x', POINTS + np.array([[0, 0, 1e300], [0, 0, 0], [0, 0, 0]]), FACES)


def test_indices_below_zero_and_beyond() -> None:
    for face in ([-1, 1, 2], [0, 1, 3], [0, 1, 2**40]):
        with pytest.raises(SceneError, match=r'1 of 1 triangles name a vertex outside 0..2'):
            build_mesh('x', POINTS, np.array([face]))


def test_broken_normals_come_from_the_faces() -> None:
    normals = np.array([[0, 0, 0], [0, 3, 4], [np.nan, 0, 0]], dtype=np.float32)
    mesh = build_mesh('x', POINTS, FACES, normals=normals)
    assert mesh.normals is not None
    expected = torch.tensor([[0, 0, 1], [0, 0.6, 0.8], [0, 0, 1]])
    torch.testing.assert_close(mesh.normals, expected)


def test_attributes_that_do_not_fit_are_left_out() -> None:
    with pytest.warns(SceneWarning, match='texture coordinates of shape'):
        assert build_mesh('x', POINTS, FACES, uvs=np.zeros((2, 2))).uvs is None
    with pytest.warns(SceneWarning, match='NaN or infinite'):
        mesh = build_mesh('x', POINTS, FACES, uvs=np.array([[0, 1], [np.nan, 1], [0, 0]]))
    assert mesh.uvs is not None and mesh.uvs.tolist() == [[0, 1], [0, 1], [0, 0]]
