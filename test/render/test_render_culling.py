# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Blocks of triangles that cannot be seen are left out, and nothing else is."""

import numpy as np
import pytest
import torch

from diffphyscam_ros.kernels.bounds import find_bounds, out_of_sight
from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.geometry import FACE_BLOCK, pack_geometry
from diffphyscam_ros.scene.primitives import sphere
from diffphyscam_ros.scene.transforms import look_at
from diffphyscam_ros.scene.types import Instance, Material, Mesh, Scene

WIDTH, HEIGHT, NEAR = 64, 48, 1e-3
PINHOLE = np.array([50.0, 55.0, 31.5, 23.5])


def seen_points(points: np.ndarray) -> np.ndarray:
    """Return which points (P, 3) of the optical frame fall into the picture."""
    fx, fy, cx, cy = PINHOLE
    z = points[:, 2]
    u, v = fx * points[:, 0] / z + cx, fy * points[:, 1] / z + cy
    return (z >= NEAR) & (u >= -1) & (u <= WIDTH) & (v >= -1) & (v <= HEIGHT)


@pytest.mark.parametrize('seed', range(4))
def test_a_box_with_a_point_in_the_picture_is_in_sight(seed: int) -> None:
    random = np.random.default_rng(seed)
    outside = 0
    for _ in range(300):
        corner = random.normal(0.0, 2.0, 3)
        box = np.concatenate([corner, corner + random.exponential(0.5, 3)])
        matrix = np.concatenate([random.normal(size=(3, 3)), random.normal(0, 3, (3, 1))], axis=1)
        points = random.uniform(box[:3], box[3:], (200, 3)) @ matrix[:, :3].T + matrix[:, 3]
        hidden = out_of_sight(box, matrix, PINHOLE, WIDTH, HEIGHT, NEAR)
        assert not (hidden and seen_points(points).any())
        outside += hidden
    assert outside > 30  # the test above would hold for a function that never says yes


def test_bounds_hold_all_finite_corners() -> None:
    vertices = np.array([[0, 0, 0], [1, 2, 3], [-1, 5, 2], [np.nan, 9, 9], [np.inf, 0, 0]])
    faces = np.array([[0, 1, 2], [3, 4, 4]], np.int32)
    blocks = np.array([[0, 0, 1], [0, 1, 2]])
    bounds = np.empty((2, 6))
    find_bounds(vertices.astype(np.float32), faces, blocks, bounds)
    assert bounds[0].tolist() == [-1, 0, 0, 1, 5, 3]
    assert out_of_sight(bounds[1], np.eye(4)[:3], PINHOLE, WIDTH, HEIGHT, NEAR)


def test_a_mesh_that_changes_in_place_is_seen_where_it_is() -> None:
    ball = sphere(0.3, segments=64, rings=32)
    vertices = ball.vertices + torch.tensor([50.0, 0.0, 0.0])
    mesh = Mesh(vertices, ball.faces)
    assert (
        len(
            pack_geometry(
                (Instance('a', mesh, Material(), torch.eye(4)),),
                torch.device('cpu'),
                torch.float32,
            ).face_bounds
        )
        > ball.faces.shape[0] // FACE_BLOCK
    )
    renderer = Renderer('cpu')
    pose = look_at((-3.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    scene = Scene((Instance('ball', mesh, Material(), torch.eye(4)),))
    intrinsics = Intrinsics.from_fov(WIDTH, HEIGHT, 0.5)
    far = int((renderer(scene, intrinsics, pose).instance > 0).sum())
    vertices -= torch.tensor([50.0, 0.0, 0.0])
    assert int((renderer(scene, intrinsics, pose).instance > 0).sum()) > 20 * max(far, 1)
    vertices += torch.tensor([0.0, 50.0, 0.0])
    assert int((renderer(scene, intrinsics, pose).instance > 0).sum()) == 0


def test_another_instance_of_the_same_mesh_is_drawn() -> None:
    """What is packed depends on how often a mesh is shown, and not only on which meshes are."""
    ball = sphere(0.3)
    renderer = Renderer('cpu')
    pose = look_at((-3.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    intrinsics = Intrinsics.from_fov(WIDTH, HEIGHT, 0.9)
    for count in (1, 3, 2):
        places = [torch.eye(4) for _ in range(count)]
        for number, place in enumerate(places):
            place[1, 3] = 0.8 * (number - 1)
        items = tuple(Instance(str(i), ball, Material(), p) for i, p in enumerate(places))
        seen = renderer(Scene(items), intrinsics, pose).instance
        assert set(seen.unique().tolist()) == set(range(count + 1))
