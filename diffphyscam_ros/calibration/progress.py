# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How far a calibration is: a bar on a terminal, or whatever the caller makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar('T')


class Progress(Protocol):
    """Says what is being done, and passes the items of a loop on."""

    def stage(self, name: str) -> None:
        """Note that a stage begins."""

    def over(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """Yield the items and show how many of ``total`` there were."""


class Silent:
    """Shows nothing."""

    def stage(self, name: str) -> None:
        """Say nothing."""

    def over(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """Yield the items."""
        yield from items


class Bar:
    """A bar on stderr, which disappears when it is full; nothing where that is no terminal."""

    def stage(self, name: str) -> None:
        """Leave it to the bars."""

    def over(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """Yield the items."""
        from tqdm import tqdm

        yield from tqdm(
            items, desc=what, total=total, unit=' frames', leave=False, disable=None, ncols=80
        )
