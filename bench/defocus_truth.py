# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus judged by a path tracer: Mitsuba 3's thin lens against ours from its pinhole picture.

    python bench/defocus_truth.py [--quick] [--json] [--samples 1024] [--keep FOLDER]
        [--picture FILE]

Mitsuba draws every scene twice through its ``thinlens`` (two seeds, --samples each) and once as a
pinhole picture with depth. Ours blurs the pinhole picture: disk PSF, direct scatter and the
compiled fast form, both with occlusion, and the plain scatter without. The surfaces shine by
themselves, so that nothing but the lens is sampled. The image plane of CAMERA_MODEL.md eq. 2 is
at v = fU/(U − f): Mitsuba's field of view is set from v, not from f.

PSNR is that of linear colour with peak 1, the white of the textures, over the picture without a
border of 30 px (what lies outside the frame is unknown to us). "noise" is a quarter of the power
of the difference of the two seeds: what a perfect answer would score against their mean.

To reach: 48 dB where nothing occludes, 42 dB where something does; radii within 2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys
import tempfile
from typing import Any

from _common import finish, machine, parser, print_machine, print_table
import numpy as np
import torch

from diffphyscam_ros.camera.defocus import circle_of_confusion, defocus
from diffphyscam_ros.kernels.defocus import defocus_fast

WIDTH, HEIGHT, BORDER = 320, 240, 30
FOCAL_PIXELS = 400.0  # v / pixel pitch
FOCAL_LENGTH = 0.05  # m
FLOORS = {False: 48.0, True: 42.0}  # dB, by whether something occludes


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
    'floor 6 to -16 px': Scene(2.8, 0.5, (Sheet((6.0, -16.0), WARM, falls=True),), False),
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
QUICK = ('slant -25 to 8 px', 'sharp over 16 px behind', '25 px in front of sharp')


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


def inner(picture: Any) -> np.ndarray:
    """Cut the border off."""
    return np.asarray(picture)[..., BORDER:-BORDER, BORDER:-BORDER, :]


def psnr(a: Any, b: Any) -> float:
    """Return the PSNR in dB, peak 1, of linear colour without the border."""
    return float(-10.0 * np.log10(np.mean((inner(a) - inner(b)) ** 2, dtype=np.float64) + 1e-12))


def signed_blur(scene: Scene, depth: np.ndarray) -> torch.Tensor:
    """Return eq. 2 of a depth picture."""
    return circle_of_confusion(
        torch.tensor(depth),
        scene.aperture,
        FOCAL_LENGTH,
        scene.focus,
        pixel_size(scene),
        signed=True,
    )


