# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Find the focus distance and the f-number that one defocused photograph was taken with.

Known are the scene and its depth; unknown are the focus distance U, the f-number N and the
overall brightness, so that N has to come from the blur alone. The photograph is not made by the
model that explains it: it is the mean of views through points all over the lens, with occlusion
and parallax, then photon noise, read noise and 8 bit. The model is one pinhole picture with its
depth through the differentiable camera; all starts run as one batch.

The reference implementation cannot do this: there no gradient reaches U and N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path

from _common import EYE, full_frame, options, Progress, run, TABLE, table, table_scene, TARGET
import _figures
import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    circle_of_confusion,
    defocus,
    PhysicalCamera,
    SensorModel,
)
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import load_scene, look_at

TRUTH = CameraSettings(
    aperture=1.4, exposure_time=0.005, iso=160.0, focal_length=0.05, focus_distance=1.12
)
POSTER = 1.45  # m, depth of the flat scene that shows the ambiguity
SENSOR_STAGES = ('exposure', 'noise', 'response', 'quantization')
MODEL_STAGES = ('defocus', 'exposure', 'response')
DIOPTRES = (0.30, 1.45)  # range of 1/U in which starts lie and the map is drawn
F_STOPS = (0.0, 3.0)  # and of log2 N


@dataclass(frozen=True)
class Result:
    """What was found, from every start."""

    focus_distance: float
    aperture: float
    agreeing: float  # share of the starts that end within 5 % of the best in U
    figure: Path | None


@dataclass
class Search:
    """The path of every start: (steps, starts) each."""

    dioptres: torch.Tensor
    f_numbers: torch.Tensor
    losses: torch.Tensor


