# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From parameters and files to a configuration (camera_state), without ROS."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.nodes import calibration_info
from diffphyscam_ros.nodes.camera_state import calibration_changes, resolve
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.parameters import TABLE
from diffphyscam_ros.nodes.services import depth_of_field, limits

OTHER = {
    'bool': lambda value: not value,
    'integer': lambda value: value + 1,
    'double': lambda value: value * 1.1 + 0.01,
    'string_array': lambda value: (*value, 'other'),
    'double_array': lambda value: tuple(0.9 * number + 0.01 for number in value),
}
EMPTY = {
    'vignetting_coefficients': (-0.3, 0.1),
    'vignetting_map': (1.0, 0.5, 0.5, 1.0),
    'exposure_time_max': 20_000.0,
    'auto_exposure.highlights': 0.1,
    'autofocus.far_limit': 5.0,
    'white_balance_temperature': 4000.0,
}
"""What to put in place of no numbers, and where not any other will do."""
TOGETHER = {'vignetting_map': {'vignetting_map_columns': 2}}
"""What has to be set in the same call."""
WORDS = {
    'psf': 'disk',
    'vignetting_model': 'radial',
    'bayer_pattern': 'grbg',
    'demosaic': 'bilinear',
    'shutter_mode': 'rolling',
    'response_type': 'sigmoid',
    'output_encoding': 'bgr8',
    'stamp_mode': 'end',
    'image_raw.compressed.format': 'png',
    'device': 'cpu',
    'calibration_file': 'ideal_pinhole',
    'exposure_auto': 'Once',
    'focus_auto': 'Continuous',
    'white_balance_auto': 'Continuous',
    'auto_exposure.metering': 'spot',
    'auto_exposure.priority': 'gain',
    'autofocus.method': 'contrast',
    'auto_white_balance.method': 'grey_world',
}


def write_info(path, width=640, height=480, fx=500.0, d=(0.0,) * 5, extra=''):
    path.write_text(
        f'image_width: {width}\nimage_height: {height}\ncamera_name: test\n'
        f'camera_matrix: {{rows: 3, cols: 3, data: [{fx}, 0, 300, 0, {fx}, 200, 0, 0, 1]}}\n'
        f'distortion_model: plumb_bob\n'
        f'distortion_coefficients: {{rows: 1, cols: 5, data: {list(d)}}}\n{extra}',
        encoding='utf-8',
    )
    return str(path)


@pytest.mark.parametrize('name', [n for n, row in TABLE.items() if row.kind != 'string'])
def test_at_the_start_a_value_has_the_effect_that_it_has_later(name):
    row = TABLE[name]
    value = EMPTY.get(name, OTHER[row.kind](resolve(None, {}).values[name]))
    changes = {name: value, **TOGETHER.get(name, {})}
    at_start = resolve(None, changes)
    later = resolve(resolve(None, {}), changes)
    assert at_start == later
    assert at_start.values[name] == pytest.approx(value)
    assert at_start != resolve(None, {})


@pytest.mark.parametrize('name', WORDS)
def test_so_does_a_word(name):
    assert resolve(None, {name: WORDS[name]}) == resolve(resolve(None, {}), {name: WORDS[name]})


def test_precedence_is_table_file_camera_info_parameter(tmp_path):
    file = tmp_path / 'sensor.yaml'
    settings = CameraSettings(exposure_time=0.002, iso=300.0)
    dataclasses.replace(
        SensorModel.preset('generic_vga'), name='mine', vignetting_gain=0.1, settings=settings
    ).save(file)
    info = write_info(tmp_path / 'info.yaml', d=(-0.2, 0.0, 0.0, 0.0, 0.0))
    names = {'calibration_file': str(file), 'camera_info_url': f'file://{info}'}
    found = resolve(None, {**names, 'distortion_coeffs': (-0.3, 0.0, 0.0, 0.0, 0.0)})
    assert found.values['exposure_time'] == 2000.0 and found.values['iso'] == 300.0
    assert found.values['vignetting_gain'] == 0.1
    assert found.sensor.intrinsics().fx == pytest.approx(500.0)
    assert found.values['distortion_coeffs'][0] == -0.3
    assert found.calibration_id.startswith('mine-')
    again = resolve(resolve(None, {'iso': 100.0}), names)
    assert again.values['iso'] == 300.0  # a file that is loaded says all that it says


def test_k_of_camera_info_holds_for_the_focal_length_in_effect(tmp_path):
    info = write_info(tmp_path / 'info.yaml')
    found = resolve(None, {'camera_info_url': info, 'focal_length': 0.008, 'pixel_size': 3e-6})
    assert found.sensor.intrinsics().fx == pytest.approx(500.0)
    zoomed = resolve(found, {'focal_length': 0.016})
    assert zoomed.sensor.intrinsics().fx == pytest.approx(1000.0)


