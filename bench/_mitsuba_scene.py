# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Our scenes drawn by Mitsuba 3: its geometry, ray tracing and light sampling, glTF's BRDF.

None of the stock BSDFs is the model of glTF 2.0, appendix B, so it is written here once more, as a
plugin, from the specification. The integrator sums direct light over all lights; rays through the
environment are weighted between the light's and the surface's distributions (balance heuristic).
"""

from __future__ import annotations

from typing import Any

import drjit as dr
import mitsuba as mi
import numpy as np

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.scene.environment import environment_radiance
from diffphyscam_ros.scene.types import (
    DirectionalLight,
    Environment,
    Instance,
    Scene,
    Texture,
)

mi.set_variant('llvm_ad_rgb')

FINER = 3
"""Times our picture of an environment, in Mitsuba's copy of it."""


def _clipped(value: Any, low: float, high: float) -> Any:
    """Return a value within limits, without the instructions that LLVM before 16 lacks."""
    return dr.select(value < low, low, dr.select(value > high, high, value))


class GltfBsdf(mi.BSDF):
    """Metallic-roughness of glTF 2.0, appendix B.3.5: isotropic GGX, Schlick, separable Smith."""

    def __init__(self, props: mi.Properties) -> None:
        mi.BSDF.__init__(self, props)
        self.base = props['base_color']
        self.metal = props['metallic']
        self.rough = props['roughness']
        flags = mi.BSDFFlags.GlossyReflection | mi.BSDFFlags.FrontSide | mi.BSDFFlags.BackSide
        self.m_components = [flags]
        self.m_flags = flags

    def _surface(self, si: Any, active: Any) -> tuple[Any, Any, Any, Any]:
        """Return base colour, metallic, alpha and the distribution of half vectors."""
        base = self.base.eval(si, active)
        metal = self.metal.eval_1(si, active)
        rough = _clipped(self.rough.eval_1(si, active), 0.045, 1.0)
        alpha = rough * rough
        return base, metal, alpha, mi.MicrofacetDistribution(mi.MicrofacetType.GGX, alpha, True)

    @staticmethod
    def _sides(si: Any, wo: Any) -> tuple[Any, Any]:
        """Return both directions on the viewer's side of the surface."""
        sign = dr.select(dr.dot(si.n, si.to_world(si.wi)) * dr.dot(si.n, si.sh_frame.n) < 0, -1, 1)
        return mi.Vector3f(si.wi.x, si.wi.y, si.wi.z * sign), mi.Vector3f(wo.x, wo.y, wo.z * sign)

    def eval(self, ctx: Any, si: Any, wo: Any, active: Any = True) -> Any:
        base, metal, alpha, _ = self._surface(si, active)
        view, light = self._sides(si, wo)
        n_l, n_v = light.z, _clipped(view.z, 1e-4, 2.0)
        half = dr.normalize(view + light)
        n_h, v_h = dr.abs(half.z), dr.abs(dr.dot(view, half))
        a2 = alpha * alpha
        d = a2 / (dr.pi * dr.square(n_h * n_h * (a2 - 1) + 1))
        g_l = n_l + dr.sqrt(a2 + (1 - a2) * n_l * n_l)
        g_v = n_v + dr.sqrt(a2 + (1 - a2) * n_v * n_v)
        f0 = 0.04 * (1 - metal) + base * metal
        fresnel = f0 + (1 - f0) * dr.power(1 - v_h, 5)
        value = (1 - fresnel) * base * ((1 - metal) / dr.pi) + fresnel * (d / (g_l * g_v))
        return dr.select(active & (n_l > 0), value * n_l, 0.0)

    def pdf(self, ctx: Any, si: Any, wo: Any, active: Any = True) -> Any:
        _, _, _, distribution = self._surface(si, active)
        view, light = self._sides(si, wo)
        view = mi.Vector3f(view.x, view.y, _clipped(view.z, 1e-4, 2.0))
        half = dr.normalize(view + light)
        glossy = distribution.pdf(view, half) / (4.0 * dr.abs(dr.dot(view, half)))
        cosine = mi.warp.square_to_cosine_hemisphere_pdf(light)
        return dr.select(active & (light.z > 0), 0.5 * (glossy + cosine), 0.0)

    def eval_pdf(self, ctx: Any, si: Any, wo: Any, active: Any = True) -> tuple[Any, Any]:
        return self.eval(ctx, si, wo, active), self.pdf(ctx, si, wo, active)

    def sample(
        self, ctx: Any, si: Any, sample1: Any, sample2: Any, active: Any = True
    ) -> tuple[Any, Any]:
        _, _, _, distribution = self._surface(si, active)
        view, back = self._sides(si, mi.Vector3f(0, 0, 1))
        view = mi.Vector3f(view.x, view.y, _clipped(view.z, 1e-4, 2.0))
        normal, _ = distribution.sample(view, sample2)
        mirrored = 2.0 * dr.dot(view, normal) * mi.Vector3f(normal) - view
        cosine = mi.warp.square_to_cosine_hemisphere(sample2)
        wo = dr.select(sample1 < 0.5, mirrored, cosine)
        wo.z *= back.z
        result = mi.BSDFSample3f()
        result.wo = wo
        result.pdf = self.pdf(ctx, si, wo, active)
        result.eta = 1.0
        result.sampled_type = mi.UInt32(+mi.BSDFFlags.GlossyReflection)
        result.sampled_component = mi.UInt32(0)
        good = active & (result.pdf > 0)
        weight = dr.select(good, self.eval(ctx, si, wo, active) / result.pdf, 0.0)
        return result, weight

    def traverse(self, callback: Any) -> None:
        callback.put('base_color', self.base, +mi.ParamFlags.Differentiable)
        callback.put('metallic', self.metal, +mi.ParamFlags.Differentiable)
        callback.put('roughness', self.rough, +mi.ParamFlags.Differentiable)

    def to_string(self) -> str:
        return 'GltfBsdf[]'


