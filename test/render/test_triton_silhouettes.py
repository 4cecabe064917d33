# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The Triton search for silhouettes against the CPU's: the same edges, the same meetings."""

from __future__ import annotations

import pytest
import torch

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render import Intrinsics
from diffphyscam_ros.render.antialias import ALL_GIVE, find_silhouettes
from diffphyscam_ros.render.frame import FramePacker
from diffphyscam_ros.render.geometry import on_cpu
from diffphyscam_ros.render.paths import TorchPath
from diffphyscam_ros.render.visibility import CpuVisibility
from diffphyscam_ros.scene import box, Instance, Material, Scene, sphere

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

from diffphyscam_ros.kernels import triton_antialias
from diffphyscam_ros.render.triton_silhouettes import SilhouetteFinder

DEVICE = torch.device('cuda', 0) if torch.cuda.is_available() else torch.device('cpu')
FRONT = torch.eye(4)


@pytest.fixture(autouse=True)
def fewer_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE.type == 'cpu':
        monkeypatch.setattr(triton_antialias, 'LANES', 1024)


def sunk() -> Scene:
    """Return a turned box and a ball that run through each other: lines in which they meet."""
    turned = torch.eye(4)
    turned[:3, :3] = torch.linalg.qr(torch.tensor([[0.8, 0.1, 0.6], [0.3, 0.9, -0.4],
                                                   [-0.5, 0.4, 0.7]]))[0]  # fmt: skip
    turned[:3, 3] = torch.tensor([0.1, 0.0, 2.2])
    beside = torch.eye(4)
    beside[:3, 3] = torch.tensor([-0.2, 0.1, 2.0])
    ball = Instance('ball', sphere(0.5, segments=16, rings=8), Material(), beside)
    return Scene((Instance('box', box(0.9), Material(), turned), ball))


def assert_equal(scene: Scene, roles: torch.Tensor | None = None) -> tuple[int, int, int]:
    packer = FramePacker(DEVICE)
    pinhole = Intrinsics(48, 37, 40.0, 41.0, 23.3, 18.1)
    frame = packer.frame(scene, pinhole, FRONT, 1e-3)
    host = on_cpu(frame.geometry)
    visibility = CpuVisibility()
    triangles = visibility.triangles(frame.sight.on_cpu())
    path = TorchPath(frame, DEVICE)
    depth = path.shade(triangles.to(DEVICE), frame).radiance.depth.reshape(-1)
    neighbours = packer.neighbours(scene, frame.geometry)
    wanted = find_silhouettes(
        triangles.numpy(),
        depth.cpu().numpy(),
        host.faces.numpy(),
        host.face_instance.numpy(),
        neighbours,
        path.points(),
        frame.view,
        BufferPool(),
        ALL_GIVE if roles is None else roles.numpy(),
    )
    found = SilhouetteFinder().find(
        triangles.to(DEVICE),
        depth,
        frame.geometry,
        neighbours,
        torch.from_numpy(path.points()).to(DEVICE),
        frame.view,
        None if roles is None else roles.to(DEVICE),
    )
    assert torch.equal(found.edges.cpu(), torch.from_numpy(wanted.edges))
    assert torch.equal(found.meetings.cpu(), torch.from_numpy(wanted.meetings))
    assert torch.equal(found.rims.pairs.cpu(), wanted.rims.pairs)
    assert torch.allclose(found.rims.shares.cpu(), wanted.rims.shares, atol=1e-6)
    assert torch.allclose(found.rims.places.cpu(), wanted.rims.places, atol=1e-5)
    edges, rims = int((wanted.edges >= 0).sum()), len(wanted.rims.pairs)
    return edges + rims, len(wanted.meetings), rims


def test_silhouettes(rich_scene: Scene) -> None:
    edges, _, rims = assert_equal(rich_scene)
    assert edges > 150
    # Some pixels neither give nor take, some only take.
    roles = torch.randint(3, (48 * 37,), generator=torch.Generator().manual_seed(3))
    same_edges, _, fewer = assert_equal(rich_scene, roles.to(torch.uint8))
    assert same_edges == edges and 0 < fewer < rims


def test_meetings() -> None:
    edges, meetings, _ = assert_equal(sunk())
    assert edges > 50 and meetings > 10


def test_nothing() -> None:
    assert assert_equal(Scene()) == (0, 0, 0)
