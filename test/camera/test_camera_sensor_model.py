# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor model: checks, files in both formats, presets, intrinsics, resizing."""

from __future__ import annotations

from dataclasses import fields, replace
import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from diffphyscam_ros import resources
from diffphyscam_ros.camera import (
    CameraSettings,
    expose,
    PhysicalCamera,
    preset_names,
    respond,
    SensorModel,
)
from diffphyscam_ros.camera.sensor_model import PARAMETERS
from diffphyscam_ros.camera.sensor_model_io import FIRST_SCHEMA, SCHEMA, SINCE_2

UNUSUAL = SensorModel(
    name='odd: "name" # 1',
    image_width=33,
    image_height=21,
    pixel_size=1e-6,
    focal_scale=(1.1, 1.2),
    principal_point=(15.25, 9.75),
    quantum_efficiency=(0.1, 1 / 3, 0.9),
    max_coc=17.5,
    psf='disk',
    vignetting_gain=0.25,
    aggregator_gain=3e7,
    response_type='gamma',
    response_gains=(-1.0, 2e-20, 3e20),
    response_gamma=0.45,
    distortion_model='rational_polynomial',
    distortion_coefficients=(0.1, 0.2, 1e-4, -1e-4, 0.3, 0.4, 0.5, 0.6),
    focus_breathing=True,
    fixed_pattern_seed=-3,
    vignetting_model='map',
    vignetting_map=(1.0, 0.5, 0.75, 1.0, 0.25, 2.0),
    vignetting_map_columns=3,
    aperture_rotation=0.1,
    defocus_occlusion=True,
    response_table=(0.0, 0.125, 1.0),
    read_noise_fixed=False,
    dsnu=(0.5, 1e-7, 3.0),
    full_well=12e3,
    black_level=0.0625,
    bit_depth=12,
    bayer_pattern='gbrg',
    demosaic='bilinear',
    color_matrix=(1.5, -0.5, 0.0, 0.0, 1.0, 0.0, -0.1, -0.2, 1.3),
    shutter_mode='rolling',
    readout_time=0.02,
    settings=CameraSettings(1.8, 1e-5, 640.0, 0.0125, math.inf),
)


def reference_json() -> dict:
    """Return the schema of the reference implementation with made-up numbers."""
    return {
        'hFOV': 60.0,
        'focal_length': 0.004,
        'pixel_size': 3e-6,
        'rgb_QEs': [0.3, 0.5, 0.8],
        'gain_params': {
            'defocus_gain': 0.8,
            'defocus_bias': 0.01,
            'vignet_gain': 0.4,
            'aggregator_gain': 1.0e8,
            'expsr2dv_gains': [1.0, 1.1, 1.2],
            'expsr2dv_biases': [0.03, 0.05, 0.1],
            'expsr2dv_gamma': 0.0,
            'expsr2dv_crf_type': 'linear',
            'max_CoC': 21,
        },
        'noise_params': {
            'dark_currents': [1e-4, 2e-4, 3e-4],
            'noise_gains': [1e-3, 2e-3, 3e-3],
            'STD_reads': [1e-5, 2e-5, 3e-5],
            'FPN_rng_seed': 77,
        },
        'distort_params': [-0.1, 0.2, -0.3],
    }


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def document(tmp_path: Path) -> dict:
    """Return the content of a good YAML file."""
    SensorModel().save(tmp_path / 'good.yaml')
    return yaml.safe_load((tmp_path / 'good.yaml').read_text())


@pytest.mark.parametrize('sensor', [SensorModel(), UNUSUAL])
def test_yaml_round_trip_is_exact(tmp_path: Path, sensor: SensorModel) -> None:
    path = tmp_path / 'sensor.yaml'
    sensor.save(path)
    assert SensorModel.load(path) == sensor
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_tells_units(document: dict) -> None:
    assert document['schema'] == SCHEMA
    for name, parameter in PARAMETERS.items():
        entry = document['parameters'][name]
        assert not parameter.numeric or entry['unit'] == parameter.unit
    assert document['settings']['exposure_time'] == {'value': 0.01, 'unit': 's'}


