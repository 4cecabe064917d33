# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Labelled pictures on one page, and a short animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 14  # px
TITLE_HEIGHT = 64  # px
ROW_TITLE_HEIGHT = 34  # px
LABEL_HEIGHT = 24  # px
PAPER, INK, FAINT = (250, 250, 248), (25, 25, 28), (105, 105, 112)


@dataclass(frozen=True)
class Row:
    """A line of pictures: what is varied, and the pictures, (H, W, 3) uint8, with labels."""

    title: str
    pictures: Sequence[tuple[str, np.ndarray]]


def write_contact_sheet(path: Path, title: str, rows: Sequence[Row], width: int = 400) -> None:
    """Write the rows below one another, every picture ``width`` px wide, atomically."""
    first = rows[0].pictures[0][1]
    height = round(width * first.shape[0] / first.shape[1])
    columns = max(len(row.pictures) for row in rows)
    row_height = ROW_TITLE_HEIGHT + height + LABEL_HEIGHT
    page = Image.new(
        'RGB',
        (MARGIN + columns * (width + MARGIN), TITLE_HEIGHT + len(rows) * row_height + MARGIN),
        PAPER,
    )
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 16), title, INK, ImageFont.load_default(28))
    for i, row in enumerate(rows):
        top = TITLE_HEIGHT + i * row_height
        draw.text((MARGIN, top + 6), row.title, INK, ImageFont.load_default(20))
        for j, (label, picture) in enumerate(row.pictures):
            left = MARGIN + j * (width + MARGIN)
            resized = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
            page.paste(resized, (left, top + ROW_TITLE_HEIGHT))
            below = top + ROW_TITLE_HEIGHT + height + 3
            draw.text((left, below), label, FAINT, ImageFont.load_default(15))
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.png')
    page.save(temporary)
    os.replace(temporary, path)


def write_animation(path: Path, pictures: Sequence[np.ndarray], seconds_each: float) -> None:
    """Write pictures, (H, W, 3) uint8, as an endless GIF at half size, atomically."""
    small = [
        Image.fromarray(picture).reduce(2).quantize(128, dither=Image.Dither.NONE)
        for picture in pictures
    ]
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.gif')
    small[0].save(
        temporary,
        save_all=True,
        append_images=small[1:],
        duration=max(20, round(1000 * seconds_each)),
        loop=0,
    )
    os.replace(temporary, path)
