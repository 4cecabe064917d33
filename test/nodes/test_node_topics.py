# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What camera_node publishes, received over DDS."""

from __future__ import annotations

import time

from camera_harness import marker, nanoseconds, project, stamp_of, wall
import cv2
import numpy as np
import pytest
from rclpy.qos import (
    DurabilityPolicy,
    qos_profile_sensor_data,
    QoSProfile,
    ReliabilityPolicy,
)
import torch

from diffphyscam_ros.camera.mosaic import mosaic
from diffphyscam_ros.msg import CameraState
from diffphyscam_ros.nodes.conversions import decode, OUTPUT_ENCODINGS


def test_image_info_and_metadata_share_their_header(client):
    for shot in client.shots(5):
        assert shot.image.header == shot.info.header == shot.metadata.header
        assert shot.image.header.frame_id == 'camera_optical_frame'
        assert (shot.image.width, shot.image.height) == (shot.info.width, shot.info.height)
        start, end = shot.metadata.exposure_start, shot.metadata.exposure_end
        assert nanoseconds(end) - nanoseconds(start) == 10_000_000
        assert 2 * nanoseconds(shot.image.header.stamp) == nanoseconds(start) + nanoseconds(end)


def test_frames_come_at_the_frame_rate_and_are_numbered(client):
    client.set(frame_rate=50.0)
    shots = client.shots(10)
    stamps = np.array([nanoseconds(shot.image.header.stamp) for shot in shots])
    numbers = np.array([shot.metadata.frame_number for shot in shots])
    periods = np.diff(stamps) / 20e6
    assert np.allclose(periods, np.round(periods))  # late frames are left out, never shifted
    assert (np.diff(numbers) == 1).all()


def test_a_long_exposure_slows_the_frames(client):
    client.set(exposure_time=100_000.0)
    first, second = client.shots(2)
    assert nanoseconds(second.metadata.exposure_start) >= nanoseconds(first.metadata.exposure_end)


@pytest.mark.parametrize('encoding', OUTPUT_ENCODINGS)
def test_every_encoding_says_the_same_picture(client, encoding):
    client.show(wall((1.0, 0.5, 0.2, 1.0)))
    client.set(enable_noise=False)
    reference = client.shot().pixels / 255.0
    client.set(output_encoding=encoding)
    image = client.shot().image
    layout = OUTPUT_ENCODINGS[encoding]
    assert image.encoding == encoding
    assert image.step == 64 * layout.channels * np.dtype(layout.dtype).itemsize
    assert len(image.data) == image.step * image.height
    pixels = decode(image) / layout.full_scale
    if layout.bayer != 'none':
        reference = mosaic(torch.from_numpy(reference), layout.bayer).numpy()
    elif layout.channels == 1:
        reference = (reference @ [0.299, 0.587, 0.114])[..., None]
    assert np.abs(pixels - reference).max() < 1.01 / 255.0


def test_markers_are_drawn_where_geometry_says(client):
    client.set(image_width=160, image_height=120, enable_distortion=False, enable_noise=False)
    places = {(1.0, 0.0, 0.0): (0.0, 0.5, 0.9), (0.0, 1.0, 0.0): (0.5, -0.6, 0.2)}
    client.show(
        *(
            marker(place=place, scale=(0.02, 0.2, 0.2), color=(*color, 1.0), identity=number)
            for number, (color, place) in enumerate(places.items())
        )
    )
    shot = client.shot()
    for color, place in places.items():
        channel = shot.pixels[..., int(np.argmax(color))]
        seen = channel > 0.5 * channel.max()
        v, u = np.nonzero(seen)
        front = (place[0] - 0.01, place[1], place[2])
        assert np.abs(np.array([u.mean(), v.mean()]) - project(shot.info, front)).max() < 0.6


def test_depth_is_z_depth_in_metres_of_the_same_frame(client):
    client.set(enable_depth=True, enable_distortion=False)
    client.subscribe('depth', 'depth_info')
    client.show(wall())
    client.fresh('depth')
    shot = client.shot()
    depth = client.same_stamp('depth', shot.image)
    values = decode(depth)[..., 0]
    assert depth.encoding == '32FC1' and depth.step == 4 * depth.width
    assert np.allclose(values[:, :30], 2.0, atol=1e-3)
    assert np.isinf(values[:, 35:]).all()
    assert client.same_stamp('depth_info', depth) == shot.info


def test_depth_has_the_lens_of_the_picture(client):
    client.set(enable_depth=True, enable_noise=False, distortion_coeffs=(-0.3, 0.1, 0.0, 0.0, 0.0))
    client.subscribe('depth')
    client.show(marker(place=(0.0, 0.8, 0.5), scale=(0.02, 0.2, 3.0)))
    client.fresh('depth')
    shot = client.shot()
    depth = client.same_stamp('depth', shot.image)
    hit = np.isfinite(decode(depth)[..., 0])
    bright = shot.pixels.mean(axis=2) > 0.5 * shot.pixels.mean(axis=2).max()
    assert 0 < hit.sum()
    assert (hit != bright).mean() < 0.03  # at the edges the picture is mixed


