# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Motion blur and rolling shutter as they arrive over DDS: markers, TF and odometry that move."""

from __future__ import annotations

import math
import threading
import time

from camera_harness import marker, nanoseconds, project
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
import numpy as np
import pytest
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from visualization_msgs.msg import MarkerArray

from diffphyscam_ros.nodes.pose_math import inverse

SECOND = 10**9


def stamped(item, seconds):
    item.header.stamp = Time(nanoseconds=int(seconds * SECOND)).to_msg()
    return item


PLAIN = {
    'enable_distortion': False,
    'enable_noise': False,
    'enable_vignetting': False,
    'enable_defocus': False,
    'enable_motion_blur': True,
    'motion_blur_samples': 101,
    'exposure_time': 100_000.0,
    'scene_illuminance': 75.0,
    'tf_timeout': 1.0,
    'frame_rate': 8.0,
}
EYE = (-2.0, 0.0, 0.5)
SPEED, REACH = 3.0, 0.8  # m/s, about 90 px/s; m to each side


class Mover:
    """Publishes something of the present moment, in a thread, until told to stop."""

    def __init__(self, client, rate, publish):
        """Call ``publish`` with a stamp in ns."""
        self._stop = threading.Event()

        def run():
            while not self._stop.wait(1.0 / rate):
                publish(client.node.get_clock().now().nanoseconds)

        self._thread = threading.Thread(target=run)

    def __enter__(self):
        self._thread.start()
        time.sleep(0.6)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def brightness(picture):
    """Return how much brighter than the background the pixels are."""
    light = picture.mean(axis=2)
    return np.maximum(light - np.median(light), 0.0)


def moments(picture):
    """Return mean and variance of where the light is, in columns and in rows."""
    light = brightness(picture)
    result = []
    for axis in (0, 1):
        profile = light.sum(axis=axis)
        places = np.arange(len(profile))
        mean = (profile * places).sum() / profile.sum()
        result.append((mean, (profile * (places - mean) ** 2).sum() / profile.sum()))
    return result


def polar_moments(shot):
    """Return the mean direction, its variance and that of the distance from the middle."""
    light = brightness(shot.pixels)
    rows, columns = np.indices(light.shape)
    x, y = columns - shot.info.k[2], rows - shot.info.k[5]
    mean = np.angle((light * np.exp(1j * np.arctan2(y, x))).sum())
    angle = (np.arctan2(y, x) - mean + math.pi) % (2 * math.pi) - math.pi
    radius = np.hypot(x, y)
    total = light.sum()
    width = (light * radius**2).sum() / total - ((light * radius).sum() / total) ** 2
    return mean, (light * angle**2).sum() / total, width


def exposure(shot):
    """Return start and end in s."""
    return nanoseconds(shot.metadata.exposure_start) / SECOND, nanoseconds(
        shot.metadata.exposure_end
    ) / SECOND


def triangle_wave(t, amplitude=REACH, speed=SPEED):
    """Return a place that goes to and fro."""
    leg = 2 * amplitude / speed
    phase = (t % (2 * leg)) / leg
    return amplitude * (1 - 2 * abs(1 - phase))


def smooth_shots(client, count, period=2.0 * REACH / SPEED):
    """Return frames during whose exposure the triangle wave does not turn around."""
    good = []
    for shot in client.shots(10, timeout=60.0):
        start, end = exposure(shot)
        if start // period == end // period:
            good.append(shot)
    assert len(good) >= count
    return good[:count]


def swinging(client, scale):
    """Return what publishes a marker that goes to and fro."""

    def publish(now):
        item = marker(place=(0, triangle_wave(now / SECOND), 0.5), scale=scale)
        client.scene.publish(MarkerArray(markers=[stamped(item, now / SECOND)]))

    return publish


@pytest.fixture
def dice(client):
    """Show a small cube before the camera, motion blur on; return the picture of it at rest."""
    client.set(**PLAIN)
    client.show(marker(place=(0, 0, 0.5), scale=(0.02, 0.25, 0.25)))
    return client, client.shot()


def test_a_moving_marker_blurs_along_its_way(dice):
    client, still = dice
    (_, wide), (_, high) = moments(still.pixels)
    assert still.pixels.max() < 250

    with Mover(client, 60.0, swinging(client, (0.02, 0.25, 0.25))):
        shots = smooth_shots(client, 4)
    for shot in shots:
        (column, width), (_, height) = moments(shot.pixels)
        ends = [project(shot.info, (0, triangle_wave(t), 0.5), EYE)[0] for t in exposure(shot)]
        distance = abs(ends[1] - ends[0])
        assert distance > 7.0
        assert column == pytest.approx(np.mean(ends), abs=0.35)  # the stamp is the middle
        assert math.sqrt(12 * max(width - wide, 0)) == pytest.approx(
            distance, abs=1.1
        )  # of whole pixels
        assert height == pytest.approx(high, abs=0.1)


