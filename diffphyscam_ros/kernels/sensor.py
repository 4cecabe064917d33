# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The sensor's share of a frame, fused: irradiance to digital values, a row at a time.

Equals ``camera.stages.read_out`` up to the colours of a mosaic (kernels/demosaic.py). A row is
taken apart into lines of photosites of one colour: three of all columns, or of a mosaic two, of
the even and the odd columns. Then every loop runs over contiguous float32, one coefficient for
all, and becomes SIMD; the lines stay in the first-level cache. A row is computed the same way
whoever computes it, so the picture does not depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numba import prange
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.noise import fill_channel, fill_normals
from diffphyscam_ros.kernels.pixels import write_row
from diffphyscam_ros.kernels.response import colour_lines, held, quantise_line, respond_line
from diffphyscam_ros.kernels.runtime import FUSED, kernel

F32 = np.float32
Floats = npt.NDArray[np.float32]

CHUNK = 8  # rows a thread takes at a time

_ZERO = F32(0.0)
_MOST_VARIANCE = F32(1e37)


class Noise(NamedTuple):
    """What happens to electrons, and to which photosites. Pictures of lines are (H, L, W').

    :param shot: (3,) n_s, √electrons.
    :param read: (3,) temporal σ_r, electrons.
    :param seed: (3,) uint32: seed, frame number, stream of the temporal noise.
    :param dark: (3,) dark electrons in what is given.
    :param gain: (H, L, W') relative excess of sensitivity, or without rows for none.
    :param offset: (H, L, W') electrons added after all, or without rows for none.
    :param hot_first: (H + 1,) of each row its first hot photosite in the next two, or empty.
    :param hot_place: (N,) line · W' + index in the line.
    :param hot_electrons: (N,) how many electrons more.
    :param full_well: most electrons.
    """

    shot: Floats
    read: Floats
    seed: npt.NDArray[np.uint32]
    dark: Floats
    gain: Floats
    offset: Floats
    hot_first: npt.NDArray[np.int64]
    hot_place: npt.NDArray[np.int64]
    hot_electrons: Floats
    full_well: np.float32


class Response(NamedTuple):
    """From electrons to values: kind as in kernels/response.py, levels = 2^bits − 1 or 0."""

    kind: int
    iso: np.float32
    gains: Floats
    biases: Floats
    gamma: np.float32
    table: Floats
    black: np.float32
    levels: np.float32
    soft: bool


class Colours(NamedTuple):
    """From raw values to colours: white balance (3,) and matrix (9,); on says whether at all."""

    on: bool
    gains: Floats
    matrix: Floats


@kernel(fastmath=FUSED)
def _expose(row, s0, s1, s2, d0, d1, d2, red, green, blue):  # type: ignore[no-untyped-def]
    """Set three lines to held(scale · irradiance + dark) of a row (3 · W,)."""
    for i in range(red.size):
        red[i] = held(row[3 * i] * s0 + d0)
        green[i] = held(row[3 * i + 1] * s1 + d1)
        blue[i] = held(row[3 * i + 2] * s2 + d2)


@kernel(fastmath=FUSED)
def _expose_some(row, first, scale, dark, line):  # type: ignore[no-untyped-def]
    """Set a line to held(scale · irradiance + dark) of every sixth number of a row."""
    for i in range(line.size):
        line[i] = held(row[first + 6 * i] * scale + dark)


@kernel(fastmath=FUSED)
def _vary(line, gain, dark):  # type: ignore[no-untyped-def]
    for i in range(line.size):
        line[i] = held(line[i] + (line[i] - dark) * gain[i])


@kernel(fastmath=FUSED)
def _shake(line, xi, shot, read):  # type: ignore[no-untyped-def]
    """Add √(shot² · line + read²) · ξ in place."""
    gain, floor = shot * shot, read * read
    for i in range(line.size):
        value = line[i]
        variance = min(gain * max(value, _ZERO) + floor, _MOST_VARIANCE)
        line[i] = value + F32(math.sqrt(variance)) * xi[i]


@kernel(fastmath=FUSED)
def _shot(line, xi, shot):  # type: ignore[no-untyped-def]
    """Add shot · √line · ξ in place."""
    for i in range(line.size):
        value = line[i]
        line[i] = value + shot * F32(math.sqrt(max(value, _ZERO))) * xi[i]


@kernel()
def _limit(line, full_well):  # type: ignore[no-untyped-def]
    for i in range(line.size):
        line[i] = min(line[i], full_well)


@kernel()
def _add(line, offset):  # type: ignore[no-untyped-def]
    for i in range(line.size):
        line[i] += offset[i]


