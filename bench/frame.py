# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The whole frame, from the scene to digital values, stage by stage.

    python bench/frame.py [--triangles 10000 100000 1000000] [--size 640 480] [--json]

The same as ``diffphyscam bench``.
"""

from __future__ import annotations

import argparse
import sys

from diffphyscam_ros.cli.bench import add_options, run

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    sys.exit(run(parser.parse_args()))
