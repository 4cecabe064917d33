# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How wide our own defocus makes an edge: what measured edges are compared with.

A Gaussian of c/6 on a grid of pixels is not quite a Gaussian, and a step fitted to it has not
quite its deviation. So the same fit is applied to edges that the simulated camera blurs, and the
gain is the one with which it pictures edges as wide as the real camera does.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from diffphyscam_ros.calibration.edge_spread import Edge, measure_edge
from diffphyscam_ros.calibration.planes import Array
from diffphyscam_ros.camera.defocus import defocus

ANGLES = (0.08, 0.3)
"""rad, of the edges: at none of them do pixels repeat."""

_OVER = 8  # samples of a pixel along each axis
_DIAMETERS = (0.0, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.4, 2.8, 3.3, 4.0, 5.0, 6.5, 8.5, 11.0, 15.0)


def spread_of(diameter: Array, psf: str, profile: str, largest: float) -> Array:
    """Return the spread that ``measure_edge`` finds where the camera blurs by a diameter.

    :param diameter: c, px.
    :param psf: of the camera, 'gaussian' or 'disk'; ``profile`` of the fit.
    :param largest: px, the camera's largest blur.
    """
    nodes, spreads = _table(psf, profile, float(largest))
    return np.interp(diameter, nodes, spreads)


@lru_cache(maxsize=8)
def _table(psf: str, profile: str, largest: float) -> tuple[Array, Array]:
    step = 1.35
    nodes = list(_DIAMETERS)
    while nodes[-1] * step < largest:
        nodes.append(nodes[-1] * step)
    nodes = [*(node for node in nodes if node < largest), largest]
    found = [np.mean([_measured(c, psf, profile, angle) for angle in ANGLES]) for c in nodes]
    return np.array(nodes), np.array(found)


def _measured(diameter: float, psf: str, profile: str, angle: float) -> float:
    reach = 10.0 + 1.2 * diameter
    size = int(2 * reach) + 24
    picture = torch.from_numpy(_sharp_edge(size, angle))[..., None]
    coc = torch.full((size, size), diameter, dtype=torch.float32)
    blurred = defocus(picture, coc, psf)[..., 0].double().numpy()
    half = 0.35 * size
    middle = (size - 1) / 2.0 + 0.3
    run, rise = half * np.sin(angle), half * np.cos(angle)
    edge = Edge((middle + run, middle - rise), (middle - run, middle + rise), reach)
    spread = measure_edge(blurred, edge, profile)
    return float('nan') if spread is None else spread.sigma


def _sharp_edge(size: int, angle: float) -> Array:
    """Return an edge from 0.2 to 0.8, each pixel the mean over its area, (size, size) float32."""
    place = (np.arange(size * _OVER) + 0.5) / _OVER - 0.5 - (size - 1) / 2.0
    across = place[None] * np.cos(angle) + place[:, None] * np.sin(angle)
    lit = 0.2 + 0.6 * (across > 0.3)
    return lit.reshape(size, _OVER, size, _OVER).mean(axis=(1, 3)).astype(np.float32)
