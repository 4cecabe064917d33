# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The order in which strips of a picture are shaded."""

import numpy as np
import pytest

from diffphyscam_ros.kernels.schedule import spread_order


@pytest.mark.parametrize('count', [0, 1, 2, 3, 7, 60, 135, 1024])
def test_every_strip_once(count: int) -> None:
    assert sorted(spread_order(count)) == list(range(count))


@pytest.mark.parametrize('count', [60, 135, 1024])
@pytest.mark.parametrize('threads', [2, 3, 4, 8])
def test_runs_of_neighbours_cover_the_picture(count: int, threads: int) -> None:
    order = spread_order(count)
    for part in np.array_split(order, threads):
        # A natural order would put the mean of the first run at 1 / (2 · threads).
        assert abs(part.mean() / (count - 1) - 0.5) < 0.2
