# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Boards are found where they are, in every kind of picture, and bad pictures are named."""

from __future__ import annotations

from pathlib import Path

from board_pictures import photographed, photographs, random_pose, SETS
import cv2
import numpy as np
import pytest

from diffphyscam_ros.calibration import detection_cache
from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.detect import detect_board
from diffphyscam_ros.calibration.detection_cache import cache_folder, DetectionCache
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.projection import rotations
from diffphyscam_ros.calibration.recognise import explain_frames, explain_missing
from diffphyscam_ros.calibration.strays import without_strays
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.calibration.types import RecordedFrame

# kind and the largest median error, px, of a picture with sigma 0.6 px of blur and 2 DN of noise
KINDS = {
    'chessboard:9x6:0.025': 0.06,
    'circles:7x5:0.03': 0.2,  # the middle of an ellipse is not that of its circle
    'asymmetric_circles:4x11:0.02': 0.15,
    'charuco:9x6:0.025:0.018:DICT_5X5_100': 0.1,
    'aprilgrid:4x4:0.035:0.3': 0.1,
    'arucogrid:6x4:0.03:0.25:DICT_6X6_250': 0.1,
}
TILTED = rotations(np.radians([[25.0, -20.0, 10.0]]))[0]


def middle(target: Target, distance: float = 0.42) -> np.ndarray:
    """Return the translation that puts the middle of a tilted board on the optical axis."""
    return np.array([0.0, 0.0, distance]) - TILTED @ target.object_points().mean(axis=0)


def picture(text: str, **options: float) -> tuple[Target, np.ndarray, np.ndarray]:
    """Return a target, a picture of it and where its corners are."""
    target = Target.parse(text)
    distance = options.pop('distance', 0.42)
    return target, *photographed(target, TILTED, middle(target, distance), **options)


def errors(view: BoardView, truth: np.ndarray) -> np.ndarray:
    """Return how far the corners are from the truth, px."""
    return np.linalg.norm(view.image_points - truth[view.ids], axis=1)


@pytest.mark.parametrize('text', KINDS)
def test_corners_are_where_they_are(text: str) -> None:
    target, image, truth = picture(text)
    view = detect_board(image, target, name='picture')
    assert view is not None and view.name == 'picture' and view.image_size == (640, 480)
    assert len(view) >= 0.9 * target.corner_count and view.quality.flags == ()
    if target.kind in ('chessboard', 'circles') and errors(view, truth).min() > 5:
        truth = truth[::-1]  # such boards look the same from above and below
    assert np.median(errors(view, truth)) < KINDS[text]
    assert errors(view, truth).max() < 1.0
    np.testing.assert_allclose(view.object_points, target.object_points()[view.ids])
    assert 1.0 < view.quality.edge_width < 2.6


