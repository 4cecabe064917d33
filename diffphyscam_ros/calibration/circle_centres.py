# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where the centres of circles are, whose pictures are ellipses with other centres.

A circle pictured at a slant is an ellipse, and the middle of the ellipse is not the picture of the
circle's centre: it lies towards the near side. The board's homography tells by how much (dual
conics: Hartley and Zisserman, Multiple View Geometry, 2nd edition, 2.2.3). What the lens does to
the ellipse within its own width is left out: it is far smaller, as a circle is than the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def true_centres(plane: Array, pixels: Array, radius: float) -> Array:
    """Return the pictures of the circles' centres, (n, 2) px.

    :param plane: (n, 2) m, centres on the board.
    :param pixels: (n, 2) px, centres of the ellipses.
    :param radius: of the circles, m.
    """
    scale = float(np.ptp(plane, axis=0).max())
    unit, small = plane / scale, radius / scale
    corrected = pixels
    for _ in range(2):  # the homography is first that of the ellipses
        found, _ = cv2.findHomography(unit, corrected)
        if found is None or not np.isfinite(found).all():
            return pixels
        view = np.asarray(found, np.float64)
        centre = np.column_stack([unit, np.ones(len(unit))])
        dual = centre[:, :, None] * centre[:, None, :] - np.diag([small**2, small**2, 0.0])
        ellipse = view @ dual @ view.T
        middle = ellipse[:, :2, 2] / ellipse[:, 2:, 2]
        seen = centre @ view.T
        corrected = pixels - (middle - seen[:, :2] / seen[:, 2:])
    return corrected
