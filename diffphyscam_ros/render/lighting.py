# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""All light of a scene, brought to the optical frame."""

from __future__ import annotations

from dataclasses import dataclass
import functools
import math

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.frame_tables import turn_irradiance
from diffphyscam_ros.render.cache import needs_grad
from diffphyscam_ros.render.lights import light_tensors
from diffphyscam_ros.scene.environment import irradiance, prefilter
from diffphyscam_ros.scene.irradiance import EXPONENTS, monomials
from diffphyscam_ros.scene.types import Environment, Scene

Floats = npt.NDArray[np.float32]

GLOSSY_LEVELS = 10
GLOSSY_HEIGHT = 128  # rows at most; fewer where the picture has fewer
_EXPONENTS = np.array(EXPONENTS, np.int64)


@dataclass(frozen=True)
class EnvironmentMaps:
    """An environment ready for shading, before its rotation and intensity.

    :param irradiance: (31, 3) polynomial of the normal (``scene/irradiance.py``).
    :param glossy: (L, h, 2h, 3) prefiltered for roughness 0 … 1 (``scene/prefilter.py``).
    :param picture: (H, W, 3) as it is seen directly.
    """

    irradiance: torch.Tensor
    glossy: torch.Tensor
    picture: torch.Tensor


@dataclass(frozen=True)
class Illumination:
    """All light of a scene, in the optical frame.

    :param lights: (L, 14), see :func:`diffphyscam_ros.render.lights.turned_lights`.
    :param maps: the environment, or None.
    :param turn: (3, 3) optical frame → environment picture.
    :param intensity: () multiplies the environment.
    :param background: (3,) where nothing is hit, or None to show the environment.
    :param light_visibility: (L, H·W) uint8, the share of each light that reaches each pixel's
        surface (255 = all of it), or None where nothing is shadowed. Carries no gradient.
    :param sky_visibility: (H·W,) uint8, the share of the environment that reaches it, or None.
        Carries no gradient.
    """

    lights: torch.Tensor
    maps: EnvironmentMaps | None
    turn: torch.Tensor
    intensity: torch.Tensor
    background: torch.Tensor | None
    light_visibility: torch.Tensor | None = None
    sky_visibility: torch.Tensor | None = None


def environment_tensors(environment: Environment) -> list[torch.Tensor]:
    """Return what of an environment is a tensor."""
    values = (environment.image, environment.rotation, environment.intensity)
    return [value for value in values if isinstance(value, torch.Tensor)]


def lighting_needs_grad(scene: Scene) -> bool:
    """Return whether a gradient is asked of any light or of the environment."""
    values = light_tensors(scene.lights)
    if scene.environment is not None:
        values += environment_tensors(scene.environment)
    return any(needs_grad(value) for value in values)


def pack_environment(
    image: torch.Tensor, device: torch.device, dtype: torch.dtype
) -> EnvironmentMaps:
    """Prepare a lat-long picture (H, W, 3), differentiably.

    :raises ValueError: for a picture of the wrong shape.
    """
    if image.ndim != 3 or image.shape[-1] != 3 or image.numel() == 0:
        raise ValueError(f'environment image has shape {tuple(image.shape)}: must be (H, W, 3)')
    if not bool(torch.isfinite(image).all()):
        raise ValueError('environment image holds NaN or inf: must be finite')
    # The scene's filters work in float32.
    picture = image.to(device, torch.float32)
    plain = Environment(picture)
    if picture.shape[:2] == (1, 1):
        glossy = picture.expand(2, 1, 1, 3)
    else:
        height = min(max(picture.shape[0], 4), GLOSSY_HEIGHT)
        glossy = prefilter(plain, GLOSSY_LEVELS, height)
    return EnvironmentMaps(
        irradiance(plain).to(dtype),
        glossy.to(dtype).contiguous(),
        picture.to(dtype).contiguous(),
    )


def environment_turn(
    rotation: float | torch.Tensor, camera_to_world: torch.Tensor
) -> torch.Tensor:
    """Return (3, 3): optical frame → the frame in which the environment's picture is given."""
    angle = torch.as_tensor(rotation, dtype=torch.float64, device='cpu')
    across, along, up = _turning()
    back = angle.cos() * across + angle.sin() * along + up
    return back.to(camera_to_world.device, camera_to_world.dtype) @ camera_to_world[:3, :3]


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)  # what is kept must serve gradients too
def _turning() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what the cosine and the sine multiply in a turn about z, and the rest, (3, 3)."""
    across, along = [[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 1, 0], [-1, 0, 0], [0, 0, 0]]
    up = [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    one, other, rest = torch.tensor([across, along, up], dtype=torch.float64)
    return one, other, rest


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)  # what is kept must serve gradients too
def _probes() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 96 unit directions (96, 3) and the pseudo-inverse (31, 96) of their monomials."""
    number = torch.arange(96, dtype=torch.float64) + 0.5
    z, turn = 1.0 - number / 48.0, number * (math.pi * (3.0 - math.sqrt(5.0)))  # a golden spiral
    across = (1.0 - z * z).sqrt()
    directions = torch.stack([across * turn.cos(), across * turn.sin(), z], dim=-1)
    return directions, torch.linalg.pinv(monomials(directions))


def turned_irradiance(
    maps: EnvironmentMaps, turn: torch.Tensor, intensity: torch.Tensor
) -> torch.Tensor:
    """Return the irradiance (31, 3) float32 as a polynomial of the normal in the optical frame.

    Turning maps these polynomials on themselves, so a fit at a few directions is exact.
    """
    directions, inverse = _probes()
    turned = _product(directions, turn.double().cpu().T)
    seen = _product(monomials(turned), maps.irradiance.double().cpu())
    return (_product(inverse, seen) * intensity.double().cpu()).to(torch.float32)


def turned_irradiance_fast(
    maps: EnvironmentMaps, turn: torch.Tensor, intensity: torch.Tensor
) -> Floats:
    """Return the same, of tensors on the CPU and without gradients."""
    directions, inverse = _probes()
    out = np.empty((len(EXPONENTS), 3), np.float32)
    turn_irradiance(
        maps.irradiance.detach().numpy(),
        turn.detach().double().numpy(),
        float(intensity.detach()),
        directions.numpy(),
        inverse.numpy(),
        _EXPONENTS,
        out,
    )
    return out


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the product of two small matrices, without the threads that a BLAS would wake.

    Between the kernels' threads on a busy machine, those cost a hundred times the product.
    """
    return (left.unsqueeze(-1) * right).sum(-2)
