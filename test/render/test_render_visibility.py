# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which triangle is seen where: exact cases, and properties of any scene."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.geometry import pack_geometry
from diffphyscam_ros.render.visibility import CpuVisibility, Sight, View
from diffphyscam_ros.scene import box, Instance, Material, Mesh, plane, Scene, sphere

FRONT = torch.eye(4)  # a camera at the origin that faces world +z, x right, y down
PINHOLE = Intrinsics(64, 48, 50.0, 50.0, 31.5, 23.5)


@pytest.fixture(scope='module')
def renderer() -> Renderer:
    return Renderer('cpu')


def moved(x: float, y: float, z: float) -> torch.Tensor:
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([x, y, z])
    return pose


def one(mesh: Mesh, pose: torch.Tensor = FRONT, **material: object) -> Scene:
    return Scene((Instance('it', mesh, Material(**material), pose),))


def triangles(*corners: list[list[float]]) -> Mesh:
    vertices = torch.tensor(corners, dtype=torch.float32).reshape(-1, 3)
    return Mesh(vertices, torch.arange(len(vertices), dtype=torch.int32).reshape(-1, 3))


def seen(renderer: Renderer, scene: Scene, pinhole: Intrinsics = PINHOLE) -> torch.Tensor:
    return renderer(scene, pinhole, FRONT).instance > 0


def test_cube_covers_the_pixels_computed_by_hand(renderer: Renderer) -> None:
    # Front face at z = 2, half a metre to each side: u = 31.5 ± 50·0.5/2 = 19 … 44, v = 11 … 36.
    # Its left and top edges own their pixels, the right and bottom ones do not (top-left rule).
    # Single-sided: along these edges the insides of the other faces are exactly as near.
    scene = one(box(1.0), moved(0, 0, 2.5), double_sided=False)
    radiance = renderer(scene, PINHOLE, FRONT)
    expected = torch.zeros(48, 64, dtype=torch.int32)
    expected[11:36, 19:44] = 1
    assert torch.equal(radiance.instance, expected)
    assert torch.equal(torch.isfinite(radiance.depth), expected > 0)
    torch.testing.assert_close(radiance.depth[11:36, 19:44], torch.full((25, 25), 2.0))
    toward = torch.tensor([0.0, 0.0, -1.0]).expand(25, 25, 3)
    torch.testing.assert_close(radiance.normal[11:36, 19:44], toward)
    assert not radiance.normal[expected == 0].any()


def test_pixel_centres_are_whole_numbers(renderer: Renderer) -> None:
    # A square of one pixel around (40, 10), a quarter of a pixel off: it covers that pixel alone.
    u, v, half = 40.25, 10.25, 0.45
    corners = [[(u + dx * half - 31.5) / 50, (v + dy * half - 23.5) / 50, 1.0]
               for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
    mesh = Mesh(torch.tensor(corners), torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32))
    assert seen(renderer, one(mesh)).nonzero().tolist() == [[10, 40]]


@pytest.mark.parametrize('seed', range(5))
def test_shared_edges_leave_no_crack_and_are_never_drawn_twice(seed: int) -> None:
    # A randomly triangulated square that covers the whole picture. Each worker's triangles are
    # drawn one by one, so that a pixel hit twice is seen even where the depths are equal.
    from scipy.spatial import Delaunay

    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-1, 1, (60, 2)), [[-1, -1], [-1, 1], [1, -1], [1, 1]]])
    # Points on the pixel grid make edges pass exactly through pixel centres.
    points[:30] = (np.round(points[:30] * 20) + 0.5) / 20.0
    faces = Delaunay(points).simplices.astype(np.int32)
    vertices = np.column_stack([points, np.full(len(points), 1.0)]).astype(np.float32)
    visibility = CpuVisibility()
    view = View(32, 32, 20.0, 20.0, 15.5, 15.5, 1e-3)
    hits = np.zeros(32 * 32, int)
    for face in faces:
        mesh = Mesh(torch.from_numpy(vertices), torch.from_numpy(face[None]))
        geometry = pack_geometry(one(mesh).instances, torch.device('cpu'), torch.float32)
        ids = visibility.triangles(
            Sight(geometry, torch.eye(4).double()[None], np.array([True]), view)
        )
        hits += ids.numpy() >= 0
    assert (hits == 1).all(), np.unique(hits)


def test_ground_under_the_camera_is_clipped_at_the_near_plane(renderer: Renderer) -> None:
    # y points down: a floor at y = 1 from far behind the camera to far before it. The horizon is
    # at v = cy = 23.5; below it every pixel sees the floor at z = fy / (v − cy).
    floor = triangles([[-500, 1, -500], [500, 1, -500], [500, 1, 500]],
                      [[-500, 1, -500], [500, 1, 500], [-500, 1, 500]])  # fmt: skip
    radiance = renderer(one(floor), PINHOLE, FRONT)
    rows = torch.arange(24, 48)
    assert not torch.isfinite(radiance.depth[:24]).any()
    expected = (50.0 / (rows - 23.5))[:, None].expand(24, 64)
    torch.testing.assert_close(radiance.depth[24:], expected, rtol=1e-4, atol=0)


