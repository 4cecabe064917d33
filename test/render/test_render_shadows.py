# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows: against closed forms, against a search through all triangles, and at their limits."""

from __future__ import annotations

from dataclasses import replace
import math

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    DirectionalLight,
    Instance,
    look_at,
    Material,
    Mesh,
    plane,
    PointLight,
    Scene,
    sphere,
    SpotLight,
)

PINHOLE = Intrinsics.from_fov(96, 72, 0.9)
WHITE = Material((1.0, 1.0, 1.0), roughness=1.0)
POSE = look_at((0.0, -1.6, 2.4), (0.0, 0.0, 0.0))
LIGHTS = {
    'directional': DirectionalLight((0.3, 0.2, -1.0), (1.0, 1.0, 1.0)),
    'point': PointLight((0.4, -0.3, 1.5), (2.0, 2.0, 2.0)),
    'spot': SpotLight((0.4, -0.3, 1.5), (-0.2, 0.2, -1.0), (2.0, 2.0, 2.0), 0.6, 0.9),
}


def at(x: float, y: float, z: float, size: float = 1.0) -> torch.Tensor:
    pose = torch.eye(4)
    pose[:3, :3] *= size
    pose[:3, 3] = torch.tensor([x, y, z])
    return pose


def floor_and_square(light, material: Material = WHITE) -> Scene:
    """Return a square of 0.5 m that hovers 0.5 m above a floor."""
    return Scene(
        (
            Instance('floor', plane(8.0, 8.0), WHITE, torch.eye(4)),
            Instance('square', plane(0.5, 0.5), material, at(0.1, 0.0, 0.5)),
        ),
        (light,),
    )


def floor_points(radiance) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels show the floor, and where in the world (H, W, 3)."""
    v, u = np.mgrid[0 : PINHOLE.height, 0 : PINHOLE.width].astype(np.float64)
    z = radiance.depth.double().numpy()
    rays = np.stack(
        [(u - PINHOLE.cx) / PINHOLE.fx, (v - PINHOLE.cy) / PINHOLE.fy, np.ones_like(u)]
    )
    with np.errstate(invalid='ignore'):
        points = (rays * z).transpose(1, 2, 0)
        world = points @ POSE[:3, :3].double().numpy().T + POSE[:3, 3].double().numpy()
    return (radiance.instance == 1).numpy(), world


@pytest.mark.parametrize('name', LIGHTS)
@pytest.mark.parametrize('reference', [False, True])
def test_the_shadow_of_a_square_lies_where_geometry_says(name: str, reference: bool) -> None:
    light = LIGHTS[name]
    scene = floor_and_square(light)
    lit = Renderer('cpu', shadows=False, reference=reference)(scene, PINHOLE, POSE)
    dark = Renderer('cpu', reference=reference)(scene, PINHOLE, POSE)
    on_floor, world = floor_points(dark)
    if isinstance(light, DirectionalLight):
        way = np.asarray(light.direction)
        meeting = world - way * (0.5 / -way[2])
    else:
        place = np.asarray(light.position)
        share = 0.5 / place[2]
        meeting = world + (place - world) * share
    away = np.maximum(np.abs(meeting[..., 0] - 0.1), np.abs(meeting[..., 1])) - 0.25
    hidden = dark.color.sum(-1).numpy() == 0.0
    reached = lit.color.sum(-1).numpy() > 0.0
    clear = on_floor & reached & (np.abs(away) > 1e-5)
    assert (clear & (away < 0)).sum() > 100
    np.testing.assert_array_equal(hidden[clear], away[clear] < 0)
    both = clear & (away > 0)
    np.testing.assert_array_equal(dark.color.numpy()[both], lit.color.numpy()[both])


def soup(seed: int) -> Mesh:
    """Random triangles, some of them broken."""
    random = np.random.default_rng(seed)
    middle = random.uniform(-0.8, 0.8, (120, 1, 3)) + np.array([0.0, 0.0, 0.8])
    corners = (middle + random.normal(0.0, 0.15, (120, 3, 3))).reshape(-1, 3)
    faces = np.arange(360).reshape(-1, 3)
    faces[3] = faces[3, 0]
    return Mesh(torch.tensor(corners, dtype=torch.float32), torch.tensor(faces, dtype=torch.int32))


@pytest.mark.parametrize('name', LIGHTS)
@pytest.mark.parametrize('seed', [0, 1])
def test_every_triangle_is_a_caster(name: str, seed: int) -> None:
    """Möller and Trumbore's test in float64, every pixel of the floor against every triangle."""
    mesh = soup(seed)
    floor = Instance('floor', plane(8.0, 8.0), WHITE, torch.eye(4))
    scene = Scene((floor, Instance('soup', mesh, WHITE, torch.eye(4))), (LIGHTS[name],))
    lit = Renderer('cpu', shadows=False)(scene, PINHOLE, POSE)
    dark = Renderer('cpu')(scene, PINHOLE, POSE)
    on_floor, world = floor_points(dark)
    asked = on_floor & (lit.color.sum(-1).numpy() > 0.0)
    start = world[asked]
    light = LIGHTS[name]
    if isinstance(light, DirectionalLight):
        way = np.broadcast_to(-np.asarray(light.direction) * 1e3, start.shape)
    else:
        way = np.asarray(light.position) - start
    corners = mesh.vertices.double().numpy()[mesh.faces.numpy()]
    a, e, f = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(way[:, None], f[None])
    scale = (across * e).sum(-1)
    with np.errstate(divide='ignore', invalid='ignore'):
        to = start[:, None] - a
        u = (to * across).sum(-1) / scale
        q = np.cross(to, e[None])
        v = (way[:, None] * q).sum(-1) / scale
        t = (f * q).sum(-1) / scale
        inside = np.minimum(np.minimum(u, v), 1.0 - u - v)
        depth = np.where((t > 0) & (t < 1), inside, -1.0)
    depth = np.nan_to_num(depth, nan=-1.0).max(axis=1)
    expected = depth > 0.0
    found = dark.color.sum(-1).numpy()[asked] == 0.0
    sure = np.abs(depth) > 1e-4
    assert expected.mean() > 0.05
    np.testing.assert_array_equal(found[sure], expected[sure])


