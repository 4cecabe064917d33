# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gradients by the place of a ball, whose silhouette and whose shading nearly cancel.

They were off by 31 % of their length with the colours of pixels instead of rims, and by 39 % where
triangles are much smaller than a pixel. Truth: finite differences of pictures with 12 × 12 points
in each pixel.
"""

from __future__ import annotations

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import Instance, look_at, Material, PointLight, Scene, sphere

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
