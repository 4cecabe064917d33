# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Noise from flat and dark frames of a camera whose truth is known, and from bad recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from photometry_frames import Filming, plain, with_time
import pytest

from diffphyscam_ros.calibration import frame_statistics
from diffphyscam_ros.calibration.noise import estimate_noise
from diffphyscam_ros.calibration.types import Estimate, FrameSettings, RecordedFrame, StageResult
from diffphyscam_ros.camera import CameraSettings, SENSOR_STAGES, SensorModel

ISO, RANGE = 100.0, 12_000.0
SETTINGS = CameraSettings(2.0, 0.01, ISO, 0.0036)
LIGHT = 400_000.0 / (1e14 * 1000.0 * 36e-12 / 4.0)
"""Radiance of the flat field: 400 000 electrons per second."""

FLAT_TIMES = (0.001, 0.002, 0.004, 0.007, 0.012, 0.018, 0.028, 0.035)
DARK_TIMES = (0.001, 0.02, 0.1, 0.3)

TRUTH = SensorModel(
    image_width=128,
    image_height=96,
    aggregator_gain=1e14,
    response_gains=(1 / (ISO * RANGE * 0.9), 1 / (ISO * RANGE), 1 / (ISO * RANGE * 1.1)),
    shot_noise_gain=(1.0,) * 3,
    read_noise=(6.0, 5.0, 7.0),
    read_noise_fixed=False,
    dsnu=(4.0, 5.0, 3.5),
    prnu=(0.01, 0.012, 0.008),
    dark_current=(100.0, 150.0, 120.0),
    hot_pixel_fraction=3e-3,
    hot_pixel_current=2000.0,
    full_well=10_000.0,
    black_level=0.0625,
    bit_depth=12,
    vignetting_gain=0.5,
)
NOMINAL = replace(TRUTH, response_gains=(1e-6,) * 3, black_level=0.0, full_well=None)
SMALL = replace(TRUTH, image_width=64, image_height=48)
SMALL_NOMINAL = replace(NOMINAL, image_width=64, image_height=48)
STAGES = ('vignetting', *SENSOR_STAGES[:-1])


def recording(
    sensor: SensorModel = TRUTH,
    seed: int = 0,
    encoding: str = 'rgb16',
    flats: Sequence[float] = FLAT_TIMES,
    darks: Sequence[float] = DARK_TIMES,
    frames: int = 4,
    light: float = LIGHT,
    stated: Callable[[float], float] = lambda time: time,
    stages: tuple[str, ...] = STAGES,
    automatic: bool | None = None,
) -> Iterator[RecordedFrame]:
    """Film flat and dark frames; ``stated`` is the exposure time that the recording says."""
    filming = Filming(sensor, encoding, seed, stages)
    for role, times, level in (('flat', flats, light), ('dark', darks, 0.0)):
        for time in times:
            settings = with_time(SETTINGS, time)
            told = FrameSettings(stated(time), ISO, 2.0, source='csv')
            yield from filming.film(
                plain(sensor, level), settings, role, frames, told, automatic=automatic
            )


def by_name(result: StageResult) -> dict[str, Estimate]:
    """Return the estimates by name."""
    return {estimate.name: estimate for estimate in result.estimates}


def pulls(result: StageResult, truth: SensorModel, names: Sequence[str]) -> np.ndarray:
    """Return (estimate − truth) / std of all numbers."""
    found = by_name(result)
    parts = []
    for name in names:
        value, std = (np.atleast_1d(v) for v in (found[name].value, found[name].std))
        parts.append((value - np.atleast_1d(getattr(truth, name))) / std)
    return np.concatenate(parts)


MEASURED = (
    'black_level',
    'response_gains',
    'read_noise',
    'dark_current',
    'dsnu',
    'prnu',
    'hot_pixel_fraction',
    'hot_pixel_current',
    'full_well',
)


