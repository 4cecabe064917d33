# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Several views of a scene at once: one picture after the other, with everything packed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.render.checks import PINHOLE
from diffphyscam_ros.render.radiance import Radiance


def batch_size(intrinsics: Intrinsics, camera_to_world: torch.Tensor) -> int | None:
    """Return how many views are asked for, None for one picture without a batch dimension.

    :raises ValueError: where pose and pinhole ask for different numbers.
    """
    sizes = {}
    if camera_to_world.ndim == 3:
        sizes['camera_to_world'] = len(camera_to_world)
    for name in PINHOLE:
        value = getattr(intrinsics, name)
        if isinstance(value, torch.Tensor) and value.ndim == 1:
            sizes[name] = len(value)
    if len(set(sizes.values())) > 1:
        raise ValueError(f'batches of different sizes: {sizes}; all must be one size, or no batch')
    if 0 in sizes.values():
        raise ValueError(f'{next(iter(sizes))} is a batch of no views: must hold at least one')
    return next(iter(sizes.values()), None)


def each_view(
    draw: Callable[[Intrinsics, torch.Tensor], Radiance],
    intrinsics: Intrinsics,
    camera_to_world: torch.Tensor,
    count: int,
) -> Radiance:
    """Draw the views of a batch and put their pictures together, (B, H, W, …)."""
    batched = {
        name: value
        for name in PINHOLE
        if isinstance(value := getattr(intrinsics, name), torch.Tensor) and value.ndim == 1
    }
    views = []
    for i in range(count):
        one = replace(intrinsics, **{name: value[i] for name, value in batched.items()})  # type: ignore[arg-type]
        views.append(
            draw(one, camera_to_world[i] if camera_to_world.ndim == 3 else camera_to_world)
        )
    return Radiance(
        **{
            item.name: torch.stack([getattr(view, item.name) for view in views])
            for item in fields(Radiance)
        }
    )
