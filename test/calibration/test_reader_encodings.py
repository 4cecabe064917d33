# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pixels come out of every encoding as they went in; wrong ones are refused by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from bag_writing import BagWriter, encoded, pattern
import cv2
import numpy as np
import pytest

from diffphyscam_ros.calibration import CalibrationError, Recording
from diffphyscam_ros.calibration.bit_depth import empty_low_bits, recognised_bit_depth
from diffphyscam_ros.calibration.compressed_encodings import decode_compressed
from diffphyscam_ros.calibration.encodings import decode_image, supported_encodings

RNG = np.random.default_rng(7)
RGB8 = RNG.integers(0, 256, (6, 8, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (6, 8, 3), np.uint16)
MONO8, MONO16 = RGB8[..., 0].copy(), RGB16[..., 0].copy()
ALPHA8, ALPHA16 = np.full((6, 8, 1), 9, np.uint8), np.full((6, 8, 1), 9, np.uint16)


def message(pixels: np.ndarray, encoding: str, **changes: object) -> SimpleNamespace:
    values = {
        'height': pixels.shape[0],
        'width': pixels.shape[1],
        'encoding': encoding,
        'is_bigendian': 0,
        'step': pixels[0].nbytes,
        'data': np.ascontiguousarray(pixels).view(np.uint8).reshape(-1),
    }
    return SimpleNamespace(**{**values, **changes})


PLAIN = [
    ('mono8', MONO8, MONO8),
    ('mono16', MONO16, MONO16),
    ('8UC1', MONO8, MONO8),
    ('8UC3', RGB8[..., ::-1], RGB8),
    ('rgb8', RGB8, RGB8),
    ('bgr8', RGB8[..., ::-1], RGB8),
    ('rgba8', np.concatenate([RGB8, ALPHA8], -1), RGB8),
    ('bgra8', np.concatenate([RGB8[..., ::-1], ALPHA8], -1), RGB8),
    ('rgb16', RGB16, RGB16),
    ('bgr16', RGB16[..., ::-1], RGB16),
    ('rgba16', np.concatenate([RGB16, ALPHA16], -1), RGB16),
    ('bgra16', np.concatenate([RGB16[..., ::-1], ALPHA16], -1), RGB16),
    *((f'bayer_{name}8', MONO8, MONO8) for name in ('rggb', 'bggr', 'gbrg', 'grbg')),
    *((f'bayer_{name}16', MONO16, MONO16) for name in ('rggb', 'bggr', 'gbrg', 'grbg')),
]


@pytest.mark.parametrize(('name', 'pixels', 'expected'), PLAIN)
def test_plain_encodings(name: str, pixels: np.ndarray, expected: np.ndarray) -> None:
    result, canonical = decode_image(message(pixels, name), 'x')
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)
    if name.startswith('bayer'):
        assert canonical == name
    else:
        kind = 'mono' if expected.ndim == 2 else 'rgb'
        assert canonical == f'{kind}{8 * expected.dtype.itemsize}'


@pytest.mark.parametrize('name', ['mono16', 'rgb16', 'bgr16', 'bayer_rggb16'])
def test_big_endian(name: str) -> None:
    pixels = RGB16 if 'gb16' in name or 'gr16' in name else MONO16
    pixels = MONO16 if 'bayer' in name else pixels
    swapped = pixels[..., ::-1] if name == 'bgr16' else pixels
    result, _ = decode_image(message(swapped.astype('>u2'), name, is_bigendian=1), 'x')
    np.testing.assert_array_equal(result, pixels)
    assert result.dtype == np.uint16


@pytest.mark.parametrize('last_row_padded', [True, False])
@pytest.mark.parametrize(('name', 'pixels'), [('rgb8', RGB8), ('mono16', MONO16)])
def test_padded_rows(name: str, pixels: np.ndarray, last_row_padded: bool) -> None:
    row = pixels[0].nbytes
    rows = np.full((pixels.shape[0], row + 5), 77, np.uint8)
    rows[:, :row] = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], row)
    data = rows.reshape(-1)
    data = data if last_row_padded else data[:-5]
    result, _ = decode_image(message(pixels, name, step=row + 5, data=data), 'x')
    np.testing.assert_array_equal(result, pixels)


