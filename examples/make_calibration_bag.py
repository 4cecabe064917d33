# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
r"""Records a simulated camera as docs/calibrate_your_camera.md says: bags whose truth is known.

A real camera_node looks at a board, at an even light, into the dark, at a scene with many
exposures, at a board with many apertures and focus distances; its real messages are written
into one bag each: boards, flat, dark, sweep, focus. truth.yaml is the camera they are from.

example:
  python examples/make_calibration_bag.py --out bags
  diffphyscam calibrate bags/boards bags/flat bags/dark bags/sweep bags/focus \
      --target chessboard:8x6:0.03 --sensor bags/start.yaml --out calibration
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys
import time

from _camera_recorder import CameraProcess, isolate, Recorder
from _guide_recordings import FOCUS, plan, repeats, ROLES, start_of, truth, write_scenes

from diffphyscam_ros.camera import SensorModel


def record(options: argparse.Namespace, sensor: SensorModel, folder: Path) -> None:
    """Run the camera through the recordings."""
    files = write_scenes(folder, sensor.image_width)
    parameters = {
        'calibration_file': folder / 'truth.yaml',
        'scene_file': files['boards'],
        'output_encoding': options.encoding,
        'frame_rate': 60.0 if options.quick else 30.0,
        'device': 'cpu',
        'noise_seed': options.seed,
    }
    began = time.monotonic()
    with (
        CameraProcess(parameters, folder / 'camera.log') as camera,
        Recorder(camera) as recorder,
    ):
        if options.exposure_auto:
            recorder.set(exposure_auto='Continuous')
        for role in options.record:
            frames = []
            usual = {'focus_distance': FOCUS, 'iso': 100.0, 'scene_file': str(files[role])}
            steps = plan(role, sensor, options.quick, options.views, options.seed)
            for number, step in enumerate(steps):
                changes = {**usual, **step}
                if options.exposure_auto:
                    changes = {name: v for name, v in changes.items() if name[:3] not in 'exp iso'}
                recorder.set(**changes)
                frames += recorder.take(repeats(role, options.quick))
                print(f'\r{role}: {number + 1}/{len(steps)} settings ', end='', file=sys.stderr)
            recorder.write(folder / role, frames, options.storage)
            print(f'- {len(frames)} frames', file=sys.stderr)
    print(f'{folder}: {", ".join(options.record)} in {time.monotonic() - began:.0f} s')


def main(argv: Sequence[str] | None = None) -> Path:
    """Record everything; return the folder of the bags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True, help='a new folder')
    parser.add_argument('--size', nargs=2, type=int, metavar=('W', 'H'), help='pixels')
    parser.add_argument('--views', type=int, help='of the board (default: 30)')
    parser.add_argument('--quick', action='store_true', help='small pictures, few of them')
    parser.add_argument('--encoding', default='rgb16', help='of image_raw (default: %(default)s)')
    parser.add_argument('--response', choices=('linear', 'gamma', 'sigmoid'), default='linear')
    parser.add_argument('--storage', choices=('mcap', 'sqlite3'), default='mcap')
    parser.add_argument('--seed', type=int, default=0, help='of the camera, its noise, the poses')
    parser.add_argument('--record', nargs='+', choices=ROLES, default=list(ROLES))
    parser.add_argument(
        '--exposure-auto', action='store_true', help='leave auto exposure on: a bad recording'
    )
    options = parser.parse_args(argv)
    width, height = options.size or ((320, 240) if options.quick else (640, 480))
    options.views = options.views or (14 if options.quick else 30)
    options.out.mkdir(parents=True)
    folder = options.out.resolve()
    sensor = truth(width, height, options.response, options.seed)
    if 'bayer' in options.encoding:
        sensor = replace(sensor, bayer_pattern=options.encoding.split('_')[1].rstrip('0123456789'))
    sensor.save(folder / 'truth.yaml')
    start_of(sensor).save(folder / 'start.yaml')
    isolate()
    record(options, sensor, folder)
    return folder


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        raise SystemExit(130) from None
