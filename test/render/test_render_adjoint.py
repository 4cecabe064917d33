# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The hand-written gradient of shading against torch's, for every input of every feature."""

from __future__ import annotations

from dataclasses import replace

from every_leaf import asking, check_equal
import numba
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Radiance, Renderer
from diffphyscam_ros.render.frame import FramePacker
from diffphyscam_ros.render.paths import GradientPath, TorchPath
from diffphyscam_ros.render.visibility import CpuVisibility
from diffphyscam_ros.scene import (
    constant_environment,
    DirectionalLight,
    Environment,
    Instance,
    Material,
    plane,
    Scene,
    SpotLight,
    Texture,
)

PINHOLE = Intrinsics(96, 72, 80.0, 85.0, 50.3, 33.1)
FRONT = torch.eye(4)
CPU = torch.device('cpu')


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def full_scene(rich_scene: Scene) -> Scene:
    """Return the rich scene with every texture a material can have, and lights of every kind."""
    first, second, *others = rich_scene.instances
    glowing = replace(
        first.material,
        emissive=(0.5, 0.4, 0.3),
        emissive_texture=Texture(random(12, 9, 3, seed=1)),
        occlusion_texture=Texture(random(8, 8, 3, seed=2)),
        occlusion_strength=0.8,
    )
    bumpy = replace(second.material, normal_scale=1.5, emissive_texture=glowing.emissive_texture)
    spot = SpotLight((-0.3, -0.6, 0.2), (-0.1, 0.3, 1.0), (5.0, 4.0, 3.0), 0.1, 0.5)
    items = (replace(first, material=glowing), replace(second, material=bumpy), *others)
    return replace(rich_scene, instances=items, lights=(*rich_scene.lights, spot))


def loss(seen: Radiance) -> torch.Tensor:
    """Return a number that everything in a picture has a share in."""
    shape = seen.color.shape
    hit = torch.isfinite(seen.depth)
    return (
        (seen.color * (random(*shape, seed=7) - 0.4)).sum()
        + (seen.normal * (random(*shape, seed=8) - 0.5)).sum()
        + (seen.depth * (random(*shape[:2], seed=9) - 0.5))[hit].sum()
    )


def gradients(scene: Scene, **options: object) -> dict[str, torch.Tensor | None]:
    """Return the gradient of the loss by every leaf."""
    what, leaves = asking(scene, PINHOLE, FRONT)
    found = torch.autograd.grad(
        loss(Renderer('cpu', **options)(*what)), list(leaves.values()), allow_unused=True
    )
    return dict(zip(leaves, found, strict=True))


LIGHT = {
    'picture': lambda scene: scene,
    'uniform': lambda scene: replace(scene, environment=constant_environment((0.7, 0.8, 0.9))),
    'lamps alone': lambda scene: replace(scene, environment=None, background=(0.1, 0.2, 0.3)),
    'no lamps': lambda scene: replace(scene, lights=(), instances=scene.instances[:-1]),
}  # fmt: skip


@pytest.mark.parametrize('light', list(LIGHT))
@pytest.mark.parametrize('smooth', [False, True])
def test_every_gradient_is_torchs(full_scene: Scene, light: str, smooth: bool) -> None:
    scene = LIGHT[light](full_scene)
    mine = gradients(scene, antialias=smooth)
    theirs = gradients(scene, antialias=smooth, reference=True)
    check_equal(mine, theirs)
    asked = [name for name, value in theirs.items() if value is not None and bool(value.any())]
    assert len(asked) > 35, 'the scene uses nearly all it has'


def test_gradients_through_masked_and_blended_layers(full_scene: Scene) -> None:
    first, *others = full_scene.instances
    hazy = replace(
        first.material,
        alpha=0.8,
        alpha_mode='blend',
        base_color_texture=Texture(random(16, 16, 4, seed=3)),
    )
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = 1.3
    holes = Material(
        alpha_mode='mask', base_color_texture=Texture(random(8, 8, 4, seed=4)), roughness=0.5
    )
    items = (replace(first, material=hazy), *others, Instance('net', plane(1, 1), holes, pose))
    scene = replace(full_scene, instances=items)
    mine, theirs = gradients(scene), gradients(scene, reference=True)
    check_equal(mine, theirs)
    assert bool(theirs['painted alpha'].any())
    assert bool(theirs['painted base_color_texture'][..., 3].any())