def test_tensors_are_saved_as_numbers(tmp_path: Path) -> None:
    sensor = SensorModel(
        pixel_size=torch.tensor(6e-6, dtype=torch.float64, requires_grad=True),
        quantum_efficiency=torch.tensor([0.25, 0.5, 0.75]),
        settings=CameraSettings(aperture=torch.tensor(4.0)),
    )
    sensor.save(tmp_path / 'sensor.yaml')
    loaded = SensorModel.load(tmp_path / 'sensor.yaml')
    assert loaded.pixel_size == 6e-6 and loaded.quantum_efficiency == (0.25, 0.5, 0.75)
    assert loaded.settings.aperture == 4.0


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / 'sensor.yaml'
    UNUSUAL.save(path)

    def fail(*_: object) -> None:
        raise OSError('disk full')

    monkeypatch.setattr('os.fsync', fail)
    with pytest.raises(OSError, match='disk full'):
        SensorModel().save(path)
    assert SensorModel.load(path) == UNUSUAL
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_without_a_point_are_numbers(tmp_path: Path, document: dict) -> None:
    """YAML 1.1 reads 1e8 as a text; people write it all the same."""
    document['parameters']['aggregator_gain']['value'] = '2e8'
    sensor = SensorModel.load(write(tmp_path / 'a.yaml', document))
    assert sensor.aggregator_gain == 2e8


def test_a_file_of_the_first_schema_has_the_defaults_of_what_it_lacks(
    tmp_path: Path, document: dict
) -> None:
    document['schema'] = FIRST_SCHEMA
    document['parameters']['read_noise']['value'] = [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match='unknown keys aperture_blades'):
        SensorModel.load(write(tmp_path / 'mixed.yaml', document))
    for name in SINCE_2:
        del document['parameters'][name]
    sensor = SensorModel.load(write(tmp_path / 'old.yaml', document))
    assert sensor == SensorModel(read_noise=(1.0, 2.0, 3.0)) and sensor.read_noise_fixed


def broken(document: dict, where: str, key: str, value: object) -> dict:
    if value is None:
        del document[where][key]
    else:
        document[where][key] = value
    return document


@pytest.mark.parametrize(
    ('where', 'key', 'value', 'message'),
    [
        ('parameters', 'pixel_size', None, 'parameters has missing keys pixel_size'),
        ('parameters', 'pixelsize', {'value': 1, 'unit': 'm'}, 'unknown keys pixelsize'),
        ('settings', 'iso', None, 'settings has missing keys iso'),
        ('parameters', 'pixel_size', {'value': 6, 'unit': 'um'}, "unit 'um': must be 'm'"),
        ('parameters', 'pixel_size', 6e-6, 'value: ..., unit: m'),
        ('parameters', 'pixel_size', {'value': -1.0, 'unit': 'm'}, r'pixel_size = -1.0.*> 0'),
        ('parameters', 'pixel_size', {'value': 'wide', 'unit': 'm'}, "pixel_size = 'wide'"),
        ('parameters', 'pixel_size', {'value': 1e-6}, 'pixel_size has missing keys unit'),
        ('parameters', 'psf', 'square', "psf = 'square'.*gaussian, disk"),
        ('parameters', 'focus_breathing', 'yes please', 'must be true or false'),
        ('settings', 'aperture', {'value': 'open', 'unit': '1'}, "aperture is 'open'"),
        ('settings', 'aperture', {'value': 0, 'unit': '1'}, 'aperture = 0.0'),
    ],
)
def test_bad_yaml_is_refused(
    tmp_path: Path, document: dict, where: str, key: str, value: object, message: str
) -> None:
    path = write(tmp_path / 'bad.yaml', broken(document, where, key, value))
    with pytest.raises(ValueError, match=message) as caught:
        SensorModel.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize('content', [None, [1, 2], {'schema': 'diffphyscam_ros/sensor_model/3'}])
def test_another_schema_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match='this version reads'):
        SensorModel.load(write(tmp_path / 'other.yaml', content))


def test_reference_json_becomes_a_sensor_model(tmp_path: Path) -> None:
    path = tmp_path / 'lens.json'
    path.write_text(json.dumps(reference_json()))
    sensor = SensorModel.load(path)
    assert sensor.name == 'lens' and (sensor.image_width, sensor.image_height) == (2048, 1536)
    assert sensor.distortion_model == 'plumb_bob'
    assert sensor.distortion_coefficients == (-0.1, 0.2, 0.0, 0.0, -0.3)
    assert sensor.read_noise == (1e-5, 2e-5, 3e-5) and sensor.max_coc == 21
    assert sensor.defocus_dead_zone == 0.01 and sensor.fixed_pattern_seed == 77
    assert sensor.response_gains == (1.0, 1.1, 1.2) and sensor.settings.focal_length == 0.004
    view = sensor.intrinsics()
    assert view.fx == pytest.approx(1024 / math.tan(math.radians(30)))


