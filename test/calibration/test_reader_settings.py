# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Every frame finds what it was taken with, in SI, or is counted as one that does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bag_writing import BagWriter, pattern, stamp_of, write_frames
import pytest

from diffphyscam_ros.calibration import CalibrationError, FrameSettings, RecordedFrame, Recording


def frames_of(path: Path, **options: Any) -> tuple[list[RecordedFrame], list[str]]:
    with Recording(path, **options) as recording:
        return list(recording.frames()), recording.messages()


def settings_of(frame: RecordedFrame) -> FrameSettings:
    assert frame.settings is not None
    return frame.settings


def exposures(frames: list[RecordedFrame]) -> list[float | None]:
    """Return the exposure times in µs."""
    times = [None if f.settings is None else f.settings.exposure_time for f in frames]
    return [None if time is None else round(time * 1e6, 3) for time in times]


def test_flir_metadata(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag', 'sqlite3') as bag:
        for number in range(4):
            bag.image(number, pattern(number))
            bag.flir(number, 500 * (number + 1), 20.0)
    frames, messages = frames_of(tmp_path / 'bag')
    assert exposures(frames) == [500, 1000, 1500, 2000]
    assert settings_of(frames[0]).iso == pytest.approx(1000.0)
    assert settings_of(frames[0]).gain_db == pytest.approx(20.0)
    assert settings_of(frames[0]).source == 'flir' and messages == []
    assert not any(frame.settling for frame in frames)


def test_flir_metadata_without_chunks_say_nothing(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0))
        bag.flir(0, 0, 0.0)
    assert frames_of(tmp_path / 'bag')[0][0].settings is None


# librealsense: the stereo module counts in us, the colour module of the D400 in 100 us
COLOUR = {'saturation': 64, 'gamma': 300}


@pytest.mark.parametrize(
    ('camera', 'extra', 'driver', 'exposure', 'iso'),
    [
        ('infra1', {}, '', 8500, 200.0),
        ('color', COLOUR, '', 850_000, None),
        ('color', {}, 'realsense stereo', 8500, 200.0),  # a D405
    ],
)
def test_realsense_metadata(
    tmp_path: Path,
    camera: str,
    extra: dict[str, int],
    driver: str,
    exposure: int,
    iso: float | None,
) -> None:
    topic = f'/camera/{camera}/image_raw'
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(3):
            bag.image(number, pattern(number), topic=topic)
            about = {'actual_exposure': 8500, 'gain_level': 32, 'auto_exposure': number % 2}
            bag.realsense(number, f'/camera/{camera}/metadata', {**about, **extra})
            bag.realsense(number, '/camera/depth/metadata', {'actual_exposure': 1})
    frames, _ = frames_of(tmp_path / 'bag', driver=driver)
    # while it runs by itself, the number of the colour module is the last that was set by hand
    middle = None if extra else exposure
    assert exposures(frames) == [exposure, middle, exposure]
    assert settings_of(frames[0]).iso == iso
    assert [frame.automatic for frame in frames] == [False, True, False]


def test_realsense_metadata_of_a_module_that_cannot_be_told(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0), topic='/c/color/image_raw')
        bag.realsense(0, '/c/color/metadata', {'actual_exposure': 8500})
    frames, messages = frames_of(tmp_path / 'bag')
    assert frames[0].settings is None
    assert any("--driver 'realsense stereo'" in text for text in messages)


