# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shading judged by Mitsuba 3: the same scenes, materials and lights, its rays and its sums.

    python bench/shading_truth.py [--quick] [--json] [--samples 64] [--keep FOLDER]
        [--picture FILE] [--data FOLDER]

Both draw each pixel as the mean of the same 4 × 4 points, so that edges agree and nothing but the
light is compared. Lamps need no sampling; environments are sampled --samples times at each of the
16 points, with two seeds. PSNR is that of linear colour over the whole picture with peak 1, the
white of a diffuser under the nominal light, what is brighter counting as white, as in a
photograph. "noise" is what a perfect answer would score against the mean of the two seeds.
"seen" excludes the pixels next to the edge of a shadow.

To reach: 42 dB diffuse and emissive, 36 dB GGX, 36 dB with shadows, 32 dB environments.
"""

from __future__ import annotations

from pathlib import Path
import sys
import tempfile
from typing import Any

from _measuring import finish, machine, parser, print_machine, print_table
from _shading_scenes import Case, cases
import numpy as np
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.render.renderer import Renderer

WIDTH, HEIGHT, FINE = 320, 240, 4
QUICK = ('diffuse, point', 'metals, three lamps', 'Kerner: mixed')


def pinholes() -> tuple[Intrinsics, Intrinsics]:
    """Return the picture's pinhole, and the one of the points in its pixels."""
    coarse = Intrinsics.from_fov(WIDTH, HEIGHT, 0.75)
    return coarse, coarse.finer(FINE)


def pooled(picture: np.ndarray) -> np.ndarray:
    """Return the mean over the points of each pixel."""
    height, width = picture.shape[0] // FINE, picture.shape[1] // FINE
    mean: np.ndarray = picture.reshape(height, FINE, width, FINE, -1).mean(axis=(1, 3))
    return mean


def away_from_shadow_edges(shadowed: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) all of whose points and neighbours see the same lights."""
    import cv2

    blocks = shadowed.reshape(HEIGHT, FINE, WIDTH, FINE).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(HEIGHT, WIDTH, -1)
    low, high = blocks.min(axis=-1), blocks.max(axis=-1)
    edge = low != high
    edge[:, 1:] |= low[:, 1:] != low[:, :-1]
    edge[1:] |= low[1:] != low[:-1]
    return cv2.dilate(edge.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0


def truth(case: Case, samples: int) -> dict[str, np.ndarray]:
    """Return Mitsuba's two pictures and the pixels that count."""
    from _mitsuba_scene import draw

    _, fine = pinholes()
    pose = case.camera.double().numpy()
    found = [draw(case.scene, fine, pose, samples, seed, case.occluded) for seed in (0, 1)]
    pictures = np.stack([pooled(picture) for picture, _ in found])
    return {'pictures': pictures, 'counts': away_from_shadow_edges(found[0][1])}


def ours(case: Case) -> np.ndarray:
    """Return our picture as the mean over the points of each pixel."""
    _, fine = pinholes()
    renderer = Renderer('cpu', ambient_occlusion=case.occluded)
    return pooled(renderer(case.scene, fine, case.camera).color.numpy())


def psnr(a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> float:
    """Return the PSNR in dB, peak 1."""
    error = np.clip(a, 0.0, 1.0) - np.clip(b, 0.0, 1.0)
    return float(-10.0 * np.log10(np.mean(error[counts] ** 2, dtype=np.float64) + 1e-12))


def kept_truth(case: Case, name: str, samples: int, folder: Path | None) -> dict[str, np.ndarray]:
    """Return :func:`truth`, from the folder where it is there, else kept there if one is given."""
    file = name.replace(' ', '_').replace(',', '').replace(':', '')
    path = folder and folder / f'{file}.npz'
    if path is not None and path.is_file():
        with np.load(path) as kept:
            return dict(kept)
    theirs = truth(case, samples)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **theirs)
    return theirs


def signed(difference: np.ndarray, scale: float = 10.0) -> np.ndarray:
    """Return a difference (H, W, 3), mean over the channels, as a picture of 8 bits.

    White is none, full red +1/scale and more, full blue −1/scale and less.
    """
    share = np.clip(scale * difference.mean(axis=-1, keepdims=True), -1.0, 1.0)
    fade = np.concatenate([1.0 + share, 1.0 - np.abs(share), 1.0 - share], axis=-1)
    shown: np.ndarray = (255.0 * np.clip(fade, 0.0, 1.0)).astype(np.uint8)
    return shown


def side_by_side(theirs: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Return Mitsuba's, ours, and what ours has more (red) or less (blue), for OpenCV."""
    both = np.clip(np.concatenate([theirs, mine], axis=1), 0.0, 1.0) ** (1.0 / 2.2)
    shown = (255.0 * both).astype(np.uint8)
    more = np.clip(mine, 0.0, 1.0) - np.clip(theirs, 0.0, 1.0)
    line: np.ndarray = np.concatenate([shown, signed(more)], axis=1)[..., ::-1]
    return line


def main() -> int:
    """Draw, compare, print; return 1 where a floor was missed."""
    options = parser(__doc__)
    options.add_argument('--samples', type=int, default=None, help='of environments, at a point')
    options.add_argument('--keep', type=Path, default=None, help="folder for Mitsuba's pictures")
    options.add_argument('--picture', default=None, help='file for pictures side by side')
    options.add_argument('--data', type=Path, default=Path('../shared/data'), help='real data')
    options.add_argument('--only', default='', help='scenes whose name contains this')
    arguments = options.parse_args()
    samples = arguments.samples or (16 if arguments.quick else 64)
    described = machine()
    print_machine(described)
    scores: dict[str, Any] = {}
    rows, drawn, missed = [], {}, False
    with tempfile.TemporaryDirectory() as folder:
        every = cases(arguments.data, Path(folder))
        chosen = {
            name: case
            for name, case in every.items()
            if arguments.only in name and (not arguments.quick or name in QUICK)
        }
        for name, case in chosen.items():
            theirs = kept_truth(case, name, samples, arguments.keep)
            first, second = theirs['pictures']
            middle, counts = 0.5 * (first + second), theirs['counts']
            mine = ours(case)
            drawn[name] = middle, mine
            noise = psnr(first, second, counts) + 10.0 * np.log10(4.0)
            found = psnr(mine, middle, counts)
            good = found >= case.floor
            missed |= not good
            scores[name] = {'psnr': found, 'noise': noise, 'floor': case.floor}
            rows.append(
                [
                    name,
                    f'{100.0 * counts.mean():.1f} %',
                    f'{noise:.1f}' if noise < 110.0 else 'none',
                    f'{found:.1f}',
                    f'{"ok" if good else "MISSED"} ≥ {case.floor:g}',
                ]
            )
    print(f'\nPSNR in dB against Mitsuba 3, {WIDTH}×{HEIGHT}, {FINE}×{FINE} points a pixel')
    print_table(['', 'seen', 'noise', 'ours', 'to reach'], rows)
    if arguments.picture:
        import cv2

        lines = np.concatenate([side_by_side(*pair) for pair in drawn.values()])
        cv2.imwrite(arguments.picture, lines, [cv2.IMWRITE_JPEG_QUALITY, 88])
    finish({'machine': described, 'shading': scores}, arguments.json)
    return int(missed)


if __name__ == '__main__':
    torch.set_grad_enabled(False)
    sys.exit(main())
