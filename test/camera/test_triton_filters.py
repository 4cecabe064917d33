# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The Triton filters of the blur cascades against the torch ones: values and adjoints.

Without a GPU they are interpreted; see test_triton_sensor.py.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import subprocess
import sys

import pytest
import torch

from diffphyscam_ros.camera import defocus_cascade as reference
from diffphyscam_ros.camera.defocus import defocus

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

from diffphyscam_ros.kernels import triton_filters

SIZES = [(1, 2), (7, 10)]
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
FIVE, THREE = (0.5, 0.2, 0.05), (0.6, 0.2, 0.0)


def compare(
    own: Callable[[torch.Tensor], torch.Tensor],
    wanted: Callable[[torch.Tensor], torch.Tensor],
    size: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, *size, generator=generator).to(DEVICE)
    one, two = x.clone().requires_grad_(), x.cpu().double().requires_grad_()
    out, expected = own(one), wanted(two)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-6, rtol=1e-6)
    weight = torch.rand(expected.shape, generator=generator)
    (out * weight.to(DEVICE)).sum().backward()
    (expected * weight.double()).sum().backward()
    assert one.grad is not None and two.grad is not None
    torch.testing.assert_close(one.grad.cpu().double(), two.grad, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('taps', [FIVE, THREE])
def test_filter(size: tuple[int, int], taps: tuple[float, float, float]) -> None:
    compare(
        lambda x: triton_filters.filter_rows_and_columns(x, taps),
        lambda x: reference.filter_rows_and_columns(x, taps),
        size,
    )


@pytest.mark.parametrize('size', SIZES)
def test_halve(size: tuple[int, int]) -> None:
    compare(triton_filters.halve, reference.halve, size)


@pytest.mark.parametrize('size', SIZES)
def test_double(size: tuple[int, int]) -> None:
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    compare(lambda x: triton_filters.double(x, *size), lambda x: reference.double(x, *size), half)


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    x = torch.rand(1, 1, 4, 6, device=DEVICE, requires_grad=True)
    loss = triton_filters.halve(x).square().sum() + (x**3).sum()
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        slope.sum().backward()


@pytest.mark.skipif(DEVICE == 'cpu', reason='no CUDA device')
@pytest.mark.parametrize('occlusion', [False, True])
def test_defocus_on_cuda_is_that_of_the_cpu(occlusion: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(48, 61, 3, generator=generator)
    coc = 24.0 * torch.rand(48, 61, generator=generator) - 8.0
    here = defocus(image, coc, occlusion=occlusion)
    there = defocus(image.cuda(), coc.cuda(), occlusion=occlusion).cpu()
    torch.testing.assert_close(there, here, atol=1e-5, rtol=1e-4)


def test_kernels_compile_for_gpus(tmp_path: Path) -> None:
    script = Path(__file__).with_name('triton_compilation.py')
    environment = os.environ | {'TRITON_CACHE_DIR': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    sizes = [int(line) for line in done.stdout.split()]
    assert len(sizes) == 4 and min(sizes) > 1000
