# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus of one float32 RGB picture on the CPU: the cascades of ``camera.defocus``, compiled.

Pictures are kept as rows of planes, (H, C, W), so that every inner loop runs over contiguous
floats and becomes SIMD. Work is divided by rows and every row is computed the same way whoever
computes it: the result does not depend on the number of threads, bit for bit.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.defocus_disk import DiskDefocus, outline
from diffphyscam_ros.kernels.defocus_gaussian import GaussianDefocus

Floats = npt.NDArray[np.float32]

_KINDS: dict[str, type[GaussianDefocus] | type[DiskDefocus]] = {
    'gaussian': GaussianDefocus,
    'disk': DiskDefocus,
}
_local = threading.local()


def defocus_fast(
    image: Floats, coc: Floats, out: Floats | None = None, psf: str = 'gaussian'
) -> Floats:
    """Spread the light of every pixel over its own blur, normalised.

    Equal to ``camera.defocus(image, coc, psf)`` within float32 rounding. May be called from
    several threads at once: each keeps its own buffers, which are reused while the size stays.

    :param image: (H, W, 3) float32 linear light, finite.
    :param coc: (H, W) float32 blur diameters in px, finite and ≥ 0.
    :param out: (H, W, 3) float32 contiguous; may be the picture itself.
    :param psf: 'gaussian' or 'disk'.
    :raises ValueError: for wrong shapes, dtypes or names, or a c that is negative or not finite.
    """
    _check(image, coc, out, psf)
    if out is None:
        out = np.empty(image.shape, np.float32)
    if image.size:
        worker = _worker(psf, coc.shape)
        if isinstance(worker, DiskDefocus):
            worker(image, coc, out, outline())
        else:
            worker(image, coc, out)
    return out


def _worker(psf: str, shape: tuple[int, ...]) -> GaussianDefocus | DiskDefocus:
    """Return what does the work in this thread, with new buffers when size or kind changed."""
    kept: GaussianDefocus | DiskDefocus | None = getattr(_local, 'worker', None)
    if kept is None or kept.shape != shape or type(kept) is not _KINDS[psf]:
        kept = _local.worker = _KINDS[psf](shape[0], shape[1])
    return kept


def _check(image: Floats, coc: Floats, out: Floats | None, psf: str) -> None:
    if psf not in _KINDS:
        raise ValueError(f'psf = {psf!r}: must be one of {", ".join(_KINDS)}')
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32:
        raise ValueError(f'image {image.shape} {image.dtype}: must be (H, W, 3) float32')
    if coc.shape != image.shape[:2] or coc.dtype != np.float32:
        raise ValueError(f'coc {coc.shape} {coc.dtype}: must be {image.shape[:2]} float32')
    if out is not None and (
        out.shape != image.shape or out.dtype != np.float32 or not out.flags.c_contiguous
    ):
        raise ValueError(f'out {out.shape} {out.dtype}: must be contiguous {image.shape} float32')
