# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Textures that need no file: a calibration board, and grid, brick and wood for scenery.

Values are linear reflectances. Patterns repeat seamlessly where textures do.
"""

from __future__ import annotations

import math

import torch

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.primitives import plane
from diffphyscam_ros.scene.types import Material, Mesh, Texture

Color = tuple[float, float, float]
INK: Color = (0.03, 0.03, 0.03)
PAPER: Color = (0.85, 0.85, 0.85)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise SceneError(message)


def _mix(share: torch.Tensor, low: Color, high: Color) -> torch.Tensor:
    """Return low + share·(high - low), (H, W, 3), from a share (H, W) in 0..1."""
    first, second = torch.tensor(low), torch.tensor(high)
    return first + share[..., None] * (second - first)


def checkerboard(
    rows: int = 6,
    columns: int = 8,
    quiet_zone: float = 1.0,
    pixels_per_square: int = 32,
    dark: Color = INK,
    light: Color = PAPER,
) -> Texture:
    """Return a calibration board: (rows + 1) x (columns + 1) squares on a light margin.

    :param rows, columns: *inner corners*, as OpenCV and ``camera_calibration --size`` count.
    :param quiet_zone: width of the margin in squares, rounded to a texel.
    """
    _check(
        rows >= 1 and columns >= 1 and pixels_per_square >= 2 and quiet_zone >= 0,
        f'checkerboard rows = {rows}, columns = {columns}, quiet_zone = {quiet_zone}, '
        f'pixels_per_square = {pixels_per_square}: must be at least 1, 1, 0 and 2',
    )
    row, column = torch.meshgrid(
        torch.arange((rows + 1) * pixels_per_square) // pixels_per_square,
        torch.arange((columns + 1) * pixels_per_square) // pixels_per_square,
        indexing='ij',
    )
    squares = ((row + column) % 2).to(torch.float32)
    margin = round(quiet_zone * pixels_per_square)
    framed = torch.nn.functional.pad(squares, (margin,) * 4, value=1.0)
    return Texture(_mix(framed, dark, light))


def checkerboard_size(
    rows: int, columns: int, square_m: float, quiet_zone: float = 1.0, pixels_per_square: int = 32
) -> tuple[float, float]:
    """Return the (width, height) in metres of :func:`checkerboard` with squares of that side."""
    _check(
        square_m > 0 and math.isfinite(square_m),
        f'checkerboard square_m = {square_m} m: must be positive',
    )
    margin = 2 * round(quiet_zone * pixels_per_square) / pixels_per_square
    return (columns + 1 + margin) * square_m, (rows + 1 + margin) * square_m


def checkerboard_target(
    rows: int = 6, columns: int = 8, square_m: float = 0.025, quiet_zone: float = 1.0
) -> tuple[Mesh, Material, torch.Tensor]:
    """Return a printed calibration board of exact size in the plane z = 0, facing +z.

    :return: mesh, material, and the inner corners (rows·columns, 3) in the board's frame,
        row by row from the top left: the order in which OpenCV reports them.
    """
    texture = checkerboard(rows, columns, quiet_zone)
    width, height = checkerboard_size(rows, columns, square_m, quiet_zone)
    across = (torch.arange(columns) - (columns - 1) / 2) * square_m
    down = ((rows - 1) / 2 - torch.arange(rows)) * square_m
    y, x = torch.meshgrid(down, across, indexing='ij')
    corners = torch.stack([x, y, torch.zeros_like(x)], dim=-1).reshape(-1, 3)
    material = Material(base_color_texture=texture, roughness=0.9)
    return plane(width, height), material, corners


def grid(
    cells: tuple[int, int] = (8, 8),
    line: float = 0.05,
    size: int = 512,
    dark: Color = (0.08, 0.08, 0.1),
    light: Color = (0.6, 0.6, 0.6),
) -> Texture:
    """Return dark lines round cells (across, down), ``line`` of a cell wide."""
    _check(
        min(cells) >= 1 and 0 < line < 1 and size >= 2 * max(cells),
        f'grid cells = {cells}, line = {line}, size = {size}: cells at least 1, line in (0, 1), '
        'size at least two texels a cell',
    )
    v, u = _texels(size, size)
    away = torch.minimum(_from_edge(u * cells[0]), _from_edge(v * cells[1]))
    texel = max(cells) / size
    share = ((away - line / 2) / texel + 0.5).clamp(0, 1)
    return Texture(_mix(share, dark, light))


def brick(
    rows: int = 8,
    columns: int = 4,
    mortar: float = 0.06,
    seed: int = 0,
    size: int = 512,
    dark: Color = (0.28, 0.08, 0.045),
    light: Color = (0.45, 0.17, 0.1),
) -> Texture:
    """Return a wall in running bond, each brick of its own shade between dark and light.

    :param rows: courses, even so that the wall repeats.
    :param mortar: width of the joints as a share of a course.
    """
    _check(
        rows >= 2 and rows % 2 == 0 and columns >= 1 and 0 < mortar < 1 and size >= 16,
        f'brick rows = {rows}, columns = {columns}, mortar = {mortar}, size = {size}: rows even '
        'and at least 2, columns at least 1, mortar in (0, 1), size at least 16',
    )
    v, u = _texels(size, size)
    course = (v * rows).floor()
    along = u * columns + 0.5 * (course % 2)
    number = (along.floor() % columns + course * columns).long()
    shades = torch.rand(rows * columns, generator=torch.Generator().manual_seed(seed))
    aspect = rows / columns  # a brick's length over a course's height, in texture space
    away = torch.minimum(_from_edge(along) * aspect, _from_edge(v * rows))
    joint = ((away - mortar / 2) * size / rows + 0.5).clamp(0, 1)
    grain = 0.75 + 0.5 * _noise(size, 32, seed + 1)
    color = _mix(shades[number], dark, light) * grain[..., None]
    cement = torch.tensor([0.5, 0.48, 0.44]) * grain[..., None]
    return Texture(cement + joint[..., None] * (color - cement))


def wood(
    rings: int = 12,
    seed: int = 0,
    size: int = 512,
    dark: Color = (0.19, 0.085, 0.035),
    light: Color = (0.42, 0.23, 0.11),
) -> Texture:
    """Return planed wood with its grain along the texture's u: wavering bands and fine fibres."""
    _check(rings >= 1 and size >= 16, f'wood rings = {rings}, size = {size}: at least 1 and 16')
    v, _ = _texels(size, size)
    waver = 0.9 * _noise(size, 3, seed) + 0.3 * _noise(size, 8, seed + 1)
    phase = v * rings + 1.6 * waver
    band = 0.5 - 0.5 * torch.cos(2 * math.pi * phase)
    fibre = _noise(size, 128, seed + 2, across=4)
    share = (0.75 * band**1.5 + 0.35 * (fibre - 0.5) + 0.1).clamp(0, 1)
    return Texture(_mix(share, light, dark))


