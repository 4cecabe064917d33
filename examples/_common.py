# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the examples share: options, a camera, a scene, progress, tables, figures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import math
import os
from pathlib import Path
import sys
import time

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # before torch: spinning threads steal cores

import torch

from diffphyscam_ros.camera import CameraSettings, Intrinsics, SensorModel
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import (
    Environment,
    Instance,
    load_scene,
    look_at,
    Material,
    plane,
    pose_from_rpy,
    Scene,
    Texture,
)

REPOSITORY = Path(__file__).resolve().parents[1]
TABLE = REPOSITORY / 'examples' / 'scenes' / 'table.yaml'
EYE, TARGET = (-0.9, 0.0, 1.25), (0.35, 0.0, 0.82)

BLUE, ORANGE, GREEN, GREY, INK = '#2b6cb0', '#dd6b20', '#2f855a', '#8a929e', '#1f2933'
"""Ours, the classical method, the truth, what is secondary, and text."""

FULL_WELL = 10_000.0  # electrons at digital value 1 and ISO 100


def options(doc: str, argv: Sequence[str] | None, **extra: str) -> argparse.Namespace:
    """Read the command line that all examples have; ``extra`` adds options: name=help."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=Path(), help='folder for the figure')
    parser.add_argument('--quick', action='store_true', help='smaller and coarser, no figure')
    for name, text in extra.items():
        parser.add_argument(f'--{name}', help=text)
    return parser.parse_args(argv)


def run(main: Callable[[], object]) -> None:
    """Run an example as a script; Ctrl-C ends it without a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        raise SystemExit(130) from None


class Progress:
    """One line on stderr that says how far a loop is."""

    def __init__(self, what: str, total: int) -> None:
        """See the class."""
        self.what, self.total, self.count = what, total, 0
        self.began = self.shown = time.monotonic()

    def step(self, note: str = '') -> None:
        """Count one; redraw at most ten times a second on a terminal, else only at the end."""
        self.count += 1
        now, done = time.monotonic(), self.count >= self.total
        if not done and (now - self.shown < 0.1 or not sys.stderr.isatty()):
            return
        self.shown = now
        line = f'{self.what}: {self.count}/{self.total} {note} ({now - self.began:.1f} s)'
        print(f'\r{line:<79}' if sys.stderr.isatty() else line, file=sys.stderr, end='')
        if done or not sys.stderr.isatty():
            print(file=sys.stderr)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print('  ' + '   '.join(cells))
        if number == 0:
            print('  ' + '   '.join('-' * width for width in widths))


def full_frame(width: int, height: int, **changes: object) -> SensorModel:
    """Return a body with a 36 mm wide sensor and a 50 mm lens, binned to so many pixels.

    Its numbers are physical: 10,000 electrons full well, which a white diffuser reaches at f/2,
    10 ms and 1000 lux, ideal photon noise, 5 electrons of read noise in each frame anew, 8 bit.
    """
    pixel = 0.036 / width
    values: dict[str, object] = {
        'name': 'full_frame',
        'image_width': width,
        'image_height': height,
        'pixel_size': pixel,
        'quantum_efficiency': (0.55, 0.6, 0.5),
        'aggregator_gain': FULL_WELL * 2.0**2 / (1000.0 * pixel**2 * 0.01 * 0.6),
        'max_coc': 31.0,
        'psf': 'disk',
        'shot_noise_gain': (1.0, 1.0, 1.0),
        'read_noise': (5.0, 5.0, 5.0),
        'read_noise_fixed': False,
        'full_well': FULL_WELL,
        'response_gains': (0.01 / FULL_WELL,) * 3,
        'bit_depth': 8,
        'settings': CameraSettings(2.0, 0.01, 100.0, 0.05, 2.0),
    }
    return SensorModel(**{**values, **changes})  # type: ignore[arg-type]


