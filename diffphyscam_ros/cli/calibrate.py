# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``diffphyscam calibrate``: from recorded bags to a camera, with the evidence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import sys
from typing import Any, TypeVar

from diffphyscam_ros.cli.options import positive

T = TypeVar('T')

EXAMPLE = """examples:
  what can be estimated from these bags, and what should be filmed:
    diffphyscam calibrate boards/ flat/ --target charuco:11x8:0.02:0.015:DICT_5X5_100 --dry-run

  everything, with what the data sheet says of the camera:
    diffphyscam calibrate boards/ flat/ dark/ sweep/ focus/ --name front \\
        --target charuco:11x8:0.02:0.015:DICT_5X5_100 --sensor datasheet.yaml --out front/
    ros2 run diffphyscam_ros camera_node --ros-args \\
        -p calibration_file:=$PWD/front/front.calibration.yaml

  a driver that does not say what it exposed with:
    diffphyscam calibrate flat.mcap dark.mcap --role flat.mcap=flat --role dark.mcap=dark \\
        --constant exposure_us=5000 --constant gain_db=0 --constant aperture=2.8

Files in --out: NAME.calibration.yaml (for camera_node calibration_file:= and SensorModel.load),
NAME.camera_info.yaml (for ROS), report.html, report.json.

exit codes: 0 passed, 1 below a threshold, 2 bad input, 3 nothing could be estimated.
docs/calibrate_your_camera.md says what to film.
"""


def constant(text: str) -> tuple[str, float]:
    """Parse NAME=NUMBER, as exposure_us=5000."""
    from diffphyscam_ros.calibration.request import parse_constant

    return _parsed(parse_constant, text)


def role(text: str) -> tuple[str, str]:
    """Parse BAG=ROLE."""
    from diffphyscam_ros.calibration.request import parse_role

    return _parsed(parse_role, text)


