# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera at single photosites: against whole pictures, and its derivatives."""

from __future__ import annotations

import joint_frames as boards
import numpy as np
import pytest

from diffphyscam_ros.calibration.joint_frames import starts
from diffphyscam_ros.calibration.joint_model import JointModel
from diffphyscam_ros.calibration.joint_parameters import (
    BLEED,
    BLUR,
    CameraNumbers,
    COURSE,
    FRAME_NUMBERS,
    INK,
    LEVEL,
    PLACE,
    start_of,
)
from diffphyscam_ros.calibration.joint_samples import sampled
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.camera import SensorModel

CLEAN = ('vignetting', 'exposure', 'response')


def model_of(
    sensor: SensorModel, encoding: str, target: Target, stages: tuple[str, ...], count: int = 1
) -> tuple[JointModel, CameraNumbers, np.ndarray]:
    """Return the model before films of a camera, all of it true, and the frames' numbers."""
    taken = []
    for number, (*pose, corners) in enumerate(boards.poses(sensor, count, 5, target)):
        frame = boards.filmed(
            sensor, tuple(pose), number=number, encoding=encoding, stages=stages, target=target
        )
        taken.append(
            sampled(frame, corners, settings=sensor.settings, pose=tuple(pose), name=str(number),
                    ceiling=1.0, seed=0, count=500)
        )  # fmt: skip
    camera = boards.camera_of(sensor)
    free = np.ones(len(camera), bool)
    std = np.full(len(camera), 0.1)
    numbers = start_of(sensor, 'plumb_bob', camera, std, free, boards.estimates_of(sensor))
    raw = encoding.startswith('bayer')
    first, _ = starts(taken, sensor, raw=raw, noisy=True, step=1 / 65535)
    # the light of the films, 0.8·(1 + x/1.2 m), in terms of the board's middle and half its size
    points = target.object_points()[:, :2]
    middle = 1.0 + (points[:, 0].min() + points[:, 0].max()) / 2.4
    first[:, LEVEL:COURSE] = np.log(0.8 * middle)
    first[:, COURSE:INK] = 0.0
    first[:, COURSE] = np.ptp(points, axis=0).max() / 2.4 / middle
    first[:, INK], first[:, BLUR], first[:, BLEED] = 0.06, 0.01, 0.0
    return JointModel(sensor, target, numbers, taken, raw=raw), numbers, first


@pytest.mark.parametrize(
    ('encoding', 'changes'),
    [
        ('mono16', {}),
        ('rgb16', {'quantum_efficiency': (0.7, 1.0, 0.5), 'response_type': 'gamma',
                   'response_gains': (0.04,) * 3, 'response_gamma': 1.0}),
        ('bayer_grbg16', {'bayer_pattern': 'grbg', 'quantum_efficiency': (0.7, 1.0, 0.5)}),
        ('mono16', {'vignetting_model': 'radial', 'vignetting_coefficients': (-0.5, 0.1)}),
        ('mono16', {'vignetting_model': 'map', 'vignetting_map_columns': 2,
                    'vignetting_map': (0.5, 1.0, 0.8, 0.6)}),
    ],
)  # fmt: skip
def test_it_makes_the_values_of_whole_pictures(encoding, changes):
    sensor = boards.truth(**changes)
    stages = (*CLEAN, 'mosaic') if 'bayer' in encoding else (*CLEAN, 'color')
    model, numbers, first = model_of(sensor, encoding, boards.TARGET, stages)
    made = model.evaluate(numbers.values, first, np.stack([f.rotation for f in model.frames]))
    error = made - model.values
    # nothing is fitted: pixels at edges differ by how finely the picture was drawn
    assert np.median(np.abs(error)) < 0.003 and np.sqrt(np.mean(error**2)) < 0.015
    assert np.ptp(model.values) > 0.2


