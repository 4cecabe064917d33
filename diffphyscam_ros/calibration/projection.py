# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The lens models of CameraInfo in numpy, with analytic derivatives: what the fit of K needs.

The parameters of a camera are fx, fy, cx, cy and the coefficients in CameraInfo's order; see
``camera/lens_models.py`` for the same models in torch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.camera.lens_models import COEFFICIENTS

Array = npt.NDArray[np.float64]

TRUSTED_SLOPE = 0.05
"""A radial model is trusted up to where the distorted radius grows slower than this."""


def parameter_names(model: str) -> tuple[str, ...]:
    """Return the names of a camera's parameters in order."""
    return ('fx', 'fy', 'cx', 'cy', *COEFFICIENTS[model])


def distort(model: str, d: Array, points: Array) -> tuple[Array, Array, Array]:
    """Return the distorted normalised points and their derivatives.

    :param d: (k,) coefficients.
    :param points: (n, 2), x/z and y/z.
    :return: (n, 2); by the point (n, 2, 2); by the coefficients (n, 2, k).
    """
    return (_equidistant if model == 'equidistant' else _polynomial)(d, points)


def _polynomial(d: Array, points: Array) -> tuple[Array, Array, Array]:
    """plumb_bob and rational_polynomial: see OpenCV's calib3d."""
    x, y = points[:, 0], points[:, 1]
    k1, k2, p1, p2, k3 = d[:5]
    k4, k5, k6 = d[5:8] if len(d) == 8 else (0.0, 0.0, 0.0)
    s = x * x + y * y
    above = 1 + s * (k1 + s * (k2 + s * k3))
    below = 1 + s * (k4 + s * (k5 + s * k6))
    scale = above / below
    slope = (k1 + s * (2 * k2 + 3 * s * k3) - scale * (k4 + s * (2 * k5 + 3 * s * k6))) / below
    u = x * scale + 2 * p1 * x * y + p2 * (s + 2 * x * x)
    v = y * scale + p1 * (s + 2 * y * y) + 2 * p2 * x * y
    by_point = np.empty((len(x), 2, 2))
    by_point[:, 0, 0] = scale + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    by_point[:, 0, 1] = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    by_point[:, 1, 0] = by_point[:, 0, 1]
    by_point[:, 1, 1] = scale + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    powers = np.stack([s, s * s, s * s * s], axis=-1)
    radial = powers / below[:, None]
    by_d = np.empty((len(x), 2, len(d)))
    for axis, along in ((0, x), (1, y)):
        by_d[:, axis, :2] = along[:, None] * radial[:, :2]
        by_d[:, axis, 4] = along * radial[:, 2]
        if len(d) == 8:
            by_d[:, axis, 5:] = -(along * scale)[:, None] * radial
    by_d[:, 0, 2], by_d[:, 0, 3] = 2 * x * y, s + 2 * x * x
    by_d[:, 1, 2], by_d[:, 1, 3] = s + 2 * y * y, 2 * x * y
    return np.stack([u, v], axis=-1), by_point, by_d


def _equidistant(d: Array, points: Array) -> tuple[Array, Array, Array]:
    """See OpenCV's fisheye module."""
    r2 = (points**2).sum(axis=1)
    r = np.sqrt(r2)
    near = r < 1e-8
    safe = np.where(near, 1.0, r)
    theta = np.arctan(r)
    t = theta * theta
    distorted = theta * (1 + t * (d[0] + t * (d[1] + t * (d[2] + t * d[3]))))
    rate = 1 + t * (3 * d[0] + t * (5 * d[1] + t * (7 * d[2] + t * 9 * d[3])))
    scale = np.where(near, 1.0, distorted / safe)
    # d(scale)/d(r^2)
    slope = np.where(near, d[0] - 1 / 3, (rate / (1 + r2) - scale) / (2 * safe * safe))
    by_point = 2 * slope[:, None, None] * points[:, :, None] * points[:, None, :]
    by_point += scale[:, None, None] * np.eye(2)
    powers = theta[:, None] ** np.array([3, 5, 7, 9])
    by_d = points[:, :, None] * (powers / safe[:, None])[:, None, :]
    return points * scale[:, None], by_point, by_d


