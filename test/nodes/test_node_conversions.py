# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pictures and calibrations as messages."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
import torch

from diffphyscam_ros.camera import mosaic
from diffphyscam_ros.nodes.compressed import compress
from diffphyscam_ros.nodes.conversions import (
    DECODABLE,
    decode,
    empty_image,
    encode,
    encode_depth,
    OUTPUT_ENCODINGS,
)

PICTURE = np.random.default_rng(1).random((5, 7, 3)).astype(np.float32)
RAW = np.random.default_rng(3).random((5, 7)).astype(np.float32)
BAYER = [name for name, layout in OUTPUT_ENCODINGS.items() if layout.bayer != 'none']


@pytest.mark.parametrize('name', OUTPUT_ENCODINGS)
def test_what_is_encoded_is_decoded(name):
    layout = OUTPUT_ENCODINGS[name]
    message, statistics = encode(PICTURE, name, raw=RAW)
    assert (message.width, message.height, message.encoding) == (7, 5, name)
    assert isinstance(message.data, array.array) and len(message.data) == message.step * 5
    truth = PICTURE if layout.channels == 3 else (PICTURE @ [0.299, 0.587, 0.114])[..., None]
    truth = RAW[..., None] if name in BAYER else truth
    assert np.abs(decode(message) / layout.full_scale - truth).max() <= 0.51 / max(
        layout.full_scale, 2**20 if layout.dtype == 'float32' else 1
    )
    mean = RAW.mean() if name in BAYER else PICTURE.mean()
    assert statistics.mean_level == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize('name', OUTPUT_ENCODINGS)
def test_values_out_of_range_are_clamped_and_nan_is_black(name):
    odd = np.zeros((2, 2, 3), np.float32)
    odd[0, 0], odd[0, 1], odd[1, 0], odd[1, 1] = 2.0, -1.0, np.nan, np.inf
    message, statistics = encode(odd, name, raw=odd[..., 0])
    full = OUTPUT_ENCODINGS[name].full_scale
    assert np.allclose(decode(message)[..., 0], [[full, 0], [0, full]], rtol=1e-6)
    assert statistics.saturated_fraction == 0.5 and statistics.black_fraction == 0.5


def test_statistics_speak_of_what_is_written():
    levels = np.array([0.4, 0.6, 254.4, 254.6], np.float32) / 255
    picture = np.repeat(levels, 3).reshape(1, 4, 3)
    message, statistics = encode(picture, 'rgb8')
    assert decode(message)[0, :, 0].tolist() == [0, 1, 254, 255]
    assert statistics.saturated_fraction == 0.25 and statistics.black_fraction == 0.25


@pytest.mark.parametrize('name', [n for n in DECODABLE if n in OUTPUT_ENCODINGS or '32FC1' in n])
def test_cv_bridge_agrees(name):
    bridge = pytest.importorskip('cv_bridge', reason='pip install cv_bridge').CvBridge()
    picture = encode(PICTURE, 'rgb8' if name == '32FC1' else name, raw=RAW)[0]
    message = encode_depth(PICTURE[..., 0]) if name == '32FC1' else picture
    theirs = np.atleast_3d(bridge.imgmsg_to_cv2(message))
    ours = decode(message)
    assert (theirs == (ours[..., ::-1] if name == 'bgr8' else ours)).all()
    if name in ('rgb8', 'bgr8'):
        color = bridge.imgmsg_to_cv2(message, 'rgb8')
        assert (color == ours).all()


@pytest.mark.parametrize('name', [name for name in BAYER if name.endswith('8')])
def test_opencv_sees_the_colours_of_a_mosaic(name):
    """A red and a blue half, taken apart by the very pattern that the encoding names.

    OpenCV, with which cv_bridge converts, names a pattern by its second row's last two letters.
    """
    picture = np.zeros((8, 16, 3), np.float32)
    picture[:, :8, 0] = picture[:, 8:, 2] = 1.0
    raw = mosaic(torch.from_numpy(picture), OUTPUT_ENCODINGS[name].bayer)[..., 0].numpy()
    theirs = {'rggb': 'BG', 'bggr': 'RG', 'gbrg': 'GR', 'grbg': 'GB'}[name[6:10]]
    seen = decode(encode(picture, name, raw=raw)[0])
    color = cv2.cvtColor(seen[..., 0], getattr(cv2, f'COLOR_Bayer{theirs}2RGB'))
    assert (color[2:6, 2:6] == [255, 0, 0]).all() and (color[2:6, 10:14] == [0, 0, 255]).all()


