# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fits how a GGX surface mirrors a prefiltered environment: render/environment_lobe.py.

    python scripts/fit_environment_lobe.py > diffphyscam_ros/render/environment_lobe.py

Needs scipy; half a minute. Prefiltered pictures hold the lobe of a surface seen straight on, round
its mirrored direction. At a slant the true lobe D·V·(n·l) leans to the normal, is narrower across
the plane of normal and view than along it, and ends at the horizon. For a grid of n·v and
roughness the sum of three round lobes in that plane is found that is nearest to it. "Nearest" is
the Hellinger distance ∫(√a − √b)²: the plain square sees the peak alone, and a bright lamp in the
lobe's tail is what saturates a pixel. What is looked up between the grid's points must be near,
too, so each point is drawn a little to the mean of its neighbours, in several sweeps.

The one round lobe that is nearest is found as well: enough where little of the light is mirrored.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares

POINTS = 11  # of √(n·v) and of roughness, 0 … 1
LOOKS = 3
SWEEPS = 5
PULL = 0.1  # to the neighbours; of the misfit, which is up to 0.7
SPAN = np.concatenate([[0.0], np.geomspace(1e-7, 2.0, 600)])  # of 1 − cosine

HEAD = '''# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where a surface at a slant looks into the prefiltered environment: metals thrice, others once.

Printed by ``scripts/fit_environment_lobe.py``, which says what is fitted. Rows are √(n·v) and
columns roughness, both 0, 0.1 … 1; of metals there is a table for each look.
"""

from __future__ import annotations
'''
TEXTS = {
    'LONE_LEAN': 'How far the one look leans from the normal (0) to the mirrored view (1).',
    'LONE_WIDTH': "Roughness of the picture that it looks into, in units of the surface's.",
    'LEAN': "How far a metal's look leans from the normal (0) to the mirrored view (1).",
    'WIDTH': "Roughness of the picture to look into, in units of the surface's.",
    'PART': 'What a look adds to the light; the three make 1.',
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
    """A true lobe, and how far a sum of round ones is from it.

    Such a sum is a row of ratios, three each: angle from the normal to that of the mirrored view,
    logarithm of the roughness to the surface's, logarithm of the part to that of the first.
    """

    def __init__(self, n_dot_v: float, roughness: float, looks: int = LOOKS) -> None:
        """Sample the true lobe, for sums of so many round ones."""
        self.directions, self.solid = directions_around(n_dot_v, roughness)
        lobe = true_lobe(self.directions, n_dot_v, roughness)
        self.root = np.sqrt(lobe / (lobe * self.solid).sum())
        self.mirrored, self.roughness = math.acos(n_dot_v), roughness
        widest = min(math.log(3.0), -math.log(roughness))
        self.low = np.repeat([-0.2, math.log(0.3), -5.0], looks)
        self.high = np.repeat([1.6, widest + 1e-9, 5.0], looks)
        self.low[2 * looks], self.high[2 * looks] = -1e-9, 1e-9

    def misfit(self, ratios: np.ndarray) -> np.ndarray:
        """Return the differences whose squares add up to the Hellinger distance."""
        angles, widths, parts = ratios.reshape(3, -1)
        angles, widths = angles * self.mirrored, self.roughness * np.exp(widths)
        parts = np.exp(parts) / np.exp(parts).sum()
        parts = parts / np.interp(np.log(widths), np.log(ROUGHNESSES), TOTALS)
        total = np.zeros(len(self.solid))
        for angle, width, part in zip(angles, widths, parts, strict=True):
            toward = self.directions[:, 2] * math.cos(angle)
            toward -= self.directions[:, 0] * math.sin(angle)
            total += part * round_lobe(toward, width)
        return (np.sqrt(total) - self.root) * np.sqrt(self.solid)

    def fit(
        self, first: np.ndarray, neighbours: np.ndarray, pull: float, steps: int
    ) -> np.ndarray:
        """Return the ratios of the nearest sum, drawn to the mean of the neighbours'."""

        def all_misfits(ratios: np.ndarray) -> np.ndarray:
            return np.concatenate([self.misfit(ratios), pull * (ratios - neighbours)])

        first = np.clip(first, self.low + 1e-10, self.high - 1e-10)
        bounds = (self.low, self.high)
        return np.asarray(least_squares(all_misfits, first, bounds=bounds, max_nfev=steps).x)


def fitted(cosines: np.ndarray) -> np.ndarray:
    """Return the ratios (n·v, roughness, 9); roughness 0 is a copy of the next.

    The first sweep goes from rough surfaces, whose three lobes are well apart, to smooth ones.
    """
    start = np.concatenate(
        [np.linspace(1.0, 0.1, LOOKS), np.log(np.linspace(0.6, 1.2, LOOKS)), np.zeros(LOOKS)]
    )
    found = np.tile(start, (POINTS, POINTS, 1))
    lobes = {
        (row, column): Lobe(float(cosine), column / (POINTS - 1))
        for row, cosine in enumerate(cosines)
        for column in range(1, POINTS)
    }
    for sweep in range(SWEEPS + 1):
        for row in range(POINTS - 1, -1, -1):
            for column in range(POINTS - 1, 0, -1):
                around = [(row + 1, column), (row, column + 1)]
                around += [(row - 1, column), (row, column - 1)] if sweep else []
                known = [found[place] for place in around if place in lobes]
                mean = np.mean(known or [start], axis=0)
                first = found[row, column] if sweep else mean
                pull, steps = (PULL, 6) if sweep else (PULL / 4.0, 25)
                found[row, column] = lobes[row, column].fit(first, mean, pull, steps)
    found[:, 0] = found[:, 1]
    found[:, 0, :LOOKS] = 1.0  # a mirror
    return found


def fitted_alone(cosines: np.ndarray) -> np.ndarray:
    """Return the same (n·v, roughness, 3) of one look, smooth along n·v.

    Where the lobe's width hardly matters, the fit jitters.
    """
    found = np.zeros((POINTS, POINTS, 3))
    for row, cosine in enumerate(cosines):
        for column in range(1, POINTS):
            roughness = column / (POINTS - 1)
            lobe = Lobe(float(cosine), roughness, looks=1)
            starts = [np.array([1.0 - 0.3 * roughness**2, math.log(s), 0.0]) for s in (0.999, 0.7)]
            fits = [lobe.fit(start, start, pull=0.0, steps=100) for start in starts]
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


def print_table(table: np.ndarray, indent: str) -> None:
    """Print the rows of a table in brackets."""
    for row in np.round(table, 3) + 0.0:
        print(indent + '(' + ', '.join(f'{value:.3f}' for value in row) + '),')


def main() -> None:
    """Fit, and print the module."""
    # Seen straight on, the lobe is round, and every sum of one direction does.
    cosines = np.clip(np.linspace(0.0, 1.0, POINTS), 0.12, 0.97) ** 2
    mirrored = np.arccos(cosines)[:, None]
    alone = fitted_alone(cosines)
    ratios, widths, parts = np.moveaxis(fitted(cosines).reshape(POINTS, POINTS, 3, LOOKS), 2, 0)
    widths, parts = np.exp(widths), np.exp(parts)
    widths[-1] = 1.0
    tables = {
        'LONE_LEAN': smoothed(leans(alone[..., 0], mirrored)),
        'LONE_WIDTH': smoothed(np.exp(alone[..., 1])),
        'LEAN': leans(ratios, mirrored[..., None]),
        'WIDTH': widths,
        'PART': parts / parts.sum(-1, keepdims=True),
    }
    print(HEAD, end='')
    for name, table in tables.items():
        print(f'\n{name} = (')
        if table.ndim == 2:
            print_table(table, '    ')
        else:
            for look in range(LOOKS):
                print('    (')
                print_table(table[..., look], '        ')
                print('    ),')
        print(f')\n"""{TEXTS[name]}"""')


if __name__ == '__main__':
    main()
