# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Autofocus by contrast: sweep the focus, take the sharpest, and look closer about it.

The search is a value that says where to focus next and takes the sharpness found there. So a node
can go one picture at a time, and ``focus_by_contrast`` with a camera at hand is a short loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math

import torch

from diffphyscam_ros.camera.autofocus import AutoFocus, blur_per_dioptre
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings

MEASURES = ('tenengrad', 'laplacian')

GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)

COARSE_BLUR = 5.0
"""Pixels of blur from one place of the sweep to the next: two of them see the subject."""

FEWEST, MOST = 6, 32
"""Places of the sweep."""

FINE_BLUR = 0.5
"""Pixels of blur to which the search closes in."""

LEAST_CONTRAST = 1.2
"""How much sharper than the worst the best place has to be."""

LOST, NEW = 0.7, 1.4
"""Continuous focus looks again where the sharpness is below or above this, times what it was."""

PATIENCE = 3
"""Pictures in a row that have to say so."""


def sharpness(picture: torch.Tensor, measure: str = 'tenengrad') -> float:
    """Return how sharp a picture is, in units that do not depend on its brightness.

    'tenengrad': mean square of the Sobel gradient (Tenenbaum 1970; Krotkov 1988); 'laplacian':
    mean square of the sum of the absolute second differences across and along (the modified
    Laplacian of Nayar and Nakagawa 1994). Both over the square of the mean.

    :param picture: (H, W, C) values in [0, 1] or uint8; cut out what matters before.
    :raises ValueError: for an unknown measure.
    """
    values = picture.float() / (255.0 if picture.dtype == torch.uint8 else 1.0)
    grey = values.mean(dim=-1)
    if min(grey.shape) < 3:
        return 0.0
    if measure == 'tenengrad':
        down = grey[:-2] + 2.0 * grey[1:-1] + grey[2:]
        along = grey[:, :-2] + 2.0 * grey[:, 1:-1] + grey[:, 2:]
        across = down[:, 2:] - down[:, :-2]
        energy = (across.square() + (along[2:] - along[:-2]).square()) / 64.0
    elif measure == 'laplacian':
        middle = 2.0 * grey[1:-1, 1:-1]
        energy = (
            (middle - grey[1:-1, :-2] - grey[1:-1, 2:]).abs()
            + (middle - grey[:-2, 1:-1] - grey[2:, 1:-1]).abs()
        ).square()
    else:
        raise ValueError(f'measure {measure!r}: must be one of {", ".join(MEASURES)}')
    return float(energy.mean() / grey.mean().square().clamp(min=1e-8))


