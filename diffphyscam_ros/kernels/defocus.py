# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus of one float32 RGB picture on the CPU: the cascades of ``camera.defocus``, compiled.

Pictures are kept as rows of planes, (H, C, W), so that every inner loop runs over contiguous
floats and becomes SIMD. Work is divided by rows and every row is computed the same way whoever
computes it: the result does not depend on the number of threads, bit for bit.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.defocus_disk import DiskDefocus, outline
from diffphyscam_ros.kernels.defocus_gaussian import GaussianDefocus
from diffphyscam_ros.kernels.defocus_nested import NestedGaussianDefocus
from diffphyscam_ros.kernels.defocus_occluded import OccludedDiskDefocus

Floats = npt.NDArray[np.float32]

_PSFS = ('gaussian', 'disk', 'polygon')
_local = threading.local()


def defocus_fast(
    image: Floats,
    coc: Floats,
    out: Floats | None = None,
    psf: str = 'gaussian',
    occlusion: bool = False,
    blades: int = 6,
    rotation: float = 0.0,
) -> Floats:
    """Spread the light of every pixel over its own blur, normalised.

    Equal to ``camera.defocus`` with the same arguments: the Gaussian within float32 rounding,
    disk and polygon within 1e-4 (the sum of a disk is read from a table). May be called from
    several threads at once: each keeps its own buffers, which are reused while the size stays.

    :param image: (H, W, 3) float32 linear light, finite.
    :param coc: (H, W) float32 signed blur diameters in px, finite, negative in front of the
        focus; the sign matters to occlusion and to polygons with an odd number of blades.
    :param out: (H, W, 3) float32 contiguous; may be the picture itself.
    :param psf: 'gaussian', 'disk' or 'polygon' with so many blades and such a rotation [rad].
    :param occlusion: whether near surfaces hide far ones.
    :raises ValueError: for wrong shapes, dtypes or names, or a c that is not finite.
    """
    _check(image, coc, out, psf, blades)
    if out is None:
        out = np.empty(image.shape, np.float32)
    if not image.size:
        return out
    form = outline(int(blades), float(rotation)) if psf == 'polygon' else outline()
    if psf == 'gaussian' and occlusion:
        _worker(NestedGaussianDefocus, coc.shape)(image, coc, out)
    elif psf == 'gaussian':
        _worker(GaussianDefocus, coc.shape)(image, coc, out)
    elif occlusion:
        _worker(OccludedDiskDefocus, coc.shape)(image, coc, out, form)
    else:
        _worker(DiskDefocus, coc.shape)(image, coc, out, form)
    return out


_Worker = TypeVar(
    '_Worker', GaussianDefocus, NestedGaussianDefocus, DiskDefocus, OccludedDiskDefocus
)


def _worker(kind: type[_Worker], shape: tuple[int, ...]) -> _Worker:
    """Return what does the work in this thread, with new buffers when size or kind changed."""
    kept = getattr(_local, 'worker', None)
    if not isinstance(kept, kind) or kept.shape != shape:
        kept = _local.worker = kind(shape[0], shape[1])
    return kept


def _check(image: Floats, coc: Floats, out: Floats | None, psf: str, blades: int) -> None:
    if psf not in _PSFS:
        raise ValueError(f'psf = {psf!r}: must be one of {", ".join(_PSFS)}')
    if psf == 'polygon' and not (blades == int(blades) and 3 <= blades <= 32):
        raise ValueError(f'blades = {blades}: must be a whole number from 3 to 32')
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32:
        raise ValueError(f'image {image.shape} {image.dtype}: must be (H, W, 3) float32')
    if coc.shape != image.shape[:2] or coc.dtype != np.float32:
        raise ValueError(f'coc {coc.shape} {coc.dtype}: must be {image.shape[:2]} float32')
    if out is not None and (
        out.shape != image.shape or out.dtype != np.float32 or not out.flags.c_contiguous
    ):
        raise ValueError(f'out {out.shape} {out.dtype}: must be contiguous {image.shape} float32')
