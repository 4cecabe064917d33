# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Automatic exposure, focus and white balance of a running camera_node."""

from __future__ import annotations

import math
import time

from camera_harness import marker, wall
import numpy as np
import pytest
from rcl_interfaces.msg import ParameterEvent
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from diffphyscam_ros.nodes.parameters import TABLE
from diffphyscam_ros.srv import SetAutoExposure, SetExposure, SetFocus

FAST = {
    'auto_exposure__speed_up': 30.0,
    'auto_exposure__speed_down': 30.0,
    'auto_white_balance__speed': 30.0,
    'autofocus__speed': 60.0,
    'enable_vignetting': False,
}
# A lens that blurs by many pixels what is out of focus, even in a small picture.
LONG_LENS = {'focal_length': 0.02, 'aperture': 1.0, 'enable_noise': False, 'max_coc': 31.0}


def full_wall(color=(0.5, 0.5, 0.5, 1.0), distance=2.0, identity=0):
    """Return a wall that fills the view, so far from the camera at x = −2 m."""
    return marker(
        place=(distance - 2.0 + 0.5, 0.0, 0.5),
        scale=(1.0, 40.0, 40.0),
        color=color,
        identity=identity,
    )


def light(strength, color=(1.0, 1.0, 1.0)):
    """Return light from all sides."""
    return marker(
        Marker.CUBE, identity=1, color=(*color, strength), namespace='lights', place=(0, 0, 0)
    )


def stripes(distance=2.0):
    """Return dark bars on a white wall."""
    bars = [
        marker(
            place=(distance - 2.0, y, 0.5), scale=(0.01, 0.06, 9), color=(0, 0, 0, 1), identity=i
        )
        for i, y in enumerate(np.arange(-1.5, 1.5, 0.12), start=10)
    ]
    return [full_wall((1.0, 1.0, 1.0, 1.0), distance + 0.01), *bars]


def level(client):
    """Return the mean of the picture, as a share of full scale."""
    return client.shot().level / 255.0


def steady(client, tolerance=0.01):
    """Wait until the exposure has come to rest, and return the level."""

    def rest():
        shots = client.shots(4)
        product = [s.metadata.exposure_time * s.metadata.iso for s in shots]
        return max(product) < (1 + tolerance) * min(product) and shots[-1].level / 255.0

    return client.wait_until(rest, what='a steady exposure')


def test_exposure_follows_the_light_and_reads_back(client):
    client.set(exposure_auto='Continuous', exposure_time_max=100_000.0, **FAST)
    for strength in (0.5, 8.0, 0.125):
        client.show(full_wall(), light(strength))
        assert steady(client) == pytest.approx(0.25, rel=0.12)
    metadata = client.shot().metadata
    assert metadata.exposure_time != 10_000.0
    assert client.get('exposure_time') == pytest.approx(metadata.exposure_time, rel=0.03)
    state = client.state()
    assert state.exposure_auto == 'Continuous'
    assert state.exposure_time == pytest.approx(client.get('exposure_time'), rel=0.03)


def test_compensation_and_target_shift_the_level(client):
    client.set(exposure_auto='Continuous', exposure_time_max=100_000.0, **FAST)
    client.show(full_wall(), light(1.0))
    steady(client)
    client.set(exposure_compensation=1.0)
    assert steady(client) == pytest.approx(0.5, rel=0.12)
    client.set(exposure_compensation=0.0, auto_exposure__target=0.1)
    assert steady(client) == pytest.approx(0.1, rel=0.15)


def test_limits_and_priority_divide_exposure_and_gain(client):
    limits = {'exposure_time_min': 2000.0, 'exposure_time_max': 8000.0}
    client.show(full_wall(), light(0.25))
    client.set(exposure_auto='Continuous', gain_min=0.0, gain_max=40.0, **limits, **FAST)
    assert steady(client) == pytest.approx(0.25, rel=0.12)
    metadata = client.shot().metadata
    assert metadata.exposure_time == 8000.0 and metadata.gain > 3.0
    client.set(**{'auto_exposure__priority': 'gain'})
    steady(client)
    assert client.shot().metadata.exposure_time == 2000.0
    client.set(gain_max=0.0)
    steady(client)
    metadata = client.shot().metadata
    assert metadata.gain == 0.0 and metadata.exposure_time == 8000.0
    client.set(exposure_time_max=0.0)  # the period of 60 Hz
    steady(client)
    assert client.shot().metadata.exposure_time == pytest.approx(1e6 / 60)


