# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shading against sums over all light, written down once more from glTF 2.0, appendix B.

The geometry is the renderer's own (its depth and normals are held against rays elsewhere), the
light is summed in float64: lamps one by one, environments over every pixel of the picture.
bench/shading_truth.py does the same by Mitsuba on real meshes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.scene import (
    DirectionalLight,
    Environment,
    Instance,
    Material,
    plane,
    PointLight,
    Scene,
    sphere,
    SpotLight,
)
from diffphyscam_ros.scene.latlong import latlong_directions, latlong_solid_angles

PINHOLE = Intrinsics.from_fov(40, 30, 0.8)
LAMPS = (
    DirectionalLight((0.4, 0.6, 1.0), (1.5, 1.4, 1.2)),
    PointLight((0.6, -0.8, 0.8), (1.2, 1.2, 1.6)),
    SpotLight((-0.9, -0.7, 0.6), (0.7, 0.6, 1.3), (4.0, 3.0, 2.0), 0.1, 0.5),
)
# Material, and the PSNR to reach under lamps and under a sky. A hard sun in every pixel's lobe is
# harsher than the real environments of the bench: what only mirrors falls short of their 32 dB.
MATERIALS = {
    'diffuse': (Material((0.8, 0.5, 0.3), roughness=1.0), 42.0, 32.0),
    'dielectric': (Material((0.3, 0.1, 0.1), roughness=0.3), 36.0, 29.0),
    'metal': (Material((0.9, 0.7, 0.5), metallic=1.0, roughness=0.3), 36.0, 28.0),
    'glowing': (Material((0.5, 0.5, 0.5), roughness=0.8, emissive=(0.2, 0.1, 0.3)), 42.0, 32.0),
}


def brdf(material: Material, n: np.ndarray, v: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Return BRDF · n·l (..., 3) for unit vectors (..., 3)."""
    base = np.asarray(material.base_color)
    metal, alpha2 = float(material.metallic), float(material.roughness) ** 4
    n_l, n_v = (n * way).sum(-1), np.maximum((n * v).sum(-1), 1e-4)
    half = way + v
    half /= np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-9)
    n_h, v_h = (n * half).sum(-1), (v * half).sum(-1)
    ggx = alpha2 / (math.pi * (n_h**2 * (alpha2 - 1.0) + 1.0) ** 2)
    smith = [x + np.sqrt(alpha2 + (1.0 - alpha2) * x * x) for x in (np.maximum(n_l, 0.0), n_v)]
    f0 = 0.04 * (1.0 - metal) + base * metal
    fresnel = f0 + (1.0 - f0) * ((1.0 - v_h) ** 5)[..., None]
    lobe = (ggx / (smith[0] * smith[1]))[..., None]
    value = (1.0 - fresnel) * base * (1.0 - metal) / math.pi + fresnel * lobe
    return value * np.maximum(n_l, 0.0)[..., None]


def lamps(material: Material, point: np.ndarray, n: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return what the lamps make of points (P, 3)."""
    total = np.zeros_like(point)
    for lamp in LAMPS:
        if isinstance(lamp, DirectionalLight):
            way = -np.asarray(lamp.direction) / np.linalg.norm(lamp.direction)
            total += np.asarray(lamp.irradiance) * brdf(material, n, v, np.tile(way, (len(n), 1)))
            continue
        toward = np.asarray(lamp.position) - point
        square = (toward**2).sum(-1, keepdims=True)
        way = toward / np.sqrt(square)
        power = np.asarray(lamp.intensity) / square
        if isinstance(lamp, SpotLight):
            axis = np.asarray(lamp.direction) / np.linalg.norm(lamp.direction)
            inner, outer = math.cos(lamp.inner_angle), math.cos(lamp.outer_angle)
            power = power * np.clip(((way @ -axis)[:, None] - outer) / (inner - outer), 0, 1) ** 2
        total += power * brdf(material, n, v, way)
    return total


def sky() -> Environment:
    """Return a blue sky with a small sun that gives half of the light, and a dark ground."""
    directions = latlong_directions(48, 96)
    up = directions[..., 2:]
    blue = torch.tensor([0.3, 0.45, 0.7]) * (0.6 + 0.4 * up.clamp_min(0.0))
    image = torch.where(up > 0, blue, torch.tensor([0.15, 0.12, 0.1]))
    sun = torch.nn.functional.normalize(torch.tensor([-0.6, 0.3, 0.6]), dim=0)
    image[(directions @ sun) > math.cos(0.09)] = 60.0
    return Environment(image)


def psnr(ours: np.ndarray, truth: np.ndarray) -> float:
    """Return the PSNR in dB, peak 1, brighter counting as white."""
    error = np.clip(ours, 0.0, 1.0) - np.clip(truth, 0.0, 1.0)
    return float(-10.0 * np.log10((error**2).mean() + 1e-12))


@pytest.mark.parametrize('light', ['lamps', 'sky'])
@pytest.mark.parametrize('name', list(MATERIALS))
def test_shading_is_the_sum_over_all_light(name: str, light: str) -> None:
    material, lamp_floor, sky_floor = MATERIALS[name]
    ball, floor = torch.eye(4), torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    ball[2, 3], floor[2, 3] = 1.6, 2.4
    items = (
        Instance('ball', sphere(0.45, segments=96, rings=48), material, ball),
        Instance('wall', plane(6.0, 6.0), material, floor),
    )
    world = sky()
    scene = Scene(items, LAMPS) if light == 'lamps' else Scene(items, (), world)
    lit = tuple(type(lamp)(**{**vars(lamp), 'shadows': False}) for lamp in scene.lights)
    seen = Renderer('cpu')(Scene(items, lit, scene.environment), PINHOLE, torch.eye(4))
    depth = seen.depth.double().numpy().ravel()
    rows, columns = np.mgrid[:30, :40].reshape(2, -1)
    x, y = (columns - PINHOLE.cx) / PINHOLE.fx, (rows - PINHOLE.cy) / PINHOLE.fy
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    view = -rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    normal = seen.normal.double().numpy().reshape(-1, 3)
    truth = np.tile(np.asarray(material.emissive, np.float64), (len(rays), 1))
    if light == 'lamps':
        truth += lamps(material, rays * depth[:, None], normal, view)
    else:
        ways = latlong_directions(48, 96).double().numpy().reshape(-1, 3)
        areas = latlong_solid_angles(48, 96).double().repeat_interleave(96).numpy()
        radiance = world.image.double().numpy().reshape(-1, 3) * areas[:, None]
        for pixel in range(len(rays)):
            value = brdf(material, normal[pixel], view[pixel], ways.copy())
            truth[pixel] += (value * radiance).sum(0)
    found = psnr(seen.color.numpy().reshape(-1, 3), truth)
    assert found >= (lamp_floor if light == 'lamps' else sky_floor)
