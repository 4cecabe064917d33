# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The scenes of bench/shading_truth.py: real meshes on a floor under every kind of light."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from pathlib import Path

import numpy as np
import torch

from diffphyscam_ros.scene import (
    DirectionalLight,
    Environment,
    evaluate_irradiance,
    Instance,
    irradiance,
    Light,
    load_environment,
    load_mesh,
    look_at,
    Material,
    plane,
    PointLight,
    Scene,
    smooth_normals,
    sphere,
    SpotLight,
    Texture,
)

DIFFUSE, GGX, SHADOWED, SKY = 42.0, 36.0, 36.0, 32.0  # dB to reach
OCCLUDED_GLOSS = 24.0  # the share of the sky that a mirror sees is a rule of thumb
CAMERA = look_at((2.6, 0.5, 1.3), (0.0, 0.0, 0.4))

SUN = DirectionalLight((-0.5, 0.6, -1.0), (2.2, 2.1, 1.9))
LAMP = PointLight((0.9, -1.0, 1.6), (2.6, 2.4, 2.8))
SPOT = SpotLight((1.2, 0.9, 2.0), (-0.5, -0.4, -0.8), (9.0, 7.0, 5.0), 0.15, 0.45)


@dataclass(frozen=True)
class Case:
    """What is drawn, and the PSNR to reach.

    :param occluded: whether objects hide the environment.
    """

    scene: Scene
    floor: float
    camera: torch.Tensor = CAMERA
    occluded: bool = False


def _placed(part: Instance, scale: float, turn: float, x: float, y: float) -> torch.Tensor:
    """Return a pose that puts a part's lowest point on the floor at (x, y)."""
    cosine, sine = math.cos(turn), math.sin(turn)
    pose = torch.eye(4)
    pose[:2, :2] = torch.tensor([[cosine, -sine], [sine, cosine]])
    pose[:3, :3] *= scale
    pose = pose @ part.pose
    points = part.mesh.vertices @ pose[:3, :3].T
    pose[:3, 3] = torch.tensor([x, y, -float(points[:, 2].min())])
    return pose


def _animals(data: Path) -> tuple[Instance, Instance]:
    """Return the duck Bob and the cow Spot, smooth, upright on the floor."""
    found = []
    for file, scale, turn, x, y in (
        ('bob/bob_tri.obj', 0.55, 2.3, -0.1, -0.62),
        ('spot/spot.obj', 0.5, 1.9, 0.0, 0.62),
    ):
        (part,) = load_mesh(data / 'meshes' / file, up_axis='y')
        mesh = replace(part.mesh, normals=smooth_normals(part.mesh))
        part = replace(part, mesh=mesh)
        found.append(replace(part, pose=_placed(part, scale, turn, x, y)))
    return found[0], found[1]


def _robot(data: Path) -> tuple[Instance, ...]:
    """Return the body of a TurtleBot3 with its laser, flat, behind the animals."""
    folder = data / 'meshes' / 'turtlebot3_burger'
    paint = Material((0.25, 0.25, 0.28), roughness=0.45)
    found = []
    for name, z in (('burger_base', 0.0), ('lds', 0.17)):
        (part,) = load_mesh(folder / f'{name}.stl', scale=0.001)
        pose = torch.eye(4)
        pose[:3, :3] *= 3.5
        pose[:3, 3] = torch.tensor([-0.6, 0.0, 3.5 * z])
        found.append(replace(part, pose=pose @ part.pose, material=paint))
    return tuple(found)


def _floor(material: Material) -> Instance:
    return Instance('floor', plane(6.0, 6.0), material, torch.eye(4))


def _ball(x: float, y: float, radius: float, material: Material) -> Instance:
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([x, y, radius])
    return Instance('ball', sphere(radius, segments=192, rings=96), material, pose)


def _painted(part: Instance, **changes: object) -> Instance:
    return replace(part, material=replace(part.material, **changes))


def _tiles(dark: float, light: float) -> Texture:
    """Return a checkerboard of 8 × 8 tiles with blurred borders."""
    v, u = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing='ij')
    wave = torch.sin(u * (2.0 * math.pi / 64.0)) * torch.sin(v * (2.0 * math.pi / 64.0))
    share = (0.5 + 4.0 * wave).clamp(0.0, 1.0)[..., None]
    return Texture((dark + (light - dark) * share).expand(256, 256, 3).contiguous())


