# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``python -m diffphyscam_ros`` is the command line ``diffphyscam``."""

import sys

from diffphyscam_ros.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
