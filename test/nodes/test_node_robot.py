# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Robots over DDS: a description and joint states, or TF, become pictures."""

from __future__ import annotations

import time

from camera_harness import project
from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import String

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
PLAIN = {
    'antialias': False,  # widths are counted in whole pixels
    'enable_distortion': False,
    'enable_noise': False,
    'enable_vignetting': False,
    'enable_defocus': False,
    'always_render': True,
}
ROBOT = """<?xml version="1.0"?>
<robot name="slider">
  <link name="rail"/>
  <link name="cart"><visual><geometry><box size="0.2 0.2 0.2"/></geometry>
    <material name="white"><color rgba="1 1 1 1"/></material></visual></link>
  <joint name="way" type="prismatic"><parent link="rail"/><child link="cart"/>
    <origin xyz="0 0 0.5"/><axis xyz="0 1 0"/><limit lower="-1" upper="1"/></joint>
</robot>"""


class Robot:
    """What a robot publishes."""

    def __init__(self, client):
        """Publish nothing yet."""
        self.client = client
        node = client.node
        self.description = node.create_publisher(String, '/robot_description', LATCHED)
        self.joints = node.create_publisher(JointState, '/joint_states', 10)
        tf = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed')
        self._tf_type = tf.TFMessage
        self.tf = node.create_publisher(tf.TFMessage, '/tf', 10)
        self._publishers = [self.description, self.joints, self.tf]
        for publisher in self._publishers:
            client.wait_until(
                lambda item=publisher: item.get_subscription_count() > 0,
                what=f'a reader of {publisher.topic_name}',
            )

    def describe(self, text):
        self.description.publish(String(data=text))

    def move(self, way, stamp=None):
        message = JointState(name=['way'], position=[float(way)])
        message.header.stamp = stamp or self.client.node.get_clock().now().to_msg()
        self.joints.publish(message)

    def transform(self, parent, child, x=0.0, y=0.0, z=0.0):
        item = TransformStamped(child_frame_id=child)
        item.header.frame_id = parent
        item.header.stamp = self.client.node.get_clock().now().to_msg()
        place = item.transform.translation
        place.x, place.y, place.z = float(x), float(y), float(z)
        item.transform.rotation.w = 1.0
        self.tf.publish(self._tf_type(transforms=[item]))

    def close(self):
        self.describe('')
        self.client.wait_until(lambda: self.names() == [], what='an empty scene')
        for publisher in self._publishers:
            self.client.node.destroy_publisher(publisher)

    def names(self):
        return list(self.client.state().instance_names)

    def seen_at(self, y, z=0.5, x=-0.1):
        """Wait until the middle of the light is where the front of a cart is seen."""

        def found():
            shot = self.client.shot()
            light = shot.pixels.mean(axis=2)
            if light.max() < 20.0:
                return False
            rows, columns = np.nonzero(light > 0.5 * light.max())
            wanted = project(shot.info, (x, y, z))
            return abs(columns.mean() - wanted[0]) < 1.0 and abs(rows.mean() - wanted[1]) < 1.0

        self.client.wait_until(found, what=f'a cart at y = {y} m')


@pytest.fixture
def robot(client):
    """Return a robot; it is gone afterwards."""
    client.set(**PLAIN)
    robot = Robot(client)
    yield robot
    robot.close()


def test_a_robot_is_seen_where_its_joints_are(robot, client):
    robot.describe(ROBOT)
    client.wait_until(
        lambda: 'no joint state was heard' in client.status('scene').get('robots 1', ''),
        what='a word on the missing joint states',
    )
    robot.move(0.4)
    robot.seen_at(0.4)
    robot.move(-0.3)
    robot.seen_at(-0.3)
    assert robot.names() == ['slider/cart']
    status = client.status('scene')
    assert (status['robots'], status['level']) == ('slider', '0')
    # A broken description is refused, and the robot stays; so are joints that are no numbers.
    robot.describe(ROBOT.replace('size="0.2 0.2 0.2"', 'size="big"'))
    robot.joints.publish(JointState(name=['way'], position=[float('nan')]))
    robot.joints.publish(JointState(name=['way', 'other'], position=[0.1]))
    client.wait_until(
        lambda: "link 'cart': <box> size = 'big'" in client.status('scene').get('robots 1', ''),
        what='a word on the mistake',
    )
    robot.seen_at(-0.3)
    # A new description replaces the old; a mesh that is missing is named, the rest is drawn.
    visual = '<visual><geometry><mesh filename="package://none/x.stl"/></geometry></visual>'
    robot.describe(
        ROBOT.replace('name="slider"', 'name="new"').replace('</link>', visual + '</link>')
    )
    client.wait_until(lambda: robot.names() == ['new/cart'], what='the new robot')
    assert "package 'none' was not found" in client.status('scene')['robots 1']
    robot.seen_at(-0.3)


def test_tf_moves_a_robot_with_a_frame_prefix(robot, client):
    client.set(robot_frame_prefixes=['one/'])
    robot.describe(ROBOT)

    def seen_at(y):
        robot.transform('world', 'one/rail', x=0.5)
        robot.transform('one/rail', 'one/cart', y=y, z=0.5)
        robot.seen_at(y, x=0.4)

    seen_at(0.5)
    seen_at(-0.4)


def test_links_that_move_blur(robot, client):
    client.set(enable_motion_blur=True, exposure_time=50_000.0, frame_rate=8.0, tf_timeout=1.0)
    client.set(scene_illuminance=150.0)
    robot.describe(ROBOT)
    robot.move(0.0)
    robot.seen_at(0.0)
    sharp = client.shot().pixels.mean(axis=2)
    begin = client.node.get_clock().now().nanoseconds
    widths = []
    client.subscribe('image')
    count = client.counts['image']
    while (now := client.node.get_clock().now().nanoseconds) < begin + 2_500_000_000:
        robot.move(0.4 * np.sin((now - begin) * 1e-9 * 8.0), Time(nanoseconds=now).to_msg())
        time.sleep(0.01)
        if client.counts['image'] > count:
            count = client.counts['image']
            pixels = np.frombuffer(client.received['image'][-1].data, np.uint8)
            light = pixels.reshape(48, 64, 3).mean(axis=2)
            widths.append(np.count_nonzero(light[24] > 0.1 * sharp.max()))
    still = np.count_nonzero(sharp[24] > 0.1 * sharp.max())
    # At 3.2 m/s it goes 0.16 m in an exposure, 4/5 of its own width.
    assert max(widths) >= 1.4 * still
    assert client.status('frames')['renderings of one picture'] != '1'


def test_topics_may_be_changed_and_are_checked(robot, client):
    result = client.try_set(robot_description_topics=['a b'])
    assert not result.successful and "'a b' is no name of a topic" in result.reason
    result = client.try_set(robot_frame_prefixes=['a/', 'b/'])
    assert not result.successful and 'one for each of the 1 topics' in result.reason
    robot.describe(ROBOT)
    robot.move(0.2)
    robot.seen_at(0.2)
    client.set(robot_description_topics=['/other/robot_description'])
    client.wait_until(lambda: robot.names() == [], what='an empty scene')
    client.set(robot_description_topics=['/other/robot_description', 'robot_description'])
    robot.move(0.2)  # the description is latched, and comes again

    def again():
        robot.move(0.2)
        return robot.names() == ['slider/cart']

    client.wait_until(again, what='the robot')
    client.set(robot_description_topics=['robot_description'])
