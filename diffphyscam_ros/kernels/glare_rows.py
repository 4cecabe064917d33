# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The compiled loops of glare: halving, filtering, doubling, mixing (order: ``kernels.glare``).

Pictures of the pyramid are (H, 3, W): planes in each row, so that inner loops run over contiguous
floats. Every row is computed the same way whoever does it: the number of threads changes nothing.
An axis comes as indices and weights, (cells, taps), of ``kernels.glare_levels``. An even length,
known by its number of taps, has the same four (halving) or two (doubling) weights everywhere,
and loops of its own that become SIMD.

The functions named …_rows compute some rows, the others all of them in parallel bands. A band has
its own lines in ``scratch``, (bands, 2, 3, length), so that nothing is allocated.
"""

from __future__ import annotations

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

EVEN_DOWN, EVEN_UP = 4, 2  # taps where the length is even
EIGHTH, QUARTER = np.float32(0.125), np.float32(0.25)
THREE_EIGHTHS, THREE_QUARTERS = np.float32(0.375), np.float32(0.75)
ZERO = np.float32(0.0)
PAD = 8  # floats that a line has room for before its first and after its last cell


@kernel()
def mirrored(index, length):  # type: ignore[no-untyped-def]
    """Return an index reflected at the borders, the edge cell counted twice."""
    index = index % (2 * length)
    return min(index, 2 * length - 1 - index)


@kernel(fastmath=True)
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


@kernel(fastmath=True)
def halve_line(line, width, index, weight, target):  # type: ignore[no-untyped-def]
    """Halve a line whose cells are at PAD … PAD + width − 1."""
    half = target.shape[0]
    if index.shape[1] != EVEN_DOWN:
        cells = line[PAD : PAD + width]
        for x in range(half):
            value = ZERO
            for tap in range(index.shape[1]):
                value += weight[x, tap] * cells[index[x, tap]]
            target[x] = value
        return
    line[PAD - 1] = line[PAD]
    line[PAD + width] = line[PAD + width - 1]
    cells = line[PAD - 1 : PAD + width + 1]
    for x in range(half):
        outer = cells[2 * x] + cells[2 * x + 3]
        inner = cells[2 * x + 1] + cells[2 * x + 2]
        target[x] = EIGHTH * outer + THREE_EIGHTHS * inner


@kernel(fastmath=True)
def double_line(line, width, index, weight, target):  # type: ignore[no-untyped-def]
    """Double a line whose cells are at PAD … PAD + width − 1; target has the doubled length."""
    if index.shape[1] != EVEN_UP:
        cells = line[PAD : PAD + width]
        for x in range(target.shape[0]):
            value = ZERO
            for tap in range(index.shape[1]):
                value += weight[x, tap] * cells[index[x, tap]]
            target[x] = value
        return
    line[PAD - 1] = line[PAD]
    line[PAD + width] = line[PAD + width - 1]
    left, own, right = (
        line[PAD - 1 : PAD + width - 1],
        line[PAD : PAD + width],
        line[PAD + 1 : PAD + width + 1],
    )
    for x in range(width):
        middle = THREE_QUARTERS * own[x]
        target[2 * x] = middle + QUARTER * left[x]
        target[2 * x + 1] = middle + QUARTER * right[x]


@kernel(fastmath=True)
def halve_picture_rows(image, down_y, weight_y, down_x, weight_x, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Halve the camera's picture, (H, 3·W) with the colours of a pixel beside each other."""
    width = image.shape[1] // 3
    mixed = scratch[0].reshape(-1)[: 3 * width]
    planes = scratch[1]
    red, green, blue = planes[0, PAD:], planes[1, PAD:], planes[2, PAD:]
    for y in range(first, last):
        weigh_rows(image, down_y[y], weight_y[y], mixed)
        for x in range(width):
            red[x] = mixed[3 * x]
            green[x] = mixed[3 * x + 1]
            blue[x] = mixed[3 * x + 2]
        for channel in range(3):
            halve_line(planes[channel], width, down_x, weight_x, target[y, channel])


