# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Exposures of scenes that move: how many sub-frames, and the picture against brute force."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.capture import readout_time
from diffphyscam_ros.camera.shutter import expose_over_time, subframe_times
from diffphyscam_ros.render import exposure as exposures
from diffphyscam_ros.render.exposure import expose_scene, photograph, samples_for
from diffphyscam_ros.render.image_motion import image_motion, MovingScene
from diffphyscam_ros.render.renderer import Renderer
from diffphyscam_ros.scene.load import default_light
from diffphyscam_ros.scene.primitives import box
from diffphyscam_ros.scene.transforms import rotation_from_rpy
from diffphyscam_ros.scene.types import Instance, Material, Scene

SENSOR = SensorModel(image_width=96, image_height=64, pixel_size=4e-5, vignetting_gain=1.0)
SETTINGS = CameraSettings(exposure_time=0.02, focal_length=0.004)
ROLLING = replace(SENSOR, shutter_mode='rolling', readout_time=0.02)
LENS = ('distortion', 'vignetting')
FOCAL = 100.0  # px


def pose(place=(0.0, 0.0, 0.0), rpy=(0.0, 0.0, 0.0)) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = rotation_from_rpy(torch.tensor(rpy, dtype=torch.float64)).numpy()
    result[:3, 3] = place
    return result


def along(place=(0.0, 0.0, 0.0), velocity=(0.0, 0.0, 0.0), turning=(0.0, 0.0, 0.0)):
    """Return the path of what moves evenly and turns about one of its axes."""

    def at(times):
        return np.stack(
            [pose(np.add(place, np.multiply(velocity, t)), np.multiply(turning, t)) for t in times]
        )

    return at


def cube(name, size, place, color):
    return Instance(name, box(size), Material(color), torch.from_numpy(pose(place)))


@pytest.fixture(scope='module')
def scene():
    """Two cubes before a wall, in the optical frame of the camera at rest."""
    light = default_light()
    items = (
        cube('wall', 20.0, (0, 0, 14), (0.4, 0.5, 0.6)),
        cube('left', 0.6, (-0.5, 0.1, 2.5), (0.9, 0.2, 0.1)),
        cube('right', 0.5, (0.6, -0.1, 2.0), (0.1, 0.8, 0.2)),
    )
    return Scene(items, light.lights, light.environment, light.background)


class Counting(Renderer):
    """Counts its pictures and their rows."""

    def __init__(self):
        super().__init__('cpu')
        self.rows = []

    def __call__(self, scene, intrinsics, camera_to_world):
        self.rows.append(intrinsics.height)
        return super().__call__(scene, intrinsics, camera_to_world)


def brute_force(renderer, camera, moving, path, count=121):
    exposure, readout = SETTINGS.exposure_time, readout_time(camera.sensor)
    source = camera.source_intrinsics(SETTINGS)

    def irradiance_at(time, rows):
        seen = renderer(moving.at(time), source, torch.from_numpy(path(np.array([time]))[0]))
        return camera.lens(seen.color, seen.depth, SETTINGS)

    times = subframe_times(count, exposure, readout)
    return expose_over_time(irradiance_at, times, 64, exposure, readout)


def decibels(first, second):
    return -10.0 * math.log10(float((first - second).clamp(-1, 1).square().mean()) + 1e-20)


STILL = along()
CASES = {
    'pan': (SENSOR, along(turning=(0, 8, 0)), {}),
    'roll': (SENSOR, along(turning=(0, 0, 10)), {}),
    'sideways': (SENSOR, along(velocity=(9, 0, 0)), {}),
    'forward': (SENSOR, along(velocity=(0, 0, 15)), {}),
    'a cube passes': (SENSOR, STILL, {1: along((-0.5, 0.1, 2.5), velocity=(20, 0, 0))}),
    'a cube spins': (SENSOR, STILL, {2: along((0.6, -0.1, 2), turning=(0, 0, 60))}),
    'a cube spins many times': (
        SENSOR,
        STILL,
        {2: along((0.6, -0.1, 2), turning=(0, 0, 2 * math.pi * 3.2 / 0.02))},
    ),
    'rolling pan': (ROLLING, along(turning=(0, 8, 0)), {}),
    'rolling fan': (ROLLING, STILL, {2: along((0.6, -0.1, 2), turning=(0, 0, 60))}),
}


@pytest.mark.parametrize('name', CASES)
def test_a_moving_picture_is_that_of_brute_force(scene, name):
    sensor, path, paths = CASES[name]
    camera, renderer = PhysicalCamera(sensor, LENS), Counting()
    moving = MovingScene(scene, paths)
    with torch.no_grad():
        seen = expose_scene(renderer, camera, moving, path, SETTINGS, most_samples=61)
        truth = brute_force(renderer, camera, moving, path)
        still = camera.lens(seen.radiance.color, seen.radiance.depth, SETTINGS)
    assert 3 < seen.samples <= 61 and seen.samples <= seen.wanted
    found = decibels(seen.irradiance, truth)
    assert found > 45.0 and found > decibels(still, truth) + 10.0