@kernel()
def _add_hot(lines, row, noise):  # type: ignore[no-untyped-def]
    """Add the electrons of the hot photosites of a row to its lines, (L, W')."""
    length = lines.shape[1]
    for n in range(noise.hot_first[row], noise.hot_first[row + 1]):
        place = noise.hot_place[n]
        lines[place // length, place % length] += noise.hot_electrons[n]


@kernel()
def _disturb(line, xi, shot, read, full_well):  # type: ignore[no-untyped-def]
    """Add a line's temporal noise and fill its wells."""
    if read > _ZERO:
        _shake(line, xi, shot, read)
    elif shot > _ZERO:
        _shot(line, xi, shot)
    if full_well < F32(3e38):
        _limit(line, full_well)


@kernel()
def _digitise_line(line, channel, response):  # type: ignore[no-untyped-def]
    respond_line(
        line,
        response.kind,
        response.iso,
        response.gains[channel],
        response.biases[channel],
        response.gamma,
        response.table,
        response.black,
        response.soft,
    )
    if response.levels > _ZERO:
        quantise_line(line, response.levels)


@kernel(parallel=True)
def digitise(image, scale, noise, response, colours, target):  # type: ignore[no-untyped-def]
    """Read out a sensor without a mosaic.

    :param image: (H, W, 3) contiguous finite float32 irradiance.
    :param scale: (3,) electrons for irradiance 1.
    :param noise: see Noise, with L = 3 lines of W' = W.
    :param target: of (H, W, 3) or (H, W, 1), see kernels/pixels.py.
    """
    height, width = image.shape[0], image.shape[1]
    noisy = noise.shot.max() > _ZERO or noise.read.max() > _ZERO
    seed, frame, stream = noise.seed[0], noise.seed[1], noise.seed[2]
    dark = noise.dark
    for chunk in prange((height + CHUNK - 1) // CHUNK):
        lines = np.empty((3, width), np.float32)
        deviates = np.empty((3, width), np.float32)
        octets = np.empty((3, width), np.uint8)
        words = np.empty((3, width), np.uint16)
        red, green, blue = lines[0], lines[1], lines[2]
        for row in range(chunk * CHUNK, min(chunk * CHUNK + CHUNK, height)):
            given = image[row].reshape(-1)
            _expose(
                given, scale[0], scale[1], scale[2], dark[0], dark[1], dark[2], red, green, blue
            )
            if noise.gain.shape[0] > 0:
                for channel in range(3):
                    _vary(lines[channel], noise.gain[row, channel], dark[channel])
            if noise.hot_first.size > 0:
                _add_hot(lines, row, noise)
            if noisy:
                fill_normals(
                    row * width, frame, seed, stream, deviates[0], deviates[1], deviates[2]
                )
            for channel in range(3):
                line = lines[channel]
                read = noise.read[channel]
                _disturb(line, deviates[channel], noise.shot[channel], read, noise.full_well)
                if noise.offset.shape[0] > 0:
                    _add(line, noise.offset[row, channel])
                _digitise_line(line, channel, response)
            if colours.on:
                gains, matrix = colours.gains, colours.matrix
                colour_lines(red, green, blue, response.black, gains, matrix, response.soft)
            write_row(red, green, blue, octets, words, row, target)


@kernel(parallel=True)
def digitise_mosaic(image, pattern, scale, noise, response, raw):  # type: ignore[no-untyped-def]
    """Read out a sensor whose photosites see one colour each.

    :param image: (H, W, 3) contiguous finite float32 irradiance.
    :param pattern: (2, 2) the channel of each photosite of the repeated tile.
    :param noise: see Noise, with L = 2 lines of W' = ⌈W / 2⌉: even and odd columns.
    :param raw: (H, W) float32.
    """
    height, width = image.shape[0], image.shape[1]
    noisy = noise.shot.max() > _ZERO or noise.read.max() > _ZERO
    seed, frame, stream = noise.seed[0], noise.seed[1], noise.seed[2]
    for chunk in prange((height + CHUNK - 1) // CHUNK):
        lines = np.empty((2, (width + 1) // 2), np.float32)
        deviates = np.empty((2, (width + 1) // 2), np.float32)
        for row in range(chunk * CHUNK, min(chunk * CHUNK + CHUNK, height)):
            given = image[row].reshape(-1)
            lines[1, -1] = _ZERO  # no photosite where the width is odd
            for parity in range(2):
                channel = pattern[row & 1, parity]
                dark = noise.dark[channel]
                count = (width + 1 - parity) // 2
                line = lines[parity, :count]
                _expose_some(given, 3 * parity + channel, scale[channel], dark, line)
                if noise.gain.shape[0] > 0:
                    _vary(line, noise.gain[row, parity], dark)
            if noise.hot_first.size > 0:
                _add_hot(lines, row, noise)
            for parity in range(2):
                channel = pattern[row & 1, parity]
                count = (width + 1 - parity) // 2
                line, xi = lines[parity, :count], deviates[parity, :count]
                if noisy:
                    start = row * width + parity
                    fill_channel(start, channel, frame, seed, stream, xi)
                _disturb(line, xi, noise.shot[channel], noise.read[channel], noise.full_well)
                if noise.offset.shape[0] > 0:
                    _add(line, noise.offset[row, parity])
                _digitise_line(line, channel, response)
            _weave(lines[0], lines[1], raw[row])


@kernel()
def _weave(even, odd, row):  # type: ignore[no-untyped-def]
    """Set a row from the lines of its even and odd columns."""
    for i in range(row.size // 2):
        row[2 * i] = even[i]
        row[2 * i + 1] = odd[i]
    if row.size % 2:
        row[row.size - 1] = even[row.size // 2]


@kernel(parallel=True)
def write_raw(raw, target):  # type: ignore[no-untyped-def]
    """Write raw values (H, W) as pixels of one channel, without making them luma."""
    height, width = raw.shape
    for row in prange(height):
        line = np.empty(width, np.float32)
        octets = np.empty((3, width), np.uint8)
        words = np.empty((3, width), np.uint16)
        line[:] = raw[row]
        write_row(line, line, line, octets, words, row, target)
