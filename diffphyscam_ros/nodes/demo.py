# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The demo: camera and world in processes of their own, a client that turns every setting."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from diffphyscam_ros.cli.contact_sheet import Row, write_animation, write_contact_sheet
from diffphyscam_ros.nodes.demo_client import DemoClient, Shot
from diffphyscam_ros.nodes.demo_extras import extra_rows
from diffphyscam_ros.resources import find_resource

CAMERA, WORLD = '/camera', '/demo_scene'
EXPOSURE, APERTURE, FOCUS, ISO = 12000.0, 2.0, 1.25, 100.0  # µs, f-number, m: the middle
EXPOSURES = (3000.0, 6000.0, 12000.0, 24000.0)
APERTURES = (1.4, 2.8, 5.6, 11.0)
FOCI = (0.5, 0.8, 1.25, 3.4)
ISOS = (100.0, 800.0, 3200.0, 12800.0)
SWITCHES = ('enable_distortion', 'enable_vignetting', 'enable_defocus', 'enable_noise')
ANIMATION_PERIOD = 0.1  # s


def run_demo(output: Path, seconds: float) -> int:
    """Run the whole demo and write its pictures to the folder ``output``."""
    # The demo talks to itself alone; this process and those it starts read it when they begin.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
    output.mkdir(parents=True, exist_ok=True)
    with _processes(output) as camera_pid, _client() as client:
        print('waiting for the first picture (kernels compile at the very first start) …')
        try:
            client.next_shot(timeout=180.0)
        except TimeoutError as error:
            raise RuntimeError(f'{error}: {output / "camera.log"} says why') from error
        rows = list(_sweeps(client))
        sheet = output / 'contact_sheet.png'
        write_contact_sheet(sheet, 'diffphyscam_ros: one scene, one camera, every setting', rows)
        print(f'wrote {sheet}')
        shots = _moving(client, seconds)
        animation = output / 'animation.gif'
        write_animation(animation, _every(shots, ANIMATION_PERIOD), ANIMATION_PERIOD)
        print(f'wrote {animation}')
        _report(shots, camera_pid)
    return 0


def _sweeps(client: DemoClient) -> Iterator[Row]:
    """Yield a row for each setting, the others held in the middle; print as it goes."""
    settings = {'exposure': EXPOSURE, 'aperture': APERTURE, 'focus': FOCUS, 'iso': ISO}

    def take(**changes: float) -> Shot:
        for name, value in {**settings, **changes}.items():
            client.set(name, value)
        shot = client.next_shot()
        meta = shot.metadata
        print(
            f'  {meta.exposure_time / 1000:6.1f} ms  f/{meta.aperture:<4.1f} '
            f'{meta.focus_distance:5.2f} m  ISO {meta.iso:<6.0f} '
            f'mean {meta.mean_level:.2f}  saturated {100 * meta.saturated_fraction:.1f} %'
        )
        return shot

    def switched(**on: bool) -> np.ndarray:
        client.set_parameters(CAMERA, **{**dict.fromkeys(SWITCHES, False), **on})
        return take(aperture=1.4).image

    print('the parts of the camera:')
    ideal = switched()
    lens = switched(enable_distortion=True, enable_vignetting=True)
    full = switched(**dict.fromkeys(SWITCHES, True))
    yield Row(
        'From a pinhole to a camera',
        [
            ('ideal pinhole', ideal),
            ('+ lens distortion and vignetting', lens),
            ('+ defocus and noise: f/1.4, focused on the robot', full),
            ('depth of the same frame (depth/image_raw)', _colored(client.depth)),
        ],
    )
    print('exposure:')
    yield Row(
        f'Exposure time (set_exposure), f/{APERTURE:g}, ISO {ISO:g}',
        [(f'{t / 1000:g} ms', take(exposure=t).image) for t in EXPOSURES],
    )
    print('aperture, the exposure time compensating:')
    yield Row(
        'Aperture (set_aperture), exposure time compensating: the depth of field',
        [
            (f'f/{n:g}, {t / 1000:.1f} ms', take(aperture=n, exposure=t).image)
            for n in APERTURES
            for t in [EXPOSURE * (n / APERTURE) ** 2]
        ],
    )
    print('focus:')
    yield Row(
        'Focus distance (set_focus), f/1.4',
        [(f'{u:g} m', take(focus=u, aperture=1.4, exposure=EXPOSURE * 0.49).image) for u in FOCI],
    )
    print('ISO, the exposure time compensating:')
    yield Row(
        'ISO (set_iso), exposure time compensating: the noise (middle of the picture, enlarged)',
        [
            (f'ISO {s:g}, {t / 1000:.2f} ms', _middle(take(iso=s, exposure=t).image))
            for s in ISOS
            for t in [EXPOSURE * ISO / s]
        ],
    )
    yield from extra_rows(client, CAMERA, WORLD, take, EXPOSURE)
    take()