def test_a_tilted_board_stays_unmirrored() -> None:
    """However it is turned, the order of the corners is that of the printed side."""
    target = Target.parse('chessboard:7x5:0.03')
    rng = np.random.default_rng(4)
    for seed in range(6):
        rotation, translation = random_pose(rng, target)
        spin = rotations(np.array([[0.0, 0.0, seed * np.pi / 3]]))[0]
        centre = target.object_points().mean(axis=0)
        translation = np.array([0.0, 0.0, 0.5]) - spin @ rotation @ centre
        image, truth = photographed(target, spin @ rotation, translation)
        view = detect_board(image, target)
        assert view is not None
        plain, turned = errors(view, truth).max(), errors(view, truth[::-1]).max()
        assert min(plain, turned) < 0.5


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_mosaics(pattern: str) -> None:
    """A coloured light makes the photosites of a mosaic differ by far."""
    target, grey, truth = picture('charuco:9x6:0.025:0.018:DICT_5X5_100', noise=0.5)
    gain = {'r': 1.0, 'g': 0.8, 'b': 0.45}
    mosaic = grey.astype(np.float64)
    for index, colour in enumerate(pattern):
        mosaic[index // 2 :: 2, index % 2 :: 2] *= gain[colour]
    view = detect_board(mosaic.astype(np.uint8), target, encoding=f'bayer_{pattern}8')
    assert view is not None and len(view) > 30
    assert np.median(errors(view, truth)) < 0.15


def test_sixteen_bits_of_a_dark_picture() -> None:
    target, grey, truth = picture('chessboard:9x6:0.025')
    dark = grey.astype(np.uint16) * 3 + 100  # of 4095
    view = detect_board(dark, target, full_scale=4095.0)
    assert view is not None
    assert min(np.median(errors(view, t)) for t in (truth, truth[::-1])) < 0.06
    assert view.quality.contrast == pytest.approx(170 * 3 / 4095, rel=0.05)
    colours = np.repeat(dark[..., None], 3, axis=-1)
    again = detect_board(colours, target, full_scale=4095.0)
    assert again is not None
    np.testing.assert_allclose(again.image_points, view.image_points, atol=0.02)


def test_large_pictures_are_as_exact_as_small_ones() -> None:
    target = Target.parse('aprilgrid:4x4:0.035:0.3')
    image, truth = photographed(target, TILTED, middle(target), size=(2400, 1800), focal=1950.0)
    view = detect_board(image, target)
    assert view is not None and len(view) == target.corner_count
    assert np.median(errors(view, truth)) < 0.1 and errors(view, truth).max() < 0.5


def test_bad_pictures_are_flagged() -> None:
    text = 'charuco:9x6:0.025:0.018:DICT_5X5_100'
    target, image, _ = picture(text, distance=0.35)
    sharp = detect_board(image, target)
    assert sharp is not None and sharp.quality.flags == ()
    _, image, _ = picture(text, distance=0.35, white=300.0)
    bright = detect_board(image, target)
    assert bright is not None and 'saturated' in bright.quality.flags
    assert bright.quality.saturated > 0.5
    _, image, _ = picture(text, distance=0.35, white=42.0, noise=0.5)
    pale = detect_board(image, target)
    assert pale is not None and 'low contrast' in pale.quality.flags
    target, image, _ = picture('chessboard:9x6:0.025', distance=0.3)
    # 12 px of motion along x
    moved = cv2.blur(image, (12, 1))
    streaked = detect_board(moved, target)
    assert streaked is not None and 'blurred' in streaked.quality.flags
    assert streaked.quality.edge_width == pytest.approx(12 * 0.8, rel=0.25)


def test_part_of_a_board_in_sight() -> None:
    target = Target.parse('charuco:9x6:0.025:0.018:DICT_5X5_100')
    move = np.array([0.17, 0.08, 0.0])
    image, truth = photographed(target, TILTED, middle(target, 0.3) + move)
    view = detect_board(image, target)
    assert view is not None and 6 <= len(view) < 30
    assert errors(view, truth).max() < 0.6


def test_nothing_is_found_where_nothing_is() -> None:
    noise = np.random.default_rng(2).integers(0, 255, (240, 320), np.uint8)
    for text in KINDS:
        assert detect_board(noise, Target.parse(text)) is None
        assert detect_board(np.zeros((240, 320), np.uint8), Target.parse(text)) is None
    with pytest.raises(CalibrationError, match='uint8 or uint16'):
        detect_board(noise.astype(np.float32), Target.parse('chessboard:9x6:0.025'))
    with pytest.raises(CalibrationError, match='bayer_'):
        detect_board(noise, Target.parse('chessboard:9x6:0.025'), encoding='bayer_xyz')


def test_another_board_than_stated_is_named() -> None:
    _, image, _ = picture('chessboard:9x6:0.025')
    assert '9x6 inner corners' in explain_missing(image, Target.parse('chessboard:8x6:0.025'))
    assert explain_missing(image, Target.parse('chessboard:9x6:0.03')) == ''
    _, image, _ = picture('charuco:9x6:0.025:0.018:DICT_5X5_100')
    said = explain_missing(image, Target.parse('charuco:5x4:0.025:0.018:DICT_5X5_100'))
    assert 'the board is larger than stated' in said
    frame = RecordedFrame(0, 0, '/image', '', 'bag', image, 'mono8')
    blank = RecordedFrame(0, 0, '/image', '', 'bag', np.zeros_like(image), 'mono8')
    small = Target.parse('charuco:5x4:0.025:0.018:DICT_5X5_100')
    assert explain_frames([blank, frame], small) == said
    assert explain_frames([blank], small) == ''
    said = explain_missing(image, Target.parse('charuco:9x6:0.025:0.018:DICT_6X6_100'))
    assert 'DICT_5X5_1000' in said
    assert explain_missing(np.zeros((240, 320), np.uint8), Target.parse('chessboard:9x6:1')) == ''


def test_strays_are_dropped() -> None:
    board = Target.parse('chessboard:9x7:0.03').object_points()[:, :2]
    view = np.array([[2000.0, 300.0, 40.0], [-200.0, 1800.0, 60.0], [0.6, 0.4, 1.0]])
    homogeneous = np.column_stack([board, np.ones(len(board))]) @ view.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    pixels += np.random.default_rng(0).normal(0, 0.1, pixels.shape)
    assert without_strays(board, pixels).all()
    pixels[[5, 31]] += [[4.0, 0.0], [0.0, -3.0]]
    assert set(np.flatnonzero(~without_strays(board, pixels))) == {5, 31}


def test_detections_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, image, _ = picture('charuco:9x6:0.025:0.018:DICT_5X5_100')
    first = DetectionCache(tmp_path / 'a')
    found = first.detect(image, target, name='one')
    nothing = first.detect(np.zeros((240, 320), np.uint8), target)
    assert found is not None and nothing is None and (first.hits, first.misses) == (0, 2)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('looked again')

    monkeypatch.setattr(detection_cache, 'detect_board', refuse)
    second = DetectionCache(tmp_path / 'a')
    again = second.detect(image, target, name='two')
    assert again is not None and again.name == 'two' and again.quality == found.quality
    np.testing.assert_array_equal(again.image_points, found.image_points)
    assert second.detect(np.zeros((240, 320), np.uint8), target) is None and second.hits == 2
    for changed in (
        lambda: second.detect(np.flipud(image), target),
        lambda: second.detect(image, Target.parse('charuco:9x6:0.03:0.018:DICT_5X5_100')),
        lambda: DetectionCache(None).detect(image, target),
    ):
        with pytest.raises(AssertionError, match='looked again'):
            changed()
    monkeypatch.undo()
    for path in (tmp_path / 'a').rglob('*.json'):
        path.write_text('{"found": {"ids": [')  # damaged
    repaired = DetectionCache(tmp_path / 'a')
    assert repaired.detect(image, target) is not None and repaired.misses == 1
    assert DetectionCache(tmp_path / 'a').detect(image, target) is not None


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv(detection_cache.VARIABLE, raising=False)
    assert cache_folder() == tmp_path / 'diffphyscam_ros' / 'detections'
    monkeypatch.setenv(detection_cache.VARIABLE, '0')
    assert cache_folder() is None and DetectionCache().folder is None
    monkeypatch.setenv(detection_cache.VARIABLE, str(tmp_path / 'other'))
    assert cache_folder() == tmp_path / 'other'


FOUND = {'heethesh': (23, 805), 'aprilgrid': (4, 530), 'charuco': (7, 310), 'legacy': (5, 75),
         'arucogrid': (7, 640)}  # fmt: skip


@pytest.mark.parametrize('name', SETS)
def test_photographs(name: str, shared_data: Path) -> None:
    target, pictures = photographs(shared_data, name)
    chosen = pictures[::6] if name == 'heethesh' else pictures
    views = [detect_board(image, target, name=file) for file, image in chosen]
    assert all(view is not None for view in views)
    share = len(chosen) / FOUND[name][0]
    assert sum(len(view) for view in views if view) >= FOUND[name][1] * share * 0.99
    for view in views:
        assert view is not None and 'blurred' not in view.quality.flags