def _sky(path: Path, turn: float) -> Environment:
    """Return an environment as bright as the nominal light, averaged over five directions."""
    found = load_environment(path)
    normals = torch.tensor([[0.0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    white = float(evaluate_irradiance(irradiance(found), normals).mean()) / math.pi
    return Environment(found.image, turn, 1.0 / white)


def _as_hdr(source: Path, folder: Path) -> Path:
    """Write an environment as Radiance .hdr."""
    import cv2

    path = folder / f'{source.stem}.hdr'
    image = load_environment(source).image.numpy()[..., ::-1]
    cv2.imwrite(str(path), np.ascontiguousarray(image))
    return path


def cases(data: Path, folder: Path) -> dict[str, Case]:
    """Return all scenes by name.

    :param data: holds ``meshes`` and ``environments``.
    :param folder: where environments are written in another format.
    """
    bob, spot = _animals(data)
    robot = _robot(data)
    matt = Material((0.7, 0.7, 0.7), roughness=1.0, base_color_texture=_tiles(0.3, 0.9))
    dull = _floor(matt)
    diffuse = (bob, spot, *robot, dull)
    shiny_floor = _floor(replace(matt, roughness=0.5))
    metals = (
        _painted(bob, base_color=(0.95, 0.75, 0.4), base_color_texture=None, metallic=1.0,
                 roughness=0.3),
        _painted(spot, metallic=1.0, roughness=0.5),
        _ball(0.6, -0.05, 0.22, Material((0.9, 0.9, 0.95), metallic=1.0, roughness=0.15)),
        shiny_floor,
    )  # fmt: skip
    coats = (
        _painted(bob, roughness=0.25),
        _painted(spot, roughness=0.4),
        *robot,
        _ball(0.6, -0.05, 0.22, Material((0.05, 0.2, 0.1), roughness=0.15)),
        shiny_floor,
    )
    glow = _painted(
        bob, emissive=(0.6, 0.5, 0.4), emissive_texture=bob.material.base_color_texture
    )
    mixed = (
        _painted(bob, roughness=0.35),
        _painted(spot, roughness=0.6),
        *robot,
        _ball(0.6, -0.05, 0.22, Material((0.9, 0.8, 0.6), metallic=1.0, roughness=0.2)),
        dull,
    )
    dark = (0.0, 0.0, 0.0)

    def lit(items: tuple[Instance, ...], *lights: Light, shadows: bool = False) -> Scene:
        changed = tuple(replace(light, shadows=shadows) for light in lights)
        return Scene(items, changed, background=dark)

    found = {
        'diffuse, directional': Case(lit(diffuse, SUN), DIFFUSE),
        'diffuse, point': Case(lit(diffuse, LAMP), DIFFUSE),
        'diffuse, spot': Case(lit(diffuse, SPOT), DIFFUSE),
        'emissive and lamp': Case(lit((glow, spot, dull), LAMP), DIFFUSE),
        'metals, three lamps': Case(lit(metals, SUN, LAMP, SPOT), GGX),
        'dielectrics, three lamps': Case(lit(coats, SUN, LAMP, SPOT), GGX),
        'diffuse, shadows': Case(lit(diffuse, SUN, LAMP, SPOT, shadows=True), SHADOWED),
        'mixed, shadows': Case(lit(mixed, SUN, SPOT, shadows=True), SHADOWED),
    }
    for name, turn in (('Kerner', 0.3), ('Stage', 2.0)):
        file = data / 'environments' / 'env_openexr' / f'{name}EnvLatLong.exr'
        sky = _sky(file, turn)
        found[f'{name}: diffuse'] = Case(Scene(diffuse, (), sky), SKY)
        found[f'{name}: dielectrics'] = Case(Scene(coats, (), sky), SKY)
        found[f'{name}: metals'] = Case(Scene(metals, (), sky), SKY)
        found[f'{name}: mixed'] = Case(Scene(mixed, (), sky), SKY)
        found[f'{name}: mixed, from .hdr'] = Case(
            Scene(mixed, (), _sky(_as_hdr(file, folder), turn)), SKY
        )
        found[f'{name}: diffuse, occluded'] = Case(Scene(diffuse, (), sky), SKY, occluded=True)
        found[f'{name}: mixed, occluded'] = Case(
            Scene(mixed, (), sky), OCCLUDED_GLOSS, occluded=True
        )
    return found
