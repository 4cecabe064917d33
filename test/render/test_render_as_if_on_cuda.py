# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Everything that a renderer does on CUDA, with devices pretended (``pretend_cuda``).

What mixes tensors of the CPU with those of the GPU fails here as it would there; pictures and
gradients are those of the torch path on the CPU. The rasterizer's kernels are interpreted.
"""

from __future__ import annotations

from dataclasses import replace
import sys
from types import ModuleType

from every_leaf import asking, check_equal
from pretend_cuda import pretend_cuda
import pytest
from rasterizer_double import Rasterizer
import torch

from diffphyscam_ros.render import Intrinsics, Radiance, Renderer
from diffphyscam_ros.scene import Instance, Material, plane, Scene, SpotLight, Texture

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

from diffphyscam_ros.kernels import triton_rasterize

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason='there is a GPU: see test_render_cuda.py'
)

PINHOLE = Intrinsics(24, 18, 18.0, 18.0, 11.3, 8.1)
FRONT = torch.eye(4)


@pytest.fixture(autouse=True)
def fewer_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each program draw more triangles: the interpreter's time is that of the programs."""
    monkeypatch.setattr(triton_rasterize, 'LANES', 1024)


def everything(scene: Scene) -> Scene:
    """Add what a rich scene lacks: a pane to see through, a leaf with holes, a spot light."""
    generator = torch.Generator().manual_seed(4)
    holes = (torch.rand(8, 8, 1, generator=generator) > 0.4).float()
    pane, leaf = torch.eye(4), torch.eye(4)
    pane[:3, 3], leaf[:3, 3] = torch.tensor([0.3, 0.0, 1.5]), torch.tensor([-0.4, 0.2, 1.6])
    more = (
        Instance('pane', plane(0.9, 0.9), Material((0.2, 0.4, 0.9), alpha=0.4,
                 alpha_mode='blend'), pane),
        Instance('leaf', plane(0.6, 0.6), Material(alpha_mode='mask', base_color_texture=Texture(
                 torch.cat([torch.ones(8, 8, 3), holes], -1))), leaf),
    )  # fmt: skip
    spot = SpotLight((0.0, -1.0, 0.2), (0.1, 0.5, 1.0), (6.0, 6.0, 6.0), 0.3, 0.7, radius=0.1)
    return replace(scene, instances=scene.instances + more, lights=(*scene.lights, spot))


def assert_same(here: Radiance, there: Radiance) -> None:
    for name, wanted in vars(here).items():
        found = getattr(there, name)
        assert found.is_cuda, name
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-5, msg=name)


def test_the_pretence_refuses_what_a_gpu_refuses() -> None:
    here = torch.ones(3)
    with pretend_cuda():
        there = here.to('cuda')
        assert there.is_cuda and there.device == torch.device('cuda', 0)
        with pytest.raises(RuntimeError, match='on one device'):
            there + here
        with pytest.raises(RuntimeError, match='on one device'):
            torch.stack([there, here])
        with pytest.raises(RuntimeError, match='on one device'):
            here[there.long() > 0]
        with pytest.raises(TypeError, match='numpy'):
            there.numpy()
        assert (there * torch.tensor(2.0))[torch.tensor([0])].cpu().tolist() == [2.0]


@pytest.mark.parametrize('seen_through', [False, True])
def test_pictures(rich_scene: Scene, seen_through: bool) -> None:
    scene = everything(rich_scene) if seen_through else rich_scene
    options = {'antialias': True, 'ambient_occlusion': True}
    here = Renderer('cpu', reference=True, **options)(scene, PINHOLE, FRONT)
    with pretend_cuda():
        renderer = Renderer('cuda', **options)
        assert 'triton' in renderer.device_reason
        assert_same(here, renderer(scene, PINHOLE, FRONT.to('cuda')))


def test_pictures_by_nvdiffrast(rich_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = Rasterizer()
    monkeypatch.setitem(sys.modules, 'nvdiffrast', ModuleType('nvdiffrast'))
    monkeypatch.setitem(sys.modules, 'nvdiffrast.torch', stand_in)
    scene = everything(rich_scene)
    here = Renderer('cpu', reference=True)(scene, PINHOLE, FRONT)
    with pretend_cuda():
        renderer = Renderer('cuda')
        assert 'nvdiffrast' in renderer.device_reason
        assert_same(here, renderer(scene, PINHOLE, FRONT))


def test_every_gradient(rich_scene: Scene) -> None:
    scene = everything(rich_scene)
    weight = torch.rand(18, 24, 3, generator=torch.Generator().manual_seed(5))

    def gradients(renderer: Renderer, device: str) -> dict[str, torch.Tensor | None]:
        asked, leaves = asking(scene, PINHOLE, FRONT, device)
        seen = renderer(*asked)
        depth = seen.depth.nan_to_num(0.0, 0.0, 0.0).sum()
        (0.1 * depth + (seen.color * weight.to(seen.color.device)).sum()).backward()
        return {
            name: None if leaf.grad is None else leaf.grad.cpu() for name, leaf in leaves.items()
        }

    here = gradients(Renderer('cpu', antialias=True, reference=True), 'cpu')
    with pretend_cuda():
        there = gradients(Renderer('cuda', antialias=True), 'cuda')
    check_equal(there, here)
