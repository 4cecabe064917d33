# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The command: its files, its exit codes, its answers to senseless options."""

from __future__ import annotations

import json
from pathlib import Path
import re
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')

import pipeline_bags as bags

from diffphyscam_ros.calibration import stages
from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.cli.main import main


@pytest.fixture(scope='module')
def boards(tmp_path_factory) -> Path:
    return bags.write_boards(tmp_path_factory.mktemp('bags') / 'boards')


def calibrate(*arguments: object) -> int:
    return main(['calibrate', '--quiet', *map(str, arguments)])


@pytest.fixture(scope='module')
def done(boards, tmp_path_factory) -> tuple[int, Path]:
    """Calibrate the good boards once; return the exit code and the folder."""
    out = tmp_path_factory.mktemp('out')
    return calibrate(boards, '--target', bags.TARGET, '--name', 'eye', '--out', out), out


def report_of(out: Path) -> dict:
    return json.loads((out / 'report.json').read_text('utf-8'))


def test_a_good_recording_passes_and_leaves_all_files(done):
    code, out = done
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        'eye.calibration.yaml', 'eye.camera_info.yaml', 'report.html', 'report.json'
    ]  # fmt: skip


def test_k_is_the_true_one_within_its_uncertainty(done):
    sensor = SensorModel.load(done[1] / 'eye.calibration.yaml')
    k = sensor.intrinsics()
    found = report_of(done[1])['stages'][0]['plots']['parameters']
    for name, true in (('fx', 330.0), ('fy', 331.0), ('cx', 158.0), ('cy', 121.0)):
        value, std = found[name]
        assert abs(value - true) < 4 * std and std < 2.0, name
        assert float(getattr(k, name)) == pytest.approx(value, rel=1e-9)


def test_the_report_needs_nothing_else_and_names_every_parameter(done):
    text = (done[1] / 'report.html').read_text('utf-8')
    # namespaces of SVG are names, nothing is fetched from there
    outside = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text)
    assert outside == [] and '<script' not in text and '@import' not in text
    assert not re.findall(r'url\((?!#)[^)]*\)', text)
    for estimate in report_of(done[1])['stages'][0]['estimates']:
        assert estimate['name'] in text
    assert 'Reprojection residuals' in text and 'Coverage' in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for svg in re.findall(r'<svg.*?</svg>', text, re.DOTALL):
        ElementTree.fromstring(svg)


def test_every_value_says_where_it_is_from(done, boards):
    import yaml

    content = yaml.safe_load((done[1] / 'eye.calibration.yaml').read_text('utf-8'))
    made = content['calibration']
    assert made['tool'].startswith('diffphyscam_ros ')
    assert re.fullmatch('[0-9a-f]{64}', made['bags'][0]['sha256'])
    for name, entry in content['parameters'].items():
        assert entry['verdict'] in ('estimated', 'weak', 'not estimated', 'given'), name
        assert entry['reason'], name
    scale = content['parameters']['focal_scale']
    assert len(scale['std']) == 2 and scale['source'] == 'boards' and scale['frames'] >= 8
    assert scale['source_hash'] == {'boards': made['bags'][0]['sha256']}
    assert content['parameters']['read_noise']['verdict'] == 'not estimated'


def test_same_input_same_output(done, boards, tmp_path):
    calibrate(boards, '--target', bags.TARGET, '--name', 'eye', '--out', tmp_path)
    for path in done[1].iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_interrupted_it_leaves_what_was_there(done, boards, tmp_path, monkeypatch, capsys):
    (tmp_path / 'report.html').write_text('old')

    def interrupted(context):
        raise KeyboardInterrupt

    monkeypatch.setitem(stages.STAGES, 'noise', interrupted)
    assert calibrate(boards, '--target', bags.TARGET, '--out', tmp_path) == 130
    assert 'nothing was left half-written' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['report.html']
    assert (tmp_path / 'report.html').read_text() == 'old'


def test_dry_run_writes_nothing_and_says_what_to_film(boards, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['calibrate', str(boards), '--target', bags.TARGET, '--dry-run']) == 0
    text = capsys.readouterr().out
    assert 'intrinsics' in text and 'flat' in text
    assert list(tmp_path.iterdir()) == []
    arguments = ['calibrate', str(boards), '--target', bags.TARGET, '--dry-run', '--json']
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)['boards'][0] >= 10


def test_below_the_threshold_is_said_and_the_files_are_there(boards, tmp_path, capsys):
    code = calibrate(
        boards, '--target', bags.TARGET, '--max-error', 0.001, '--require', 'noise', '--out',
        tmp_path,
    )  # fmt: skip
    assert code == 1
    text = capsys.readouterr().err
    assert '0.001 px' in text and 'noise is required' in text
    report = report_of(tmp_path)
    assert report['outcome'] == 'below the threshold' and len(report['below']) == 2
    assert (tmp_path / 'camera.calibration.yaml').is_file()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['missing.mcap'], ['missing.mcap']),
        (['BOARDS', '--target', 'chessboard:8x6'], ['chessboard:8x6:0.025']),
        (['BOARDS', '--target', 'chessboard:8x6:25'], ['metres']),
        (['BOARDS', '--image-topic', '/other'], ['/other', '/cam/image_raw']),
        (['BOARDS', '--sensor', 'no_such_camera'], ['no_such_camera', 'generic_vga']),
        (['BOARDS', '--sensor', 'generic_vga'], ['640x480', '320x240']),
        (['BOARDS', '--role', 'other=flat'], ['other', 'boards']),
        (['BOARDS', '--require', 'magic'], ['magic', 'intrinsics']),
        (['BOARDS', '--name', 'a/b'], ['a/b']),
        (['BOARDS', '--exposure-csv', 'none.csv'], ['none.csv']),
    ],
)
def test_senseless_options_are_bad_input(boards, tmp_path, capsys, arguments, words):
    given = [str(boards) if word == 'BOARDS' else word for word in arguments]
    assert calibrate(*given, '--out', tmp_path / 'out') == 2
    text = capsys.readouterr().err
    assert 'Traceback' not in text and all(word in text for word in words), text
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('option', [['--constant', 'exposure=3'], ['--role', 'boards=sky']])
def test_senseless_pairs_are_refused_by_the_parser(boards, capsys, option):
    with pytest.raises(SystemExit) as error:
        calibrate(boards, *option)
    assert error.value.code == 2
    assert 'must be' in capsys.readouterr().err


def test_flat_frames_give_noise_without_a_target(tmp_path):
    flats = bags.write_flats(tmp_path / 'flats')
    out = tmp_path / 'out'
    assert calibrate(flats, '--role', 'flats=flat', '--accept-weak', '--out', out) == 0
    stage = next(item for item in report_of(out)['stages'] if item['stage'] == 'noise')
    found = {item['name']: item for item in stage['estimates']}
    # 30 electrons for each of 255 values, read at 0.4 values
    gains = np.array(found['response_gains']['value'])
    assert gains == pytest.approx(1 / (100 * 30 * 255), rel=0.05)
    intrinsics = report_of(out)['stages'][0]
    assert '--target' in intrinsics['messages'][0]
