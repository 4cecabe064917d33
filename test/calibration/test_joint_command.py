# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The joint refinement in the whole command: report, files, the way to leave it out."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')

from bag_writing import BagWriter
import joint_frames as boards
import numpy as np
import pipeline_bags
import yaml

from diffphyscam_ros.calibration import joint, joint_frames, stages
from diffphyscam_ros.calibration.request import Request
from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.cli.main import main


def calibrate(bag: Path, target: str, out: Path, *options: str) -> int:
    return main(
        ['calibrate', str(bag), '--target', target, '--quiet', '--out', str(out), *options]
    )


def stages_of(out: Path) -> dict[str, dict]:
    report = json.loads((out / 'report.json').read_text('utf-8'))
    return {stage['stage']: stage for stage in report['stages']}


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    """Write a recording of boards by a camera that gives its mosaic."""
    path = tmp_path_factory.mktemp('joint') / 'boards'
    sensor = boards.truth(bayer_pattern='rggb')
    kept = ('vignetting', 'exposure', 'noise', 'mosaic', 'response', 'quantization')
    with BagWriter(path) as writer:
        for number, (*pose, _) in enumerate(boards.poses(sensor, 10, 4)):
            frame = boards.filmed(
                sensor, tuple(pose), number=number, encoding='bayer_rggb16', stages=kept
            )
            writer.image(number, frame.image, 'bayer_rggb16')
            writer.metadata(number, 10_000.0)
    return path


@pytest.fixture(scope='module')
def done(bag, tmp_path_factory) -> Path:
    """Calibrate with a stage of intrinsics that is wrong by 1 %."""
    out = tmp_path_factory.mktemp('out')
    estimate = stages.estimate_intrinsics

    def wrong(*views, **options):
        found = estimate(*views, **options)
        fit = found.solution.fit
        camera = np.array([1.01, 1.01, *[1.0] * (len(fit.camera) - 2)]) * fit.camera
        return replace(found, fit=replace(found.solution, fit=replace(fit, camera=camera)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, 'estimate_intrinsics', wrong)
        patch.setattr(joint_frames, 'SAMPLES', 700)
        options = ('--role', 'boards=board', '--accept-weak')
        assert calibrate(bag, boards.TARGET.text, out, *options) == 0
    return out


def test_the_report_says_whether_it_is_better(done):
    stage = stages_of(done)['joint']
    plots = stage['plots']
    assert plots['verdict'] == ('improved' if stage['estimates'] else 'not improved')
    assert plots['sentence'] == stage['messages'][0]
    assert len(plots['frames']) == 10
    html = (done / 'report.html').read_text('utf-8')
    assert 'id="joint"' in html and 'Frames held out' in html and 'Move, in staged std' in html
    assert f'>{plots["verdict"]}</span>' in html


def test_what_was_taken_is_what_all_files_say(done):
    stage = stages_of(done)['joint']
    assert stage['plots']['verdict'] == 'improved', stage['messages'][0]
    moved = {row['name']: row['refined'] for row in stage['plots']['moves']}
    k = SensorModel.load(done / 'camera.calibration.yaml').intrinsics()
    info = yaml.safe_load((done / 'camera.camera_info.yaml').read_text('utf-8'))
    matrix = info['camera_matrix']['data']
    for name, place in (('fx', 0), ('fy', 4), ('cx', 2), ('cy', 5)):
        assert float(getattr(k, name)) == pytest.approx(moved[name], rel=1e-9)
        assert matrix[place] == pytest.approx(moved[name], rel=1e-9)
    content = yaml.safe_load((done / 'camera.calibration.yaml').read_text('utf-8'))
    assert 'refined' in content['parameters']['focal_scale']['reason']
    true = boards.camera_of(boards.truth())
    found = {row['name']: row for row in stage['plots']['moves']}
    for name, value in zip(('fx', 'fy', 'cx', 'cy'), true, strict=False):
        assert abs(found[name]['refined'] - value) < 3.5 * found[name]['std'], name


def test_mosaics_are_compared_photosite_by_photosite(done):
    report = json.loads((done / 'report.json').read_text('utf-8'))
    assert len(report['pictures']) == 3
    for picture in report['pictures']:
        assert 'photosites' in picture['caption'] and picture['psnr'] > 25.0
        assert picture['staged_psnr'] > 25.0
        assert 'staged_png' in picture['labels']


def test_it_can_be_left_out(bag, tmp_path):
    options = ('--role', 'boards=board', '--accept-weak', '--no-joint')
    assert calibrate(bag, boards.TARGET.text, tmp_path, *options) == 0
    assert 'joint' not in stages_of(tmp_path)
    report = json.loads((tmp_path / 'report.json').read_text('utf-8'))
    assert 'staged_psnr' not in report['pictures'][0]


def test_required_it_must_improve_something(bag, tmp_path, capsys):
    options = ('--role', 'boards=board', '--accept-weak', '--no-joint', '--require', 'joint')
    assert calibrate(bag, boards.TARGET.text, tmp_path, *options) == 1
    assert 'joint is required' in capsys.readouterr().err


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, capsys):
    path = pipeline_bags.write_boards(tmp_path / 'boards')

    def interrupted(*_, tick, **__):
        tick()
        raise KeyboardInterrupt

    monkeypatch.setattr(joint, 'refine', interrupted)
    assert calibrate(path, pipeline_bags.TARGET, tmp_path / 'out') == 130
    assert not (tmp_path / 'out').exists()
    assert 'nothing was left half-written' in capsys.readouterr().err


def test_a_senseless_seed_is_refused():
    with pytest.raises(ValueError, match='seed = -1'):
        Request((Path('a'),), seed=-1)
