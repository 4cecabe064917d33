# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Everything that a camera does on CUDA, with devices pretended (``pretend_cuda``).

What mixes tensors of the CPU with those of the GPU fails here as it would there; pictures and
gradients are those of the CPU's reference. Triton kernels are interpreted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
import importlib
from typing import Any

from complete_camera import COMPLETE, DIFFERENTIABLE, scene, SETTINGS
import numpy as np
from pretend_cuda import pretend_cuda
import pytest
import torch

from diffphyscam_ros.camera import Intrinsics, PhysicalCamera
from diffphyscam_ros.kernels import triton_launch

pytest.importorskip('triton', reason='triton is not installed: pip install triton')
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')

VIEW = Intrinsics(13, 11, 12.0, 12.0, 6.0, 5.0)
VARIANTS: dict[str, dict[str, Any]] = {
    'kernels': {},
    'torch': {'response_type': 'table', 'response_table': (0.0, 0.3, 0.7, 1.0)},
    'disk': {'psf': 'disk', 'bayer_pattern': 'none', 'defocus_occlusion': True},
    'mapped': {
        'vignetting_model': 'map',
        'vignetting_map': (0.5, 1.0, 1.0, 0.7),
        'vignetting_map_columns': 2,
        'distortion_model': 'equidistant',
        'distortion_coefficients': (0.02, -0.01, 0.004, -0.001),
    },
}


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Return a list of the devices on which Triton kernels are launched."""
    seen: list[torch.device] = []

    def on_device_of(tensor: torch.Tensor) -> Any:
        seen.append(tensor.device)
        return triton_launch.on_device_of(tensor)

    for name in ('triton_filters', 'triton_sensor'):
        module = importlib.import_module(f'diffphyscam_ros.kernels.{name}')
        monkeypatch.setattr(module, 'on_device_of', on_device_of)
    return seen


def gradients(
    variant: dict[str, Any], device: str, leaves_on: str, dtype: torch.dtype
) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    base = replace(COMPLETE, **variant)
    names = [name for name in DIFFERENTIABLE if getattr(base, name) not in (None, ())]
    leaves = {
        name: torch.as_tensor(getattr(base, name), dtype=dtype).to(leaves_on).requires_grad_()
        for name in names
    }
    knobs = {
        f.name: torch.tensor(getattr(SETTINGS, f.name), dtype=dtype).to(leaves_on).requires_grad_()
        for f in fields(SETTINGS)
    }
    radiance, depth = (x.to(device, dtype).requires_grad_() for x in scene(VIEW))
    camera = PhysicalCamera(replace(base, **leaves), seed=2, soft_clamp=True)
    frame = camera(radiance, depth, replace(SETTINGS, **knobs), 3, intrinsics=VIEW)
    weight = torch.rand(frame.image.shape, generator=torch.Generator().manual_seed(3))
    (frame.image * weight.to(frame.image.device)).sum().backward()
    leaves |= knobs | {'radiance': radiance, 'depth': depth}
    grads = {name: leaf.grad for name, leaf in leaves.items()}
    return frame.image.detach(), grads


@pytest.mark.parametrize(
    ('variant', 'leaves_on'),
    [
        ('kernels', 'cpu'),
        ('kernels', 'cuda'),
        ('torch', 'cuda'),
        ('disk', 'cpu'),
        ('mapped', 'cuda'),
    ],
)
def test_pictures_and_every_gradient(
    variant: str, leaves_on: str, launches: list[torch.device]
) -> None:
    here, wanted = gradients(VARIANTS[variant], 'cpu', 'cpu', torch.float64)
    with pretend_cuda():
        there, found = gradients(VARIANTS[variant], 'cuda', leaves_on, torch.float32)
        assert there.is_cuda
        there = there.cpu().double()
        found = {name: None if g is None else g.cpu().double() for name, g in found.items()}
    assert launches and all(device.type == 'cuda' for device in launches)
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)
    for name, slope in wanted.items():
        if slope is None or not bool(slope.any()):
            continue
        mine = found[name]
        assert mine is not None, name
        # In steps that the number makes; below a thousandth of a picture's sum rounding is left.
        step = DIFFERENTIABLE.get(name, 1.0)
        error = float((mine - slope).abs().max() * step)
        assert error < 2e-2 * max(float(slope.abs().max()) * step, 1e-3), (name, error)


@pytest.mark.parametrize('act', ['batch', 'photograph'])
def test_other_ways_to_take_pictures(act: str) -> None:
    camera = PhysicalCamera(replace(COMPLETE, bit_depth=12), seed=2)
    radiance, depth = scene(VIEW, torch.float32)
    settings = replace(SETTINGS, exposure_time=torch.tensor([0.01, 0.02]))

    def batch(device: str) -> Any:
        pair = radiance.expand(2, -1, -1, -1), depth.expand(2, -1, -1)
        return camera(*(x.to(device) for x in pair), settings, 1, intrinsics=VIEW).image.cpu()

    def photograph(device: str) -> Any:
        seen = camera.photograph(
            radiance.to(device), depth.to(device), SETTINGS, 1, intrinsics=VIEW
        )
        return torch.from_numpy(np.asarray(seen.pixels).astype(np.float32) / 255)

    take: Callable[[str], torch.Tensor] = batch if act == 'batch' else photograph
    here = take('cpu')
    with pretend_cuda():
        there = take('cuda')
    torch.testing.assert_close(there, here, rtol=0.0, atol=1.01 / 255)
    assert float((there - here).abs().mean()) < 1e-3
