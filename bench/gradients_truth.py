# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gradients judged by finite differences, ours and Mitsuba 3's beside each other.

    python bench/gradients_truth.py [--quick] [--json] [--picture FILE]

The loss is the mean of fixed weights · picture. Three objects are moved: a slanted textured wall
that fills the picture (gradients by its texels too), a matt ball on black, and a matt ball before
the wall with the lamp at the pinhole, so that no shadow is seen, for ours does not move shadows.
The material is glTF's for both. Each is placed several times at random: a centre-sampled picture
depends on where the pixels lie.

Truth: central differences of our pictures with 16 × 16 points in each pixel; for the texels, of
which pictures are a linear function, the gradient of that picture. "truths" tells how far
Mitsuba's own differences are from ours. The error is the length of the difference by the length
of the truth, root mean square over the places. Ours at 2× and 4× are pictures twice and four
times as large, averaged. Mitsuba: ``prb`` where no outline moves, ``direct_projective`` (without
the outlines of shadows, which would cost it more) where one does; each place has another seed.
Times are those of forward and backward, the least over the places, all in turns in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
import sys
import time
from typing import Any

from _measuring import finish, machine, parser, print_machine, print_table
import numpy as np
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import (
    Instance,
    look_at,
    Material,
    plane,
    PointLight,
    Scene,
    sphere,
    Texture,
)

WIDTH, HEIGHT, FINE, STEP = 160, 120, 16, 0.01
EYE = (2.0, 0.3, 0.9)
POSE = look_at(EYE, (0.0, 0.0, 0.3))
LAMP = PointLight((1.0, -0.8, 1.6), (2.6, 2.4, 2.8), shadows=False)
AT_EYE = PointLight(EYE, (6.0, 5.6, 6.4), shadows=False)
MATT = Material((0.8, 0.5, 0.3), roughness=1.0)


@dataclass(frozen=True)
class Case:
    """What is moved: the first instance.

    :param outline: whether an outline moves.
    :param both: whether Mitsuba is asked. With a lamp at the pinhole its shadow rays graze the
        ball all along the outline, and 31 % error at any number of samples says nothing of it.
    """

    instances: tuple[Instance, ...]
    lamp: PointLight
    outline: bool
    both: bool = True

    def scene(self, offset: torch.Tensor, texels: torch.Tensor | None = None) -> Scene:
        """Return the scene with the first instance moved (3,) and its texels replaced."""
        first, *others = self.instances
        shift = torch.cat([torch.zeros(4, 3), torch.cat([offset, torch.zeros(1)])[:, None]], 1)
        material = first.material
        if texels is not None:
            material = replace(material, base_color_texture=Texture(texels))
        first = replace(first, pose=first.pose + shift, material=material)
        return Scene((first, *others), (self.lamp,), background=(0.0, 0.0, 0.0))

    def texels(self) -> torch.Tensor:
        """Return those of the first instance."""
        texture = self.instances[0].material.base_color_texture
        assert texture is not None
        return texture.image


def cases() -> dict[str, Case]:
    """Return the scenes by name."""
    random = torch.Generator().manual_seed(0)
    coarse = 0.15 + 0.7 * torch.rand(1, 3, 12, 16, generator=random)
    # No finer than the pixels: filters of textures differ, and are not what is asked.
    smooth = torch.nn.functional.interpolate(coarse, (24, 32), mode='bilinear')[0].permute(1, 2, 0)
    wall_pose = look_at((-0.8, 0.0, 0.3), (2.0, 0.9, 0.8))
    material = Material((1.0, 1.0, 1.0), roughness=1.0, base_color_texture=Texture(smooth))
    wall = Instance('wall', plane(5.0, 4.0), material, wall_pose)
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([0.05, 0.02, 0.33])
    ball = Instance('ball', sphere(0.3, segments=96, rings=48), MATT, pose)
    return {
        'textured wall': Case((wall,), LAMP, False),
        'ball on black': Case((ball,), LAMP, True),
        'ball before the wall': Case((ball, wall), AT_EYE, True, both=False),
    }


def pinhole(count: int) -> Intrinsics:
    """Return a pinhole with count² points in each pixel."""
    return Intrinsics.from_fov(WIDTH, HEIGHT, 0.75).finer(count)


