# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What moves while a picture is taken: blur, and what a rolling shutter makes of it.

Three things move: a fan, a die that is thrown over the table, and the camera itself. Each is
taken at one moment, over an exposure with a global shutter, and with a rolling shutter whose rows
are read out one after the other. How often a picture is rendered follows from how far things
move in it: the table below the pictures says how often that was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path

from _common import EYE, options, run, srgb, TABLE, table, TARGET
import numpy as np
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.render.exposure import expose_scene
from diffphyscam_ros.render.image_motion import MovingScene
from diffphyscam_ros.render.image_motion import Path as Motion
from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.scene import load_scene, look_at, Scene
from diffphyscam_ros.scene.primitives import box, cylinder
from diffphyscam_ros.scene.transforms import rotation_from_rpy
from diffphyscam_ros.scene.types import Instance, Material

BLADES = 4
FAN_RATE = 2.0 * math.pi * 12.0  # rad/s
FAN = (0.25, 0.02, 1.05)
STILL = 'one moment'
BLURRED = 'global shutter, 8 ms'
ROLLING = 'rolling shutter, 1 ms, read out in 30 ms'


@dataclass(frozen=True)
class Take:
    """Something that moves.

    :param instances: what is added to the table.
    :param paths: how these move, by their number.
    :param camera: how the camera moves.
    """

    name: str
    instances: tuple[Instance, ...]
    paths: dict[int, Motion]
    camera: Motion


def pose(place: Sequence[float], rpy: Sequence[float]) -> np.ndarray:
    """Return a pose (4, 4)."""
    result = np.eye(4)
    result[:3, :3] = rotation_from_rpy(torch.tensor(rpy, dtype=torch.float64)).numpy()
    result[:3, 3] = place
    return result


def over(at: Callable[[float], np.ndarray]) -> Motion:
    """Return a path from a pose at a time."""
    return lambda times: np.stack([at(float(t)) for t in times])


def fan() -> Take:
    """Return a fan that faces the camera and spins."""
    blade, hub = box((0.012, 0.075, 0.24)), cylinder(0.05, 0.06)
    colors = ((0.85, 0.12, 0.08), (0.95, 0.75, 0.1), (0.1, 0.4, 0.8), (0.15, 0.6, 0.3))
    items = [Instance('hub', hub, Material((0.2, 0.2, 0.22)), torch.eye(4))]
    local = [pose((0, 0, 0), (0, math.pi / 2, 0))]
    for number in range(BLADES):
        items.append(Instance(f'blade{number}', blade, Material(colors[number]), torch.eye(4)))
        angle = 2.0 * math.pi * number / BLADES
        local.append(pose((0, 0, 0), (angle, 0, 0)) @ pose((0, 0, 0.15), (0, 0, 0.5)))

    def spun(part: np.ndarray) -> Motion:
        return over(lambda t: pose(FAN, (FAN_RATE * t + 0.3, 0, 0)) @ part)

    return Take('fan', tuple(items), {i: spun(p) for i, p in enumerate(local)}, resting())


def die() -> Take:
    """Return a die that is thrown to the right and turns."""
    item = Instance('die', box(0.14), Material((0.9, 0.25, 0.1)), torch.eye(4))

    def at(t: float) -> np.ndarray:
        return pose((0.0, 0.1 - 6.0 * t, 1.02 + 2.0 * t), (0.6, 0.5, 0.4 + 14.0 * t))

    return Take('thrown die', (item,), {0: over(at)}, resting())


def pan() -> Take:
    """Return a camera that turns to the right."""
    base = look_at(EYE, TARGET).double().numpy()
    turn = over(lambda t: base @ pose((0, 0, 0), (0, 3.0 * t, 0)))
    return Take('camera turns', (), {}, turn)


def resting() -> Motion:
    """Return the path of a camera that stands."""
    base = look_at(EYE, TARGET).double().numpy()
    return over(lambda t: base)


def with_middle(scene: Scene, take: Take) -> MovingScene:
    """Return the table with the things of a take, where they are at the middle."""
    offset = len(scene.instances)
    whole = replace(scene, instances=(*scene.instances, *take.instances))
    paths = {offset + index: path for index, path in take.paths.items()}
    return MovingScene(MovingScene(whole, paths).at(0.0), paths)


def main(argv: Sequence[str] | None = None) -> dict[str, list[int]]:
    """Take the nine pictures and write them; return how often each was rendered."""
    given = options(__doc__ or '', argv)
    width, most = (96, 33) if given.quick else (420, 161)
    sensor = SensorModel(
        image_width=width, image_height=width * 3 // 4, pixel_size=0.0055 / width, defocus_gain=0.0
    )
    rolling = replace(sensor, shutter_mode='rolling', readout_time=0.03)
    settings = CameraSettings(exposure_time=0.008, focal_length=0.0045)
    shutters = {
        STILL: (sensor, replace(settings, exposure_time=1e-6)),
        BLURRED: (sensor, settings),
        ROLLING: (rolling, replace(settings, exposure_time=0.001)),
    }
    scene, renderer = load_scene(TABLE), Renderer('cpu', antialias=True)
    pictures, counts = [], {}
    for take in (fan(), die(), pan()):
        moving = with_middle(scene, take)
        for body, chosen in shutters.values():
            camera = PhysicalCamera(body, stages=('distortion', 'vignetting'))
            with torch.no_grad():
                seen = expose_scene(renderer, camera, moving, take.camera, chosen, most)
            light = seen.radiance.color if seen.irradiance is None else seen.irradiance
            pictures.append(srgb(light))
            counts.setdefault(take.name, []).append(seen.samples)
    table(['renderings', *shutters], [[name, *numbers] for name, numbers in counts.items()])
    if not given.quick:
        print(write(pictures, list(counts), list(shutters), given.out))
    return counts


def write(
    pictures: Sequence[torch.Tensor], rows: Sequence[str], columns: Sequence[str], folder: Path
) -> Path:
    """Write the pictures as one JPEG."""
    from PIL import Image, ImageDraw

    gap, height, width = 6, *pictures[0].shape[:2]
    bar = 22
    sheet = Image.new(
        'RGB', (3 * width + 2 * gap, bar + len(rows) * (height + gap) - gap), 'white'
    )
    draw = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, 3)
        place = column * (width + gap), bar + row * (height + gap)
        sheet.paste(Image.fromarray((picture.numpy() * 255.0 + 0.5).astype(np.uint8)), place)
        if row == 0:
            draw.text((place[0] + 2, 5), columns[column], fill='black')
        if column == 0:
            draw.text((place[0] + 6, place[1] + 4), rows[row], fill='white')
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'motion.jpg'
    sheet.save(path, quality=85)
    return path


if __name__ == '__main__':
    run(main)
