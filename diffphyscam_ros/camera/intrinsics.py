# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pinhole intrinsics: the one type that says how metres become pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

Scalar = float | torch.Tensor
"""A number, or a tensor of shape () or (B,) that may require grad."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera in the optical frame (x right, y down, z forward).

    A point (x, y, z) in metres falls on pixel u = fx·x/z + cx, v = fy·y/z + cy. The centre of
    the top-left pixel is (0, 0), as in OpenCV and ``sensor_msgs/CameraInfo``, so pixel (u, v)
    covers [u−½, u+½] × [v−½, v+½] and an ideal principal point is ((W−1)/2, (H−1)/2).
    """

    width: int  # px
    height: int  # px
    fx: Scalar  # px, > 0
    fy: Scalar  # px, > 0
    cx: Scalar  # px
    cy: Scalar  # px

    def __post_init__(self) -> None:
        """Refuse an image without pixels and focal lengths that are not positive."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f'image size {self.width}x{self.height} px: both must be at least 1')
        for name in ('fx', 'fy'):
            value = getattr(self, name)
            plain = isinstance(value, float | int)  # of one number torch takes ten times as long
            if not (value > 0 if plain else (torch.as_tensor(value) > 0).all()):
                raise ValueError(f'{name} = {value} px: must be > 0')

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov: float) -> Intrinsics:
        """Square pixels and a centred principal point from a field of view in radians (0, π)."""
        import math

        if not 0.0 < horizontal_fov < math.pi:
            raise ValueError(f'horizontal_fov = {horizontal_fov} rad: must be in (0, π)')
        focal = width / (2.0 * math.tan(horizontal_fov / 2.0))
        return cls(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)

    def matrix(self) -> torch.Tensor:
        """Return K, (3, 3) or (B, 3, 3), differentiable in every entry."""
        fx, fy, cx, cy = torch.broadcast_tensors(
            *(torch.as_tensor(value) for value in (self.fx, self.fy, self.cx, self.cy))
        )
        zero, one = torch.zeros_like(fx), torch.ones_like(fx)
        rows = [fx, zero, cx, zero, fy, cy, zero, zero, one]
        return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))

    def padded(self, left: int, top: int, right: int, bottom: int) -> Intrinsics:
        """Return the same camera seeing more (or, with negative margins, fewer) pixels."""
        return Intrinsics(
            self.width + left + right,
            self.height + top + bottom,
            self.fx,
            self.fy,
            self.cx + left,
            self.cy + top,
        )

    def finer(self, times: int) -> Intrinsics:
        """Return the same view with times² pixels for each, whose centres lie evenly in it.

        Their means are what a pixel sees: draw so to supersample.
        """
        if times < 1:
            raise ValueError(f'times = {times}: must be at least 1')
        shift = (times - 1) / 2.0
        return Intrinsics(
            self.width * times,
            self.height * times,
            self.fx * times,
            self.fy * times,
            self.cx * times + shift,
            self.cy * times + shift,
        )
