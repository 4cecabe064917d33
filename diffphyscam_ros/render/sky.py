# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Occlusion of the sky: how much of the environment's light reaches each pixel's surface."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.schedule import spread_order
from diffphyscam_ros.kernels.sky import (
    BORDER,
    CELL,
    CELL_FIELDS,
    choose_pixels,
    FIELDS,
    find_surfaces,
    share_of_sky,
    STRIDE,
)
from diffphyscam_ros.kernels.sky_rays import carry_directions, look_at_sky
from diffphyscam_ros.render.cache import LatestPacked
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.visibility import View

DIRECTIONS = 8
"""That one cell looks into; pixels take over those of the STRIDE x STRIDE around them."""

FINEST = 64  # rows of the picture that directions are drawn from
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB, ITU-R BT.709


@functools.cache
def _net() -> npt.NDArray[np.float64]:
    """Return (STRIDE², DIRECTIONS, 2) points of the unit square.

    Sobol's sequence: all of them, and those of each set by themselves, are spread evenly.
    """
    count = STRIDE * STRIDE * DIRECTIONS
    points = torch.quasirandom.SobolEngine(2).draw(count, dtype=torch.float64) + 0.5 / count
    return points.numpy().reshape(STRIDE * STRIDE, DIRECTIONS, 2)


def _cell_means(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a picture (H, W) of FINEST x 2·FINEST cells: means where it has more, else it."""
    for axis, most in ((0, FINEST), (1, 2 * FINEST)):
        size = picture.shape[axis]
        if size > most:
            starts = np.arange(most) * size // most
            counts = np.diff(np.append(starts, size))
            shape = (-1, 1) if axis == 0 else (1, -1)
            picture = np.add.reduceat(picture, starts, axis=axis) / counts.reshape(shape)
        elif size < most:
            picture = np.take(picture, np.arange(most) * size // most, axis=axis)
    return picture


def sky_directions(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Draw directions from an environment so that each stands for as much of its light.

    A lamp in the picture gets as many as its share of the light, so that its shadow is right too.

    :param image: (H, W, 3) lat-long picture, linear; the layout is that of
        :class:`diffphyscam_ros.scene.types.Environment`.
    :return: (STRIDE², DIRECTIONS, 3) unit vectors in the picture's frame; None if all is black.
    """
    light = _cell_means(np.maximum(image.astype(np.float64) @ LUMINANCE, 0.0))
    height, width = light.shape
    rows = np.cos(np.linspace(0.0, np.pi, height + 1))
    light = light * (rows[:-1] - rows[1:])[:, None]
    if not light.sum() > 0.0:
        return None
    # Row by row, then along the row; within a cell evenly over its solid angle.
    points = _net().reshape(-1, 2)
    down = np.concatenate([[0.0], np.cumsum(light.sum(axis=1))])
    place = points[:, 0] * down[-1]
    row = np.clip(np.searchsorted(down, place, side='right') - 1, 0, height - 1)
    inside = (place - down[row]) / (down[row + 1] - down[row])
    z = rows[row] + inside * (rows[row + 1] - rows[row])
    along = np.concatenate([np.zeros((height, 1)), np.cumsum(light, axis=1)], axis=1)
    column = np.empty(len(points))
    for index, (line, share) in enumerate(zip(along[row], points[:, 1], strict=True)):
        column[index] = np.interp(share * line[-1], line, np.arange(width + 1))
    azimuth = np.pi - column * (2.0 * np.pi / width)
    across = np.sqrt(np.maximum(1.0 - z * z, 0.0))
    ways = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), z], axis=1)
    return ways.reshape(STRIDE * STRIDE, DIRECTIONS, 3).astype(np.float32)


class SkyOcclusion:
    """Finds it on the CPU: rays towards the light of the environment against triangles."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._directions: LatestPacked[npt.NDArray[np.float32] | None] = LatestPacked()
        self._surfaces = np.zeros((FIELDS, 0, 0), np.float32)
        self._cells = np.zeros((CELL_FIELDS, 0, 0), np.float32)

    def directions(self, frame: Frame) -> npt.NDArray[np.float32] | None:
        """Return those of :func:`sky_directions` in the optical frame; None without a light."""
        maps = frame.illumination.maps
        if maps is None or frame.illumination.intensity == 0.0:
            return None
        picture = maps.picture.detach()

        def draw() -> npt.NDArray[np.float32] | None:
            return sky_directions(picture.cpu().float().numpy())

        ways = self._directions.get([maps.picture], draw)
        if ways is None:
            return None
        turn = frame.illumination.turn.detach().cpu().float().numpy()
        return np.ascontiguousarray(ways @ turn)

    def visibility(
        self,
        view: View,
        triangles: npt.NDArray[np.int32],
        directions: npt.NDArray[np.float32],
        casters: tuple[npt.NDArray[Any], ...],
    ) -> npt.NDArray[np.uint8]:
        """Return (H·W,) uint8, 255 where the surface sees all of the sky above it.

        It is the share of the cosine-weighted light; the horizon is that of the triangle. What
        is in the way is what casts shadows.

        :param triangles: (H·W,) seen at each pixel, negative where there is none.
        :param directions: of :meth:`directions`.
        :param casters: of :meth:`diffphyscam_ros.render.casters.CasterPacker.pack`.
        """
        height, width = view.height, view.width
        fx, fy, _, _ = view.pinhole()
        high, wide = -(-height // CELL), -(-width // CELL)
        if self._surfaces.shape[1:] != (height, width):
            self._surfaces = np.empty((FIELDS, height, width), np.float32)
            self._cells = np.zeros((CELL_FIELDS, high + 2 * BORDER, wide + 2 * BORDER), np.float32)
        seen = triangles.reshape(height, width)
        order = spread_order(height)
        find_surfaces(seen, casters[0], casters[1], view.pinhole(), order, self._surfaces)
        pixels = np.empty((high, wide), np.int32)
        choose_pixels(seen, self._surfaces, pixels, self._cells)
        rows = spread_order(high)
        for first in range(STRIDE):  # a quarter at a time: there may be thousands of meshes
            ways = directions[first * STRIDE : (first + 1) * STRIDE].reshape(-1, 3)
            some = rows[rows % STRIDE == first]
            look_at_sky(triangles, pixels, _carry(ways, casters), some, casters, self._cells)
        shares = np.empty((height, width), np.uint8)
        share_of_sky(self._cells, self._surfaces, max(1.0 / fx, 1.0 / fy), order, shares)
        return shares.reshape(-1)


def _carry(
    directions: npt.NDArray[np.float32], casters: tuple[npt.NDArray[Any], ...]
) -> tuple[npt.NDArray[Any], ...]:
    """Return the argument ``carried`` of :func:`diffphyscam_ros.kernels.sky_rays.look_at_sky`."""
    top_reach, matrices, reaches = casters[4], casters[6], casters[7]
    matrices = np.concatenate([matrices, np.eye(3, 4)[None]])
    count, items = len(directions), len(matrices)
    carried = (
        np.empty((count, 3, 3)),
        np.empty((count, items, 9), np.float32),
        np.empty((count, items, 9), np.int8),
        np.empty((count, items, 6)),
    )
    carry_directions(directions, matrices, np.append(reaches, top_reach[None], 0), *carried)
    return carried
