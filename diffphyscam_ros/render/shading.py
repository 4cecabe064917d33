# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The readable shading path, in torch: any device, differentiable. The CPU kernel equals it."""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch

from diffphyscam_ros.render.geometry import Geometry
from diffphyscam_ros.render.interpolation import (
    at_corners,
    cross,
    dot,
    interpolate,
    mix,
    SMALL,
    Surface,
    unit,
)
from diffphyscam_ros.render.lighting import Illumination
from diffphyscam_ros.render.lights import (
    AXIS,
    COLOR,
    DIRECTIONAL,
    KIND,
    PLACE,
    SPOT,
    SPOT_OFFSET,
    SPOT_SCALE,
)
from diffphyscam_ros.render.materials import (
    ALPHA,
    ALPHA_CUTOFF,
    ALPHA_MODE,
    BASE_TEXTURE,
    EMISSIVE_TEXTURE,
    FACTOR_COLUMNS,
    HAS_COLORS,
    MASK,
    Materials,
    METAL_TEXTURE,
    METALLIC,
    NORMAL_SCALE,
    NORMAL_TEXTURE,
    OCCLUSION_STRENGTH,
    OCCLUSION_TEXTURE,
    OPAQUE,
    ROUGHNESS,
    TEXTURE_COLUMNS,
)
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.reflectance import (
    diffuse_environment_share,
    environment_lobe,
    leaning_direction,
    MIN_N_DOT_V,
    mirrored_visibility,
    reflect,
    reflectance_at_normal,
)
from diffphyscam_ros.render.textures import sample_texture
from diffphyscam_ros.scene.environment import (
    environment_radiance,
    evaluate_irradiance,
    prefilter_lookup,
)
from diffphyscam_ros.scene.types import Environment

CLOSED = -2  # in place of a triangle's number: this pixel is not drawn to at all


@dataclass(frozen=True)
class Shaded:
    """A picture, and (H, W) what each pixel keeps from those behind; None where all is opaque."""

    radiance: Radiance
    alpha: torch.Tensor | None


@dataclass(frozen=True)
class _Paint:
    """What P points are made of.

    :param base_color, emissive, normal: (3, P); ``metallic``, ``roughness``: (P,).
    :param alpha: (P,), 1 where the material is opaque, 0 or 1 where it is masked.
    :param occlusion: (P,) share of the environment that is seen, from the material's texture, or
        None where no material has one.
    """

    base_color: torch.Tensor
    metallic: torch.Tensor
    roughness: torch.Tensor
    emissive: torch.Tensor
    normal: torch.Tensor
    alpha: torch.Tensor
    occlusion: torch.Tensor | None


def pixel_rays(width: int, height: int, pinhole: torch.Tensor) -> torch.Tensor:
    """Return the rays (3, H·W) through the pixel centres, z = 1, differentiable in the pinhole.

    :param pinhole: (4,) fx, fy, cx, cy in px.
    """
    fx, fy, cx, cy = pinhole
    x = (torch.arange(width, device=fx.device, dtype=fx.dtype) - cx) / fx
    y = (torch.arange(height, device=fx.device, dtype=fx.dtype) - cy) / fy
    wide, high = x.expand(height, width), y[:, None].expand(height, width)
    return torch.stack([wide, high, torch.ones_like(wide)]).reshape(3, -1)


def place_rays(places: torch.Tensor, pinhole: torch.Tensor) -> torch.Tensor:
    """Return the rays (3, N) through places (N, 2) in px, z = 1, differentiable in the pinhole."""
    x, y = ((places.to(pinhole.dtype) - pinhole[2:]) / pinhole[:2]).unbind(-1)
    return torch.stack([x, y, torch.ones_like(x)])


def shade(
    triangles: torch.Tensor,
    width: int,
    height: int,
    pinhole: torch.Tensor,
    geometry: Geometry,
    materials: Materials,
    camera: torch.Tensor,
    rotate_normals: torch.Tensor,
    illumination: Illumination,
    places: torch.Tensor | None = None,
) -> Shaded:
    """Turn triangle numbers into a picture.

    :param triangles: (H·W,) int32, −1 where nothing was hit, ``CLOSED`` where nothing is wanted.
    :param pinhole: (4,) fx, fy, cx, cy in px.
    :param camera: (V, 3) vertices in the optical frame.
    :param rotate_normals: (I, 3, 3), mesh normals to the optical frame, any length.
    :param places: (H·W, 2) u and v in px at which the pixels look at their triangles, instead of
        their own: points that stay where they are on these, whatever moves.
    """
    held = places is not None
    rays = pixel_rays(width, height, pinhole) if places is None else place_rays(places, pinhole)
    hit = (triangles >= 0).nonzero().squeeze(-1)
    missed = (triangles == -1).nonzero().squeeze(-1)
    color = rays.new_zeros(3, height * width)
    depth = rays.new_full((height * width,), math.inf)
    normal = rays.new_zeros(3, height * width)
    instance = torch.zeros(height * width, dtype=torch.int32, device=rays.device)
    layered = bool((materials.flags[:, ALPHA_MODE] != OPAQUE).any())
    alpha = rays.new_ones(height * width) if layered else None

    if missed.numel() > 0:
        color = color.index_copy(1, missed, _behind(rays.index_select(1, missed), illumination))
    if hit.numel() > 0:
        hit_rays = rays.index_select(1, hit)
        surface = interpolate(
            geometry,
            materials,
            camera,
            rotate_normals,
            triangles.index_select(0, hit),
            hit_rays,
            (1.0 / pinhole[:2]).detach(),
            held,
        )
        paint = _paint(geometry, materials, surface)
        color = color.index_copy(1, hit, _light(surface, paint, illumination, hit))
        depth = depth.index_copy(0, hit, surface.depth)
        normal = normal.index_copy(1, hit, paint.normal)
        instance = instance.index_copy(0, hit, (surface.instance + 1).to(torch.int32))
        if alpha is not None:
            alpha = alpha.index_copy(0, hit, paint.alpha)
    radiance = Radiance(
        color=color.T.contiguous().reshape(height, width, 3),
        depth=depth.reshape(height, width),
        normal=normal.T.contiguous().reshape(height, width, 3),
        instance=instance.reshape(height, width),
    )
    return Shaded(radiance, None if alpha is None else alpha.reshape(height, width))


