# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Textures seen at a slant: sharp as supersampling shows them, with gradients."""

from __future__ import annotations

import math

import pytest
import torch

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.materials import pack_materials
from diffphyscam_ros.render.textures import find_footprint, MOST_STRETCH, sample_texture
from diffphyscam_ros.scene import Instance, look_at, Material, Mesh, plane, Scene, Texture

PINHOLE = Intrinsics.from_fov(48, 32, 0.4)
POINTS = 8  # along each side of a pixel


def board() -> torch.Tensor:
    """Return random black and white squares of 8 texels."""
    squares = torch.rand(24, 24, generator=torch.Generator().manual_seed(1)).round()
    image = squares.repeat_interleave(8, 0).repeat_interleave(8, 1)
    return image[..., None].expand(-1, -1, 3).contiguous()


def glowing(image: torch.Tensor, uvs: torch.Tensor | None = None) -> Scene:
    square = plane(4.0, 4.0)
    mesh = Mesh(square.vertices, square.faces, square.normals, square.uvs if uvs is None else uvs)
    material = Material((0.0, 0.0, 0.0), emissive=(1.0, 1.0, 1.0), emissive_texture=Texture(image))
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    return Scene((Instance('board', mesh, material, turn),))


def pose_at(degrees: float) -> torch.Tensor:
    angle = math.radians(degrees)
    return look_at((0.0, -4.0 * math.sin(angle), 4.0 * math.cos(angle)), (0.0, 0.0, 0.0))


@pytest.mark.parametrize('reference', [False, True])
@pytest.mark.parametrize(('degrees', 'least'), [(50.0, 24.0), (75.0, 24.0)])
def test_slanted_boards_are_as_sharp_as_supersampled(
    degrees: float, least: float, reference: bool
) -> None:
    scene, pose = glowing(board()), pose_at(degrees)
    fine = PINHOLE.finer(POINTS)
    truth = Renderer('cpu')(scene, fine, pose)
    shape = (PINHOLE.height, POINTS, PINHOLE.width, POINTS)
    whole = (truth.instance.reshape(shape) == 1).all(3).all(1)
    color = truth.color.reshape(*shape, 3).mean((1, 3))
    ours = Renderer('cpu', reference=reference)(scene, PINHOLE, pose).color
    assert whole.float().mean() > 0.5
    decibels = -10.0 * math.log10(float(((ours - color)[whole] ** 2).mean()))
    assert decibels > least  # by the footprint's length alone: 20 and 15


def test_weights_add_up_and_do_not_jump() -> None:
    scene = glowing(board())
    cpu = torch.device('cpu')
    materials = pack_materials(scene.instances, cpu, torch.float64, BufferPool())
    ratio = torch.linspace(1.0, 12.0, 4001, dtype=torch.float64)
    steps = torch.zeros(2, 2, len(ratio), dtype=torch.float64)
    steps[0, 0], steps[1, 1] = ratio * 2.0 / 192.0, 2.0 / 192.0
    found = find_footprint(materials, torch.zeros(len(ratio), dtype=torch.long), steps)
    taps = range(-found.reach(), found.reach() + 1)
    weights = torch.stack([found.weight(tap) for tap in taps])
    torch.testing.assert_close(weights.sum(0), torch.ones_like(ratio))
    # Steep only where the first taps begin: by the square root.
    assert float((weights[:, 1:] - weights[:, :-1]).abs().max()) < 0.01
    detail = found.level + found.share
    assert float((detail[1:] - detail[:-1]).abs().max()) < 0.01
    assert float(found.stretch[ratio < 2.0].max()) < 1.0 + 1e-12
    # Where the long side does not fit, the level is coarser.
    assert float(detail[-1]) == pytest.approx(
        float(detail[ratio < MOST_STRETCH][-1]) + math.log2(12.0 / MOST_STRETCH), abs=0.01
    )


def test_gradients_of_a_row_of_taps_are_those_of_finite_differences() -> None:
    image = torch.rand(16, 16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    steps = torch.tensor([[[0.4, 0.3], [0.2, -0.1]], [[0.05, 0.0], [-0.1, 0.08]]]).double()
    texture = torch.zeros(2, dtype=torch.long)

    def looked_up(texels: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        instances = glowing(texels).instances
        cpu = torch.device('cpu')
        materials = pack_materials(instances, cpu, torch.float64, BufferPool())
        assert find_footprint(materials, texture, steps).reach() > 0
        return sample_texture(materials, texture, uv, steps)

    uv = torch.tensor([[0.31, 0.77], [0.12, -0.4]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        looked_up, (image.requires_grad_(), uv.requires_grad_()), fast_mode=True
    )


def test_kernels_have_the_gradients_of_torch() -> None:
    weights = torch.rand(
        PINHOLE.height, PINHOLE.width, 3, generator=torch.Generator().manual_seed(3)
    )
    found = []
    for reference in (False, True):
        image = (0.2 + 0.6 * board()).requires_grad_()
        uvs = plane(4.0, 4.0).uvs.clone().requires_grad_()
        color = Renderer('cpu', reference=reference)(glowing(image, uvs), PINHOLE, pose_at(72.0))
        (color.color * weights).sum().backward()
        found.append((image.grad, uvs.grad))
    for ours, torchs in zip(*found, strict=True):
        assert float((ours - torchs).abs().max()) < 1e-3 * float(torchs.abs().max())