@pytest.mark.parametrize(
    ('encoding', 'codec', 'words', 'channels'),
    [
        ('rgb8', 'jpeg', 'rgb8; jpeg compressed bgr8', 3),
        ('mono8', 'jpeg', 'mono8; jpeg compressed mono8', 1),
        ('rgb16', 'png', 'rgb16; png compressed bgr16', 3),
    ],
)
def test_compressed_decodes_to_the_picture(client, encoding, codec, words, channels):
    client.show(wall((1.0, 0.3, 0.1, 1.0)))
    client.set(output_encoding=encoding, image_raw__compressed__format=codec, enable_noise=False)
    client.subscribe('compressed')
    client.fresh('compressed')
    shot = client.shot()
    message = client.same_stamp('compressed', shot.image)
    assert message.format == words
    pixels = cv2.imdecode(np.array(message.data), cv2.IMREAD_UNCHANGED)
    assert (pixels.ndim == 3) == (channels == 3)
    given = decode(shot.image).astype(float)
    seen = pixels.reshape(*given.shape).astype(float)[..., :: -1 if channels == 3 else 1]
    if codec == 'png':
        assert (seen == given).all()
    else:
        assert np.abs(seen - given).mean() < 3.0


def test_compression_of_floats_is_refused_in_words(client, camera_process):
    client.set(output_encoding='32FC3')
    client.subscribe('compressed')
    camera_process.wait_for_log('32FC3 images cannot be compressed')
    assert client.shot().image.encoding == '32FC3'


def test_nothing_is_rendered_while_nobody_listens(client):
    client.shot()
    client.unsubscribe('image', 'info', 'metadata', 'depth', 'compressed')

    def frames():
        return int(client.status('frames')['frames'])

    client.status('frames')
    before = frames()
    assert frames() == before
    assert 'nobody' in client.status('frames')['message']
    client.set(always_render=True)
    client.status('frames')
    assert frames() > before
    client.set(always_render=False)


def test_the_metadata_describe_the_picture(client):
    client.show(wall())
    client.set(exposure_time=40_000.0, enable_noise=False, dark_current=(0.0, 0.0, 0.0))
    shot = client.shot()
    pixels = shot.pixels / 255.0
    metadata = shot.metadata
    assert metadata.mean_level == pytest.approx(pixels.mean(), abs=0.003)
    assert metadata.saturated_fraction == pytest.approx((pixels >= 1).any(2).mean(), abs=1e-3)
    assert metadata.black_fraction == pytest.approx((pixels <= 0).all(2).mean(), abs=1e-3)
    assert metadata.saturated_fraction > 0.1 and metadata.black_fraction > 0.1
    assert metadata.device == 'cpu' and metadata.render_ms > 0
    assert metadata.noise_seed == 7
    assert metadata.calibration_id.startswith('generic_vga-')


def test_the_state_is_latched_and_follows_changes(client):
    states = []
    qos = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    client.set(iso=400.0)
    subscription = client.node.create_subscription(
        CameraState, '/camera/state', states.append, qos
    )
    client.wait_until(lambda: states and states[-1].iso == 400.0, what='the latched state')
    client.set(iso=800.0)
    client.wait_until(lambda: states[-1].iso == 800.0, what='the new state')
    client.show(marker(identity=5))
    client.wait_until(lambda: states[-1].instance_names == ['test/5'], what='the object names')
    client.node.destroy_subscription(subscription)


def test_diagnostics_name_rate_device_scene_and_exposure(client):
    client.show(wall(), marker(99, identity=3))
    client.shot()
    scene = client.status('scene')
    assert scene['objects'] == '1' and scene['triangles'] == '12'
    assert scene['message'] == '1 markers are not drawn' and 'test/3' in scene['not drawn 1']
    assert float(scene['age of ~/scene [s]']) < 10
    assert scene['age of ~/camera_odom [s]'] == 'never heard'
    frames = client.status('frames')
    assert float(frames['frame rate [Hz]']) > 0 and float(frames['render mean [ms]']) > 0
    assert float(frames['black [%]']) > 10 and frames['pose source'] == 'default'
    device = client.status('device')
    assert device['device'] == 'cpu' and device['calibration'].startswith('generic_vga')


def test_best_effort_readers_lose_nothing(client):
    """At 640x480 the default segment of Fast DDS would lose most of the frames."""
    client.set(image_width=640, image_height=480, frame_rate=15.0, enable_defocus=False)
    received = []
    client.subscribe('metadata')
    subscription = client.node.create_subscription(
        client.topics['image'][0],
        '/image_raw',
        lambda message: received.append(stamp_of(message)),
        qos_profile_sensor_data,
    )
    client.wait_until(lambda: received, what='the first best-effort image')
    first = received[0]
    client.wait_until(lambda: len(received) >= 15, what='15 best-effort images')
    taken = [stamp_of(m) for m in client.received['metadata']]
    expected = [stamp for stamp in taken if first <= stamp <= received[-1]]
    client.node.destroy_subscription(subscription)
    assert len(received) >= 0.9 * len(expected)


def test_latency_delays_publication_but_not_the_stamp(client):
    client.set(latency=0.2)
    for shot in client.shots(3):
        assert shot.arrival - nanoseconds(shot.metadata.exposure_end) * 1e-9 > 0.19
    assert time.time() - nanoseconds(shot.metadata.exposure_end) * 1e-9 > 0.19
