# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``diffphyscam bench``: how long a whole frame takes here, stage by stage.

The peer, in the same run, is the camera's own readable torch reference, so the ratio says what
the fast path buys; other renderers and the reference method are measured in ``bench/``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
import itertools
import json
import math
import os
import time

import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    LENS_STAGES,
    PhysicalCamera,
    SENSOR_STAGES,
    SensorModel,
    STAGES,
)
from diffphyscam_ros.camera.stages import form_image, read_out
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import Scene
from diffphyscam_ros.scene.primitives import plane, sphere
from diffphyscam_ros.scene.procedural import checkerboard
from diffphyscam_ros.scene.transforms import look_at, pose_from_quaternion
from diffphyscam_ros.scene.types import (
    DirectionalLight,
    Environment,
    Instance,
    Material,
    PointLight,
)

EXAMPLE = """example:
  diffphyscam bench --triangles 10000 100000 --size 640 480
"""
SPHERES = 25
FLOORS = {10_000: 90.0, 100_000: 60.0, 1_000_000: 25.0}
"""Frames per second at 640x480 on 2 cores, without shadows, edges as they are."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of repeated runs."""

    median: float
    p95: float


def measure(work: Callable[[], object], repeats: int, warm_up: int = 3) -> Timing:
    """Run ``work`` some times unmeasured, then ``repeats`` times, and return its timing."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(1000.0 * (time.perf_counter() - start))
    times.sort()
    return Timing(times[len(times) // 2], times[min(len(times) - 1, math.ceil(0.95 * len(times)))])


def bench_scene(triangles: int) -> Scene:
    """Return textured, glossy spheres of together about that many triangles on a floor."""
    rings = max(4, round(math.sqrt(triangles / SPHERES / 4.0)))
    ball = sphere(0.3, segments=2 * rings, rings=rings)
    board = checkerboard(rows=15, columns=15)
    instances = [
        Instance(
            'floor',
            plane(12.0, 12.0),
            Material(base_color_texture=board, roughness=0.6),
            pose_from_quaternion((4.0, 0.0, -0.5), (0.0, 0.0, 0.0, 1.0)),
        )
    ]
    for i in range(SPHERES):
        place = (2.0 + 0.8 * (i // 5), 0.7 * (i % 5 - 2), -0.2)
        material = Material(
            base_color=(0.2 + 0.15 * (i % 5), 0.5, 0.8 - 0.12 * (i // 5)),
            metallic=float(i % 2),
            roughness=0.3,
            base_color_texture=board if i % 3 == 0 else None,
        )
        pose = pose_from_quaternion(place, (0.0, 0.0, 0.0, 1.0))
        instances.append(Instance(f'ball {i}', ball, material, pose))
    rows = torch.linspace(1.0, 0.2, 16).view(16, 1, 1)
    sky = (rows * torch.tensor([0.5, 0.6, 0.8])).expand(16, 32, 3).contiguous()
    return Scene(
        instances=tuple(instances),
        lights=(
            DirectionalLight((0.5, 0.4, -1.0), (2.0, 1.9, 1.8)),
            PointLight((2.0, -1.0, 1.5), (1.5, 1.5, 1.5)),
        ),
        environment=Environment(sky),
    )


@torch.inference_mode()  # as the camera node works
def bench_frame(triangles: int, width: int, height: int, repeats: int) -> dict[str, object]:
    """Measure one configuration; all times in milliseconds."""
    sensor = SensorModel.preset('generic_vga').resized(width, height)
    settings = CameraSettings(
        aperture=1.4, exposure_time=0.01, focal_length=0.0036, focus_distance=0.5
    )
    scene = bench_scene(triangles)
    pose = look_at((0.0, 0.0, 0.6), (3.0, 0.0, 0.0))
    renderer = Renderer('cpu', shadows=False)
    finest = Renderer('cpu', antialias=True)
    camera = PhysicalCamera(sensor, stages=STAGES)
    source = camera.source_intrinsics(settings)
    radiance = renderer(scene, source, pose)
    stages: dict[str, float] = {}
    stages['render'] = measure(lambda: renderer(scene, source, pose), repeats).median
    before = 0.0
    for i, stage in enumerate(STAGES):
        # A prefix of the chain at a time: the sensor is one fused kernel.
        if stage in SENSOR_STAGES[:-1]:
            continue
        partial = PhysicalCamera(sensor, stages=STAGES[: i + 1])
        total = measure(lambda p=partial: p(radiance.color, radiance.depth, settings), repeats)  # type: ignore[misc]
        name = 'sensor' if stage in SENSOR_STAGES else stage
        stages[name] = max(0.0, total.median - before)
        before = total.median
    number = itertools.count()
    # Of a camera that stands still, shadows would be looked for once.
    poses = itertools.cycle((pose, look_at((0.0, 1e-3, 0.6), (3.0, 1e-3, 0.0))))

    def whole() -> object:
        picture = renderer(scene, source, next(poses))
        return camera(picture.color, picture.depth, settings, frame_number=next(number))

    def beautiful() -> object:
        picture = finest(scene, source, next(poses))
        return camera(picture.color, picture.depth, settings, frame_number=next(number))

    target = sensor.intrinsics(settings)

    def reference() -> object:
        lens = tuple(stage for stage in STAGES if stage in LENS_STAGES)
        formed = form_image(radiance.color, radiance.depth, settings, sensor, lens, source, target)
        return read_out(formed, settings, sensor, SENSOR_STAGES, 0, 0, False)

    frame = measure(whole, repeats)
    full = measure(beautiful, repeats)
    fast = measure(lambda: camera(radiance.color, radiance.depth, settings), repeats)
    slow = measure(reference, max(3, repeats // 5), warm_up=1)
    return {
        'triangles': sum(item.mesh.faces.shape[0] for item in scene.instances),
        'width': width,
        'height': height,
        'stages_ms': stages,
        'frame_ms': frame.median,
        'frame_p95_ms': frame.p95,
        'fps': 1000.0 / frame.median,
        'with_shadows_and_antialias_ms': full.median,
        'floor_fps': FLOORS.get(triangles) if (width, height) == (640, 480) else None,
        'camera_ms': fast.median,
        'torch_reference_ms': slow.median,
        'speed_up': slow.median / fast.median,
    }


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        'bench',
        help='measure a whole frame on this machine, stage by stage',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the benchmark."""
    parser.add_argument('--triangles', type=int, nargs='+', default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        '--size', type=int, nargs=2, action='append', metavar=('W', 'H'), help='may be repeated'
    )
    parser.add_argument('--repeats', type=int, default=30)
    parser.add_argument('--json', action='store_true', help='print one JSON object last')


