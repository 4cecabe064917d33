# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Light on surfaces against Mitsuba 3, and the CPU kernel against the torch path."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Radiance, Renderer
from diffphyscam_ros.scene import (
    constant_environment,
    DirectionalLight,
    Environment,
    Instance,
    Material,
    plane,
    PointLight,
    Scene,
    sphere,
)

SIZE = 48
PINHOLE = Intrinsics.from_fov(SIZE, SIZE, 0.7)
FRONT = torch.eye(4)
FINE_SPHERE = sphere(0.5, segments=256, rings=128)
CENTRE = (0.0, 0.0, 2.0)
Light = DirectionalLight | PointLight


def at_centre(material: Material, lights: tuple[Light, ...] = (), **world: object) -> Scene:
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor(CENTRE)
    return Scene((Instance('ball', FINE_SPHERE, material, pose),), lights, **world)


def by_mitsuba(
    mitsuba: ModuleType,
    bsdf: dict,
    lights: tuple[Light, ...] = (),
    environment: Environment | None = None,
    samples: int = 16,
) -> np.ndarray:
    """Return the (H, W, 3) picture of the same ball by Mitsuba's direct illumination."""
    transform = mitsuba.ScalarTransform4f
    world: dict[str, object] = {
        'type': 'scene',
        'integrator': {'type': 'direct', 'hide_emitters': True},
        'ball': {'type': 'sphere', 'center': list(CENTRE), 'radius': 0.5, 'bsdf': bsdf},
        'sensor': {
            'type': 'perspective',
            'fov': math.degrees(0.7),
            'to_world': transform().look_at(origin=[0, 0, 0], target=[0, 0, 1], up=[0, -1, 0]),
            'film': {'type': 'hdrfilm', 'width': SIZE, 'height': SIZE, 'pixel_format': 'rgb',
                     'rfilter': {'type': 'box'}},
            'sampler': {'type': 'stratified', 'sample_count': samples},
        },
    }  # fmt: skip
    for number, light in enumerate(lights):
        if isinstance(light, DirectionalLight):
            item = {'type': 'directional', 'direction': list(light.direction),
                    'irradiance': {'type': 'rgb', 'value': list(light.irradiance)}}  # fmt: skip
        else:
            item = {'type': 'point', 'position': list(light.position),
                    'intensity': {'type': 'rgb', 'value': list(light.intensity)}}  # fmt: skip
        world[f'light{number}'] = item
    if environment is not None and environment.image.shape[0] == 1:
        value = (environment.image[0, 0] * environment.intensity).tolist()
        world['environment'] = {'type': 'constant', 'radiance': {'type': 'rgb', 'value': value}}
    elif environment is not None:
        # Mitsuba's picture is y-up, its column 0 looks along -z... the map is probed, not assumed:
        # each of its pixel centres is asked which direction it shows (see below).
        world['environment'] = {'type': 'envmap', 'to_world': transform(),
                                'bitmap': mitsuba.Bitmap(_as_mitsuba(environment))}  # fmt: skip
    return np.array(mitsuba.render(mitsuba.load_dict(world)))


def _as_mitsuba(environment: Environment) -> np.ndarray:
    """Resample a world-frame environment to Mitsuba's lat-long layout (up = +y, centre = -z)."""
    from diffphyscam_ros.scene import environment_radiance

    height, width = 64, 128
    polar = (np.arange(height) + 0.5) / height * np.pi
    turn = (np.arange(width) + 0.5) / width * 2 * np.pi
    # envmap: uv = (atan2(x, -z) / 2π, acos(y) / π) for the direction (x, y, z).
    x = np.sin(polar)[:, None] * np.sin(turn)
    z = -np.sin(polar)[:, None] * np.cos(turn)
    y = np.broadcast_to(np.cos(polar)[:, None], x.shape)
    directions = torch.from_numpy(np.stack([x, y, z], -1)).float()
    return environment_radiance(environment, directions).numpy().astype(np.float32)


