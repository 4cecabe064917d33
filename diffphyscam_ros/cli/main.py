# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The commands and what they have in common: errors in one line, exit codes, Ctrl-C."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys
from typing import Any
import warnings

from diffphyscam_ros.cli import apply, bench, calibrate, demo, render, target

COMMANDS = (render, apply, target, calibrate, demo, bench)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog='diffphyscam',
        description='A differentiable, physics-based camera: pictures as a real one takes them.',
    )
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print what a user needs of a warning: its words, not the line of code."""
    print(f'warning: {message}', file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 for bad input, 130 when interrupted."""
    options = build_parser().parse_args(arguments)
    warnings.showwarning = _show_warning
    try:
        return int(options.run(options))
    except (ValueError, OSError, RuntimeError) as error:
        print(f'diffphyscam {options.command}: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; nothing was left half-written', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