@pytest.mark.parametrize(
    ('encoding', 'seed'), [('rgb16', 1), ('bayer_rggb16', 2), ('bayer_gbrg16', 3)]
)
def test_the_truth_lies_within_the_uncertainty(encoding: str, seed: int) -> None:
    """At least 95 % of the numbers within 3 standard deviations, which are small."""
    pattern = encoding[6:10] if encoding.startswith('bayer') else 'none'
    truth = replace(TRUTH, bayer_pattern=pattern, fixed_pattern_seed=seed)
    nominal = replace(NOMINAL, bayer_pattern=pattern)
    result = estimate_noise(recording(truth, seed, encoding), nominal)
    pull = pulls(result, truth, MEASURED)
    assert np.mean(np.abs(pull) < 3) >= 0.95
    assert np.abs(pull).max() < 5
    found = by_name(result)
    for name in ('response_gains', 'read_noise', 'dark_current', 'prnu', 'full_well'):
        assert found[name].verdict == 'estimated'
        assert np.allclose(found[name].value, getattr(truth, name), rtol=0.05), name
        relative = np.array(found[name].std) / np.array(getattr(truth, name))
        assert (relative < 0.05).all(), name
    assert found['bit_depth'].value == 12
    assert found['read_noise_fixed'].value is False
    assert found['shot_noise_gain'].value == (1.0, 1.0, 1.0)


def test_the_result_is_a_sensor_of_the_same_brightness() -> None:
    """With aggregator_gain scaled, g·S·X of the nominal sensor at full scale stays."""
    result = estimate_noise(recording(), NOMINAL)
    fields = {e.name: e.value for e in result.estimates if e.value is not None}
    sensor = replace(NOMINAL, **fields)
    brightness = [s.response_gains[1] * s.aggregator_gain for s in (sensor, NOMINAL)]
    assert brightness[0] == pytest.approx(brightness[1], rel=1e-3)
    transfer = result.plots['photon_transfer']
    assert [plane['channel'] for plane in transfer] == ['red', 'green', 'blue']
    assert sum(transfer[0]['fitted']) >= 8


def test_a_gamma_response_keeps_its_unit() -> None:
    """There X is in the unit that log2 fixes, and the shot noise gain is estimated."""
    unit = 0.25  # units an electron
    gain = 0.98 / np.log2(ISO * RANGE * unit) ** 6.2
    truth = replace(
        TRUTH,
        response_type='gamma',
        response_gamma=6.2,
        response_gains=(gain,) * 3,
        aggregator_gain=1e14 * unit,
        shot_noise_gain=(unit**0.5,) * 3,
        read_noise=(0.5,) * 3,
        dsnu=(0.1,) * 3,
        dark_current=(0.0,) * 3,
        full_well=None,
        hot_pixel_fraction=0.0,
        bit_depth=14,
        vignetting_gain=0.0,
    )
    nominal = replace(truth, shot_noise_gain=(0.0,) * 3)
    found = by_name(estimate_noise(recording(truth, flats=FLAT_TIMES[3:7], frames=4), nominal))
    value, std = np.array(found['shot_noise_gain'].value), np.array(found['shot_noise_gain'].std)
    assert np.allclose(value, unit**0.5, rtol=0.03)
    assert (std < 0.03).all()
    assert found['response_gains'].verdict == 'not estimated'


def test_a_table_response_gets_its_gain_in_electrons() -> None:
    """The shape stays the nominal one, the unit becomes that of photons."""
    table = tuple(np.linspace(0, 1, 256) ** 0.7)
    truth = replace(
        TRUTH, response_type='table', response_table=table, full_well=None, bit_depth=14
    )
    nominal = replace(truth, response_gains=(3e-6,) * 3)
    result = estimate_noise(recording(truth, flats=FLAT_TIMES[2:]), nominal)
    found = by_name(result)
    assert np.allclose(found['response_gains'].value, truth.response_gains, rtol=0.03)
    assert found['black_level'].verdict == 'not estimated'
    for name in (
        'read_noise',
        'dsnu',
        'dark_current',
    ):  # dark values are cut off at the black level
        assert found[name].verdict == 'estimated'
        assert np.allclose(found[name].value, getattr(truth, name), rtol=0.05), name
    assert np.abs(pulls(result, truth, ('read_noise', 'dsnu', 'dark_current'))).max() < 4
    assert not any('straight function' in m for m in result.messages)


