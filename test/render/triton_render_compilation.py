# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Compile the renderer's Triton kernels for GPUs that need not be there; print what matters.

A line for each: its name, the size of its binary, how many contractions (fma) its assembly has
beside those of a division, and how many atomic maxima. A process of its own, since Triton decides
at its import whether it interprets.
"""

from __future__ import annotations

import os
import re
from typing import Any

os.environ.pop('TRITON_INTERPRET', None)

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_kernel

from diffphyscam_ros.kernels import triton_antialias, triton_rasterize

POINTERS = {
    'vertices': '*fp32',
    'camera': '*fp32',
    'matrices': '*fp64',
    'lens': '*fp64',
    'projected': '*i32',
    'corners': '*i32',
    'faces': '*i32',
    'numbers': '*i32',
    'signs': '*i32',
    'triangles': '*i32',
    'rest': '*u8',
    'keys': '*i64',
    'limits': '*i64',
    'kept': '*i64',
    'pairs': '*i64',
    'depth': '*fp32',
    'neighbours': '*i32',
    'edges': '*i32',
    'behind': '*i32',
    'from_first': '*i8',
}
SIZES = ('count', 'width', 'height', 'size')
LAYERS = {'LIMITED': True}
KERNELS: list[tuple[Any, dict[str, Any], int]] = [
    (triton_rasterize._project, {'BLOCK': 256}, 4),
    (triton_rasterize._small, {'LIMITED': True, 'LANES': 32, 'SMALL': 64}, 1),
    (triton_rasterize._listed, {'LIMITED': False, 'SHARES': 64, 'TILE': 16}, 4),
    (triton_rasterize._read, {'LIMITED': True, 'KEPT': True, 'BLOCK': 256}, 4),
    (triton_antialias._pairs, {'STEPS': 64, 'REACH': 1.0 + 1.0 / 128.0, 'LANES': 32}, 1),
]


def compiled(kernel: Any, constants: dict[str, Any], warps: int, capability: int) -> Any:
    """Return what Triton makes of a kernel."""
    types = {name: 'i32' for name in kernel.arg_names if name in SIZES}
    types |= {name: POINTERS[name] for name in kernel.arg_names if name in POINTERS}
    types['instances'] = '*i64' if kernel is triton_rasterize._project else '*i32'
    types = {name: types.get(name, 'constexpr') for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=types, constexprs=places)
    options = {'num_warps': warps, 'enable_fp_fusion': False}
    return compile_kernel(source, target=GPUTarget('cuda', capability, 32), options=options).asm


def main() -> None:
    """Compile all for one GPU and the largest for another."""
    for kernel, constants, warps in KERNELS:
        code = compiled(kernel, constants, warps, 90)
        fused = len(re.findall(r'\bfma\.|\bmad\.f', code['ptx']))
        atomics = len(re.findall(r'\batom\.\S*max\.s64', code['ptx']))
        print(kernel.fn.__name__, len(code['cubin']), fused, atomics)
    print('_listed', len(compiled(*KERNELS[2], 80)['cubin']), 0, 1)


if __name__ == '__main__':
    main()
