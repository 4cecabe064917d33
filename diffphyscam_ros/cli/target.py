# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``diffphyscam target``: a calibration target to print."""

from __future__ import annotations

import argparse

EXAMPLE = """targets:
  chessboard:8x6:0.025                    8x6 inner corners, squares of 25 mm
  circles:7x5:0.03                        7x5 circles, 30 mm from centre to centre
  asymmetric_circles:4x11:0.02            rows of 4, every other row shifted by 20 mm
  charuco:11x8:0.02:0.015:DICT_5X5_100    11x8 squares of 20 mm, markers of 15 mm
  aprilgrid:6x6:0.022:0.3                 6x6 tags of 22 mm, gaps of 0.3 tags (Kalibr's)
  arucogrid:6x4:0.03:0.25:DICT_6X6_250    the same without corner squares (OpenCV's)
or a YAML file with these fields, or Kalibr's target.yaml.

example:
  diffphyscam target charuco:11x8:0.02:0.015:DICT_5X5_100 -o target.pdf

Print at 100 % ("actual size"), glue it to something flat, check with the ruler that 100 mm are
100 mm, and give the size that you measure to the calibration.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        'target',
        help='write a calibration target to print, at true scale',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('target', metavar='TARGET', help='KIND:COLUMNSxROWS:METRES..., or a file')
    parser.add_argument('-o', '--output', required=True, help='.pdf (vectors) or .png')
    parser.add_argument(
        '--page',
        default='auto',
        help='A4, A3, letter or WIDTHxHEIGHT in mm (default: the smallest of A4 and A3)',
    )
    parser.add_argument(
        '--dpi', type=int, default=300, help='pixels per inch of a PNG (default: %(default)s)'
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the target."""
    # Here, so that the other commands start without OpenCV's and matplotlib's import time.
    from diffphyscam_ros.calibration.target_print import write_target
    from diffphyscam_ros.calibration.targets import Target

    target = Target.load(options.target)
    name, width, height = write_target(target, options.output, page=options.page, dpi=options.dpi)
    print(
        f'{options.output}: {target.text}, {target.size[0] * 1e3:.0f}x{target.size[1] * 1e3:.0f} '
        f'mm on {name} ({width:g}x{height:g} mm); print at 100 %'
    )
    return 0
