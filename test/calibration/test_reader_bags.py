# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Bags of every kind give the same frames; broken ones give what is whole, and say so."""

from __future__ import annotations

from pathlib import Path
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc

from bag_writing import BagWriter, encoded, pattern, stamp_of, write_frames
import cv2
import numpy as np
import pytest
import yaml

from diffphyscam_ros.calibration import CalibrationError, Recording
from diffphyscam_ros.calibration.bags import _numbers, Bag

KINDS = [
    ('ros1', ''),
    ('ros1', 'bz2'),
    ('ros1', 'lz4'),
    ('sqlite3', ''),
    ('sqlite3', 'message'),
    ('sqlite3', 'file'),
    ('mcap', ''),
    ('mcap', 'message'),
    ('mcap', 'file'),
    ('mcap', 'storage'),
]


def bag_path(folder: Path, kind: str, name: str = 'bag') -> Path:
    return folder / (f'{name}.bag' if kind == 'ros1' else name)


def storage_file(bag: Path) -> Path:
    """Return the file with the messages."""
    if bag.is_file():
        return bag
    return next(file for file in bag.iterdir() if file.suffix != '.yaml')


def list_files(bag: Path, names: list[str]) -> None:
    """Make metadata.yaml name these files."""
    about = yaml.safe_load((bag / 'metadata.yaml').read_text())
    about['rosbag2_bagfile_information']['relative_file_paths'] = names
    (bag / 'metadata.yaml').write_text(yaml.safe_dump(about))


def numbers(recording: Recording) -> list[int]:
    """Return which frames of ``write_frames`` a recording gives, comparing every pixel."""
    found = []
    for frame in recording.frames():
        number = (frame.stamp - stamp_of(0)) // (stamp_of(1) - stamp_of(0))
        np.testing.assert_array_equal(frame.image, pattern(number))
        found.append(number)
    return found


@pytest.mark.parametrize(('kind', 'compression'), KINDS)
def test_every_kind_gives_the_same_frames(tmp_path: Path, kind: str, compression: str) -> None:
    path = write_frames(bag_path(tmp_path, kind), kind, 6, compression)
    with Recording(path) as recording:
        for _ in range(2):  # again and again
            assert numbers(recording) == [0, 1, 2, 3, 4, 5]
        frames = list(recording.frames())
        assert recording.messages() == []
        assert recording.camera_info is not None and recording.camera_info.count == 6
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert {frame.encoding for frame in frames} == {'mono8'}
    assert frames[0].frame_id == 'optical' and frames[0].bag == path.name
    settings = [frame.settings for frame in frames]
    assert all(item is not None and item.source == 'metadata' for item in settings)
    assert [round(item.exposure_time, 6) for item in settings if item is not None] == [
        0.001,
        0.002,
        0.003,
        0.004,
        0.005,
        0.006,
    ]
    assert settings[0] is not None and settings[0].white_balance == (2.0, 1.0, 1.5)
    assert not frames[0].image.flags.writeable


def test_frames_can_be_left_out(tmp_path: Path) -> None:
    with Recording(write_frames(tmp_path / 'bag', 'mcap', 7)) as recording:
        assert [frame.index for frame in recording.frames(every=3)] == [0, 3, 6]


def test_several_bags_of_all_kinds_are_one_recording(tmp_path: Path) -> None:
    paths = [
        write_frames(bag_path(tmp_path, kind, kind), kind, 3)
        for kind in ('ros1', 'sqlite3', 'mcap')
    ]
    with Recording(paths, roles={'mcap': 'flat', str(paths[0]): 'dark'}) as recording:
        frames = list(recording.frames())
        assert recording.bags == ('ros1.bag', 'sqlite3', 'mcap')
    assert [frame.index for frame in frames] == list(range(9))
    assert [frame.bag for frame in frames[::3]] == ['ros1.bag', 'sqlite3', 'mcap']
    assert [frame.role for frame in frames[::3]] == ['dark', '', 'flat']


