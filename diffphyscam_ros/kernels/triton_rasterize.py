# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which triangle is seen at each pixel, on CUDA: the algorithm of ``kernels/rasterize.py``.

The same keys (bits of 1/z, then the complement of the triangle's number) of the same arithmetic:
float64 projection, corners in 1/256 px, int64 edge functions with the top-left rule. Keys meet by
64-bit atomic maximum, which depends on no order. So triangle numbers are those of the CPU bit by
bit; for that the kernels must be compiled without contraction (``enable_fp_fusion=False``).

Small triangles are drawn by a lane each, the others, listed by the caller, by whole programs, one
or several for each triangle. TRITON_INTERPRET=1 runs all that on the CPU, slowly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from diffphyscam_ros.kernels.triton_launch import on_device_of

NOTHING, LISTED, CLIPPED = 0, 1, 2
"""What :func:`draw_small` leaves to do for a triangle."""

BLOCK = 256  # vertices or pixels of a program
LANES = 32  # small triangles of a program, which is one warp: it lasts as long as the largest
SMALL = 64  # px of the box around a triangle that a lane draws
TILE = 16  # px; a program looks at a square at a time, having asked whether the triangle is there

_EXACT = {'enable_fp_fusion': False}


@triton.jit  # type: ignore[untyped-decorator]
def _row(matrix, row: tl.constexpr, x, y, z, there):  # type: ignore[no-untyped-def]
    """Return a coordinate in the optical frame (float64)."""
    a = tl.load(matrix + 4 * row, mask=there, other=0.0)
    b = tl.load(matrix + 4 * row + 1, mask=there, other=0.0)
    c = tl.load(matrix + 4 * row + 2, mask=there, other=0.0)
    return a * x + b * y + c * z + tl.load(matrix + 4 * row + 3, mask=there, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _project(  # type: ignore[no-untyped-def]
    vertices, instances, matrices, lens, camera, projected, count, width, height,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Do what ``rasterize.project_vertices`` does for a block of vertices."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = i < count
    px = tl.load(vertices + 3 * i, mask=there, other=0.0).to(tl.float64)
    py = tl.load(vertices + 3 * i + 1, mask=there, other=0.0).to(tl.float64)
    pz = tl.load(vertices + 3 * i + 2, mask=there, other=0.0).to(tl.float64)
    matrix = matrices + 12 * tl.load(instances + i, mask=there, other=0)
    x = _row(matrix, 0, px, py, pz, there)
    y = _row(matrix, 1, px, py, pz, there)
    z = _row(matrix, 2, px, py, pz, there)
    tl.store(camera + 3 * i, x.to(tl.float32), mask=there)
    tl.store(camera + 3 * i + 1, y.to(tl.float32), mask=there)
    tl.store(camera + 3 * i + 2, z.to(tl.float32), mask=there)

    fx, fy, cx, cy = tl.load(lens), tl.load(lens + 1), tl.load(lens + 2), tl.load(lens + 3)
    near = tl.load(lens + 4)
    finite = (x - x == 0.0) & (y - y == 0.0) & (z - z == 0.0)
    code = tl.where(fx * x + (cx + 1.0) * z < 0.0, 1, 0)
    code |= tl.where(fx * x + (cx - width) * z > 0.0, 2, 0)
    code |= tl.where(fy * y + (cy + 1.0) * z < 0.0, 4, 0)
    code |= tl.where(fy * y + (cy - height) * z > 0.0, 8, 0)
    before = z >= near
    divisor = tl.where(finite & before, z, 1.0)
    u, v = fx * x / divisor + cx, fy * y / divisor + cy
    placed = finite & before & (tl.abs(u) <= 1048576.0) & (tl.abs(v) <= 1048576.0)
    code |= tl.where(before, tl.where(placed, 0, 32), 16)
    code = tl.where(finite, code, 64)
    column = tl.floor(tl.where(placed, u, 0.0) * 256.0 + 0.5).to(tl.int32)
    line = tl.floor(tl.where(placed, v, 0.0) * 256.0 + 0.5).to(tl.int32)
    tl.store(projected + 4 * i, column, mask=there)
    tl.store(projected + 4 * i + 1, line, mask=there)
    inverse = (1.0 / divisor).to(tl.float32)
    tl.store(projected + 4 * i + 2, inverse.to(tl.int32, bitcast=True), mask=there)
    tl.store(projected + 4 * i + 3, code, mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _box(x0, y0, x1, y1, x2, y2, width, height):  # type: ignore[no-untyped-def]
    """Return left, right, top, bottom: the pixel centres that a triangle may cover (int64)."""
    left = tl.maximum((tl.minimum(tl.minimum(x0, x1), x2) + 255) >> 8, 0)
    right = tl.minimum(tl.maximum(tl.maximum(x0, x1), x2) >> 8, width - 1)
    top = tl.maximum((tl.minimum(tl.minimum(y0, y1), y2) + 255) >> 8, 0)
    bottom = tl.minimum(tl.maximum(tl.maximum(y0, y1), y2) >> 8, height - 1)
    return left, right, top, bottom


@triton.jit  # type: ignore[untyped-decorator]
def _owns(dx, dy):  # type: ignore[no-untyped-def]
    """Return what the top-left rule takes from an edge function: 0 or 1."""
    return tl.where((dy < 0) | ((dy == 0) & (dx > 0)), 0, 1)


@triton.jit  # type: ignore[untyped-decorator]
def _keys(  # type: ignore[no-untyped-def]
    x0, y0, b0, x1, y1, b1, x2, y2, b2, triangle, left, top, column, line
):
    """Return a triangle's keys at pixels, zero where it does not cover them.

    ``rasterize.fill_triangle``, one pixel at a time.

    :param x0, y0, b0, …: corners in 1/256 px (int64) and bits of 1/z (int32).
    :param left, top: of the box; column, line: of the pixels, from there (int64).
    """
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    turned = area < 0
    ax, ay = tl.where(turned, x2, x1), tl.where(turned, y2, y1)
    bx, by = tl.where(turned, x1, x2), tl.where(turned, y1, y2)
    w0 = b0.to(tl.float32, bitcast=True)
    w1 = tl.where(turned, b2, b1).to(tl.float32, bitcast=True)
    w2 = tl.where(turned, b1, b2).to(tl.float32, bitcast=True)
    dx0, dy0, dx1, dy1, dx2, dy2 = bx - ax, by - ay, x0 - bx, y0 - by, ax - x0, ay - y0
    px, py = left * 256, top * 256
    e0 = dx0 * (py - ay) - dy0 * (px - ax)
    e1 = dx1 * (py - by) - dy1 * (px - bx)
    e2 = dx2 * (py - y0) - dy2 * (px - x0)
    scale = 1.0 / tl.where(area == 0, 1, tl.abs(area)).to(tl.float64)
    dw1 = (w1.to(tl.float64) - w0.to(tl.float64)) * scale
    dw2 = (w2.to(tl.float64) - w0.to(tl.float64)) * scale
    w_row = w0.to(tl.float64) + e1.to(tl.float64) * dw1 + e2.to(tl.float64) * dw2
    w_dx = (-(dy1.to(tl.float64) * dw1 + dy2.to(tl.float64) * dw2) * 256.0).to(tl.float32)
    w_dy = (dx1.to(tl.float64) * dw1 + dx2.to(tl.float64) * dw2) * 256.0
    lowest = tl.minimum(tl.minimum(w0, w1), w2)
    highest = tl.maximum(tl.maximum(w0, w1), w2)

    inside = e0 - _owns(dx0, dy0) + 256 * (dx0 * line - dy0 * column)
    inside |= e1 - _owns(dx1, dy1) + 256 * (dx1 * line - dy1 * column)
    inside |= e2 - _owns(dx2, dy2) + 256 * (dx2 * line - dy2 * column)
    start = (w_row + line.to(tl.float64) * w_dy).to(tl.float32)
    w = tl.minimum(tl.maximum(start + w_dx * column.to(tl.float32), lowest), highest)
    bits = w.to(tl.int32, bitcast=True).to(tl.int64)
    key = (bits << 32) | (4294967295 - triangle.to(tl.int64))
    return tl.where((inside >= 0) & (area != 0), key, 0)


@triton.jit  # type: ignore[untyped-decorator]
def _enter(keys, limits, pixel, key, there, LIMITED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Enter keys where they are greater than what is there, and below the limits."""
    there = there & (key != 0)
    if LIMITED:
        there = there & (key < tl.load(limits + pixel, mask=there, other=0))
    # Keys only grow: an old value, read beside a cache, lets more through, never less.
    there = there & (key > tl.load(keys + pixel, mask=there, other=0))
    tl.atomic_max(keys + pixel, key, mask=there, sem='relaxed')


@triton.jit  # type: ignore[untyped-decorator]
def _corner(faces, projected, face, corner: tl.constexpr, there):  # type: ignore[no-untyped-def]
    """Return x, y (int64), bits of 1/z and outcode of a corner of each face."""
    at = projected + 4 * tl.load(faces + 3 * face + corner, mask=there, other=0).to(tl.int64)
    x = tl.load(at, mask=there, other=0).to(tl.int64)
    y = tl.load(at + 1, mask=there, other=0).to(tl.int64)
    bits = tl.load(at + 2, mask=there, other=0)
    return x, y, bits, tl.load(at + 3, mask=there, other=64)


@triton.jit  # type: ignore[untyped-decorator]
def _small(  # type: ignore[no-untyped-def]
    faces, instances, signs, projected, keys, limits, rest, count, width, height,
    LIMITED: tl.constexpr, LANES: tl.constexpr, SMALL: tl.constexpr,
):  # fmt: skip
    """Draw what is small of some triangles, and write down what is left to do."""
    face = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    there = face < count
    x0, y0, b0, c0 = _corner(faces, projected, face, 0, there)
    x1, y1, b1, c1 = _corner(faces, projected, face, 1, there)
    x2, y2, b2, c2 = _corner(faces, projected, face, 2, there)
    either = c0 | c1 | c2
    seen = there & ((c0 & c1 & c2 & 31) == 0) & ((either & 64) == 0)
    cut = seen & ((either & 48) != 0)

    left, right, top, bottom = _box(x0, y0, x1, y1, x2, y2, width, height)
    sign = tl.load(signs + tl.load(instances + face, mask=there, other=0), mask=there, other=0)
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    drawn = seen & ((either & 48) == 0) & (left <= right) & (top <= bottom)
    drawn = drawn & (area != 0) & ((sign == 0) | ((area > 0) != (sign > 0)))
    columns = right - left + 1
    size = tl.where(drawn, columns * (bottom - top + 1), 0)
    tl.store(rest + face, tl.where(cut, 2, tl.where(size > SMALL, 1, 0)).to(tl.uint8), mask=there)

    size = tl.where(size > SMALL, 0, size)
    most = tl.max(size, axis=0)
    column, line = left * 0, left * 0
    i = 0
    while i < most:
        key = _keys(
            x0, y0, b0, x1, y1, b1, x2, y2, b2, face, left, top, column, line
        )  # fmt: skip
        pixel = (top + line) * width + left + column
        _enter(keys, limits, pixel, key, i < size, LIMITED)
        column += 1
        wrapped = column == columns
        column = tl.where(wrapped, 0, column)
        line += tl.where(wrapped, 1, 0)
        i += 1


@triton.jit  # type: ignore[untyped-decorator]
def _passes(dx, dy, x, y, right, bottom):  # type: ignore[no-untyped-def]
    """Return whether an edge has some of a tile, whose far corner is given, on its inside.

    :param x, y: from a point of the edge to the tile's first centre.
    """
    furthest = dx * tl.where(dx > 0, y + bottom, y) - dy * tl.where(dy < 0, x + right, x)
    return furthest >= 0


@triton.jit  # type: ignore[untyped-decorator]
def _listed(  # type: ignore[no-untyped-def]
    corners, numbers, signs, keys, limits, width, height,
    LIMITED: tl.constexpr, SHARES: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Draw one of ``SHARES`` parts of the tiles of one triangle."""
    item = tl.program_id(0) // SHARES
    share = tl.program_id(0) % SHARES
    at = corners + 12 * item.to(tl.int64)
    x0, y0, b0 = tl.load(at).to(tl.int64), tl.load(at + 1).to(tl.int64), tl.load(at + 2)
    x1, y1, b1 = tl.load(at + 4).to(tl.int64), tl.load(at + 5).to(tl.int64), tl.load(at + 6)
    x2, y2, b2 = tl.load(at + 8).to(tl.int64), tl.load(at + 9).to(tl.int64), tl.load(at + 10)
    triangle, sign = tl.load(numbers + item), tl.load(signs + item)
    left, right, top, bottom = _box(x0, y0, x1, y1, x2, y2, width, height)
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    drawn = (area != 0) & ((sign == 0) | ((area > 0) != (sign > 0)))
    across = (right - left) // TILE + 1
    tiles = across * ((bottom - top) // TILE + 1)
    tiles = tl.where(drawn & (left <= right) & (top <= bottom), tiles, 0)
    turn = tl.where(area < 0, -1, 1)
    lane = tl.arange(0, TILE * TILE)
    tile = share.to(tl.int64)
    while tile < tiles:
        first, upper = (tile % across) * TILE, (tile // across) * TILE
        px, py = (left + first) * 256, (top + upper) * 256
        reach = (TILE - 1) * 256
        hit = _passes(turn * (x1 - x0), turn * (y1 - y0), px - x0, py - y0, reach, reach)
        hit = hit & _passes(turn * (x2 - x1), turn * (y2 - y1), px - x1, py - y1, reach, reach)
        hit = hit & _passes(turn * (x0 - x2), turn * (y0 - y2), px - x2, py - y2, reach, reach)
        if hit:
            column, line = first + lane % TILE, upper + lane // TILE
            key = _keys(
                x0, y0, b0, x1, y1, b1, x2, y2, b2, triangle, left, top, column, line
            )  # fmt: skip
            inside = (left + column <= right) & (top + line <= bottom)
            pixel = (top + line) * width + left + column
            _enter(keys, limits, pixel, key, inside, LIMITED)
        tile += SHARES


@triton.jit  # type: ignore[untyped-decorator]
def _read(  # type: ignore[no-untyped-def]
    keys, limits, kept, triangles, size,
    LIMITED: tl.constexpr, KEPT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Do what ``rasterize.merge_keys`` does, for one buffer of keys."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = i < size
    key = tl.load(keys + i, mask=there, other=0)
    number = tl.where(key == 0, -1, 4294967295 - (key & 4294967295)).to(tl.int32)
    if LIMITED:
        number = tl.where(tl.load(limits + i, mask=there, other=0) == 0, -2, number)
    tl.store(triangles + i, number, mask=there)
    if KEPT:
        tl.store(kept + i, key, mask=there)
    tl.store(keys + i, tl.zeros((BLOCK,), tl.int64), mask=there)


def project(
    vertices: torch.Tensor,
    instances: torch.Tensor,
    matrices: torch.Tensor,
    lens: torch.Tensor,
    width: int,
    height: int,
    camera: torch.Tensor,
    projected: torch.Tensor,
) -> None:
    """Carry vertices into the optical frame and onto the picture.

    :param vertices: (V, 3) float32; ``instances`` (V,) int64.
    :param matrices: (I, 3, 4) float64, mesh to optical frame.
    :param lens: (5,) float64 fx, fy, cx, cy in px and the near plane in metres.
    :param camera: (V, 3) float32 and ``projected`` (V, 4) int32, out: as
        :func:`diffphyscam_ros.kernels.rasterize.project_vertices` leaves them.
    """
    count = len(vertices)
    with on_device_of(vertices):
        _project[(triton.cdiv(count, BLOCK),)](
            vertices, instances, matrices, lens, camera, projected, count, width, height,
            BLOCK=BLOCK, **_EXACT,
        )  # fmt: skip


def draw_small(
    faces: torch.Tensor,
    instances: torch.Tensor,
    signs: torch.Tensor,
    projected: torch.Tensor,
    width: int,
    height: int,
    keys: torch.Tensor,
    limits: torch.Tensor | None,
    rest: torch.Tensor,
) -> None:
    """Enter the small triangles into the keys.

    :param faces: (F, 3) int32 and ``instances`` (F,) int32.
    :param signs: (I,) int32, see :func:`diffphyscam_ros.render.visibility.culled_signs`.
    :param projected: (V, 4) int32 of :func:`project`.
    :param keys: (H·W,) int64; ``limits`` (H·W,) int64 that no key may reach, or None.
    :param rest: (F,) uint8, out: ``LISTED`` what is for :func:`draw_listed`, ``CLIPPED`` what
        must be clipped first, else ``NOTHING``.
    """
    with on_device_of(faces):
        _small[(triton.cdiv(len(faces), LANES),)](
            faces, instances, signs, projected, keys, keys if limits is None else limits, rest,
            len(faces), width, height,
            LIMITED=limits is not None, LANES=LANES, SMALL=SMALL, num_warps=1, **_EXACT,
        )  # fmt: skip


def draw_listed(
    corners: torch.Tensor,
    numbers: torch.Tensor,
    signs: torch.Tensor,
    width: int,
    height: int,
    keys: torch.Tensor,
    limits: torch.Tensor | None,
    shares: int,
) -> None:
    """Enter triangles of any size into the keys.

    :param corners: (M, 3, 4) int32, rows of :func:`project`.
    :param numbers: (M,) int32, of the triangles; ``signs`` (M,) int32.
    :param shares: programs that share the tiles of each triangle.
    """
    most = (2**31 - 1) // shares
    for first in range(0, len(numbers), most):
        part = slice(first, first + most)
        with on_device_of(corners):
            _listed[(len(numbers[part]) * shares,)](
                corners[part], numbers[part], signs[part],
                keys, keys if limits is None else limits, width, height,
                LIMITED=limits is not None, SHARES=shares, TILE=TILE, **_EXACT,
            )  # fmt: skip


def read_keys(
    keys: torch.Tensor,
    limits: torch.Tensor | None,
    kept: torch.Tensor | None,
    triangles: torch.Tensor,
) -> None:
    """Turn keys into triangle numbers and leave them zero again.

    :param limits: (H·W,) int64 that held for the keys, or None; 0 gives the triangle −2.
    :param kept: (H·W,) int64, out: the keys; may be the limits.
    :param triangles: (H·W,) int32, out.
    """
    size = len(keys)
    with on_device_of(keys):
        _read[(triton.cdiv(size, BLOCK),)](
            keys, keys if limits is None else limits, keys if kept is None else kept, triangles,
            size, LIMITED=limits is not None, KEPT=kept is not None, BLOCK=BLOCK,
        )  # fmt: skip
