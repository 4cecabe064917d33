# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A robot that moves: publishes its description and its joint states, as its driver would.

Every joint that moves sways within its limits, each at a rate of its own. What turns joint states
into TF, ``robot_state_publisher``, may run beside it; ``camera_node`` does not need it.
"""

from __future__ import annotations

import math
from pathlib import Path
import signal

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from diffphyscam_ros.scene.urdf import load_robot

RATE_HZ = 50.0
PERIOD = 5.0  # s, of the first joint
SLOWER = 1.3  # each joint's period over that of the one before it
FREE = 1.0  # rad or m to either side, where a joint has no limits
SWAY = 0.6  # of the way to the limits


class DemoRobotNode(Node):
    """Publishes ``robot_description`` and ``joint_states``."""

    def __init__(self):
        """Read the description; ``SceneError`` where it is none."""
        super().__init__('demo_robot_node')
        path = Path(self.declare_parameter('urdf', '').value)
        self.speed = float(self.declare_parameter('speed', 1.0).value)
        robot = load_robot(path)
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self.swaying = [
            item
            for item in robot.joints
            if item.kind in ('revolute', 'continuous', 'prismatic') and item.mimic is None
        ]
        self.description = self.create_publisher(String, 'robot_description', latched)
        self.states = self.create_publisher(JointState, 'joint_states', 10)
        self.description.publish(String(data=path.read_text(encoding='utf-8')))
        self.start = self.get_clock().now()
        self.timer = self.create_timer(1.0 / RATE_HZ, self.move)

    def move(self):
        """Publish where the joints are now."""
        now = self.get_clock().now()
        time = self.speed * (now - self.start).nanoseconds * 1e-9
        message = JointState(name=[item.name for item in self.swaying])
        message.header.stamp = now.to_msg()
        message.position = [
            position(item, time, PERIOD * SLOWER**index) for index, item in enumerate(self.swaying)
        ]
        self.states.publish(message)


def position(joint, time, period):
    """Return where a joint is, in rad or m: swaying between parts of its limits."""
    low = joint.lower if math.isfinite(joint.lower) else -FREE
    high = joint.upper if math.isfinite(joint.upper) else FREE
    middle, reach = (low + high) / 2.0, SWAY * (high - low) / 2.0
    return middle + reach * math.sin(2.0 * math.pi * time / period)


def main(args=None):
    """Run the node until it is told to stop."""
    rclpy.init(args=args)
    node = DemoRobotNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # ros2 launch passes Ctrl-C on to a node that has had it from the terminal already
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