def test_anti_flicker_keeps_to_half_periods(client):
    client.show(full_wall(), light(0.3))
    flicker = {'auto_exposure__anti_flicker': 50.0, 'exposure_time_max': 45_000.0}
    client.set(exposure_auto='Continuous', **flicker, **FAST)
    assert steady(client) == pytest.approx(0.25, rel=0.12)
    assert client.shot().metadata.exposure_time % 10_000.0 == pytest.approx(0.0, abs=1e-3)


def test_spot_metering_exposes_for_the_spot(client):
    client.show(wall((1.0, 1.0, 1.0, 1.0)), light(1.0))  # the left half; the right is dark
    spot = {'auto_exposure__metering': 'spot', 'auto_exposure__spot_size': 0.3}
    client.set(exposure_auto='Continuous', exposure_time_max=100_000.0, **FAST)
    average = steady(client)
    client.set(auto_exposure__spot_x=0.2, auto_exposure__spot_y=0.5, **spot)
    assert steady(client) < 0.7 * average
    client.set(auto_exposure__metering='centre')
    assert steady(client) != pytest.approx(average, rel=0.05)
    client.set(auto_exposure__metering='average', auto_exposure__highlights=0.05)
    client.set(exposure_compensation=3.0)
    steady(client)
    assert client.shot().metadata.saturated_fraction < 0.05


def test_once_settles_and_goes_off(client):
    client.show(full_wall(), light(4.0))
    client.shot()
    response = client.call(
        SetAutoExposure,
        '/camera/set_auto_exposure',
        mode='Once',
        target=0.4,
        exposure_limits=[100.0, 50_000.0],
        gain_limits=[0.0, 12.0],
    )
    assert response.success and 'settled' in response.message
    assert client.get('exposure_auto') == 'Off'
    assert response.reached_exposure == client.get('exposure_time')
    assert level(client) == pytest.approx(0.4, rel=0.12)
    client.show(full_wall(), light(1.0))
    before = client.get('exposure_time')
    client.shots(5)
    assert client.get('exposure_time') == before


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'mode': 'Auto'}, 'Off, Once, Continuous'),
        ({'target': math.nan}, 'auto_exposure.target'),
        ({'target': -1.0}, 'auto_exposure.target'),
        ({'exposure_limits': [5.0]}, 'least and the greatest'),
        ({'exposure_limits': [9000.0, 10.0]}, 'at most exposure_time_max'),
        ({'gain_limits': [10.0, 0.0]}, 'gain_min'),
    ],
)
def test_the_service_refuses_nonsense(client, fields, words):
    response = client.call(SetAutoExposure, '/camera/set_auto_exposure', **fields)
    assert not response.success and words in response.message
    assert client.get('exposure_auto') == 'Off' and client.get('auto_exposure.target') == 0.25


def test_the_service_clamps(client):
    response = client.call(
        SetAutoExposure, '/camera/set_auto_exposure', target=2.0, gain_limits=[-99.0, 0.0]
    )
    assert response.success and 'auto_exposure.target clamped to 0.9' in response.message
    assert client.get('gain_min') == -20.0


