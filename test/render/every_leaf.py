# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A scene in which every number that can ask for a gradient does."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import torch

from diffphyscam_ros.render import Intrinsics
from diffphyscam_ros.scene import Scene, Texture

FACTORS = (
    'base_color',
    'metallic',
    'roughness',
    'emissive',
    'alpha',
    'occlusion_strength',
    'normal_scale',
)


def asking(
    scene: Scene, pinhole: Intrinsics, camera_to_world: torch.Tensor, device: str = 'cpu'
) -> tuple[tuple[Scene, Intrinsics, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what to render, and all its leaves by names. A texture used twice is one leaf."""
    leaves: dict[str, torch.Tensor] = {}
    textures: dict[int, Texture] = {}

    def leaf(name: str, value: object) -> torch.Tensor:
        copy = torch.as_tensor(value).detach().to(device, torch.float32).clone()
        leaves[name] = copy.requires_grad_()
        return leaves[name]

    def changed(thing: object, name: str, of: tuple[str, ...]) -> object:
        if thing is None or not is_dataclass(thing):
            return thing
        given = {field.name: getattr(thing, field.name) for field in fields(thing) if field.init}
        new = {key: leaf(f'{name} {key}', given[key]) for key in of if given.get(key) is not None}
        for key, value in given.items():
            if isinstance(value, Texture):
                if id(value) not in textures:
                    textures[id(value)] = Texture(leaf(f'{name} {key}', value.image))
                new[key] = textures[id(value)]
        return replace(thing, **new)

    instances = tuple(
        replace(
            instance,
            mesh=changed(instance.mesh, instance.name, ('vertices', 'normals', 'uvs', 'colors')),
            material=changed(instance.material, instance.name, FACTORS),
            pose=leaf(f'{instance.name} pose', instance.pose),
        )
        for instance in scene.instances
    )
    of_lights = ('direction', 'irradiance', 'position', 'intensity', 'inner_angle', 'outer_angle')
    lights = tuple(
        changed(light, f'light {number}', of_lights) for number, light in enumerate(scene.lights)
    )
    turning = scene.environment is not None and scene.environment.image.numel() > 3
    of_sky = ('image', 'intensity', 'rotation') if turning else ('image', 'intensity')
    environment = changed(scene.environment, 'environment', of_sky)
    asked = changed(pinhole, 'pinhole', ('fx', 'fy', 'cx', 'cy'))
    world = replace(scene, instances=instances, lights=lights, environment=environment)
    return (world, asked, leaf('camera', camera_to_world)), leaves


def check_equal(
    mine: dict[str, torch.Tensor | None], theirs: dict[str, torch.Tensor | None]
) -> None:
    """Hold two sets of gradients together: 1e-3 of the largest number of each tensor.

    fx and fy are judged together: the smaller of the two may be what cancellation has left.
    """
    lengths = [theirs[name] for name in ('pinhole fx', 'pinhole fy') if name in theirs]
    focal = max((float(value.abs()) for value in lengths if value is not None), default=0.0)
    for name, wanted in theirs.items():
        found = mine[name]
        if wanted is None or not bool(wanted.any()):
            assert found is None or not bool(found.any()), name
            continue
        assert found is not None, name
        largest = focal if name in ('pinhole fx', 'pinhole fy') else float(wanted.abs().max())
        error = float((found - wanted).abs().max()) / largest
        assert error < 1e-3, (name, error)
