# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Boards in front of cameras that are known: as corners with noise, and as pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.projection import project, rotations
from diffphyscam_ros.calibration.target_print import shapes
from diffphyscam_ros.calibration.targets import Target

SIZE = (640, 480)
DISTORTION = {
    'plumb_bob': (-0.2, 0.07, 0.001, -0.0005, 0.01),
    'rational_polynomial': (0.3, 0.1, 0.0005, -0.001, 0.01, 0.5, 0.15, 0.02),
    'equidistant': (0.02, -0.01, 0.003, -0.001),
}
SETS = {
    'heethesh': ('heethesh_ros_chessboard/*.png', 'chessboard:7x5:0.05'),
    'aprilgrid': ('yizhong/apriltag_test_images/*.jpg', 'aprilgrid:6x6:0.022:0.3'),
    'charuco': (
        'yizhong/intrinsic_calib_charuco_test_images/*.jpg',
        'charuco:9x7:0.04:0.02:DICT_4X4_100',
    ),
    'legacy': (
        'yizhong/custom_charuco_test_images/*.jpg',
        'charuco:9x4:0.1148:0.09:DICT_4X4_100:legacy',
    ),
    'arucogrid': (
        'yizhong/intrinsic_calib_grid_test_images/*.jpg',
        'arucogrid:6x4:0.030863157:0.25:DICT_6X6_250',
    ),
}
"""Real photographs and the boards on them."""


def photographs(shared_data: Path, name: str) -> tuple[Target, list[tuple[str, np.ndarray]]]:
    """Return a set of photographs as (file, RGB), and its target."""
    pattern, target = SETS[name]
    paths = sorted((shared_data / 'calibration').glob(pattern))
    return Target.parse(target), [(p.name, cv2.imread(str(p))[..., ::-1]) for p in paths]


def random_pose(
    rng: np.random.Generator, target: Target, tilt: float = 45.0
) -> tuple[npt.NDArray, npt.NDArray]:
    """Return rotation and translation of a board at 0.25 to 0.7 m, tilted up to so many deg."""
    turn = rotations(rng.uniform(-1, 1, (1, 3)) * np.radians([tilt, tilt, 30.0]))[0]
    z = rng.uniform(0.25, 0.7)
    place = np.array([rng.uniform(-0.55, 0.55) * z, rng.uniform(-0.4, 0.4) * z, z])
    return turn, place - turn @ target.object_points().mean(axis=0)


def random_camera(rng: np.random.Generator, model: str) -> npt.NDArray:
    """Return fx, fy, cx, cy and coefficients."""
    focal = (330.0 if model == 'equidistant' else 480.0) * rng.uniform(0.95, 1.05, 2)
    centre = (np.array(SIZE) - 1) / 2 + rng.normal(0, 8, 2)
    return np.array([*focal, *centre, *DISTORTION[model]])


def random_views(
    seed: int,
    model: str = 'plumb_bob',
    *,
    count: int = 25,
    noise: float = 0.15,
    target: str = 'chessboard:9x7:0.03',
    tilt: float = 45.0,
) -> tuple[npt.NDArray, list[BoardView]]:
    """Return a camera and views of whole boards by it, with Gaussian noise (px) on the corners."""
    rng = np.random.default_rng(seed)
    camera = random_camera(rng, model)
    board = Target.parse(target)
    points = board.object_points()
    views: list[BoardView] = []
    while len(views) < count:
        rotation, translation = random_pose(rng, board, tilt)
        seen = points @ rotation.T + translation
        pixels = project(model, camera, seen)[0]
        if seen[:, 2].min() < 0.08 or not ((pixels > 3) & (pixels < np.array(SIZE) - 4)).all():
            continue
        pixels = pixels + rng.normal(0, noise, pixels.shape)
        name = f'view {len(views)}'
        views.append(BoardView.of(board, np.arange(len(points)), pixels, SIZE, name))
    return camera, views


def drawn(target: Target, scale: float = 10.0) -> tuple[np.ndarray, npt.NDArray]:
    """Return the board as a picture, ``scale`` px for each mm, and where its first corner is."""
    margin = 0.6 * target.square_size * 1e3
    width, height = (round((side * 1e3 + 2 * margin) * scale) for side in target.size)
    picture = np.full((height, width), 255, np.uint8)
    for shape in shapes(target):
        x, y = (margin + shape.x) * scale, (margin + shape.y) * scale
        right, below = x + shape.width * scale, y + shape.height * scale
        if shape.round:
            centre = tuple(round(v * 16 - 8) for v in ((x + right) / 2, (y + below) / 2))
            cv2.circle(picture, centre, int(shape.width * scale * 8), 0, -1, cv2.LINE_AA, 4)
        else:
            rows, columns = (slice(round(a), round(b)) for a, b in ((y, below), (x, right)))
            picture[rows, columns] = 0 if shape.black else 255
    inner = target.square_size if target.kind in ('chessboard', 'charuco') else 0.0
    if target.kind == 'aprilgrid':
        inner = target.square_size - target.marker_size
    if 'circles' in target.kind:
        inner = 0.3 * target.square_size
    first = (margin + inner * 1e3) * scale - 0.5
    return picture, np.array([[scale * 1e3, 0, first], [0, scale * 1e3, first], [0, 0, 1.0]])


def photographed(
    target: Target,
    rotation: npt.NDArray,
    translation: npt.NDArray,
    *,
    focal: float = 520.0,
    size: tuple[int, int] = SIZE,
    blur: float = 0.6,
    noise: float = 2.0,
    white: float = 200.0,
    seed: int = 0,
) -> tuple[np.ndarray, npt.NDArray]:
    """Return a pinhole picture of a board, (H, W) uint8, and where its corners truly are."""
    rng = np.random.default_rng(seed)
    texture, place = drawn(target)
    k = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
    view = k @ np.column_stack([rotation[:, :2], translation]) @ np.linalg.inv(place)
    finer = 3
    grow = np.array([[finer, 0, 1.0], [0, finer, 1.0], [0, 0, 1.0]])
    large = (size[0] * finer, size[1] * finer)
    board = cv2.warpPerspective(texture, grow @ view, large, borderValue=90)
    board = cv2.resize(board, size, interpolation=cv2.INTER_AREA) * (white - 30.0) / 255.0 + 30.0
    board = cv2.GaussianBlur(board, (0, 0), blur) + rng.normal(0, noise, board.shape)
    seen = target.object_points() @ rotation.T + translation
    pixels = seen[:, :2] / seen[:, 2:] * focal + k[:2, 2]
    return np.clip(np.round(board), 0, 255).astype(np.uint8), pixels
