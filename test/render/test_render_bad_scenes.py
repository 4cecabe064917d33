# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scenes that nobody wants and everybody gets: a right picture or a clear error, never NaN."""

from __future__ import annotations

from dataclasses import replace
import math

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Radiance, Renderer
from diffphyscam_ros.scene import (
    box,
    constant_environment,
    DirectionalLight,
    Environment,
    Instance,
    Material,
    Mesh,
    PointLight,
    Scene,
    sphere,
    Texture,
)

PINHOLE = Intrinsics.from_fov(64, 48, 1.0)
BALL = sphere(0.5, segments=24, rings=12)
GENERATOR = torch.Generator().manual_seed(8)
PAINT = Texture(torch.rand(8, 8, 4, generator=GENERATOR))
LIGHT = (
    DirectionalLight((0.3, 0.5, 1.0), (1.0, 0.9, 0.8)),
    PointLight((0.5, -1.0, 0.5), (2.0, 2.5, 3.0)),
)
SKY = Environment(torch.rand(8, 16, 3, generator=GENERATOR), intensity=0.5)
PAINTED = Material(
    (0.9, 0.8, 0.7), metallic=0.3, roughness=0.4, base_color_texture=PAINT, normal_texture=PAINT
)


def at(z: float) -> torch.Tensor:
    pose = torch.eye(4)
    pose[2, 3] = z
    return pose


def scene(*items: Instance, **changes: object) -> Scene:
    return replace(Scene(items, LIGHT, SKY), **changes)


def render(world: Scene, mode: str, pinhole: Intrinsics = PINHOLE) -> Radiance:
    """Draw by the kernels or in torch, smoothed or not; what comes is always finite."""
    way, smooth = mode.split()[0], mode.endswith('smooth')
    camera = torch.eye(4).requires_grad_(way != 'fused')
    seen = Renderer('cpu', antialias=smooth, reference=way == 'torch')(world, pinhole, camera)
    assert bool(torch.isfinite(seen.color).all()), 'no pixel without a colour'
    assert bool(torch.isfinite(seen.normal).all())
    assert not bool(torch.isnan(seen.depth).any()) and float(seen.depth.detach().min()) > 0.0
    assert bool((torch.isinf(seen.depth) == (seen.instance == 0)).all())
    if way == 'adjoint' or seen.color.requires_grad:  # torch knows where nothing can change
        seen.color.sum().backward()
        assert camera.grad is not None and bool(torch.isfinite(camera.grad).all())
    return seen


WAYS = ('fused', 'adjoint', 'torch')
MODES = pytest.mark.parametrize('mode', [*WAYS, *(f'{way} smooth' for way in WAYS)])


def same(a: Radiance, b: Radiance) -> None:
    assert torch.equal(a.instance, b.instance)
    torch.testing.assert_close(a.color, b.color, atol=1e-5, rtol=1e-5)


@MODES
def test_degenerate_and_repeated_triangles_change_nothing(mode: str) -> None:
    clean = scene(Instance('ball', BALL, PAINTED, at(2.0)))
    faces = torch.cat(
        [
            BALL.faces,
            BALL.faces[:40],  # twice, the second time behind the first
            BALL.faces[:20, [0, 0, 1]],  # a line
            BALL.faces[:20, [2, 2, 2]],  # a point
        ]
    )
    dirty = Instance('ball', replace(BALL, faces=faces.contiguous()), PAINTED, at(2.0))
    seen = render(scene(dirty), mode)
    wanted = render(clean, mode)
    assert torch.equal(seen.instance, wanted.instance)
    if mode.endswith('smooth'):  # where three triangles share an edge, its silhouette is unknown
        differing = (seen.color - wanted.color).abs().amax(-1) > 1e-4
        assert float(differing.float().mean()) < 0.02
    else:
        same(seen, wanted)


@MODES
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, 1e30])
def test_broken_vertices_take_their_triangles_along(mode: str, value: float) -> None:
    vertices = BALL.vertices.clone()
    vertices[::17] = value
    broken = render(scene(Instance('b', replace(BALL, vertices=vertices), PAINTED, at(2.0))), mode)
    whole = render(scene(Instance('b', BALL, PAINTED, at(2.0))), mode)
    assert 0.2 < float((broken.instance > 0).sum()) / float((whole.instance > 0).sum()) < 1.5