def test_another_image_size_keeps_the_field_of_view(tmp_path):
    info = write_info(tmp_path / 'info.yaml')
    for start in ({}, {'camera_info_url': info}):
        full = resolve(None, start)
        half = resolve(full, {'image_width': 320, 'image_height': 240})
        assert half == dataclasses.replace(
            resolve(None, {**start, 'image_width': 320, 'image_height': 240})
        )
        a, b = full.sensor.intrinsics(), half.sensor.intrinsics()
        assert b.fx == pytest.approx(a.fx / 2)
        assert b.cx == pytest.approx((a.cx + 0.5) / 2 - 0.5)
        assert half.values['principal_point'] == pytest.approx((b.cx, b.cy))


def test_r_and_p_are_published_while_their_k_is(tmp_path):
    p = [400.0, 0.0, 310.0, -40.0, 0.0, 400.0, 210.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    info = write_info(
        tmp_path / 'info.yaml', extra=f'projection_matrix: {{rows: 3, cols: 4, data: {p}}}\n'
    )
    found = resolve(None, {'camera_info_url': info})
    assert list(found.published_calibration.projection) == p
    assert found.published_calibration.k == (500.0, 500.0, 300.0, 200.0)
    moved = resolve(found, {'focal_length': 0.005})
    assert moved.published_calibration.projection[0] == pytest.approx(500.0 * 0.005 / 0.0036)
    assert moved.published_calibration.projection[3] == 0.0


def test_switched_off_distortion_is_published_as_none():
    found = resolve(None, {'enable_distortion': False})
    assert found.published_calibration.distortion == (0.0,) * 5
    assert 'distortion' not in found.stages


def test_a_lens_model_and_its_coefficients_belong_together():
    start = resolve(None, {})
    with pytest.raises(ParameterError, match='equidistant has 4'):
        resolve(start, {'distortion_model': 'equidistant'})
    both = {'distortion_model': 'equidistant', 'distortion_coeffs': (0.1, 0.0, 0.0, 0.0)}
    assert resolve(start, both).sensor.distortion_coefficients == (0.1, 0.0, 0.0, 0.0)
    straight = resolve(start, {'distortion_coeffs': (0.0,) * 5})
    other = resolve(straight, {'distortion_model': 'equidistant'})
    assert len(other.values['distortion_coeffs']) == 4


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'iso': 100.0, 'gain': 6.0}, 'contradict'),
        ({'focus_distance': 0.002}, 'focal length'),
        ({'focal_length': 3.0}, 'focal length'),
        ({'device': 'gpu'}, 'cuda:N'),
        ({'default_pose': (0.0,) * 7}, 'zero length'),
        ({'world_frame': ''}, 'name a frame'),
        ({'calibration_file': 'generic_vag'}, 'generic_vga'),
        ({'calibration_file': '/nowhere.yaml'}, 'no such file'),
        ({'camera_info_url': 'http://x/y.yaml'}, 'file:// or package://'),
        ({'response_type': 'gamma', 'response_gamma': 0.0}, 'response_gamma'),
        ({'bit_depth': 7}, '8 to 16, or 0'),
        ({'vignetting_map': (1.0,) * 4}, 'vignetting_map_columns = 0'),
        ({'vignetting_model': 'map'}, 'vignetting_map must not be empty'),
        ({'response_table': (0.0, 0.5, 0.4)}, 'never fall'),
        ({'full_well': 0.0}, 'above 0 up to inf e-'),
        ({'color_matrix': (1.0, 0.0, 0.0)}, '9 numbers'),
        (
            {'output_encoding': 'bayer_rggb8', 'bayer_pattern': 'gbrg'},
            'bayer_rggb8.*gbrg.*contradict.*bayer_gbrg8.*rggb or none',
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes, words):
    with pytest.raises(ParameterError, match=words):
        resolve(resolve(None, {}), changes)


def test_a_raw_encoding_makes_a_mosaic_of_a_sensor_that_has_none():
    start = resolve(None, {'output_encoding': 'bayer_gbrg16'})
    assert start.sensor.bayer_pattern == start.values['bayer_pattern'] == 'none'
    assert start.sensor_in_use.bayer_pattern == 'gbrg'
    assert resolve(start, {'output_encoding': 'rgb8'}).sensor_in_use.bayer_pattern == 'none'
    own = resolve(start, {'bayer_pattern': 'gbrg'})
    with pytest.raises(ParameterError, match='contradict'):
        resolve(own, {'bayer_pattern': 'rggb'})
    both = resolve(own, {'bayer_pattern': 'rggb', 'output_encoding': 'bayer_rggb16'})
    assert both.sensor_in_use is not own.sensor_in_use
    assert resolve(both, {'output_encoding': 'rgb8'}).sensor_in_use.bayer_pattern == 'rggb'


