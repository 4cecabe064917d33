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

from pathlib import Path
import sys
from typing import Any

from _measuring import finish, machine, parser, print_machine, print_table
from _thin_lens import (
    BORDER,
    depth_of,
    EDGE,
    FOCAL_LENGTH,
    HEIGHT,
    pixel_size,
    POINT,
    render,
    Scene,
    SCENES,
    Sheet,
    WIDTH,
)
import numpy as np
import torch

from diffphyscam_ros.camera.defocus import circle_of_confusion, defocus
from diffphyscam_ros.kernels.defocus import defocus_fast

FLOORS = {False: 48.0, True: 42.0}  # dB, by whether something occludes
QUICK = ('slant -25 to 8 px', 'sharp over 16 px behind', '25 px in front of sharp')


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
