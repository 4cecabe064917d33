# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows of real meshes against Mitsuba's shadow rays from the same points."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    DirectionalLight,
    Instance,
    load_mesh,
    look_at,
    Material,
    plane,
    PointLight,
    Scene,
)

PINHOLE = Intrinsics(160, 120, 170.0, 165.0, 77.3, 61.9)
EYE = look_at((-2.2, 0.4, 1.2), (0.2, 0.0, -0.1))
WHITE = Material((1.0, 1.0, 1.0), roughness=1.0)
OFFSET = 2e-4  # of the distance from the camera, by which Mitsuba's rays start off the surface


@pytest.fixture(scope='module')
def meshes(shared_data: Path) -> tuple[Instance, ...]:
    """Return three meshes from three kinds of files on a floor, flat shaded."""
    floor = torch.eye(4)
    floor[2, 3] = -0.5
    parts = [Instance('floor', plane(12.0, 12.0), WHITE, floor)]
    for name, position, size in (
        ('bob/bob_tri.obj', (0.0, 0.7, 0.1), 0.6),
        ('spot/spot.obj', (0.0, -0.5, 0.0), 0.6),
        ('turtlebot3_burger/burger_base.stl', (0.9, 0.1, -0.2), 5.0),
    ):
        scale = 0.001 if name.endswith('stl') else 1.0
        for part in load_mesh(shared_data / 'meshes' / name, scale=scale):
            mesh = type(part.mesh)(part.mesh.vertices, part.mesh.faces)
            pose = torch.eye(4)
            pose[:3, :3] *= size
            pose[:3, 3] = torch.tensor(position)
            parts.append(Instance(f'{name}{len(parts)}', mesh, WHITE, pose @ part.pose))
    return tuple(parts)


def traced(mitsuba: ModuleType, instances: tuple[Instance, ...]):
    """Return Mitsuba's scene of the same triangles."""
    shapes: dict[str, object] = {'type': 'scene'}
    for number, instance in enumerate(instances):
        mesh = instance.mesh
        points = mesh.vertices.double() @ instance.pose[:3, :3].double().T
        points = (points + instance.pose[:3, 3].double()).float().numpy()
        shape = mitsuba.Mesh(f'{number}', len(points), len(mesh.faces))
        values = mitsuba.traverse(shape)
        values['vertex_positions'] = points.ravel()
        values['faces'] = mesh.faces.numpy().ravel().astype(np.uint32)
        values.update()
        shapes[f'shape{number}'] = shape
    return mitsuba.load_dict(shapes)


@pytest.mark.parametrize(
    'light',
    [
        DirectionalLight((0.6, -0.5, -1.0), (1.0, 1.0, 1.0)),
        PointLight((-1.0, 0.9, 1.4), (3.0, 3.0, 3.0)),
    ],
)
def test_real_meshes_cast_the_shadows_that_rays_find(
    mitsuba: ModuleType, meshes: tuple[Instance, ...], light: DirectionalLight | PointLight
) -> None:
    scene = Scene(meshes, (light,))
    lit = Renderer('cpu', shadows=False)(scene, PINHOLE, EYE)
    dark = Renderer('cpu')(scene, PINHOLE, EYE)
    reached = lit.color.sum(-1).numpy() > 0.0
    found = dark.color.sum(-1).numpy() > 0.0
    world = traced(mitsuba, meshes)
    turn, eye = EYE[:3, :3].double().numpy(), EYE[:3, 3].double().numpy()
    wrong = total = shadowed = 0
    for v, u in zip(*np.nonzero(reached), strict=True):
        ray = np.array([(u - PINHOLE.cx) / PINHOLE.fx, (v - PINHOLE.cy) / PINHOLE.fy, 1.0])
        point = eye + turn @ ray * float(dark.depth[v, u])
        normal = turn @ dark.normal[v, u].double().numpy()
        point = point + normal * OFFSET * float(dark.depth[v, u])
        if isinstance(light, DirectionalLight):
            way, far = -np.asarray(light.direction), np.inf
            way = way / np.linalg.norm(way)
        else:
            way = np.asarray(light.position) - point
            far = float(np.linalg.norm(way))
            way = way / far
        cast = mitsuba.Ray3f(mitsuba.Point3f(point), mitsuba.Vector3f(way))
        cast.maxt = far
        hidden = bool(world.ray_test(cast))
        wrong += hidden == bool(found[v, u])
        shadowed += hidden
        total += 1
    assert shadowed > 0.03 * total
    assert wrong <= 0.001 * total, f'{wrong} of {total} pixels differ, {shadowed} in shadow'
