# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The walk through the trees: from a tile's points towards a light, past all that may hide it."""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel
from diffphyscam_ros.kernels.shadow_cast import darken, shadow_planes
from diffphyscam_ros.kernels.shadow_mask import darken_through, PANE_WIDTH
from diffphyscam_ros.kernels.shadow_shaft import carry_planes, look
from diffphyscam_ros.kernels.shadow_tree import EMPTY, WIDTH

# Columns of the table of instances.
ROOT, FIRST_FACE = 0, 1


@kernel()
def cast_shadows(s, planes, work, light, origin, close, casters):
    """Darken the points of a tile that anything hides from a light.

    :param s: (FLOATS,) float32 scratch with X, Y, Z and PASSED in all places.
    :param planes: (PLANES, 4) float64 shaft, relative to the origin.
    :param work: scratch of :func:`diffphyscam_ros.kernels.shadow.find_shadows`.
    :param light: x, y, z, near as in ``shadow_shaft.enclose``.
    :param origin: x, y, z of the tile's origin in the optical frame.
    :param casters: see :func:`diffphyscam_ros.kernels.shadow.find_shadows`.
    """
    flat, sides, top_flat, top_sides, volume, stack, top_stack, straight = work
    lx, ly, lz, near = light
    ox, oy, oz = origin
    faces, camera, top_nodes, top_children, top_reach = casters[:5]
    instances, matrices, reaches, nodes, children = casters[5:10]
    textures, alphas, uvs, atlas = casters[10:]
    carry_planes(planes, straight, ox, oy, oz, top_reach, top_flat, top_sides)
    top_stack[0] = 0
    top_depth = 1
    while top_depth > 0:
        top_depth -= 1
        top_node = top_stack[top_depth]
        top_bits = look(top_flat, top_sides, top_nodes, top_node)
        for top_k in range(WIDTH):
            if (top_bits >> top_k) & 1 == 0:
                continue
            top_child = top_children[top_node, top_k]
            if top_child >= 0:
                top_stack[top_depth] = top_child
                top_depth += 1
                continue
            if top_child == EMPTY:
                continue
            item = -2 - top_child
            root, first = instances[item, ROOT], instances[item, FIRST_FACE]
            solid = textures[item, PANE_WIDTH] == 0
            carry_planes(planes, matrices[item], ox, oy, oz, reaches[item], flat, sides)
            stack[0] = root
            depth = 1
            while depth > 0:
                depth -= 1
                node = stack[depth]
                bits = look(flat, sides, nodes, node)
                if bits == 0:
                    continue
                for k in range(WIDTH):
                    if (bits >> k) & 1 == 0:
                        continue
                    child = children[node, k]
                    if child >= 0:
                        stack[depth] = root + child
                        depth += 1
                        continue
                    if child == EMPTY:
                        continue
                    face = first - 2 - child
                    a = np.uint32(faces[face, 0])
                    b = np.uint32(faces[face, 1])
                    c = np.uint32(faces[face, 2])
                    turned = shadow_planes(
                        volume,
                        camera[a, 0] - ox, camera[a, 1] - oy, camera[a, 2] - oz,
                        camera[b, 0] - ox, camera[b, 1] - oy, camera[b, 2] - oz,
                        camera[c, 0] - ox, camera[c, 1] - oy, camera[c, 2] - oz,
                        lx, ly, lz, near, close,
                    )  # fmt: skip
                    if turned == 0:
                        continue
                    if solid:
                        lit = darken(s, volume)
                    else:
                        if turned < 0:
                            b, c = c, b
                        pane, alpha = textures[item], alphas[item]
                        lit = darken_through(s, volume, a, b, c, pane, alpha, uvs, atlas)
                    if lit == 0:
                        return