@pytest.mark.parametrize('size', [1e-3, 1.0, 1e3])
@pytest.mark.parametrize('segments', [12, 96])
def test_a_ball_alone_has_no_spots(size: float, segments: int) -> None:
    """Faces that see the light are lit: neither they nor their neighbours cast anything there."""
    ball = sphere(1.0, segments=segments, rings=segments // 2)
    pose = look_at((-3.0 * size, 0.0, 0.5 * size), (0.0, 0.0, 0.0))
    light = DirectionalLight((1.0, 0.35, -0.3), (1.0, 1.0, 1.0))
    scene = Scene((Instance('ball', replace(ball, normals=None), WHITE, at(0, 0, 0, size)),),
                  (light,))  # fmt: skip
    near = 1e-3 * size
    lit = Renderer('cpu', shadows=False, near=near)(scene, PINHOLE, pose)
    dark = Renderer('cpu', near=near)(scene, PINHOLE, pose)
    assert (dark.instance > 0).sum() > 500
    torch.testing.assert_close(dark.color, lit.color, rtol=0.0, atol=0.0)


@pytest.mark.parametrize('tilt', [0.02, 0.3])
def test_a_plane_under_grazing_light_has_no_spots(tilt: float) -> None:
    mesh = plane(6.0, 6.0, subdivisions=40)
    light = DirectionalLight((1.0, 0.1, -tilt), (1.0, 1.0, 1.0))
    scene = Scene((Instance('floor', mesh, WHITE, torch.eye(4)),), (light,))
    lit = Renderer('cpu', shadows=False)(scene, PINHOLE, POSE)
    dark = Renderer('cpu')(scene, PINHOLE, POSE)
    torch.testing.assert_close(dark.color, lit.color, rtol=0.0, atol=0.0)


def test_who_casts_and_who_does_not() -> None:
    light = LIGHTS['directional']
    lit = Renderer('cpu', shadows=False)
    dark = Renderer('cpu')

    def hides(material: Material, source=light) -> bool:
        scene = floor_and_square(source, material)
        floor = (dark(scene, PINHOLE, POSE).instance == 1)[..., None]
        pictures = [renderer(scene, PINHOLE, POSE).color * floor for renderer in (lit, dark)]
        return not torch.equal(*pictures)

    assert hides(WHITE)
    assert hides(replace(WHITE, double_sided=False))
    assert hides(replace(WHITE, alpha_mode='mask'))
    assert not hides(replace(WHITE, alpha=0.4, alpha_mode='blend'))
    assert hides(replace(WHITE, alpha=0.6, alpha_mode='blend'))
    assert not hides(WHITE, replace(light, shadows=False))


@pytest.mark.parametrize('scale', [-1.0, 0.0])
def test_mirrored_and_flattened_instances(scale: float) -> None:
    """A mirroring pose casts as any; one without volume is its flat shadow, or none edge on."""
    pose = at(0.1, 0.0, 0.5)
    pose[0, 0] = scale
    scene = floor_and_square(LIGHTS['point'])
    scene = replace(scene, instances=(scene.instances[0], replace(scene.instances[1], pose=pose)))
    color = Renderer('cpu')(scene, PINHOLE, POSE).color
    assert torch.isfinite(color).all()
    assert bool((color.sum(-1) == 0).any()) == (scale != 0.0)


def test_a_light_within_and_a_camera_within() -> None:
    """Inside a closed ball all of it is lit, and outside nothing is."""
    shell = Instance('shell', sphere(1.0, segments=48, rings=24), WHITE, torch.eye(4))
    floor = Instance('floor', plane(8.0, 8.0), WHITE, at(0.0, 0.0, -1.5))
    scene = Scene((shell, floor), (PointLight((0.2, 0.1, 0.0), (1.0, 1.0, 1.0)),))
    inside = look_at((0.0, 0.0, 0.0), (1.0, 0.2, 0.1))
    assert (Renderer('cpu')(scene, PINHOLE, inside).color.sum(-1) > 0).all()
    outside = look_at((-4.0, 0.0, 3.0), (0.0, 0.0, -1.0))
    picture = Renderer('cpu')(scene, PINHOLE, outside)
    assert (picture.color[picture.instance == 2] == 0).all()


def test_broken_casters_and_empty_scenes() -> None:
    mesh = soup(3)
    vertices = mesh.vertices.clone()
    vertices[10], vertices[11] = math.nan, math.inf
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    instances = (
        Instance('floor', plane(8.0, 8.0), WHITE, torch.eye(4)),
        Instance('soup', Mesh(vertices, mesh.faces), WHITE, torch.eye(4)),
        Instance('empty', empty, WHITE, torch.eye(4)),
    )
    picture = Renderer('cpu')(Scene(instances, tuple(LIGHTS.values())), PINHOLE, POSE)
    assert torch.isfinite(picture.color).all()
    assert Renderer('cpu')(Scene((), tuple(LIGHTS.values())), PINHOLE, POSE).color.sum() == 0


def test_shadows_follow_what_moves_and_do_not_depend_on_threads() -> None:
    renderer = Renderer('cpu')
    scene = floor_and_square(LIGHTS['point'])
    before = renderer(scene, PINHOLE, POSE).color
    moved = replace(scene.instances[1], pose=at(-0.6, 0.3, 0.5))
    after = renderer(replace(scene, instances=(scene.instances[0], moved)), PINHOLE, POSE).color
    assert not torch.equal(before, after)
    assert torch.equal(renderer(scene, PINHOLE, POSE).color, before)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert torch.equal(Renderer('cpu')(scene, PINHOLE, POSE).color, before)
    finally:
        numba.set_num_threads(threads)


def test_gradients_know_the_shadows() -> None:
    """What is dark tells nothing of the light, on either path."""
    found = []
    for reference in (False, True):
        power = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)
        light = replace(LIGHTS['directional'], irradiance=power)
        picture = Renderer('cpu', reference=reference)(floor_and_square(light), PINHOLE, POSE)
        picture.color.sum().backward()
        assert torch.allclose(power.grad, picture.color.detach().sum((0, 1)), rtol=1e-4)
        found.append(power.grad)
    assert torch.allclose(*found, rtol=1e-4)