def _parsed(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        'calibrate',
        help='estimate a camera from recorded bags, with uncertainties and a report',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('bags', nargs='+', type=Path, metavar='BAG', help='ROS 1 or ROS 2 bags')
    parser.add_argument('--out', type=Path, default=Path(), metavar='DIR', help='for the files')
    parser.add_argument('--name', default='camera', help='of the camera (default: %(default)s)')
    parser.add_argument('--dry-run', action='store_true', help='only look what the bags allow')
    parser.add_argument('--json', action='store_true', help='print the audit of --dry-run as JSON')
    parser.add_argument('--quiet', action='store_true', help='no progress, no table')
    what = parser.add_argument_group('what was filmed')
    what.add_argument(
        '--target',
        metavar='SPEC',
        help='the board: chessboard:8x6:0.025 (inner corners, m), circles:..., '
        'asymmetric_circles:..., charuco:11x8:0.02:0.015:DICT_5X5_100, aprilgrid:6x6:0.022:0.3, '
        'or a YAML file',
    )
    what.add_argument(
        '--role',
        type=role,
        action='append',
        default=[],
        metavar='BAG=ROLE',
        help='what a bag was filmed for: board, flat, dark, sweep, focus (default: recognised)',
    )
    what.add_argument('--image-topic', metavar='TOPIC', help='where the bags have several')
    what.add_argument('--encoding', default='', help='of the pixels, whatever the messages say')
    what.add_argument('--bit-depth', type=int, default=0, help='10, 12, 14 in the low bits of 16')
    what.add_argument(
        '--edge-distance',
        type=positive,
        metavar='M',
        help='of the one slanted edge in frames of role focus, along z (default: the board is '
        'there)',
    )
    what.add_argument('--no-cache', action='store_true', help='look for every board again')
    settings = parser.add_argument_group('what it was filmed with')
    settings.add_argument(
        '--sensor',
        metavar='PRESET|FILE',
        help='what is known of the camera: pixel_size, focal_length, quantum_efficiency, ...',
    )
    settings.add_argument('--settings', default='auto', help='the only source of settings to take')
    settings.add_argument(
        '--exposure-csv',
        type=Path,
        metavar='FILE',
        help='stamp,exposure_us,gain_db,aperture,focus_distance_m of each frame',
    )
    settings.add_argument(
        '--constant',
        type=constant,
        action='append',
        default=[],
        metavar='NAME=NUMBER',
        help='a setting that never changed: exposure_us, gain_db, iso, aperture, '
        'focus_distance_m, focal_length_mm',
    )
    settings.add_argument('--driver', default='', help='whose parameter events to read')
    settings.add_argument('--driver-node', default='', help='full name of its node')
    settings.add_argument('--tolerance', type=positive, metavar='S', help='of stamps')
    result = parser.add_argument_group('what is wanted')
    result.add_argument(
        '--model',
        default='plumb_bob',
        choices=('plumb_bob', 'rational_polynomial', 'equidistant', 'auto'),
        help='lens model (default: %(default)s); auto = what predicts other views best',
    )
    result.add_argument(
        '--fix', action='append', default=[], metavar='K', help='a coefficient that stays 0: k3'
    )
    result.add_argument(
        '--max-error',
        type=positive,
        default=0.5,
        metavar='PX',
        help='threshold: rms of corners in views held out (default: %(default)s)',
    )
    result.add_argument(
        '--accept-weak',
        action='store_true',
        help='parameters with little to go by, and stages that give nothing, pass too',
    )
    result.add_argument(
        '--require', action='append', default=[], metavar='STAGE', help='that must succeed'
    )
    result.add_argument(
        '--no-joint',
        action='store_true',
        help='do not refine what the stages found together, from the pictures of the board',
    )
    result.add_argument(
        '--seed',
        type=int,
        default=0,
        metavar='N',
        help='of what the joint refinement draws by chance: photosites, and which frames it holds '
        'out (default: %(default)s)',
    )
    result.add_argument('--kalibr', action='store_true', help="also Kalibr's camchain.yaml")
    result.add_argument('--tum', action='store_true', help="also TUM's pcalib.txt, vignette.png")
    result.add_argument(
        '--commit',
        metavar='CAMERA',
        help='namespace of a running camera that gets K and the distortion (set_camera_info) if '
        'the calibration passes; needs ROS',
    )
    parser.set_defaults(run=run)


def request_of(options: argparse.Namespace) -> Any:
    """Return what the options ask for."""
    from diffphyscam_ros.calibration.request import load_sensor, Request, Thresholds
    from diffphyscam_ros.calibration.targets import Target

    sensor = load_sensor(options.sensor) if options.sensor else None
    return Request(
        bags=tuple(options.bags),
        target=Target.load(options.target) if options.target else None,
        sensor=sensor,
        sensor_name=Path(options.sensor or '').name,
        name=options.name,
        model=options.model,
        fixed=tuple(options.fix),
        image_topic=options.image_topic,
        settings=options.settings,
        csv=options.exposure_csv,
        constants=dict(options.constant),
        roles=dict(options.role),
        tolerance=options.tolerance,
        driver=options.driver,
        driver_node=options.driver_node,
        encoding=options.encoding,
        bit_depth=options.bit_depth,
        edge_distance=options.edge_distance,
        cache=not options.no_cache,
        joint=not options.no_joint,
        seed=options.seed,
        kalibr=options.kalibr,
        tum=options.tum,
        thresholds=Thresholds(options.max_error, options.accept_weak, tuple(options.require)),
    )


def run(options: argparse.Namespace) -> int:
    """Audit, calibrate, write; return the exit code."""
    from diffphyscam_ros.calibration.exports import exported
    from diffphyscam_ros.calibration.outputs import summary, untouched, write_outputs
    from diffphyscam_ros.calibration.pipeline import (
        audit_only,
        calibrate,
        NOTHING_ESTIMABLE,
        PASSED,
    )
    from diffphyscam_ros.calibration.progress import Bar, Progress, Silent

    request = request_of(options)
    progress: Progress = Silent() if options.quiet else Bar()
    if options.dry_run:
        audited = audit_only(request, progress)
        print(json.dumps(audited.json(), indent=1) if options.json else audited.text())
        return PASSED if audited.estimable else NOTHING_ESTIMABLE
    found = calibrate(request, progress)
    if not options.quiet:
        print(found.audit.text())
        print()
        print(summary(found))
    written = write_outputs(found, options.out)
    print('\n'.join(f'wrote {path}' for path in written))
    for reason in exported(found)[1]:
        print(f'not written: {reason}', file=sys.stderr)
    if untouched(found):
        print(untouched(found), file=sys.stderr)
    for reason in found.below:
        print(f'below the threshold: {reason}', file=sys.stderr)
    if found.exit_code == NOTHING_ESTIMABLE:
        print('nothing could be estimated: the report says what to record', file=sys.stderr)
    if options.commit:
        from diffphyscam_ros.nodes.commit_camera_info import commit

        print(commit(found, options.commit))
    return found.exit_code
