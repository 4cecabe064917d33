# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The geometry of a lens, fused with its vignetting: one pass from the view to the sensor's grid.

Where a pixel looks never changes while the lens stays, so it is kept as the number of a source
pixel and two fractions. The three colours of a pixel lie beside each other, with a fourth number
after them: they are mixed together, as one SIMD vector of four.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import config, prange, types
from numba.extending import intrinsic
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32, U64 = np.float32, np.uint64
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]

_CHUNK = 8  # rows a thread takes at a time
_ZERO = F32(0.0)
_THREE = U64(3)
_ZERO_BITS, _EXPONENT = np.int32(0), np.int32(0x7F800000)


class Places(NamedTuple):
    """Where in a source picture the pixels of another look, (H', W').

    :param corner: index of the upper left of the four source pixels, 0 where there is none.
    :param right: how far to the right of it, [0, 1].
    :param down: how far below it, [0, 1].
    :param nearest: index of the nearest source pixel, −1 for none.
    :param quick: (H',) whether no pixel of a row looks at the last four of the source, beyond
        which there is no fourth number to read.
    """

    corner: Indices
    right: Floats
    down: Floats
    nearest: Indices
    quick: npt.NDArray[np.bool_]


def places_of(
    position: npt.NDArray[np.float64], nearest: Indices, height: int, width: int
) -> Places:
    """Return places from positions (H', W', 2) (u, v) in px, held to the picture as always.

    :param nearest: (H', W') index of the nearest pixel of a source of height x width, −1 for
        none: such a place looks nowhere.
    """
    there = nearest >= 0
    u = np.where(there, np.clip(position[..., 0], 0.0, width - 1.0), 0.0)
    v = np.where(there, np.clip(position[..., 1], 0.0, height - 1.0), 0.0)
    column = np.clip(np.floor(u), 0, max(width - 2, 0))
    row = np.clip(np.floor(v), 0, max(height - 2, 0))
    corner = (row * width + column).astype(np.int32)
    right, down = (u - column).astype(np.float32), (v - row).astype(np.float32)
    quick = (corner < (height - 1) * width - 2).all(axis=1)
    return Places(corner, right, down, np.ascontiguousarray(nearest, np.int32), quick)


