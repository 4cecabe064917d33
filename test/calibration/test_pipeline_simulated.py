# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From a real camera_node through real messages in bags to a camera that is the same."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
pytest.importorskip('rosbags', reason='rosbags is not installed')

from diffphyscam_ros.camera import PhysicalCamera, SensorModel
from diffphyscam_ros.cli.main import main

TARGET = 'chessboard:8x6:0.03'
BAGS = ('boards', 'flat', 'dark', 'sweep', 'focus')


@pytest.fixture(scope='module')
def folder(repository, tmp_path_factory) -> Path:
    """Record a camera, small and short, and calibrate it; return the folder of all that."""
    folder = tmp_path_factory.mktemp('simulated') / 'bags'
    script = repository / 'examples' / 'make_calibration_bag.py'
    command = [sys.executable, str(script), '--out', str(folder), '--quick', '--seed', '3']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope='module')
def code(folder) -> int:
    return main(
        [
            'calibrate', *(str(folder / name) for name in BAGS), '--quiet', '--target', TARGET,
            '--sensor', str(folder / 'start.yaml'), '--name', 'sim', '--out', str(folder / 'out'),
        ]
    )  # fmt: skip


@pytest.fixture(scope='module')
def truth(folder) -> SensorModel:
    return SensorModel.load(folder / 'truth.yaml')


@pytest.fixture(scope='module')
def found(folder, code) -> SensorModel:
    return SensorModel.load(folder / 'out' / 'sim.calibration.yaml')


@pytest.fixture(scope='module')
def estimates(folder, code) -> dict[str, dict]:
    report = json.loads((folder / 'out' / 'report.json').read_text('utf-8'))
    return {
        item['name']: item
        for stage in report['stages']
        for item in stage['estimates']
        if item['value'] is not None
    }


def test_it_passes_and_knows_what_each_bag_was_filmed_for(folder, code):
    report = json.loads((folder / 'out' / 'report.json').read_text('utf-8'))
    assert code == 0, report['below']
    roles = {
        bag['name']: max(bag['roles'], key=bag['roles'].get) for bag in report['audit']['bags']
    }
    assert roles == {'boards': 'board', **{name: name for name in BAGS[1:]}}
    assert report['audit']['settings_sources'][0] == 'metadata'


def test_every_parameter_is_within_three_deviations(truth, estimates):
    expected = {
        'focal_scale': (truth.focal_scale, 1e-4),
        'principal_point': (truth.principal_point, 0.05),
        'response_gains': (truth.response_gains, 0.0),
        'read_noise': (truth.read_noise, 0.02),
        'dark_current': (truth.dark_current, 0.5),
        'dsnu': (truth.dsnu, 0.02),
        'prnu': (truth.prnu, 5e-5),
        # half a step of 12 bits, in which the pictures are
        'response_biases': (truth.response_biases, 0.5 / 4095),
        'defocus_gain': (truth.defocus_gain, 0.01),
        'vignetting_gain': (truth.vignetting_gain, 0.002),
        'quantum_efficiency': (truth.quantum_efficiency, 0.001),
    }
    wrong = []
    for name, (true, floor) in expected.items():
        item = estimates[name]
        off = np.abs(np.subtract(item['value'], true))
        if not (off <= 3.0 * np.asarray(item['std']) + floor).all():
            wrong.append(f'{name}: {item["value"]} ± {item["std"]}, truly {true}')
    assert not wrong, '\n'.join(wrong)
    assert estimates['black_level']['value'] == truth.black_level == 0.0
    assert estimates['bit_depth']['value'] == truth.bit_depth
    assert estimates['response_type']['value'] == 'linear'
    assert estimates['vignetting_model']['value'] == 'cos4'


def camera_matrix(sensor: SensorModel) -> np.ndarray:
    k = sensor.intrinsics()
    return np.array([[k.fx, 0, k.cx], [0, k.fy, k.cy], [0, 0, 1]], np.float64)


