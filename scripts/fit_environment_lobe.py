# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fits how a GGX surface mirrors a prefiltered environment: render/environment_lobe.py.

    python scripts/fit_environment_lobe.py > diffphyscam_ros/render/environment_lobe.py

Needs scipy; half a minute. Prefiltered pictures hold the lobe of a surface seen straight on, round
its mirrored direction. At a slant the true lobe D·V·(n·l) leans to the normal, is narrower across
the plane of normal and view than along it, and ends at the horizon. For a grid of n·v and
roughness the round lobe in that plane is found that is nearest to it. "Nearest" is the Hellinger
distance ∫(√a − √b)²: the plain square sees the peak alone, and a bright lamp in the lobe's tail is
what saturates a pixel.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares

POINTS = 11  # of √(n·v) and of roughness, 0 … 1
SPAN = np.concatenate([[0.0], np.geomspace(1e-7, 2.0, 600)])  # of 1 − cosine

HEAD = '''# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where a surface at a slant looks into the prefiltered environment.

Printed by ``scripts/fit_environment_lobe.py``, which says what is fitted. Rows are √(n·v) and
columns roughness, both 0, 0.1 … 1.
"""

from __future__ import annotations
'''
TEXTS = {
    'LEAN': 'How far it leans from the normal (0) to the mirrored view (1).',
    'WIDTH': "Roughness of the picture that it looks into, in units of the surface's.",
}


def round_lobe(cosine: np.ndarray, roughness: float) -> np.ndarray:
    """Return the lobe of a surface seen straight on, not normalised."""
    a2 = roughness**4
    half = 0.5 * (1.0 + cosine)
    c = np.maximum(cosine, 0.0)
    ggx = a2 / (half * (a2 - 1.0) + 1.0) ** 2
    return c * ggx / (c + np.sqrt(a2 + (1.0 - a2) * c * c))


ROUGHNESSES = np.geomspace(0.01, 1.2, 300)
TOTALS = [2.0 * math.pi * np.trapezoid(round_lobe(1.0 - SPAN, r), SPAN) for r in ROUGHNESSES]


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
    """Return directions (N, 3), dense around the mirrored view, and their solid angles (N,).

    They are on one side of the plane of normal and view and stand for both.
    """
    sine = math.sqrt(1.0 - n_dot_v**2)
    edges = np.concatenate([[0.0], np.geomspace(0.05 * roughness**2, math.pi, 49)])
    middle, size = 0.5 * (edges[1:] + edges[:-1]), np.cos(edges[:-1]) - np.cos(edges[1:])
    turn = (np.arange(48) + 0.5) / 48 * math.pi
    ahead, up, side = np.array([-sine, 0.0, n_dot_v]), np.array([n_dot_v, 0.0, sine]), np.eye(3)[1]
    ring = np.cos(turn)[:, None] * up + np.sin(turn)[:, None] * side
    directions = np.cos(middle)[:, None, None] * ahead + np.sin(middle)[:, None, None] * ring
    return directions.reshape(-1, 3), np.repeat(size * (2.0 * math.pi / 48), 48)


class Lobe:
    """A true lobe, and how far a round one is from it.

    That is given by two ratios: of the angle from the normal to that of the mirrored view, and the
    logarithm of the roughness to the surface's.
    """

    def __init__(self, n_dot_v: float, roughness: float) -> None:
        """Sample the true lobe."""
        self.directions, self.solid = directions_around(n_dot_v, roughness)
        lobe = true_lobe(self.directions, n_dot_v, roughness)
        self.root = np.sqrt(lobe / (lobe * self.solid).sum())
        self.mirrored, self.roughness = math.acos(n_dot_v), roughness
        widest = min(math.log(3.0), -math.log(roughness))
        self.low = np.array([-0.2, math.log(0.3)])
        self.high = np.array([1.6, widest + 1e-9])

    def misfit(self, ratios: np.ndarray) -> np.ndarray:
        """Return the differences whose squares add up to the Hellinger distance."""
        angle, width = ratios[0] * self.mirrored, self.roughness * math.exp(ratios[1])
        toward = self.directions[:, 2] * math.cos(angle) - self.directions[:, 0] * math.sin(angle)
        whole = np.interp(math.log(width), np.log(ROUGHNESSES), TOTALS)
        return (np.sqrt(round_lobe(toward, width) / whole) - self.root) * np.sqrt(self.solid)

    def fit(self, first: np.ndarray) -> np.ndarray:
        """Return the ratios of the nearest round lobe."""
        first = np.clip(first, self.low + 1e-10, self.high - 1e-10)
        bounds = (self.low, self.high)
        return np.asarray(least_squares(self.misfit, first, bounds=bounds, max_nfev=100).x)


def fitted(cosines: np.ndarray) -> np.ndarray:
    """Return the ratios (n·v, roughness, 2); roughness 0 is a copy of the next, but a mirror."""
    found = np.zeros((POINTS, POINTS, 2))
    for row, cosine in enumerate(cosines):
        for column in range(1, POINTS):
            roughness = column / (POINTS - 1)
            lobe = Lobe(float(cosine), roughness)
            starts = [np.array([1.0 - 0.3 * roughness**2, math.log(s)]) for s in (0.999, 0.7)]
            fits = [lobe.fit(start) for start in starts]
            found[row, column] = min(fits, key=lambda ratios: np.sum(lobe.misfit(ratios) ** 2))
    found[-1, :, 1] = 0.0
    found[:, 0] = found[:, 1]
    found[:, 0, 0] = 1.0
    return found


def smoothed(table: np.ndarray) -> np.ndarray:
    """Return the binomial mean along n·v, over five rows."""
    for _ in range(2):
        padded = np.pad(table, ((1, 1), (0, 0)), mode='edge')
        table = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return table


def leans(ratios: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return the share of the mirrored view in normal and mirrored view, from ratios of angles."""
    angles = ratios * mirrored
    return np.asarray(np.sin(angles) / (np.sin(angles) + np.sin(mirrored - angles)))


def main() -> None:
    """Fit, and print the module."""
    cosines = np.clip(np.linspace(0.0, 1.0, POINTS), 0.12, 0.97) ** 2
    mirrored = np.arccos(cosines)[:, None]
    ratios = fitted(cosines)
    tables = {
        'LEAN': smoothed(leans(ratios[..., 0], mirrored)),
        'WIDTH': smoothed(np.exp(ratios[..., 1])),
    }
    print(HEAD, end='')
    for name, table in tables.items():
        print(f'\n{name} = (')
        for row in np.round(table, 3) + 0.0:
            print('    (' + ', '.join(f'{value:.3f}' for value in row) + '),')
        print(f')\n"""{TEXTS[name]}"""')


if __name__ == '__main__':
    main()