def ours(scene: Scene, drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return our pictures of a scene from its pinhole picture and depth."""
    picture, blur = torch.tensor(drawn['pinhole']), signed_blur(scene, drawn['depth'])
    return {
        'unblurred': drawn['pinhole'],
        'exact': defocus(picture, blur, 'disk', 'exact', occlusion=True).numpy(),
        'fast': defocus_fast(drawn['pinhole'], blur.numpy(), psf='disk', occlusion=True),
        'plain': defocus(picture, blur, 'disk', 'exact').numpy(),
        'gaussian': defocus_fast(drawn['pinhole'], blur.numpy(), occlusion=True),
    }


def score(scene: Scene, drawn: dict[str, np.ndarray]) -> dict[str, float]:
    """Return PSNRs against the mean of Mitsuba's two pictures, and the noise of that."""
    first, second = drawn['lens']
    truth = drawn['lens'].mean(axis=0)
    noise = np.mean((inner(first) - inner(second)) ** 2, dtype=np.float64) / 4.0
    scores = {'noise': float(-10.0 * np.log10(noise + 1e-12))}
    return scores | {name: psnr(picture, truth) for name, picture in ours(scene, drawn).items()}


def point_radius(picture: np.ndarray) -> float:
    """Return the radius of a blurred point: of a disk with its second moment."""
    light = np.asarray(picture, np.float64).sum(axis=-1)
    y, x = np.indices(light.shape)
    total = light.sum()
    middle_y, middle_x = (light * y).sum() / total, (light * x).sum() / total
    return float(
        np.sqrt(2.0 * (light * ((y - middle_y) ** 2 + (x - middle_x) ** 2)).sum() / total)
    )


def edge_radius(picture: np.ndarray) -> float:
    """Return the radius of the disk that blurred an upright edge: twice its line's spread."""
    profile = np.asarray(picture, np.float64)[BORDER:-BORDER].mean(axis=(0, 2))
    line = np.abs(np.diff(profile))
    x = np.arange(line.size)
    middle = (line * x).sum() / line.sum()
    return float(2.0 * np.sqrt((line * (x - middle) ** 2).sum() / line.sum()))


def radii(samples: int) -> list[list[object]]:
    """Measure the blur of a point and of an edge: Mitsuba's, ours, and what eq. 2 says."""
    rows: list[list[object]] = []
    for aperture, focus, blur in ((0.8, 1.5, 14.0), (1.4, 1.0, -25.0), (2.8, 0.5, 9.0)):
        for kind, box in (('point', POINT), ('edge', EDGE)):
            wall = Sheet((blur, blur), (1.0, 1.0, 1.0), box, plain=True)
            scene = Scene(aperture, focus, (wall,), False)
            drawn = render(scene, samples)
            blurs = signed_blur(scene, np.full((HEIGHT, WIDTH), depth_of(blur, scene), np.float32))
            picture = torch.tensor(drawn['pinhole'])
            exact = defocus(picture, blurs, 'disk', 'exact').numpy()
            fast = defocus_fast(drawn['pinhole'], blurs.numpy(), psf='disk', occlusion=True)
            measure = point_radius if kind == 'point' else edge_radius
            # what a picture without any blur measures is the size of the point and of pixels
            own = measure(drawn['pinhole'])
            truth, one, two = (
                float(np.sqrt(max(measure(p) ** 2 - own**2, 0.0)))
                for p in (drawn['lens'].mean(axis=0), exact, fast)
            )
            rows.append([f'f/{aperture} {kind}', abs(blur) / 2.0, truth, one, two])
    return rows


def draw(path: str, drawn: dict[str, dict[str, np.ndarray]]) -> None:
    """Write scenes side by side: pinhole, Mitsuba, ours, plain, 10 × the difference of both."""
    import cv2

    lines = []
    for name, pictures in drawn.items():
        mine = ours(SCENES[name], pictures)
        truth = pictures['lens'].mean(axis=0)
        columns = [pictures['pinhole'], truth, mine['fast'], mine['plain']]
        columns += [10.0 * np.abs(mine[kind] - truth) for kind in ('fast', 'plain')]
        line = np.concatenate([inner(column) for column in columns], axis=1)
        lines.append(np.clip(line, 0.0, 1.0) ** (1.0 / 2.2))
    whole = (255.0 * np.concatenate(lines, axis=0)[..., ::-1]).astype(np.uint8)
    cv2.imwrite(path, whole, [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> int:
    """Draw, compare, print; return 1 where a floor was missed."""
    options = parser(__doc__)
    options.add_argument('--samples', type=int, default=None, help='a pixel, of each seed')
    options.add_argument('--keep', type=Path, default=None, help="folder for Mitsuba's pictures")
    options.add_argument('--picture', default=None, help='file for pictures side by side')
    arguments = options.parse_args()
    samples = arguments.samples or (256 if arguments.quick else 1024)
    described = machine()
    print_machine(described)
    drawn, rows, scores, missed = {}, [], {}, False
    for name in QUICK if arguments.quick else SCENES:
        scene = SCENES[name]
        path = arguments.keep and arguments.keep / f'{name.replace(" ", "_")}.npz'
        if path is not None and path.is_file():
            with np.load(path) as kept:
                drawn[name] = dict(kept)
        else:
            drawn[name] = render(scene, samples)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, **drawn[name])
        scores[name] = found = score(scene, drawn[name])
        floor = FLOORS[scene.occludes]
        good = min(found['exact'], found['fast']) >= floor
        missed |= not good
        columns = ('unblurred', 'noise', 'exact', 'fast', 'plain', 'gaussian')
        figures = [f'{found[column]:.1f}' for column in columns]
        rows.append(
            [name, f'f/{scene.aperture}', *figures, f'{"ok" if good else "MISSED"} ≥ {floor:g}']
        )
    print(
        f"\nPSNR in dB against Mitsuba's thin lens, {WIDTH}×{HEIGHT}, {samples} samples, 2 seeds"
    )
    header = [
        '',
        'lens',
        'unblurred',
        'noise',
        'exact',
        'fast',
        'no occlusion',
        'gaussian',
        'to reach',
    ]
    print_table(header, rows)
    measured = radii(min(samples, 256))
    print('\nblur radius in px: eq. 2, and measured from second moments')
    print_table(
        ['', 'eq. 2', 'Mitsuba', 'exact', 'fast'],
        [[str(row[0]), *(f'{value:.3f}' for value in row[1:])] for row in measured],
    )
    for _, expected, *found_radii in measured:
        missed |= any(abs(radius / expected - 1.0) > 0.02 for radius in found_radii)
    if arguments.picture:
        draw(arguments.picture, {name: drawn[name] for name in QUICK if name in drawn})
    finish({'machine': described, 'psnr': scores, 'radii': measured}, arguments.json)
    return int(missed)


if __name__ == '__main__':
    sys.exit(main())