def test_a_rolling_shutter_slants_what_moves(client):
    client.set(**PLAIN)
    client.set(shutter_mode='rolling', readout_time=0.08, exposure_time=4_000.0)
    client.set(scene_illuminance=2000.0)
    with Mover(client, 60.0, swinging(client, (0.02, 0.25, 4.0))):
        shots = smooth_shots(client, 4)
    for shot in shots:
        start, end = exposure(shot)
        assert end - start == pytest.approx(0.084, abs=1e-5)
        light = brightness(shot.pixels)
        columns = (light * np.arange(64)).sum(axis=1) / light.sum(axis=1)
        slope = np.polyfit(np.arange(48), columns, 1)[0] * 47
        ends = [
            project(shot.info, (0, triangle_wave(t), 0.5), EYE)[0]
            for t in (start + 0.002, end - 0.002)
        ]
        assert abs(ends[1] - ends[0]) > 6.0
        assert slope == pytest.approx(ends[1] - ends[0], abs=0.9)
        assert columns.mean() == pytest.approx(np.mean(ends), abs=0.35)


def test_what_stands_is_rendered_once(dice):
    client, still = dice
    client.wait_until(
        lambda: client.status('frames').get('renderings of one picture') == '1', what='a report'
    )
    assert client.status('frames')['motion in one exposure [px]'] == '0.0'
    client.set(enable_motion_blur=False)
    assert (client.shot().pixels == still.pixels).all()
    assert 'renderings of one picture' not in client.status('frames')


def test_too_few_renderings_are_named(client):
    client.set(**{**PLAIN, 'motion_blur_samples': 4})
    with Mover(client, 60.0, swinging(client, (0.02, 0.25, 0.25))):
        smooth_shots(client, 1)
        status = client.wait_until(
            lambda: (
                (found := client.status('frames'))['renderings of one picture'] == '3' and found
            ),
            what='motion',
        )
    assert float(status['motion in one exposure [px]']) > 5.0


def test_a_camera_that_moves_by_tf_blurs_what_stands(dice):
    """Before the test of odometry, which goes first once it has been heard."""
    messages = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed')
    client, still = dice
    (_, wide), _ = moments(still.pixels)
    tf = client.node.create_publisher(messages.TFMessage, '/tf', 100)
    client.wait_until(lambda: tf.get_subscription_count() > 0, what='a reader of /tf')

    def publish(now, y=None):
        item = TransformStamped(child_frame_id='camera_optical_frame')
        item.header.frame_id = 'world'
        item.header.stamp = Time(nanoseconds=now).to_msg()
        spot, turn = item.transform.translation, item.transform.rotation
        spot.x, spot.y, spot.z = -2.0, triangle_wave(now / SECOND) if y is None else y, 0.5
        turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
        tf.publish(messages.TFMessage(transforms=[item]))

    with Mover(client, 60.0, publish):
        shots = smooth_shots(client, 4)
    publish(client.node.get_clock().now().nanoseconds, 0.0)  # back to the middle, for good
    for shot in shots:
        (column, width), _ = moments(shot.pixels)
        ends = [
            project(shot.info, (0, 0, 0.5), (-2.0, triangle_wave(t), 0.5))[0]
            for t in exposure(shot)
        ]
        assert abs(ends[1] - ends[0]) > 7.0
        assert column == pytest.approx(np.mean(ends), abs=0.35)
        blur = math.sqrt(12 * max(width - wide, 0))
        assert blur == pytest.approx(abs(ends[1] - ends[0]), abs=1.1)
    client.node.destroy_publisher(tf)


def test_odometry_with_a_twist_blurs_at_any_rate(client):
    """A camera that rolls by 2 turns from each message to the next: arcs, not streaks."""
    client.set(**PLAIN)
    client.show(marker(place=(0, 0.55, 0.5), scale=(0.02, 0.2, 0.2)))
    rate, hz = 2 * math.pi * 2 * 4.0, 4.0  # rad/s, messages a second
    client.set(exposure_time=20_000.0, scene_illuminance=400.0)
    _, own_spread, own_width = polar_moments(client.shot())
    odometry = client.node.create_publisher(Odometry, '/camera/camera_odom', 10)
    client.wait_until(lambda: odometry.get_subscription_count() > 0, what='a reader')
    ahead = Rotation.from_quat([-0.5, 0.5, -0.5, 0.5])

    def turned(t):
        return ahead * Rotation.from_rotvec([0, 0, (rate * t) % (2 * math.pi)])

    def publish(now):
        message = Odometry(child_frame_id='')
        message.header.stamp = Time(nanoseconds=now).to_msg()
        message.header.frame_id = 'world'
        spot, turn = message.pose.pose.position, message.pose.pose.orientation
        spot.x, spot.y, spot.z = EYE
        turn.x, turn.y, turn.z, turn.w = turned(now / SECOND).as_quat().tolist()
        message.twist.twist.angular.z = rate
        odometry.publish(message)

    with Mover(client, hz, publish):
        shots = client.shots(6, timeout=60.0)[1:]
    for shot in shots:
        mean, spread, width = polar_moments(shot)
        start, end = exposure(shot)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turned((start + end) / 2).as_matrix(), EYE
        point = inverse(pose) @ [-0.01, 0.55, 0.5, 1.0]
        difference = mean - np.arctan2(point[1], point[0])
        assert abs((difference + math.pi) % (2 * math.pi) - math.pi) < 0.1
        arc = math.sqrt(12 * (spread - own_spread))
        assert arc == pytest.approx(rate * (end - start), rel=0.1)
        assert width < own_width + 1.0  # px²: no wider than the cube is
    client.node.destroy_publisher(odometry)
