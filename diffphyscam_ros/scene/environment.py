# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Light from everywhere: lat-long pictures, their radiance, diffuse and glossy reflections.

The picture's layout is that of :class:`diffphyscam_ros.scene.types.Environment`: row 0 looks
up (+z), the centre column along +x, columns to its right turn towards -y. Everything here is
in the *world* frame, with the environment's rotation and intensity applied, and differentiable
in the picture.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import decode_linear, read_bytes
from diffphyscam_ros.scene.irradiance import (
    evaluate_irradiance,
    irradiance_of_moments,
    MONOMIALS,
    monomials,
    uniform_irradiance,
)
from diffphyscam_ros.scene.latlong import (
    latlong_directions,
    latlong_pixels,
    latlong_solid_angles,
    sample_latlong,
)
from diffphyscam_ros.scene.prefilter import blur_latlong, level_roughness, prefilter_lookup
from diffphyscam_ros.scene.types import Environment

__all__ = [
    'constant_environment',
    'environment_radiance',
    'evaluate_irradiance',
    'irradiance',
    'latlong_directions',
    'latlong_solid_angles',
    'load_environment',
    'prefilter',
    'prefilter_lookup',
]


def constant_environment(
    radiance: float | tuple[float, float, float] = 1.0, intensity: float = 1.0
) -> Environment:
    """Return the same radiance from every direction: a white diffuser then shows that radiance."""
    color = torch.as_tensor(radiance, dtype=torch.float32).expand(3)
    return Environment(image=color.reshape(1, 1, 3).contiguous(), intensity=intensity)


def load_environment(
    path: str | Path, rotation: float = 0.0, intensity: float = 1.0
) -> Environment:
    """Read a lat-long picture: .exr and .hdr as linear radiance, .png and .jpg as sRGB.

    :param rotation: radians about world +z.
    :param intensity: multiplies the radiance.
    :raises SceneError: for a missing, broken or non-2:1 picture, and for one with NaN or
        negative infinity; +inf is clipped to the largest finite value.
    """
    source = Path(path)
    data = read_bytes(source, 'environment')
    if source.suffix.lower() == '.exr':
        image = _read_exr(source)
    else:
        image = decode_linear(data, str(source), srgb=source.suffix.lower() != '.hdr')
    height, width = image.shape[:2]
    if width != 2 * height:
        raise SceneError(
            f'environment {source} is {width}x{height} px: a latitude-longitude picture is twice '
            'as wide as high; resize it, or use another projection of it'
        )
    if np.isnan(image).any() or np.isneginf(image).any():
        raise SceneError(f'environment {source} holds NaN or -inf: no light has that radiance')
    peak = float(image[np.isfinite(image)].max(initial=0.0))
    # Some HDR pictures hold slightly negative values from resampling: no light is negative.
    return Environment(torch.from_numpy(np.clip(image, 0.0, peak)), rotation, intensity)


def _read_exr(path: Path) -> np.ndarray:
    """Return the (H, W, 3) float32 colour of an OpenEXR file, scan-line or tiled."""
    try:
        import OpenEXR
    except ImportError as error:
        raise SceneError(
            f'{path} needs the package OpenEXR, which is not installed: pip install "OpenEXR>=3.3"'
        ) from error
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            for name in ('RGBA', 'RGB'):
                if name in channels:
                    return np.ascontiguousarray(channels[name].pixels[..., :3], dtype=np.float32)
            if 'Y' in channels:
                grey = np.asarray(channels['Y'].pixels, dtype=np.float32)
                return np.repeat(grey[..., None], 3, axis=-1)
            raise SceneError(
                f'{path} has the channels {", ".join(sorted(channels))}: '
                'R, G and B, or Y, are needed'
            )
    except (RuntimeError, OSError, TypeError, ValueError) as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError(f'{path} cannot be read as OpenEXR: {error}') from error


