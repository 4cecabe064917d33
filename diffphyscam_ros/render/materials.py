# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All materials of a scene as tables, and all their textures, with mip levels, as one atlas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional

from diffphyscam_ros.render.cache import needs_grad
from diffphyscam_ros.scene.types import Instance, Material, Texture

BASE_TEXTURE, METAL_TEXTURE, NORMAL_TEXTURE, HAS_NORMALS, HAS_COLORS = range(5)


@dataclass(frozen=True)
class Materials:
    """What the surface of each instance is made of.

    :param factors: (I, 8): base colour, metallic, roughness, emissive colour.
    :param flags: (I, 5) int32: numbers of the base colour, metallic-roughness and normal
        textures (−1 = none), and whether the mesh has normals and colours.
    :param atlas: (N, 3): the levels of all textures, texel by texel, row by row.
    :param levels: (T, L, 3) int32: offset in the atlas, width and height of each level.
    :param counts: (T,) int32: levels of each texture.
    """

    factors: torch.Tensor
    flags: torch.Tensor
    atlas: torch.Tensor
    levels: torch.Tensor
    counts: torch.Tensor


def material_textures(material: Material) -> tuple[Texture | None, Texture | None, Texture | None]:
    """Return the textures in the order of the flags' columns."""
    return (
        material.base_color_texture,
        material.metallic_roughness_texture,
        material.normal_texture,
    )


def material_needs_grad(material: Material) -> bool:
    """Return whether a gradient is asked of a material or of its textures."""
    factors = (material.base_color, material.metallic, material.roughness, material.emissive)
    images = (texture.image for texture in material_textures(material) if texture is not None)
    return any(needs_grad(value) for value in (*factors, *images))


def used_textures(instances: tuple[Instance, ...]) -> list[Texture]:
    """Return the textures in use, each once, in a fixed order."""

    def every() -> Iterator[Texture]:
        for instance in instances:
            if instance.mesh.uvs is not None:
                yield from (t for t in material_textures(instance.material) if t is not None)

    return list({id(texture): texture for texture in every()}.values())


def mip_levels(image: torch.Tensor) -> list[torch.Tensor]:
    """Return (H, W, 3) and its halvings down to (1, 1, 3), each the mean over its texels' area."""
    levels = [image]
    while levels[-1].shape[:2] != (1, 1):
        height, width = levels[-1].shape[:2]
        smaller = (max(height // 2, 1), max(width // 2, 1))
        picture = levels[-1].permute(2, 0, 1)
        levels.append(functional.adaptive_avg_pool2d(picture, smaller).permute(1, 2, 0))
    return levels


def pack_materials(
    instances: tuple[Instance, ...], device: torch.device, dtype: torch.dtype
) -> Materials:
    """Build the tables, differentiably in factors and texels.

    :raises ValueError: for a texture or factor of the wrong shape.
    """
    textures = used_textures(instances)
    number = {id(texture): index for index, texture in enumerate(textures)}
    texels: list[torch.Tensor] = []
    rows: list[list[tuple[int, int, int]]] = []
    offset = 0
    for texture in textures:
        if texture.image.ndim != 3 or texture.image.shape[-1] != 3 or texture.image.numel() == 0:
            raise ValueError(
                f'texture image has shape {tuple(texture.image.shape)}: must be (H, W, 3)'
            )
        row = []
        for level in mip_levels(texture.image.to(device, dtype)):
            height, width = level.shape[:2]
            row.append((offset, width, height))
            offset += height * width
            texels.append(level.reshape(-1, 3))
        rows.append(row)
    if offset > 2**31 - 1:
        raise ValueError(f'the textures hold {offset} texels: must be below 2^31')
    longest = max((len(row) for row in rows), default=1)
    # Unused places repeat the coarsest level, so that any level number is a valid one.
    table = [row + [row[-1]] * (longest - len(row)) for row in rows] or [[(0, 1, 1)]]

    factors, flags = [], []
    for instance in instances:
        mesh, material = instance.mesh, instance.material
        factors.append(_factors(instance, device, dtype))
        used = material_textures(material) if mesh.uvs is not None else (None, None, None)
        flags.append(
            [-1 if texture is None else number[id(texture)] for texture in used]
            + [int(mesh.normals is not None), int(mesh.colors is not None)]
        )
    return Materials(
        factors=torch.stack(factors) if factors else torch.zeros(0, 8, device=device, dtype=dtype),
        flags=torch.tensor(flags, dtype=torch.int32, device=device).reshape(-1, 5),
        atlas=torch.cat(texels).contiguous()
        if texels
        else torch.ones(1, 3, device=device, dtype=dtype),
        levels=torch.tensor(table, dtype=torch.int32, device=device),
        counts=torch.tensor([len(row) for row in rows] or [1], dtype=torch.int32, device=device),
    )


def _factors(instance: Instance, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return (8,): base colour, metallic, roughness, emissive."""
    material = instance.material
    parts = []
    for name, size in (('base_color', 3), ('metallic', 1), ('roughness', 1), ('emissive', 3)):
        value = torch.as_tensor(getattr(material, name)).to(device, dtype)
        if value.numel() != size:
            raise ValueError(
                f'{name} of instance {instance.name!r} has {value.numel()} numbers: '
                f'must have {size}'
            )
        parts.append(value.reshape(size))
    return torch.cat(parts)
