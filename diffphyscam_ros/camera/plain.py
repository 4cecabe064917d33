# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Settings, sensor models and intrinsics without tensors: for kernels, caches and margins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast, TypeVar

import torch

Part = TypeVar('Part')


def _tensors(part: object) -> dict[str, torch.Tensor]:
    """Return the fields that are tensors."""
    return {name: value for name, value in vars(part).items() if isinstance(value, torch.Tensor)}


def has_grad(*parts: object) -> bool:
    """Return whether a gradient has to flow to any of these tensors or to a field of these."""
    if not torch.is_grad_enabled():
        return False
    for part in parts:
        if isinstance(part, torch.Tensor):
            if part.requires_grad:
                return True
        elif is_dataclass(part) and any(t.requires_grad for t in _tensors(part).values()):
            return True
    return False


def plain_copies(part: Part) -> list[Part]:
    """Return a settings, sensor or intrinsics object for each of its batch, in plain numbers.

    A field whose unbatched value is one number may have shape () or (B,); one that is a tuple
    may have (n,) or (B, n).
    """
    tensors = _tensors(part)
    if not tensors:
        return [part]
    rows = {
        name: value.detach().cpu().reshape(-1, *_unbatched_shape(part, name, value))
        for name, value in tensors.items()
    }
    count = max(len(row) for row in rows.values())
    return [
        cast(
            Part,
            replace(
                cast(Any, part),
                **{name: _plain(row[i if len(row) > 1 else 0]) for name, row in rows.items()},
            ),
        )
        for i in range(count)
    ]


def plain_copy(part: Part) -> Part:
    """Return a settings, sensor or intrinsics object that is no batch, in plain numbers."""
    return plain_copies(part)[0]


def batch_size(part: object, names: Sequence[str]) -> int:
    """Return how many rows the batched ones of these fields have, 0 where none is a batch."""
    tensors = _tensors(part)
    ranks = {n: len(_unbatched_shape(part, n, tensors[n])) for n in names if n in tensors}
    return max((len(tensors[n]) for n, rank in ranks.items() if tensors[n].ndim > rank), default=0)


def batch_row(part: Part, index: int) -> Part:
    """Return one object of a batch, with the gradients of its tensors; one row serves all."""
    chosen = {}
    for name, value in _tensors(part).items():
        if value.ndim > len(_unbatched_shape(part, name, value)):
            chosen[name] = value[index if len(value) > 1 else 0]
    return cast(Part, replace(cast(Any, part), **chosen)) if chosen else part


def _unbatched_shape(part: object, name: str, value: torch.Tensor) -> tuple[int, ...]:
    """Return the shape that a tensor field has without its batch dimension."""
    field = next(item for item in fields(cast(Any, part)) if item.name == name)
    parameter = field.metadata.get('parameter')
    holds_several = parameter is not None and parameter.size != 1
    return tuple(value.shape[-1:]) if holds_several else ()


def _plain(value: torch.Tensor) -> float | tuple[float, ...]:
    numbers = value.tolist()
    return tuple(numbers) if isinstance(numbers, list) else float(numbers)