@intrinsic  # type: ignore[untyped-decorator]
def _mix_pixel(  # type: ignore[no-untyped-def]
    typing: Any, source: Any, upper: Any, lower: Any, out: Any, to: Any, weights: Any
):
    """Set out[to : to + 4] to a weighted sum of four vectors of four floats.

    They begin at source[upper], source[upper + 3], source[lower], source[lower + 3]; nothing is
    checked.
    """
    index = types.uint64
    weight = types.Tuple([types.float32] * 4)
    signature = types.void(source, index, index, out, index, weight)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), 4)
        lane = ir.IntType(32)

        def at(array: int, place: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.bitcast(builder.gep(data.data, [place]), vector.as_pointer())

        def spread(number: Any) -> Any:
            undefined = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(undefined, number, ir.Constant(lane, 0))
            lanes = ir.Constant(ir.VectorType(lane, 4), [0] * 4)
            return builder.shuffle_vector(one, undefined, lanes)

        three = ir.Constant(ir.IntType(64), 3)
        upper, lower = arguments[1], arguments[2]
        places = [upper, builder.add(upper, three), lower, builder.add(lower, three)]
        total = None
        for k, place in enumerate(places):
            colours = builder.load(at(0, place))
            colours.align = 4
            share = spread(builder.extract_value(arguments[5], k))
            part = builder.fmul(colours, share, flags=('contract',))
            total = part if total is None else builder.fadd(total, part, flags=('contract',))
        builder.store(total, at(3, arguments[4])).align = 4
        return context.get_dummy_value()

    return signature, generate


def _mix_plainly(source, upper, lower, out, to, weights):  # type: ignore[no-untyped-def]
    """Do the same in numpy."""
    places = (upper, upper + _THREE, lower, lower + _THREE)
    out[to : to + 4] = sum(w * source[p : p + 4] for w, p in zip(weights, places, strict=True))


if config.DISABLE_JIT:  # as a debugger wants it: an intrinsic has no uncompiled form
    _mix_pixel = _mix_plainly


@kernel(fastmath=FUSED)
def _weigh(places, row, mask, weights):  # type: ignore[no-untyped-def]
    """Set the weights (4, W) of the four pixels, vignetting included; 0 where there is none."""
    right, down, nearest = places.right[row], places.down[row], places.nearest[row]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for i in range(mask.size):
        light = mask[i] if nearest[i] >= 0 else _ZERO
        a, b = right[i], down[i]
        below = light * b
        w3[i] = a * below
        w2[i] = below - w3[i]
        w1[i] = light * a - w3[i]
        w0[i] = light - light * a - w2[i]


@kernel()
def _mix_row(source, below, corner, weights, count, line):  # type: ignore[no-untyped-def]
    """Set a row (3 · W,), but for its last pixel: the fourth number is the next one's red."""
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for i in range(count):
        upper = _THREE * U64(corner[i])
        _mix_pixel(
            source, upper, upper + below, line, _THREE * U64(i), (w0[i], w1[i], w2[i], w3[i])
        )


@kernel(fastmath=FUSED)
def _mix_channel(source, below, corner, weights, first, channel, line):  # type: ignore[no-untyped-def]
    """Set one channel of a row (3 · W,) from a column on, number by number."""
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for i in range(first, corner.size):
        p = _THREE * U64(corner[i]) + U64(channel)
        q = p + below
        line[_THREE * U64(i) + U64(channel)] = (
            w0[i] * source[p]
            + w1[i] * source[p + _THREE]
            + w2[i] * source[q]
            + w3[i] * source[q + _THREE]
        )


@kernel()
def _is_finite(line):  # type: ignore[no-untyped-def]
    """Return whether a row holds no NaN and no infinity: their exponents are all ones."""
    bits, largest = line.view(np.int32), _ZERO_BITS
    for i in range(bits.size):
        largest = max(largest, bits[i] & _EXPONENT)
    return largest < _EXPONENT


@kernel(parallel=True)
def warp(image, depth, places, mask, out, out_depth):  # type: ignore[no-untyped-def]
    """Sample colour bilinearly and depth at the nearest pixel, and vignette on the way.

    Equals distortion.distort followed by vignetting.

    :param image: (H, W, 3) contiguous source of at least 2 x 2 pixels.
    :param depth: (H, W) of the source, or (0, 0) for none.
    :param places: of the result's pixels in the source.
    :param mask: (H', W') vignetting.
    :param out: (H', W', 3).
    :param out_depth: (H', W'), 0 where there is no source; untouched without a depth.
    :return: whether all of the result is finite: what is not in the source, also where it counts
        nothing, makes the result so.
    """
    rows, columns = places.corner.shape
    finite = np.ones(rows, np.bool_)
    source = image.reshape(-1)
    below = U64(3 * image.shape[1])
    distances = depth.reshape(-1)
    for chunk in prange((rows + _CHUNK - 1) // _CHUNK):
        weights = np.empty((4, columns), np.float32)
        for row in range(chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, rows)):
            corner, line = places.corner[row], out[row].reshape(-1)
            _weigh(places, row, mask[row], weights)
            count = columns - 1 if places.quick[row] else 0
            _mix_row(source, below, corner, weights, count, line)
            for channel in range(3):
                _mix_channel(source, below, corner, weights, count, channel, line)
            finite[row] = _is_finite(line)
            if distances.size > 0:
                _pick_nearest(distances, places.nearest[row], out_depth[row])
    return finite.all()


@kernel()
def _pick_nearest(distances, nearest, line):  # type: ignore[no-untyped-def]
    for i in range(line.size):
        place = nearest[i]
        line[i] = distances[U64(max(place, 0))] if place >= 0 else _ZERO


@kernel(parallel=True)
def warp_colours(  # type: ignore[no-untyped-def]
    image, depth, red, green, blue, nearest, mask, out, out_depth
):
    """As ``warp``, where every colour looks somewhere else (aberration.distort_colours).

    :param red: Places of the first channel.
    :param nearest: (H', W') where the depth looks.
    """
    rows, columns = nearest.shape
    finite = np.ones(rows, np.bool_)
    source = image.reshape(-1)
    below = U64(3 * image.shape[1])
    distances = depth.reshape(-1)
    for chunk in prange((rows + _CHUNK - 1) // _CHUNK):
        weights = np.empty((4, columns), np.float32)
        for row in range(chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, rows)):
            line = out[row].reshape(-1)
            _weigh(red, row, mask[row], weights)
            _mix_channel(source, below, red.corner[row], weights, 0, 0, line)
            _weigh(green, row, mask[row], weights)
            _mix_channel(source, below, green.corner[row], weights, 0, 1, line)
            _weigh(blue, row, mask[row], weights)
            _mix_channel(source, below, blue.corner[row], weights, 0, 2, line)
            finite[row] = _is_finite(line)
            if distances.size > 0:
                _pick_nearest(distances, nearest[row], out_depth[row])
    return finite.all()


@kernel(parallel=True)
def shade(image, mask, out):  # type: ignore[no-untyped-def]
    """Multiply (H, W, 3) by the vignetting mask (H, W), as vignetting.vignette does."""
    height, width = mask.shape
    for row in prange(height):
        source, target, factor = image[row].reshape(-1), out[row].reshape(-1), mask[row]
        for column in range(width):
            target[3 * column] = source[3 * column] * factor[column]
            target[3 * column + 1] = source[3 * column + 1] * factor[column]
            target[3 * column + 2] = source[3 * column + 2] * factor[column]
