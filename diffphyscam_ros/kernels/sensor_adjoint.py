# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor on the CPU with its adjoint: irradiance to digital values, and gradients back.

Equals exposure, noise, response and quantisation of ``camera.stages.read_out``. A row is taken
apart into three lines; the backward pass computes it again from the irradiance, which is cheaper
than to keep what lies between. A row's sums are formed the same way whoever forms them.
"""

from __future__ import annotations

import math
from typing import Any

from numba import prange
import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.noise import fill_normals, log_float32
from diffphyscam_ros.kernels.pixels import interleave
from diffphyscam_ros.kernels.response import (
    exp2,
    GAMMA,
    held,
    LINEAR,
    quantise_line,
    respond_line,
    SIGMOID,
)
from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32 = np.float32

# Places in the table of coefficients, three channels each, then single ones.
SCALE, DARK, SHOT, READ, GAIN, BIAS, ISO, EXPONENT, BLACK, WELL = (
    0,
    3,
    6,
    9,
    12,
    15,
    18,
    19,
    20,
    21,
)
COEFFICIENTS = 22

_CHUNK = 8  # rows a thread takes at a time
_ZERO, _HALF, _ONE, _TINY = F32(0.0), F32(0.5), F32(1.0), F32(1e-30)
_KNEE, _LARGEST, _MOST_VARIANCE = F32(0.05), F32(1e30), F32(1e37)
_LN2, _LOG2E = F32(math.log(2.0)), F32(1.0 / math.log(2.0))
_SUMMED = {'contract', 'reassoc', 'nsz'}
_NO_TABLE = np.zeros(2, np.float32)
_NOTHING = np.empty((0, 0, 0), np.float32)
_NO_SUMS = np.empty((0, 0), np.float32)


@kernel()
def _take_apart(picture, row, lines):  # type: ignore[no-untyped-def]
    """Set three lines from a row of a picture, or to 0 where there is none."""
    if picture.shape[0] == 0:
        lines[:] = _ZERO
        return
    given = picture[row].reshape(-1)
    red, green, blue = lines[0], lines[1], lines[2]
    for i in range(red.size):
        red[i] = given[3 * i]
        green[i] = given[3 * i + 1]
        blue[i] = given[3 * i + 2]


@kernel(fastmath=FUSED)
def _gather(light, gain, extra, offset, xi, scale, dark, shot, read, well, mean, electrons):  # type: ignore[no-untyped-def]
    """Set a line's electrons before and after the temporal noise."""
    steep, floor = shot * shot, read * read
    for i in range(light.size):
        value = held(light[i] * scale + dark)
        value = held(value + (value - dark) * gain[i] + extra[i])
        mean[i] = value
        variance = min(steep * max(value, _ZERO) + floor, _MOST_VARIANCE)
        value = min(value + F32(math.sqrt(variance)) * xi[i], well)
        electrons[i] = held(value + offset[i])


@kernel()
def _passed(value, soft):  # type: ignore[no-untyped-def]
    """Return the slope of response.clamped."""
    if soft:
        low = _ONE / max(F32(2.0) - value / _KNEE, _ONE)
        high = _ONE / max(F32(2.0) - (_ONE - value) / _KNEE, _ONE)
        return low * low * high * high
    return _ONE if value >= _ZERO and value <= _ONE else _ZERO


@kernel(fastmath=_SUMMED)
def _pull_response(electrons, given, kind, iso, gain, bias, gamma, black, soft, pulled):  # type: ignore[no-untyped-def]
    """Set pulled to the gradient by electrons; return those by gain, bias, iso, gamma, black."""
    by_gain, by_bias, by_iso, by_gamma, by_black = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    white = _ONE - black
    if kind == LINEAR:
        for i in range(electrons.size):
            signal = held(iso * electrons[i])
            value = gain * signal + bias
            force = given[i] * _passed(black + white * value, soft)
            by_black += force * (_ONE - value)
            force *= white
            by_gain += force * signal
            by_bias += force
            force = force * gain if abs(signal) < _LARGEST else _ZERO
            by_iso += force * electrons[i]
            pulled[i] = force * iso
    elif kind == GAMMA:
        for i in range(electrons.size):
            signal = held(iso * electrons[i])
            lit = signal > _ONE
            safe = signal if lit else F32(2.0)
            stops = max(log_float32(safe) * _LOG2E, _TINY)
            octaves = log_float32(stops) * _LOG2E
            curve = exp2(gamma * octaves) if lit else _ZERO
            value = gain * curve + bias
            force = given[i] * _passed(black + white * value, soft)
            by_black += force * (_ONE - value)
            force *= white
            by_gain += force * curve
            by_bias += force
            by_gamma += force * gain * curve * octaves * _LN2
            force = force * gain * gamma * curve / (stops * _LN2 * safe)
            force = force if signal < _LARGEST else _ZERO
            by_iso += force * electrons[i]
            pulled[i] = force * iso
    elif kind == SIGMOID:
        for i in range(electrons.size):
            signal = held(iso * electrons[i])
            value = _ONE / (_ONE + exp2(-(gain * signal + bias) * _LOG2E))
            force = given[i]
            by_black += force * (_ONE - value)
            force *= white * value * (_ONE - value)
            by_gain += force * signal
            by_bias += force
            force = force * gain if abs(signal) < _LARGEST else _ZERO
            by_iso += force * electrons[i]
            pulled[i] = force * iso
    return by_gain, by_bias, by_iso, by_gamma, by_black


