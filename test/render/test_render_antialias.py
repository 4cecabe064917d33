# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Smooth silhouettes: against many points for each pixel, and their gradients."""

from __future__ import annotations

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.geometry import pack_geometry
from diffphyscam_ros.render.topology import face_neighbours
from diffphyscam_ros.scene import box, Instance, Material, Mesh, plane, Scene, sphere

FRONT = torch.eye(4)
WIDTH, HEIGHT = 64, 48
PINHOLE = Intrinsics(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5)
BACKGROUND = (0.1, 0.2, 0.4)


def glowing(mesh: Mesh, pose: torch.Tensor, light: float = 1.0) -> Instance:
    material = Material((0.0, 0.0, 0.0), emissive=(light, 0.5 * light, 0.2))
    return Instance('it', mesh, material, pose)


def moved(x: float, y: float, z: float, turn: float = 0.3) -> torch.Tensor:
    pose = torch.eye(4)
    angle = torch.tensor(turn)
    pose[:2, :2] = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    pose[:3, 3] = torch.tensor([x, y, z])
    return pose


def many_points(scene: Scene, count: int = 16) -> torch.Tensor:
    """Return the mean over count² points in each pixel."""
    fine = Intrinsics(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5).finer(count)
    color = Renderer('cpu')(scene, fine, FRONT).color
    return color.reshape(HEIGHT, count, WIDTH, count, 3).mean(dim=(1, 3))


SHAPES = {
    'box': (box(0.8), moved(0.11, 0.07, 2.0)),
    'coarse ball': (sphere(0.5, 12, 6), moved(0.03, -0.02, 2.0)),
    'ball of triangles smaller than pixels': (sphere(0.5, 256, 128), moved(0.03, -0.02, 2.0)),
    'single triangle': (
        Mesh(torch.tensor([[-0.6, -0.5, 0.0], [0.7, -0.2, 0.3], [0.0, 0.6, 0.0]]),
             torch.tensor([[0, 1, 2]], dtype=torch.int32)), moved(0.0, 0.0, 2.0)),
}  # fmt: skip


@pytest.mark.parametrize('shape', list(SHAPES))
def test_silhouettes_show_the_covered_share(shape: str) -> None:
    scene = Scene((glowing(*SHAPES[shape]),), background=BACKGROUND)
    truth = many_points(scene)
    plain = Renderer('cpu')(scene, PINHOLE, FRONT)
    smooth = Renderer('cpu', antialias=True)(scene, PINHOLE, FRONT)
    edge = (truth - plain.color).abs().amax(-1) > 0.02
    before, after = ((c - truth).abs()[edge].mean() for c in (plain.color, smooth.color))
    assert float(after) < 0.2 * float(before), (float(before), float(after))
    assert torch.equal(smooth.color[~edge & (plain.depth < 9)],
                       plain.color[~edge & (plain.depth < 9)]) or float(
        (smooth.color - truth)[~edge].abs().max()) < 0.05  # fmt: skip
    for name in ('depth', 'normal', 'instance'):
        assert torch.equal(getattr(smooth, name), getattr(plain, name))


def test_one_object_before_another_and_folds_of_one_object() -> None:
    # A bright box before a dark wall; a bent sheet that covers a part of itself.
    wall = glowing(plane(9.0, 9.0), moved(0.0, 0.0, 4.0), 0.3)
    scene = Scene((wall, glowing(box(0.6), moved(0.1, 0.1, 2.0))))
    truth = many_points(scene)
    plain = Renderer('cpu')(scene, PINHOLE, FRONT).color
    smooth = Renderer('cpu', antialias=True)(scene, PINHOLE, FRONT).color
    assert float((smooth - truth).abs().mean()) < 0.2 * float((plain - truth).abs().mean())


