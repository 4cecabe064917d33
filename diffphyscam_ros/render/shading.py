# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The readable shading path, in torch: any device, differentiable. The CPU kernel equals it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from diffphyscam_ros.render.geometry import Geometry
from diffphyscam_ros.render.interpolation import (
    SMALL,
    Surface,
    interpolate,
    normal_matrices,
    to_camera,
)
from diffphyscam_ros.render.lighting import EnvironmentMaps
from diffphyscam_ros.render.materials import (
    BASE_TEXTURE,
    HAS_COLORS,
    METAL_TEXTURE,
    NORMAL_TEXTURE,
    Materials,
)
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.reflectance import (
    MIN_N_DOT_V,
    diffuse_environment_share,
    dominant_direction,
    mirrored_environment_share,
    reflect,
)
from diffphyscam_ros.render.textures import sample_texture
from diffphyscam_ros.scene.environment import environment_radiance, evaluate_sh, prefilter_lookup
from diffphyscam_ros.scene.types import Environment


@dataclass(frozen=True)
class Illumination:
    """All light of a scene, in the optical frame.

    :param lights: (L, 7), see :func:`diffphyscam_ros.render.lighting.pack_lights`.
    :param maps: the environment, or None.
    :param turn: (3, 3) optical frame → environment picture.
    :param intensity: multiplies the environment.
    :param background: (3,) where nothing is hit, or None to show the environment.
    """

    lights: torch.Tensor
    maps: EnvironmentMaps | None
    turn: torch.Tensor
    intensity: float
    background: torch.Tensor | None


@dataclass(frozen=True)
class _Paint:
    """Base colour (P, 3), metallic (P,), roughness (P,), emissive (P, 3), normal (P, 3)."""

    base_color: torch.Tensor
    metallic: torch.Tensor
    roughness: torch.Tensor
    emissive: torch.Tensor
    normal: torch.Tensor


def pixel_rays(
    width: int,
    height: int,
    fx: torch.Tensor,
    fy: torch.Tensor,
    cx: torch.Tensor,
    cy: torch.Tensor,
) -> torch.Tensor:
    """Return the rays (H·W, 3) through the pixel centres, z = 1, differentiable in the pinhole."""
    x = (torch.arange(width, device=fx.device, dtype=fx.dtype) - cx) / fx
    y = (torch.arange(height, device=fx.device, dtype=fx.dtype) - cy) / fy
    plane = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
    return torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1).reshape(-1, 3)


def shade(
    triangles: torch.Tensor,
    width: int,
    height: int,
    pinhole: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    geometry: Geometry,
    materials: Materials,
    mesh_to_camera: torch.Tensor,
    illumination: Illumination,
) -> Radiance:
    """Turn triangle numbers into a picture.

    :param triangles: (H·W,) int32, −1 where nothing was hit.
    :param pinhole: fx, fy, cx, cy in px, each ().
    :param mesh_to_camera: (I, 4, 4).
    """
    rays = pixel_rays(width, height, *pinhole)
    hit = (triangles >= 0).nonzero().squeeze(-1)
    missed = (triangles < 0).nonzero().squeeze(-1)
    color = rays.new_zeros(height * width, 3)
    depth = rays.new_full((height * width,), math.inf)
    normal = rays.new_zeros(height * width, 3)
    instance = torch.zeros(height * width, dtype=torch.int32, device=rays.device)

    if missed.numel() > 0:
        color = color.index_copy(0, missed, _behind(rays.index_select(0, missed), illumination))
    if hit.numel() > 0:
        hit_rays = rays.index_select(0, hit)
        surface = interpolate(
            geometry,
            materials,
            to_camera(geometry, mesh_to_camera),
            normal_matrices(mesh_to_camera),
            triangles.index_select(0, hit),
            hit_rays,
            torch.stack([1.0 / pinhole[0], 1.0 / pinhole[1]]).detach(),
        )
        paint = _paint(geometry, materials, surface)
        color = color.index_copy(0, hit, _light(surface, paint, illumination))
        depth = depth.index_copy(0, hit, surface.depth)
        normal = normal.index_copy(0, hit, paint.normal)
        instance = instance.index_copy(0, hit, (surface.instance + 1).to(torch.int32))
    return Radiance(
        color=color.reshape(height, width, 3),
        depth=depth.reshape(height, width),
        normal=normal.reshape(height, width, 3),
        instance=instance.reshape(height, width),
    )


def _behind(rays: torch.Tensor, illumination: Illumination) -> torch.Tensor:
    """Return what is seen where nothing is hit: (P, 3)."""
    if illumination.background is not None:
        return illumination.background.expand(len(rays), 3)
    if illumination.maps is None:
        return torch.zeros_like(rays)
    picture = Environment(illumination.maps.picture)
    return environment_radiance(picture, rays @ illumination.turn.T) * illumination.intensity


def _corner_values(surface: Surface, values: torch.Tensor) -> torch.Tensor:
    """Gather a vertex attribute (V, n) at the corners: (P, 3, n)."""
    picked = values.index_select(0, surface.corners.reshape(-1))
    return picked.reshape(-1, 3, values.shape[-1])


