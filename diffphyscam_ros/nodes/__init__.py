# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: they convert messages, keep the latest state, call the library, publish."""
