# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The rows of the parameter table that are about automatic control (docs/automatic_control.md)."""

from __future__ import annotations

from diffphyscam_ros.camera.auto_exposure import HIGHEST_TARGET, PRIORITIES
from diffphyscam_ros.camera.auto_white_balance import HIGHEST_TEMPERATURE
from diffphyscam_ros.camera.auto_white_balance import METHODS as BALANCE_METHODS
from diffphyscam_ros.camera.autofocus import METHODS as FOCUS_METHODS
from diffphyscam_ros.camera.metering import METERINGS
from diffphyscam_ros.nodes.parameter import Parameter

OFF, ONCE, CONTINUOUS = MODES = ('Off', 'Once', 'Continuous')

EXPOSURE_TIME = (1.0, 10_000_000.0)  # µs
GAIN = (-20.0, 80.0)  # dB


def _number(
    name: str, default: float, unit: str, words: str, low: float, high: float
) -> Parameter:
    return Parameter(name, 'double', default, unit, words, low=low, high=high)


def _word(name: str, default: str, words: str, choices: tuple[str, ...]) -> Parameter:
    return Parameter(name, 'string', default, '', words, choices=choices)


def _mode(name: str, words: str) -> Parameter:
    return _word(name, OFF, f'{words} Once goes back to Off when it has settled.', MODES)


AUTOMATIC: tuple[Parameter, ...] = (
    _mode('exposure_auto', 'Exposure time and gain follow the light.'),
    _number('exposure_time_min', 10.0, 'µs', 'Shortest automatic exposure.', *EXPOSURE_TIME),
    _number(
        'exposure_time_max',
        0.0,
        'µs',
        'Longest automatic exposure; 0 = the period of frame_rate. A longer one than that slows '
        'the frames down.',
        0.0,
        EXPOSURE_TIME[1],
    ),
    _number('gain_min', 0.0, 'dB', 'Least automatic gain; equal to gain_max it is fixed.', *GAIN),
    _number('gain_max', 24.0, 'dB', 'Greatest automatic gain.', *GAIN),
    _number(
        'exposure_compensation',
        0.0,
        'EV',
        'Stops by which auto exposure makes pictures brighter than its target.',
        -8.0,
        8.0,
    ),
    _number(
        'auto_exposure.target',
        0.25,
        '',
        'Mean light that auto exposure aims at, as a share of full scale: linear light, whatever '
        'the response.',
        0.02,
        HIGHEST_TARGET,
    ),
    _word(
        'auto_exposure.metering',
        'average',
        'What counts: all alike, the centre most, or only a spot.',
        METERINGS,
    ),
    _number('auto_exposure.spot_x', 0.5, '', 'Of the spot: 0 = left, 1 = right.', 0.0, 1.0),
    _number('auto_exposure.spot_y', 0.5, '', 'Of the spot: 0 = top, 1 = bottom.', 0.0, 1.0),
    _number(
        'auto_exposure.spot_size',
        0.1,
        '',
        "The spot's side as a share of the picture's shorter side.",
        0.0,
        1.0,
    ),
    _number(
        'auto_exposure.highlights',
        1.0,
        '',
        'Share of the pixels that may be brighter than 95 % of full scale; for less the picture '
        'is darkened, by 2 stops at most. 1 = do not care.',
        0.0,
        1.0,
    ),
    _number(
        'auto_exposure.speed_up',
        3.0,
        '1/s',
        'How fast pictures become brighter: the inverse of the time constant.',
        0.01,
        1000.0,
    ),
    _number('auto_exposure.speed_down', 6.0, '1/s', 'How fast they become darker.', 0.01, 1000.0),
    _word(
        'auto_exposure.priority',
        'exposure',
        'What is raised first in the dark: exposure (least noise) or gain (least motion blur).',
        PRIORITIES,
    ),
    _number(
        'auto_exposure.anti_flicker',
        0.0,
        'Hz',
        'Frequency of the mains, 50 or 60: exposures become whole multiples of half its period '
        'where they are as long as that. 0 = off.',
        0.0,
        1000.0,
    ),
    _mode('focus_auto', 'focus_distance follows what is at a point of the picture.'),
    _word(
        'autofocus.method',
        'depth',
        'By the true depth, or by contrast, as real cameras do: that searches through the range.',
        FOCUS_METHODS,
    ),
    _number('autofocus.point_x', 0.5, '', 'Of the point: 0 = left, 1 = right.', 0.0, 1.0),
    _number('autofocus.point_y', 0.5, '', 'Of the point: 0 = top, 1 = bottom.', 0.0, 1.0),
    _number(
        'autofocus.size',
        0.1,
        '',
        "Side of the square about the point, as a share of the picture's shorter side.",
        0.0,
        1.0,
    ),
    _number(
        'autofocus.near_limit',
        0.1,
        'm',
        'Autofocus goes no nearer, nor nearer than 1.1 focal lengths.',
        0.001,
        1e6,
    ),
    Parameter(
        'autofocus.far_limit',
        'double',
        float('inf'),
        'm',
        'Autofocus goes no farther.',
        low=0.001,
        infinite=True,
    ),
    _number(
        'autofocus.speed',
        8.0,
        '1/s',
        'How fast Continuous follows, in dioptres: the inverse of the time constant.',
        0.01,
        1000.0,
    ),
    _mode('white_balance_auto', 'white_balance follows the colour of the light.'),
    _number(
        'white_balance_temperature',
        0.0,
        'K',
        'Colour temperature of the light, from 1667 K, that white_balance is set for (6504 K = no '
        'change of colours); 0 = white_balance was set in another way.',
        0.0,
        HIGHEST_TEMPERATURE,
    ),
    _word(
        'auto_white_balance.method',
        'robust',
        'The mean is grey; the brightest is white; or so is all that has nearly its colour.',
        BALANCE_METHODS,
    ),
    _number(
        'auto_white_balance.speed',
        2.0,
        '1/s',
        'How fast it follows: the inverse of the time constant.',
        0.01,
        1000.0,
    ),
)
