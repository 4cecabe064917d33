# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Auto exposure with the real camera in the loop: steps, ramps, flicker, noise, late pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np
import pytest
import torch

from diffphyscam_ros.camera import PhysicalCamera, SensorModel
from diffphyscam_ros.camera.auto_exposure import (
    AutoExposure,
    DEAD_BAND,
    exposure_value,
    ExposureMeasurement,
    ExposureState,
)
from diffphyscam_ros.camera.inverse_response import light_of, saturated
from diffphyscam_ros.camera.response import respond

MODEL = replace(SensorModel.preset('generic_vga'), image_width=32, image_height=24)
WIDE = {'exposure_min': 1e-7, 'exposure_max': 1 / 30, 'iso_max': 102_400.0}
STAGES = ('exposure', 'response', 'color')
SCENE = 0.02 + 0.6 * torch.rand(24, 32, 1, generator=torch.Generator().manual_seed(1))
SCENE = SCENE.expand(-1, -1, 3).double()  # the plain torch path: no threads for small pictures


@dataclass
class Run:
    """What happened, frame by frame: exposure values, levels seen, stops of light."""

    ev: np.ndarray
    level: np.ndarray
    settled: list[bool]
    time: np.ndarray

    def turns(self, first: int = 0) -> int:
        """How often the control turned round from a frame on."""
        moves = np.diff(self.ev[first:])
        moves = np.sign(moves[np.abs(moves) > 1e-6])
        return int((moves[1:] != moves[:-1]).sum())


def run(
    control, light, seconds, fps=30.0, delay=0, bits=8, model=MODEL, scene=SCENE, stages=STAGES
) -> Run:
    """Let the camera expose itself.

    :param light: of a time and an exposure time, how bright the scene is.
    :param delay: frames until a picture is looked at.
    """
    camera = PhysicalCamera(model, stages=stages)
    settings, state, waiting = model.settings, None, []
    result = Run(np.empty(0), np.empty(0), [], np.empty(0))
    evs, levels, times = [], [], []
    for number in range(round(seconds * fps)):
        time = number / fps
        brightness = light(time, float(settings.exposure_time))
        image = camera(scene * brightness, None, settings, number).image
        if bits:
            image = (image * (2**bits - 1)).round() / (2**bits - 1)
        waiting.append((image, settings))
        evs.append(exposure_value(settings))
        levels.append(control.measure(image, model, settings).level)
        times.append(time)
        if len(waiting) > delay:
            image, taken = waiting.pop(0)
            seen = control.measure(image, model, taken)
            state = control.step(state, seen, 1 / fps, float(settings.aperture))
            settings = control.settings(state, settings)
        result.settled.append(state is not None and state.settled)
    result.ev, result.level, result.time = np.array(evs), np.array(levels), np.array(times)
    return result


@pytest.mark.parametrize('delay', [0, 1, 3])
@pytest.mark.parametrize('fps', [5.0, 30.0])
@pytest.mark.parametrize('stops', [-6, 6])
def test_a_step_of_six_stops(stops, fps, delay):
    """It goes there without turning round, and stays."""
    control = AutoExposure(**WIDE)
    found = run(control, lambda t, _: 2.0 ** (stops if t > 2.5 else 0.0), 7.0, fps, delay)
    first = round(2.5 * fps) + 1
    final = found.ev[-1]
    overshoot = ((found.ev[first:] - final) * (1 if stops < 0 else -1)).max()
    assert overshoot < 0.01
    assert found.turns(first) == 0
    assert abs(math.log2(found.level[-1] / control.target)) < DEAD_BAND
    assert found.settled[-1] and np.ptp(found.ev[-5:]) == 0.0
    # Of the six stops a quarter is left after log(24) time constants, and the delay.
    limit = 2.7 + math.log(24.0) / (3.0 if stops < 0 else 6.0) + (delay + 2) / fps
    late = 0.0 if stops < 0 else 0.6 + 1.0 / fps * (2 + 2 * delay)  # beyond full scale it gropes
    settled = found.time[np.abs(found.ev - final) > 0.25].max()
    assert settled < limit + late