def test_an_unlimited_full_well_is_inf():
    limited = resolve(None, {})
    assert limited.values['full_well'] == limited.sensor.full_well == 12_000.0
    unlimited = resolve(limited, {'full_well': float('inf')})
    assert unlimited.sensor.full_well is None and unlimited.values['full_well'] == float('inf')
    assert resolve(None, {'full_well': 'inf'}).sensor.full_well is None
    assert resolve(unlimited, {'full_well': 500}).sensor.full_well == 500.0


def test_no_numbers_are_numbers_too():
    start = resolve(None, {'vignetting_model': 'radial', 'vignetting_coefficients': [-0.3]})
    assert start.sensor.vignetting_coefficients == (-0.3,)
    assert resolve(start, {'vignetting_coefficients': []}).sensor.vignetting_coefficients == ()


def test_unknown_keys_of_a_calibration_file_are_named(tmp_path):
    path = tmp_path / 'sensor.yaml'
    SensorModel.preset('generic_vga').save(path)
    path.write_text(path.read_text().replace('pixel_size', 'pixle_size'))
    with pytest.raises(ParameterError, match='pixle_size'):
        resolve(None, {'calibration_file': str(path)})
    reference = tmp_path / 'sensor.json'
    reference.write_text('{"hFOV": 1.0, "wonders": 3}')
    with pytest.raises(ParameterError, match='wonders'):
        resolve(None, {'calibration_file': str(reference)})


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'must map'),
        ('- 1', 'must map'),
        ('image_width: 4', 'image_height is missing'),
        ('image_width: .inf\nimage_height: 3', 'image_width is inf: must be a whole number'),
        ('image_width: 4.5\nimage_height: 3', 'image_width is 4.5: must be a whole number'),
        ('image_width: true\nimage_height: 3', 'image_width is True: must be a whole number'),
        ('image_width: 4\nimage_height: 3\ncamera_matrix: {data: x}', 'list of numbers'),
        (
            'image_width: 4\nimage_height: 3\ncamera_matrix: {data: [1]}\n'
            'distortion_coefficients: {data: []}',
            'K has 1 numbers',
        ),
        (': [', 'cannot be read'),
    ],
)
def test_a_broken_camera_info_file_is_named(tmp_path, text, words):
    path = tmp_path / 'info.yaml'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ParameterError, match=words) as caught:
        resolve(None, {'camera_info_url': str(path)})
    assert 'info.yaml' in str(caught.value)


def test_the_calibrations_of_real_cameras_are_read(shared_data):
    files = [
        path
        for path in sorted((shared_data / 'camera_info').rglob('*.yaml'))
        if 'camera_matrix' in path.read_text()
    ]
    assert len(files) > 5
    for path in files:
        found = resolve(None, {'camera_info_url': str(path)})
        loaded = calibration_info.load(path)
        published = found.published_calibration
        assert published.k == loaded.k and published.distortion == loaded.distortion


def test_a_calibration_becomes_parameters():
    start = resolve(None, {})
    given = calibration_info.from_numbers(
        640, 480, [700.0, 0, 310, 0, 705.0, 245, 0, 0, 1], 'plumb_bob', [0.1, 0, 0, 0, 0]
    )
    found = resolve(start, calibration_changes(start, given), given)
    assert found.published_calibration == given
    with pytest.raises(ParameterError, match='640x480'):
        calibration_changes(start, dataclasses.replace(given, width=320))


def test_focus_is_limited_by_the_focal_length():
    found = resolve(None, {'focal_length': 0.1})
    low, high = limits(found, 'focus_distance')
    assert low == pytest.approx(0.11) and math.isinf(high)
    resolve(found, {'focus_distance': low})


def test_the_depth_of_field_has_its_limits():
    sharp = resolve(None, {'enable_defocus': False})
    assert depth_of_field(sharp) == (0.0, math.inf)
    far = resolve(None, {'focus_distance': math.inf, 'focal_length': 0.05})
    near, infinity = depth_of_field(far)
    hyperfocal = 0.05**2 / (2.0 * 6e-6)
    assert near == pytest.approx(hyperfocal) and math.isinf(infinity)
    dead = resolve(None, {'focal_length': 0.05, 'defocus_dead_zone': 0.5})
    assert np.allclose(depth_of_field(dead), (1.5, 2.5))


@pytest.mark.parametrize(
    ('region', 'whole'),
    [((0, 0, 0, 0), True), ((0, 0, 640, 480), True), ((0, 0, 640, 100), False),
     ((0, 0, 320, 480), False), ((0, 8, 640, 480), False)],
)  # fmt: skip
def test_only_the_full_image_is_taken_from_a_message(region, whole):
    message = CameraInfo(width=640, height=480, distortion_model='plumb_bob', d=[0.0] * 5)
    message.k = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
    message.roi = RegionOfInterest(
        x_offset=region[0], y_offset=region[1], width=region[2], height=region[3]
    )
    if whole:
        assert calibration_info.from_message(message).width == 640
    else:
        with pytest.raises(ValueError, match='region of interest'):
            calibration_info.from_message(message)
