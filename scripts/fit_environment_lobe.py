# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fits which prefiltered environment a GGX surface mirrors at a slant: numbers of reflectance.py.

    python scripts/fit_environment_lobe.py      # needs scipy; half a minute

Prefiltered pictures hold the lobe of a surface seen straight on, round its mirrored direction. At
a slant the true lobe D·V·(n·l) leans to the normal and is narrower. For a grid of n·v and
roughness the round lobe that is nearest to it is found: its direction in the plane of normal and
view, and its roughness. "Nearest" is the Hellinger distance ∫(√a − √b)²: the plain square
sees the peak alone, and a bright lamp in the lobe's tail is what saturates a pixel.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares

MIN_ROUGHNESS = 0.045


def round_lobe(cosine: np.ndarray, roughness: float) -> np.ndarray:
    """Return the lobe of a surface seen straight on, not normalised."""
    a2 = roughness**4
    half = 0.5 * (1.0 + cosine)
    c = np.maximum(cosine, 0.0)
    ggx = a2 / (half * (a2 - 1.0) + 1.0) ** 2
    return c * ggx / (c + np.sqrt(a2 + (1.0 - a2) * c * c))


def true_lobe(directions: np.ndarray, n_dot_v: float, roughness: float) -> np.ndarray:
    """Return D·V·(n·l), not normalised; n = z, the view lies at +x."""
    a2 = roughness**4
    n_dot_l = directions[:, 2]
    v_dot_l = directions[:, 0] * math.sqrt(1.0 - n_dot_v**2) + n_dot_l * n_dot_v
    half = np.clip((n_dot_l + n_dot_v) / np.sqrt(np.maximum(2.0 + 2.0 * v_dot_l, 1e-8)), 0.0, 1.0)
    ggx = a2 / (half**2 * (a2 - 1.0) + 1.0) ** 2
    shadowing = n_dot_l + np.sqrt(a2 + (1.0 - a2) * n_dot_l**2)
    return np.where(n_dot_l > 0.0, ggx * n_dot_l / shadowing, 0.0)


def directions_around(n_dot_v: float, roughness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (N, 3), dense around the mirrored view, and their solid angles (N,)."""
    sine = math.sqrt(1.0 - n_dot_v**2)
    edges = np.concatenate([[0.0], np.geomspace(0.05 * roughness**2, math.pi, 49)])
    middle, size = 0.5 * (edges[1:] + edges[:-1]), np.cos(edges[:-1]) - np.cos(edges[1:])
    turn = (np.arange(48) + 0.5) / 48 * math.pi
    ahead, up, side = np.array([-sine, 0.0, n_dot_v]), np.array([n_dot_v, 0.0, sine]), np.eye(3)[1]
    ring = np.cos(turn)[:, None] * up + np.sin(turn)[:, None] * side
    directions = np.cos(middle)[:, None, None] * ahead + np.sin(middle)[:, None, None] * ring
    return directions.reshape(-1, 3), np.repeat(size, 48)


def nearest(n_dot_v: float, roughness: float) -> tuple[float, float]:
    """Return the angle from the normal and the roughness of the nearest round lobe."""
    directions, solid = directions_around(n_dot_v, roughness)
    wanted = true_lobe(directions, n_dot_v, roughness)
    root = np.sqrt(wanted / (wanted * solid).sum())
    cosines = 1.0 - np.concatenate([[0.0], np.geomspace(1e-9, 1.0, 4000)])
    weight = np.sqrt(solid)

    def misfit(guess: np.ndarray) -> np.ndarray:
        toward = directions[:, 2] * math.cos(guess[0]) - directions[:, 0] * math.sin(guess[0])
        total = np.trapezoid(round_lobe(cosines, guess[1]), -cosines)
        return (np.sqrt(round_lobe(toward, guess[1]) / total) - root) * weight

    mirrored = math.acos(n_dot_v)
    found = [
        least_squares(
            misfit,
            [mirrored * (1.0 - 0.3 * roughness**2), max(roughness * share, 0.031)],
            bounds=([-0.1, 0.03], [1.6, 1.0001]),
        )
        for share in (0.999, 0.7)
    ]
    angle, rough = min(found, key=lambda result: result.cost).x
    return float(angle), float(rough)


def smoothed(table: np.ndarray) -> np.ndarray:
    """Return a table without the fit's jitter along n·v, where the lobe's width hardly matters."""
    padded = np.pad(table, ((1, 1), (0, 0)), mode='edge')
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def main() -> None:
    """Fit, and print the tables: rows √(n·v), columns roughness, both 0, 0.1 … 1."""
    lean, width = np.ones((2, 11, 11))
    for row, root in enumerate(np.linspace(0.0, 1.0, 11)):
        for column in range(1, 11):
            roughness = column / 10.0
            n_dot_v = float(np.clip(root, 0.1, 0.97)) ** 2
            angle, rough = nearest(n_dot_v, roughness)
            sine, cosine = math.sqrt(1.0 - n_dot_v**2), 1.0 - n_dot_v
            lean[row, column] = math.sin(angle) / (
                sine * math.cos(angle) + cosine * math.sin(angle)
            )
            width[row, column] = rough / roughness if root < 1.0 else 1.0
    width[:, 0] = width[:, 1]
    for name, table in (('LEAN', lean), ('WIDTH', width)):
        print(f'{name} = (')
        for line in smoothed(smoothed(table)):
            print('    (' + ', '.join(f'{value:.3f}' for value in line) + '),')
        print(')')


if __name__ == '__main__':
    main()
