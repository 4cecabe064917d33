# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gradients by the place of a ball, whose silhouette and whose shading nearly cancel.

They were off by 31 % of their length with the colours of pixels instead of rims, and by 39 % where
triangles are much smaller than a pixel. Truth: finite differences of pictures with 12 × 12 points
in each pixel.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    Instance,
    look_at,
    Material,
    plane,
    PointLight,
    Scene,
    sphere,
    Texture,
)

WIDTH, HEIGHT, FINE = 80, 60, 12
POSE = look_at((2.0, 0.3, 0.9), (0.0, 0.0, 0.3))
LAMP = PointLight((1.0, -0.8, 1.6), (2.6, 2.4, 2.8), shadows=False)
MATT = Material((0.8, 0.5, 0.3), roughness=1.0)
GLOWING = Material((0.0, 0.0, 0.0), emissive=(0.8, 0.5, 0.3))
PLACES = [(0.05, 0.02, 0.33), (0.03, -0.01, 0.3), (0.08, 0.03, 0.31), (0.02, 0.04, 0.35)]


def ball(place: torch.Tensor, segments: int, material: Material) -> Scene:
    pose = torch.cat([torch.eye(4)[:, :3], torch.cat([place, torch.ones(1)])[:, None]], dim=1)
    mesh = sphere(0.3, segments=segments, rings=segments // 2)
    return Scene((Instance('ball', mesh, material, pose),), (LAMP,), background=(0.0, 0.0, 0.0))


def total(color: torch.Tensor) -> torch.Tensor:
    x, y = torch.linspace(0, 1, WIDTH).double(), torch.linspace(0, 0.5, HEIGHT).double()
    return (color * (x + y[:, None])[..., None]).sum()


def fine_total(scene: Scene) -> float:
    pinhole = Intrinsics.from_fov(WIDTH, HEIGHT, 0.5).finer(FINE)
    color = Renderer('cpu')(scene, pinhole, POSE).color
    return float(total(color.reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean(dim=(1, 3))))


@pytest.mark.parametrize(
    ('segments', 'material', 'bound'), [(96, MATT, 0.09), (384, GLOWING, 0.04)]
)
def test_gradient_by_the_place_of_a_ball(segments: int, material: Material, bound: float) -> None:
    renderer, step, off = Renderer('cpu', antialias=True), 0.01 * torch.eye(3), []
    for values in PLACES:
        place = torch.tensor(values)
        truth = torch.tensor([
            fine_total(ball(place + s, segments, material))
            - fine_total(ball(place - s, segments, material)) for s in step
        ]) / 0.02  # fmt: skip
        place.requires_grad_()
        color = renderer(
            ball(place, segments, material), Intrinsics.from_fov(WIDTH, HEIGHT, 0.5), POSE
        ).color
        (found,) = torch.autograd.grad(total(color), place)
        off.append(float((found - truth).norm() / truth.norm()))
    assert sum(x * x for x in off) ** 0.5 / len(off) ** 0.5 < bound, off


def leaf(x: float, y: float, alpha_mode: str, alpha: float = 1.0) -> Instance:
    """Return a small upright square with holes that faces the camera."""
    image = torch.ones(8, 8, 4)
    image[::2, ::2, 3] = 0.0
    material = replace(
        GLOWING, base_color_texture=Texture(image), alpha_mode=alpha_mode, alpha=alpha
    )
    pose = torch.tensor([[0.0, 0, 1, x], [1, 0, 0, y], [0, 1, 0, 0.3], [0, 0, 0, 1]])
    return Instance('leaf', plane(0.15, 0.15), material, pose)


CLEAR = slice(None), slice(0, 70)  # columns left of the leaf


def slope(color: torch.Tensor) -> torch.Tensor:
    return (color * torch.linspace(0, 1, color.shape[1]).double()[:, None]).sum()


@pytest.mark.parametrize('mode', ['mask', 'blend'])
@pytest.mark.parametrize('reference', [False, True])
def test_a_leaf_elsewhere_changes_neither_rims_nor_their_gradients(
    mode: str, reference: bool
) -> None:
    renderer, found = Renderer('cpu', antialias=True, reference=reference), []
    for beside in ((), (leaf(0.0, 0.55, mode),)):
        place = torch.tensor(PLACES[0]).requires_grad_()
        scene = ball(place, 96, MATT)
        scene = replace(scene, instances=(*scene.instances, *beside))
        color = renderer(scene, Intrinsics.from_fov(WIDTH, HEIGHT, 0.5), POSE).color
        found.append((color.detach(), *torch.autograd.grad(slope(color[CLEAR]), place)))
    (alone, by_place), (with_leaf, by_place_with_leaf) = found
    assert (alone != with_leaf).any(-1).sum() > 20  # it is in the picture
    torch.testing.assert_close(alone[CLEAR], with_leaf[CLEAR])
    torch.testing.assert_close(by_place, by_place_with_leaf, rtol=1e-4, atol=1e-4)


def test_behind_a_dark_pane_edges_are_as_dark() -> None:
    dark = Material((0.0, 0.0, 0.0), metallic=1.0, roughness=1.0, alpha_mode='blend', alpha=0.49)
    pose = torch.tensor([[0.0, 0, 1, 1.0], [1, 0, 0, 0], [0, 1, 0, 0.6], [0, 0, 0, 1]])
    pane = Instance('pane', plane(4.0, 4.0), dark, pose)
    renderer, view = Renderer('cpu', antialias=True), Intrinsics.from_fov(WIDTH, HEIGHT, 0.5)
    scene = ball(torch.tensor(PLACES[0]), 96, MATT)
    clear = renderer(scene, view, POSE).color
    dimmed = renderer(replace(scene, instances=(*scene.instances, pane)), view, POSE).color
    off = (dimmed - 0.51 * clear).abs().amax(-1)
    assert float(off.max()) < 0.02  # without rims: their colour is that of the nearest pixel
    assert float(clear.max()) > 0.1