def inner(shrink: float = 0.9) -> np.ndarray:
    """Return the pixels (H, W) well inside the ball's outline."""
    v, u = np.mgrid[:SIZE, :SIZE]
    radius = PINHOLE.fx * 0.5 / math.sqrt(CENTRE[2] ** 2 - 0.25)
    return np.hypot(u - PINHOLE.cx, v - PINHOLE.cy) < shrink * radius


def averaged(scene: Scene) -> torch.Tensor:
    """Return our (H, W, 3) picture as the mean over 4 × 4 points in each pixel."""
    fine = Intrinsics(4 * SIZE, 4 * SIZE, 4 * PINHOLE.fx, 4 * PINHOLE.fy,
                      4 * PINHOLE.cx + 1.5, 4 * PINHOLE.cy + 1.5)  # fmt: skip
    color = Renderer('cpu')(scene, fine, FRONT).color
    return color.reshape(SIZE, 4, SIZE, 4, 3).mean(dim=(1, 3))


def relative_error(ours: torch.Tensor, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the largest difference in units of the brightest value in the mask."""
    return float(np.abs(ours.numpy() - truth)[mask].max() / truth[mask].max())


HEADLIGHT = PointLight((0.0, 0.0, 0.0), (8.0, 6.0, 4.0))
ASIDE = PointLight((1.2, -0.8, 0.6), (3.0, 3.0, 5.0))
PARALLEL = DirectionalLight((0.5, 0.8, 1.0), (3.0, 2.0, 1.0))
BALL_LIGHTS = pytest.mark.parametrize('light', [HEADLIGHT, ASIDE, PARALLEL])


@BALL_LIGHTS
def test_diffuse_part_is_lambert_less_what_fresnel_takes(
    mitsuba: ModuleType, light: Light
) -> None:
    # The black ball shows the coat alone; what colour adds is (1 − F) of a Lambertian ball.
    # With F = 0.04 for v·h near 1; Schlick's term adds less than 0.02 for these lights.
    render = Renderer('cpu')
    colored = render(at_centre(Material((0.8, 0.5, 0.3), roughness=0.7), (light,)), PINHOLE, FRONT)
    black = render(at_centre(Material((0.0, 0.0, 0.0), roughness=0.7), (light,)), PINHOLE, FRONT)
    truth = 0.96 * by_mitsuba(
        mitsuba, {'type': 'diffuse', 'reflectance': {'type': 'rgb', 'value': [0.8, 0.5, 0.3]}},
        (light,),
    )  # fmt: skip
    assert relative_error(colored.color - black.color, truth, inner()) < 0.02


@pytest.mark.parametrize('roughness', [0.35, 0.6, 1.0])
@BALL_LIGHTS
def test_metal_is_mitsubas_rough_conductor(
    mitsuba: ModuleType, light: Light, roughness: float
) -> None:
    # F = 1 on both sides leaves the distribution and the shadowing term to compare.
    material = Material((1.0, 1.0, 1.0), metallic=1.0, roughness=roughness)
    ours = averaged(at_centre(material, (light,)))
    truth = by_mitsuba(
        mitsuba,
        {'type': 'roughconductor', 'material': 'none', 'distribution': 'ggx',
         'alpha': roughness**2, 'sample_visible': True},
        (light,),
    )  # fmt: skip
    assert relative_error(ours, truth, inner()) < 0.03


@BALL_LIGHTS
def test_dielectric_highlight_is_that_of_index_1_5(mitsuba: ModuleType, light: Light) -> None:
    # Schlick's approximation against Fresnel's equations: 5 % of the peak.
    ours = averaged(at_centre(Material((0.0, 0.0, 0.0), roughness=0.5), (light,)))
    black = {'type': 'rgb', 'value': 0.0}
    truth = by_mitsuba(
        mitsuba,
        {'type': 'roughplastic', 'distribution': 'ggx', 'alpha': 0.25, 'int_ior': 1.5,
         'diffuse_reflectance': black},
        (light,),
    )  # fmt: skip
    assert relative_error(ours, truth, inner()) < 0.05


def test_white_diffuser_under_uniform_light() -> None:
    # A closed form: (1 − F0)·(1 − Fresnel's share) + coat, close to 1 since little light is lost.
    ours = Renderer('cpu')(
        at_centre(Material(roughness=1.0), environment=constant_environment(2.0)), PINHOLE, FRONT
    )
    inside = ours.color.numpy()[inner(0.8)]
    assert inside.max() <= 2.001 and inside.min() > 1.9


@pytest.mark.parametrize('roughness', [0.3, 0.6, 1.0])
def test_metal_under_uniform_light(mitsuba: ModuleType, roughness: float) -> None:
    world = constant_environment((1.0, 0.5, 0.25), intensity=2.0)
    material = Material((1.0, 1.0, 1.0), metallic=1.0, roughness=roughness)
    ours = Renderer('cpu')(at_centre(material, environment=world), PINHOLE, FRONT)
    truth = by_mitsuba(
        mitsuba,
        {'type': 'roughconductor', 'material': 'none', 'distribution': 'ggx',
         'alpha': roughness**2},
        environment=world, samples=64,
    )  # fmt: skip
    radius = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2))
    for low, high in ((0, 6), (6, 10), (10, 13)):  # rings: noise averages out
        ring = inner() & (radius >= low) & (radius < high)
        mine, theirs = ours.color.numpy()[ring].mean(0), truth[ring].mean(0)
        np.testing.assert_allclose(mine, theirs, rtol=0.02)


@pytest.mark.parametrize('metallic', [0.0, 1.0])
def test_ball_in_a_picture_environment(mitsuba: ModuleType, metallic: float) -> None:
    # A smooth sky with a warm side. Split sum and order-2 harmonics: 8 % of the brightest.
    v, u = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 64), indexing='ij')
    warm = torch.exp(-((u - 0.3) ** 2) / 0.02 - ((v - 0.4) ** 2) / 0.03)
    image = torch.stack([0.3 + 3 * warm, 0.4 + 1.5 * warm, 0.9 - 0.6 * v + 0.3 * warm], -1)
    world = Environment(image, rotation=0.4, intensity=0.8)
    material = Material((0.9, 0.7, 0.5), metallic=metallic, roughness=0.5)
    ours = Renderer('cpu')(at_centre(material, environment=world), PINHOLE, FRONT).color
    tint = {'type': 'rgb', 'value': [0.9, 0.7, 0.5]}
    bsdf = (
        {'type': 'roughconductor', 'material': 'none', 'distribution': 'ggx', 'alpha': 0.25,
         'specular_reflectance': tint}
        if metallic
        else {'type': 'principled', 'base_color': tint, 'roughness': 0.5, 'specular': 0.5}
    )  # fmt: skip
    truth = by_mitsuba(mitsuba, bsdf, environment=world, samples=64)
    mask = inner(0.85)
    smooth = np.stack([_blur(np.where(mask, truth[..., c], 0)) for c in range(3)], -1)
    weight = _blur(mask.astype(float))[..., None]
    mine = np.stack([_blur(np.where(mask, ours.numpy()[..., c], 0)) for c in range(3)], -1)
    difference = np.abs(mine - smooth)[mask] / weight[mask]
    assert difference.max() / (smooth[mask] / weight[mask]).max() < 0.08


def _blur(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    return uniform_filter(image, 5, mode='constant')


def test_lights_obey_the_inverse_square_law_and_units() -> None:
    # A rough white wall faces the light: radiance = E/π·(1 − F), E = I/d² at the foot.
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = 2.0
    render = Renderer('cpu')
    wall = Instance('wall', plane(9.0, 9.0), Material((1.0, 1.0, 1.0), roughness=1.0), pose)
    black = Instance('wall', plane(9.0, 9.0), Material((0.0, 0.0, 0.0), roughness=1.0), pose)
    pinhole = Intrinsics(33, 33, 200.0, 200.0, 16.0, 16.0)

    def centre(light: Light) -> float:
        both = [render(Scene((item,), (light,)), pinhole, FRONT).color for item in (wall, black)]
        return float((both[0] - both[1])[16, 16, 0])

    near = centre(PointLight((0.0, 0.0, 1.0), (5.0, 5.0, 5.0)))
    assert near == pytest.approx(0.96 * 5.0 / math.pi, rel=1e-4)
    assert centre(PointLight((0.0, 0.0, -1.0), (5.0, 5.0, 5.0))) == pytest.approx(
        near / 9, rel=1e-4
    )
    sun = centre(DirectionalLight((0.0, 0.0, 7.0), (math.pi, 0.0, 0.0)))
    assert sun == pytest.approx(0.96, rel=1e-4)
    assert centre(DirectionalLight((0.0, 0.0, -1.0), (1.0, 1.0, 1.0))) == 0.0  # from behind


def test_light_poses_are_in_the_world(rich_scene: Scene) -> None:
    # Turning world and camera together changes nothing, the environment's turn about z included.
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    turn[:3, 3] = torch.tensor([3.0, -2.0, 1.0])
    lights = (
        DirectionalLight((turn[:3, :3] @ torch.tensor(rich_scene.lights[0].direction)).tolist(),
                         rich_scene.lights[0].irradiance),
        PointLight((turn[:3, :3] @ torch.tensor(rich_scene.lights[1].position) + turn[:3, 3])
                   .tolist(), rich_scene.lights[1].intensity),
    )  # fmt: skip
    old = rich_scene.environment
    moved = Scene(
        tuple(Instance(i.name, i.mesh, i.material, turn @ i.pose) for i in rich_scene.instances),
        lights,
        Environment(old.image, old.rotation + math.atan2(0.8, 0.6), old.intensity),
    )
    pinhole = Intrinsics.from_fov(64, 48, 1.0)
    before = Renderer('cpu')(rich_scene, pinhole, FRONT)
    after = Renderer('cpu')(moved, pinhole, turn)
    same = (before.instance == after.instance).numpy()
    assert same.mean() > 0.995
    error = (before.color - after.color).abs().amax(-1).numpy()[same]
    assert np.quantile(error, 0.99) < 1e-3


def torch_path(scene: Scene, pinhole: Intrinsics) -> Radiance:
    """Render by the readable path."""
    return Renderer('cpu', reference=True)(scene, pinhole, FRONT)


def test_kernel_equals_torch(rich_scene: Scene) -> None:
    pinhole = Intrinsics(96, 72, 80.0, 85.0, 50.3, 33.1)
    fused, readable = Renderer('cpu')(rich_scene, pinhole, FRONT), torch_path(rich_scene, pinhole)
    assert set(fused.instance.unique().tolist()) == {1, 2, 3, 4, 5}
    assert torch.equal(fused.instance, readable.instance)
    torch.testing.assert_close(fused.depth, readable.depth.detach(), rtol=1e-5, atol=0)
    # Normals of slivers and highlights amplify float32's rounding: all but one value in a
    # thousand within 1e-4, every one within 1e-3 relative.
    for name in ('normal', 'color'):
        mine, theirs = getattr(fused, name), getattr(readable, name).detach()
        error = (mine - theirs).abs() / (1.0 + theirs.abs())
        assert float(error.max()) < 1e-3, name
        assert float((error > 1e-4).float().mean()) < 1e-3, name


@pytest.mark.parametrize('background', [None, (0.1, 0.2, 0.3)])
def test_kernel_equals_torch_where_nothing_is_hit(
    rich_scene: Scene, background: tuple[float, float, float] | None
) -> None:
    scene = Scene(rich_scene.instances[:2], (), rich_scene.environment, background)
    pinhole = Intrinsics.from_fov(64, 48, 2.0)
    fused, readable = Renderer('cpu')(scene, pinhole, FRONT), torch_path(scene, pinhole)
    empty = fused.instance == 0
    assert 0.3 < float(empty.float().mean()) < 1.0
    torch.testing.assert_close(
        fused.color[empty], readable.color[empty].detach(), atol=1e-4, rtol=1e-4
    )
    assert float(fused.color[empty].std()) > 0.01 or background is not None
