# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Targets: how they are written, where their corners are, how they print."""

from __future__ import annotations

from pathlib import Path
import re

import cv2
import numpy as np
from PIL import Image
import pytest

from diffphyscam_ros.calibration.detect import detect_board
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.target_print import page_size, write_target
from diffphyscam_ros.calibration.targets import KINDS, Target
from diffphyscam_ros.cli.main import main

TEXTS = (
    'chessboard:8x6:0.025',
    'circles:7x5:0.03',
    'asymmetric_circles:4x11:0.02',
    'charuco:9x6:0.025:0.018:DICT_5X5_100',
    'charuco:4x6:0.03:0.02:DICT_4X4_50:legacy',
    'aprilgrid:6x6:0.022:0.3:DICT_APRILTAG_36h11',
    'arucogrid:6x4:0.03:0.25:DICT_6X6_250',
    'arucogrid:2x3:0.03:0.25:DICT_6X6_250:border2',
)


@pytest.mark.parametrize('text', TEXTS)
def test_text_and_mapping_read_back(text: str) -> None:
    target = Target.parse(text)
    assert target.text == text
    assert Target.parse(target.text) == target
    assert Target.from_mapping(target.to_mapping()) == target
    assert len(target.object_points()) == target.corner_count


def test_every_kind_is_tested() -> None:
    assert {text.split(':')[0] for text in TEXTS} == set(KINDS)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('chess:8x6:0.025', 'must be chessboard'),
        ('chessboard:8:0.025', 'example: chessboard'),
        ('chessboard:8x6:25', 'in metres: 0.025 is 25 mm'),
        ('chessboard:1x6:0.025', 'columns = 1'),
        ('chessboard:8x6:0.025:0.01', 'a size and nothing else'),
        ('charuco:9x6:0.025:0.03:DICT_5X5_100', 'marker size = 0.03'),
        ('charuco:9x6:0.025:0.02:DICT_9X9_100', "dictionary = 'DICT_9X9_100'"),
        ('charuco:30x20:0.025:0.02:DICT_5X5_100', 'has 300 markers'),
        ('aprilgrid:6x6:0.022:0', 'must be > 0'),
        ('arucogrid:6x6:0.022:0.3', "dictionary = ''"),
    ],
)
def test_bad_targets_are_named(text: str, said: str) -> None:
    with pytest.raises(CalibrationError, match=re.escape(said)):
        Target.parse(text)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / 'board.yaml'
    path.write_text('target: charuco:9x6:0.025:0.018:5x5_100\n')
    assert Target.load(path).text == TEXTS[3]
    path.write_text('kind: chessboard\ncolumns: 8\nrows: 6\nsquare_size: 0.025\n')
    assert Target.load(path).text == TEXTS[0]
    # as Kalibr writes them
    path.write_text(
        "target_type: 'aprilgrid'\ntagCols: 6\ntagRows: 6\ntagSize: 0.022\ntagSpacing: 0.3\n"
    )
    assert Target.load(path).text == TEXTS[5]
    path.write_text(
        "target_type: 'checkerboard'\ntargetCols: 8\ntargetRows: 6\n"
        'rowSpacingMeters: 0.025\ncolSpacingMeters: 0.025\n'
    )
    assert Target.load(path).text == TEXTS[0]
    for wrong in ('kind: chessboard\ncolumns: 8\nrow: 6\n', 'target_type: aprilgrid\n', '- 1\n'):
        path.write_text(wrong)
        with pytest.raises(CalibrationError, match=re.escape(str(path))):
            Target.load(path)
    with pytest.raises(CalibrationError, match='cannot be read'):
        Target.load(tmp_path / 'none.yaml')


@pytest.mark.parametrize('shape', [(9, 7), (9, 6), (4, 5), (4, 6)])
@pytest.mark.parametrize('legacy', [False, True])
def test_charuco_layout_is_opencvs(shape: tuple[int, int], legacy: bool) -> None:
    if not hasattr(cv2.aruco, 'CharucoDetector'):
        pytest.skip('OpenCV before 4.7 knows one layout only')
    book = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_100)
    board = cv2.aruco.CharucoBoard(shape, 0.03, 0.02, book)
    board.setLegacyPattern(legacy)
    target = Target('charuco', *shape, 0.03, 0.02, 'DICT_4X4_100', legacy)
    corners = np.asarray(board.getChessboardCorners()) - (0.03, 0.03, 0)
    np.testing.assert_allclose(target.object_points(), corners, atol=1e-7)
    places = [np.array(marker)[0, :2] for marker in board.getObjPoints()]
    ours = [np.array(target.marker_cell(m)) * 0.03 + 0.005 for m in range(target.marker_count)]
    np.testing.assert_allclose(ours, places, atol=1e-7)


