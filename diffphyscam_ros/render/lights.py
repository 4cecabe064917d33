# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All lights of a scene as one table: in the world, and turned to the optical frame."""

from __future__ import annotations

from collections.abc import Iterable
import math

import torch

from diffphyscam_ros.scene.types import DirectionalLight, Light, SpotLight

DIRECTIONAL, POINT, SPOT = 0, 1, 2
KIND = 0
PLACE = slice(1, 4)
COLOR = slice(4, 7)
AXIS = slice(7, 10)
SPOT_SCALE, SPOT_OFFSET, SIZE, SHADOWS = 10, 11, 12, 13
LIGHT_COLUMNS = 14


def light_tensors(lights: Iterable[Light]) -> list[object]:
    """Return everything of the lights that may ask for a gradient."""
    values: list[object] = []
    for light in lights:
        if isinstance(light, DirectionalLight):
            values += [light.direction, light.irradiance]
        else:
            values += [light.position, light.intensity]
        if isinstance(light, SpotLight):
            values += [light.direction, light.inner_angle, light.outer_angle]
    return values


def light_numbers(lights: Iterable[Light]) -> list[object]:
    """Return all that a table is made from, in a form that can be compared."""
    numbers: list[object] = []
    for light in lights:
        numbers.append(type(light))
        for value in vars(light).values():
            numbers.append(value.tolist() if hasattr(value, 'tolist') else value)
    return numbers


def _vector(value: object, name: str, like: torch.Tensor) -> torch.Tensor:
    tensor = torch.as_tensor(value).to(like)
    if tensor.shape != (3,):
        raise ValueError(f'{name} has shape {tuple(tensor.shape)}: must be (3,)')
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f'{name} is {tensor.tolist()}: must be finite')
    return tensor


def _direction(value: object, name: str, like: torch.Tensor) -> torch.Tensor:
    direction = _vector(value, name, like)
    length = torch.linalg.vector_norm(direction)
    if not bool(length > 0):
        raise ValueError(f'{name} is zero: must have a length')
    return direction / length


def _size(value: float, name: str, highest: float) -> float:
    size = float(value)
    if not 0.0 <= size <= highest or not math.isfinite(size):
        limit = 'finite and not negative' if math.isinf(highest) else f'within 0..{highest:.4g}'
        raise ValueError(f'{name} = {size}: must be {limit}')
    return size


def _cone(light: SpotLight, like: torch.Tensor) -> torch.Tensor:
    """Return scale and offset (2,): the intensity's factor is clamp(cos·scale + offset, 0, 1)²."""
    inner = torch.as_tensor(light.inner_angle).to(like)
    outer = torch.as_tensor(light.outer_angle).to(like)
    low, high = float(inner.detach()), float(outer.detach())
    if not (0.0 <= low < high <= math.pi / 2 + 1e-6):
        raise ValueError(
            f'a spot light has inner_angle {low} and outer_angle {high} rad: must be '
            '0 <= inner < outer <= pi/2'
        )
    # Cones that differ by less than a milliradian cosine would have no slope left in float32.
    scale = 1.0 / (inner.cos() - outer.cos()).clamp_min(1e-3)
    return torch.stack([scale, -outer.cos() * scale])


def pack_lights(lights: Iterable[Light]) -> torch.Tensor:
    """Return (L, 14) float64 in the world, differentiably in all but sizes and flags.

    ===== ===========================================================================
    0     kind: 0 directional, 1 point, 2 spot
    1–3   unit direction to the light (directional), or its position in metres
    4–6   irradiance (directional) or intensity
    7–9   unit direction in which a spot's light travels, zeros otherwise
    10–11 scale and offset of its cone: factor clamp(cos·scale + offset, 0, 1)²
    12    angular radius in radians (directional), or radius in metres
    13    1 if it casts shadows, else 0
    ===== ===========================================================================

    :raises ValueError: for a direction without length, a vector that is not (3,) or not finite, a
        cone or a size out of range.
    """
    like = torch.zeros((), dtype=torch.float64)
    rows = []
    for light in lights:
        axis, cone = like.new_zeros(3), like.new_tensor([0.0, 1.0])
        if isinstance(light, DirectionalLight):
            kind = DIRECTIONAL
            place = -_direction(light.direction, 'direction of a light', like)
            color = _vector(light.irradiance, 'irradiance of a light', like)
            size = _size(light.angle, 'angle of a light', math.pi / 2)
        else:
            kind = SPOT if isinstance(light, SpotLight) else POINT
            place = _vector(light.position, 'position of a light', like)
            color = _vector(light.intensity, 'intensity of a light', like)
            size = _size(light.radius, 'radius of a light', math.inf)
        if isinstance(light, SpotLight):
            axis = _direction(light.direction, 'direction of a light', like)
            cone = _cone(light, like)
        last = like.new_tensor([size, float(light.shadows)])
        rows.append(torch.cat([like.new_tensor([float(kind)]), place, color, axis, cone, last]))
    return torch.stack(rows) if rows else like.new_zeros(0, LIGHT_COLUMNS)


def turned_lights(lights: torch.Tensor, world_to_camera: torch.Tensor) -> torch.Tensor:
    """Return a table (L, 14) of :func:`pack_lights`, brought to the optical frame.

    :param world_to_camera: (4, 4) of the table's type.
    """
    back = world_to_camera[:3, :3].T
    far = (lights[:, KIND] == DIRECTIONAL)[:, None]
    place = lights[:, PLACE] @ back
    place = torch.where(far, place, place + world_to_camera[:3, 3])
    return torch.cat(
        [lights[:, :1], place, lights[:, COLOR], lights[:, AXIS] @ back, lights[:, SPOT_SCALE:]], 1
    )