def test_slow_frames_that_come_late_overshoot_by_less_than_a_stop():
    """Full scale is only just passed, so what is assumed beyond it is wrong, for four frames."""
    for fps in (1.0, 3.0, 10.0):
        control = AutoExposure(**WIDE)
        found = run(control, lambda t, _: 2.0 if t > 8.0 else 1.0, 16.0, fps, 3, scene=SCENE * 4)
        first = np.flatnonzero(found.time > 8.0)[0]
        assert (found.ev[-1] - found.ev[first:]).max() < 1.0
        assert found.turns(first) <= 1


def test_the_speed_does_not_depend_on_the_frame_rate():
    def settles(fps):
        light = lambda t, _: 0.25 if t > 1.5 else 1.0  # noqa: E731
        found = run(AutoExposure(**WIDE), light, 5.0, fps)
        return found.time[np.abs(found.ev - found.ev[-1]) > 0.5].max() - 1.5

    assert settles(15.0) == pytest.approx(settles(90.0), abs=1.5 / 15.0)
    fast = replace(AutoExposure(**WIDE), speed_up=12.0)
    found = run(fast, lambda t, _: 0.25 if t > 1.5 else 1.0, 3.0)
    quick = found.time[np.abs(found.ev - found.ev[-1]) > 0.5].max() - 1.5
    assert quick < 0.5 * settles(30.0)


@pytest.mark.parametrize('delay', [0, 2])
@pytest.mark.parametrize('rate', [-1.0, 1.0])
def test_a_ramp_is_followed_smoothly(rate, delay):
    control = AutoExposure(**WIDE)
    found = run(
        control, lambda t, _: 2.0 ** (rate * min(max(t - 1.0, 0.0), 5.0)), 9.0, 30.0, delay
    )
    moving = (found.time > 2.5) & (found.time < 6.0)
    error = np.log2(found.level / control.target)
    lag = 1.0 / (control.speed_up if rate < 0 else control.speed_down) + delay / 30.0
    assert np.abs(error[moving]).max() < lag + DEAD_BAND
    assert found.turns(30) == 0
    assert abs(error[-1]) < DEAD_BAND


@pytest.mark.parametrize('start', [2.0**12, 2.0**-12])
def test_it_finds_out_of_full_scale_and_out_of_the_dark(start):
    found = run(AutoExposure(**WIDE), lambda t, _: start, 5.0, delay=1)
    assert found.level[0] in (pytest.approx(1.0, abs=1e-3), pytest.approx(0.0, abs=2e-3))
    assert abs(math.log2(found.level[-1] / 0.25)) < DEAD_BAND and found.settled[-1]
    assert found.turns() == 0


def test_noise_does_not_move_it():
    noisy = replace(MODEL, shot_noise_gain=(8.0,) * 3, read_noise_fixed=False)
    stages = ('exposure', 'noise', 'response', 'color')
    found = run(AutoExposure(**WIDE), lambda t, _: 1.0, 5.0, model=noisy, stages=stages)
    assert np.std(found.level[90:]) > 5e-4
    assert np.ptp(found.ev[90:]) == 0.0


def test_a_flat_dark_target_in_coarse_steps_does_not_hunt():
    """Level 5 of 255 can only be met to a quarter of a stop."""
    flat = torch.full((24, 32, 3), 0.3, dtype=torch.float64)
    for target in np.linspace(0.02, 0.03, 6):
        found = run(
            AutoExposure(target=target, **WIDE),
            lambda t, _: 1.0,
            6.0,
            scene=flat,
        )
        assert np.ptp(found.ev[120:]) == 0.0


def flickering(time, exposure, frequency=100.0):
    """Return the mean over the exposure of light that flickers fully, 1 + cos."""
    phase = 2 * np.pi * frequency
    return 1.0 + (np.sin(phase * (time + exposure)) - np.sin(phase * time)) / (phase * exposure)


def test_flicker_is_gone_with_whole_periods_of_exposure():
    wide = dict(WIDE, exposure_max=0.04)

    def swing(control):
        found = run(control, flickering, 4.0, fps=29.0)
        return np.ptp(np.log2(found.level[60:])), found

    plain, _ = swing(AutoExposure(target=0.28, **wide))
    calm, found = swing(AutoExposure(target=0.28, flicker=50.0, **wide))
    assert plain > 0.2 and calm < 0.05
    assert found.turns(60) == 0


