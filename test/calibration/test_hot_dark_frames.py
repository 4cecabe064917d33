# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Hot photosites are no picture: dark frames that have many are dark frames still."""

from __future__ import annotations

import numpy as np

from diffphyscam_ros.calibration.picture_features import features_of
from diffphyscam_ros.calibration.roles import is_plain
from diffphyscam_ros.calibration.types import RecordedFrame


def frame(pixels: np.ndarray) -> RecordedFrame:
    return RecordedFrame(0, 0, '/x', '', 'bag', pixels, 'mono16')


def test_hot_photosites_are_neither_spread_nor_structure():
    random = np.random.default_rng(3)
    pixels = (0.03 * 65535 + random.normal(0, 50, (240, 320))).astype(np.uint16)
    plain = features_of(frame(pixels), sharpness=False)
    hot = random.random(pixels.shape) < 0.003
    pixels[hot] = 20000
    found = features_of(frame(pixels), sharpness=False)
    assert hot.sum() > 150
    assert is_plain(found)
    assert abs(found.spread - plain.spread) < 1e-3
    assert abs(found.structure - plain.structure) < 1e-3


def test_small_things_are_structure():
    pixels = np.full((240, 320), 2000, np.uint16)
    pixels[40:60, 50:70] = pixels[150:180, 200:230] = 20000
    assert not is_plain(features_of(frame(pixels), sharpness=False))
