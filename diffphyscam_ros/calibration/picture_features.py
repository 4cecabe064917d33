# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A few numbers of each picture, cheap enough for every frame of a long recording.

Levels are digital values over full scale, the response not undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame

Array = npt.NDArray[np.float32]

SMALL_WIDTH = 160
"""px of the copy that levels and structure are measured on; noise is averaged away."""

VIEW_SIZE = (24, 18)
"""Width and height of the copy that tells one view from another."""

SHARP_WINDOW = (1280, 960)
"""Largest part of a picture, in its middle, that sharpness is measured on."""

_OWN_BLUR = 0.8  # px; what the measurement itself says of a perfect step


@dataclass(frozen=True)
class PictureFeatures:
    """What one picture looks like.

    :param level: mean, [0, 1].
    :param saturated: share of pixels with a channel at full scale.
    :param black: share of pixels with all channels at zero.
    :param spread: of the small copy without single pixels, from the 1st to the 99th percentile.
    :param structure: standard deviation of the same about a smooth surface (vignetting and slow
        shading).
    :param view: uint8 ``VIEW_SIZE``, logarithm of the levels.
    :param blur: sigma in px along x and y, of the sharpest edges; nan without edges.
    """

    level: float
    saturated: float
    black: float
    spread: float
    structure: float
    view: npt.NDArray[np.uint8]
    blur: tuple[float, float]

    @property
    def motion(self) -> float:
        """Length in px of a streak along x or y that explains the difference of the blurs."""
        wide, narrow = max(self.blur), min(self.blur)
        return math.sqrt(12.0 * max(wide**2 - narrow**2, 0.0)) if wide == wide else math.nan


@dataclass(frozen=True)
class FrameFeatures:
    """A picture's features with what else is known of its frame.

    :param board: whether the target was found; None = not looked for.
    """

    index: int
    stamp: int
    bag: str
    settings: FrameSettings | None
    role: str
    settling: bool
    automatic: bool | None
    picture: PictureFeatures
    board: bool | None = None