def table_scene(intrinsics: Intrinsics, finer: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Render the table: radiance (H, W, 3), each pixel the mean of finer², and depth (H, W)."""
    scene, pose = load_scene(TABLE), look_at(EYE, TARGET)
    return supersampled(scene, intrinsics, pose, finer)


def supersampled(
    scene: Scene, intrinsics: Intrinsics, pose: torch.Tensor, finer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render radiance as the mean of finer² pinhole pictures a pixel, and depth at its centre."""
    k = intrinsics
    fine = k.finer(finer)
    drawn = Renderer('cpu')(scene, fine, pose)
    colors = drawn.color.reshape(k.height, finer, k.width, finer, 3).mean(dim=(1, 3))
    middle = finer // 2
    return colors, drawn.depth[middle::finer, middle::finer].contiguous()


def marker_board(markers: tuple[int, int], dictionary: int) -> Scene:
    """Return a wall with a board of (columns, rows) ArUco markers, under even light."""
    import cv2

    board = cv2.aruco.GridBoard(
        markers, 0.06, 0.015, cv2.aruco.getPredefinedDictionary(dictionary)
    )
    drawn = board.generateImage((1300, 800), marginSize=50)
    paper = (0.04 + 0.8 / 255 * torch.from_numpy(drawn))[..., None].expand(-1, -1, 3).contiguous()
    upright = pose_from_rpy((0.75, 0.0, 1.0), (math.pi / 2 + 0.15, 0.1, -math.pi / 2 + 0.3))
    board_mesh, grey = plane(0.39, 0.24), Material(base_color=(0.18, 0.18, 0.18))
    behind = pose_from_rpy((0.9, 0.0, 1.0), (math.pi / 2, 0.0, -math.pi / 2))
    white = Environment(torch.ones(1, 1, 3))
    return Scene(
        (
            Instance('board', board_mesh, Material(base_color_texture=Texture(paper)), upright),
            Instance('wall', plane(4.0, 3.0), grey, behind),
        ),
        environment=white,
    )


def depth_data(folder: str | None) -> Path | None:
    """Return the folder of RGB-D frames, or None, having said so, where there is none."""
    default = os.environ.get('DIFFPHYSCAM_SHARED_DATA', REPOSITORY.parent / 'shared' / 'data')
    path = Path(folder) if folder else Path(default) / 'depth' / 'tsdf_rgbd'
    if any(path.glob('*.color.png')):
        return path
    print(f'No RGB-D frames in {path} (--data names another folder): a rendered scene instead.')
    return None


def srgb(linear: torch.Tensor) -> torch.Tensor:
    """Return a linear picture as it is shown on a screen."""
    return linear.detach().clamp(0.0, 1.0) ** (1.0 / 2.2)


def figure(width: float, height: float, dpi: int = 110):
    """Return a figure in the examples' style; matplotlib is imported only here."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            'font.family': 'DejaVu Sans',
            'font.size': 9,
            'axes.titlesize': 10,
            'axes.titleweight': 'bold',
            'axes.titlelocation': 'left',
            'axes.edgecolor': GREY,
            'axes.labelcolor': INK,
            'axes.spines.top': False,
            'axes.spines.right': False,
            'text.color': INK,
            'xtick.color': INK,
            'ytick.color': INK,
            'legend.frameon': False,
            'legend.fontsize': 8.5,
            'lines.linewidth': 1.6,
            'figure.titlesize': 12.5,
            'figure.titleweight': 'bold',
        }
    )
    return pyplot.figure(figsize=(width, height), dpi=dpi, layout='constrained')


def show(axes, picture: torch.Tensor, title: str, **kwargs: object):
    """Show a picture without ticks under a title."""
    shown = axes.imshow(picture.detach().numpy(), **kwargs)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return shown


def save(drawing, folder: Path, name: str) -> Path:
    """Write a figure as a PNG; with 256 colours where it would be large otherwise."""
    import io

    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{name}.png'
    buffer = io.BytesIO()
    drawing.savefig(buffer, format='png', facecolor='white')
    picture = Image.open(buffer).convert('RGB')
    picture.save(path, optimize=True)
    if path.stat().st_size > 190_000:
        picture.quantize(256).save(path, optimize=True)
    print(f'Figure: {path}')
    return path