def test_manual_settings_are_refused_while_automatic_ones_run(client):
    client.set(
        exposure_auto='Continuous', focus_auto='Continuous', white_balance_auto='Continuous'
    )
    for values, mode in (
        ({'exposure_time': 5000.0}, 'exposure_auto'),
        ({'gain': 3.0}, 'exposure_auto'),
        ({'iso': 300.0}, 'exposure_auto'),
        ({'focus_distance': 3.0}, 'focus_auto'),
        ({'white_balance': (1.0, 1.0, 2.0)}, 'white_balance_auto'),
        ({'white_balance_temperature': 4000.0}, 'white_balance_auto'),
    ):
        result = client.try_set(**values)
        assert not result.successful
        assert next(iter(values)) in result.reason and f'Set {mode} to Off' in result.reason
    response = client.call(SetExposure, '/camera/set_exposure', target_exposure=5000.0)
    assert not response.success and 'Set exposure_auto to Off' in response.message
    assert not client.call(SetFocus, '/camera/set_focus', target_focus=1.0).success
    client.set(exposure_auto='Off', exposure_time=5000.0)
    client.set(focus_auto='Off', white_balance_auto='Off')
    client.shots(5)
    assert client.get('exposure_time') == 5000.0 == client.shot().metadata.exposure_time
    client.set(exposure_time=4000.0)


def test_the_word_off_may_come_as_a_bool(client):
    client.set(exposure_auto='Continuous')
    client.set(exposure_auto=False)
    assert client.get('exposure_auto') == 'Off'


def test_events_tell_of_it_once_a_second_at_most(client):
    told = []
    client.node.create_subscription(
        ParameterEvent,
        '/parameter_events',
        lambda event: told.extend(
            (time.monotonic(), p.value.double_value)
            for p in event.changed_parameters
            if p.name == 'exposure_time'
        ),
        100,
    )
    client.show(full_wall(), light(1.0))
    client.set(exposure_auto='Continuous', auto_exposure__speed_up=1.0, exposure_time_max=1e5)
    client.shots(2)
    client.set(exposure_compensation=2.0)
    began = time.monotonic()
    client.wait_until(lambda: len(told) > 1, what='events')
    assert len(told) <= (told[-1][0] - began) / 0.9 + 2
    client.set(exposure_auto='Off')
    found = client.get('exposure_time')
    client.wait_until(lambda: told[-1][1] == found, what='the last value')


def test_autofocus_by_depth(client):
    client.show(full_wall(distance=3.0))
    client.set(**LONG_LENS, focus_distance=0.5)
    client.shot()
    response = client.call(Trigger, '/camera/autofocus')
    assert response.success and '3 m' in response.message
    assert client.get('focus_distance') == pytest.approx(3.0, rel=1e-3)
    assert client.shot().metadata.focus_distance == pytest.approx(3.0, rel=1e-3)
    client.show()  # nothing there
    client.shot()
    client.call(Trigger, '/camera/autofocus')
    assert client.get('focus_distance') == math.inf
    client.set(autofocus__far_limit=10.0)
    assert 'limit' in client.call(Trigger, '/camera/autofocus').message
    assert client.get('focus_distance') == 10.0


def test_autofocus_looks_at_its_point(client):
    client.show(wall())  # in the left half, 2 m away
    client.set(**LONG_LENS, focus_distance=0.5, autofocus__point_x=0.2)
    client.shot()
    client.call(Trigger, '/camera/autofocus')
    assert client.get('focus_distance') == pytest.approx(2.0, rel=0.02)
    client.set(autofocus__point_x=0.9, autofocus__point_y=0.4)
    client.call(Trigger, '/camera/autofocus')
    assert client.get('focus_distance') == math.inf


def test_continuous_autofocus_follows_and_rests(client):
    client.show(full_wall(distance=3.0))
    client.set(**LONG_LENS, focus_auto='Continuous', **FAST)
    for distance in (3.0, 1.0):
        client.show(full_wall(distance=distance))
        client.wait_until(
            lambda distance=distance: (
                abs(1 / client.shot().metadata.focus_distance - 1 / distance) < 0.01
            ),
            what='focus',
        )
    client.shots(10)
    shots = client.shots(5)
    assert len({shot.metadata.focus_distance for shot in shots}) == 1
    client.set(focus_auto='Once')
    client.wait_until(lambda: client.get('focus_auto') == 'Off', what='Once')