def weights() -> torch.Tensor:
    """Return (H, W, 3): a ramp, another one in each colour."""
    x, y = torch.linspace(0.0, 1.0, WIDTH), torch.linspace(0.0, 1.0, HEIGHT)[:, None]
    return torch.stack([x + 0.5 * y, 1.0 - 0.5 * x + y, x * y + 0.2], dim=-1)


def drawn(renderer: Renderer, scene: Scene, count: int) -> torch.Tensor:
    """Return a picture (H, W, 3) of means over count² points in each pixel."""
    color = renderer(scene, pinhole(count), POSE).color
    return color.reshape(HEIGHT, count, WIDTH, count, 3).mean(dim=(1, 3))


def differences(loss: Callable[[torch.Tensor], float], at: torch.Tensor) -> np.ndarray:
    """Return the central differences (3,) of a loss."""
    steps = STEP * torch.eye(3)
    return np.array([(loss(at + s) - loss(at - s)) / (2.0 * STEP) for s in steps])


class Ours:
    """Our gradients of one case."""

    def __init__(self, case: Case) -> None:
        """Keep the case; the renderers are warm after the first call."""
        self._case, self._weights = case, weights()
        self._plain, self._smooth = Renderer('cpu'), Renderer('cpu', antialias=True)

    def truth(self, at: torch.Tensor) -> np.ndarray:
        """Return the finite differences by the place."""

        def loss(offset: torch.Tensor) -> float:
            picture = drawn(self._plain, self._case.scene(offset), FINE).double()
            return float((picture * self._weights).mean())

        return differences(loss, at)

    def to_place(self, at: torch.Tensor, count: int) -> tuple[np.ndarray, float]:
        """Return the gradient by the place, and the time in ms."""
        start = time.perf_counter()
        offset = at.clone().requires_grad_()
        loss = (drawn(self._smooth, self._case.scene(offset), count) * self._weights).mean()
        (gradient,) = torch.autograd.grad(loss, offset)
        return gradient.numpy(), 1e3 * (time.perf_counter() - start)

    def to_texels(self, at: torch.Tensor, count: int) -> tuple[np.ndarray, float]:
        """Return the gradient by the texels, and the time in ms."""
        start = time.perf_counter()
        texels = self._case.texels().clone().requires_grad_()
        picture = drawn(self._smooth, self._case.scene(at, texels), count)
        (gradient,) = torch.autograd.grad((picture * self._weights).mean(), texels)
        return gradient[..., :3].numpy(), 1e3 * (time.perf_counter() - start)

    def motion(self, at: torch.Tensor, direction: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the change (H, W, 3) of the picture with the place: the true one, and ours.

        Ours by readable torch in float64, which has gradients of gradients.
        """
        renderer = Renderer('cpu', antialias=True, reference=True)

        def picture(offset: torch.Tensor) -> torch.Tensor:
            return drawn(renderer, self._case.scene(offset), 1)

        moved = (at.double(), direction.double())
        ours = torch.autograd.functional.jvp(picture, *moved)[1].numpy()
        step = STEP / 4.0 * direction
        fine = [drawn(self._plain, self._case.scene(at + s), FINE).numpy() for s in (step, -step)]
        return (fine[0] - fine[1]) / (STEP / 2.0), ours


@dataclass
class Row:
    """One way to a gradient of one case: errors and times of all places."""

    case: str
    way: str
    errors: list[float]
    times: list[float]

    def error(self) -> float:
        """Return the error, in the root mean square."""
        return float(np.sqrt(np.mean(np.square(self.errors))))


def compare(name: str, case: Case, quick: bool, mitsuba: Any) -> tuple[list[Row], float]:
    """Return the rows of a case, and how far Mitsuba's truth is from ours.

    :param mitsuba: the module of Mitsuba's side, None where it cannot start.
    """
    random = np.random.default_rng(1)
    ours, count = Ours(case), 3 if quick else 4
    spread = 0.05 if case.outline else 0.02
    offsets = torch.from_numpy(spread * (2.0 * random.random((count, 3)) - 1.0)).float()
    samples = (16, 64) if quick else (16, 64, 256)
    integrator = 'direct_projective' if case.outline else 'prb'
    rows: dict[tuple[str, str], Row] = {}

    def enter(what: str, way: str, found: np.ndarray, true: np.ndarray, took: float) -> None:
        label = f'{name}, {what}'
        row = rows.setdefault((label, way), Row(label, way, [], []))
        row.errors.append(float(np.linalg.norm(found - true) / np.linalg.norm(true)))
        row.times.append(took)

    scales = (1, 2, 4)
    ours.to_place(offsets[0], 1)  # compiles
    apart = float('nan')
    for number, at in enumerate(offsets):
        truth = ours.truth(at)
        for scale in scales:
            enter('place', f'ours {scale}×', *_with(truth, ours.to_place(at, scale)))
        texels = None
        if not case.outline:
            texels = ours.to_texels(at, FINE)[0]
            for scale in scales:
                enter('texels', f'ours {scale}×', *_with(texels, ours.to_texels(at, scale)))
        if mitsuba is None or not case.both:
            continue
        theirs = mitsuba.MitsubaGradients(case.scene(at), pinhole(1), POSE, weights().numpy())
        if number == 0:
            theirs.to_place(integrator, 4, 0)  # compiles
            other = differences(lambda s, t=theirs: t.loss(s.numpy(), 1024, 0), torch.zeros(3))
            apart = float(np.linalg.norm(other - truth) / np.linalg.norm(truth))
        for spp in samples:
            found = theirs.to_place(integrator, spp, number)
            way = f'{integrator} {spp}'
            enter('place', way, found.gradient, truth, found.milliseconds)
            if texels is not None:
                found = theirs.to_texels(integrator, spp, number)
                enter('texels', way, found.gradient, texels, found.milliseconds)
    return list(rows.values()), apart


def _with(
    truth: np.ndarray, found: tuple[np.ndarray, float]
) -> tuple[np.ndarray, np.ndarray, float]:
    return found[0], truth, found[1]


def mitsuba_side() -> Any:
    """Return the module of Mitsuba's side, or None after saying what is missing."""
    try:
        import _mitsuba_gradients
        import drjit

        version = drjit.detail.llvm_version()
        if version[0] < 16:
            raise RuntimeError(f'LLVM {version[0]} fails on its programs')
    except (ImportError, RuntimeError, AttributeError) as error:
        print(
            f'Mitsuba 3 cannot start ({error}): its rows are left out. It needs the package '
            'mitsuba and LLVM 16 or newer; DRJIT_LIBLLVM_PATH names its libLLVM.so'
        )
        return None
    return _mitsuba_gradients


def run(quick: bool, picture: Path | None) -> dict[str, Any]:
    """Compare, print, draw; return the numbers."""
    mitsuba = mitsuba_side()
    found: list[Row] = []
    apart: dict[str, float] = {}
    for name, case in cases().items():
        rows, apart[name] = compare(name, case, quick, mitsuba)
        found += rows
    print(f'\nerror of gradients against finite differences, {WIDTH}×{HEIGHT}')
    print_table(
        ['gradient of', 'way', 'error', 'worst place', 'ms'],
        [
            [row.case, row.way, f'{100 * row.error():.2f} %', f'{100 * max(row.errors):.2f} %',
             f'{min(row.times):.1f}'] for row in found
        ],
    )  # fmt: skip
    apart = {name: value for name, value in apart.items() if np.isfinite(value)}
    for name, value in apart.items():
        print(f"truths, {name}: Mitsuba's differences are {100 * value:.2f} % from ours")
    if picture is not None:
        from _gradients_figure import draw

        case = cases()['ball on black']
        direction = torch.tensor([0.0, 1.0, 0.0])
        maps = list(Ours(case).motion(torch.zeros(3), direction))
        if mitsuba is not None:
            scene = case.scene(torch.zeros(3))
            theirs = mitsuba.MitsubaGradients(scene, pinhole(1), POSE, weights().numpy())
            maps.append(theirs.motion('direct_projective', 64, 0, direction.numpy()))
        draw(found, maps, picture)
    return {
        'errors': {f'{row.case}: {row.way}': row.error() for row in found},
        'ms': {f'{row.case}: {row.way}': min(row.times) for row in found},
        'truths': apart,
    }


def main() -> int:
    """Print the table."""
    options = parser(__doc__)
    options.add_argument('--picture', type=Path, default=None, help='file for a figure')
    arguments = options.parse_args()
    described = machine()
    print_machine(described)
    result = run(arguments.quick, arguments.picture)
    finish({'machine': described} | result, arguments.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
