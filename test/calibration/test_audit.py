# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Roles, sharpness, settling and the audit, on pictures of a camera whose truth is known."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import groupby
import json
import math
from pathlib import Path
from typing import Any

from bag_writing import BagWriter
import cv2
import numpy as np
import pytest

from diffphyscam_ros.calibration import FrameSettings, RecordedFrame, Recording
from diffphyscam_ros.calibration.audit import Audit, audit
from diffphyscam_ros.calibration.audit_checks import GROUPS
from diffphyscam_ros.calibration.audit_summaries import automatic_of
from diffphyscam_ros.calibration.picture_features import (
    features_of,
    FrameFeatures,
    PictureFeatures,
    same_view,
)
from diffphyscam_ros.calibration.roles import recognise_roles
from diffphyscam_ros.calibration.settling import unsettled
from diffphyscam_ros.camera.sensor_model import PARAMETERS

HEIGHT, WIDTH = 120, 160
Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
VIGNETTING = 1.0 / (1.0 + ((X - WIDTH / 2) ** 2 + (Y - HEIGHT / 2) ** 2) / 110.0**2)


class Camera:
    """Takes pictures of 8 bits: photon noise, read noise, a black level of 8."""

    def __init__(self, seed: int = 3) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, radiance: np.ndarray, exposure: float) -> np.ndarray:
        electrons = self.rng.poisson(radiance * exposure * 8000.0)
        electrons = electrons + self.rng.normal(0.0, 5.0, radiance.shape)
        return np.clip(electrons / 8000.0 * 240.0 + 8.0, 0, 255).astype(np.uint8)

    def scene(self) -> np.ndarray:
        patches = self.rng.random((9, 12)).astype(np.float32)
        return cv2.resize(patches, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST) * VIGNETTING


def board(x: float, y: float, angle: float, square: float) -> np.ndarray:
    """Return a chessboard of 8x6 squares on grey."""
    u = (X - x) * math.cos(angle) + (Y - y) * math.sin(angle)
    v = -(X - x) * math.sin(angle) + (Y - y) * math.cos(angle)
    light = (np.floor(u / square) + np.floor(v / square)) % 2 * 0.6 + 0.2
    inside = (np.abs(u) < 4 * square) & (np.abs(v) < 3 * square)
    return np.where(inside, light, 0.5) * VIGNETTING


def write_everything(path: Path, metadata: bool = True) -> list[str]:
    """Write a bag with every role; return the role of each frame."""
    camera = Camera()
    roles: list[str] = []
    scene = camera.scene()
    black = np.zeros((HEIGHT, WIDTH), np.float32)
    with BagWriter(path) as bag:

        def put(role: str, radiance: np.ndarray, exposure_us: float, **changes: Any) -> None:
            bag.image(len(roles), camera(radiance, exposure_us / 20_000.0))
            if metadata:
                bag.metadata(len(roles), exposure_us, **changes)
            roles.append(role)

        for exposure in (1000.0, 100_000.0):
            for _ in range(4):
                put('dark', black, exposure)
        for exposure in (1000.0, 2000.0, 4000.0, 8000.0, 16_000.0, 64_000.0):
            for _ in range(2):
                put('flat', 0.9 * VIGNETTING, exposure)
        for i in range(12):
            put('board', board(30 + 9 * i, 40 + 4 * i, 0.1 * i, 9 + i / 2), 20_000.0)
        for exposure in (300.0, 1000.0, 4000.0, 16_000.0, 64_000.0, 600_000.0):
            for _ in range(2):
                put('sweep', scene, exposure)
        for distance in (0.3, 0.5, 0.8, 1.2):
            sharp = board(80, 60, 0.1, 12)
            blurred = cv2.GaussianBlur(sharp, (0, 0), 0.3 + 2 * abs(1 / distance - 1))
            for _ in range(2):
                put('focus', blurred, 20_000.0, focus_distance=distance)
        bag.camera_info(0, (WIDTH, HEIGHT))
    return roles


def finds_boards(frame: RecordedFrame) -> bool:
    """Stand for a detector: it finds the boards of the truth and nothing else."""
    assert frame.settings is not None
    return frame.settings.exposure_time == pytest.approx(0.02)


