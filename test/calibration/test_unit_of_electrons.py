# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The unit in which a gamma response counts: photon transfer knows it better than the curve."""

from __future__ import annotations

import pytest
from test_photometry_response import nominal_of, sweep, truth_of

from diffphyscam_ros.calibration.response import estimate_response
from diffphyscam_ros.calibration.shared_uncertainty import unit_of_electrons
from diffphyscam_ros.calibration.types import Estimate, StageResult


def estimate(name: str, value: object, std: object, verdict: str = 'estimated') -> Estimate:
    return Estimate(name, value, std, '1', verdict, '')  # type: ignore[arg-type]


def noise(shot: tuple[float, ...], std: float = 0.001, verdict: str = 'estimated') -> StageResult:
    return StageResult('noise', (estimate('shot_noise_gain', shot, (std,) * len(shot), verdict),))


def response(kind: str = 'gamma', share: float = 0.06) -> StageResult:
    unit = estimate('aggregator_gain', 5e13, share * 5e13, 'weak')
    return StageResult('response', (estimate('response_type', kind, None), unit))


def test_the_unit_is_that_of_which_shot_noise_is_the_root() -> None:
    found = unit_of_electrons(noise((1.03, 1.031, 1.029)), response())
    assert found is not None
    assert found[0] == pytest.approx(1.03**2, rel=1e-4)
    assert found[1] == pytest.approx(1.03**2 * (0.002**2 + 0.0019417**2) ** 0.5, rel=1e-2)


@pytest.mark.parametrize(
    ('measured', 'curve'),
    [
        (noise((1.03,) * 3), response('sigmoid')),
        (noise((1.03,) * 3), StageResult('response', ())),
        (StageResult('noise', ()), response()),
        (noise((1.03,) * 3, verdict='weak'), response()),  # as of interpolated pictures
        (noise((1.03, 1.08, 1.03)), response()),  # channels that were balanced before the curve
        (noise((0.7,) * 3), response()),  # noise that a filter took away
    ],
)
def test_what_may_be_a_filters_doing_leaves_the_unit_to_the_curve(
    measured: StageResult, curve: StageResult
) -> None:
    assert unit_of_electrons(measured, curve) is None


def test_a_curve_in_a_known_unit_is_known_much_better() -> None:
    truth = truth_of('gamma')
    nominal = nominal_of(truth)

    def found(electrons: tuple[float, float] | None) -> dict[str, Estimate]:
        result = estimate_response(sweep(truth), nominal, electrons)
        return {item.name: item for item in result.estimates}

    alone = found(None)
    own = float(alone['aggregator_gain'].value) / truth.aggregator_gain
    known = found((own, 0.002 * own))
    assert known['aggregator_gain'].value == pytest.approx(truth.aggregator_gain, rel=1e-3)
    unit = known['aggregator_gain'].std / truth.aggregator_gain
    assert 0.0019 < unit < 0.003 < 0.1 * alone['aggregator_gain'].std / truth.aggregator_gain
    for name in ('response_gamma', 'response_gains'):
        value, std = (
            item[0] if isinstance(item, tuple) else item
            for item in (known[name].value, known[name].std)
        )
        true = getattr(truth, name)
        true = true[0] if isinstance(true, tuple) else true
        assert abs(value - true) < 3.0 * std
        before = alone[name].std
        assert std < 0.6 * (before[0] if isinstance(before, tuple) else before)
    assert 'photon transfer' in known['response_gamma'].reason
