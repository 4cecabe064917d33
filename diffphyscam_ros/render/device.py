# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which device a renderer works on, and what finds its triangles there."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import torch

from diffphyscam_ros.kernels.triton_launch import triton_problem
from diffphyscam_ros.render.cuda_visibility import CudaVisibility, nvdiffrast_problem
from diffphyscam_ros.render.errors import DeviceError

if TYPE_CHECKING:
    from diffphyscam_ros.render.triton_silhouettes import SilhouetteFinder
    from diffphyscam_ros.render.triton_visibility import TritonVisibility

RASTERIZERS = ('auto', 'nvdiffrast', 'triton')


def cuda_problem(device: torch.device) -> str | None:
    """Return why a CUDA device cannot render here, with the remedy, or None if it can."""
    if not torch.cuda.is_available():
        return (
            f'device {str(device)!r} needs an NVIDIA GPU and a torch built for CUDA, and torch '
            "finds none: install such a torch, or use device='cpu'"
        )
    if device.index is not None and device.index >= torch.cuda.device_count():
        return (
            f'device {str(device)!r}: this machine has {torch.cuda.device_count()} GPU(s), '
            f'numbered from 0; use a lower number'
        )
    try:
        choose_rasterizer(device, 'auto')
    except DeviceError as error:
        return str(error)
    return None


def check_rasterizer(name: str) -> None:
    """Refuse a rasterizer that does not exist.

    :raises DeviceError: naming those that do.
    """
    if name not in RASTERIZERS:
        raise DeviceError(f'rasterizer {name!r} is unknown: use one of {", ".join(RASTERIZERS)}')


def choose_rasterizer(device: torch.device, name: str) -> str:
    """Return which rasterizer serves on a CUDA device: nvdiffrast if it is there, else Triton.

    :param name: ``'auto'``, ``'nvdiffrast'`` or ``'triton'``.
    :raises DeviceError: where the one asked for cannot work; it names the remedy.
    """
    check_rasterizer(name)
    problems = {'nvdiffrast': nvdiffrast_problem(), 'triton': triton_problem()}
    wanted = [one for one in problems if name in ('auto', one)]
    for one in wanted:
        if problems[one] is None:
            return one
    # With 'auto' the remedy is Triton's: it is free.
    raise DeviceError(f"device {str(device)!r}: {problems[wanted[-1]]}; or use device='cpu'")


def make_rasterizer(device: torch.device, name: str) -> CudaVisibility | TritonVisibility:
    """Make the visibility of :func:`choose_rasterizer`."""
    if name == 'nvdiffrast':
        return CudaVisibility(device)
    # Only now: it needs Triton, which is not everywhere.
    module = importlib.import_module('diffphyscam_ros.render.triton_visibility')
    made: TritonVisibility = module.TritonVisibility()
    return made


def make_silhouette_finder() -> SilhouetteFinder | None:
    """Make the search for silhouettes on CUDA; None without Triton, when the CPU does it."""
    if triton_problem() is not None:
        return None
    module = importlib.import_module('diffphyscam_ros.render.triton_silhouettes')
    made: SilhouetteFinder = module.SilhouetteFinder()
    return made


def choose_device(name: str) -> tuple[torch.device, str]:
    """Return the device to use, by its number where it is a GPU, and why.

    :param name: ``'auto'``, ``'cpu'``, ``'cuda'`` or ``'cuda:N'``.
    :raises DeviceError: where the device asked for cannot render; it names the remedy.
    """
    if name == 'auto':
        problem = cuda_problem(torch.device('cuda'))
        if problem is None:
            return torch.device('cuda', torch.cuda.current_device()), 'CUDA works'
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
        if device.index is None:
            device = torch.device('cuda', torch.cuda.current_device())
    return device, 'as asked for'