def test_a_closed_surface_is_not_touched_where_it_goes_on() -> None:
    # Varying colours inside would show any smoothing between connected triangles.
    ball = sphere(0.5, 64, 32)
    colors = torch.rand(len(ball.vertices), 3, generator=torch.Generator().manual_seed(0))
    painted = Mesh(ball.vertices, ball.faces, ball.normals, None, colors)
    from diffphyscam_ros.scene import constant_environment

    scene = Scene((Instance('it', painted, Material(), moved(0, 0, 2.0)),),
                  environment=constant_environment(1.0), background=BACKGROUND)  # fmt: skip
    plain = Renderer('cpu')(scene, PINHOLE, FRONT)
    smooth = Renderer('cpu', antialias=True)(scene, PINHOLE, FRONT)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing='ij')
    inside = (rows - 23.5) ** 2 + (columns - 31.5) ** 2 < 14.0**2
    assert bool((plain.instance[inside] == 1).all())
    assert torch.equal(smooth.color[inside], plain.color[inside])


def test_the_two_paths_agree(rich_scene: Scene) -> None:
    fused = Renderer('cpu', antialias=True)(rich_scene, PINHOLE, FRONT).color
    readable = Renderer('cpu', antialias=True, reference=True)(rich_scene, PINHOLE, FRONT).color
    error = (fused - readable).abs() / (1 + readable.abs())
    assert float(error.max()) < 1e-3 and float((error > 1e-4).float().mean()) < 2e-3


def test_gradient_of_a_square_is_that_of_its_area() -> None:
    # Light sum of a square of size s at distance z: L·(f·s/z)², whatever lies between the pixels.
    size = torch.tensor(0.73, dtype=torch.float64, requires_grad=True)
    square = plane(1.0, 1.0)
    mesh = Mesh(square.vertices.double() * size, square.faces)
    scene = Scene((glowing(mesh, moved(0.013, 0.021, 2.0, turn=0.0)),))
    color = Renderer('cpu', antialias=True)(scene, PINHOLE, FRONT).color
    total = color[..., 0].sum()
    assert float(total.detach()) == pytest.approx((60 * 0.73 / 2) ** 2, rel=2e-3)
    (gradient,) = torch.autograd.grad(total, size)
    assert float(gradient) == pytest.approx(2 * 60**2 / 4 * 0.73, rel=0.02)
    # Without smoothing what covers what carries no gradient (docs/rendering.md).
    without = Renderer('cpu')(scene, PINHOLE, FRONT).color[..., 0].sum()
    assert not without.requires_grad or not bool(torch.autograd.grad(without, size)[0])


@pytest.mark.parametrize('axis', [0, 1])
def test_gradient_of_a_pose_moves_a_silhouette(axis: int) -> None:
    # The mean place of a glowing ball's light follows its translation: its picture is centred
    # at f·x·z/(z² − r²), exactly. Places are taken from there, so that the growth of its picture
    # off the axis does not count.
    ball = sphere(0.5, 32, 16)
    pose = moved(0.05, 0.02, 3.0).double().requires_grad_()
    color = Renderer('cpu', antialias=True)(Scene((glowing(ball, pose),)), PINHOLE, FRONT).color[
        ..., 0
    ]
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing='ij')
    place = (
        (columns - 31.5 - 60 * 0.05 * 3 / 8.75)
        if axis == 0
        else (rows - 23.5 - 60 * 0.02 * 3 / 8.75)
    )
    place = (color * place).sum() / color.sum().detach()
    (gradient,) = torch.autograd.grad(place, pose)
    assert float(gradient[axis, 3]) == pytest.approx(60.0 * 3.0 / (9.0 - 0.25), rel=0.03)


def test_neighbours_across_seams_and_at_borders() -> None:
    def neighbours(mesh: Mesh) -> torch.Tensor:
        scene = (Instance('it', mesh, Material(), FRONT),)
        packed = pack_geometry(scene, torch.device('cpu'), torch.float32)
        return torch.from_numpy(face_neighbours(packed))

    # Every edge of a box has a face on the other side, though its vertices are not shared.
    assert bool((neighbours(box(1.0)) >= 0).all())
    square = neighbours(plane(1.0, 1.0))
    assert sorted(square.reshape(-1).tolist()) == [-1, -1, -1, -1, 0, 1]
    # Three faces at one edge are no surface: each ends there.
    fan = Mesh(torch.tensor([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]]),
               torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]], dtype=torch.int32))  # fmt: skip
    assert bool((neighbours(fan) == -1).all())
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    assert neighbours(empty).shape == (0, 3)
