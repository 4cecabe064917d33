# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus beside a sparse matrix built from the depth picture, and beside blurred layers.

    python bench/defocus.py [--quick] [--json] [--blurs 15 31 51] [--size 640 480]

Every peer starts from the same depth picture and ends with the same kind of blurred picture,
in a process of its own, so that its peak memory is its own. The peers:

sparse torch   the reference's method: each pixel's blur becomes an odd whole number of pixels,
               every tap of every pixel an entry (float16) of a COO matrix, coalesced, then
               multiplied with each channel by torch. The entries are written by compiled code
sparse scipy   the same entries written straight into a CSC matrix, float32, and multiplied;
               "multiply alone" is for a picture whose depth has not changed
layers cv2     9 pictures blurred by cv2.GaussianBlur and mixed by depth: fast, but it gathers,
               so that sharp edges bleed into what is blurred behind them
cascade torch  ours, readable and differentiable: circle of confusion and cascade
cascade numba  ours, compiled
occluded numba the same with occlusion
disk torch     ours with disks in place of Gaussians
disk numba     the same, compiled
disk occluded  the same with occlusion

Ours also divide by what a white picture becomes (normalize=True); the other peers do not.

Floors at the largest blur of 31 px: the compiled cascade ≥ 1000× faster than sparse torch, ≥ 100×
than sparse scipy, with 20× less memory than either.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
import json
import sys

from _measuring import (
    available_memory_gib,
    finish,
    in_own_process,
    machine,
    measure,
    parser,
    peak_memory,
    print_machine,
    print_table,
)
import numba
import numpy as np

LENS = {'aperture': 2.8, 'focal_length': 0.012, 'focus_distance': 1.5, 'pixel_size': 6e-6}
NEAR, FAR = 1.5, 6.0  # m
PEERS = (
    'sparse torch',
    'sparse scipy',
    'layers cv2',
    'cascade torch',
    'disk torch',
    'cascade numba',
    'occluded numba',
    'disk numba',
    'disk occluded',
)
OURS = 'cascade numba'
FLOORS = {'sparse torch': 1000.0, 'sparse scipy': 100.0}
FLOOR_BLUR = 31.0  # px, of the largest blur for which they are meant
LESS_MEMORY = 20.0


