# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of glare: halving, filtering, doubling, mixing (order: ``kernels.glare``).

Pictures of the pyramid are (H, 3·W): in each row the three planes, one after the other, so that
inner loops run over contiguous floats. The camera's own picture is (H, 3·W), too, with the colours
of a pixel beside each other. Every row is computed the same way whoever does it: the number of
threads changes nothing.

An axis comes as indices and weights, (cells, taps), of ``kernels.glare_levels``. An even length,
known by its number of taps, has the same four (halving) or two (doubling) weights everywhere,
and loops of its own that become SIMD. Small functions are inlined: a call that passes arrays costs
more than a short row.

The functions named …_rows compute some rows, the others all of them in parallel bands. A band has
its own lines in ``scratch``, (bands, 2, 3·W + room), so that nothing is allocated.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

EVEN_DOWN, EVEN_UP = 4, 2  # taps where the length is even
EIGHTH, QUARTER = np.float32(0.125), np.float32(0.25)
THREE_EIGHTHS, THREE_QUARTERS = np.float32(0.375), np.float32(0.75)
ZERO = np.float32(0.0)


@kernel(inline=True)
def mirrored(index, length):  # type: ignore[no-untyped-def]
    """Return an index reflected at the borders, the edge cell counted twice."""
    index = index % (2 * length)
    return min(index, 2 * length - 1 - index)


@kernel(fastmath=True, inline=True)
def weigh_rows(source, index, weight, line):  # type: ignore[no-untyped-def]
    """Set line (n) to the sum of some rows of (rows, n)."""
    count = line.shape[0]
    a, b, p, q = source[index[0]], source[index[1]], weight[0], weight[1]
    if index.shape[0] == 2:
        for x in range(count):
            line[x] = p * a[x] + q * b[x]
        return
    c, d, r, s = source[index[2]], source[index[3]], weight[2], weight[3]
    for x in range(count):
        line[x] = p * a[x] + q * b[x] + r * c[x] + s * d[x]
    for tap in range(4, index.shape[0]):
        a, p = source[index[tap]], weight[tap]
        for x in range(count):
            line[x] += p * a[x]


@kernel(fastmath=True, inline=True)
def weigh_cells(line, index, weight, target):  # type: ignore[no-untyped-def]
    """Set target to sums of some cells of a line: any halving, any doubling."""
    for x in range(target.shape[0]):
        value = ZERO
        for tap in range(index.shape[1]):
            value += weight[x, tap] * line[index[x, tap]]
        target[x] = value


@kernel(fastmath=True, inline=True)
def halve_line(line, index, weight, target):  # type: ignore[no-untyped-def]
    """Halve a line."""
    half = target.shape[0]
    if index.shape[1] != EVEN_DOWN or half == 1:
        weigh_cells(line, index, weight, target)
        return
    target[0] = THREE_EIGHTHS * (line[0] + line[1]) + EIGHTH * (line[0] + line[2])
    for x in range(1, half - 1):
        outer = line[2 * x - 1] + line[2 * x + 2]
        inner = line[2 * x] + line[2 * x + 1]
        target[x] = EIGHTH * outer + THREE_EIGHTHS * inner
    a, b, c = line[2 * half - 3], line[2 * half - 2], line[2 * half - 1]
    target[half - 1] = THREE_EIGHTHS * (b + c) + EIGHTH * (a + c)


@kernel(fastmath=True, inline=True)
def double_line(line, index, weight, target):  # type: ignore[no-untyped-def]
    """Double a line; target has the doubled length."""
    width = line.shape[0]
    if index.shape[1] != EVEN_UP or width == 1:
        weigh_cells(line, index, weight, target)
        return
    target[0] = line[0]
    for x in range(width - 1):
        a, b = line[x], line[x + 1]
        target[2 * x + 1] = THREE_QUARTERS * a + QUARTER * b
        target[2 * x + 2] = QUARTER * a + THREE_QUARTERS * b
    target[2 * width - 1] = line[width - 1]


