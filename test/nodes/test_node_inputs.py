# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scene and pose as camera_node hears them over DDS; what is wrong with them is named."""

from __future__ import annotations

import math
import time

from camera_harness import marker, nanoseconds, project, wall
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from visualization_msgs.msg import Marker, MarkerArray

LATCHED = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
AHEAD = (-0.5, 0.5, -0.5, 0.5)
"""The optical frame of a camera that looks along +x."""


def column(client):
    """Return in which column the post at the origin is seen, or NaN."""
    level = client.shot().pixels.mean(axis=(0, 2))
    if level.max() < 1.0:
        return math.nan
    return float((level * np.arange(64)).sum() / level.sum())


def expected(client, y):
    """Return in which column the post is for a camera at (-2, y, 0.5)."""
    return project(client.shot().info, (-0.05, 0.0, 0.5), (-2.0, y, 0.5))[0]


def publisher(client, kind, topic, qos=10):
    """Return a publisher that the camera hears."""
    result = client.node.create_publisher(kind, topic, qos)
    client.wait_until(lambda: result.get_subscription_count() > 0, what=f'a reader of {topic}')
    return result


def place(pose, y, orientation=AHEAD):
    """Put a pose to (-2, y, 0.5), looking ahead."""
    spot = pose.position if hasattr(pose, 'position') else pose.translation
    spot.x, spot.y, spot.z = -2.0, float(y), 0.5
    turn = pose.orientation if hasattr(pose, 'orientation') else pose.rotation
    turn.x, turn.y, turn.z, turn.w = (float(v) for v in orientation)


@pytest.fixture
def post(client):
    """Show a thin post at the origin, through a lens that bends nothing."""
    client.set(enable_distortion=False, enable_noise=False, enable_vignetting=False)
    client.show(marker(scale=(0.1, 0.1, 4.0)))
    return client


def test_scene_is_latched_where_that_is_asked_for(client):
    latched = publisher(client, MarkerArray, '/camera/scene_latched', LATCHED)
    latched.publish(MarkerArray(markers=[marker(identity=77)]))
    client.wait_until(lambda: 'test/77' in client.state().instance_names, what='the marker')
    client.node.destroy_publisher(latched)


def test_markers_that_cannot_be_drawn_are_named_and_the_others_live_on(client, camera_process):
    bad = {
        1: (marker(place=(math.nan, 0, 0)), 'not finite'),
        2: (marker(scale=(0, 1, 1)), 'scale'),
        3: (marker(10, mesh_resource='file:///nowhere.stl'), 'no such file'),
        4: (marker(10, mesh_resource='package://nobody/x.stl'), "'nobody' was not found"),
        5: (marker(11, points=[(0, 0, 0)]), 'multiple of 3'),
        6: (marker(99), 'unknown'),
        7: (marker(color=(1, 1, 1, 0)), 'color.a'),
        8: (marker(frame='nowhere'), "'nowhere' is unknown"),
        9: (marker(Marker.TEXT_VIEW_FACING), 'text'),
        10: (marker(action=1), 'action 1'),
    }
    for identity, (item, _) in bad.items():
        item.id = identity
    client.show(*(item for item, _ in bad.values()), marker(identity=50))
    state = client.state()
    # The one in an unknown frame is kept: TF may come to know it.
    client.shot()
    rejected = dict(item.split(': ', 1) for item in client.state().rejected_markers)
    for identity, (_, words) in bad.items():
        assert words in rejected[f'test/{identity}'], identity
    assert state.instance_names == ['test/50']
    said = camera_process.log.count('test/1: ')
    client.show(*(item for item, _ in bad.values()), clear=False)
    assert camera_process.log.count('test/1: ') == said == 1


def test_a_zero_quaternion_is_no_rotation(client):
    item = wall()
    item.pose.orientation.w = 0.0
    client.show(item)
    assert client.state().instance_names == ['test/0']
    assert client.shot().level > 10


def test_delete_and_deleteall(client):
    client.show(*(marker(identity=i, namespace=n) for n in ('a', 'b') for i in (1, 2)))
    assert client.state().instance_names == ['a/1', 'a/2', 'b/1', 'b/2']
    client.show(Marker(ns='a', id=1, action=Marker.DELETE), clear=False)
    assert client.state().instance_names == ['a/2', 'b/1', 'b/2']
    client.show(Marker(ns='b', action=Marker.DELETEALL), clear=False)
    assert client.state().instance_names == ['a/2']
    client.show(Marker(action=Marker.DELETEALL), clear=False)
    assert client.state().instance_names == []


