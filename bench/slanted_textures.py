# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Textures seen at a slant against supersampling: the table and the picture of docs/rendering.md.

    python bench/slanted_textures.py [--quick] [--json] [--out docs/images/slanted_textures.jpg]

A ChArUco board, turned in its plane and tilted, beside the same board filtered as trilinear mip
maps are without anisotropy: one tap, its level by the footprint's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import math
from pathlib import Path
import sys
from unittest.mock import patch

from _measuring import finish, machine, parser
import cv2
import numpy as np
import torch

from diffphyscam_ros.render import Intrinsics, Renderer, textures
from diffphyscam_ros.scene import Instance, look_at, Material, plane, Scene, Texture

SLANTS = (30, 45, 60, 70, 75, 80)
QUICK = (60,)
SHOWN = (60, 75)
TURN = math.radians(29.0)
POINTS = 16  # along each side of a pixel
PINHOLE = Intrinsics.from_fov(320, 240, 0.6)
DISTANCE = 2.0  # m, to the middle of a board of 1 m


def board() -> Scene:
    """Return the board, which shines so that its light is its texture."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    charuco = cv2.aruco.CharucoBoard((9, 9), 0.1, 0.075, dictionary)
    picture = charuco.generateImage((1024, 1024), marginSize=32).astype(np.float32) / 255.0
    image = torch.from_numpy(picture)[..., None].expand(-1, -1, 3).contiguous()
    white = (1.0, 1.0, 1.0)
    material = Material((0.0, 0.0, 0.0), emissive=white, emissive_texture=Texture(image))
    pose = torch.eye(4)
    sine, cosine = math.sin(TURN), math.cos(TURN)
    pose[:2, :2] = torch.tensor([[cosine, -sine], [sine, cosine]])
    return Scene((Instance('board', plane(1.0, 1.0), material, pose),))


def pose_at(degrees: float) -> torch.Tensor:
    """Return the pose of a camera that sees the board's middle at a slant."""
    angle = math.radians(degrees)
    place = (0.0, -DISTANCE * math.sin(angle), DISTANCE * math.cos(angle))
    return look_at(place, (0.0, 0.0, 0.0))


@contextmanager
def one_tap() -> Iterator[None]:
    """Let the torch path filter by the footprint's length alone, as it once did."""
    chosen = textures.find_footprint

    def by_length(materials, texture, uv_steps):  # type: ignore[no-untyped-def]
        footprint = chosen(materials, texture, uv_steps)
        last = materials.counts[texture].long() - 1
        size = materials.levels[texture, 0, 1:].T.to(uv_steps.dtype)
        longest = torch.linalg.matrix_norm((uv_steps * size).permute(2, 0, 1), ord=2)
        detail = torch.minimum(longest.clamp_min(1.0).log2(), last.to(longest.dtype))
        level = torch.minimum(detail.long(), last)
        one = torch.ones_like(footprint.stretch)
        return replace(footprint, level=level, share=detail - level, stretch=one)

    with patch.object(textures, 'find_footprint', by_length):
        yield


def supersampled(scene: Scene, pose: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the points in each pixel (H, W, 3), and which pixels are all board."""
    fine = Renderer('cpu')(scene, PINHOLE.finer(POINTS), pose)
    shape = (PINHOLE.height, POINTS, PINHOLE.width, POINTS)
    whole = (fine.instance.reshape(shape) == 1).all(3).all(1)
    return fine.color.reshape(*shape, 3).mean((1, 3)).numpy(), whole.numpy()


def decibels(picture: np.ndarray, truth: np.ndarray, whole: np.ndarray) -> float:
    """Return the PSNR of the pixels that are all board."""
    return -10.0 * math.log10(float(np.square(picture - truth)[whole].mean()))


def middle(picture: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, enlarged, in bytes for a screen."""
    rows = slice(PINHOLE.height // 2 - 24, PINHOLE.height // 2 + 24)
    columns = slice(PINHOLE.width // 2 - 48, PINHOLE.width // 2 + 48)
    screen = 255.0 * np.clip(picture[rows, columns], 0.0, 1.0) ** (1.0 / 2.2)
    return cv2.resize(screen, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def main() -> int:
    """Print the table and write the picture."""
    options = parser(__doc__ or '')
    options.add_argument('--out', type=Path, help='picture to write')
    given = options.parse_args()
    scene = board()
    ours, reference = Renderer('cpu'), Renderer('cpu', reference=True)
    results, strips = [], []
    print(f'{machine()}\n{"slant":>6}{"one tap":>10}{"ours":>10}   dB against {POINTS}² points')
    for slant in QUICK if given.quick else SLANTS:
        pose = pose_at(slant)
        truth, whole = supersampled(scene, pose)
        with one_tap():
            plain = reference(scene, PINHOLE, pose).color.numpy()
        picture = ours(scene, PINHOLE, pose).color.numpy()
        row = {
            'slant': slant,
            'one_tap_db': decibels(plain, truth, whole),
            'ours_db': decibels(picture, truth, whole),
        }
        results.append(row)
        print(f'{slant:>5}°{row["one_tap_db"]:>10.1f}{row["ours_db"]:>10.1f}')
        if slant in SHOWN:
            strips.append(np.hstack([middle(one) for one in (plain, picture, truth)]))
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(given.out), np.vstack(strips), [cv2.IMWRITE_JPEG_QUALITY, 90]):
            raise SystemExit(f'{given.out} cannot be written')
    finish({'slants': results}, given.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
