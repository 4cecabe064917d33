# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Devices, caching and refused input."""

from __future__ import annotations

from dataclasses import replace
import gc
import sys
import weakref

import pytest
import torch

from diffphyscam_ros.render import device, DeviceError, Intrinsics, Renderer
from diffphyscam_ros.render.cuda_visibility import clip_coordinates
from diffphyscam_ros.render.visibility import View
from diffphyscam_ros.scene import box, DirectionalLight, Instance, Material, Scene, Texture

PINHOLE = Intrinsics.from_fov(48, 36, 1.0)
FRONT = torch.eye(4)


def moved(z: float) -> torch.Tensor:
    pose = torch.eye(4)
    pose[2, 3] = z
    return pose


def scene(z: float = 3.0, **material: object) -> Scene:
    return Scene((Instance('box', box(1.0), Material(**material), moved(z)),),
                 (DirectionalLight((0.2, 0.3, 1.0), (3.0, 3.0, 3.0)),))  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_cuda_without_gpu_is_refused_with_a_remedy_and_auto_falls_back() -> None:
    with pytest.raises(DeviceError, match="device='cpu'"):
        Renderer('cuda')
    renderer = Renderer('auto')
    assert renderer.device == torch.device('cpu')
    assert 'GPU' in renderer.device_reason


@pytest.mark.parametrize('name', ['tpu', 'xpu', 'cuda:x', ''])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match='unknown'):
        Renderer(name)


@pytest.fixture
def gpu_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch find a GPU where there is neither rasterizer."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    monkeypatch.setitem(sys.modules, 'nvdiffrast.torch', None)
    monkeypatch.setattr(device, 'triton_problem', lambda: 'triton finds no C compiler')


def test_a_gpu_without_rasterizers_is_refused_with_a_remedy(gpu_of_nobody: None) -> None:
    with pytest.raises(DeviceError, match=r"C compiler; or use device='cpu'"):
        Renderer('cuda:0')
    with pytest.raises(DeviceError, match='1 GPU'):
        Renderer('cuda:3')
    renderer = Renderer('auto')
    assert renderer.device.type == 'cpu' and 'C compiler' in renderer.device_reason


def test_rasterizers_are_chosen(gpu_of_nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch.device('cuda', 0)
    with pytest.raises(DeviceError, match=r'nvdiffrast.*licence.*triton'):
        device.choose_rasterizer(here, 'nvdiffrast')
    with pytest.raises(DeviceError, match='unknown'):
        Renderer('cpu', rasterizer='opengl')
    monkeypatch.setattr(device, 'triton_problem', lambda: None)
    assert device.choose_rasterizer(here, 'auto') == 'triton'
    monkeypatch.setattr(device, 'nvdiffrast_problem', lambda: None)
    assert device.choose_rasterizer(here, 'auto') == 'nvdiffrast'
    assert device.choose_rasterizer(here, 'triton') == 'triton'


def test_clip_coordinates_put_pixel_centres_where_nvdiffrast_has_them() -> None:
    view = View(64, 48, 50.0, 60.0, 30.0, 20.0, 0.1)
    pixels = torch.tensor([[0.0, 0.0], [63.0, 47.0], [10.25, 40.0]])
    z = torch.tensor([0.1, 1.0, 50.0])
    points = torch.stack([(pixels[:, 0] - 30) / 50 * z, (pixels[:, 1] - 20) / 60 * z, z], -1)
    clip = clip_coordinates(points, view)
    screen = clip[:, :3] / clip[:, 3:]
    torch.testing.assert_close((screen[:, 0] + 1) / 2 * 64 - 0.5, pixels[:, 0])
    torch.testing.assert_close((screen[:, 1] + 1) / 2 * 48 - 0.5, pixels[:, 1])
    assert screen[0, 2] == pytest.approx(-1.0, abs=1e-5)
    assert bool((screen[1:, 2] > screen[:-1, 2]).all()) and float(screen[-1, 2]) < 1.0


def test_results_are_not_overwritten_by_the_next_frame() -> None:
    renderer = Renderer('cpu')
    first = renderer(scene(3.0), PINHOLE, FRONT)
    kept = [tensor.clone() for tensor in vars(first).values()]
    renderer(scene(2.0), PINHOLE, FRONT)
    for tensor, copy in zip(vars(first).values(), kept, strict=True):
        assert torch.equal(tensor, copy)


def test_one_renderer_and_a_new_one_agree_after_any_change() -> None:
    renderer = Renderer('cpu')
    base = scene(base_color_texture=Texture(torch.rand(8, 8, 3)))
    item = base.instances[0]
    renderer(base, PINHOLE, FRONT)
    other = replace(item, mesh=box((1.5, 0.5, 0.5)))
    variants = [
        replace(base, instances=(replace(item, pose=moved(2.5)),)),
        replace(base, instances=(other,)),
        replace(base, instances=(item, replace(other, pose=moved(2.0)))),
        replace(base, instances=(replace(item, material=Material((1.0, 0.0, 0.0))),)),
        replace(base, lights=()),
        replace(base, instances=()),
        base,
    ]
    for variant in variants:
        again, new = renderer(variant, PINHOLE, FRONT), Renderer('cpu')(variant, PINHOLE, FRONT)
        assert torch.equal(again.color, new.color) and torch.equal(again.depth, new.depth)


def test_changes_in_place_are_noticed() -> None:
    renderer = Renderer('cpu')
    picture = torch.ones(4, 4, 3)
    shown = scene(base_color_texture=Texture(picture))
    before = renderer(shown, PINHOLE, FRONT)
    picture.mul_(0.5)
    shown.instances[0].mesh.vertices.mul_(1.2)
    after = renderer(shown, PINHOLE, FRONT)
    assert int((after.instance > 0).sum()) > int((before.instance > 0).sum())
    assert float(after.color[18, 24, 0]) < 0.7 * float(before.color[18, 24, 0])


def test_meshes_that_are_gone_are_freed() -> None:
    renderer = Renderer('cpu')
    old = scene()
    renderer(old, PINHOLE, FRONT)
    trace = weakref.ref(old.instances[0].mesh)
    del old
    gc.collect()
    assert trace() is None


def test_bad_input_is_refused_by_name() -> None:
    renderer = Renderer('cpu')
    good = scene()
    item = good.instances[0]

    def refused(match: str, changed: Scene = good, pose: torch.Tensor = FRONT,
                pinhole: Intrinsics = PINHOLE) -> None:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            renderer(changed, pinhole, pose)

    refused('camera_to_world', pose=torch.eye(3))
    refused('rotation', pose=2.0 * torch.eye(4))
    refused('rotation', pose=torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])))
    refused('rotation', pose=torch.full((4, 4), float('nan')))
    refused('fx', pinhole=replace(PINHOLE, fx=torch.tensor([[20.0, 30.0]])))
    refused("'box'", replace(good, instances=(replace(item, pose=torch.eye(3)),)))
    wild = replace(item.mesh, faces=item.mesh.faces + 1000)
    refused('faces', replace(good, instances=(replace(item, mesh=wild),)))
    short = replace(item.mesh, normals=item.mesh.normals[:-1])
    refused('normals', replace(good, instances=(replace(item, mesh=short),)))
    refused('direction', replace(good, lights=(DirectionalLight((0, 0, 0), (1, 1, 1)),)))
    refused('texture', scene(base_color_texture=Texture(torch.ones(4, 4))))
    with pytest.raises(ValueError, match='near'):
        Renderer('cpu', near=0.0)
