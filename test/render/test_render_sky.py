# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Occlusion of the sky: against closed forms, a plain search through all triangles, its limits."""

from __future__ import annotations

from dataclasses import replace
import math

import numba
import numpy as np
import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.sky import sky_directions
from diffphyscam_ros.scene import (
    box,
    constant_environment,
    DirectionalLight,
    Environment,
    Instance,
    look_at,
    Material,
    plane,
    Scene,
    sphere,
    Texture,
)
from diffphyscam_ros.scene.latlong import latlong_directions

PINHOLE = Intrinsics.from_fov(96, 72, 0.9)
WHITE = Material((1.0, 1.0, 1.0), roughness=1.0, double_sided=True)
POSE = look_at((0.0, -1.6, 2.4), (0.0, 0.0, 0.0))
SKY = constant_environment(1.0)


def at(x: float, y: float, z: float, size: float = 1.0) -> torch.Tensor:
    pose = torch.eye(4)
    pose[:3, :3] *= size
    pose[:3, 3] = torch.tensor([x, y, z])
    return pose


def wall(x: float, height: float, length: float) -> Instance:
    """Return a wall along y that stands on z = 0 at x and faces −x."""
    pose = torch.tensor([[0.0, 0, -1, x], [0, 1, 0, 0], [1, 0, 0, height / 2.0], [0, 0, 0, 1]])
    return Instance('wall', plane(height, length), WHITE, pose)


def floor(size: float = 8.0) -> Instance:
    return Instance('floor', plane(size, size), WHITE, torch.eye(4))


def room() -> Scene:
    """Return a floor with a box and a ball on it, under a lamp in a dim sky."""
    image = torch.full((8, 16, 3), 0.2)
    image[2, 5] = torch.tensor([9.0, 7.0, 5.0])
    return Scene(
        (
            floor(),
            Instance('box', box((0.4, 0.5, 0.6)), WHITE, at(0.3, 0.1, 0.3)),
            Instance('ball', sphere(0.3, segments=24, rings=12), WHITE, at(-0.4, 0.0, 0.3)),
        ),
        (),
        Environment(image),
    )


def shares(scene: Scene, pinhole: Intrinsics = PINHOLE, pose: torch.Tensor = POSE) -> np.ndarray:
    """Return the share of the sky (H, W) at each pixel."""
    renderer = Renderer('cpu', ambient_occlusion=True)
    renderer(scene, pinhole, pose)
    sky = renderer._occlusion._arriving.sky
    assert sky is not None
    return sky.numpy().reshape(pinhole.height, pinhole.width).astype(np.float64) / 255.0


def floor_points(pinhole: Intrinsics, pose: torch.Tensor) -> np.ndarray:
    """Return where the rays of all pixels meet z = 0 (H, W, 3)."""
    v, u = np.mgrid[0 : pinhole.height, 0 : pinhole.width].astype(np.float64)
    rays = np.stack(
        [(u - pinhole.cx) / pinhole.fx, (v - pinhole.cy) / pinhole.fy, np.ones_like(u)]
    )
    turn, place = pose[:3, :3].double().numpy(), pose[:3, 3].double().numpy()
    rays = rays.transpose(1, 2, 0) @ turn.T
    return place - rays * (place[2] / rays[..., 2:])