def scene(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and a depth whose blur grows evenly from left, in focus, to right."""
    rng = np.random.default_rng(0)
    picture = rng.random((height, width, 3)).astype(np.float32)
    picture[height // 4 : height // 2] *= 0.2
    depth = (1.0 / np.linspace(1.0 / NEAR, 1.0 / FAR, width)).astype(np.float32)
    return picture, np.ascontiguousarray(np.broadcast_to(depth, (height, width)))


def gain(blur: float) -> float:
    """Return the defocus gain with which the farthest depth is blurred by blur px."""
    return blur / float(circles(np.array(FAR), None))


def circles(depth: np.ndarray, blur: float | None) -> np.ndarray:
    """Return the blur diameters that the numpy peers use; None for the lens as it is."""
    f, n = LENS['focal_length'], LENS['aperture']
    u, pitch = LENS['focus_distance'], LENS['pixel_size']
    scale = 1.0 if blur is None else gain(blur)
    return scale * f * f * np.abs(depth - u) / (n * pitch * depth * (u - f))


@numba.njit(parallel=True, cache=True)
def fill_entries(sizes, starts, targets, values):
    """Write the taps of every pixel, clipped to the frame: σ = k/6, not normalised."""
    height, width = sizes.shape
    for y in numba.prange(height):
        for x in range(width):
            half = sizes[y, x] // 2
            sigma2 = (sizes[y, x] / 6.0) ** 2
            scale = 1.0 / (2.0 * np.pi * sigma2) if half else 1.0
            entry = starts[y * width + x]
            for ty in range(max(0, y - half), min(height, y + half + 1)):
                for tx in range(max(0, x - half), min(width, x + half + 1)):
                    distance2 = (ty - y) ** 2 + (tx - x) ** 2
                    targets[entry] = ty * width + tx
                    values[entry] = scale * np.exp(-0.5 * distance2 / sigma2)
                    entry += 1


def sparse_columns(depth: np.ndarray, blur: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, targets and where each source's taps start: odd whole kernels.

    Compiled, so that the peers are not charged for a slow way to write their matrix down.
    """
    height, width = depth.shape
    sizes = np.ceil(circles(depth, blur)).astype(np.int32)
    sizes += 1 - sizes % 2
    sizes = np.clip(sizes, 1, int(blur) + 1 - int(blur) % 2)
    half = sizes // 2
    y, x = np.arange(height)[:, None], np.arange(width)
    rows = np.minimum(y + half, height - 1) - np.maximum(y - half, 0) + 1
    columns = np.minimum(x + half, width - 1) - np.maximum(x - half, 0) + 1
    starts = np.concatenate(([0], np.cumsum((rows * columns).ravel())))
    targets = np.empty(starts[-1], np.int32)
    values = np.empty(starts[-1], np.float32)
    fill_entries(sizes, starts, targets, values)
    return values, targets, starts


def sparse_torch(picture: np.ndarray, depth: np.ndarray, blur: float) -> Callable[[], object]:
    """Return the reference's method as one call."""
    import torch

    image = torch.tensor(picture)
    pixels = depth.size

    def run() -> torch.Tensor:
        taps, target, starts = sparse_columns(depth, blur)
        source = np.repeat(np.arange(pixels, dtype=np.int32), np.diff(starts))
        indices = torch.stack([torch.from_numpy(target), torch.from_numpy(source)])
        values = torch.from_numpy(taps).half()
        del target, source, taps
        matrix = torch.sparse_coo_tensor(indices, values, (pixels, pixels)).coalesce()
        del indices, values
        matrix = matrix.to(torch.float32)
        planes = [
            torch.sparse.mm(matrix, image[..., c].reshape(-1, 1)).reshape(depth.shape)
            for c in range(3)
        ]
        return torch.stack(planes, dim=-1)

    return run


def scipy_matrix(depth: np.ndarray, blur: float):
    """Return the same entries as a CSC matrix; its columns are the sources."""
    import scipy.sparse

    return scipy.sparse.csc_matrix(sparse_columns(depth, blur), shape=(depth.size, depth.size))


def layers_cv2(picture: np.ndarray, depth: np.ndarray, blur: float) -> Callable[[], object]:
    """Return a mixture of pictures blurred as a whole."""
    import cv2

    count = 9

    def run() -> np.ndarray:
        place = np.clip(circles(depth, blur) / blur * (count - 1), 0, count - 1)
        out = np.zeros_like(picture)
        for i in range(count):
            c = blur * i / (count - 1)
            layer = cv2.GaussianBlur(picture, (0, 0), c / 6.0) if i else picture
            out += np.maximum(0.0, 1.0 - np.abs(place - i))[..., None].astype(np.float32) * layer
        return out

    return run


def ours_in_torch(
    picture: np.ndarray, depth: np.ndarray, blur: float, psf: str = 'gaussian'
) -> Callable[[], object]:
    """Return our readable form."""
    import torch

    from diffphyscam_ros.camera.defocus import circle_of_confusion, defocus

    image, distance = torch.tensor(picture), torch.tensor(depth)

    def run() -> torch.Tensor:
        coc = circle_of_confusion(distance, **LENS, gain=gain(blur), max_coc=blur)
        return defocus(image, coc, psf)

    return run


def ours_compiled(
    picture: np.ndarray,
    depth: np.ndarray,
    blur: float,
    psf: str = 'gaussian',
    occlusion: bool = False,
) -> Callable[[], object]:
    """Return our compiled form."""
    from diffphyscam_ros.kernels.circle_of_confusion import circle_of_confusion_fast
    from diffphyscam_ros.kernels.defocus import defocus_fast

    out, coc = np.empty_like(picture), np.empty_like(depth)
    a = gain(blur)
    tiny = np.zeros((2, 2, 3), np.float32), np.full((2, 2), 50.0, np.float32)
    defocus_fast(*tiny, psf=psf, occlusion=occlusion)  # compiles
    circle_of_confusion_fast(depth[:2], **LENS)

    def run() -> np.ndarray:
        circle_of_confusion_fast(depth, **LENS, gain=a, max_coc=blur, out=coc, signed=occlusion)
        return defocus_fast(picture, coc, out, psf, occlusion)

    return run


def run_peer(peer: str, blur: float, size: tuple[int, int], runs: int) -> dict[str, object]:
    """Measure one peer in this process: memory first, while nothing has been allocated yet."""
    picture, depth = scene(*size)
    if peer == 'sparse scipy':
        image = picture.reshape(-1, 3)
        run: Callable[[], object] = lambda: scipy_matrix(depth, blur) @ image  # noqa: E731
    else:
        makers = {
            'sparse torch': sparse_torch,
            'layers cv2': layers_cv2,
            'cascade torch': ours_in_torch,
            'disk torch': partial(ours_in_torch, psf='disk'),
            'cascade numba': ours_compiled,
            'occluded numba': partial(ours_compiled, occlusion=True),
            'disk numba': partial(ours_compiled, psf='disk'),
            'disk occluded': partial(ours_compiled, psf='disk', occlusion=True),
        }
        run = makers[peer](picture, depth, blur)
    if peer.startswith('sparse'):  # seconds to minutes: one run gives both figures
        sparse_columns(depth[:3, :3], 3.0)  # compiles
        times: list[dict[str, float | int]] = []
        memory = peak_memory(lambda: times.append(measure(run, 1, 0)))
        result: dict[str, object] = {'memory_mib': memory, **times[0]}
    else:
        result = {'memory_mib': peak_memory(run), **measure(run, runs, 5)}
    if peer == 'sparse scipy':
        result['build_ms'] = measure(lambda: scipy_matrix(depth, blur), 1, 0)['median_ms']
        matrix = scipy_matrix(depth, blur)
        result['multiply_ms'] = measure(lambda: matrix @ image, 3, 1)['median_ms']
    return result


def entries_gib(blur: float, size: tuple[int, int]) -> float:
    """Estimate the memory that the torch form needs: some 60 bytes an entry at its highest."""
    depth = scene(size[0], 1)[1]
    return float((circles(depth, blur) ** 2).sum()) * size[1] * 60.0 / 2**30


def main() -> int:
    """Measure, print the table, return 1 where a floor was missed."""
    options = parser(__doc__)
    options.add_argument('--blurs', type=float, nargs='+', default=None, help='largest blur, px')
    options.add_argument('--size', type=int, nargs=2, default=(640, 480), metavar=('W', 'H'))
    options.add_argument('--runs', type=int, default=None, help='repetitions of the fast peers')
    options.add_argument('--peer', choices=PEERS, help=argparse.SUPPRESS)  # the own process
    arguments = options.parse_args()
    blurs = arguments.blurs or ([31.0] if arguments.quick else [15.0, 31.0, 51.0])
    runs = arguments.runs or (10 if arguments.quick else 30)
    size = (arguments.size[0], arguments.size[1])
    if arguments.peer:
        print(json.dumps(run_peer(arguments.peer, blurs[0], size, runs)))
        return 0

    described = machine()
    print_machine(described)
    result: dict[str, object] = {'machine': described, 'size': size, 'blurs': {}}
    missed = False
    for blur in blurs:
        measured: dict[str, dict[str, float]] = {}
        for peer in PEERS:
            needed = entries_gib(blur, size) if peer.startswith('sparse') else 0.0
            if needed > available_memory_gib():
                print(f'{peer} skipped: it needs about {needed:.0f} GiB', file=sys.stderr)
                continue
            case = ['--peer', peer, '--blurs', str(blur), '--runs', str(runs)]
            answer = in_own_process(__file__, [*case, '--size', str(size[0]), str(size[1])])
            if answer is None:
                print(f'{peer} failed (see above)', file=sys.stderr)
                continue
            measured[peer] = answer
        ours = measured[OURS]
        rows = []
        for peer, figures in measured.items():
            ratio = figures['median_ms'] / ours['median_ms']
            memory = figures['memory_mib'] / max(ours['memory_mib'], 1.0)
            floor = FLOORS.get(peer)
            verdict = ''
            if floor is not None and blur == FLOOR_BLUR:
                good = ratio >= floor and memory >= LESS_MEMORY
                verdict = f'{"ok" if good else "MISSED"} ≥ {floor:g}×, {LESS_MEMORY:g}×'
                missed |= not good
            times = [f'{figures[key]:.2f}' for key in ('median_ms', 'p95_ms')]
            space = [f'{figures["memory_mib"]:.0f}', f'{memory:.1f}×']
            rows.append([peer, *times, f'{ratio:.1f}×', *space, verdict])
            for part in ('build', 'multiply'):
                if f'{part}_ms' in figures:
                    alone = figures[f'{part}_ms']
                    faster = f'{alone / ours["median_ms"]:.1f}×'
                    rows.append([f'  {part} alone', f'{alone:.2f}', '', faster, '', '', ''])
        print(f'\n{size[0]}×{size[1]}, largest blur {blur:g} px, from the depth picture')
        print_table(['', 'median ms', 'p95 ms', 'ours faster', 'MiB', 'ours less', 'floor'], rows)
        result['blurs'][f'{blur:g}'] = measured  # type: ignore[index]
    finish(result, arguments.json)
    return int(missed)


if __name__ == '__main__':
    sys.exit(main())
