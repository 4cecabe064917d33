# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All materials of a scene as tables, and all their textures, with mip levels, as one atlas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.cache import needs_grad
from diffphyscam_ros.render.texture_atlas import atlas_layout, build_atlas
from diffphyscam_ros.scene.types import Instance, Material, Texture

# Columns of the flags.
BASE_TEXTURE, METAL_TEXTURE, NORMAL_TEXTURE, HAS_NORMALS, HAS_COLORS = range(5)
EMISSIVE_TEXTURE, OCCLUSION_TEXTURE, ALPHA_MODE = 5, 6, 7
FLAG_COLUMNS = 8
TEXTURE_COLUMNS = (
    BASE_TEXTURE,
    METAL_TEXTURE,
    NORMAL_TEXTURE,
    EMISSIVE_TEXTURE,
    OCCLUSION_TEXTURE,
)
OPAQUE, MASK, BLEND = 0, 1, 2
ALPHA_MODES = {'opaque': OPAQUE, 'mask': MASK, 'blend': BLEND}

# Columns of the factors; base colour 0 to 2, emissive 5 to 7.
METALLIC, ROUGHNESS, ALPHA, ALPHA_CUTOFF, OCCLUSION_STRENGTH, NORMAL_SCALE = 3, 4, 8, 9, 10, 11
FACTORS = (
    ('base_color', 3),
    ('metallic', 1),
    ('roughness', 1),
    ('emissive', 3),
    ('alpha', 1),
    ('alpha_cutoff', 1),
    ('occlusion_strength', 1),
    ('normal_scale', 1),
)
FACTOR_COLUMNS = sum(size for _, size in FACTORS)


@dataclass(frozen=True)
class Materials:
    """What the surface of each instance is made of.

    :param factors: (I, 12): base colour 0 to 2, metallic 3, roughness 4, emissive colour 5 to 7,
        alpha 8, alpha cutoff 9, occlusion strength 10, normal scale 11.
    :param flags: (I, 8) int32: numbers of the base colour 0, metallic-roughness 1 and normal 2
        textures (−1 = none), whether the mesh has normals 3 and colours 4, numbers of the
        emissive 5 and occlusion 6 textures, and the alpha mode 7 (0 opaque, 1 mask, 2 blend).
    :param atlas: (N, 4): the levels of all textures, texel by texel, row by row; a texel is 16
        bytes, its alpha 1 where the texture has none.
    :param levels: (T, L, 3) int32: offset in the atlas, width and height of each level.
    :param counts: (T,) int32: levels of each texture.
    """

    factors: torch.Tensor
    flags: torch.Tensor
    atlas: torch.Tensor
    levels: torch.Tensor
    counts: torch.Tensor


def material_textures(material: Material) -> tuple[Texture | None, ...]:
    """Return the textures in the order of ``TEXTURE_COLUMNS``."""
    return (
        material.base_color_texture,
        material.metallic_roughness_texture,
        material.normal_texture,
        material.emissive_texture,
        material.occlusion_texture,
    )


def material_needs_grad(material: Material) -> bool:
    """Return whether a gradient is asked of a material or of its textures."""
    factors = (getattr(material, name) for name, _ in FACTORS)
    images = (texture.image for texture in material_textures(material) if texture is not None)
    return any(needs_grad(value) for value in (*factors, *images))


def used_textures(instances: tuple[Instance, ...]) -> list[Texture]:
    """Return the textures in use, each once, in a fixed order."""

    def every() -> Iterator[Texture]:
        for instance in instances:
            if instance.mesh.uvs is not None:
                yield from (t for t in material_textures(instance.material) if t is not None)

    return list({id(texture): texture for texture in every()}.values())