def photograph(sensor: SensorModel, views: int) -> torch.Tensor:
    """Take the photograph through all of the lens, (H, W, 3), with noise and 8 bit.

    The view from a point (x, y) of the lens has its principal point moved by f·(x, y)/U, so that
    the views agree at the distance U (Haeberli and Akeley, The accumulation buffer, 1990).
    """
    scene, pose, pinhole = load_scene(TABLE), look_at(EYE, TARGET), sensor.intrinsics(TRUTH)
    focus, focal = TRUTH.focus_distance, TRUTH.focal_length
    # K stays that of the lens at infinity; 1 - f/U makes up for its image plane (eq. 2).
    radius = focal / (2.0 * TRUTH.aperture * (1.0 - focal / focus))
    renderer, total = Renderer('cpu'), 0.0
    generator = torch.Generator().manual_seed(1)
    progress = Progress('views through the lens', views)
    for i in range(views):
        away, turn = radius * math.sqrt((i + 0.5) / views), i * math.pi * (3.0 - math.sqrt(5.0))
        x, y = away * math.cos(turn), away * math.sin(turn)
        dx, dy = (torch.rand(2, generator=generator) - 0.5).tolist()  # somewhere in the pixel
        moved = pose @ torch.tensor([[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        view = replace(
            pinhole,
            cx=pinhole.cx + pinhole.fx * x / focus + dx,
            cy=pinhole.cy + pinhole.fy * y / focus + dy,
        )
        total = total + renderer(scene, view, moved.to(pose.dtype)).color / views
        progress.step()
    return PhysicalCamera(sensor, SENSOR_STAGES, seed=7)(total, None, TRUTH).image


class Model:
    """The loss of one photograph as a function of 1/U, log N and a brightness: batched."""

    def __init__(
        self, sensor: SensorModel, radiance: torch.Tensor, depth: torch.Tensor, photo: torch.Tensor
    ) -> None:
        """See the class."""
        self.camera = PhysicalCamera(replace(sensor, bit_depth=0), MODEL_STAGES, soft_clamp=True)
        self.radiance, self.depth, self.photo = radiance, depth, photo
        self.trusted = photo.amax(-1, keepdim=True) < 0.97  # what is burnt out says little
        self.trusted[:12], self.trusted[-12:] = False, False  # what lies outside is not known
        self.trusted[:, :12], self.trusted[:, -12:] = False, False

    def picture(
        self, dioptre: torch.Tensor, log_n: torch.Tensor, log_brightness: torch.Tensor
    ) -> torch.Tensor:
        """Return the model's pictures, (B, H, W, 3)."""
        f_number = log_n.exp()
        settings = replace(
            TRUTH,
            aperture=f_number,
            focus_distance=1.0 / dioptre,
            iso=100.0 * log_brightness.exp() * f_number**2,  # opening the lens brightens nothing
        )
        count = (len(dioptre), *self.radiance.shape)
        return self.camera(self.radiance.expand(count), self.depth, settings).image

    def __call__(self, *unknown: torch.Tensor) -> torch.Tensor:
        """Return the loss (B,): the mean absolute difference, rounded off near 0."""
        difference = self.picture(*unknown) - self.photo
        return self._mean(torch.sqrt(difference.square() + 0.01**2) - 0.01)

    def brightness(self, dioptre: torch.Tensor, log_n: torch.Tensor) -> torch.Tensor:
        """Return the log brightness (B,) at which the means agree."""
        guess = torch.full_like(dioptre, -2.0)  # dark enough to burn out nothing
        with torch.no_grad():
            return (
                guess
                + (self._mean(self.photo) / self._mean(self.picture(dioptre, log_n, guess))).log()
            )

    def _mean(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture * self.trusted).sum((-3, -2, -1)) / (3 * self.trusted.sum())


def search(model: Model, dioptre: torch.Tensor, f_number: torch.Tensor, steps: int) -> Search:
    """Descend from every start at once, with Adam, its rate falling to a tenth."""
    unknown = [dioptre.clone(), f_number.log(), model.brightness(dioptre, f_number.log())]
    for value in unknown:
        value.requires_grad_()
    adam = torch.optim.Adam(unknown, lr=0.12, betas=(0.8, 0.95))
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=0.002)
    path = Search(*(torch.zeros(steps, len(dioptre)) for _ in range(3)))
    progress = Progress('descent', steps)
    for i in range(steps):
        path.dioptres[i], path.f_numbers[i] = unknown[0].detach(), unknown[1].detach().exp()
        adam.zero_grad()
        loss = model(*unknown)
        loss.sum().backward()
        adam.step()
        falling.step()
        with torch.no_grad():  # 1/U stays physical
            unknown[0].clamp_(0.05, 5.0)
            unknown[1].clamp_(math.log(0.7), math.log(32.0))
        path.losses[i] = loss.detach()
        progress.step(f'best loss {float(loss.detach().min()):.4f}')
    return path


def loss_map(model: Model, brightness: float, size: int) -> torch.Tensor:
    """Return the loss over N (rows) and 1/U (columns), at one brightness."""
    dioptres, numbers = torch.linspace(*DIOPTRES, size), torch.logspace(*F_STOPS, size, 2.0)
    bright = torch.full((size,), brightness)
    with torch.no_grad():
        rows = [model(dioptres, number.log().expand(size), bright) for number in numbers]
    return torch.stack(rows)


def poster_model(sensor: SensorModel, radiance: torch.Tensor) -> Model:
    """Photograph the same picture hung up flat: its loss cannot tell near from far."""
    flat = torch.full(radiance.shape[:2], POSTER)
    lens = (TRUTH.aperture, TRUTH.focal_length, TRUTH.focus_distance, sensor.pixel_size)
    blurred = defocus(radiance, circle_of_confusion(flat, *lens), 'disk', 'exact')
    photo = PhysicalCamera(sensor, SENSOR_STAGES, seed=8)(blurred, None, TRUTH).image
    return Model(sensor, radiance, flat, photo)


def starting_points(quick: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1/U and N of every start: focus from 0.7 m to 2.5 m, f/1.2 and f/2.8."""
    dioptres = torch.tensor([0.5, 1.3] if quick else [0.4, 0.7, 1.05, 1.4])
    numbers = torch.tensor([2.0] if quick else [1.2, 2.8])
    pairs = torch.cartesian_prod(dioptres, numbers)
    return pairs[:, 0], pairs[:, 1]


def main(argv: Sequence[str] | None = None) -> Result:
    """Take the photograph, search from every start, print and draw."""
    choice = options(__doc__, argv)
    width, views, steps = (208, 48, 60) if choice.quick else (240, 128, 60)
    sensor = full_frame(width, width * 3 // 4)
    radiance, depth = table_scene(sensor.intrinsics(TRUTH))
    photo = photograph(sensor, views)
    model = Model(sensor, radiance, depth, photo)
    path = search(model, *starting_points(choice.quick), steps)

    best = int(path.losses[-1].argmin())
    found_u, found_n = 1.0 / float(path.dioptres[-1, best]), float(path.f_numbers[-1, best])
    near = (1.0 / path.dioptres[-1] / found_u - 1.0).abs() < 0.05
    rows = [
        (
            f'start {i + 1}',
            *(f'{1.0 / float(path.dioptres[j, i]):.3f}' for j in (0, -1)),
            *(f'{float(path.f_numbers[j, i]):.2f}' for j in (0, -1)),
            f'{float(path.losses[-1, i]):.4f}',
        )
        for i in range(len(near))
    ]
    table(('', 'U from', 'U found (m)', 'N from', 'N found', 'loss'), rows)
    table(
        ('', 'true', 'recovered', 'error'),
        [
            ('focus distance (m)', TRUTH.focus_distance, f'{found_u:.3f}',
             f'{100 * (found_u / TRUTH.focus_distance - 1):+.2f} %'),
            ('f-number', TRUTH.aperture, f'{found_n:.3f}',
             f'{100 * (found_n / TRUTH.aperture - 1):+.2f} %'),
        ],
    )  # fmt: skip
    drawn = None
    if not choice.quick:
        bright = math.log(TRUTH.iso / 100.0 / TRUTH.aperture**2)
        poster = poster_model(sensor, radiance)
        drawn = _figures.focus_from_blur(
            choice.out,
            photo,
            torch.where(depth.isfinite(), depth, torch.nan),
            (loss_map(model, bright, 24), loss_map(poster, bright, 24)),
            (*DIOPTRES, *F_STOPS),
            (1.0 / TRUTH.focus_distance, TRUTH.aperture),
            POSTER,
            (path.dioptres, path.f_numbers, path.losses),
        )
    return Result(found_u, found_n, float(near.float().mean()), drawn)


if __name__ == '__main__':
    run(main)
