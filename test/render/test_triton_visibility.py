# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The Triton rasterizer against the CPU's: the same triangle at every pixel, bit by bit.

Without a GPU its kernels are interpreted, which shows that they compute the right numbers; that
they compile, and that nothing is contracted in them, is looked up in what the compiler makes.
"""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics
from diffphyscam_ros.render.frame import FramePacker
from diffphyscam_ros.render.visibility import CpuVisibility, Sight
from diffphyscam_ros.scene import Instance, Material, Mesh, Scene

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

from diffphyscam_ros.render.triton_visibility import TritonVisibility

DEVICE = torch.device('cuda', 0) if torch.cuda.is_available() else torch.device('cpu')
PINHOLE = Intrinsics(61, 43, 40.0, 45.0, 28.3, 22.1)


def assert_equal(
    scene: Scene, pinhole: Intrinsics = PINHOLE, near: float = 1e-3, layers: int = 1
) -> list[int]:
    """Hold both together, layer by layer; return how many pixels each layer has."""
    frame = FramePacker(DEVICE).frame(scene, pinhole, torch.eye(4), near)
    cpu, own = CpuVisibility(), TritonVisibility()
    wanted = cpu.triangles(frame.sight.on_cpu(), layered=layers > 1)
    given = own.triangles(frame.sight, layered=layers > 1).cpu()
    seen = []
    through = torch.rand(len(wanted), generator=torch.Generator().manual_seed(1)) < 0.8
    for layer in range(layers):
        if layer > 0:
            wanted = cpu.triangles_behind(through)
            given = own.triangles_behind(through.to(DEVICE)).cpu()
        assert torch.equal(given, wanted)
        seen.append(int((wanted >= 0).sum()))
    return seen


def soup(seed: int, count: int, spread: float, size: float) -> Mesh:
    """Return triangles about 3 m ahead, some of them slivers, doubles, points or turned."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.randn(count, 1, 3, generator=generator) * spread + torch.tensor([0.0, 0.0, 3.0])
    corners = middle + torch.randn(count, 3, 3, generator=generator) * size
    corners[::7, 2] = corners[::7, 1] + 1e-3  # slivers
    corners[1::11] = corners[::11][: len(corners[1::11])]  # doubles: the first wins
    corners[5::13, 1] = corners[5::13, 0]  # lines
    corners[::17, :, 2] = corners[::17, :1, 2]  # facing the camera: equal 1/z
    faces = torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)
    return Mesh(corners.reshape(-1, 3), faces)


def one(mesh: Mesh, pose: torch.Tensor | None = None, double_sided: bool = True) -> Instance:
    return Instance(
        'it', mesh, Material(double_sided=double_sided), torch.eye(4) if pose is None else pose
    )


@pytest.mark.parametrize(('count', 'size'), [(96, 0.15), (60, 0.6)], ids=['lanes', 'programs'])
def test_triangles_of_all_kinds(count: int, size: float) -> None:
    # Many lie behind the camera, across its near plane, or out of the picture.
    assert assert_equal(Scene((one(soup(3, count, 1.2, size)),)), layers=2)[0] > 150


def test_single_sided_and_mirrored() -> None:
    mesh = soup(5, 30, 0.6, 0.4)
    mirrored = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    items = one(mesh, double_sided=False), one(mesh, mirrored, double_sided=False)
    assert assert_equal(Scene(items))[0] > 500


def test_larger_than_the_guard_band() -> None:
    floor = [[-1e6, 1, -1e6], [1e6, 1, -1e6], [1e6, 1, 1e6], [-1e6, 1, 1e6]]
    wall = [[-1e5, -1e5, 0.02], [1e5, -2e5, 0.021], [10.0, 3e5, 0.02]]
    mesh = Mesh(
        torch.tensor(floor + wall, dtype=torch.float32),
        torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6]], dtype=torch.int32),
    )
    seen = assert_equal(Scene((one(mesh),)), layers=2)
    assert seen[0] == 61 * 43 and seen[1] > 500


