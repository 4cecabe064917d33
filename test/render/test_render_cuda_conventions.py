# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The CUDA adapter's conventions, held against the CPU backend without a GPU.

nvdiffrast is replaced by a stand-in made from its documentation (``rasterizer_double``). This
shows that what the adapter hands over and takes back means the same on both sides: clip space,
row order, depth, numbering, culling, clipping, types. It shows nothing about nvdiffrast or CUDA
themselves: for that see the tests marked ``needs_cuda`` in test_render_renderer.py.
"""

from __future__ import annotations

from dataclasses import replace
import sys
from types import ModuleType

import numpy as np
import pytest
from rasterizer_double import RasterizeCudaContext, Rasterizer
import torch

from diffphyscam_ros.render import Intrinsics, Radiance, Renderer
from diffphyscam_ros.render.cuda_visibility import CudaVisibility, triangle_numbers
from diffphyscam_ros.scene import box, Instance, Material, Mesh, plane, Scene, sphere

FRONT = torch.eye(4)
PINHOLE = Intrinsics(64, 48, 50.0, 50.0, 31.5, 23.5)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Rasterizer:
    """Put the stand-in where the adapter imports nvdiffrast from."""
    stand_in = Rasterizer()
    monkeypatch.setitem(sys.modules, 'nvdiffrast', ModuleType('nvdiffrast'))
    monkeypatch.setitem(sys.modules, 'nvdiffrast.torch', stand_in)
    return stand_in


def by_cuda(scene: Scene, pinhole: Intrinsics = PINHOLE, pose: torch.Tensor = FRONT) -> Radiance:
    """Render with the adapter's visibility; everything after it is the CPU's."""
    # The CPU kernels read the vertices that the CPU's visibility leaves behind; the readable
    # path is the one that runs on CUDA.
    renderer = Renderer('cpu', reference=True)
    renderer._visibility = CudaVisibility(torch.device('cpu'))
    return renderer(scene, pinhole, pose)


def by_cpu(scene: Scene, pinhole: Intrinsics = PINHOLE, pose: torch.Tensor = FRONT) -> Radiance:
    return Renderer('cpu', reference=True)(scene, pinhole, pose)


def moved(x: float, y: float, z: float) -> torch.Tensor:
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([x, y, z])
    return pose


def one(mesh: Mesh, pose: torch.Tensor = FRONT, **material: object) -> Scene:
    return Scene((Instance('it', mesh, Material(**material), pose),))


def triangles(*corners: list[list[float]]) -> Mesh:
    vertices = torch.tensor(corners, dtype=torch.float32).reshape(-1, 3)
    return Mesh(vertices, torch.arange(len(vertices), dtype=torch.int32).reshape(-1, 3))


def assert_same(first: Radiance, second: Radiance, share: float = 1.0) -> None:
    """Hold ids, depths and colours together, for a share of the pixels."""
    same = first.instance == second.instance
    assert float(same.float().mean()) >= share
    hit = same & (first.instance > 0)
    gap = (first.depth[hit] - second.depth[hit]).abs() / second.depth[hit]
    error = (first.color[same] - second.color[same]).abs().amax(-1)
    allowed = (1.0 - share) * same.numel()
    assert int((gap > 1e-4).sum()) <= allowed
    assert int((error > 1e-3).sum()) <= allowed


def test_the_double_keeps_to_the_documented_conventions() -> None:
    # By hand: row 0 is the bottom; the first corner has (u, v) = (1, 0); z/w of the near one wins.
    far = [[-1, -1, 0.5, 1], [3, -1, 0.5, 1], [-1, 3, 0.5, 1]]  # covers the picture
    near = [[-2, -2, -0.5, 2], [0, -2, -0.5, 2], [-2, 0, -0.5, 2]]  # w = 2: the lower left
    pos = torch.tensor(far + near, dtype=torch.float32)
    tri = torch.arange(6, dtype=torch.int32).reshape(2, 3)
    double, context = Rasterizer(), RasterizeCudaContext()
    out, _ = double.rasterize(context, pos[None].contiguous(), tri, (4, 4))
    expected = torch.tensor([[2, 2, 1, 1], [2, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    # On the slanted edge itself both are allowed; these pixels' centres lie on it.
    edge = torch.zeros(4, 4, dtype=torch.bool)
    edge[0, 1] = edge[1, 0] = True
    assert torch.equal(out[0, ..., 3][~edge], expected[~edge].float())
    assert out[0, 0, 0, 2] == -0.25 and out[0, 3, 3, 2] == 0.5
    # far: u falls from 1 at (-1, -1), the pixel's centre being an eighth of 4 units away.
    torch.testing.assert_close(out[0, 3, 0, :2], torch.tensor([1 - 0.25 / 4 - 1.75 / 4, 0.0625]))
    halves = torch.tensor([[0, 1], [1, 1]], dtype=torch.int32)
    ranged, _ = double.rasterize(context, pos, tri, (4, 4), ranges=halves)
    assert ranged.shape == (2, 4, 4, 4)
    assert set(ranged[0, ..., 3].unique().tolist()) == {1.0}
    assert set(ranged[1, ..., 3].unique().tolist()) == {0.0, 2.0}
    with pytest.raises(AssertionError):
        double.rasterize(context, pos[None], tri.long(), (4, 4))


def test_a_lone_triangle_lies_where_it_is_seen(double: Rasterizer) -> None:
    # Up and to the left in the picture: rows and columns both from the small side.
    mesh = triangles([[-0.6, -0.4, 1.0], [-0.1, -0.4, 1.0], [-0.6, -0.093, 1.0]])
    seen = by_cuda(one(mesh)).instance
    assert double.calls == 1
    rows, columns = seen.nonzero().unbind(-1)
    assert (int(rows.min()), int(columns.min())) == (4, 2)
    assert int(rows.max()) < 20 and int(columns.max()) < 28
    assert torch.equal(seen, by_cpu(one(mesh)).instance)


@pytest.mark.parametrize('subpixel_bits', [None, 4])
@pytest.mark.parametrize('size', [(64, 48), (61, 43)])
def test_a_rich_scene(
    double: Rasterizer,
    rich_scene: Scene,
    size: tuple[int, int],
    subpixel_bits: int | None,
) -> None:
    double.subpixel_bits = subpixel_bits
    pinhole = Intrinsics(*size, 48.0, 55.0, 27.3, 25.1)
    share = 0.999 if subpixel_bits is None else 0.98  # the grid moves silhouettes by 1/32 px
    assert_same(by_cuda(rich_scene, pinhole), by_cpu(rich_scene, pinhole), share)


def test_depth_of_equal_coverage_decides_as_on_the_cpu(double: Rasterizer) -> None:
    # Planes a millimetre apart from 0.2 to 60 m: z/w of float32 must still tell them apart.
    for z in (0.2, 1.0, 10.0, 60.0):
        pair = tuple(
            Instance(name, plane(200.0, 200.0), Material(), moved(0, 0, at))
            for name, at in (('behind', z + 1e-3), ('before', z))
        )
        assert bool((by_cuda(Scene(pair)).instance == 2).all()), z


@pytest.mark.parametrize('mirror', [1.0, -1.0])
@pytest.mark.parametrize('turn', [1.0, -1.0])
def test_winding_and_mirrored_meshes(double: Rasterizer, mirror: float, turn: float) -> None:
    pose = moved(0, 0, 2) @ torch.diag(torch.tensor([mirror, turn, turn, 1.0]))
    for double_sided in (False, True):
        scene = one(plane(0.93, 0.93), pose, double_sided=double_sided)
        cuda, cpu = by_cuda(scene), by_cpu(scene)
        assert bool(cpu.instance.any()) == (double_sided or turn < 0)
        assert_same(cuda, cpu)


def test_single_sided_solids(double: Rasterizer, rich_scene: Scene) -> None:
    single = replace(rich_scene, instances=tuple(
        replace(i, material=replace(i.material, double_sided=False)) for i in rich_scene.instances
    ))  # fmt: skip
    assert_same(by_cuda(single), by_cpu(single), 0.999)


def test_geometry_around_the_camera_is_clipped(double: Rasterizer) -> None:
    floor = triangles([[-500, 1, -500], [500, 1, -500], [500, 1, 500]],
                      [[-500, 1, -500], [500, 1, 500], [-500, 1, 500]])  # fmt: skip
    assert_same(by_cuda(one(floor)), by_cpu(one(floor)), 0.999)
    inside = one(sphere(2.0, segments=16, rings=8), moved(0.3, 0.1, -0.2))
    assert_same(by_cuda(inside), by_cpu(inside), 0.995)
    cuda = by_cuda(inside)
    assert bool((cuda.instance == 1).all())


def test_what_is_nearer_than_the_near_plane_is_not_seen(double: Rasterizer) -> None:
    near = Renderer('cpu').near
    for z, seen in ((near * 0.5, False), (near * 2.0, True)):
        scene = one(plane(1.0, 1.0), moved(0, 0, z))
        assert bool(by_cuda(scene).instance.any()) == seen == bool(by_cpu(scene).instance.any())


def test_nothing_to_see_is_nothing_to_draw(double: Rasterizer) -> None:
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    behind = one(box(1.0), moved(0, 0, -3.0))
    turned_away = one(plane(1.0, 1.0), moved(0, 0, 2), double_sided=False)
    for scene in (Scene(), one(empty), behind, turned_away):
        radiance = by_cuda(scene)
        assert not radiance.instance.any()
        assert bool(torch.isinf(radiance.depth).all())
    assert double.calls == 0  # the real one refuses empty tensors


def test_broken_triangles_are_left_out(double: Rasterizer) -> None:
    good = [[-1, -1, 3], [1, -1, 3], [0, 1, 3]]
    nan, inf = float('nan'), float('inf')
    broken = [
        [[nan, 0, 1], [1, 0, 1], [0, 1, 1]],
        [[inf, 0, 1], [1, 0, 1], [0, 1, 1]],
        [[0, 0, 1], [0, 0, 1], [0, 0, 1]],  # a point
        [[-1, -1, -3], [1, -1, -3], [0, 1, -3]],  # behind the camera
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],  # at the pinhole
    ]
    alone, among = by_cuda(one(triangles(good))), by_cuda(one(triangles(*broken, good)))
    assert bool(alone.instance.any())
    assert torch.equal(alone.instance, among.instance)
    assert torch.equal(alone.depth, among.depth)


@pytest.mark.parametrize('size', [(1, 1), (7, 3), (40, 8)])
def test_any_picture_size(double: Rasterizer, size: tuple[int, int]) -> None:
    # Version 0.3.3 and later take sizes that are no multiples of 8.
    pinhole = Intrinsics.from_fov(*size, 1.0)
    scene = one(box(1.0), moved(0, 0, 1.2))
    assert torch.equal(by_cuda(scene, pinhole).instance, by_cpu(scene, pinhole).instance)


def test_numbers_beyond_what_float32_holds_are_decoded() -> None:
    # Up to 2^24 as numbers, above it as bits that continue: 2^24 itself is the same both ways.
    count = torch.tensor([0, 1, 2, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 12345, 2**26 + 3])
    bits = (count.int() + 0x4A800000).numpy().view(np.float32)
    code = np.where(count.numpy() <= 2**24, count.numpy().astype(np.float32), bits)
    assert bool((np.diff(code) > 0).all())  # they stay in order, as floats
    numbers = triangle_numbers(torch.from_numpy(code))
    assert torch.equal(numbers.long(), count - 1)
