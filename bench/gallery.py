# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/gallery: Mitsuba 3, ours and their difference; edges close up.

    python bench/gallery.py [--quick] [--json] [--data ../shared/data] [--out docs/gallery]
        [--keep FOLDER]

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
from shading_truth import kept_truth, ours, pinholes, pooled, psnr, side_by_side
import torch

from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.scene import load_scene, look_at

SCENES = {
    'diffuse, shadows': 'Diffuse surfaces under a sun, a lamp and a spot.',
    'mixed, shadows': 'Plastic, metal and matt surfaces under a sun and a spot.',
    'metals, three lamps': 'Metals of roughness 0.15, 0.3 and 0.5.',
    'Kerner: mixed': 'In the HDR environment "Kerner" (nothing hides the sky).',
    'Stage: mixed': 'In the HDR environment "Stage", small bright lamps in the dark.',
    'table': 'The example `examples/scenes/table.yaml`.',
}
TABLE = Path(__file__).resolve().parents[1] / 'examples' / 'scenes' / 'table.yaml'
QUICK = ('diffuse, shadows',)
CROP = slice(60, 132), slice(96, 192)
ZOOM = 5

HEAD = """# Gallery

Made by `python bench/gallery.py`. Left to right: Mitsuba 3 (direct light, the same scene,
materials and lights), ours, and the difference: white where there is none, red where ours is
brighter, blue where it is darker, full colour from 0.1 of white on. Each pixel is the mean of the
same 16 points in both; PSNR of linear colour with peak 1. What the pixels next to a shadow's edge
show is in the pictures and not in the number.
"""


def tone(color: np.ndarray) -> np.ndarray:
    """Return linear colour as a picture for OpenCV."""
    shown: np.ndarray = (255.0 * np.clip(color, 0.0, 1.0) ** (1.0 / 2.2)).astype(np.uint8)
    return shown[..., ::-1]


def beside_mitsuba(name: str, case: Case, samples: int, file: Path, keep: Path | None) -> float:
    """Write a scene's three pictures and return the PSNR, dB."""
    theirs, mine = kept_truth(case, name, samples, keep), ours(case)
    middle = theirs['pictures'].mean(axis=0)
    cv2.imwrite(str(file), side_by_side(middle, mine), [cv2.IMWRITE_JPEG_QUALITY, 90])
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
    options.add_argument('--keep', type=Path, default=None, help="folder for Mitsuba's pictures")
    chosen = options.parse_args()
    if not (chosen.data / 'meshes').is_dir():
        print(f'{chosen.data} has no folder meshes: say where it is by --data', file=sys.stderr)
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    page, scores = [HEAD], {}
    with tempfile.TemporaryDirectory() as folder:
        every = cases(chosen.data, Path(folder))
        stand = look_at((-0.9, 0.0, 1.25), (0.1, 0.0, 0.8))
        every['table'] = Case(load_scene(TABLE), 0.0, stand)
        for name in QUICK if chosen.quick else SCENES:
            file = name.replace(' ', '_').replace(',', '').replace(':', '').lower() + '.jpg'
            scores[name] = beside_mitsuba(
                name, every[name], 4 if chosen.quick else 64, chosen.out / file, chosen.keep
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
