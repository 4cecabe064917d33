# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Several views at once are the single views, in values and gradients."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from diffphyscam_ros.camera import PhysicalCamera, SensorModel
from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    DirectionalLight,
    Environment,
    Instance,
    look_at,
    Material,
    plane,
    Scene,
    sphere,
)

PINHOLE = Intrinsics.from_fov(48, 36, 0.9)
POSES = torch.stack([look_at(eye, (0.0, 0.0, 0.2)) for eye in
                     ((-2.0, 0.0, 1.0), (-1.5, 1.0, 1.2), (0.5, -2.0, 0.8))])  # fmt: skip


def scene(color: torch.Tensor | None = None) -> Scene:
    paint = Material() if color is None else Material(base_color=color)
    return Scene(
        (
            Instance('floor', plane(4.0, 4.0), Material(), torch.eye(4)),
            Instance('ball', sphere(0.4), paint, torch.eye(4)),
        ),
        (DirectionalLight((0.4, 0.3, -1.0), (2.0, 2.0, 2.0)),),
    )


@pytest.mark.parametrize('reference', [False, True])
def test_a_batch_of_poses_is_its_pictures(reference: bool) -> None:
    renderer = Renderer('cpu', antialias=True, reference=reference)
    many = renderer(scene(), PINHOLE, POSES)
    assert many.color.shape == (3, 36, 48, 3) and many.depth.shape == (3, 36, 48)
    for i, pose in enumerate(POSES):
        one = renderer(scene(), PINHOLE, pose)
        for item in fields(one):
            assert torch.equal(getattr(many, item.name)[i], getattr(one, item.name)), item.name


def test_a_batch_of_pinholes() -> None:
    focal = torch.tensor([40.0, 60.0])
    many = Renderer('cpu')(scene(), replace(PINHOLE, fx=focal, fy=focal), POSES[0])
    for i, value in enumerate((40.0, 60.0)):
        one = Renderer('cpu')(scene(), replace(PINHOLE, fx=value, fy=value), POSES[0])
        assert torch.equal(many.color[i], one.color)


def test_gradients_of_a_batch_are_those_of_its_pictures() -> None:
    weights = torch.arange(1.0, 4.0)
    found = []
    for together in (True, False):
        color = torch.tensor([0.7, 0.4, 0.2], requires_grad=True)
        poses = POSES.clone().requires_grad_()
        renderer = Renderer('cpu', antialias=True)
        if together:
            pictures = renderer(scene(color), PINHOLE, poses).color
        else:
            pictures = torch.stack([renderer(scene(color), PINHOLE, p).color for p in poses])
        (pictures.mean((1, 2, 3)) * weights).sum().backward()
        found.append((color.grad, poses.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert (found[0][1].abs().amax((1, 2)) > 0).all()


def test_the_camera_takes_the_batch() -> None:
    sensor = SensorModel.preset('generic_vga').resized(48, 36)
    camera = PhysicalCamera(sensor)
    radiance = Renderer('cpu')(scene(), camera.source_intrinsics(sensor.settings), POSES)
    frame = camera(radiance.color, radiance.depth, sensor.settings)
    assert frame.image.shape == (3, 36, 48, 3)


def test_batches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match='different sizes'):
        Renderer('cpu')(scene(), replace(PINHOLE, fx=torch.ones(2) * 40), POSES)
    with pytest.raises(ValueError, match='no views'):
        Renderer('cpu')(scene(), PINHOLE, POSES[:0])
    with pytest.raises(ValueError, match='must be'):
        Renderer('cpu')(scene(), PINHOLE, POSES[None])


def test_pictures_without_gradients_do_not_spoil_later_ones() -> None:
    """What a renderer keeps from inference mode serves gradients too."""
    renderer = Renderer('cpu', antialias=True)
    world = replace(scene(), environment=Environment(torch.full((8, 16, 3), 0.5)))
    with torch.inference_mode():
        quiet = renderer(world, PINHOLE, POSES[0])
    pose = POSES[0].clone().requires_grad_()
    picture = renderer(world, PINHOLE, pose)
    picture.color.mean().backward()
    assert pose.grad is not None and bool(pose.grad.abs().sum() > 0)
    torch.testing.assert_close(quiet.color, picture.color.detach(), rtol=1e-4, atol=1e-4)
