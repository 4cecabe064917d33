# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Mosaics and curved responses, from a real camera_node through bags and the whole command."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
pytest.importorskip('rosbags', reason='rosbags is not installed')

from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.cli.main import main

ALL = ('boards', 'flat', 'dark', 'sweep', 'focus')
KINDS = {
    'mosaic of 16 bits, gamma': ('bayer_grbg16', 'gamma', ALL),
    'mosaic of 8 bits, linear': ('bayer_rggb8', 'linear', ALL),
    'colours, sigmoid': ('rgb16', 'sigmoid', ('flat', 'dark', 'sweep')),
}


@pytest.fixture(scope='module', params=KINDS)
def done(request, repository, tmp_path_factory) -> tuple[str, str, SensorModel, dict]:
    """Record and calibrate; return encoding, response, the truth and the report."""
    encoding, response, bags = KINDS[request.param]
    folder = tmp_path_factory.mktemp('kinds') / 'bags'
    script = repository / 'examples' / 'make_calibration_bag.py'
    command = [sys.executable, str(script), '--out', str(folder), '--quick', '--seed', '3']
    command += ['--encoding', encoding, '--response', response, '--record', *bags]
    made = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    out = folder / 'out'
    arguments = ['calibrate', *(str(folder / name) for name in bags), '--quiet', '--out', str(out)]
    arguments += ['--target', 'chessboard:8x6:0.03', '--sensor', str(folder / 'start.yaml')]
    assert main([*arguments, '--accept-weak']) == 0
    report = json.loads((out / 'report.json').read_text('utf-8'))
    return encoding, response, SensorModel.load(folder / 'truth.yaml'), report


def estimates_of(report: dict) -> dict[str, dict]:
    return {
        item['name']: item
        for stage in report['stages']
        for item in stage['estimates']
        if item['value'] is not None
    }


def test_every_bag_is_known_for_what_it_is(done):
    bags = done[3]['audit']['bags']
    roles = {bag['name']: max(bag['roles'], key=bag['roles'].get) for bag in bags}
    assert roles == {name: 'board' if name == 'boards' else name for name in roles}


def test_every_parameter_is_within_three_deviations(done):
    encoding, response, truth, report = done
    found = estimates_of(report)
    mosaic = encoding.startswith('bayer')
    wide = encoding.endswith('16')
    expected = {  # value and how far off it may be besides
        'quantum_efficiency': (truth.quantum_efficiency, 0.001),
        'prnu': (truth.prnu, 5e-5),
        'vignetting_gain': (truth.vignetting_gain, 0.003),
    }
    if len(report['audit']['bags']) == len(ALL):
        expected |= {
            'focal_scale': (truth.focal_scale, 2e-4),
            'principal_point': (truth.principal_point, 0.05),
            'defocus_gain': (truth.defocus_gain, 0.01),
        }
    if response == 'linear':  # of a mosaic the pedestal is the black level
        pedestal = truth.response_biases[0]
        expected['response_gains'] = (np.array(truth.response_gains) / (1.0 - pedestal), 0.0)
        expected['black_level'] = (pedestal, 0.5 / 255)
        expected['dark_current'] = (truth.dark_current, 0.0)
    if response == 'sigmoid':
        expected['response_biases'] = (truth.response_biases, 0.0)
        expected['response_gains'] = (truth.response_gains, 0.0)
        expected['dark_current'] = (truth.dark_current, 0.5)
    if response == 'gamma':
        expected['response_gamma'] = (truth.response_gamma, 0.0)
        expected['shot_noise_gain'] = (truth.shot_noise_gain, 0.0)
        expected['dsnu'] = (truth.dsnu, 0.02)
        # In the unit of photon transfer; that of the curve alone is known to some 6 %.
        assert np.allclose(found['shot_noise_gain']['value'], 1.0, atol=0.01)
        assert np.allclose(found['read_noise']['value'], truth.read_noise, rtol=0.05)
        assert found['response_gamma']['std'] < 0.02
    if wide:
        expected['read_noise'] = (truth.read_noise, 0.2)
    wrong = []
    for name, (true, floor) in expected.items():
        item = found[name]
        off = np.abs(np.subtract(item['value'], true))
        if not (off <= 3.0 * np.asarray(item['std']) + floor).all():
            wrong.append(f'{name}: {item["value"]} ± {item["std"]}, truly {true}')
    assert not wrong, '\n'.join(wrong)
    assert found['response_type']['value'] == response
    assert found['vignetting_model']['value'] == 'cos4'
    assert found['bit_depth']['value'] == (12 if wide else 8)
    assert ('white_balance' in found) == mosaic


def test_what_eight_bits_hide_is_said(done):
    noise = next(stage for stage in done[3]['stages'] if stage['stage'] == 'noise')
    items = {item['name']: item for item in noise['estimates']}
    if done[0].endswith('8'):
        assert items['read_noise']['verdict'] == 'weak'
        assert items['dsnu']['verdict'] == 'weak' and 'more bits' in items['dsnu']['reason']
        assert np.allclose(items['dsnu']['value'], done[2].dsnu, rtol=0.1)
    else:
        assert items['read_noise']['value'] is not None
