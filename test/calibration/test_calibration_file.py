# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The calibration file, atomic writing, hashes of bags, numbers with their uncertainty."""

from __future__ import annotations

from dataclasses import replace
import os

import pytest
import yaml

from diffphyscam_ros.calibration.bag_hash import bag_hash
from diffphyscam_ros.calibration.calibration_file import (
    BagRecord,
    calibration_yaml,
    latest,
    sensor_with,
)
from diffphyscam_ros.calibration.darkness import darkness_in_response
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.report_text import number_with_std, value_text
from diffphyscam_ros.calibration.types import Estimate
from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.camera.atomic_file import write_files


def estimate(name, value, std=None, unit='1', verdict='estimated', reason='why: "so"'):
    return Estimate(name, value, std, unit, verdict, reason, 7, 'a, b')


READ = estimate('read_noise', (2.0, 2.5, 3.0), (0.1, 0.1, 0.2), 'e-')
MODEL = estimate('distortion_model', 'equidistant', None, '')
LENS = estimate('distortion_coefficients', (0.1, 1e-7, 0.0, 0.0), (0.01,) * 4)
FOCUS = estimate('focus_distance', 0.8, 0.01, 'm', 'weak')
REFUSED = estimate('prnu', None, None, '1', 'not estimated')
ALL = (READ, MODEL, LENS, FOCUS, REFUSED)


def test_a_sensor_takes_what_was_estimated_and_nothing_else():
    before = SensorModel(prnu=(0.5, 0.5, 0.5))
    after = sensor_with(before, ALL)
    assert after.read_noise == READ.value and after.distortion_model == 'equidistant'
    assert after.settings.focus_distance == 0.8 and after.prnu == before.prnu
    with pytest.raises(CalibrationError, match='a field of SensorModel'):
        sensor_with(before, (estimate('wonder', 1.0),))
    with pytest.raises(CalibrationError, match='read_noise'):
        sensor_with(before, (replace(READ, value=(-1.0, 0.0, 0.0)),))


def test_the_file_is_read_back_as_it_was(tmp_path):
    sensor = sensor_with(SensorModel(name='front'), ALL)
    bags = (BagRecord('a', 'f' * 64, 5, 'flat'), BagRecord('b', '0' * 64, 2))
    text = calibration_yaml(sensor, ALL, bags, base='base.yaml', about={'outcome': 'passed'})
    path = tmp_path / 'front.calibration.yaml'
    path.write_text(text, encoding='utf-8')
    assert SensorModel.load(path) == sensor
    content = yaml.safe_load(text)
    entry = content['parameters']['read_noise']
    assert entry['std'] == [0.1, 0.1, 0.2] and entry['reason'] == 'why: "so"'
    assert entry['source_hash'] == {'a': 'f' * 64, 'b': '0' * 64} and entry['frames'] == 7
    assert content['parameters']['prnu']['verdict'] == 'not estimated'
    assert content['parameters']['glare_radius']['verdict'] == 'given'
    assert 'base.yaml' in content['parameters']['glare_radius']['reason']
    assert content['settings']['focus_distance']['verdict'] == 'weak'
    assert content['calibration']['bags'][0]['role'] == 'flat'


def test_typing_errors_in_such_a_file_are_named(tmp_path):
    text = calibration_yaml(SensorModel(), ALL, ())
    path = tmp_path / 'x.yaml'
    path.write_text(text.replace('    verdict: weak', '    verdikt: weak'), encoding='utf-8')
    with pytest.raises(ValueError, match='focus_distance has unknown keys verdikt'):
        SensorModel.load(path)
    path.write_text(text.replace('calibration:', 'calibrated:'), encoding='utf-8')
    with pytest.raises(ValueError, match='unknown keys calibrated'):
        SensorModel.load(path)


def test_a_refusal_displaces_no_estimate():
    found = latest((READ, replace(READ, value=None, std=None, verdict='not estimated')))
    assert found['read_noise'] is READ
    assert latest((READ, replace(READ, frames=9)))['read_noise'].frames == 9


def test_files_appear_together_or_not_at_all(tmp_path):
    old = tmp_path / 'one.txt'
    old.write_text('old')
    with pytest.raises(OSError):
        write_files({old: 'new', tmp_path / 'missing' / 'two.txt': b'2'})
    assert old.read_text() == 'old' and os.listdir(tmp_path) == ['one.txt']
    write_files({old: 'new', tmp_path / 'two.bin': b'2'})
    assert old.read_text() == 'new' and (tmp_path / 'two.bin').read_bytes() == b'2'


def test_the_hash_of_a_bag_is_that_of_its_bytes(tmp_path):
    for name in ('one', 'two'):
        (tmp_path / name / 'part').mkdir(parents=True)
        (tmp_path / name / 'part' / 'a.db3').write_bytes(b'abc')
        (tmp_path / name / 'metadata.yaml').write_bytes(b'x')
    same = bag_hash(tmp_path / 'one')
    assert bag_hash(tmp_path / 'two') == same and len(same) == 64
    (tmp_path / 'two' / 'metadata.yaml').write_bytes(b'y')
    assert bag_hash(tmp_path / 'two') != same
    assert bag_hash(tmp_path / 'one' / 'metadata.yaml').startswith('2d711642b726b044')


@pytest.mark.parametrize(
    ('value', 'std', 'text'),
    [
        (531.2345, 0.1234, '531.23 ± 0.12'),
        (-0.1234, 0.05, '-0.123 ± 0.050'),
        (12345.6, 320.0, '12346 ± 320'),
        (1.0301e-6, 1.9e-9, '(1.0301 ± 0.0019)e-6'),
        (4.0, None, '4'),
        (4.0, 0.0, '4'),
        (float('inf'), None, '∞'),
    ],
)
def test_numbers_are_rounded_to_what_is_known(value, std, text):
    assert number_with_std(value, std) == text


def test_lists_flags_and_refusals_as_text():
    assert value_text(READ) == '2.00 ± 0.10, 2.50 ± 0.10, 3.00 ± 0.20 e-'
    assert value_text(estimate('read_noise_fixed', 0.0)) == 'false'
    assert value_text(REFUSED) == '–'
    many = estimate('vignetting_map', tuple(0.5 + 0.01 * i for i in range(63)))
    assert value_text(many) == '63 values from 0.5 to 1.12'


@pytest.mark.parametrize('kind', ['linear', 'table'])
def test_darkness_of_finished_pictures_moves_into_the_response(kind):
    import torch

    from diffphyscam_ros.camera import PhysicalCamera

    black = estimate('black_level', 0.1, 0.001)
    gains = estimate('response_gains', (0.02, 0.02, 0.02), (1e-4,) * 3)
    table = estimate('response_table', (0.0, 0.7, 1.0), (0.0, 0.01, 0.0))
    found = [black, gains, estimate('response_type', kind, None, ''), table]
    sensor = sensor_with(SensorModel(vignetting_gain=0.0), found)
    assert darkness_in_response(found, sensor, 'bayer_rggb8') is None
    moved = darkness_in_response(found, sensor, 'rgb8')
    assert moved is not None
    after = sensor_with(sensor, moved.estimates)
    assert after.black_level == 0.0

    def values(camera, stages):
        light = torch.linspace(0, 40, 9, dtype=torch.float64)[None, :, None].expand(1, 9, 3)
        one = PhysicalCamera(camera, stages=stages)
        settings = camera.settings
        return one.sense(light.contiguous() * 3.0, replace(settings, iso=100.0)).image

    finished = values(after, ('response', 'color'))
    raw = values(sensor, ('response',))
    torch.testing.assert_close(finished, raw)
