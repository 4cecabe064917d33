# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The parameter table, the files made from it, and what it refuses; no ROS graph is needed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

from diffphyscam_ros.nodes import parameter_docs
from diffphyscam_ros.nodes.camera_state import resolve
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.parameter_server import descriptor
from diffphyscam_ros.nodes.parameters import ALIASES, checked_changes, TABLE

VALUES = resolve(None, {}).values


def test_the_committed_files_are_up_to_date():
    remedy = 'run python -m diffphyscam_ros.nodes.parameter_docs --write'
    written = parameter_docs.YAML_FILE.read_text(encoding='utf-8')
    assert written == parameter_docs.yaml_text(), remedy
    text = parameter_docs.DOCS_FILE.read_text(encoding='utf-8')
    assert text == parameter_docs.with_table(text), remedy


def test_the_yaml_file_holds_the_defaults():
    lines = parameter_docs.yaml_text().replace('    # ', '    #')
    for name, row in TABLE.items():
        mark = '#' if row.default is None else ''
        line = next(x for x in lines.splitlines() if x.startswith(f'    {mark}{name}:'))
        value = yaml.safe_load(line.strip().lstrip('#'))[name]
        value = tuple(value) if isinstance(value, list) else value
        assert row.check(value) == VALUES[name]


def test_a_document_without_marks_is_refused():
    with pytest.raises(ValueError, match='marks'):
        parameter_docs.with_table('nothing')


@pytest.mark.parametrize('row', TABLE.values(), ids=TABLE)
def test_every_row_describes_itself_and_takes_its_value(row):
    assert row.description
    assert row.check(VALUES[row.name]) == VALUES[row.name]
    shown = descriptor(row)
    assert shown.read_only == row.read_only and shown.additional_constraints == row.allowed()
    for ranged in shown.floating_point_range:
        assert ranged.from_value <= VALUES[row.name] <= ranged.to_value


@pytest.mark.parametrize('row', TABLE.values(), ids=TABLE)
def test_every_row_refuses_what_it_cannot_be(row):
    bad = {
        'bool': [1, 0.0, 'true', None],
        'string': [1, True, None],
        'integer': [True, 1.5, 'x', math.nan, None],
        'double': [True, 'x', math.nan, -math.inf, None, (1.0,)],
        'string_array': [1, (1.0,), ('a', 1), b'xyz', None],
        'double_array': [1.0, 'xyz', (True, 1.0), (math.nan,), (math.inf, 1.0), None],
    }[row.kind]
    if row.choices:
        bad.append('none of them')
    if row.low > -math.inf and 'array' not in row.kind:
        bad.append(row.low - 1 if row.kind == 'integer' else row.low - 1.0)
    if row.high < math.inf and 'array' not in row.kind:
        bad.append(row.high * 2 + 1 if row.kind == 'double' else int(row.high) + 1)
    if row.open_low:
        bad.append(tuple([row.low] * row.length) if row.length else row.low)
    if row.length:
        bad.append((1.0,) * (row.length + 1))
    for value in bad:
        with pytest.raises(ParameterError) as caught:
            row.check(value)
        assert row.name in str(caught.value) and 'must be' in str(caught.value)


def test_numbers_of_other_types_are_taken():
    assert TABLE['exposure_time'].check(5) == 5.0
    assert isinstance(TABLE['exposure_time'].check(5), float)
    assert TABLE['quantum_efficiency'].check(np.array([1, 1, 1])) == (1.0, 1.0, 1.0)
    assert TABLE['focus_distance'].check('inf') == math.inf
    assert TABLE['focus_distance'].check('.inf') == math.inf


def test_aliases_are_their_parameters():
    for alias, name in ALIASES.items():
        assert checked_changes({alias: VALUES[name]}) == {name: VALUES[name]}
    with pytest.raises(ParameterError, match='contradict'):
        checked_changes({'framerate': 10.0, 'frame_rate': 20.0})
    assert checked_changes({'framerate': 10.0, 'frame_rate': 10}) == {'frame_rate': 10.0}


def test_unknown_names_are_left_to_others():
    assert checked_changes({'use_sim_time': True}) == {}