@kernel(fastmath=True)
def halve_rows(source, down_y, weight_y, down_x, weight_x, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Halve a picture of the pyramid."""
    width = source.shape[2]
    line = scratch[0, 0]
    for y in range(first, last):
        for channel in range(3):
            cells = line[PAD : PAD + width]
            weigh_rows(source[:, channel], down_y[y], weight_y[y], cells)
            halve_line(line, width, down_x, weight_x, target[y, channel])


@kernel(fastmath=True)
def filter_rows(source, taps_y, taps_x, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Convolve with symmetric filters, (middle, ±1, ±2, …), the borders mirrored."""
    height, width = source.shape[0], source.shape[2]
    reach = taps_x.shape[0] - 1
    line = scratch.reshape(-1)[: width + 2 * reach]
    cells = line[reach : reach + width]
    for y in range(first, last):
        for channel in range(3):
            row = source[y, channel]
            for x in range(width):
                cells[x] = taps_y[0] * row[x]
            for k in range(1, taps_y.shape[0]):
                above = source[mirrored(y - k, height), channel]
                below = source[mirrored(y + k, height), channel]
                for x in range(width):
                    cells[x] += taps_y[k] * (above[x] + below[x])
            for k in range(1, reach + 1):
                line[reach - k] = cells[mirrored(-k, width)]
                line[reach + width - 1 + k] = cells[mirrored(width - 1 + k, width)]
            out = target[y, channel]
            for x in range(width):
                out[x] = taps_x[0] * cells[x]
            for k in range(1, reach + 1):
                left, right = line[reach - k :], line[reach + k :]
                for x in range(width):
                    out[x] += taps_x[k] * (left[x] + right[x])


@kernel(fastmath=True)
def double_row(source, index, weight, up_x, weight_x, planes, target):  # type: ignore[no-untyped-def]
    """Set target (3, W) to a row of a picture doubled; planes is scratch."""
    width = source.shape[2]
    for channel in range(3):
        line = planes[channel]
        weigh_rows(source[:, channel], index, weight, line[PAD : PAD + width])
        double_line(line, width, up_x, weight_x, target[channel])


@kernel(fastmath=True)
def double_rows(source, up_y, weight_y, up_x, weight_x, keep, target, scratch, first, last):  # type: ignore[no-untyped-def]
    """Set target to itself times keep (0 or 1) and a picture doubled."""
    width = target.shape[2]
    grown = scratch[1, :, :width]
    for y in range(first, last):
        if keep == ZERO:
            double_row(source, up_y[y], weight_y[y], up_x, weight_x, scratch[0], target[y])
            continue
        double_row(source, up_y[y], weight_y[y], up_x, weight_x, scratch[0], grown)
        for channel in range(3):
            row, out = grown[channel], target[y, channel]
            for x in range(width):
                out[x] += row[x]


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


@kernel(parallel=True, fastmath=True)
def blend_doubled(  # type: ignore[no-untyped-def]
    image, keep, halo, share, up_y, weight_y, up_x, weight_x, scratch, out
):
    """Set out = keep · image + share · halo doubled, (H, W, 3); out may be the image."""
    height, width, bands = out.shape[0], out.shape[1], scratch.shape[0]
    for band in prange(bands):
        lines = scratch[band]
        grown = lines[1, :, :width]
        red, green, blue = grown[0], grown[1], grown[2]
        for y in range(band * height // bands, (band + 1) * height // bands):
            double_row(halo, up_y[y], weight_y[y], up_x, weight_x, lines[0], grown)
            given, row = image[y], out[y]
            for x in range(width):
                row[x, 0] = keep * given[x, 0] + share * red[x]
                row[x, 1] = keep * given[x, 1] + share * green[x]
                row[x, 2] = keep * given[x, 2] + share * blue[x]


@kernel(parallel=True, fastmath=True)
def take_apart(image, planes):  # type: ignore[no-untyped-def]
    """Turn (H, W, 3) into (H, 3, W)."""
    for y in prange(planes.shape[0]):
        for x in range(planes.shape[2]):
            planes[y, 0, x] = image[y, x, 0]
            planes[y, 1, x] = image[y, x, 1]
            planes[y, 2, x] = image[y, x, 2]


@kernel(parallel=True, fastmath=True)
def blend(image, keep, halo, share, out):  # type: ignore[no-untyped-def]
    """Set out = keep · image + share · halo, where the halo has the full resolution."""
    for y in prange(out.shape[0]):
        for x in range(out.shape[1]):
            for channel in range(3):
                out[y, x, channel] = keep * image[y, x, channel] + share * halo[y, channel, x]