mi.register_bsdf('gltf', GltfBsdf)


def _texture(texture: Texture | None, factor: Any, channel: slice) -> dict[str, Any]:
    """Return a Mitsuba texture: factor × picture; one channel gives a grey one."""
    values = np.atleast_1d(np.asarray(factor, np.float32)).reshape(1, 1, -1)
    if texture is not None:
        values = texture.image.numpy()[..., channel] * values
    return {
        'type': 'bitmap',
        'bitmap': mi.Bitmap(np.ascontiguousarray(values, np.float32)),
        'raw': True,
        'filter_type': 'bilinear',
        'wrap_mode': 'repeat',
    }


def _mesh(instance: Instance, bsdf: str) -> Any:
    """Return a Mitsuba mesh in world coordinates."""
    mesh, material = instance.mesh, instance.material
    pose = instance.pose.double().numpy()
    points = mesh.vertices.double().numpy() @ pose[:3, :3].T + pose[:3, 3]
    props = mi.Properties()
    props['bsdf'] = mi.load_dict(
        {
            'type': bsdf,
            'base_color': _texture(
                material.base_color_texture, np.asarray(material.base_color), slice(0, 3)
            ),
            'metallic': _texture(
                material.metallic_roughness_texture, float(material.metallic), slice(2, 3)
            ),
            'roughness': _texture(
                material.metallic_roughness_texture, float(material.roughness), slice(1, 2)
            ),
        }
    )
    if any(float(value) > 0 for value in material.emissive):
        props['emitter'] = mi.load_dict(
            {
                'type': 'area',
                'radiance': _texture(
                    material.emissive_texture, np.asarray(material.emissive), slice(0, 3)
                ),
            }
        )
    smooth = mesh.normals is not None
    result = mi.Mesh(
        instance.name,
        len(mesh.vertices),
        len(mesh.faces),
        has_vertex_normals=smooth,
        has_vertex_texcoords=mesh.uvs is not None,
        props=props,
    )
    parameters = mi.traverse(result)
    parameters['vertex_positions'] = points.astype(np.float32).ravel()
    faces = mesh.faces.numpy().astype(np.uint32)
    if np.linalg.det(pose[:3, :3]) < 0:
        faces = faces[:, ::-1]
    parameters['faces'] = np.ascontiguousarray(faces).ravel()
    if mesh.normals is not None:
        normals = mesh.normals.double().numpy() @ np.linalg.inv(pose[:3, :3])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        parameters['vertex_normals'] = normals.astype(np.float32).ravel()
    if mesh.uvs is not None:
        parameters['vertex_texcoords'] = mesh.uvs.numpy().astype(np.float32).ravel()
    parameters.update()
    return result


