# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Photographs and bags as the world has them, through the whole command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')

from bag_writing import BagWriter
from board_pictures import SETS

from diffphyscam_ros.cli.main import main

PLAUSIBLE = {  # focal length, px, and the most that corners may be off in views held out, px
    'charuco': (790.0, 0.8),
    'legacy': (612.0, 0.15),
    'aprilgrid': (605.0, 1.2),
    'arucogrid': (965.0, 0.9),
}

RAW, JPEG = '/test/sensor_msgs/image', '/test/sensor_msgs/compressed_image'


@pytest.fixture(autouse=True, scope='module')
def cache(tmp_path_factory) -> Iterator[None]:
    """Keep the detections, for the boards of one photograph are in several bags."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('DIFFPHYSCAM_DETECTION_CACHE', str(tmp_path_factory.mktemp('detections')))
        yield


def files_of(shared_data: Path, name: str) -> list[Path]:
    files = sorted((shared_data / 'calibration').glob(SETS[name][0]))
    if not files:
        pytest.skip(f'no photographs of {name} in {shared_data}')
    return files


def calibrate(*arguments: object) -> int:
    return main(['calibrate', '--quiet', *map(str, arguments)])


def intrinsics_of(out: Path) -> dict:
    return json.loads((out / 'report.json').read_text('utf-8'))['stages'][0]


def k_of(out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return fx, fy, cx, cy and their standard deviations, px."""
    found = intrinsics_of(out)['plots']['parameters']
    return np.array([found[name] for name in ('fx', 'fy', 'cx', 'cy')]).T


def write_jpeg(path: Path, files: list[Path]) -> Path:
    """Write JPEG files as they are."""
    with BagWriter(path) as bag:
        for number, file in enumerate(files):
            bag.compressed(number, file.read_bytes())
    return path


@pytest.fixture(scope='module')
def whole(shared_data, tmp_path_factory) -> Callable[[str], Path]:
    """Return what calibrates a set of photographs, once; it returns the folder of the report."""
    done: dict[str, Path] = {}

    def calibrated(name: str) -> Path:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            bag = write_jpeg(folder / 'jpeg', files_of(shared_data, name))
            given = ['--target', SETS[name][1], '--max-error', 2, '--out', folder / 'out']
            assert calibrate(bag, *given) == 1
            done[name] = folder / 'out'
        return done[name]

    return calibrated


@pytest.mark.parametrize('name', PLAUSIBLE)
def test_photographs_of_every_board_give_a_plausible_camera(name, whole, shared_data):
    """Few views, so everything is weak and says why."""
    files = files_of(shared_data, name)
    report = json.loads((whole(name) / 'report.json').read_text('utf-8'))
    assert 'little to go by for focal_scale' in ' '.join(report['below'])
    stage = report['stages'][0]
    assert f'found in {len(files)} of {len(files)} frames' in stage['messages'][0]
    assert {item['verdict'] for item in stage['estimates']} == {'weak'}
    assert 'film' in stage['estimates'][0]['reason']
    focal, error = PLAUSIBLE[name]
    (fx, fy, cx, cy), std = k_of(whole(name))
    assert fx == pytest.approx(focal, rel=0.03) and fy == pytest.approx(focal, rel=0.03)
    height, width = cv2.imread(str(files[0])).shape[:2]
    assert abs(cx - width / 2) < 0.1 * width and abs(cy - height / 2) < 0.1 * width
    assert (std > 0).all() and std[:2].max() < 0.04 * focal and std[2:].max() < 0.03 * width
    assert stage['plots']['held_out'] < error


def test_raw_pictures_give_the_same_as_their_jpeg_files(whole, shared_data, tmp_path):
    """``Image`` of bgr8 and ``CompressedImage`` are one picture."""
    with BagWriter(tmp_path / 'raw') as bag:
        for number, path in enumerate(files_of(shared_data, 'legacy')):
            bag.image(number, cv2.imread(str(path)), 'bgr8')
    given = ['--target', SETS['legacy'][1], '--accept-weak', '--out', tmp_path / 'out']
    assert calibrate(tmp_path / 'raw', *given) == 0
    np.testing.assert_allclose(k_of(tmp_path / 'out'), k_of(whole('legacy')))


@pytest.mark.parametrize(('name', 'left_out'), [('legacy', 1), ('legacy', 2), ('charuco', 5)])
def test_leaving_out_a_photograph_moves_k_by_what_is_stated(
    name, left_out, whole, shared_data, tmp_path
):
    """The smaller of both standard deviations counts; one bag for each photograph."""
    files = files_of(shared_data, name)
    bags = [write_jpeg(tmp_path / path.stem, [path]) for path in files]
    del bags[left_out]
    given = ['--target', SETS[name][1], '--accept-weak', '--max-error', 1]
    assert calibrate(*bags, *given, '--out', tmp_path / 'out') == 0
    assert len(intrinsics_of(tmp_path / 'out')['plots']['views']) in (len(bags), len(bags) - 1)
    (all_of_them, std), (part, spread) = k_of(whole(name)), k_of(tmp_path / 'out')
    assert (np.abs(part - all_of_them) < 3 * np.minimum(std, spread)).all()


def test_four_views_of_which_one_disagrees_are_all_kept(whole, shared_data, tmp_path):
    """Nobody can tell which of them is wrong: it shows in the standard deviations instead."""
    found = intrinsics_of(whole('aprilgrid'))['plots']
    assert len(found['views']) == 4 and found['dropped'] == []
    three = write_jpeg(tmp_path / 'three', files_of(shared_data, 'aprilgrid')[1:])
    given = ['--target', SETS['aprilgrid'][1], '--accept-weak', '--out', tmp_path / 'out']
    assert calibrate(three, *given) == 0
    (k, std), (part, _) = k_of(whole('aprilgrid')), k_of(tmp_path / 'out')
    assert (np.abs(part - k) < 2 * std).all()


@pytest.mark.parametrize(
    ('bag', 'options', 'code', 'words'),
    [
        ('klintan_sample.db3', [], 3, ['the target is in none of 1 frames', 'time of recording']),
        ('geocam_mcap', [], 2, [RAW, '--image-topic']),
        ('geocam_sqlite3', [], 2, [JPEG, '--image-topic']),
        ('geocam_mcap', ['--image-topic', RAW], 2, ['bytes']),
        ('geocam_sqlite3', ['--image-topic', RAW], 2, ['bytes']),
        ('geocam_sqlite3', ['--image-topic', JPEG], 2, ['of jpeg', 'damaged']),
    ],
)
@pytest.mark.parametrize('dry', [True, False])
def test_bags_that_others_have_recorded(
    bag, options, code, words, dry, shared_data, tmp_path, capsys
):
    path = shared_data / 'bags' / bag
    if not path.exists():
        pytest.skip(f'no bag: {path} is absent')
    out = tmp_path / 'out'
    given = [path, '--target', 'chessboard:8x6:0.025', *options, '--out', out]
    arguments = ['calibrate', *map(str, given), *(['--dry-run'] if dry else [])]
    assert main(arguments) == code
    text = ' '.join(' '.join(capsys.readouterr()).split())
    assert 'Traceback' not in text and all(word in text for word in words), text
    assert out.exists() == (code == 3 and not dry)
