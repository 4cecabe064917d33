# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``diffphyscam apply``: the camera on any picture with depth."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from diffphyscam_ros.camera import Intrinsics, PhysicalCamera
from diffphyscam_ros.cli.options import (
    add_camera_options,
    chosen_sensor,
    chosen_settings,
    chosen_stages,
    positive,
)
from diffphyscam_ros.cli.pictures import read_color, read_depth, write_picture

EXAMPLE = """example:
  diffphyscam apply --image color.png --depth depth.png --depth-scale 0.001 \\
      --intrinsics 585 585 320 240 --aperture 1.4 --focus-distance 1.2 -o photo.png

The picture is taken as the ideal pinhole view: sRGB if it has 8 or 16 bits, linear if it is float.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        'apply',
        help='apply the camera to a picture with depth, from any source',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--image', required=True, help='the ideal picture')
    parser.add_argument('--depth', required=True, help='z-depth: 16 bit PNG, EXR, TIFF or .npy')
    parser.add_argument(
        '--depth-scale',
        type=positive,
        default=0.001,
        metavar='M',
        help='metres for each unit of the depth file (default: %(default)s, millimetres)',
    )
    parser.add_argument(
        '--intrinsics',
        nargs=4,
        type=positive,
        metavar=('FX', 'FY', 'CX', 'CY'),
        help='of the picture, in pixels (default: those of the camera)',
    )
    parser.add_argument('-o', '--output', required=True, help='.png, .jpg or .npy')
    add_camera_options(parser, default_camera='generic_vga')
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read picture and depth, take the photograph, write it."""
    image = read_color(options.image)
    depth = read_depth(options.depth, options.depth_scale)
    height, width = depth.shape
    if image.shape[:2] != depth.shape:
        raise ValueError(
            f'{options.image} is {image.shape[1]}x{image.shape[0]} but {options.depth} is '
            f'{width}x{height}: both must show the same pixels'
        )
    sensor = chosen_sensor(options).resized(width, height)
    settings = chosen_settings(options, sensor)
    if options.intrinsics:
        source = Intrinsics(width, height, *options.intrinsics)
        # the photograph keeps the view of the picture
        own = replace(sensor, focal_scale=(1.0, 1.0), principal_point=None).intrinsics(settings)
        scale = (options.intrinsics[0] / float(own.fx), options.intrinsics[1] / float(own.fy))
        sensor = replace(
            sensor,
            focal_scale=scale,
            principal_point=(options.intrinsics[2], options.intrinsics[3]),
        )
    else:
        source = sensor.intrinsics(settings)
    camera = PhysicalCamera(sensor, stages=chosen_stages(options), seed=options.seed)
    with torch.no_grad():
        frame = camera(image, depth, settings, frame_number=options.frame, intrinsics=source)
    write_picture(options.output, frame.image)
    print(f'{options.output}: {width}x{height}, {sensor.name}, {settings}')
    return 0
