# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The example of motion: what it takes at one moment is rendered once, what moves more often."""

from __future__ import annotations

import importlib
from pathlib import Path
import sys

import pytest


def test_the_example_renders_as_often_as_things_move(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.syspath_prepend(str(repository / 'examples'))
    example = importlib.import_module('motion')
    try:
        counts = example.main(['--quick', '--out', str(tmp_path)])
    finally:
        for name in ('motion', '_common', '_figures'):
            sys.modules.pop(name, None)
    assert list(counts) == ['fan', 'thrown die', 'camera turns']
    for still, blurred, rolling in counts.values():
        assert still == 1 < blurred < rolling <= 33
    assert not list(tmp_path.iterdir())
