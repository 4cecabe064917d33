# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From triangle numbers to the surface at each pixel, in torch.

The triangle numbers come from a visibility backend and carry no gradient; everything here is
recomputed from the vertices by differentiable operations (PERFORMANCE.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffphyscam_ros.render.geometry import Geometry
from diffphyscam_ros.render.materials import HAS_NORMALS, Materials

SMALL = 1e-30


@dataclass(frozen=True)
class Surface:
    """The surface at P hit pixels, optical frame; components come first, so that they vectorize.

    :param instance: (P,) index of the instance.
    :param corners: (P, 3) numbers of the triangle's vertices.
    :param weights: (3, P) perspective-correct barycentric weights.
    :param rays: (3, P) direction of the pixel with z = 1.
    :param depth: (P,) z in metres.
    :param edges: (2, 3, P) edges from the first corner to the others.
    :param normal: (3, P) unit interpolated normal, as the mesh has it.
    :param flip: (P,) ±1 that turns ``normal`` to the viewer's side.
    :param weight_steps: (2, 3, P) change of the weights for a pixel's step right and down,
        without gradient.
    """

    instance: torch.Tensor
    corners: torch.Tensor
    weights: torch.Tensor
    rays: torch.Tensor
    depth: torch.Tensor
    edges: torch.Tensor
    normal: torch.Tensor
    flip: torch.Tensor
    weight_steps: torch.Tensor


def to_camera(geometry: Geometry, mesh_to_camera: torch.Tensor) -> torch.Tensor:
    """Return the vertices (V, 3) in the optical frame.

    :param mesh_to_camera: (I, 4, 4).
    """
    matrix = mesh_to_camera[geometry.vertex_instance]
    return (matrix[:, :3, :3] * geometry.vertices[:, None, :]).sum(-1) + matrix[:, :3, 3]


def normal_matrices(mesh_to_camera: torch.Tensor) -> torch.Tensor:
    """Return (I, 3, 3) that carry mesh normals to the optical frame, not keeping their length.

    The matrix of cofactors with the sign of the determinant: the inverse transpose but for a
    positive factor, and defined for singular maps too.
    """
    m = mesh_to_camera[:, :3, :3]
    rows = [torch.linalg.cross(m[:, (i + 1) % 3], m[:, (i + 2) % 3]) for i in range(3)]
    cofactors = torch.stack(rows, dim=1)
    determinant = (m[:, 0] * cofactors[:, 0]).sum(-1).detach()
    sign = torch.where(determinant < 0, -1.0, 1.0).to(m.dtype)
    # A common scale keeps tiny or huge meshes within float32.
    scale = cofactors.detach().abs().amax(dim=(1, 2)).clamp_min(SMALL)
    return cofactors * (sign / scale)[:, None, None]


def at_corners(values: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """Gather a vertex attribute (V, n) at triangles' corners (P, 3): (corner, n, P)."""
    picked = values.index_select(0, corners.reshape(-1))
    return picked.reshape(-1, 3, values.shape[-1]).permute(1, 2, 0).contiguous()


def mix(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the mean (n, P) of corner values (3, n, P) with weights (3, P)."""
    return weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2]


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the scalar products (P,) of vectors (3, P)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the vector products (3, P) of vectors (3, P)."""
    return torch.stack(
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    )


def unit(vector: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """Normalise (3, P), replacing what has no length."""
    square = dot(vector, vector)
    good = square > SMALL
    return torch.where(good, vector * torch.where(good, square, 1.0).rsqrt(), otherwise)


def interpolate(
    geometry: Geometry,
    materials: Materials,
    camera: torch.Tensor,
    rotate_normals: torch.Tensor,
    triangles: torch.Tensor,
    rays: torch.Tensor,
    ray_step: torch.Tensor,
    held: bool = False,
) -> Surface:
    """Intersect rays with their triangles and interpolate.

    :param camera: (V, 3) vertices in the optical frame.
    :param rotate_normals: (I, 3, 3) of :func:`normal_matrices`.
    :param triangles: (P,) integers, none negative.
    :param rays: (3, P) with z = 1.
    :param ray_step: (2,) change of the ray's x for a pixel to the right, and of its y down.
    :param held: the points stay where they are on their triangles, whatever the rays do: no
        derivative passes through the weights.
    """
    corners = geometry.faces.index_select(0, triangles).long()
    instance = geometry.face_instance.index_select(0, triangles).long()
    points = at_corners(camera, corners)  # (corner, xyz, P)

    # Corners relative to the pixel's ray: small numbers, so their cross products keep digits.
    x, y = points[:, 0] - rays[0] * points[:, 2], points[:, 1] - rays[1] * points[:, 2]
    areas = torch.stack(
        [x[1] * y[2] - y[1] * x[2], x[2] * y[0] - y[2] * x[0], x[0] * y[1] - y[0] * x[1]]
    )
    total = areas.sum(0)
    usable = total.abs() > SMALL
    inverse = torch.where(usable, 1.0 / torch.where(usable, total, 1.0), 0.0)
    # A pixel on an edge may lie outside by 1/512 px because corners are snapped.
    weights = (areas * inverse).clamp_min(0.0)
    mass = weights.sum(0)
    weights = torch.where(mass > 0, weights / torch.where(mass > 0, mass, 1.0), 1.0 / 3.0)
    weights = weights.detach() if held else weights
    depth = dot(weights, points[:, 2])

    edges = points[1:] - points[:1]
    toward = torch.where(total.detach() > 0, -1.0, 1.0).to(points.dtype)
    forward = torch.zeros_like(rays)
    forward[2] = -1.0
    facing = unit(cross(edges[0], edges[1]) * toward, forward)

    normal = facing
    flip = torch.ones_like(depth)
    has_normals = materials.flags[instance, HAS_NORMALS] != 0
    if bool(has_normals.any()):
        mixed = mix(weights, at_corners(geometry.normals, corners))
        if len(rotate_normals) == 1:
            turned = rotate_normals[0] @ mixed
        else:
            rotate = rotate_normals.index_select(0, instance).permute(1, 2, 0).contiguous()
            turned = torch.stack([dot(row, mixed) for row in rotate])
        normal = torch.where(has_normals, unit(turned, facing), facing)
        flip = torch.where(dot(normal.detach(), facing.detach()) < 0, -1.0, 1.0).to(depth.dtype)

    with torch.no_grad():
        # Exact derivatives of the perspective-correct weights with respect to the ray.
        z = points[:, 2]
        across = torch.stack(
            [y[1] * z[2] - y[2] * z[1], y[2] * z[0] - y[0] * z[2], y[0] * z[1] - y[1] * z[0]]
        )
        down = torch.stack(
            [x[2] * z[1] - x[1] * z[2], x[0] * z[2] - x[2] * z[0], x[1] * z[0] - x[0] * z[1]]
        )
        weight_steps = torch.stack(
            [
                (step - step.sum(0) * weights) * (inverse * length)
                for step, length in zip((across, down), ray_step, strict=True)
            ]
        )
    return Surface(
        instance=instance,
        corners=corners,
        weights=weights,
        rays=rays,
        depth=depth,
        edges=edges,
        normal=normal,
        flip=flip,
        weight_steps=weight_steps,
    )
