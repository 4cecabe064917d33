# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Photometry of recordings that look good and mislead who takes them as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_photometry_noise import by_name, FLAT_TIMES, NOMINAL, pulls, recording, TRUTH

from diffphyscam_ros.calibration.noise import estimate_noise
from diffphyscam_ros.calibration.shared_uncertainty import with_darkness
from diffphyscam_ros.calibration.types import Estimate, StageResult


def test_hot_photosites_of_long_dark_frames_are_no_prnu() -> None:
    """Dark frames of one long time: how much of their heat is in the flat ones is not known."""
    truth = replace(TRUTH, hot_pixel_current=20_000.0)
    result = estimate_noise(recording(truth, seed=4, darks=(0.3,)), NOMINAL)
    assert by_name(result)['dark_current'].value is None
    assert np.abs(pulls(result, truth, ['prnu'])).max() < 4.0


@pytest.mark.parametrize(('top', 'filled'), [(0.0255, 'a part'), (0.0265, 'all')])
def test_a_level_that_fills_the_middle_is_not_of_the_line(top: float, filled: str) -> None:
    """Vignetting leaves the rim below the full well, so some noise is left at that level."""
    result = estimate_noise(recording(seed=5, flats=(*FLAT_TIMES[:-2], top)), NOMINAL)
    well = by_name(result)['full_well']
    if filled == 'all':
        assert well.value == pytest.approx(TRUTH.full_well, rel=5e-3)
    else:
        assert well.verdict == 'weak' and 'fill a part' in well.reason
        # near enough for the vignetting to leave that level out, whatever the response
        assert well.value == pytest.approx(TRUTH.full_well, rel=0.01)
        assert 'record one at twice' in well.reason
    assert np.abs(pulls(result, TRUTH, ['prnu', 'response_gains', 'read_noise'])).max() < 4.0


def test_read_noise_knows_how_sure_the_light_of_darkness_is() -> None:
    def estimate(name: str, value: object, std: object) -> Estimate:
        return Estimate(name, value, std, '', 'estimated', 'measured')

    noise = StageResult(
        'noise',
        (
            estimate('response_gains', (8e-6,) * 3, (1e-8,) * 3),
            estimate('read_noise', (4.0, 4.0, 2.0), (0.03, 0.04, 0.0)),
        ),
        (),
        {'iso': 100.0},
    )
    kind = estimate('response_type', 'sigmoid', None)
    response = StageResult('response', (kind, estimate('response_biases', -4.0, 0.0032)))
    wide = by_name(with_darkness(noise, response))['read_noise']
    # 0.0032 / (8e-6 · 100) = 4 e-, and as many e-² of read noise: 4 / (2 · 4) and 4 / (2 · 2)
    assert wide.value == (4.0, 4.0, 2.0)
    assert wide.std == pytest.approx((np.hypot(0.03, 0.5), np.hypot(0.04, 0.5), 1.0))
    linear = StageResult('response', (replace(kind, value='linear'),))
    assert with_darkness(noise, linear) is noise