def test_many_programs_share_what_fills_the_picture() -> None:
    pinhole = Intrinsics(160, 90, 100.0, 100.0, 80.0, 45.0)
    mesh = Mesh(
        torch.tensor([[-9.0, -9.0, 2.0], [9.0, -8.0, 3.0], [0.0, 9.0, 2.5]]),
        torch.tensor([[0, 1, 2]], dtype=torch.int32),
    )
    assert assert_equal(Scene((one(mesh),)), pinhole) == [160 * 90]


def test_nothing_and_broken_numbers() -> None:
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    assert assert_equal(Scene()) == [0]
    assert assert_equal(Scene((one(empty),))) == [0]
    mesh = soup(2, 40, 0.3, 0.3)
    vertices = mesh.vertices.clone()
    vertices[::9], vertices[4::9] = float('nan'), float('inf')
    far = torch.eye(4)
    far[0, 3] = 1e9
    items = one(Mesh(vertices, mesh.faces)), one(mesh, far)
    assert assert_equal(Scene(items), Intrinsics(1, 7, 5.0, 5.0, 0.0, 3.0))[0] > 0


@pytest.mark.filterwarnings('ignore:invalid value')  # numpy's, of the interpreter
def test_vertices_that_break_on_their_way_are_left_out() -> None:
    # Packing mends meshes; the rasterizer must stand what slips through.
    frame = FramePacker(DEVICE).frame(
        Scene((one(soup(2, 40, 0.3, 0.3)),)), PINHOLE, torch.eye(4), 1e-3
    )
    frame.geometry.vertices[::9] = float('nan')
    frame.geometry.vertices[4::9] = float('inf')
    wanted = CpuVisibility().triangles(frame.sight.on_cpu())
    given = TritonVisibility().triangles(frame.sight).cpu()
    assert torch.equal(given, wanted) and bool((wanted >= 0).any())


@pytest.mark.parametrize(
    ('backend', 'last'), [(CpuVisibility, 'visibility.merge_keys'),
                          (TritonVisibility, 'triton_visibility.read_keys')]
)  # fmt: skip
def test_an_interrupted_look_leaves_nothing_behind(
    backend: type, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triangles of the picture that was not finished would be seen in the next one."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def sight(mesh: Mesh) -> Sight:
        frame = FramePacker(DEVICE).frame(Scene((one(mesh),)), PINHOLE, torch.eye(4), 1e-3)
        return frame.sight if backend is TritonVisibility else frame.sight.on_cpu()

    corners = torch.tensor([[-0.2, -0.2, 4.0], [0.2, -0.2, 4.0], [0.0, 0.2, 4.0]])
    single = sight(Mesh(corners, torch.arange(3, dtype=torch.int32)[None]))
    crowd = sight(soup(1, 40, 0.5, 0.3))
    visibility = backend()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f'diffphyscam_ros.render.{last}', interrupted)
        visibility.triangles(crowd, layered=True)
    with pytest.raises(RuntimeError, match='not layered'):
        visibility.triangles_behind(torch.ones(61 * 43, dtype=torch.bool, device=DEVICE))
    given = visibility.triangles(single).cpu()
    assert torch.equal(given, backend().triangles(single).cpu()) and int(given.max()) == 0


@pytest.mark.parametrize('backend', [CpuVisibility, TritonVisibility])
def test_peeling_wants_a_layered_look_first(backend: type) -> None:
    through, visibility = torch.ones(61 * 43, dtype=torch.bool), backend()
    with pytest.raises(RuntimeError, match='not layered'):
        visibility.triangles_behind(through)
    visibility.triangles(
        FramePacker(DEVICE).frame(Scene(), PINHOLE, torch.eye(4), 1e-3).sight.on_cpu()
    )
    with pytest.raises(RuntimeError, match='not layered'):
        visibility.triangles_behind(through)


def test_kernels_compile_for_gpus_without_contraction(tmp_path: Path) -> None:
    script = Path(__file__).with_name('triton_render_compilation.py')
    environment = os.environ | {'TRITON_CACHE_DIR': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    names = ['_project', '_small', '_listed', '_read', '_pairs', '_listed']
    assert [name for name, *_ in lines] == names
    sizes, fused, atomics = np.array([line[1:] for line in lines], int).T
    assert sizes.min() > 1000
    assert fused.tolist() == [0] * 6
    assert (atomics[1:3] > 0).all()
