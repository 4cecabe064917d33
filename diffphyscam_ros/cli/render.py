# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``diffphyscam render``: one photograph of a scene."""

from __future__ import annotations

import argparse

import torch

from diffphyscam_ros.camera import PhysicalCamera
from diffphyscam_ros.cli.options import (
    add_camera_options,
    chosen_sensor,
    chosen_settings,
    chosen_stages,
    finite,
)
from diffphyscam_ros.cli.pictures import write_picture
from diffphyscam_ros.cli.robot_options import add_robot_options, joint_positions, package_paths
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import load_scene
from diffphyscam_ros.scene.transforms import look_at, pose_from_quaternion

EXAMPLE = """example:
  diffphyscam render examples/scenes/table.yaml --look-from 0 0 0.4 --look-at 1 0 0.2 \\
      --camera generic_vga --aperture 1.4 --focus-distance 0.5 -o picture.png
  diffphyscam render examples/robots/arm.urdf --joint shoulder=0.4 --joint elbow=1.2 \\
      --look-from 1.2 0.8 0.7 --look-at 0 0 0.3 -o arm.png
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        'render',
        help='photograph a scene (glTF, OBJ, STL, PLY, scene YAML or a robot: URDF, xacro)',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'scene', metavar='SCENE', help='.glb .gltf .obj .stl .ply .dae .yaml .urdf or .xacro'
    )
    parser.add_argument('-o', '--output', required=True, help='.png, .jpg or .npy')
    parser.add_argument('--depth-output', metavar='FILE', help='also the depth in metres, as .npy')
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        '--pose',
        nargs=7,
        type=finite,
        metavar=('X', 'Y', 'Z', 'QX', 'QY', 'QZ', 'QW'),
        help='the optical frame (x right, y down, z forward) in the world, metres',
    )
    place.add_argument('--look-from', nargs=3, type=finite, metavar=('X', 'Y', 'Z'))
    parser.add_argument('--look-at', nargs=3, type=finite, metavar=('X', 'Y', 'Z'))
    parser.add_argument('--size', nargs=2, type=int, metavar=('W', 'H'), help='pixels')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda[:N]')
    parser.add_argument('--no-shadows', action='store_true', help='lights reach everything')
    parser.add_argument(
        '--ambient-occlusion',
        action='store_true',
        help='objects keep the light of the environment away from each other',
    )
    parser.add_argument('--no-antialias', action='store_true', help='leave edges jagged')
    add_robot_options(parser)
    add_camera_options(parser, default_camera='generic_vga')
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Render the scene, take the photograph, write it."""
    if (options.look_from is None) != (options.look_at is None):
        raise ValueError('--look-from and --look-at go together')
    sensor = chosen_sensor(options)
    if options.size:
        sensor = sensor.resized(*options.size)
    settings = chosen_settings(options, sensor)
    camera = PhysicalCamera(sensor, stages=chosen_stages(options), seed=options.seed)
    if options.pose:
        pose = pose_from_quaternion(options.pose[:3], options.pose[3:])
    else:
        pose = look_at(options.look_from, options.look_at)
    scene = load_scene(
        options.scene,
        joint_positions=joint_positions(options.joint),
        package_paths=package_paths(options.package_path),
    )
    renderer = Renderer(
        options.device,
        antialias=not options.no_antialias,
        shadows=not options.no_shadows,
        ambient_occlusion=options.ambient_occlusion,
    )
    with torch.no_grad():
        radiance = renderer(scene, camera.source_intrinsics(settings), pose)
        frame = camera(radiance.color, radiance.depth, settings, frame_number=options.frame)
    write_picture(options.output, frame.image.cpu())
    if options.depth_output:
        # the depth of the undistorted view, that the picture was made from
        write_picture(options.depth_output, radiance.depth.cpu())
    print(
        f'{options.output}: {sensor.image_width}x{sensor.image_height}, {sensor.name}, {settings}'
    )
    return 0
