# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows of masked and blended surfaces: what their textures show, by a search in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.light_samples import sample_lights, SAMPLES
from diffphyscam_ros.render.lights import pack_lights, turned_lights
from diffphyscam_ros.scene import (
    DirectionalLight,
    Instance,
    look_at,
    Material,
    Mesh,
    plane,
    PointLight,
    Scene,
    Texture,
)

PINHOLE = Intrinsics.from_fov(64, 48, 0.9)
POSE = look_at((0.0, -1.6, 2.4), (0.0, 0.0, 0.0))
WHITE = Material((1.0, 1.0, 1.0), roughness=1.0)
SUN = DirectionalLight((0.3, 0.2, -1.0), (1.0, 1.0, 1.0))
LAMP = PointLight((0.4, -0.3, 2.5), (4.0, 4.0, 4.0))
FACTOR = 0.9


def leaves() -> Mesh:
    """Thirty triangles any way round above the floor, their textures repeating."""
    random = np.random.default_rng(4)
    middle = random.uniform(-0.9, 0.9, (30, 1, 3)) * [1.0, 1.0, 0.2] + [0.0, 0.0, 0.5]
    corners = (middle + random.normal(0.0, 0.3, (30, 3, 3))).reshape(-1, 3)
    corners[:, 2] = np.maximum(corners[:, 2], 0.05)
    uvs = random.uniform(-1.5, 2.5, (90, 2))
    return Mesh(
        torch.tensor(corners, dtype=torch.float32),
        torch.arange(90, dtype=torch.int32).reshape(-1, 3),
        uvs=torch.tensor(uvs, dtype=torch.float32),
    )


def holed(seed: int = 0) -> Texture:
    image = torch.rand(5, 7, 4, generator=torch.Generator().manual_seed(seed))
    return Texture(image)


def scene_with(light, material: Material, mesh: Mesh | None = None) -> Scene:
    return Scene(
        (
            Instance('floor', plane(8.0, 8.0), WHITE, torch.eye(4)),
            Instance('leaves', mesh or leaves(), material, torch.eye(4)),
        ),
        (light,),
    )


