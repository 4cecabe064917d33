# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Stage 1: the corners are darker (CAMERA_MODEL.md eq. 1), by one of three laws and by a rim."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.arrays import per_image, picture
from diffphyscam_ros.camera.disk_overlap import disk_overlap
from diffphyscam_ros.camera.intrinsics import Intrinsics, Scalar
from diffphyscam_ros.camera.sensor_model import SensorModel, VIGNETTING_MODELS
from diffphyscam_ros.camera.settings import CameraSettings

Numbers = Sequence[float] | torch.Tensor
"""Any count of numbers: a tuple, or a tensor of shape (n,) or (B, n)."""

_TABLE_SIZE = 8192  # radii at which the fast path computes the share that a rim leaves free


def _ray_slopes(intrinsics: Intrinsics, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x/z and y/z of each pixel's ray; broadcast they are (H, W, 1) or (B, H, W, 1)."""
    u = torch.arange(intrinsics.width, dtype=like.dtype, device=like.device)[:, None]
    v = torch.arange(intrinsics.height, dtype=like.dtype, device=like.device)[:, None, None]
    x = (u - per_image(intrinsics.cx, like)) / per_image(intrinsics.fx, like)
    y = (v - per_image(intrinsics.cy, like)) / per_image(intrinsics.fy, like)
    return x, y


def cos4_falloff(intrinsics: Intrinsics, like: torch.Tensor) -> torch.Tensor:
    """Return cos⁴θ of the angle θ between each pixel's ray and the optical axis.

    tan θ is the distance from the principal point in units of the focal length, so the
    reference's "sensor width = 2 f tan(hFOV / 2)" is contained in the intrinsics.

    :param like: gives dtype and device.
    :return: (H, W, 1), or (B, H, W, 1) for batched intrinsics.
    """
    x, y = _ray_slopes(intrinsics, like)
    return (1 + x * x + y * y) ** -2


def radial_falloff(
    intrinsics: Intrinsics, like: torch.Tensor, coefficients: Numbers
) -> torch.Tensor:
    """Return max(1 + k₁r² + k₂r⁴ + …, 0) with r = tan θ, as calibrations of real lenses state it.

    :param coefficients: k, (n,) or (B, n); none = 1 everywhere.
    :return: (H, W, 1) or (B, H, W, 1).
    """
    x, y = _ray_slopes(intrinsics, like)
    r2 = x * x + y * y
    k = torch.as_tensor(coefficients, dtype=like.dtype, device=like.device)
    value = torch.zeros_like(r2)
    for i in reversed(range(k.shape[-1])):
        value = r2 * (value + per_image(k[..., i], like))
    return (1 + value).clamp(min=0.0)


def mapped_falloff(
    intrinsics: Intrinsics, like: torch.Tensor, grid: Numbers, columns: int
) -> torch.Tensor:
    """Return a free map: a grid stretched over the picture, bilinear between its points.

    :param grid: rows one after the other, (n,) or (B, n); its corners are the centres of the
        picture's corner pixels.
    :param columns: of the grid.
    :return: (H, W, 1) or (B, H, W, 1).
    :raises ValueError: for a grid that is not made of whole rows.
    """
    values = torch.as_tensor(grid, dtype=like.dtype, device=like.device)
    count = values.shape[-1]
    if columns < 1 or count < 1 or count % columns:
        raise ValueError(
            f'the vignetting map has {count} values and grid_columns = {columns}: it must have '
            'whole rows of that many values'
        )
    values = values.unflatten(-1, (count // columns, columns))
    values = _stretched(values, -2, intrinsics.height)
    return _stretched(values, -1, intrinsics.width)[..., None]


def _stretched(values: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Interpolate linearly along a dimension, so that its ends stay ends."""
    last = values.shape[dim] - 1
    position = torch.arange(size, dtype=values.dtype, device=values.device)
    position = position * (last / (size - 1)) if size > 1 else position + last / 2
    below = position.long().clamp(max=max(last - 1, 0))
    part = position - below
    part = part[:, None] if dim == -2 else part
    low = values.index_select(dim, below)
    return low + part * (values.index_select(dim, (below + 1).clamp(max=last)) - low)


def vignette(
    radiance: torch.Tensor,
    intrinsics: Intrinsics,
    gain: Scalar,
    model: str = 'cos4',
    coefficients: Numbers = (),
    grid: Numbers = (),
    grid_columns: int = 0,
) -> torch.Tensor:
    """Darken towards the corners.

    'cos4': E = L·(1 − G + G·cos⁴θ) (CAMERA_MODEL.md eq. 1); 'radial': E = L·max(1 + k₁r² + …, 0);
    'map': E = L·map(u, v).

    :param radiance: (..., H, W, C).
    :param intrinsics: of this picture; differentiable in fx, fy, cx and cy.
    :param gain: G of 'cos4' in [0, 1]; 0 = none, 1 = the full cos⁴ law.
    :param coefficients: k of 'radial', see ``radial_falloff``.
    :param grid: of 'map', with ``grid_columns`` columns, see ``mapped_falloff``.
    :return: irradiance, (..., H, W, C).
    :raises ValueError: for an unknown model, a bad grid, or where the picture and the intrinsics
        differ in size.
    """
    radiance = picture(radiance, 'radiance')
    height, width = radiance.shape[-3:-1]
    if (height, width) != (intrinsics.height, intrinsics.width):
        raise ValueError(
            f'radiance is {width}x{height} px, its intrinsics say '
            f'{intrinsics.width}x{intrinsics.height} px: they must agree'
        )
    return radiance * _falloff(intrinsics, radiance, gain, model, coefficients, grid, grid_columns)


def _falloff(
    intrinsics: Intrinsics,
    like: torch.Tensor,
    gain: Scalar,
    model: str,
    coefficients: Numbers,
    grid: Numbers,
    grid_columns: int,
) -> torch.Tensor:
    """Return the factor of ``vignette``, (H, W, 1) or (B, H, W, 1)."""
    if model == 'cos4':
        strength = per_image(gain, like)
        return 1 - strength + strength * cos4_falloff(intrinsics, like)
    if model == 'radial':
        return radial_falloff(intrinsics, like, coefficients)
    if model == 'map':
        return mapped_falloff(intrinsics, like, grid, grid_columns)
    raise ValueError(f'vignetting model {model!r}: must be one of {", ".join(VIGNETTING_MODELS)}')


def falloff_of(intrinsics: Intrinsics, sensor: SensorModel, like: torch.Tensor) -> torch.Tensor:
    """Return the factor of the sensor's law, (H, W, 1) or (B, H, W, 1), differentiable."""
    return _falloff(
        intrinsics,
        like,
        sensor.vignetting_gain,
        sensor.vignetting_model,
        sensor.vignetting_coefficients,
        sensor.vignetting_map,
        sensor.vignetting_map_columns,
    )


def pupil_vignetting(
    intrinsics: Intrinsics,
    like: torch.Tensor,
    focal_length: Scalar,
    aperture: Scalar,
    rim_radius: Scalar,
    rim_distance: Scalar,
) -> torch.Tensor:
    """Return how much of the entrance pupil a rim in front of it leaves free, in [0, 1].

    The pupil has the radius f/(2N). Seen from a point off axis by θ, the rim stands before it
    displaced by rim_distance·tan θ: the lens shape that both share lets light through (the
    "cat's eye"). Stopping down makes the pupil smaller, and the corners bright again.

    Differentiable in all numbers with finite gradients; where the rim just touches the pupil
    the derivative is continuous, too.

    :param like: gives dtype and device.
    :param focal_length: f, m.
    :param aperture: f-number N.
    :param rim_radius: m; 0 = no rim.
    :param rim_distance: from the rim to the entrance pupil, m; 0 = no rim.
    :return: (H, W, 1), or (B, H, W, 1) where anything is batched.
    """
    x, y = torch.broadcast_tensors(*_ray_slopes(intrinsics, like))
    # This norm has the gradient 0 at the principal point, where a square root has none.
    slope = torch.linalg.vector_norm(torch.stack((x, y), dim=-1), dim=-1)
    pupil = per_image(focal_length, like) / (2 * per_image(aperture, like))
    pupil = pupil.clamp(1e-7, 1e7)  # m: no lens is outside, and the areas stay within float32
    rim, distance = per_image(rim_radius, like), per_image(rim_distance, like)
    there = (rim > 0) & (distance > 0)
    free = disk_overlap(torch.where(there, rim, pupil) / pupil, distance * slope / pupil)
    return torch.where(there, free, 1.0)


def vignetting_mask(
    target: Intrinsics, sensor: SensorModel, settings: CameraSettings
) -> npt.NDArray[np.float32] | None:
    """Return the factor of both kinds of vignetting, (H, W) float32, or None where it is 1.

    What the fused kernels multiply with. Cached; all arguments hold plain numbers.
    """
    law = (
        sensor.vignetting_model,
        sensor.vignetting_gain if sensor.vignetting_model == 'cos4' else 0.0,
        sensor.vignetting_coefficients if sensor.vignetting_model == 'radial' else (),
        sensor.vignetting_map if sensor.vignetting_model == 'map' else (),
        sensor.vignetting_map_columns,
    )
    mask = _law_mask(target, law)
    if not (sensor.rim_radius and sensor.rim_distance):
        return mask
    lens = settings.focal_length, settings.aperture, sensor.rim_radius, sensor.rim_distance
    return _with_rim(target, law, *(float(number) for number in lens))


@lru_cache(maxsize=4)
def _law_mask(
    target: Intrinsics, law: tuple[str, Scalar, Numbers, Numbers, int]
) -> npt.NDArray[np.float32] | None:
    model, gain, coefficients, grid, columns = law
    effective = {'cos4': gain != 0, 'radial': len(coefficients) > 0, 'map': len(grid) > 0}[model]
    if not effective:
        return None
    white = torch.ones((target.height, target.width, 1), dtype=torch.float64)
    mask = _falloff(target, white, gain, model, coefficients, grid, columns)
    result: npt.NDArray[np.float32] = mask[..., 0].float().contiguous().numpy()
    return result


@lru_cache(maxsize=8)
def _with_rim(
    target: Intrinsics,
    law: tuple[str, Scalar, Numbers, Numbers, int],
    *lens: float,
) -> npt.NDArray[np.float32]:
    """Return the mask of a law and a rim; quick, since an automatic aperture asks often."""
    largest, below, part = _slope_picture(target)
    table = torch.linspace(0.0, largest, _TABLE_SIZE + 1, dtype=torch.float64)
    line = Intrinsics(1, 1, 1.0, 1.0, -table, 0.0)  # a batch of pixels, each r from the axis
    free = pupil_vignetting(line, table, *lens).reshape(-1).float().numpy()
    mask: npt.NDArray[np.float32] = free[below]
    mask += part * np.diff(free)[below]
    under = _law_mask(target, law)
    return mask if under is None else mask * under


@lru_cache(maxsize=4)
def _slope_picture(
    target: Intrinsics,
) -> tuple[float, npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return the largest r = tan θ, and where in a table from 0 to it that of each pixel lies."""
    x, y = _ray_slopes(target, torch.zeros((), dtype=torch.float64))
    slope = torch.hypot(*torch.broadcast_tensors(x, y))[..., 0].numpy()
    largest = max(float(slope.max()), 1e-9)
    position = slope * (_TABLE_SIZE / largest)
    below = np.minimum(position.astype(np.intp), _TABLE_SIZE - 1)
    return largest, below, (position - below).astype(np.float32)
