# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Telling whether the things a packed array was made from are still the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass
import functools
from typing import Any, cast, Generic, TypeVar
import weakref

import torch

Packed = TypeVar('Packed')


def version(value: object) -> int:
    """Return the number that torch raises with every in-place change of a tensor.

    Writes through a NumPy view are not counted; tensors made in inference mode have no counter.
    """
    if isinstance(value, torch.Tensor) and not value.is_inference():
        return value._version
    return 0


def needs_grad(value: object) -> bool:
    """Return whether a gradient is asked of a tensor (other things need none)."""
    return isinstance(value, torch.Tensor) and value.requires_grad


@functools.cache
def _field_names(kind: Any) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; none for other classes."""
    return tuple(item.name for item in fields(kind)) if is_dataclass(kind) else ()


def _tensors(source: object) -> Iterator[torch.Tensor]:
    """Return a tensor, or the tensors of a dataclass instance and of those in its fields."""
    if isinstance(source, torch.Tensor):
        yield source
        return
    # mypy takes object's own __hash__ for that of the class.
    kind = cast(Hashable, type(source))
    for name in _field_names(kind):
        yield from _tensors(getattr(source, name))


class LatestPacked(Generic[Packed]):
    """Keeps the last thing packed, as long as its sources stay the same objects, unchanged.

    Sources are held weakly: they can be freed, and a new object at an old address is not
    mistaken for the old one. Only one result is kept, so memory does not grow with the frames.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._sources: list[weakref.ref[object]] = []
        self._tensors: list[weakref.ref[torch.Tensor]] = []
        self._versions: list[int] = []
        self._packed: Packed | None = None

    def get(self, sources: Sequence[object], pack: Callable[[], Packed]) -> Packed:
        """Return the kept result, or the new one of ``pack`` if any source has changed.

        :param sources: tensors, and frozen dataclass instances with tensors in their fields, or
            in those of instances in their fields. The order and how often each is named count: a
            mesh of two instances is packed twice.
        """
        if self._packed is None or not self._is_same(sources):
            self._packed = pack()
            different = {id(source): source for source in sources}.values()
            tensors = [tensor for source in different for tensor in _tensors(source)]
            self._sources = [weakref.ref(source) for source in sources]
            self._tensors = [weakref.ref(tensor) for tensor in tensors]
            self._versions = [version(tensor) for tensor in tensors]
        return self._packed

    def _is_same(self, sources: Sequence[object]) -> bool:
        """Return whether these are the sources of what is kept, and none of them has changed."""
        return (
            len(sources) == len(self._sources)
            and all(ref() is source for ref, source in zip(self._sources, sources, strict=True))
            and self._versions == [version(ref()) for ref in self._tensors]
        )