def pack_materials(
    instances: tuple[Instance, ...],
    device: torch.device,
    dtype: torch.dtype,
    buffers: BufferPool,
) -> Materials:
    """Build the tables, differentiably in factors and texels.

    :param buffers: lends the memory of the textures on the CPU.

    :raises ValueError: for a texture or factor of the wrong shape.
    """
    textures = used_textures(instances)
    for texture in textures:
        # What is being optimised is not looked through in every step.
        if not texture.image.requires_grad and not bool(torch.isfinite(texture.image).all()):
            raise ValueError('texture image holds NaN or inf: must be finite')
    number = {id(texture): index for index, texture in enumerate(textures)}
    images = [texture.image for texture in textures]
    layout = atlas_layout(images)
    rows = [levels.tolist() for levels in layout]
    longest = max((len(row) for row in rows), default=1)
    # Unused places repeat the coarsest level, so that any level number is a valid one.
    table = [row + [row[-1]] * (longest - len(row)) for row in rows] or [[(0, 1, 1)]]

    factors, flags = [], []
    for instance in instances:
        factors.append(_factors(instance, device, dtype))
        flags.append(_flags(instance, number))
    together = torch.zeros(0, FACTOR_COLUMNS, device=device, dtype=dtype)
    if factors:
        together = torch.stack(factors)
    if not bool(torch.isfinite(together).all()):
        _refuse_broken_factors(instances)
    return Materials(
        factors=together,
        flags=torch.tensor(flags, dtype=torch.int32, device=device).reshape(-1, FLAG_COLUMNS),
        atlas=build_atlas([image.to(device, dtype) for image in images], layout, buffers).to(
            device, dtype
        ),
        levels=torch.tensor(table, dtype=torch.int32, device=device),
        counts=torch.tensor([len(row) for row in rows] or [1], dtype=torch.int32, device=device),
    )


def _refuse_broken_factors(instances: tuple[Instance, ...]) -> None:
    """Name the factor that is not finite."""
    for instance in instances:
        for name, _ in FACTORS:
            value = torch.as_tensor(getattr(instance.material, name))
            if not bool(torch.isfinite(value).all()):
                raise ValueError(
                    f'{name} of instance {instance.name!r} is {value.tolist()}: must be finite'
                )


def _flags(instance: Instance, number: dict[int, int]) -> list[int]:
    """Return the row of the flags of an instance.

    :param number: the textures' numbers by their id().
    """
    mesh, material = instance.mesh, instance.material
    if material.alpha_mode not in ALPHA_MODES:
        raise ValueError(
            f'alpha_mode of instance {instance.name!r} is {material.alpha_mode!r}: must be one '
            f'of {", ".join(ALPHA_MODES)}'
        )
    row = [0] * FLAG_COLUMNS
    for column, texture in zip(TEXTURE_COLUMNS, material_textures(material), strict=True):
        used = texture is not None and mesh.uvs is not None
        row[column] = number[id(texture)] if used else -1
    row[HAS_NORMALS] = int(mesh.normals is not None)
    row[HAS_COLORS] = int(mesh.colors is not None)
    row[ALPHA_MODE] = ALPHA_MODES[material.alpha_mode]
    return row


def _factors(instance: Instance, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return the row (12,) of the factors of an instance."""
    parts: list[torch.Tensor] = []
    numbers: list[float] = []  # since the last part: one tensor of many numbers costs less
    for name, size in FACTORS:
        value = getattr(instance.material, name)
        if isinstance(value, torch.Tensor):
            count = value.numel()
            parts += [torch.tensor(numbers, device=device, dtype=dtype)] if numbers else []
            parts.append(value.to(device, dtype).reshape(-1))
            numbers = []
        else:
            row = [float(item) for item in np.ravel(value)]
            count = len(row)
            numbers += row
        if count != size:
            raise ValueError(
                f'{name} of instance {instance.name!r} has {count} numbers: must have {size}'
            )
    parts += [torch.tensor(numbers, device=device, dtype=dtype)] if numbers else []
    return torch.cat(parts) if len(parts) > 1 else parts[0]
