# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a real lens adds to a picture: one scene through seven lenses.

The table, with two small lamps far brighter than white, is seen through a perfect lens, then with
each kind of vignetting, with lateral chromatic aberration (exaggerated) and with glare. Writes
lens_extras.jpg; --quick prints the table only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import os
from pathlib import Path

from _common import options, run, srgb, TABLE, table
import numpy as np
from PIL import Image
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.cli.contact_sheet import Row, write_contact_sheet
from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.scene import load_scene, look_at, Scene
from diffphyscam_ros.scene.primitives import sphere
from diffphyscam_ros.scene.types import Instance, Material

EYE, TARGET = (-0.75, 0.0, 1.2), (0.3, 0.0, 0.86)
LAMPS = (((0.44, -0.12, 0.98), (900.0, 780.0, 560.0)), ((0.2, 0.42, 0.86), (250.0, 330.0, 500.0)))
"""Place and radiance; a white diffuser in the light has radiance 1."""

RIM = {'rim_radius': 0.012, 'rim_distance': 0.013}  # m
ABERRATION = {'chromatic_scale': (1.012, 1.0, 0.988), 'chromatic_curve': (0.01, 0.0, -0.01)}


def lenses(perfect: SensorModel) -> dict[str, tuple[SensorModel, float]]:
    """Return each lens by its label, with the f-number it is used at."""
    radial = {'vignetting_model': 'radial', 'vignetting_coefficients': (-0.2, -0.9, 0.3)}
    return {
        'perfect': (perfect, 1.4),
        'cos^4 law, in full': (replace(perfect, vignetting_gain=1.0), 1.4),
        'radial: 1 - 0.2 r^2 - 0.9 r^4 + 0.3 r^6': (replace(perfect, **radial), 1.4),
        'a rim before the lens, f/1.4': (replace(perfect, **RIM), 1.4),
        'the same rim, f/5.6': (replace(perfect, **RIM), 5.6),
        'lateral colour: 1.2 % and more (exaggerated)': (replace(perfect, **ABERRATION), 1.4),
        'glare: 3 % of the light, from 6 px on': (
            replace(perfect, glare_fraction=0.03, glare_radius=6.0),
            1.4,
        ),
    }


def scene_with_lamps() -> Scene:
    """Return the table with two lamps on it."""
    scene = load_scene(TABLE)
    ball, lamps = sphere(0.012), []
    for i, (place, radiance) in enumerate(LAMPS):
        pose = torch.eye(4)
        pose[:3, 3] = torch.tensor(place)
        material = Material(base_color=(0.0, 0.0, 0.0), emissive=radiance)
        lamps.append(Instance(f'lamp_{i}', ball, material, pose))
    return replace(scene, instances=[*scene.instances, *lamps])


def photograph(lens: SensorModel, aperture: float, scene: Scene, finer: int) -> torch.Tensor:
    """Return the irradiance behind a lens with everything in focus, (H, W, 3)."""
    camera = PhysicalCamera(lens, stages=('distortion', 'aberration', 'vignetting', 'glare'))
    settings = CameraSettings(aperture=aperture, focal_length=0.025, focus_distance=1.5)
    view = camera.source_intrinsics(settings)
    fine = view.finer(finer)
    color = Renderer('cpu')(scene, fine, look_at(EYE, TARGET)).color
    color = color.reshape(view.height, finer, view.width, finer, 3).mean(dim=(1, 3))
    return camera.lens(color, None, settings)


def shown(irradiance: torch.Tensor) -> np.ndarray:
    """Return a picture as bytes for a screen."""
    return (srgb(irradiance * 1.2) * 255.0).round().to(torch.uint8).numpy()


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Take the pictures; return the brightness of each one's corner against the perfect lens'."""
    chosen = options(__doc__ or '', argv)
    width = 160 if chosen.quick else 400
    perfect = SensorModel(
        image_width=width, image_height=width * 3 // 4, pixel_size=0.029 / width, bit_depth=0
    )
    scene = scene_with_lamps()
    pictures = {}
    with torch.no_grad():
        for label, (lens, aperture) in lenses(perfect).items():
            pictures[label] = photograph(lens, aperture, scene, 1 if chosen.quick else 3)
    corner = (slice(None, width // 20), slice(None, width // 20))
    bright = {name: float(one[corner].mean()) for name, one in pictures.items()}
    relative = {name: value / bright['perfect'] for name, value in bright.items()}
    table(('lens', 'corner'), [(name, f'{value:.2f}') for name, value in relative.items()])
    if not chosen.quick:
        write_figure(chosen.out / 'lens_extras.jpg', pictures)
    return relative


def write_figure(path: Path, pictures: dict[str, torch.Tensor]) -> None:
    """Write all pictures on one page, and a corner of the colourful one enlarged."""
    names = list(pictures)
    images = {name: shown(one) for name, one in pictures.items()}
    height, width = images[names[0]].shape[:2]
    corner = images[names[5]][: height // 3, : width // 3]
    large = np.asarray(Image.fromarray(corner).resize((width, height), Image.Resampling.NEAREST))
    rows = [
        Row('Light falls off towards the corners', [(name, images[name]) for name in names[:4]]),
        Row(
            'Stopped down, the rim hides nothing; every colour has its own size; lamps bloom',
            [
                (names[4], images[names[4]]),
                (names[5], images[names[5]]),
                ('its upper left corner', large),
                (names[6], images[names[6]]),
            ],
        ),
    ]
    page = path.with_name(f'.{path.stem}.{os.getpid()}.page.png')
    try:
        write_contact_sheet(page, 'One scene, seven lenses', rows, width=320)
        temporary = path.with_name(f'.{path.stem}.{os.getpid()}.jpg')
        Image.open(page).convert('RGB').save(temporary, quality=88, optimize=True)
        os.replace(temporary, path)
    finally:
        page.unlink(missing_ok=True)
    print(path)


if __name__ == '__main__':
    run(main)