# --- parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'changes',
    [
        {'response_biases': (0.02, 0.04, 0.2)},
        {'response_type': 'gamma', 'response_gains': (0.1,) * 3, 'response_gamma': 0.9},
        {'response_type': 'sigmoid', 'response_biases': (-4.0,) * 3, 'response_gains': (8.0,) * 3},
        {'response_type': 'table', 'response_table': tuple((i / 99) ** 0.45 for i in range(100))},
    ],
)
def test_the_light_is_what_the_response_was_given(changes):
    model = replace(SensorModel(), **changes)
    scale = 8.0 if changes.get('response_type') == 'gamma' else 0.006
    electrons = torch.linspace(0.1, 1.0, 200)[:, None].expand(-1, 3)[None] * scale
    values = respond(
        electrons,
        100.0,
        model.response_type,
        model.response_gains,
        model.response_biases,
        model.response_gamma,
        **({'table': model.response_table} if model.response_type == 'table' else {}),
    )
    light = light_of(values, model)
    inside = (light > 0.02).all(-1) & (light < 0.98).all(-1)
    ratio = (light / electrons)[inside]
    assert inside.sum() > 40
    assert torch.allclose(ratio, ratio.mean(0).expand_as(ratio), rtol=0.01)
    assert light.max() <= 1.0 and (light.diff(dim=1) >= -1e-6).all()


def test_saturation_is_the_end_of_the_response_or_a_full_well():
    values = torch.tensor([[0.2, 0.3, 0.39], [0.2, 0.41, 0.3], [0.2, 0.3, 1.0]])
    plain = replace(SensorModel(), response_gains=(1e-6,) * 3)
    assert saturated(values, plain, 100.0).tolist() == [False, False, True]
    well = replace(plain, full_well=4000.0)
    assert saturated(values, well, 100.0).tolist() == [False, True, True]
    assert saturated(values, well, 400.0).tolist() == [False, False, True]
    balanced = replace(plain, white_balance=(0.2, 1.0, 2.0))
    assert saturated(values, balanced, 100.0).tolist() == [True, True, True]


def test_a_response_that_is_not_linear_is_exposed_alike():
    levels = []
    for changes in ({}, {'response_type': 'gamma', 'response_gains': (0.05,) * 3}):
        model = replace(MODEL, **changes)
        found = run(AutoExposure(**WIDE), lambda t, _: 1.0, 6.0, model=model, bits=12)
        levels.append(found.level[-1])
    assert levels == pytest.approx([0.25, 0.25], rel=0.1)


def test_exposure_first_or_gain_first():
    control = AutoExposure(exposure_min=1e-3, exposure_max=1e-2, iso_min=100.0, iso_max=1600.0)
    low, high = control.limits(2.0)
    for ev in np.linspace(low - 1, high + 1, 30):
        for priority in ('exposure', 'gain'):
            time, iso = replace(control, priority=priority).split(ev, 2.0)
            assert 1e-3 <= time <= 1e-2 and 100.0 <= iso <= 1600.0
            reached = math.log2(time * iso / 100 / 4)
            assert reached == pytest.approx(min(max(ev, low), high))
            if priority == 'exposure':
                assert iso == pytest.approx(100.0) or time == pytest.approx(1e-2)
            else:
                assert time == pytest.approx(1e-3) or iso == pytest.approx(1600.0)


@pytest.mark.parametrize('frequency', [50.0, 60.0])
def test_anti_flicker_takes_whole_half_periods(frequency):
    control = AutoExposure(flicker=frequency, exposure_max=0.045, iso_max=1600.0)
    low, high = control.limits(2.0)
    for ev in np.linspace(low, high, 60):
        time, iso = control.split(ev, 2.0)
        product = 2.0**ev * 400.0
        if product / 100.0 < 0.5 / frequency:  # too bright for even one
            assert time < 0.5 / frequency
        else:
            count = time * 2 * frequency
            assert count == pytest.approx(round(count)) and count > 0.5
        assert time * iso == pytest.approx(product) or ev > high - 0.2
    fixed = replace(control, iso_max=100.0)  # no gain to make up for it: the nearest
    for ev in np.linspace(fixed.limits(2.0)[0] + 12, fixed.limits(2.0)[1], 20):
        time, _ = fixed.split(ev, 2.0)
        assert abs(math.log2(time / (2.0**ev * 4.0))) < 0.51