def _lights(scene: Scene) -> dict[str, Any]:
    """Return Mitsuba's lights. Its spot falls off otherwise: ours weights a point light."""
    result: dict[str, Any] = {}
    for number, light in enumerate(scene.lights):
        if isinstance(light, DirectionalLight):
            result[f'light{number}'] = {
                'type': 'directional',
                'direction': list(light.direction),
                'irradiance': {'type': 'rgb', 'value': list(light.irradiance)},
            }
        else:
            result[f'light{number}'] = {
                'type': 'point',
                'position': list(light.position),
                'intensity': {'type': 'rgb', 'value': list(light.intensity)},
            }
    return result


def _environment(environment: Environment) -> dict[str, Any]:
    """Return Mitsuba's envmap: y is up there, and its picture is resampled from ours.

    Both are linear between pixels, whose places differ: ``FINER`` times finer, to stay as sharp.
    """
    if environment.image.shape[:2] == (1, 1):
        value = (environment.image[0, 0] * environment.intensity).tolist()
        return {'type': 'constant', 'radiance': {'type': 'rgb', 'value': value}}
    import torch

    height, width = (FINER * size for size in environment.image.shape[:2])
    # Its first and last rows lie at the poles, whereas ours begin half a row from them.
    polar = np.arange(height) / max(height - 1, 1) * np.pi
    turn = (np.arange(width) + 0.5) / width * 2.0 * np.pi
    # Mitsuba's envmap before its to_world: uv = (atan2(x, −z) / 2π, acos(y) / π).
    x, z = np.sin(polar)[:, None] * np.sin(turn), -np.sin(polar)[:, None] * np.cos(turn)
    y = np.broadcast_to(np.cos(polar)[:, None], x.shape)
    # Our up (z) becomes its y: (x, y, z) ours = (x, −z, y) its.
    directions = torch.from_numpy(np.stack([x, -z, y], axis=-1)).float()
    picture = environment_radiance(environment, directions).numpy().astype(np.float32)
    turned = mi.ScalarTransform4f(
        np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    )
    return {'type': 'envmap', 'bitmap': mi.Bitmap(picture), 'to_world': turned}


def build(scene: Scene, bsdf: str = 'gltf') -> Any:
    """Return our scene as Mitsuba's, its surfaces by the plugin ``bsdf``."""
    parts: dict[str, Any] = {'type': 'scene'} | _lights(scene)
    if scene.environment is not None:
        parts['environment'] = _environment(scene.environment)
    for number, instance in enumerate(scene.instances):
        parts[f'mesh{number}'] = _mesh(instance, bsdf)
    return mi.load_dict(parts)


def _rays(pinhole: Intrinsics, camera_to_world: np.ndarray) -> Any:
    """Return the rays through the pixel centres."""
    v, u = np.mgrid[: pinhole.height, : pinhole.width].astype(np.float64)
    x = (u.ravel() - float(pinhole.cx)) / float(pinhole.fx)
    y = (v.ravel() - float(pinhole.cy)) / float(pinhole.fy)
    directions = np.stack([x, y, np.ones_like(x)]) / np.sqrt(x * x + y * y + 1.0)
    directions = camera_to_world[:3, :3] @ directions
    origin = mi.Point3f(*(float(value) for value in camera_to_world[:3, 3]))
    return mi.Ray3f(origin, mi.Vector3f(directions.astype(np.float32)))


def _spot_factor(light: Any, si: Any) -> Any:
    """Return a spot's factor at surface points (KHR_lights_punctual)."""
    if not hasattr(light, 'inner_angle'):
        return 1.0
    axis = np.asarray(light.direction, np.float64)
    axis = mi.Vector3f(*(float(value) for value in axis / np.linalg.norm(axis)))
    toward = dr.normalize(si.p - mi.Point3f(*(float(value) for value in light.position)))
    inner, outer = np.cos(float(light.inner_angle)), np.cos(float(light.outer_angle))
    share = _clipped((dr.dot(axis, toward) - outer) / max(inner - outer, 1e-3), 0.0, 1.0)
    return share * share


