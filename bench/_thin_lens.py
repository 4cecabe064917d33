# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scenes of textured sheets, drawn by Mitsuba 3 through a pinhole and through its thin lens."""

from __future__ import annotations

from dataclasses import dataclass
import tempfile
from typing import Any

import numpy as np

WIDTH, HEIGHT, BORDER = 320, 240, 30
FOCAL_PIXELS = 400.0  # v / pixel pitch
FOCAL_LENGTH = 0.05  # m


@dataclass(frozen=True)
class Sheet:
    """A flat textured surface: where it lies in the picture, and the signed blur at its ends.

    :param blur: (left, right) signed blur in px, or (top, bottom) where ``falls``; a plane is
        linear in the inverse depth, and so is the blur.
    :param box: left, top, right, bottom in px.
    """

    blur: tuple[float, float]
    colour: tuple[float, float, float]
    box: tuple[float, float, float, float] = (-80.0, -80.0, WIDTH + 80.0, HEIGHT + 80.0)
    falls: bool = False
    lights: int = 0
    plain: bool = False


@dataclass(frozen=True)
class Scene:
    """What is drawn, and through which lens."""

    aperture: float
    focus: float
    sheets: tuple[Sheet, ...]
    occludes: bool


WARM, COLD = (1.0, 0.55, 0.3), (0.35, 0.6, 1.0)
HALF = (-80.0, -80.0, 150.0, HEIGHT + 80.0)
POINT = (159.0, 119.0, 161.0, 121.0)
EDGE = (-80.0, -80.0, 160.0, HEIGHT + 80.0)
POST = (130.0, 50.0, 190.0, HEIGHT + 80.0)
SCENES = {
    'plane behind, 16 px': Scene(0.8, 1.5, (Sheet((15.9, 15.9), COLD),), False),
    'plane in front, 25 px': Scene(1.4, 1.0, (Sheet((-25.0, -25.0), WARM),), False),
    'slant -25 to 8 px': Scene(0.8, 1.5, (Sheet((-25.0, 8.0), COLD),), False),
    'floor 6 to -17 px': Scene(2.8, 0.5, (Sheet((6.0, -17.0), WARM, falls=True),), False),
    'highlights, 20 px': Scene(
        0.8, 1.2, (Sheet((-20.0, -20.0), (0.15, 0.15, 0.2), lights=40),), False
    ),
    'sharp over 16 px behind': Scene(
        0.8, 1.5, (Sheet((16.0, 16.0), COLD), Sheet((0.0, 0.0), WARM, HALF)), True
    ),
    '25 px in front of sharp': Scene(
        1.4, 1.0, (Sheet((0.0, 0.0), COLD), Sheet((-25.0, -25.0), WARM, HALF)), True
    ),
    'post 12 px, wall 12 px': Scene(
        0.8, 1.2, (Sheet((12.0, 12.0), COLD), Sheet((-12.0, -12.0), WARM, POST)), True
    ),
    'both behind, 5 and 16 px': Scene(
        0.8, 1.5, (Sheet((16.0, 16.0), COLD), Sheet((5.0, 5.0), WARM, HALF)), True
    ),
    'both in front, 20 and 6 px': Scene(
        1.4, 1.0, (Sheet((-6.0, -6.0), COLD), Sheet((-20.0, -20.0), WARM, POST)), True
    ),
    'slants, -25 to 10 over 0 to 14': Scene(
        0.8,
        1.3,
        (Sheet((0.0, 14.0), COLD), Sheet((-25.0, -4.0), WARM, (60.0, -80.0, 200.0, 170.0))),
        True,
    ),
}


