# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Silhouettes, depth, ids and normals of real meshes against rays through the pixel centres."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import Instance, load_mesh, look_at, Material, Scene

PINHOLE = Intrinsics(160, 120, 170.0, 165.0, 77.3, 61.9)


def cast(mitsuba: ModuleType, scene: Scene, camera_to_world: torch.Tensor) -> np.ndarray:
    """Return (H, W, 6) by Mitsuba's ray tracer: z, instance, normal in the optical frame, edge."""
    shapes: dict[str, object] = {'type': 'scene'}
    for number, instance in enumerate(scene.instances):
        mesh = instance.mesh
        points = mesh.vertices.double() @ instance.pose[:3, :3].double().T
        points = (points + instance.pose[:3, 3].double()).float().numpy()
        shape = mitsuba.Mesh(f'{number}', len(points), len(mesh.faces))
        shape_values = mitsuba.traverse(shape)
        shape_values['vertex_positions'] = points.ravel()
        shape_values['faces'] = mesh.faces.numpy().ravel().astype(np.uint32)
        shape_values.update()
        shapes[f'shape{number}'] = shape
    world = mitsuba.load_dict(shapes)
    numbers = {shape.id(): int(shape.id().removeprefix('shape')) for shape in world.shapes()}
    matrix = camera_to_world.double().numpy()
    result = np.zeros((PINHOLE.height, PINHOLE.width, 5))
    for v in range(PINHOLE.height):
        for u in range(PINHOLE.width):
            ray = np.array([(u - PINHOLE.cx) / PINHOLE.fx, (v - PINHOLE.cy) / PINHOLE.fy, 1.0])
            direction = matrix[:3, :3] @ ray
            hit = world.ray_intersect(
                mitsuba.Ray3f(mitsuba.Point3f(matrix[:3, 3]), mitsuba.Vector3f(direction))
            )
            if not hit.is_valid():
                result[v, u, 0] = np.inf
                continue
            normal = matrix[:3, :3].T @ np.array(hit.n)
            result[v, u, 0] = hit.t
            result[v, u, 1] = numbers[hit.shape.id()] + 1
            result[v, u, 2:] = normal if normal @ ray < 0 else -normal
    return result


@pytest.fixture(scope='module')
def real_scene(shared_data: Path) -> Scene:
    """Return three meshes from three kinds of files, overlapping, flat shaded."""
    parts = []
    for name, position, size in (
        ('bob/bob_tri.obj', (0.0, 0.7, 0.1), 0.6),
        ('spot/spot.obj', (0.0, -0.5, 0.0), 0.6),
        ('turtlebot3_burger/burger_base.stl', (0.9, 0.1, -0.2), 5.0),
    ):
        scale = 0.001 if name.endswith('stl') else 1.0
        instances = load_mesh(shared_data / 'meshes' / name, scale=scale)
        for part in instances:
            mesh = type(part.mesh)(part.mesh.vertices, part.mesh.faces)
            pose = torch.eye(4)
            pose[:3, :3] *= size
            pose[:3, 3] = torch.tensor(position)
            parts.append(Instance(f'{name}{len(parts)}', mesh, Material(), pose @ part.pose))
    return Scene(tuple(parts))


def test_real_meshes_agree_with_a_ray_tracer(mitsuba: ModuleType, real_scene: Scene) -> None:
    camera_to_world = look_at((3.0, 1.2, 0.9), (0.0, 0.0, 0.1))
    truth = cast(mitsuba, real_scene, camera_to_world)
    radiance = Renderer('cpu')(real_scene, PINHOLE, camera_to_world)
    ids, depth = radiance.instance.numpy(), radiance.depth.numpy()
    same = ids == truth[..., 1]
    assert (ids > 0).mean() > 0.15 and len(np.unique(ids)) == len(real_scene.instances) + 1
    # Only where an edge passes within the 1/512 px of the snapping may the two differ.
    assert same.mean() > 0.999
    both = same & (ids > 0)
    error = np.abs(depth[both] / truth[..., 0][both] - 1)
    # Folds within one mesh are edges too: a pixel there may show the other side.
    assert (error < 1e-4).mean() > 0.999
    smooth = error < 1e-4
    cosine = (radiance.normal.numpy()[both] * truth[..., 2:][both]).sum(-1)[smooth]
    assert (cosine > 0.9999).mean() > 0.995
