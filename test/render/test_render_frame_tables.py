# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What changes with every frame: the quick tables beside torch's, and when they are made anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffphyscam_ros.kernels.frame_tables import are_mirrored, normal_matrices
from diffphyscam_ros.render import interpolation, Intrinsics, Renderer
from diffphyscam_ros.render.cache import LatestPacked
from diffphyscam_ros.render.lighting import (
    environment_turn,
    pack_environment,
    turned_irradiance,
    turned_irradiance_fast,
)
from diffphyscam_ros.render.lights import pack_lights, turned_lights
from diffphyscam_ros.render.placing import place, place_fast
from diffphyscam_ros.scene.primitives import plane
from diffphyscam_ros.scene.transforms import look_at
from diffphyscam_ros.scene.types import (
    DirectionalLight,
    Environment,
    Instance,
    Material,
    PointLight,
    Scene,
    SpotLight,
    Texture,
)

LIGHTS = (
    DirectionalLight((0.0, 3.0, -4.0), (1.0, 2.0, 3.0)),
    PointLight((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
    SpotLight((3.0, 2.0, 1.0), (0.0, 0.0, -2.0), (1.0, 1.0, 1.0), 0.1, 0.4),
)


def some_poses() -> torch.Tensor:
    """Return (6, 4, 4) float64: turned, scaled, mirrored, flattened, tiny and huge."""
    poses = torch.eye(4, dtype=torch.float64).repeat(6, 1, 1)
    poses[:] = look_at((1.0, 2.0, 3.0), (0.1, -0.2, 0.3)).double()
    scales = ([1, 1, 1], [1, 2, 0.5], [-1, 1, 1], [1, 1, 0], [1e-6] * 3, [1e6, 1e6, -1e6])
    return poses @ torch.stack(
        [torch.diag(torch.tensor([*scale, 1.0], dtype=torch.float64)) for scale in scales]
    )


@pytest.mark.parametrize('scale', [1.0, 1.0004])  # rigid to 1e-3 is taken
def test_scene_is_placed_as_by_torch(scale: float) -> None:
    eye = look_at((1e6, 2.0, 3.0), (1e6 + 1.0, 0.2, 0.1)).double()
    eye[:3, :3] *= scale
    given = eye, some_poses(), pack_lights(LIGHTS), 0.7
    quick, slow = place_fast(*given), place(*given)
    torch.testing.assert_close(quick.mesh_to_camera, slow.mesh_to_camera, rtol=1e-9, atol=1e-8)
    torch.testing.assert_close(quick.lights, slow.lights, rtol=1e-9, atol=1e-8)
    torch.testing.assert_close(quick.turn, slow.turn)


def test_matrices_of_normals_are_those_of_torch() -> None:
    poses = some_poses()
    out = np.empty((len(poses), 3, 3), np.float32)
    normal_matrices(poses.numpy(), out)
    np.testing.assert_allclose(out, interpolation.normal_matrices(poses), atol=1e-6)


def test_mirrored_poses_are_known() -> None:
    out = np.empty(6, bool)
    are_mirrored(some_poses().numpy(), out)
    assert out.tolist() == [False, False, True, False, False, True]


def test_irradiance_turned_is_that_of_torch() -> None:
    image = torch.rand(8, 16, 3, generator=torch.Generator().manual_seed(1))
    maps = pack_environment(image, torch.device('cpu'), torch.float32)
    turn = environment_turn(0.7, look_at((1.0, 2.0, 3.0), (0.0, 0.0, 0.0)).double())
    quick = turned_irradiance_fast(maps, turn, torch.tensor(1.7))
    torch.testing.assert_close(
        torch.from_numpy(quick), turned_irradiance(maps, turn, torch.tensor(1.7))
    )


def test_lights_are_turned_as_points_and_directions_are() -> None:
    back = torch.linalg.inv(look_at((1.0, -2.0, 3.0), (0.3, 0.2, 0.1)).double())
    table = turned_lights(pack_lights(LIGHTS), back)
    rotation, translation = back[:3, :3], back[:3, 3]

    def vector(*numbers: float) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.float64)

    places = [
        rotation @ vector(0.0, -0.6, 0.8),
        rotation @ vector(1.0, 2.0, 3.0) + translation,
        rotation @ vector(3.0, 2.0, 1.0) + translation,
    ]
    torch.testing.assert_close(table[:, 1:4], torch.stack(places))
    torch.testing.assert_close(table[2, 7:10], rotation @ vector(0.0, 0.0, -1.0))
    assert not table[:2, 7:10].any()
    assert table[:, 4:7].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [1.0, 1.0, 1.0]]