def test_directions_stand_for_equal_light() -> None:
    image = np.full((32, 64, 3), 0.5, np.float32)
    even = sky_directions(image)
    assert even is not None
    assert even.shape[2] == 3
    np.testing.assert_allclose(np.linalg.norm(even, axis=-1), 1.0, atol=1e-6)
    # Of a uniform sky: no direction is preferred, E[d] = 0 and E[d dᵀ] = 1/3, set by set too.
    np.testing.assert_allclose(even.reshape(-1, 3).mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose((even**2).mean(axis=(0, 1)), 1.0 / 3.0, atol=0.02)
    assert np.abs(even.mean(axis=1)).max() < 0.25
    image[10, 40] = 3000.0
    lamp = latlong_directions(32, 64)[10, 40].numpy()
    solid = (math.cos(10 * math.pi / 32) - math.cos(11 * math.pi / 32)) * 2.0 * math.pi / 64
    power = 3000.0 * solid
    share = power / (power + 0.5 * (4.0 * math.pi - solid))
    toward = (sky_directions(image) @ lamp > math.cos(math.radians(4.5))).mean()
    assert toward == pytest.approx(share, abs=0.02)
    assert sky_directions(np.zeros((4, 8, 3), np.float32)) is None


@pytest.mark.parametrize('height', [0.5, 1000.0])
def test_beside_a_wall(height: float) -> None:
    # A floor at distance d of a long wall: view factor ½ (1 − d/√(d² + h²)), e.g. Howell C-5.
    pose = look_at((-0.6, 0.0, 1.2), (-0.6, 0.01, 0.0))
    found = shares(Scene((floor(), wall(0.0, height, 4000.0)), (), SKY), PINHOLE, pose)
    d = -floor_points(PINHOLE, pose)[..., 0]
    counts = (d > 0.05) & (d < 1.5)
    expected = 1.0 - 0.5 * (1.0 - d / np.sqrt(d * d + height * height))
    error = (found - expected)[counts]
    assert counts.sum() > 1000
    assert np.abs(error.mean()) < 0.01
    assert np.sqrt((error**2).mean()) < 0.03


def test_under_a_disk() -> None:
    # From below its middle the view factor of a disk is r²/(r² + h²).
    ring = sphere(0.4, segments=64, rings=32)
    flat = replace(ring, vertices=ring.vertices * torch.tensor([1.0, 1.0, 1e-4]))
    pose = look_at((0.0, -1.2, 0.2), (0.0, 0.0, 0.0))
    scene = Scene((floor(), Instance('disk', flat, WHITE, at(0.0, 0.0, 0.5))), (), SKY)
    finer = PINHOLE.finer(2)
    found = shares(scene, finer, pose)
    beneath = np.linalg.norm(floor_points(finer, pose)[..., :2], axis=-1) < 0.08
    assert beneath.sum() >= 80
    assert found[beneath].mean() == pytest.approx(1.0 - 0.16 / (0.16 + 0.25), abs=0.025)


def test_what_is_squeezed_flat_hides_the_sky_as_well() -> None:
    pose = at(0.0, 0.0, 0.5)
    pose[2, 2] = 0.0  # no inverse
    scene = Scene((floor(), Instance('disk', sphere(0.4, 64, 32), WHITE, pose)), (), SKY)
    view, finer = look_at((0.0, -1.2, 0.2), (0.0, 0.0, 0.0)), PINHOLE.finer(2)
    beneath = np.linalg.norm(floor_points(finer, view)[..., :2], axis=-1) < 0.08
    found = shares(scene, finer, view)[beneath].mean()
    assert found == pytest.approx(1.0 - 0.16 / (0.16 + 0.25), abs=0.025)


@pytest.mark.parametrize('mode', ['mask', 'blend'])
def test_light_comes_through_holes(mode: str) -> None:
    # Half of the texels of a roof are holes; beside it there is nothing to see the sky.
    texture = torch.ones(400, 400, 4)
    half = torch.arange(400) // 2
    texture[..., 3] = ((half[:, None] + half) % 2).float()
    leaves = replace(WHITE, base_color_texture=Texture(texture), alpha_mode=mode)
    roof = Instance('roof', plane(40.0, 40.0), leaves, at(0.0, 0.0, 0.5))
    pose = look_at((0.0, -1.2, 0.2), (0.0, 0.0, 0.0))
    scene = Scene((floor(), roof), (), SKY)
    near = np.linalg.norm(floor_points(PINHOLE, pose)[..., :2], axis=-1) < 0.6
    dimmed, lit = (
        Renderer('cpu', ambient_occlusion=occluded)(scene, PINHOLE, pose).color[near].mean()
        for occluded in (True, False)
    )
    assert float(dimmed / lit) == pytest.approx(0.5, abs=0.03)


def test_what_is_smaller_than_a_cell_is_lit_as_what_is_around_it() -> None:
    wire = Instance('wire', box((3.0, 0.004, 0.004)), WHITE, at(0.0, 0.0, 0.6))
    found = shares(Scene((floor(), wire), (), SKY))
    assert found.min() > 0.4  # its lower half sees the floor only


def test_what_is_convex_and_alone_sees_all_of_its_sky() -> None:
    scene = Scene((Instance('ball', sphere(0.5), WHITE, torch.eye(4)),), (), room().environment)
    assert (shares(scene) == 1.0).all()


def who_looks(seen: np.ndarray) -> dict[tuple[int, int], tuple[int, int]]:
    """Return row and column of the pixel that looks for each cell of 2 x 2 with a surface."""
    found = {}
    for top in range(seen.shape[0] // 2):
        for left in range(seen.shape[1] // 2):
            down, right = (top + left // 2) % 2, (left + top // 2) % 2
            others = [(down, right), (down, 1 - right), (1 - down, right), (1 - down, 1 - right)]
            pixels = [(2 * top + i, 2 * left + j) for i, j in others]
            good = [pixel for pixel in pixels if seen[pixel] >= 0]
            if good:
                found[top, left] = good[0]
    return found


def brute_force(scene: Scene) -> np.ndarray:
    """Return the share of the sky (H, W) by a search through all triangles, in numpy."""
    renderer = Renderer('cpu', ambient_occlusion=True)
    frame = renderer._packer.frame(scene, PINHOLE, POSE, 1e-3)
    ways = renderer._occlusion._sky.directions(frame).astype(np.float64)
    corners = []
    for instance, matrix in zip(scene.instances, frame.mesh_to_camera.numpy(), strict=True):
        points = instance.mesh.vertices.double().numpy() @ matrix[:3, :3].T + matrix[:3, 3]
        corners.append(points[instance.mesh.faces.numpy()])
    a, b, c = np.concatenate(corners).transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    unit = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    seen = renderer._cpu_visibility.triangles(frame.sight).numpy().reshape(72, 96)
    points, normals = np.zeros((72, 96, 3)), np.zeros((72, 96, 3))
    for row, column in zip(*np.nonzero(seen >= 0), strict=True):
        ray = np.array([(column - PINHOLE.cx) / PINHOLE.fx, (row - PINHOLE.cy) / PINHOLE.fy, 1.0])
        normal, first = unit[seen[row, column]], a[seen[row, column]]
        points[row, column] = ray * (normal @ first) / (normal @ ray)
        normals[row, column] = -normal if normal @ ray > 0.0 else normal
    looks = who_looks(seen)
    sums = {cell: np.zeros(2) for cell in looks}
    for (top, left), pixel in looks.items():
        point, normal = points[pixel], normals[pixel]
        for way in ways[(top % 4) * 4 + left % 4]:
            cosine = normal @ way
            if cosine <= 0.0:
                continue
            # Where the line meets each plane, and whether that is inside (Möller, Trumbore).
            slope = cross @ way
            with np.errstate(divide='ignore', invalid='ignore'):
                t = ((a - point) * cross).sum(-1) / slope
                e = np.cross(a - point, way)
                u, v = (e * (c - a)).sum(-1) / slope, -(e * (b - a)).sum(-1) / slope
            hit = (t > 1e-5) & (u >= 0.0) & (v >= 0.0) & (u + v <= 1.0)
            sums[top, left] += cosine * np.array([not hit.any(), True])
    footprint = max(1.0 / PINHOLE.fx, 1.0 / PINHOLE.fy)
    expected = np.ones((72, 96))
    for row, column in zip(*np.nonzero(seen >= 0), strict=True):
        n, p = normals[row, column], points[row, column]
        total = np.zeros(2)
        for cell in ((row // 2 + i, column // 2 + j) for i in range(-2, 3) for j in range(-2, 3)):
            if cell not in looks:
                continue
            # From the pixel's middle to the cell's, in cells; 1 up to 1½, 0 from 2½ on.
            away = np.abs((np.array(cell) + 0.5) - (np.array([row, column]) + 0.5) / 2.0)
            alike = max(n @ normals[looks[cell]], 0.0) ** 4
            near = abs(n @ (points[looks[cell]] - p)) <= footprint * p[2]
            weight = np.clip(2.5 - away, 0.0, 1.0).prod() * max(alike * near, 0.03)
            total += weight * sums[cell]
        expected[row, column] = total[0] / total[1] if total[1] > 0.0 else 1.0
    return expected


def test_equals_a_search_through_all_triangles() -> None:
    scene = room()
    expected, found = brute_force(scene), shares(scene)
    assert expected.min() < 0.3
    assert (np.abs(found - expected) < 1.5 / 255.0).mean() > 0.995


def test_every_path_takes_as_much_light_away() -> None:
    scene = room()
    pictures = {}
    for occluded in (False, True):
        for reference in (False, True):
            renderer = Renderer('cpu', ambient_occlusion=occluded, reference=reference)
            pictures[occluded, reference] = renderer(scene, PINHOLE, POSE).color
    moving = replace(
        scene, environment=replace(scene.environment, image=scene.environment.image.clone())
    )
    moving.environment.image.requires_grad_(True)
    with_gradient = Renderer('cpu', ambient_occlusion=True)(moving, PINHOLE, POSE).color
    torch.testing.assert_close(pictures[True, False], pictures[True, True], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pictures[True, False], with_gradient, rtol=1e-3, atol=1e-3)
    open_light = with_gradient.sum()
    open_light.backward()
    assert torch.isfinite(moving.environment.image.grad).all()
    assert moving.environment.image.grad.abs().max() > 0.0
    assert float(pictures[True, False].mean()) < 0.95 * float(pictures[False, False].mean())


def test_without_an_environment_nothing_changes() -> None:
    scene = replace(
        room(), environment=None, lights=(DirectionalLight((0.3, 0.2, -1.0), (1.0, 1.0, 1.0)),)
    )
    black = replace(scene, environment=constant_environment(0.0))
    unlit = replace(scene, environment=constant_environment(1.0, intensity=0.0))
    for case in (scene, black, unlit, Scene((), (), SKY)):
        plain = Renderer('cpu')(case, PINHOLE, POSE).color
        assert torch.equal(
            Renderer('cpu', ambient_occlusion=True)(case, PINHOLE, POSE).color, plain
        )


def test_what_stands_still_is_looked_at_once_and_nothing_is_ever_stale() -> None:
    scene = replace(room(), lights=(DirectionalLight((0.3, 0.2, -1.0), (1.0, 1.0, 1.0)),))
    renderer = Renderer('cpu', ambient_occlusion=True)

    def arriving(scene: Scene, pose: torch.Tensor = POSE):
        picture = renderer(scene, PINHOLE, pose).color
        fresh = Renderer('cpu', ambient_occlusion=True)(scene, PINHOLE, pose).color
        assert torch.equal(picture, fresh)
        return renderer._occlusion._arriving

    first = arriving(scene)
    assert arriving(scene) is first
    assert arriving(scene, look_at((0.0, -1.5, 2.4), (0.0, 0.0, 0.0))) is not first
    floor, box, ball = scene.instances
    second = arriving(scene)
    moved = replace(scene, instances=(floor, replace(box, pose=at(0.2, 0.0, 0.4)), ball))
    assert arriving(moved) is not second
    darker = replace(moved, lights=(DirectionalLight((0.1, 0.2, -1.0), (1.0, 1.0, 1.0)),))
    assert arriving(darker) is not second
    turned = replace(darker, environment=replace(darker.environment, rotation=1.0))
    third = arriving(turned)
    ball.mesh.vertices.mul_(0.9)  # in place: counted by torch
    fourth = arriving(turned)
    assert fourth is not third
    glass = replace(WHITE, alpha_mode='blend', alpha=0.2)
    seen_through = replace(
        turned, instances=(floor, replace(turned.instances[1], material=glass), ball)
    )
    assert arriving(seen_through) is not fourth
    # A picture of other things in between does not matter.
    renderer(scene, Intrinsics.from_fov(40, 30, 0.9), POSE)
    assert arriving(turned) is not None


def test_pictures_of_all_sizes_batches_and_any_number_of_threads() -> None:
    scene = room()
    renderer = Renderer('cpu', ambient_occlusion=True)
    for width, height in ((1, 1), (3, 2), (5, 7)):
        picture = renderer(scene, Intrinsics.from_fov(width, height, 0.9), POSE)
        assert torch.isfinite(picture.color).all()
    poses = torch.stack([POSE, look_at((0.5, -1.6, 2.0), (0.0, 0.0, 0.0))])
    batch = renderer(scene, PINHOLE, poses).color
    for picture, pose in zip(batch, poses, strict=True):
        assert torch.equal(picture, renderer(scene, PINHOLE, pose).color)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert torch.equal(
            batch[0], Renderer('cpu', ambient_occlusion=True)(scene, PINHOLE, POSE).color
        )
    finally:
        numba.set_num_threads(threads)
