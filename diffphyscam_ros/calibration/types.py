# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the reader, the stages and the report of calibration hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Value = float | str | tuple[float, ...] | None
"""Of a parameter; a word for one of choices, as ``distortion_model``."""

ROLES = ('board', 'flat', 'dark', 'sweep', 'focus')
"""What a frame can be filmed for; '' = not known."""

VERDICTS = ('estimated', 'weak', 'not estimated')


@dataclass(frozen=True)
class FrameSettings:
    """What one frame was taken with, in SI; None = not known.

    :param exposure_time: s.
    :param iso: 100 = 0 dB of gain.
    :param aperture: f-number.
    :param focus_distance: m along z, ``math.inf`` = infinity.
    :param focal_length: m.
    :param white_balance: gains applied to red, green, blue.
    :param source: where it is from: 'metadata', 'parameter_events', 'flir', 'realsense',
        'pylon', 'csv', 'constant'; with '+' between them where one source filled what another
        left open.
    """

    exposure_time: float | None = None
    iso: float | None = None
    aperture: float | None = None
    focus_distance: float | None = None
    focal_length: float | None = None
    white_balance: tuple[float, float, float] | None = None
    source: str = ''

    @property
    def gain_db(self) -> float | None:
        """The gain in dB, 20·log10(iso / 100)."""
        return None if self.iso is None else 20.0 * math.log10(self.iso / 100.0)

    def known(self) -> tuple[str, ...]:
        """Return the names of the fields that have a value."""
        names = (item.name for item in fields(self) if item.name != 'source')
        return tuple(name for name in names if getattr(self, name) is not None)

    def filled_from(self, other: FrameSettings | None) -> FrameSettings:
        """Return these settings, what they leave open taken from others."""
        if other is None:
            return self
        new = {name: getattr(other, name) for name in other.known() if name not in self.known()}
        if not new:
            return self
        sources = dict.fromkeys([*self.source.split('+'), *other.source.split('+')])
        return replace(self, source='+'.join(s for s in sources if s), **new)


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One picture of a recording and all that is known of it.

    :param index: counts the frames of the topic over all bags, from 0.
    :param stamp: of the header, ns.
    :param image: (H, W), or (H, W, 3) in the order red, green, blue; uint8 or uint16 in the byte
        order of this machine. A Bayer mosaic stays (H, W). Read only.
    :param encoding: 'mono8', 'mono16', 'rgb8', 'rgb16', 'bayer_rggb8' ... 'bayer_grbg16'.
    :param role: what it was filmed for, one of ``ROLES``, or ''.
    :param bit_depth: bits that the values use where fewer than the type has: 12 for 12 bit values
        in a uint16, aligned to the right. 0 = all of them.
    :param lossy: the picture went through JPEG, so its noise is not the sensor's.
    :param settling: one of the first frames after a change of settings that the source does not
        give frame by frame: the camera may not have followed yet.
    :param automatic: whether exposure or gain ran by themselves; None = not known.
    """

    index: int
    stamp: int
    topic: str
    frame_id: str
    bag: str
    image: npt.NDArray[Any]
    encoding: str
    settings: FrameSettings | None = None
    role: str = ''
    bit_depth: int = 0
    lossy: bool = False
    settling: bool = False
    automatic: bool | None = None

    @property
    def full_scale(self) -> float:
        """The value that stands for 1.0: 255, 65535, or 2^bit_depth - 1."""
        return float(2 ** (self.bit_depth or 8 * self.image.dtype.itemsize) - 1)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return (self.image.shape[1], self.image.shape[0])

    def linear_unit(self) -> npt.NDArray[np.float32]:
        """Return the values over full scale: (H, W) or (H, W, 3) in [0, 1].

        The response of the camera is not undone.
        """
        return self.image.astype(np.float32) * np.float32(1.0 / self.full_scale)


@dataclass(frozen=True)
class Estimate:
    """One parameter as calibration found it, or why it did not.

    :param name: a field of ``SensorModel`` or ``CameraSettings``.
    :param value: None where it is not estimated.
    :param std: 1 standard deviation, of the shape of ``value``; None for words.
    :param verdict: one of ``VERDICTS``.
    :param reason: a plain sentence: from what, or why not and what to record.
    :param frames: how many it rests on.
    :param source: the bags.
    """

    name: str
    value: Value
    std: float | tuple[float, ...] | None
    unit: str
    verdict: str
    reason: str
    frames: int = 0
    source: str = ''

    def __post_init__(self) -> None:
        """Refuse a verdict that does not exist, or that its value contradicts."""
        if self.verdict not in VERDICTS:
            raise ValueError(
                f'verdict of {self.name} = {self.verdict!r}: must be one of {", ".join(VERDICTS)}'
            )
        if (self.value is None) != (self.verdict == 'not estimated'):
            raise ValueError(f'{self.name} = {self.value} contradicts {self.verdict!r}')


@dataclass(frozen=True)
class StageResult:
    """What one stage of calibration found.

    :param stage: 'intrinsics', 'vignetting', 'response', 'noise', 'defocus', 'colour', 'joint'.
    :param messages: refusals with remedies, outliers by name.
    :param plots: numbers for the report that JSON can hold; the stage's module says which.
    :param correlation: names, and the matrix between them.
    """

    stage: str
    estimates: tuple[Estimate, ...]
    messages: tuple[str, ...] = ()
    plots: Mapping[str, Any] = field(default_factory=dict)
    correlation: tuple[tuple[str, ...], list[list[float]]] | None = None
