# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Objects that run through each other: the line in which they meet is smooth, and moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import box, Instance, Material, Mesh, plane, Scene, sphere

WIDTH, HEIGHT, FINE = 192, 144, 8
FRONT = torch.eye(4)
TILT = torch.tensor([[0.8, 0.0, 0.6], [0.36, 0.8, -0.48], [-0.48, 0.6, 0.64]])
SHAPES = {'ball': sphere(0.5, 48, 24), 'fine ball': sphere(0.5, 256, 128), 'box': box(0.8)}


def pinhole(count: int) -> Intrinsics:
    return Intrinsics(WIDTH, HEIGHT, 180.0, 180.0, 95.1, 72.3).finer(count)


def at(place: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    upper = torch.cat([turn, place[:, None]], dim=1)
    return torch.cat([upper, torch.tensor([[0.0, 0.0, 0.0, 1.0]])])


def glowing(name: str, mesh: Mesh, pose: torch.Tensor, *color: float) -> Instance:
    plain = Mesh(mesh.vertices, mesh.faces)
    return Instance(name, plain, Material((0.0, 0.0, 0.0), emissive=color), pose)


def scene(shape: str, place: torch.Tensor) -> Scene:
    """Return a bright thing half sunk into a slanted dark wall that fills the view."""
    wall = at(torch.tensor([0.0, 0.0, 2.5]), TILT @ torch.diag(torch.tensor([1.0, -1.0, -1.0])))
    return Scene((
        glowing('wall', plane(20.0, 20.0, subdivisions=30), wall, 0.1, 0.2, 0.4),
        glowing('thing', SHAPES[shape], at(place, TILT), 0.9, 0.6, 0.3),
    ))  # fmt: skip


PLACE = torch.tensor([0.03, -0.02, 2.4])


def truth(shape: str, place: torch.Tensor) -> torch.Tensor:
    color = Renderer('cpu')(scene(shape, place), pinhole(FINE), FRONT).color
    return color.reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean(dim=(1, 3))


@pytest.mark.parametrize('shape', list(SHAPES))
def test_the_line_is_smooth(shape: str) -> None:
    wanted = truth(shape, PLACE)
    plain = Renderer('cpu')(scene(shape, PLACE), pinhole(1), FRONT).color
    smooth = Renderer('cpu', antialias=True)(scene(shape, PLACE), pinhole(1), FRONT).color
    before, after = ((color - wanted).abs().mean() for color in (plain, smooth))
    assert float(after) < 0.25 * float(before), (float(after), float(before))


@pytest.mark.parametrize('shape', list(SHAPES))
def test_sinking_in_carries_a_gradient(shape: str) -> None:
    # The light of the thing, weighted over the picture, as it moves along each axis.
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing='ij'
    )
    weights = torch.stack([1.0 + x, 1.0 + y, 1.0 + x - y], dim=-1)

    def total(color: torch.Tensor) -> torch.Tensor:
        return (color * weights).sum()

    step = 0.01 * torch.eye(3)
    measured = torch.tensor(
        [
            float(total(truth(shape, PLACE + s)) - total(truth(shape, PLACE - s))) / 0.02
            for s in step
        ]
    )
    found = []
    for reference in (False, True):
        place = PLACE.clone().requires_grad_()
        render = Renderer('cpu', antialias=True, reference=reference)
        color = render(scene(shape, place), pinhole(1), FRONT).color
        found.append(torch.autograd.grad(total(color), place)[0])
    mine, theirs = found
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))
    assert float((mine - measured).norm() / measured.norm()) < 0.05, (mine, measured)


def test_every_input_of_a_meeting_has_torchs_gradient() -> None:
    found = []
    for reference in (False, True):
        given = scene('ball', PLACE)
        items = [
            replace(i, mesh=replace(i.mesh, vertices=i.mesh.vertices.clone().requires_grad_()))
            for i in given.instances
        ]
        numbers = [torch.tensor(v).requires_grad_() for v in (180.0, 180.0, 95.1, 72.3)]
        view = Intrinsics(WIDTH, HEIGHT, *numbers)
        render = Renderer('cpu', antialias=True, reference=reference)
        color = render(replace(given, instances=tuple(items)), view, FRONT).color
        weights = torch.rand(color.shape, generator=torch.Generator().manual_seed(2))
        leaves = [*(i.mesh.vertices for i in items), *numbers]
        found.append(torch.autograd.grad((color * weights).sum(), leaves))
    for one, other in zip(*found, strict=True):
        assert float(other.abs().max()) > 0.0
        assert float((one - other).abs().max() / other.abs().max()) < 1e-3
