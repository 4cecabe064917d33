# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the Triton kernels are looked for: only on CUDA, and only where Triton works."""

from __future__ import annotations

from functools import lru_cache
import importlib
from types import ModuleType

import torch

from diffphyscam_ros.kernels.triton_launch import triton_problem


@lru_cache(maxsize=8)
def triton_module(name: str) -> ModuleType | None:
    """Return a module of ``kernels``, or None where Triton, of torch's GPU builds, cannot work."""
    if triton_problem() is not None:
        return None
    return importlib.import_module(f'diffphyscam_ros.kernels.{name}')


def filters_for(x: torch.Tensor) -> ModuleType | None:
    """Return the filters that serve this picture (B, C, H, W), or None to take torch's."""
    if not x.is_cuda or x.dtype != torch.float32:
        return None
    return triton_module('triton_filters')
