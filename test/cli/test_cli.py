# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The command line: pictures come out as asked, bad input ends in one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
import pytest
import torch

from diffphyscam_ros.cli.contact_sheet import Row, write_animation, write_contact_sheet
from diffphyscam_ros.cli.main import main
from diffphyscam_ros.cli.pictures import read_color, read_depth, write_picture

SCENE = Path(__file__).parents[2] / 'examples' / 'scenes' / 'table.yaml'
VIEW = ('--look-from', '-1', '0', '0.6', '--look-at', '0', '0', '0.1', '--size', '96', '72')


@pytest.fixture
def rgbd(tmp_path: Path) -> tuple[str, ...]:
    """Write a picture of noise, 240x320, its left half 0.4 m away and its right half 3 m."""
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    depth = np.full((240, 320), 3000, np.uint16)
    depth[:, :160] = 400
    cv2.imwrite(str(tmp_path / 'color.png'), noise)
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    return ('--image', str(tmp_path / 'color.png'), '--depth', str(tmp_path / 'depth.png'))


def photograph(tmp_path: Path, *arguments: str) -> np.ndarray:
    """Run a command that writes out.npy; return the digital values."""
    assert main([*arguments, '-o', str(tmp_path / 'out.npy')]) == 0
    picture = np.load(tmp_path / 'out.npy')
    assert picture.dtype == np.float32 and 0.0 <= picture.min() and picture.max() <= 1.0
    return picture


def test_render_takes_the_photograph_of_a_scene(tmp_path: Path) -> None:
    dark = photograph(tmp_path, 'render', str(SCENE), *VIEW, '--exposure-time', '0.001')
    bright = photograph(tmp_path, 'render', str(SCENE), *VIEW, '--exposure-time', '0.002')
    assert dark.shape == (72, 96, 3)
    unsaturated = bright < 0.9
    assert bright[unsaturated].mean() == pytest.approx(2 * dark[unsaturated].mean(), rel=0.03)


def test_render_by_pose_equals_render_by_look_at(tmp_path: Path) -> None:
    place = ('--look-from', '-1', '0', '0.3', '--look-at', '0', '0', '0.3', '--size', '64', '48')
    looking = photograph(tmp_path, 'render', str(SCENE), *place)
    pose = ('--pose', '-1', '0', '0.3', '-0.5', '0.5', '-0.5', '0.5', '--size', '64', '48')
    np.testing.assert_allclose(
        photograph(tmp_path, 'render', str(SCENE), *pose), looking, atol=1e-3
    )


def test_render_writes_the_depth_in_metres(tmp_path: Path) -> None:
    path = tmp_path / 'depth.npy'
    photograph(tmp_path, 'render', str(SCENE), *VIEW, '--depth-output', str(path))
    depth = np.load(path)
    assert depth[depth.shape[0] // 2, depth.shape[1] // 2] == pytest.approx(1.1, abs=0.25)


def test_seed_and_frame_number_determine_the_noise(tmp_path: Path) -> None:
    command = ('render', str(SCENE), *VIEW, '--iso', '3200', '--exposure-time', '0.0005')
    first = photograph(tmp_path, *command, '--seed', '4', '--frame', '7')
    again = photograph(tmp_path, *command, '--seed', '4', '--frame', '7')
    other = photograph(tmp_path, *command, '--seed', '4', '--frame', '8')
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1e-3


def test_apply_blurs_what_is_out_of_focus(tmp_path: Path, rgbd: tuple[str, ...]) -> None:
    command = ('apply', *rgbd, '--camera', 'large_sensor', '--aperture', '1.4')
    picture = photograph(tmp_path, *command, '--without', 'distortion', '--focus-distance', '3.0')
    near, far = picture[40:200, 30:130].std(), picture[40:200, 190:290].std()
    assert far > 3.0 * near


def test_apply_without_defects_returns_the_picture(tmp_path: Path, rgbd: tuple[str, ...]) -> None:
    picture = photograph(tmp_path, 'apply', *rgbd, '--camera', 'ideal_pinhole')
    linear = read_color(rgbd[1]).numpy()
    np.testing.assert_allclose(picture, linear, atol=2e-6)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('render', 'missing.glb', *VIEW, '-o', 'x.png'), ('missing.glb',)),
        (('render', str(SCENE), *VIEW, '-o', 'no_folder/x.png'), ('no_folder',)),
        (('render', str(SCENE), *VIEW, '-o', 'x.nonsense'), ('x.nonsense', '.png')),
        (('render', str(SCENE), *VIEW, '--camera', 'nokia', '-o', 'x.png'), ('nokia', 'generic')),
        (('render', str(SCENE), *VIEW, '--device', 'cuda:99', '-o', 'x.png'), ('cuda',)),
        (
            ('render', str(SCENE), '--pose', '0', '0', '0', '0', '0', '0', '0', '-o', 'x.png'),
            ('quaternion', 'no length'),
        ),
        (
            ('render', str(SCENE), *VIEW, '--focus-distance', '0.001', '-o', 'x.png'),
            ('focus_distance', 'focal length'),
        ),
        (('render', str(SCENE), '--look-from', '0', '0', '0', '-o', 'x.png'), ('--look-at',)),
        (('apply', '--image', 'no.png', '--depth', 'no.png', '-o', 'x.png'), ('no.png',)),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert '\n' not in message and all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


