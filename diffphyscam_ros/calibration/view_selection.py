# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which views of a board to calibrate from: sharp ones, none twice, not more than are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.errors import CalibrationError

SAME = 1.0  # px, the move of a board below which two views are one
FEWEST_CORNERS = 6
BLURRED_BESIDE_OTHERS = 2.5  # times the median width of edges, and at least 3 px


@dataclass(frozen=True)
class Selection:
    """Views to use, and the others by name with the reason.

    :param kept: in their order.
    :param dropped: (name, reason).
    :param repeats: how many views repeat others; they are not named.
    """

    kept: tuple[BoardView, ...]
    dropped: tuple[tuple[str, str], ...]
    repeats: int = 0


def select_views(views: Sequence[BoardView], image_size: tuple[int, int], most: int) -> Selection:
    """Return the views worth using.

    :param most: where there are more, those that differ most are taken.
    :raises CalibrationError: where pictures have different sizes.
    """
    odd = [view for view in views if tuple(view.image_size) != tuple(image_size)]
    if odd:
        sizes = sorted({f'{w}x{h}' for w, h in (view.image_size for view in odd)})
        raise CalibrationError(
            f'{len(odd)} of {len(views)} pictures are {", ".join(sizes)} px, the camera is '
            f'{image_size[0]}x{image_size[1]} px (first: {odd[0].name or "unnamed"})',
            remedy='calibrate each size alone: K holds for one size only',
        )
    dropped = []
    kept = []
    widths = np.array([view.quality.edge_width for view in views])
    finite = widths[np.isfinite(widths)]
    typical = float(np.median(finite)) if len(finite) else np.inf
    for view in views:
        width = view.quality.edge_width
        beside = width > max(BLURRED_BESIDE_OTHERS * typical, 3.0)
        if len(view) < FEWEST_CORNERS or not _flat_enough(view):
            dropped.append((view.name, f'only {len(view)} corners, or all in one row'))
        elif 'blurred' in view.quality.flags or beside:
            dropped.append((view.name, f'blurred: edges are {width:.1f} px wide'))
        else:
            kept.append(view)
    kept, repeats = _without_repeats(kept)
    return Selection(tuple(_spread(kept, image_size, most)), tuple(dropped), repeats)


def _flat_enough(view: BoardView) -> bool:
    """Tell whether the corners span a plane."""
    points = view.object_points[:, :2] - view.object_points[:, :2].mean(axis=0)
    singular = np.linalg.svd(points, compute_uv=False)
    return bool(singular[-1] > 1e-3 * singular[0])


def _without_repeats(views: list[BoardView]) -> tuple[list[BoardView], int]:
    """Leave out views in which the board did not move since one that was kept.

    A board at rest repeats the errors of its corners: a hundred such views would look like a
    hundred measurements.
    """
    kept: list[BoardView] = []
    centres = np.zeros((len(views), 2))
    repeats = 0
    for view in views:
        centre = view.image_points.mean(axis=0)
        # Where a tenth of the corners differ, so may their mean: near is a few pixels.
        reach = SAME + 0.2 * float(np.ptp(view.image_points, axis=0).max())
        near = np.linalg.norm(centres[: len(kept)] - centre, axis=1) < reach
        if any(_moved(view, kept[index]) < SAME for index in np.flatnonzero(near)):
            repeats += 1
        else:
            centres[len(kept)] = centre
            kept.append(view)
    return kept, repeats


def _moved(view: BoardView, other: BoardView) -> float:
    """Return how far the corners that both views show moved, px rms; inf where few are shared."""
    _, mine, others = np.intersect1d(view.ids, other.ids, return_indices=True)
    if len(mine) < 0.7 * max(len(view), len(other)):
        return float('inf')
    moves = view.image_points[mine] - other.image_points[others]
    return float(np.sqrt((moves**2).sum(axis=1).mean()))


def _features(view: BoardView, image_size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return where the board's middle and its axes lie in the picture, in widths."""
    board = view.object_points[:, :2]
    ones = np.ones((len(board), 1))
    middle = board.mean(axis=0)
    size = np.abs(board - middle).max()
    design = np.concatenate([(board - middle) / size, ones], axis=1)
    affine = np.linalg.lstsq(design, view.image_points / image_size[0], rcond=None)[0]
    return np.asarray(affine.ravel())


def _spread(views: list[BoardView], image_size: tuple[int, int], most: int) -> list[BoardView]:
    """Return at most that many views: each the one farthest from those taken before."""
    if len(views) <= most:
        return views
    features = np.stack([_features(view, image_size) for view in views])
    taken = [0]
    distance = np.linalg.norm(features - features[0], axis=1)
    while len(taken) < most:
        farthest = int(distance.argmax())
        taken.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(features - features[farthest], axis=1))
    return [views[index] for index in sorted(taken)]