def texture(sheet: Sheet, seed: int) -> np.ndarray:
    """Return a picture in [0, 1] with detail of every size, 480 × 400 px for the whole sheet."""
    import cv2

    if sheet.plain:
        return np.ones((4, 4, 3), np.float32)
    rng = np.random.default_rng(seed)
    height, width = 400, 480
    out = np.zeros((height, width), np.float32)
    for size, share in ((3, 0.3), (6, 0.3), (14, 0.3), (40, 0.25)):
        noise = rng.random((-(-height // size) + 2, -(-width // size) + 2), dtype=np.float32)
        large = cv2.resize(noise, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
        out += share * (large[:height, :width] - 0.5)
    picture = np.clip(0.5 + 1.3 * out, 0.0, 1.0)[..., None] * np.array(sheet.colour, np.float32)
    for _ in range(sheet.lights):
        y, x = rng.integers(90, height - 90), rng.integers(90, width - 90)
        picture[y : y + 4, x : x + 4] = rng.uniform(3.0, 12.0) * rng.uniform(0.3, 1.0, 3)
    return picture.astype(np.float32)


def depth_of(blur: float, scene: Scene) -> float:
    """Return the depth at which a point has this signed blur, by eq. 2."""
    diameter = FOCAL_LENGTH / scene.aperture
    inverse = 1.0 / scene.focus - blur / (FOCAL_PIXELS * diameter)
    return 1.0 / inverse


def pixel_size(scene: Scene) -> float:
    """Return the pitch with which v / C is the focal length in pixels."""
    return FOCAL_LENGTH * scene.focus / (scene.focus - FOCAL_LENGTH) / FOCAL_PIXELS


def ray(x: float, y: float) -> np.ndarray:
    """Return the point of the pixel's edge coordinates (x, y) at depth 1."""
    return np.array([(x - WIDTH / 2) / FOCAL_PIXELS, (y - HEIGHT / 2) / FOCAL_PIXELS, 1.0])


def corners(sheet: Sheet, scene: Scene) -> np.ndarray:
    """Return the corners of a sheet (4, 3): its box in the picture, on its plane.

    The inverse depth is linear over the picture, with the given blur at the picture's edges.
    """
    left, top, right, bottom = sheet.box
    extent = HEIGHT if sheet.falls else WIDTH

    def point(x: float, y: float) -> np.ndarray:
        share = (y if sheet.falls else x) / extent
        inverse = [1.0 / depth_of(blur, scene) for blur in sheet.blur]
        return ray(x, y) / max(inverse[0] + share * (inverse[1] - inverse[0]), 1e-3)

    return np.stack(
        [point(left, top), point(right, top), point(right, bottom), point(left, bottom)]
    )


def mitsuba_scene(scene: Scene, folder: str) -> Any:
    """Build the surfaces: two textured triangles each, which shine by themselves."""
    import mitsuba as mi

    parts: dict[str, Any] = {'type': 'scene', 'integrator': {'type': 'path', 'max_depth': 1}}
    for number, sheet in enumerate(scene.sheets):
        mesh = mi.Mesh('sheet', 4, 2, has_vertex_texcoords=True)
        parameters = mi.traverse(mesh)
        places = corners(sheet, scene)
        parameters['vertex_positions'] = places.ravel().astype(np.float32)
        parameters['faces'] = np.array([0, 2, 1, 0, 3, 2], np.uint32)
        left, top, right, bottom = sheet.box
        across, down = (right - left) / 480.0, (bottom - top) / 400.0
        spots = np.array([[0, 0], [across, 0], [across, down], [0, down]], np.float32)
        spots[:, 1] = 1.0 - spots[:, 1]
        parameters['vertex_texcoords'] = spots.ravel()
        parameters.update()
        path = f'{folder}/sheet_{number}.ply'
        mesh.write_ply(path)
        parts[f'sheet {number}'] = {
            'type': 'ply',
            'filename': path,
            'face_normals': True,
            'emitter': {
                'type': 'area',
                'radiance': {
                    'type': 'bitmap',
                    'bitmap': mi.Bitmap(texture(sheet, 10 + number)),
                    'raw': True,
                    'filter_type': 'bilinear',
                },
            },
        }
    return mi.load_dict(parts)


def sensor(scene: Scene, kind: str, samples: int) -> Any:
    """Return Mitsuba's camera: 'thinlens' or 'perspective', looking along z with y down."""
    import mitsuba as mi

    described = {
        'type': kind,
        'fov': float(np.degrees(2.0 * np.arctan(0.5 * WIDTH / FOCAL_PIXELS))),
        'fov_axis': 'x',
        'near_clip': 1e-3,
        'far_clip': 1e4,
        'to_world': mi.ScalarTransform4f().look_at(
            origin=[0, 0, 0], target=[0, 0, 1], up=[0, -1, 0]
        ),
        'film': {
            'type': 'hdrfilm',
            'width': WIDTH,
            'height': HEIGHT,
            'rfilter': {'type': 'box'},
            'pixel_format': 'rgb',
            'component_format': 'float32',
        },
        'sampler': {'type': 'multijitter', 'sample_count': samples},
    }
    if kind == 'thinlens':
        described['aperture_radius'] = 0.5 * FOCAL_LENGTH / scene.aperture
        described['focus_distance'] = scene.focus
    return mi.load_dict(described)


def render(scene: Scene, samples: int) -> dict[str, np.ndarray]:
    """Return Mitsuba's pictures: 'lens' (2, H, W, 3), 'pinhole' (H, W, 3) and 'depth' (H, W)."""
    import mitsuba as mi

    mi.set_variant('scalar_rgb')
    with tempfile.TemporaryDirectory() as folder:
        world = mitsuba_scene(scene, folder)
    # in passes, whose sizes memory bears
    passes = max(1, samples // 256)

    def average(kind: str, seed: int, passes: int) -> np.ndarray:
        camera = sensor(scene, kind, min(samples, 256))
        total = np.zeros((HEIGHT, WIDTH, 3))
        for i in range(passes):
            total += np.array(mi.render(world, sensor=camera, seed=seed * 1000 + i))[..., :3]
        return (total / passes).astype(np.float32)

    eye = sensor(scene, 'perspective', 1)
    depth = np.zeros((HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            at = [(x + 0.5) / WIDTH, (y + 0.5) / HEIGHT]
            line, _ = eye.sample_ray(0.0, 0.5, at, [0.5, 0.5])
            hit = world.ray_intersect(line)
            depth[y, x] = hit.p.z if hit.is_valid() else 0.0
    return {
        'lens': np.stack([average('thinlens', 1, passes), average('thinlens', 2, passes)]),
        'pinhole': average('perspective', 3, 1),
        'depth': depth.astype(np.float32),
    }
