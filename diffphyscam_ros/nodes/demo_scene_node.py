# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A small world that moves: publishes markers and a camera pose, as any simulation would.

Everything goes over the public topics of ``camera_node``: the robot and the ball as markers on
``<camera>/scene``, the camera pose on ``<camera>/camera_pose``. The standing part of the world
is the scene file ``examples/scenes/demo.yaml``.
"""

from __future__ import annotations

import math
import signal

from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from diffphyscam_ros.scene.transforms import look_at, quaternion_from_rotation

RATE_HZ = 30.0
ROBOT_CENTRE = (1.3, 0.1)  # m, of the circle it drives
ROBOT_CIRCLE = 0.16  # m, radius
ROBOT_PERIOD = 9.0  # s for one round
BALL_PERIOD = 1.1  # s for one bounce
CAMERA_PERIOD = 12.0  # s for one sway

STEEL = (0.62, 0.64, 0.68, 1.0)
DARK = (0.03, 0.03, 0.035, 1.0)
ORANGE = (0.95, 0.36, 0.04, 1.0)
BLUE = (0.06, 0.25, 0.75, 1.0)


class RobotPart:
    """A primitive fixed to the robot: shape, place in its base frame, size, colour."""

    def __init__(self, shape, position, size, color, roll=0.0):
        """Place the part at ``position`` [m]; ``roll`` [rad] turns it about the robot's x."""
        self.shape, self.position, self.size, self.color = shape, position, size, color
        self.roll = roll


ROBOT = (
    RobotPart(Marker.CYLINDER, (0.0, 0.0, 0.050), (0.178, 0.178, 0.040), DARK),
    RobotPart(Marker.CYLINDER, (0.0, 0.0, 0.075), (0.170, 0.170, 0.010), ORANGE),
    RobotPart(Marker.CYLINDER, (0.0, 0.0, 0.120), (0.160, 0.160, 0.008), STEEL),
    RobotPart(Marker.CYLINDER, (0.05, 0.05, 0.098), (0.010, 0.010, 0.040), STEEL),
    RobotPart(Marker.CYLINDER, (0.05, -0.05, 0.098), (0.010, 0.010, 0.040), STEEL),
    RobotPart(Marker.CYLINDER, (-0.06, 0.0, 0.098), (0.010, 0.010, 0.040), STEEL),
    RobotPart(Marker.CUBE, (0.0, 0.0, 0.136), (0.075, 0.075, 0.024), DARK),
    RobotPart(Marker.CYLINDER, (0.0, 0.0, 0.164), (0.072, 0.072, 0.032), BLUE),
    RobotPart(Marker.CUBE, (0.083, 0.0, 0.100), (0.018, 0.060, 0.024), STEEL),
    RobotPart(Marker.CYLINDER, (0.0, 0.095, 0.034), (0.068, 0.068, 0.020), DARK, math.pi / 2),
    RobotPart(Marker.CYLINDER, (0.0, -0.095, 0.034), (0.068, 0.068, 0.020), DARK, math.pi / 2),
    RobotPart(Marker.CYLINDER, (0.0, 0.104, 0.034), (0.036, 0.036, 0.006), ORANGE, math.pi / 2),
    RobotPart(Marker.CYLINDER, (0.0, -0.104, 0.034), (0.036, 0.036, 0.006), ORANGE, math.pi / 2),
)