@kernel(fastmath=_SUMMED)
def _pull_electrons(  # type: ignore[no-untyped-def]
    light, gain, xi, mean, scale, dark, shot, read, well, soft, pulled, by_gain, by_extra
):
    """Pull a gradient by electrons back to the light, in place.

    Sets also the gradients by gain and extra; returns those by scale, dark, shot, read and well.
    """
    by_scale, by_dark, by_shot, by_read, by_well = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    steep, floor = shot * shot, read * read
    for i in range(light.size):
        force, value = pulled[i], mean[i]
        positive = max(value, _ZERO)
        variance = min(steep * positive + floor, _MOST_VARIANCE)
        deviation = F32(math.sqrt(variance))
        held_back = value + deviation * xi[i]
        full = held_back > well
        by_well += force if full else _ZERO
        share = well / held_back if soft else _ZERO  # noise.fill_wells
        force = force * share * share if full else force
        varies = variance > _ZERO and variance < _MOST_VARIANCE
        push = force * xi[i] / max(deviation, _TINY) if varies else _ZERO
        by_shot += push * shot * positive
        by_read += push * read
        force += _HALF * steep * push if value > _ZERO else _ZERO
        by_extra[i] = force
        lit = light[i] * scale
        by_gain[i] = force * lit
        force = force if abs(lit + dark) < _LARGEST else _ZERO
        by_dark += force
        force += force * gain[i]
        by_scale += force * light[i]
        pulled[i] = force * scale
    return by_scale, by_dark, by_shot, by_read, by_well


@kernel(parallel=True)
def _sensor(  # type: ignore[no-untyped-def]
    light, gain, extra, offset, table, words, kind, soft, levels,
    given, out, by_gain, by_extra, by_offset, sums,
):  # fmt: skip
    """Set out to the digital values of light, or pull the gradient ``given`` back to it.

    :param light: (H, W, 3); gain, extra and offset likewise, or without rows for none.
    :param table: (22,), see the places above.
    :param words: seed, frame number and stream of the noise, or (0,) for none.
    :param given: (H, W, 3) gradient by the values; without rows for the forward pass.
    :param out: (H, W, 3) values, or gradient by light.
    :param by_gain: where the gradient by gain goes; as the next two, without rows for none.
    :param sums: (H, 22) each row's gradient by the table.
    """
    height, width = light.shape[0], light.shape[1]
    iso, gamma, black, well = table[ISO], table[EXPONENT], table[BLACK], table[WELL]
    for chunk in prange((height + _CHUNK - 1) // _CHUNK):
        irradiance = np.empty((3, width), np.float32)
        gains = np.empty((3, width), np.float32)
        extras = np.empty((3, width), np.float32)
        offsets = np.empty((3, width), np.float32)
        xi = np.zeros((3, width), np.float32)
        mean = np.empty((3, width), np.float32)
        values = np.empty((3, width), np.float32)
        pulled = np.empty((3, width), np.float32)
        for row in range(chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, height)):
            _take_apart(light, row, irradiance)
            _take_apart(gain, row, gains)
            _take_apart(extra, row, extras)
            _take_apart(offset, row, offsets)
            if words.size > 1:
                start = row * width
                fill_normals(start, words[1], words[0], words[2], xi[0], xi[1], xi[2])
            for c in range(3):
                _gather(
                    irradiance[c], gains[c], extras[c], offsets[c], xi[c], table[SCALE + c],
                    table[DARK + c], table[SHOT + c], table[READ + c], well, mean[c], values[c],
                )  # fmt: skip
            if given.shape[0] == 0:
                for c in range(3):
                    slope, bias = table[GAIN + c], table[BIAS + c]
                    respond_line(values[c], kind, iso, slope, bias, gamma, _NO_TABLE, black, soft)
                    if levels > _ZERO:
                        quantise_line(values[c], levels)
                interleave(values[0], values[1], values[2], out[row].reshape(-1))
                continue
            total = sums[row]
            total[:] = _ZERO
            _take_apart(given, row, pulled)
            for c in range(3):
                slope, bias = table[GAIN + c], table[BIAS + c]
                parts = _pull_response(
                    values[c], pulled[c], kind, iso, slope, bias, gamma, black, soft, offsets[c]
                )
                total[GAIN + c], total[BIAS + c] = parts[0], parts[1]
                total[ISO] += parts[2]
                total[EXPONENT] += parts[3]
                total[BLACK] += parts[4]
                pulled[c] = offsets[c]
                pieces = _pull_electrons(
                    irradiance[c], gains[c], xi[c], mean[c], table[SCALE + c], table[DARK + c],
                    table[SHOT + c], table[READ + c], well, soft, pulled[c], values[c], extras[c],
                )  # fmt: skip
                total[SCALE + c], total[DARK + c] = pieces[0], pieces[1]
                total[SHOT + c], total[READ + c] = pieces[2], pieces[3]
                total[WELL] += pieces[4]
            interleave(pulled[0], pulled[1], pulled[2], out[row].reshape(-1))
            if by_gain.shape[0] > 0:
                interleave(values[0], values[1], values[2], by_gain[row].reshape(-1))
            if by_extra.shape[0] > 0:
                interleave(extras[0], extras[1], extras[2], by_extra[row].reshape(-1))
            if by_offset.shape[0] > 0:
                interleave(offsets[0], offsets[1], offsets[2], by_offset[row].reshape(-1))