def test_memory_is_bounded_and_the_patterns_are_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With room for five mean pictures of twelve."""
    monkeypatch.setattr(frame_statistics, 'MOST_BYTES', 5 * 64 * 48 * 3 * 4)
    runs = frame_statistics.gather_runs(recording(SMALL, frames=2), SMALL_NOMINAL).runs
    kept = [run.role for run in runs if run.picture is not None]
    assert len(kept) == 5
    assert kept.count('dark') >= 2
    found = by_name(estimate_noise(recording(SMALL), SMALL_NOMINAL))
    assert np.allclose(found['prnu'].value, SMALL.prnu, rtol=0.1)
    assert np.allclose(found['dsnu'].value, SMALL.dsnu, rtol=0.2)


def test_automatic_exposure_is_refused_when_the_frames_say_it() -> None:
    """Nothing is estimated, and the remedy is named."""
    result = estimate_noise(
        recording(SMALL, automatic=True, flats=FLAT_TIMES[:3], frames=2), SMALL_NOMINAL
    )
    assert all(e.verdict == 'not estimated' for e in result.estimates)
    assert 'automatic exposure' in result.messages[0]
    assert 'switch' in result.messages[0]


def test_automatic_exposure_is_refused_when_the_brightness_shows_it() -> None:
    """Three stated exposure times, and one brightness."""
    filming = Filming(SMALL, 'rgb16', 0, STAGES)

    def frames() -> Iterator[RecordedFrame]:
        for time in (0.002, 0.006, 0.02):
            settings = with_time(SETTINGS, time)
            yield from filming.film(plain(SMALL, LIGHT * 0.01 / time), settings, 'flat', 3)
        yield from filming.film(plain(SMALL, 0.0), SETTINGS, 'dark', 3)

    result = estimate_noise(frames(), SMALL_NOMINAL)
    assert 'does not follow the exposure time' in result.messages[0]
    assert all(e.value is None for e in result.estimates)


def test_saturated_flats_are_refused() -> None:
    """Levels above the full well alone tell nothing."""
    result = estimate_noise(
        recording(replace(SMALL, full_well=None), flats=(0.06, 0.08, 0.1), frames=2), SMALL_NOMINAL
    )
    assert 'saturated' in result.messages[0]
    assert 'shorter exposures' in result.messages[0]
    assert all(e.verdict == 'not estimated' for e in result.estimates)


@pytest.mark.parametrize('last', [0.026, 0.028, 0.03, 0.035])
def test_flats_that_are_full_in_the_middle_alone_do_not_bend_the_line(last: float) -> None:
    """A lens that darkens to the rim by a third: photosites fill from the middle outwards."""
    wide = {'pixel_size': 24e-6, 'aggregator_gain': 1e14 / 16.0}
    truth = replace(TRUTH, vignetting_gain=1.0, **wide)
    nominal = replace(NOMINAL, vignetting_gain=0.0, **wide)
    result = estimate_noise(recording(truth, flats=(*FLAT_TIMES[:5], last / 1.1, last)), nominal)
    found = by_name(result)
    assert found['prnu'].verdict == 'estimated' and not result.messages
    assert np.abs(pulls(result, truth, ('response_gains', 'prnu', 'read_noise'))).max() < 3.0
    assert found['full_well'].value == pytest.approx(truth.full_well, rel=0.02)


def test_a_wrong_exposure_time_is_named() -> None:
    """The frames whose time is wrong, by their numbers and their time."""
    result = estimate_noise(
        recording(SMALL, frames=2, stated=lambda time: 0.009 if time == 0.007 else time),
        SMALL_NOMINAL,
    )
    named = [m for m in result.messages if 'exposure time is wrong' in m]
    assert len(named) == 1
    assert 'frames 6 to 7' in named[0]
    assert '(9 ms)' in named[0]


def test_a_response_that_is_not_linear_is_flagged() -> None:
    """Variance against mean bends where a gamma curve is taken for a line."""
    table = tuple(np.linspace(0, 1, 64) ** 0.5)
    truth = replace(SMALL, response_type='table', response_table=table, full_well=None)
    result = estimate_noise(recording(truth), SMALL_NOMINAL)
    assert any('response is not linear' in m or 'not a straight' in m for m in result.messages)
    gains = by_name(result)['response_gains']
    assert gains.verdict in ('weak', 'not estimated')


def test_one_exposure_only() -> None:
    """Without dark frames nothing can be told apart; with them the gain is weak."""
    alone = estimate_noise(recording(SMALL, flats=(0.012,), darks=()), SMALL_NOMINAL)
    assert 'several exposure times' in alone.messages[0]
    assert by_name(alone)['response_gains'].verdict == 'not estimated'
    found = by_name(
        estimate_noise(recording(SMALL, flats=(0.012,), darks=(0.001,)), SMALL_NOMINAL)
    )
    assert found['response_gains'].verdict == 'weak'
    assert np.allclose(found['response_gains'].value, SMALL.response_gains, rtol=0.05)
    assert found['dark_current'].verdict == 'not estimated'
    assert 'two or more exposure times' in found['dark_current'].reason


def test_no_dark_frames() -> None:
    """Gain and PRNU stay; what lives in the dark is refused with the remedy."""
    found = by_name(estimate_noise(recording(SMALL, darks=()), SMALL_NOMINAL))
    assert found['response_gains'].verdict == 'estimated'
    assert np.allclose(found['response_gains'].value, SMALL.response_gains, rtol=0.05)
    assert found['read_noise'].verdict == 'weak'
    for name in ('dark_current', 'dsnu'):
        assert found[name].verdict == 'not estimated'
        assert 'no dark frames' in found[name].reason
    assert found['hot_pixel_fraction'].value is None


def test_no_flat_frames() -> None:
    """The remedy says what to record."""
    result = estimate_noise(recording(SMALL, flats=()), SMALL_NOMINAL)
    assert 'no flat frames' in result.messages[0]
    assert 'two flat frames' in result.messages[0]
    assert len(estimate_noise([], SMALL_NOMINAL).messages) == 1


def test_single_frames_hold_no_temporal_noise() -> None:
    """One frame of each setting: the pattern cannot be told from noise."""
    result = estimate_noise(recording(SMALL, frames=1), SMALL_NOMINAL)
    assert 'follow one another' in result.messages[0]


def test_single_dark_frames_give_the_black_level_and_no_pattern() -> None:
    """Flat frames in pairs, dark ones alone."""
    frames = [*recording(SMALL, darks=()), *recording(SMALL, flats=(), frames=1)]
    found = by_name(estimate_noise(frames, SMALL_NOMINAL))
    assert found['black_level'].value == pytest.approx(SMALL.black_level, abs=1e-3)
    assert found['dsnu'].verdict == 'not estimated'
    assert np.allclose(found['response_gains'].value, SMALL.response_gains, rtol=0.06)


def test_darkness_cut_off_at_zero_is_said_and_found() -> None:
    """Without a black level half of the noise in the dark is gone, and the other half tells."""
    truth = replace(SMALL, black_level=0.0)
    result = estimate_noise(recording(truth, frames=3, darks=(0.001, 0.02)), SMALL_NOMINAL)
    assert any('cut at digital 0' in m for m in result.messages)
    found = by_name(result)
    assert np.abs(pulls(result, truth, ('read_noise', 'dsnu', 'dark_current'))).max() < 3.5
    assert np.allclose(found['read_noise'].value, truth.read_noise, rtol=0.05)
    assert np.allclose(found['response_gains'].value, truth.response_gains, rtol=0.05)


def test_steps_coarser_than_the_noise_are_said() -> None:
    """8 bits hide 0.1 steps of noise: the codes tell it nearly, and the gain is found."""
    truth = replace(SMALL, bit_depth=8, vignetting_gain=0.0)
    found = by_name(estimate_noise(recording(truth, encoding='mono8'), SMALL_NOMINAL))
    assert found['bit_depth'].value == 8
    for name in ('dsnu', 'read_noise'):
        assert found[name].verdict == 'weak'
        assert 'more bits' in found[name].reason
        assert found[name].value[1] == pytest.approx(getattr(truth, name)[1], rel=0.12)
    assert found['response_gains'].value[1] == pytest.approx(truth.response_gains[1], rel=0.05)


def test_interpolated_pictures_are_flagged() -> None:
    """The noise of a demosaiced picture is that of neither photosite."""
    truth = replace(SMALL, bayer_pattern='rggb', demosaic='bilinear')
    result = estimate_noise(
        recording(truth, frames=3, flats=FLAT_TIMES[:5], stages=('vignetting', *SENSOR_STAGES)),
        replace(SMALL_NOMINAL, bayer_pattern='rggb'),
    )
    assert any('interpolated' in m for m in result.messages)
    assert by_name(result)['response_gains'].verdict != 'estimated'


def test_frames_of_no_use_are_counted_by_reason() -> None:
    """JPEG, settling, and those of other roles."""

    def spoiled() -> Iterator[RecordedFrame]:
        for frame in recording(SMALL, frames=4, flats=FLAT_TIMES[:5], darks=(0.001, 0.1)):
            yield replace(frame, lossy=True, index=1000)
            yield replace(frame, settling=True, index=1001)
            yield replace(frame, role='board', index=1002)
            yield frame

    messages = estimate_noise(spoiled(), SMALL_NOMINAL).messages
    assert any('JPEG' in m and m.startswith('28 ') for m in messages)
    assert any('settling' in m for m in messages)
    assert any("role 'board'" in m for m in messages)