def test_roles_are_recognised(tmp_path: Path) -> None:
    truth = write_everything(tmp_path / 'bag')
    with Recording(tmp_path / 'bag') as recording:
        found = recognise_roles(recording, finds_boards)
        assert [frame.role for frame in found] == truth
        assert [frame.role for frame in recording.frames()] == truth


def test_roles_without_settings_and_detector(tmp_path: Path) -> None:
    """What needs them is not guessed."""
    truth = write_everything(tmp_path / 'bag', metadata=False)
    with Recording(tmp_path / 'bag') as recording:
        found = [frame.role for frame in recognise_roles(recording)]
    assert set(found[20:32]) == {''}  # no detector
    assert set(found[-8:]) == {''}  # one view, but nothing says that the focus changed
    # of the sweep its ends may be lost
    assert found[34:42] == truth[34:42] == ['sweep'] * 8
    assert set(found[:20]) <= {'dark', 'flat'} and found[12:20] == ['flat'] * 8


def test_given_roles_stay(tmp_path: Path) -> None:
    write_everything(tmp_path / 'bag')
    with Recording(tmp_path / 'bag', roles='flat') as recording:
        assert {frame.role for frame in recognise_roles(recording)} == {'flat'}
        assert {frame.role for frame in recording.frames()} == {'flat'}


def test_roles_of_frames_that_were_skipped(tmp_path: Path) -> None:
    truth = write_everything(tmp_path / 'bag')
    with Recording(tmp_path / 'bag') as recording:
        recognise_roles(recording, finds_boards, every=2)
        found = [frame.role for frame in recording.frames()]
    assert sum(a == b for a, b in zip(found, truth, strict=True)) >= len(truth) - 5
    assert all(a in (b, '') for a, b in zip(found, truth, strict=True))


def frame_of(pixels: np.ndarray, encoding: str = 'mono8') -> RecordedFrame:
    return RecordedFrame(0, 0, '/x', '', 'bag', pixels, encoding)


def sharp_board() -> np.ndarray:
    y, x = np.mgrid[:960, :1280] / 4.0
    u, v = x * math.cos(0.1) + y * math.sin(0.1), -x * math.sin(0.1) + y * math.cos(0.1)
    squares = (np.floor(u / 30) + np.floor(v / 30)) % 2 * 180.0 + 30.0
    return cv2.resize(squares, (320, 240), interpolation=cv2.INTER_AREA)