def bilinear(alpha: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return a repeating picture's values (H, W) at places (..., 2)."""
    height, width = alpha.shape
    x, y = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    dx, dy = x - left, y - top
    columns, rows = (left % width, (left + 1) % width), (top % height, (top + 1) % height)
    above = alpha[rows[0], columns[0]] * (1 - dx) + alpha[rows[0], columns[1]] * dx
    below = alpha[rows[1], columns[0]] * (1 - dx) + alpha[rows[1], columns[1]] * dx
    return above * (1 - dy) + below * dy


def margins(start: np.ndarray, way: np.ndarray, mesh: Mesh, alpha: np.ndarray, least: float):
    """Return for each segment by how much it is stopped (positive) or let through, (P, F).

    After Möller and Trumbore; the least of the weights, and of what alpha is above ``least``.
    """
    corners = mesh.vertices.double().numpy()[mesh.faces.numpy()]
    uvs = torch.zeros(len(mesh.vertices), 2) if mesh.uvs is None else mesh.uvs
    uvs = uvs.double().numpy()[mesh.faces.numpy()]
    a, e, f = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(way[:, None], f[None])
    scale = (across * e).sum(-1)
    to = start[:, None] - a
    u = (to * across).sum(-1) / scale
    q = np.cross(to, e[None])
    v = (way[:, None] * q).sum(-1) / scale
    t = (f * q).sum(-1) / scale
    inside = np.minimum(np.minimum(u, v), 1.0 - u - v)
    where = (1.0 - u - v)[..., None] * uvs[:, 0] + u[..., None] * uvs[:, 1]
    where = where + v[..., None] * uvs[:, 2]
    return np.where((t > 0) & (t < 1), np.minimum(inside, bilinear(alpha, where) - least), -1.0)


def floor_shares(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the light that arrives on the floor, and where that is (P, 3)."""
    lit = Renderer('cpu', shadows=False)(scene, PINHOLE, POSE)
    dark = Renderer('cpu')(scene, PINHOLE, POSE)
    v, u = np.mgrid[0 : PINHOLE.height, 0 : PINHOLE.width].astype(np.float64)
    rays = np.stack(
        [(u - PINHOLE.cx) / PINHOLE.fx, (v - PINHOLE.cy) / PINHOLE.fy, np.ones_like(u)], axis=-1
    )
    # The floor itself, also where a blended leaf is seen before it.
    turn, eye = POSE[:3, :3].double().numpy(), POSE[:3, 3].double().numpy()
    ways = rays @ turn.T
    world = eye - ways * (eye[2] / ways[..., 2:])
    bare = (dark.instance == 1).numpy() & (lit.instance == 1).numpy()
    # Nothing before it at all: the way from the camera meets no triangle.
    leaf = scene.instances[1].mesh
    solid = np.ones((1, 1))
    met = margins(world.reshape(-1, 3), (eye - world).reshape(-1, 3), leaf, solid, -1.0).max(1)
    bare &= met.reshape(bare.shape) < -1e-6
    return (dark.color.sum(-1) / lit.color.sum(-1)).numpy()[bare], world[bare]


@pytest.mark.parametrize('light', [SUN, LAMP])
@pytest.mark.parametrize('mode', ['mask', 'blend'])
def test_leaves_cast_the_shadow_of_what_is_there(light, mode: str) -> None:
    texture = holed()
    material = replace(
        WHITE, base_color_texture=texture, alpha=FACTOR, alpha_mode=mode, alpha_cutoff=0.4
    )
    scene = scene_with(light, material)
    share, start = floor_shares(scene)
    alpha = texture.image[..., 3].double().numpy() * FACTOR
    if isinstance(light, DirectionalLight):
        way = np.broadcast_to(-np.asarray(light.direction) * 1e3, start.shape)
    else:
        way = np.asarray(light.position) - start
    least = 0.4 if mode == 'mask' else 0.5
    by = margins(start, way, scene.instances[1].mesh, alpha, least)
    hidden, sure = by.max(1) > 0.0, (np.abs(by) > 1e-4).all(1)
    whole = margins(start, way, scene.instances[1].mesh, alpha, -1.0).max(1) > 0.0
    assert hidden.mean() > 0.03 and (whole & ~hidden).mean() > 0.03 and sure.mean() > 0.98
    np.testing.assert_array_equal(share[sure] == 0.0, hidden[sure])


def test_a_soft_light_is_counted_point_by_point() -> None:
    light = replace(LAMP, radius=0.3)
    texture = holed()
    material = replace(WHITE, base_color_texture=texture, alpha_mode='mask')
    scene = scene_with(light, material)
    share, start = floor_shares(scene)
    in_camera = turned_lights(pack_lights((light,)), torch.linalg.inv(POSE).double())
    rows, _ = sample_lights(in_camera.float().numpy())
    assert len(rows) == SAMPLES
    points = rows[:, 1:4].astype(np.float64) @ POSE[:3, :3].double().numpy().T
    points = points + POSE[:3, 3].double().numpy()
    alpha = texture.image[..., 3].double().numpy()
    hidden = np.zeros(len(start))
    for point in points:
        hidden += margins(start, point - start, scene.instances[1].mesh, alpha, 0.5).max(1) > 0.0
    off = np.abs(share - (1.0 - hidden / SAMPLES))
    assert ((share > 0.1) & (share < 0.9)).mean() > 0.2
    assert off.max() < 1.5 / SAMPLES and (off < 0.5 / SAMPLES).mean() > 0.98


@pytest.mark.parametrize('mode', ['mask', 'blend'])
def test_the_factor_alone_decides_where_there_is_no_alpha(mode: str) -> None:
    solid = Texture(torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(0)))
    bare = Mesh(leaves().vertices, leaves().faces)
    for texture, mesh in ((None, leaves()), (solid, leaves()), (holed(), bare)):
        for alpha in (0.3, 0.6):
            material = replace(
                WHITE, base_color_texture=texture, alpha=alpha, alpha_mode=mode, alpha_cutoff=0.5
            )
            share, _ = floor_shares(scene_with(SUN, material, mesh))
            assert (share == 0.0).any() == (alpha > 0.5), (alpha, mode)


def test_a_picture_that_changes_changes_its_shadow() -> None:
    texture = holed()
    scene = scene_with(SUN, replace(WHITE, base_color_texture=texture, alpha_mode='mask'))
    renderer = Renderer('cpu')
    before = renderer(scene, PINHOLE, POSE).color
    texture.image[..., 3] = 0.0
    after = renderer(scene, PINHOLE, POSE).color
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, Renderer('cpu', shadows=False)(scene, PINHOLE, POSE).color)
