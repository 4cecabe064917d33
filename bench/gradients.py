# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The differentiable step: forward and backward of the renderer, and of the whole chain.

    python bench/gradients.py [--quick] [--json] [--size 640 480] [--triangles 10000]
        [--no-truth] [--picture FILE]

The scene is that of ``diffphyscam bench``, silhouettes antialiased, no shadows (they carry no
gradient). Each row asks for other gradients. Kernels and readable torch take turns, picture by
picture in one process, so that a busy machine slows both; the least time counts. The processor
time of all threads says what the kernels need whoever else is busy: with two idle cores, a little
more than half of it. The last rows are the whole chain: renderer and camera, to textures,
vertices, lights and all settings.

Then the parts of one step of the kernels, as the profiler of Python sees them.

Floor of the whole chain on 2 cores at 640x480 and 10 000 triangles: 60 ms.

At the end bench/gradients_truth.py judges gradients by finite differences, beside Mitsuba 3
(--no-truth leaves that out).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import cProfile
from dataclasses import dataclass, replace
from pathlib import Path
import pstats
import sys
import time

from _measuring import finish, machine, parser, print_machine, print_table
import gradients_truth
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel, STAGES
from diffphyscam_ros.cli.bench import bench_scene
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import look_at, PointLight, Scene, Texture

FLOOR = 60.0
SETTINGS = {
    'aperture': 1.4,
    'exposure_time': 0.01,
    'iso': 100.0,
    'focal_length': 0.0036,
    'focus_distance': 0.5,
}
POSE = look_at((0.0, 0.0, 0.6), (3.0, 0.0, 0.0))


@dataclass(frozen=True)
class Asked:
    """What a row asks the gradients of."""

    textures: bool = False
    vertices: bool = False
    poses: bool = False
    lights: bool = False
    settings: bool = False


ROWS = {
    'textures': Asked(textures=True),
    'vertices': Asked(vertices=True),
    'poses': Asked(poses=True),
    'lights': Asked(lights=True),
    'textures, vertices, lights': Asked(textures=True, vertices=True, lights=True),
}
CHAIN = {
    'chain: settings alone': Asked(settings=True),
    'chain: textures, vertices, lights, settings': Asked(True, True, False, True, True),
}


def with_leaves(scene: Scene, asked: Asked) -> tuple[Scene, list[torch.Tensor]]:
    """Return the scene with what is asked for as leaves, and these."""
    leaves: list[torch.Tensor] = []

    def leaf(value: object, wanted: bool) -> torch.Tensor:
        tensor = torch.as_tensor(value, dtype=torch.float32).clone().requires_grad_(wanted)
        if wanted:
            leaves.append(tensor)
        return tensor

    textures: dict[int, Texture] = {}
    instances = []
    for item in scene.instances:
        material = item.material
        texture = material.base_color_texture
        if texture is not None:
            if id(texture) not in textures:
                textures[id(texture)] = Texture(leaf(texture.image, asked.textures))
            material = replace(material, base_color_texture=textures[id(texture)])
        mesh = replace(item.mesh, vertices=leaf(item.mesh.vertices, asked.vertices))
        pose = leaf(item.pose, asked.poses)
        instances.append(replace(item, mesh=mesh, material=material, pose=pose))
    lights = []
    for light in scene.lights:
        power = 'intensity' if isinstance(light, PointLight) else 'irradiance'
        changes = {power: leaf(getattr(light, power), asked.lights), 'shadows': False}
        lights.append(replace(light, **changes))
    return replace(scene, instances=tuple(instances), lights=tuple(lights)), leaves


class Step:
    """One differentiable step: a picture and its gradients."""

    def __init__(self, scene: Scene, asked: Asked, size: tuple[int, int], camera: bool) -> None:
        """Prepare all that does not belong to the step."""
        sensor = SensorModel.preset('generic_vga').resized(*size)
        self.camera = PhysicalCamera(sensor, STAGES)
        self.scene, self.leaves = with_leaves(scene, asked)
        numbers = {k: torch.tensor(v, requires_grad=asked.settings) for k, v in SETTINGS.items()}
        self.leaves += list(numbers.values()) if asked.settings else []
        self.settings = CameraSettings(**numbers)
        self.whole = camera

    def __call__(self, renderer: Renderer) -> tuple[float, float, float]:
        """Return the times of the forward and the backward pass, and of the processor, in ms."""
        start, work = time.perf_counter(), time.process_time()
        source = self.camera.source_intrinsics(self.settings)
        seen = renderer(self.scene, source, POSE)
        image = seen.color
        if self.whole:
            image = self.camera(seen.color, seen.depth, self.settings, intrinsics=source).image
        total = image.square().mean()
        middle = time.perf_counter()
        torch.autograd.grad(total, self.leaves)
        end = time.perf_counter()
        return 1e3 * (middle - start), 1e3 * (end - middle), 1e3 * (time.process_time() - work)


