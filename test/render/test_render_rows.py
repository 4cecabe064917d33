# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Rows of tables as SIMD vectors: the sums of plain NumPy, and nothing touched beside them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from numba import njit
from numba.core.errors import TypingError
import numpy as np
import pytest

from diffphyscam_ros.kernels.rows import add_fours, mix_fours, mix_threes


@njit
def _mixed_threes(table, rows, weights):
    return mix_threes(table, rows, weights)


@njit
def _mixed_fours(table, rows, weights):
    return mix_fours(table, rows, weights)


@njit
def _added_fours(table, rows, weights, numbers):
    add_fours(table, rows, weights, numbers)


MIXERS = {3: _mixed_threes, 4: _mixed_fours}


def _rows(*numbers):
    return tuple(np.uint32(number) for number in numbers)


def _weights(*numbers):
    return tuple(np.float32(number) for number in numbers)


@pytest.mark.parametrize('columns', MIXERS)
@pytest.mark.parametrize('places', [(6,), (0, 6, 3), (2, 2, 5, 0)])
def test_a_mix_is_the_weighted_sum_of_the_rows(columns, places):
    table = np.random.default_rng(columns).normal(size=(7, columns)).astype(np.float32)
    weights = np.linspace(-1.0, 2.0, len(places)).astype(np.float32)
    mixed = MIXERS[columns](table, _rows(*places), _weights(*weights))
    np.testing.assert_allclose(mixed, weights @ table[list(places)], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('columns', MIXERS)
def test_a_table_may_have_any_shape_that_ends_in_the_columns(columns):
    table = np.arange(24 * columns, dtype=np.float32).reshape(2, 3, 4, columns)
    mixed = MIXERS[columns](table, _rows(17), _weights(1.0))
    np.testing.assert_array_equal(mixed, table[1, 1, 1])


def test_what_follows_the_last_row_of_three_is_not_read():
    memory = np.full(4 * 3 + 1, np.nan, np.float32)
    table = memory[:-1].reshape(4, 3)
    table[:] = 1.0
    mixed = _mixed_threes(table, _rows(3, 3), _weights(0.5, 0.5))
    np.testing.assert_array_equal(mixed, [1.0, 1.0, 1.0])


def test_rows_are_added_to_each_its_weight_also_when_they_are_the_same():
    table = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = table.copy()
    numbers = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
    for row, weight in ((4, 0.25), (1, 2.0), (4, 1.0)):
        expected[row] += np.float32(weight) * numbers
    _added_fours(table, _rows(4, 1, 4), _weights(0.25, 2.0, 1.0), _weights(*numbers))
    np.testing.assert_allclose(table, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ('table', 'rows', 'weights', 'named'),
    [
        (np.zeros((4, 4)), _rows(0), _weights(1.0), 'table'),
        (np.zeros((4, 8), np.float32)[:, ::2], _rows(0), _weights(1.0), 'table'),
        (np.zeros((4, 4), np.float32), (0,), _weights(1.0), 'rows'),
        (np.zeros((4, 4), np.float32), _rows(0, 1), _weights(1.0), 'weights'),
        (np.zeros((4, 4), np.float32), _rows(0), (1.0,), 'weights'),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_compiled(table, rows, weights, named):
    with pytest.raises(TypingError, match=f'{named}: .*must be'):
        _mixed_fours(table, rows, weights)


def test_a_debugger_finds_the_same_in_plain_python():
    program = textwrap.dedent("""
        import numpy as np
        from diffphyscam_ros.kernels.rows import add_fours, mix_threes
        table = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
        assert mix_threes(table, (1, 3), (2.0, 0.5)) == (10.5, 13.0, 15.5)
        table = np.zeros((2, 4), np.float32)
        add_fours(table, (1, 1), (1.0, 0.5), (1.0, 2.0, 3.0, 4.0))
        assert table.tolist() == [[0.0] * 4, [1.5, 3.0, 4.5, 6.0]]
    """)
    environment = {'NUMBA_DISABLE_JIT': '1', 'PATH': '/usr/bin:/bin', 'HOME': '/tmp'}
    subprocess.run([sys.executable, '-c', program], check=True, env=environment)