def grey(frame: RecordedFrame) -> npt.NDArray[Any]:
    """Return the picture in one channel of its own type; of a mosaic each 2x2 cell is a pixel."""
    image = frame.image
    if image.ndim == 3:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    if frame.encoding.startswith('bayer'):
        height, width = image.shape
        return cv2.resize(
            np.ascontiguousarray(image[: height // 2 * 2, : width // 2 * 2]),
            (width // 2, height // 2),
            interpolation=cv2.INTER_AREA,
        )
    return image


def features_of(frame: RecordedFrame, sharpness: bool = True) -> PictureFeatures:
    """Measure a picture.

    :param sharpness: measure the blur too, which takes most of the time.
    """
    plain = grey(frame)
    height, width = plain.shape
    scale = min(SMALL_WIDTH / width, 1.0)
    size = (max(round(width * scale), 2), max(round(height * scale), 2))
    small = cv2.resize(plain, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small *= np.float32(1.0 / frame.full_scale)
    level = float(small.mean())
    clean = np.asarray(cv2.medianBlur(small, 3), np.float32)  # hot pixels are no structure
    low, high = np.percentile(clean, (1.0, 99.0))
    saturated, black = _clipped(frame)
    return PictureFeatures(
        level=level,
        saturated=saturated,
        black=black,
        spread=float(high - low),
        structure=float(_about_smooth(clean).std()),
        view=_view(small),
        blur=_blur(plain, frame) if sharpness else (math.nan, math.nan),
    )


def _clipped(frame: RecordedFrame) -> tuple[float, float]:
    """Return the shares of saturated and black pixels."""
    image, full = frame.image, int(frame.full_scale)
    brightest = image
    if image.ndim == 3:
        red, green, blue = cv2.split(image)
        brightest = cv2.max(cv2.max(red, green), blue)
    size = image.shape[0] * image.shape[1]
    high = cv2.countNonZero(cv2.inRange(brightest, full, 65535))  # type: ignore[call-overload]
    return high / size, (size - cv2.countNonZero(brightest)) / size


@lru_cache(maxsize=8)
def _smooth_basis(height: int, width: int) -> tuple[Array, Array]:
    """Return polynomials up to the fourth degree that follow vignetting, and their inverse."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing='ij')
    terms = [x**0, x, y, x * x, x * y, y * y, x**4, x * x * y * y, y**4]
    basis = np.stack([term.ravel() for term in terms], axis=1)
    return basis.astype(np.float32), np.linalg.pinv(basis).astype(np.float32)


def _about_smooth(small: Array) -> Array:
    """Return what is left of a picture without its smooth part."""
    basis, inverse = _smooth_basis(*small.shape)
    flat = small.ravel()
    left: Array = flat - basis @ (inverse @ flat)
    return left


def _view(small: Array) -> npt.NDArray[np.uint8]:
    """Return the logarithms of the levels of a very small copy, 0.002 to 1 as 0 to 255."""
    tiny = cv2.resize(small, VIEW_SIZE, interpolation=cv2.INTER_AREA)
    scaled = np.log(np.clip(tiny, 0.002, 1.0) / 0.002) * (255.0 / math.log(500.0))
    return np.rint(scaled).astype(np.uint8)


def same_view(one: PictureFeatures, other: PictureFeatures) -> float:
    """Return how alike two views are whatever their exposures: a correlation, -1 to 1.

    What is black or saturated in one of them does not count; with fewer than a tenth of the view
    left the answer is nan.
    """
    a, b = one.view.astype(np.float32).ravel(), other.view.astype(np.float32).ravel()
    both = (a > 30) & (b > 30) & (a < 253) & (b < 253)
    if np.count_nonzero(both) < 0.1 * both.size:
        return math.nan
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _blur(plain: npt.NDArray[Any], frame: RecordedFrame) -> tuple[float, float]:
    """Return the sigma of the sharpest edges along x and y in px of the full picture.

    An edge of height h that is blurred by sigma has the greatest slope h / (sigma·sqrt(2π)).
    """
    height, width = plain.shape
    across, down = min(width, SHARP_WINDOW[0]), min(height, SHARP_WINDOW[1])
    left, top = (width - across) // 2, (height - down) // 2
    part = plain[top : top + down, left : left + across].astype(np.float32)
    part *= np.float32(1.0 / frame.full_scale)
    window = np.ones((21, 21), np.uint8)
    calm = cv2.blur(part, (3, 3))
    span = cv2.dilate(calm, window) - cv2.erode(calm, window)
    factor = width_factor(frame)
    slopes = (cv2.Scharr(part, cv2.CV_32F, 1, 0), cv2.Scharr(part, cv2.CV_32F, 0, 1))
    one, two = (_edge_sigma(np.abs(slope) / 32.0, span) * factor for slope in slopes)
    return one, two


def width_factor(frame: RecordedFrame) -> float:
    """Return how many px of the picture one of ``grey`` is."""
    return 2.0 if frame.encoding.startswith('bayer') else 1.0


def _edge_sigma(slope: npt.NDArray[Any], span: npt.NDArray[Any]) -> float:
    """Return the median sigma of the steepest 0.2 % of the pixels, nan without clear edges."""
    inner, height = slope[8:-8, 8:-8], span[8:-8, 8:-8]
    if inner.size < 500:
        return math.nan
    count = max(inner.size // 500, 20)
    steepest = np.argpartition(inner.ravel(), -count)[-count:]
    slopes, heights = inner.ravel()[steepest], height.ravel()[steepest]
    good = heights > 0.08
    if np.count_nonzero(good) < count // 2:
        return math.nan
    sigma = float(np.median(heights[good] / np.maximum(slopes[good], 1e-6))) / math.sqrt(math.tau)
    return math.sqrt(max(sigma**2 - _OWN_BLUR**2, 0.0))
