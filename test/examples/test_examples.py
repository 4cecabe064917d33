# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The examples of what a gradient buys find what they say they find, in their short form."""

from __future__ import annotations

import importlib
from pathlib import Path
import sys
from types import ModuleType

import pytest

FOCUS, APERTURE = 1.12, 1.4  # the truth in examples/focus_from_blur.py


@pytest.fixture
def example(repository: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Return the example that the test names, imported as a script would be."""
    monkeypatch.syspath_prepend(str(repository / 'examples'))
    yield importlib.import_module(request.param)
    for name in (request.param, '_common', '_figures'):
        sys.modules.pop(name, None)


@pytest.mark.parametrize('example', ['focus_from_blur'], indirect=True)
def test_focus_and_aperture_are_found_from_one_photograph(example: ModuleType):
    result = example.main(['--quick'])
    # A quarter of the pixels of the long form: the blur is hardly wider than they are.
    assert result.focus_distance == pytest.approx(FOCUS, rel=0.06)
    assert result.aperture == pytest.approx(APERTURE, rel=0.10)
    assert result.agreeing == 1.0


@pytest.mark.parametrize('example', ['exposure_bracket'], indirect=True)
def test_exposures_and_response_are_found_from_a_bracket(example: ModuleType):
    result = example.main(['--quick'])
    assert result.nominal_exposure_error > 0.1  # there is something to find
    assert result.exposure_error < 0.02
    assert result.curve_error < 0.06
    assert result.curve_error < 0.5 * result.debevec_nominal_error


@pytest.mark.parametrize('example', ['detector_exposure'], indirect=True)
def test_the_gradient_leads_to_where_the_real_detector_works(example: ModuleType):
    result = example.main(['--quick'])
    assert max(result.start_rates) < 0.2
    assert result.detection_rate > 0.9
    assert result.detection_rate >= result.best_on_grid - 0.1


@pytest.mark.parametrize('example', ['depth_from_defocus'], indirect=True)
def test_depth_is_found_from_a_focal_stack(example: ModuleType, shared_data: Path):
    frames = shared_data / 'depth' / 'tsdf_rgbd'
    if not frames.is_dir():
        pytest.skip(f'no RGB-D frames: {frames} is absent')
    result = example.main(['--quick', '--data', str(frames)])
    assert result.error < 0.04
    assert result.error < 0.6 * result.classical_error
    assert result.textured_error < result.classical_textured_error


@pytest.mark.parametrize('example', ['_figures'], indirect=True)
def test_figures_are_drawn(example: ModuleType, tmp_path: Path):
    pytest.importorskip('matplotlib', reason='no matplotlib: the examples draw nothing')
    import numpy as np
    import torch

    picture, depth = torch.rand(12, 16, 3), torch.rand(12, 16) + 1.0
    curve = np.linspace(-8.0, 0.0, 240)
    path = torch.rand(5, 2, 2)
    drawn = [
        example.focus_from_blur(
            tmp_path, picture, depth, [depth, depth], (0.3, 1.4, 0.0, 3.0), (0.9, 1.4), 1.45,
            (torch.rand(5, 2), 1 + torch.rand(5, 2), torch.rand(5, 2)),
        ),
        example.exposure_bracket(
            tmp_path, torch.rand(3, 12, 16, 3), [0.1, 0.2, 0.4], np.arange(240),
            dict.fromkeys('abcd', curve), (np.ones(3), np.zeros(3)),
        ),
        example.detector_exposure(
            tmp_path, 'title', path, (torch.arange(1.0, 5.0), torch.arange(1.0, 4.0)),
            (torch.rand(3, 4),) * 3, [(picture, 'start', 'a'), (picture, 'found', 'b')],
        ),
        example.depth_from_defocus(
            tmp_path, torch.rand(2, 12, 16, 3), [1.0, 2.0], picture, dict.fromkeys('abc', depth)
        ),
    ]  # fmt: skip
    assert len({path.name for path in drawn}) == 4
    assert all(path.read_bytes().startswith(b'\x89PNG') for path in drawn)