def _behind(rays: torch.Tensor, illumination: Illumination) -> torch.Tensor:
    """Return what is seen where nothing is hit: (3, P)."""
    if illumination.background is not None:
        return illumination.background[:, None].expand_as(rays)
    if illumination.maps is None:
        return torch.zeros_like(rays)
    picture = Environment(illumination.maps.picture)
    directions = (illumination.turn @ rays).T
    return environment_radiance(picture, directions).T * illumination.intensity


def _paint(geometry: Geometry, materials: Materials, surface: Surface) -> _Paint:
    """Look up the material at each point."""
    if len(materials.factors) == 1:
        factors = materials.factors.T.expand(FACTOR_COLUMNS, len(surface.depth))
    else:
        factors = materials.factors.index_select(0, surface.instance).T.contiguous()
    flags = materials.flags.index_select(0, surface.instance)
    base_color, metallic, roughness = factors[:3], factors[METALLIC], factors[ROUGHNESS]
    emissive, alpha, occlusion = factors[5:8], factors[ALPHA], None
    normal = surface.normal
    if bool((flags[:, list(TEXTURE_COLUMNS)] >= 0).any()):
        corner_uvs = at_corners(geometry.uvs, surface.corners)
        uv = mix(surface.weights, corner_uvs)
        with torch.no_grad():
            uv_steps = torch.stack([mix(step, corner_uvs) for step in surface.weight_steps])

        def looked_up(column: int) -> tuple[torch.Tensor, torch.Tensor] | None:
            """Return which points have this texture, and its texels (4, points) there."""
            texture = flags[:, column].long()
            points = (texture >= 0).nonzero().squeeze(-1)
            if points.numel() == 0:
                return None
            if points.numel() == texture.numel():
                return points, sample_texture(materials, texture, uv, uv_steps)
            texture = texture[points]
            there, steps = uv.index_select(1, points), uv_steps.index_select(2, points)
            return points, sample_texture(materials, texture, there, steps)

        found = looked_up(BASE_TEXTURE)
        if found is not None:
            points, texel = found
            base_color = _scaled(base_color, points, texel[:3])
            alpha = _scaled(alpha[None], points, texel[3:])[0]
        found = looked_up(METAL_TEXTURE)
        if found is not None:
            points, texel = found
            metallic = _scaled(metallic[None], points, texel[2:3])[0]
            roughness = _scaled(roughness[None], points, texel[1:2])[0]
        found = looked_up(NORMAL_TEXTURE)
        if found is not None:
            points, texel = found
            bent = _map_normal(
                normal.index_select(1, points),
                texel,
                factors[NORMAL_SCALE].index_select(0, points),
                surface.edges.index_select(2, points),
                (corner_uvs[1:] - corner_uvs[:1]).index_select(2, points),
            )
            normal = normal.index_copy(1, points, bent)
        found = looked_up(EMISSIVE_TEXTURE)
        if found is not None:
            points, texel = found
            emissive = _scaled(emissive, points, texel[:3])
        found = looked_up(OCCLUSION_TEXTURE)
        if found is not None:
            points, texel = found
            strength = factors[OCCLUSION_STRENGTH].index_select(0, points)
            seen = 1.0 + strength * (texel[0] - 1.0)
            occlusion = _scaled(torch.ones_like(metallic)[None], points, seen[None])[0]
    colored = flags[:, HAS_COLORS] != 0
    if bool(colored.any()):
        mixed = mix(surface.weights, at_corners(geometry.colors, surface.corners))
        base_color = torch.where(colored, base_color * mixed, base_color)
    mode = flags[:, ALPHA_MODE]
    cut = (alpha.detach() >= factors[ALPHA_CUTOFF].detach()).to(alpha.dtype)
    alpha = torch.where(mode == OPAQUE, 1.0, torch.where(mode == MASK, cut, alpha))
    return _Paint(
        base_color, metallic, roughness, emissive, normal * surface.flip, alpha, occlusion
    )