@MODES
def test_broken_normals_are_those_of_the_faces(mode: str) -> None:
    assert BALL.normals is not None
    for value in (math.nan, math.inf, 0.0):
        normals = torch.full_like(BALL.normals, value)
        seen = render(
            scene(Instance('b', replace(BALL, normals=normals), Material(), at(2.0))), mode
        )
        flat = render(scene(Instance('b', replace(BALL, normals=None), Material(), at(2.0))), mode)
        same(seen, flat)


@pytest.mark.parametrize(
    'change, message',
    [
        ({'uvs': torch.full((len(BALL.vertices), 2), math.nan)}, r"uvs of instance 'b' .* finite"),
        ({'colors': torch.full((len(BALL.vertices), 3), math.inf)}, 'colors of .* finite'),
        ({'uvs': torch.zeros(3, 2)}, r'uvs of .* has shape \(3, 2\): must be'),
        ({'faces': torch.tensor([[0, 1, 99999]], dtype=torch.int32)}, 'name vertices 0..99999'),
        ({'faces': torch.tensor([[0, 1, -1]], dtype=torch.int32)}, 'name vertices -1..1'),
    ],
)
def test_unusable_meshes_are_refused(change: dict, message: str) -> None:
    item = Instance('b', replace(BALL, **change), PAINTED, at(2.0))
    with pytest.raises(ValueError, match=message):
        render(scene(item), 'fused')


@pytest.mark.parametrize(
    'material, message',
    [
        (
            Material((math.nan, 0, 0)),
            r"base_color of instance 'b' is \[nan, 0.0, 0.0\]: must be f",
        ),
        (Material(roughness=math.inf), 'roughness of instance .* must be finite'),
        (Material(emissive=(0, 0, math.nan)), 'emissive of instance .* must be finite'),
        (Material(alpha=math.nan, alpha_mode='blend'), 'alpha of instance .* must be finite'),
        (
            Material(base_color_texture=Texture(torch.full((2, 2, 3), math.nan))),
            'texture .* finite',
        ),
        (Material(base_color_texture=Texture(torch.ones(2, 2))), r'\(H, W, 3\) or \(H, W, 4\)'),
        (Material(base_color_texture=Texture(torch.ones(0, 2, 3))), r'\(H, W, 3\) or \(H, W, 4\)'),
    ],
)
def test_unusable_materials_are_refused(material: Material, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(scene(Instance('b', BALL, material, at(2.0))), 'fused')


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'environment': Environment(torch.full((4, 8, 3), math.nan))}, 'environment .* finite'),
        ({'environment': replace(SKY, intensity=math.nan)}, 'intensity .* finite'),
        ({'environment': replace(SKY, rotation=math.inf)}, 'rotation .* finite'),
        ({'environment': Environment(torch.ones(4, 8))}, r'must be \(H, W, 3\)'),
        ({'background': (math.nan, 0.0, 0.0)}, 'background .* finite'),
    ],
)
def test_unusable_light_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(scene(Instance('b', BALL, PAINTED, at(2.0)), **changes), 'fused')


@MODES
def test_meshes_without_anything_but_triangles(mode: str) -> None:
    bare = Mesh(BALL.vertices, BALL.faces)
    textured = render(scene(Instance('b', bare, PAINTED, at(2.0))), mode)
    plain = replace(PAINTED, base_color_texture=None, normal_texture=None)
    same(textured, render(scene(Instance('b', bare, plain, at(2.0))), mode))


