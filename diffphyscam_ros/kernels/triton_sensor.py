# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor on CUDA: irradiance to digital values in one Triton kernel, and its adjoint.

Equals exposure, noise, response and quantisation of ``camera.stages.read_out``. One pass over the
picture instead of some thirty; the backward pass computes everything again from the irradiance,
whose reading is cheaper than keeping the steps between. With TRITON_INTERPRET=1 in the environment
the same kernels run on the CPU, slowly: that is how machines without a GPU test them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable
import triton
import triton.language as tl

from diffphyscam_ros.kernels.triton_launch import on_device_of

COEFFICIENTS = 22
"""Of each picture: scale, dark, shot, read, gain and bias of three channels, iso, gamma, black
level, full well."""

LINEAR, GAMMA, SIGMOID = 0, 1, 2

_BLOCK = 512

_LARGEST = tl.constexpr(1e30)
_MOST_VARIANCE = tl.constexpr(1e37)
_KNEE = tl.constexpr(0.05)
_TURN = tl.constexpr(2.0 * math.pi * 2.0**-23)
_UNIT = tl.constexpr(2.0**-23)
_LN2 = tl.constexpr(math.log(2.0))
_SINGLE = tl.constexpr(COEFFICIENTS - 4)


@triton.jit  # type: ignore[untyped-decorator]
def _words(pixel, frame, seed, stream):  # type: ignore[no-untyped-def]
    """Hash four counters into four words: pcg4d, as camera/noise.py."""
    x = pixel * 1664525 + 1013904223
    y = frame * 1664525 + 1013904223
    z = seed * 1664525 + 1013904223
    w = stream * 1664525 + 1013904223
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    x = x ^ (x >> 16)
    y = y ^ (y >> 16)
    z = z ^ (z >> 16)
    w = w ^ (w >> 16)
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    return x, y, z, w


@triton.jit  # type: ignore[untyped-decorator]
def _radius(word):  # type: ignore[no-untyped-def]
    return tl.sqrt(-2.0 * tl.log(((word >> 9).to(tl.float32) + 0.5) * _UNIT))


@triton.jit  # type: ignore[untyped-decorator]
def _angle(word):  # type: ignore[no-untyped-def]
    return (word >> 9).to(tl.float32) * _TURN


@triton.jit  # type: ignore[untyped-decorator]
def _held(value):  # type: ignore[no-untyped-def]
    return tl.minimum(tl.maximum(value, -_LARGEST), _LARGEST)