def _scaled(values: torch.Tensor, points: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply some points of (n, P), all different, by (n, number of points)."""
    if points.numel() == values.shape[1]:
        return values * factor
    return values.index_copy(1, points, values.index_select(1, points) * factor)


def _map_normal(
    normal: torch.Tensor,
    texel: torch.Tensor,
    scale: torch.Tensor,
    edges: torch.Tensor,
    uv_edges: torch.Tensor,
) -> torch.Tensor:
    """Turn unit normals (3, P) by texels (4, P): x along +u, y along −v of the image (glTF).

    :param scale: (P,) multiplies x and y.
    :param edges: (2, 3, P) triangle edges; ``uv_edges`` (2, 2, P) the same in uv.
    """
    (du1, dv1), (du2, dv2) = uv_edges
    e1, e2 = edges
    determinant = du1 * dv2 - dv1 * du2
    # The sign alone matters: the tangent is normalised.
    sign = torch.where(determinant > 0, 1.0, -1.0).to(normal.dtype)
    tangent = sign * (e1 * dv2 - e2 * dv1)
    tangent = tangent - dot(tangent, normal) * normal
    square = dot(tangent, tangent)
    good = (determinant.abs() > 0) & (square > SMALL)
    tangent = tangent * torch.where(good, square, 1.0).rsqrt()
    across = cross(normal, tangent)
    downward = sign * (e2 * du1 - e1 * du2)
    up = torch.where(dot(across, downward) > 0, -1.0, 1.0).to(normal.dtype)
    x, y, z = 2.0 * texel[:3] - 1.0
    bent = (scale * x) * tangent + (scale * up * y) * across + z * normal
    return torch.where(good, unit(bent, normal), normal)


def _light(
    surface: Surface, paint: _Paint, illumination: Illumination, pixels: torch.Tensor
) -> torch.Tensor:
    """Return the radiance (3, P) that each point sends to the pinhole.

    :param pixels: (P,) numbers of the pixels, for what is kept by the pixel.
    """
    view = -surface.rays * dot(surface.rays, surface.rays).rsqrt()
    normal = paint.normal
    n_dot_v = dot(normal, view).clamp_min(MIN_N_DOT_V)
    color = paint.emissive
    for number, light in enumerate(illumination.lights):
        power, to_light = _arriving(light, surface)
        if illumination.light_visibility is not None:
            power = power * _share(illumination.light_visibility[number], pixels, power)
        color = color + power * reflect(
            paint.base_color,
            paint.metallic,
            paint.roughness,
            n_dot_v,
            dot(normal, to_light),
            dot(view, to_light),
        )
    maps = illumination.maps
    if maps is None:
        return color
    irradiance = evaluate_irradiance(maps.irradiance, (illumination.turn @ normal).T).T
    diffuse = diffuse_environment_share(paint.base_color, paint.metallic, n_dot_v) * irradiance
    lobe = environment_lobe(paint.roughness, n_dot_v)
    share = reflectance_at_normal(paint.base_color, paint.metallic) * lobe.scale + lobe.bias
    if maps.glossy.shape[1:3] == (1, 1):
        glossy = maps.glossy[0, 0, 0, :, None]
    else:
        toward = illumination.turn @ leaning_direction(normal, view, lobe.lean)
        glossy = prefilter_lookup(maps.glossy, toward.T, lobe.position).T
    mirrored = share * glossy
    seen = paint.occlusion
    if illumination.sky_visibility is not None:
        sky = _share(illumination.sky_visibility, pixels, n_dot_v)
        seen = sky if seen is None else seen * sky
    if seen is not None:
        diffuse = diffuse * seen
        mirrored = mirrored * mirrored_visibility(seen, n_dot_v, paint.roughness)
    return color + illumination.intensity * (diffuse + mirrored)


def _arriving(light: torch.Tensor, surface: Surface) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what arrives of an unshadowed light at points that face it, and the way to it.

    :param light: (14,), see :func:`diffphyscam_ros.render.lights.turned_lights`.
    :returns: irradiance (3, P) or (3, 1), and unit direction (3, P) or (3, 1).
    """
    power, place = light[COLOR, None], light[PLACE, None]
    kind = round(float(light[KIND].detach()))
    if kind == DIRECTIONAL:
        return power, place
    to_light = place - surface.rays * surface.depth
    inverse = 1.0 / dot(to_light, to_light).clamp_min(1e-20)
    to_light = to_light * inverse.sqrt()
    power = power * inverse
    if kind == SPOT:
        cosine = -dot(light[AXIS, None], to_light)
        cone = (cosine * light[SPOT_SCALE] + light[SPOT_OFFSET]).clamp(0.0, 1.0)
        power = power * (cone * cone)
    return power, to_light


def _share(visibility: torch.Tensor, pixels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a visibility (H·W,) uint8 as shares 0 … 1 (P,) at some pixels."""
    return visibility.index_select(0, pixels).to(like) * (1.0 / 255.0)
