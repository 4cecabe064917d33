# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The command line: ``diffphyscam``, also ``python -m diffphyscam_ros``."""
