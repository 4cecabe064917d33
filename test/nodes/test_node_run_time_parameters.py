# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Every parameter of the table changes what camera_node sends, in the direction it says.

That a value given at the start has the same effect is shown in test_camera_state.py: both ways
lead to the same configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from camera_harness import Client, marker, nanoseconds, Shot, wall
import numpy as np
import pytest

from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.nodes.automatic_parameters import AUTOMATIC
from diffphyscam_ros.nodes.parameters import ALIASES, TABLE


@dataclass
class Probe:
    """How the effect of a parameter is seen.

    :param check: of the client, a frame before and one after the change; true where the effect
        is there.
    """

    value: Any
    check: Callable[[Client, Shot, Shot], bool]
    setup: dict[str, Any] = field(default_factory=dict)


def brighter(client, before, after):
    return after.level > 1.2 * before.level


def darker(client, before, after):
    return after.level < 0.8 * before.level


def channel(index):
    def check(client, before, after):
        gain = (after.pixels.mean((0, 1)) + 1e-9) / (before.pixels.mean((0, 1)) + 1e-9)
        return gain[index] > 1.2 * np.delete(gain, index).max()

    return check


def different(client, before, after):
    return np.abs(after.pixels - before.pixels).max() > 3


def steepness(shot):
    """Return the largest step along the middle row, as a part of its range."""
    row = shot.pixels[24].mean(axis=1)
    return np.abs(np.diff(row)).max() / np.ptp(row)


def sharper(client, before, after):
    return steepness(after) > 1.2 * steepness(before)


def softer(client, before, after):
    return steepness(after) < 0.8 * steepness(before)


def corners(shot):
    """Return the brightness of the corner on the wall, over that of the middle of the wall."""
    level = shot.pixels.mean(axis=2)
    return level[:4, :4].mean() / level[20:28, 24:30].mean()


def darker_corners(client, before, after):
    return corners(after) < 0.95 * corners(before)


def noisier(client, before, after):
    return after.pixels[10:40, 5:25].std() > 1.3 * before.pixels[10:40, 5:25].std()


def wider(client, before, after):
    return after.info.k[0] < 0.9 * before.info.k[0] and different(client, before, after)


def narrower(client, before, after):
    return after.info.k[0] > 1.1 * before.info.k[0] and different(client, before, after)


def info(function):
    """Check only what the later frame says."""
    return lambda client, before, after: function(after)


def delays(client):
    return [s.arrival - nanoseconds(s.metadata.exposure_end) * 1e-9 for s in client.shots(12)]


# A lens whose blur is many pixels even in a small picture, focused on the wall or before it.
LONG_LENS = {'focal_length': 0.02, 'aperture': 0.5, 'max_coc': 31.0, 'enable_noise': False}
BLURRED = {**LONG_LENS, 'focus_distance': 0.5}
QUIET = {'enable_noise': False}
NOISY = {'shot_noise_gain': (10.0,) * 3}
DARK = dict.fromkeys(('shot_noise_gain', 'read_noise', 'dsnu', 'prnu'), (0.0,) * 3)
POLYGON = {**BLURRED, 'psf': 'polygon', 'aperture_blades': 3}
RADIAL = {**QUIET, 'vignetting_model': 'radial'}
MAP = {**QUIET, 'vignetting_model': 'map', 'vignetting_map': (1.0,) * 8}
FRINGES = {**QUIET, 'chromatic_scale': (1.1, 1.0, 0.9)}
GLARE = {**QUIET, 'glare_fraction': 0.5, 'glare_radius': 2.0}
HOT = {**DARK, 'hot_pixel_fraction': 0.3, 'hot_pixel_current': 0.0}
MOSAIC = {**QUIET, 'bayer_pattern': 'rggb'}

