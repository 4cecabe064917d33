# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Bags of a drawn board for the tests of the pipeline: good ones, and all kinds of bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


def film(
    path: Path,
    pictures: Iterable[np.ndarray],
    exposure_us: Callable[[int], float] | None = lambda number: 5000.0,
) -> Path:
    """Write pictures with the metadata of our node; return the path.

    :param exposure_us: of the n-th picture, as it is stated; None = nothing is.
    """
    with BagWriter(path) as bag:
        for number, pixels in enumerate(pictures):
            bag.image(number, pixels)
            if exposure_us is not None:
                bag.metadata(number, exposure_us(number))
    return path


def views(count: int = 12) -> Iterator[np.ndarray]:
    """Yield good views of a board."""
    return (picture(*pose) for pose in poses(count))


def write_boards(path: Path) -> Path:
    """Write a good recording of a board, with metadata."""
    return film(path, views())


def flats(
    steps: int = 5, each: int = 8, level: Callable[[int], float] | None = None
) -> Iterator[np.ndarray]:
    """Yield flat frames, each step twice as bright as the last, or as ``level`` says."""
    random = np.random.default_rng(5)
    for number in range(steps * each):
        value = 10.0 * 2 ** (number // each) if level is None else level(number)
        pixels = random.poisson(value * 30.0, FLAT) / 30.0 + random.normal(0, 0.4, FLAT)
        yield np.clip(pixels, 0, 255).round().astype(np.uint8)


def write_flats(path: Path, automatic: bool = False) -> Path:
    """Write flat frames at five exposures; automatic: all of them equally bright.

    The settings are those of parameter events, as a driver without metadata gives them.
    """
    with BagWriter(path) as bag:
        for number, pixels in enumerate(flats(level=(lambda number: 90.0) if automatic else None)):
            if number % 8 == 0:
                values = {'exposure_time': 1000.0 * 2 ** (number // 8), 'gain': 0.0, 'iso': 100.0}
                values['exposure_auto'] = 'Continuous' if automatic else 'Off'
                bag.parameters(stamp_of(number) - 1000, '/cam', values)
            bag.image(number, pixels)
    return path
