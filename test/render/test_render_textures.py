# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which way up textures are, how they repeat, and that far ones do not alias."""

from __future__ import annotations

import pytest
import torch

from diffphyscam_ros.render import Intrinsics, Renderer
from diffphyscam_ros.render.texture_atlas import mip_levels
from diffphyscam_ros.scene import Instance, Material, Mesh, plane, Scene, Texture

# Seen from above with +x to the right and +y up, as plane() says its texture lies.
ABOVE = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.0], [0, 0, 0, 1]])
WAYS = pytest.mark.parametrize('reference', [False, True])


def emitting(image: torch.Tensor, mesh: Mesh) -> Scene:
    """Return a scene that shows the texture itself: metal under uniform light mirrors it."""
    # A white light all around and a rough metal: radiance is proportional to the base colour.
    from diffphyscam_ros.scene import constant_environment

    material = Material(metallic=1.0, roughness=0.0, base_color_texture=Texture(image))
    return Scene((Instance('it', mesh, material, torch.eye(4)),),
                 environment=constant_environment(1.0))  # fmt: skip


def shown(scene: Scene, pinhole: Intrinsics, pose: torch.Tensor, reference: bool) -> torch.Tensor:
    return Renderer('cpu', reference=reference)(scene, pinhole, pose).color


@WAYS
def test_first_texel_is_top_left(reference: bool) -> None:
    image = torch.zeros(2, 2, 3)
    image[0, 0, 0] = image[0, 1, 1] = image[1, 0, 2] = 1.0  # red, green; blue, black
    # Eight pixels for a texel: their centres meet the texels' exactly.
    pinhole = Intrinsics(16, 16, 32.0, 32.0, 7.5, 7.5)
    color = shown(emitting(image, plane(1.0, 1.0)), pinhole, ABOVE, reference)
    for row, column, channel in ((3, 3, 0), (3, 12, 1), (12, 3, 2)):
        texel = color[row, column]
        assert int(texel.argmax()) == channel and float(texel[channel]) > 0.7


@WAYS
def test_magnified_texels_are_interpolated_and_repeat(reference: bool) -> None:
    image = torch.tensor([[[0.0] * 3, [1.0] * 3]])  # 1 x 2: black, white
    pinhole = Intrinsics(64, 4, 128.0, 128.0, 31.5, 1.5)
    square = plane(1.0, 1.0)
    color = shown(emitting(image, square), pinhole, ABOVE, reference)[1, :, 0]
    # Texel centres at u = 1/4 and 3/4, pixels at u = (i + 1/2)/64; beyond them it wraps round.
    u = (torch.arange(64) + 0.5) / 64
    wanted = torch.where((u > 0.25) & (u < 0.75), (u - 0.25) * 2, (0.25 - u).abs().minimum(
        (u - 0.75).abs()) * 2)  # fmt: skip
    wanted = torch.where(u < 0.25, (0.25 - u) * 2, wanted)
    wanted = torch.where(u > 0.75, 1 - (u - 0.75) * 2, wanted)
    # F0 is a straight line in the base colour's place: white reflects all, black nothing.
    torch.testing.assert_close(color, wanted, atol=6e-3, rtol=0)
    shifted = Mesh(
        square.vertices, square.faces, square.normals, square.uvs + torch.tensor([-3.0, 7.0])
    )
    again = shown(emitting(image, shifted), pinhole, ABOVE, reference)[1, :, 0]
    torch.testing.assert_close(again, color, atol=1e-4, rtol=0)


@WAYS
def test_far_checkerboards_turn_grey_instead_of_aliasing(reference: bool) -> None:
    board = ((torch.arange(256)[:, None] + torch.arange(256)) % 2).float()
    image = board[..., None].expand(256, 256, 3).contiguous()
    # 64 pixels for 256 texels: each pixel covers 4 x 4 of them, seen not quite square on.
    pose = ABOVE.clone()
    pose[:3, 3] += torch.tensor([0.003, 0.001, 0.0])
    color = shown(emitting(image, plane(1.0, 1.0)), Intrinsics(48, 48, 128.0, 128.0, 23.5, 23.5),
                  pose, reference)  # fmt: skip
    assert float((color - 0.5).abs().max()) < 0.02


def test_levels_are_area_means_down_to_one_texel() -> None:
    image = torch.rand(12, 7, 3, generator=torch.Generator().manual_seed(0))
    levels = mip_levels(image)
    assert [tuple(level.shape[:2]) for level in levels] == [(12, 7), (6, 3), (3, 1), (1, 1)]
    square = torch.rand(16, 8, 3, generator=torch.Generator().manual_seed(1))
    for level in mip_levels(square):
        torch.testing.assert_close(level.mean(dim=(0, 1)), square.mean(dim=(0, 1)))


@WAYS
def test_normal_maps_tilt_along_u_and_against_v(reference: bool) -> None:
    # Facing the camera: +u is the picture's right, −v its up. Also on a mirrored texture.
    square = plane(1.0, 1.0)
    flipped = Mesh(square.vertices, square.faces, square.normals, 1.0 - square.uvs)
    mirrored = Mesh(square.vertices, square.faces, square.normals,
                    square.uvs * torch.tensor([-1.0, 1.0]))  # fmt: skip
    texel = torch.tensor([0.5 + 0.3, 0.5 + 0.2, 0.9])
    length = float((2 * texel - 1).norm())
    for mesh, right, up in ((square, 0.6, 0.4), (flipped, -0.6, -0.4), (mirrored, -0.6, 0.4)):
        material = Material(normal_texture=Texture(texel.expand(1, 1, 3).contiguous()))
        scene = Scene((Instance('it', mesh, material, torch.eye(4)),))
        render = Renderer('cpu', reference=reference)
        normal = render(scene, Intrinsics(9, 9, 20.0, 20.0, 4.0, 4.0), ABOVE).normal
        wanted = torch.tensor([right, -up, -0.8]) / length  # optical frame: x right, y down
        torch.testing.assert_close(normal[4, 4].detach(), wanted, atol=1e-5, rtol=0)


def test_metallic_is_blue_and_roughness_green() -> None:
    from diffphyscam_ros.scene import PointLight

    def lit(material: Material) -> torch.Tensor:
        scene = Scene((Instance('it', plane(1.0, 1.0), material, torch.eye(4)),),
                      (PointLight((0.3, 0.2, 1.0), (1.0, 1.0, 1.0)),))  # fmt: skip
        return Renderer('cpu')(scene, Intrinsics(9, 9, 20.0, 20.0, 4.0, 4.0), ABOVE).color

    packed = Texture(torch.tensor([[[0.123, 0.5, 0.25]]]))
    plain = lit(Material((0.9, 0.5, 0.2), metallic=0.2, roughness=0.4))
    textured = lit(Material((0.9, 0.5, 0.2), metallic=0.8, roughness=0.8,
                            metallic_roughness_texture=packed))  # fmt: skip
    torch.testing.assert_close(textured, plain, rtol=1e-4, atol=1e-6)