def test_pylon_says_what_it_reads_from_the_camera_after_each_frame(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag', 'sqlite3') as bag:
        # what its parameters say never reached the camera
        bag.parameters(stamp_of(0) - 1, '/cam', {'startup_user_set': 'x', 'exposure': 10000.0})
        for number in range(4):
            bag.image(number, pattern(number))
            bag.pylon(stamp_of(number) + 1000, '/cam/current_params', 500.0 * (1 + number // 2))
    frames, messages = frames_of(tmp_path / 'bag')
    assert exposures(frames) == [None, 500, 500, 1000]
    assert frames[3].settling and settings_of(frames[3]).source == 'pylon'
    assert settings_of(frames[3]).iso is None
    assert any('exposure of /cam (pylon) is read by the driver only' in text for text in messages)


def test_realsense_metadata_that_is_no_json(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0), topic='/c/infra1/image_rect_raw')
        bag.realsense(0, '/c/infra1/metadata', ['x'])  # type: ignore[arg-type]
    frames, messages = frames_of(tmp_path / 'bag')
    assert frames[0].settings is None
    assert any('json_data' in text for text in messages)


DRIVERS = [
    # node parameters in one event, then: µs, ISO
    ('camera_node', {'exposure_time': 2000.0, 'gain': 6.0206, 'noise_seed': 1}, 2000, 200.0),
    ('camera_node', {'gain': 0.0, 'exposure_time': 100.0, 'iso': 400.0}, 100, 400.0),
    ('usb_cam', {'video_device': '/dev/video0', 'exposure': 156, 'autoexposure': False}, 15600, 0),
    ('v4l2', {'exposure_time_absolute': 156, 'auto_exposure': 1, 'gain': 3}, 15600, 0),
    ('v4l2 old', {'exposure_absolute': 20, 'exposure_auto': 1}, 2000, 0),
    ('camera_ros', {'ExposureTime': 800, 'AnalogueGain': 4.0, 'AeEnable': False}, 800, 400.0),
    (
        'spinnaker',
        {'parameter_file': 'x', 'exposure_time': 1500.0, 'gain': 20.0, 'exposure_auto': 'Off'},
        1500,
        1000.0,
    ),
    ('two names', {'exposure_time': 1500.0, 'gain': 20.0}, 1500, 1000.0),
    (
        'v4l2_camera that started meanwhile',
        {'video_device': '/dev/video0', 'exposure_time_absolute': 156, 'auto_exposure': 1},
        15600,
        0,
    ),
    (
        'realsense',
        {
            'rgb_camera.exposure': 166,
            'rgb_camera.gain': 64,
            'rgb_camera.enable_auto_exposure': False,
        },
        16600,
        0,
    ),
]


@pytest.mark.parametrize(('name', 'values', 'exposure', 'iso'), DRIVERS)
def test_parameters_of_drivers(
    tmp_path: Path, name: str, values: dict[str, Any], exposure: float, iso: float
) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.parameters(stamp_of(0) - 1, '/cam/driver', values)
        bag.parameters(stamp_of(0) - 1, '/other', {'use_sim_time': False})
        for number in range(2):
            bag.image(number, pattern(number))
    frames, messages = frames_of(tmp_path / 'bag')
    assert exposures(frames) == [exposure, exposure]
    assert settings_of(frames[0]).iso == (pytest.approx(iso, rel=1e-4) if iso else None)
    assert settings_of(frames[0]).source == 'parameter_events'
    assert any('no known unit' in text for text in messages) == (
        'gain' in ' '.join(values) and not iso
    )


def test_exposure_in_lines_of_the_sensor_is_not_taken(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        values = {'exposure': 1600, 'analogue_gain': 100, 'white_balance_automatic': True}
        bag.parameters(stamp_of(0) - 1, '/cam', values)
        bag.image(0, pattern(0))
    frames, messages = frames_of(tmp_path / 'bag')
    assert frames[0].settings is None
    assert any('exposure of /cam (v4l2_camera) has no known unit' in text for text in messages)


@pytest.mark.parametrize(('mode', 'automatic'), [(0, True), (1, False)])
def test_the_mode_of_camera_ros_counts_more_than_its_switch(
    tmp_path: Path, mode: int, automatic: bool
) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        values = {'AeEnable': True, 'ExposureTimeMode': mode, 'ExposureTime': 800}
        bag.parameters(stamp_of(0) - 1, '/camera', values)
        bag.image(0, pattern(0))
    frames, _ = frames_of(tmp_path / 'bag')
    assert frames[0].automatic is automatic
    assert exposures(frames) == [None if automatic else 800]


def test_lens_position_in_dioptres(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0))
        for number, dioptres in ((1, 2.0), (3, 0.0)):
            bag.parameters(stamp_of(number) - 1, '/camera', {'LensPosition': dioptres})
            bag.image(number, pattern(number))
    frames, messages = frames_of(tmp_path / 'bag')
    distances = [None if f.settings is None else f.settings.focus_distance for f in frames]
    # an event before its value means anything does not count: 0 dioptres is infinity
    assert distances == [None, 0.5, math.inf]
    assert any('1 of 3 frames have no settings' in text for text in messages)
    assert any(f'frame 0 at {stamp_of(0)} ns' in text for text in messages)


def test_events_hold_until_the_next_and_frames_after_them_settle(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(12):
            if number in (1, 6):
                values = {'exposure_time': 1000.0 * number, 'gain': 0.0}
                bag.parameters(stamp_of(number) - 1000, '/cam/driver', values)
            bag.image(number, pattern(number))
    with Recording(tmp_path / 'bag', settle_frames=3) as recording:
        for _ in range(2):
            frames = list(recording.frames())
            assert exposures(frames) == [None, *[1000.0] * 5, *[6000.0] * 6]
            settling = [frame.index for frame in frames if frame.settling]
            assert settling == [1, 2, 3, 6, 7, 8]


def test_automatic_exposure_hides_the_parameters(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        values = {'exposure_time': 1000.0, 'gain': 0.0, 'exposure_auto': 'Continuous'}
        bag.parameters(stamp_of(0) - 1000, '/cam/driver', {**values, 'aperture': 2.0})
        bag.image(0, pattern(0))
        bag.parameters(stamp_of(1) - 1000, '/cam/driver', {'exposure_auto': 'Off'})
        bag.image(1, pattern(1))
    frames, _ = frames_of(tmp_path / 'bag')
    assert exposures(frames) == [None, 1000.0]
    assert [frame.automatic for frame in frames] == [True, False]
    assert settings_of(frames[0]).aperture == 2.0


def test_the_node_beside_the_pictures_is_the_driver(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0), topic='/left/image_raw')
        for side, time in (('left', 100.0), ('right', 200.0)):
            values = {'exposure_time': time, 'gain': 0.0}
            bag.parameters(stamp_of(0) - 1000, f'/{side}/driver', values)
    frames, _ = frames_of(tmp_path / 'bag')
    assert exposures(frames) == [100.0]
    frames, _ = frames_of(tmp_path / 'bag', driver_node='/right/driver')
    assert exposures(frames) == [200.0]
    _, messages = frames_of(tmp_path / 'bag', driver_node='/up')
    assert any('/left/driver, /right/driver' in text for text in messages)


def test_topics_of_another_camera_are_not_taken(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for topic in ('/camera/color/image_raw', '/camera/infra1/image_raw'):
            bag.image(0, pattern(0), topic=topic)
        bag.realsense(0, '/camera/infra1/metadata', {'actual_exposure': 100})
        bag.camera_info(0, (32, 24), '/camera/infra1/camera_info')
    frames, messages = frames_of(tmp_path / 'bag', image_topic='/camera/color/image_raw')
    assert frames[0].settings is None
    assert any('realsense is not read' in text for text in messages)
    frames, messages = frames_of(tmp_path / 'bag', image_topic='/camera/infra1/image_raw')
    assert exposures(frames) == [100.0] and messages == []


def test_the_only_camera_may_be_renamed(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0), topic='/mine/picture')
        bag.metadata(0, 100.0, topic='/camera/metadata')
    assert exposures(frames_of(tmp_path / 'bag')[0]) == [100.0]


def test_unclear_drivers_are_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.image(0, pattern(0))
        bag.parameters(stamp_of(0) - 1000, '/cam', {'exposure': 100})
    frames, messages = frames_of(tmp_path / 'bag')
    assert frames[0].settings is None
    assert any('which driver it is cannot be told' in text for text in messages)
    for driver, time in (('usb_cam', 10000.0), ('pylon', None)):
        assert exposures(frames_of(tmp_path / 'bag', driver=driver)[0]) == [time]
    with pytest.raises(CalibrationError, match=r"driver = 'x'.*usb_cam"):
        Recording(tmp_path / 'bag', driver='x')


def test_camera_with_a_clock_of_its_own(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(4):
            bag.image(number, pattern(number), stamp=1000 + number)
        for number in (0, 2):
            time = stamp_of(number) - 1000
            bag.parameters(time, '/cam/d', {'exposure_time': 1.0 + number, 'gain': 0.0}, time)
    frames, messages = frames_of(tmp_path / 'bag')
    assert exposures(frames) == [1.0, 1.0, 3.0, 3.0]
    assert any('matched by time of recording' in text for text in messages)


def test_frames_without_metadata_are_counted_and_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(12):
            bag.image(number, pattern(number), stamp=stamp_of(number) + 900_000)  # 0.9 ms
            if number < 4:
                bag.metadata(number, 1000.0)
    frames, messages = frames_of(tmp_path / 'bag')
    assert [frame.settings is None for frame in frames] == [False] * 4 + [True] * 8
    (text,) = messages
    assert text.startswith('8 of 12 frames have no settings of metadata within 1 ms: frame 4 at')
    assert text.endswith('and 3 more')
    frames, messages = frames_of(tmp_path / 'bag', tolerance=0.0005)
    assert all(frame.settings is None for frame in frames)


def test_the_first_source_counts_and_others_fill(tmp_path: Path) -> None:
    table = tmp_path / 'table.csv'
    lines = ['stamp,exposure_us,gain_db,aperture,focus_distance_m']
    lines += [f'{stamp_of(0) / 1e9:.9f},77,0,5.6,inf', f'{stamp_of(1)},78,,,']
    table.write_text('\n'.join(lines) + '\n')
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(2):
            bag.image(number, pattern(number))
            bag.flir(number, 500, 20.0)
    constants = {'aperture': 8.0, 'focal_length': 0.012}
    frames, _ = frames_of(tmp_path / 'bag', csv=table, constants=constants)
    first, second = settings_of(frames[0]), settings_of(frames[1])
    assert (first.exposure_time, first.aperture, first.focus_distance) == (
        pytest.approx(500e-6),
        5.6,
        math.inf,
    )
    assert first.focal_length == 0.012 and first.source == 'flir+csv+constant'
    assert second.aperture == 8.0 and second.source == 'flir+constant'
    frames, _ = frames_of(tmp_path / 'bag', csv=table, settings='csv')
    assert exposures(frames) == [77.0, 78.0]
    frames, _ = frames_of(tmp_path / 'bag', constants=FrameSettings(iso=50.0), settings='constant')
    assert settings_of(frames[0]) == FrameSettings(iso=50.0, source='constant')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('time,exposure_us\n1,2\n', r'columns.*stamp'),
        ('stamp,exposure\n1,2\n', 'exposure_us'),
        ('stamp,exposure_us\nx,2\n', r"stamp of .*line 2 = 'x'"),
        ('stamp,exposure_us\n1,2\n2,-3\n', r"exposure_us of .*line 3 = '-3'"),
        ('stamp,exposure_us\n1,inf\n', 'exposure_us'),
        ('', 'columns'),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / 'x.csv').write_text(text)
    bag = write_frames(tmp_path / 'bag', 'mcap', 1)
    with pytest.raises(CalibrationError, match=words):
        Recording(bag, csv=tmp_path / 'x.csv')
    with pytest.raises(CalibrationError, match='No such file'):
        Recording(bag, csv=tmp_path / 'y.csv')


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'settings': 'x'}, r"settings = 'x': must be one of auto, metadata"),
        ({'settings': 'flir'}, r'source that the bags have.*record its topic'),
        ({'constants': {'shutter': 1.0}}, r"constant = 'shutter': must be one of aperture"),
        ({'constants': {'iso': 0.0}}, r'constant iso = 0.0: must be greater than 0'),
        ({'constants': {'white_balance': (1.0, 2.0)}}, 'constant white_balance'),
        ({'tolerance': -1.0}, 'tolerance'),
        ({'roles': 'wall'}, r"role = 'wall': must be one of board"),
        ({'roles': {'other': 'flat'}}, r"bag of a role = 'other': must be one of bag"),
        ({'encoding': 'x'}, 'encoding'),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    bag = write_frames(tmp_path / 'bag', 'mcap', 1)
    with pytest.raises(CalibrationError, match=words):
        Recording(bag, **options)


def test_no_bags_or_one_twice(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match='at least one'):
        Recording([])
    bag = write_frames(tmp_path / 'bag', 'mcap', 1)
    with pytest.raises(CalibrationError, match='given once'):
        Recording([bag, bag])
