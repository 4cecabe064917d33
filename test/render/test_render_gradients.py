# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gradients of the picture against finite differences, in float64, away from silhouettes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    DirectionalLight,
    Environment,
    Instance,
    Material,
    plane,
    PointLight,
    Scene,
    Texture,
)

FRONT = torch.eye(4, dtype=torch.float64)
FACING = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def start() -> dict[str, torch.Tensor]:
    """Return everything the picture below is a function of."""
    pose = FACING.clone()
    pose[:3, 3] = torch.tensor([0.1, -0.05, 2.0])
    wavy = plane(6.0, 6.0, subdivisions=4)
    vertices = wavy.vertices.double()
    vertices[:, 2] += 0.1 * random(len(vertices), seed=1)
    return {
        'vertices': vertices,
        'pose': pose,
        'camera': FRONT.clone(),
        'focal': torch.tensor(20.0, dtype=torch.float64),
        'texture': random(8, 8, 3, seed=2),
        'bumps': random(4, 4, 3, seed=3) * 0.3 + torch.tensor([0.35, 0.35, 0.6]),
        'rough_texture': 0.3 + 0.6 * random(4, 4, 3, seed=4),
        'base_color': torch.tensor([0.9, 0.6, 0.4], dtype=torch.float64),
        'metallic': torch.tensor(0.7, dtype=torch.float64),
        'roughness': torch.tensor(0.8, dtype=torch.float64),
        'emissive': torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64),
        'sun': torch.tensor([0.3, 0.4, 1.0], dtype=torch.float64),
        'irradiance': torch.tensor([1.0, 2.0, 1.5], dtype=torch.float64),
        'lamp': torch.tensor([0.5, -0.6, 0.4], dtype=torch.float64),
        'intensity': torch.tensor([2.0, 1.0, 3.0], dtype=torch.float64),
        'sky': 0.2 + random(8, 16, 3, seed=5),
        'sky_turn': torch.tensor(0.3, dtype=torch.float64),
        'sky_intensity': torch.tensor(0.7, dtype=torch.float64),
    }


WAVY = plane(6.0, 6.0, subdivisions=4)
WEIGHTS = random(12, 16, 3, seed=9)


def loss(values: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return a scalar of the picture of a bumpy wall that fills the view: no silhouettes."""
    mesh = replace(WAVY, vertices=values['vertices'])
    material = Material(
        values['base_color'], values['metallic'], values['roughness'], values['emissive'],
        Texture(values['texture']), Texture(values['rough_texture']), Texture(values['bumps']),
    )  # fmt: skip
    scene = Scene(
        (Instance('wall', mesh, material, values['pose']),),
        (DirectionalLight(values['sun'], values['irradiance']),
         PointLight(values['lamp'], values['intensity'])),
        Environment(values['sky'], values['sky_turn'], values['sky_intensity']),
    )  # fmt: skip
    pinhole = Intrinsics(16, 12, values['focal'], 21.0, 7.5, 5.5)
    radiance = Renderer('cpu')(scene, pinhole, values['camera'])
    return (
        (radiance.color * WEIGHTS).sum()
        + 0.1 * radiance.depth.sum()
        + (radiance.normal * WEIGHTS).sum()
    )


DIRECTIONS = {
    # Rigid motions only: a camera pose that is no rotation is refused.
    'camera': torch.tensor([[0, 0, 0, 0.3], [0, 0, 0, -0.2], [0, 0, 0, 0.5], [0, 0, 0, 0]]),
}


@pytest.mark.parametrize('name', list(start()))
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    values = start()
    values[name].requires_grad_()
    (gradient,) = torch.autograd.grad(loss(values), values[name])
    assert bool(torch.isfinite(gradient).all())
    direction = DIRECTIONS.get(name, random(*values[name].shape, seed=11) - 0.4).double()
    if name == 'pose':
        direction[3] = 0.0
    predicted = float((gradient * direction).sum())
    # Linear in the sky, which is filtered in float32: a large step is exact but for rounding.
    step = 1e-1 if name == 'sky' else 1e-6
    with torch.no_grad():
        ahead, behind = values[name] + step * direction, values[name] - step * direction
    measured = [float(loss({**values, name: moved.requires_grad_()})) for moved in (ahead, behind)]
    assert (measured[0] - measured[1]) / (2 * step) == pytest.approx(predicted, rel=2e-3, abs=1e-6)


def test_a_gradient_reaches_everything_in_one_pass() -> None:
    values = {name: value.requires_grad_() for name, value in start().items()}
    gradients = torch.autograd.grad(loss(values), list(values.values()))
    for name, gradient in zip(values, gradients, strict=True):
        assert bool(torch.isfinite(gradient).all()) and bool((gradient != 0).any()), name


def test_no_grad_gives_a_picture_without_graph_and_grad_one_with(rich_scene: Scene) -> None:
    pinhole = Intrinsics.from_fov(32, 24, 1.0)
    pose = torch.eye(4).requires_grad_()
    with torch.no_grad():
        assert not Renderer('cpu')(rich_scene, pinhole, pose).color.requires_grad
    assert Renderer('cpu')(rich_scene, pinhole, pose).color.requires_grad


def test_gradients_stay_finite_on_a_mesh_with_everything(rich_scene: Scene) -> None:
    meshes = [replace(i.mesh, vertices=i.mesh.vertices.clone().requires_grad_())
              for i in rich_scene.instances]  # fmt: skip
    scene = replace(rich_scene, instances=tuple(
        replace(i, mesh=m) for i, m in zip(rich_scene.instances, meshes, strict=True)
    ))  # fmt: skip
    radiance = Renderer('cpu')(scene, Intrinsics.from_fov(64, 48, 1.0), torch.eye(4))
    radiance.color.sum().backward()
    for mesh in meshes:
        assert bool(torch.isfinite(mesh.vertices.grad).all())
        assert bool((mesh.vertices.grad != 0).any())