def draw(
    scene: Scene,
    pinhole: Intrinsics,
    camera_to_world: np.ndarray,
    samples: int,
    seed: int,
    occluded: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Mitsuba's picture (H, W, 3) at the pixel centres, and whose shadows lie there.

    Lamps are hidden if their ``shadows`` say so.

    :param samples: of the environment for each pixel; the other lights need none.
    :param occluded: whether surfaces hide the environment from each other.
    :returns: linear radiance, and (H, W) uint32 whose bit i is set in the shadow of light i.
    :raises RuntimeError: for an environment with a version of LLVM that cannot compile Mitsuba's.
    """
    version = dr.detail.llvm_version()
    if scene.environment is not None and version[0] < 16:
        raise RuntimeError(
            f'LLVM {version[0]} fails on Mitsuba 3 environments: set DRJIT_LIBLLVM_PATH to the '
            'libLLVM.so of version 16 or newer (Debian: libllvm19)'
        )
    world = build(scene)
    ray = _rays(pinhole, camera_to_world)
    si = world.ray_intersect(ray)
    hit = si.is_valid()
    context, bsdf = mi.BSDFContext(), si.bsdf()
    light_of_surface = si.shape.emitter()
    colour = dr.select(hit, light_of_surface.eval(si, hit), 0.0)
    emitters = [e for e in world.emitters() if not mi.has_flag(e.flags(), mi.EmitterFlags.Surface)]
    sky = world.environment()
    count = pinhole.width * pinhole.height
    if scene.background is None and sky is not None:
        colour = dr.select(hit, colour, sky.eval(si, ~hit))
    elif scene.background is not None:
        colour = dr.select(hit, colour, mi.Color3f(*scene.background))

    points = [e for e in emitters if mi.has_flag(e.flags(), mi.EmitterFlags.DeltaPosition)
              or mi.has_flag(e.flags(), mi.EmitterFlags.DeltaDirection)]  # fmt: skip
    shadowed = np.zeros((pinhole.height, pinhole.width), np.uint32)
    for number, (light, emitter) in enumerate(zip(scene.lights, points, strict=True)):
        ds, weight = emitter.sample_direction(si, mi.Point2f(0.5), hit)
        value = bsdf.eval(context, si, si.to_local(ds.d), hit)
        lit = hit
        if light.shadows:
            hidden = world.ray_test(si.spawn_ray_to(ds.p), hit) & hit
            lit = hit & ~hidden
            dark = np.array(hidden & (dr.max(value) > 0)).reshape(shadowed.shape)
            shadowed |= dark.astype(np.uint32) << number
        colour += dr.select(lit, value * weight * _spot_factor(light, si), 0.0)
    dr.eval(colour)
    if sky is None:
        return np.array(colour).T.reshape(pinhole.height, pinhole.width, 3), shadowed
    total = dr.zeros(mi.Color3f, count)
    random = mi.load_dict({'type': 'ldsampler', 'sample_count': samples})
    random.seed(seed, count)
    for _ in range(samples):
        ds, weight = sky.sample_direction(si, random.next_2d(), hit)
        seen = hit & (ds.pdf > 0)
        if occluded:
            seen &= ~world.ray_test(si.spawn_ray(ds.d), seen)
        value, chance = bsdf.eval_pdf(context, si, si.to_local(ds.d), seen)
        total += dr.select(seen, value * weight * ds.pdf / (ds.pdf + chance), 0.0)
        bs, weight = bsdf.sample(context, si, random.next_1d(), random.next_2d(), hit)
        way = si.to_world(bs.wo)
        seen = hit & (bs.pdf > 0)
        if occluded:
            seen &= ~world.ray_test(si.spawn_ray(way), seen)
        there = dr.zeros(mi.SurfaceInteraction3f, count)
        there.wi = -way
        radiance = sky.eval(there, seen)
        aimed = dr.zeros(mi.DirectionSample3f, count)
        aimed.d = way
        chance = sky.pdf_direction(si, aimed, seen)
        total += dr.select(seen, radiance * weight * bs.pdf / (bs.pdf + chance), 0.0)
        random.advance()
        random.schedule_state()
        dr.eval(total)
    colour += total / samples
    return np.array(colour).T.reshape(pinhole.height, pinhole.width, 3), shadowed