def run(options: argparse.Namespace) -> int:
    """Measure every configuration and print a table."""
    results = []
    print(f'{os.cpu_count()} cores, {torch.get_num_threads()} threads; medians in ms')
    for width, height in options.size or [(640, 480), (1280, 720)]:
        for triangles in options.triangles:
            result = bench_frame(triangles, width, height, options.repeats)
            results.append(result)
            print(f'\n{width}x{height}, {result["triangles"]} triangles')
            stages = result['stages_ms']
            assert isinstance(stages, dict)
            for stage, milliseconds in stages.items():
                print(f'  {stage:<26}{milliseconds:8.2f}')
            floor = result['floor_fps']
            print(
                f'  {"whole frame":<26}{result["frame_ms"]:8.2f}   p95 '
                f'{result["frame_p95_ms"]:.2f}   {result["fps"]:.0f} fps'
                + (f' (floor {floor:.0f})' if floor else '')
            )
            full = result['with_shadows_and_antialias_ms']
            assert isinstance(full, float)
            print(f'  {"shadows, smooth edges":<26}{full:8.2f}   {1000.0 / full:.0f} fps')
            print(
                f'  {"camera alone":<26}{result["camera_ms"]:8.2f}   torch reference '
                f'{result["torch_reference_ms"]:.1f}, {result["speed_up"]:.1f} times slower'
            )
    if options.json:
        print(json.dumps({'threads': torch.get_num_threads(), 'frames': results}))
    return 0
