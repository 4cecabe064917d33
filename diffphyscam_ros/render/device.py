# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which device a renderer works on."""

from __future__ import annotations

import torch

from diffphyscam_ros.render.cuda_visibility import cuda_problem
from diffphyscam_ros.render.errors import DeviceError


def choose_device(name: str) -> tuple[torch.device, str]:
    """Return the device to use and why.

    :param name: ``'auto'``, ``'cpu'``, ``'cuda'`` or ``'cuda:N'``.
    :raises DeviceError: where the device asked for cannot render; it names the remedy.
    """
    if name == 'auto':
        problem = cuda_problem(torch.device('cuda'))
        if problem is None:
            return torch.device('cuda', torch.cuda.current_device()), 'CUDA and nvdiffrast work'
        return torch.device('cpu'), problem
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ('cpu', 'cuda'):
        raise DeviceError(f"device {name!r} is unknown: use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if device.type == 'cuda':
        problem = cuda_problem(device)
        if problem is not None:
            raise DeviceError(problem)
    return device, 'as asked for'
