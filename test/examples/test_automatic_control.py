# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The example of automatic control, in its short form."""

from __future__ import annotations

import importlib
import sys


def test_automatic_control_is_steady(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / 'examples'))
    result = importlib.import_module('automatic_control').main(['--quick'])
    for name in ('automatic_control', '_common', '_figures'):
        sys.modules.pop(name, None)
    assert result.overshoot < 0.05 and result.last_error < 0.15
    assert result.focus_blur < 1.0
    assert result.cast < 0.08
