# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Bags of a drawn board for the tests of the pipeline: good ones, and all kinds of bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bag_writing import BagWriter, stamp_of
import cv2
import numpy as np

TARGET = 'chessboard:7x5:0.03'
K = np.array([[330.0, 0.0, 158.0], [0.0, 331.0, 121.0], [0.0, 0.0, 1.0]])
SIZE = (320, 240)
FINER = 3
FLAT = (120, 160)  # rows and columns of flat frames


def board(columns: int = 7, rows: int = 5, pixels: int = 24) -> np.ndarray:
    """Return a chessboard with a white rim of one square; so many inner corners."""
    cells = np.indices((rows + 1, columns + 1)).sum(axis=0) % 2
    squares = np.kron(np.where(cells, 200.0, 25.0), np.ones((pixels, pixels)))
    return np.pad(squares, pixels, constant_values=200.0)


def poses(count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rotation vectors and places of the board's middle: all over, turned."""
    random = np.random.default_rng(seed)
    for number in range(count):
        turn = np.array([*random.uniform(-0.55, 0.55, 2), random.uniform(-0.3, 0.3)])
        u, v = (number % 4 + 0.5) / 4 - 0.5, (number // 4 % 3 + 0.5) / 3 - 0.5
        yield turn, np.array([0.28 * u, 0.2 * v, random.uniform(0.45, 0.6)])


def picture(turn: np.ndarray, place: np.ndarray, pixels: np.ndarray | None = None) -> np.ndarray:
    """Return a noisy view of a board, (H, W) uint8: each pixel the mean of a finer drawing."""
    drawn = board() if pixels is None else pixels
    height, width = drawn.shape
    metres = 0.03 / 24
    rotation, _ = cv2.Rodrigues(turn)
    to_board = np.array([[metres, 0, -width / 2 * metres], [0, metres, -height / 2 * metres],
                         [0, 0, 1]])  # fmt: skip
    pose = np.column_stack([rotation[:, 0], rotation[:, 1], place])
    finer = np.array([[FINER, 0, (FINER - 1) / 2], [0, FINER, (FINER - 1) / 2], [0, 0, 1]])
    view = finer @ K @ pose @ to_board
    shape = (SIZE[0] * FINER, SIZE[1] * FINER)
    large = cv2.warpPerspective(drawn, view, shape, flags=cv2.INTER_LINEAR, borderValue=120.0)
    mean = large.reshape(SIZE[1], FINER, SIZE[0], FINER).mean(axis=(1, 3))
    noise = np.random.default_rng(int(1e6 * abs(place).sum())).normal(0, 1.0, mean.shape)
    return np.clip(mean + noise, 0, 255).round().astype(np.uint8)


def write_boards(path: Path, count: int = 12, exposure_us: float = 5000.0) -> Path:
    """Write a good recording of a board, with metadata."""
    with BagWriter(path) as bag:
        for number, pose in enumerate(poses(count)):
            bag.image(number, picture(*pose))
            bag.metadata(number, exposure_us)
    return path


def write_still(path: Path, count: int = 12) -> Path:
    """Write one view of a board again and again."""
    with BagWriter(path) as bag:
        for number in range(count):
            bag.image(number, picture(*list(poses(6))[5]))
            bag.metadata(number, 5000.0)
    return path


def write_small(path: Path) -> Path:
    """Write a recording of half the size."""
    with BagWriter(path) as bag:
        for number, pose in enumerate(poses(6)):
            bag.image(number, np.ascontiguousarray(picture(*pose)[::2, ::2]))
            bag.metadata(number, 5000.0)
    return path


def write_blurred(path: Path, count: int = 10) -> Path:
    """Write boards that moved during the exposure."""
    smear = np.full((1, 25), 1 / 25, np.float32)
    with BagWriter(path) as bag:
        for number, pose in enumerate(poses(count)):
            bag.image(number, cv2.filter2D(picture(*pose), -1, smear))
            bag.metadata(number, 5000.0)
    return path


def write_flats(path: Path, automatic: bool = False) -> Path:
    """Write flat frames at five exposures, twice each; automatic: all of them equally bright.

    The settings are those of parameter events, as a driver without metadata gives them.
    """
    random = np.random.default_rng(5)
    with BagWriter(path) as bag:
        for step in range(5):
            first = 8 * step
            values = {'exposure_time': 1000.0 * 2**step, 'gain': 0.0, 'iso': 100.0}
            values['exposure_auto'] = 'Continuous' if automatic else 'Off'
            bag.parameters(stamp_of(first) - 1000, '/cam', values)
            level = 90.0 if automatic else 10.0 * 2**step
            for number in range(first, first + 8):
                electrons = random.poisson(level * 30.0, FLAT) / 30.0
                pixels = np.clip(electrons + random.normal(0, 0.4, FLAT), 0, 255)
                bag.image(number, pixels.round().astype(np.uint8))
    return path