def timed(step: Step, runs: int, reference_runs: int) -> dict[str, float]:
    """Return the least times of kernels and torch, which take turns."""
    forms = {
        'kernels': Renderer('cpu', antialias=True),
        'torch': Renderer('cpu', antialias=True, reference=True),
    }
    least: dict[str, float] = {}
    for number in range(-2, runs):
        for form, renderer in forms.items():
            if form == 'torch' and number >= reference_runs:
                continue
            forward, backward, work = step(renderer)
            if number < 0:
                continue
            found = {
                'forward': forward,
                'backward': backward,
                'both': forward + backward,
                'processor': work,
            }
            for part, value in found.items():
                key = f'{form} {part}'
                least[key] = min(least.get(key, value), value)
    return least


def parts(call: Callable[[], object], runs: int) -> list[tuple[str, float]]:
    """Return the functions of our package in which a step spends its time, and ms of a step."""
    profile = cProfile.Profile()
    for _ in range(2):
        call()
    profile.enable()
    for _ in range(runs):
        call()
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    own: dict[str, float] = {}
    for (file, _, name), (_, _, in_itself, _, _) in stats.items():
        path = Path(file)
        kernel = path.parent.name == 'kernels'
        key = f'{path.stem}.{name}' if kernel else 'torch, NumPy and Python'
        own[key] = own.get(key, 0.0) + 1e3 * in_itself / runs
    return sorted(own.items(), key=lambda item: -item[1])


def main() -> int:
    """Print the tables."""
    options = parser(__doc__)
    options.add_argument('--size', nargs=2, type=int, default=(640, 480), metavar=('W', 'H'))
    options.add_argument('--triangles', type=int, default=10_000)
    options.add_argument('--no-truth', action='store_true', help='times of a step alone')
    options.add_argument('--picture', type=Path, default=None, help='file for a figure')
    arguments: argparse.Namespace = options.parse_args()
    size, triangles = tuple(arguments.size), arguments.triangles
    runs, reference_runs = (8, 2) if arguments.quick else (30, 5)
    described = machine()
    print_machine(described)
    scene = bench_scene(triangles)
    times: dict[str, dict[str, float]] = {}
    for rows, camera in ((ROWS, False), (CHAIN, True)):
        for name, asked in rows.items():
            times[name] = timed(Step(scene, asked, size, camera), runs, reference_runs)
    columns = ('forward', 'backward', 'both')
    print(f'\n{size[0]}x{size[1]}, {triangles} triangles, least time in ms')
    print_table(
        [
            'gradients of',
            *columns,
            'processor',
            *(f'torch {c}' for c in columns),
            'torch / kernels',
        ],
        [
            [
                name,
                *(f'{found[f"kernels {c}"]:.1f}' for c in (*columns, 'processor')),
                *(f'{found[f"torch {c}"]:.1f}' for c in columns),
                f'{found["torch both"] / found["kernels both"]:.1f}x',
            ]
            for name, found in times.items()
        ],
    )
    chain = list(CHAIN)[-1]
    step, renderer = Step(scene, CHAIN[chain], size, True), Renderer('cpu', antialias=True)
    split = parts(lambda: step(renderer), 3 if arguments.quick else 15)
    print(f'\nparts of "{chain}", ms of a step')
    print_table(['part', 'ms'], [[name, f'{value:.2f}'] for name, value in split if value > 0.1])
    whole = times[chain]['kernels both']
    if size == (640, 480) and triangles == 10_000:
        verdict = 'met' if whole <= FLOOR else 'MISSED'
        print(f'\ndifferentiable step: {whole:.1f} ms, floor {FLOOR:g} ms {verdict}')
    result = {'machine': described, 'times': times, 'parts': dict(split)}
    if not arguments.no_truth:
        result['truth'] = gradients_truth.run(arguments.quick, arguments.picture)
    finish(result, arguments.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
