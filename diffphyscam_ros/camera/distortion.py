# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 0: the pinhole picture is sampled on the grid of a real lens (CAMERA_MODEL.md stage 0)."""

from __future__ import annotations

import math

import torch

from diffphyscam_ros.camera.arrays import picture
from diffphyscam_ros.camera.intrinsics import Intrinsics, Scalar
from diffphyscam_ros.camera.lens_models import Coefficients, undistort_points

LARGEST_SOURCE = 4
"""A source view is at most this many times as wide, and as high, as the camera's picture."""


def _double(value: Scalar, device: torch.device) -> torch.Tensor:
    tensor = torch.as_tensor(value, dtype=torch.float64, device=device)
    return tensor.reshape(-1, 1, 1) if tensor.ndim == 1 else tensor


def ray_grid(target: Intrinsics, device: torch.device) -> torch.Tensor:
    """Return the normalised points of the target's pixels, (H, W, 2) or (B, H, W, 2), float64."""
    u = torch.arange(target.width, dtype=torch.float64, device=device)
    v = torch.arange(target.height, dtype=torch.float64, device=device)[:, None]
    x = (u - _double(target.cx, device)) / _double(target.fx, device)
    y = (v - _double(target.cy, device)) / _double(target.fy, device)
    return torch.stack(torch.broadcast_tensors(x, y), dim=-1)


def distortion_map(
    source: Intrinsics,
    target: Intrinsics,
    model: str,
    coefficients: Coefficients,
    device: torch.device | str = 'cpu',
) -> torch.Tensor:
    """Return where in the source picture each pixel of the target looks.

    :param source: the pinhole picture.
    :param target: the K that CameraInfo publishes; with the coefficients it defines the lens.
    :return: (H, W, 2) or (B, H, W, 2) float64 pixel positions (u, v) in the source, NaN where
        the lens model has no inverse. Differentiable in both intrinsics and the coefficients.
    """
    device = torch.device(device)
    return source_pixels(ray_grid(target, device), source, model, coefficients)


def source_pixels(
    rays: torch.Tensor, source: Intrinsics, model: str, coefficients: Coefficients
) -> torch.Tensor:
    """Return the source pixels (..., H, W, 2) of distorted normalised points."""
    device = rays.device
    k = torch.as_tensor(coefficients, dtype=torch.float64, device=device)
    if k.numel() == 0:
        undistorted = rays
    elif k.ndim == 2:
        batch = rays.expand(k.shape[0], *rays.shape[-3:])
        undistorted = torch.stack(
            [undistort_points(p, model, one) for p, one in zip(batch, k, strict=True)]
        )
    else:
        undistorted = undistort_points(rays, model, k)
    x, y = undistorted.unbind(-1)
    u = _double(source.fx, device) * x + _double(source.cx, device)
    v = _double(source.fy, device) * y + _double(source.cy, device)
    return torch.stack(torch.broadcast_tensors(u, v), dim=-1)


