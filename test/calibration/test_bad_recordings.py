# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Bad recordings through the whole command: refused or flagged by name, with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')

from bag_writing import BagWriter
import pipeline_bags as bags

from diffphyscam_ros.cli.main import main

TARGET = ('--target', bags.TARGET)


class Done:
    """What the command made of bags."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.out = folder / 'out'
        given = map(str, (*arguments, '--out', self.out))
        self.code = main(['calibrate', '--quiet', *given])
        report = self.out / 'report.json'
        self.report = json.loads(report.read_text('utf-8')) if report.exists() else {}

    def stage(self, name: str) -> dict:
        return next(item for item in self.report['stages'] if item['stage'] == name)

    def said(self, name: str) -> str:
        """Return all messages of a stage."""
        return ' '.join(self.stage(name)['messages'])

    def nothing_of(self, name: str) -> bool:
        """Return whether a stage gives no value, and all its estimates say why."""
        items = self.stage(name)['estimates']
        return all(item['value'] is None and item['reason'] for item in items)


@pytest.fixture(scope='module')
def boards(tmp_path_factory) -> Path:
    return bags.write_boards(tmp_path_factory.mktemp('bags') / 'boards')


def test_a_truncated_bag_is_read_as_far_as_it_goes_or_refused(boards, tmp_path, capsys):
    whole = next(boards.glob('*.mcap')).read_bytes()
    half = tmp_path / 'half.mcap'
    half.write_bytes(whole[: len(whole) // 2])
    done = Done(tmp_path, half, *TARGET)
    assert done.code in (0, 1)
    assert any('half.mcap' in text for text in done.report['messages'])
    assert 'copy the file again' in ' '.join(done.report['messages'])
    half.write_bytes(whole[:50])
    assert Done(tmp_path / 'none', half, *TARGET).code == 2
    assert 'half.mcap' in capsys.readouterr().err


def test_damaged_messages_are_left_out_by_name_wherever_they_are(tmp_path, capsys):
    """Even the first: nothing about the whole recording hangs on one frame."""
    with BagWriter(tmp_path / 'some') as some, BagWriter(tmp_path / 'all') as every:
        for number, pixels in enumerate(bags.views()):
            wrong = {'height': 480} if number % 4 == 0 else {}
            some.image(number, pixels, **wrong)
            every.image(number, pixels, height=480)
    done = Done(tmp_path, tmp_path / 'some', *TARGET)
    assert done.code in (0, 1) and 'in 9 of 9 frames' in done.said('intrinsics')
    told = ' '.join(done.report['messages'])
    assert '3 damaged frames are left out' in told and 'step 320 times height 480' in told
    assert Done(tmp_path / 'none', tmp_path / 'all', *TARGET).code == 2
    text = capsys.readouterr().err
    assert 'none of the frames' in text and 'must be 153600 bytes' in text and 'record' in text


def test_a_folder_without_metadata_is_read(boards, tmp_path):
    (tmp_path / 'bare').mkdir()
    for path in boards.glob('*.mcap'):
        (tmp_path / 'bare' / path.name).write_bytes(path.read_bytes())
    done = Done(tmp_path, tmp_path / 'bare', *TARGET)
    assert done.code == 0
    assert 'metadata.yaml' in ' '.join(done.report['messages'])


def test_unknown_exposure_times_refuse_the_noise_with_the_remedy(tmp_path):
    plain = bags.film(tmp_path / 'plain', bags.flats(), None)
    done = Done(tmp_path, plain, '--role', 'plain=flat', '--require', 'noise')
    assert done.code == 1 and 'noise is required' in ' '.join(done.report['below'])
    assert done.nothing_of('noise')
    assert 'the exposure times are not known: record metadata' in done.said('noise')
    assert done.report['audit']['automatic'][0] == 'not known'


def test_auto_exposure_that_the_driver_admits_is_refused_by_name(tmp_path):
    flats = bags.write_flats(tmp_path / 'flats', automatic=True)
    done = Done(tmp_path, flats, '--role', 'flats=flat')
    assert done.code in (1, 3)
    assert done.report['audit']['automatic'][0] == 'running'
    assert done.nothing_of('noise') and 'automatic exposure' in done.said('noise')
    assert done.code == 3 or 'automatic exposure' in ' '.join(done.report['below'])


@pytest.mark.parametrize('role', ['flat', 'sweep'])
def test_auto_exposure_that_nobody_admits_is_seen(role, tmp_path):
    """The pictures are equally bright whatever the exposure is said to be."""
    random = np.random.default_rng(2)
    scene = np.kron(random.uniform(20, 200, (12, 16)), np.ones((10, 10)))
    still = (np.clip(scene + random.normal(0, 1, scene.shape), 0, 255) for _ in range(12))
    pictures = (pixels.round().astype(np.uint8) for pixels in still)
    if role == 'flat':
        pictures = bags.flats(6, 4, lambda number: 90.0)
    each = 2 if role == 'sweep' else 4
    path = bags.film(tmp_path / 'x', pictures, lambda number: 1000.0 * 2 ** (number // each))
    done = Done(tmp_path, path, '--role', f'x={role}')
    stage = 'response' if role == 'sweep' else 'noise'
    assert done.nothing_of(stage)
    assert 'the brightness does not follow the exposure time: switch' in done.said(stage)


def test_auto_exposure_that_creeps_is_below_the_threshold(tmp_path):
    pictures = bags.flats(level=lambda number: 90.0)
    path = bags.film(tmp_path / 'x', pictures, lambda number: 1000.0 * (1 + 0.07 * number))
    done = Done(tmp_path, path)
    assert done.code == 1 and done.report['audit']['automatic'][0] == 'running'
    assert 'switch both off and record again' in ' '.join(done.report['below'])


def test_blurred_boards_are_left_out_by_name(tmp_path):
    smear = np.full((1, 25), 1 / 25, np.float32)
    views = [
        cv2.filter2D(view, -1, smear) if n < 3 else view for n, view in enumerate(bags.views())
    ]
    some = Done(tmp_path, bags.film(tmp_path / 'some', views), *TARGET)
    assert some.code in (0, 1)
    assert 'left out: blurred: edges are' in some.said('intrinsics')
    soft = (cv2.GaussianBlur(view, (0, 0), 3.5) for view in bags.views())
    every = Done(tmp_path / 'all', bags.film(tmp_path / 'soft', soft), *TARGET)
    assert every.code == 3 and every.nothing_of('intrinsics')
    text = every.said('intrinsics')
    assert '0 usable views of the board' in text and 'blurred: edges are' in text
    assert 'holding still' in text


def test_saturated_boards_are_flagged_with_the_remedy(tmp_path):
    bright = (np.clip(view * 1.6, 0, 255).astype(np.uint8) for view in bags.views())
    done = Done(tmp_path, bags.film(tmp_path / 'bright', bright), *TARGET)
    text = done.said('intrinsics')
    assert 'views have white squares at full scale' in text and 'expose less' in text


@pytest.mark.parametrize(
    ('target', 'words'),
    [
        ('chessboard:6x4:0.03', 'a chessboard of 7x5 inner corners is in the picture'),
        ('chessboard:8x6:0.03', 'inner corners are one fewer than squares'),
        ('charuco:8x6:0.03:0.02:DICT_5X5_100', 'a chessboard of 7x5 inner corners'),
    ],
)
def test_another_board_than_stated_is_named(target, words, boards, tmp_path):
    done = Done(tmp_path, boards, '--target', target)
    assert done.code == 3 and done.nothing_of('intrinsics')
    assert words in done.said('intrinsics') and target in done.said('intrinsics')
    assert 'check that the target is the stated one' in done.said('intrinsics')


def test_squares_of_another_size_leave_k_and_are_stated(boards, tmp_path):
    """One camera cannot see it, so the report says what it relies on."""
    found = []
    for size in ('0.03', '0.02'):
        done = Done(tmp_path / size, boards, '--target', f'chessboard:7x5:{size}')
        found.append(done.stage('intrinsics')['plots'])
        assert f'squares of {1000 * float(size):g} mm' in done.said('intrinsics')
        assert 'measure them' in done.said('intrinsics')
    right, wrong = found
    assert wrong['parameters']['fx'][0] == pytest.approx(right['parameters']['fx'][0], rel=1e-6)
    assert wrong['views'][0]['distance'] == pytest.approx(
        2 / 3 * right['views'][0]['distance'], rel=1e-3
    )


def test_one_view_again_and_again_is_refused_with_the_remedy(tmp_path, capsys):
    view = bags.picture(*list(bags.poses(6))[5])
    still = bags.film(tmp_path / 'still', [view] * 12)
    done = Done(tmp_path, still, *TARGET)
    assert done.code == 3 and done.nothing_of('intrinsics')
    text = done.said('intrinsics')
    assert '1 usable view of the board (11 more show it at the same place)' in text
    assert 'turned to the left, right, up and down' in text
    assert not (done.out / 'camera.calibration.yaml').exists()
    assert 'the report says what to record' in capsys.readouterr().err


def test_views_of_one_tilt_are_refused_with_the_remedy(tmp_path):
    """Boards at other places, but all parallel to the picture."""
    poses = bags.poses(14)
    views = (bags.picture(np.array([0.0, 0.01, turn[2]]), place) for turn, place in poses)
    done = Done(tmp_path, bags.film(tmp_path / 'parallel', views), *TARGET)
    assert done.code == 3 and done.nothing_of('intrinsics')
    assert 'all boards have the same tilt within' in done.said('intrinsics')
    assert 'turned to the left' in done.said('intrinsics')


@pytest.mark.parametrize('within', [True, False])
def test_mixed_resolutions_are_bad_input(within, boards, tmp_path, capsys):
    """Within one bag, and between two."""
    small = [np.ascontiguousarray(view[::2, ::2]) for view in bags.views(6)]
    if within:
        given = [bags.film(tmp_path / 'mixed', [*bags.views(6), *small])]
    else:
        given = [boards, bags.film(tmp_path / 'small', small)]
    done = Done(tmp_path, *given, *TARGET)
    assert done.code == 2 and not done.out.exists()
    text = capsys.readouterr().err
    assert '160x120' in text and '320x240' in text and given[-1].name in text
    assert 'calibrate each resolution' in text


@pytest.mark.parametrize(
    ('stated', 'words'),
    [
        # one of five, all but the first; no number that rests on them is given
        (lambda step: 1000.0 * 2**step * (1 + 0.3 * (step == 2)), 'the times are wrong, the lamp'),
        (lambda step: 1000.0 * (1 + step), 'record metadata of each frame or hold each exposure'),
        # the settings never change
        (lambda step: 5000.0, 'between frames of the same settings'),
    ],
)
def test_wrong_exposure_times_are_named(stated, words, tmp_path):
    path = bags.film(tmp_path / 'x', bags.flats(), lambda number: stated(number // 8))
    done = Done(tmp_path, path, '--role', 'x=flat')
    assert words in done.said('noise')
    items = {item['name']: item for item in done.stage('noise')['estimates']}
    assert items['black_level']['value'] is None and items['black_level']['reason']


def test_settings_that_come_late_are_named(tmp_path):
    """The first three frames of each step are still as bright as the step before."""
    pictures = bags.flats(level=lambda number: 10.0 * 2 ** (max(number - 3, 0) // 8))
    path = bags.film(tmp_path / 'x', pictures, lambda number: 1000.0 * 2 ** (number // 8))
    done = Done(tmp_path, path, '--role', 'x=flat')
    assert done.nothing_of('noise')
    assert 'the settings come late' in done.said('noise')
    assert 'hold each longer' in done.said('noise')


def test_a_stage_that_was_filmed_and_gives_nothing_does_not_pass(boards, tmp_path, capsys):
    """What the audit promised is asked for; what was not filmed is only named."""
    pictures = bags.flats(level=lambda number: 10.0 * 2 ** (max(number - 3, 0) // 8))
    pictures = (np.tile(pixels, (2, 2)) for pixels in pictures)  # as large as the boards
    late = bags.film(tmp_path / 'late', pictures, lambda number: 1000.0 * 2 ** (number // 8))
    done = Done(tmp_path, boards, late, '--role', 'late=flat', *TARGET)
    said = capsys.readouterr().err
    assert done.code == 1 and done.nothing_of('noise')
    assert 'below the threshold: noise was filmed and could not be estimated' in said
    assert 'hold each longer' in said and 'response was filmed' not in said
    assert 'nothing was estimated of ' in said and '--require STAGE' in said
    again = Done(tmp_path / 'y', boards, late, '--role', 'late=flat', *TARGET, '--accept-weak')
    assert again.code == 0
