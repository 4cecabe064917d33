# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Frames on a GPU: rates at 1080p, stage by stage, and how far the pictures are from the CPU's.

    python bench/gpu.py [--quick] [--json] [--triangles 10000 100000 1000000] [--size 1920 1080]

Needs an NVIDIA GPU; where it cannot run it says why and ends with 2. With both rasterizers where
nvdiffrast is installed. The whole frame is rendering and the camera with lens and noise, its
result left on the GPU. Shadows are searched for on the CPU: they are measured on their own.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

from _measuring import finish, machine, measure, parser, print_machine, print_table
import numpy as np
import torch

from diffphyscam_ros.camera import CameraSettings, Intrinsics, PhysicalCamera, SensorModel
from diffphyscam_ros.cli.bench import bench_scene
from diffphyscam_ros.render import DeviceError, Radiance, Renderer
from diffphyscam_ros.render.device import choose_rasterizer, cuda_problem
from diffphyscam_ros.scene import Scene
from diffphyscam_ros.scene.transforms import look_at

EYE, AIM = (0.0, 0.0, 0.6), (3.0, 0.0, 0.0)
SETTINGS = CameraSettings(2.0, 0.01, 200.0, 0.0036, 1.5)
GPU = torch.device('cuda')


def camera(width: int, height: int) -> PhysicalCamera:
    """Return a complete camera of a size."""
    return PhysicalCamera(SensorModel.preset('generic_vga').resized(width, height), seed=1)


def rates(
    scene: Scene, physical: PhysicalCamera, rasterizer: str, runs: int
) -> dict[str, dict[str, float | int]]:
    """Measure the stages; each ends when the GPU has."""
    view = physical.source_intrinsics(SETTINGS)
    beside = np.add((EYE, AIM), (0.0, 1e-3, 0.0)).tolist()
    poses = itertools.cycle((look_at(EYE, AIM), look_at(*beside)))
    numbers = itertools.count()
    plain = Renderer('cuda', shadows=False, rasterizer=rasterizer)
    smooth = Renderer('cuda', antialias=True, shadows=False, rasterizer=rasterizer)
    full = Renderer('cuda', antialias=True, rasterizer=rasterizer)
    seen = plain(scene, view, next(poses))

    def take(radiance: Radiance) -> None:
        physical(radiance.color, radiance.depth, SETTINGS, next(numbers))

    def finished(act: Any) -> Any:
        def done() -> None:
            act()
            torch.cuda.synchronize()

        return done

    acts = {
        'render': lambda: plain(scene, view, next(poses)),
        'camera': lambda: take(seen),
        'frame': lambda: take(plain(scene, view, next(poses))),
        'frame, edges': lambda: take(smooth(scene, view, next(poses))),
        'frame, edges and shadows': lambda: take(full(scene, view, next(poses))),
    }
    with torch.no_grad():
        return {name: measure(finished(act), runs) for name, act in acts.items()}


def difference(scene: Scene, view: Intrinsics, rasterizer: str) -> dict[str, float]:
    """Compare a picture with that of the CPU."""
    pose = look_at(EYE, AIM)
    here = Renderer('cpu', antialias=True)(scene, view, pose)
    there = Renderer('cuda', antialias=True, rasterizer=rasterizer)(scene, view, pose)
    error = (here.color - there.color.cpu()).abs().amax(-1)
    return {
        'other instance': float((here.instance != there.instance.cpu()).float().mean()),
        'colour off by more than 1e-3': float((error > 1e-3).float().mean()),
        'largest error': float(error.max()),
    }


def rasterizers() -> list[str]:
    """Return those that work here; name the others with the reason."""
    found = []
    for name in ('triton', 'nvdiffrast'):
        try:
            found.append(choose_rasterizer(GPU, name))
        except DeviceError as error:
            print(f'{name} is left out: {error}')
    return found


def main() -> int:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument('--triangles', type=int, nargs='+', default=[10_000, 100_000, 1_000_000])
    options.add_argument('--size', type=int, nargs=2, default=[1920, 1080])
    given = options.parse_args()
    problem = cuda_problem(GPU)
    if problem is not None:
        print(f'bench/gpu.py cannot run here: {problem}', file=sys.stderr)
        return 2
    runs = 20 if given.quick else 100
    about = machine() | {'gpu': torch.cuda.get_device_name(GPU), 'cuda': torch.version.cuda}
    print_machine(about)
    results: list[dict[str, Any]] = []
    rows = []
    physical = camera(*given.size)
    for count in given.triangles[: 1 if given.quick else None]:
        scene = bench_scene(count)
        # Without the camera's margins, at a size that the CPU draws at leisure.
        small = physical.sensor.resized(640, 480).intrinsics(SETTINGS)
        for name in rasterizers():
            times = rates(scene, physical, name, runs)
            off = difference(scene, small, name)
            results.append({'triangles': count, 'rasterizer': name, 'ms': times, 'off': off})
            rows += [
                [f'{count}', name, stage, f'{ms["median_ms"]:.2f}', f'{1e3 / ms["median_ms"]:.0f}']
                for stage, ms in times.items()
            ]
            rows += [[f'{count}', name, what, f'{value:.2e}', ''] for what, value in off.items()]
    print_table(['triangles', 'rasterizer', 'stage', 'ms / share', 'fps'], rows)
    finish({'machine': about, 'results': results}, given.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
