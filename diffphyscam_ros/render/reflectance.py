# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How a surface reflects: the metallic-roughness model of glTF 2.0, appendix B, in torch.

Radiance out = irradiance · ((1 − F)·diffuse/π + F·D·V), with Schlick's Fresnel term F, the GGX
distribution D and the separable Smith term V; the optical frame is the frame of all vectors.
Colours and vectors are (3, P), components first; all else is (P,).
"""

from __future__ import annotations

from dataclasses import dataclass
import functools
import math

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.render.environment_lobe import LEAN, WIDTH
from diffphyscam_ros.scene.prefilter import blur_position

DIELECTRIC = 0.04
MIN_ROUGHNESS = 0.045  # below it the highlight is narrower than float32 resolves
MIN_N_DOT_V = 1e-4
MIRRORED = (0.02805336, -0.07738066, 0.07500745, -0.02570756)
"""Cubic in n·v of ∫ (1 − v·h)⁵ n·l/π dl, the share of diffuse light Fresnel takes (to 1e-4)."""

TABLE_SIZE = 32


def reflectance_at_normal(base_color: torch.Tensor, metallic: torch.Tensor) -> torch.Tensor:
    """Return F0 (3, P) from base colour (3, P) and metallic (P,)."""
    return DIELECTRIC + (base_color - DIELECTRIC) * metallic


def reflect(
    base_color: torch.Tensor,
    metallic: torch.Tensor,
    roughness: torch.Tensor,
    n_dot_v: torch.Tensor,
    n_dot_l: torch.Tensor,
    v_dot_l: torch.Tensor,
) -> torch.Tensor:
    """Return the radiance (3, P) reflected for unit irradiance on a facing surface, times n·l.

    :param n_dot_v: at least ``MIN_N_DOT_V``.
    """
    n_dot_l = n_dot_l.clamp_min(0.0)
    v_dot_h = (0.5 + 0.5 * v_dot_l).clamp_min(1e-8).sqrt()
    n_dot_h = ((n_dot_l + n_dot_v) / (2.0 * v_dot_h)).clamp_max(1.0)
    a2 = roughness.clamp(MIN_ROUGHNESS, 1.0) ** 4
    t = n_dot_h * n_dot_h * (a2 - 1.0) + 1.0
    shadow_l = n_dot_l + (a2 + (1.0 - a2) * n_dot_l * n_dot_l).sqrt()
    shadow_v = n_dot_v + (a2 + (1.0 - a2) * n_dot_v * n_dot_v).sqrt()
    lobe = a2 / (math.pi * t * t * shadow_l * shadow_v)
    f0 = reflectance_at_normal(base_color, metallic)
    fresnel = f0 + (1.0 - f0) * (1.0 - v_dot_h) ** 5
    diffuse = base_color * ((1.0 - metallic) / math.pi)
    return n_dot_l * ((1.0 - fresnel) * diffuse + fresnel * lobe)


def diffuse_environment_share(
    base_color: torch.Tensor, metallic: torch.Tensor, n_dot_v: torch.Tensor
) -> torch.Tensor:
    """Return radiance (3, P) for unit irradiance from an environment, diffuse part."""
    m0, m1, m2, m3 = MIRRORED
    mirrored = m0 + n_dot_v * (m1 + n_dot_v * (m2 + n_dot_v * m3))
    f0 = reflectance_at_normal(base_color, metallic)
    kept = (1.0 - metallic) * (1.0 - mirrored)
    return base_color * (1.0 - f0) * (kept / math.pi)


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)  # what is kept must serve gradients too
def environment_table() -> torch.Tensor:
    """Return (n, n, 4) float32: how a surface mirrors an environment, by integration.

    Rows are √(n·v) from 0 to 1, columns roughness from 0 to 1. The first two numbers are scale and
    bias of F0 under uniform light (Karis, "Real Shading in Unreal Engine 4", SIGGRAPH 2013 course,
    with the separable Smith term of glTF), importance sampled by 64 × 64 strata of the half
    vector's distribution. The others say into which prefiltered picture to look, and where
    (``render/environment_lobe.py``): the lean from the normal (0) to the mirrored view (1), and
    the position between the pictures (:func:`diffphyscam_ros.scene.prefilter.blur_position`).
    """
    strata = (np.arange(64) + 0.5) / 64
    table = np.empty((TABLE_SIZE, TABLE_SIZE, 4), np.float32)
    n_dot_v = np.maximum(np.linspace(0.0, 1.0, TABLE_SIZE) ** 2, MIN_N_DOT_V)[:, None, None]
    sine = np.sqrt(1.0 - n_dot_v * n_dot_v)
    x, angle = strata[:, None], np.pi * strata  # the lobe is symmetric: half a turn is enough
    for column, roughness in enumerate(np.linspace(0.0, 1.0, TABLE_SIZE)):
        a2 = max(float(roughness), MIN_ROUGHNESS) ** 4
        h_z = np.sqrt((1.0 - x) / (1.0 + (a2 - 1.0) * x))
        h_x = np.sqrt(np.maximum(1.0 - h_z * h_z, 0.0)) * np.cos(angle)
        v_dot_h = np.maximum(sine * h_x + n_dot_v * h_z, 0.0)
        n_dot_l = np.maximum(2.0 * v_dot_h * h_z - n_dot_v, 0.0)
        shadow_l = n_dot_l + np.sqrt(a2 + (1.0 - a2) * n_dot_l**2)
        shadow_v = n_dot_v + np.sqrt(a2 + (1.0 - a2) * n_dot_v**2)
        weight = 4.0 * n_dot_l * v_dot_h / (shadow_l * shadow_v * h_z)
        grazing = (1.0 - np.minimum(v_dot_h, 1.0)) ** 5
        table[:, column, 0] = (weight * (1.0 - grazing)).mean(axis=(1, 2))
        table[:, column, 1] = (weight * grazing).mean(axis=(1, 2))
    table[..., 2] = _enlarged(LEAN)
    width = torch.from_numpy(_enlarged(WIDTH) * np.linspace(0.0, 1.0, TABLE_SIZE))
    table[..., 3] = blur_position(width).numpy()
    return torch.from_numpy(table)


def _enlarged(values: tuple[tuple[float, ...], ...]) -> npt.NDArray[np.float64]:
    """Return a table over [0, 1]² as one of ``TABLE_SIZE`` rows and columns, bilinear."""
    table = np.array(values)
    fine, coarse = np.linspace(0.0, 1.0, TABLE_SIZE), np.linspace(0.0, 1.0, len(table))
    rows = np.stack([np.interp(fine, coarse, row) for row in table])
    return np.stack([np.interp(fine, coarse, column) for column in rows.T], axis=1)


@dataclass(frozen=True)
class EnvironmentLobe:
    """How P points mirror an environment: the columns of :func:`environment_table`, (P,) each."""

    scale: torch.Tensor
    bias: torch.Tensor
    lean: torch.Tensor
    position: torch.Tensor


def environment_lobe(roughness: torch.Tensor, n_dot_v: torch.Tensor) -> EnvironmentLobe:
    """Look up :func:`environment_table`, bilinear."""
    table = environment_table().to(roughness.device, roughness.dtype).flatten(0, 1).T.contiguous()
    last = TABLE_SIZE - 1
    a = n_dot_v.sqrt().clamp_max(1.0) * last
    b = roughness.clamp(0.0, 1.0) * last
    row, column = a.detach().long().clamp(0, last - 1), b.detach().long().clamp(0, last - 1)
    da, db = a - row, b - column
    place = row * TABLE_SIZE + column
    upper = table[:, place] * (1.0 - db) + table[:, place + 1] * db
    lower = table[:, place + TABLE_SIZE] * (1.0 - db) + table[:, place + TABLE_SIZE + 1] * db
    return EnvironmentLobe(*(upper * (1.0 - da) + lower * da))


def leaning_direction(
    normal: torch.Tensor, view: torch.Tensor, lean: torch.Tensor
) -> torch.Tensor:
    """Return where most of the mirrored light comes from, (3, P), of any length.

    :param lean: (P,) from the normal (0) to the mirrored view (1).
    """
    mirrored = 2.0 * (normal * view).sum(0) * normal - view
    return normal + (mirrored - normal) * lean


def mirrored_visibility(
    seen: torch.Tensor, n_dot_v: torch.Tensor, roughness: torch.Tensor
) -> torch.Tensor:
    """Return the share (P,) of the mirrored environment where a share ``seen`` of it is seen.

    Lagarde and de Rousiers, "Moving Frostbite to Physically Based Rendering", SIGGRAPH 2014
    course, section 4.10.2: a smooth surface looks where it mirrors, a rough one everywhere.
    Exactly 1 where all is seen, 0 where nothing is.
    """
    exponent = torch.exp2(-16.0 * roughness.clamp(0.0, 1.0) - 1.0)
    # Less than nothing cannot be seen; the power's slope at 0 is infinite.
    base = (n_dot_v + seen).clamp_min(1e-6)
    return (base**exponent - 1.0 + seen).clamp(0.0, 1.0)