@triton.jit  # type: ignore[untyped-decorator]
def _curve(signal, gain, bias, gamma, KIND: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the response's value, and its slopes by signal, gain, bias and gamma."""
    if KIND == 0:
        value = gain * signal + bias
        return value, gain + 0.0 * signal, signal, 1.0 + 0.0 * signal, 0.0 * signal
    elif KIND == 1:
        lit = signal > 1.0
        stops = tl.maximum(tl.log2(tl.where(lit, signal, 2.0)), 1e-30)
        octaves = tl.log2(stops)
        curve = tl.where(lit, tl.exp2(gamma * octaves), 0.0)
        by_signal = gain * gamma * curve / (stops * _LN2 * tl.where(lit, signal, 1.0))
        value = gain * curve + bias
        return value, by_signal, curve, 1.0 + 0.0 * signal, gain * curve * octaves * _LN2
    else:
        value = 1.0 / (1.0 + tl.exp(-tl.minimum(tl.maximum(gain * signal + bias, -80.0), 80.0)))
        slope = value * (1.0 - value)
        return value, slope * gain, slope * signal, slope, 0.0 * signal


@triton.jit  # type: ignore[untyped-decorator]
def _clamped(value, SOFT: tl.constexpr):  # type: ignore[no-untyped-def]
    """Clamp to [0, 1], or bend towards the ends; return the slope too."""
    if SOFT:
        # How far below and above, in knees: at least 1, where the bends begin.
        low = 1.0 / tl.maximum(2.0 - value / _KNEE, 1.0)
        high = 1.0 / tl.maximum(2.0 - (1.0 - value) / _KNEE, 1.0)
        bent = tl.where(value < _KNEE, low * _KNEE, value)
        bent = tl.where(value > 1.0 - _KNEE, 1.0 - high * _KNEE, bent)
        return bent, low * low * high * high
    else:
        inside = (value >= 0.0) & (value <= 1.0)
        return tl.minimum(tl.maximum(value, 0.0), 1.0), tl.where(inside, 1.0, 0.0)


@triton.jit(do_not_specialize=['size', 'frame', 'seed', 'stream', 'levels'])  # type: ignore[untyped-decorator]
def _sensor(  # type: ignore[no-untyped-def]
    light, gain, extra, offset, table, out, given, by_light, by_gain, by_extra, by_offset, by_sums,
    size, frame, seed, stream, levels,
    NOISY: tl.constexpr, READS: tl.constexpr, GAIN: tl.constexpr, EXTRA: tl.constexpr,
    OFFSET: tl.constexpr, KIND: tl.constexpr, SOFT: tl.constexpr, LEVELS: tl.constexpr,
    BACKWARD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Read out a block of pixels of one picture, or pull their gradient back.

    Forward: out = the digital values of light. Backward: from ``given``, the gradient by out,
    those by light, gain, extra and offset, and of each program the sums by the coefficients.
    """
    block, image = tl.program_id(0), tl.program_id(1)
    pixel = block * BLOCK + tl.arange(0, BLOCK)
    there = pixel < size
    table += image * (_SINGLE + 4)
    iso, gamma = tl.load(table + _SINGLE), tl.load(table + _SINGLE + 1)
    black, well = tl.load(table + _SINGLE + 2), tl.load(table + _SINGLE + 3)
    x, y, z, w = _words(
        pixel.to(tl.uint32),
        (frame + image).to(tl.uint32),
        seed.to(tl.uint32),
        stream.to(tl.uint32),
    )
    first, second = _radius(x), _radius(z)
    sum_iso, sum_gamma, sum_black, sum_well = 0.0, 0.0, 0.0, 0.0
    row = (image * tl.num_programs(0) + block) * (_SINGLE + 4)
    for channel in tl.static_range(3):
        place = 3 * pixel + channel
        here = image.to(tl.int64) * 3 * size + place
        scale, dark = tl.load(table + channel), tl.load(table + 3 + channel)
        shot, read = tl.load(table + 6 + channel), tl.load(table + 9 + channel)
        slope, bias = tl.load(table + 12 + channel), tl.load(table + 15 + channel)
        irradiance = tl.load(light + here, mask=there, other=0.0)
        lit = irradiance * scale
        mean = _held(lit + dark)
        share = 1.0
        if GAIN:
            share = 1.0 + tl.load(gain + place, mask=there, other=0.0)
            mean = mean + (mean - dark) * (share - 1.0)
        if EXTRA:
            mean += tl.load(extra + image * 3 * size + place, mask=there, other=0.0)
        mean = _held(mean)
        electrons = mean
        if NOISY:
            if channel == 0:
                xi = first * tl.cos(_angle(y))
            elif channel == 1:
                xi = first * tl.sin(_angle(y))
            else:
                xi = second * tl.cos(_angle(w))
            positive = tl.maximum(mean, 0.0)
            variance = shot * shot * positive
            if READS:
                variance = variance + read * read
            variance = tl.minimum(variance, _MOST_VARIANCE)
            deviation = tl.sqrt(variance)
            electrons = mean + deviation * xi
        full = electrons > well
        electrons = tl.minimum(electrons, well)
        if OFFSET:
            electrons += tl.load(offset + place, mask=there, other=0.0)
        electrons = _held(electrons)
        signal = _held(iso * electrons)
        value, by_signal, by_slope, by_bias, by_gamma = _curve(signal, slope, bias, gamma, KIND)
        levelled = black + (1.0 - black) * value
        if KIND == 2:
            clamped, passed = levelled, 1.0 + 0.0 * levelled
        else:
            clamped, passed = _clamped(levelled, SOFT)
        if BACKWARD:
            pulled = tl.load(given + here, mask=there, other=0.0) * passed
            sum_black += tl.sum(pulled * (1.0 - value))
            pulled = pulled * (1.0 - black)
            sum_gamma += tl.sum(pulled * by_gamma)
            tl.store(by_sums + row + 12 + channel, tl.sum(pulled * by_slope))
            tl.store(by_sums + row + 15 + channel, tl.sum(pulled * by_bias))
            pulled = tl.where(tl.abs(iso * electrons) <= _LARGEST, pulled * by_signal, 0.0)
            sum_iso += tl.sum(pulled * electrons)
            pulled = pulled * iso
            if OFFSET:
                tl.store(by_offset + here, pulled, mask=there)
            sum_well += tl.sum(tl.where(full, pulled, 0.0))
            if SOFT:  # noise.fill_wells
                held_back = well / tl.maximum(mean + deviation * xi if NOISY else mean, well)
                pulled = pulled * held_back * held_back
            else:
                pulled = tl.where(full, 0.0, pulled)
            sum_shot, sum_read = 0.0, 0.0
            if NOISY:
                steep = tl.where((variance > 0.0) & (variance < _MOST_VARIANCE), 1.0, 0.0)
                steep = pulled * xi * steep / tl.maximum(deviation, 1e-30)
                sum_shot = tl.sum(steep * shot * positive)
                if READS:
                    sum_read = tl.sum(steep * read)
                pulled += tl.where(mean > 0.0, 0.5 * shot * shot * steep, 0.0)
            tl.store(by_sums + row + 6 + channel, sum_shot)
            tl.store(by_sums + row + 9 + channel, sum_read)
            if EXTRA:
                tl.store(by_extra + here, pulled, mask=there)
            inside = tl.abs(lit + dark) <= _LARGEST
            if GAIN:
                tl.store(by_gain + here, pulled * lit, mask=there)
            # Dark electrons know no photo response: share is on the lit ones alone.
            tl.store(by_sums + row + 3 + channel, tl.sum(tl.where(inside, pulled, 0.0)))
            pulled = tl.where(inside, pulled * share, 0.0)
            tl.store(by_sums + row + channel, tl.sum(pulled * irradiance))
            tl.store(by_light + here, pulled * scale, mask=there)
        else:
            if LEVELS:
                # Halves to the even one, as torch rounds: adding 2^23 leaves no fraction.
                clamped = ((clamped * levels + 8388608.0) - 8388608.0) / levels
            tl.store(out + here, clamped, mask=there)
    if BACKWARD:
        tl.store(by_sums + row + _SINGLE, sum_iso)
        tl.store(by_sums + row + _SINGLE + 1, sum_gamma)
        tl.store(by_sums + row + _SINGLE + 2, sum_black)
        tl.store(by_sums + row + _SINGLE + 3, sum_well)


class _ReadOut(torch.autograd.Function):
    """The kernel with its adjoint."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any, light, gain, extra, offset, table, numbers, kind, reads, soft, levels
    ) -> torch.Tensor:
        ctx.save_for_backward(light, gain, extra, offset, table)
        ctx.rest = numbers, kind, reads, soft
        out = torch.empty_like(light)
        _launch(light, gain, extra, offset, table, out, None, numbers, kind, reads, soft, levels)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        light, gain, extra, offset, table = ctx.saved_tensors
        numbers, kind, reads, soft = ctx.rest
        by_out = given[0].contiguous()
        parts = _launch(
            light, gain, extra, offset, table, light, by_out, numbers, kind, reads, soft, 0
        )
        return (*parts, *(None,) * 5)


def _launch(  # type: ignore[no-untyped-def]
    light, gain, extra, offset, table, out, given, numbers, kind, reads, soft, levels
):
    """Run the kernel forward, or with ``given`` backward; return the gradients."""
    batch, size = light.shape[0], light.shape[1] * light.shape[2]
    grid = (triton.cdiv(size, _BLOCK), batch)
    backward = given is not None

    def like(part: torch.Tensor | None) -> torch.Tensor | None:
        return torch.empty_like(light) if backward and part is not None else None

    by_light, by_gain, by_extra, by_offset = like(light), like(gain), like(extra), like(offset)
    sums = light.new_empty(batch, grid[0], COEFFICIENTS) if backward else None
    frame, seed, stream = numbers
    pointers = (light, gain, extra, offset, table, out, given)
    pointers += (by_light, by_gain, by_extra, by_offset, sums)
    with on_device_of(light):
        _sensor[grid](
            *(light if pointer is None else pointer for pointer in pointers),
            size, frame, seed, stream, levels,
            NOISY=bool(stream), READS=reads, GAIN=gain is not None, EXTRA=extra is not None,
            OFFSET=offset is not None, KIND=kind, SOFT=soft, LEVELS=levels > 0, BACKWARD=backward,
            BLOCK=_BLOCK,
        )  # fmt: skip
    if not backward:
        return ()
    return (
        by_light,
        None if by_gain is None else by_gain.sum(0),
        by_extra,
        None if by_offset is None else by_offset.sum(0),
        sums.sum(1),
    )


def read_out_triton(
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
    """Return digital values of an irradiance; differentiable in every tensor.

    :param light: (B, H, W, 3) finite float32 irradiance; on CUDA, or on the CPU interpreted.
    :param table: (B, 22) float32, see COEFFICIENTS.
    :param kind: of the response: LINEAR, GAMMA or SIGMOID.
    :param soft: the soft clamp of camera/response.py.
    :param levels: 2^bits − 1, or 0 for no quantisation, whose gradient is passed straight through.
    :param reads: the read noise of the table is temporal and counts.
    :param noise: frame number of the first picture, seed and stream, 32 bits each; None = none.
    :param gain: (H, W, 3) relative excess of the photosites' sensitivity, or None.
    :param extra: (B, H, W, 3) electrons added before the temporal noise, or None.
    :param offset: (H, W, 3) electrons added after all, or None.
    :return: (B, H, W, 3).
    """
    # Words above 2^31 as the negative numbers that have the same 32 bits.
    numbers = tuple((word + 2**31) % 2**32 - 2**31 for word in noise or (0, 0, 0))
    light, table = light.contiguous(), table.contiguous()
    gain, extra, offset = (
        None if part is None else part.contiguous() for part in (gain, extra, offset)
    )
    out = _ReadOut.apply(  # type: ignore[no-untyped-call]
        light, gain, extra, offset, table, numbers, kind, reads, soft, levels
    )
    return out  # type: ignore[no-any-return]