@pytest.mark.parametrize('kind', ['sqlite3', 'mcap'])
@pytest.mark.parametrize('metadata', [True, False])
def test_split_bag(tmp_path: Path, kind: str, metadata: bool) -> None:
    bag = tmp_path / 'split'
    bag.mkdir()
    names = []
    for part in range(3):
        piece = tmp_path / f'piece_{part}'
        with BagWriter(piece, kind) as writer:
            for number in range(4 * part, 4 * part + 4):
                writer.image(number, pattern(number))
        file = storage_file(piece)
        names.append(f'split_{part * 5}{file.suffix}')  # split_10 comes after split_5
        shutil.move(file, bag / names[-1])
    if metadata:
        shutil.copy(piece / 'metadata.yaml', bag)
        list_files(bag, names)
    with Recording(bag) as recording:
        assert numbers(recording) == list(range(12))
        missing = [text for text in recording.messages() if 'metadata.yaml is missing' in text]
        assert bool(missing) != metadata


def test_names_sort_by_their_numbers() -> None:
    assert sorted(['x_10.db3', 'x_2.db3', 'x_1.db3'], key=_numbers) == [
        'x_1.db3',
        'x_2.db3',
        'x_10.db3',
    ]


def test_missing_file_of_a_split_bag_is_named(tmp_path: Path) -> None:
    bag = write_frames(tmp_path / 'bag', 'mcap')
    list_files(bag, ['bag.mcap', 'bag_1.mcap'])
    with Recording(bag) as recording:
        assert numbers(recording) == [0, 1, 2, 3, 4, 5]
        assert any('bag_1.mcap' in message for message in recording.messages())


@pytest.mark.parametrize('text', ['', 'rosbag2_bagfile_information: 5', '{', 'a: [\x00'])
def test_unreadable_metadata(tmp_path: Path, text: str) -> None:
    bag = write_frames(tmp_path / 'bag', 'sqlite3')
    (bag / 'metadata.yaml').write_text(text)
    with Recording(bag) as recording:
        assert numbers(recording) == [0, 1, 2, 3, 4, 5]
        assert any('metadata.yaml cannot be read' in text for text in recording.messages())


@pytest.mark.parametrize(
    ('kind', 'compression', 'share'),
    [
        *((kind, compression, 0.5) for kind, compression in KINDS),
        *((kind, '', 0.97) for kind in ('ros1', 'sqlite3', 'mcap')),
    ],
)
def test_truncated_bag_gives_the_frames_before_the_damage(
    tmp_path: Path, kind: str, compression: str, share: float
) -> None:
    bag = bag_path(tmp_path, kind)
    noise = np.random.default_rng(1)
    pictures = [noise.integers(0, 255, (200, 320), np.uint8) for _ in range(40)]
    with BagWriter(bag, kind, compression) as writer:
        for number, picture in enumerate(pictures):
            writer.image(number, picture)
    file = storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with Recording(bag) as recording:
        frames = list(recording.frames())
        messages = ' '.join(recording.messages())
    for frame in frames:
        np.testing.assert_array_equal(frame.image, pictures[frame.index])
    # of what was compressed in one piece a little more is lost
    assert share * 40 - 17 <= len(frames) <= 40 * min(share + 0.04, 1)
    assert 'damage' in messages
    assert any(word in messages for word in ('byte ', 'row ', 'after '))