@pytest.mark.parametrize('text', ['chessboard:9x7:0.03', 'charuco:8x6:0.03:0.02:DICT_4X4_50'])
def test_one_backward_pass_gives_the_whole_jacobian(text):
    sensor = boards.truth()
    target = Target.parse(text)
    model, numbers, first = model_of(sensor, 'mono16', target, (*CLEAN, 'color'), 2)
    turns = np.stack([frame.rotation for frame in model.frames])
    camera = numbers.values + np.where(numbers.values == 0, 1e-3, 0.0)
    first[:, BLUR] = 0.4
    values, by_camera, by_frame = model.linearise(camera, first, turns)
    assert by_camera.shape == (len(values), len(camera))
    assert by_frame.shape == (len(values), FRAME_NUMBERS)
    for number in range(len(camera)):
        step = np.zeros(len(camera))
        step[number] = 1e-5 * max(abs(camera[number]), 0.01)
        up, down = (model.evaluate(camera + s * step, first, turns) for s in (1, -1))
        check((up - down) / (2 * step[number]), by_camera[:, number])
    for number in range(PLACE, FRAME_NUMBERS):
        step = np.zeros(FRAME_NUMBERS)
        step[number] = 1e-6
        up, down = (model.evaluate(camera, first + s * step, turns) for s in (1, -1))
        check((up - down) / 2e-6, by_frame[:, number])


@pytest.mark.parametrize(
    ('lens', 'coefficients'),
    [
        ('equidistant', (0.02, -0.01, 0.003, -0.001)),
        ('rational_polynomial', (0.3, 0.1, 0.0005, -0.001, 0.01, 0.5, 0.15, 0.02)),
    ],
)
def test_every_lens_model_has_its_slopes(lens, coefficients):
    sensor = boards.truth()
    seen, _, first = model_of(sensor, 'mono16', boards.TARGET, (*CLEAN, 'color'))
    camera = np.array([*boards.camera_of(sensor)[:4], *coefficients])
    free, std = np.ones(len(camera), bool), np.full(len(camera), 0.1)
    numbers = start_of(sensor, lens, camera, std, free, boards.estimates_of(sensor))
    model = JointModel(sensor, boards.TARGET, numbers, seen.frames, raw=False)
    turns = np.stack([frame.rotation for frame in model.frames])
    first[:, BLUR] = 0.4
    _, by_camera, _ = model.linearise(numbers.values, first, turns)
    for number in range(len(camera)):
        step = np.zeros(len(numbers.values))
        step[number] = 1e-5 * max(abs(camera[number]), 0.01)
        up, down = (model.evaluate(numbers.values + s * step, first, turns) for s in (1, -1))
        check((up - down) / (2 * step[number]), by_camera[:, number])


def check(differences: np.ndarray, derivatives: np.ndarray) -> None:
    scale = np.abs(derivatives).max()
    # at the kinks of the pattern's reach and where the table of cells changes both are one-sided
    assert np.abs(differences - derivatives).max() < 2e-4 * scale + 1e-7


def test_turns_have_the_slope_of_turned_boards():
    from diffphyscam_ros.calibration.projection import rotations

    sensor = boards.truth()
    model, numbers, first = model_of(sensor, 'mono16', boards.TARGET, (*CLEAN, 'color'))
    turns = np.stack([frame.rotation for frame in model.frames])
    _, _, by_frame = model.linearise(numbers.values, first, turns)
    for axis in range(PLACE):
        small = np.zeros((1, 3))
        small[0, axis] = 1e-6
        up, down = (
            model.evaluate(numbers.values, first, turns @ rotations(s * small)) for s in (1, -1)
        )
        check((up - down) / 2e-6, by_frame[:, axis])


def test_a_part_of_the_frames_is_the_same_model():
    sensor = boards.truth()
    model, numbers, first = model_of(sensor, 'mono16', boards.TARGET, (*CLEAN, 'color'), 3)
    turns = np.stack([frame.rotation for frame in model.frames])
    whole = model.evaluate(numbers.values, first, turns)
    part = model.part([2, 0])
    some = part.evaluate(numbers.values, first[[2, 0]], turns[[2, 0]])
    rows = [slice(*model.starts[i : i + 2]) for i in (2, 0)]
    assert (some == np.concatenate([whole[row] for row in rows])).all()
    assert (part.values == np.concatenate([model.values[row] for row in rows])).all()
