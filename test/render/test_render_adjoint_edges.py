# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gradients of real meshes, silhouettes included, against finite differences of fine pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    constant_environment,
    Instance,
    load_mesh,
    Material,
    Mesh,
    PointLight,
    Scene,
)

WIDTH, HEIGHT, FOCAL = 288, 216, 300.0
FINE = 6  # squared: points in each pixel of the fine pictures
FRONT = torch.eye(4)
START = torch.tensor([-0.12, 0.03, 1.7, 0.4, 2.9, 1.0])
"""Of the nearer mesh: its place in metres, two angles in radians, its size."""


def pinhole(count: int) -> Intrinsics:
    """Return a pinhole with count² points in each pixel."""
    middle = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    return Intrinsics(WIDTH, HEIGHT, FOCAL, FOCAL, *middle).finer(count)


def pose(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, a: torch.Tensor, b: torch.Tensor):
    zero, one = torch.zeros(()), torch.ones(())
    rows = [
        torch.stack([a.cos(), a.sin() * b.sin(), a.sin() * b.cos(), x]),
        torch.stack([zero, b.cos(), -b.sin(), y]),
        torch.stack([-a.sin(), a.cos() * b.sin(), a.cos() * b.cos(), z]),
        torch.stack([zero, zero, zero, one]),
    ]
    return torch.stack(rows)


def unit_sized(path: Path) -> Mesh:
    mesh = load_mesh(path)[0].mesh
    centred = mesh.vertices - mesh.vertices.mean(0)
    return replace(mesh, vertices=centred / (2.0 * centred.abs().max()))


@pytest.fixture(scope='module')
def animals(shared_data: Path) -> tuple[Mesh, Mesh]:
    folder = shared_data / 'meshes'
    return unit_sized(folder / 'bob' / 'bob_tri.obj'), unit_sized(folder / 'spot' / 'spot.obj')


def scene(animals: tuple[Mesh, Mesh], values: torch.Tensor, lit: bool) -> Scene:
    """Return the duck before the cow before a dark sky: edges against each and within each."""
    near, far = animals
    behind = torch.tensor([0.2, 0.05, 2.9, 2.5, 3.0])
    moved = replace(near, vertices=near.vertices * values[5])
    if lit:
        orange = Material((0.9, 0.5, 0.2), roughness=0.6)
        blue = Material((0.2, 0.6, 0.9), roughness=0.5, emissive=(0.1, 0.1, 0.1))
        light = PointLight((1.0, -1.0, 0.0), (6.0, 6.0, 6.0), shadows=False)
    else:
        orange = Material((0.0, 0.0, 0.0), emissive=(0.9, 0.5, 0.2))
        blue = Material((0.0, 0.0, 0.0), emissive=(0.2, 0.6, 0.9))
        light = PointLight((1.0, -1.0, 0.0), (0.0, 0.0, 0.0))
    return Scene(
        (
            Instance('near', moved, orange, pose(*values[:5])),
            Instance('far', far, blue, pose(*behind)),
        ),
        (light,),
        constant_environment((0.5, 0.6, 0.7)) if lit else None,
        (0.02, 0.03, 0.1),
    )


def weights() -> torch.Tensor:
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing='ij'
    )
    return torch.stack([x + 0.4 * y, y - x * y, (2 * x).cos() * (2 * y).sin()], -1)


@pytest.mark.parametrize('lit', [False, True])
def test_pose_and_size_move_what_covers_what(animals: tuple[Mesh, Mesh], lit: bool) -> None:
    fine = Renderer('cpu')

    def truth(values: torch.Tensor) -> float:
        color = fine(scene(animals, values, lit), pinhole(FINE), FRONT).color
        mean = color.reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean(dim=(1, 3))
        return float((mean * weights()).double().sum())

    steps = 0.01 * torch.eye(6)
    measured = torch.tensor([(truth(START + s) - truth(START - s)) / 0.02 for s in steps])

    def error(antialias: bool) -> float:
        values = START.clone().requires_grad_()
        render = Renderer('cpu', antialias=antialias)
        color = render(scene(animals, values, lit), pinhole(1), FRONT).color
        (found,) = torch.autograd.grad((color * weights()).sum(), values)
        return float((found - measured).norm() / measured.norm())

    # What remains: corners within a pixel, and where the rims lie between the pixels.
    assert error(antialias=True) < 0.03
    assert error(antialias=False) > 0.5, 'silhouettes are most of it'


def test_vertices_of_a_real_mesh_are_torchs(animals: tuple[Mesh, Mesh]) -> None:
    found = []
    for reference in (False, True):
        near = replace(animals[0], vertices=animals[0].vertices.clone().requires_grad_())
        seen = Renderer('cpu', antialias=True, reference=reference)(
            scene((near, animals[1]), START, lit=True), pinhole(1), FRONT
        )
        total = (seen.color * weights()).sum()
        found.append(torch.autograd.grad(total, near.vertices)[0])
    mine, theirs = found
    assert float((mine - theirs).abs().max() / theirs.abs().max()) < 1e-3
    assert float((theirs.abs().amax(-1) > 0).float().mean()) > 0.2