@dataclass(frozen=True)
class ContrastSearch:
    """A search for the sharpest focus: evenly in dioptres, then by golden section about the best.

    :param sweep: dioptres still to be looked at, in order.
    :param seen: (dioptres, sharpness) so far.
    :param bracket: dioptres between which the best lies, once the sweep is over; before that the
        whole range.
    :param tolerance: dioptres to which the bracket is closed in.
    """

    sweep: tuple[float, ...]
    bracket: tuple[float, float]
    tolerance: float
    seen: tuple[tuple[float, float], ...] = ()

    @staticmethod
    def over(focus: AutoFocus, sensor: SensorModel, settings: CameraSettings) -> ContrastSearch:
        """Return the beginning of a search over the whole range of the lens."""
        near, far = focus.limits(float(settings.focal_length))
        low, high = 1.0 / far, 1.0 / near
        blur = max(blur_per_dioptre(sensor, settings), 1e-9)
        count = min(max(math.ceil((high - low) * blur / COARSE_BLUR) + 1, FEWEST), MOST)
        sweep = tuple(low + (high - low) * i / (count - 1) for i in range(count))
        fine = max(FINE_BLUR / blur, 1e-3 * (high - low))
        return ContrastSearch(sweep, (low, high), fine)

    @property
    def dioptres(self) -> float:
        """Where to focus next; where it is sharpest once the search is done."""
        if self.sweep:
            return self.sweep[0]
        return self.best if self.done else self._probes()[-1]

    @property
    def distance(self) -> float:
        """The same in m, maybe inf."""
        return 1.0 / self.dioptres if self.dioptres > 0.0 else math.inf

    @property
    def best(self) -> float:
        """The sharpest focus seen so far, in dioptres."""
        return max(self.seen, key=lambda one: one[1])[0]

    @property
    def best_sharpness(self) -> float:
        """How sharp it is there."""
        return max(one[1] for one in self.seen)

    @property
    def found(self) -> bool:
        """Whether there was anything to focus on: some place was clearly sharper than another."""
        return self.best_sharpness > LEAST_CONTRAST * min(one[1] for one in self.seen)

    @property
    def done(self) -> bool:
        """Whether the search is over."""
        return not self.sweep and self.bracket[1] - self.bracket[0] <= self.tolerance

    def add(self, value: float) -> ContrastSearch:
        """Return the search after a look at ``dioptres``.

        :param value: the sharpness there; NaN counts as none.
        """
        value = 0.0 if math.isnan(value) else value
        new = replace(self, sweep=self.sweep[1:], seen=(*self.seen, (self.dioptres, value)))
        if new.sweep:
            return new
        if self.sweep:  # the sweep is over: the best and its neighbours
            places = sorted(one[0] for one in new.seen)
            index = places.index(new.best)
            new = replace(
                new,
                bracket=(
                    places[max(index - 1, 0)],
                    places[min(index + 1, len(places) - 1)],
                ),
            )
        return new._narrowed()

    def _narrowed(self) -> ContrastSearch:
        """Return the search with the bracket closed in as far as is known."""
        known, search = dict(self.seen), self
        while not search.done:
            lower, upper = search._inner()
            if lower not in known or upper not in known:
                break
            low, high = search.bracket
            bracket = (low, upper) if known[lower] >= known[upper] else (lower, high)
            search = replace(search, bracket=bracket)
        return search

    def _inner(self) -> tuple[float, float]:
        """Return the two places that golden section compares, seen ones where there are any."""
        low, high = self.bracket
        width = high - low
        lower, upper = high - GOLDEN * width, low + GOLDEN * width
        # What was compared before lies where golden section wants it, but for rounding.
        for place, _ in self.seen:
            lower = place if abs(place - lower) < 1e-6 * width else lower
            upper = place if abs(place - upper) < 1e-6 * width else upper
        return lower, upper

    def _probes(self) -> tuple[float, ...]:
        """Return what golden section still wants to see, the first one last."""
        known = dict(self.seen)
        return tuple(place for place in reversed(self._inner()) if place not in known)


def focus_by_contrast(
    photograph: Callable[[float], torch.Tensor],
    focus: AutoFocus,
    sensor: SensorModel,
    settings: CameraSettings,
    measure: str = 'tenengrad',
) -> ContrastSearch:
    """Return a finished search.

    :param photograph: takes a focus distance in m, maybe inf, and returns (H, W, C) in [0, 1].
    """
    search = ContrastSearch.over(focus, sensor, settings)
    while not search.done:
        picture = photograph(search.distance)
        top, bottom, left, right = focus.place(*picture.shape[:2])
        search = search.add(sharpness(picture[top:bottom, left:right], measure))
    return search


@dataclass(frozen=True)
class ContrastWatch:
    """Whether a focus that was sharp still is: when to search again.

    :param reference: sharpness when last in focus; None takes the next picture's.
    :param doubts: pictures in a row that were less sharp than that, or sharper.
    """

    reference: float | None = None
    doubts: int = 0

    @property
    def lost(self) -> bool:
        """Whether it is time to search."""
        return self.doubts >= PATIENCE

    def add(self, value: float) -> ContrastWatch:
        """Return the watch after one more picture's sharpness."""
        if self.reference is None:
            return ContrastWatch(value)
        good = LOST * self.reference <= value <= NEW * self.reference
        return replace(self, doubts=0 if good else self.doubts + 1)
