# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One picture of a board: where its corners are, and how good a picture it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.targets import Target


@dataclass(frozen=True)
class ViewQuality:
    """How well a board is pictured.

    :param corners: found.
    :param share: of the corners of the whole board, 0 to 1.
    :param spacing: px between neighbouring corners, the median.
    :param edge_width: px from 10 % to 90 % of the step between black and white: the median of the
        edges along the worse of the board's two directions. About 1.5 where the picture is sharp,
        more where it is out of focus or moved. NaN where no edge could be measured.
    :param contrast: white less black over full scale.
    :param saturated: share of the white squares at full scale, 0 to 1.
    :param flags: 'blurred', 'saturated', 'low contrast', 'few corners'; in words for people.
    """

    corners: int
    share: float
    spacing: float
    edge_width: float
    contrast: float
    saturated: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class BoardView:
    """The corners of a board in one picture.

    :param image_points: (n, 2) px, in pairs with ``object_points`` (n, 3), m, in the board's
        frame, and ``ids`` (n,), numbers of the points of the whole board.
    :param image_size: width and height, px.
    :param name: for messages: file, or bag and stamp.
    """

    image_points: npt.NDArray[np.float64]
    object_points: npt.NDArray[np.float64]
    ids: npt.NDArray[np.int64]
    image_size: tuple[int, int]
    name: str = ''
    quality: ViewQuality = field(
        default_factory=lambda: ViewQuality(0, 0.0, 0.0, float('nan'), 0.0, 0.0)
    )

    def __len__(self) -> int:
        """Return the number of corners."""
        return len(self.image_points)

    @classmethod
    def of(
        cls,
        target: Target,
        ids: npt.ArrayLike,
        image_points: npt.ArrayLike,
        image_size: tuple[int, int],
        name: str = '',
        quality: ViewQuality | None = None,
    ) -> BoardView:
        """Return the view of some points of a target."""
        numbers = np.asarray(ids, np.int64).ravel()
        points = np.asarray(image_points, np.float64).reshape(-1, 2)
        extra = {} if quality is None else {'quality': quality}
        return cls(points, target.object_points()[numbers], numbers, image_size, name, **extra)
