# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The joint refinement on films of a known camera: better where it says so, honest where not."""

from __future__ import annotations

from dataclasses import replace

import joint_frames as boards
import numpy as np
import pytest

from diffphyscam_ros.calibration import joint_frames
from diffphyscam_ros.calibration.intrinsics import estimate_intrinsics, IntrinsicsResult
from diffphyscam_ros.calibration.joint import estimate_joint
from diffphyscam_ros.calibration.types import RecordedFrame, StageResult
from diffphyscam_ros.camera import SensorModel

COUNT = 10


@pytest.fixture(scope='module', autouse=True)
def fewer_photosites():
    """Halve the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint_frames, 'SAMPLES', 700)
        yield


@pytest.fixture(scope='module')
def truth() -> SensorModel:
    return boards.truth()


@pytest.fixture(scope='module')
def filmed(truth) -> tuple[list[RecordedFrame], IntrinsicsResult]:
    """Return films, and the intrinsics that corners with errors of 0.1 px give."""
    frames, views = boards.films(truth, COUNT, seed=1)
    found = estimate_intrinsics(
        views, boards.SIZE, compare=False, pixel_size=float(truth.pixel_size)
    )
    return frames, found


def run(
    truth: SensorModel, frames: list[RecordedFrame], staged: IntrinsicsResult, **options
) -> tuple[StageResult, IntrinsicsResult]:
    sensor = boards.known_camera(truth, staged.solution.fit.camera, staged.focal_length)
    sensor = replace(sensor, **options.pop('changes', {}))
    return estimate_joint(
        frames, lambda frame: f'frame {frame.index} of b', staged, boards.TARGET, sensor,
        boards.estimates_of(sensor), **options,
    )  # fmt: skip


@pytest.fixture(scope='module')
def refined(truth, filmed) -> tuple[StageResult, IntrinsicsResult]:
    return run(truth, *filmed)


def test_the_truth_is_nearer_than_before(truth, filmed, refined):
    stage, found = refined
    assert stage.plots['verdict'] == 'improved' and stage.plots['chance'] < 0.01
    true = boards.camera_of(truth)
    before = np.abs(filmed[1].solution.fit.camera - true)
    after = np.abs(found.solution.fit.camera - true)
    assert after[:2].mean() < 0.5 * before[:2].mean()
    assert (after < 3.5 * found.solution.std + 1e-12).all()
    assert (found.solution.std[:4] < filmed[1].solution.std[:4]).all()
    assert direction_error(found, truth) < 0.6 * direction_error(filmed[1], truth)


def direction_error(found: IntrinsicsResult, truth: SensorModel) -> float:
    """Return the rms px by which known directions are off, where boards were."""
    from diffphyscam_ros.calibration.projection import project, rays

    pixels = np.stack(np.meshgrid(np.linspace(40, 280, 9), np.linspace(30, 210, 7)), -1)
    flat = rays('plumb_bob', boards.camera_of(truth), pixels.reshape(-1, 2))
    points = np.column_stack([flat, np.ones(len(flat))])
    moved = project('plumb_bob', found.solution.fit.camera, points)[0] - pixels.reshape(-1, 2)
    moved -= moved.mean(axis=0)  # a turn of the camera, which boards do not see
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def test_estimates_and_report_say_what_moved(refined):
    stage, found = refined
    by_name = {item.name: item for item in stage.estimates}
    assert {'focal_scale', 'principal_point', 'distortion_coefficients'} <= set(by_name)
    assert by_name['principal_point'].value == tuple(found.solution.fit.camera[2:4])
    assert all(item.frames == COUNT and item.std is not None for item in stage.estimates)
    assert len(stage.plots['frames']) == COUNT
    assert {row['name'] for row in stage.plots['moves']} >= {'fx', 'fy', 'cx', 'cy', 'k1'}
    # boards in unknown light cannot tell the level of darkness, and it is said
    assert 'response_biases' in stage.plots['held']
    assert 'response_biases not moved' in ' '.join(stage.messages)
    assert stage.messages[0].startswith('the refined values predict frames held out better')
    names, matrix = stage.correlation
    assert len(names) == len(matrix) and np.allclose(np.diag(matrix), 1.0)


def test_the_same_input_gives_the_same_output(truth, filmed, refined):
    again, found = run(truth, *filmed)
    assert again.plots == refined[0].plots and again.estimates == refined[0].estimates
    assert (found.solution.fit.camera == refined[1].solution.fit.camera).all()


def test_a_deliberate_error_is_put_right(truth, filmed):
    """K is 1 % off, as a distorted print would make it, and the vignetting gain far off."""
    frames, staged = filmed
    fit = staged.solution.fit
    camera = fit.camera.copy()
    camera[:2] *= 1.01
    wrong = replace(
        staged, fit=replace(staged.solution, fit=replace(fit, camera=camera), std=10 * np.abs(
            fit.camera - camera) + staged.solution.std)
    )  # fmt: skip
    stage, found = run(truth, frames, wrong, changes={'vignetting_gain': 0.6})
    assert stage.plots['verdict'] == 'improved'
    true = boards.camera_of(truth)
    assert np.abs(found.solution.fit.camera[:2] - true[:2]).max() < 0.3
    gain = next(item for item in stage.estimates if item.name == 'vignetting_gain')
    assert abs(gain.value - 0.8) < 0.8 - 0.6 and abs(gain.value - 0.8) < 3.5 * gain.std


def test_true_values_are_not_improved(truth, filmed):
    """From the truth nothing can get better, so the staged values are kept, both numbers said."""
    frames, staged = filmed
    fit = staged.solution.fit
    true = replace(
        staged, fit=replace(staged.solution, fit=replace(fit, camera=boards.camera_of(truth)))
    )
    stage, found = run(truth, frames, true)
    assert stage.plots['verdict'] == 'not improved' and stage.plots['gain'] < 0.002
    assert stage.estimates == () and found is true
    sentence = stage.messages[0]
    assert 'staged ones are kept' in sentence
    for name in ('staged_error', 'refined_error'):
        assert f'{stage.plots[name]:.3f}' in sentence


def test_a_strange_frame_is_left_out_by_name(truth, filmed, refined):
    frames, staged = filmed
    random = np.random.default_rng(0)
    strange = frames[4].image.copy()
    strange[:] = random.integers(5000, 60000, strange.shape, dtype=np.uint16)
    hidden = [*frames[:4], replace(frames[4], image=strange), *frames[5:]]
    stage, found = run(truth, hidden, staged)
    assert stage.plots['outliers'][0][0] == 'frame 4 of b'
    assert 'frame 4 of b left out' in ' '.join(stage.messages)
    true = boards.camera_of(truth)
    off = np.abs(found.solution.fit.camera - true)
    assert (off < 3.5 * found.solution.std + 1e-12).all()


def test_too_few_frames_are_said(truth, filmed):
    frames, staged = filmed
    stage, found = run(truth, frames[:5], staged)
    assert stage.plots['verdict'] == 'not refined' and found is staged
    assert stage.messages[0].startswith('not refined: 5 frames') and stage.estimates == ()
    dark = [replace(frame, image=frame.image // 4096 * 0) for frame in frames]
    stage, _ = run(truth, dark, staged)
    assert stage.messages[0].startswith('not refined: 0 frames')
    stage, _ = run(truth, frames, staged, changes={'focus_breathing': True})
    assert 'focus_breathing' in stage.messages[0]


def test_an_interruption_comes_through(truth, filmed):
    steps = []

    def tick() -> None:
        steps.append(None)
        if len(steps) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(truth, *filmed, tick=tick)