PROBES = {
    'frame_id': Probe('eye', info(lambda s: s.image.header.frame_id == 'eye')),
    'scene_file': Probe('SCENE', brighter, QUIET),
    'calibration_file': Probe(
        'ideal_pinhole',
        lambda c, a, b: (
            b.metadata.calibration_id.startswith('ideal')
            and b.info.k[0] != a.info.k[0]
            and b.image.width == SensorModel.preset('ideal_pinhole').image_width
        ),
    ),
    'camera_info_url': Probe('CALIBRATION', info(lambda s: s.info.k[0] == 77.0)),
    'default_pose': Probe(
        # looking back, away from the wall
        (-2.0, 0.0, 0.5, 0.5, 0.5, -0.5, -0.5),
        darker,
        QUIET,
    ),
    'output_encoding': Probe('bgr8', info(lambda s: s.image.encoding == 'bgr8')),
    'frame_rate': Probe(
        10.0,
        lambda c, a, b: _period(c) == pytest.approx(0.1, abs=1e-3),
    ),
    'stamp_mode': Probe('end', info(lambda s: s.image.header.stamp == s.metadata.exposure_end)),
    'latency': Probe(0.15, lambda c, a, b: min(delays(c)) > 0.14),
    'latency_jitter': Probe(0.05, lambda c, a, b: np.ptp(delays(c)) > 0.02),
    'enable_depth': Probe(True, lambda c, a, b: c.fresh('depth').encoding == '32FC1'),
    'image_raw.compressed.format': Probe(
        'png', lambda c, a, b: 'png' in c.fresh('compressed').format
    ),
    'image_raw.compressed.jpeg_quality': Probe(
        10, lambda c, a, b: len(c.fresh('compressed').data) < 0.8 * c.jpeg_size
    ),
    'image_raw.compressed.png_level': Probe(
        9,
        lambda c, a, b: len(c.fresh('compressed').data) < 0.9 * c.png_size,
        {'image_raw.compressed.format': 'png', 'image_raw.compressed.png_level': 0, **QUIET},
    ),
    'device': Probe('auto', lambda c, a, b: c.status('device')['device asked for'] == 'auto'),
    'always_render': Probe(True, lambda c, a, b: _renders_unwatched(c)),
    'exposure_time': Probe(30_000.0, brighter, QUIET),
    'iso': Probe(600.0, brighter, QUIET),
    'gain': Probe(20.0, brighter, QUIET),
    'aperture': Probe(4.0, darker, QUIET),
    'focal_length': Probe(0.008, narrower, QUIET),
    'focus_distance': Probe(0.5, softer, {**LONG_LENS, 'focus_distance': 2.0}),
    'enable_distortion': Probe(
        False, lambda c, a, b: not any(b.info.d) and any(a.info.d) and different(c, a, b), QUIET
    ),
    'enable_vignetting': Probe(
        False, lambda c, a, b: corners(b) > 1.05 * corners(a), {**QUIET, 'vignetting_gain': 1.0}
    ),
    'enable_defocus': Probe(False, sharper, BLURRED),
    'enable_noise': Probe(
        False,
        lambda c, a, b: b.pixels[10:40, 5:25].std() < 0.7 * a.pixels[10:40, 5:25].std(),
        NOISY,
    ),
    'noise_seed': Probe(99, info(lambda s: s.metadata.noise_seed == 99)),
    'world_frame': Probe('elsewhere', brighter, QUIET),
    'image_width': Probe(96, info(lambda s: (s.image.width, s.info.width) == (96, 96))),
    'image_height': Probe(32, info(lambda s: (s.image.height, s.info.height) == (32, 32))),
    'pixel_size': Probe(9e-5, wider, QUIET),
    'focal_scale': Probe((2.0, 2.0), narrower, QUIET),
    'principal_point': Probe(
        (20.0, 20.0), lambda c, a, b: b.info.k[2] == 20.0 and different(c, a, b), QUIET
    ),
    'quantum_efficiency': Probe((0.9, 0.5, 0.5), channel(0), {'quantum_efficiency': (0.5,) * 3}),
    'scene_illuminance': Probe(2500.0, brighter, QUIET),
    'defocus_gain': Probe(0.1, sharper, BLURRED),
    'defocus_dead_zone': Probe(5.0, sharper, BLURRED),
    'max_coc': Probe(2.0, sharper, BLURRED),
    'psf': Probe('disk', different, BLURRED),
    'aperture_blades': Probe(12, different, POLYGON),
    'aperture_rotation': Probe(0.5, different, POLYGON),
    'defocus_occlusion': Probe(
        True, different, {**LONG_LENS, 'focus_distance': 1000.0, 'defocus_occlusion': False}
    ),
    'vignetting_model': Probe(
        'radial', darker_corners, {**QUIET, 'vignetting_coefficients': (-0.9,)}
    ),
    'vignetting_gain': Probe(1.0, darker_corners, QUIET),
    'vignetting_coefficients': Probe((-0.9, 0.1), darker_corners, RADIAL),
    'vignetting_map': Probe(
        (0.2, *[1.0] * 7), darker_corners, {**MAP, 'vignetting_map_columns': 4}
    ),
    'vignetting_map_columns': Probe(
        2,
        different,
        {**MAP, 'vignetting_map': (1.0, 0.8, 0.6, 0.4) * 2, 'vignetting_map_columns': 4},
    ),
    'rim_radius': Probe(0.001, darker_corners, {**QUIET, 'rim_distance': 0.001}),
    'rim_distance': Probe(0.001, darker_corners, {**QUIET, 'rim_radius': 0.001}),
    'chromatic_scale': Probe((1.1, 1.0, 0.9), different, QUIET),
    'chromatic_curve': Probe((0.3, 0.0, -0.3), different, QUIET),
    'enable_aberration': Probe(False, different, FRINGES),
    'glare_fraction': Probe(0.5, softer, QUIET),
    'glare_radius': Probe(8.0, different, GLARE),
    'enable_glare': Probe(False, sharper, GLARE),
    'aggregator_gain': Probe(2e12, brighter, QUIET),
    'response_type': Probe('sigmoid', brighter, QUIET),
    'response_gains': Probe(
        (1e-6, 1e-6, 2.5e-6), channel(2), {**QUIET, 'response_gains': (1e-6,) * 3}
    ),
    'response_biases': Probe((0.3, 0.3, 0.3), brighter, QUIET),
    'response_gamma': Probe(
        0.5,
        different,
        {**QUIET, 'response_type': 'gamma', 'response_gains': (0.1,) * 3, 'iso': 10_000.0},
    ),
    'response_table': Probe((0.0, 0.9, 1.0), brighter, {**QUIET, 'response_type': 'table'}),
    'dark_current': Probe((1e5, 1e5, 1e5), brighter, QUIET),
    'shot_noise_gain': Probe((10.0, 10.0, 10.0), noisier, DARK),
    'read_noise': Probe((100.0, 100.0, 100.0), noisier, DARK),
    'read_noise_fixed': Probe(
        True,
        lambda c, a, b: _unlike(a, c.before) and not _unlike(b, c.shot()),
        {**DARK, 'read_noise': (200.0,) * 3, 'enable_vignetting': False},
    ),
    'dsnu': Probe((100.0, 100.0, 100.0), noisier, DARK),
    'prnu': Probe((0.3, 0.3, 0.3), noisier, DARK),
    'hot_pixel_fraction': Probe(
        0.3, noisier, {**HOT, 'hot_pixel_fraction': 0.0, 'hot_pixel_current': 1e5}
    ),
    'hot_pixel_current': Probe(1e5, noisier, HOT),
    'fixed_pattern_seed': Probe(
        4321,
        lambda c, a, b: _unlike(a, b),
        {**DARK, 'dsnu': (200.0,) * 3, 'enable_vignetting': False},
    ),
    'full_well': Probe(300.0, darker),
    'black_level': Probe(0.5, brighter, {**QUIET, 'output_encoding': 'bayer_grbg8'}),
    'bit_depth': Probe(
        8,
        # Full scale is 65535 = 255 · 257.
        lambda c, a, b: (a.pixels % 257).any() and not (b.pixels % 257).any(),
        {**QUIET, 'bit_depth': 14, 'output_encoding': 'rgb16'},
    ),
    'bayer_pattern': Probe('gbrg', different, QUIET),
    'demosaic': Probe('bilinear', different, MOSAIC),
    'white_balance': Probe(
        (1.0, 0.5, 0.25),
        lambda c, a, b: list(b.metadata.white_balance) == [1.0, 0.5, 0.25] and channel(0)(c, a, b),
        QUIET,
    ),
    'color_matrix': Probe((1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5), channel(0), QUIET),
    'distortion_model': Probe(
        'equidistant',
        lambda c, a, b: b.info.distortion_model == 'equidistant' and len(b.info.d) == 4,
        {'distortion_coeffs': (0.0,) * 5},
    ),
    'distortion_coeffs': Probe(
        (-0.4, 0.2, 0.0, 0.0, 0.0),
        lambda c, a, b: b.info.d[0] == -0.4 and different(c, a, b),
        QUIET,
    ),
    'focus_breathing': Probe(
        True, narrower, {**LONG_LENS, 'focus_distance': 0.1, 'enable_defocus': False}
    ),
}
ELSEWHERE = {
    *(row.name for row in AUTOMATIC),
    'ambient_occlusion',
    'antialias',
    'shadows',
    'tf_timeout',
    'wait_for_pose',
    'enable_motion_blur',
    'motion_blur_samples',
    'shutter_mode',
    'readout_time',
    'robot_description_topics',
    'robot_frame_prefixes',
    'robot_package_paths',
}
"""In test_node_drawing.py, test_node_inputs.py, test_node_motion_sent.py and test_node_robot.py;
test_node_start.py looks at those that are read only."""