def test_gradients_where_light_is_shadowed(full_scene: Scene) -> None:
    pixels = PINHOLE.width * PINHOLE.height
    shadows = (random(len(full_scene.lights), pixels, seed=5) * 255).to(torch.uint8)
    sky = (random(pixels, seed=6) * 255).to(torch.uint8)
    found = []
    for reference in (False, True):
        what, leaves = asking(full_scene, PINHOLE, FRONT)
        frame = FramePacker(CPU).frame(*what, 1e-3)
        light = replace(frame.illumination, light_visibility=shadows, sky_visibility=sky)
        frame = replace(frame, illumination=light)
        eye, parts = CpuVisibility(), Renderer('cpu')
        triangles = eye.triangles(frame.sight)
        path = (
            TorchPath(frame, CPU)
            if reference
            else GradientPath(frame, eye.camera, parts._buffers, parts._tables)
        )
        total = loss(path.shade(triangles, frame).radiance)
        by_leaf = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        found.append(dict(zip(leaves, by_leaf, strict=True)))
    check_equal(*found)


def test_results_do_not_depend_on_the_threads(full_scene: Scene) -> None:
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(gradients(full_scene, antialias=True))
    finally:
        numba.set_num_threads(before)
    # What torch itself adds up (the prefiltered environment) is left out.
    names = [name for name in found[0] if not name.startswith('environment')]
    for name in names:
        one, other = found[0][name], found[1][name]
        assert one is other is None or torch.equal(one, other), name


def test_what_is_not_asked_for_is_not_computed(full_scene: Scene) -> None:
    image = random(16, 16, 3).requires_grad_()
    first, *others = full_scene.instances
    material = replace(
        first.material,
        base_color_texture=Texture(image),
        metallic_roughness_texture=None,
        normal_texture=None,
        emissive_texture=None,
        occlusion_texture=None,
    )
    flat = [replace(i, material=replace(i.material, normal_texture=None)) for i in others]
    scene = replace(full_scene, instances=(replace(first, material=material), *flat))
    render = Renderer('cpu')
    seen = render(scene, PINHOLE, FRONT)
    # A texture moves nothing: what is behind the renderer need not go back through these.
    assert not seen.depth.requires_grad and not seen.normal.requires_grad
    (found,) = torch.autograd.grad(seen.color.sum(), image)
    assert bool((found > 0).any()) and set(render._tables._tables) == {'atlas'}


def test_pictures_of_one_renderer_keep_their_gradients_apart(rich_scene: Scene) -> None:
    what, leaves = asking(rich_scene, PINHOLE, FRONT)
    vertices = leaves['painted vertices']
    render = Renderer('cpu', antialias=True)
    first = loss(render(*what))
    (alone,) = torch.autograd.grad(first, vertices, retain_graph=True)
    other = replace(what[0], instances=what[0].instances[:3])
    loss(render(other, what[1], what[2])).backward()
    (again,) = torch.autograd.grad(first, vertices)
    assert torch.equal(alone, again)


def test_a_change_between_picture_and_gradient_is_noticed(rich_scene: Scene) -> None:
    # The environment's picture is looked at where it is; all else is packed into copies.
    image = random(8, 16, 3).requires_grad_()
    scene = replace(rich_scene, environment=Environment(image))
    total = Renderer('cpu')(scene, PINHOLE, FRONT).color.sum()
    with torch.no_grad():
        image.mul_(2.0)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        total.backward()


def test_lights_alone_ask_for_nothing_of_the_surface(rich_scene: Scene) -> None:
    power = torch.tensor([1.0, 0.9, 0.8], requires_grad=True)
    scene = replace(rich_scene, lights=(DirectionalLight((0.3, 0.5, 1.0), power),))
    render = Renderer('cpu')
    seen = render(scene, PINHOLE, FRONT)
    (found,) = torch.autograd.grad(seen.color.sum(), power)
    # Light is linear in the lamps' power.
    without = render(replace(scene, lights=()), PINHOLE, FRONT).color
    assert float((found * power.detach()).sum()) == pytest.approx(
        float((seen.color - without).sum().detach()), rel=1e-3
    )
    assert not render._tables._tables
