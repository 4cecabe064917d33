# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The few numbers that change with every frame, of which torch would take ten times as long.

Held by tests to torch: ``place``, ``normal_matrices`` and ``turned_irradiance`` in ``render``.
"""

from __future__ import annotations

import math

import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

_SMALL = 1e-30


@kernel(inline=True)
def _cofactor(m, i, a):  # type: ignore[no-untyped-def]
    """Return one cofactor of the upper left 3 x 3 of a matrix."""
    j, k, b, c = (i + 1) % 3, (i + 2) % 3, (a + 1) % 3, (a + 2) % 3
    return m[j, b] * m[k, c] - m[j, c] * m[k, b]


@kernel(inline=True)
def _determinant(m):  # type: ignore[no-untyped-def]
    return (
        m[0, 0] * _cofactor(m, 0, 0) + m[0, 1] * _cofactor(m, 0, 1) + m[0, 2] * _cofactor(m, 0, 2)
    )


@kernel()
def place_scene(camera_to_world, poses, lights, rotation, to_camera, turned, turn):  # type: ignore[no-untyped-def]
    """Bring meshes, lights and environment to the optical frame.

    :param camera_to_world: (4, 4) float64, rigid.
    :param poses: (I, 4, 4) float64 of the meshes in the world.
    :param lights: (L, 14) float64 in the world, see ``render/lights.py``.
    :param rotation: of the environment about the world's z, rad.
    :param to_camera: (I, 4, 4) float64, out: the meshes in the optical frame.
    :param turned: (L, 14) float64, out: the lights in it.
    :param turn: (3, 3) float64, out: optical frame to the environment's.
    """
    m = camera_to_world
    back = np.zeros((4, 4))  # rigid to 1e-3: the inverse, not the transpose
    determinant = _determinant(m)
    for a in range(3):
        for i in range(3):
            back[a, i] = _cofactor(m, i, a) / determinant
        back[a, 3] = -(back[a, 0] * m[0, 3] + back[a, 1] * m[1, 3] + back[a, 2] * m[2, 3])
    back[3, 3] = 1.0
    for item in range(poses.shape[0]):
        for i in range(4):
            for a in range(4):
                total = 0.0
                for k in range(4):
                    total += back[i, k] * poses[item, k, a]
                to_camera[item, i, a] = total
    for light in range(lights.shape[0]):
        for column in range(lights.shape[1]):
            turned[light, column] = lights[light, column]
        is_point = lights[light, 0] != 0.0
        for i in range(3):
            place, axis = back[i, 3] if is_point else 0.0, 0.0
            for a in range(3):
                place += back[i, a] * lights[light, 1 + a]
                axis += back[i, a] * lights[light, 7 + a]
            turned[light, 1 + i], turned[light, 7 + i] = place, axis
    cosine, sine = math.cos(rotation), math.sin(rotation)
    for a in range(3):
        turn[0, a] = cosine * m[0, a] + sine * m[1, a]
        turn[1, a] = cosine * m[1, a] - sine * m[0, a]
        turn[2, a] = m[2, a]


@kernel()
def normal_matrices(poses, out):  # type: ignore[no-untyped-def]
    """Set the matrices that carry mesh normals to the optical frame, not keeping their length.

    :param poses: (I, 4, 4) float64 of the meshes in the optical frame.
    :param out: (I, 3, 3) float32.
    """
    for item in range(poses.shape[0]):
        m = poses[item]
        cofactors = np.empty((3, 3))
        largest = _SMALL
        for i in range(3):
            for a in range(3):
                cofactors[i, a] = _cofactor(m, i, a)
                largest = max(largest, abs(cofactors[i, a]))
        scale = (-1.0 if _determinant(m) < 0.0 else 1.0) / largest
        for i in range(3):
            for a in range(3):
                out[item, i, a] = np.float32(cofactors[i, a] * scale)


@kernel()
def are_mirrored(poses, out):  # type: ignore[no-untyped-def]
    """Set whether each pose turns a mesh inside out.

    :param poses: (I, 4, 4) float64.
    :param out: (I,) bool.
    """
    for item in range(poses.shape[0]):
        out[item] = _determinant(poses[item]) < 0.0


@kernel()
def turn_irradiance(irradiance, turn, intensity, directions, inverse, exponents, out):  # type: ignore[no-untyped-def]
    """Set the irradiance as a polynomial of the normal in the optical frame.

    :param irradiance: (31, 3) float32, of the normal in the environment's frame.
    :param turn: (3, 3) float64, optical frame to the environment's.
    :param directions: (D, 3) float64, unit, at which the polynomials are made equal.
    :param inverse: (31, D) float64, pseudo-inverse of the monomials at them.
    :param exponents: (31, 3) int64 of x, y and z in the monomials.
    :param out: (31, 3) float32.
    """
    count, terms = directions.shape[0], exponents.shape[0]
    totals = np.zeros((terms, 3))
    powers = np.ones((3, 7))
    for number in range(count):
        for axis in range(3):
            place = 0.0
            for a in range(3):
                place += turn[axis, a] * directions[number, a]
            for power in range(1, 7):
                powers[axis, power] = powers[axis, power - 1] * place
        red, green, blue = 0.0, 0.0, 0.0
        for term in range(terms):
            value = (
                powers[0, exponents[term, 0]]
                * powers[1, exponents[term, 1]]
                * powers[2, exponents[term, 2]]
            )
            red += value * irradiance[term, 0]
            green += value * irradiance[term, 1]
            blue += value * irradiance[term, 2]
        for term in range(terms):
            share = inverse[term, number] * intensity
            totals[term, 0] += share * red
            totals[term, 1] += share * green
            totals[term, 2] += share * blue
    for term in range(terms):
        for channel in range(3):
            out[term, channel] = np.float32(totals[term, channel])
