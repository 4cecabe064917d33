# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Masked and blended surfaces: what is seen through them, in both paths."""

from __future__ import annotations

from dataclasses import replace
import itertools

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Radiance, Renderer
from diffphyscam_ros.scene import Instance, Material, plane, Scene, sphere, Texture

PINHOLE = Intrinsics.from_fov(32, 24, 0.8)
RED, GREEN, BLUE = (0.8, 0.0, 0.0), (0.0, 0.6, 0.0), (0.0, 0.0, 0.5)
SKY = (0.1, 0.2, 0.3)


def wall(z: float, material: Material, name: str = 'wall') -> Instance:
    """Return a plane that faces a camera at the origin, wider than the picture."""
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = z
    return Instance(name, plane(2.5 * z, 2.5 * z), material, pose)


def glowing(color: tuple[float, float, float], alpha: float | torch.Tensor = 1.0, **more: object):
    return Material((0, 0, 0), emissive=color, alpha=alpha, alpha_mode='blend', **more)


def fused(scene: Scene, **options: object) -> Radiance:
    return Renderer('cpu', **options)(scene, PINHOLE, torch.eye(4))


def in_torch(scene: Scene, **options: object) -> Radiance:
    return Renderer('cpu', reference=True, **options)(scene, PINHOLE, torch.eye(4))


PATHS = pytest.mark.parametrize('render', [fused, in_torch])


@PATHS
def test_layers_add_up_in_any_order_of_the_scene(render) -> None:
    walls = (
        wall(1.0, glowing(RED, 0.4), 'a'),
        wall(2.0, glowing(GREEN, 0.5), 'b'),
        wall(3.0, glowing(BLUE, 1.0), 'c'),
        wall(4.0, glowing((9.0, 9.0, 9.0), 1.0), 'hidden'),
    )
    expected = torch.tensor([0.4 * 0.8, 0.6 * 0.5 * 0.6, 0.6 * 0.5 * 0.5])
    for order in itertools.permutations(walls, 4):
        seen = render(Scene(order, background=SKY))
        torch.testing.assert_close(seen.color, expected.expand(24, 32, 3), rtol=1e-5, atol=1e-6)
        # Geometry is that of the first surface that is at least half opaque.
        assert torch.allclose(seen.depth, torch.tensor(2.0))
        assert {order[i - 1].name for i in seen.instance.unique().tolist()} == {'b'}


@PATHS
def test_thin_glass_shows_the_geometry_behind_and_the_background(render) -> None:
    seen = render(Scene((wall(1.0, glowing(RED, 0.25)),), background=SKY))
    expected = 0.25 * torch.tensor(RED) + 0.75 * torch.tensor(SKY)
    torch.testing.assert_close(seen.color, expected.expand(24, 32, 3))
    assert bool(torch.isinf(seen.depth).all()) and int(seen.instance.max()) == 0
    assert float(seen.normal.detach().abs().max()) == 0.0


def holes() -> Texture:
    """Return a 2 × 2 texture, two of whose corners are transparent."""
    image = torch.ones(2, 2, 4)
    image[0, 0, 3] = image[1, 1, 3] = 0.2
    return Texture(image)


@PATHS
def test_masks_cut_at_the_cutoff(render) -> None:
    paper = Material(
        (0, 0, 0), emissive=RED, base_color_texture=holes(), alpha_mode='mask', alpha_cutoff=0.6
    )
    seen = render(Scene((wall(1.0, paper), wall(2.0, glowing(GREEN)))))
    cut = seen.depth > 1.5
    assert 0.3 < float(cut.float().mean()) < 0.7
    colors = torch.where(cut[..., None], torch.tensor(GREEN), torch.tensor(RED))
    torch.testing.assert_close(seen.color, colors)
    assert torch.equal(seen.instance, torch.where(cut, 2, 1).to(torch.int32))
    # A cutoff that nothing fails, and one that nothing passes.
    for cutoff, instance in ((0.1, 1), (1.1, 2)):
        other = wall(1.0, replace(paper, alpha_cutoff=cutoff))
        whole = render(Scene((other, wall(2.0, glowing(GREEN)))))
        assert set(whole.instance.unique().tolist()) == {instance}


