# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Intrinsics: the truth within the stated uncertainty, refusals, real photographs."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from board_pictures import photographs, random_views, SIZE
import cv2
import numpy as np
import pytest
import torch
import yaml

from diffphyscam_ros.calibration.board_view import BoardView, ViewQuality
from diffphyscam_ros.calibration.bundle import fit_bundle, Observations
from diffphyscam_ros.calibration.camera_info_file import camera_info_text, write_camera_info
from diffphyscam_ros.calibration.coverage import projection_uncertainty
from diffphyscam_ros.calibration.detect import detect_board
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.intrinsics import estimate_intrinsics, MODELS
from diffphyscam_ros.calibration.projection import (
    distort,
    parameter_names,
    project,
    rotations,
    undistort,
)
from diffphyscam_ros.calibration.starting_values import poses
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.camera import SensorModel
from diffphyscam_ros.camera.lens_models import distort_points


def by_name(result: object) -> dict[str, object]:
    """Return the estimates by their names."""
    return {estimate.name: estimate for estimate in result.stage.estimates}


@pytest.mark.parametrize('model', MODELS)
def test_projection_and_derivatives(model: str) -> None:
    """Against the camera's own lens model in torch, and against finite differences."""
    camera, _ = random_views(0, model, count=1)
    rng = np.random.default_rng(1)
    flat = rng.uniform(-0.5, 0.5, (30, 2))
    bent, *_ = distort(model, camera[4:], flat)
    expected = distort_points(torch.tensor(flat), model, torch.tensor(camera[4:]))
    np.testing.assert_allclose(bent, expected.numpy(), atol=1e-12)
    np.testing.assert_allclose(undistort(model, camera[4:], bent), flat, atol=1e-9)
    depth = rng.uniform(0.5, 2.0, (30, 1))
    points = np.concatenate([flat * depth, depth], axis=1)
    _, by_camera, by_point = project(model, camera, points)
    for index in range(len(camera)):
        step = np.zeros(len(camera))
        step[index] = 1e-6 * max(1.0, abs(camera[index]))
        ahead, behind = (project(model, camera + s, points)[0] for s in (step, -step))
        slope = (ahead - behind) / (2 * step[index])
        np.testing.assert_allclose(by_camera[:, :, index], slope, rtol=1e-5, atol=1e-5)
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-6
        ahead, behind = (project(model, camera, points + s)[0] for s in (step, -step))
        np.testing.assert_allclose(by_point[:, :, axis], (ahead - behind) / 2e-6, rtol=1e-4)


