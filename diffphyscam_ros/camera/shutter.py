# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Light over time: the exposure window of each row, and the mean of a moving picture over it.

Between two sub-frames the light of a pixel is taken to change linearly, outside them to stay.
The mean of that over a row's window is an exact integral, so the weights of a row add up to 1, a
picture that does not change stays what it is, and a rolling shutter without readout time is a
global one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math

import torch

from diffphyscam_ros.camera.intrinsics import Scalar
from diffphyscam_ros.camera.plain import has_grad

IrradianceAt = Callable[[float, range], torch.Tensor]
"""Of a time in s and the rows that are needed then: (..., H, W, C), other rows being anything."""


def row_starts(
    height: int, exposure_time: Scalar, readout_time: Scalar = 0.0, start: Scalar | None = None
) -> torch.Tensor:
    """Return when the exposure of each row begins, (..., H) in s, float64.

    Row v begins at start + readout_time·v/(H − 1).

    :param exposure_time: t in s, a number or (B,).
    :param readout_time: from the start of the first row to that of the last, s; 0 = global.
    :param start: of the first row; None puts time 0 in the middle of all, which is the middle of
        the middle row's exposure.
    """
    exposure, readout = _seconds(exposure_time), _seconds(readout_time)
    begin = -(exposure + readout) / 2 if start is None else _seconds(start)
    share = torch.linspace(0.0, 1.0, height, dtype=torch.float64, device=exposure.device)
    if height == 1:
        share = share + 0.5  # the only row is the middle one
    return begin[..., None] + readout[..., None] * share


def subframe_times(
    count: int, exposure_time: Scalar, readout_time: Scalar = 0.0, start: Scalar | None = None
) -> list[float]:
    """Return times in s, evenly from the start of the first row to the end of the last.

    :param count: at least 1; one sub-frame stands in the middle.
    """
    if count < 1:
        raise ValueError(f'count = {count}: must be at least 1')
    exposure = float(_seconds(exposure_time).detach().max())
    whole = exposure + float(_seconds(readout_time).detach().max())
    first = -whole / 2 if start is None else float(_seconds(start).detach())
    if count == 1:
        return [first + whole / 2]
    return [first + whole * index / (count - 1) for index in range(count)]


def shutter_weights(
    times: Sequence[float] | torch.Tensor,
    height: int,
    exposure_time: Scalar,
    readout_time: Scalar = 0.0,
    start: Scalar | None = None,
) -> torch.Tensor:
    """Return the share of each sub-frame in each row, (n, ..., H) float64; they add up to 1.

    Differentiable in the exposure time, the readout time, the start and the times (once: a
    weight is a piecewise quadratic function of each).

    :param times: (n,) s, ascending.
    :param exposure_time: see ``row_starts``, as for the others.
    :raises ValueError: for times that do not ascend, or windows that are not a time.
    """
    moments = torch.as_tensor(times, dtype=torch.float64)
    if moments.ndim != 1 or not len(moments) or bool((moments.detach().diff() <= 0).any()):
        raise ValueError(f'times = {moments.tolist()}: must be (n,) ascending seconds')
    exposure, readout = _seconds(exposure_time), _seconds(readout_time)
    _check(height, exposure, readout)
    begin = row_starts(height, exposure, readout, start)  # (..., H)
    end = begin + exposure[..., None]
    moments = moments.to(begin.device)
    if len(moments) == 1:
        return torch.ones_like(begin)[None]
    shape = (-1,) + (1,) * begin.ndim
    left, right = moments[:-1].reshape(shape), moments[1:].reshape(shape)
    step = right - left
    # The window's part of each interval between two sub-frames, in units of the interval.
    low = (torch.maximum(torch.minimum(begin, right), left) - left) / step
    high = (torch.maximum(torch.minimum(end, right), left) - left) / step
    to_right = step * (high**2 - low**2) / 2
    to_left = step * (high - low) - to_right
    nothing = torch.zeros_like(begin)[None]
    share = torch.cat([to_left, nothing]) + torch.cat([nothing, to_right])
    before = torch.minimum(end, moments[0]) - torch.minimum(begin, moments[0])
    after = torch.maximum(end, moments[-1]) - torch.maximum(begin, moments[-1])
    outside = torch.cat(
        [before[None], nothing.expand(len(moments) - 2, *begin.shape), after[None]]
    )
    return (share + outside) / exposure[..., None]


