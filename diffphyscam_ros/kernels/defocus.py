# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gaussian defocus of one float32 RGB picture on the CPU: the cascade, compiled.

Same values as ``camera.defocus_cascade``. Pictures are kept as rows of three planes,
(H, 3, W), so that every inner loop runs over contiguous floats and becomes SIMD. Work is
divided by rows and every row is computed the same way whoever computes it: the result does
not depend on the number of threads, bit for bit.

The four filters at full resolution run as one pipeline over a ring of rows, so that the
picture passes through memory once; the halved levels are small and are done one by one.
"""

from __future__ import annotations

import itertools
import threading

import numba
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels import defocus_rows as rows
from diffphyscam_ros.kernels.blur_levels import FULL_LEVELS, LADDER, LARGEST_COC, levels_needed

Floats = npt.NDArray[np.float32]

_CHUNK = 16  # rows a thread takes at a time
_BAND = 64  # fewest rows of a band of the pipeline, which begins 8 rows early


def defocus_fast(image: Floats, coc: Floats, out: Floats | None = None) -> Floats:
    """Spread every pixel of a picture over a Gaussian of σ = c / 6.

    Equal to ``camera.defocus(image, coc)`` within float32 rounding. May be called from several
    threads at once: each keeps its own buffers, which are reused while the size stays.

    :param image: (H, W, 3) float32 linear light, finite.
    :param coc: (H, W) float32 blur diameters in px, finite and ≥ 0.
    :param out: (H, W, 3) float32 contiguous; may be the picture itself.
    :raises ValueError: for wrong shapes or dtypes, or a c that is negative or not finite.
    """
    _check(image, coc, out)
    if out is None:
        out = np.empty(image.shape, np.float32)
    if image.size == 0:
        return out
    work = _workspace(*coc.shape)
    rows.load(image, coc, work.planes, work.variance, work.low, work.high)
    largest = float(work.high.max())
    if not largest >= 0.0:  # NaN marks what load refused
        raise ValueError(f'coc must be in [0, {LARGEST_COC:g}] px everywhere')
    count = levels_needed(largest)
    full = min(count, FULL_LEVELS)
    coarse = work.lights(count - full)
    if coarse:
        targets = work.half[: len(coarse)]
        rows.split(
            work.planes, work.variance, work.low, work.high, _HATS[full:count], _CHUNK, targets
        )
        for chain in work.chains[: len(coarse)]:
            for source, target in itertools.pairwise(chain):
                rows.halve(source, target)
    for i in range(len(coarse) - 1, -1, -1):
        taps = LADDER[full + i].taps
        if taps is not None:  # never so for i = 0, which the pipeline doubles
            rows.filter_into(coarse[i], np.float32(taps[0]), np.float32(taps[1]), coarse[i - 1])
        elif i > 0:
            rows.double_into(coarse[i], coarse[i - 1])
    deepest = coarse[0] if coarse else _NOTHING
    bands = max(1, min(2 * numba.get_num_threads(), coc.shape[0] // _BAND))
    rows.climb(work.planes, work.variance, _HATS[:full], _TAPS[:full], deepest, bands, out)
    return out


class _Workspace:
    """Buffers for one picture size."""

    def __init__(self, height: int, width: int) -> None:
        tiles = -(-width // rows.TILE)
        self.planes = np.empty((height, 3, width), np.float32)
        self.variance = np.empty((height, width), np.float32)
        self.low = np.empty((height, tiles), np.float32)  # extremes of variance in each tile
        self.high = np.empty((height, tiles), np.float32)
        self.half = np.empty((0, (height + 1) // 2, 3, (width + 1) // 2), np.float32)
        self.chains: list[list[Floats]] = []
        """For each level below full resolution, its light at scale 1, 2, … up to its own."""

    def lights(self, count: int) -> list[Floats]:
        """Return the pictures of the first levels below full resolution, at their own scale."""
        if count > len(self.chains):
            self.half = np.empty((count, *self.half.shape[1:]), np.float32)
            self.chains = []
            for i in range(count):
                chain = [self.half[i]]
                for _ in range(LADDER[FULL_LEVELS + i].scale - 1):
                    height, _, width = chain[-1].shape
                    shape = (height + 1) // 2, 3, (width + 1) // 2
                    chain.append(np.empty(shape, np.float32))
                self.chains.append(chain)
        return [chain[-1] for chain in self.chains[:count]]


_local = threading.local()


def _workspace(height: int, width: int) -> _Workspace:
    """Return this thread's buffers, new when the size has changed."""
    kept: _Workspace | None = getattr(_local, 'workspace', None)
    if kept is None or kept.variance.shape != (height, width):
        kept = _local.workspace = _Workspace(height, width)
    return kept


def _check(image: Floats, coc: Floats, out: Floats | None) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32:
        raise ValueError(f'image {image.shape} {image.dtype}: must be (H, W, 3) float32')
    if coc.shape != image.shape[:2] or coc.dtype != np.float32:
        raise ValueError(f'coc {coc.shape} {coc.dtype}: must be {image.shape[:2]} float32')
    if out is not None and (
        out.shape != image.shape or out.dtype != np.float32 or not out.flags.c_contiguous
    ):
        raise ValueError(f'out {out.shape} {out.dtype}: must be contiguous {image.shape} float32')


def _hats() -> Floats:
    """Return for each level where its weight begins to rise, the slope, its top, the slope down.

    The row of the last level is not used: no pixel reaches it.
    """
    variances = np.array([level.variance for level in LADDER])
    before = np.concatenate(([-1.0], variances[:-1]))  # the weight of the sharp level only falls
    after = np.concatenate((variances[1:], [np.inf]))
    columns = (before, 1.0 / (variances - before), variances, 1.0 / (after - variances))
    return np.stack(columns, axis=1).astype(np.float32)


_HATS = _hats()
_TAPS = np.array([level.taps or (1.0, 0.0, 0.0) for level in LADDER[:FULL_LEVELS]], np.float32)
_NOTHING = np.empty((0, 3, 0), np.float32)