def _period(client):
    stamps = [nanoseconds(shot.image.header.stamp) for shot in client.shots(3)]
    return float(np.diff(stamps).min()) * 1e-9


def _renders_unwatched(client):
    client.unsubscribe('image', 'info', 'metadata', 'compressed', 'depth')
    client.status('frames')
    first = int(client.status('frames')['frames'])
    return int(client.status('frames')['frames']) > first


def _unlike(first, second):
    a, b = first.pixels[10:40, 5:25].ravel(), second.pixels[10:40, 5:25].ravel()
    return np.corrcoef(a, b)[0, 1] < 0.5


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Write the files that parameters name."""
    folder = tmp_path_factory.mktemp('files')
    scene = folder / 'scene.obj'
    scene.write_text(
        'v 0 -9 -9\nv 0 9 -9\nv 0 9 9\nv 0 -9 9\nf 1 2 3\nf 1 3 4\n', encoding='utf-8'
    )
    calibration = folder / 'calibration.yaml'
    calibration.write_text(
        'image_width: 64\nimage_height: 48\ncamera_name: x\n'
        'camera_matrix: {rows: 3, cols: 3, data: [77, 0, 32, 0, 77, 24, 0, 0, 1]}\n'
        'distortion_model: plumb_bob\n'
        'distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n',
        encoding='utf-8',
    )
    return {'SCENE': str(scene), 'CALIBRATION': calibration.as_uri()}


def test_there_is_a_probe_for_every_parameter():
    assert set(PROBES) | ELSEWHERE == {name for name, row in TABLE.items() if not row.read_only}


@pytest.mark.parametrize('name', [name for name in TABLE if name in PROBES])
def test_every_parameter_changes_what_is_sent(client, files, name):
    probe = PROBES[name]
    if name == 'scene_file':
        client.show()
    elif name == 'world_frame':
        client.show(marker(place=(0.5, 5, 0.5), scale=(1, 10, 10), frame='elsewhere'))
    elif 'distortion' in name or 'chromatic' in name or name == 'enable_aberration':
        client.show(marker(place=(0.0, 0.6, 0.8), scale=(0.1, 0.4, 0.4)))
    else:
        client.show(wall())
    client.set(**{key.replace('.', '__'): value for key, value in probe.setup.items()})
    if 'compressed' in name:
        client.fresh('compressed')
        client.shot()
        client.jpeg_size = client.png_size = len(client.fresh('compressed').data)
    client.before = client.shot()
    before = client.shot()
    value = files.get(probe.value, probe.value) if isinstance(probe.value, str) else probe.value
    client.set(**{name.replace('.', '__'): value})
    after = client.shot()
    if 'compressed' in name:
        client.fresh('compressed')
    assert probe.check(client, before, after)
    found = client.get(name)
    assert found == (pytest.approx(list(value)) if isinstance(value, tuple) else value)


@pytest.mark.parametrize('alias', ALIASES)
def test_an_alias_is_its_parameter(client, files, alias):
    value = 12.5 if alias == 'framerate' else files['CALIBRATION']
    client.set(**{alias: value})
    assert client.get(ALIASES[alias]) == client.get(alias) == value


def test_a_set_is_taken_whole_or_not_at_all(client):
    before = {name: client.get(name) for name in ('exposure_time', 'iso', 'aperture')}
    result = client.try_set(exposure_time=1.5, iso=-3.0, aperture=4.0)
    assert not result.successful
    assert 'iso' in result.reason and '-3' in result.reason and 'from 10' in result.reason
    assert {name: client.get(name) for name in before} == before
    assert client.shot().metadata.exposure_time == before['exposure_time']


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('exposure_time', float('nan'), 'exposure_time = nan: must be a number from 1'),
        ('exposure_time', -5.0, 'µs'),
        ('exposure_time', True, 'must be a number'),
        ('exposure_time', 'long', 'must be a number'),
        ('output_encoding', 'bgr9', 'rgb8, bgr8, mono8, mono16, rgb16, 32FC3'),
        ('focus_distance', 0.003, 'focal length'),
        ('quantum_efficiency', (0.5, 0.5), '3 numbers'),
        ('enable_noise', 1, 'true or false'),
        ('image_width', 0, 'from 1 up to'),
        ('device', 'cuda:7', 'cuda'),
        ('scene_file', '/nowhere.glb', 'no such file'),
        ('calibration_file', '/nowhere.yaml', 'no such file'),
        ('camera_info_url', 'ftp://x', 'file://'),
        ('default_pose', (0.0,) * 7, 'zero length'),
        ('camera_name', 'other', 'read-only'),
    ],
)
def test_a_bad_value_is_refused_in_words(client, name, value, words):
    before = client.get(name)
    result = client.try_set(**{name: value})
    assert not result.successful and words in result.reason
    assert client.get(name) == before
    client.shot()


def test_an_integer_is_taken_where_a_number_is_declared(client):
    client.set(exposure_time=5000, quantum_efficiency=(1, 1, 1))
    assert client.get('exposure_time') == 5000.0
    assert isinstance(client.get('exposure_time'), float)


def test_inf_can_be_said_in_words(client):
    client.set(focus_distance='inf')
    assert client.get('focus_distance') == float('inf')
    assert client.shot().metadata.focus_distance == float('inf')


def test_iso_and_gain_that_contradict_each_other_are_refused(client):
    assert 'contradict' in client.try_set(iso=100.0, gain=20.0).reason
    client.set(iso=1000.0, gain=20.0)
    assert client.shot().metadata.iso == 1000.0


def test_parameters_one_by_one_stand_for_themselves(client):
    good, bad = client.set_each(exposure_time=4000.0, iso=-1.0)
    assert good.successful and not bad.successful
    assert client.get('exposure_time') == 4000.0