class DemoSceneNode(Node):
    """Moves a robot, a ball and the camera; parameter ``speed`` scales time, 0 stops it."""

    def __init__(self, **options):
        """Create the publishers and the timer."""
        super().__init__('demo_scene', **options)
        camera = self.declare_parameter('camera', 'camera').value
        self.frame = self.declare_parameter('world_frame', 'world').value
        self.speed = float(self.declare_parameter('speed', 1.0).value)
        self.time = 0.0
        self.scene = self.create_publisher(MarkerArray, f'{camera}/scene', 10)
        self.pose = self.create_publisher(PoseStamped, f'{camera}/camera_pose', 10)
        self.add_on_set_parameters_callback(self.on_parameters)
        self.create_timer(1.0 / RATE_HZ, self.step)

    def on_parameters(self, parameters):
        """Take a new speed; time stops where it is at 0."""
        for parameter in parameters:
            if parameter.name == 'speed':
                speed = parameter.value
                if isinstance(speed, bool) or not math.isfinite(speed) or speed < 0.0:
                    return SetParametersResult(
                        successful=False,
                        reason=f'speed = {speed}: must be a number >= 0; 1 is real time',
                    )
                self.speed = float(speed)
        return SetParametersResult(successful=True)

    def step(self):
        """Advance the world by one period and publish it."""
        self.time += self.speed / RATE_HZ
        stamp = self.get_clock().now().to_msg()
        try:
            self.scene.publish(MarkerArray(markers=self.markers(stamp)))
            self.pose.publish(self.camera_pose(stamp))
        except RuntimeError:  # rclpy's RCLError has no public name
            if self.context.ok():  # else: Ctrl-C came between timer and publisher
                raise

    def markers(self, stamp):
        """Return the robot and the ball where they are now."""
        angle = 2.0 * math.pi * self.time / ROBOT_PERIOD - 2.2
        x = ROBOT_CENTRE[0] + ROBOT_CIRCLE * math.cos(angle)
        y = ROBOT_CENTRE[1] + ROBOT_CIRCLE * math.sin(angle)
        yaw = angle + math.pi / 2.0
        found = [self.part(i, part, x, y, yaw, stamp) for i, part in enumerate(ROBOT)]
        height = 0.035 + 0.16 * abs(math.sin(math.pi * (self.time / BALL_PERIOD + 0.12)))
        ball = self.marker('ball', 0, Marker.SPHERE, (0.07, 0.07, 0.07), (0.8, 0.04, 0.05, 1.0))
        ball.header.stamp = stamp
        ball.pose.position = Point(x=0.95, y=0.2, z=height)
        return [*found, ball]

    def part(self, index, part, x, y, yaw, stamp):
        """Return a part of the robot, whose base stands at (x, y) [m] with heading yaw [rad]."""
        cos, sin = math.cos(yaw), math.sin(yaw)
        px, py, pz = part.position
        marker = self.marker('robot', index, part.shape, part.size, part.color)
        marker.header.stamp = stamp
        marker.pose = Pose(
            position=Point(x=x + cos * px - sin * py, y=y + sin * px + cos * py, z=pz),
            # the heading about z after the part's own turn about x
            orientation=Quaternion(
                x=math.cos(yaw / 2) * math.sin(part.roll / 2),
                y=math.sin(yaw / 2) * math.sin(part.roll / 2),
                z=math.sin(yaw / 2) * math.cos(part.roll / 2),
                w=math.cos(yaw / 2) * math.cos(part.roll / 2),
            ),
        )
        return marker

    def marker(self, namespace, identity, shape, size, color):
        """Return a marker at the origin."""
        marker = Marker(ns=namespace, id=identity, type=shape, action=Marker.ADD)
        marker.header.frame_id = self.frame
        marker.pose.orientation.w = 1.0
        marker.scale.x, marker.scale.y, marker.scale.z = size
        marker.color = ColorRGBA(r=color[0], g=color[1], b=color[2], a=color[3])
        return marker

    def camera_pose(self, stamp):
        """Return the pose of the optical frame, swaying about the middle of the scene."""
        phase = 2.0 * math.pi * self.time / CAMERA_PERIOD
        eye = (0.10 * (1.0 - math.cos(phase)), 0.16 * math.sin(phase), 0.33)
        matrix = look_at(eye, (1.25, 0.0, 0.16))
        message = PoseStamped()
        message.header.stamp = stamp
        message.header.frame_id = self.frame
        position = dict(zip('xyz', matrix[:3, 3].tolist(), strict=True))
        turn = dict(zip('xyzw', quaternion_from_rotation(matrix[:3, :3]).tolist(), strict=True))
        message.pose = Pose(position=Point(**position), orientation=Quaternion(**turn))
        return message


def main(args=None):
    """Run the node until it is told to stop."""
    rclpy.init(args=args)
    node = DemoSceneNode()
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