def test_what_stands_is_rendered_once_and_is_the_camera_s_picture(scene):
    renderer, camera = Counting(), PhysicalCamera(ROLLING, seed=3)
    with torch.no_grad():
        frame = photograph(renderer, camera, MovingScene(scene), STILL, SETTINGS, 5)
        assert renderer.rows == [64]
        view = renderer(scene, camera.source_intrinsics(SETTINGS), torch.eye(4))
        expected = camera(view.color, view.depth, SETTINGS, 5)
    assert torch.equal(frame.image, expected.image)
    # A path that leads nowhere, and one of far less than a pixel, are no reason to render again.
    for slow in (along((0, 0, 0)), along(velocity=(0.01, 0, 0))):
        renderer.rows.clear()
        with torch.no_grad():
            again = photograph(
                renderer, camera, MovingScene(scene, {2: along((0.6, -0.1, 2))}), slow, SETTINGS, 5
            )
        assert len(renderer.rows) == 1
        assert torch.allclose(again.image, expected.image, atol=2e-3)


def test_motion_is_measured_in_pixels(scene):
    camera, renderer = PhysicalCamera(SENSOR, LENS), Renderer('cpu')
    view = camera.source_intrinsics(SETTINGS)
    with torch.no_grad():
        depth = renderer(scene, view, torch.eye(4)).depth

    def motion(path, paths=None, duration=0.02):
        return image_motion(depth, view, MovingScene(scene, paths or {}), path, duration)

    nearest = float(depth.min())
    assert motion(along(velocity=(5, 0, 0))) == pytest.approx(FOCAL * 0.1 / nearest, rel=0.01)
    corner = FOCAL * (1 + 0.48**2)  # px/rad at the side of the picture
    assert motion(along(turning=(0, 1, 0))) == pytest.approx(0.02 * corner, rel=0.03)
    front = 2.5 - 0.3
    passing = {1: along((-0.5, 0.1, 2.5), velocity=(3, 0, 0))}
    assert motion(STILL, passing) == pytest.approx(FOCAL * 0.06 / front, rel=0.01)
    hidden = {1: along((-50.0, 0.1, 2.5), velocity=(3, 0, 0))}
    assert motion(STILL, hidden) == 0.0 and motion(STILL) == 0.0
    behind = {1: along((0.0, 0.0, -2.5), velocity=(3, 0, 0))}
    assert motion(STILL, behind) == 0.0
    # Whole turns from one end to the other, and in each of n equal parts, do not look like rest.
    for turns in (1, 2, 8, 16, 40):
        spun = {2: along((0.6, -0.1, 2), turning=(0, 0, 2 * math.pi * turns / 0.02))}
        assert motion(STILL, spun) > 50.0


def test_sub_frames_follow_the_motion_up_to_their_limit(scene):
    assert [samples_for(m) for m in (0.0, 0.19, 0.21, 2.0, 2.1, 7.9)] == [1, 1, 3, 3, 5, 9]
    assert samples_for(math.inf) > 1000
    camera = PhysicalCamera(SENSOR, LENS)
    path = along(turning=(0, 20, 0))
    for most, expected in ((7, 7), (8, 7), (1, 1)):
        renderer = Counting()
        with torch.no_grad():
            seen = expose_scene(renderer, camera, MovingScene(scene), path, SETTINGS, most)
        assert len(renderer.rows) == seen.samples == expected < seen.wanted
        assert seen.motion > 20.0


@pytest.mark.parametrize(
    'change',
    [{}, {'distortion_coefficients': (-0.2, 0.03, 0.0, 0.0, 0.0)}, {'max_coc': 11.0}],
)
def test_a_rolling_shutter_renders_the_rows_it_needs(scene, change, monkeypatch):
    sensor = replace(ROLLING, image_height=192, readout_time=0.03, **change)
    settings = replace(SETTINGS, exposure_time=0.001, focus_distance=0.5)
    stages = (*LENS, 'defocus') if 'max_coc' in change else LENS
    camera, path = PhysicalCamera(sensor, stages), along(turning=(0, 4, 0))
    moving = MovingScene(scene, {2: along((0.6, -0.1, 2), turning=(0, 0, 90))})
    pictures, rows = [], []
    for banded in (True, False):
        renderer = Counting()
        if not banded:
            monkeypatch.setattr(exposures, 'source_rows', lambda c, s, t, r: range(s.height))
        with torch.no_grad():
            pictures.append(expose_scene(renderer, camera, moving, path, settings, 33).irradiance)
        rows.append(sum(renderer.rows))
    assert torch.allclose(pictures[0], pictures[1], atol=1e-4)
    assert rows[0] < 0.6 * rows[1]