def needed_rows(weights: torch.Tensor) -> list[range]:
    """Return for each sub-frame the rows that it has a share in.

    :param weights: (n, ..., H) of ``shutter_weights``.
    """
    used = (weights.detach() != 0).reshape(len(weights), -1, weights.shape[-1]).any(dim=1)
    rows = []
    for line in used:
        places = line.nonzero()
        rows.append(range(int(places[0]), int(places[-1]) + 1) if len(places) else range(0))
    return rows


def expose_over_time(
    irradiance_at: IrradianceAt,
    times: Sequence[float] | torch.Tensor,
    height: int,
    exposure_time: Scalar,
    readout_time: Scalar = 0.0,
    start: Scalar | None = None,
) -> torch.Tensor:
    """Return what the rows of a sensor see on average while they are exposed.

    The sub-frames are asked for one after the other and added up, so that without gradients two
    pictures are in memory however many there are. Differentiable in the sub-frames and, as
    ``shutter_weights``, in the shutter's times.

    :param irradiance_at: gives the picture (..., H, W, C) at a time. It is told which rows count
        then (all of them, with a global shutter), and not asked where none does.
    :param times: (n,) s, ascending; see ``subframe_times``. One is enough where nothing moves.
    :param height: H, rows.
    :param exposure_time: t in s, a number or (B,) for pictures (B, H, W, C).
    :param readout_time: s from the first to the last row's start; 0 = a global shutter.
    :param start: s, of the first row's exposure; None puts 0 in the middle of the middle row's.
    :return: (..., H, W, C) of the pictures' type.
    :raises ValueError: for a picture of another height, or as ``shutter_weights``.
    """
    weights = shutter_weights(times, height, exposure_time, readout_time, start)
    moments = [float(time) for time in torch.as_tensor(times, dtype=torch.float64).detach()]
    total = _Total(weights)
    for index, rows in enumerate(needed_rows(weights)):
        if len(rows):
            total.add(irradiance_at(moments[index], rows), index, rows)
    return total.result()


class _Total:
    """The weighted sum of pictures, in double precision: what does not change, stays exactly."""

    def __init__(self, weights: torch.Tensor) -> None:
        self._weights = weights
        self._sum: torch.Tensor | None = None
        self._dtype = torch.float32

    def add(self, picture: torch.Tensor, index: int, rows: range) -> None:
        """Add a picture by its number."""
        weight = self._weights[index]
        height = weight.shape[-1]
        if picture.ndim < 3 or picture.shape[-3] != height:
            raise ValueError(
                f'a sub-frame has shape {tuple(picture.shape)}: must be (..., {height}, W, C)'
            )
        if self._sum is None:
            self._dtype = picture.dtype
        if _kernel_serves(picture, weight):
            from diffphyscam_ros.kernels.accumulate import add_rows

            if self._sum is None:
                self._sum = torch.zeros(picture.shape, dtype=torch.float64)
            add_rows(picture.numpy(), weight.numpy(), rows.start, rows.stop, self._sum.numpy())
            return
        weight = weight.to(picture.device)[..., None, None]
        # 0·(whatever the other rows hold, perhaps inf) must not be added.
        used = weight.detach() != 0
        part = torch.where(used, weight * torch.where(used, picture, 0.0).double(), 0.0)
        self._sum = part if self._sum is None else self._sum + part

    def result(self) -> torch.Tensor:
        """Return the sum."""
        assert self._sum is not None  # the weights of a row add up to 1
        return self._sum.to(self._dtype)


def _kernel_serves(picture: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        picture.dtype == torch.float32
        and picture.ndim == 3
        and weight.ndim == 1
        and picture.device.type == 'cpu'
        and picture.is_contiguous()
        and not has_grad(picture, weight)
    )


def _seconds(value: Scalar) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _check(height: int, exposure: torch.Tensor, readout: torch.Tensor) -> None:
    if height < 1:
        raise ValueError(f'height = {height} px: must be at least 1')
    if not bool(((exposure > 0) & (exposure < math.inf)).all()):
        raise ValueError(f'exposure_time = {exposure.tolist()} s: must be > 0 and finite')
    if not bool(((readout >= 0) & (readout < math.inf)).all()):
        raise ValueError(f'readout_time = {readout.tolist()} s: must be >= 0 and finite')
