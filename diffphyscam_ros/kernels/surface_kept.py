# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A block's surface as ``gather_surface`` finds it, keeping what the adjoint needs of the way."""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.adjoint_scratch import (
    BASE_TEXEL_A,
    BASE_TEXEL_B,
    BASE_TEXEL_G,
    BASE_TEXEL_R,
    EMISSIVE_TEXEL_B,
    EMISSIVE_TEXEL_G,
    EMISSIVE_TEXEL_R,
    INVERSE_LENGTH,
    METAL_TEXEL,
    NORMAL_TEXEL_B,
    NORMAL_TEXEL_G,
    NORMAL_TEXEL_R,
    OCCLUSION_TEXEL,
    ROUGH_TEXEL,
    SMOOTH_X,
    SMOOTH_Y,
    SMOOTH_Z,
)
from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import sample_textures
from diffphyscam_ros.kernels.scratch import (
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    FLIP,
    ITEM,
    METALLIC,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    ROUGHNESS,
    SEEN,
    TEXEL_A,
    TEXEL_B,
    TEXEL_G,
    TEXEL_R,
)
from diffphyscam_ros.kernels.surface import (
    finish_normals,
    intersect,
    locate,
    map_normals,
    mix_normals,
    mix_uvs,
    OCCLUSION_STRENGTH,
    read_materials,
    SMALL,
    TEXTURE_BASE,
    TEXTURE_EMISSIVE,
    TEXTURE_METAL,
    TEXTURE_NORMAL,
    TEXTURE_OCCLUSION,
    USES_BASE,
    USES_EMISSIVE,
    USES_METAL,
    USES_NORMAL,
    USES_OCCLUSION,
    USES_TEXTURE,
)


@kernel(fastmath=True)
def _keep_none(s, kept):
    for i in range(BLOCK):
        s[kept + i] = ONE


@kernel(fastmath=True)
def _look_up(s, n, runs, materials, column, fields):
    """Keep what the textures of one kind say, 1 where there is none.

    :param fields: for red, green, blue and alpha.
    """
    _, flags, atlas, levels, counts = materials
    red, green, blue, alpha = fields
    sample_textures(s, n, BLOCK, runs, flags, column, atlas, levels, counts)
    for i in range(BLOCK):
        painted = flags[np.uint32(n[ITEM + i]), column] >= 0
        s[red + i] = s[TEXEL_R + i] if painted else ONE
        s[green + i] = s[TEXEL_G + i] if painted else ONE
        s[blue + i] = s[TEXEL_B + i] if painted else ONE
        s[alpha + i] = s[TEXEL_A + i] if painted else ONE


@kernel(fastmath=True)
def recompute_surface(s, n, step_x, step_y, geometry, rotate, materials):
    """Fill the block's fields from RAY and TRIANGLE, and the kept ones.

    NORMAL is turned to the viewer's side. The emitted light is left out. All pixels of the block
    must be valid.

    :returns: the bits of what is used, and the number of runs (``surface.locate``).
    :param geometry, materials: see ``kernels/shade.py``.
    """
    faces, face_instance, camera, normals, uvs, colors = geometry
    factors, flags, _, _, _ = materials
    runs = locate(s, n, BLOCK, faces, face_instance, camera)
    intersect(s, step_x, step_y)
    uses = read_materials(s, n, runs, factors, flags, colors)
    mix_normals(s, n, runs, flags, normals, rotate)
    for i in range(BLOCK):
        x, y, z = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
        square = x * x + y * y + z * z
        inverse = ONE / math.sqrt(max(square, SMALL))
        s[INVERSE_LENGTH + i] = inverse if square > SMALL else ZERO
    finish_normals(s)
    for i in range(BLOCK):
        s[SMOOTH_X + i], s[SMOOTH_Y + i] = s[NORMAL_X + i], s[NORMAL_Y + i]
        s[SMOOTH_Z + i] = s[NORMAL_Z + i]
        s[SEEN + i] = ONE
    if (uses & USES_TEXTURE) != 0:
        mix_uvs(s, n, BLOCK, uvs)
    if (uses & USES_BASE) != 0:
        fields = (BASE_TEXEL_R, BASE_TEXEL_G, BASE_TEXEL_B, BASE_TEXEL_A)
        _look_up(s, n, runs, materials, TEXTURE_BASE, fields)
        for i in range(BLOCK):
            s[BASE_R + i] *= s[BASE_TEXEL_R + i]
            s[BASE_G + i] *= s[BASE_TEXEL_G + i]
            s[BASE_B + i] *= s[BASE_TEXEL_B + i]
    else:
        _keep_none(s, BASE_TEXEL_R)
        _keep_none(s, BASE_TEXEL_G)
        _keep_none(s, BASE_TEXEL_B)
        _keep_none(s, BASE_TEXEL_A)
    if (uses & USES_METAL) != 0:
        _look_up(
            s, n, runs, materials, TEXTURE_METAL, (METAL_TEXEL, ROUGH_TEXEL, METAL_TEXEL, TEXEL_A)
        )
        for i in range(BLOCK):
            s[METALLIC + i] *= s[METAL_TEXEL + i]
            s[ROUGHNESS + i] *= s[ROUGH_TEXEL + i]
    else:
        _keep_none(s, METAL_TEXEL)
        _keep_none(s, ROUGH_TEXEL)
    if (uses & USES_NORMAL) != 0:
        fields = (NORMAL_TEXEL_R, NORMAL_TEXEL_G, NORMAL_TEXEL_B, TEXEL_A)
        _look_up(s, n, runs, materials, TEXTURE_NORMAL, fields)
        map_normals(s, n, BLOCK, factors, flags, uvs)
    if (uses & USES_EMISSIVE) != 0:
        fields = (EMISSIVE_TEXEL_R, EMISSIVE_TEXEL_G, EMISSIVE_TEXEL_B, TEXEL_A)
        _look_up(s, n, runs, materials, TEXTURE_EMISSIVE, fields)
    else:
        _keep_none(s, EMISSIVE_TEXEL_R)
        _keep_none(s, EMISSIVE_TEXEL_G)
        _keep_none(s, EMISSIVE_TEXEL_B)
    if (uses & USES_OCCLUSION) != 0:
        fields = (OCCLUSION_TEXEL, TEXEL_G, TEXEL_B, TEXEL_A)
        _look_up(s, n, runs, materials, TEXTURE_OCCLUSION, fields)
        for i in range(BLOCK):
            strength = factors[np.uint32(n[ITEM + i]), OCCLUSION_STRENGTH]
            s[SEEN + i] = ONE + strength * (s[OCCLUSION_TEXEL + i] - ONE)
    else:
        _keep_none(s, OCCLUSION_TEXEL)
    for i in range(BLOCK):
        s[NORMAL_X + i] *= s[FLIP + i]
        s[NORMAL_Y + i] *= s[FLIP + i]
        s[NORMAL_Z + i] *= s[FLIP + i]
    return uses, runs