def environment_radiance(environment: Environment, directions: torch.Tensor) -> torch.Tensor:
    """Return the radiance (..., 3) that comes from the world directions (..., 3).

    Bilinear between pixel centres, seamless at the back. Differentiable in the picture, and in
    the directions away from the poles.

    :param directions: any length but zero.
    """
    image = environment.image
    height, width = image.shape[:2]
    if height == 1 and width == 1:
        return (image[0, 0] * environment.intensity).expand(*directions.shape[:-1], 3)
    column, row = latlong_pixels(directions, height, width, environment.rotation)
    layer = torch.zeros_like(column, dtype=torch.int64)
    return sample_latlong(image[None], column, row, layer) * environment.intensity


def irradiance(environment: Environment) -> torch.Tensor:
    """Return the diffuse light of an environment: a polynomial (31, 3) of the normal, world frame.

    Evaluate it with :func:`evaluate_irradiance`. Linear, hence differentiable, in the picture.
    """
    image = environment.image
    height, width = image.shape[:2]
    if height == 1 and width == 1:
        return uniform_irradiance(image[0, 0]) * environment.intensity
    directions = latlong_directions(height, width, environment.rotation).to(image.device)
    weighted = image * latlong_solid_angles(height, width).to(image)[:, None, None]
    moments = image.new_zeros(MONOMIALS, 3)
    for rows in range(0, height, 32):  # all at once would be ten times the picture
        some = monomials(directions[rows : rows + 32]).to(image).flatten(0, 1)
        moments = moments + some.T @ weighted[rows : rows + 32].reshape(-1, 3)
    return irradiance_of_moments(moments) * environment.intensity


def prefilter(environment: Environment, levels: int = 5, height: int = 128) -> torch.Tensor:
    """Return what surfaces of rising roughness mirror: (levels, height, 2·height, 3).

    Level i is what a GGX surface of roughness ``level_roughness(levels)[i]`` mirrors that is seen
    straight on (split-sum, Karis 2013, with view = normal = reflection); level 0 is the
    environment itself. The pictures are lat-long in the world frame: no rotation or intensity
    is left to apply. Look up with :func:`prefilter_lookup`. Differentiable in the picture.

    :param levels: at least 2.
    :param height: rows of each level; 128 resolves 1.4 degrees.
    """
    if levels < 2 or height < 4:
        raise SceneError(f'levels = {levels}, height = {height}: at least 2 and 4 are needed')
    if environment.image.shape[:2] == (1, 1):
        color = environment.image[0, 0] * environment.intensity
        return color.expand(levels, height, 2 * height, 3)
    pictures = [_resampled(environment, height)]
    for roughness in level_roughness(levels)[1:]:
        # Three texels in a lobe, which is about 2·roughness² wide; more would only cost time.
        rows = min(height, max(32, math.ceil(3.0 * math.pi / roughness**2)))
        blurred = blur_latlong(_resampled(environment, rows), roughness)
        pictures.append(_enlarged(blurred, height) if rows < height else blurred)
    return torch.stack(pictures)


def _enlarged(image: torch.Tensor, height: int) -> torch.Tensor:
    """Return a lat-long picture with more rows, bilinear."""
    directions = latlong_directions(height, 2 * height).to(image.device)
    column, row = latlong_pixels(directions, *image.shape[:2])
    layer = torch.zeros_like(column, dtype=torch.int64)
    return sample_latlong(image[None], column, row, layer)


def _resampled(environment: Environment, height: int) -> torch.Tensor:
    """Return the environment in the world frame as (height, 2·height, 3), averaged over area."""
    source_height = environment.image.shape[0]
    # Sample a multiple of the target on the finer of both grids, then average: no light is lost.
    factor = max(1, math.ceil(source_height / height))
    directions = latlong_directions(height * factor, 2 * height * factor)
    fine = environment_radiance(environment, directions.to(environment.image.device))
    rows = latlong_solid_angles(height * factor, 1).to(fine)[:, None, None]
    shape = (height, factor, 2 * height, factor, 3)
    total = (fine * rows).reshape(shape).sum(dim=(1, 3))
    return total / (rows.reshape(height, factor).sum(dim=1)[:, None, None] * factor)