def noise(
    cells: int = 16,
    seed: int = 0,
    size: int = 512,
    dark: Color = (0.15, 0.15, 0.15),
    light: Color = (0.65, 0.65, 0.65),
) -> Texture:
    """Return smooth random blotches on three scales: detail to focus on and to match."""
    _check(1 <= cells and size >= 4 * cells, f'noise cells = {cells}: 1 to size / 4 ({size // 4})')
    total = (_noise(size, cells, seed) + 0.5 * _noise(size, 2 * cells, seed + 1)
             + 0.25 * _noise(size, 4 * cells, seed + 2)) / 1.75  # fmt: skip
    return Texture(_mix(((total - 0.5) * 1.8 + 0.5).clamp(0, 1), dark, light))


def _texels(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (v, u), each (H, W), of the texel centres in 0..1."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return (v + 0.5) / height, (u + 0.5) / width


def _from_edge(value: torch.Tensor) -> torch.Tensor:
    """Return the distance to the nearest integer."""
    return (value - value.round()).abs()


def _noise(size: int, cells: int, seed: int, across: int | None = None) -> torch.Tensor:
    """Return seamless value noise (size, size) in 0..1 from a lattice (cells, across or cells)."""
    columns = cells if across is None else across
    lattice = torch.rand(cells, columns, generator=torch.Generator().manual_seed(seed))
    v, u = _texels(size, size)
    row, column = v * cells, u * columns
    top, left = row.floor(), column.floor()
    fy, fx = (part * part * (3 - 2 * part) for part in (row - top, column - left))
    y0, x0 = top.long() % cells, left.long() % columns
    y1, x1 = (y0 + 1) % cells, (x0 + 1) % columns
    upper = lattice[y0, x0] * (1 - fx) + lattice[y0, x1] * fx
    lower = lattice[y1, x0] * (1 - fx) + lattice[y1, x1] * fx
    return upper * (1 - fy) + lower * fy
