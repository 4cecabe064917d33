# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the renderer's tests share: an independent renderer, scenes that exercise everything."""

from __future__ import annotations

from pathlib import Path
import sys
from types import ModuleType

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for rasterizer_double

from diffphyscam_ros.scene import (
    box,
    DirectionalLight,
    Environment,
    Instance,
    Material,
    plane,
    PointLight,
    Scene,
    sphere,
    Texture,
)


@pytest.fixture(scope='session')
def mitsuba() -> ModuleType:
    """Return Mitsuba 3 in its scalar variant, which needs no LLVM."""
    module = pytest.importorskip(
        'mitsuba', reason='Mitsuba 3 (the independent renderer) is absent'
    )
    module.set_variant('scalar_rgb')
    return module


def place(x: float, y: float, z: float, scale: tuple[float, float, float] = (1, 1, 1)):
    """Return a pose with a translation and a scale along the axes."""
    pose = torch.diag(torch.tensor([*scale, 1.0]))
    pose[:3, 3] = torch.tensor([x, y, z])
    return pose


@pytest.fixture
def rich_scene() -> Scene:
    """Return a scene before a camera at the origin facing +z that uses every feature at once."""
    generator = torch.Generator().manual_seed(3)

    def picture(height: int, width: int) -> torch.Tensor:
        return torch.rand(height, width, 3, generator=generator)

    bumps = picture(16, 16) * 0.4 + torch.tensor([0.3, 0.3, 0.6])
    ball = sphere(0.5, segments=24, rings=12)
    colored = box(0.6)
    colors = torch.rand(len(colored.vertices), 3, generator=generator)
    colored = type(colored)(colored.vertices, colored.faces, colored.normals, colored.uvs, colors)
    bare = type(ball)(ball.vertices, ball.faces)  # flat shading, no uv
    turn = torch.tensor([[0.8, 0.0, 0.6, 0.0], [0.36, 0.8, -0.48, 0], [-0.48, 0.6, 0.64, 0],
                         [0, 0, 0, 1.0]])  # fmt: skip
    return Scene(
        instances=(
            Instance(
                'painted',
                ball,
                Material(
                    base_color=(0.9, 0.8, 0.7),
                    metallic=0.8,
                    roughness=0.9,
                    base_color_texture=Texture(picture(32, 24)),
                    metallic_roughness_texture=Texture(picture(8, 8)),
                    normal_texture=Texture(bumps),
                ),
                place(-0.7, 0.3, 2.5),
            ),
            Instance('mirrored', ball, Material((0.2, 0.9, 0.4), 0.0, 0.3,
                     normal_texture=Texture(bumps)), place(0.6, -0.4, 2.2, (-1, 0.7, 1))),
            Instance('colored', colored, Material(roughness=0.6, emissive=(0.1, 0.0, 0.2)),
                     place(0.5, 0.6, 2.4) @ turn),
            Instance('bare', bare, Material((0.9, 0.6, 0.2), 1.0, 0.35, double_sided=False),
                     place(-0.5, -0.6, 2.0, (0.8, 0.8, 0.8))),
            Instance('wall', plane(6.0, 6.0),
                     Material(base_color_texture=Texture(picture(64, 64))), place(0.0, 0.0, 4.0)),
        ),
        lights=(
            DirectionalLight((0.3, 0.5, 1.0), (1.0, 0.9, 0.8)),
            PointLight((0.5, -1.0, 0.5), (2.0, 2.5, 3.0)),
        ),
        environment=Environment(picture(16, 32) * 2.0, rotation=0.7, intensity=0.6),
    )  # fmt: skip
