# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/gallery: Mitsuba 3, ours and their difference; edges close up.

    python bench/gallery.py [--quick] [--json] [--data ../shared/data] [--out docs/gallery]

Needs the meshes and environments of --data, and an LLVM that Mitsuba can use (see
bench/shading_truth.py, whose scenes these are). The page with its captions is written, too.
"""

from __future__ import annotations

from pathlib import Path
import sys
import tempfile
from typing import Any

from _measuring import finish, machine, parser
from _shading_scenes import Case, cases
import cv2
import numpy as np
from shading_truth import ours, pinholes, pooled, psnr, truth
import torch

from diffphyscam_ros.render.renderer import Renderer

SCENES = {
    'diffuse, shadows': 'Diffuse surfaces under a sun, a lamp and a spot.',
    'mixed, shadows': 'Plastic, metal and matt surfaces under a sun and a spot.',
    'metals, three lamps': 'Metals of roughness 0.15, 0.3 and 0.5.',
    'Kerner: mixed': 'In the HDR environment "Kerner" (nothing hides the sky).',
    'Stage: mixed': 'In the HDR environment "Stage", small bright lamps in the dark.',
}
QUICK = ('diffuse, shadows',)
CROP = slice(60, 132), slice(96, 192)
ZOOM = 5

HEAD = """# Gallery

Made by `python bench/gallery.py`. Left to right: Mitsuba 3 (direct light, the same scene,
materials and lights), ours, ten times their difference. Each pixel is the mean of the same 16
points in both; PSNR of linear colour with peak 1. What the pixels next to a shadow's edge show
is in the pictures and not in the number.
"""


def tone(color: np.ndarray) -> np.ndarray:
    """Return linear colour as a picture for OpenCV."""
    shown: np.ndarray = (255.0 * np.clip(color, 0.0, 1.0) ** (1.0 / 2.2)).astype(np.uint8)
    return shown[..., ::-1]


def beside_mitsuba(case: Case, samples: int, file: Path) -> float:
    """Write a scene's three pictures and return the PSNR, dB."""
    theirs, mine = truth(case, samples), ours(case)
    middle = theirs['pictures'].mean(axis=0)
    strip = np.concatenate([middle, mine, 10.0 * np.abs(mine - middle)], axis=1)
    cv2.imwrite(str(file), tone(strip), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return psnr(mine, middle, theirs['counts'])


def edges(case: Case, file: Path) -> tuple[float, float]:
    """Write edges plain, smoothed and of 16 points; return rms errors of the first two there."""
    coarse, fine = pinholes()
    best = pooled(Renderer('cpu')(case.scene, fine, case.camera).color.numpy())
    pictures, instance = [], None
    for antialias in (False, True):
        drawn = Renderer('cpu', antialias=antialias)(case.scene, coarse, case.camera)
        pictures.append(drawn.color.numpy())
        instance = drawn.instance.numpy().astype(np.float32)
    assert instance is not None
    steps = cv2.dilate(instance, np.ones((3, 3))) != cv2.erode(instance, np.ones((3, 3)))
    errors = [
        float(np.sqrt(np.mean((np.clip(p, 0, 1) - np.clip(best, 0, 1))[steps] ** 2)))
        for p in pictures
    ]
    parts = [np.repeat(np.repeat(p[CROP], ZOOM, 0), ZOOM, 1) for p in (*pictures, best)]
    cv2.imwrite(str(file), tone(np.concatenate(parts, axis=1)))
    return errors[0], errors[1]


def main() -> int:
    """Draw everything and write the page."""
    options = parser(__doc__ or '')
    options.add_argument('--data', type=Path, default=Path('../shared/data'), help='real data')
    options.add_argument('--out', type=Path, default=Path('docs/gallery'))
    chosen = options.parse_args()
    if not (chosen.data / 'meshes').is_dir():
        print(f'{chosen.data} has no folder meshes: say where it is by --data', file=sys.stderr)
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    page, scores = [HEAD], {}
    with tempfile.TemporaryDirectory() as folder:
        every = cases(chosen.data, Path(folder))
        for name in QUICK if chosen.quick else SCENES:
            file = name.replace(' ', '_').replace(',', '').replace(':', '').lower() + '.jpg'
            scores[name] = beside_mitsuba(
                every[name], 4 if chosen.quick else 64, chosen.out / file
            )
            page.append(f'## {SCENES[name]}\n\n{scores[name]:.1f} dB.\n\n![{name}]({file})\n')
        plain, smooth = edges(every['diffuse, shadows'], chosen.out / 'edges.png')
    page.append(
        '## Edges, close up\n\nPlain, `antialias=True`, and the mean of 16 points in each pixel. '
        f'Beside that, pixels at edges are off by {plain:.3f} rms plain and {smooth:.3f} '
        'smoothed, of white. Edges of shadows and of textures are not smoothed.\n\n'
        '![edges](edges.png)\n'
    )
    (chosen.out / 'README.md').write_text('\n'.join(page), encoding='utf-8')
    result: dict[str, Any] = {'psnr': scores, 'edges': {'plain': plain, 'smooth': smooth}}
    print(result)
    finish({'machine': machine(), **result}, chosen.json)
    return 0


if __name__ == '__main__':
    torch.set_grad_enabled(False)
    sys.exit(main())