def test_directions_fall_on_the_same_pixels_where_boards_were(truth, found):
    columns, rows = np.meshgrid(np.linspace(20, 300, 15), np.linspace(20, 220, 11))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1)[:, None]
    rays = cv2.undistortPoints(
        pixels, camera_matrix(truth), np.array(truth.distortion_coefficients)
    )
    rays = np.concatenate([rays[:, 0], np.ones((len(rays), 1))], axis=1)
    back, _ = cv2.projectPoints(
        rays, np.zeros(3), np.zeros(3), camera_matrix(found),
        np.array(found.distortion_coefficients),
    )  # fmt: skip
    moved = (back - pixels)[:, 0]
    # A shift of the principal point is a turn of the camera, which no board can tell.
    moved -= moved.mean(axis=0)
    assert np.sqrt((moved**2).sum(axis=1).mean()) < 0.3


def test_it_takes_the_same_pictures(truth, found):
    """The mean and the noise of a flat field, of another light and exposure than recorded."""
    pictures = []
    # How bright the recorded light was is not known: only ratios count.
    for sensor in (truth, replace(found, aggregator_gain=truth.aggregator_gain)):
        settings = replace(truth.settings, exposure_time=0.001)
        camera = PhysicalCamera(replace(sensor, fixed_pattern_seed=1), seed=5)
        source = camera.source_intrinsics(settings)
        shape = (source.height, source.width)
        light, depth = torch.full((*shape, 3), 0.7), torch.ones(shape)
        with torch.no_grad():
            frames = [camera(light, depth, settings, frame_number=n).image for n in range(6)]
        pictures.append(torch.stack(frames).double())
    real, made = pictures
    assert (real.mean(dim=(0, 3)) - made.mean(dim=(0, 3))).abs().mean() < 0.005
    noise = [float(shots.std(dim=0).mean()) for shots in pictures]
    assert noise[1] == pytest.approx(noise[0], rel=0.05)


def test_camera_node_takes_the_file_as_it_is(folder, code, found):
    from diffphyscam_ros.nodes.camera_state import resolve

    path = folder / 'out' / 'sim.calibration.yaml'
    configuration = resolve(None, {'calibration_file': str(path)})
    assert configuration.sensor.read_noise == found.read_noise
    assert configuration.values['aperture'] == found.settings.aperture
    assert configuration.values['focal_scale'] == found.focal_scale


def test_the_forms_of_other_tools(folder, tmp_path, truth, found, capsys):
    import yaml

    given = [str(folder / name) for name in BAGS]
    given += ['--target', TARGET, '--sensor', str(folder / 'start.yaml'), '--quiet', '--tum']
    main(['calibrate', *given, '--kalibr', '--fix', 'k3', '--out', str(tmp_path)])
    chain = yaml.safe_load((tmp_path / 'camera.camchain.yaml').read_text('utf-8'))['cam0']
    assert chain['distortion_model'] == 'radtan' and len(chain['distortion_coeffs']) == 4
    assert chain['intrinsics'][0] == pytest.approx(camera_matrix(truth)[0, 0], rel=0.01)
    light = np.array((tmp_path / 'pcalib.txt').read_text().split(), float)
    # linear above its darkness, which the lowest values never reach
    assert light.shape == (256,) and light[0] == 0 and light[-1] == 255
    assert np.diff(light[20:]) == pytest.approx(np.diff(light[20:]).mean(), rel=0.02)
    vignette = cv2.imread(str(tmp_path / 'vignette.png'), cv2.IMREAD_UNCHANGED)
    assert vignette.dtype == np.uint16 and vignette.shape == (240, 320)
    gain, k = float(found.vignetting_gain), camera_matrix(found)
    tan2 = (k[0, 2] / k[0, 0]) ** 2 + (k[1, 2] / k[1, 1]) ** 2
    corner = 1 - gain + gain / (1 + tan2) ** 2
    assert vignette[0, 0] / 65535 == pytest.approx(corner, abs=0.01)
    # k3 = 0 is asked for only by --fix
    main(['calibrate', *given[:1], '--target', TARGET, '--kalibr', '--out', str(tmp_path / 'k')])
    assert '--fix k3' in capsys.readouterr().err


def test_camera_info_is_read_by_ros_and_is_the_same_k(folder, code, found):
    from diffphyscam_ros.nodes.calibration_info import load

    info = load(folder / 'out' / 'sim.camera_info.yaml')
    k = found.intrinsics()
    assert info.k == pytest.approx((k.fx, k.fy, k.cx, k.cy), rel=1e-9)
    assert info.distortion == found.distortion_coefficients
