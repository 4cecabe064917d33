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
    """The surface at P hit pixels, optical frame.

    :param instance: (P,) index of the instance.
    :param corners: (P, 3) numbers of the triangle's vertices.
    :param weights: (P, 3) perspective-correct barycentric weights.
    :param rays: (P, 3) direction of the pixel with z = 1.
    :param depth: (P,) z in metres.
    :param edges: (P, 2, 3) edges from the first corner to the others.
    :param facing: (P, 3) unit geometric normal, towards the viewer.
    :param normal: (P, 3) unit interpolated normal, as the mesh has it.
    :param flip: (P,) ±1 that turns ``normal`` to the viewer's side.
    :param weight_steps: (P, 2, 3) change of the weights for a pixel's step right and down,
        without gradient.
    """

    instance: torch.Tensor
    corners: torch.Tensor
    weights: torch.Tensor
    rays: torch.Tensor
    depth: torch.Tensor
    edges: torch.Tensor
    facing: torch.Tensor
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


def _cross2(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _unit(vector: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """Normalise (..., 3), replacing what has no length."""
    square = (vector * vector).sum(-1, keepdim=True)
    good = square > SMALL
    return torch.where(good, vector / torch.where(good, square, 1.0).sqrt(), otherwise)


def interpolate(
    geometry: Geometry,
    materials: Materials,
    camera: torch.Tensor,
    rotate_normals: torch.Tensor,
    triangles: torch.Tensor,
    rays: torch.Tensor,
    ray_step: torch.Tensor,
) -> Surface:
    """Intersect rays with their triangles and interpolate.

    :param camera: (V, 3) vertices in the optical frame.
    :param rotate_normals: (I, 3, 3) of :func:`normal_matrices`.
    :param triangles: (P,) integers, none negative.
    :param rays: (P, 3) with z = 1.
    :param ray_step: (2,) change of the ray's x for a pixel to the right, and of its y down.
    """
    corners = geometry.faces.index_select(0, triangles).long()
    instance = geometry.face_instance.index_select(0, triangles).long()
    points = camera.index_select(0, corners.reshape(-1)).reshape(-1, 3, 3)  # (P, corner, xyz)

    # Corners relative to the pixel's ray: small numbers, so their cross products keep digits.
    depths = points[..., 2]
    flat = points[..., :2] - rays[:, None, :2] * depths[..., None]
    a, b, c = flat.unbind(1)
    areas = torch.stack([_cross2(b, c), _cross2(c, a), _cross2(a, b)], dim=-1)
    total = areas.sum(-1, keepdim=True)
    usable = total.abs() > SMALL
    inverse = torch.where(usable, 1.0 / torch.where(usable, total, 1.0), 0.0)
    # A pixel on an edge may lie outside by 1/512 px because corners are snapped.
    weights = (areas * inverse).clamp_min(0.0)
    mass = weights.sum(-1, keepdim=True)
    weights = torch.where(mass > 0, weights / torch.where(mass > 0, mass, 1.0), 1.0 / 3.0)
    depth = (weights * depths).sum(-1)

    edges = points[:, 1:] - points[:, :1]
    toward = torch.where(total.detach() > 0, -1.0, 1.0).to(points.dtype)
    forward = torch.zeros_like(rays)
    forward[:, 2] = -1.0
    facing = _unit(torch.linalg.cross(edges[:, 0], edges[:, 1]) * toward, forward)

    normal = facing
    flip = torch.ones_like(depth)
    has_normals = materials.flags[instance, HAS_NORMALS] != 0
    if bool(has_normals.any()):
        given = geometry.normals.index_select(0, corners.reshape(-1)).reshape(-1, 3, 3) \
            if geometry.normals.shape[0] > 1 else geometry.normals[0].expand(len(depth), 3, 3)
        mixed = (weights[..., None] * given).sum(1)
        turned = (rotate_normals[instance] * mixed[:, None, :]).sum(-1)
        exists = (turned * turned).sum(-1) > SMALL
        smooth = _unit(turned, facing)
        normal = torch.where((has_normals & exists)[:, None], smooth, facing)
        flip = torch.where((normal.detach() * facing.detach()).sum(-1) < 0, -1.0, 1.0)

    with torch.no_grad():
        # Exact derivatives of the perspective-correct weights with respect to the ray.
        za, zb, zc = depths.unbind(-1)
        across = torch.stack(
            [b[:, 1] * zc - c[:, 1] * zb, c[:, 1] * za - a[:, 1] * zc, a[:, 1] * zb - b[:, 1] * za],
            dim=-1,
        )
        down = torch.stack(
            [c[:, 0] * zb - b[:, 0] * zc, a[:, 0] * zc - c[:, 0] * za, b[:, 0] * za - a[:, 0] * zb],
            dim=-1,
        )
        steps = torch.stack([across, down], dim=1)
        steps = steps - steps.sum(-1, keepdim=True) * weights[:, None, :]
        weight_steps = steps * inverse[:, None, :] * ray_step[None, :, None]
    return Surface(
        instance, corners, weights, rays, depth, edges, facing, normal,
        flip.to(depth.dtype), weight_steps,
    )  # fmt: skip
