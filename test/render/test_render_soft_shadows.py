# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shadows of lights that have a size."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.light_samples import ball_points, disk_points, SAMPLES
from diffphyscam_ros.scene import (
    DirectionalLight,
    Instance,
    look_at,
    Material,
    plane,
    PointLight,
    Scene,
)

PINHOLE = Intrinsics.from_fov(96, 72, 0.9)
WHITE = Material((1.0, 1.0, 1.0), roughness=1.0)
DOWN = look_at((0.0, 0.0, 3.0), (0.001, 0.0, 0.0))
HEIGHT = 1.0


def half_plane(light) -> Scene:
    """Return a floor under a sheet at z = 1 m that covers all of y < 0 and is not in the view."""
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([0.0, -20.0, HEIGHT])
    return Scene(
        (
            Instance('floor', plane(8.0, 8.0), WHITE, torch.eye(4)),
            Instance('sheet', plane(40.0, 40.0), replace(WHITE, double_sided=False), pose),
        ),
        (light,),
    )


def seen_share(light) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of the light the floor sees, and y of it, along y > 0 that is in view."""
    pose = look_at((0.0, 0.0, 0.9), (0.001, 0.0, 0.0))  # below the sheet
    shares = []
    for shadows in (True, False):
        picture = Renderer('cpu', shadows=shadows)(half_plane(light), PINHOLE, pose)
        shares.append(picture.color.sum(-1).double().numpy())
    v, u = np.mgrid[0 : PINHOLE.height, 0 : PINHOLE.width]
    z = picture.depth.double().numpy()
    rays = np.stack(
        [(u - PINHOLE.cx) / PINHOLE.fx, (v - PINHOLE.cy) / PINHOLE.fy, np.ones_like(z)]
    )
    world = (rays * z).transpose(1, 2, 0) @ pose[:3, :3].double().numpy().T
    return shares[0] / shares[1], world[..., 1]


def share_of_disk(edge: np.ndarray) -> np.ndarray:
    """Return how much of the unit disk lies beyond a line at ``edge`` from its middle."""
    x = np.clip(edge, -1.0, 1.0)
    return (np.arccos(x) - x * np.sqrt(1.0 - x * x)) / math.pi


def test_the_penumbra_of_an_edge_under_a_sun() -> None:
    angle = 0.15
    share, y = seen_share(DirectionalLight((0.0, 0.0, -1.0), (1.0, 1.0, 1.0), angle=angle))
    expected = share_of_disk(-y / (HEIGHT * math.tan(angle)))
    assert np.abs(share - expected).max() < 2.0 / SAMPLES
    assert ((share > 0.02) & (share < 0.98)).mean() > 0.2


def test_the_penumbra_of_an_edge_under_a_glowing_ball() -> None:
    radius, up = 0.2, 3.0
    share, y = seen_share(PointLight((0.0, 0.0, up), (9.0, 9.0, 9.0), radius=radius))
    # Where the line from the floor over the edge passes the ball's middle.
    expected = share_of_disk(-y * (up - HEIGHT) / HEIGHT / radius)
    assert np.abs(share - expected).max() < 2.5 / SAMPLES


def test_points_look_like_an_even_disk_from_everywhere() -> None:
    assert (np.linalg.norm(disk_points(), axis=1) < 1.0).all()
    points = ball_points()
    assert (np.linalg.norm(points, axis=1) <= 1.0).all()
    for way in ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.6, 0.0, 0.8), (0.48, 0.6, 0.64)):
        along = points @ np.asarray(way)
        flat = (points**2).sum(1) - along**2
        assert abs(flat.mean() - 0.5) < 0.06  # of an even disk: half the square of its radius
        assert abs(along.mean()) < 0.06


@pytest.mark.parametrize('reference', [False, True])
def test_a_size_without_shadows_changes_nothing(reference: bool) -> None:
    light = PointLight((0.3, 0.2, 2.0), (1.0, 1.0, 1.0))
    pictures = [
        Renderer('cpu', reference=reference)(half_plane(one), PINHOLE, DOWN).color
        for one in (replace(light, shadows=False), replace(light, shadows=False, radius=0.3))
    ]
    assert torch.equal(*pictures)
