# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where Triton kernels are launched: on the GPU that holds what they are given."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Return a context in which kernels start on a tensor's GPU; Triton itself takes the current.

    For tensors on the CPU, which interpreted kernels take, it does nothing.
    """
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