@pytest.mark.parametrize('antialias', [False, True])
def test_both_paths_agree_on_a_crowd(antialias: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(16, 16, 4, generator=generator)
    ball = sphere(0.4, segments=24, rings=12)
    items = []
    for number in range(6):
        pose = torch.eye(4)
        pose[:3, 3] = torch.tensor([0.12 * number - 0.3, 0.05 * number - 0.1, 1.6 + 0.15 * number])
        mode = ('blend', 'mask', 'opaque')[number % 3]
        material = Material(
            roughness=0.5, base_color_texture=Texture(image), alpha=0.9, alpha_mode=mode,
            emissive=(0.1, 0.05 * number, 0.2), double_sided=number != 3,
        )  # fmt: skip
        items.append(Instance(f'ball{number}', ball, material, pose))
    scene = Scene(tuple(items), background=SKY)
    one, two = (render(scene, antialias=antialias) for render in (fused, in_torch))
    assert torch.equal(one.instance, two.instance)
    torch.testing.assert_close(one.depth, two.depth.detach(), rtol=1e-5, atol=0)
    error = (one.color - two.color.detach()).abs()
    assert float(error.max()) < 1e-3 and float((error > 1e-4).float().mean()) < 1e-3
    assert bool(torch.isfinite(one.color).all())


@PATHS
def test_opaque_material_may_be_called_blended(render, rich_scene: Scene) -> None:
    blended = tuple(
        replace(item, material=replace(item.material, alpha_mode='blend'))
        for item in rich_scene.instances
    )
    plain, layered = render(rich_scene), render(replace(rich_scene, instances=blended))
    for name in ('color', 'depth', 'normal'):
        torch.testing.assert_close(getattr(layered, name), getattr(plain, name))
    assert torch.equal(layered.instance, plain.instance)


@PATHS
def test_of_many_layers_the_last_takes_what_is_left(render) -> None:
    walls = tuple(wall(1.0 + 0.1 * i, glowing((1.0, 1.0, 1.0), 0.1)) for i in range(12))
    seen = render(Scene(walls, background=(0.0, 0.0, 0.0)))
    torch.testing.assert_close(seen.color, torch.ones(24, 32, 3))


def test_gradient_to_alpha_and_what_lies_behind() -> None:
    def picture(alpha: torch.Tensor, image: torch.Tensor, color: torch.Tensor) -> torch.Tensor:
        pane = Material(
            (0, 0, 0), emissive=(0.9, 0.3, 0.1), alpha=alpha, alpha_mode='blend',
            base_color_texture=Texture(image),
        )  # fmt: skip
        scene = Scene((wall(1.0, pane), wall(2.0, replace(glowing(BLUE), emissive=color))))
        return Renderer('cpu')(scene, Intrinsics.from_fov(6, 4, 0.8), torch.eye(4)).color

    generator = torch.Generator().manual_seed(1)
    inputs = (
        torch.tensor(0.6, dtype=torch.float64, requires_grad=True),
        torch.rand(3, 3, 4, generator=generator, dtype=torch.float64).requires_grad_(),
        torch.rand(3, generator=generator, dtype=torch.float64).requires_grad_(),
    )
    assert torch.autograd.gradcheck(picture, inputs, eps=1e-5, atol=1e-6)


def test_blend_is_what_a_mean_of_many_masks_is() -> None:
    # A share of 0.3 of a fine pattern that is there is the same light as a pane of alpha 0.3.
    stripes = torch.ones(1, 10, 4)
    stripes[0, :7, 3] = 0.0
    material = Material((0, 0, 0), emissive=RED, base_color_texture=Texture(stripes))
    masked = wall(1.0, replace(material, alpha_mode='mask'))
    masked = replace(masked, mesh=replace(masked.mesh, uvs=masked.mesh.uvs * 3.0))
    wide = Intrinsics.from_fov(960, 2, 0.8)
    seen = Renderer('cpu')(Scene((masked,), background=SKY), wide, torch.eye(4)).color
    blended = fused(Scene((wall(1.0, glowing(RED, 0.3)),), background=SKY)).color[0, 0]
    # One period of the texture is 0.985 of the picture's width.
    torch.testing.assert_close(seen.mean(dim=(0, 1)), blended, rtol=0.03, atol=0)


def test_alpha_mode_must_be_known() -> None:
    bad = replace(glowing(RED), alpha_mode='additive')  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alpha_mode of instance 'wall' is 'additive'"):
        fused(Scene((wall(1.0, bad),)))