@pytest.mark.parametrize('angle', [0.0, 0.7, -4.0])
def test_environment_is_turned_about_the_vertical(angle: float) -> None:
    cosine, sine = np.cos(angle), np.sin(angle)
    back = torch.tensor([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]]).double()
    pose = look_at((1.0, 2.0, 3.0), (0.0, 0.0, 0.0)).double()
    torch.testing.assert_close(environment_turn(angle, pose), back @ pose[:3, :3])


def test_packed_anew_when_anything_has_changed_and_only_then() -> None:
    image, color = torch.zeros(2, 2, 3), torch.ones(3)
    material = Material(base_color=color, base_color_texture=Texture(image))
    other = Material()
    kept: LatestPacked[int] = LatestPacked()
    count = 0

    def pack() -> int:
        nonlocal count
        count += 1
        return count

    assert [kept.get([material, other], pack) for _ in range(3)] == [1, 1, 1]
    color += 1.0
    assert [kept.get([material, other], pack) for _ in range(2)] == [2, 2]
    image[0, 0] = 1.0  # within what a field holds
    assert [kept.get([material, other], pack) for _ in range(2)] == [3, 3]
    assert [kept.get([other, material], pack) for _ in range(2)] == [4, 4]
    assert [kept.get([other, material, other], pack) for _ in range(2)] == [5, 5]
    assert kept.get([], pack) == kept.get([], pack) == 6


VIEW = Intrinsics.from_fov(16, 12, 1.0)
ABOVE = look_at((0.0, -1.0, 2.0), (0.0, 0.0, 0.0))


def board(**surroundings: object) -> Scene:
    instance = Instance('board', plane(2.0, 2.0), Material(), torch.eye(4))
    return Scene((instance,), **{'background': (0.0, 0.0, 0.0), **surroundings})


@pytest.mark.parametrize('how', ['numpy', 'data', 'inference'])
def test_a_light_that_moved_in_place_is_seen_where_it_is(how: str) -> None:
    """Also where torch does not count the change."""
    renderer, place = Renderer('cpu'), np.array([0.0, 0.0, 1.0], np.float32)
    with torch.inference_mode(how == 'inference'):
        position = torch.from_numpy(place) if how == 'numpy' else torch.tensor(place)
        scene = board(lights=(PointLight(position, (1.0, 1.0, 1.0)),))
        near = renderer(scene, VIEW, ABOVE).color.mean()
        if how == 'numpy':
            place[2] = 3.0
        else:
            (position.data if how == 'data' else position)[2] = 3.0
        far = renderer(scene, VIEW, ABOVE).color
    assert torch.equal(far, Renderer('cpu')(scene, VIEW, ABOVE).color)
    assert far.mean() < 0.5 * near


def test_the_last_row_of_a_pose_counts_as_it_should_be() -> None:
    scene = board(lights=(PointLight((0.0, 0.0, 1.0), (1.0, 1.0, 1.0)),))
    off = ABOVE.clone()
    off[3] = torch.tensor([1e-4, -1e-4, 2e-4, 1.0002])
    expected = Renderer('cpu')(scene, VIEW, ABOVE).color
    for reference in (False, True):
        renderer = Renderer('cpu', reference=reference)
        for pose in (off, off.clone().requires_grad_()):
            torch.testing.assert_close(
                renderer(scene, VIEW, pose).color.detach(), expected, rtol=1e-3, atol=1e-4
            )
    off[3, 0] = 0.1
    with pytest.raises(ValueError, match=r'last row .* must be \[0, 0, 0, 1\]'):
        Renderer('cpu')(scene, VIEW, off)


@pytest.mark.parametrize('wrong', [(1.0, 2.0), np.array([1.0, 2.0]), torch.ones(2), float('nan')])
def test_numbers_that_are_none_are_named(wrong: object) -> None:
    scene = board(environment=Environment(torch.ones(2, 4, 3), rotation=wrong))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r'rotation of the environment is .* one finite number'):
        Renderer('cpu')(scene, VIEW, ABOVE)


@pytest.mark.parametrize('fx', [[5.0, -1.0], np.array([5.0, 0.0]), torch.tensor(-1.0), 0.0])
def test_focal_lengths_that_are_none_are_named(fx: object) -> None:
    with pytest.raises(ValueError, match=r'fx = .* px: must be > 0'):
        Intrinsics(4, 4, fx, 5.0, 1.5, 1.5)  # type: ignore[arg-type]
