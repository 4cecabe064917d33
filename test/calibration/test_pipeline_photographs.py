# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Real photographs of a board, in a bag, through the whole command."""

from __future__ import annotations

import json

import cv2
import pytest
import yaml

pytest.importorskip('rosbags', reason='rosbags is not installed')

from bag_writing import BagWriter

from diffphyscam_ros.cli.main import main


def test_photographs_give_the_k_of_ros(shared_data, tmp_path):
    """23 photographs and what ROS's camera_calibration made of them, with two coefficients."""
    folder = shared_data / 'calibration' / 'heethesh_ros_chessboard'
    if not folder.is_dir():
        pytest.skip(f'no photographs: {folder} is absent')
    with BagWriter(tmp_path / 'boards') as bag:
        for number, path in enumerate(sorted(folder.glob('left-*.png'))):
            bag.image(number, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    arguments = ['calibrate', str(tmp_path / 'boards'), '--target', 'chessboard:7x5:0.05']
    arguments += ['--fix', 'k3', '--quiet', '--no-cache']
    code = main([*arguments, '--accept-weak', '--max-error', '1', '--out', str(tmp_path / 'out')])
    report = json.loads((tmp_path / 'out' / 'report.json').read_text('utf-8'))
    assert code == 0, report['below']
    found = yaml.safe_load((tmp_path / 'out' / 'camera.camera_info.yaml').read_text('utf-8'))
    ros = yaml.safe_load((folder / 'ost.yaml').read_text('utf-8'))
    ours, theirs = (item['camera_matrix']['data'] for item in (found, ros))
    for index in (0, 4):
        assert ours[index] == pytest.approx(theirs[index], rel=0.01)
    for index in (2, 5):
        assert abs(ours[index] - theirs[index]) < 4.5
    assert report['pictures'] and min(item['ssim'] for item in report['pictures']) > 0.6