def covered(pixels: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Return which positions (..., 2) lie on a picture, half a pixel of margin included."""
    u, v = pixels.unbind(-1)
    return (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)


def _pick(values: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Return the pixels of (..., H, W, C) at integer positions (..., H', W')."""
    height, width, channels = values.shape[-3:]
    batch = torch.broadcast_shapes(values.shape[:-3], row.shape[:-2])
    size = row.shape[-2:]
    planes = values.expand(*batch, height, width, channels).reshape(-1, height * width, channels)
    index = (row * width + column).expand(*batch, *size).reshape(-1, size.numel(), 1)
    return planes.gather(1, index.expand(-1, -1, channels)).reshape(*batch, *size, channels)


def sample_bilinear(image: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return the image between its pixels, 0 outside of it.

    :param image: (..., H, W, C).
    :param pixels: (H', W', 2) or (B, H', W', 2) positions; NaN counts as outside.
    :return: (..., H', W', C), differentiable in the image and in the positions.
    """
    height, width = image.shape[-3:-1]
    inside = covered(pixels, width, height)[..., None]
    position = torch.where(inside, pixels, 0.0).to(image.dtype)
    u, v = position[..., 0].clamp(0, width - 1), position[..., 1].clamp(0, height - 1)
    left, top = u.detach().long(), v.detach().long()
    right, below = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    a, b = (u - left)[..., None], (v - top)[..., None]
    upper_left, lower_left = _pick(image, top, left), _pick(image, below, left)
    upper = upper_left + a * (_pick(image, top, right) - upper_left)
    lower = lower_left + a * (_pick(image, below, right) - lower_left)
    return torch.where(inside, upper + b * (lower - upper), 0.0)


def nearest_pixels(
    pixels: torch.Tensor, width: int, height: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return row, column and whether there is such a pixel, for positions (..., 2)."""
    inside = covered(pixels, width, height)
    position = torch.where(inside[..., None], pixels.detach(), 0.0)
    column = (position[..., 0] + 0.5).floor().long().clamp(0, width - 1)
    row = (position[..., 1] + 0.5).floor().long().clamp(0, height - 1)
    return row, column, inside


def sample_nearest(values: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return the value of the pixel at each position, 0 outside: nothing is mixed.

    :param values: (..., H, W).
    :param pixels: (H', W', 2) or (B, H', W', 2) positions; NaN counts as outside.
    :return: (..., H', W'), differentiable in the values alone.
    """
    height, width = values.shape[-2:]
    row, column, inside = nearest_pixels(pixels, width, height)
    return torch.where(inside, _pick(values[..., None], row, column)[..., 0], 0.0)


def distort(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    source: Intrinsics,
    target: Intrinsics,
    model: str = 'plumb_bob',
    coefficients: Coefficients = (),
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Sample a pinhole picture on the distorted grid of the camera.

    Colour is interpolated bilinearly; depth is taken from the nearest pixel, so that foreground
    and background do not mix. A target pixel without a source is black with depth 0.

    :param image: (..., H, W, C) of the source; differentiable.
    :param depth: (..., H, W) z-depth in metres, or None.
    :param source: of the given picture.
    :param target: K of the result, as CameraInfo publishes it.
    :param model: 'plumb_bob', 'rational_polynomial' or 'equidistant'.
    :param coefficients: in CameraInfo's order, or empty for none. The picture is differentiable
        in them and in both intrinsics; the depth is not (nearest pixel).
    :return: image (..., H', W', C) and depth (..., H', W'), or None for no depth.
    :raises ValueError: where picture and source differ in size, or for bad coefficients.
    """
    image = picture(image, 'image')
    height, width = image.shape[-3:-1]
    if (height, width) != (source.height, source.width):
        raise ValueError(
            f'image is {width}x{height} px, its source intrinsics say '
            f'{source.width}x{source.height} px: they must agree'
        )
    pixels = distortion_map(source, target, model, coefficients, image.device)
    warped = sample_bilinear(image, pixels)
    return warped, None if depth is None else sample_nearest(depth, pixels)


def source_padding(
    target: Intrinsics, model: str, coefficients: Coefficients
) -> tuple[int, int, int, int]:
    """Return by how many pixels the pinhole view must exceed the camera's picture.

    With the same focal length and these margins no target pixel lacks a source, except where the
    lens model folds, looks more than 85° off axis, or would need a view more than
    ``LARGEST_SOURCE`` times as large: `distortion_map` then points outside.

    :return: (left, top, right, bottom), px, ≥ 0.
    """
    if len(coefficients) == 0:
        return 0, 0, 0, 0
    rays = ray_grid(target, torch.device('cpu')).detach()
    # Where the lens model is continuous up to the rim, the rim holds the extremes.
    pixels = source_pixels(rim_of(rays)[..., None, :], target, model, coefficients).detach()
    if bool(pixels.isnan().any()):
        pixels = source_pixels(rays, target, model, coefficients).detach()
    return margins(pixels, target)


def rim_of(rays: torch.Tensor) -> torch.Tensor:
    """Return what a grid (..., H, W, 2) holds along its four sides, (..., N, 2)."""
    return torch.cat(
        [rays[..., 0, :, :], rays[..., -1, :, :], rays[..., :, 0, :], rays[..., :, -1, :]], dim=-2
    )


def margins(pixels: torch.Tensor, target: Intrinsics) -> tuple[int, int, int, int]:
    """Return by how much positions (..., 2) exceed the target's picture: see source_padding.

    :param pixels: in px of the target; NaN has no place and counts for nothing.
    """
    found = pixels[~pixels.isnan().any(-1)]
    if found.numel() == 0:
        return 0, 0, 0, 0
    (u_low, v_low), (u_high, v_high) = found.amin(0).tolist(), found.amax(0).tolist()
    widest = target.width * (LARGEST_SOURCE - 1) // 2
    highest = target.height * (LARGEST_SOURCE - 1) // 2

    def margin(excess: float, largest: int) -> int:
        return min(max(math.ceil(excess - 1e-6), 0), largest)

    return (
        margin(-u_low, widest),
        margin(-v_low, highest),
        margin(u_high - (target.width - 1), widest),
        margin(v_high - (target.height - 1), highest),
    )