_run: Any = _sensor


class _ReadOut(torch.autograd.Function):
    """The kernel with its adjoint."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any, light, gain, extra, offset, table, words, kind, soft, levels
    ) -> torch.Tensor:
        ctx.save_for_backward(light, gain, extra, offset, table)
        ctx.rest = words, kind, soft
        out = torch.empty_like(light)
        nothing = [_NOTHING, out.numpy(), _NOTHING, _NOTHING, _NOTHING, _NO_SUMS]
        arrays = [_array(part) for part in (light, gain, extra, offset, table)]
        _run(*arrays, words, kind, soft, np.float32(levels), *nothing)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        light, gain, extra, offset, table = ctx.saved_tensors
        words, kind, soft = ctx.rest
        forces = given[0].contiguous()
        by_light = torch.empty_like(light)
        parts = [
            torch.empty_like(light) if part is not None and wanted else None
            for part, wanted in zip((gain, extra, offset), ctx.needs_input_grad[1:4], strict=True)
        ]
        sums = torch.empty(light.shape[0], COEFFICIENTS)
        arrays = [_array(part) for part in (light, gain, extra, offset, table)]
        results = [_array(part) for part in (forces, by_light, *parts, sums)]
        _run(*arrays, words, kind, soft, np.float32(0.0), *results)
        return (by_light, *parts, sums.double().sum(0).float(), None, None, None, None)


def _array(part: torch.Tensor | None) -> Any:
    return _NOTHING if part is None else part.detach().numpy()


def read_out_adjoint(
    light: torch.Tensor,
    table: torch.Tensor,
    kind: int,
    soft: bool,
    levels: int,
    reads: bool,
    noise: tuple[int, int, int] | None,
    gain: torch.Tensor | None,
    extra: torch.Tensor | None,
    offset: torch.Tensor | None,
) -> torch.Tensor:
    """Return digital values of one irradiance; differentiable in every tensor.

    The parameters are those of ``triton_sensor.read_out_triton``, for one picture on the CPU:
    light (1, H, W, 3), table (1, 22).
    """
    if not reads:
        table = torch.cat([table[:, :READ], 0.0 * table[:, READ:GAIN], table[:, GAIN:]], dim=1)
    frame, seed, stream = noise or (0, 0, 0)
    words = np.array([seed, frame, stream] if noise else [0], np.uint32)
    if noise is None:
        table = torch.cat([table[:, :SHOT], 0.0 * table[:, SHOT:GAIN], table[:, GAIN:]], dim=1)
    parts = [
        None if part is None else part.reshape(part.shape[-3:]).contiguous()
        for part in (light, gain, extra, offset)
    ]
    values = _ReadOut.apply(*parts, table[0].contiguous(), words, kind, soft, levels)  # type: ignore[no-untyped-call]
    return values[None]  # type: ignore[no-any-return]