@pytest.mark.parametrize('noise', [0.1, 0.3])
def test_the_same_as_opencv(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without outliers, plain least squares: K, D and the standard deviations."""
    monkeypatch.setattr('diffphyscam_ros.calibration.bundle.SHARED', 0.0)  # OpenCV knows of none
    _, views = random_views(5, count=15, noise=noise)
    seen = Observations.of(views)
    start = np.array([450.0, 450.0, 319.5, 239.5, 0, 0, 0, 0, 0])
    found = poses(views, 'plumb_bob', start)
    assert found is not None
    fit = fit_bundle(seen, 'plumb_bob', start, *found, np.ones(9, bool), robust=False)
    rms, k, d, _, _, deviations, *_ = cv2.calibrateCameraExtended(
        [view.object_points.astype(np.float32) for view in views],
        [view.image_points.astype(np.float32) for view in views],
        SIZE, None, None,
        criteria=(cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 200, 1e-14),
    )  # fmt: skip
    assert fit.rms == pytest.approx(rms, rel=1e-4)
    expected = [k[0, 0], k[1, 1], k[0, 2], k[1, 2], *d.ravel()[:5]]
    std = np.sqrt(np.diag(fit.covariance))
    assert np.abs((fit.camera - expected) / std).max() < 0.02
    # OpenCV fits float32 corners; its standard deviations agree to a percent
    np.testing.assert_allclose(std, deviations.ravel()[:9], rtol=0.02)
    assert fit.sigma == pytest.approx(noise, rel=0.06)


@pytest.mark.parametrize('model', MODELS)
def test_the_truth_is_within_the_stated_deviations(model: str) -> None:
    """A reduced set: 40 seeds of each model were run by hand (docs/calibration.md)."""
    pulls = []
    for seed in range(3):
        camera, views = random_views(seed, model)
        result = estimate_intrinsics(views, SIZE, model, compare=False)
        solution = result.solution
        pulls.append((solution.fit.camera - camera) / solution.std)
        assert solution.outliers == () and solution.fit.sigma == pytest.approx(0.15, rel=0.1)
        assert np.abs(solution.fit.camera[:2] / camera[:2] - 1).max() < 0.003
        assert np.abs(solution.fit.camera[2:4] - camera[2:4]).max() < 1.5
    pulls = np.abs(np.array(pulls))
    assert (pulls < 3).mean() >= 0.95
    assert 0.2 < np.sqrt((pulls[:, :4] ** 2).mean()) < 1.6


def test_estimates_are_fields_of_the_sensor_model() -> None:
    camera, views = random_views(1, count=20)
    result = estimate_intrinsics(
        views, SIZE, compare=False, pixel_size=3e-6, focal_length=1.5e-3, source='bag'
    )
    found = by_name(result)
    assert {e.verdict for e in found.values()} == {'estimated'}
    assert all(e.frames == 20 and e.source == 'bag' for e in found.values())
    names = (
        'focal_scale', 'principal_point', 'distortion_model', 'distortion_coefficients'
    )  # fmt: skip
    sensor = SensorModel(
        image_width=640, image_height=480, pixel_size=3e-6,
        **{name: found[name].value for name in names},
    )  # fmt: skip
    sensor = replace(sensor, settings=replace(sensor.settings, focal_length=1.5e-3))
    k = sensor.intrinsics()
    np.testing.assert_allclose([k.fx, k.fy, k.cx, k.cy], result.solution.fit.camera[:4])
    np.testing.assert_allclose([k.fx, k.fy], camera[:2], rtol=2e-3)
    assert found['focal_scale'].std[0] * 500 == pytest.approx(result.solution.std[0])
    json.dumps(dict(result.stage.plots), allow_nan=False)
    names, matrix = result.stage.correlation
    assert names == parameter_names('plumb_bob')
    np.testing.assert_allclose(np.diag(matrix), 1.0)
    assert np.abs(matrix).max() <= 1.0


def test_the_size_of_the_board_does_not_matter() -> None:
    """One camera cannot see scale: K is the same, the boards are farther away."""
    _, views = random_views(2, count=12)
    large = [replace(view, object_points=view.object_points * 3) for view in views]
    one = estimate_intrinsics(views, SIZE, compare=False).solution.fit
    three = estimate_intrinsics(large, SIZE, compare=False).solution.fit
    np.testing.assert_allclose(one.camera, three.camera, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.translation * 3, three.translation, rtol=1e-4)


def test_bad_views_are_named_and_left_out() -> None:
    camera, views = random_views(3, count=22)
    rng = np.random.default_rng(0)
    for index in (4, 9):
        shaken = views[index].image_points + rng.normal(0, 3.0, views[index].image_points.shape)
        views[index] = replace(views[index], image_points=shaken)
    blurred = ViewQuality(63, 1.0, 40.0, 14.0, 0.5, 0.0, ('blurred',))
    views[12] = replace(views[12], quality=blurred)
    views += [replace(views[0], name='again')] * 3
    few = views[1]
    views.append(BoardView.of(Target.parse('chessboard:9x7:0.03'), few.ids[:5],
                              few.image_points[:5], SIZE, 'few'))  # fmt: skip
    # single corners that are wrong in good views
    wrong = views[15].image_points.copy()
    wrong[7] += 25.0
    views[15] = replace(views[15], image_points=wrong)
    result = estimate_intrinsics(views, SIZE, compare=False)
    said = '\n'.join(result.stage.messages)
    for name, reason in (
        ('view 4', 'px off'), ('view 9', 'px off'), ('view 12', 'blurred'), ('few', '5 corners')
    ):  # fmt: skip
        assert f'view {name} left out: ' in said and reason in said
    assert '1 single corners are far off' in said
    assert '3 views show the board where another does' in said
    assert len(result.views) == 19
    assert (np.abs(result.solution.fit.camera - camera) < 4 * result.solution.std).all()


def test_what_cannot_be_estimated_is_refused() -> None:
    _, views = random_views(6, count=12)
    _, flat = random_views(7, count=12, tilt=0.2)
    cases = {
        'no view of the board': [],
        '1 usable view of the board': views[:1],
        '2 usable views of the board': views[:2],
        '19 more show it at the same place': views[:1] * 20,
        'same tilt within': flat,
    }
    for said, given in cases.items():
        result = estimate_intrinsics(given, SIZE, compare=False)
        assert said in result.stage.messages[0], said
        assert result.fit is None
        for estimate in result.stage.estimates:
            assert estimate.verdict == 'not estimated' and estimate.value is None
            assert 'film the board' in estimate.reason
        with pytest.raises(CalibrationError, match='not estimated'):
            result.k  # noqa: B018 - it raises
    odd = [*views, replace(views[0], image_size=(320, 240), name='small')]
    with pytest.raises(CalibrationError, match=r'1 of 13 pictures are 320x240 px.*small'):
        estimate_intrinsics(odd, SIZE)
    with pytest.raises(CalibrationError, match='lens model'):
        estimate_intrinsics(views, SIZE, 'fisheye')
    with pytest.raises(CalibrationError, match='k9'):
        estimate_intrinsics(views, SIZE, fixed=('k9',))


def test_too_little_coverage_is_weak_and_says_where() -> None:
    _, views = random_views(8, count=60)
    left = [view for view in views if view.image_points[:, 0].max() < 400][:15]
    assert len(left) >= 5
    result = estimate_intrinsics(left, SIZE, compare=False)
    found = by_name(result)
    assert {e.verdict for e in found.values()} == {'weak'}
    for region in ('top right', 'right', 'bottom right'):
        assert region in found['focal_scale'].reason
    uncertainty = np.array(result.stage.plots['uncertainty'], float)
    assert uncertainty[:, -1].mean() > 2 * uncertainty[:, 4].mean()
    counts = np.array(result.stage.plots['coverage'])
    assert counts.sum() == sum(len(v) for v in result.views) and counts[:, -3:].sum() == 0


def test_uncertainty_map_ignores_turns_of_the_camera() -> None:
    """A principal point that moves like a turn of the whole camera costs little."""
    camera = np.array([2000.0, 2000.0, 319.5, 239.5, 0, 0, 0, 0, 0])
    covariance = np.zeros((9, 9))
    covariance[2, 2] = 4.0
    spread = projection_uncertainty('plumb_bob', camera, covariance, SIZE)
    assert spread.shape == (9, 12) and spread.max() < 0.1  # of 2 px
    covariance[2, 2], covariance[0, 0] = 0.0, 400.0
    spread = projection_uncertainty('plumb_bob', camera, covariance, SIZE)
    assert spread[4, 0] == pytest.approx(20.0 * 0.5 * 640 * 11 / 12 / 2000, rel=0.05)


def test_the_better_lens_model_is_recommended() -> None:
    _, views = random_views(1, 'equidistant', count=16, noise=0.05)
    result = estimate_intrinsics(views, SIZE, 'auto')
    assert result.model == result.recommended == 'equidistant'
    assert result.models['equidistant'] < result.models['plumb_bob']
    result = estimate_intrinsics(views, SIZE, 'plumb_bob')
    assert any('equidistant predicts views' in message for message in result.stage.messages)
    _, views = random_views(1, count=10)
    assert estimate_intrinsics(views, SIZE, 'auto').model == 'plumb_bob'


def test_camera_info_reads_back(tmp_path: Path) -> None:
    calibration_info = pytest.importorskip('diffphyscam_ros.nodes.calibration_info')
    for model in MODELS:
        _, views = random_views(4, model, count=10)
        result = estimate_intrinsics(views, SIZE, model, compare=False)
        path = tmp_path / f'{model}.yaml'
        write_camera_info(result, path, 'front: "camera"')
        info = calibration_info.load(path)
        assert (info.width, info.height, info.distortion_model) == (640, 480, model)
        np.testing.assert_array_equal(info.k, result.solution.fit.camera[:4])
        np.testing.assert_array_equal(info.distortion, result.d)
        content = yaml.safe_load(path.read_text())
        assert content['camera_name'] == 'front: "camera"'
        assert content['projection_matrix']['data'][3] == 0.0
        assert f'fx {result.parameters["fx"][1]:.3g}' in path.read_text()
    assert camera_info_text(result) == camera_info_text(result)
    assert list(tmp_path.glob('.*')) == []
    refused = estimate_intrinsics([], SIZE)
    with pytest.raises(CalibrationError):
        write_camera_info(refused, tmp_path / 'refused.yaml')
    assert not (tmp_path / 'refused.yaml').exists()


def views_of(shared_data: Path, name: str) -> list[BoardView]:
    """Return the views of a set of photographs."""
    target, pictures = photographs(shared_data, name)
    views = [detect_board(image, target, name=file) for file, image in pictures]
    return [view for view in views if view is not None]


def test_the_ros_calibrators_photographs(shared_data: Path) -> None:
    """K of ost.yaml, and a lower error than its numbers have on the same corners.

    ROS's calibrator was run with two radial coefficients: k3 is held at 0 here too.
    """
    views = views_of(shared_data, 'heethesh')
    size = views[0].image_size
    folder = shared_data / 'calibration' / 'heethesh_ros_chessboard'
    reference = yaml.safe_load((folder / 'ost.yaml').read_text())
    k = np.reshape(reference['camera_matrix']['data'], (3, 3))
    d = reference['distortion_coefficients']['data']
    theirs = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2], *d])
    result = estimate_intrinsics(views, size, fixed=('k3',), compare=False)
    assert any('held at 0, as was asked: k3' in text for text in result.stage.messages)
    ours = result.solution.fit.camera
    assert len(result.views) == 23 and ours[8] == 0.0
    np.testing.assert_allclose(ours[:2], theirs[:2], rtol=0.01)
    np.testing.assert_allclose(ours[2:4], theirs[2:4], atol=4.0)
    assert (np.abs(ours[:4] - theirs[:4]) < 3 * result.solution.std[:4]).all()
    found = poses(views, 'plumb_bob', theirs)
    assert found is not None
    held = fit_bundle(
        Observations.of(views), 'plumb_bob', theirs, *found, np.zeros(9, bool), robust=False
    )
    assert result.solution.fit.rms < held.rms
    assert result.solution.fit.rms < 0.25


@pytest.mark.parametrize(
    ('name', 'focal', 'error'),
    [
        ('charuco', 790.0, 0.45),
        ('legacy', 612.0, 0.15),
        ('aprilgrid', 605.0, 0.7),
        ('arucogrid', 960.0, 0.9),
    ],
)
def test_few_photographs_are_weak_and_stable(
    name: str, focal: float, error: float, shared_data: Path
) -> None:
    """Leaving out a view moves K by less than 3 of its standard deviations."""
    views = views_of(shared_data, name)
    size = views[0].image_size
    whole = estimate_intrinsics(views, size, fixed=('k3',), compare=False)
    solution = whole.solution
    assert {e.verdict for e in whole.stage.estimates} == {'weak'}
    np.testing.assert_allclose(solution.fit.camera[:2], focal, rtol=0.03)
    assert (np.abs(solution.fit.camera[2:4] - np.array(size) / 2) < 0.1 * size[0]).all()
    assert solution.fit.rms < error
    if len(whole.views) < 4:
        return
    for left_out in whole.views:
        rest = [view for view in whole.views if view is not left_out]
        part = estimate_intrinsics(rest, size, fixed=('k3',), compare=False)
        if part.fit is None:  # three views that tell too little are refused
            assert len(rest) == 3
            continue
        moved = part.solution.fit.camera[:4] - solution.fit.camera[:4]
        spread = np.maximum(part.solution.std, solution.std)[:4]
        assert (np.abs(moved) < 3 * spread).all(), left_out.name


def test_rotations_are_rotations() -> None:
    vectors = np.random.default_rng(0).normal(0, 1.5, (5, 3))
    for vector, ours in zip(vectors, rotations(vectors), strict=True):
        np.testing.assert_allclose(ours, cv2.Rodrigues(vector)[0], atol=1e-12)
    np.testing.assert_allclose(rotations(np.zeros((1, 3)))[0], np.eye(3))