@MODES
def test_negative_scales_and_nested_transforms_equal_moved_vertices(mode: str) -> None:
    generator = torch.Generator().manual_seed(3)
    brick = box((0.5, 0.3, 0.4))
    assert brick.normals is not None
    for signs in ((-1.0, 1.0, 1.0), (-1.0, -1.0, 1.0), (-2.0, -0.5, -1.0)):
        pose = at(2.0)
        for _ in range(3):
            turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
            nested = torch.eye(4)
            nested[:3, :3] = turn @ torch.diag(torch.tensor(signs))
            nested[:2, 3] = 0.1
            pose = pose @ nested
        linear = pose[:3, :3]
        mirrored = float(torch.linalg.det(linear)) < 0
        normals = torch.nn.functional.normalize(brick.normals @ torch.linalg.inv(linear), dim=-1)
        moved = replace(
            brick,
            vertices=brick.vertices @ linear.T + pose[:3, 3],
            normals=normals,
            faces=brick.faces.flip(1) if mirrored else brick.faces,
        )
        material = replace(PAINTED, normal_texture=None, double_sided=False)
        one = render(scene(Instance('b', brick, material, pose)), mode)
        two = render(scene(Instance('b', moved, material, torch.eye(4))), mode)
        assert float((one.instance != two.instance).float().mean()) < 0.01
        both = (one.instance == 1) & (two.instance == 1)
        error = (one.color - two.color).abs().amax(-1)[both]
        assert float((error > 1e-3).float().mean()) < 0.02


@MODES
@pytest.mark.parametrize('depth', [0.0, 0.3, 0.4995, -0.2])
def test_camera_inside_an_object(mode: str, depth: float) -> None:
    inside = Instance('b', BALL, replace(PAINTED, double_sided=True), at(depth))
    seen = render(scene(inside), mode)
    if abs(depth) < 0.45:
        assert bool((seen.instance == 1).all()), 'there is no way out'
    outside_only = replace(inside, material=replace(PAINTED, double_sided=False))
    through = render(scene(outside_only), mode)
    if abs(depth) < 0.45:
        assert bool((through.instance == 0).all()), 'a single-sided wall is air from behind'


@MODES
def test_scenes_with_nothing_in_them(mode: str) -> None:
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    lonely = Mesh(torch.rand(5, 3), torch.zeros(0, 3, dtype=torch.int32))
    empty, points = (Instance(n, m, PAINTED, at(1.0)) for n, m in (('e', nothing), ('p', lonely)))
    for items in ((), (empty,), (empty, points)):
        for world in (
            Scene(items),
            scene(*items),
            scene(*items, background=(0.1, 0.2, 0.3)),
            scene(*items, environment=constant_environment(0.5)),
        ):
            assert int(render(world, mode).instance.max()) == 0
    black = Renderer('cpu')(Scene(), PINHOLE, torch.eye(4))
    assert float(black.color.max()) == 0.0


@MODES
@pytest.mark.parametrize('scale', [(1e-30, 1e-30, 1e-30), (1e5, 1e5, 1e5), (1.0, 0.0, 1.0),
                                   (0.0, 0.0, 0.0)])  # fmt: skip
def test_impossible_poses(mode: str, scale: tuple[float, float, float]) -> None:
    pose = torch.diag(torch.tensor([*scale, 1.0]))
    pose[2, 3] = 2.0
    good = Instance('good', BALL, PAINTED, at(3.0))
    seen = render(scene(Instance('odd', BALL, PAINTED, pose), good), mode)
    if max(scale) <= 1.0:  # else all of the picture lies within the odd one
        assert 2 in seen.instance.unique().tolist(), 'the rest of the scene is drawn'


@pytest.mark.parametrize('value', [math.nan, math.inf, 1e20])
def test_a_pose_that_is_no_place_is_refused(value: float) -> None:
    pose = at(2.0)
    pose[1, 3] = value
    with pytest.raises(ValueError, match="pose of instance 'odd' holds NaN or inf or more"):
        render(scene(Instance('odd', BALL, PAINTED, pose)), 'fused')


@MODES
def test_glass_and_leaves_of_all_kinds(mode: str) -> None:
    glass = replace(PAINTED, alpha=0.4, alpha_mode='blend')
    leaf = replace(PAINTED, alpha_mode='mask', alpha_cutoff=0.6)
    inside = Instance('in', BALL, glass, at(0.1))
    vertices = BALL.vertices.clone()
    vertices[3] = math.nan
    broken = Instance('broken', replace(BALL, vertices=vertices), leaf, at(2.0))
    render(scene(inside, broken, Instance('same', BALL, glass, at(2.0))), mode)


@MODES
def test_a_picture_of_one_pixel(mode: str) -> None:
    one = Intrinsics(1, 1, 50.0, 50.0, 0.0, 0.0)
    seen = render(scene(Instance('b', BALL, PAINTED, at(2.0))), mode, one)
    assert seen.color.shape == (1, 1, 3) and int(seen.instance) == 1