def _moving(client: DemoClient, seconds: float) -> list[Shot]:
    """Let the world move and pull the focus from near to far and back."""
    client.set('aperture', 1.4)
    client.set('exposure', EXPOSURE * 0.49)
    client.set_parameters(WORLD, speed=1.0)
    client.take_shots()
    steps = 40
    pause = threading.Event()
    for i in range(steps):
        client.set('focus', 0.5 + 1.1 * (1.0 - np.cos(2.0 * np.pi * i / steps)) ** 1.5)
        pause.wait(seconds / steps)
    return client.take_shots()


def _every(shots: list[Shot], period: float) -> list[np.ndarray]:
    """Return the pictures nearest to a steady beat, whatever rate the machine reached."""
    stamps = np.array([_seconds(shot) for shot in shots])
    beats = np.arange(stamps[0], stamps[-1], period)
    return [shots[int(np.abs(stamps - beat).argmin())].image for beat in beats]


def _seconds(shot: Shot) -> float:
    stamp = shot.metadata.header.stamp
    return float(stamp.sec + stamp.nanosec * 1e-9)


def _report(shots: list[Shot], camera_pid: int) -> None:
    stamps = [_seconds(shot) for shot in shots]
    numbers = [shot.metadata.frame_number for shot in shots]
    latency = 1000.0 * np.array([shot.latency for shot in shots])
    render = np.array([shot.metadata.render_ms for shot in shots])
    rate = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    print(f'frames    {len(shots)} received, {numbers[-1] - numbers[0] + 1 - len(shots)} lost')
    print(f'rate      {rate:.1f} Hz')
    print(f'latency   {np.median(latency):.1f} ms median, {np.percentile(latency, 95):.1f} ms p95')
    print(f'rendering {np.median(render):.1f} ms median, {np.percentile(render, 95):.1f} ms p95')
    with contextlib.suppress(OSError):  # /proc: Linux only
        status = Path(f'/proc/{camera_pid}/status').read_text()
        resident = next(line for line in status.splitlines() if line.startswith('VmRSS'))
        print(f'memory    {int(resident.split()[1]) / 1024:.0f} MB (camera_node)')


def _middle(image: np.ndarray) -> np.ndarray:
    """Return the middle half of a picture, which the contact sheet then shows enlarged."""
    height, width = image.shape[:2]
    return image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]


def _colored(depth: np.ndarray | None) -> np.ndarray:
    """Return a depth picture as colours, near = yellow, far = violet, nothing = black."""
    if depth is None:
        raise RuntimeError('no depth picture came on depth/image_raw')
    hit = np.isfinite(depth) & (depth > 0.0)
    near = np.where(hit, 1.0 / np.maximum(depth, 0.05), 0.0)
    scaled = (255.0 * np.clip(near / near.max(), 0.0, 1.0)).astype(np.uint8)
    colors = cv2.applyColorMap(scaled, cv2.COLORMAP_PLASMA)[..., ::-1]
    return np.ascontiguousarray(np.where(hit[..., None], colors, 0).astype(np.uint8))


@contextlib.contextmanager
def _client() -> Iterator[DemoClient]:
    """Spin a client in a thread."""
    rclpy.init()
    client = DemoClient(CAMERA)
    executor = SingleThreadedExecutor()
    executor.add_node(client)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield client
    finally:
        executor.shutdown()
        thread.join(timeout=5.0)
        client.destroy_node()
        rclpy.try_shutdown()


@contextlib.contextmanager
def _processes(output: Path) -> Iterator[int]:
    """Start camera and world, yield the camera's process id, end both as Ctrl-C would."""
    camera = [
        *('-m', 'diffphyscam_ros.nodes.camera_node', '--ros-args'),
        *('--params-file', str(find_resource('config/demo_camera.yaml'))),
        *('-p', f'scene_file:={find_resource("examples/scenes/demo.yaml")}'),
    ]
    world = ['-m', 'diffphyscam_ros.nodes.demo_scene_node', '--ros-args', '-p', 'speed:=0.0']
    commands = {'camera': camera, 'world': world}
    with contextlib.ExitStack() as stack:
        started = []
        for name, command in commands.items():
            log = stack.enter_context(open(output / f'{name}.log', 'w'))
            process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(_end, process)
            started.append(process)
        yield started[0].pid


def _end(process: subprocess.Popen) -> None:
    """Interrupt a process and, should it not listen, kill it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