def _paint(geometry: Geometry, materials: Materials, surface: Surface) -> _Paint:
    """Look up the material at each point."""
    factors = materials.factors.index_select(0, surface.instance)
    flags = materials.flags.index_select(0, surface.instance)
    base_color, metallic, roughness = factors[:, :3], factors[:, 3], factors[:, 4]
    normal = surface.normal
    if bool((flags[:, : NORMAL_TEXTURE + 1] >= 0).any()):
        corner_uvs = _corner_values(surface, geometry.uvs)
        uv = (surface.weights[..., None] * corner_uvs).sum(1)
        uv_steps = surface.weight_steps @ corner_uvs.detach()

        def looked_up(column: int) -> tuple[torch.Tensor, torch.Tensor] | None:
            """Return which points have this texture, and its colour there."""
            points = (flags[:, column] >= 0).nonzero().squeeze(-1)
            if points.numel() == 0:
                return None
            texture = flags[points, column].long()
            return points, sample_texture(materials, texture, uv[points], uv_steps[points])

        found = looked_up(BASE_TEXTURE)
        if found is not None:
            base_color = base_color.index_copy(0, found[0], base_color[found[0]] * found[1])
        found = looked_up(METAL_TEXTURE)
        if found is not None:
            points, texel = found
            metallic = metallic.index_copy(0, points, metallic[points] * texel[:, 2])
            roughness = roughness.index_copy(0, points, roughness[points] * texel[:, 1])
        found = looked_up(NORMAL_TEXTURE)
        if found is not None:
            points, texel = found
            uv_edges = (corner_uvs[:, 1:] - corner_uvs[:, :1])[points]
            bent = _map_normal(normal[points], texel, surface.edges[points], uv_edges)
            normal = normal.index_copy(0, points, bent)
    colored = flags[:, HAS_COLORS] != 0
    if bool(colored.any()):
        mixed = (surface.weights[..., None] * _corner_values(surface, geometry.colors)).sum(1)
        base_color = torch.where(colored[:, None], base_color * mixed, base_color)
    return _Paint(
        base_color, metallic, roughness, factors[:, 5:8], normal * surface.flip[:, None]
    )


def _map_normal(
    normal: torch.Tensor, texel: torch.Tensor, edges: torch.Tensor, uv_edges: torch.Tensor
) -> torch.Tensor:
    """Turn unit normals (P, 3) by texels (P, 3): x along +u, y along −v of the image (glTF).

    :param edges: (P, 2, 3) triangle edges; ``uv_edges`` (P, 2, 2) the same in uv.
    """
    (du1, dv1), (du2, dv2) = (edge.unbind(-1) for edge in uv_edges.unbind(1))
    e1, e2 = edges.unbind(1)
    determinant = du1 * dv2 - dv1 * du2
    # The sign alone matters: the tangent is normalised.
    sign = torch.where(determinant > 0, 1.0, -1.0).to(normal.dtype)[:, None]
    tangent = sign * (e1 * dv2[:, None] - e2 * dv1[:, None])
    tangent = tangent - (tangent * normal).sum(-1, keepdim=True) * normal
    square = (tangent * tangent).sum(-1, keepdim=True)
    good = (determinant.abs() > 0)[:, None] & (square > SMALL)
    tangent = tangent / torch.where(good, square, 1.0).sqrt()
    across = torch.linalg.cross(normal, tangent)
    downward = sign * (e2 * du1[:, None] - e1 * du2[:, None])
    up = torch.where((across * downward).sum(-1) > 0, -1.0, 1.0).to(normal.dtype)
    x, y, z = (2.0 * texel - 1.0).unbind(-1)
    bent = x[:, None] * tangent + (up * y)[:, None] * across + z[:, None] * normal
    square = (bent * bent).sum(-1, keepdim=True)
    good = good & (square > SMALL)
    return torch.where(good, bent / torch.where(good, square, 1.0).sqrt(), normal)


def _light(surface: Surface, paint: _Paint, illumination: Illumination) -> torch.Tensor:
    """Return the radiance (P, 3) that each point sends to the pinhole."""
    view = -surface.rays / torch.linalg.vector_norm(surface.rays, dim=-1, keepdim=True)
    normal = paint.normal
    n_dot_v = (normal * view).sum(-1).clamp_min(MIN_N_DOT_V)
    color = paint.emissive
    for light in illumination.lights:
        power = light[4:7]
        if bool(light[0] > 0.5):
            to_light = light[1:4] - surface.rays * surface.depth[:, None]
            inverse = 1.0 / (to_light * to_light).sum(-1, keepdim=True).clamp_min(1e-20)
            to_light = to_light * inverse.sqrt()
            power = power * inverse
        else:
            to_light = light[1:4].expand_as(normal)
        color = color + power * reflect(
            paint.base_color,
            paint.metallic,
            paint.roughness,
            n_dot_v,
            (normal * to_light).sum(-1),
            (view * to_light).sum(-1),
        )
    maps = illumination.maps
    if maps is None:
        return color
    irradiance = evaluate_sh(maps.irradiance, normal @ illumination.turn.T)
    toward = dominant_direction(normal, view, paint.roughness) @ illumination.turn.T
    glossy = prefilter_lookup(maps.glossy, toward, paint.roughness)
    diffuse = diffuse_environment_share(paint.base_color, paint.metallic, n_dot_v) * irradiance
    specular = glossy * mirrored_environment_share(
        paint.base_color, paint.metallic, paint.roughness, n_dot_v
    )
    return color + illumination.intensity * (diffuse + specular)