def test_a_lifetime_ends(client):
    item = wall()
    item.lifetime.nanosec = 400_000_000
    client.show(item, marker(identity=8))
    client.wait_until(
        lambda: client.state().instance_names == ['test/8'], what='the end of the lifetime'
    )


def test_lights_of_markers_replace_the_default_ones(client):
    client.show(wall())
    ordinary = client.shot().level
    sun = marker(Marker.ARROW, namespace='lights', scale=(1, 1, 1), color=(1, 1, 1, 1))
    client.show(wall(), sun)  # along +x, straight onto the wall
    facing = client.shot().level
    sun.pose.orientation.z, sun.pose.orientation.w = 1.0, 0.0  # from behind the wall
    client.show(wall(), sun)
    behind = client.shot().level
    assert facing > 1.3 * ordinary
    assert behind < 0.1 * ordinary


def test_wait_for_pose_waits(client):
    """First of those with a pose: once one has been heard, it is not forgotten."""
    client.shot()
    client.set(wait_for_pose=True)
    client.wait_until(
        lambda: 'pose is not known' in client.status('frames')['message'], what='the complaint'
    )
    before = client.counts['image']
    client.status('frames')
    assert client.counts['image'] == before
    client.set(wait_for_pose=False)
    client.shot()


def test_the_pose_comes_from_tf_then_topic_then_odometry(post):
    """Each goes before those earlier in this test."""
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not built')
    sender = publisher(post, tf2_msgs.TFMessage, '/tf', 10)

    def transform(parent, child, y, orientation=AHEAD):
        item = TransformStamped(child_frame_id=child)
        item.header.frame_id = parent
        item.header.stamp = post.node.get_clock().now().to_msg()
        place(item.transform, y, orientation)
        return item

    for y in (-0.4, 0.4):
        base = transform('world', 'base', y, (0, 0, 0, 1))
        eye = transform('base', 'camera_optical_frame', 0.0)
        eye.transform.translation.x = eye.transform.translation.z = 0.0
        sender.publish(tf2_msgs.TFMessage(transforms=[base, eye]))
        post.wait_until(
            lambda y=y: abs(column(post) - expected(post, y)) < 0.7, what='the pose of TF'
        )
    assert post.status('frames')['pose source'] == 'tf'

    pose = publisher(post, PoseStamped, '/camera/camera_pose')
    message = PoseStamped()
    message.header.frame_id = 'world'
    message.header.stamp = post.node.get_clock().now().to_msg()
    place(message.pose, -0.2)
    pose.publish(message)
    post.wait_until(
        lambda: abs(column(post) - expected(post, -0.2)) < 0.7, what='the pose of the topic'
    )
    assert post.state().pose_source == 'pose'

    odometry = publisher(post, Odometry, '/camera/camera_odom')
    report = Odometry()
    report.header.frame_id = 'world'
    report.header.stamp = post.node.get_clock().now().to_msg()
    place(report.pose.pose, 0.2)
    odometry.publish(report)
    post.wait_until(
        lambda: abs(column(post) - expected(post, 0.2)) < 0.7, what='the pose of the odometry'
    )
    assert post.state().pose_source == 'odom'

    # Odometry of the base, the eye's place on it from TF.
    report.child_frame_id = 'base'
    place(report.pose.pose, -0.3, (0, 0, 0, 1))
    odometry.publish(report)
    post.wait_until(
        lambda: abs(column(post) - expected(post, -0.3)) < 0.7, what='the pose of the base'
    )


def test_a_pose_that_is_none_is_ignored(post, camera_process):
    sender = publisher(post, Odometry, '/camera/camera_odom')
    before = column(post)
    broken = Odometry()
    broken.header.frame_id = 'world'
    place(broken.pose.pose, 0.0, (0, 0, 0, 0))
    sender.publish(broken)
    camera_process.wait_for_log('zero length')
    broken.pose.pose.position.x = math.nan
    sender.publish(broken)
    assert column(post) == pytest.approx(before, abs=0.01)


def test_late_poses_are_waited_for_as_long_as_tf_timeout_says(post):
    """Poses that are old when they come, and keep coming, are waited for at each frame."""
    sender = publisher(post, Odometry, '/camera/camera_odom')
    message = Odometry()
    message.header.frame_id = 'world'
    place(message.pose.pose, 0.0)

    def late():
        stamp = time.time_ns() - 2 * 10**9
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        sender.publish(message)

    def period(timeout):
        post.set(tf_timeout=timeout)
        stamps = [nanoseconds(shot.image.header.stamp) for shot in post.shots(4)]
        return float(np.diff(stamps).min()) * 1e-9

    timer = post.node.create_timer(0.05, late)
    try:
        assert period(0.0) < 0.3 <= period(0.35)
    finally:
        post.node.destroy_timer(timer)