@pytest.mark.parametrize('name', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv21', 'nv12'])
def test_yuv(name: str) -> None:
    """A plain colour comes back whatever the order of the bytes."""
    colour = np.full((6, 8, 3), (200, 90, 40), np.uint8)
    y, u, v = (int(x) for x in cv2.cvtColor(colour, cv2.COLOR_RGB2YUV_I420)[[0, 6, 7], [0, 0, 4]])
    if name in ('nv21', 'nv12'):
        chroma = np.tile([v, u] if name == 'nv21' else [u, v], (3, 4))
        data = np.vstack([np.full((6, 8), y), chroma]).astype(np.uint8)
        step = 8
    else:
        four = [u, y, v, y] if name in ('yuv422', 'uyvy') else [y, u, y, v]
        data = np.tile(four, (6, 4)).astype(np.uint8)
        step = 16
    made = message(colour, name, step=step, data=data.reshape(-1))
    result, canonical = decode_image(made, 'x')
    assert canonical == 'rgb8' and result.shape == (6, 8, 3)
    np.testing.assert_allclose(result.astype(int), colour, atol=3)


@pytest.mark.parametrize(
    ('pixels', 'name', 'changes', 'words'),
    [
        (MONO8, '32FC1', {}, r"encoding of x = '32FC1'.*mono8.*depth"),
        (MONO8, '16UC1', {}, r'encoding.*depth'),
        (MONO8, 'rgb12', {}, r"'rgb12'.*bayer_rggb8"),
        (MONO8, '', {}, 'encoding'),
        (RGB8, 'rgb8', {'step': 8}, r'step of x = 8: must be at least 24'),
        (RGB8, 'rgb8', {'data': np.zeros(100, np.uint8)}, r"'100 bytes'.*144 bytes"),
        (RGB8, 'rgb8', {'data': np.zeros(300, np.uint8)}, r"'300 bytes'.*144 bytes"),
        (RGB8, 'rgb8', {'height': 0, 'data': np.zeros(0, np.uint8)}, 'at least 1x1'),
        (MONO8[:, :7], 'yuyv', {}, 'even'),
        (MONO8[:5], 'nv21', {}, 'even'),
        (MONO8, 'nv21', {}, r"'48 bytes'.*72 bytes"),
    ],
)
def test_what_cannot_be_read(
    pixels: np.ndarray, name: str, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(CalibrationError, match=words):
        decode_image(message(pixels, name, **changes), 'x')


def test_stated_encoding_counts_more_than_the_message() -> None:
    result, canonical = decode_image(message(MONO16, '16UC1'), 'x', 'mono16')
    assert canonical == 'mono16'
    np.testing.assert_array_equal(result, MONO16)
    assert '16UC1' not in supported_encodings()


BGR8, BGR16 = RGB8[..., ::-1], RGB16[..., ::-1]


@pytest.mark.parametrize(
    ('form', 'file', 'expected', 'canonical'),
    [
        ('png', encoded('.png', BGR8), RGB8, 'rgb8'),
        ('rgb8; png compressed bgr8', encoded('.png', BGR8), RGB8, 'rgb8'),
        ('bgr16; png compressed bgr16', encoded('.png', BGR16), RGB16, 'rgb16'),
        ('mono8; png compressed mono8', encoded('.png', MONO8), MONO8, 'mono8'),
        ('mono16; png compressed mono16', encoded('.png', MONO16), MONO16, 'mono16'),
        ('mono16; png compressed ', encoded('.png', MONO16), MONO16, 'mono16'),
        ('bayer_gbrg8; png compressed ', encoded('.png', MONO8), MONO8, 'bayer_gbrg8'),
        ('bayer_grbg16; png compressed ', encoded('.png', MONO16), MONO16, 'bayer_grbg16'),
        ('jpeg', encoded('.png', BGR8), RGB8, 'rgb8'),  # the bytes count, not the name
        (
            'bgra8; png compressed bgra8',
            encoded('.png', np.concatenate([BGR8, ALPHA8], -1)),
            RGB8,
            'rgb8',
        ),
    ],
)
def test_png(form: str, file: bytes, expected: np.ndarray, canonical: str) -> None:
    compressed = SimpleNamespace(format=form, data=np.frombuffer(file, np.uint8))
    result, encoding, lossy = decode_compressed(compressed, 'x')
    assert encoding == canonical and not lossy
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize('padding', [b'', bytes(700)])
def test_jpeg(padding: bytes) -> None:
    colour = np.full((16, 16, 3), (40, 90, 200), np.uint8)  # blue first
    data = np.frombuffer(encoded('.jpg', colour) + padding, np.uint8)
    made = SimpleNamespace(format='rgb8; jpeg compressed bgr8', data=data)
    result, encoding, lossy = decode_compressed(made, 'x')
    assert lossy and encoding == 'rgb8'
    np.testing.assert_allclose(result.astype(int), colour[..., ::-1], atol=3)


@pytest.mark.parametrize(
    ('form', 'data', 'words'),
    [
        ('jpeg', encoded('.jpg', MONO8)[:-40], 'complete file'),
        ('png', encoded('.png', MONO8)[:-8], 'complete file'),
        ('tiff', b'II*\x00 something', r'codec.*jpeg, png'),
        ('', b'', 'codec'),
        ('16UC1; compressedDepth png', encoded('.png', MONO16), 'depth'),
        ('32FC1; png compressed ', encoded('.png', MONO16), 'depth'),
    ],
)
def test_compressed_that_cannot_be_read(form: str, data: bytes, words: str) -> None:
    made = SimpleNamespace(format=form, data=np.frombuffer(data, np.uint8))
    with pytest.raises(CalibrationError, match=words):
        decode_compressed(made, 'x')


def test_bit_depth_is_recognised_by_saturation_only() -> None:
    dark = RNG.integers(0, 300, (20, 30), np.uint16)
    bright = np.minimum(RNG.integers(0, 6000, (20, 30)), 4095).astype(np.uint16)
    assert recognised_bit_depth([dark]) == 0
    assert recognised_bit_depth([dark, bright]) == 12
    assert recognised_bit_depth([dark, bright, MONO16]) == 0
    assert recognised_bit_depth([np.minimum(bright, 1023)]) == 10
    assert recognised_bit_depth([]) == 0


def test_twelve_bits_in_sixteen(tmp_path: Path) -> None:
    picture = np.minimum(RNG.integers(0, 6000, (20, 30)), 4095).astype(np.uint16)
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(3):
            bag.image(number, picture, 'mono16')
    with Recording(tmp_path / 'bag') as recording:
        frame = next(recording.frames())
    assert frame.bit_depth == 12 and frame.full_scale == 4095.0
    unit = frame.linear_unit()
    assert unit.dtype == np.float32 and unit.max() == 1.0
    np.testing.assert_allclose(unit, picture / 4095.0, rtol=1e-6)
    with Recording(tmp_path / 'bag', bit_depth=14) as recording:
        assert next(recording.frames()).full_scale == 16383.0


def test_values_in_the_high_bits_are_moved_down(tmp_path: Path) -> None:
    picture = np.minimum(RNG.integers(0, 6000, (20, 30)), 4095).astype(np.uint16)
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, picture << 4, 'bayer_rggb16')
        bag.image(1, (picture // 100) << 4, 'bayer_rggb16')
    with Recording(tmp_path / 'bag') as recording:
        bright, dark = recording.frames()
    np.testing.assert_array_equal(bright.image, picture)
    np.testing.assert_array_equal(dark.image, picture // 100)
    assert (bright.bit_depth, bright.full_scale) == (12, 4095.0)


def test_empty_low_bits_need_many_values() -> None:
    assert empty_low_bits([MONO16, MONO16 << 4]) == 0
    assert empty_low_bits([np.full((20, 30), 4096, np.uint16)]) == 0
    assert empty_low_bits([np.zeros((20, 30), np.uint16)]) == 0
    values = np.arange(600, dtype=np.uint16).reshape(20, 30)
    assert [empty_low_bits([values << n]) for n in (0, 2, 4, 6)] == [0, 2, 4, 6]


def test_damaged_frames_are_left_out_and_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(5):
            broken = {'data': np.zeros(10, np.uint8)} if number == 2 else {}
            bag.image(number, pattern(number), **broken)
    with Recording(tmp_path / 'bag') as recording:
        assert [frame.index for frame in recording.frames()] == [0, 1, 3, 4]
        (text,) = recording.messages()
    assert text.startswith('1 damaged frames') and 'frame 2 of /cam/image_raw in bag' in text


def test_mixed_resolutions_are_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'one') as bag:
        bag.image(0, pattern(0))
        bag.image(1, pattern(1, 48, 64))
    with (
        Recording(tmp_path / 'one') as recording,
        pytest.raises(CalibrationError, match=r"frame 1 .*'64x48 mono8': must be 32x24"),
    ):
        list(recording.frames())
    with BagWriter(tmp_path / 'two') as bag:
        bag.image(0, pattern(0, 48, 64))
    with pytest.raises(CalibrationError, match=r'frames in two.*64x48.*32x24 as in one'):
        Recording([tmp_path / 'one', tmp_path / 'two'])


def test_unknown_encoding_is_refused_at_once(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0), '32FC1')
    with pytest.raises(CalibrationError, match=r"encoding of /cam/image_raw = '32FC1'"):
        Recording(tmp_path / 'bag')


def test_empty_topic(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.topic('/cam/image_raw', 'sensor_msgs/msg/Image')
        bag.camera_info(0, (32, 24))
    with pytest.raises(CalibrationError, match=r'/cam/image_raw has no messages.*record again'):
        Recording(tmp_path / 'bag')


def test_no_image_topic(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.camera_info(0, (32, 24))
    with pytest.raises(CalibrationError, match=r'no sensor_msgs/Image.*/cam/camera_info'):
        Recording(tmp_path / 'bag')


def test_several_image_topics_need_a_choice(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0), topic='/left/image_raw')
        bag.image(1, pattern(1), topic='/right/image_raw')
    with pytest.raises(CalibrationError, match='several') as error:
        Recording(tmp_path / 'bag')
    described = '/left/image_raw (Image, 1 messages, mono8, 32x24)'
    for words in (described, '/right/image_raw', '--image-topic'):
        assert words in str(error.value)
    with Recording(tmp_path / 'bag', '/right/image_raw') as recording:
        (frame,) = recording.frames()
        assert frame.topic == '/right/image_raw'
    with pytest.raises(CalibrationError, match=r"'/up'.*/left/image_raw"):
        Recording(tmp_path / 'bag', '/up')


def test_depth_and_compressed_copies_are_no_choice(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0))
        bag.compressed(0, encoded('.jpg', pattern(0)), 'mono8; jpeg compressed mono8')
        bag.image(0, MONO16, '16UC1', topic='/cam/depth')
        bag.compressed(0, encoded('.png', MONO16), '16UC1; compressedDepth', '/d/compressedDepth')
    with Recording(tmp_path / 'bag') as recording:
        assert recording.image_topics == {'bag': '/cam/image_raw'}
    with BagWriter(tmp_path / 'jpeg') as bag:
        bag.compressed(0, encoded('.jpg', pattern(0)))
    with Recording([tmp_path / 'bag', tmp_path / 'jpeg']) as recording:
        frames = list(recording.frames())
    assert [(frame.topic, frame.lossy) for frame in frames] == [
        ('/cam/image_raw', False),
        ('/cam/image_raw/compressed', True),
    ]
