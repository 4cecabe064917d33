# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Mip pyramids by kernels against torch's pooling, and tables of gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.gradient_tables import band_count, GradientTables
from diffphyscam_ros.render.texture_atlas import atlas_in_torch, atlas_layout, build_atlas

SIZES = ((64, 64, 3), (9, 5, 4), (33, 70, 3), (1, 7, 3), (2, 1, 4), (1, 1, 3), (150, 131, 4))


@pytest.mark.parametrize('size', SIZES)
def test_pyramids_and_their_gradients_are_torchs(size: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(16, 8, 3, generator=generator), torch.rand(size, generator=generator)]
    leaves = [image.requires_grad_() for image in images]
    mine, theirs = build_atlas(leaves, atlas_layout(leaves), BufferPool()), atlas_in_torch(leaves)
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)
    weights = torch.rand(mine.shape, generator=generator) - 0.4
    for one, other in zip(
        torch.autograd.grad((mine * weights).sum(), leaves),
        torch.autograd.grad((theirs * weights).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-5)


def test_a_picture_that_asks_for_nothing_gets_nothing() -> None:
    still, asking = torch.rand(4, 4, 3), torch.rand(5, 3, 3).requires_grad_()
    images = [still, asking]
    build_atlas(images, atlas_layout(images), BufferPool()).sum().backward()
    assert still.grad is None
    # Every level sums up to its texels' means: each texel has a share in each level.
    assert float(asking.grad.sum()) == pytest.approx(3.0 * (5 * 3 + 2 * 1 + 1), rel=1e-5)


def test_tables_are_summed_in_order_and_left_empty() -> None:
    tables = GradientTables()
    table = tables.take('vertices', 4, 200, 3)
    table.values[0, 5], table.values[3, 5], table.values[2, 199] = 1.0, 2.0, 4.0
    table.flags[0, 0] = table.flags[3, 0] = table.flags[2, 3] = 1
    total = table.collect(BufferPool())
    assert total[5].tolist() == [3.0] * 3 and total[199].tolist() == [4.0] * 3
    assert float(total.sum()) == 21.0
    assert not table.values.any() and not table.flags.any()
    assert tables.take('vertices', 4, 200, 3) is table
    assert tables.take('vertices', 4, 201, 3) is not table


@pytest.mark.parametrize(('largest', 'height', 'bands'), [(10, 480, 16), (10, 5, 4), (10, 1, 1)])
def test_bands(largest: int, height: int, bands: int) -> None:
    assert band_count(largest, height) == bands
    assert band_count(2**40, height) == 1, 'huge scenes share one table'
    assert np.log2(band_count(2**26, 480)) % 1 == 0