def test_damage_in_the_middle_keeps_what_is_before(tmp_path: Path) -> None:
    bag = tmp_path / 'bag'
    with BagWriter(bag, 'mcap', 'storage') as writer:
        noise = np.random.default_rng(1)
        for number in range(40):
            writer.image(number, noise.integers(0, 255, (200, 320), np.uint8))
    file = storage_file(bag)
    content = bytearray(file.read_bytes())
    middle = content.index(b'\x28\xb5\x2f\xfd', len(content) // 2)  # of zstd
    content[middle : middle + 4] = bytes(4)
    file.write_bytes(content)
    with Recording(bag) as recording:
        assert 10 <= len(list(recording.frames())) < 40
        assert any('damaged, after ' in text for text in recording.messages())


def test_ros1_bag_that_was_never_closed(tmp_path: Path) -> None:
    bag = write_frames(tmp_path / 'x.bag', 'ros1')
    content = bytearray(bag.read_bytes())
    place = content.index(b'index_pos=') + len(b'index_pos=')
    content[place : place + 8] = bytes(8)
    active = tmp_path / 'x.bag.active'
    active.write_bytes(content)
    with Recording(active) as recording:
        assert numbers(recording) == [0, 1, 2, 3, 4, 5]
        assert any('not by its index' in message for message in recording.messages())


def test_mcap_without_chunks_in_any_order(tmp_path: Path) -> None:
    """As rosbag2 writes it with the preset fastwrite."""
    bag = write_frames(tmp_path / 'bag', 'mcap', 3)
    content = storage_file(bag).read_bytes()
    place = content.index(b'\x06', 8 + 9 + 20)
    size = int.from_bytes(content[place + 1 : place + 9], 'little')
    header = 9 + 8 + 8 + 8 + 4 + 4 + 8
    records = content[place + header : place + 9 + size]
    file = tmp_path / 'plain.mcap'
    end = b'\x0f' + (4).to_bytes(8, 'little') + bytes(4)
    footer = b'\x02' + (20).to_bytes(8, 'little') + bytes(20) + content[:8]
    file.write_bytes(content[:place] + records + end + footer)
    with Recording(file) as recording:
        assert numbers(recording) == [0, 1, 2]
        assert not any('damaged' in text for text in recording.messages())


def test_mcap_of_ros1(tmp_path: Path) -> None:
    """As tools write it that convert ROS 1 bags."""

    def text(words: str) -> bytes:
        return len(words).to_bytes(4, 'little') + words.encode()

    def record(operation: int, content: bytes) -> bytes:
        return bytes([operation]) + len(content).to_bytes(8, 'little') + content

    write_frames(tmp_path / 'bag.bag', 'ros1', 2)
    bag = Bag(tmp_path / 'bag.bag', 'bag')
    (channel,) = [item for item in bag.channels() if item.topic == '/cam/image_raw']
    schema = text('sensor_msgs/Image') + text('ros1msg') + text(channel.definition)
    records = [
        record(1, text('ros1') + text('x')),
        record(3, (1).to_bytes(2, 'little') + schema),
        record(4, b'\x01\x00\x01\x00' + text('/cam/image_raw') + text('ros1') + bytes(4)),
    ]
    for _, time, data in bag.read(['/cam/image_raw']):
        times = time.to_bytes(8, 'little') * 2
        records.append(record(5, b'\x01\x00' + bytes(4) + times + data))
    bag.close()
    magic = b'\x89MCAP0\r\n'
    end = record(15, bytes(4)) + record(2, bytes(20)) + magic
    (tmp_path / 'x.mcap').write_bytes(magic + b''.join(records) + end)
    with Recording(tmp_path / 'x.mcap') as recording:
        assert numbers(recording) == [0, 1]


def test_journal_of_a_database_is_named(tmp_path: Path) -> None:
    bag = write_frames(tmp_path / 'bag', 'sqlite3')
    storage_file(bag).with_name('bag.db3-wal').write_bytes(b'x')
    with Recording(bag) as recording:
        assert any('bag.db3-wal' in message for message in recording.messages())


def test_path_with_strange_characters(tmp_path: Path) -> None:
    folder = tmp_path / 'a ?#%20'
    folder.mkdir()
    bag = write_frames(tmp_path / 'bag', 'sqlite3')
    shutil.move(storage_file(bag), folder / 'b#g.db3')
    with Recording(folder / 'b#g.db3') as recording:
        assert numbers(recording) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (None, 'does not exist'),
        (b'', 'empty'),
        (b'hello, I am a text', 'no bag'),
        (b'SQLite format 3\x00' + bytes(90), 'not one whole message'),
        (b'\x89MCAP0\r\n', 'not one whole message'),
        (b'#ROSBAG V2.0\n', 'not one whole message'),
        (b'#ROSBAG V1.2\n', 'no bag'),
    ],
)
def test_what_is_no_bag(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / 'x.db3'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CalibrationError, match=words):
        Recording(path)


