# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All that shading needs to know of the surface at each pixel of a block."""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.arithmetic import ONE, ZERO
from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.sampling import sample_textures
from diffphyscam_ros.kernels.scratch import (
    ALPHA,
    BASE_B,
    BASE_G,
    BASE_R,
    BLOCK,
    DEPTH,
    FLIP,
    ITEM,
    METALLIC,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    OUT_B,
    OUT_G,
    OUT_R,
    PIXEL,
    ROUGHNESS,
    SEEN,
    TEXEL_A,
    TEXEL_B,
    TEXEL_G,
    TEXEL_R,
)
from diffphyscam_ros.kernels.surface import (
    ALPHA_CUTOFF,
    ALPHA_MODE,
    BLEND,
    finish_normals,
    intersect,
    locate,
    map_normals,
    MASK,
    mix_normals,
    mix_uvs,
    OCCLUSION_STRENGTH,
    read_materials,
    TEXTURE_BASE,
    TEXTURE_EMISSIVE,
    TEXTURE_METAL,
    TEXTURE_NORMAL,
    TEXTURE_OCCLUSION,
    USES_ALPHA,
    USES_BASE,
    USES_EMISSIVE,
    USES_METAL,
    USES_NORMAL,
    USES_OCCLUSION,
    USES_TEXTURE,
)


@kernel(fastmath=True)
def _cut_alpha(s, n, count, factors, flags):
    """Make ALPHA 1 where the material is opaque and 0 or 1 where it is masked."""
    for i in range(count):
        item = np.uint32(n[ITEM + i])
        mode = flags[item, ALPHA_MODE]
        if mode == MASK:
            s[ALPHA + i] = ONE if s[ALPHA + i] >= factors[item, ALPHA_CUTOFF] else ZERO
        elif mode != BLEND:
            s[ALPHA + i] = ONE


@kernel(fastmath=True)
def _write(s, n, count, depth, normal, instance):
    """Turn NORMAL to the viewer's side and write what is geometry into the pictures."""
    for i in range(BLOCK):
        s[NORMAL_X + i] *= s[FLIP + i]
        s[NORMAL_Y + i] *= s[FLIP + i]
        s[NORMAL_Z + i] *= s[FLIP + i]
    for i in range(count):
        pixel = np.uint32(n[PIXEL + i])
        depth[pixel] = s[DEPTH + i]
        normal[pixel, 0] = s[NORMAL_X + i]
        normal[pixel, 1] = s[NORMAL_Y + i]
        normal[pixel, 2] = s[NORMAL_Z + i]
        instance[pixel] = n[ITEM + i] + 1


@kernel(fastmath=True)
def gather_surface(
    s, n, count, step_x, step_y, geometry, rotate, materials, depth, normal, instance
):
    """Interpolate and look up everything shading needs for ``count`` hit pixels.

    Reads RAY, PIXEL and TRIANGLE; fills NORMAL, DEPTH, BASE, METALLIC, ROUGHNESS, SEEN by the
    occlusion textures, with the emitted light OUT, and ALPHA, which is final only where USES_ALPHA
    is among the bits returned (all is opaque elsewhere); writes the pictures ``depth`` (N,),
    ``normal`` (N, 3), ``instance`` (N,).

    :param geometry, materials: see ``kernels/shade.py``.
    :param rotate: (I, 3, 3) float32, mesh normals to the optical frame, any scale.
    """
    faces, face_instance, camera, normals, uvs, colors = geometry
    factors, flags, atlas, levels, counts = materials
    runs = locate(s, n, count, faces, face_instance, camera)
    intersect(s, step_x, step_y)
    uses = read_materials(s, n, runs, factors, flags, colors)
    mix_normals(s, n, runs, flags, normals, rotate)
    finish_normals(s)
    if (uses & USES_TEXTURE) != 0:
        mix_uvs(s, n, count, uvs)
    if (uses & USES_BASE) != 0:
        sample_textures(s, n, count, runs, flags, TEXTURE_BASE, atlas, levels, counts)
        for i in range(count):
            if flags[np.uint32(n[ITEM + i]), TEXTURE_BASE] >= 0:
                s[BASE_R + i] *= s[TEXEL_R + i]
                s[BASE_G + i] *= s[TEXEL_G + i]
                s[BASE_B + i] *= s[TEXEL_B + i]
                s[ALPHA + i] *= s[TEXEL_A + i]
    if (uses & USES_METAL) != 0:
        sample_textures(s, n, count, runs, flags, TEXTURE_METAL, atlas, levels, counts)
        for i in range(count):
            if flags[np.uint32(n[ITEM + i]), TEXTURE_METAL] >= 0:
                s[METALLIC + i] *= s[TEXEL_B + i]
                s[ROUGHNESS + i] *= s[TEXEL_G + i]
    if (uses & USES_NORMAL) != 0:
        sample_textures(s, n, count, runs, flags, TEXTURE_NORMAL, atlas, levels, counts)
        map_normals(s, n, count, factors, flags, uvs)
    if (uses & USES_EMISSIVE) != 0:
        sample_textures(s, n, count, runs, flags, TEXTURE_EMISSIVE, atlas, levels, counts)
        for i in range(count):
            if flags[np.uint32(n[ITEM + i]), TEXTURE_EMISSIVE] >= 0:
                s[OUT_R + i] *= s[TEXEL_R + i]
                s[OUT_G + i] *= s[TEXEL_G + i]
                s[OUT_B + i] *= s[TEXEL_B + i]
    for i in range(BLOCK):
        s[SEEN + i] = ONE
    if (uses & USES_OCCLUSION) != 0:
        sample_textures(s, n, count, runs, flags, TEXTURE_OCCLUSION, atlas, levels, counts)
        for i in range(count):
            item = np.uint32(n[ITEM + i])
            if flags[item, TEXTURE_OCCLUSION] >= 0:
                s[SEEN + i] = ONE + factors[item, OCCLUSION_STRENGTH] * (s[TEXEL_R + i] - ONE)
    if (uses & USES_ALPHA) != 0:
        _cut_alpha(s, n, count, factors, flags)
    _write(s, n, count, depth, normal, instance)
    return uses
