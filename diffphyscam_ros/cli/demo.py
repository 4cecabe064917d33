# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``diffphyscam demo``: real nodes, a real scene, every setting swept, and the pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = """example:
  diffphyscam demo --output demo_output
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        'demo',
        help='start the nodes, sweep the settings, write a contact sheet and an animation',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--output', type=Path, default=Path('demo_output'), help='a folder')
    parser.add_argument('--seconds', type=float, default=10.0, help='of the moving part')
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo; the only command that needs ROS."""
    try:
        from diffphyscam_ros.nodes.demo import run_demo
    except ImportError as error:
        raise RuntimeError(
            f'the demo needs ROS 2 ({error}): source an installation, or use `make demo`'
        ) from error
    return run_demo(options.output, options.seconds)
