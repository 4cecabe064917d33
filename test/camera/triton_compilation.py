# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Compile the Triton kernels for a GPU that need not be there; print the size of each binary.

A process of its own, since Triton decides at its import whether it interprets.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.pop('TRITON_INTERPRET', None)

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_kernel

from diffphyscam_ros.kernels import triton_filters, triton_sensor

AMPERE, HOPPER = GPUTarget('cuda', 80, 32), GPUTarget('cuda', 90, 32)
EVERYTHING = {
    'NOISY': True,
    'READS': True,
    'GAIN': True,
    'EXTRA': True,
    'OFFSET': True,
    'BLOCK': 512,
}


def binary(kernel: Any, constants: dict[str, Any], target: GPUTarget) -> bytes:
    """Return the code of a kernel: pointers to float32, taps float32, other numbers int32."""
    numbers = {'size', 'frame', 'seed', 'stream', 'levels'}
    numbers |= {'rows_in', 'columns_in', 'rows', 'columns'}
    types = {}
    for name in kernel.arg_names:
        types[name] = 'i32' if name in numbers else '*fp32'
        if name in constants:
            types[name] = 'constexpr'
        elif name in ('t0', 't1', 't2'):
            types[name] = 'fp32'
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=types, constexprs=places)
    code: bytes = compile_kernel(source, target=target).asm['cubin']
    return code


def main() -> None:
    """Compile what differs most: both directions, hard and soft, filters and adjoints."""
    for forward, kind, soft in ((True, 0, False), (False, 1, True)):
        rest = {'KIND': kind, 'SOFT': soft, 'LEVELS': forward, 'BACKWARD': not forward}
        print(len(binary(triton_sensor._sensor, EVERYTHING | rest, HOPPER)))
    for mode in (triton_filters.FILTER, triton_filters.HALVE_ADJOINT):
        rest = {'MODE': mode, 'SIDES': triton_filters.SIDES[mode], 'BLOCK': 256}
        print(len(binary(triton_filters._resample, rest, AMPERE)))


if __name__ == '__main__':
    main()
