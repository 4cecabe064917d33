# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Weighted sums of a table's rows, and sums into rows, each row as one SIMD vector.

LLVM does not join the loads of neighbouring numbers by itself: the pass that would (SLP) spoils
loops that are vectorized now, so numba leaves it out. Hence the vectors are spelled out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic
import numpy as np

_FLOAT, _LANE, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def _load(builder: Any, start: Any, columns: int) -> Any:
    """Load a row; of three numbers, as a vector of four, without touching what follows them."""
    vector = ir.VectorType(_FLOAT, 4 if columns == 3 else columns)
    place = builder.bitcast(start, vector.as_pointer())
    if columns != 3:
        loaded = builder.load(place)
        loaded.align = 4
        return loaded
    mask = ir.VectorType(ir.IntType(1), 4)
    load = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [place.type, _LANE, mask, vector]),
        'llvm.masked.load.v4f32.p0',
    )
    three, zeros = ir.Constant(mask, [1, 1, 1, 0]), ir.Constant(vector, [0.0] * 4)
    return builder.call(load, [place, ir.Constant(_LANE, 4), three, zeros])


def _spread(builder: Any, number: Any, lanes: int) -> Any:
    """Return a vector with one number in all lanes."""
    undefined = ir.Constant(ir.VectorType(_FLOAT, lanes), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_LANE, 0))
    everywhere = ir.Constant(ir.VectorType(_LANE, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, everywhere)


def _check(table: Any, rows: Any, weights: Any) -> None:
    """Say what cannot work while it is compiled: nothing is checked later."""
    if not isinstance(table, types.Array) or table.dtype != types.float32 or table.layout != 'C':
        raise TypingError(f'table: {table}, must be a C-contiguous array of float32')
    if not isinstance(rows, types.UniTuple) or rows.dtype not in types.unsigned_domain:
        raise TypingError(f'rows: {rows}, must be a tuple of unsigned integers of one type')
    if weights != types.UniTuple(types.float32, rows.count):
        raise TypingError(f'weights: {weights}, must be {rows.count} float32, one for each row')


def _mixer(columns: int) -> Callable[..., Any]:
    """Return the function for tables of so many columns."""

    @intrinsic  # type: ignore[untyped-decorator]
    def mix(typing, table, rows, weights):  # type: ignore[no-untyped-def]
        """See below."""
        _check(table, rows, weights)
        signature = types.UniTuple(types.float32, columns)(table, rows, weights)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            total = None
            for k in range(rows.count):
                row = builder.zext(builder.extract_value(arguments[1], k), _INDEX)
                start = builder.gep(data, [builder.mul(row, ir.Constant(_INDEX, columns))])
                numbers = _load(builder, start, columns)
                weight = builder.extract_value(arguments[2], k)
                share = _spread(builder, weight, numbers.type.count)
                part = builder.fmul(numbers, share, flags=('contract',))
                total = part if total is None else builder.fadd(total, part, flags=('contract',))
            mixed = [builder.extract_element(total, ir.Constant(_LANE, k)) for k in range(columns)]
            return context.make_tuple(builder, signature.return_type, mixed)

        return signature, generate

    def mix_plainly(table, rows, weights):  # type: ignore[no-untyped-def]
        """Do the same in numpy."""
        flat = np.reshape(table, (-1, columns))
        return tuple(sum(w * flat[r] for r, w in zip(rows, weights, strict=True)))

    # As a debugger wants it: an intrinsic has no uncompiled form.
    return mix_plainly if config.DISABLE_JIT else mix


mix_threes, mix_fours = _mixer(3), _mixer(4)
"""``mix_fours(table, rows, weights)``: the sum of weight · row, as four float32.

:param table: C-contiguous float32 of any shape that ends in three, or four, columns.
:param rows: tuple of unsigned row numbers, of the table as (N, columns); not checked.
:param weights: as many float32.
"""


@intrinsic  # type: ignore[untyped-decorator]
def add_fours(typing, table, rows, weights, numbers):  # type: ignore[no-untyped-def]
    """Add weight · numbers to each row of a table of four columns; rows may be the same.

    :param table, rows, weights: as of :func:`mix_fours`.
    :param numbers: four float32.
    """
    _check(table, rows, weights)
    if numbers != types.UniTuple(types.float32, 4):
        raise TypingError(f'numbers: {numbers}, must be four float32')
    signature = types.void(table, rows, weights, numbers)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        vector = ir.VectorType(_FLOAT, 4)
        given = ir.Constant(vector, ir.Undefined)
        for k in range(4):
            number = builder.extract_value(arguments[3], k)
            given = builder.insert_element(given, number, ir.Constant(_LANE, k))
        for k in range(rows.count):
            row = builder.zext(builder.extract_value(arguments[1], k), _INDEX)
            start = builder.gep(data, [builder.mul(row, ir.Constant(_INDEX, 4))])
            share = _spread(builder, builder.extract_value(arguments[2], k), 4)
            part = builder.fmul(given, share, flags=('contract',))
            total = builder.fadd(_load(builder, start, 4), part, flags=('contract',))
            builder.store(total, builder.bitcast(start, vector.as_pointer())).align = 4
        return context.get_dummy_value()

    return signature, generate


def _add_plainly(table, rows, weights, numbers):  # type: ignore[no-untyped-def]
    """Do the same in numpy."""
    flat = np.reshape(table, (-1, 4))
    for row, weight in zip(rows, weights, strict=True):
        flat[row] += weight * np.array(numbers)


if config.DISABLE_JIT:
    add_fours = _add_plainly