def test_an_aperture_is_compensated_at_once():
    control = AutoExposure(**WIDE)
    settings = replace(MODEL.settings, aperture=2.0)
    state = ExposureState(exposure_value(settings))
    closed = control.settings(state, replace(settings, aperture=4.0))
    ratio = closed.exposure_time * closed.iso / (settings.exposure_time * settings.iso)
    assert ratio == pytest.approx(4.0)


def test_metering_weighs_the_picture():
    picture = torch.zeros(48, 64, 3)
    picture[16:32, 22:42] = 0.8

    def level(**fields):
        control = AutoExposure(**fields)
        return control.measure(picture, SensorModel(), SensorModel().settings).level

    average, centre = level(), level(metering='centre')
    assert average == pytest.approx(0.8 * 16 * 20 / (48 * 64), rel=1e-4)
    assert centre > 2.0 * average
    spot = {'metering': 'spot', 'spot_size': 0.2}
    assert level(**spot) == pytest.approx(0.8)
    assert level(**spot, spot_x=0.0, spot_y=1.0) == 0.0
    assert level(metering='spot', spot_size=0.0) == pytest.approx(0.8)
    control = AutoExposure(**spot)
    bytes_ = (picture * 255).round().to(torch.uint8)
    seen = control.measure(bytes_, SensorModel(), SensorModel().settings)
    assert seen.level == pytest.approx(0.8, abs=0.002)


def test_highlights_are_protected():
    scene = SCENE * 0.3
    scene[:6] = 3.0  # a bright quarter
    plain = AutoExposure(compensation=0.5, **WIDE)
    careful = replace(plain, highlights=0.1)
    model = MODEL
    seen = {}
    for name, control in (('plain', plain), ('careful', careful)):
        found = run(control, lambda t, _: 1.0, 6.0, scene=scene, model=model)
        camera = PhysicalCamera(model, stages=STAGES)
        settings = control.settings(ExposureState(found.ev[-1]), model.settings)
        image = camera(scene, None, settings).image
        seen[name] = control.measure(image, model, settings)
        assert found.turns(60) == 0
    assert seen['plain'].saturated > 0.2 and seen['careful'].saturated == 0.0
    assert seen['careful'].highlight == pytest.approx(0.95, abs=0.1)
    assert seen['careful'].level > 0.25 * seen['plain'].level


def test_once_is_settled_only_by_a_picture_taken_as_asked():
    control = AutoExposure(**WIDE)
    ev = exposure_value(MODEL.settings)
    good = ExposureMeasurement(0.25, 0.0, 0.0, ev)
    assert control.step(ExposureState(ev), good, 0.03, 2.0).settled
    old = ExposureMeasurement(0.5, 0.0, 0.0, ev + 1.0)  # right, but of another exposure
    state = control.step(ExposureState(ev), old, 0.03, 2.0)
    assert state.direction == 0 and not state.settled


def test_at_its_limit_it_is_settled_too():
    control = AutoExposure(exposure_max=0.01, iso_max=100.0)
    found = run(control, lambda t, _: 2.0**-8, 3.0)
    assert found.settled[-1]
    assert found.ev[-1] == pytest.approx(control.limits(float(MODEL.settings.aperture))[1])


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'target': 0.0}, 'target = 0.0'),
        ({'target': 1.0}, 'up to 0.9'),
        ({'metering': 'matrix'}, 'average, centre, spot'),
        ({'priority': 'iso'}, 'exposure, gain'),
        ({'spot_x': 1.5}, 'spot_x'),
        ({'exposure_min': 0.0}, 'exposure_min'),
        ({'exposure_min': 0.1, 'exposure_max': 0.01}, 'exposure_max'),
        ({'iso_max': math.inf}, 'iso_max'),
        ({'speed_up': 0.0}, 'speed_up'),
        ({'flicker': -1.0}, 'flicker'),
        ({'compensation': math.nan}, 'compensation'),
    ],
)
def test_bad_values_are_refused_in_words(fields, words):
    with pytest.raises(ValueError, match=words):
        AutoExposure(**fields)


@pytest.fixture(autouse=True)
def one_thread():
    """Keep torch from starting threads for a few pixels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