def test_autofocus_by_contrast(client):
    client.show(*stripes(1.0))
    client.set(**LONG_LENS, focus_distance=5.0, autofocus__size=0.8, autofocus__near_limit=0.5)
    client.set(autofocus__method='contrast')
    client.shot()
    response = client.call(Trigger, '/camera/autofocus')
    assert response.success, response.message
    assert 1 / client.get('focus_distance') == pytest.approx(1.0, abs=0.03)
    client.show(full_wall())
    client.shot()
    before = client.get('focus_distance')
    response = client.call(Trigger, '/camera/autofocus')
    assert not response.success and 'no contrast' in response.message
    assert client.get('focus_distance') == pytest.approx(before)


def test_white_balance_makes_grey_grey(client):
    client.show(full_wall((0.5, 0.5, 0.5, 1.0)), light(0.6, (1.0, 0.8, 0.4)))
    client.set(enable_noise=False, **FAST)
    before = client.shot().pixels.mean((0, 1))
    assert before[0] > 1.5 * before[2]
    response = client.call(Trigger, '/camera/auto_white_balance')
    assert response.success and 'settled' in response.message
    shot = client.shot()
    mean = shot.pixels.mean((0, 1))
    assert mean == pytest.approx(np.full(3, mean[1]), rel=0.02)
    assert list(shot.metadata.white_balance) == pytest.approx(client.get('white_balance'))
    assert client.state().white_balance[2] > 1.3
    client.show(full_wall((0.5, 0.5, 0.5, 1.0)), light(0.6, (0.5, 0.8, 1.0)))
    client.set(white_balance_auto='Continuous', auto_white_balance__method='grey_world')

    def neutral():
        mean = client.shot().pixels.mean((0, 1))
        return abs(mean / mean[1] - 1).max() < 0.025

    client.wait_until(neutral, what='a neutral picture')


def test_a_colour_temperature_sets_the_gains(client):
    client.set(white_balance_temperature=2856.0)
    red, _, blue = client.get('white_balance')
    assert red < 0.6 and blue > 2.0
    client.set(white_balance=(1.0, 1.0, 1.0))
    assert client.get('white_balance_temperature') == 0.0
    result = client.try_set(white_balance_temperature=500.0)
    assert not result.successful and '1667' in result.reason
    result = client.try_set(white_balance_temperature=3000.0, white_balance=(1.0, 1.0, 1.0))
    assert not result.successful and 'contradict' in result.reason


def test_a_request_without_pictures_is_answered(client):
    client.unsubscribe('image', 'info', 'metadata', 'compressed', 'depth', 'depth_info')
    time.sleep(0.2)
    response = client.call(Trigger, '/camera/autofocus')
    assert not response.success and 'always_render' in response.message


def test_every_parameter_of_automatic_control_is_in_this_file():
    with open(__file__, encoding='utf-8') as file:
        text = file.read().replace('__', '.')
    names = [n for n in TABLE if 'auto' in n or n in ('gain_min', 'gain_max')]
    missing = [name for name in names if name not in text]
    assert not missing


def test_continuous_contrast_searches_again_when_focus_is_lost(client):
    client.show(*stripes(1.0))
    client.set(**LONG_LENS, focus_distance=5.0, autofocus__size=0.8, autofocus__near_limit=0.5)
    client.set(autofocus__method='contrast', focus_auto='Continuous')

    def at(distance):
        def steady():
            found = {s.metadata.focus_distance for s in client.shots(6)}
            return len(found) == 1 and abs(1 / found.pop() - 1 / distance) < 0.04

        return steady

    client.wait_until(at(1.0), what='focus')
    client.show(*stripes(2.0))
    client.wait_until(at(2.0), what='focus again')


@pytest.mark.parametrize('encoding', ['bgr8', 'mono8', 'rgb16', '32FC3'])
def test_other_encodings_are_exposed_alike(client, encoding):
    client.set(exposure_auto='Continuous', output_encoding=encoding, **FAST)
    client.show(full_wall(), light(1.0))
    scale = {'rgb16': 65535.0, '32FC3': 1.0}.get(encoding, 255.0)

    def right():
        shots = client.shots(3)
        levels = [shot.pixels[..., :].mean() / scale for shot in shots]
        return np.ptp(levels) < 0.01 and abs(levels[-1] / 0.25 - 1) < 0.15

    client.wait_until(right, what='the level')