def noisy(picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0.0, 1.5, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('sigma', [0.7, 1.0, 1.5, 2.0, 3.0])
def test_blur_is_measured_in_pixels(sigma: float) -> None:
    picture = noisy(cv2.GaussianBlur(sharp_board(), (0, 0), sigma))
    blur = features_of(frame_of(picture)).blur
    assert blur == (pytest.approx(sigma, rel=0.15), pytest.approx(sigma, rel=0.15))


@pytest.mark.parametrize(('size', 'axis'), [((7, 1), 0), ((1, 11), 1)])
def test_motion_is_told_from_defocus(size: tuple[int, int], axis: int) -> None:
    still = cv2.GaussianBlur(sharp_board(), (0, 0), 0.8)
    moved = features_of(frame_of(noisy(cv2.blur(still, size))))
    assert moved.motion == pytest.approx(max(size), rel=0.25)
    assert moved.blur[axis] > 2 * moved.blur[1 - axis]
    assert features_of(frame_of(noisy(still))).motion < 1.0


def test_blur_of_a_mosaic_is_in_pixels_of_the_picture() -> None:
    picture = noisy(cv2.GaussianBlur(sharp_board(), (0, 0), 3.0))
    blur = features_of(frame_of(picture, 'bayer_rggb8')).blur
    assert blur[0] == pytest.approx(3.0, rel=0.15)


def test_no_edges_no_blur() -> None:
    blur = features_of(frame_of(noisy(np.full((240, 320), 120.0)))).blur
    assert all(map(math.isnan, blur))


def test_views_are_compared_whatever_the_exposure() -> None:
    camera = Camera()
    scene, other = camera.scene(), camera.scene()
    one, brighter = (features_of(frame_of(camera(scene, e))) for e in (0.1, 0.8))
    assert same_view(one, brighter) > 0.95
    assert same_view(one, features_of(frame_of(camera(other, 0.3)))) < 0.7
    white = features_of(frame_of(np.full((HEIGHT, WIDTH), 255, np.uint8)))
    assert math.isnan(same_view(one, white))


@pytest.mark.parametrize('full', [255, 4095, 65535])
def test_levels_and_clipped_shares(full: int) -> None:
    picture = np.full((100, 100), full // 2, np.uint8 if full == 255 else np.uint16)
    picture[:10], picture[-20:] = full, 0
    frame = replace(frame_of(picture, 'mono16'), bit_depth=12 if full == 4095 else 0)
    found = features_of(frame)
    assert (found.saturated, found.black) == (0.1, 0.2)
    assert found.level == pytest.approx(0.45, abs=0.01)
    colour = np.zeros((10, 10, 3), np.uint8)
    colour[:5, :, 1] = 255
    found = features_of(frame_of(colour, 'rgb8'))
    assert (found.saturated, found.black) == (0.5, 0.5)


def measured(
    exposures: list[float | None], levels: list[float] | None = None, **known: Any
) -> list[FrameFeatures]:
    view = np.zeros((18, 24), np.uint8)
    levels = levels or [0.5] * len(exposures)
    return [
        FrameFeatures(
            index=i,
            stamp=i,
            bag='bag',
            settings=None if time is None else FrameSettings(exposure_time=time, iso=100.0),
            role='',
            settling=False,
            automatic=known.get('automatic'),
            picture=PictureFeatures(level, 0.0, 0.0, 0.1, 0.1, view, (1.0, 1.0)),
        )
        for i, (time, level) in enumerate(zip(exposures, levels, strict=True))
    ]


def test_frames_that_follow_a_change_late_are_found() -> None:
    exposures: list[float | None] = [0.01] * 10 + [0.02] * 10
    late = [0.2] * 10 + [0.2, 0.2, 0.3] + [0.4] * 7
    assert unsettled(measured(exposures, late)) == {10, 11, 12}
    assert unsettled(measured(exposures, [0.2] * 10 + [0.4] * 10)) == set()
    # the first frames of a recording follow nothing
    assert unsettled(measured([0.01] * 10, [0.1] * 2 + [0.2] * 8)) == set()
    told = [replace(f, settling=f.index == 3) for f in measured([0.01] * 6)]
    assert unsettled(told) == {3}


def test_automatic_exposure_is_noticed() -> None:
    creeping = [0.01 * 1.03**i for i in range(20)]
    sweep = [0.001 * 2.0**i for i in range(10)]
    assert automatic_of(measured(creeping))[0] == 'running'
    assert automatic_of(measured(sweep))[0] == 'off'
    assert automatic_of(measured([0.01] * 20))[0] == 'off'
    assert automatic_of(measured([None] * 5))[0] == 'not known'
    assert automatic_of(measured([None] * 5, automatic=True))[0] == 'running'
    assert automatic_of(measured([None] * 5, automatic=False))[0] == 'off'


def test_every_parameter_is_in_one_group() -> None:
    names = [name for _, group, _ in GROUPS for name in group]
    assert sorted(names) == sorted(PARAMETERS)


def verdicts(found: Audit) -> dict[str, str]:
    return {item.group: item.verdict for item in found.abilities}


def test_audit_of_everything(tmp_path: Path) -> None:
    truth = write_everything(tmp_path / 'bag')
    with Recording(tmp_path / 'bag') as recording:
        found = audit(recording, finds_boards)
    assert found.frames == found.looked_at == len(truth)
    assert found.roles == {role: truth.count(role) for role, _ in groupby(sorted(truth))}
    assert found.rate == pytest.approx(10.0) and found.gaps == 0
    assert found.size == (WIDTH, HEIGHT) and found.encoding == 'mono8' and not found.lossy
    coverage = {item.name: item for item in found.coverage}
    assert coverage['exposure_time'].share == 1.0
    assert coverage['exposure_time'].values[0] == pytest.approx(300e-6)
    assert coverage['exposure_time'].values[-1] == pytest.approx(0.6)
    assert coverage['focus_distance'].values == (0.3, 0.5, 0.8, 1.2, 1.5)
    assert found.automatic[0] == 'off'
    assert found.boards is not None and found.boards[0] >= 12
    assert 'agrees in size' in found.camera_info_verdict
    assert found.exposure.saturated >= 2 and 0 < found.exposure.saturated_share < 0.3
    expected = ('intrinsics', 'vignetting', 'response', 'photon noise', 'dark current', 'defocus')
    assert {name: verdicts(found)[name] for name in expected} == dict.fromkeys(expected, 'yes')
    assert verdicts(found)['white balance'] == 'no' and found.estimable
    text = found.text()
    assert all(len(line) <= 99 for line in text.splitlines() if '/' not in line)
    for words in ('f/2', '1e+05', 'board', 'yes   vignetting', 'no    white balance', 'metadata'):
        assert words in text or words == '1e+05'
    again = json.loads(json.dumps(found.json(), allow_nan=False))
    assert again['frames'] == len(truth)
    assert {field.name for field in fields(found)} < set(again)


def test_audit_says_what_is_missing(tmp_path: Path) -> None:
    """Two boards, moved and out of sight of the settings; camera_info of another mode."""
    with BagWriter(tmp_path / 'bag') as bag:
        camera = Camera()
        for number in range(6):
            picture = camera(board(70 + 3 * number, 60, 0.2, 12), 1.0)
            bag.image(number, cv2.blur(picture, (9, 1)) if number == 5 else picture)
        bag.camera_info(0, (WIDTH * 2, HEIGHT * 2))
    with Recording(tmp_path / 'bag') as recording:
        found = audit(recording)
    assert set(verdicts(found).values()) == {'no', 'yes'} and not found.estimable
    assert [item.group for item in found.abilities if item.verdict == 'yes'] == ['sizes']
    for item in found.abilities:
        assert item.verdict == 'yes' or item.remedy or 'choice' in item.reason
    assert found.boards is None and found.automatic[0] == 'not known'
    assert found.blur is not None and found.blur.moved == (5,)
    assert '320x240, but the pictures are 160x120' in found.camera_info_verdict
    text = found.text()
    for words in ('nowhere', 'not known', '--target', 'moved', 'cap the lens', 'not looked for'):
        assert words in text


def test_a_board_that_never_moved_gives_no_intrinsics(tmp_path: Path) -> None:
    camera = Camera()
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(12):
            bag.image(number, camera(board(80, 60, 0.2, 12), 1.0))
    with Recording(tmp_path / 'bag') as recording:
        found = audit(recording, lambda frame: True)
    (item,) = [item for item in found.abilities if item.group == 'intrinsics']
    assert item.verdict == 'no' and 'hardly moved' in item.reason and 'tilted' in item.remedy


def test_automatic_exposure_refuses_response_and_noise(tmp_path: Path) -> None:
    camera = Camera()
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(20):
            exposure = 0.2 * 1.04**number
            bag.image(number, camera(0.9 * VIGNETTING, exposure))
            bag.metadata(number, 20_000.0 * exposure)
    with Recording(tmp_path / 'bag') as recording:
        found = audit(recording)
    assert found.automatic[0] == 'running'
    remedies = {item.group: item.remedy for item in found.abilities}
    for group in ('response', 'photon noise'):
        assert verdicts(found)[group] == 'no'
        assert 'automatic exposure and gain off' in remedies[group]


def test_long_recordings_are_sampled(tmp_path: Path) -> None:
    truth = write_everything(tmp_path / 'bag')
    with Recording(tmp_path / 'bag') as recording:
        found = audit(recording, max_frames=len(truth) // 2)
    assert found.frames == len(truth) and found.looked_at <= len(truth) // 2 + 1
    assert found.rate == pytest.approx(10.0)


def test_audit_of_photographs(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / 'calibration' / 'heethesh_ros_chessboard').glob('*.png'))[::4]
    with BagWriter(tmp_path / 'bag') as bag:
        for number, file in enumerate(files):
            bag.compressed(number, file.read_bytes(), 'bgr8; png compressed bgr8')

    def detector(frame: RecordedFrame) -> bool:
        return bool(cv2.findChessboardCornersSB(np.ascontiguousarray(frame.image), (7, 5))[0])

    with Recording(tmp_path / 'bag') as recording:
        found = audit(recording, detector)
    assert found.boards is not None and found.boards[1] == len(files)
    assert found.boards[0] >= 4
    assert found.roles == {'board': len(files)}
    assert verdicts(found)['intrinsics'] == 'weak'  # 6 of the 23 photographs
    assert found.blur is not None and 0.3 < found.blur.typical < 1.5 and found.blur.moved == ()
    assert found.settings_sources == () and 'nowhere' in found.text()