def test_folder_without_bags_names_those_inside(tmp_path: Path) -> None:
    write_frames(tmp_path / 'inner', 'mcap', 1)
    with pytest.raises(CalibrationError, match='inner'):
        Recording(tmp_path)


def test_database_without_the_tables_of_a_bag(tmp_path: Path) -> None:
    path = tmp_path / 'x.db3'
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE other(id INTEGER)')
    connection.close()
    with pytest.raises(CalibrationError, match='tables'):
        Recording(path)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Far more pictures than the limit go through."""
    picture = np.zeros((400, 640), np.uint8)
    for kind in ('ros1', 'sqlite3', 'mcap'):
        path = bag_path(tmp_path, kind, kind)
        with BagWriter(path, kind) as writer:
            for number in range(80):
                writer.image(number, picture)
        with Recording(path) as recording:
            tracemalloc.start()
            count = sum(1 for _ in recording.frames())
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert count == 80
        assert peak < 5e6, f'{kind}: {peak / 1e6:.1f} MB of {80 * picture.nbytes / 1e6:.0f} MB'


def test_legacy_database_without_metadata(shared_data: Path) -> None:
    """By others: names of types without /msg/, no definitions, stamps of zero."""
    path = shared_data / 'bags' / 'klintan_sample.db3'
    with Recording(path) as raw, Recording(path, '/image/compressed') as jpeg:
        assert raw.image_topics == {'klintan_sample.db3': '/image'}
        (frame,) = raw.frames()
        (lossy,) = jpeg.frames()
        assert any('no stamp' in message for message in raw.messages())
    assert frame.image.shape == (480, 640, 3) and frame.encoding == 'rgb8'
    assert frame.stamp == 1553145698459670219 and frame.settings is None
    assert lossy.lossy and not frame.lossy
    assert abs(frame.image.mean() - frame.image[..., ::-1].mean()) < 1e-6


@pytest.mark.parametrize('name', ['geocam_mcap', 'geocam_sqlite3'])
def test_bags_whose_images_have_wrong_sizes(shared_data: Path, name: str) -> None:
    path = shared_data / 'bags' / name
    with pytest.raises(CalibrationError, match='several') as error:
        Recording(path)
    assert '/test/sensor_msgs/image' in str(error.value)
    assert '/test/sensor_msgs/compressed_image' in str(error.value)
    with pytest.raises(CalibrationError, match=r'30 bytes.*921600 bytes'):
        Recording(path, '/test/sensor_msgs/image')
    with pytest.raises(CalibrationError, match='complete file'):
        Recording(path, '/test/sensor_msgs/compressed_image')


def test_photographs_in_a_bag_come_out_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / 'calibration' / 'heethesh_ros_chessboard').glob('*.png'))[:5]
    assert files
    with BagWriter(tmp_path / 'bag', 'sqlite3', 'message') as bag:
        for number, file in enumerate(files):
            bag.compressed(number, file.read_bytes(), 'bgr8; png compressed bgr8')
    with Recording(tmp_path / 'bag') as recording:
        for file, frame in zip(files, recording.frames(), strict=True):
            expected = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            expected = expected[..., ::-1] if expected.ndim == 3 else expected
            np.testing.assert_array_equal(frame.image, expected)
            assert not frame.lossy


def test_reading_needs_no_ros(tmp_path: Path) -> None:
    path = write_frames(tmp_path / 'bag', 'mcap', 2)
    with BagWriter(tmp_path / 'jpeg', 'sqlite3') as bag:
        bag.compressed(0, encoded('.jpg', pattern(0)))
    code = (
        'import sys\n'
        'class Block:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        '        if name.split(".")[0] in ("rclpy", "rosidl_runtime_py", "sensor_msgs"):\n'
        '            raise ImportError(name)\n'
        'sys.meta_path.insert(0, Block())\n'
        'from diffphyscam_ros.calibration import Recording\n'
        'print([len(list(Recording(p).frames())) for p in sys.argv[1:]])\n'
        'assert not any(name == "rclpy" for name in sys.modules)\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', code, str(path), str(tmp_path / 'jpeg')],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == '[2, 1]', result.stderr