def test_published_json_is_the_preset(shared_data: Path) -> None:
    published = shared_data / 'camera_parameters' / 'sim_cam_model_params.json'
    sensor, preset = SensorModel.load(published), SensorModel.preset('bfs_u3_31s4c_5mm')
    # The JSON has no settings, and an exponent of 0 where no exponent is used.
    known = {n: getattr(preset, n) for n in ('name', 'settings', 'response_gamma')}
    assert replace(sensor, **known) == preset


@pytest.mark.parametrize(
    ('group', 'key', 'message'),
    [
        (None, 'hFOV', 'missing keys hFOV'),
        ('gain_params', 'max_CoC', 'gain_params has missing keys max_CoC'),
        ('noise_params', 'STD_reads', 'noise_params has missing keys STD_reads'),
    ],
)
def test_incomplete_json_is_refused(tmp_path: Path, group, key: str, message: str) -> None:
    content = reference_json()
    del (content[group] if group else content)[key]
    path = tmp_path / 'lens.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        SensorModel.load(path)
    content = reference_json()
    (content[group] if group else content)['extra'] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='unknown keys extra'):
        SensorModel.load(path)


def test_json_with_bad_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'lens.json'
    for key, value in (('hFOV', 0), ('distort_params', [1, 2]), ('focal_length', '5mm')):
        path.write_text(json.dumps(reference_json() | {key: value}))
        with pytest.raises(ValueError, match=key):
            SensorModel.load(path)
    path.write_text('{"hFOV": ')
    with pytest.raises(ValueError, match=r'lens\.json'):
        SensorModel.load(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'image_width': 0}, r'image_width = 0: must be an integer >= 1 \[px\]'),
        ({'image_height': 2.5}, 'image_height = 2.5'),
        ({'quantum_efficiency': (0.5, 0.5)}, 'quantum_efficiency.*3 numbers'),
        ({'quantum_efficiency': (0.5, math.nan, 0.5)}, 'quantum_efficiency'),
        ({'scene_illuminance': math.inf}, 'scene_illuminance = inf'),
        ({'vignetting_gain': 1.5}, 'vignetting_gain = 1.5.*<= 1'),
        ({'max_coc': torch.tensor(200.0)}, 'max_coc'),
        ({'pixel_size': True}, 'pixel_size = True'),
        ({'pixel_size': None}, 'pixel_size = None'),
        ({'distortion_coefficients': (0.1, 0.2)}, 'k1, k2, p1, p2, k3'),
        ({'distortion_model': 'fov'}, "'fov'.*plumb_bob"),
        ({'response_type': 'gamma', 'response_gamma': 0.0}, 'response_gamma = 0.0'),
        ({'bit_depth': 7}, 'bit_depth = 7: must be 8 to 16, or 0'),
        ({'bayer_pattern': 'rgbg'}, "bayer_pattern = 'rgbg'.*rggb"),
        ({'full_well': 0.0}, 'full_well = 0.0.*> 0.*or null'),
        ({'black_level': 1.0}, 'black_level = 1.0.*<= 0.9'),
        ({'color_matrix': (1.0, 0.0, 0.0)}, 'color_matrix.*9 numbers'),
        ({'response_table': (0.5,)}, 'response_table.*at least 2'),
        ({'response_table': (0.0, 0.6, 0.5)}, 'response_table.*never fall'),
        ({'hot_pixel_fraction': -0.1}, 'hot_pixel_fraction = -0.1'),
        ({'prnu': (0.1, -0.1, 0.1)}, 'prnu'),
        ({'vignetting_map': (1.0,) * 6, 'vignetting_map_columns': 4}, '6 values.* = 4'),
        ({'vignetting_model': 'map'}, 'vignetting_map must not be empty'),
        ({'settings': {'aperture': 2.0}}, 'must be CameraSettings'),
    ],
)
def test_bad_values_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SensorModel(**change)


def test_every_field_is_described() -> None:
    for item in fields(SensorModel):
        if item.name not in ('name', 'settings'):
            parameter = item.metadata['parameter']
            assert parameter.about and bool(parameter.unit) == parameter.numeric