def undistort(model: str, d: Array, points: Array, steps: int = 30) -> Array:
    """Return the normalised points (n, 2) whose distorted ones are given: Newton's method.

    Points that the model does not reach are NaN.
    """
    target = np.asarray(points, np.float64)
    guess = target.copy()
    if model == 'equidistant':
        theta = np.linalg.norm(target, axis=1, keepdims=True)
        bent = np.minimum(theta, 1.4)
        guess = target * np.where(theta > 1e-8, np.tan(bent) / np.maximum(theta, 1e-8), 1.0)
    for _ in range(steps):
        value, by_point, _ = distort(model, d, guess)
        error = target - value
        determinant = by_point[:, 0, 0] * by_point[:, 1, 1] - by_point[:, 0, 1] * by_point[:, 1, 0]
        good = np.abs(determinant) > 1e-6
        step = np.zeros_like(error)
        step[good] = np.linalg.solve(by_point[good], error[good][..., None])[..., 0]
        longest = 0.3 * (1.0 + np.linalg.norm(guess, axis=1))
        length = np.linalg.norm(step, axis=1)
        step *= np.minimum(1.0, longest / np.maximum(length, 1e-12))[:, None]
        guess = guess + step
        if float(length.max(initial=0.0)) < 1e-12:
            break
    value, by_point, _ = distort(model, d, guess)
    determinant = by_point[:, 0, 0] * by_point[:, 1, 1] - by_point[:, 0, 1] * by_point[:, 1, 0]
    good = (np.abs(value - target).max(axis=1) < 1e-8) & (determinant > 0)
    return np.where(good[:, None], guess, np.nan)


def project(model: str, camera: Array, points: Array) -> tuple[Array, Array, Array]:
    """Return the pixels of points in the camera's frame and their derivatives.

    :param camera: fx, fy, cx, cy and the coefficients, (4 + k,).
    :param points: (n, 3), m, z > 0.
    :return: (n, 2); by the camera (n, 2, 4 + k); by the point (n, 2, 3).
    """
    z = np.maximum(points[:, 2], 1e-9)
    flat = points[:, :2] / z[:, None]
    bent, by_flat, by_d = distort(model, camera[4:], flat)
    focal = camera[:2]
    pixels = bent * focal + camera[2:4]
    by_camera = np.zeros((len(points), 2, len(camera)))
    by_camera[:, 0, 0], by_camera[:, 1, 1] = bent[:, 0], bent[:, 1]
    by_camera[:, 0, 2] = by_camera[:, 1, 3] = 1.0
    by_camera[:, :, 4:] = by_d * focal[:, None]
    by_flat = by_flat * focal[:, None]
    by_point = np.empty((len(points), 2, 3))
    by_point[:, :, :2] = by_flat / z[:, None, None]
    by_point[:, :, 2] = -np.einsum('nij,nj->ni', by_flat, flat) / z[:, None]
    return pixels, by_camera, by_point


def rays(model: str, camera: Array, pixels: Array) -> Array:
    """Return the normalised points (n, 2) seen at pixels (n, 2); NaN where there are none."""
    return undistort(model, camera[4:], (np.asarray(pixels) - camera[2:4]) / camera[:2])


def rotations(vectors: Array) -> Array:
    """Return the matrices (n, 3, 3) of rotation vectors (n, 3), rad."""
    angle = np.linalg.norm(vectors, axis=1)
    small = angle < 1e-8
    axis = vectors / np.where(small, 1.0, angle)[:, None]
    cross = np.zeros((len(vectors), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sine * cross + (1.0 - cosine) * (cross @ cross)
