# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Photosites near the corners of a board, taken from recorded frames for the joint refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings

Array = npt.NDArray[Any]
T = TypeVar('T')

WINDOW = 7.0
"""px about a corner, to each side."""

EVEN = 0.15
"""Of the chance of a steep pixel to be drawn: that of an even one."""

SHARE = 0.45
"""Of the distance between corners: no window is larger."""

BRIGHTEST = 0.97
"""Of full scale, and of the level of full wells: brighter values are left out."""

DARKEST = 0.5
"""Steps of 8 bits: at 0 the picture may have been cut off."""


@dataclass(frozen=True, eq=False)
class BoardFrame:
    """A frame, where its board is, and the photosites that are looked at.

    :param name: for messages.
    :param rotation: (3, 3), of the board in the camera's frame; ``translation`` (3,), m.
    :param pixels: (n, 2) column and row.
    :param channels: (n,) 0 = red, 1 = green, 2 = blue.
    :param values: (n,) recorded, over full scale.
    """

    name: str
    settings: CameraSettings
    rotation: Array
    translation: Array
    pixels: Array
    channels: Array
    values: Array


def settings_of(known: FrameSettings | None, sensor: SensorModel) -> CameraSettings:
    """Return what a frame was taken with; what is not known is that of the sensor."""
    names = ('aperture', 'exposure_time', 'iso', 'focus_distance')
    values = {n: getattr(known, n) for n in names if known and getattr(known, n) is not None}
    return replace(sensor.settings, **values)


def channel_at(encoding: str, column: Array, row: Array, random: np.random.Generator) -> Array:
    """Return the channel in which each pixel is looked at.

    Of a mosaic it is that of the photosite, of colours one drawn by chance, and a grey picture is
    what the camera makes of green.
    """
    if encoding.startswith('bayer_'):
        tile = np.array(['rgb'.index(letter) for letter in encoding[6:10]])
        return tile[2 * (row % 2) + column % 2]
    if encoding.startswith('rgb'):
        return random.integers(0, 3, len(column))
    return np.ones(len(column), np.int64)


def sampled(
    frame: RecordedFrame,
    corners: Array,
    *,
    settings: CameraSettings,
    pose: tuple[Array, Array],
    name: str,
    ceiling: float,
    seed: int,
    count: int,
) -> BoardFrame | None:
    """Return photosites around the corners of a frame's board, drawn by chance; None = too few.

    :param corners: (n, 2) px.
    :param ceiling: over full scale: values from there on are left out.
    :param seed: of the draw, with the frame's number.
    :param count: how many, of more.
    """
    height, width = frame.image.shape[:2]
    spacing = _spacing(corners)
    half = int(min(WINDOW, SHARE * spacing))
    if half < 2:
        return None
    steps = np.arange(-half, half + 1)
    middle = np.round(corners).astype(np.int64)
    column = (middle[:, None, None, 0] + steps[None, None, :]).repeat(len(steps), axis=1).ravel()
    row = (middle[:, None, None, 1] + steps[None, :, None]).repeat(len(steps), axis=2).ravel()
    there = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = np.unique(row[there] * width + column[there])
    random = np.random.default_rng([seed, frame.index])
    if len(place) > count:
        chance = _steepness(frame, place)
        place = np.sort(random.choice(place, count, replace=False, p=chance / chance.sum()))
    row, column = place // width, place % width
    channel = channel_at(frame.encoding, column, row, random)
    values = frame.image[row, column]
    if values.ndim == 2:
        values = values[np.arange(len(values)), channel]
    values = values.astype(np.float64) / frame.full_scale
    good = (values < BRIGHTEST * ceiling) & (values > DARKEST / 255.0)
    if good.sum() < count // 7:
        return None
    return BoardFrame(
        name,
        settings,
        np.asarray(pose[0], np.float64),
        np.asarray(pose[1], np.float64).ravel(),
        np.stack([column, row], axis=1)[good].astype(np.float64),
        channel[good],
        values[good],
    )


def _steepness(frame: RecordedFrame, place: Array) -> Array:
    """Return how much pixels tell, about: the slopes there, and an even part for the levels.

    :param place: numbers of pixels, row by row. Of a mosaic photosites of one colour are compared.
    """
    grey = frame.image if frame.image.ndim == 2 else frame.image[..., 1]
    apart = 2 if frame.encoding.startswith('bayer_') else 1
    size = np.zeros(grey.shape, np.float32)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), apart)
    size[:, apart:-apart] += np.abs(smooth[:, 2 * apart :] - smooth[:, : -2 * apart])
    size[apart:-apart] += np.abs(smooth[2 * apart :] - smooth[: -2 * apart])
    steep = size.ravel()[place].astype(np.float64)
    return steep + EVEN * float(np.quantile(steep, 0.9)) + 1e-9


def _spacing(corners: Array) -> float:
    """Return the median distance of a corner to its nearest, px."""
    if len(corners) < 2:
        return 0.0
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(axis=1)))


def evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many of some items, evenly spread."""
    if len(items) <= most:
        return list(items)
    places = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[place] for place in places]