def test_padding_and_byte_order_are_undone():
    values = np.arange(12, dtype='>u2').reshape(3, 4)
    message = Image(height=3, width=4, encoding='mono16', is_bigendian=1, step=10)
    message.data = array.array('B', b''.join(row.tobytes() + b'xx' for row in values))
    assert (decode(message)[..., 0] == values).all()


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'encoding': 'yuv422'}, 'yuv422'),
        ({'step': 5}, 'step'),
        ({'height': 4}, 'expected'),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(changes, words):
    message, _ = empty_image(3, 4, OUTPUT_ENCODINGS['rgb8'])
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=words):
        decode(message)


def test_what_cannot_be_encoded_is_refused():
    with pytest.raises(ValueError, match='rgb8, bgr8'):
        encode(PICTURE, 'yuv')
    with pytest.raises(ValueError, match='height, width, 3'):
        encode(PICTURE[..., 0], 'rgb8')
    with pytest.raises(ValueError, match=r'raw has shape None.*bayer_rggb8.*mosaic'):
        encode(PICTURE, 'bayer_rggb8')
    with pytest.raises(ValueError, match=r'raw has shape \(4, 7\)'):
        encode(PICTURE, 'bayer_rggb8', raw=RAW[1:])


def test_depth_keeps_metres_and_infinity():
    depth = np.array([[1.5, np.inf], [np.nan, 0.0]], np.float32)
    message = encode_depth(depth)
    assert message.encoding == '32FC1' and message.step == 8
    assert np.array_equal(decode(message)[..., 0], depth, equal_nan=True)


@pytest.mark.parametrize(
    ('encoding', 'codec', 'words'),
    [
        ('rgb8', 'jpeg', 'rgb8; jpeg compressed bgr8'),
        ('bgr8', 'png', 'bgr8; png compressed bgr8'),
        ('mono8', 'jpeg', 'mono8; jpeg compressed mono8'),
        ('mono16', 'png', 'mono16; png compressed '),
        ('rgb16', 'png', 'rgb16; png compressed bgr16'),
        ('rgb16', 'jpeg', 'rgb16; jpeg compressed bgr8'),
        ('bayer_grbg8', 'jpeg', 'bayer_grbg8; jpeg compressed mono8'),
        ('bayer_grbg16', 'png', 'bayer_grbg16; png compressed '),
    ],
)
def test_compressed_says_what_compressed_image_transport_says(encoding, codec, words):
    smooth = np.broadcast_to(
        np.linspace(0, 1, 64, dtype=np.float32)[:, None, None] * [1.0, 0.5, 0.2], (64, 64, 3)
    ).astype(np.float32)
    message, _ = encode(smooth, encoding, raw=smooth[..., 1])
    result = compress(message, codec, 100, 1)
    assert result.format == words
    pixels = cv2.imdecode(np.array(result.data), cv2.IMREAD_UNCHANGED)
    layout = OUTPUT_ENCODINGS[encoding]
    given = decode(message) / layout.full_scale
    seen = pixels.reshape(64, 64, -1)[..., ::-1] / np.iinfo(pixels.dtype).max
    assert np.abs(seen - given).max() < (0.02 if codec == 'jpeg' else 1e-6)


def test_quality_makes_the_size():
    message, _ = encode(np.random.default_rng(2).random((64, 64, 3)).astype(np.float32), 'rgb8')
    assert len(compress(message, 'jpeg', 10).data) < len(compress(message, 'jpeg', 95).data)


def test_what_cannot_be_compressed_is_refused():
    with pytest.raises(ValueError, match='32FC3'):
        compress(encode(PICTURE, '32FC3')[0], 'jpeg')
    with pytest.raises(ValueError, match='jpeg, png'):
        compress(encode(PICTURE, 'rgb8')[0], 'webp')
