# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pictures and gradients on a GPU against those of the CPU: these tests need one."""

from __future__ import annotations

from dataclasses import replace

from every_leaf import asking
import pytest
import torch

from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.render import DeviceError, Intrinsics, Radiance, Renderer
from diffphyscam_ros.render.device import choose_rasterizer, cuda_problem
from diffphyscam_ros.scene import Material, Scene

PROBLEM = cuda_problem(torch.device('cuda'))
pytestmark = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
PINHOLE = Intrinsics(333, 251, 300.0, 310.0, 150.3, 130.1)
FRONT = torch.eye(4)
SHARES = {'triton': 1.0, 'nvdiffrast': 0.998}
"""Of pixels with the CPU's triangle: nvdiffrast has another grid of corners."""


@pytest.fixture(params=list(SHARES))
def rasterizer(request: pytest.FixtureRequest) -> str:
    try:
        return choose_rasterizer(torch.device('cuda', 0), request.param)
    except DeviceError as error:
        pytest.skip(str(error))


def seen_through(scene: Scene) -> Scene:
    pane = Material((0.2, 0.5, 0.9), alpha=0.4, alpha_mode='blend')
    first, *others = scene.instances
    return replace(scene, instances=(replace(first, material=pane), *others))


def single_sided(scene: Scene) -> Scene:
    return replace(scene, instances=tuple(
        replace(i, material=replace(i.material, double_sided=False)) for i in scene.instances
    ))  # fmt: skip


def assert_same(here: Radiance, there: Radiance, share: float) -> None:
    same = here.instance == there.instance.cpu()
    assert float(same.float().mean()) >= share
    error = (here.color - there.color.cpu()).abs().amax(-1)[same]
    assert float((error > 1e-3).float().mean()) < 2e-3
    hit = same & (here.instance > 0)
    depth = (here.depth - there.depth.cpu()).abs()[hit] / here.depth[hit]
    assert float((depth > 1e-4).float().mean()) < 1e-3


@pytest.mark.parametrize('changed', [None, seen_through, single_sided])
@pytest.mark.parametrize('antialias', [False, True])
def test_pictures(rich_scene: Scene, rasterizer: str, antialias: bool, changed) -> None:
    scene = rich_scene if changed is None else changed(rich_scene)
    here = Renderer('cpu', antialias=antialias)(scene, PINHOLE, FRONT)
    there = Renderer('cuda', antialias=antialias, rasterizer=rasterizer)(scene, PINHOLE, FRONT)
    assert_same(here, there, SHARES[rasterizer])


def test_gradients(rich_scene: Scene, rasterizer: str) -> None:
    pinhole = Intrinsics(96, 72, 80.0, 82.0, 45.3, 37.1)
    grads = []
    for renderer in (
        Renderer('cpu', antialias=True),
        Renderer('cuda', antialias=True, rasterizer=rasterizer),
    ):
        asked, leaves = asking(seen_through(rich_scene), pinhole, FRONT)
        renderer(*asked).color.square().sum().backward()
        grads.append({name: leaf.grad for name, leaf in leaves.items()})
    for name, wanted in grads[0].items():
        if wanted is None or not bool(wanted.any()):
            continue
        # A pixel whose triangle differs changes single numbers: hold the whole together.
        error = (grads[1][name] - wanted).norm() / wanted.norm()
        assert float(error) < (1e-2 if rasterizer == 'triton' else 0.1), (name, float(error))


def test_the_whole_camera(rich_scene: Scene) -> None:
    sensor = replace(SensorModel.preset('generic_vga').resized(160, 120), bit_depth=0)
    settings = CameraSettings(2.0, 0.01, 200.0, 0.0036, 0.7)
    camera = PhysicalCamera(sensor, seed=3)
    view = camera.source_intrinsics(settings)
    pictures = []
    for name in ('cpu', 'cuda'):
        seen = Renderer(name, rasterizer='triton')(rich_scene, view, FRONT)
        pictures.append(camera(seen.color, seen.depth, settings, 5).image.cpu())
    error = (pictures[0] - pictures[1]).abs()
    assert float((error > 2e-3).float().mean()) < 2e-3