def test_every_field_and_preset_is_documented(repository: Path) -> None:
    text = (repository / 'docs' / 'camera_model.md').read_text(encoding='utf-8')
    for name, parameter in PARAMETERS.items():
        assert f'| `{name}` | {parameter.unit or "–"} |' in text
    for path in (repository / 'config' / 'cameras').glob('*.yaml'):
        assert SensorModel.load(path).name == path.stem


@pytest.mark.parametrize('name', preset_names())
def test_presets_expose_a_white_diffuser_well(name: str) -> None:
    sensor = SensorModel.preset(name)
    assert sensor.name == name
    s = sensor.settings
    electrons = expose(
        torch.full((1, 1, 3), 0.5),
        s.aperture,
        s.exposure_time,
        sensor.pixel_size,
        sensor.quantum_efficiency,
        sensor.scene_illuminance,
        sensor.aggregator_gain,
        sensor.dark_current,
    )
    kind, gains, biases = sensor.response_type, sensor.response_gains, sensor.response_biases
    digital = respond(
        electrons,
        s.iso,
        kind,
        gains,
        biases,
        sensor.response_gamma,
        table=sensor.response_table,
    )
    assert 0.3 < digital.mean() < 0.75 and digital.max() < 0.95


def test_the_issue_s_presets_are_there() -> None:
    wanted = {'bfs_u3_31s4c_5mm', 'bfs_u3_31s4c_12mm', 'generic_vga', 'ideal_pinhole'}
    wanted |= {'large_sensor', 'bayer_webcam'}
    assert wanted <= set(preset_names())
    with pytest.raises(ValueError, match=r'no camera preset .*generic_vga'):
        SensorModel.preset('polaroid')


def test_presets_are_found_where_they_are_installed(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / 'share' / 'diffphyscam_ros' / 'config' / 'cameras'
    folder.mkdir(parents=True)
    UNUSUAL.save(folder / 'mine.yaml')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')
    assert 'mine' in preset_names() and SensorModel.preset('mine') == UNUSUAL
    monkeypatch.delenv('AMENT_PREFIX_PATH')
    monkeypatch.setattr(resources.sys, 'prefix', str(tmp_path))
    assert SensorModel.preset('mine') == UNUSUAL


def test_ideal_pinhole_shows_radiance_as_it_is() -> None:
    sensor = SensorModel.preset('ideal_pinhole')
    camera = PhysicalCamera(sensor)
    radiance = torch.rand(480, 640, 3)
    radiance[0, 0] = 1.0
    frame = camera(radiance, torch.rand(480, 640), sensor.settings)
    torch.testing.assert_close(frame.image, radiance, rtol=1e-6, atol=1e-7)
    assert camera.source_intrinsics(sensor.settings) == sensor.intrinsics(sensor.settings)


def test_intrinsics_follow_the_focal_length_and_the_focus() -> None:
    sensor = SensorModel(pixel_size=5e-6, focal_scale=(1.0, 1.02), principal_point=(300.0, 250.0))
    settings = CameraSettings(focal_length=0.004, focus_distance=0.5)
    view = sensor.intrinsics(settings)
    assert (view.fx, view.fy) == pytest.approx((800.0, 816.0))
    assert (view.cx, view.cy) == (300.0, 250.0)
    breathing = replace(sensor, focus_breathing=True)
    v = 0.004 * 0.5 / (0.5 - 0.004)
    assert breathing.intrinsics(settings).fx == pytest.approx(v / 5e-6)
    far = replace(settings, focus_distance=math.inf)
    assert breathing.intrinsics(far).fx == pytest.approx(800.0)
    assert SensorModel().intrinsics().cx == 319.5


def test_resizing_keeps_field_of_view_and_brightness() -> None:
    sensor = SensorModel.preset('bfs_u3_31s4c_5mm')
    small = sensor.resized(640, 400)
    before, after = sensor.intrinsics(), small.intrinsics()
    assert after.width / after.fx == pytest.approx(before.width / before.fx)
    assert (after.cx, after.cy) == (319.5, 199.5)
    gathered = [s.aggregator_gain * s.pixel_size**2 for s in (sensor, small)]
    assert gathered[0] == pytest.approx(gathered[1])
    assert small.max_coc == pytest.approx(21 * 640 / 2048)
    off = replace(sensor, principal_point=(0.0, 0.0)).resized(1024, 768)
    assert off.principal_point == pytest.approx((-0.25, -0.25))
    assert sensor.resized(2048, 1536).intrinsics() == before
