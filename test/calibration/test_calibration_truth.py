# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A random camera, filmed into bags and calibrated: one seed of bench/calibration_truth.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path
import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')

SEED = 0  # a linear response, photosites that are full below full scale, hot ones among them


@pytest.fixture(scope='module')
def truth(repository: Path) -> ModuleType:
    folder = repository / 'bench'
    before = sys.path.copy()
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(
            'calibration_truth', folder / 'calibration_truth.py'
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


def test_a_whole_calibration_tells_the_truth_and_how_sure_it_is(truth, tmp_path):
    size = truth.Size(few=True)
    found = truth.check(SEED, size, tmp_path / 'bags')
    assert not found.wrong
    pulls = {item.name: round(item.pull, 2) for item in found.deviations}
    assert len(pulls) > 35
    assert np.mean([pull <= 3 for pull in pulls.values()]) >= 0.95, pulls
    assert max(pulls.values()) < 5, pulls
    missed = {
        name: error for name, error in found.errors.items() if not error <= truth.GOALS[name][0]
    }
    assert not missed


def test_a_wrong_camera_is_not_taken_for_a_true_one(truth):
    sensor = truth.random_camera(SEED, truth.Size())
    other = truth.random_camera(SEED + 1, truth.Size())
    assert sensor == truth.random_camera(SEED, truth.Size())
    errors = truth._errors(sensor, other)
    assert all(
        errors[name] > truth.GOALS[name][0] for name in ('read noise', 'vignetting', 'dsnu')
    )
    assert all(error == 0 for error in truth._errors(sensor, sensor).values())
