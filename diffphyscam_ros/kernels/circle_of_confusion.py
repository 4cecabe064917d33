# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Circle of confusion of one float32 depth picture on the CPU (CAMERA_MODEL.md eq. 2)."""

from __future__ import annotations

from numba import prange
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.kernels.runtime import kernel

_LARGEST = 1e30  # finite in float32, far beyond any max_coc

Floats = npt.NDArray[np.float32]


def circle_of_confusion_fast(
    depth: Floats,
    aperture: float,
    focal_length: float,
    focus_distance: float,
    pixel_size: float,
    gain: float = 1.0,
    dead_zone: float = 0.0,
    max_coc: float = float('inf'),
    out: Floats | None = None,
    signed: bool = False,
) -> Floats:
    """Return blur diameters in px; the equal of ``camera.circle_of_confusion`` in float32.

    The settings are trusted: whoever calls has checked them.

    :param depth: (H, W) float32 z-depth in m; 0, below 0, inf or NaN mean infinitely far.
    :param out: (H, W) float32.
    :param signed: give c a minus sign in front of the focus.
    :raises ValueError: for a wrong shape or dtype.
    """
    if depth.ndim != 2 or depth.dtype != np.float32:
        raise ValueError(f'depth {depth.shape} {depth.dtype}: must be (H, W) float32')
    if out is None:
        out = np.empty(depth.shape, np.float32)
    elif out.shape != depth.shape or out.dtype != np.float32:
        raise ValueError(f'out {out.shape} {out.dtype}: must be {depth.shape} float32')
    inverse_focus = 1.0 / focus_distance
    scale = gain * focal_length**2 / (aperture * pixel_size * (1.0 - focal_length * inverse_focus))
    _circles(
        depth,
        np.float32(min(scale, _LARGEST)),
        np.float32(inverse_focus),
        np.float32(focus_distance),
        np.float32(dead_zone),
        np.float32(max_coc),
        np.float32(-1.0 if signed else 1.0),
        out,
    )
    return out


@kernel(parallel=True)
def _circles(depth, scale, inverse_focus, focus_distance, dead_zone, max_coc, front, out):
    """Evaluate eq. 2 in inverse distances; no fastmath, for depth may be inf or NaN."""
    zero, one, far = np.float32(0.0), np.float32(1.0), np.float32(np.inf)
    for y in prange(depth.shape[0]):
        for x in range(depth.shape[1]):
            d = depth[y, x]
            hit = d > zero and d < far
            inverse_depth = one / d if hit else zero
            offset = inverse_focus - inverse_depth
            c = scale * abs(offset)
            if hit and abs(d - focus_distance) <= dead_zone:
                c = zero
            c = min(c, max_coc)
            out[y, x] = front * c if offset < zero else c