@kernel(fastmath=True)
def halve_picture_rows(image, down_y, weight_y, down_x, weight_x, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Halve the camera's picture."""
    width, half = image.shape[1] // 3, target.shape[1] // 3
    mixed, planes = scratch[0, : 3 * width], scratch[1]
    red, green, blue = planes[:width], planes[width : 2 * width], planes[2 * width : 3 * width]
    for y in range(first, last):
        weigh_rows(image, down_y[y], weight_y[y], mixed)
        for x in range(width):
            red[x] = mixed[3 * x]
            green[x] = mixed[3 * x + 1]
            blue[x] = mixed[3 * x + 2]
        for channel in range(3):
            line = planes[channel * width : (channel + 1) * width]
            out = target[y, channel * half : (channel + 1) * half]
            halve_line(line, down_x, weight_x, out)


@kernel(fastmath=True)
def halve_rows(source, down_y, weight_y, down_x, weight_x, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Halve a picture of the pyramid."""
    width, half = source.shape[1] // 3, target.shape[1] // 3
    mixed = scratch[0, : 3 * width]
    for y in range(first, last):
        weigh_rows(source, down_y[y], weight_y[y], mixed)
        for channel in range(3):
            line = mixed[channel * width : (channel + 1) * width]
            out = target[y, channel * half : (channel + 1) * half]
            halve_line(line, down_x, weight_x, out)


@kernel(fastmath=True)
def filter_rows(source, taps_y, taps_x, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Convolve with symmetric filters, (middle, ±1, ±2, …), the borders mirrored."""
    height, width = source.shape[0], source.shape[1] // 3
    reach = taps_x.shape[0] - 1
    mixed = scratch[0, : 3 * width]
    line = scratch[1, : width + 2 * reach]
    cells = line[reach : reach + width]
    for y in range(first, last):
        row, middle = source[y], taps_y[0]
        for x in range(3 * width):
            mixed[x] = middle * row[x]
        for k in range(1, taps_y.shape[0]):
            above, below = source[mirrored(y - k, height)], source[mirrored(y + k, height)]
            side = taps_y[k]
            for x in range(3 * width):
                mixed[x] += side * (above[x] + below[x])
        for channel in range(3):
            begin, end = channel * width, (channel + 1) * width
            given, out = mixed[begin:end], target[y, begin:end]
            middle = taps_x[0]
            for x in range(width):
                cells[x] = given[x]
                out[x] = middle * given[x]
            for k in range(1, reach + 1):
                line[reach - k] = given[mirrored(-k, width)]
                line[reach + width - 1 + k] = given[mirrored(width - 1 + k, width)]
            for k in range(1, reach + 1):
                left, right = line[reach - k :], line[reach + k :]
                side = taps_x[k]
                for x in range(width):
                    out[x] += side * (left[x] + right[x])


@kernel(fastmath=True)
def double_rows(source, up_y, weight_y, up_x, weight_x, keep, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Set target to a picture doubled, or where keep is 1, add that to it."""
    half, width = source.shape[1] // 3, target.shape[1] // 3
    mixed, grown = scratch[0, : 3 * half], scratch[1, : 3 * width]
    for y in range(first, last):
        weigh_rows(source, up_y[y], weight_y[y], mixed)
        for channel in range(3):
            line = mixed[channel * half : (channel + 1) * half]
            double_line(line, up_x, weight_x, grown[channel * width : (channel + 1) * width])
        out = target[y]
        if keep:
            for x in range(3 * width):
                out[x] += grown[x]
        else:
            for x in range(3 * width):
                out[x] = grown[x]


@kernel(parallel=True)
def halve_picture(image, down_y, weight_y, down_x, weight_x, target, scratch):  # type: ignore[no-untyped-def]
    """Run ``halve_picture_rows`` in bands."""
    height, bands = target.shape[0], scratch.shape[0]
    for band in prange(bands):
        first, last = band * height // bands, (band + 1) * height // bands
        lines = scratch[band]
        halve_picture_rows(image, down_y, weight_y, down_x, weight_x, target, lines, first, last)


@kernel(parallel=True)
def halve(source, down_y, weight_y, down_x, weight_x, target, scratch):  # type: ignore[no-untyped-def]
    """Run ``halve_rows`` in bands."""
    height, bands = target.shape[0], scratch.shape[0]
    for band in prange(bands):
        first, last = band * height // bands, (band + 1) * height // bands
        lines = scratch[band]
        halve_rows(source, down_y, weight_y, down_x, weight_x, target, lines, first, last)


@kernel(parallel=True)
def filter_picture(source, taps_y, taps_x, target, scratch):  # type: ignore[no-untyped-def]
    """Run ``filter_rows`` in bands."""
    height, bands = source.shape[0], scratch.shape[0]
    for band in prange(bands):
        first, last = band * height // bands, (band + 1) * height // bands
        filter_rows(source, taps_y, taps_x, target, scratch[band], first, last)


@kernel(parallel=True)
def double(source, up_y, weight_y, up_x, weight_x, keep, target, scratch):  # type: ignore[no-untyped-def]
    """Run ``double_rows`` in bands."""
    height, bands = target.shape[0], scratch.shape[0]
    for band in prange(bands):
        first, last = band * height // bands, (band + 1) * height // bands
        lines = scratch[band]
        double_rows(source, up_y, weight_y, up_x, weight_x, keep, target, lines, first, last)


@kernel(fastmath=True, inline=True)
def interleave(planes, line):  # type: ignore[no-untyped-def]
    """Put the colours of each pixel beside each other."""
    width = planes.shape[0] // 3
    red, green, blue = planes[:width], planes[width : 2 * width], planes[2 * width :]
    for x in range(width):
        line[3 * x] = red[x]
        line[3 * x + 1] = green[x]
        line[3 * x + 2] = blue[x]


@kernel(fastmath=True, inline=True)
def double_pixels(line, target):  # type: ignore[no-untyped-def]
    """Double a line of interleaved pixels to an even length."""
    count = line.shape[0]  # 3 · width
    for channel in range(3):
        target[channel] = line[channel]
        target[2 * count - 3 + channel] = line[count - 3 + channel]
    for x in range(count // 3 - 1):
        i, k = 6 * x, 3 * x
        for channel in range(3):
            a, b = line[k + channel], line[k + 3 + channel]
            target[i + 3 + channel] = THREE_QUARTERS * a + QUARTER * b
            target[i + 6 + channel] = QUARTER * a + THREE_QUARTERS * b


@kernel(parallel=True, fastmath=True)
def blend_doubled(image, keep, halo, share, up_y, weight_y, up_x, weight_x, scratch, out):  # type: ignore[no-untyped-def]
    """Set out = keep · image + share · halo doubled; out may be the image."""
    height, bands = out.shape[0], scratch.shape[0]
    half, width = halo.shape[1] // 3, out.shape[1] // 3
    for band in prange(bands):
        lines = scratch[band]
        one, other = lines[0], lines[1]
        for y in range(band * height // bands, (band + 1) * height // bands):
            weigh_rows(halo, up_y[y], weight_y[y], one[: 3 * half])
            if up_x.shape[1] == EVEN_UP:
                interleave(one[: 3 * half], other[: 3 * half])
                double_pixels(other[: 3 * half], one[: 3 * width])
            else:
                for channel in range(3):
                    line = one[channel * half : (channel + 1) * half]
                    grown = other[channel * width : (channel + 1) * width]
                    double_line(line, up_x, weight_x, grown)
                interleave(other[: 3 * width], one[: 3 * width])
            given, row = image[y], out[y]
            for x in range(3 * width):
                row[x] = keep * given[x] + share * one[x]


@kernel(parallel=True, fastmath=True)
def take_apart(image, planes):  # type: ignore[no-untyped-def]
    """Put the planes of each row after each other."""
    width = planes.shape[1] // 3
    for y in prange(planes.shape[0]):
        given, row = image[y], planes[y]
        red, green, blue = row[:width], row[width : 2 * width], row[2 * width :]
        for x in range(width):
            red[x] = given[3 * x]
            green[x] = given[3 * x + 1]
            blue[x] = given[3 * x + 2]


@kernel(parallel=True, fastmath=True)
def blend(image, keep, halo, share, scratch, out):  # type: ignore[no-untyped-def]
    """Set out = keep · image + share · halo, which has the full resolution."""
    height, bands = out.shape[0], scratch.shape[0]
    for band in prange(bands):
        line = scratch[band, 0, : out.shape[1]]
        for y in range(band * height // bands, (band + 1) * height // bands):
            interleave(halo[y], line)
            given, row = image[y], out[y]
            for x in range(line.shape[0]):
                row[x] = keep * given[x] + share * line[x]
