# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The pictures of examples/lens_extras.py: corners as dark as the lens says."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


def test_corners_of_each_lens(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / 'examples'))
    corners = list(importlib.import_module('lens_extras').main(['--quick']).values())
    perfect, cos4, radial, wide_open, stopped_down, colour, glare = corners
    assert perfect == 1.0 and 0.4 < cos4 < 0.55 and 0.65 < radial < 0.85
    assert wide_open < 0.75 and stopped_down > 0.999
    assert abs(colour - 1) < 0.02 and 1.0 < glare < 1.1