def test_depth_of_another_size_is_refused(
    tmp_path: Path, rgbd: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(rgbd[3], np.ones((10, 20), np.uint16))
    assert main(['apply', *rgbd, '-o', str(tmp_path / 'x.png')]) == 2
    assert '320x240' in (error := capsys.readouterr().err) and '20x10' in error


@pytest.mark.parametrize('number', ['nan', '-1', '0'])
def test_settings_out_of_range_are_refused_by_the_parser(number: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(['render', str(SCENE), *VIEW, '--aperture', number, '-o', 'x.png'])
    assert stopped.value.code == 2


@pytest.mark.parametrize('command', ['render', 'apply', 'demo', 'bench'])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, '--help'])
    assert stopped.value.code == 0
    assert f'example:\n  diffphyscam {command}' in capsys.readouterr().out


def test_bench_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = ['bench', '--triangles', '500', '--size', '64', '48', '--repeats', '3', '--json']
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    frame = json.loads(lines[-1])['frames'][0]
    assert frame['width'] == 64 and frame['fps'] > 0 and frame['stages_ms']['render'] > 0
    assert any('whole frame' in line for line in lines)


def test_pictures_survive_writing_and_reading(tmp_path: Path) -> None:
    values = torch.linspace(0, 1, 256).view(16, 16, 1).expand(16, 16, 3).contiguous()
    write_picture(tmp_path / 'x.png', values)
    stored = cv2.imread(str(tmp_path / 'x.png'))
    np.testing.assert_array_equal(stored[..., 0].ravel(), np.arange(256))
    # 0.5 in sRGB is 0.2140 in linear light (IEC 61966-2-1)
    assert read_color(tmp_path / 'x.png')[8, 0, 0] == pytest.approx(0.2140 + 0.0019, abs=0.002)


def test_depth_units(tmp_path: Path) -> None:
    np.save(tmp_path / 'depth.npy', np.array([[0.0, 1.5]], np.float32))
    assert read_depth(tmp_path / 'depth.npy', 2.0).tolist() == [[0.0, 3.0]]
    np.save(tmp_path / 'colour.npy', np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match='one channel'):
        read_depth(tmp_path / 'colour.npy', 1.0)


def test_contact_sheet_and_animation(tmp_path: Path) -> None:
    pictures = [np.full((48, 64, 3), 60 * i, np.uint8) for i in range(4)]
    rows = [
        Row('one', [(str(i), p) for i, p in enumerate(pictures)]),
        Row('two', [('a', pictures[3])]),
    ]
    write_contact_sheet(tmp_path / 'sheet.png', 'title', rows, width=100)
    sheet = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert {0, 60, 120, 180} <= set(np.unique(sheet[..., 0]))
    write_animation(tmp_path / 'moving.gif', pictures, 0.1)
    with Image.open(tmp_path / 'moving.gif') as moving:
        assert moving.n_frames == 4 and moving.size == (32, 24)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['moving.gif', 'sheet.png']