def test_huge_triangles_do_not_overflow(renderer: Renderer) -> None:
    # Corners a billion pixels away, and one just before the camera.
    far = 1e8
    mesh = triangles([[-far, -far, 3.0], [far, -far, 3.0], [0.0, 2 * far, 3.0]])
    radiance = renderer(one(mesh), PINHOLE, FRONT)
    assert bool(torch.isfinite(radiance.depth).all())
    torch.testing.assert_close(radiance.depth, torch.full((48, 64), 3.0), rtol=1e-4, atol=0)
    grazing = triangles([[-5, 0.01, 0.0011], [5, 0.01, 0.0011], [0, 0.01, 2000.0]])
    assert bool(seen(renderer, one(grazing))[24:].any())


def test_the_result_does_not_depend_on_the_number_of_threads(rich_scene: Scene) -> None:
    before = numba.get_num_threads()
    pictures = []
    try:
        for count in sorted({1, 2, before}):
            numba.set_num_threads(min(count, before))
            pictures.append(Renderer('cpu')(rich_scene, PINHOLE, FRONT))
    finally:
        numba.set_num_threads(before)
    for other in pictures[1:]:
        for name in ('color', 'depth', 'normal', 'instance'):
            assert torch.equal(getattr(pictures[0], name), getattr(other, name)), name


def test_of_equally_near_triangles_the_first_is_seen(renderer: Renderer) -> None:
    square = plane(1.0, 1.0)
    pair = tuple(Instance(name, square, Material(), moved(0, 0, 2)) for name in 'ab')
    ids = renderer(Scene(pair), PINHOLE, FRONT).instance
    assert set(ids.unique().tolist()) == {0, 1}


def test_broken_triangles_are_left_out(renderer: Renderer) -> None:
    good = [[-1, -1, 3], [1, -1, 3], [0, 1, 3]]
    nan, inf = float('nan'), float('inf')
    broken = [
        [[nan, 0, 1], [1, 0, 1], [0, 1, 1]],
        [[inf, 0, 1], [1, 0, 1], [0, 1, 1]],
        [[0, 0, 1], [0, 0, 1], [0, 0, 1]],  # a point
        [[-1, 0, 1], [0, 0, 1], [1, 0, 1]],  # a line
        [[-1, -1, -3], [1, -1, -3], [0, 1, -3]],  # behind the camera
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],  # at the pinhole
    ]
    alone = renderer(one(triangles(good)), PINHOLE, FRONT)
    among = renderer(one(triangles(*broken, good)), PINHOLE, FRONT)
    assert torch.equal(alone.instance, among.instance)
    assert torch.equal(alone.depth, among.depth)
    assert bool(torch.isfinite(among.color).all())


@pytest.mark.parametrize('mirror', [1.0, -1.0])
def test_single_sided_surfaces_show_their_front_only(renderer: Renderer, mirror: float) -> None:
    # plane() faces +z, away from the camera, unless it is turned about x. Mirroring x reverses the
    # order of the corners in the picture but not what is front.
    square = plane(1.0, 1.0)
    scale = torch.diag(torch.tensor([mirror, 1.0, 1.0, 1.0]))
    turned = moved(0, 0, 2) @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    for pose, is_front in ((moved(0, 0, 2) @ scale, False), (turned @ scale, True)):
        single = seen(renderer, one(square, pose, double_sided=False))
        assert bool(single.any()) == is_front
        double = renderer(one(square, pose, double_sided=True), PINHOLE, FRONT)
        assert bool((double.instance > 0).any())
        assert bool((double.normal[double.instance > 0][:, 2] < 0).all())  # to the viewer


def test_camera_inside_a_sphere_sees_it_everywhere(renderer: Renderer) -> None:
    radiance = renderer(one(sphere(2.0)), PINHOLE, FRONT)
    assert bool((radiance.instance == 1).all())
    x, y = (torch.arange(64) - 31.5) / 50, (torch.arange(48) - 23.5) / 50
    rays = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
    distance = radiance.depth * (1 + (rays * rays).sum(-1)).sqrt()
    assert bool(((distance <= 2.0001) & (distance > 1.97)).all())


def test_empty_scenes(renderer: Renderer) -> None:
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    for scene in (Scene(), Scene(background=(0.1, 0.2, 0.3)), one(empty)):
        radiance = renderer(scene, PINHOLE, FRONT)
        assert not radiance.instance.any()
        assert bool(torch.isinf(radiance.depth).all())
        wanted = torch.tensor(scene.background or (0.0, 0.0, 0.0)).expand(48, 64, 3)
        assert torch.equal(radiance.color, wanted)


@pytest.mark.parametrize('size', [(1, 1), (7, 3), (129, 17)])
def test_any_picture_size(renderer: Renderer, size: tuple[int, int]) -> None:
    pinhole = Intrinsics.from_fov(*size, 1.0)
    radiance = renderer(one(box(1.0), moved(0, 0, 1.0)), pinhole, FRONT)
    assert radiance.color.shape == (size[1], size[0], 3)
    assert bool((radiance.instance == 1).all())


def test_principal_point_and_pixel_shape(renderer: Renderer) -> None:
    # The centre of the square is at u = 10 + 40·0.5/2 = 20, v = 30 − 80·0.25/2 = 20.
    pinhole = Intrinsics(64, 48, 40.0, 80.0, 10.0, 30.0)
    mask = seen(renderer, one(plane(0.25, 0.25), moved(0.5, -0.25, 2.0)), pinhole)
    rows, columns = mask.nonzero().unbind(-1)
    assert float(columns.float().mean()) == pytest.approx(20.0, abs=0.51)
    assert float(rows.float().mean()) == pytest.approx(20.0, abs=0.51)
    assert len(rows.unique()) == 10 and len(columns.unique()) == 5