def test_aprilgrid_layout_is_kalibrs() -> None:
    """Tag 0 is at the bottom left, tag 1 to its right."""
    target = Target.parse('aprilgrid:3x2:0.02:0.5')
    assert [target.marker_cell(m) for m in (0, 1, 3)] == [(0, 1), (1, 1), (0, 0)]
    points = target.object_points()
    np.testing.assert_allclose(points[:3, 0], [0.0, 0.02, 0.03])
    first = points[list(target.marker_corners(0))]
    # bottom right, bottom left, top left, top right: for OpenCV the tag is upside down
    np.testing.assert_allclose(
        first[:, :2], [[0.02, 0.05], [0.0, 0.05], [0.0, 0.03], [0.02, 0.03]], atol=1e-12
    )


@pytest.mark.parametrize('text', TEXTS[:-1])
def test_printed_png_is_found_at_true_scale(text: str, tmp_path: Path) -> None:
    target = Target.parse(text)
    path = tmp_path / 'target.png'
    assert main(['target', text, '-o', str(path), '--dpi', '127']) == 0  # 5 px for each mm
    assert Image.open(path).info['dpi'] == pytest.approx((127, 127), abs=0.1)
    picture = cv2.imread(str(path))
    view = detect_board(picture, target)
    assert view is not None and len(view) == target.corner_count
    design = np.column_stack([view.object_points[:, :2], np.ones(len(view))])
    scale, *_ = np.linalg.lstsq(design, view.image_points, rcond=None)
    # px for each m; edges are rounded to pixels
    np.testing.assert_allclose(scale[:2], np.eye(2) * 5000.0, atol=25.0)
    assert np.abs(design @ scale - view.image_points).max() < 0.9
    # The ruler at the foot: 100 mm from its first to its last tick.
    foot = picture[-100:, :, 0]
    longest = max((b - a for row in foot for a, b in _dark_runs(row)), default=0)
    assert longest == pytest.approx(500, abs=3)


def _dark_runs(row: np.ndarray) -> list[tuple[int, int]]:
    dark = np.concatenate([[0], (row < 160).astype(int), [0]])
    edges = np.flatnonzero(np.diff(dark))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def test_pdf_has_the_size_of_its_page(tmp_path: Path) -> None:
    target = Target.parse(TEXTS[3])
    first, second = tmp_path / 'a.pdf', tmp_path / 'b.pdf'
    for path in (first, second):
        assert write_target(target, path) == ('A4', 297.0, 210.0)
    content = first.read_bytes()
    assert content.startswith(b'%PDF') and content == second.read_bytes()
    box = re.search(rb'/MediaBox \[ ?([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ?\]', content)
    assert box is not None
    numbers = [float(number) for number in box.groups()]
    np.testing.assert_allclose(np.array(numbers[2:]) * 25.4 / 72, [297.0, 210.0], atol=0.01)
    assert list(tmp_path.glob('.*')) == []


def test_too_large_a_target_says_what_fits(tmp_path: Path) -> None:
    target = Target.parse('chessboard:8x6:0.025')
    assert page_size(target)[0] == 'A4'
    assert page_size(Target.parse('chessboard:8x6:0.035'))[0] == 'A3'
    with pytest.raises(CalibrationError, match=r'squares of .* mm fit'):
        page_size(Target.parse('chessboard:8x6:0.08'))
    with pytest.raises(CalibrationError, match='page'):
        page_size(target, 'B9')
    assert page_size(Target.parse('chessboard:8x6:0.08'), '900x700')[1:] == (900.0, 700.0)
    with pytest.raises(CalibrationError, match=r'\.pdf or \.png'):
        write_target(target, tmp_path / 'target.svg')
    assert main(['target', 'chessboard:8x6:25', '-o', str(tmp_path / 'a.pdf')]) == 2
