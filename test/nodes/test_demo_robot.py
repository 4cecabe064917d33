# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The robot of the launch example."""

import math
from pathlib import Path

import pytest

from diffphyscam_ros.nodes.demo_robot_node import FREE, position
from diffphyscam_ros.scene.urdf import load_robot

ARM = Path(__file__).resolve().parents[2] / 'examples' / 'robots' / 'arm.urdf'


@pytest.mark.parametrize('name', ['turntable', 'shoulder', 'elbow', 'gripper'])
def test_joints_sway_within_their_limits(name: str) -> None:
    joint = load_robot(ARM).joint(name)
    seen = [position(joint, 0.01 * step, 5.0) for step in range(500)]
    low = joint.lower if math.isfinite(joint.lower) else -FREE
    high = joint.upper if math.isfinite(joint.upper) else FREE
    assert low < min(seen) and max(seen) < high
    assert max(seen) - min(seen) > 0.5 * (high - low)
